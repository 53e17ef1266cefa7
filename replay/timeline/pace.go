package timeline

import "slices"

// pace is how a thread's hits come at the moment: the latest gaps before those that were
// on time, in ns.
type pace struct {
	gaps [paceGaps]int64
	n    int
}

// paceGaps is how many gaps tell a pace. It changes within microseconds, with what else
// runs on the core.
const paceGaps = 5

func (p *pace) add(ns int64) {
	p.gaps[p.n%paceGaps] = ns
	p.n++
}

// usual is the gap that the next one is expected to be like, 0 while the thread has no
// pace: the longest is half as long again as the median.
func (p *pace) usual() int64 {
	if p.n < paceGaps {
		return 0
	}
	sorted := p.gaps
	slices.Sort(sorted[:])
	median := sorted[paceGaps/2]
	if sorted[paceGaps-1]*2 > median*3 {
		return 0
	}
	return median
}
