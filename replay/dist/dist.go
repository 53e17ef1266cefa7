// Package dist sums up distributions of times in bounded memory: a [Sketch] of one, a
// [Tally] of each of many, and [Durations] for quantiles that other figures are made of.
package dist

import (
	"math/bits"

	"github.com/replay/replay/sim"
)

// Sketch gathers a distribution of times in memory that is bounded, and little where the
// times are alike. Two of them add up. There is one for each thread, CPU and probe that hits,
// of which an HdrHistogram of this precision and range would take a quarter of a megabyte.
type Sketch struct {
	pages []*page // by bin; nil for none
	count int64
	total sim.Time
	max   sim.Time
}

// page is a run of bins.
type page [pageBins]int64

const pageBins = 32

// maxSketched is the longest time that percentiles tell apart: one hour.
const maxSketched = 3_600_000_000_000

// exactBits are the significant bits of a value that are kept: 0.1 %. It is in a bin of
// its own below 1<<exactBits ns; above, an octave has 1<<(exactBits-1) bins.
const exactBits = 11

// NewSketch returns an empty one.
func NewSketch() *Sketch { return &Sketch{} }

// Add takes in a time.
func (s *Sketch) Add(t sim.Time) {
	s.count++
	s.total += t
	s.max = max(s.max, t)
	ns := uint64(min(max(t.Nanos(), 0), maxSketched))
	shift := max(bits.Len64(ns)-exactBits, 0)
	bin := shift<<(exactBits-1) + int(ns>>shift)
	s.page(bin / pageBins)[bin%pageBins]++
}

// page returns a page, which is made where it is not there.
func (s *Sketch) page(i int) *page {
	if i >= len(s.pages) {
		s.pages = append(s.pages, make([]*page, i+1-len(s.pages))...)
	}
	if s.pages[i] == nil {
		s.pages[i] = &page{}
	}
	return s.pages[i]
}

// Merge takes in all that o has.
func (s *Sketch) Merge(o *Sketch) {
	s.count += o.count
	s.total += o.total
	s.max = max(s.max, o.max)
	for i, from := range o.pages {
		if from == nil {
			continue
		}
		to := s.page(i)
		for j, n := range from {
			to[j] += n
		}
	}
}

// each calls f with the bounds of each bin that has something, in ns and ascending, until
// it returns false.
func (s *Sketch) each(f func(least, greatest, count int64) bool) {
	for i, p := range s.pages {
		if p == nil {
			continue
		}
		for j, n := range p {
			if n == 0 {
				continue
			}
			bin := i*pageBins + j
			shift := max(bin>>(exactBits-1)-1, 0)
			least := int64(bin-shift<<(exactBits-1)) << shift
			if !f(least, least+1<<shift-1, n) {
				return
			}
		}
	}
}

// Dist sums up what was added.
func (s *Sketch) Dist() Dist {
	d := Dist{Count: s.count, Total: s.total, Max: s.max}
	if s.count > 0 {
		d.P50, d.P90, d.P99 = s.at(50), s.at(90), s.at(99)
	}
	return d
}

// at is a percentile.
func (s *Sketch) at(percent int64) (t sim.Time) {
	rank := max((s.count*percent+50)/100, 1)
	s.each(func(_, greatest, count int64) bool {
		rank -= count
		t = min(sim.Time(greatest)*sim.Nanosecond, s.max)
		return rank > 0
	})
	return t
}

// Dist summarises a distribution of times. Total, Mean and Max are exact;
// the percentiles are within 0.1 %.
type Dist struct {
	Count              int64
	Total              sim.Time
	P50, P90, P99, Max sim.Time
}

// Mean is Total/Count, or 0 for an empty distribution.
func (d Dist) Mean() sim.Time {
	if d.Count == 0 {
		return 0
	}
	return d.Total / sim.Time(d.Count)
}

// Bin is one bar of a histogram: Count values in [Low, High).
type Bin struct {
	Low, High sim.Time
	Count     int64
}

// binBits is how many bins of a histogram an octave has, as a power of two.
const binBits = 4

// Bins is the distribution as a histogram: sixteen bins to an octave.
func (s *Sketch) Bins() []Bin {
	var out []Bin
	s.each(func(least, _, count int64) bool {
		shift := max(bits.Len64(uint64(least))-1-binBits, 0)
		low := sim.Time(least>>shift<<shift) * sim.Nanosecond
		if n := len(out); n > 0 && out[n-1].Low == low {
			out[n-1].Count += count
			return true
		}
		out = append(out, Bin{Low: low, High: low + sim.Time(1<<shift)*sim.Nanosecond, Count: count})
		return true
	})
	return out
}
