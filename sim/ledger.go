package sim

import "fmt"

// Outcome is how one lookup ended: the row of the ledger that it is counted in.
// Every hit ends in exactly one.
type Outcome uint8

// Lockless and the reasons to fall back to mmap_lock, in the order of the
// speculative walk (find_active_uprobe_speculative).
const (
	Lockless     Outcome = iota // resolved without mmap_lock
	WriterActive                // the sequence was odd at the begin
	SeqChanged                  // the sequence changed before the end
	NoVMA                       // no mapping at the address
	NoFile                      // the mapping has no file
	NoUprobe                    // no uprobe at (inode, offset)
	Unconfigured                // the resolver never speculates
	NumOutcomes
)

var outcomeNames = [NumOutcomes]string{
	"lockless", "writer_active", "seq_changed", "no_vma", "no_file", "no_uprobe", "unconfigured",
}

// String returns the outcome's name in reports, such as "writer_active".
func (o Outcome) String() string {
	if o >= NumOutcomes {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames[o]
}

// Parts is where the time of one lookup, or of many, went.
type Parts struct {
	Lookup   Time // walking and comparing, with every line at hand
	Stall    Time // waiting for cache lines
	LockWait Time // blocked on mmap_lock, sleep and wake-up included
	LockHold Time // mmap_lock held for read by the lookup; overlaps Lookup and Stall
	Wasted   Time // in a speculation that failed; overlaps Lookup and Stall
	Handler  Time // trap entry and exit, handlers
}

// Add adds q to p.
func (p *Parts) Add(q Parts) {
	p.Lookup += q.Lookup
	p.Stall += q.Stall
	p.LockWait += q.LockWait
	p.LockHold += q.LockHold
	p.Wasted += q.Wasted
	p.Handler += q.Handler
}

// Sub takes q, which is of some of what p counts, out of p.
func (p *Parts) Sub(q Parts) {
	p.Lookup -= q.Lookup
	p.Stall -= q.Stall
	p.LockWait -= q.LockWait
	p.LockHold -= q.LockHold
	p.Wasted -= q.Wasted
	p.Handler -= q.Handler
}

// Resolve is the time from the start of the lookup to its answer.
func (p Parts) Resolve() Time { return p.Lookup + p.Stall + p.LockWait }
