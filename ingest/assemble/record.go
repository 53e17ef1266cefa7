package assemble

import "github.com/replay/replay/traces"

// Phase says which part of a row a record is.
type Phase uint8

const (
	Whole   Phase = iota // a row of its own
	Enter                // the entry of a syscall
	Leave                // its exit: Ret is set
	Naming               // no row: the thread is called Comm from now on
	Unwound              // no row: Chain is what callchains of the thread wait for
)

// EmitterBits is how many bits of Record.Emitter are an event's number.
const EmitterBits = 17

// Record is one record of a source: a row as far as it is known, and what is
// needed to complete it.
type Record struct {
	traces.Event
	Phase Phase

	// Emitter says which of the recorder's events the record is a sample of, counted
	// from 1: two records of one trap are of two of them. It is 0 where the source does
	// not tell; then Event.Probe is all there is to go by.
	// The number is in the lowest EmitterBits; above may be that of an input.
	Emitter int32
	// Again says that the record is a hit of the trap before it, of the same event, where
	// the source has one name and no number for both.
	Again bool

	// Chain is the callchain as addresses, leaf first, to be named from the
	// mappings: the kernel's part, then the user's. Sources that name frames
	// themselves fill Event.Stack instead.
	Chain      []uint64
	ChainUser  int // index in Chain where the user's part begins
	UserIP     uint64
	UserIPPage bool // UserIP is relative to its module: only its page offset counts
	// Entry is the kernel's outermost address of a callchain that is named already, 0
	// where there is none: by which way the kernel was entered.
	Entry uint64
	// GroupDead says of an exit whether no other thread of the process was left.
	GroupDead Truth
	// Cookie is what the kernel promised the user's part of Chain under, to be told by a
	// record of the phase Unwound (PERF_RECORD_CALLCHAIN_DEFERRED); 0: it promised none.
	Cookie uint64
	// Parent is the thread that forks as sched_process_fork calls it, 0 where unknown: by its
	// id outside of all containers, while the record's own is of the recorder's namespace
	// of processes (task_pid_nr, perf_event_tid).
	Parent int32
	// Task is set when the row comes from a task record (PERF_RECORD_FORK, EXIT,
	// COMM), which counts only where the sched tracepoint is absent.
	Task bool

	input   uint64 // order of arrival
	pending bool   // the row is not complete yet
	awaits  bool   // the user's part of its callchain
	dropped bool   // there is no row: another record makes it
}

// foreign reports whether r names a child by an id of another namespace.
func (r *Record) foreign() bool {
	return r.Parent != 0 && r.Got(traces.ColTID) && r.Parent != r.TID
}

// Truth is what a source may leave untold.
type Truth uint8

const (
	Untold Truth = iota
	False
	True
)

// reset makes r as new, keeping its buffers.
func (r *Record) reset() {
	chain := r.Chain[:0]
	*r = Record{Chain: chain}
}

// compare is the order of the store, with the order of the input in place of seq.
func (r *Record) before(o *Record) bool {
	if r.Time != o.Time {
		return r.Time < o.Time
	}
	if a, b := r.cpu(), o.cpu(); a != b {
		return a < b
	}
	return r.input < o.input
}

func (r *Record) cpu() int32 {
	if r.Has&traces.ColCPU == 0 {
		return -1
	}
	return r.CPU
}

// numbered reports whether the source numbers its events.
func (r *Record) numbered() bool { return r.Emitter<<(32-EmitterBits) != 0 }

// emitter is an event of an input that has names for its events alone.
type emitter struct {
	input int32
	probe string
}

// emitter is a number for the event that r is of, 0 where its name is all there is to
// go by.
func (a *Assembler) emitter(r *Record) int32 {
	if r.numbered() || r.Emitter == 0 {
		return r.Emitter
	}
	e := emitter{r.Emitter, r.Probe}
	n, ok := a.emitters[e]
	if !ok {
		if a.emitters == nil {
			a.emitters = map[emitter]int32{}
		}
		n = -1 - int32(len(a.emitters))
		a.emitters[e] = n
	}
	return n
}
