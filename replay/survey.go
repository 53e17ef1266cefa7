package replay

import (
	"context"
	"errors"
	"io"

	"github.com/replay/replay/traces"
)

// survey is what one pass over a trace finds before the replay proper: its
// counts, how many operations each thread has, and how the recorder displaced
// its stamps.
type survey struct {
	events, hits int64 // of hits those that look up: one of each trap
	at           eventCount
	start, end   int64 // ns, of rows other than mappings known beforehand
	cpus         int
	lost         int64
	losses       losses
	lockRows     bool  // the trace has mmap_lock events
	holds        bool  // and those that tell who had the lock
	failed       int64 // lookups that they show
	coverage     traces.Coverage
	unknown      []traces.Unknown // what the trace cannot tell
	threads      map[int32]*threadSurvey
	gaps         recorderGaps
	rhythms      map[int32]*gapTable // gaps between the hits of each thread
	rhythm       gapTable            // of all
	durations    [traces.Madvise + 1]gap
	calls, deep  int64           // syscalls, and those with a callchain
	lastStart    map[int32]int64 // ns, of the latest lock_start of each CPU
	locks        *lockBook
	sites        *sites // of optimised probes
}

// span is a stretch of the recording, in ns.
type span struct{ from, to int64 }

// threadSurvey is what a pass learns of one thread.
type threadSurvey struct {
	hits        int64
	first, last int64 // ns, of its hits
	end         int64 // ns, of its latest row
	arrived     int64 // ns: the lock_start of its next hit's lookup, or 0
	user        gap   // ns from a hit to the next one's arrival, of steady threads

	held       int64       // ns: since when it has mmap_lock, or 0
	entered    int64       // ns: of a syscall whose end is not in the trace, or 0
	lastKind   traces.Kind // of its latest row
	lastCPU    int32
	stacked    bool  // that row had a callchain
	inUprobe   bool  // that row was a lookup's own lock_start
	syscallEnd int64 // ns, of its latest syscall
}

// takeSurvey reads the whole trace once.
func takeSurvey(ctx context.Context, trace Trace) (*survey, error) {
	stream, err := trace.Stream(traces.ColCPU | traces.ColTID | traces.ColPID | traces.ColDur | traces.ColWrite | traces.ColInUprobe | traces.ColStack | traces.ColRet | traces.ColAddr | traces.ColProbe | traces.ColTrap |
		lockBookColumns | traces.CoverageColumns | siteColumns)
	if err != nil {
		return nil, err
	}
	defer closeStream(stream)
	s := &survey{locks: newLockBook(), sites: newSites(), threads: map[int32]*threadSurvey{}, lastStart: map[int32]int64{}, rhythms: map[int32]*gapTable{}, start: -1}
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
		s.locks.add(&ev)
		if s.events%65536 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	s.at.settle()
	s.start = max(s.start, 0)
	s.unknown = s.coverage.Unknown(trace.Meta())
	s.lost = max(s.losses.events, trace.Meta().Lost)
	if s.lost > s.losses.events {
		s.losses.anywhere(s.start, s.end)
	}
	s.losses.settle()
	s.cpus = max(s.cpus, trace.Meta().CPUs, 1)
	s.gaps.settle()
	for i := range s.durations {
		s.durations[i].settle()
	}
	for _, t := range s.threads {
		t.user.settle()
	}
	return s, nil
}

func closeStream(s traces.Stream) {
	if c, ok := s.(io.Closer); ok {
		c.Close()
	}
}

// none reports whether nothing tells of a lookup, neither hits nor returns.
func (s *survey) none() bool { return s.hits == 0 && len(s.at.returns) == 0 }

func (s *survey) add(ev *traces.Event) {
	s.events++
	s.coverage.Add(ev)
	s.at.add(ev)
	if ev.Joined() {
		return // its trap is there already
	}
	s.sites.take(ev)
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
		s.thread(ev.TID).pair(&s.losses, ev)
		s.measure(ev)
	}
	switch {
	case ev.Kind == traces.Lost:
		s.losses.add(ev)
	case ev.Kind == traces.Hit:
		t := s.thread(ev.TID)
		if t.hits == 0 {
			t.first = ev.Time
		} else {
			s.addGap(ev.TID, ev.Time-t.last)
			t.addUser(ev.Time - t.last)
		}
		t.hits++
		t.last = ev.Time
		s.hits++
	case ev.Kind.IsLock():
		s.lockRows = true
		s.holds = s.holds || ev.Kind == traces.LockAcquired
		if ev.Lookup() != traces.NoLookup {
			s.failed++
		}
	case ev.Kind.IsSyscall() && floors[ev.Kind] > 0 && ev.Got(traces.ColDur):
		s.durations[ev.Kind].add(ev.Dur)
	}
	if ev.Kind.IsSyscall() {
		s.calls++
		if len(ev.Stack) > 0 {
			s.deep++
		}
	}
}

// addUser notes the time from the thread's hit before to this one's arrival.
func (t *threadSurvey) addUser(ns int64) {
	if t.arrived != 0 {
		ns = t.arrived - t.last
		t.arrived = 0
	}
	if len(t.user.samples) < rhythmSamples {
		t.user.add(ns)
	}
}

// pair looks for ends without a beginning, and beginnings without an end: what is
// missing was lost.
func (t *threadSurvey) pair(l *losses, ev *traces.Event) {
	if t.entered != 0 {
		l.beginOnly(t.entered, ev.Time)
		t.entered = 0
	}
	switch {
	case refused(ev):
		return
	case ev.Kind.IsSyscall() && !ev.Got(traces.ColRet):
		t.entered = ev.Time
	case ev.Kind.IsSyscall() && !ev.Got(traces.ColDur):
		l.endOnly(ev.Time)
	case ev.Kind == traces.LockStart || ev.Kind == traces.LockAcquired && ev.Write:
		if t.held != 0 {
			l.beginOnly(t.held, ev.Time)
		}
		t.held = 0
	case ev.Kind == traces.LockReleased && t.held == 0:
		l.endOnly(ev.Time)
	case ev.Kind == traces.LockReleased:
		t.held = 0
	}
	if ev.Kind == traces.LockAcquired && t.held == 0 {
		t.held = ev.Time
	}
}

// rhythmSamples is how many gaps of a thread decide whether it is steady.
const rhythmSamples = 4096

// stolenPermille is how much longer than its usual pace a steady thread takes on
// average, 1000 for no longer: interrupts, a hypervisor and the recorder itself
// take CPU time from it, also while it waits for a lock. Of a thread without a
// pace it cannot be told.
func (t *threadSurvey) stolenPermille() int64 {
	g := &t.user
	if g.count < 1000 || g.median == 0 || g.threeQuarters*2 > g.quarter*3 {
		return 1000
	}
	return max(g.whole*1000/g.median, 1000)
}

func (s *survey) addGap(tid int32, ns int64) {
	g := s.rhythms[tid]
	if g == nil {
		g = &gapTable{}
		s.rhythms[tid] = g
	}
	g.add(ns)
	s.rhythm.add(ns)
}

// floors are the shortest durations of syscalls in ns, recorded without lock
// events. Only where a search begins depends on them.
var floors = map[traces.Kind]int64{traces.Mmap: 3166, traces.Mprotect: 1483, traces.Brk: 800}

// chains reports whether the recorder took a callchain with every event (perf record
// -g), as far as syscalls show it.
func (s *survey) chains() bool { return s.deep*2 > s.calls }

// recordingGuess is what a recorder of lock events seems to add to a syscall, in
// ns: how much longer the shortest are than without. With callchains that is of four
// events, of which two come before the lock.
func (s *survey) recordingGuess() int64 {
	var sum, n int64
	for kind := traces.Mmap; kind <= traces.Madvise; kind++ {
		if d := &s.durations[kind]; floors[kind] > 0 && d.count >= 20 {
			sum += (d.tenth - floors[kind]) * int64(d.count)
			n += int64(d.count)
		}
	}
	if n == 0 {
		return 0
	}
	if s.chains() {
		sum /= 2
	}
	return max(sum/n, 0)
}

// showsLookups reports whether lock events tell which lookups fell back, but for some.
// Where syscalls tell more, hits are placed as in a trace without lock events: one that
// seems to have been on time would hide what it waited for. Nor do they tell where
// lock_start alone was recorded: then syscalls say who had the lock.
func (s *survey) showsLookups() bool {
	return s.lockRows && (s.holds || s.calls == 0) && (s.coverage.Undecided() <= s.failed || s.calls == 0)
}

func (s *survey) thread(tid int32) *threadSurvey {
	t := s.threads[tid]
	if t == nil {
		t = &threadSurvey{}
		s.threads[tid] = t
	}
	return t
}
