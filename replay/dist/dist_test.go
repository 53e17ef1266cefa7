package dist

import (
	"reflect"
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

// TestDurationsInAnyOrder compares with sorted values: few different ones and many, in order, the
// other way round, and so that the median of three is always next to the end.
func TestDurationsInAnyOrder(t *testing.T) {
	killer := func(n int) []int64 {
		values := make([]int64, n)
		for i := range n / 2 {
			values[i], values[n/2+i] = int64(i+1+i%2*(n/2-1)), int64(2*i+2)
		}
		return values
	}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.OneOf(
			rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 0, 200), rapid.SliceOfN(rapid.Int64Range(0, 3), 0, 200),
			rapid.Map(rapid.IntRange(0, 3000), killer),
		).Draw(t, "ns")
		switch rapid.IntRange(0, 2).Draw(t, "order") {
		case 1:
			slices.Sort(values)
		case 2:
			slices.Sort(values)
			slices.Reverse(values)
		}
		var d Durations
		var sum, typical, n int64
		for _, ns := range values {
			d.Add(ns)
			sum += ns
		}
		d.Summarise()
		want := Durations{Count: len(values)}
		if k := len(values); k > 0 {
			slices.Sort(values)
			want.Tenth, want.Quarter, want.Median, want.ThreeQuarters = values[k/10], values[k/4], values[k/2], values[k*3/4]
			for _, ns := range values {
				if ns <= 5*want.Median {
					typical += ns
					n++
				}
			}
			want.Mean, want.Typical = sum/int64(k), typical/n
		}
		if !reflect.DeepEqual(d, want) {
			t.Fatalf("%+v, want %+v", d, want)
		}
	})
}
