package replay

import (
	"cmp"
	"slices"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// chronicle keeps when things happened, in bounded memory: the run in slices of
// time, which double in length as it goes on, and the first spans.
type chronicle struct {
	series   Series
	spans    []Span
	origins  []*timeline.Origin       // of each span: a section's own, or whom a hit blames
	sections map[*timeline.Origin]int // spans of sections
	dropped  int64
	window   Window // of spans
	latest   struct {
		index    int // of a slice,
		from, to sim.Time
	}
}

func newChronicle(w Window) *chronicle {
	return &chronicle{series: Series{Step: sim.Microsecond}, window: w, sections: map[*timeline.Origin]int{}}
}

// slice is where time t belongs: mostly where that before did.
func (c *chronicle) slice(t sim.Time) *Slice {
	s := &c.series
	if at := c.latest; at.from <= t && t < at.to {
		return &s.Slices[at.index]
	}
	for t/s.Step >= MaxSlices {
		s.Double()
	}
	for int(t/s.Step) >= len(s.Slices) {
		s.Slices = append(s.Slices, Slice{})
	}
	i := t / s.Step
	c.latest.index, c.latest.from, c.latest.to = int(i), i*s.Step, (i+1)*s.Step
	return &s.Slices[i]
}

func (c *chronicle) hit(h *sim.HitRecord, o *timeline.Origin) {
	s := c.slice(h.Trap)
	s.Outcomes[h.Outcome]++
	s.Resolve += h.Parts.Resolve()
	s.LockWait += h.Parts.LockWait
	if h.Outcome == sim.Lockless || h.Outcome == sim.Unconfigured {
		return
	}
	l := h.Deciding()
	if !c.room(l.Start, l.Answered) {
		return
	}
	blamed, _ := l.Blame.(*timeline.Origin)
	c.origins = append(c.origins, blamed)
	c.spans = append(c.spans, Span{
		Kind: FallbackSpan, PID: o.PID, TID: o.TID, Comm: o.Comm, CPU: int(h.CPU),
		Start: l.Start, LockedAt: l.Acquired, End: l.Answered, Probe: o.Probe, Outcome: h.Outcome, Blame: -1,
	})
}

func (c *chronicle) section(x *sim.Section, o *timeline.Origin) {
	for at := x.Acquired; at < x.Even; {
		s := c.slice(at)
		next := min((at/c.series.Step+1)*c.series.Step, x.Even)
		s.Held += next - at
		at = next
	}
	if !c.room(x.Requested, x.Released) {
		return
	}
	c.sections[o] = len(c.spans)
	c.origins = append(c.origins, o)
	c.spans = append(c.spans, Span{
		Kind: SectionSpan, PID: o.PID, TID: o.TID, Comm: o.Comm, CPU: int(x.CPU),
		Start: x.Requested, LockedAt: x.Acquired, End: x.Released, Op: o.Kind, Blame: -1,
	})
}

// room reports whether a span is to be kept.
func (c *chronicle) room(from, to sim.Time) bool {
	if !c.window.Contains(from, to) {
		return false
	}
	if len(c.spans) < MaxSpans {
		return true
	}
	c.dropped++
	return false
}

// finish puts all of it into the run, spans in their order.
func (c *chronicle) finish(r *Run) {
	order := make([]int, len(c.spans))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &c.spans[i], &c.spans[j]
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.CPU, b.CPU), cmp.Compare(a.TID, b.TID), cmp.Compare(i, j))
	})
	place := make([]int, len(order))
	for to, from := range order {
		place[from] = to
	}
	r.Series, r.SpansDropped = c.series, c.dropped
	r.Spans = make([]Span, 0, len(order))
	for _, from := range order {
		s := c.spans[from]
		if s.Kind == FallbackSpan {
			if at, ok := c.sections[c.origins[from]]; ok {
				s.Blame = place[at]
			}
		}
		r.Spans = append(r.Spans, s)
	}
}
