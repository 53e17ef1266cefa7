package sim

import "github.com/replay/replay/sim/protocol"

// Outcome is how one lookup ended: the row of the ledger that it is counted in.
// Every hit ends in exactly one.
type Outcome = protocol.Outcome

// Lockless and the reasons to fall back to mmap_lock.
const (
	Lockless     = protocol.Lockless
	WriterActive = protocol.WriterActive
	SeqChanged   = protocol.SeqChanged
	NoVMA        = protocol.NoVMA
	NoFile       = protocol.NoFile
	NoUprobe     = protocol.NoUprobe
	Unconfigured = protocol.Unconfigured
	NumOutcomes  = protocol.NumOutcomes
)

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
func (p *Parts) Add(q *Parts) {
	p.Lookup += q.Lookup
	p.Stall += q.Stall
	p.LockWait += q.LockWait
	p.LockHold += q.LockHold
	p.Wasted += q.Wasted
	p.Handler += q.Handler
}

// Sub takes q, which is of some of what p counts, out of p.
func (p *Parts) Sub(q *Parts) {
	p.Lookup -= q.Lookup
	p.Stall -= q.Stall
	p.LockWait -= q.LockWait
	p.LockHold -= q.LockHold
	p.Wasted -= q.Wasted
	p.Handler -= q.Handler
}

// Resolve is the time from the start of the lookup to its answer.
func (p *Parts) Resolve() Time { return p.Lookup + p.Stall + p.LockWait }
