package replay

import (
	"strings"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/sim"
)

// The cell of the recording itself has the figures of a replay, and more writers cost
// hits more, whoever resolves them.
func TestCross(t *testing.T) {
	trace, machine := replaytest.Begin(t, "churn-1x1", 4000), replaytest.Machine(t) // it is replayed forty times
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
	if want := res.Trace.Writers * 1_000_000_000 / res.Trace.DurationNs; here.WritersPerS < want-2 || here.WritersPerS > want+2 {
		t.Errorf("%d writers/s, want %d", here.WritersPerS, want)
	}
	own := DefaultOptions()
	own.Resolvers, own.WhatIf = []string{"speculative"}, parsed(t, "hit: repeat 4", "write: sample 16")
	other, err := Play(t.Context(), trace, machine, own, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Cells {
		if cell := &c.Cells[i]; cell.Hits == (CrossFactor{4, 1}) && cell.Writers == (CrossFactor{1, 16}) && cell.Speculative != other.Runs[0].Resolve.Mean() {
			t.Errorf("with four times the hits and few writers: %v, replayed %v", cell.Speculative, other.Runs[0].Resolve.Mean())
		}
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

func parsed(t *testing.T, rules ...string) whatif.Rules {
	t.Helper()
	list, err := whatif.ParseAll(rules)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Where speculation loses is told by the cells at the recorded rate of hits alone, and one
// that costs as much has not lost.
func TestLoses(t *testing.T) {
	made := func(speculative ...sim.Time) *Crossover {
		c := &Crossover{}
		for i, writers := range crossWriters {
			for _, hits := range crossHits {
				cell := CrossCell{Hits: hits, Writers: writers, Locked: 10, Speculative: 99}
				if hits == (CrossFactor{1, 1}) {
					cell.Speculative = speculative[i]
				}
				c.Cells = append(c.Cells, cell)
			}
		}
		return c
	}
	name := func(c *CrossCell) string {
		if c == nil {
			return "none"
		}
		return c.Writers.String()
	}
	for _, test := range []struct {
		speculative  []sim.Time
		below, above string
	}{
		{[]sim.Time{5, 8, 10, 12, 15}, "1", "4"}, {[]sim.Time{5, 5, 5, 5, 5}, "16", "none"}, {[]sim.Time{11, 12, 13, 14, 15}, "none", "1/16"}, {[]sim.Time{5, 11, 9, 12, 15}, "1/16", "1/4"},
	} {
		c := made(test.speculative...)
		if below, above := c.Loses(); name(below) != test.below || name(above) != test.above {
			t.Errorf("%v against 10: it loses between %s and %s, want %s and %s", test.speculative, name(below), name(above), test.below, test.above)
		}
		if here := c.Here(); here == nil || here.Hits != here.Writers || here.Hits.String() != "1" || here.Speculative != test.speculative[2] {
			t.Errorf("as it was recorded: %+v", here)
		}
	}
	for _, test := range []struct {
		of   CrossFactor
		n    int64
		rule string
	}{{CrossFactor{1, 16}, 10, "hit: sample 16"}, {CrossFactor{1, 1}, 160, ""}, {CrossFactor{4, 1}, 640, "hit: repeat 4"}} {
		if n, rule := test.of.of(160), strings.Join(test.of.rule("hit"), ";"); n != test.n || rule != test.rule {
			t.Errorf("%v of 160: %d by %q, want %d by %q", test.of, n, rule, test.n, test.rule)
		}
	}
}
