package replay

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/replay/replay/traces"
)

// survey is what one pass over a trace finds before the replay proper: its
// counts, how many operations each thread has, and how the recorder displaced
// its stamps.
type survey struct {
	events, hits int64
	start, end   int64 // ns, of rows other than mappings known beforehand
	cpus         int
	lost         int64
	lossSpans    []span
	lockRows     bool // the trace has mmap_lock events
	arriveRows   bool
	threads      map[int32]*threadSurvey
	gaps         recorderGaps
	rhythm       int64 // ns, median gap between hits of a thread
}

// span is a stretch of the recording, in ns.
type span struct{ from, to int64 }

// threadSurvey is what a pass learns of one thread.
type threadSurvey struct {
	hits        int64
	first, last int64 // ns, of its hits
	end         int64 // ns, of its latest row

	lockStart    int64 // ns of its lock_start without a lock_acquired yet, or 0
	lockReleased int64 // ns of its lock_released without a later row yet, or 0
	stacked      bool  // the row of lockStart or lockReleased had a callchain
	syscallEnd   int64 // ns, of its latest syscall
}

// takeSurvey reads the whole trace once.
func takeSurvey(ctx context.Context, trace Trace) (*survey, error) {
	stream, err := trace.Stream(traces.ColCPU | traces.ColTID | traces.ColPID | traces.ColDur | traces.ColWrite | traces.ColInUprobe | traces.ColStack | traces.ColRet)
	if err != nil {
		return nil, err
	}
	defer closeStream(stream)
	s := &survey{threads: map[int32]*threadSurvey{}, start: -1}
	var ev traces.Event
	for {
		err := stream.Next(&ev)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		s.add(&ev)
		if s.events%65536 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	s.start = max(s.start, 0)
	s.lost = max(s.lost, trace.Meta().Lost)
	s.cpus = max(s.cpus, trace.Meta().CPUs, 1)
	s.gaps.settle()
	return s, nil
}

func closeStream(s traces.Stream) {
	if c, ok := s.(io.Closer); ok {
		c.Close()
	}
}

func (s *survey) add(ev *traces.Event) {
	s.events++
	if ev.Kind != traces.Map {
		if s.start < 0 {
			s.start = ev.Time
		}
		s.end = max(s.end, ev.Time+ev.Dur)
	}
	if ev.Got(traces.ColCPU) {
		s.cpus = max(s.cpus, int(ev.CPU)+1)
	}
	if ev.Got(traces.ColTID) {
		s.measureRelease(ev)
	}
	switch {
	case ev.Kind == traces.Lost:
		s.addLoss(ev)
	case ev.Kind == traces.Hit:
		t := s.thread(ev.TID)
		if t.hits == 0 {
			t.first = ev.Time
		}
		t.hits++
		t.last = ev.Time
		s.hits++
	case ev.Kind == traces.Arrive:
		s.arriveRows = true
	case ev.Kind.IsLock():
		s.lockRows = true
		s.addLock(ev)
	case ev.Kind.IsSyscall():
		s.thread(ev.TID).syscallEnd = ev.Time + ev.Dur
	}
}

func (s *survey) addLoss(ev *traces.Event) {
	if ev.Got(traces.ColRet) {
		s.lost += ev.Ret
	}
	s.lossSpans = append(s.lossSpans, span{ev.Time, ev.Time + ev.Dur})
}

// lossy reports whether a lost event may have changed what happened between the
// times, in ns. A writer lost on one CPU concerns hits on any.
func (s *survey) lossy(from, to int64) bool {
	for _, l := range s.lossSpans {
		if l.from <= to && from <= l.to {
			return true
		}
	}
	return false
}

func (s *survey) thread(tid int32) *threadSurvey {
	t := s.threads[tid]
	if t == nil {
		t = &threadSurvey{}
		s.threads[tid] = t
	}
	return t
}

// recorderGaps are what recording an event costs the recorded thread, measured
// where the trace shows it: between two events that have nothing else between
// them. Index 0 is for events without a callchain, 1 for those with one.
type recorderGaps struct {
	start    [2]gap // lock_start to lock_acquired, uncontended: recording lock_start
	released [2]gap // lock_released to the end of its syscall: recording lock_released
}

// gap gathers durations in ns and settles on their median.
type gap struct {
	samples []int64
	median  int64 // 0 where the trace has no sample
}

// gapSamples bounds what is kept of a gap; a median needs no more.
const gapSamples = 1 << 16

func (g *gap) add(ns int64) {
	if ns >= 0 && len(g.samples) < gapSamples {
		g.samples = append(g.samples, ns)
	}
}

func (g *gap) settle() {
	if len(g.samples) > 0 {
		slices.Sort(g.samples)
		g.median = g.samples[len(g.samples)/2]
	}
	g.samples = nil
}

func (g *recorderGaps) settle() {
	for i := range 2 {
		g.start[i].settle()
		g.released[i].settle()
	}
}

// measureRelease takes the time from a lock_released to the end of its syscall,
// when the thread had no other row in between.
func (s *survey) measureRelease(ev *traces.Event) {
	t := s.thread(ev.TID)
	t.end = ev.Time
	if t.lockReleased == 0 {
		return
	}
	if t.syscallEnd > t.lockReleased && t.syscallEnd <= ev.Time {
		s.gaps.released[index(t.stacked)].add(t.syscallEnd - t.lockReleased)
	}
	t.lockReleased = 0
}

// addLock measures the recorder on lock events of a thread.
func (s *survey) addLock(ev *traces.Event) {
	t := s.thread(ev.TID)
	switch ev.Kind {
	case traces.LockStart:
		t.lockStart = ev.Time
		t.stacked = len(ev.Stack) > 0
	case traces.LockAcquired:
		if t.lockStart != 0 {
			s.gaps.start[index(t.stacked)].add(ev.Time - t.lockStart)
			t.lockStart = 0
		}
	case traces.LockReleased:
		t.lockReleased = ev.Time
		t.stacked = len(ev.Stack) > 0
	}
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}
