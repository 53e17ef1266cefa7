// Package dist sums up distributions of times in bounded memory: a [Sketch] of one, a
// [Tally] of each of many, and [Durations] for quantiles that other figures are made of.
package dist

import (
	"math/bits"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/replay/replay/sim"
)

// Sketch gathers a distribution of times in constant memory.
type Sketch struct {
	hist  *hdrhistogram.Histogram // of ns
	count int64
	total sim.Time
	max   sim.Time
}

// maxSketched is the longest time that percentiles tell apart: one hour.
const maxSketched = 3_600_000_000_000

// NewSketch returns an empty one.
func NewSketch() *Sketch { return &Sketch{hist: hdrhistogram.New(1, maxSketched, 3)} }

// Add takes in a time.
func (s *Sketch) Add(t sim.Time) {
	s.count++
	s.total += t
	s.max = max(s.max, t)
	// The error is for values out of range, which the bounds exclude.
	_ = s.hist.RecordValue(min(max(t.Nanos(), 0), maxSketched))
}

// Dist sums up what was added.
func (s *Sketch) Dist() Dist {
	d := Dist{Count: s.count, Total: s.total, Max: s.max}
	if s.count > 0 {
		at := func(q float64) sim.Time { return min(sim.Time(s.hist.ValueAtQuantile(q))*sim.Nanosecond, s.max) }
		d.P50, d.P90, d.P99 = at(50), at(90), at(99)
	}
	return d
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
	for _, bar := range s.hist.Distribution() {
		if bar.Count == 0 {
			continue
		}
		shift := max(bits.Len64(uint64(bar.From))-1-binBits, 0)
		low := sim.Time(bar.From>>shift<<shift) * sim.Nanosecond
		if n := len(out); n > 0 && out[n-1].Low == low {
			out[n-1].Count += bar.Count
			continue
		}
		out = append(out, Bin{Low: low, High: low + sim.Time(1<<shift)*sim.Nanosecond, Count: bar.Count})
	}
	return out
}
