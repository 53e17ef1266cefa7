package replay

import (
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
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
	entry      []sim.Time // of a trap by int3, by CPU
	order      []int      // CPUs in the order that a placement fills them

	threads []*recordedThread // by Operation.Thread, nil for those that are over
	alive   []int32           // those that are not
	read    int               // operations
	tasks   []*simThread      // by Task.ID
	placed  int               // threads that a placement gave a CPU
	spaces  []*ownSpace       // by Space.Index,
	here    struct {          // and that of the latest operation
		of *timeline.Space
		mm *sim.MM
	}
	replay int // number of this replay

	queue []sim.Ticket // read ahead, in order of Due from head on
	head  int
	bound sim.Time // operations that are not read yet are not due before
	ended bool     // there are none
	lead  sim.Time // by how much a trap may lie before its lookup, at most

	done      func(*timeline.Operation) // told of those that are over, where nobody else may keep them; else nil
	labels    labels
	lockDelay sim.Time // see PlayerConfig
	stamped   *Stamped

	started      int // address spaces
	refused      int64
	firstRefusal error
	unwaited     int64 // ns that sections waited for in the recording, which this replay leaves to the machine
}

func newSource(a timeline.Operations, sys *sim.System, topo *sim.Topology, s *timeline.Survey, c *PlayerConfig) *source {
	src := &source{
		operations: a, sys: sys, topo: topo, options: c.Options, survey: s, cpus: topo.CPUs(),
		labels: labels{names: []string{HitLabel}}, order: topo.Order(c.Options.Placement == Spread), replay: c.Nth, lockDelay: c.LockDelay, stamped: c.Stamped,
	}
	if r, ok := a.(*timeline.Reader); ok && c.Options.Clone <= 1 && c.Each == nil {
		src.done = r.Done
	}
	hit := &topo.Machine.Hit
	for cpu := range int32(topo.CPUs()) {
		src.entry = append(src.entry, topo.Cycles(cpu, hit.Entry(false)))
		src.lead = max(src.lead, topo.Cycles(cpu, max(hit.Entry(false), hit.Entry(true))))
	}
	return src
}

// Next is part of sim.Source. Operations come in order of their begin: a trap is
// before the lookup, by which operations are ordered.
func (s *source) Next(next *sim.Ticket) bool {
	for !s.ended && (s.head == len(s.queue) || s.queue[s.head].Due > s.bound) {
		op, ok := s.operations.Next()
		if !ok {
			s.ended = true
			break
		}
		s.expand(op)
	}
	if s.head == len(s.queue) {
		return false
	}
	*next = s.queue[s.head]
	if s.head++; s.head >= 64 && s.head*2 >= len(s.queue) {
		n := copy(s.queue, s.queue[s.head:])
		s.queue, s.head = s.queue[:n], 0
	}
	return true
}

// Err is part of sim.Source.
func (s *source) Err() error { return s.operations.Err() }

// expand makes the tickets of an operation: the recorded thread's and its clones'.
func (s *source) expand(op *timeline.Operation) {
	s.bound = max(s.bound, s.scale(op.At-s.survey.Start)-s.lead)
	if s.read++; s.read%retireEvery == 0 && len(s.options.WhatIf) == 0 && !s.options.hoard { // what-ifs move operations
		s.retire(op.At)
	}
	of := s.recorded(op.Thread)
	here := of.add(op)
	for n := range max(s.options.Clone, 1) {
		if does(n, op) {
			t := s.thread(of, n, op, here)
			s.space(op.Space)
			s.queue = append(s.queue, sim.Ticket{})
			next := &s.queue[len(s.queue)-1]
			due := s.ticket(next, t, &t.yielded, op)
			next.Due, next.Until = max(due, s.bound), s.until(t)
			s.sift()
		}
	}
}

// sift puts the last ticket of the queue where its time is; those that are due together stay
// in the order of their operations.
func (s *source) sift() {
	q := s.queue
	for i := len(q) - 1; i > s.head && q[i-1].Due > q[i].Due; i-- {
		q[i-1], q[i] = q[i], q[i-1]
	}
}

// begin is a thread that begins its next operation: so long after the one before, in ns of
// the recording, unless it is its first.
func (s *source) begin(t *simThread, at *position, op *timeline.Operation) (gap int64, first bool) {
	if op.CPU >= 0 && s.options.Placement == Recorded {
		at.cpu = s.recordedCPU(op.CPU, t.clone)
	}
	gap, first = op.At-at.last, !at.begun
	if at.last, at.begun = op.At+op.Hold+op.ReadHold, true; op.Kind != sim.OpHit {
		at.last += op.Wait
	}
	return gap, first
}

// ticket makes that of a thread's next operation, from where it is, which it leaves. due is
// when it would begin if nothing were in its way. What next has is zero.
func (s *source) ticket(next *sim.Ticket, t *simThread, at *position, op *timeline.Operation) (due sim.Time) {
	gap, first := s.begin(t, at, op)
	due = s.scale(op.At - s.survey.Start)
	if op.Kind == sim.OpHit {
		// The trap is before the lookup, which is what was reconstructed.
		entry := s.entry[at.cpu]
		if op.Trampoline != 0 {
			entry = s.topo.Cycles(at.cpu, s.topo.Machine.Hit.Entry(true))
		}
		due = max(due-entry, 0)
	}
	next.Task, next.CPU = t.task, at.cpu
	switch {
	case s.options.Timing == Original || first: // a thread begins when it did
		next.At = due + t.phase
	case s.options.Timing == Think:
		next.Gap = s.scale(max(gap, 0))
	}
	return due
}

// Waiting is part of sim.Source.
func (s *source) Waiting(task *sim.Task) sim.Ticket {
	t := s.tasks[task.ID]
	at := t.begun
	var next sim.Ticket
	s.ticket(&next, t, &at, t.next.operation(t.clone))
	return next
}

// Op is part of sim.Source.
func (s *source) Op(task *sim.Task, op *sim.Op) {
	t := s.tasks[task.ID]
	of := t.next.operation(t.clone)
	s.begin(t, &t.begun, of)
	t.next.at++
	if s.done != nil && t.doing != nil {
		s.done(t.doing)
	}
	t.doing = of
	op.Kind, op.Tag, op.MM, op.LockDelay = of.Kind, of.Origin, s.space(of.Space), s.lockDelay
	if of.Kind == sim.OpHit {
		if of.Woken > 0 && s.sys.AsRecorded() {
			op.Woken = sim.Time(of.Woken) * sim.Nanosecond
		}
		op.Addr, op.File, op.Offset, op.Trampoline = of.Addr, of.File, of.Addr%mm.PageSize, of.Trampoline
		if s.stamped != nil && of.Trampoline != 0 {
			s.stamped.place(op, s.scale(of.LookupAt-s.survey.Start))
		}
		return
	}
	op.Label = s.labels.of(of.Origin.ID, of.Origin.Kind)
	op.Hold, op.ReadHold = sim.Time(of.Hold)*sim.Nanosecond, sim.Time(of.ReadHold)*sim.Nanosecond
	if !s.sys.AsRecorded() {
		s.unwaited += of.Wait
	} else if of.Wait > 0 {
		op.Got, op.Woken = s.scale(of.At+of.Wait-s.survey.Start), sim.Time(of.Woken)*sim.Nanosecond
	}
	if t.clone > 0 {
		copied := *of.Origin // a section is told by it
		op.Tag = &copied
	}
	if c := of.Change; c != nil && t.clone == 0 { // for clones it is there already
		op.Change = func(space *mm.AddressSpace) mm.Effect { return s.make(c, space) }
		op.Locks = func(space *mm.AddressSpace) []uint32 { return c.Locks(s.replay, space) }
	}
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

// slot returns element i, growing the slice to it.
func slot[T any](list *[]T, i int) *T {
	if i >= len(*list) {
		*list = append(*list, make([]T, i+1-len(*list))...)
	}
	return &(*list)[i]
}
