package timeline

import (
	"cmp"
	"context"
	"slices"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// Wait is one recorded wait for mmap_lock, as in [Recording].
type Wait struct {
	Comm     string
	PID, TID int32 // PID may be NoPID
	CPU      int32 // that it asked on; -1 where it is not recorded
	WokeOn   int32 // that it got the lock on
	Access   Access
	Kind     string
	Stack    []string // leaf first; empty where the trace has none
	Seq      int64    // of its lock_start
	Space    int      // whose lock, from 0 by first appearance
	At       sim.Time // since the start of the recording
	For      sim.Time
	InWay    sim.Time // of For: somebody was seen with the lock
	Behind   []Behind // who had it meanwhile, by From; each was in the way
	// Ahead are waits for the same lock that were under way when this one began and were
	// over before it was, by their end. A reader among them may have had the lock before its
	// lock_acquired: who lets go of it grants it to readers that it wakes
	// (rwsem_mark_wake in kernel/locking/rwsem.c). They have no Ahead of their own.
	Ahead []*Wait
}

// Behind is a hold that was in the way of a Wait.
type Behind struct {
	Hold *Hold
	From sim.Time // since the start of the recording: when it came to be in the way
	For  sim.Time // it was, not necessarily at a stretch
}

// Hold is one recorded hold of mmap_lock.
type Hold struct {
	Comm     string
	PID, TID int32 // PID may be NoPID
	CPU      int32 // -1 where it is not recorded
	Kind     string
	Write    bool     // it was taken for write; it may have been downgraded
	Stack    []string // leaf first; empty where the trace has none
	Seq      int64    // of its lock_start; of its lock_acquired where that is missing
	Space    int      // whose lock, from 0 by first appearance
	At       sim.Time // since the start of the recording
	For      sim.Time // 0 where its end is not in the trace
	Blocked  int      // waits that it was in the way of
}

// Watch says which single waits and holds are kept.
type Watch struct {
	Worst  int      // the longest waits, so many
	At     sim.Time // waits under way then, or else those nearest; below 0 for none
	From   sim.Time // spans: what overlaps From to To
	To     sim.Time
	Spans  int // at most so many waits and holds that met another, the first ones, and a quarter as many of the rest
	Nearby int // at most so many waits for At
}

// MaxLockSpans is how many waits and holds a Recording keeps for a timeline.
const MaxLockSpans = 16_000

// worstWaits is how many of the longest waits a Recording keeps.
const worstWaits = 10

// watching is what a survey keeps.
var watching = Watch{Worst: worstWaits, At: -1, To: sim.Time(1<<63 - 1), Spans: MaxLockSpans}

// within is the watch with spans of a stretch of time, to the end where to is 0.
func (w Watch) within(from, to sim.Time) Watch {
	if w.From = from; to > 0 {
		w.To = to
	}
	return w
}

// Watched is what the recorded kernel did, with the single waits and holds that are asked
// for; nil without lock events.
func Watched(ctx context.Context, trace Trace, s *Survey, watch Watch) (*Recording, error) {
	locks := newLockBook(watch)
	if err := read(ctx, trace, locks.add); err != nil {
		return nil, err
	}
	return locks.recorded(s.Unknown), nil
}

// diary keeps waits and holds.
type diary struct {
	watch        Watch
	worst        []*lockWait // longest first
	near         []*lockWait // nearest to watch.At first
	waits, alone []*lockWait // that met a hold, and that did not
	holds, quiet []*lockHold // that were in the way of a wait, and that were not
	left         int64       // waits and holds that are not kept for want of room
}

// wait takes in one that is over.
func (d *diary) wait(w *lockWait, start int64) {
	worse := func(a, b *lockWait) int {
		return cmp.Or(-cmp.Compare(a.ns, b.ns), cmp.Compare(a.start, b.start), cmp.Compare(a.seq, b.seq))
	}
	kept := insert(&d.worst, w, d.watch.Worst, worse)
	if at := int64(d.watch.At / sim.Nanosecond); d.watch.At >= 0 {
		away := func(w *lockWait) int64 { return max(w.start-start-at, at-(w.start+w.ns-start), 0) }
		near := insert(&d.near, w, d.watch.Nearby, func(a, b *lockWait) int { return cmp.Or(cmp.Compare(away(a), away(b)), worse(a, b)) })
		kept = kept || near
	}
	if !kept { // else each would keep all before it
		w.ahead = nil
	}
	if !d.shown(w.start-start, w.ns) {
		return
	}
	if len(w.segments) > 0 {
		d.waits = keepSome(d, d.waits, w, d.watch.Spans)
	} else {
		d.alone = keepSome(d, d.alone, w, d.watch.Spans/4)
	}
}

// hold takes in one that is over.
func (d *diary) hold(h *lockHold, start int64) {
	if !d.shown(h.acquired-start, h.ns) {
		return
	}
	if h.blocked > 0 {
		d.holds = keepSome(d, d.holds, h, d.watch.Spans)
	} else {
		d.quiet = keepSome(d, d.quiet, h, d.watch.Spans/4)
	}
}

func (d *diary) shown(at, ns int64) bool {
	return d.watch.Spans > 0 && at <= int64(d.watch.To/sim.Nanosecond) && at+ns >= int64(d.watch.From/sim.Nanosecond)
}

func keepSome[T any](d *diary, all []T, x T, most int) []T {
	if len(all) >= most {
		d.left++
		return all
	}
	return append(all, x)
}

// insert puts x into a sorted list of at most a length, and reports whether it is in.
func insert(list *[]*lockWait, x *lockWait, most int, compare func(a, b *lockWait) int) bool {
	if most == 0 || len(*list) == most && compare(x, (*list)[most-1]) >= 0 {
		return false
	}
	i, _ := slices.BinarySearchFunc(*list, x, compare)
	*list = slices.Insert(*list, i, x)
	if len(*list) > most {
		(*list)[most].ahead = nil
		*list = (*list)[:most]
	}
	return true
}

// out turns what was kept into what is read, each hold into one.
type out struct {
	start int64
	holds map[*lockHold]*Hold
}

func (o *out) hold(h *lockHold) *Hold {
	known := o.holds[h]
	if known == nil {
		k := &h.row.key
		known = &Hold{
			Comm: k.comm, PID: k.pid, TID: k.tid, CPU: h.cpu, Kind: k.kind, Write: k.write, Stack: h.row.stack, Seq: h.seq, Space: h.space,
			At: sim.Time(h.acquired-o.start) * sim.Nanosecond, For: sim.Time(h.ns) * sim.Nanosecond, Blocked: h.blocked,
		}
		o.holds[h] = known
	}
	return known
}

func (o *out) wait(w *lockWait) *Wait {
	k := &w.row.key
	wait := &Wait{
		Comm: k.comm, PID: k.pid, TID: k.tid, CPU: w.cpu, WokeOn: w.wokeOn, Access: k.access, Kind: w.kind, Stack: w.stack, Seq: w.seq, Space: w.space,
		At: sim.Time(w.start-o.start) * sim.Nanosecond, For: sim.Time(w.ns) * sim.Nanosecond, InWay: sim.Time(w.inWay) * sim.Nanosecond,
	}
	for i := range w.segments {
		s := &w.segments[i]
		wait.Behind = append(wait.Behind, Behind{o.hold(s.hold), sim.Time(s.from-o.start) * sim.Nanosecond, sim.Time(s.ns) * sim.Nanosecond})
	}
	for _, a := range w.ahead {
		if end := a.start + a.ns; end > w.start && end <= w.start+w.ns {
			before := *a
			before.ahead = nil
			wait.Ahead = append(wait.Ahead, o.wait(&before))
		}
	}
	slices.SortFunc(wait.Ahead, func(a, b *Wait) int { return cmp.Or(cmp.Compare(a.At+a.For, b.At+b.For), cmp.Compare(a.Seq, b.Seq)) })
	slices.SortFunc(wait.Behind, func(a, b Behind) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Hold.Seq, b.Hold.Seq)) })
	return wait
}

func (o *out) waits(all ...*lockWait) []*Wait {
	var list []*Wait
	for _, w := range all {
		list = append(list, o.wait(w))
	}
	return list
}

// fill puts what was kept into a Recording.
func (d *diary) fill(r *Recording, start int64) {
	o := out{start, map[*lockHold]*Hold{}}
	r.Worst, r.Near = o.waits(d.worst...), o.waits(d.near...)
	r.Waits = o.waits(slices.Concat(d.waits, d.alone)...)
	slices.SortFunc(r.Waits, func(a, b *Wait) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Seq, b.Seq)) })
	for _, w := range r.Waits { // holds that ended after the room was gone, or never
		for i := range w.Behind {
			r.Holds = append(r.Holds, w.Behind[i].Hold)
		}
	}
	for _, h := range slices.Concat(d.holds, d.quiet) {
		r.Holds = append(r.Holds, o.hold(h))
	}
	slices.SortFunc(r.Holds, func(a, b *Hold) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Seq, b.Seq)) })
	r.Holds = slices.Compact(r.Holds)
	r.SpansDropped = d.left
}

// LockSeries is who had mmap_lock and who waited for it over time, in slices of equal
// length from the start of the recording.
type LockSeries struct {
	Step   sim.Time
	Slices []LockSlice // at most maxLockSlices
}

// LockSlice sums up one slice over all address spaces: threads that wait or hold at the
// same time each count.
type LockSlice struct {
	Waited              ByAccess
	ReadHeld, WriteHeld sim.Time
}

// maxLockSlices is how many slices a LockSeries has at most.
const maxLockSlices = 512

// add spreads a time in ns over the slices.
func (s *LockSeries) add(from, to int64, of func(*LockSlice) *sim.Time) {
	if s.Step == 0 {
		s.Step = sim.Microsecond
	}
	end := sim.Time(to) * sim.Nanosecond
	for end > s.Step*maxLockSlices {
		s.double()
	}
	for at := sim.Time(from) * sim.Nanosecond; at < end; {
		i := int(at / s.Step)
		for i >= len(s.Slices) {
			s.Slices = append(s.Slices, LockSlice{})
		}
		next := min(sim.Time(i+1)*s.Step, end)
		*of(&s.Slices[i]) += next - at
		at = next
	}
}

// double joins slices in pairs.
func (s *LockSeries) double() {
	s.Step *= 2
	for i := range s.Slices {
		from := s.Slices[i]
		s.Slices[i] = LockSlice{}
		to := &s.Slices[i/2]
		to.Waited.Lookup += from.Waited.Lookup
		to.Waited.Read += from.Waited.Read
		to.Waited.Write += from.Waited.Write
		to.ReadHeld += from.ReadHeld
		to.WriteHeld += from.WriteHeld
	}
	s.Slices = s.Slices[:(len(s.Slices)+1)/2]
}

func (s *LockSlice) held(write bool) *sim.Time {
	if write {
		return &s.WriteHeld
	}
	return &s.ReadHeld
}

func cpuOf(ev *traces.Event) int32 {
	if ev.Got(traces.ColCPU) {
		return ev.CPU
	}
	return -1
}
