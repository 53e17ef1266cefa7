package timeline

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// Recording is what the recorded kernel did, from its lock events alone: no model
// has a part in it. A wait is from a thread's lock_start to its lock_acquired, so
// recording the lock_start is part of it: see Unblocked. A hold is from
// lock_acquired to lock_released, a downgrade in between included.
type Recording struct {
	Hits    int64
	Lookups int64 // that these hits made, and Unseen
	Unseen  int64 // those that returns alone tell of, see Survey.Unseen

	Sections int64 // holds for write,
	Writers  int64 // the threads that had them,
	Spaces   int64 // and the address spaces

	// Untimed says that lock_starts were recorded, but not who got the lock when: nothing is
	// known of waits and holds.
	Untimed bool

	// Outcomes is false where the lock events do not tell which of them are of
	// lookups. Then Fallbacks, LockWait and ReaderWait are unknown.
	Outcomes   bool
	Fallbacks  int64     // lookups that took the lock
	LockWait   dist.Dist // of those
	ReaderWait dist.Dist // of all other readers: page faults, /proc, ptrace
	WriterWait dist.Dist

	// InWay is the part of all waits, by what was wanted, in which somebody was seen with
	// the lock.
	InWay ByAccess
	// Unblocked are those of all waits in which nobody was seen with the lock. They
	// show what recording a lock_start takes, where all holders were recorded.
	Unblocked dist.Dist
	// Foreign is the part of all waits behind threads of other processes.
	Foreign sim.Time
	Refused int64 // times that a thread did not get the lock: a trylock, or a fatal signal
	Unended int64 // waits and holds whose end is not in the trace: left out

	Longest *LongestWait // nil where nobody waited
	Waiters []Waiter     // by total, longest first
	Holders []Holder     // that were in the way of waits, by BlockedTime, longest first

	OverTime LockSeries
	Worst    []*Wait // the longest, longest first
	Near     []*Wait // those nearest to Watch.At, for which it was asked
	// Waits and Holds are for a timeline, by At: those that met another first of all.
	Waits        []*Wait
	Holds        []*Hold
	SpansDropped int64 // waits and holds beyond what a timeline shows
}

// Access is what mmap_lock is wanted for.
type Access string

// The kinds of access.
const (
	LookupAccess Access = "lookup" // for read, by a lookup that failed
	ReadAccess   Access = "read"
	WriteAccess  Access = "write"
)

// ByAccess is a time by what the lock was wanted for.
type ByAccess struct{ Lookup, Read, Write sim.Time }

func (b *ByAccess) of(a Access) *sim.Time {
	switch a {
	case LookupAccess:
		return &b.Lookup
	case ReadAccess:
		return &b.Read
	}
	return &b.Write
}

// Total is that of all.
func (b ByAccess) Total() sim.Time { return b.Lookup + b.Read + b.Write }

// NoPID stands for a process that was not recorded.
const NoPID = -1

// Waiter is what one thread waited for one kind of access.
type Waiter struct {
	Comm     string
	PID, TID int32 // PID may be NoPID
	Access   Access
	Wait     dist.Dist
}

// Holder is a thread doing one kind of operation from one stack, which had
// mmap_lock while others waited for it.
type Holder struct {
	Comm     string
	PID, TID int32 // PID may be NoPID
	Kind     string
	Write    bool     // it was taken for write; it may have been downgraded
	Stack    []string // leaf first; empty where the trace has none

	Hold dist.Dist // of all its holds
	// Blocked is how many waits it was in the way of, and BlockedTime how long. Where
	// several readers had the lock at once, each was in the way.
	Blocked     int64
	BlockedTime sim.Time
}

// LongestWait is the longest wait of all, and the hold that was in its way longest.
type LongestWait struct {
	Comm     string
	PID, TID int32
	Access   Access
	Kind     string
	At       sim.Time // since the start of the recording
	Wait     sim.Time
	InWay    sim.Time // of Wait: somebody was seen with the lock

	Holder    *Holder  // without its figures; nil where nobody was seen with the lock
	HolderFor sim.Time // of Wait: it was in the way
	Hold      sim.Time // of that one hold; 0 where its end is not in the trace
}

// Record reads the whole trace for what the recorded kernel did; nil without lock events.
// Single waits and holds of its timeline are of a stretch of it, as in Config.
func Record(ctx context.Context, trace Trace, s *Survey, from, to sim.Time) (*Recording, error) {
	return Watched(ctx, trace, s, watching.within(from, to))
}

// recorded is what was gathered, or nil without lock events; unknown is what the trace
// cannot tell.
func (r *lockBook) recorded(unknown []traces.Unknown) *Recording {
	if !r.rows {
		return nil
	}
	out := &Recording{
		Hits: r.hits, Lookups: r.hits, Untimed: !r.timed, Outcomes: len(traces.Unknowns(unknown, traces.UnknownOutcomes)) == 0, Fallbacks: r.fallbacks,
		LockWait: r.lookups.Dist(), ReaderWait: r.readers.Dist(), WriterWait: r.writers.Dist(), Unblocked: r.unblocked.Dist(),
		Foreign: sim.Time(r.foreign) * sim.Nanosecond, Refused: r.refused, Unended: r.unended,
		Sections: r.sections, Writers: int64(len(r.writingTIDs)), Spaces: int64(len(r.writtenSpace)),
	}
	out.InWay = r.inWay
	for _, m := range r.mms {
		out.Unended += int64(len(m.waits) + len(m.holds))
	}
	for _, w := range r.waiters {
		if w.wait.Count > 0 {
			out.Waiters = append(out.Waiters, Waiter{w.key.comm, w.key.pid, w.key.tid, w.key.access, w.wait.Dist()})
		}
	}
	for _, h := range r.holders {
		if h.blocked > 0 {
			out.Holders = append(out.Holders, h.holder())
		}
	}
	out.sort()
	if len(r.diary.worst) > 0 {
		out.Longest = r.diary.worst[0].longest(r.start)
	}
	out.OverTime = r.series
	r.diary.fill(out, r.start)
	return out
}

func (w *lockWait) longest(start int64) *LongestWait {
	k := &w.row.key
	l := &LongestWait{
		Comm: k.comm, PID: k.pid, TID: k.tid, Access: k.access, Kind: w.kind,
		At: sim.Time(w.start-start) * sim.Nanosecond, Wait: sim.Time(w.ns) * sim.Nanosecond, InWay: sim.Time(w.inWay) * sim.Nanosecond,
	}
	if most := w.most(); most != nil {
		h := most.hold
		of := &h.row.key
		l.Holder = &Holder{Comm: of.comm, PID: of.pid, TID: of.tid, Kind: of.kind, Write: of.write, Stack: h.row.stack}
		l.HolderFor, l.Hold = sim.Time(most.ns)*sim.Nanosecond, sim.Time(h.ns)*sim.Nanosecond
	}
	return l
}

func (h *holderRow) holder() Holder {
	k := &h.key
	return Holder{
		Comm: k.comm, PID: k.pid, TID: k.tid, Kind: k.kind, Write: k.write, Stack: h.stack,
		Hold: h.hold.Dist(), Blocked: h.blocked, BlockedTime: sim.Time(h.blockedNs) * sim.Nanosecond,
	}
}

func (r *Recording) sort() {
	slices.SortFunc(r.Waiters, func(a, b Waiter) int {
		return cmp.Or(-cmp.Compare(a.Wait.Total, b.Wait.Total), cmp.Compare(a.TID, b.TID), cmp.Compare(a.PID, b.PID),
			strings.Compare(a.Comm, b.Comm), cmp.Compare(a.Access, b.Access))
	})
	slices.SortFunc(r.Holders, func(a, b Holder) int {
		return cmp.Or(-cmp.Compare(a.BlockedTime, b.BlockedTime), -cmp.Compare(a.Blocked, b.Blocked), cmp.Compare(a.TID, b.TID),
			cmp.Compare(a.PID, b.PID), strings.Compare(a.Comm, b.Comm), strings.Compare(a.Kind, b.Kind),
			cmp.Compare(index(a.Write), index(b.Write)), slices.Compare(a.Stack, b.Stack))
	})
}
