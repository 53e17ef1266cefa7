package sim

import "slices"

// Limits of rw_semaphore (kernel/locking/rwsem.c).
const (
	// rwsemWaitTimeout is RWSEM_WAIT_TIMEOUT: a waiter older than that asks for a
	// handoff.
	rwsemWaitTimeout = 4 * Millisecond
	// maxReadersWakeup is MAX_READERS_WAKEUP.
	maxReadersWakeup = 256
	// A writer spins on a reader-owned lock for 10 µs and 0.5 µs for each reader,
	// 25 µs at most (rwsem_rspin_threshold).
	readerSpinBase = 10 * Microsecond
	readerSpinEach = Microsecond / 2
	readerSpinMax  = 25 * Microsecond
)

// rwsem is mmap_lock: count, owner, osq and wait_list of a rw_semaphore. Its
// words live on the lines of an MM; the fields here are their values.
type rwsem struct {
	readers      int32 // granted or trying, as in the count's bits 8..62
	writer       *Task
	readerOwned  bool // the owner word's reader bit: the last owner was a reader
	nonspinnable bool // the owner word's bit 1
	handoff      bool
	waiters      []*Task // wait_list, FIFO
	spinners     []*Task // osq; only the first watches the lock words
	first        *Task   // the first waiter, if it spins on the owner after it asked for a handoff
}

// waiter is a task's wait for one lock.
type waiter struct {
	mm      *MM
	write   bool
	granted bool // by the waker, on behalf of a reader
	queued  bool
	trying  bool // a spinner's atomic is on its way
	since   Time // when it queued: the 4 ms to a handoff do not include spinning
	gen     uint32
	spinEnd Time
	then    resume // after the lock is got
}

func (r *rwsem) free() bool { return r.readers == 0 && r.writer == nil }

func (r *rwsem) remove(t *Task) {
	r.waiters = removeTask(r.waiters, t)
	if len(r.waiters) == 0 {
		r.handoff = false // rwsem_del_waiter clears it with the waiters bit
	}
}

func removeTask(tasks []*Task, t *Task) []*Task {
	for i, w := range tasks {
		if w == t {
			copy(tasks[i:], tasks[i+1:])
			tasks[len(tasks)-1] = nil
			return tasks[:len(tasks)-1]
		}
	}
	return tasks
}

// downRead takes m's lock for read and continues with then (down_read).
func (s *System) downRead(t *Task, m *MM, then resume) {
	t.wait = waiter{mm: m, then: then, gen: t.wait.gen + 1}
	s.touch(t, &m.count, rmw, readTry)
}

// readTry is what the atomic add of rwsem_read_trylock decided. The add is
// unconditional: a reader that fails has counted itself all the same.
func readTry(s *System, t *Task) {
	r := &t.wait.mm.sem
	r.readers++
	if r.writer == nil && len(r.waiters) == 0 && !r.handoff {
		s.readGot(t)
		return
	}
	s.readSlow(t)
}

// readSlow is rwsem_down_read_slowpath.
func (s *System) readSlow(t *Task) {
	r := &t.wait.mm.sem
	onlyWaiters := r.readerOwned && r.readers > 1 && r.writer == nil
	if !onlyWaiters && r.writer == nil && !r.handoff {
		if r.readers == 1 && len(r.waiters) > 0 && !r.waiters[0].wait.write {
			// A stealing first reader takes the queued ones along, unless a writer is
			// before them (rwsem_mark_wake, RWSEM_WAKE_READ_OWNED).
			s.wakeReaders(t.wait.mm)
		}
		s.readGot(t)
		return
	}
	r.readers--
	if t.account && t.lookup.Blame == nil {
		t.lookup.Blame = t.wait.mm.writer // that holds the lock, or held it last
	}
	s.fold(uint64(s.now), uint64(t.ID), 'q')
	s.sleepOn(t, false)
}

// readGot ends a successful read lock: the owner word is stored.
func (s *System) readGot(t *Task) {
	m := t.wait.mm
	m.sem.readerOwned = true
	if t.account && t.wait.since > 0 {
		t.lookup.Parts.LockWait += s.now - t.wait.since
	}
	s.touch(t, m.ownerLine(), store, t.wait.then)
}

// upRead releases a read lock (up_read).
func (s *System) upRead(t *Task, m *MM, then resume) {
	t.wait = waiter{mm: m, then: then, gen: t.wait.gen + 1}
	s.touch(t, &m.count, rmw, readDone)
}

func readDone(s *System, t *Task) {
	m := t.wait.mm
	r := &m.sem
	r.readers--
	if r.readers == 0 {
		r.nonspinnable = false // rwsem_clear_nonspinnable at the next owner
	}
	s.released(t, m)
}

// downWrite takes m's lock for write and continues with then (down_write).
func (s *System) downWrite(t *Task, m *MM, then resume) {
	t.wait = waiter{mm: m, write: true, then: then, gen: t.wait.gen + 1}
	s.touch(t, &m.count, rmw, writeTry)
}

// writeTry is the fast path: the count goes from 0 to writer-locked only when no
// waiter is marked either.
func writeTry(s *System, t *Task) {
	r := &t.wait.mm.sem
	if r.free() && len(r.waiters) == 0 && !r.handoff {
		s.writeGot(t)
		return
	}
	if s.canSpin(r) && !s.needResched(t) && t.op.Got == 0 {
		r.spinners = append(r.spinners, t)
		s.limitSpin(t)
		if r.spinners[0] == t {
			s.spin(t)
		}
		return
	}
	s.fold(uint64(s.now), uint64(t.ID), 'Q')
	s.sleepOn(t, true)
}

func (s *System) writeGot(t *Task) {
	m := t.wait.mm
	m.sem.writer = t
	m.sem.readerOwned = false
	s.touch(t, m.ownerLine(), store, t.wait.then)
}

// canSpin is rwsem_can_spin_on_owner: not on a lock marked nonspinnable, nor on
// a writer that is off its CPU.
func (s *System) canSpin(r *rwsem) bool {
	return !r.nonspinnable && (r.writer == nil || r.writer.state == running)
}

// spin is the first spinner's look at the lock (rwsem_optimistic_spin). It is
// called again whenever the lock's state changes.
func (s *System) spin(t *Task) {
	r := &t.wait.mm.sem
	switch {
	case t.wait.trying:
	case s.needResched(t):
		s.stopSpinning(t)
	case r.free() && !r.handoff:
		// The words are seen free; the atomic that takes them may still fail.
		t.wait.trying = true
		t.next = spinTry
		s.delayCycles(t, s.machine.Lock.SpinCycles)
	case !s.canSpin(r):
		s.stopSpinning(t)
	case r.writer == nil && t.wait.spinEnd == 0:
		t.wait.spinEnd = s.now + min(readerSpinBase+readerSpinEach*Time(r.readers), readerSpinMax)
		s.push(t.wait.spinEnd, t.cpu, event{task: t, gen: t.wait.gen, kind: evSpin})
	}
}

func (s *System) delayCycles(t *Task, n int64) { s.runAt(t, s.now+s.topo.Cycles(t.cpu, n)) }

func spinTry(s *System, t *Task) { s.touch(t, &t.wait.mm.count, rmw, spinTake) }

func spinTake(s *System, t *Task) {
	r := &t.wait.mm.sem
	t.wait.trying = false
	if !r.free() || r.handoff {
		s.spin(t)
		return
	}
	r.writer = t
	r.dropSpinner(t)
	s.spinNext(r)
	s.writeGot(t)
}

// spinExpired marks the lock nonspinnable when its readers outlast the spinner.
func spinExpired(s *System, t *Task) {
	r := &t.wait.mm.sem
	if len(r.spinners) == 0 || r.spinners[0] != t || t.wait.trying || r.writer != nil || r.readers == 0 {
		t.wait.spinEnd = 0
		return
	}
	r.nonspinnable = true
	s.stopSpinning(t)
}

// limitSpin ends t's spinning where others want its CPU. The one that the lock is
// handed to may be among them.
func (s *System) limitSpin(t *Task) {
	if at := s.reschedAt(t); at < Never {
		s.push(max(s.now, at), t.cpu, event{task: t, gen: t.wait.gen, kind: evResched})
	}
}

// spinResched is what a spinner does when need_resched() is set: it leaves the osq,
// wherever it stands there (rwsem_optimistic_spin, osq_lock); the first waiter sleeps
// again.
func (s *System) spinResched(t *Task) {
	switch {
	case !t.spins() || t.wait.trying || !s.needResched(t):
	case t.wait.queued:
		t.wait.mm.sem.first = nil
		s.sleepAgain(t)
	default:
		s.stopSpinning(t)
	}
}

// spins reports whether t spins on a lock, in its osq or as its first waiter.
func (t *Task) spins() bool {
	return t.wait.mm != nil && (t.wait.mm.sem.first == t || slices.Contains(t.wait.mm.sem.spinners, t))
}

// stopSpinning has t leave the osq and queue. It is on its way to the wait list before
// the next spinner has even seen that it is the first (osq_unlock): where that gives up at
// once, since the lock was marked nonspinnable, it queues behind.
func (s *System) stopSpinning(t *Task) {
	r := &t.wait.mm.sem
	r.dropSpinner(t)
	s.fold(uint64(s.now), uint64(t.ID), 'S')
	s.sleepOn(t, true)
	s.spinNext(r)
}

// dropSpinner takes t out of the osq.
func (r *rwsem) dropSpinner(t *Task) {
	t.wait.gen++
	r.spinners = removeTask(r.spinners, t)
}

// spinNext lets the first spinner look at the lock.
func (s *System) spinNext(r *rwsem) {
	if len(r.spinners) > 0 {
		s.spin(r.spinners[0])
	}
}

// sleepOn queues t on its lock and, after the cost of getting there, lets it
// sleep. It may be granted the lock before it is off its CPU.
func (s *System) sleepOn(t *Task, write bool) {
	w := &t.wait
	w.write, w.queued, w.granted, w.since = write, true, false, s.now
	r := &w.mm.sem
	r.waiters = append(r.waiters, t)
	t.next = fallAsleep
	s.delayCycles(t, s.machine.Lock.SleepCycles/2)
}

func fallAsleep(s *System, t *Task) {
	free := s.mayTake(t)
	late := t.wait.write && t.op.Got > s.now // it slept, as is recorded: the lock was free a little later
	if free && !late {
		woken(s, t)
		return
	}
	t.next = awake
	s.leave(t, asleep)
	if free {
		s.wake(t)
	}
}

// mayTake reports whether a queued task has or can have the lock now.
func (s *System) mayTake(t *Task) bool {
	r := &t.wait.mm.sem
	if !t.wait.write {
		if !t.wait.granted && r.writer == nil && r.waiters[0] == t {
			s.grant(t.wait.mm, t)
		}
		return t.wait.granted
	}
	return r.free() && (!r.handoff || r.waiters[0] == t)
}

// awake is a task back on its CPU.
func awake(s *System, t *Task) {
	t.next = woken
	s.delayCycles(t, s.machine.Lock.SleepCycles/2)
}

func woken(s *System, t *Task) {
	r := &t.wait.mm.sem
	switch {
	case s.mayTake(t) && !t.wait.write:
		t.wait.queued = false
		s.readGot(t)
	case s.mayTake(t):
		t.wait.queued = false
		r.remove(t)
		r.handoff = false // also while others wait: rwsem_try_write_lock
		s.writeGot(t)
	default:
		s.missed(t)
	}
}

// missed is a waiter that was woken in vain: past its timeout it asks for a
// handoff, after which nobody may steal (rwsem_try_write_lock). A writer that did
// spins on an owner that runs, so as to be there when that releases the lock
// (rwsem_down_write_slowpath).
func (s *System) missed(t *Task) {
	r := &t.wait.mm.sem
	if r.waiters[0] == t && s.now-t.wait.since > rwsemWaitTimeout {
		r.handoff = true
		if t.wait.write && r.writer != nil && r.writer.state == running && !s.needResched(t) {
			r.first = t
			s.limitSpin(t)
			return
		}
	}
	s.sleepAgain(t)
}

func (s *System) sleepAgain(t *Task) {
	t.next = awake
	s.leave(t, asleep)
}

// ownerGone tells the first waiter that the writer it spins on released the lock, or
// made readers its owners.
func (s *System) ownerGone(r *rwsem) {
	t := r.first
	if t == nil {
		return
	}
	r.first = nil
	if !r.free() {
		s.sleepAgain(t)
		return
	}
	t.next = woken
	s.delayCycles(t, s.machine.Lock.SpinCycles)
}

// ownerLeft tells those who spin on a writer that it left its CPU, with the lock: they
// sleep as well (rwsem_spin_on_owner, owner_on_cpu).
func (s *System) ownerLeft(m *MM) {
	r := &m.sem
	if t := r.first; t != nil {
		r.first = nil
		s.sleepAgain(t)
	}
	s.spinNext(r)
}

// grant gives the lock to a queued reader.
func (s *System) grant(m *MM, t *Task) {
	m.sem.readers++
	m.sem.readerOwned = true
	m.sem.remove(t)
	t.wait.granted = true
}

// wakeReaders grants every queued reader, wherever it stands, and wakes it.
func (s *System) wakeReaders(m *MM) int {
	r := &m.sem
	var readers []*Task
	for _, t := range r.waiters {
		if !t.wait.write && len(readers) < maxReadersWakeup {
			readers = append(readers, t)
		}
	}
	for _, t := range readers {
		s.grant(m, t)
		s.wake(t)
	}
	if len(readers) > 0 {
		r.handoff = false
	}
	return len(readers)
}

// wake makes a sleeping task runnable; one on its way to sleep sees for itself.
func (s *System) wake(t *Task) {
	if t.state == asleep {
		t.state = ready
		if t.account {
			t.lookup.Woken = s.now
		}
		s.push(s.now+s.wakeLatency(t), t.cpu, event{task: t, kind: evWake})
	}
}

// wakeLatency is from the wake-up of a task to its running. What a recording shows includes
// what the waker and the switch take.
func (s *System) wakeLatency(t *Task) Time {
	if t.op.Woken == 0 && t.op.Got == 0 {
		return s.machine.Lock.WakeLatency
	}
	back := s.topo.Cycles(t.cpu, s.machine.Lock.SleepCycles/2)
	waker := s.topo.Cycles(t.cpu, s.machine.Lock.WakeCycles)
	latency := max(t.op.Woken-waker-back, 0)
	if t.wait.write {
		latency = max(latency, t.op.Got-s.now-back)
	}
	return latency
}

// released is the end of up_read and up_write: t wakes who can go on
// (rwsem_wake, rwsem_mark_wake), a spinner sees the lock free, and t continues.
func (s *System) released(t *Task, m *MM) {
	r := &m.sem
	t.section.Released = s.now
	s.spinNext(r)
	if !r.free() || len(r.waiters) == 0 {
		s.delay(t, 0, t.wait.then)
		return
	}
	t.next = wakeWaiters
	s.delayCycles(t, s.machine.Lock.WakeCycles)
}

func wakeWaiters(s *System, t *Task) {
	m := t.wait.mm
	r := &m.sem
	n := 0
	switch {
	case len(r.waiters) == 0:
	case r.writer != nil:
		// A spinner stole the lock. A reader at the head past its timeout makes
		// sure that this was the last time.
		if head := r.waiters[0]; !head.wait.write && s.now-head.wait.since > rwsemWaitTimeout {
			r.handoff = true
		}
	case r.waiters[0].wait.write:
		s.wake(r.waiters[0])
	default:
		n = s.wakeReaders(m)
	}
	s.delay(t, s.topo.Cycles(t.cpu, s.machine.Lock.WakeCycles*int64(max(n-1, 0))), t.wait.then)
}

// upWrite releases a write lock (up_write).
func (s *System) upWrite(t *Task, m *MM, then resume) {
	t.wait = waiter{mm: m, then: then, gen: t.wait.gen + 1}
	s.touch(t, &m.count, rmw, writeDone)
}

func writeDone(s *System, t *Task) {
	m := t.wait.mm
	m.sem.writer = nil
	s.ownerGone(&m.sem)
	s.released(t, m)
}

// downgrade turns a write lock into a read lock and wakes the queued readers
// when one is first (downgrade_write, RWSEM_WAKE_READ_OWNED).
func (s *System) downgrade(t *Task, m *MM, then resume) {
	t.wait = waiter{mm: m, then: then, gen: t.wait.gen + 1}
	s.touch(t, &m.count, rmw, downgraded)
}

func downgraded(s *System, t *Task) {
	m := t.wait.mm
	r := &m.sem
	r.writer = nil
	r.readers++
	r.readerOwned = true
	s.ownerGone(r)
	s.spinNext(r)
	n := 0
	if len(r.waiters) > 0 && !r.waiters[0].wait.write {
		n = s.wakeReaders(m)
	}
	s.delay(t, s.topo.Cycles(t.cpu, s.machine.Lock.WakeCycles*int64(n)), t.wait.then)
}
