package replay

import (
	"cmp"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Result is all that a replay found: one Run per resolver over one trace on one
// machine. Every slice is in a canonical order, so that equal inputs give equal
// bytes in every report.
type Result struct {
	Trace    TraceSummary
	Recorded *timeline.Recording // nil for a trace without lock events
	Machine  MachineSummary
	Model    int // ModelVersion
	Options  Options
	Runs     []Run // in the order asked for
	Warnings []string
	// Unknown is what the trace cannot tell (traces.Coverage). Figures of runs that rest
	// on it are there all the same: what a run makes of the rows alone.
	Unknown []Unknown
	// Crossover is where speculation begins to lose; nil where nobody asked.
	Crossover *Crossover
	// Curve is how lookups scale; likewise.
	Curve *Curve
}

// LeftOut is the part of the recorded waits that no run has: those in which nobody was seen
// with the lock, which show what recording takes, and CPUs that others had. So simulated
// waits are at least what they would be. False says that no waits were recorded.
func (r *Result) LeftOut() (sim.Time, bool) {
	if r.Recorded == nil {
		return 0, false
	}
	return r.Recorded.Unblocked.Total, true
}

// TraceSummary says what was replayed.
type TraceSummary struct {
	Path       string
	SHA256     string // of the file as given
	Events     int64
	Hits       int64 // traps at probes, which look up
	HitEvents  int64 // that these made: several, where several events share a breakpoint
	Writers    int64 // write sections of mmap_lock
	Mms        int64 // address spaces with at least one hit or writer
	Threads    int64 // threads with at least one hit or writer
	DurationNs int64
	Lost       int64
	Losses     []timeline.Loss   // the largest MaxLosses stretches with losses, in order of time
	LossyNs    int64             // in which a loss may have changed what happened, all together
	Undecided  int64             // write sections that a lost event may have changed
	Arrivals   Split             // hits whose arrival was recorded, or reconstructed
	Sections   Split             // write sections from lock events, or from the syscall model
	Guess      *timeline.Guess   // how many lookups fell back on the recorded kernel, by how late their hits are; nil where rows tell, or TakesLock
	Kernel     string            // release of the recorded kernel, "" where unknown
	TakesLock  bool              // it takes mmap_lock for each lookup, as those before 6.14 do
	BuildIDs   map[string]string // of the files that stacks are in, by path, where known
}

// Split counts what the trace itself showed against what had to be modelled.
type Split struct {
	Observed int64
	Modelled int64 // "inferred" for arrivals
}

// MachineSummary is the simulated machine's shape.
type MachineSummary struct {
	Name    string
	Profile string // its digest
	CPUs    int    // CPUs in use
	Sockets int
	SMT     int
}

// Run is one resolver's replay of the trace.
type Run struct {
	Resolver string
	Digest   uint64 // folds every decision of the run, in order

	Hits      int64
	Lookups   int64                  // that these hits made: one each, those of optimised probes two
	Outcomes  [sim.NumOutcomes]int64 // sums to Hits; index is sim.Outcome
	Parts     sim.Parts              // summed over all hits
	Undecided int64                  // hits that a lost event may have changed
	Optimised int64                  // hits of optimised probes
	// LookupFallbacks is how many lookups took mmap_lock: no fewer than hits did.
	LookupFallbacks int64
	// Of all fallbacks of the full trace, lost events included, there were at least
	// Low and at most High: those that no loss touches; and with them every
	// undecided hit, and every lost event, which may have been a hit that fell back.
	Low, High int64

	Resolve    dist.Dist // per hit: start of lookup to answer
	LockWait   dist.Dist // per hit that took the lock: blocked time
	WriterWait dist.Dist // per write section: blocked time

	LineTransfers int64 // cache lines moved between cores
	Makespan      sim.Time

	Samples []Sample // for profiles
	Blame   []Blame  // by wait, then fallbacks, largest first
	Probes  []ProbeRow
	Mms     []MmRow
	CPUs    []CPURow    // by number
	Threads []ThreadRow // by time to resolve, longest first
	Lines   []LineRow   // by transfers, largest first

	ResolveHist  []dist.Bin // of Resolve, ascending; empty bins are left out
	Series       Series     // the run over virtual time
	Spans        []Span     // by Start, then CPU, then TID; at most MaxSpans
	SpansDropped int64      // spans beyond MaxSpans

	Fault *Fault // of a resolver without some rules; else nil
}

// Fault is what a resolver without some rules answered that was wrong.
type Fault struct {
	Rules  []string // that it does without
	Judged int64    // lookups that were answered without the lock
	Wrong  int64    // of them, with what no locked lookup could have, at any instant of theirs
	First  *WrongAnswer
}

// WrongAnswer is a lookup that was.
type WrongAnswer struct {
	Row   int64 // of the trace
	TID   int32
	Comm  string
	Probe string
	At    sim.Time // of the answer
}

// Lockless is the number of hits resolved without mmap_lock.
func (r *Run) Lockless() int64 { return r.Outcomes[sim.Lockless] }

// Fallbacks is the number of hits that took mmap_lock.
func (r *Run) Fallbacks() int64 { return r.Hits - r.Lockless() }

// Sample is one row of the profile: all hits that share stack, thread, probe,
// CPU and outcome.
type Sample struct {
	Stack    []string // user frames, leaf first; as in the trace
	Probe    string
	Comm     string
	PID, TID int32
	CPU      int
	Outcome  sim.Outcome

	Hits          int64
	Parts         sim.Parts
	LineTransfers int64
	Check         *SampleCheck // of hits of optimised probes; else nil
}

// SampleCheck is the first of the two lookups of an optimised probe's hits: was the
// system call made from the trampoline?
type SampleCheck struct {
	Outcome sim.Outcome
	Parts   sim.Parts   // of it alone; Sample.Parts has both
	Lookup  sim.Outcome // of the second lookup, that of the uprobe
}

func (c *SampleCheck) compare(o *SampleCheck) int {
	switch {
	case c == nil && o == nil:
		return 0
	case c == nil:
		return -1
	case o == nil:
		return 1
	}
	return cmp.Or(cmp.Compare(c.Outcome, o.Outcome), cmp.Compare(c.Lookup, o.Lookup))
}

// Blame is what one writer's sections cost the hits: a thread doing one kind of
// operation from one stack.
type Blame struct {
	Comm     string
	PID, TID int32    // timeline.NoPID in a row of several writers
	Kind     string   // operation that took mmap_lock for write, such as "munmap"
	Stack    []string // leaf first; empty where the trace has none

	Writers   int64    // more than 1: those of one name, operation and stack, see MaxBlame
	Sections  int64    // write sections of this row
	Hold      sim.Time // mmap_lock held for write
	Fallbacks int64    // hits that fell back because of it
	Wait      sim.Time // that those hits then waited for mmap_lock
	Wasted    sim.Time // in the speculations that it spoiled
}

// MaxBlame is up to how many rows each writer has its own. Where there are more, as of a
// build or a shell script that starts programs by the hundred, those who cost no hit anything
// are summed up.
const MaxBlame = 1000

// ProbeRow is the ledger of one probe.
type ProbeRow struct {
	Probe    string
	Events   int64 // of this probe
	Hits     int64 // traps of which the first event was of this probe: they have the lookups
	Outcomes [sim.NumOutcomes]int64
	Parts    sim.Parts
	Times    HitTimes
}

// MmRow is the ledger of one address space.
type MmRow struct {
	PID      int32 // the process that owned it first
	Comm     string
	Hits     int64
	Outcomes [sim.NumOutcomes]int64
	Writers  int64
	Wait     sim.Time
	Times    HitTimes
}

// CPURow is the ledger of the hits on one CPU.
type CPURow struct {
	CPU      int
	Hits     int64
	Outcomes [sim.NumOutcomes]int64
	Times    HitTimes
}

// ThreadRow is the ledger of the hits of one thread.
type ThreadRow struct {
	Comm     string // at its first hit
	PID, TID int32
	Hits     int64
	Outcomes [sim.NumOutcomes]int64
	Times    HitTimes
}

// LineRow is the traffic on one kind of cache line, summed over address spaces.
type LineRow struct {
	Line      string // such as "mmap_lock.count"
	Accesses  int64
	Transfers int64
	Stall     sim.Time
	Pairs     []LinePair // who fought for it, by stall, longest first; they add up to the row
}

// LinePair is the traffic on a kind of line between two kinds of operations: "lookup", or
// what took mmap_lock. Took had to have a line that was not there, because Had had it or
// wrote to it.
type LinePair struct {
	Had, Took string
	Transfers int64
	Stall     sim.Time
}

// Series cuts a run into slices of equal length. The first starts at time 0.
type Series struct {
	Step   sim.Time // length of a slice
	Slices []Slice  // at most MaxSlices
}

// MaxSlices is how many slices a Series has at most.
const MaxSlices = 512

// Slice is what happened in one slice of a Series. Hits count where they arrive.
type Slice struct {
	Outcomes [sim.NumOutcomes]int64 // sums to the slice's hits
	Resolve  sim.Time               // of these hits
	LockWait sim.Time               // likewise
	Held     sim.Time               // mmap_lock held for write, summed over address spaces
}

// Hits is how many there were.
func (s *Slice) Hits() (n int64) {
	for _, of := range s.Outcomes {
		n += of
	}
	return n
}

// Double makes slices twice as long.
func (s *Series) Double() {
	s.Step *= 2
	for i := range s.Slices {
		if i == 0 {
			continue
		}
		from := s.Slices[i]
		s.Slices[i] = Slice{}
		to := &s.Slices[i/2]
		for o, n := range from.Outcomes {
			to.Outcomes[o] += n
		}
		to.Resolve += from.Resolve
		to.LockWait += from.LockWait
		to.Held += from.Held
	}
	s.Slices = s.Slices[:(len(s.Slices)+1)/2]
}

// SpanKind says what a Span shows.
type SpanKind uint8

const (
	SectionSpan  SpanKind = iota // a write section, from the request for mmap_lock
	FallbackSpan                 // a hit that took mmap_lock after a failed speculation
)

// Span is one bar on a thread's track of the timeline.
type Span struct {
	Kind       SpanKind
	PID, TID   int32
	Comm       string
	CPU        int
	Start, End sim.Time
	LockedAt   sim.Time // mmap_lock was got; Start to LockedAt is waiting

	Op      string      // SectionSpan: the operation, such as "munmap"
	Probe   string      // FallbackSpan
	Outcome sim.Outcome // FallbackSpan: the reason
	Blame   int         // FallbackSpan: index into Spans of the section to blame; -1: not there
}

// MaxSpans is how many spans a Run keeps, the first ones: about what a timeline
// viewer loads without delay.
const MaxSpans = 20_000
