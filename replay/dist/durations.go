package dist

import "slices"

// Durations gathers durations in ns and tells what they are mostly like. The
// figures but Count are there after Summarise.
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

// Summarise finds the figures, once all are added, and drops the values.
func (d *Durations) Summarise() {
	if len(d.values) > 0 {
		d.Tenth = quantile(d.values, 0, d.Count/10)
		d.Quarter = quantile(d.values, d.Count/10, d.Count/4)
		d.Median = quantile(d.values, d.Count/4, d.Count/2)
		d.ThreeQuarters = quantile(d.values, d.Count/2, d.Count*3/4)
	}
	d.means()
	d.values = nil
}

func (d *Durations) means() {
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

// quantileRounds bounds the rounds of quantile, of which each mostly halves what is left.
const quantileRounds = 100

// quantile is the value at place i of the values when they are sorted, for which it puts
// nothing greater before that place and nothing less behind it. What is before the place
// from is so already.
func quantile(values []int64, from, i int) int64 {
	lo, hi := from, len(values)-1
	for range quantileRounds {
		if lo >= hi {
			return values[i]
		}
		a, b, c := values[lo], values[lo+(hi-lo)/2], values[hi]
		pivot := max(min(a, b), min(max(a, b), c)) // the median
		left, right := lo, hi
		for left <= right {
			for values[left] < pivot {
				left++
			}
			for values[right] > pivot {
				right--
			}
			if left <= right {
				values[left], values[right] = values[right], values[left]
				left++
				right--
			}
		}
		switch {
		case i <= right:
			hi = right
		case i >= left:
			lo = left
		default:
			return values[i]
		}
	}
	slices.Sort(values[lo : hi+1])
	return values[i]
}
