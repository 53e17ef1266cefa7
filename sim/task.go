package sim

import (
	"slices"

	"github.com/replay/replay/sim/protocol"
)

// resume is a step of a task: it does what happens at this instant and ends with
// exactly one call that says when the task goes on (touch, work, delay, block or
// finish). Steps are package-level functions, so that no step allocates.
type resume func(s *System, t *Task)

type taskState uint8

const (
	idle    taskState = iota // between operations
	ready                    // waits for its CPU
	running                  // on its CPU
	asleep                   // waits for a lock
)

// Task is one simulated thread.
type Task struct {
	ID  int32
	cpu int32

	state   taskState
	waiting int    // operations that are issued and have not started
	first   Ticket // of the first of them
	last    Time   // end of the operation before
	op      Op     // the one that runs,
	ticket  Ticket // and its ticket, if it repeats
	until   Time   // no further operation is due after it

	next   resume // what to do at the next evRun
	gen    uint32 // guards evRun against events overtaken by a rescheduling
	line   *line  // held busy until the next evRun
	ranAt  Time   // got its CPU
	slept  bool   // waits for its CPU since it was woken
	stores int    // buffered stores on their way

	draining  bool // an atomic waits for the buffered stores
	drain     request
	drainLine *line

	motion motion

	wait      waiter // at most one lock is waited for
	hit       HitRecord
	walk      walk
	regs      protocol.Registers // of walk
	section   Section
	vmas      []uint32 // of section, still to be write-locked
	version   uint64   // of the address space by which they were found
	since     Time     // the first of them is waited for
	locked    Time     // spent on such waits
	transfers int64
	lookup    *Lookup // of hit, the one that runs
	look      look    // the same, to the oracle
	account   bool    // stalls count for lookup.Parts
	flight    flight
}

// Idle reports whether the task has no operation that was issued.
func (t *Task) Idle() bool { return t.state == idle && t.waiting == 0 && t.stores == 0 }

func (t *Task) addStall(d Time) {
	if t.account {
		t.lookup.Parts.Stall += d
	}
}

// cpu is one logical CPU: the task on it and those that want it.
type cpu struct {
	current *Task
	queue   []*Task
}

// push queues an event for a time and a CPU.
func (s *System) push(at Time, cpu int32, e event) {
	s.queueDirect() // the event may come before
	e.when = s.place(at, cpu, e.task, e.kind)
	s.events.push(e, s.now)
}

// runAt continues t at the given time. When nothing can happen before, it does
// not go through the queue: see Run.
func (s *System) runAt(t *Task, at Time) {
	t.gen++
	s.continueAt(t, at, evRun)
}

// continueAt has t go on at the given time, for one of the two reasons of System.directKind.
func (s *System) continueAt(t *Task, at Time, kind eventKind) {
	e := event{when: s.place(at, t.cpu, t, kind), task: t, gen: t.gen, kind: kind}
	if s.direct == nil && s.mayPass(at) && (s.events.empty() || e.before(s.events.first())) {
		s.direct, s.directAt, s.directKind = t, e.when, kind
		return
	}
	s.queueDirect()
	s.events.push(e, s.now)
}

// mayPass reports whether the machine can go on to a time without a look at the
// source.
func (s *System) mayPass(at Time) bool {
	return s.due == Never || s.due > at && len(s.expecting) == 0
}

// queueDirect moves a task that was to continue directly into the queue.
func (s *System) queueDirect() {
	if t := s.direct; t != nil {
		s.direct = nil
		s.events.push(event{when: s.directAt, task: t, gen: t.gen, kind: s.directKind}, s.now)
	}
}

// delay lets t spend a given time on its CPU, whatever the frequency.
func (s *System) delay(t *Task, d Time, next resume) {
	t.next = next
	s.runAt(t, s.now+d)
}

// work lets t compute n core cycles. While the SMT sibling computes too, both
// are slower.
func (s *System) work(t *Task, n int64, next resume) {
	t.next = next
	t.motion.clear()
	t.motion.add(s.topo.Cycles(t.cpu, n), true)
	s.move(t)
}

// enqueue makes t want its CPU. One that slept goes to an idle CPU, else before those
// that had their time, since it lags behind them (place_entity keeps the lag).
func (s *System) enqueue(t *Task) {
	t.slept = t.state == ready
	if t.slept && !s.asRecorded && s.cpus[t.cpu].current != nil {
		t.cpu = s.idleCPU(t.cpu)
	}
	c := &s.cpus[t.cpu]
	if c.current == nil || s.asRecorded {
		s.dispatch(c, t)
		return
	}
	t.state = ready
	at := len(c.queue)
	for t.slept && at > 0 && !c.queue[at-1].slept {
		at--
	}
	c.queue = slices.Insert(c.queue, at, t)
	if running := c.current; running.spins() {
		s.limitSpin(running)
	}
}

// idleCPU is the nearest idle CPU to one that is taken, or that one.
func (s *System) idleCPU(taken int32) int32 {
	best, nearest := taken, NumDistances
	for i := range s.cpus {
		if cpu := int32(i); s.cpus[i].current == nil {
			if d := s.topo.distance(taken, cpu); d < nearest {
				best, nearest = cpu, d
			}
		}
	}
	return best
}

// needResched is the kernel's need_resched(): others want t's CPU and its time slice is
// used up, or it only spins and one that slept wants it (wakeup_preempt).
func (s *System) needResched(t *Task) bool { return s.now >= s.reschedAt(t) }

// reschedAt is when t's CPU goes to another, as far as is known now.
func (s *System) reschedAt(t *Task) Time {
	queue := s.cpus[t.cpu].queue
	switch {
	case len(queue) == 0:
		return Never
	case queue[0].slept && t.spins():
		return s.now
	}
	return t.ranAt + s.machine.Lock.TimeSlice
}

// dispatch puts t on its CPU.
func (s *System) dispatch(c *cpu, t *Task) {
	s.onto(c, t, t)
	t.state, t.slept = running, false
	t.ranAt = s.now
	s.runAt(t, s.now)
}

// onto makes t the one that its core's other thread feels, or nobody, on the CPU of by.
func (s *System) onto(c *cpu, by, t *Task) {
	if core := s.coreOf(by); core != nil {
		s.follow(core)
		if len(core.moving) > 0 {
			s.unplan(core)
		}
	}
	c.current = t
}

// leave takes t off its CPU, which goes to the first that waits.
func (s *System) leave(t *Task, state taskState) {
	t.state = state
	c := &s.cpus[t.cpu]
	if c.current == t {
		s.onto(c, t, nil)
	}
	if len(c.queue) == 0 {
		return
	}
	next := c.queue[0]
	copy(c.queue, c.queue[1:])
	c.queue[len(c.queue)-1] = nil
	c.queue = c.queue[:len(c.queue)-1]
	s.dispatch(c, next)
}

// issue takes an operation in and starts it when its task is free.
func (s *System) issue(next *Ticket) {
	t := next.Task
	t.until = max(t.until, next.Until)
	if t.waiting++; t.waiting > 1 {
		return
	}
	t.first = *next
	if t.state == idle {
		s.expecting = removeTask(s.expecting, t)
		s.arm(t)
	}
}

// due is when the first waiting operation of t may begin.
func (t *Task) due() Time { return max(t.first.At, t.last+t.first.Gap) }

// arm schedules the first waiting operation of an idle task.
func (s *System) arm(t *Task) {
	if t.first.CPU >= 0 {
		t.cpu = t.first.CPU
	}
	s.continueAt(t, max(s.now, t.due()), evIssue)
}

// start begins the first waiting operation of a task that has its CPU.
func start(s *System, t *Task) {
	t.op = Op{Task: t, At: t.first.At}
	if s.source.Op(t, &t.op); t.op.Repeat {
		t.ticket = t.first
	}
	if t.waiting--; t.waiting > 0 {
		t.first = s.source.Waiting(t)
	}
	s.begin(t)
}

// finish ends t's operation. The next one follows at once when it is due, on the
// same CPU, and the time slice is not used up while others wait.
func (s *System) finish(t *Task) {
	s.begun--
	t.last = s.now
	if t.op.Repeat && t.waiting == 0 {
		t.first, t.waiting = t.ticket, 1
		s.queued++
	}
	if t.waiting > 0 {
		if cpu := t.first.CPU; t.due() <= s.now && (cpu < 0 || cpu == t.cpu) && !s.needResched(t) {
			t.next = start
			s.runAt(t, s.now)
			return
		}
	}
	s.leave(t, idle)
	t.next = start
	if t.waiting > 0 {
		s.arm(t)
	} else if s.closed && t.until >= s.due {
		s.expecting = append(s.expecting, t)
	}
}
