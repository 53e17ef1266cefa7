package timeline

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/traces"
)

// callOrder is what the calls of a trace that take mmap_lock for write tell of each other, for
// a replay in which they queue ([Config.Queue]). Two of one process cannot have the lock
// together. Of those that are in the kernel together, which leaves later had it later. One
// that came when no other was there had it at once. Another waited, and had it at the end of
// its call, no longer than calls of its kind have it that are alone: who loses its CPU does so
// asleep for the lock, and hardly ever with it, but where it frees pages, for read.
type callOrder struct {
	turns map[int64]turn // of calls that were in the kernel with others of their process, by row
	// whole is how long calls of each kind have the lock that are alone, three of four, ns.
	whole map[string]int64
}

// turn is how a call came to have the lock that was in the kernel with others.
type turn struct {
	after int64 // ns: one that left before it had the lock until then
	first bool  // none of them was there when it came
	// passed says that one of them had come before it, and left later: a writer that is on a
	// CPU has the lock before one that was woken and is not.
	passed bool
}

// sharedMost is how many calls are kept that were in the kernel with others. What comes
// after them seems to be alone.
const sharedMost = 1 << 20

// orderCalls reads the calls of a trace.
func orderCalls(ctx context.Context, trace Trace, profile *machines.Profile) (callOrder, error) {
	o := newOrderer()
	err := eachCallAndHit(ctx, trace, callColumns, profile, func(ev *traces.Event, c *callSection) { o.take(ev.PID, c) }, nil)
	return o.finish(), err
}

// orderer finds a callOrder.
type orderer struct {
	turns     map[int64]turn
	processes map[int32]*callsOf
	lengths   map[string]*dist.Durations // of calls that are alone, ns from where one gets to the lock to its end
}

func newOrderer() *orderer {
	return &orderer{turns: map[int64]turn{}, processes: map[int32]*callsOf{}, lengths: map[string]*dist.Durations{}}
}

// callsOf are the calls of a process that may be in the kernel with the next one.
type callsOf struct {
	open []openCall // by their ends
	last int64      // ns: the end of the latest that is not among them
}

type openCall struct {
	callSection
	queued bool // one of another thread was there before
}

// take notes the next call of a process, in order of their entries.
func (o *orderer) take(pid int32, c *callSection) {
	p := o.processes[pid]
	if p == nil {
		p = &callsOf{}
		o.processes[pid] = p
	}
	o.close(p, c.base)
	next := openCall{callSection: *c}
	for i := range p.open {
		if p.open[i].tid != c.tid {
			p.open[i].shared, next.shared, next.queued = true, true, true
		}
	}
	at, _ := slices.BinarySearchFunc(p.open, next, func(a, b openCall) int { return cmp.Or(cmp.Compare(a.limit, b.limit), cmp.Compare(a.seq, b.seq)) })
	p.open = slices.Insert(p.open, at, next)
}

// close is done with the calls that end by a time.
func (o *orderer) close(p *callsOf, by int64) {
	n := 0
	for ; n < len(p.open) && p.open[n].limit <= by; n++ {
		c := &p.open[n]
		switch {
		case !c.shared:
			o.alone(c.kind).Add(c.limit - c.base)
		case len(o.turns) < sharedMost:
			o.turns[c.seq] = turn{p.last, !c.queued, slices.ContainsFunc(p.open[n+1:], func(later openCall) bool { return later.base < c.base })}
		}
		p.last = c.limit
	}
	p.open = slices.Delete(p.open, 0, n)
}

// alone is how long calls of a kind take that are alone.
func (o *orderer) alone(kind string) *dist.Durations {
	d := o.lengths[kind]
	if d == nil {
		d = &dist.Durations{}
		o.lengths[kind] = d
	}
	return d
}

func (o *orderer) finish() callOrder {
	for _, pid := range slices.Sorted(maps.Keys(o.processes)) {
		o.close(o.processes[pid], 1<<63-1)
	}
	whole := map[string]int64{}
	for kind, d := range o.lengths {
		if d.Summarise(); d.Count >= wholeMin {
			whole[kind] = d.ThreeQuarters
		}
	}
	return callOrder{o.turns, whole}
}

// place tells a call what it has to know of the others.
func (o *callOrder) place(c *callSection) {
	var t turn
	t, c.shared = o.turns[c.seq]
	c.after, c.first, c.passed = t.after, t.first, t.passed
	c.whole = o.whole[c.kind]
}

// callColumns are those that tell of calls.
const callColumns = traces.ColPID | traces.ColTID | traces.ColDur | traces.ColRet | traces.ColAdvice
