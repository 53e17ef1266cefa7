package dist

import (
	"reflect"
	"slices"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
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

// TestSketchAgainstHdr compares with another histogram of the same precision, of one
// sketch and of several that are merged.
func TestSketchAgainstHdr(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nanos := rapid.OneOf(rapid.Int64Range(0, 5000), rapid.Int64Range(0, 1<<32), rapid.Just(int64(maxSketched)))
		parts := rapid.SliceOfN(rapid.SliceOfN(nanos, 0, 60), 1, 5).Draw(t, "ns")
		want := hdrhistogram.New(1, maxSketched, 3)
		all := NewSketch()
		var count, total, most int64
		for _, part := range parts {
			one := NewSketch()
			for _, ns := range part {
				one.Add(sim.Time(ns) * sim.Nanosecond)
				if err := want.RecordValue(ns); err != nil {
					t.Fatal(err)
				}
				count, total, most = count+1, total+ns, max(most, ns)
			}
			all.Merge(one)
		}
		d := all.Dist()
		if d.Count != count || d.Total.Nanos() != total || d.Max.Nanos() != most {
			t.Fatalf("%+v, want %d of %d ns, at most %d", d, count, total, most)
		}
		for percent, got := range map[float64]sim.Time{50: d.P50, 90: d.P90, 99: d.P99} {
			if ns := min(want.ValueAtQuantile(percent), most); got.Nanos() != ns {
				t.Fatalf("%v %%: %d, want %d", percent, got.Nanos(), ns)
			}
		}
		bins := map[sim.Time]int64{}
		for _, bar := range want.Distribution() {
			if bar.Count > 0 {
				width := int64(1) // sixteen to an octave
				for bar.From >= 32*width {
					width *= 2
				}
				low := bar.From / width * width
				bins[sim.Time(low)*sim.Nanosecond] += bar.Count
			}
		}
		for _, b := range all.Bins() {
			if bins[b.Low] != b.Count {
				t.Fatalf("bin %v: %d, want %d", b.Low, b.Count, bins[b.Low])
			}
			delete(bins, b.Low)
		}
		if len(bins) > 0 {
			t.Fatalf("bins are missing: %v", bins)
		}
	})
}

// TestTally compares with sorted values.
func TestTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int64{3, fewMax + 3, 1 << 40}).Draw(t, "most")
		values := rapid.SliceOfN(rapid.Int64Range(0, most), 1, 200).Draw(t, "ns")
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
