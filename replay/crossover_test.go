package replay

import (
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
)

// The cell of the recording itself has the figures of a replay, and more writers cost
// hits more, whoever resolves them.
func TestCross(t *testing.T) {
	if testing.Short() {
		t.Skip("it replays a recording forty times")
	}
	trace, machine := replaytest.Corpus(t, "churn-1x1"), replaytest.Machine(t)
	c, err := Cross(t.Context(), trace, machine, DefaultOptions(), "locked", "speculative", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Play(t.Context(), trace, machine, DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	here := c.Here()
	if here.Locked != res.Runs[0].Resolve.Mean() || here.Speculative != res.Runs[1].Resolve.Mean() || len(c.Cells) != len(crossHits)*len(crossWriters) {
		t.Errorf("%+v of %d cells; replayed, hits take %v and %v", here, len(c.Cells), res.Runs[0].Resolve.Mean(), res.Runs[1].Resolve.Mean())
	}
	if want := res.Trace.Hits * 1_000_000_000 / res.Trace.DurationNs; here.HitsPerS < want-2 || here.HitsPerS > want+2 {
		t.Errorf("%d hits/s, want %d", here.HitsPerS, want)
	}
	last := sim.Time(0)
	for i := range c.Cells {
		cell := &c.Cells[i]
		if cell.Hits != (CrossFactor{1, 1}) {
			continue
		}
		if cell.Speculative < last {
			t.Errorf("with %v times the writers a hit takes %v, with fewer %v", cell.Writers, cell.Speculative, last)
		}
		last = cell.Speculative
	}
	if below, above := c.Loses(); below == nil || above != nil && above.WritersPerS <= below.WritersPerS {
		t.Errorf("it loses between %+v and %+v", below, above)
	}
}
