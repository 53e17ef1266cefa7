package reports

import (
	"fmt"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// chart is a curve for the page's script to draw.
type chart struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"` // over_time, latency or curve
	Title string `json:"-"`
	Hint  string `json:"-"`

	StepNs float64    `json:"step_ns,omitempty"` // over_time: length of a slice
	Y      string     `json:"y,omitempty"`       // what the bars count
	Bars   []curve    `json:"bars,omitempty"`    // stacked; none where there is nothing to count
	Lines  []curve    `json:"lines,omitempty"`   // percent of each slice,
	LineNs string     `json:"line_ns,omitempty"` // or ns, with the name of their axis
	Lost   []lostSpan `json:"lost,omitempty"`

	X    []float64  `json:"x,omitempty"` // latency: ns; curve: CPUs
	Runs []runCurve `json:"runs,omitempty"`
}

// curve is a value for each slice of time.
type curve struct {
	Name   string    `json:"name"`
	Class  string    `json:"class"`
	Values []float64 `json:"values"` // below 0: none
}

// lostSpan is where events were lost, in ns of the run.
type lostSpan struct {
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Events int64   `json:"events"`
}

type runCurve struct {
	Name  string    `json:"name"`
	Share []float64 `json:"share"` // percent of hits resolved within x; curve: ns, 0 for none
}

// charts are those that the runs have figures for.
func charts(res *replay.Result) []chart {
	all := []chart{}
	runs := res.Runs
	for i := range runs {
		if r := &runs[i]; len(r.Series.Slices) > 0 && r.Series.Step > 0 && speculates(r) {
			c := overTime(r)
			if c.Lost = lostSpans(res); len(c.Lost) > 0 {
				c.Hint += " Shaded: events were lost there."
			}
			c.ID = fmt.Sprintf("over-time-%d", i)
			all = append(all, c)
		}
	}
	if c := phases(res); c != nil {
		all = append(all, *c)
	}
	if c := latency(runs); len(c.Runs) > 0 {
		all = append(all, c)
	}
	return all
}

// lostSpans is where events were lost, where the run goes with the recording.
func lostSpans(res *replay.Result) []lostSpan {
	var spans []lostSpan
	for _, l := range losses(res) {
		spans = append(spans, lostSpan{inNanos(l.from), inNanos(l.to), l.events})
	}
	return spans
}

func overTime(r *replay.Run) chart {
	s := &r.Series
	c := chart{
		Kind: "over_time", Title: "Fallbacks over time, " + r.Resolver,
		Hint:   "Bars: hits that fell back, by reason. Line: how much of the time a writer held mmap_lock. Drag to zoom, double-click to zoom out.",
		StepNs: inNanos(s.Step), Y: "fallbacks",
	}
	for o := sim.WriterActive; o < sim.NumOutcomes; o++ {
		if r.Outcomes[o] == 0 {
			continue
		}
		bar := curve{Name: reasonNames[o], Class: o.String()}
		for i := range s.Slices {
			bar.Values = append(bar.Values, float64(s.Slices[i].Outcomes[o]))
		}
		c.Bars = append(c.Bars, bar)
	}
	held := curve{Name: "held for write", Class: "held"}
	for i := range s.Slices {
		held.Values = append(held.Values, 100*float64(s.Slices[i].Held)/float64(s.Step))
	}
	c.Lines = []curve{held}
	return c
}

// lineClasses are the colours of the runs, in their order.
var lineClasses = []string{"unconfigured", "lockless", "writer_active", "seq_changed", "no_vma", "no_uprobe", "no_file", "handler"}

// phases shows when hits came, and what one took on average in each run; nil where there
// is nothing to tell apart.
func phases(res *replay.Result) *chart {
	var runs []replay.Series
	var step sim.Time
	for i := range res.Runs {
		runs = append(runs, res.Runs[i].Series)
		step = max(step, runs[i].Step)
	}
	n := 0
	for i := range runs {
		s := &runs[i]
		if s.Step == 0 {
			s.Slices = nil
		}
		s.Slices = slices.Clone(s.Slices)
		for len(s.Slices) > 0 && s.Step < step {
			s.Double()
		}
		n = max(n, len(s.Slices))
	}
	if n < 2 {
		return nil
	}
	c := &chart{
		ID: "phases", Kind: "over_time", Title: "Phases: hits over time, and what one took",
		Hint:   "Bars: hits. Lines: how long it took to resolve one, on average. Drag to zoom, double-click to zoom out.",
		StepNs: inNanos(step), Y: "hits", LineNs: "to resolve a hit",
	}
	hits := curve{Name: "hits", Class: "rule", Values: make([]float64, n)} // of any run: they come when they came
	for i := range runs {
		line := curve{Name: res.Runs[i].Resolver, Class: lineClasses[i%len(lineClasses)]}
		for at := range n {
			var s replay.Slice
			if at < len(runs[i].Slices) {
				s = runs[i].Slices[at]
			}
			hits.Values[at] = max(hits.Values[at], float64(s.Hits()))
			mean := -1.0
			if h := s.Hits(); h > 0 {
				mean = inNanos(s.Resolve / sim.Time(h))
			}
			line.Values = append(line.Values, mean)
		}
		c.Lines = append(c.Lines, line)
	}
	c.Bars = []curve{hits}
	if c.Lost = lostSpans(res); len(c.Lost) > 0 {
		c.Hint += " Shaded: events were lost there."
	}
	return c
}

// recordedOverTime shows who waited and who held over the time of the recording; nil
// where there is none.
func recordedOverTime(res *replay.Result) *chart {
	if res.Recorded == nil || res.Recorded.Untimed || len(res.Recorded.OverTime.Slices) == 0 {
		return nil
	}
	s := &res.Recorded.OverTime
	c := &chart{
		ID: "recorded", Kind: "over_time", Title: "Who waited and who held, recorded",
		Hint:   "Bars: how many threads waited for mmap_lock at a time, on average. Lines: for how much of the time it was held, all address spaces together. Drag to zoom, double-click to zoom out.",
		StepNs: inNanos(s.Step), Y: "threads waiting",
	}
	per := func(name, class string, scale float64, of func(*timeline.LockSlice) sim.Time) (curve, bool) {
		x, any := curve{Name: name, Class: class}, false
		for i := range s.Slices {
			t := of(&s.Slices[i])
			any = any || t > 0
			x.Values = append(x.Values, scale*float64(t)/float64(s.Step))
		}
		return x, any
	}
	reads := "other readers"
	if !res.Recorded.Outcomes {
		reads = "readers"
	}
	for _, b := range []struct {
		name, class string
		of          func(*timeline.LockSlice) sim.Time
	}{
		{"writers", "seq_changed", func(s *timeline.LockSlice) sim.Time { return s.Waited.Write }},
		{reads, "no_uprobe", func(s *timeline.LockSlice) sim.Time { return s.Waited.Read }},
		{"lookups", "writer_active", func(s *timeline.LockSlice) sim.Time { return s.Waited.Lookup }},
	} {
		if bar, any := per(b.name, b.class, 1, b.of); any {
			c.Bars = append(c.Bars, bar)
		}
	}
	for _, l := range []struct {
		name, class string
		of          func(*timeline.LockSlice) sim.Time
	}{
		{"held for write", "held", func(s *timeline.LockSlice) sim.Time { return s.WriteHeld }},
		{"held for read", "lockless", func(s *timeline.LockSlice) sim.Time { return s.ReadHeld }},
	} {
		if line, any := per(l.name, l.class, 100, l.of); any {
			c.Lines = append(c.Lines, line)
		}
	}
	if c.Lost = recordedLosses(res); len(c.Lost) > 0 {
		c.Hint += " Shaded: events were lost there."
	}
	return c
}

// recordedLosses is where events were lost, in ns of the recording.
func recordedLosses(res *replay.Result) []lostSpan {
	var spans []lostSpan
	for _, l := range res.Trace.Losses {
		spans = append(spans, lostSpan{float64(l.From), float64(l.To), l.Events})
	}
	return spans
}

func inNanos(t sim.Time) float64 { return float64(t) / float64(sim.Nanosecond) }

// latency is how fast hits were resolved, as the share resolved within a time.
func latency(runs []replay.Run) chart {
	c := chart{
		ID: "latency", Kind: "latency", Title: "How fast hits were resolved",
		Hint: "Share of hits resolved within a time, which includes waiting for the lock. Further left is faster.",
	}
	for i := range runs {
		if bins := runs[i].ResolveHist; len(bins) > 0 && bins[0].Low > 0 { // a logarithmic axis has no 0
			c.X = append(c.X, inNanos(bins[0].Low))
		}
		for _, b := range runs[i].ResolveHist {
			c.X = append(c.X, inNanos(b.High))
		}
	}
	slices.Sort(c.X)
	c.X = slices.Compact(c.X)
	for i := range runs {
		if r := &runs[i]; len(r.ResolveHist) > 0 {
			c.Runs = append(c.Runs, runCurve{r.Resolver, shares(r.ResolveHist, c.X, r.Hits)})
		}
	}
	return c
}

// shares is the share of hits below each x, in percent.
func shares(bins []dist.Bin, x []float64, hits int64) []float64 {
	out := make([]float64, len(x))
	var below int64
	next := 0
	for i := range x {
		for next < len(bins) && inNanos(bins[next].High) <= x[i] {
			below += bins[next].Count
			next++
		}
		out[i] = 100 * float64(below) / float64(max(hits, 1))
	}
	return out
}
