package dist

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim"
)

func TestSketchBins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSketch()
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 1, 50).Draw(t, "ps")
		for _, v := range values {
			s.Add(sim.Time(v))
		}
		var total int64
		last := sim.Time(-1)
		for _, b := range s.Bins() {
			if b.Low <= last || b.High <= b.Low {
				t.Fatalf("bins out of order: %+v", b)
			}
			last = b.Low
			total += b.Count
		}
		if total != int64(len(values)) {
			t.Fatalf("%d of %d values", total, len(values))
		}
	})
}

// TestTally compares with sorted values.
func TestTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 1, 200).Draw(t, "ns")
		var sum Tally
		var total int64
		for _, v := range values {
			sum.Add(v)
			total += v
		}
		slices.Sort(values)
		d := sum.Dist()
		if d.Total.Nanos() != total || d.Max.Nanos() != values[len(values)-1] || d.Count != int64(len(values)) {
			t.Fatalf("%+v of %v", d, values)
		}
		for percent, got := range map[int]sim.Time{50: d.P50, 90: d.P90, 99: d.P99} {
			want := values[(len(values)*percent+99)/100-1]
			if off := got.Nanos() - want; off < 0 || off > want/1000 {
				t.Fatalf("%d %%: %d, want %d", percent, got.Nanos(), want)
			}
		}
	})
}
