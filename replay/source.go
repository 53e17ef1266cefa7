package replay

import (
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// source hands the reconstructed operations to the simulator: it names simulated
// threads, places them on CPUs, scales time, makes clones, and has the address spaces
// of this replay.
type source struct {
	operations timeline.Operations
	sys        *sim.System
	options    *Options
	survey     *timeline.Survey
	cpus       int
	topo       *sim.Topology
	order      []int // CPUs in the order that a placement fills them

	threads [][]*simThread // by operation.who, then clone
	spaces  []*ownSpace    // by process.index
	replay  int            // number of this replay
	tasks   int
	placed  int

	queue []sim.Ticket // read ahead, in order of Due from head on
	head  int
	kept  keptOperations // of tickets whose operations have not begun
	bound sim.Time       // operations that are not read yet are not due before
	ended bool           // there are none
	lead  sim.Time       // by how much a trap may lie before its lookup, at most

	lockDelay sim.Time // see PlayerConfig
	stamped   *Stamped

	started      int // address spaces
	refused      int64
	firstRefusal error
}

// simThread is a simulated thread and where it is.
type simThread struct {
	task   *sim.Task
	tid    int32
	survey *timeline.ThreadSurvey // of the recorded thread, or nil
	until  sim.Time               // when the recorded thread did its last thing
	cpu    int32
	phase  sim.Time // of a clone: how far behind the recorded thread
	last   int64    // ns: the recorded time of its operation before
	begun  bool
}

func newSource(a timeline.Operations, sys *sim.System, topo *sim.Topology, s *timeline.Survey, c *PlayerConfig) *source {
	src := &source{
		operations: a, sys: sys, topo: topo, options: c.Options, survey: s, cpus: topo.CPUs(),
		order: topo.Order(c.Options.Placement == Spread), replay: c.Nth, lockDelay: c.LockDelay, stamped: c.Stamped,
	}
	hit := &topo.Machine.Hit
	for cpu := range topo.CPUs() {
		src.lead = max(src.lead, topo.Cycles(int32(cpu), max(hit.Entry(false), hit.Entry(true))))
	}
	return src
}

// Next is part of sim.Source. Operations come in order of their begin: a trap is
// before the lookup, by which operations are ordered.
func (s *source) Next() (sim.Ticket, bool) {
	for !s.ended && (s.head == len(s.queue) || s.queue[s.head].Due > s.bound) {
		a, ok := s.operations.Next()
		if !ok {
			s.ended = true
			break
		}
		s.expand(a)
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
func (s *source) Err() error { return s.operations.Err() }

// expand makes the tickets of an operation: the recorded thread's and its clones'. A clone
// changes nothing of the address space, it is there already.
func (s *source) expand(a *timeline.Operation) {
	at := s.scale(a.At - s.survey.Start)
	s.bound = max(s.bound, at-s.lead)
	clones := max(s.options.Clone, 1)
	if a.Kind == sim.OpApply {
		clones = 1
	}
	ref := s.kept.add(a, clones)
	for clone := range clones {
		s.insert(s.ticket(a, at, clone, ref))
	}
}

// insert puts a ticket where its time is; those that are due together stay in the order
// of their operations.
func (s *source) insert(next sim.Ticket) {
	s.queue = append(s.queue, next)
	i := len(s.queue) - 1
	for i > s.head && s.queue[i-1].Due > next.Due {
		s.queue[i] = s.queue[i-1]
		i--
	}
	s.queue[i] = next
}

// ticket is that of an operation's clone; ref is the number of the operation.
func (s *source) ticket(a *timeline.Operation, at sim.Time, clone int, ref uint64) sim.Ticket {
	t := s.thread(a, clone)
	s.space(a.Space)
	if a.Kind == sim.OpHit {
		// The trap is before the lookup, which is what was reconstructed.
		at = max(at-s.topo.Cycles(t.cpu, s.topo.Machine.Hit.Entry(a.Trampoline != 0)), 0)
	}
	next := sim.Ticket{Task: t.task, CPU: t.cpu, Due: max(at, s.bound), At: at + t.phase, Until: s.until(t), Ref: ref<<cloneBits | uint64(clone)}
	s.pace(&next, t, a)
	return next
}

// cloneBits of a ticket's reference are the number of the clone, the rest that of the
// operation.
const cloneBits = 16

// Op is part of sim.Source.
func (s *source) Op(ref uint64) sim.Op {
	a, clone := s.kept.take(ref>>cloneBits), ref&(1<<cloneBits-1)
	op := sim.Op{
		Kind: a.Kind, Tag: a.Origin, MM: s.space(a.Space), Addr: a.Addr, File: a.File, Offset: a.Addr % mm.PageSize, Trampoline: a.Trampoline,
		LockDelay: s.lockDelay,
		Hold:      sim.Time(a.Hold) * sim.Nanosecond, ReadHold: sim.Time(a.ReadHold) * sim.Nanosecond,
	}
	if clone > 0 && a.Kind != sim.OpHit {
		copied := *a.Origin // a section is told by it
		op.Tag = &copied
	}
	if s.stamped != nil && a.Trampoline != 0 {
		s.stamped.place(&op, s.scale(a.LookupAt-s.survey.Start))
	}
	if c := a.Change; c != nil && clone == 0 {
		op.Change = func(space *mm.AddressSpace) mm.Effect { return s.make(c, space) }
		op.Locks = func(space *mm.AddressSpace) []uint32 { return c.Locks(s.replay, space) }
	}
	return op
}

// keptOperations are operations by number, until all their operations have begun.
type keptOperations struct {
	blocks []*keptBlock // nil where all have begun
	first  uint64       // number of the first block
	next   uint64       // number of the next operation
}

type keptBlock struct {
	operations [keptBlockSize]timeline.Operation
	left       int // operations that have not begun
}

const keptBlockSize = 256

// add keeps an operation of so many operations and returns its number.
func (k *keptOperations) add(a *timeline.Operation, operations int) uint64 {
	n := k.next
	k.next++
	block := int(n/keptBlockSize - k.first)
	if block == len(k.blocks) {
		if block > 0 && k.blocks[block-1].left == 0 {
			k.drop(uint64(block - 1))
			block = int(n/keptBlockSize - k.first)
		}
		k.blocks = append(k.blocks, &keptBlock{})
	}
	b := k.blocks[block]
	b.operations[n%keptBlockSize] = *a
	b.left += operations
	return n
}

// take returns an operation of which one more operation begins. It is valid until the next
// call of add.
func (k *keptOperations) take(n uint64) *timeline.Operation {
	block := n/keptBlockSize - k.first
	b := k.blocks[block]
	if b.left--; b.left == 0 && block+1 < uint64(len(k.blocks)) {
		k.drop(block)
	}
	return &b.operations[n%keptBlockSize]
}

// drop forgets a block, all of whose operations have begun.
func (k *keptOperations) drop(block uint64) {
	k.blocks[block] = nil
	for len(k.blocks) > 0 && k.blocks[0] == nil {
		k.blocks = k.blocks[1:]
		k.first++
	}
}

// pace turns the time of a ticket into a gap for closed loops.
func (s *source) pace(next *sim.Ticket, t *simThread, a *timeline.Operation) {
	gap := a.At - t.last
	first := !t.begun
	t.last, t.begun = a.At+a.Hold+a.ReadHold, true
	if s.options.Timing == Original || first { // a thread begins when it did
		return
	}
	next.At = 0
	if s.options.Timing == Think {
		next.Gap = s.scale(max(gap, 0))
	}
}

// until is when the recorded thread did its last thing.
func (s *source) until(t *simThread) sim.Time {
	if t.survey == nil {
		return s.bound
	}
	return t.until
}

// make makes a change that this replay has not made yet.
func (s *source) make(c *timeline.Change, space *mm.AddressSpace) mm.Effect {
	if !c.First(s.replay) {
		return mm.Effect{}
	}
	if c.Kind == traces.Fork {
		s.own(c.Child).space.Inherit(space)
		return mm.Effect{}
	}
	effect, err := c.Apply(space)
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

func (s *source) own(p *timeline.Space) *ownSpace {
	at := slot(&s.spaces, int(p.Index))
	if *at == nil {
		*at = &ownSpace{}
	}
	return *at
}

func (s *source) space(p *timeline.Space) *sim.MM {
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

// thread returns the simulated thread of an operation's clone, on its CPU.
func (s *source) thread(a *timeline.Operation, clone int) *simThread {
	at := slot(slot(&s.threads, int(a.Thread)), clone)
	t := *at
	if t == nil {
		cpu := s.place(a, clone)
		t = &simThread{task: s.sys.NewTask(int32(s.tasks), cpu), tid: a.Origin.TID, survey: s.survey.Threads[a.Origin.TID], cpu: cpu}
		s.tasks++
		if t.survey != nil {
			t.until = s.scale(t.survey.End - s.survey.Start)
		}
		t.phase = s.phase(t, clone)
		*at = t
	}
	if s.options.Placement == Recorded && a.CPU >= 0 {
		t.cpu = s.recorded(a.CPU, clone)
	}
	return t
}

// place picks a new thread's CPU.
func (s *source) place(a *timeline.Operation, clone int) int32 {
	switch s.options.Placement {
	case Recorded:
		return s.recorded(max(a.CPU, 0), clone)
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
	return int32((int(cpu) + clone*s.survey.CPUs) % s.cpus)
}

// phase is how far a clone runs behind: a share of the thread's mean gap between
// hits, so that the clones of a steady thread lie evenly between its hits.
func (s *source) phase(of *simThread, clone int) sim.Time {
	t := of.survey
	if clone == 0 || t == nil || t.Hits < 2 {
		return sim.Time(clone) * sim.Microsecond
	}
	mean := (t.Last - t.First) / (t.Hits - 1)
	return s.scale(mean) * sim.Time(clone) / sim.Time(max(s.options.Clone, 1))
}
