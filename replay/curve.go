package replay

import (
	"context"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Curve is how the lookups of a workload scale: the recorded threads, and as many copies
// of them as there are times the recorded CPUs.
type Curve struct {
	Timing    Timing
	Points    []CurvePoint     // by resolver, in the order of the run's, then CPUs
	Published []PublishedPoint // what was measured on such a machine, of hits without a gap; nil where nothing was
}

// CurvePoint is a run with so many CPUs.
type CurvePoint struct {
	Resolver string
	CPUs     int
	Clone    int
	Hits     int64
	Makespan sim.Time
	Resolve  sim.Time // for each hit: the lookup alone
	Hit      sim.Time // for each: from the trap to its end
}

// PublishedPoint is a row of a benchmark's table.
type PublishedPoint struct {
	Resolver string
	CPUs     int
	MHits    float64 // million hits per second
}

// Scale replays a trace through the resolvers of the options on each number of CPUs. The
// operations of a thread come one after the other there, as with Think: with those of an
// open loop, the recording would say how many hits there are in a second.
func Scale(ctx context.Context, trace timeline.Trace, profile *machines.Profile, options Options, cpus []int, progress func(done, total int64)) (*Curve, error) {
	if options.Timing == Original {
		options.Timing = Think
	}
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		return nil, err
	}
	c := &Curve{Timing: options.Timing}
	var cells []Cell
	for _, resolver := range options.Resolvers {
		for _, n := range cpus {
			o := options
			o.Resolvers, o.CPUs, o.Clone = []string{resolver}, n, options.Clone*max(n/s.CPUs, 1)
			c.Points = append(c.Points, CurvePoint{Resolver: resolver, CPUs: n, Clone: o.Clone})
			cells = append(cells, Cell{profile, o})
		}
	}
	results, err := playAll(ctx, trace, cells, progress)
	if err != nil {
		return nil, err
	}
	for i := range results {
		r, p := &results[i].Runs[0], &c.Points[i]
		n := sim.Time(max(r.Hits, 1))
		p.Hits, p.Makespan = r.Hits, r.Makespan
		p.Resolve, p.Hit = r.Resolve.Mean(), (r.Parts.Resolve()+r.Parts.Handler)/n
	}
	return c, nil
}
