package reports

import (
	"fmt"
	mathbits "math/bits"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/sim"
)

// spark is a small picture of a distribution, for a cell of a table.
type spark struct {
	Path string // in a box of sparkWidth by sparkHeight
	Text string // in words
}

const (
	sparkBins   = 36
	sparkHeight = 16
)

// sparkScale is the logarithmic axis of all pictures of a table: from the octave of the
// fastest hit of a run to that of its slowest.
type sparkScale struct{ from, octaves int }

func octave(t sim.Time) int { return mathbits.Len64(uint64(max(t.Nanos(), 0))) }

func newSparkScale(r *replay.Run) *sparkScale {
	if len(r.ResolveHist) == 0 {
		return &sparkScale{0, 1}
	}
	from := octave(r.ResolveHist[0].Low)
	return &sparkScale{from, octave(r.ResolveHist[len(r.ResolveHist)-1].High-1) - from + 1}
}

// at is the column of a bin, by its octave and the eighth of it.
func (s *sparkScale) at(t sim.Time) int {
	ns, o := max(t.Nanos(), 0), octave(t)
	eighth := 0
	if o > 0 {
		eighth = int((ns - 1<<(o-1)) * 8 >> (o - 1))
	}
	return min(max(((o-s.from)*8+eighth)*sparkBins/(s.octaves*8), 0), sparkBins-1)
}

// newSpark draws a histogram; nil for none. The highest column reaches to the top.
func newSpark(bins []dist.Bin, scale *sparkScale) *spark {
	if len(bins) == 0 {
		return nil
	}
	var columns [sparkBins]int64
	for _, b := range bins {
		columns[scale.at(b.Low)] += b.Count
	}
	var most int64
	for _, n := range columns {
		most = max(most, n)
	}
	var path strings.Builder
	for i, n := range columns {
		if n > 0 { // what is there is seen
			fmt.Fprintf(&path, "M%d %dh2V%dh-2z", 2*i, sparkHeight, sparkHeight-max(1, n*sparkHeight/most))
		}
	}
	return &spark{Path: path.String()}
}

// mode is the bin with the most.
func mode(bins []dist.Bin) dist.Bin {
	best := bins[0]
	for _, b := range bins {
		if b.Count > best.Count {
			best = b
		}
	}
	return best
}
