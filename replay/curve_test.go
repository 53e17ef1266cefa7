package replay

import (
	"context"
	"testing"

	"github.com/replay/replay/replay/replaytest"
)

// A point of a curve is what a run by itself says, and where the recording ends the
// threads are copied.
func TestScale(t *testing.T) {
	trace, machine := replaytest.Corpus(t, "churn-1x1"), replaytest.Machine(t)
	o := DefaultOptions()
	c, err := Scale(context.Background(), trace, machine, o, []int{1, 2, 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Points) != 6 || c.Timing != Think {
		t.Fatalf("%+v", c)
	}
	for i, clone := range []int{1, 1, 2, 1, 1, 2} { // recorded on two CPUs
		p := &c.Points[i]
		if p.Clone != clone || p.Resolver != o.Resolvers[i/3] || p.CPUs != []int{1, 2, 4}[i%3] {
			t.Errorf("point %d: %+v", i, p)
		}
		own := o
		own.Resolvers, own.Timing, own.CPUs, own.Clone = []string{p.Resolver}, Think, p.CPUs, clone
		res, err := Play(context.Background(), trace, machine, own, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &res.Runs[0]
		if p.Hits != r.Hits || p.Makespan != r.Makespan || p.Resolve != r.Resolve.Mean() || int64(p.Hit) != int64(r.Parts.Resolve()+r.Parts.Handler)/r.Hits {
			t.Errorf("point %d: %+v, a run has %d hits in %v, %v each", i, p, r.Hits, r.Makespan, r.Resolve.Mean())
		}
	}
	if locked, speculative := c.Points[2], c.Points[5]; locked.Resolve < 2*speculative.Resolve {
		t.Errorf("with 4 CPUs: locked %v, speculative %v", locked.Resolve, speculative.Resolve)
	}
	o.Timing, o.Clone = ASAP, 3
	if c, err := Scale(context.Background(), trace, machine, o, []int{4}, nil); err != nil || c.Timing != ASAP || c.Points[0].Clone != 6 {
		t.Errorf("%+v, %v", c, err)
	}
}
