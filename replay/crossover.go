package replay

import (
	"context"
	"fmt"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/sim"
)

// Crossover is what lookups cost with the lock first and with speculation first, where
// hits and changes of address spaces come more or less often than they did.
type Crossover struct {
	Locked, Speculative string // the resolvers
	Cells               []CrossCell
}

// CrossCell is one point of a Crossover.
type CrossCell struct {
	Hits, Writers CrossFactor // of how often they came
	HitsPerS      int64
	WritersPerS   int64
	Locked        sim.Time // resolving, for each hit
	Speculative   sim.Time
}

// CrossFactor is how many times as often something happens: Times, or every Nth alone.
// Both are 1 as it was recorded.
type CrossFactor struct{ Times, Nth int }

func (f CrossFactor) String() string {
	if f.Nth > 1 {
		return fmt.Sprintf("1/%d", f.Nth)
	}
	return fmt.Sprint(f.Times)
}

// rule is the factor as a change of what happened, none where it is 1.
func (f CrossFactor) rule(kind string) []string {
	switch {
	case f.Nth > 1:
		return []string{fmt.Sprintf("%s: sample %d", kind, f.Nth)}
	case f.Times > 1:
		return []string{fmt.Sprintf("%s: repeat %d", kind, f.Times)}
	}
	return nil
}

func (f CrossFactor) of(n int64) int64 { return n * int64(f.Times) / int64(f.Nth) }

// The factors of a Crossover, ascending.
var (
	crossHits    = []CrossFactor{{1, 16}, {1, 4}, {1, 1}, {4, 1}}
	crossWriters = []CrossFactor{{1, 16}, {1, 4}, {1, 1}, {4, 1}, {16, 1}}
)

// Cross replays a trace with other rates of hits and of writers through two resolvers.
// What happens more often happens at once, one after the other, so that a crossover is
// found no later than where it is. Rates are those of the recording times the factor.
func Cross(ctx context.Context, trace timeline.Trace, profile *machines.Profile, options Options, locked, speculative string, progress func(done, total int64)) (*Crossover, error) {
	c := &Crossover{Locked: locked, Speculative: speculative}
	var cells []Cell
	for _, writers := range crossWriters {
		for _, hits := range crossHits {
			rules, err := whatif.ParseAll(append(hits.rule("hit"), writers.rule("write")...))
			if err != nil {
				return nil, err
			}
			c.Cells = append(c.Cells, CrossCell{Hits: hits, Writers: writers})
			for _, resolver := range []string{locked, speculative} {
				o := options
				o.Resolvers, o.WhatIf = []string{resolver}, append(options.WhatIf[:len(options.WhatIf):len(options.WhatIf)], rules...)
				cells = append(cells, Cell{profile, o})
			}
		}
	}
	results, err := playAll(ctx, trace, cells, progress)
	if err != nil {
		return nil, err
	}
	for i := range c.Cells {
		cell := &c.Cells[i]
		a, b := results[2*i], results[2*i+1]
		ns := max(a.Trace.DurationNs, 1)
		perS := func(n int64) int64 { return n * 1_000_000 / max(ns/1000, 1) }
		cell.HitsPerS, cell.WritersPerS = perS(cell.Hits.of(a.Trace.Hits)), perS(cell.Writers.of(a.Trace.Writers))
		cell.Locked, cell.Speculative = a.Runs[0].Resolve.Mean(), b.Runs[0].Resolve.Mean()
	}
	return c, nil
}

// Here is the cell of the trace as it was recorded.
func (c *Crossover) Here() *CrossCell {
	for i := range c.Cells {
		if cell := &c.Cells[i]; cell.Hits == (CrossFactor{1, 1}) && cell.Writers == (CrossFactor{1, 1}) {
			return cell
		}
	}
	return nil
}

// Loses says between which rates of writers speculation begins to cost more than the
// lock, at the recorded rate of hits: above, it does; up to below, it does not. Either is
// nil for none of those that were tried.
func (c *Crossover) Loses() (below, above *CrossCell) {
	for i := range c.Cells {
		cell := &c.Cells[i]
		if cell.Hits != (CrossFactor{1, 1}) {
			continue
		}
		if cell.Speculative > cell.Locked {
			return below, cell
		}
		below = cell
	}
	return below, nil
}
