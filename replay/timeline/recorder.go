package timeline

import (
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/traces"
)

// recorderGaps are what recording an event costs the recorded thread, measured
// where the trace shows it: between two rows that have nothing else between them.
// Only the rows of writers and page faults are looked at. Index 0 is for events
// without a callchain, 1 for those with one.
type recorderGaps struct {
	start [2]dist.Durations // lock_start to lock_acquired, mostly uncontended: recording lock_start
	// deep is start by the frames of the callchain, lookups counts those of lookups. One that
	// perf cut (max-stack) takes less than half of what one to the end of the user's stack
	// takes: cut is that of the longest, whole of all others.
	deep       [deepest + 1]dist.Durations
	lookups    [deepest + 1]int
	longest    int64 // frames
	mostly     int64 // frames of lookups
	cut, whole dist.Durations
	released   [2]dist.Durations // lock_released to the end of its syscall: recording lock_released
	// failed is from where a steady thread's hit was due to the lock_start of its lookup,
	// plus paceShift: how much later a lookup that fails is stamped than one on time.
	failed dist.Durations
	// arrived is from an arrive row to its hit.
	arrived dist.Durations

	// cold is from the entry of a syscall to its lock_start, by how long the CPU
	// had recorded no lock_start: the code that takes callchains is out of the
	// caches by then.
	cold      [len(coldEdges) + 1]dist.Durations
	coldExtra [len(coldEdges) + 1]int64
}

// paceShift makes durations of differences.
const paceShift = 1_000_000

// Limits of the measurement of failed.
const (
	failedMin    = 30  // lookups
	failedSpread = 600 // ns: between the quartiles
)

// failedLag is how much later a lookup that failed is stamped, by its lock_start, than
// one on time by its hit, in ns; otherwise where the trace does not tell.
func (g *recorderGaps) failedLag(otherwise int64) int64 {
	if f := &g.failed; f.Count >= failedMin && f.ThreeQuarters-f.Quarter <= failedSpread {
		return f.Median - paceShift
	}
	return otherwise
}

// arrivedMin is how many hits tell how long after its arrival a lookup is.
const arrivedMin = 30

// arriveLag is from an arrive row to the begin of the lookup, in ns, whatever became of
// that: a hit that was on time ends its lookup HitLag before its stamp, and a quarter of
// all hits are as fast as that.
func (g *recorderGaps) arriveLag(rec *machines.Recorder) int64 {
	if g.arrived.Count < arrivedMin {
		return 0
	}
	return g.arrived.Quarter - rec.HitLag - rec.Window
}

// deepest is the number of frames from on which callchains are alike.
const deepest = 64

// startLike is what recording a lock_start with so many frames is like.
func (g *recorderGaps) startLike(frames int) *dist.Durations {
	d := &g.whole
	if int64(min(frames, deepest)) == g.longest {
		d = &g.cut
	}
	if frames > 0 && d.Count >= startMin {
		return d
	}
	return &g.start[index(frames > 0)]
}

// settleDeep tells callchains apart that were cut, and forgets their frames.
func (g *recorderGaps) settleDeep() {
	for frames := 1; frames <= deepest; frames++ {
		if g.deep[frames].Count+g.lookups[frames] > 0 {
			g.longest = int64(frames)
		}
		if g.lookups[frames] > g.lookups[g.mostly] {
			g.mostly = int64(frames)
		}
	}
	for frames := int64(1); frames < g.longest; frames++ {
		g.whole.Merge(&g.deep[frames])
	}
	g.cut.Merge(&g.deep[g.longest])
	g.whole.Summarise()
	g.cut.Summarise()
	clear(g.deep[:])
	clear(g.lookups[:])
}

// startMin is how many lock_starts are needed to tell what such ones take.
const startMin = 20

// lookupStart is what recording the lock_start of a lookup is like.
func (g *recorderGaps) lookupStart() *dist.Durations {
	if g.mostly == 0 {
		return &g.start[1]
	}
	return g.startLike(int(g.mostly))
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

func (g *recorderGaps) summarise() {
	var warm dist.Durations
	for i := range warmBins {
		warm.Merge(&g.cold[i])
	}
	warm.Summarise()
	g.failed.Summarise()
	g.arrived.Summarise()
	g.settleDeep()
	for i := range 2 {
		g.start[i].Summarise()
		g.released[i].Summarise()
	}
	most := int64(0)
	for i := range g.cold {
		g.cold[i].Summarise()
		if g.cold[i].Count >= coldSamplesMin && i >= warmBins {
			most = max(most, g.cold[i].Median-warm.Median)
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
	switch q := g.released[index(stacked)].Quarter; {
	case q > 0:
		return q
	case stacked:
		return g.start[1].Median + releaseStacked
	}
	return releasePlain
}

// coldCost is how much later than usual a lock_start is stamped, in ns: its CPU
// had none for idle ns, and its thread was in user mode for away ns.
func (g *recorderGaps) coldCost(idle, away int64) int64 {
	return g.coldExtra[coldBin(idle)] * min(max(away-coldFrom, 0), coldSpan) / coldSpan
}

// measure takes the gaps that end at a row of a thread; lookup says that it is a lookup's
// lock_start.
func (s *Surveyor) measure(t *ThreadSurvey, ev *traces.Event, lookup bool) {
	since := ev.Time - t.End
	switch {
	case t.lastKind == traces.LockReleased && t.syscallEnd > t.End && t.syscallEnd <= ev.Time:
		s.gaps.released[index(t.frames > 0)].Add(t.syscallEnd - t.End)
	case t.lastKind == traces.LockStart && ev.Kind == traces.LockAcquired && !t.inUprobe:
		s.gaps.start[index(t.frames > 0)].Add(since)
		s.gaps.deep[min(t.frames, deepest)].Add(since)
	case t.lastKind.IsSyscall() && ev.Kind == traces.LockStart && ev.Write && t.lastCPU == ev.CPU && since < coldGapMax:
		s.gaps.cold[coldBin(ev.Time-s.started(ev.CPU))].Add(since)
	}
	if lookup {
		s.gaps.lookups[min(len(ev.Stack), deepest)]++
	}
	switch {
	case !lookup && !ev.Kind.IsLock() && ev.Kind != traces.Hit && ev.Kind != traces.Arrive:
		t.arrived = 0 // elsewhere: it was the lookup of a return probe, at its function's entry
	case lookup && t.arrived == 0:
		t.arrived = ev.Time
	}
	t.End, t.lastKind, t.lastCPU = ev.Time, ev.Kind, ev.CPU
	t.Over = max(t.Over, ev.Time+ev.Dur)
	t.frames, t.inUprobe = len(ev.Stack), lookup
	if ev.Kind.IsSyscall() {
		t.syscallEnd = ev.Time + ev.Dur
	}
	if ev.Kind == traces.LockStart {
		if at := s.lastStart.Get(ev.CPU); at != nil {
			*at = ev.Time
		} else {
			first := ev.Time
			s.lastStart.Set(ev.CPU, &first)
		}
	}
}

// started is when the CPU had its latest lock_start, in ns.
func (s *Surveyor) started(cpu int32) int64 {
	if at := s.lastStart.Get(cpu); at != nil {
		return *at
	}
	return 0
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
