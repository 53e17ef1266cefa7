package timeline

import (
	"context"
	"errors"
	"io"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/traces"
	recentmap "github.com/replay/replay/traces/recent"
)

// Survey is what one pass over a trace finds before the replay proper: its
// counts, how many operations each thread has, and how the recorder displaced
// its stamps.
type Survey struct {
	Events   int64
	Hits     int64 // those that look up: one of each trap
	Start    int64 // ns, of the first row other than mappings known beforehand
	End      int64 // ns, of the last one, a syscall's duration included
	CPUs     int
	Lost     int64                   // events
	Unknown  []traces.Unknown        // what the trace cannot tell
	LockRows bool                    // the trace has mmap_lock events
	LockTIDs bool                    // and some of them say which thread they are of
	Threads  map[int32]*ThreadSurvey // by thread id

	hitEvents   int64 // events of hits, of those of one trap each
	probes      map[string]int64
	returned    bool  // there are returns
	unseen      int64 // lookups that returns tell of and no hit shows
	losses      losses
	holds       bool   // lock events tell who had the lock
	failed      int64  // lookups that lock events show
	stamped     int64  // hits with an arrive row
	light       bool   // lock_starts without callchains tell of lookups, see TakeLight
	undecided   int64  // lookups of which it is unknown whether they are among those
	partly      string // what of changes of address spaces was not recorded
	gaps        recorderGaps
	rhythms     map[int32]*gapTable // gaps between the hits of each thread that has many
	rhythm      gapTable            // of all
	durations   [traces.Madvise + 1]dist.Durations
	calls, deep int64  // syscalls, and those with a callchain
	sites       *sites // of optimised probes
}

// Surveyor makes a survey of the rows that it is shown.
type Surveyor struct {
	*Survey // of the rows so far; what rests on all of them is missing

	at        eventCount
	coverage  traces.Coverage
	threads   recentmap.Map[int32, ThreadSurvey]
	lookups   stackLookups
	lastStart recentmap.Map[int32, int64] // ns, of the latest lock_start of each CPU
}

// span is a stretch of the recording, in ns.
type span struct{ from, to int64 }

// ThreadSurvey is what a pass learns of one thread.
type ThreadSurvey struct {
	Hits        int64
	First, Last int64 // ns, of its hits
	End         int64 // ns, of its latest row
	Over        int64 // ns: the same, a syscall's duration included: nothing of it begins later
	Mapped      int64 // ns, of the latest map row of its process, where its id is that of the process
	pace        pace
	light       lightTruth
	stamp       int64          // ns: of an arrive row before its next hit, or 0
	arrived     int64          // ns: the lock_start of its next hit's lookup, or 0
	user        dist.Durations // ns from a hit to the next one's arrival, of steady threads

	gaps       *gapTable   // between its hits, nil while there are few: a recording may have threads by the ten thousand
	few        []uint16    // bins of these
	held       int64       // ns: since when it has mmap_lock, or 0
	entered    int64       // ns: of a syscall whose end is not in the trace, or 0
	lastKind   traces.Kind // of its latest row
	lastCPU    int32
	frames     int   // of that row's callchain
	inUprobe   bool  // that row was a lookup's own lock_start
	syscallEnd int64 // ns, of its latest syscall
}

// SurveyColumns are those that a Surveyor looks at.
const SurveyColumns = traces.ColCPU | traces.ColTID | traces.ColPID | traces.ColDur | traces.ColWrite | traces.ColInUprobe | traces.ColStack | traces.ColRet | traces.ColAddr | traces.ColProbe | traces.ColTrap |
	traces.CoverageColumns | siteColumns

// TakeSurvey reads the whole trace once, unless a survey was kept with it.
func TakeSurvey(ctx context.Context, trace Trace) (*Survey, error) {
	if kept, ok := trace.(Surveyed); ok {
		if s := kept.Survey(); s != nil {
			return s, nil
		}
	}
	stream, err := trace.Stream(SurveyColumns)
	if err != nil {
		return nil, err
	}
	defer closeStream(stream)
	s := NewSurveyor()
	var ev traces.Event
	for {
		err := stream.Next(&ev)
		if errors.Is(err, io.EOF) {
			return s.Finish(trace.Meta()), nil
		}
		if err != nil {
			return nil, err
		}
		s.Add(&ev)
		if s.Events%65536 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// NewSurveyor begins a survey.
func NewSurveyor() *Surveyor {
	return &Surveyor{Survey: newSurvey(), lookups: stackLookups{}}
}

func newSurvey() *Survey {
	return &Survey{sites: newSites(), Threads: map[int32]*ThreadSurvey{}, rhythms: map[int32]*gapTable{}, Start: -1}
}

// Finish returns the survey of a trace of all rows that were shown, which says m of
// itself. There must be no more rows.
func (s *Surveyor) Finish(m traces.Meta) *Survey {
	s.Start = max(s.Start, 0)
	s.Unknown, s.undecided, s.partly = s.coverage.Unknown(m), s.coverage.Undecided(), s.coverage.Partly(m)
	s.at.flush()
	s.hitEvents, s.probes, s.returned, s.unseen = s.at.hits, s.at.probes, len(s.at.returns) > 0, s.at.unseen()
	s.Lost = max(s.losses.events, m.Lost)
	if s.Lost > s.losses.events {
		s.losses.anywhere(s.Start, s.End)
	}
	s.losses.merge()
	s.CPUs = max(s.CPUs, m.CPUs, 1)
	s.gaps.summarise()
	for i := range s.durations {
		s.durations[i].Summarise()
	}
	for _, t := range s.Threads {
		t.user.Summarise()
	}
	s.sites.programs, s.sites.threads = nil, recentmap.Map[int32, siteThread]{}
	return s.Survey
}

func closeStream(s traces.Stream) {
	if c, ok := s.(io.Closer); ok {
		c.Close()
	}
}

// None reports whether nothing tells of a lookup, neither hits nor returns.
func (s *Survey) None() bool { return s.Hits == 0 && !s.returned }

// Add takes the next row into account.
func (s *Surveyor) Add(ev *traces.Event) {
	s.Events++
	s.coverage.Add(ev)
	s.at.add(ev)
	if ev.Joined() {
		return // its trap is there already
	}
	lookup := s.lookups.of(ev)
	s.sites.take(ev, lookup)
	if ev.Kind == traces.Map && ev.Got(traces.ColPID) {
		if t := s.threads.Get(ev.PID); t != nil {
			t.Mapped = max(t.Mapped, ev.Time)
		}
	}
	if ev.Kind != traces.Map {
		if s.Start < 0 {
			s.Start = ev.Time
		}
		s.End = max(s.End, ev.Time+ev.Dur)
	}
	if ev.Got(traces.ColCPU) {
		s.CPUs = max(s.CPUs, int(ev.CPU)+1)
	}
	if ev.Got(traces.ColTID) {
		t := s.thread(ev.TID)
		t.pair(&s.losses, ev)
		t.light.add(ev, t, lookup != traces.NoLookup)
		s.measure(t, ev, lookup != traces.NoLookup)
	}
	switch {
	case ev.Kind == traces.Lost:
		s.losses.add(ev)
	case ev.Kind == traces.Arrive:
		s.thread(ev.TID).stamp = ev.Time
	case ev.Kind == traces.Hit:
		t := s.thread(ev.TID)
		if t.stamp != 0 {
			s.gaps.arrived.Add(ev.Time - t.stamp)
			s.stamped++
			t.stamp = 0
		}
		if t.Hits == 0 {
			t.First = ev.Time
		} else {
			s.addGap(t, ev.TID, ev.Time-t.Last)
			s.addPace(t, ev.Time)
			t.addUser(ev.Time - t.Last)
		}
		t.Hits++
		t.Last, t.arrived = ev.Time, 0
		s.Hits++
	case ev.Kind.IsLock():
		s.LockRows, s.LockTIDs = true, s.LockTIDs || ev.Got(traces.ColTID)
		s.holds = s.holds || ev.Kind == traces.LockAcquired
		if lookup != traces.NoLookup {
			s.failed++
		}
	case ev.Kind.IsSyscall() && floors[ev.Kind] > 0 && ev.Got(traces.ColDur):
		s.durations[ev.Kind].Add(ev.Dur)
	}
	if ev.Kind.IsSyscall() {
		s.calls++
		if len(ev.Stack) > 0 {
			s.deep++
		}
	}
}

// addPace compares the gap that ends at a hit, or at its lookup's own lock_start, with
// the thread's pace. It comes before addUser, which forgets that lock_start.
func (s *Survey) addPace(t *ThreadSurvey, hit int64) {
	if t.arrived == 0 {
		t.pace.add(hit - t.Last)
		return
	}
	if usual := t.pace.usual(); usual > 0 {
		s.gaps.failed.Add(t.arrived - t.Last - usual + paceShift)
	}
}

// addUser notes the time from the thread's hit before to this one's arrival.
func (t *ThreadSurvey) addUser(ns int64) {
	if t.arrived != 0 {
		ns = t.arrived - t.Last
	}
	if t.user.Count < rhythmSamples {
		t.user.Add(ns)
	}
}

// pair looks for ends without a beginning, and beginnings without an end: what is
// missing was lost.
func (t *ThreadSurvey) pair(l *losses, ev *traces.Event) {
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

// StolenPermille is how much longer than its usual pace a steady thread takes on
// average, 1000 for no longer: interrupts, a hypervisor and the recorder itself
// take CPU time from it, also while it waits for a lock. Of a thread without a
// pace it cannot be told.
func (t *ThreadSurvey) StolenPermille() int64 {
	g := &t.user
	if g.Count < 1000 || g.Median == 0 || g.ThreeQuarters*2 > g.Quarter*3 {
		return 1000
	}
	return max(g.Mean*1000/g.Median, 1000)
}

func (s *Survey) addGap(t *ThreadSurvey, tid int32, ns int64) {
	s.rhythm.add(ns)
	if t.gaps != nil {
		t.gaps.add(ns)
		return
	}
	if t.few = append(t.few, uint16(gapBin(ns))); len(t.few) < gapsMin {
		return
	}
	t.gaps = &gapTable{n: int64(len(t.few))}
	for _, bin := range t.few {
		t.gaps.counts[bin]++
	}
	t.few, s.rhythms[tid] = nil, t.gaps
}

// floors are the shortest durations of syscalls in ns, recorded without lock
// events. Only where a search begins depends on them.
var floors = map[traces.Kind]int64{traces.Mmap: 3166, traces.Mprotect: 1483, traces.Brk: 800}

// chains reports whether the recorder took a callchain with every event (perf record
// -g), as far as syscalls show it.
func (s *Survey) chains() bool { return s.deep*2 > s.calls }

// recordingGuess is what a recorder of lock events seems to add to a syscall, in
// ns: how much longer the shortest are than without. With callchains that is of four
// events, of which two come before the lock.
func (s *Survey) recordingGuess() int64 {
	var sum, n int64
	for kind := traces.Mmap; kind <= traces.Madvise; kind++ {
		if d := &s.durations[kind]; floors[kind] > 0 && d.Count >= 20 {
			sum += (d.Tenth - floors[kind]) * int64(d.Count)
			n += int64(d.Count)
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
func (s *Survey) showsLookups() bool {
	return s.LockRows && (s.holds || s.calls == 0) && (s.undecided <= s.failed || s.calls == 0)
}

func (s *Surveyor) thread(tid int32) *ThreadSurvey {
	t := s.threads.Get(tid)
	if t == nil {
		t = &ThreadSurvey{}
		s.threads.Set(tid, t)
		s.Threads[tid] = t
	}
	return t
}

// Infers reports whether what may be used of the trace leaves outcomes to be inferred:
// no lock event tells of them.
func (s *Survey) Infers(using Using) bool {
	return using == Syscalls || using == Everything && !s.showsLookups()
}

// Resolve says which rows Everything stands for where outcomes are to be compared:
// arrivals where nearly every hit has one, else lock events, or none where these do not tell
// who had the lock.
func (s *Survey) Resolve(using Using) Using {
	switch {
	case using != Everything:
		return using
	case s.LacksHolders():
		return Syscalls
	case s.stamped*100 >= s.Hits*99:
		return Stamps
	}
	return Locks
}

// LacksHolders reports whether nothing but syscalls tells of write sections, though there may
// be lock_starts.
func (s *Survey) LacksHolders() bool { return !s.holds && s.calls > 0 }

// Stamped is how many hits have an arrive row.
func (s *Survey) Stamped() int64 { return s.stamped }

// StartCost is what recording a lock_start with a callchain mostly takes, in ns.
func (s *Survey) StartCost() int64 { return s.gaps.start[1].Median }

// WorstLosses are the stretches that lost most, in order of time.
func (s *Survey) WorstLosses() []Loss { return s.losses.since(s.Start) }

// LossyNs is how much of the trace a loss may have changed.
func (s *Survey) LossyNs() int64 { return s.losses.length(s.Start, s.End) }

// Unseen is how many lookups returns tell of that no hit shows.
func (s *Survey) Unseen() int64 { return s.unseen }

// ProbeEvents counts the events of hits by probe. It must not be changed.
func (s *Survey) ProbeEvents() map[string]int64 { return s.probes }

// HitEvents is how many events the hits have.
func (s *Survey) HitEvents() int64 { return s.hitEvents }

// Undecided is of how many lookups it is unknown whether the kernel took the lock.
func (s *Survey) Undecided() int64 { return s.undecided }

// Partly warns of what only a part of the trace was recorded with, "" for nothing.
func (s *Survey) Partly() string { return s.partly }
