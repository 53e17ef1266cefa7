package traces

import (
	"slices"

	"github.com/replay/replay/traces/recent"
)

// Joined reports whether the event is a hit that shares its trap, and so the one
// lookup of that, with an earlier one.
func (e *Event) Joined() bool { return e.Kind == Hit && e.Has&ColTrap != 0 }

// Traps finds the hits that one trap made. Several events may sit on one breakpoint:
// aliases of a function, one event opened twice, an event with and one without
// arguments. handler_chain runs their handlers one after the other, for one lookup.
//
// Hits of a thread at one address are of one trap until one of their events comes
// again: every trap runs every handler once. Another row of the thread in between
// begins a new trap too, since the thread was elsewhere; rows of locks do not, unless
// they are a lookup's, for a handler that fetches arguments may fault.
//
// Limits: where filters let events through by turns, so that no trap shows two, traps
// that lie closer together than handlersMax count as one.
type Traps struct {
	threads recent.Map[int32, openTrap]
}

// openTrap is the latest trap of a thread.
type openTrap struct {
	open bool // nothing of the thread came since
	seq  int64
	time int64 // of its latest event
	addr uint64
	seen []emitter
	// head is the event that began the thread's first trap of several events at addr:
	// handlers always run in one order, so that it begins the others, too. Where an
	// event was lost, what follows falls into step again.
	head emitter
}

// emitter is one of the events that sit on a breakpoint: by its number where the
// source tells, else by its name.
type emitter struct {
	number int32
	probe  string
}

// handlersMax is how much at most lies between two events of one trap, in ns. Handlers
// take a few hundred; a thread that is preempted between them comes late.
const handlersMax = 1_000_000

// trapColumns are what Traps goes by, besides the time, seq and kind.
const trapColumns = ColTID | ColAddr | ColProbe | ColInUprobe

// Join takes the next row in order, with its Seq, and sets Trap where the row shares a
// trap with an earlier one. number says which of the recorder's events the row is of,
// 0 where that is not known. again says that the event is there twice, under one name,
// and that this is the second hit of one trap. A Trap that the row has stays.
func (t *Traps) Join(ev *Event, number int32, again bool) {
	if !ev.Got(ColTID) {
		return
	}
	o := t.threads.Get(ev.TID)
	if ev.Kind != Hit {
		if o != nil && (!ev.Kind.IsLock() || ev.InUprobe) {
			o.open = false
		}
		return
	}
	if o == nil {
		o = &openTrap{}
		t.threads.Set(ev.TID, o)
	}
	e := emitter{number: number}
	if number == 0 {
		e.probe = ev.Probe
	}
	switch {
	case ev.Got(ColTrap) && ev.Trap == o.seq:
	case ev.Got(ColTrap):
		o.begin(ev, ev.Trap)
	case o.open && ev.Got(ColAddr) && ev.Addr == o.addr && ev.Time-o.time <= handlersMax && (again || e != o.head && !slices.Contains(o.seen, e)):
		ev.Trap = o.seq
		ev.Has |= ColTrap
		if o.head == (emitter{}) {
			o.head = o.seen[0]
		}
	default:
		o.begin(ev, ev.Seq)
	}
	o.time = ev.Time
	o.seen = append(o.seen, e)
}

// begin begins the trap of row seq, with the first event that is seen of it.
func (o *openTrap) begin(ev *Event, seq int64) {
	if ev.Addr != o.addr {
		o.head = emitter{}
	}
	o.open, o.seq, o.addr, o.seen = ev.Got(ColAddr), seq, ev.Addr, o.seen[:0]
}

// Relink keeps Trap right where rows get other numbers, or the first of a trap is left
// out: then the next takes its place.
type Relink struct {
	threads recent.Map[int32, link]
}

// link is the latest trap of a thread: its number before, and now.
type link struct{ from, to int64 }

// Move gives the row the number seq, and Trap the number that its trap has now.
func (r *Relink) Move(ev *Event, seq int64) {
	if ev.Kind == Hit {
		r.hit(ev, seq)
	}
	ev.Seq = seq
}

func (r *Relink) hit(ev *Event, seq int64) {
	from := ev.Seq
	if ev.Got(ColTrap) {
		from = ev.Trap
		if l := r.threads.Get(ev.TID); l != nil && l.from == from {
			ev.Trap = l.to
			return
		}
		ev.Trap = 0
		ev.Has &^= ColTrap
	}
	r.Name(ev, from, seq)
}

// Name says that the trap that began with row from of ev's thread now begins with row
// to.
func (r *Relink) Name(ev *Event, from, to int64) {
	l := r.threads.Get(ev.TID)
	if l == nil {
		l = &link{}
		r.threads.Set(ev.TID, l)
	}
	*l = link{from, to}
}
