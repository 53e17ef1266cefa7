package replay

import "github.com/replay/replay/traces"

// rhythm is what is known of a thread's pace when its lookups left no trace.
type rhythm struct {
	last int64 // ns: the stamp of its hit before
}

// inferArrival is the begin of a hit's lookup, in ns, from the hit's stamp alone.
func (r *reconstructor) inferArrival(t *thread, ev *traces.Event) int64 {
	rec := &r.profile.Recorder
	t.rhythm.last = ev.Time
	return ev.Time - rec.HitLag - rec.Window
}
