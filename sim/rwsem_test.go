package sim

import "testing"

// bigMachine has a core for each of many tasks, so that no test of the lock
// meets the run queue.
func bigMachine() *Machine {
	m := testMachine()
	m.Sockets, m.CoresPerSocket, m.CoresPerL3, m.SMT = 1, 512, 512, 1
	return m
}

// section returns what became of the operation with the tag.
func (r *rig) section(t *testing.T, tag int) Section {
	t.Helper()
	for _, s := range r.rec.sections {
		if s.Op.Tag == tag {
			return s
		}
	}
	t.Fatalf("operation %d did not end", tag)
	return Section{}
}

func TestReadersShare(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	for i := range 4 {
		r.add(r.NewTask(int32(i), int32(i)), OpRead, Microsecond, 0, 50*Microsecond)
	}
	r.run(t)
	for i := range 4 {
		if s := r.section(t, i); s.Acquired > 2*Microsecond {
			t.Errorf("reader %d waited until %v for other readers", i, s.Acquired)
		}
	}
}

// A writer behind a writer that runs spins without a limit, and gets the lock
// without the cost of sleeping.
func TestWriterSpinsOnWriter(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpWrite, Microsecond, 500*Microsecond, 0)
	r.add(r.NewTask(1, 1), OpWrite, 2*Microsecond, Microsecond, 0)
	r.run(t)
	late := r.section(t, 1).Acquired - r.section(t, 0).Released
	if late < 0 || late > Microsecond {
		t.Errorf("the spinner got the lock %v after its release: want less than the %v of a wake-up", late, r.machine.Lock.WakeLatency)
	}
}

// A writer behind a reader spins for 10.5 µs, marks the lock and sleeps.
func TestWriterSpinIsCapped(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpRead, Microsecond, 0, 500*Microsecond)
	writer := r.NewTask(1, 1)
	r.add(writer, OpWrite, 2*Microsecond, Microsecond, 0)
	var at Time
	for probe := 3 * Microsecond; at == 0 && probe < 100*Microsecond; probe += Microsecond / 2 {
		if err := r.RunFor(t.Context(), &r.ops, false, probe); err != nil {
			t.Fatal(err)
		}
		if writer.state == asleep {
			at = probe
		}
	}
	if spun := at - 2*Microsecond; spun < 10*Microsecond || spun > 14*Microsecond {
		t.Errorf("the writer slept after %v: want 10.5 µs of spinning and the way to sleep", spun)
	}
	if !r.mm.sem.nonspinnable {
		t.Error("the lock is not marked nonspinnable")
	}
	r.run(t)
	if late := r.section(t, 1).Acquired - r.section(t, 0).Released; late < r.machine.Lock.WakeLatency {
		t.Errorf("a sleeper got the lock %v after its release, faster than a wake-up", late)
	}
}

// A reader that comes while a writer waits does not steal from it when other
// readers hold the lock, and is granted together with all readers of the queue.
func TestQueuedReadersAreGrantedTogether(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpRead, Microsecond, 0, 100*Microsecond)
	r.add(r.NewTask(1, 1), OpWrite, 2*Microsecond, 30*Microsecond, 0) // asleep from 13 µs on
	for i := range 5 {
		r.add(r.NewTask(int32(10+i), int32(10+i)), OpRead, Time(40+i)*Microsecond, 0, 10*Microsecond)
	}
	r.run(t)
	w := r.section(t, 1)
	if w.Acquired < 100*Microsecond {
		t.Fatalf("the writer got the lock at %v, while a reader had it", w.Acquired)
	}
	for i := range 5 {
		if s := r.section(t, 2+i); s.Acquired < w.Even {
			t.Errorf("reader %d went past the waiting writer at %v", i, s.Acquired)
		} else if s.Acquired > w.Released+20*Microsecond {
			t.Errorf("reader %d got the lock only at %v, the writer left at %v", i, s.Acquired, w.Released)
		}
	}
}

func TestWakeBatchIsLimited(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpWrite, Microsecond, 200*Microsecond, 0)
	for i := range 300 {
		r.add(r.NewTask(int32(1+i), int32(1+i)), OpRead, 2*Microsecond+Time(i)*10*Nanosecond, 0, Microsecond)
	}
	if err := r.RunFor(t.Context(), &r.ops, false, 200*Microsecond); err != nil {
		t.Fatal(err)
	}
	if n := len(r.mm.sem.waiters); n != 300 {
		t.Fatalf("%d readers queue, want 300", n)
	}
	if n := r.wakeReaders(r.mm); n != maxReadersWakeup {
		t.Errorf("woke %d readers at once, want %d", n, maxReadersWakeup)
	}
}

// A downgrade lets the readers of the queue in while the section goes on.
func TestDowngradeWakesReaders(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(0, 0), OpWrite, Microsecond, 50*Microsecond, 300*Microsecond)
	r.add(r.NewTask(1, 1), OpRead, 10*Microsecond, 0, Microsecond)
	r.run(t)
	w, s := r.section(t, 0), r.section(t, 1)
	if s.Acquired < w.Even || s.Acquired > w.Even+20*Microsecond {
		t.Errorf("the reader got the lock at %v: the writer downgraded at %v and released at %v", s.Acquired, w.Even, w.Released)
	}
}

// A writer that readers keep away asks for a handoff after 4 ms, and then nobody
// steals the lock any more.
func TestHandoffEndsStarvation(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	handoffs := 0
	// A long reader makes two writers give up spinning. Then comes one every 3 µs that
	// holds the lock for most of them: until a woken writer is on its CPU, the next
	// reader has stolen the lock.
	r.add(r.NewTask(6000, 510), OpRead, 0, 0, 60*Microsecond)
	for i := range 2 {
		r.add(r.NewTask(int32(5000+i), int32(500+i)), OpWrite, 5*Microsecond, Microsecond, 0)
	}
	for i := range 4000 {
		at := 61*Microsecond + Time(i)*3*Microsecond
		r.add(r.NewTask(int32(i), int32(i%400)), OpRead, at, 0, 2700*Nanosecond)
	}
	for until := Time(0); until < 12*Millisecond; until += 5 * Microsecond {
		if err := r.RunFor(t.Context(), &r.ops, false, until); err != nil {
			t.Fatal(err)
		}
		if r.mm.sem.handoff {
			handoffs++
		}
	}
	r.run(t)
	for _, s := range r.rec.sections {
		if s.Op.Kind == OpWrite && s.Acquired-s.Requested > 9*Millisecond {
			t.Errorf("a writer waited %v: the handoff should have ended that", s.Acquired-s.Requested)
		}
	}
	if handoffs == 0 {
		t.Error("vacuous: no waiter ever asked for a handoff")
	}
}
