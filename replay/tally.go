package replay

import (
	"math/bits"
	"slices"

	"github.com/replay/replay/sim"
)

// tally is a sketch for the many distributions that hold few values: it takes as
// much memory as it has distinct values, of which there are at most tallyBits of
// precision.
type tally struct {
	counts            map[int64]int64 // by the greatest value of a bin, ns
	count, total, max int64
}

// tallyBits are the significant bits of a value that are kept: 0.1 %.
const tallyBits = 11

func (t *tally) add(ns int64) {
	if t.counts == nil {
		t.counts = map[int64]int64{}
	}
	ns = max(ns, 0)
	shift := max(bits.Len64(uint64(ns))-tallyBits, 0)
	t.counts[ns|(1<<shift-1)]++
	t.count++
	t.total += ns
	t.max = max(t.max, ns)
}

func (t *tally) dist() Dist {
	d := Dist{Count: t.count, Total: sim.Time(t.total) * sim.Nanosecond, Max: sim.Time(t.max) * sim.Nanosecond}
	if t.count == 0 {
		return d
	}
	values := make([]int64, 0, len(t.counts))
	for v := range t.counts {
		values = append(values, v)
	}
	slices.Sort(values)
	at := func(percent int64) sim.Time {
		rank := (t.count*percent + 99) / 100
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
