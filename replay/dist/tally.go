package dist

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/replay/replay/sim"
)

// Tally is a sketch for the many distributions that hold few values: it takes as
// much memory as it has distinct values, of which there are at most tallyBits of
// precision.
type Tally struct {
	Count, Total int64           // Total in ns
	max          int64           // ns
	few          []counted       // the first bins; there mostly are no others
	counts       map[int64]int64 // of others, by the greatest value of a bin, ns
}

// counted is how often a value came.
type counted struct{ value, n int64 }

// fewMax is how many bins are looked through one by one: a map takes ten times as much
// memory for one value.
const fewMax = 8

// tallyBits are the significant bits of a value that are kept: 0.1 %.
const tallyBits = 11

// Add takes in a time in ns; one below 0 counts as 0.
func (t *Tally) Add(ns int64) {
	ns = max(ns, 0)
	t.Count++
	t.Total += ns
	t.max = max(t.max, ns)
	shift := max(bits.Len64(uint64(ns))-tallyBits, 0)
	value := ns | (1<<shift - 1)
	for i := range t.few {
		if c := &t.few[i]; c.value == value {
			c.n++
			return
		}
	}
	if len(t.few) < fewMax {
		t.few = append(t.few, counted{value, 1})
		return
	}
	if t.counts == nil {
		t.counts = map[int64]int64{}
	}
	t.counts[value]++
}

// Dist sums up what was added.
func (t *Tally) Dist() Dist {
	d := Dist{Count: t.Count, Total: sim.Time(t.Total) * sim.Nanosecond, Max: sim.Time(t.max) * sim.Nanosecond}
	if t.Count == 0 {
		return d
	}
	all := slices.Clone(t.few)
	for value, n := range t.counts {
		all = append(all, counted{value, n})
	}
	slices.SortFunc(all, func(a, b counted) int { return cmp.Compare(a.value, b.value) })
	at := func(percent int64) sim.Time {
		rank := (t.Count*percent + 99) / 100
		for _, c := range all {
			if rank -= c.n; rank <= 0 {
				return sim.Time(min(c.value, t.max)) * sim.Nanosecond
			}
		}
		return d.Max
	}
	d.P50, d.P90, d.P99 = at(50), at(90), at(99)
	return d
}
