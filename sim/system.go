package sim

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/replay/replay/sim/mm"
)

// MaxQueuedOps bounds the operations that a closed-loop run may hold for threads
// that are behind. Reaching it means that threads drift apart without bound.
const MaxQueuedOps = 16 << 20

// ErrQueue is returned when MaxQueuedOps is reached.
var ErrQueue = errors.New("too many operations queued for threads that are behind")

// Config is what a System is made of.
type Config struct {
	Topology *Topology
	Resolver *Resolver
	Seed     uint64
	Probes   *mm.Uprobes // keyed by file and offset; shared by all address spaces
	Observer Observer
	// AsRecorded says that every operation comes at a time and on a CPU where its
	// thread really ran: the recorded scheduler has shared the CPUs already, and
	// two threads that overlap on one had their turns within what was recorded.
	AsRecorded bool
	// Stepwise executes each step of each lookup by itself, which takes longer and comes
	// to the same: for tests.
	Stepwise bool
}

// Source yields operations. Due times do not decrease.
type Source interface {
	// Next fills in the ticket of the next operation, and returns false after the last one.
	Next(*Ticket) bool
	// Waiting returns once more the ticket of the first operation of a task that was
	// yielded and has not begun. There is one. Where a thread is behind, millions may
	// wait: the source knows best how to keep them.
	Waiting(*Task) Ticket
	// Op fills in that operation, which begins now. What it leaves is zero.
	Op(*Task, *Op)
	// Err is why Next returned false early, nil at the end of the trace.
	Err() error
}

// Observer is told of what happened, in the order of the end of operations.
type Observer interface {
	Hit(*HitRecord)
	Section(*Section)
}

// System is a machine in motion: CPUs, tasks, address spaces and the queue of
// events. It is used by one goroutine.
type System struct {
	topo     *Topology
	machine  *Machine
	resolver *Resolver
	probes   *mm.Uprobes
	observer Observer
	rand     PRNG

	now    Time
	seq    uint64
	events eventQueue
	cpus   []cpu
	// coreCPU is one CPU of each core, siblingCPU the other thread or -1.
	coreCPU    []int32
	siblingCPU []int32
	cores      []core
	unplanned  []*core // whose next arrival is not known

	turn       when  // the event that is handled
	direct     *Task // continues at directAt, before anything in events,
	directAt   when
	directKind eventKind // by its next step (evRun), or since an operation is due (evIssue)
	until      Time      // RunFor stops then

	source    Source
	pending   *Ticket // next of source
	after     *Ticket // room for the one after it
	due       Time
	expecting []*Task // idle, with operations still to come (closed loop)
	queued    int     // operations issued and not begun
	begun     int     // operations begun and not ended
	closed    bool

	waiting    waitPool
	stats      [NumRoles]LineStats
	pairs      [NumRoles][MaxLabels][MaxLabels]pairStats // had, took
	global     globalLines
	digest     uint64
	oracle     int64 // answers judged,
	wrong      int64 // and found wrong
	asRecorded bool
	handled    uint64

	vmaLocks bool // the resolver takes them
	stepwise bool
	mms      []*MM
	sole     sole // scratch
	lone     loneHits
	flights  int    // under way
	flown    int    // that began
	epoch    uint64 // of the lines that speculations read and all address spaces share
}

// NewSystem returns a machine at time 0, with nothing to do.
func NewSystem(c Config) *System {
	s := &System{
		topo: c.Topology, machine: c.Topology.Machine, resolver: c.Resolver, probes: c.Probes, observer: c.Observer,
		rand: NewPRNG(c.Seed), cpus: make([]cpu, c.Topology.CPUs()), digest: fnvOffset, due: Never, asRecorded: c.AsRecorded, vmaLocks: c.Resolver.locksVMAs(), stepwise: c.Stepwise,
	}
	s.coreCPU = make([]int32, s.machine.Sockets*s.machine.CoresPerSocket)
	s.cores = make([]core, len(s.coreCPU))
	s.siblingCPU = make([]int32, len(s.cpus))
	first := make(map[int32]int32, len(s.cpus))
	for i := range s.cpus {
		cpu, core := int32(i), s.topo.cpus[i].core
		s.siblingCPU[i] = -1
		if other, ok := first[core]; ok {
			s.siblingCPU[i], s.siblingCPU[other] = other, cpu
			continue
		}
		first[core], s.coreCPU[core] = cpu, cpu
	}
	s.global.init()
	s.pending, s.after = &Ticket{}, &Ticket{}
	return s
}

// NewTask adds a thread on the CPU.
// No two have the same id, which is below 1<<26: what they do at one instant on one CPU
// is ordered by it.
func (s *System) NewTask(id, cpu int32) *Task {
	if id < 0 || id >= maxThreads {
		panic(fmt.Sprintf("sim: thread %d: at most %d have a place in the order of events", id, maxThreads))
	}
	return &Task{ID: id, cpu: cpu, next: start}
}

// Now is the current virtual time.
func (s *System) Now() Time { return s.now }

// AsRecorded is Config.AsRecorded.
func (s *System) AsRecorded() bool { return s.asRecorded }

// Digest folds every decision so far.
func (s *System) Digest() uint64 { return s.digest }

// Lines returns the traffic by role.
func (s *System) Lines() [NumRoles]LineStats {
	for _, m := range s.mms {
		for _, c := range m.courses {
			s.used(c)
		}
	}
	return s.stats
}

// Checked is the number of lockless answers that the oracle judged. Wrong is how many of
// them no locked lookup could have given: without all rules there may be some.
func (s *System) Checked() int64 { return s.oracle }
func (s *System) Wrong() int64   { return s.wrong }

// cancelInterval is how many events pass between looks at the context.
const cancelInterval = 1 << 16

// Run executes every operation of src and returns when the machine is idle. With
// closed set, operations are issued by gaps after the one before of their
// thread, and the source is read ahead as far as some thread needs it. What cannot be is
// a [Fault].
func (s *System) Run(ctx context.Context, src Source, closed bool) error {
	if err := s.run(ctx, src, closed, Never); err != nil {
		return err
	}
	return src.Err()
}

// RunFor is Run, but stops in mid-motion at the given time; a later call goes on.
func (s *System) RunFor(ctx context.Context, src Source, closed bool, until Time) error {
	return s.run(ctx, src, closed, until)
}

func (s *System) run(ctx context.Context, src Source, closed bool, until Time) (err error) {
	defer s.caught(&err)
	s.until = until
	if s.source == nil {
		s.source, s.closed = src, closed
		s.advance()
	}
	for s.now < until {
		if s.handled++; s.handled%cancelInterval == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.direct != nil {
			s.goOn()
			if len(s.unplanned) > 0 {
				s.plan()
			}
			continue
		}
		if err := s.feed(); err != nil {
			return err
		}
		if s.direct != nil {
			continue
		}
		if s.events.empty() {
			return s.checkIdle()
		}
		e := s.events.pop()
		s.now, s.turn = e.at, e.when
		s.handle(&e)
		if len(s.unplanned) > 0 {
			s.plan()
		}
	}
	return nil
}

// ErrStuck is returned when threads wait for what nobody will do, for want of a rule.
var ErrStuck = errors.New("threads wait for ever")

// checkIdle holds that a machine that stands still has done everything. With all rules, a
// thread that waits for what nobody will do is a mistake of this package.
func (s *System) checkIdle() error {
	if s.queued > 0 || s.begun > 0 {
		if len(s.resolver.Off) > 0 {
			return fmt.Errorf("%w: at %v, %d operations that had begun cannot end", ErrStuck, s.now, s.begun)
		}
		panic(fmt.Sprintf("sim: stuck at %v: %d operations begun and not ended, %d not begun", s.now, s.begun, s.queued))
	}
	return nil
}

// advance reads the next operation of the source.
func (s *System) advance() {
	if !s.source.Next(s.pending) {
		s.due = Never
		return
	}
	s.due = s.pending.Due
}

// feed issues what is due before the next event. In a closed loop it also reads
// ahead for every thread that has nothing to do but will have.
func (s *System) feed() error {
	for s.due != Never {
		for len(s.expecting) > 0 && s.expecting[0].until < s.due {
			s.expecting = s.expecting[1:]
		}
		if !s.events.empty() && s.due > s.events.first().at && !(s.closed && len(s.expecting) > 0) {
			return nil
		}
		next := s.pending
		s.pending = s.after
		s.advance() // first, so that it is known what comes after
		s.issue(next)
		s.after = next
		if s.queued++; s.queued > MaxQueuedOps {
			return fmt.Errorf("%w: more than %d; use --timing original", ErrQueue, MaxQueuedOps)
		}
		if s.direct != nil {
			return nil
		}
	}
	return nil
}

// goOn is the event that did not go through the queue.
func (s *System) goOn() {
	t := s.direct
	s.direct, s.now, s.turn = nil, s.directAt.at, s.directAt
	if s.directKind == evIssue {
		// Where its CPU was free it begins at once, unless a thread of the core may arrive first.
		if s.enqueue(t); s.direct != t || s.directAt.at != s.now || len(s.unplanned) > 0 {
			return
		}
		s.direct, s.turn = nil, s.directAt
	}
	s.step(t)
}

func (s *System) handle(e *event) {
	t := e.task
	switch e.kind {
	case evRun:
		if e.gen == t.gen {
			s.step(t)
		}
	case evIssue, evWake:
		s.enqueue(t)
	case evStore:
		s.storeDone(t, e.line)
	case evSpin:
		if e.gen == t.wait.gen {
			spinExpired(s, t)
		}
	case evResched:
		if e.gen == t.wait.gen {
			s.spinResched(t)
		}
	}
}

// step continues t.
func (s *System) step(t *Task) {
	if t.motion.on {
		s.arrive(t)
	}
	if l := t.line; l != nil {
		t.line = nil
		s.free(l)
	}
	t.next(s, t)
}

// storeDone ends a buffered store; an atomic that waited for it goes on.
func (s *System) storeDone(t *Task, l *line) {
	s.free(l)
	t.stores--
	if t.stores > 0 || !t.draining {
		return
	}
	t.draining = false
	waited := s.now - t.drain.since
	t.addStall(waited)
	if t.drainLine == nil {
		s.runAt(t, s.now)
		return
	}
	s.stats[t.drainLine.role].Accesses--
	s.touch(t, t.drainLine, t.drain.kind, t.next)
}

// FNV-1a, 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// fnvPowers are the powers of fnvPrime: a zero byte is a multiplication by it.
var fnvPowers = func() (p [9]uint64) {
	p[0] = 1
	for i := range 8 {
		p[i+1] = p[i] * fnvPrime
	}
	return p
}()

// fold adds a decision to the digest: the bytes of each value, lowest first. Most of
// them are leading zeros, which are one multiplication together.
func (s *System) fold(values ...uint64) {
	d := s.digest // in a register
	for _, v := range values {
		zeros := bits.LeadingZeros64(v) / 8
		for range 8 - zeros {
			d = (d ^ v&0xff) * fnvPrime
			v >>= 8
		}
		d *= fnvPowers[zeros]
	}
	s.digest = d
}
