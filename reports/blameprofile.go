package reports

import (
	"github.com/google/pprof/profile"

	"github.com/replay/replay/replay"
)

// blameTypes are the columns of the blame profile.
var blameTypes = []profile.ValueType{
	{Type: "sections", Unit: "count"},
	{Type: "hold", Unit: "nanoseconds"},
	{Type: "fallbacks", Unit: "count"},
	{Type: "lock_wait", Unit: "nanoseconds"},
	{Type: "wasted", Unit: "nanoseconds"},
}

// BlameProfile shows whose address-space changes cost the hits of run r: the
// stacks are the writers', the values what their sections cost. It is empty where the
// trace cannot tell.
func BlameProfile(res *replay.Result, r *replay.Run) *profile.Profile {
	b := newProfile(res, r, blameTypes, "lock_wait")
	var hold, wait, wasted nanos
	if !answered(res) {
		return b.p
	}
	for i := range r.Blame {
		row := &r.Blame[i]
		values := []int64{row.Sections, hold.next(row.Hold), row.Fallbacks, wait.next(row.Wait), wasted.next(row.Wasted)}
		b.add(append(writerStack(row.Kind, row.Stack), frame{symbol: r.Resolver}), values, blameLabels(row))
	}
	return b.p
}

func blameLabels(b *replay.Blame) labels {
	var l labels
	l.setNumber("pid", int64(b.PID))
	l.setNumber("tid", int64(b.TID))
	l.set("comm", b.Comm)
	l.set("kind", b.Kind)
	return l
}
