package replay

import (
	"slices"

	"github.com/replay/replay/traces"
)

// recorderGaps are what recording an event costs the recorded thread, measured
// where the trace shows it: between two rows that have nothing else between them.
// Only the rows of writers and page faults are looked at. Index 0 is for events
// without a callchain, 1 for those with one.
type recorderGaps struct {
	start    [2]gap // lock_start to lock_acquired, mostly uncontended: recording lock_start
	released [2]gap // lock_released to the end of its syscall: recording lock_released

	// cold is from the entry of a syscall to its lock_start, by how long the CPU
	// had recorded no lock_start: the code that takes callchains is out of the
	// caches by then.
	cold      [len(coldEdges) + 1]gap
	coldExtra [len(coldEdges) + 1]int64
}

// coldEdges separate the bins of recorderGaps.cold, in ns.
var coldEdges = [...]int64{30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000}

// Limits of the measurement of cold.
const (
	warmBins       = 3      // below 0.3 ms the path is warm
	coldGapMax     = 50_000 // ns: beyond, something else was in between
	coldSamplesMin = 8      // in a bin, else it takes the value of the one below
	// A thread that was in user mode for coldFrom ns begins to be cold itself, and
	// is fully so coldSpan later.
	coldFrom, coldSpan = 6_000, 30_000
)

// gap gathers durations in ns and settles on what they are mostly like.
type gap struct {
	samples                               []int64
	tenth, quarter, median, threeQuarters int64 // 0 where the trace has no sample
	whole                                 int64 // the mean
	mean                                  int64 // of those up to five times the median: the rest were contended
	count                                 int
}

// gapSamples bounds what is kept of a gap; a quantile needs no more.
const gapSamples = 1 << 16

func (g *gap) add(ns int64) {
	if ns >= 0 && len(g.samples) < gapSamples {
		g.samples = append(g.samples, ns)
	}
}

func (g *gap) settle() {
	if g.count = len(g.samples); g.count > 0 {
		slices.Sort(g.samples)
		g.tenth = g.samples[g.count/10]
		g.quarter, g.median, g.threeQuarters = g.samples[g.count/4], g.samples[g.count/2], g.samples[g.count*3/4]
	}
	g.settleMean()
	g.samples = nil
}

func (g *gap) settleMean() {
	var sum, n, all int64
	for _, d := range g.samples {
		all += d
		if d <= 5*g.median {
			sum += d
			n++
		}
	}
	if n > 0 {
		g.mean, g.whole = sum/n, all/int64(g.count)
	}
}

func (g *recorderGaps) settle() {
	var warm gap
	for i := range warmBins {
		warm.samples = append(warm.samples, g.cold[i].samples...)
	}
	warm.settle()
	for i := range 2 {
		g.start[i].settle()
		g.released[i].settle()
	}
	most := int64(0)
	for i := range g.cold {
		g.cold[i].settle()
		if g.cold[i].count >= coldSamplesMin && i >= warmBins {
			most = max(most, g.cold[i].median-warm.median)
		}
		g.coldExtra[i] = most
	}
}

// Costs of recording a lock_released where a trace has no sample of it, in ns.
const (
	releasePlain   = 330
	releaseStacked = 100 // beyond what a lock_start with a callchain takes
)

// release is the time from a lock_released to the end of its syscall, in ns.
func (g *recorderGaps) release(stacked bool) int64 {
	switch q := g.released[index(stacked)].quarter; {
	case q > 0:
		return q
	case stacked:
		return g.start[1].median + releaseStacked
	}
	return releasePlain
}

// coldCost is how much later than usual a lock_start is stamped, in ns: its CPU
// had none for idle ns, and its thread was in user mode for away ns.
func (g *recorderGaps) coldCost(idle, away int64) int64 {
	return g.coldExtra[coldBin(idle)] * min(max(away-coldFrom, 0), coldSpan) / coldSpan
}

// measure takes the gaps that end at a row of a thread.
func (s *survey) measure(ev *traces.Event) {
	t := s.thread(ev.TID)
	since := ev.Time - t.end
	switch {
	case t.lastKind == traces.LockReleased && t.syscallEnd > t.end && t.syscallEnd <= ev.Time:
		s.gaps.released[index(t.stacked)].add(t.syscallEnd - t.end)
	case t.lastKind == traces.LockStart && ev.Kind == traces.LockAcquired && !t.inUprobe:
		s.gaps.start[index(t.stacked)].add(since)
	case t.lastKind.IsSyscall() && ev.Kind == traces.LockStart && ev.Write && t.lastCPU == ev.CPU && since < coldGapMax:
		s.gaps.cold[coldBin(ev.Time-s.lastStart[ev.CPU])].add(since)
	}
	lookup := ev.Lookup() != traces.NoLookup
	if lookup && t.arrived == 0 {
		t.arrived = ev.Time
	}
	t.end, t.lastKind, t.lastCPU = ev.Time, ev.Kind, ev.CPU
	t.stacked, t.inUprobe = len(ev.Stack) > 0, lookup
	if ev.Kind.IsSyscall() {
		t.syscallEnd = ev.Time + ev.Dur
	}
	if ev.Kind == traces.LockStart {
		s.lastStart[ev.CPU] = ev.Time
	}
}

func coldBin(idle int64) int {
	bin := 0
	for bin < len(coldEdges) && idle >= coldEdges[bin] {
		bin++
	}
	return bin
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}
