package replay

import (
	"github.com/replay/replay/sim"
)

// source hands the reconstructed actions to the simulator: it names simulated
// threads, places them on CPUs, scales time and makes clones.
type source struct {
	rec     *reconstructor
	sys     *sim.System
	options *Options
	survey  *survey
	cpus    int
	topo    *sim.Topology
	order   []int // CPUs in the order that a placement fills them

	tasks  map[taskKey]*simThread
	placed int
	queue  []sim.Op // of the action handed out last: one for each clone
	due    sim.Time
	passed int64 // ns: the time of the action before, which the simulation has reached
	// lockDelay is what the recorder spent on each lock_start of a lookup.
	lockDelay sim.Time
	stamped   *stampedLookups // where lookups lie as recorded, not as they are simulated
	started   int
}

// taskKey names a simulated thread. Thread ids are used again, so that the
// process is part of it.
type taskKey struct {
	tid, pid int32
	clone    int
}

// simThread is a simulated thread and where it is.
type simThread struct {
	task  *sim.Task
	cpu   int32
	phase sim.Time // of a clone: how far behind the recorded thread
	last  int64    // ns: the recorded time of its operation before
	begun bool
}

func newSource(rec *reconstructor, sys *sim.System, topo *sim.Topology, o *Options, s *survey) *source {
	return &source{
		rec: rec, sys: sys, topo: topo, options: o, survey: s, cpus: topo.CPUs(),
		order: topo.Order(o.Placement == Spread), tasks: map[taskKey]*simThread{},
	}
}

// Next is part of sim.Source.
func (s *source) Next() (sim.Op, bool) {
	if len(s.queue) == 0 {
		a, ok := s.rec.next()
		if !ok {
			return sim.Op{}, false
		}
		if o := s.rec.occupancy; o != nil {
			o.forget(s.passed)
			s.passed = a.at
		}
		s.expand(&a)
	}
	op := s.queue[0]
	s.queue = s.queue[1:]
	return op, true
}

// Err is part of sim.Source.
func (s *source) Err() error { return s.rec.err }

// expand makes the operations of an action: the recorded thread's and its
// clones'. A clone changes nothing of the address space, it is there already.
func (s *source) expand(a *action) {
	s.queue = s.queue[:0]
	at := s.scale(a.at - s.survey.start)
	for clone := range max(s.options.Clone, 1) {
		if clone > 0 && a.kind == sim.OpApply {
			break
		}
		s.queue = append(s.queue, s.operation(a, at, clone))
	}
	if len(s.queue) > 1 {
		s.sortQueue()
	}
}

// sortQueue keeps due times in order: clones are behind the recorded thread.
func (s *source) sortQueue() {
	for i := range s.queue {
		s.due = max(s.due, s.queue[0].Due)
		s.queue[i].Due = s.due
	}
}

func (s *source) operation(a *action, at sim.Time, clone int) sim.Op {
	t := s.thread(a, clone)
	origin := a.origin
	if clone > 0 && a.kind != sim.OpHit {
		copied := *origin // a section is told by it
		origin = &copied
	}
	s.due = max(s.due, at)
	if a.kind == sim.OpHit {
		// The trap is before the lookup, which is what was reconstructed.
		at = max(at-s.topo.Cycles(t.cpu, s.topo.Machine.Hit.Entry(a.trampoline != 0)), 0)
	}
	op := sim.Op{
		Task: t.task, Kind: a.kind, CPU: t.cpu, Due: s.due, At: at + t.phase, Tag: origin, MM: s.space(a.proc),
		Until: s.until(a), Addr: a.addr, File: a.file, Offset: a.offset, Trampoline: a.trampoline,
		LockDelay: s.lockDelay,
		Hold:      sim.Time(a.hold) * sim.Nanosecond, ReadHold: sim.Time(a.readHold) * sim.Nanosecond,
	}
	if s.stamped != nil && a.trampoline != 0 {
		s.stamped.place(&op, s.scale(a.lookupAt-s.survey.start))
	}
	if a.change != nil && clone == 0 {
		op.Change = a.change.run
	}
	s.pace(&op, t, a)
	return op
}

// pace turns the time of an operation into a gap for closed loops.
func (s *source) pace(op *sim.Op, t *simThread, a *action) {
	gap := a.at - t.last
	first := !t.begun
	t.last, t.begun = a.at+a.hold+a.readHold, true
	if s.options.Timing == Original {
		return
	}
	if s.options.Timing == ASAP {
		op.At = 0
		return
	}
	if !first {
		op.At, op.Gap = 0, s.scale(max(gap, 0))
	}
}

// stolen is the CPU time that a thread loses on average while it spends lockDelay:
// mostly none, but now and then a lot. It makes a wait longer, but does not decide
// whether the lock is free by then. The pace of threads is known from lock events;
// a delay that was found without them includes what was stolen.
func (s *source) stolen(tid int32) sim.Time {
	if t := s.survey.threads[tid]; t != nil && s.rec.using != Syscalls {
		return s.lockDelay * sim.Time(t.stolenPermille()-1000) / 1000
	}
	return 0
}

// until is when the recorded thread did its last thing.
func (s *source) until(a *action) sim.Time {
	if t := s.survey.threads[a.origin.TID]; t != nil {
		return s.scale(t.end - s.survey.start)
	}
	return s.due
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

func (s *source) space(p *process) *sim.MM {
	if p.sim == nil {
		s.started++
		p.sim = s.sys.NewMM(int32(s.started), p.space)
	}
	return p.sim
}

// thread returns the simulated thread of an action's clone, on its CPU.
func (s *source) thread(a *action, clone int) *simThread {
	key := taskKey{a.origin.TID, a.origin.PID, clone}
	t := s.tasks[key]
	if t == nil {
		cpu := s.place(a, clone)
		t = &simThread{task: s.sys.NewTask(int32(len(s.tasks)), cpu), cpu: cpu, phase: s.phase(a, clone)}
		s.tasks[key] = t
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
func (s *source) phase(a *action, clone int) sim.Time {
	t := s.survey.threads[a.origin.TID]
	if clone == 0 || t == nil || t.hits < 2 {
		return sim.Time(clone) * sim.Microsecond
	}
	mean := (t.last - t.first) / (t.hits - 1)
	return s.scale(mean) * sim.Time(clone) / sim.Time(max(s.options.Clone, 1))
}
