package sim

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
)

// phase is a part of an operation: work, which a computing sibling slows down, or time
// that passes whatever it does.
type phase struct {
	work bool
	left float64 // ns at full speed
}

// fluid is a core with two threads as a textbook of queueing has it: at each instant
// both progress at their rates, which depend on whether the other computes. It returns
// when each thread's operations end. begins are the times before which they may not
// begin; each takes the phases.
func fluid(begins [2][]float64, phases []phase, rate float64) (ends [2][]float64) {
	type thread struct {
		op    int
		parts []phase
	}
	var threads [2]thread
	now := 0.0
	for {
		// Who begins now?
		next := -1.0
		for i := range threads {
			t := &threads[i]
			if len(t.parts) > 0 || t.op == len(begins[i]) {
				continue
			}
			if at := begins[i][t.op]; at <= now+1e-9 {
				t.parts = slices.Clone(phases)
			} else if next < 0 || at < next {
				next = at
			}
		}
		var speed [2]float64
		both := len(threads[0].parts) > 0 && len(threads[1].parts) > 0 && threads[0].parts[0].work && threads[1].parts[0].work
		for i := range threads {
			if t := &threads[i]; len(t.parts) > 0 {
				speed[i] = 1
				if both {
					speed[i] = rate
				}
				if at := now + t.parts[0].left/speed[i]; next < 0 || at < next {
					next = at
				}
			}
		}
		if next < 0 {
			return ends
		}
		for i := range threads {
			t := &threads[i]
			if len(t.parts) == 0 {
				continue
			}
			if t.parts[0].left -= (next - now) * speed[i]; t.parts[0].left < 1e-6 {
				if t.parts = t.parts[1:]; len(t.parts) == 0 {
					ends[i] = append(ends[i], next)
					t.op++
				}
			}
		}
		now = next
	}
}

// TestSMTAgainstFluid lets the two threads of a core make hits at random times, and
// other cores too, which must not matter.
func TestSMTAgainstFluid(t *testing.T) {
	slowed := 0
	rapid.Check(t, func(t *rapid.T) {
		m := flatMachine(2)
		m.SMT = 2
		m.SMTPermille = rapid.SampledFrom([]int64{1000, 1360, 2000}).Draw(t, "permille")
		m.Numbering = rapid.SampledFrom([]Numbering{SocketMajor, SiblingsAdjacent}).Draw(t, "numbering")
		rec := &recorder{}
		s := newSystem(t, m, 0, "ideal", Config{Observer: rec})
		siblings, others := []int32{0, 2}, []int32{1, 3}
		if m.Numbering == SiblingsAdjacent {
			siblings, others = []int32{2, 3}, []int32{0, 1}
		}
		// Both cores read all lines before.
		var ops list
		space := s.NewMM(1, &mm.AddressSpace{})
		add := func(task *Task, at Time) {
			ops.ops = append(ops.ops, planned{Op: Op{Task: task, Kind: OpHit, At: at, MM: space, Addr: probeAddr, File: textFile}, CPU: -1, Due: at})
		}
		add(s.NewTask(10, siblings[0]), 0)
		add(s.NewTask(11, others[0]), 2*Microsecond)
		var begins [2][]float64
		for i := range begins {
			task, at := s.NewTask(int32(i), siblings[i]), 10_000
			for range rapid.IntRange(1, 6).Draw(t, "hits") {
				at += rapid.IntRange(0, 1500).Draw(t, "apart")
				add(task, Time(at)*Nanosecond)
				begins[i] = append(begins[i], float64(at))
			}
		}
		add(s.NewTask(12, others[1]), 10_500*Nanosecond)
		slices.SortStableFunc(ops.ops, func(a, b planned) int { return cmp.Compare(a.Due, b.Due) })
		if err := s.Run(context.Background(), &ops, false); err != nil {
			t.Fatal(err)
		}
		var got [2][]Time
		for _, h := range rec.hits {
			if h.Op.Task.ID < 2 {
				got[h.Op.Task.ID] = append(got[h.Op.Task.ID], h.End)
			} else if h.End-h.Trap != flatHit {
				t.Fatalf("a thread alone on its core took %v", h.End-h.Trap)
			}
		}
		want := fluid(begins, []phase{{true, 300}, {false, 8}, {true, 30}, {false, 4}, {false, 12}, {false, 8}, {true, 30}, {true, 400}}, float64(m.SMTPermille)/2000)
		for i := range want {
			for j, end := range want[i] {
				if off := float64(got[i][j]) - end*1000; off < -100 || off > 100 { // ps, of rounding
					t.Fatalf("hit %d of thread %d ended at %v, want %.3f ns", j, i, got[i][j], end)
				}
				if end > begins[i][j]+900 {
					slowed++
				}
			}
		}
	})
	if slowed == 0 {
		t.Error("vacuous: nobody was slowed down")
	}
}

// TestSiblingsThatAreNotInUse: with the first threads alone in use nobody is slowed.
func TestSiblingsThatAreNotInUse(t *testing.T) {
	m := testMachine()
	rec := &recorder{}
	s := newSystem(t, m, 4, "ideal", Config{Observer: rec})
	r := rigOf(s)
	for i := range int32(4) {
		r.add(r.NewTask(i, i), OpHit, Microsecond, 0, 0)
		r = r.withMM(2 + i)
	}
	r.run(t)
	for _, h := range rec.hits {
		if h.Lookup.Start != 1300*Nanosecond {
			t.Errorf("CPU %d: the entry took until %v, want 300 ns", h.CPU, h.Lookup.Start)
		}
	}
}

// TestDigestIsFNVOfDecisions computes the digest of a run from its records: the time,
// thread and outcome of each answer, and the time and number of each step of the
// sequence, as 64-bit words with the lowest byte first.
func TestDigestIsFNVOfDecisions(t *testing.T) {
	r := newRig(t, testMachine(), "speculative")
	task := r.NewTask(1<<20+5, 0)
	r.add(task, OpHit, Microsecond, 0, 0)
	r.add(r.NewTask(2, 2), OpWrite, 10*Microsecond, Microsecond, 0)
	r.add(task, OpHit, 20*Microsecond, 0, 0)
	r.run(t)
	h := fnv.New64a()
	fold := func(words ...uint64) {
		for _, w := range words {
			if err := binary.Write(h, binary.LittleEndian, w); err != nil {
				t.Fatal(err)
			}
		}
	}
	answer := func(h HitRecord) { fold(uint64(h.Lookup.Answered), uint64(h.Op.Task.ID), uint64(h.Outcome)) }
	answer(r.rec.hits[0])
	fold(uint64(r.rec.sections[0].Acquired), uint64(r.mm.ID), 1)
	fold(uint64(r.rec.sections[0].Even), uint64(r.mm.ID), 2)
	answer(r.rec.hits[1])
	if got := r.Digest(); got != h.Sum64() {
		t.Errorf("digest %x, want %x", got, h.Sum64())
	}
}

// TestDigestHasWhoQueued: readers and writers that queue, and writers that gave up
// spinning, with the time and the thread.
func TestDigestHasWhoQueued(t *testing.T) {
	r := newRig(t, bigMachine(), "locked")
	r.add(r.NewTask(5, 0), OpRead, Microsecond, 0, 200*Microsecond)
	r.add(r.NewTask(6, 1), OpWrite, 50*Microsecond, Microsecond, 0) // spins for 10.5 µs
	r.add(r.NewTask(7, 2), OpWrite, 80*Microsecond, Microsecond, 0) // marked: queues at once
	r.add(r.NewTask(8, 3), OpRead, 90*Microsecond, 0, Microsecond)  // behind them
	r.run(t)
	h := fnv.New64a()
	fold := func(words ...uint64) {
		for _, w := range words {
			if err := binary.Write(h, binary.LittleEndian, w); err != nil {
				t.Fatal(err)
			}
		}
	}
	ns := func(n uint64) uint64 { return n * 1000 }
	// An atomic on a line that another core wrote last takes 52 ns.
	fold(ns(50_052+10_500), 6, 'S')
	fold(ns(80_052), 7, 'Q')
	fold(ns(90_052), 8, 'q')
	for i, tag := range []int{1, 2} {
		s := r.section(t, tag)
		fold(uint64(s.Acquired), 1, uint64(2*i+1), uint64(s.Even), 1, uint64(2*i+2))
	}
	if got := r.Digest(); got != h.Sum64() {
		t.Errorf("digest %x, want %x", got, h.Sum64())
	}
}

// crowd is a run in which a lot happens: sleeping, spinning, shared CPUs and lines.
func crowd(t testing.TB, resolver string, change func(*rig)) *rig {
	m := testMachine()
	r := newRig(t, m, resolver)
	for i := range 300 {
		task, at := r.NewTask(int32(i), int32(i)%8), Time(i)*200*Nanosecond
		switch i % 7 {
		case 0:
			r.add(task, OpWrite, at, Time(300+i*10)*Nanosecond, Time(i%2)*Microsecond)
		case 3:
			r.add(task, OpRead, at, 0, Microsecond)
		default:
			r.add(task, OpHit, at, 0, 0)
		}
	}
	if change != nil {
		change(r)
	}
	return r
}

// TestDigestTellsRunsApart changes one thing at a time.
func TestDigestTellsRunsApart(t *testing.T) {
	run := func(resolver string, change func(*rig)) uint64 {
		r := crowd(t, resolver, change)
		r.run(t)
		return r.Digest()
	}
	seen := map[uint64]string{run("speculative", nil): "as it is"}
	for name, change := range map[string]func(*rig){
		"a section one picosecond longer": func(r *rig) { r.ops.ops[70].Hold++ },
		"the last hit after all others":   func(r *rig) { r.ops.ops[299].At += Millisecond },
		"a hit on another CPU":            func(r *rig) { r.ops.ops[8].CPU = 6 },
		"without the last hit":            func(r *rig) { r.ops.ops = r.ops.ops[:299] },
		"another number of a thread":      func(r *rig) { r.ops.ops[9].Task.ID = 1000 },
		"another number of the space":     func(r *rig) { r.mm.ID = 2 },
	} {
		d := run("speculative", change)
		if before, ok := seen[d]; ok {
			t.Errorf("%s: the same digest as %s", name, before)
		}
		seen[d] = name
	}
	if d := run("locked", nil); seen[d] != "" {
		t.Errorf("locked: the same digest as %s", seen[d])
	}
}

// TestRunForGoesOn stops a run at each of many instants and goes on: it is the same run.
func TestRunForGoesOn(t *testing.T) {
	for _, resolver := range []string{"locked", "speculative", "refcount", "srcu", "pervma"} {
		whole := crowd(t, resolver, nil)
		whole.run(t)
		parts := crowd(t, resolver, nil)
		for until := Time(0); until < 400*Microsecond; until += 313 * Nanosecond {
			if err := parts.RunFor(context.Background(), &parts.ops, false, until); err != nil {
				t.Fatal(err)
			}
			for _, h := range parts.rec.hits[max(0, len(parts.rec.hits)-1):] {
				// The event that is at the instant is still dealt with.
				if h.End > until+100*Microsecond {
					t.Fatalf("ran to %v, past %v", h.End, until)
				}
			}
		}
		parts.run(t)
		if whole.Digest() != parts.Digest() || len(whole.rec.hits) != len(parts.rec.hits) || len(whole.rec.sections) != len(parts.rec.sections) {
			t.Errorf("%s: digest %x in one, %x in parts", resolver, whole.Digest(), parts.Digest())
		}
		for i := range whole.rec.hits {
			a, b := &whole.rec.hits[i], &parts.rec.hits[i]
			if a.End != b.End || a.Parts != b.Parts || a.Outcome != b.Outcome {
				t.Fatalf("%s: hit %d: %+v in one, %+v in parts", resolver, i, a, b)
			}
		}
	}
}

// TestPartsAddUp holds in a crowd that the parts of each hit are its time.
func TestPartsAddUp(t *testing.T) {
	for _, resolver := range ResolverNames() {
		r := crowd(t, resolver, nil)
		r.run(t)
		stalled, waited, wasted := 0, 0, 0
		for i := range r.rec.hits {
			h := &r.rec.hits[i]
			if h.Parts.Resolve() != h.Lookup.Answered-h.Lookup.Start || h.Parts.Resolve()+h.Parts.Handler != h.End-h.Trap {
				t.Fatalf("%s: %+v from %v to %v", resolver, h.Parts, h.Trap, h.End)
			}
			p := &h.Parts
			if p.Lookup < 88*Nanosecond || p.Stall < 0 || p.LockWait < 0 || p.LockHold < 0 || p.Wasted < 0 || p.Handler < 700*Nanosecond {
				t.Fatalf("%s: %+v", resolver, h.Parts)
			}
			if (h.Lookup.LockAt > 0) != (h.Outcome != Lockless) || (h.Lookup.Acquired > 0) != (h.Outcome != Lockless) {
				t.Fatalf("%s: %v, locked path at %v, lock at %v", resolver, h.Outcome, h.Lookup.LockAt, h.Lookup.Acquired)
			}
			if (p.LockWait > 0) != (h.Lookup.Blame != nil) && h.Outcome == Unconfigured {
				t.Fatalf("%s: waited %v, blamed %v", resolver, p.LockWait, h.Lookup.Blame)
			}
			if p.Wasted > 0 && p.Wasted != h.Lookup.LockAt-h.Lookup.Start {
				t.Fatalf("%s: %v wasted, the locked path began at %v after %v", resolver, p.Wasted, h.Lookup.LockAt, h.Lookup.LockAt-h.Lookup.Start)
			}
			if p.Stall > 0 {
				stalled++
			}
			if p.LockWait > 0 {
				waited++
			}
			if p.Wasted > 0 {
				wasted++
			}
		}
		t.Logf("%s: of %d hits %d stalled, %d waited, %d wasted", resolver, len(r.rec.hits), stalled, waited, wasted)
	}
}
