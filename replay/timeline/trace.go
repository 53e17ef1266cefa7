package timeline

import "github.com/replay/replay/traces"

// Trace is a trace that can be read more than once.
type Trace interface {
	Path() string   // as the user gave it
	SHA256() string // of the file as given, hex
	Meta() traces.Meta
	// Stream reads from the start. Only the columns asked for need be filled.
	Stream(traces.Columns) (traces.Stream, error)
}

// Surveyed is a Trace that a survey may have been kept with.
type Surveyed interface {
	Trace
	// Survey is a survey of all rows that Stream gives, nil where none was kept. It is
	// the caller's.
	Survey() *Survey
}

// replayColumns is what a replay reads.
const replayColumns = traces.AllColumns &^ (traces.ColSrc | traces.ColSrcPos)

// Class is what operations have in common that are reported together: who does what,
// from where. Equal ones are one.
type Class struct {
	PID, TID int32
	Comm     string
	Kind     string // "hit", or what took mmap_lock: "munmap", "fork", "fault", "other"
	Probe    string
	Stack    []string // leaf first

	ID    int // from 0, by first appearance
	stack int // its number, see stacks
}

// Origin is where an operation came from. It travels through the simulator as
// the operation's tag, and comes back as blame.
type Origin struct {
	*Class
	Seq       int64 // of the trace row
	Time      int64 // ns, the row's
	Observed  bool  // arrival or section from lock events
	Undecided bool  // a lost event may have changed it
	// What the recorded kernel did in the lookup of the uprobe, and in the one before it
	// of an optimised probe; nil where that was lockless. For validation only.
	Truth, CheckTruth *Truth
	Untold            bool // of its thread the truth is not known, see TakeLight

	// Where arrivals are inferred: how likely the lookup fell back, in millionths, and how
	// long it then waited, in ns.
	Likely, Delay int64

	handed bool // it was handed out: it stays as it is
}

// Decided is the likelihood from which on a lookup is taken to have fallen back, in
// millionths.
const Decided = 500_000

// Truth is what the recording shows of a lookup that fell back. Nothing that decides
// an outcome may read it.
type Truth struct {
	LockStart int64 // ns
	WaitNs    int64 // from its lock_start to its lock_acquired
	// UnseenNs is the end of the wait, in ns, in which the thread had been let in, and no row
	// shows who had its CPU; 0 where that took no longer than a wake-up may.
	UnseenNs int64
}
