package assemble

import (
	"hash/maphash"
	"slices"

	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/recent"
)

// Limits of an Assembler.
const (
	// MaxHeld is how many rows may wait for one before them to be completed. Then
	// that one is given out as it is.
	MaxHeld = 1 << 20
	// MaxUnordered is how many records may wait to be put in order, for sources
	// that never say how far they are complete.
	MaxUnordered = 1 << 20
)

// Options of an Assembler.
type Options struct {
	Symbols Symbolizer // may be nil
	// Fork and Exec say that the source may record sched_process_fork and
	// sched_process_exec, so that the rows of task records wait for them.
	Fork, Exec bool
	// Relay puts records in order and gives them out as they came, by Relayed: where
	// several sources share another Assembler.
	Relay bool
	// Processes knows the processes of threads where the records do not; may be nil.
	Processes *Processes
}

// Assembler makes rows of records. It is used by one goroutine.
type Assembler struct {
	options Options
	symbols Symbolizer
	counts  Counts

	lookups []maybeLookup // whose lock is released, in order of that
	births  []birth       // forks that wait for the child, in order

	free     []*Record
	input    uint64
	latest   int64     // time of the latest record added
	unsort   []*Record // added, not in order yet
	merge    []*Record
	rows     []*Record // in order; a prefix is given out
	head     int
	seq      int64
	traps    traces.Traps
	hits     int64
	relayed  *Record
	emitters map[emitter]int32 // of inputs that do not number their events
	flushing bool              // the input is at its end
	past     int64             // time of the latest record that became a row
	pastCPU  int32             // and its CPU

	threads      recent.Map[int32, thread]
	processes    recent.Map[int32, process]
	exited       []exited
	kernelFrames map[uint64]string
	stacks       map[uint64]namedChain
	told         [stacksTold]toldStack
	seed         maphash.Seed
	scratch      []byte
}

// New returns an empty Assembler.
func New(o Options) *Assembler {
	return &Assembler{
		options: o, symbols: o.Symbols,
		kernelFrames: map[uint64]string{}, stacks: map[uint64]namedChain{}, seed: maphash.MakeSeed(), past: minTime, latest: minTime,
	}
}

const minTime = -1 << 63

// Record returns an empty record to fill and Add.
func (a *Assembler) Record() *Record {
	if n := len(a.free); n > 0 {
		r := a.free[n-1]
		a.free = a.free[:n-1]
		r.reset()
		return r
	}
	// Many at once, for the sake of the garbage collector.
	block := make([]Record, recordBlock)
	for i := range block[1:] {
		a.free = append(a.free, &block[i+1])
	}
	return &block[0]
}

// recordBlock is how many records are allocated at once.
const recordBlock = 512

// Counts returns what did not fit so far.
func (a *Assembler) Counts() Counts { return a.counts }

// Add takes a record in, which the Assembler then owns.
func (a *Assembler) Add(r *Record) {
	a.input++
	r.input = a.input
	if r.Time < a.latest {
		a.counts.Unordered++
		a.counts.DisorderNs = max(a.counts.DisorderNs, a.latest-r.Time)
	}
	a.latest = max(a.latest, r.Time)
	a.unsort = append(a.unsort, r)
	if len(a.unsort) >= MaxUnordered {
		a.unsort = a.sortRuns(a.unsort)
		a.Advance(a.unsort[len(a.unsort)/2].Time)
	}
}

// Place takes in the next record in order, for sources that put theirs in order
// themselves. The Assembler then owns it.
func (a *Assembler) Place(r *Record) { a.place(r) }

// Advance says that no record earlier than t will come any more.
func (a *Assembler) Advance(t int64) {
	a.unsort = a.sortRuns(a.unsort)
	n := 0
	for n < len(a.unsort) && a.unsort[n].Time < t {
		a.place(a.unsort[n])
		n++
	}
	a.unsort = append(a.unsort[:0], a.unsort[n:]...)
}

// Flush says that the input is at its end. Next gives out what is left, and what
// is incomplete stays so.
func (a *Assembler) Flush() {
	a.unsort = a.sortRuns(a.unsort)
	a.flushing = true
}

// flushStep is how many records Next places at once after Flush: whoever takes the
// rows works at the same time.
const flushStep = 4096

// flush places some of what is left, and at its end gives up on what is incomplete.
func (a *Assembler) flush() {
	n := min(flushStep, len(a.unsort))
	for _, r := range a.unsort[:n] {
		a.place(r)
	}
	a.unsort = a.unsort[n:]
	if n > 0 {
		return
	}
	a.flushing = false
	for _, r := range a.rows[a.head:] {
		if r.waits() {
			a.giveUp(r)
		}
	}
}

// place puts the next record in order into the rows.
func (a *Assembler) place(r *Record) {
	if r.Time < a.past || r.Time == a.past && r.cpu() < a.pastCPU {
		// Too late to be put where it belongs; it keeps its columns, and the
		// earliest place that is left.
		a.counts.Late++
		a.counts.LatestNs = max(a.counts.LatestNs, a.past-r.Time)
		r.Time = a.past
		if r.cpu() < a.pastCPU {
			r.Time++
		}
	}
	a.past, a.pastCPU = r.Time, r.cpu()
	if p := a.options.Processes; p != nil {
		p.tell(r)
		if p.replaced(r) {
			a.place(a.execBefore(r))
		}
	}
	if a.options.Relay {
		a.thread(r)
		a.rows = append(a.rows, r)
		return
	}
	for len(a.lookups) > 0 && a.lookups[0].released < a.past-lookupWait {
		if l := &a.lookups[0]; l.thread.lookup == l.row && l.row.Time == l.start {
			a.notLookup(l.thread)
		}
		a.lookups = a.lookups[1:]
	}
	if len(a.births) > 0 {
		a.unborn(a.past - birthWait)
	}
	t := a.thread(r)
	a.name(r, t)
	if t != nil {
		settle(r, t)
	}
	switch {
	case r.Phase == Naming:
		a.recycle(r)
	case r.foreign():
		a.counts.ForeignForks++
		a.recycle(r)
	case r.Phase == Leave:
		a.leave(r, t)
	case r.Phase == Unwound:
		a.unwound(r, t)
	case noRow(r, t):
		a.follow(r, t)
		a.recycle(r)
	case !r.Task && r.Kind == traces.Exec && t != nil && t.exec != nil:
		a.execed(r, t)
	default:
		a.row(r, t)
	}
}

// row gives r its place and does what its kind asks for.
func (a *Assembler) row(r *Record, t *thread) {
	a.rows = append(a.rows, r)
	if len(a.rows)-a.head > MaxHeld && a.rows[a.head].waits() {
		a.counts.ForcedOut++
		a.giveUp(a.rows[a.head])
	}
	a.nameStack(r)
	switch r.Kind {
	case traces.Hit, traces.Ret:
		a.hits++
		a.hit(r, t)
	case traces.LockStart:
		a.lockStart(r, t)
	case traces.LockReleased:
		if t != nil && t.lookup != nil {
			a.lookups = append(a.lookups, maybeLookup{t, t.lookup, t.lookup.Time, r.Time})
		}
	case traces.Map:
		a.mapped(r)
	case traces.Lost:
		a.counts.Lost += r.Ret
	case traces.Fork, traces.Exec, traces.Exit:
		a.follow(r, t)
	}
	if r.Phase == Enter {
		a.enter(r, t)
	}
	if r.Cookie != 0 {
		a.await(r, t)
	}
}

// giveUp ends the wait for what would complete r.
func (a *Assembler) giveUp(r *Record) {
	for i := range a.births {
		if b := &a.births[i]; b.row == r {
			b.child.birth = nil
			a.births = append(a.births[:i], a.births[i+1:]...)
			break
		}
	}
	if t := a.threads.Get(r.TID); t != nil {
		switch r {
		case t.call:
			t.call = nil
			a.counts.UnpairedEnters++
		case t.lookup:
			a.notLookup(t)
		case t.exec:
			t.exec = nil
		case t.fork:
			t.fork = nil
		}
		if r.awaits {
			t.awaiting = slices.DeleteFunc(t.awaiting, func(o *Record) bool { return o == r })
		}
	}
	if r.awaits {
		a.notUnwound(r)
	}
	r.pending = false
}

// Release gives back a record that is not to be added.
func (a *Assembler) Release(r *Record) { a.recycle(r) }

// Relayed is the record that Next announced last. It is the Assembler's again with the
// next call of Next.
func (a *Assembler) Relayed() *Record { return a.relayed }

// Take moves what r is into a record of this Assembler.
func (a *Assembler) Take(r *Record) *Record {
	mine := a.Record()
	*mine, *r = *r, Record{Chain: mine.Chain}
	return mine
}

// Hits is how many hits and returns became rows.
func (a *Assembler) Hits() int64 { return a.hits }

func (a *Assembler) recycle(r *Record) { a.free = append(a.free, r) }

// Next fills ev with the next row and returns true, or returns false when none is
// complete yet.
func (a *Assembler) Next(ev *traces.Event) bool {
	for a.flushing && (a.head == len(a.rows) || a.rows[a.head].waits()) {
		a.flush()
	}
	if a.head == len(a.rows) {
		a.rows = a.rows[:0]
		a.head = 0
		return false
	}
	r := a.rows[a.head]
	if r.waits() {
		return false
	}
	a.rows[a.head] = nil
	a.head++
	if a.head >= 4096 && a.head*2 >= len(a.rows) {
		a.rows = append(a.rows[:0], a.rows[a.head:]...)
		a.head = 0
	}
	if r.dropped {
		a.recycle(r)
		return a.Next(ev)
	}
	if a.options.Relay {
		if a.relayed != nil {
			a.recycle(a.relayed)
		}
		a.relayed = r
		return true
	}
	*ev = r.Event
	ev.Seq = a.seq
	a.seq++
	a.traps.Join(ev, a.emitter(r), r.Again)
	a.recycle(r)
	return true
}
