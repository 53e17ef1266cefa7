package timeline

import (
	"math"
	"math/bits"
)

// Delays are put into bins of 100 ns, and from 1 µs on of a quarter of an octave.
const (
	delayFine = 100
	fineBins  = 15
	delayLog  = 1024                          // ns: where the fine bins end
	delayMin  = delayLog - fineBins*delayFine // and where they begin
	delayBits = 2
	delayBins = fineBins + 14<<delayBits
)

func delayBin(ns int64) int {
	if ns < delayLog {
		return int(max(ns-delayMin, 0) / delayFine)
	}
	octave := bits.Len64(uint64(ns)) - 1
	return min(fineBins+(octave-10)<<delayBits+int(ns>>(octave-delayBits)&(1<<delayBits-1)), delayBins-1)
}

// firstLateness is what a fallback takes beyond its cost, before the trace tells:
// ns, and weight in millionths, fitted on recordings of a loop with a mapping
// thread and of javac. More than half are within the noise of the recorder, a
// quarter have to wait for microseconds more (inter-processor interrupts of the
// same unmapping), the rest for tens of them (a wake-up on a busy machine):
// 0.55 N(0, 250 ns) + 0.25 Exp(1.5 µs) + 0.2 Exp(20 µs).
var firstLateness = []struct{ ns, weight int64 }{
	{-350, 33149}, {-250, 53233}, {-150, 72999}, {-50, 85484}, {50, 102605}, {150, 89075}, {250, 68331}, {350, 47332},
	{450, 30954}, {550, 20529}, {650, 14879}, {750, 12101}, {850, 10707}, {950, 9872}, {1125, 22085}, {1375, 19014},
	{1625, 16424}, {1875, 14228}, {2125, 12365}, {2375, 10784}, {2625, 9441}, {2875, 8301}, {3125, 7332}, {3375, 6509},
	{3625, 5807}, {3875, 5210}, {4125, 4701}, {4375, 4266}, {4625, 3895}, {4875, 3577}, {5500, 11936}, {6500, 9454},
	{7500, 8017}, {8500, 7126}, {9500, 6521}, {10500, 6071}, {11500, 5707}, {12500, 5394}, {13500, 5113}, {14500, 4855},
	{15500, 4613}, {16500, 4386}, {17500, 4171}, {18500, 3966}, {19500, 3773}, {20500, 3589}, {21500, 3413}, {22500, 3247},
	{23500, 3089}, {24500, 2938}, {25500, 2795}, {26500, 2658}, {27500, 2529}, {28500, 2405}, {29500, 2288}, {30500, 2176},
	{31500, 2070}, {32500, 1969}, {33500, 1873}, {34500, 1782}, {35500, 1695}, {36500, 1612}, {37500, 1534}, {38500, 1459},
	{39500, 1388}, {40500, 1320}, {41500, 1256}, {42500, 1194}, {43500, 1136}, {44500, 1081}, {45500, 1028}, {46500, 978},
	{47500, 930}, {48500, 885}, {49500, 842}, {50500, 801}, {51500, 762}, {52500, 724}, {53500, 689}, {54500, 656},
	{55500, 624}, {56500, 593}, {57500, 564}, {58500, 537}, {59500, 511},
}

// firstDelays are firstLateness by bin.
// A thread that has the lock may lose its CPU: waits from firstTail ns on, in millionths of
// fallbacks, evenly by octave.
const (
	firstTail      = 64_000
	firstTailShare = 0.02
)

func firstDelays() (late [delayBins]float64) {
	for _, l := range firstLateness {
		late[delayBin(l.ns)] += float64(l.weight) / 1e6
	}
	for bin := delayBin(firstTail); bin < delayBins; bin++ {
		late[bin] += firstTailShare / float64(delayBins-delayBin(firstTail))
	}
	return late
}

// delayDensity is the share per ns.
func (in *inference) delayDensity(ns int64) float64 {
	if ns < delayMin {
		return 0
	}
	bin := delayBin(ns)
	if bin < fineBins {
		return in.late[bin] / delayFine
	}
	return in.late[bin] / math.Ldexp(1.0/(1<<delayBits), 10+(bin-fineBins)>>delayBits)
}

// gapTable is a histogram of gaps, with gapSplit bins to an octave.
type gapTable struct {
	counts [64 * gapSplit]float64
	n      int64
	paced  int8  // 0: not asked for yet, 1: no, 2: yes
	usual  int64 // ns: the median gap, once paced is there
}

const (
	gapBits  = 4
	gapSplit = 1 << gapBits
)

func gapBin(ns int64) int {
	v := uint64(max(ns, gapSplit))
	octave := bits.Len64(v) - 1
	return octave*gapSplit + int(v>>(octave-gapBits)&(gapSplit-1))
}

func (g *gapTable) add(ns int64) {
	g.counts[gapBin(ns)]++
	g.n++
}

// pacing is steady, found once.
func (g *gapTable) pacing() bool {
	if g.paced == 0 {
		g.paced, g.usual = 1+int8(index(g.steady())), g.median()
	}
	return g.paced == 2
}

// median is the median gap in ns, as far as bins tell.
func (g *gapTable) median() int64 {
	sum := 0.0
	for bin, n := range g.counts {
		if sum += n; sum*2 >= float64(g.n) {
			octave, part := bin/gapSplit, bin%gapSplit
			return int64(1)<<octave + int64(part)<<octave/gapSplit
		}
	}
	return 0
}

// steady reports whether most gaps are about the same, within half an octave.
func (g *gapTable) steady() bool {
	sum := 0.0
	for bin, n := range g.counts {
		sum += n
		if bin >= gapSplit/2 {
			sum -= g.counts[bin-gapSplit/2]
		}
		if sum*2 > float64(g.n) {
			return true
		}
	}
	return false
}

// density is the share of gaps per ns around a gap.
func (g *gapTable) density(ns int64) float64 {
	bin := gapBin(ns)
	width := math.Ldexp(1.0/gapSplit, bin/gapSplit)
	return (max(g.counts[bin], 0) + 0.5) / float64(g.n+1) / width
}
