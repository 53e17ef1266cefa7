package dist

import "slices"

// Durations gathers durations in ns and settles on what they are mostly like. The
// figures but Count are there after Settle.
type Durations struct {
	Count                                 int   // of those that are kept
	Tenth, Quarter, Median, ThreeQuarters int64 // 0 where there is none
	Mean                                  int64
	Typical                               int64 // the mean of those up to five times the median: the rest are another matter
	values                                []int64
}

// MaxValues bounds what Add keeps: a quantile needs no more.
const MaxValues = 1 << 16

// Add takes in a duration, unless it is below 0 or there are MaxValues.
func (d *Durations) Add(ns int64) {
	if ns >= 0 && len(d.values) < MaxValues {
		d.values = append(d.values, ns)
		d.Count++
	}
}

// Merge takes over what was added to another, all of it.
func (d *Durations) Merge(o *Durations) {
	d.values = append(d.values, o.values...)
	d.Count += o.Count
}

// Settle finds the figures, once all are added, and drops the values.
func (d *Durations) Settle() {
	if len(d.values) > 0 {
		slices.Sort(d.values)
		d.Tenth = d.values[d.Count/10]
		d.Quarter, d.Median, d.ThreeQuarters = d.values[d.Count/4], d.values[d.Count/2], d.values[d.Count*3/4]
	}
	d.settleMean()
	d.values = nil
}

func (d *Durations) settleMean() {
	var sum, n, all int64
	for _, ns := range d.values {
		all += ns
		if ns <= 5*d.Median {
			sum += ns
			n++
		}
	}
	if n > 0 {
		d.Typical, d.Mean = sum/n, all/int64(d.Count)
	}
}
