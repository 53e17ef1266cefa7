package sim

import (
	"testing"

	"github.com/replay/replay/sim/mm"
)

// The instants below are added up by hand. A cycle is 1 ns, an atomic takes 20, a store
// 1; a line from another core takes 25, and 7 more if that wrote it; going to sleep and
// coming back 1 µs each, a wake-up 0.5 µs for the waker and 3 µs to the CPU.

func (r *rig) expect(t *testing.T, what string, got, wantNanos Time) {
	t.Helper()
	if got != wantNanos*Nanosecond {
		t.Errorf("%s at %v, want %v", what, got, wantNanos*Nanosecond)
	}
}

// TestSleepingReadersByHand has readers come while a writer holds the lock for 100 µs.
func TestSleepingReadersByHand(t *testing.T) {
	for _, readers := range []Time{1, 3} {
		r := newRig(t, bigMachine(), "locked")
		holder := r.NewTask(0, 0)
		r.add(holder, OpWrite, Microsecond, 100*Microsecond, 0)
		for i := range readers {
			r.add(r.NewTask(int32(1+i), int32(1+i)), OpRead, (10+i)*Microsecond, 0, Microsecond)
		}
		next := r.withMM(2)
		next.add(holder, OpRead, 50*Microsecond, 0, 0)
		r.ops = next.ops
		r.run(t)
		w := r.section(t, 0)
		r.expect(t, "acquired", w.Acquired, 1_021)
		r.expect(t, "even", w.Even, 101_021)
		// The sequence 1; the count comes back from the core of the last that asked.
		r.expect(t, "released", w.Released, 101_022+25+27)
		released := Time(101_074)
		// 500 to wake the first, and all of them sleep then; 3 µs, 1 µs, and the owner's store.
		r.expect(t, "the first reader's lock", r.section(t, 1).Acquired, released+500+3000+1000+1)
		for i := range readers {
			if got := r.section(t, int(1+i)).Acquired; got != r.section(t, 1).Acquired {
				t.Errorf("reader %d got the lock at %v", i, got)
			}
		}
		// 500 for each further one keep the waker.
		after := r.rec.sections[0]
		for _, s := range r.rec.sections {
			if s.Op.MM == next.mm {
				after = s
			}
		}
		r.expect(t, "the waker's next", after.Requested, released+500*readers)
	}
}

// TestWaitOfAHitByHand is the same with a lookup: what it tells of its wait.
func TestWaitOfAHitByHand(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpWrite, Microsecond, 100*Microsecond, 0)
	r.add(r.NewTask(1, 1), OpHit, 9_700*Nanosecond, 0, 0)
	r.run(t)
	h := r.rec.hits[0]
	r.expect(t, "start", h.Lookup.Start, 10_000)
	r.expect(t, "woken", h.Lookup.Woken, 101_074+500)
	r.expect(t, "lock", h.Lookup.Acquired, 101_074+500+4000+1)
	r.expect(t, "locked path", h.Lookup.LockAt, 10_000)
	// From when it queued, after its atomic on the count.
	r.expect(t, "the wait", h.Parts.LockWait, 101_074+500+4000-10_052)
	if h.Lookup.Blame != 0 {
		t.Errorf("blames %v, want the section", h.Lookup.Blame)
	}
}

// TestBlame holds whom a hit blames: the section that spoiled its speculation, though
// another keeps it from the lock afterwards.
func TestBlame(t *testing.T) {
	r := newRig(t, bigMachine(), "speculative")
	r.add(r.NewTask(0, 0), OpWrite, 9*Microsecond, 2*Microsecond, 0)
	r.add(r.NewTask(1, 1), OpWrite, 10*Microsecond, 50*Microsecond, 0) // spins, and gets the lock next
	r.add(r.NewTask(2, 2), OpHit, 10_100*Nanosecond, 0, 0)             // refused at 10.4 µs
	r.last().LockDelay = 5 * Microsecond
	r.run(t)
	h := r.rec.hits[0]
	if h.Outcome != WriterActive || h.Lookup.Blame != 0 || h.Parts.LockWait < 40*Microsecond {
		t.Errorf("%v, waited %v, blames %v; want the first section", h.Outcome, h.Parts.LockWait, h.Lookup.Blame)
	}
}

// TestDowngradeByHand wakes a reader while the section goes on.
func TestDowngradeByHand(t *testing.T) {
	for _, readers := range []Time{0, 1, 2} {
		r := newRig(t, bigMachine(), "locked")
		r.add(r.NewTask(0, 0), OpWrite, Microsecond, 100*Microsecond, 50*Microsecond)
		for i := range readers {
			r.add(r.NewTask(int32(1+i), int32(1+i)), OpRead, (10+i)*Microsecond, 0, 100*Microsecond)
		}
		r.run(t)
		w := r.section(t, 0)
		down := Time(101_022 + 20)
		if readers > 0 {
			down += 25 + 7
			r.expect(t, "the reader's lock", r.section(t, 1).Acquired, down+4001)
		}
		// 500 for each reader that it wakes, 50 µs, and the count is its own.
		r.expect(t, "released", w.Released, down+500*readers+50_000+20)
	}
}

// TestSpinOnReadersByHand: a writer spins for 10 µs and half of one for each reader, 25
// at most, and needs a microsecond to sleep then.
func TestSpinOnReadersByHand(t *testing.T) {
	for readers, spins := range map[int]Time{1: 10_500, 2: 11_000, 8: 14_000, 29: 24_500, 30: 25_000, 31: 25_000, 100: 25_000} {
		r := newRig(t, bigMachine(), "locked")
		for i := range readers {
			r.add(r.NewTask(int32(i), int32(i)), OpRead, Microsecond, 0, 500*Microsecond)
		}
		r.add(r.NewTask(1000, 500), OpWrite, 50*Microsecond, Microsecond, 0)
		other := r.withMM(2) // gets the CPU as soon as the writer sleeps
		other.add(r.NewTask(1001, 500), OpRead, 51*Microsecond, 0, 0)
		r.ops = other.ops
		r.run(t)
		r.expect(t, "the CPU is free", r.rec.sections[0].Requested, 50_000+52+spins+1_000)
	}
}

// TestNonspinnable: a lock whose readers outlasted a spinner is marked, and no writer
// spins on it until they have all left; then on the next writer they do again.
func TestNonspinnable(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpRead, Microsecond, 0, 200*Microsecond)
	r.add(r.NewTask(1, 1), OpRead, Microsecond, 0, 60*Microsecond) // leaves before the others
	r.add(r.NewTask(2, 2), OpWrite, 2*Microsecond, 300*Microsecond, 0)
	late := r.NewTask(3, 3)
	r.add(late, OpWrite, 100*Microsecond, Microsecond, 0)
	last := r.NewTask(4, 4)
	r.add(last, OpWrite, 300*Microsecond, Microsecond, 0)
	if err := r.RunFor(t.Context(), &r.ops, false, 103*Microsecond); err != nil {
		t.Fatal(err)
	}
	if late.state != asleep {
		t.Error("a writer spins on a lock that is marked nonspinnable")
	}
	r.run(t)
	first, spun := r.section(t, 2), r.section(t, 4)
	if first.Acquired < 200*Microsecond || first.Acquired > 210*Microsecond {
		t.Fatalf("the first writer got the lock at %v", first.Acquired)
	}
	if d := spun.Acquired - first.Released; d < 0 || d > Microsecond {
		t.Errorf("a writer behind a writer got the lock %v after it was released: want it to have spun", d)
	}
}

// TestStealingReaderTakesTheQueueAlong: a reader that comes between the release and the
// wake-up steals the lock; if it is the first and readers are first in the queue, it
// wakes them itself; if a writer is, all wait for that.
func TestStealingReaderTakesTheQueueAlong(t *testing.T) {
	for _, writerFirst := range []bool{false, true} {
		m := bigMachine()
		m.Lock.WakeCycles = 20_000 // 20 µs from the release to the wake-up
		r := newRig(t, m, "locked")
		r.add(r.NewTask(0, 0), OpRead, 0, 0, Microsecond)
		kind := OpWrite
		if writerFirst {
			// A writer that readers outlast sleeps, at the head of the queue.
			kind = OpRead
		}
		r.add(r.NewTask(1, 1), kind, 2*Microsecond, 100*Microsecond, 100*Microsecond*Time(kind/OpRead))
		if writerFirst {
			r.add(r.NewTask(2, 2), OpWrite, 3*Microsecond, Microsecond, 0)
		}
		r.add(r.NewTask(3, 3), OpRead, 50*Microsecond, 0, Microsecond)
		r.add(r.NewTask(4, 4), OpRead, 110*Microsecond, 0, 50*Microsecond)
		r.run(t)
		n := len(r.rec.sections)
		var thief, queued, holder Section
		for _, s := range r.rec.sections {
			switch s.Op.Task.ID {
			case 1:
				holder = s
			case 3:
				queued = s
			case 4:
				thief = s
			}
		}
		if thief.Acquired > 111*Microsecond || holder.Released > 110*Microsecond {
			t.Fatalf("writer first %v: the thief has the lock at %v, of %d", writerFirst, thief.Acquired, n)
		}
		if along := queued.Acquired < thief.Acquired+5*Microsecond; along == writerFirst {
			t.Errorf("writer first %v: the thief has it at %v, the queued reader at %v", writerFirst, thief.Acquired, queued.Acquired)
		}
	}
}

// TestHandoffToAReader has a reader at the head of the queue while writers spin behind
// each other, of which the next always has the lock before the reader is woken: after
// 4 ms that is over, and it gets the lock when the writer of then leaves.
func TestHandoffToAReader(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	for i := range 20 {
		r.add(r.NewTask(int32(i), int32(i)), OpWrite, Microsecond+Time(i)*100*Nanosecond, Millisecond, 0)
	}
	reader := len(r.ops.ops)
	r.add(r.NewTask(100, 100), OpRead, 500*Microsecond, 0, Microsecond)
	r.run(t)
	got := r.section(t, reader).Acquired
	// Woken in vain after 4.5 ms, at 5 ms, it asks; the section of then ends at 6 ms.
	if got < 6*Millisecond || got > 6050*Microsecond {
		t.Errorf("the reader waits from 0.5 ms to %v, want 6 ms", got)
	}
	before, order := 0, Time(0)
	for i := range 20 {
		s := r.section(t, i)
		if s.Acquired < got {
			before++
		}
		if s.Acquired < order {
			t.Errorf("writer %d went past the one before", i)
		}
		order = s.Acquired
	}
	if before != 6 {
		t.Errorf("%d writers of a millisecond each went before, want 6", before)
	}
}

// TestFourMillisecondsCountFromTheQueue: a writer that spun for 3 ms before it queued
// (its CPU was wanted) has waited for none of the 4 ms after which it may ask.
func TestFourMillisecondsCountFromTheQueue(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpWrite, Microsecond, 3100*Microsecond, 0)
	spinner := r.NewTask(1, 1)
	r.add(spinner, OpWrite, 2*Microsecond, Microsecond, 0)
	other := r.withMM(2)
	other.add(r.NewTask(2, 1), OpRead, 3*Microsecond, 0, 10*Microsecond) // has its CPU at 3 ms
	r.ops = other.ops
	if err := r.RunFor(t.Context(), &r.ops, false, 3050*Microsecond); err != nil {
		t.Fatal(err)
	}
	if since := spinner.wait.since; !spinner.wait.queued || since < 3*Millisecond || since > 3010*Microsecond {
		t.Errorf("queued %v, waits since %v, want 3 ms", spinner.wait.queued, since)
	}
	r.run(t)
}

// freeAt is when the CPU of a thread that spins is free, by what another does on it next.
func (r *rig) freeAt(t *testing.T, cpu int32, from Time, run func()) Time {
	t.Helper()
	other := r.withMM(90)
	other.add(r.NewTask(4000, cpu), OpRead, from, 0, 0)
	other.last().Tag = "the next on the CPU"
	r.ops = other.ops
	run()
	return r.tagged(t, "the next on the CPU").Requested
}

// TestNobodyStealsFromReaders: while readers own the lock and a writer waits, further
// readers queue, also where the readers were woken and are not on their CPUs yet, and
// where the owner was a writer that made itself a reader.
func TestNobodyStealsFromReaders(t *testing.T) {
	// Woken: a reader and a writer wait for a writer.
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpWrite, Microsecond, 100*Microsecond, 0)
	r.add(r.NewTask(1, 1), OpRead, 10*Microsecond, 0, 50*Microsecond)
	r.add(r.NewTask(2, 2), OpRead, 0, 0, 20*Microsecond) // outlasts the spinning of 3
	r.ops.ops[0].At, r.ops.ops[0].Due = 30*Microsecond, 30*Microsecond
	r.add(r.NewTask(3, 3), OpWrite, 5*Microsecond, Microsecond, 0)
	r.add(r.NewTask(4, 4), OpRead, 18*Microsecond, 0, 50*Microsecond)
	r.add(r.NewTask(5, 5), OpRead, 30*Microsecond, 0, Microsecond)
	r.runSorted(t)
	w, late := r.section(t, 3), r.section(t, 5)
	if late.Acquired < w.Even {
		t.Errorf("a reader has the lock at %v, before the writer that waits until %v", late.Acquired, w.Acquired)
	}

	// Downgraded: a writer waits for one that goes on as a reader.
	r = newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpRead, 0, 0, 20*Microsecond)
	r.add(r.NewTask(1, 1), OpWrite, Microsecond, 30*Microsecond, 200*Microsecond) // sleeps
	r.add(r.NewTask(2, 2), OpWrite, 13*Microsecond, Microsecond, 0)               // behind it
	r.add(r.NewTask(3, 3), OpRead, 100*Microsecond, 0, Microsecond)
	r.runSorted(t)
	first, second, reader := r.section(t, 1), r.section(t, 2), r.section(t, 3)
	if first.Acquired > 30*Microsecond || first.Even > 100*Microsecond || second.Acquired < first.Released {
		t.Fatalf("vacuous: acquired at %v and %v", first.Acquired, second.Acquired)
	}
	if reader.Acquired < second.Even {
		t.Errorf("a reader has the lock at %v, before the writer that waits until %v", reader.Acquired, second.Acquired)
	}
}

// TestSpinnersBehindAnother: when the first spinner gives up on readers, so does the
// next at once, since the lock is marked then.
func TestSpinnersBehindAnother(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpRead, Microsecond, 0, 500*Microsecond)
	r.add(r.NewTask(1, 1), OpWrite, 2*Microsecond, Microsecond, 0)
	r.add(r.NewTask(2, 2), OpWrite, 3*Microsecond, Microsecond, 0)
	at := r.freeAt(t, 2, 4*Microsecond, func() { r.run(t) })
	// From 2 µs 10.5 µs of spinning, and a microsecond of going to sleep.
	if at < 13_500*Nanosecond || at > 13_700*Nanosecond {
		t.Errorf("the second sleeps from %v, want 13.55 µs", at)
	}
}

// TestSpinnerSeesADowngrade: from when the owner is a reader the spinner's time runs.
func TestSpinnerSeesADowngrade(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpWrite, Microsecond, 100*Microsecond, 500*Microsecond)
	r.add(r.NewTask(1, 1), OpWrite, 2*Microsecond, Microsecond, 0)
	at := r.freeAt(t, 1, 4*Microsecond, func() { r.run(t) })
	// Downgraded at 101.074 µs, since the spinner's core had the count.
	r.expect(t, "asleep", at, 101_074+10_500+1_000)
}

// TestSpinnersGiveUpInOrder has readers outlast three spinners, the first of which marks
// the lock nonspinnable: they queue in the order in which they stood, and get the lock in it.
func TestSpinnersGiveUpInOrder(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(5, 0), OpRead, Microsecond, 0, 200*Microsecond)
	for i := range int32(3) {
		r.add(r.NewTask(6+i, 1+i), OpWrite, 50*Microsecond+Time(i)*Microsecond, Microsecond, 0)
	}
	r.add(r.NewTask(9, 5), OpRead, 55*Microsecond, 0, 0) // an event to stop at
	r.last().MM = r.NewMM(9, &mm.AddressSpace{})
	if err := r.RunFor(t.Context(), &r.ops, false, 54*Microsecond); err != nil {
		t.Fatal(err)
	}
	spun := len(r.mm.sem.spinners)
	r.run(t)
	if spun != 3 {
		t.Fatalf("%d spin", spun)
	}
	first := r.section(t, 1)
	for i := range 3 {
		s := r.section(t, 1+i)
		if s.Acquired < 200*Microsecond || i > 0 && s.Acquired < first.Released {
			t.Errorf("writer %d, that stood there in this order, has the lock at %v; the one before gave it back at %v", i, s.Acquired, first.Released)
		}
		first = s
	}
}

// TestRecordedWaits has threads wait as a recording shows them to have: who slept goes on so
// long after it was let in, a writer not before it had its CPU again, and until then others
// have the lock. One in whose way nobody is comes when it had the lock.
func TestRecordedWaits(t *testing.T) {
	near := func(t *testing.T, what string, got Time, want Time) {
		t.Helper()
		if d := got - want; d < -Microsecond/2 || d > Microsecond/2 {
			t.Errorf("%s at %v, want about %v", what, got, want)
		}
	}
	const released = 101_050 * Nanosecond // of the holder
	for _, c := range []struct {
		name         string
		kind         OpKind
		asked        Time
		got, woken   Time
		acquired     Time
		noneRequests Time // when it asks, if not when it should
	}{
		{"a writer wakes up", OpWrite, 10 * Microsecond, 60 * Microsecond, 30 * Microsecond, released + 30*Microsecond, 0},
		{"a writer has no CPU", OpWrite, 10 * Microsecond, 400 * Microsecond, 30 * Microsecond, 400 * Microsecond, 0},
		{"a writer falls asleep as the lock is let go of", OpWrite, 100_500 * Nanosecond, 400 * Microsecond, 30 * Microsecond, 400 * Microsecond, 0},
		{"a writer that spun", OpWrite, 10 * Microsecond, 60 * Microsecond, 0, released + 1500*Nanosecond, 0},
		{"a reader wakes up", OpRead, 10 * Microsecond, 60 * Microsecond, 40 * Microsecond, released + 40*Microsecond, 0},
		{"nobody is in the way", OpWrite, 300 * Microsecond, 350 * Microsecond, 30 * Microsecond, 350 * Microsecond, 350 * Microsecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, bigMachine(), "locked")
			r.add(r.NewTask(0, 0), OpWrite, Microsecond, 100*Microsecond, 0)
			r.add(r.NewTask(1, 1), c.kind, c.asked, Microsecond, Microsecond)
			r.last().Got, r.last().Woken = c.got, c.woken
			r.add(r.NewTask(2, 2), OpWrite, 200*Microsecond, Microsecond, 0) // takes the lock from one that is not there
			r.run(t)
			s := r.section(t, 1)
			near(t, "acquired", s.Acquired, c.acquired)
			near(t, "requested", s.Requested, max(c.asked, c.noneRequests))
			near(t, "the other's lock", r.section(t, 2).Acquired, 200*Microsecond)
		})
	}
}
