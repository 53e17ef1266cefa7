package reports

import (
	"github.com/google/pprof/profile"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
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
		tags := blameLabels(row)
		tags.set("resolver", r.Resolver)
		b.add(writerStack(row.Kind, row.Stack), values, tags)
	}
	return b.p
}

func blameLabels(b *replay.Blame) labels {
	var l labels
	if b.Writers == 1 {
		l.setNumber("pid", int64(b.PID))
		l.setNumber("tid", int64(b.TID))
	}
	l.set("comm", b.Comm)
	l.set("kind", b.Kind)
	return l
}

// recordedTypes are the columns of the recorded blame profile. The first three are of who
// had the lock, the others of who waited.
var recordedTypes = []profile.ValueType{
	{Type: "holds", Unit: "count"},
	{Type: "hold", Unit: "nanoseconds"},
	{Type: "blocked", Unit: "nanoseconds"},
	{Type: "waits", Unit: "count"},
	{Type: "wait", Unit: "nanoseconds"},
}

// RecordedProfile shows who had mmap_lock while others waited for it, and who waited, on
// the recorded kernel: under "who had it" the stacks that took it, under "who waited" the
// waits of each thread. The two are apart, since several holders may be in the way of one
// wait. It is for a Result that has a recording.
func RecordedProfile(res *replay.Result) *profile.Profile {
	b := newProfile(res, nil, recordedTypes, "blocked")
	for i := range res.Recorded.Holders {
		h := &res.Recorded.Holders[i]
		stack := writerStack(h.Kind, h.Stack)
		tags := recordedLabels(h.Comm, h.PID, h.TID)
		tags.set("kind", h.Kind)
		tags.set("mode", accessMode(h.Write))
		b.add(append(stack, frame{symbol: h.Comm}, frame{symbol: "who had it"}),
			[]int64{h.Hold.Count, h.Hold.Total.Nanos(), h.BlockedTime.Nanos(), 0, 0}, tags)
	}
	for i := range res.Recorded.Waiters {
		w := &res.Recorded.Waiters[i]
		tags := recordedLabels(w.Comm, w.PID, w.TID)
		tags.set("access", string(w.Access))
		b.add([]frame{{symbol: "mmap_lock for " + string(w.Access)}, {symbol: w.Comm}, {symbol: "who waited"}},
			[]int64{0, 0, 0, w.Wait.Count, w.Wait.Total.Nanos()}, tags)
	}
	return b.p
}

func recordedLabels(comm string, pid, tid int32) labels {
	var l labels
	if pid != timeline.NoPID {
		l.setNumber("pid", int64(pid))
	}
	l.setNumber("tid", int64(tid))
	l.set("comm", comm)
	return l
}
