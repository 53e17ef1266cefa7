package sim

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
)

// lockState is what can be seen of a lock between two instants.
type lockState struct {
	readers int32
	writer  *Task
	waiters []*Task
	handoff bool
	seq     uint64
}

func stateOf(m *MM) lockState {
	return lockState{m.sem.readers, m.sem.writer, slices.Clone(m.sem.waiters), m.sem.handoff, m.seq}
}

// lockWatch holds every change of a lock to the rules of rw_semaphore, as
// kernel/locking/rwsem.c states them, and counts how often the rare ones applied.
type lockWatch struct {
	before lockState
	since  map[*Task]Time // of those that wait, when they began to
	seen   struct{ steals, handoffs, batches, downgrades, spins, refusals, firstSpins int }
}

// changed compares the lock after an event with before.
func (w *lockWatch) changed(t *rapid.T, s *System, m *MM) {
	a, b := &w.before, stateOf(m)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Logf("at %v: before %+v, after %+v", s.now, *a, b)
		t.Fatalf(format, args...)
	}
	if b.writer != nil && b.readers != 0 {
		fail("a writer and %d readers hold the lock", b.readers)
	}
	if b.readers < 0 {
		fail("%d readers", b.readers)
	}
	if b.seq&1 == 1 && b.writer == nil {
		fail("the sequence is odd and nobody writes")
	}
	w.queue(fail, s, a, &b)
	if b.writer != nil && b.writer != a.writer {
		w.gotWrite(fail, s, a, &b)
	}
	downgraded := a.writer != nil && b.writer == nil && b.readers > 0
	if downgraded {
		w.seen.downgrades++
	}
	if stole := b.readers > a.readers && !downgraded && len(a.waiters) > 0 && len(b.waiters) >= len(a.waiters); stole {
		w.seen.steals++
		if a.handoff {
			fail("a reader stole the lock that is to be handed over")
		}
	}
	if b.handoff && !a.handoff {
		w.seen.handoffs++
		if waited := s.now - w.since[b.waiters[0]]; waited <= 4*Millisecond {
			fail("handed over after %v, before 4 ms", waited)
		}
	}
	if !b.handoff && a.handoff && len(b.waiters) > 0 && b.writer == a.writer && b.readers == a.readers {
		fail("a handoff was taken back")
	}
	if len(m.sem.spinners) > 0 {
		w.seen.spins++
	}
	if m.sem.first != nil {
		w.seen.firstSpins++
		if m.sem.first != b.waiters[0] || !b.handoff {
			fail("a waiter spins that is not first, or asked for no handoff")
		}
	}
	w.before = b
}

// queue holds that waiters come at the end, and go from the front: a writer only as
// the first (or on its way to sleep, which it need not), readers all together.
func (w *lockWatch) queue(fail func(string, ...any), s *System, a, b *lockState) {
	var gone []*Task
	for _, t := range a.waiters {
		if !slices.Contains(b.waiters, t) {
			gone = append(gone, t)
		}
	}
	left := slices.DeleteFunc(slices.Clone(a.waiters), func(t *Task) bool { return slices.Contains(gone, t) })
	if len(b.waiters) < len(left) || !slices.Equal(b.waiters[:len(left)], left) {
		fail("the queue was reordered")
	}
	for _, t := range b.waiters[len(left):] {
		w.since[t] = s.now // waiter.timeout is set when it queues, after all spinning
	}
	if len(gone) == 0 {
		return
	}
	if gone[0].wait.write {
		if len(gone) > 1 || b.writer != gone[0] {
			fail("%d waiters went when a writer got the lock", len(gone))
		}
		if a.handoff && a.waiters[0] != gone[0] {
			fail("the lock was to be handed to another")
		}
		return
	}
	// Readers: those of the queue in its order, up to a batch.
	var readers []*Task
	for _, t := range a.waiters {
		if !t.wait.write {
			readers = append(readers, t)
		}
	}
	switch {
	case len(gone) == 1 && gone[0] == a.waiters[0]: // took it on its way to sleep, or is alone
	case !slices.Equal(gone, readers[:min(len(readers), maxReadersWakeup)]):
		fail("%d of %d queued readers were woken", len(gone), len(readers))
	default:
		w.seen.batches++
		if b.handoff {
			fail("readers were woken, and nobody may steal from those that still wait") // rwsem_mark_wake
		}
	}
	if a.waiters[0].wait.write {
		fail("readers passed the writer at the head of the queue")
	}
}

// gotWrite holds that who gets the lock may have it.
func (w *lockWatch) gotWrite(fail func(string, ...any), s *System, a, b *lockState) {
	if a.writer != nil || a.readers != 0 {
		fail("a writer got a lock that was held")
	}
	waited := slices.Contains(a.waiters, b.writer)
	if a.handoff && (!waited || a.waiters[0] != b.writer) {
		fail("a writer stole the lock that is to be handed over")
	}
	if waited && b.handoff {
		fail("the lock was handed over, and is to be again") // rwsem_try_write_lock
	}
	if !waited && len(a.waiters) > 0 {
		w.seen.steals++
	}
}

// TestLockKeepsTheRules runs random schedules and looks at the lock after each event.
// What is rare has to happen in them, or the test would not see it broken.
func TestLockKeepsTheRules(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := bigMachine()
		rec := &recorder{}
		s := newSystem(t, m, rapid.SampledFrom([]int{3, 8, 40}).Draw(t, "CPUs"), rapid.SampledFrom([]string{"locked", "speculative"}).Draw(t, "resolver"), Config{Seed: 1, Observer: rec})
		r := &rig{System: s, rec: rec, mm: s.NewMM(1, &mm.AddressSpace{})}
		long := rapid.Bool().Draw(t, "long")
		n := rapid.IntRange(2, 40).Draw(t, "threads")
		issued := 0
		for i := range n {
			task := s.NewTask(int32(i), int32(i%s.topo.CPUs()))
			at := Time(rapid.Int64Range(0, 30).Draw(t, "at")) * Microsecond
			for range rapid.IntRange(1, 5).Draw(t, "operations") {
				kind := rapid.SampledFrom([]OpKind{OpHit, OpWrite, OpWrite, OpRead}).Draw(t, "kind")
				hold, readHold := Time(rapid.Int64Range(1, 40_000).Draw(t, "hold"))*Nanosecond, Time(0)
				if long && rapid.IntRange(0, 3).Draw(t, "longer") == 0 {
					hold *= 120 // to 4.8 ms
				}
				if kind == OpRead {
					hold, readHold = 0, hold
				} else if kind == OpWrite && rapid.IntRange(0, 3).Draw(t, "downgrades") == 0 {
					readHold = hold / 2
				}
				r.add(task, kind, at, hold, readHold)
				at += Time(rapid.Int64Range(0, 60_000).Draw(t, "gap")) * Nanosecond
				issued++
			}
		}
		slices.SortStableFunc(r.ops.ops, func(a, b planned) int { return int((a.Due - b.Due) / Nanosecond) })
		w := &lockWatch{since: map[*Task]Time{}}
		w.before = stateOf(r.mm)
		s.source, s.closed = &r.ops, false
		s.advance()
		for s.direct != nil || s.due != Never || !s.events.empty() {
			stepOnce(s)
			w.changed(t, s, r.mm)
		}
		s.checkIdle()
		if end := stateOf(r.mm); end.readers != 0 || end.writer != nil || len(end.waiters) != 0 || end.seq&1 != 0 {
			t.Fatalf("at the end: %+v", end)
		}
		if got := len(rec.hits) + len(rec.sections); got != issued {
			t.Fatalf("%d operations ended of %d", got, issued)
		}
		checkHolds(t, rec)
		for name, n := range map[string]int{
			"steals": w.seen.steals, "handoffs": w.seen.handoffs, "batches": w.seen.batches, "downgrades": w.seen.downgrades,
			"spins": w.seen.spins, "first waiters that spin": w.seen.firstSpins,
		} {
			seen[name] += n
		}
	})
	for _, name := range []string{"steals", "handoffs", "batches", "downgrades", "spins", "first waiters that spin"} {
		if seen[name] == 0 && !testing.Short() { // which runs a fifth of them
			t.Errorf("no %s in all the schedules: %v", name, seen)
		}
	}
}

// checkHolds holds the records against each other: nobody has the lock beside a writer,
// each section is as long as it was to be, and every write section is two steps of
// the sequence.
func checkHolds(t *rapid.T, rec *recorder) {
	type hold struct {
		from, to Time
		write    bool
	}
	var holds []hold
	for _, s := range rec.sections {
		switch {
		case s.Op.Kind == OpRead:
			holds = append(holds, hold{s.Acquired, s.Acquired + s.Op.ReadHold, false})
		default:
			if got := s.Even - s.Acquired; got < s.Op.Hold {
				t.Fatalf("a write section of %v took %v", s.Op.Hold, got)
			}
			holds = append(holds, hold{s.Acquired, s.Even, true})
			if s.Op.ReadHold > 0 {
				holds = append(holds, hold{s.Released - s.Op.ReadHold, s.Released - 1, false})
			}
		}
		if s.Requested > s.Acquired || s.Released < s.Acquired {
			t.Fatalf("requested %v, acquired %v, released %v", s.Requested, s.Acquired, s.Released)
		}
	}
	for _, h := range rec.hits {
		if l := h.Lookup; l.Acquired > 0 {
			holds = append(holds, hold{l.Acquired, l.Acquired + l.Parts.LockHold, false})
		}
	}
	for i, a := range holds {
		for _, b := range holds[:i] {
			if (a.write || b.write) && a.from < b.to && b.from < a.to {
				t.Fatalf("%+v and %+v overlap", a, b)
			}
		}
	}
}
