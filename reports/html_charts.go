package reports

import (
	"fmt"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/sim"
)

// chart is a curve for the page's script to draw.
type chart struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"` // over_time or latency
	Title string `json:"-"`
	Hint  string `json:"-"`

	StepNs  float64       `json:"step_ns,omitempty"` // over_time: length of a slice
	Reasons []reasonCurve `json:"reasons,omitempty"` // none where no hit fell back
	Held    []float64     `json:"held,omitempty"`    // percent of each slice
	Lost    []lostSpan    `json:"lost,omitempty"`

	X    []float64  `json:"x,omitempty"` // latency: ns
	Runs []runCurve `json:"runs,omitempty"`
}

type reasonCurve struct {
	Name   string  `json:"name"`
	Class  string  `json:"class"`
	Counts []int64 `json:"counts"`
}

// lostSpan is where events were lost, in ns of the run.
type lostSpan struct {
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Events int64   `json:"events"`
}

type runCurve struct {
	Name  string    `json:"name"`
	Share []float64 `json:"share"` // percent of hits resolved within x
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
		StepNs: inNanos(s.Step),
	}
	for o := sim.WriterActive; o < sim.NumOutcomes; o++ {
		if r.Outcomes[o] == 0 {
			continue
		}
		curve := reasonCurve{Name: reasonNames[o], Class: o.String()}
		for i := range s.Slices {
			curve.Counts = append(curve.Counts, s.Slices[i].Outcomes[o])
		}
		c.Reasons = append(c.Reasons, curve)
	}
	for i := range s.Slices {
		c.Held = append(c.Held, 100*float64(s.Slices[i].Held)/float64(s.Step))
	}
	return c
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
