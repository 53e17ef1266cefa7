package reports

import (
	"github.com/google/pprof/profile"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// hitTypes are the columns of the hit profile. Scripts rely on them and on their
// order. The trap and the handlers, which cost the same whatever the resolver, are
// in the reports.
var hitTypes = []profile.ValueType{
	{Type: "hits", Unit: "count"},
	{Type: "resolve", Unit: "nanoseconds"},
	{Type: "lock_wait", Unit: "nanoseconds"},
	{Type: "fallbacks", Unit: "count"},
	{Type: "line_transfers", Unit: "count"},
}

// HitProfile shows where the hits of run r spend their time. A sample's stack is
// the traced user stack with the kernel's frames on top; below it, at the root,
// stands the probe. The resolver is a label and no frame, so that a difference of two
// (pprof -diff_base) shows where they part. Each hit counts once, where it was resolved. Where the trace
// cannot tell what became of them, they are only counted.
func HitProfile(res *replay.Result, r *replay.Run) *profile.Profile {
	if !answered(res) {
		return hitCounts(res, r)
	}
	b := newProfile(res, r, hitTypes, "resolve")
	var columns hitColumns
	frames := framesOf(r.Resolver)
	for i := range r.Samples {
		s := &r.Samples[i]
		user := hitRoot(s)
		tags := hitLabels(r.Resolver, s)
		for _, p := range frames.portions(s) {
			b.add(append(p.stack[:len(p.stack):len(p.stack)], user...), columns.values(&p), tags)
		}
	}
	return b.p
}

// hitCounts is the profile of hits of which nothing else is known.
func hitCounts(res *replay.Result, r *replay.Run) *profile.Profile {
	b := newProfile(res, r, hitTypes[:1], hitTypes[0].Type)
	for i := range r.Samples {
		s := &r.Samples[i]
		tags := hitLabels(r.Resolver, s)
		delete(tags.text, "outcome")
		b.add(hitRoot(s), []int64{s.Hits}, tags)
	}
	return b.p
}

// hitRoot is the part of a sample's stack that is not the kernel's, leaf first.
// Kernel frames of the trace are the recording kernel's, not the resolver's.
func hitRoot(s *replay.Sample) []frame {
	stack := parseStack(s.Stack)
	for len(stack) > 0 && stack[0].kernel() {
		stack = stack[1:]
	}
	return append(stack, frame{symbol: s.Probe})
}

func hitLabels(resolver string, s *replay.Sample) labels {
	var l labels
	l.set("resolver", resolver)
	l.setNumber("cpu", int64(s.CPU))
	l.setNumber("pid", int64(s.PID))
	l.setNumber("tid", int64(s.TID))
	l.set("comm", s.Comm)
	l.set("probe", s.Probe)
	l.set("outcome", s.Outcome.String())
	return l
}

// portion is what of a sample belongs to one kernel stack.
type portion struct {
	stack                      []frame
	hits, fallbacks, transfers int64
	resolve, wait              sim.Time
}

// split divides a lookup's time among kernel stacks. Parts overlap (see sim.Parts), so
// the times are taken apart as
//
//	Lookup + Stall = Wasted + (taking the lock) + LockHold
//
// where a lockless one has neither of the last two.
func split(parts sim.Parts, outcome sim.Outcome, f *lookupFrames) []portion {
	work := parts.Lookup + parts.Stall
	if outcome == sim.Lockless {
		return []portion{{stack: f.speculate, resolve: parts.Resolve(), wait: parts.LockWait}}
	}
	wasted := min(parts.Wasted, work)
	held := min(parts.LockHold, work-wasted)
	return []portion{
		{stack: f.refused[outcome], resolve: wasted},
		{stack: f.lock, resolve: work - wasted - held},
		{stack: f.blocked, resolve: parts.LockWait, wait: parts.LockWait},
		{stack: f.held, resolve: held},
	}
}

// resolvedIn counts a sample's hits where its lookup ended: in the walk, or in taking the
// lock. Line transfers go there too: the ledger does not say which of its steps moved a
// line.
func resolvedIn(portions []portion, s *replay.Sample) {
	p := &portions[0]
	if s.Outcome != sim.Lockless {
		p = &portions[1]
		p.fallbacks = s.Hits
	}
	p.hits, p.transfers = s.Hits, s.LineTransfers
}

// portions divides a sample among the stacks of its lookups. The hits of optimised probes
// count in the one of two whose outcome is theirs.
func (f *hitFrames) portions(s *replay.Sample) []portion {
	c := s.Check
	if c == nil {
		all := split(s.Parts, s.Outcome, f.trap)
		resolvedIn(all, s)
		return all
	}
	uprobe := s.Parts
	uprobe.Sub(&c.Parts)
	check, lookup := split(c.Parts, c.Outcome, f.check), split(uprobe, c.Lookup, f.syscall)
	if c.Lookup == sim.Lockless && c.Outcome != sim.Lockless {
		resolvedIn(check, s)
	} else {
		resolvedIn(lookup, s)
	}
	return append(check, lookup...)
}

// hitColumns turns portions into values that add up to the run's totals.
type hitColumns struct{ resolve, wait nanos }

func (c *hitColumns) values(p *portion) []int64 {
	return []int64{p.hits, c.resolve.next(p.resolve), c.wait.next(p.wait), p.fallbacks, p.transfers}
}
