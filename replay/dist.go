package replay

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/replay/replay/sim"
)

// sketch gathers a distribution of times in constant memory.
type sketch struct {
	hist  *hdrhistogram.Histogram // of ns
	count int64
	total sim.Time
	max   sim.Time
}

// maxSketched is the longest time that percentiles tell apart: one hour.
const maxSketched = 3_600_000_000_000

func newSketch() *sketch { return &sketch{hist: hdrhistogram.New(1, maxSketched, 3)} }

func (s *sketch) add(t sim.Time) {
	s.count++
	s.total += t
	s.max = max(s.max, t)
	// The error is for values out of range, which the bounds exclude.
	_ = s.hist.RecordValue(min(max(t.Nanos(), 0), maxSketched))
}

func (s *sketch) dist() Dist {
	d := Dist{Count: s.count, Total: s.total, Max: s.max}
	if s.count > 0 {
		at := func(q float64) sim.Time { return min(sim.Time(s.hist.ValueAtQuantile(q))*sim.Nanosecond, s.max) }
		d.P50, d.P90, d.P99 = at(50), at(90), at(99)
	}
	return d
}
