package timeline

import (
	"fmt"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// Using says which rows of a trace may be used to reconstruct it.
type Using uint8

const (
	Everything Using = iota // what the trace has
	Locks                   // lock events for sections and arrivals; no outcomes
	Syscalls                // no lock event at all
	Stamps                  // lock events for sections, arrive rows for arrivals; no outcomes
)

var usingNames = []string{"everything", "locks", "syscalls", "stamps"}

// String is the name of it in options and reports.
func (u Using) String() string { return usingNames[u] }

// ParseUsing reads stamps, locks or syscalls; auto is Everything.
func ParseUsing(s string) (Using, error) {
	switch s {
	case "auto":
		return Everything, nil
	case "stamps":
		return Stamps, nil
	case "locks":
		return Locks, nil
	case "syscalls":
		return Syscalls, nil
	}
	return 0, fmt.Errorf("%q: want stamps, locks, syscalls or auto", s)
}

// Config says what a reconstruction goes by, and who wants to know of it.
type Config struct {
	Using    Using
	Profile  *machines.Profile
	Progress func(rows int64) // told now and then how many rows are behind it; may be nil
	Observer Observer         // may be nil
	Record   bool             // what the recorded kernel did is wanted, see Reconstruction.Recording
	// Queue has sections of lock events begin when their threads asked for the lock, where
	// somebody was seen with it, and tells how they then came to have it. Without it they
	// begin when they were had, so that nobody's wait is simulated but lookups'. Without lock
	// events calls queue, see callOrder.
	Queue    bool
	From, To sim.Time // of its single waits and holds, those in this stretch; To is 0 for the end
}

// Observer is told of what a reconstruction meets, in the order of the rows.
type Observer interface {
	// Row is a row, unless it shares its trap with an earlier one. waited says that it
	// is of a hit whose lookup fell back, or of its second lookup after the first did:
	// its time and CPU tell how that went. The event is valid during the call.
	Row(ev *traces.Event, waited bool)
	// Section is a section of mmap_lock that lock events show, other than a lookup's. It is
	// told at its end, and valid during the call.
	Section(h *Section)
}

// Section is a section of mmap_lock as lock events show it. Times are ns.
type Section struct {
	PID   int32
	Write bool // at first, until Even
	// It was asked for, was had from Odd on, for write until Even, and until Released.
	// One for read has all of it for read.
	Asked, Odd, Even, Released int64
	// Call is the kind of the syscall that its thread was in before, in the section
	// model, or ""; CallFrom and CallTo are its entry and exit.
	Call             string
	CallFrom, CallTo int64
}
