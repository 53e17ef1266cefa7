package dist

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim"
)

// TestDurations compares with sorted values: quantiles are values, the mean is of all, and
// the typical one of those that are not five times the median.
func TestDurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(-2, 30), rapid.Int64Range(0, 1<<30)), 0, 80).Draw(t, "ns")
		var all, first, second Durations
		for i, v := range values {
			all.Add(v)
			if i%3 == 0 {
				first.Add(v)
			} else {
				second.Add(v)
			}
		}
		first.Merge(&second)
		all.Summarise()
		first.Summarise()
		kept := slices.DeleteFunc(slices.Clone(values), func(v int64) bool { return v < 0 })
		slices.Sort(kept)
		n := len(kept)
		want := Durations{Count: n}
		if n > 0 {
			want.Tenth, want.Quarter, want.Median, want.ThreeQuarters = kept[n/10], kept[n/4], kept[n/2], kept[3*n/4]
			var sum, typical, few int64
			for _, v := range kept {
				sum += v
				if v <= 5*want.Median {
					typical, few = typical+v, few+1
				}
			}
			want.Mean, want.Typical = sum/int64(n), typical/few
		}
		for name, d := range map[string]Durations{"added": all, "merged": first} {
			if d.values != nil || d.Count != want.Count || d.Tenth != want.Tenth || d.Quarter != want.Quarter || d.Median != want.Median ||
				d.ThreeQuarters != want.ThreeQuarters || d.Mean != want.Mean || d.Typical != want.Typical {
				t.Fatalf("%s: %+v, want %+v", name, d, want)
			}
		}
	})
}

func TestDurationsAreBounded(t *testing.T) {
	var d Durations
	for range MaxValues {
		d.Add(1)
	}
	d.Add(1000)
	if d.Summarise(); d.Count != MaxValues || d.Mean != 1 {
		t.Errorf("%d of %d values are kept, %d on average", d.Count, MaxValues, d.Mean)
	}
}

// TestSketch compares with sorted values: quantiles within a thousandth, the rest exactly;
// a bar of the histogram has the values between its ends, sixteen bars to an octave.
func TestSketch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 70), rapid.Int64Range(0, 1<<38)), 0, 80).Draw(t, "ns")
		s := NewSketch()
		var total sim.Time
		for _, ns := range values {
			s.Add(sim.Time(ns) * sim.Nanosecond)
			total += sim.Time(ns) * sim.Nanosecond
		}
		d := s.Dist()
		if len(values) == 0 {
			if d != (Dist{}) || d.Mean() != 0 {
				t.Fatalf("of nothing: %+v", d)
			}
			return
		}
		slices.Sort(values)
		n := len(values)
		if d.Count != int64(n) || d.Total != total || d.Max.Nanos() != values[n-1] || d.Mean() != total/sim.Time(n) {
			t.Fatalf("%+v of %v", d, values)
		}
		for percent, got := range map[int]sim.Time{50: d.P50, 90: d.P90, 99: d.P99} {
			low, high := values[max(n*percent/100-1, 0)], values[min((n*percent+99)/100, n-1)] // ranks are rounded
			if got.Nanos() < low-low/1000-1 || got.Nanos() > high+high/1000+1 || got > d.Max {
				t.Fatalf("%d %%: %d, want %d to %d of %v", percent, got.Nanos(), low, high, values)
			}
		}
		for _, b := range s.Bins() {
			inside := int64(0)
			for _, ns := range values {
				// A value may be told apart from its neighbours by a thousandth less.
				if at := sim.Time(ns) * sim.Nanosecond; b.Low <= at && at < b.High {
					inside++
				}
			}
			if inside != b.Count {
				t.Fatalf("%d values from %d to %d ns, want %d of %v", b.Count, b.Low.Nanos(), b.High.Nanos(), inside, values)
			}
			if width := (b.High - b.Low).Nanos(); width != 1 && (16*width > b.Low.Nanos() || 32*width <= b.Low.Nanos()) || b.Low.Nanos()%width != 0 {
				t.Fatalf("a bar from %d to %d ns", b.Low.Nanos(), b.High.Nanos())
			}
		}
	})
}

// A value of five medians is typical still, and one beyond is not.
func TestTypicalByHand(t *testing.T) {
	for last, want := range map[int64]int64{500: 180, 501: 100} {
		var d Durations
		for _, ns := range []int64{100, 100, 100, 100, last} {
			d.Add(ns)
		}
		if d.Summarise(); d.Typical != want || d.Median != 100 {
			t.Errorf("with %d: typical %d, median %d; want %d", last, d.Typical, d.Median, want)
		}
	}
}
