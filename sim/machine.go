package sim

import (
	"errors"
	"fmt"
)

// Limits of a Machine; reaching one is an error of NewTopology.
const (
	MaxCPUs = 1024
	MaxSMT  = 2
)

// Numbering is how firmware numbers logical CPUs.
type Numbering uint8

const (
	// SocketMajor counts the first threads of all cores, socket by socket, then
	// the second threads in the same order: 0-19 | 20-39 | 40-59 | 60-79.
	SocketMajor Numbering = iota
	// Interleaved counts like SocketMajor, with the sockets in turn: even CPUs
	// on socket 0, odd ones on socket 1.
	Interleaved
	// SiblingsAdjacent puts the threads of a core next to each other: 0,1 | 2,3.
	SiblingsAdjacent
)

var numberingNames = []string{"socket-major", "interleaved", "siblings-adjacent"}

func (n Numbering) String() string { return numberingNames[n] }

// ParseNumbering is the inverse of String.
func ParseNumbering(s string) (Numbering, error) {
	for i, name := range numberingNames {
		if s == name {
			return Numbering(i), nil
		}
	}
	return 0, fmt.Errorf("unknown CPU numbering %q: want socket-major, interleaved or siblings-adjacent", s)
}

// Distance is how far a cache line has to travel.
type Distance uint8

const (
	Own     Distance = iota // in this core's L1
	Cluster                 // another core under the same L3
	Socket                  // another L3 of the same socket
	Remote                  // another socket
	NumDistances
)

// TurboStep says how fast cores run while at most ActiveCores of a socket are busy.
type TurboStep struct {
	ActiveCores int
	KHz         int64
}

// Machine is a profile: all figures of the simulated hardware and of the kernel
// on it. Durations are Times, work is in core cycles.
type Machine struct {
	Name string

	Sockets        int
	CoresPerSocket int
	CoresPerL3     int // cores that share an L3; CoresPerSocket where all do
	SMT            int // hardware threads of a core, 1 or 2
	Numbering      Numbering

	Turbo      []TurboStep // by ActiveCores, ascending; the last one covers all cores
	SpareCores int         // busy cores of a partly used socket that the workload does not account for
	// SMTPermille is a core's throughput with both threads computing, relative to
	// one thread: 1360 means each runs at 0.68 of its speed alone.
	SMTPermille int64

	Line   LineCosts
	Lock   LockCosts
	Hit    HitCosts
	Layout Layout
}

// LineCosts says what touching a cache line costs.
type LineCosts struct {
	LoadCycles  int64 // load that hits the own L1
	StoreCycles int64 // store to an owned line
	RMWCycles   int64 // atomic read-modify-write of an owned line

	Sibling  Time               // extra for a dirty line last written by the SMT sibling
	Transfer [NumDistances]Time // moving a line from that far; Own is 0

	// QueuedPermille is the share of Transfer that a request takes which had to
	// queue: its way to the line's home agent is behind it.
	QueuedPermille int64
	// Waiter is how much longer a transfer takes for each further core that waits
	// for the same line, up to WaiterCap of them: their snoops queue at the home
	// agent too.
	Waiter    Time
	WaiterCap int64
	// LocalPermille is how often a freed line goes to a waiting core of the
	// socket that holds it although one of another socket has waited longer.
	LocalPermille int64
}

// LockCosts says what sleeping on mmap_lock costs.
type LockCosts struct {
	SleepCycles int64 // queueing, schedule() away, and coming back
	WakeCycles  int64 // what the waker spends for each task that it wakes
	WakeLatency Time  // from the wake-up to the task running, on an idle CPU
	SpinCycles  int64 // between two looks of a spinning writer
	TimeSlice   Time  // before a CPU is given to the next runnable thread
}

// HitCosts says what a hit costs besides shared lines.
type HitCosts struct {
	EntryCycles  int64 // int3 to the start of the lookup
	LookupCycles int64 // private work of the lookup: maple and rb-tree walks
	ExitCycles   int64 // handlers and the return to user mode
	// JitterPermille is how far the private work of single hits lies around its
	// mean, evenly spread: what interrupts and mispredictions do.
	JitterPermille int64
	SRCUCycles     int64 // srcu_read_lock and unlock, where a resolver has them
	// SyscallPermille is what EntryCycles and ExitCycles are of a hit of an optimised
	// probe, by system call, to those of one by int3.
	SyscallPermille int64
}

// Entry is EntryCycles of a hit of an optimised probe, or of another.
func (h *HitCosts) Entry(optimised bool) int64 { return h.way(h.EntryCycles, optimised) }

// Exit is ExitCycles of a hit of an optimised probe, or of another.
func (h *HitCosts) Exit(optimised bool) int64 { return h.way(h.ExitCycles, optimised) }

func (h *HitCosts) way(cycles int64, optimised bool) int64 {
	if optimised {
		return cycles * h.SyscallPermille / 1000
	}
	return cycles
}

// Layout says which words share a cache line, as far as it matters here.
type Layout uint8

const (
	// CountApart puts mmap_lock.count last on one line, and mmap_lock.owner with
	// mm_lock_seq on the next (mm_types.h since 6.3).
	CountApart Layout = iota
	// SeqApart puts count and owner on one line, mm_lock_seq on its own.
	SeqApart
)

var layoutNames = []string{"count-apart", "seq-apart"}

func (l Layout) String() string { return layoutNames[l] }

// ParseLayout is the inverse of String.
func ParseLayout(s string) (Layout, error) {
	for i, name := range layoutNames {
		if s == name {
			return Layout(i), nil
		}
	}
	return 0, fmt.Errorf("unknown layout %q: want count-apart or seq-apart", s)
}

// CPUs is the number of logical CPUs that the machine has.
func (m *Machine) CPUs() int { return m.Sockets * m.CoresPerSocket * m.SMT }

// Check reports what makes m unusable.
func (m *Machine) Check() error {
	switch {
	case m.Sockets < 1 || m.CoresPerSocket < 1:
		return errors.New("machine needs at least one socket and one core")
	case m.SMT < 1 || m.SMT > MaxSMT:
		return fmt.Errorf("machine has smt %d: want 1 to %d", m.SMT, MaxSMT)
	case m.CPUs() > MaxCPUs:
		return fmt.Errorf("machine has %d CPUs: at most %d are supported", m.CPUs(), MaxCPUs)
	case m.CoresPerL3 < 1 || m.CoresPerSocket%m.CoresPerL3 != 0:
		return fmt.Errorf("machine has %d cores under an L3, which does not divide the %d of a socket", m.CoresPerL3, m.CoresPerSocket)
	case m.SMTPermille < 1000 || m.SMTPermille > 2000:
		return fmt.Errorf("machine has an SMT throughput of %d permille: want 1000 to 2000", m.SMTPermille)
	case len(m.Turbo) == 0:
		return errors.New("machine has no turbo table: give at least one step")
	}
	for i, step := range m.Turbo {
		if step.KHz <= 0 || step.ActiveCores <= 0 || i > 0 && step.ActiveCores <= m.Turbo[i-1].ActiveCores {
			return fmt.Errorf("turbo step %d (%d cores, %d kHz) does not follow: active cores must rise and frequencies be positive", i+1, step.ActiveCores, step.KHz)
		}
	}
	return nil
}

// KHz returns the frequency of a socket's cores while active of them are busy.
func (m *Machine) KHz(active int) int64 {
	if active < m.CoresPerSocket {
		active += m.SpareCores
	}
	for _, step := range m.Turbo {
		if active <= step.ActiveCores {
			return step.KHz
		}
	}
	return m.Turbo[len(m.Turbo)-1].KHz
}
