package replay

import (
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// source hands the reconstructed actions to the simulator: it names simulated
// threads, places them on CPUs, scales time, makes clones, and has the address spaces
// of this replay.
type source struct {
	actions actions
	sys     *sim.System
	options *Options
	survey  *survey
	cpus    int
	topo    *sim.Topology
	order   []int // CPUs in the order that a placement fills them

	threads [][]*simThread // by action.who, then clone
	spaces  []*ownSpace    // by process.index
	replay  uint32         // the bit of change.made that is this replay's
	tasks   int
	placed  int

	queue []sim.Ticket // read ahead, in order of Due from head on
	head  int
	kept  keptActions // of tickets whose operations have not begun
	bound sim.Time    // operations that are not read yet are not due before
	ended bool        // there are none
	lead  sim.Time    // by how much a trap may lie before its lookup, at most

	occupancy *occupancy // where somebody wants to know who ran where
	passed    int64      // ns: the time of the action before, which the simulation has reached
	// lockDelay is what the recorder spent on each lock_start of a lookup.
	lockDelay sim.Time
	stamped   *stampedLookups // where lookups lie as recorded, not as they are simulated
	stealable bool            // the pace of threads tells what was stolen from them

	started      int // address spaces
	refused      int64
	firstRefusal error
}

// actions yields reconstructed actions in order of time.
type actions interface {
	next() (action, bool)
	failed() error // why next returned false early, nil at the end of the trace
}

// simThread is a simulated thread and where it is.
type simThread struct {
	task   *sim.Task
	tid    int32
	survey *threadSurvey // of the recorded thread, or nil
	until  sim.Time      // when the recorded thread did its last thing
	cpu    int32
	phase  sim.Time // of a clone: how far behind the recorded thread
	last   int64    // ns: the recorded time of its operation before
	begun  bool
}

func newSource(a actions, sys *sim.System, topo *sim.Topology, o *Options, s *survey, replay int) *source {
	src := &source{
		actions: a, sys: sys, topo: topo, options: o, survey: s, cpus: topo.CPUs(),
		order: topo.Order(o.Placement == Spread), replay: 1 << replay,
	}
	hit := &topo.Machine.Hit
	for cpu := range topo.CPUs() {
		src.lead = max(src.lead, topo.Cycles(int32(cpu), max(hit.Entry(false), hit.Entry(true))))
	}
	return src
}

// Next is part of sim.Source. Operations come in order of their begin: a trap is
// before the lookup, by which actions are ordered.
func (s *source) Next() (sim.Ticket, bool) {
	for !s.ended && (s.head == len(s.queue) || s.queue[s.head].Due > s.bound) {
		a, ok := s.actions.next()
		if !ok {
			s.ended = true
			break
		}
		if o := s.occupancy; o != nil {
			o.forget(s.passed)
			s.passed = a.at
		}
		s.expand(&a)
	}
	if s.head == len(s.queue) {
		return sim.Ticket{}, false
	}
	next := s.queue[s.head]
	if s.head++; s.head*2 >= len(s.queue) {
		n := copy(s.queue, s.queue[s.head:])
		s.queue, s.head = s.queue[:n], 0
	}
	return next, true
}

// Err is part of sim.Source.
func (s *source) Err() error { return s.actions.failed() }

// expand makes the tickets of an action: the recorded thread's and its clones'. A clone
// changes nothing of the address space, it is there already.
func (s *source) expand(a *action) {
	at := s.scale(a.at - s.survey.start)
	s.bound = max(s.bound, at-s.lead)
	clones := max(s.options.Clone, 1)
	if a.kind == sim.OpApply {
		clones = 1
	}
	ref := s.kept.add(a, clones)
	for clone := range clones {
		s.insert(s.ticket(a, at, clone, ref))
	}
}

// insert puts a ticket where its time is; those that are due together stay in the order
// of their actions.
func (s *source) insert(next sim.Ticket) {
	s.queue = append(s.queue, next)
	i := len(s.queue) - 1
	for i > s.head && s.queue[i-1].Due > next.Due {
		s.queue[i] = s.queue[i-1]
		i--
	}
	s.queue[i] = next
}

// ticket is that of an action's clone; ref is the number of the action.
func (s *source) ticket(a *action, at sim.Time, clone int, ref uint64) sim.Ticket {
	t := s.thread(a, clone)
	s.space(a.proc)
	if a.kind == sim.OpHit {
		// The trap is before the lookup, which is what was reconstructed.
		at = max(at-s.topo.Cycles(t.cpu, s.topo.Machine.Hit.Entry(a.trampoline != 0)), 0)
	}
	next := sim.Ticket{Task: t.task, CPU: t.cpu, Due: max(at, s.bound), At: at + t.phase, Until: s.until(t), Ref: ref<<cloneBits | uint64(clone)}
	s.pace(&next, t, a)
	return next
}

// cloneBits of a ticket's reference are the number of the clone, the rest that of the
// action.
const cloneBits = 16

// Op is part of sim.Source.
func (s *source) Op(ref uint64) sim.Op {
	a, clone := s.kept.take(ref>>cloneBits), ref&(1<<cloneBits-1)
	op := sim.Op{
		Kind: a.kind, Tag: a.origin, MM: s.space(a.proc), Addr: a.addr, File: a.file, Offset: a.offset, Trampoline: a.trampoline,
		LockDelay: s.lockDelay,
		Hold:      sim.Time(a.hold) * sim.Nanosecond, ReadHold: sim.Time(a.readHold) * sim.Nanosecond,
	}
	if clone > 0 && a.kind != sim.OpHit {
		copied := *a.origin // a section is told by it
		op.Tag = &copied
	}
	if s.stamped != nil && a.trampoline != 0 {
		s.stamped.place(&op, s.scale(a.lookupAt-s.survey.start))
	}
	if c := a.change; c != nil && clone == 0 {
		op.Change = func(space *mm.AddressSpace) mm.Effect { return s.make(c, space) }
	}
	return op
}

// keptActions are actions by number, until all their operations have begun.
type keptActions struct {
	blocks []*keptBlock // nil where all have begun
	first  uint64       // number of the first block
	next   uint64       // number of the next action
}

type keptBlock struct {
	actions [keptBlockActions]action
	left    int // operations that have not begun
}

const keptBlockActions = 256

// add keeps an action of so many operations and returns its number.
func (k *keptActions) add(a *action, operations int) uint64 {
	n := k.next
	k.next++
	block := int(n/keptBlockActions - k.first)
	if block == len(k.blocks) {
		if block > 0 && k.blocks[block-1].left == 0 {
			k.drop(uint64(block - 1))
			block = int(n/keptBlockActions - k.first)
		}
		k.blocks = append(k.blocks, &keptBlock{})
	}
	b := k.blocks[block]
	b.actions[n%keptBlockActions] = *a
	b.left += operations
	return n
}

// take returns an action of which one more operation begins. It is valid until the next
// call of add.
func (k *keptActions) take(n uint64) *action {
	block := n/keptBlockActions - k.first
	b := k.blocks[block]
	if b.left--; b.left == 0 && block+1 < uint64(len(k.blocks)) {
		k.drop(block)
	}
	return &b.actions[n%keptBlockActions]
}

// drop forgets a block, all of whose operations have begun.
func (k *keptActions) drop(block uint64) {
	k.blocks[block] = nil
	for len(k.blocks) > 0 && k.blocks[0] == nil {
		k.blocks = k.blocks[1:]
		k.first++
	}
}

// pace turns the time of a ticket into a gap for closed loops.
func (s *source) pace(next *sim.Ticket, t *simThread, a *action) {
	gap := a.at - t.last
	first := !t.begun
	t.last, t.begun = a.at+a.hold+a.readHold, true
	if s.options.Timing == Original || first { // a thread begins when it did
		return
	}
	next.At = 0
	if s.options.Timing == Think {
		next.Gap = s.scale(max(gap, 0))
	}
}

// stolen is the CPU time that a thread loses on average while it spends lockDelay:
// mostly none, but now and then a lot. It makes a wait longer, but does not decide
// whether the lock is free by then. The pace of threads is known from lock events;
// a delay that was found without them includes what was stolen.
func (s *source) stolen(tid int32) sim.Time {
	if t := s.survey.threads[tid]; t != nil && s.stealable {
		return s.lockDelay * sim.Time(t.stolenPermille()-1000) / 1000
	}
	return 0
}

// until is when the recorded thread did its last thing.
func (s *source) until(t *simThread) sim.Time {
	if t.survey == nil {
		return s.bound
	}
	return t.until
}

// make makes a change that this replay has not made yet.
func (s *source) make(c *change, space *mm.AddressSpace) mm.Effect {
	if c.made.Or(s.replay)&s.replay != 0 {
		return mm.Effect{}
	}
	if c.kind == traces.Fork {
		s.own(c.child).space.Inherit(space)
		return mm.Effect{}
	}
	effect, err := c.apply(space)
	if err != nil {
		if s.refused++; s.firstRefusal == nil {
			s.firstRefusal = err
		}
	}
	return effect
}

// scale converts ns of the recording to virtual time at the speed asked for.
func (s *source) scale(ns int64) sim.Time {
	ns = max(ns, 0)
	if s.options.SpeedPPM == 1_000_000 {
		return sim.Time(ns) * sim.Nanosecond
	}
	whole, rest := ns/s.options.SpeedPPM, ns%s.options.SpeedPPM
	return sim.Time(whole)*1_000_000*sim.Nanosecond + sim.Time(rest*1_000_000/s.options.SpeedPPM)*sim.Nanosecond
}

// ownSpace is the address space of a process in this replay.
type ownSpace struct {
	space mm.AddressSpace
	sim   *sim.MM // nil before its first operation
}

func (s *source) own(p *process) *ownSpace {
	at := slot(&s.spaces, int(p.index))
	if *at == nil {
		*at = &ownSpace{}
	}
	return *at
}

func (s *source) space(p *process) *sim.MM {
	own := s.own(p)
	if own.sim == nil {
		s.started++
		own.sim = s.sys.NewMM(int32(s.started), &own.space)
	}
	return own.sim
}

// slot returns element i, growing the slice to it.
func slot[T any](list *[]T, i int) *T {
	if i >= len(*list) {
		*list = append(*list, make([]T, i+1-len(*list))...)
	}
	return &(*list)[i]
}

// thread returns the simulated thread of an action's clone, on its CPU.
func (s *source) thread(a *action, clone int) *simThread {
	at := slot(slot(&s.threads, int(a.who)), clone)
	t := *at
	if t == nil {
		cpu := s.place(a, clone)
		t = &simThread{task: s.sys.NewTask(int32(s.tasks), cpu), tid: a.origin.TID, survey: s.survey.threads[a.origin.TID], cpu: cpu}
		s.tasks++
		if t.survey != nil {
			t.until = s.scale(t.survey.end - s.survey.start)
		}
		t.phase = s.phase(t, clone)
		*at = t
	}
	if s.options.Placement == Recorded && a.cpu >= 0 {
		t.cpu = s.recorded(a.cpu, clone)
	}
	return t
}

// place picks a new thread's CPU.
func (s *source) place(a *action, clone int) int32 {
	switch s.options.Placement {
	case Recorded:
		return s.recorded(max(a.cpu, 0), clone)
	case RoundRobin:
		s.placed++
		return int32((s.placed - 1) % s.cpus)
	}
	s.placed++
	return int32(s.order[(s.placed-1)%len(s.order)])
}

// recorded is the recorded CPU of a thread. Its clones are on the CPUs after
// those of the recording, so that they share one only when there are too few.
func (s *source) recorded(cpu int32, clone int) int32 {
	return int32((int(cpu) + clone*s.survey.cpus) % s.cpus)
}

// phase is how far a clone runs behind: a share of the thread's mean gap between
// hits, so that the clones of a steady thread lie evenly between its hits.
func (s *source) phase(of *simThread, clone int) sim.Time {
	t := of.survey
	if clone == 0 || t == nil || t.hits < 2 {
		return sim.Time(clone) * sim.Microsecond
	}
	mean := (t.last - t.first) / (t.hits - 1)
	return s.scale(mean) * sim.Time(clone) / sim.Time(max(s.options.Clone, 1))
}
