package dist

import (
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
	counts       map[int64]int64 // by the greatest value of a bin, ns
}

// tallyBits are the significant bits of a value that are kept: 0.1 %.
const tallyBits = 11

// Add takes in a time in ns; one below 0 counts as 0.
func (t *Tally) Add(ns int64) {
	if t.counts == nil {
		t.counts = map[int64]int64{}
	}
	ns = max(ns, 0)
	shift := max(bits.Len64(uint64(ns))-tallyBits, 0)
	t.counts[ns|(1<<shift-1)]++
	t.Count++
	t.Total += ns
	t.max = max(t.max, ns)
}

// Dist sums up what was added.
func (t *Tally) Dist() Dist {
	d := Dist{Count: t.Count, Total: sim.Time(t.Total) * sim.Nanosecond, Max: sim.Time(t.max) * sim.Nanosecond}
	if t.Count == 0 {
		return d
	}
	values := make([]int64, 0, len(t.counts))
	for v := range t.counts {
		values = append(values, v)
	}
	slices.Sort(values)
	at := func(percent int64) sim.Time {
		rank := (t.Count*percent + 99) / 100
		for _, v := range values {
			if rank -= t.counts[v]; rank <= 0 {
				return sim.Time(min(v, t.max)) * sim.Nanosecond
			}
		}
		return d.Max
	}
	d.P50, d.P90, d.P99 = at(50), at(90), at(99)
	return d
}
