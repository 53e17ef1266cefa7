package sim

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
)

const elsewhere = 0x7f0000000000

// vmaRig is a machine of pervma whose thread 1 on CPU 0 has mapped the probe, and has a
// mapping elsewhere.
func vmaRig(t testing.TB) (*rig, *Task) {
	r := newRig(t, testMachine(), "pervma")
	if _, err := r.mm.Space.Map(mm.VMA{Start: elsewhere, End: elsewhere + mm.PageSize, Prot: mm.Read}); err != nil {
		t.Fatal(err)
	}
	reader := r.NewTask(1, 0)
	r.add(reader, OpHit, Microsecond, 0, 0)
	return r, reader
}

// protect takes rights from the mapping at an address.
func protect(addr uint64) Change {
	return func(s *mm.AddressSpace) mm.Effect {
		e, err := s.Protect(addr, mm.PageSize, 0)
		if err != nil {
			panic(err)
		}
		return e
	}
}

// TestVMALockedFromTheBegin has a hit in the midst of a section: it is refused if its own
// mapping is to change at the end, and only then.
func TestVMALockedFromTheBegin(t *testing.T) {
	const begin, hold = 10 * Microsecond, 20 * Microsecond
	for _, c := range []struct {
		name   string
		change Change
		at     Time // of the hit
		want   Outcome
	}{
		{"its own mapping", protect(probeAddr), 15 * Microsecond, WriterActive},
		{"its own mapping goes", func(s *mm.AddressSpace) mm.Effect { e, _ := s.Unmap(probeAddr, 1); return e }, 15 * Microsecond, WriterActive},
		{"another mapping", protect(elsewhere), 15 * Microsecond, Lockless},
		{"nothing", nil, 15 * Microsecond, Lockless},
		{"its own mapping, before", protect(probeAddr), 8 * Microsecond, Lockless},
		{"its own mapping, after", protect(probeAddr), 40 * Microsecond, Lockless},
	} {
		for _, told := range []bool{false, true} {
			r, reader := vmaRig(t)
			write := func() {
				r.add(r.NewTask(2, 2), OpWrite, begin, hold, 0)
				r.last().Tag = "the writer"
				if r.last().Change = c.change; told && c.change != nil {
					r.last().Locks = func(s *mm.AddressSpace) []uint32 {
						return s.Try(func(s *mm.AddressSpace) { c.change(s) })
					}
				}
			}
			if c.at > begin {
				write()
			}
			r.add(reader, OpHit, c.at, 0, 0)
			if c.at < begin {
				write()
			}
			r.run(t)
			h := r.rec.hits[1]
			if h.Outcome != c.want || (h.Lookup.Blame == "the writer") != (c.want == WriterActive) {
				t.Errorf("%s, told %v: %v, blames %v; want %v", c.name, told, h.Outcome, h.Lookup.Blame, c.want)
			}
			if waits := h.Parts.LockWait > 10*Microsecond; waits != (c.want == WriterActive) {
				t.Errorf("%s: it waited for mmap_lock for %v", c.name, h.Parts.LockWait)
			}
			lines := r.Lines()
			if got := lines[VMALock].Accesses; got != 4 && c.want == Lockless || got != 2 && c.want != Lockless {
				t.Errorf("%s: %d accesses to the VMA's lock; one that looks locked is left alone", c.name, got)
			}
			if s := r.rec.sections[0]; s.Even-s.Acquired != hold {
				t.Errorf("%s: nobody reads, but the section takes %v", c.name, s.Even-s.Acquired)
			}
		}
	}
}

// TestVMAReadersHoldUpAWriter adds up how long. A hit with every line at hand has the lock
// from 66 to 128 ns after its lookup began, or longer where walking the tree of uprobes
// takes longer; a section is acquired 21 ns, and locks its VMAs 22 ns after it was asked for.
func TestVMAReadersHoldUpAWriter(t *testing.T) {
	const (
		start = 20*Microsecond + 300*Nanosecond // of the lookup
		hold  = 7 * Microsecond
	)
	for _, c := range []struct {
		name   string
		walk   int64 // cycles of both walks
		lock   Time  // when VMAs are locked
		change Change
		waited Time // by the writer
		wakes  bool // the hit does
	}{
		{"before the lock", 60, start + 60*Nanosecond, protect(probeAddr), 0, false},
		{"another mapping", 60, start + 100*Nanosecond, protect(elsewhere), 0, false},
		// 1 µs to fall asleep, by when the reader is gone, and 1 µs back.
		{"a short reader", 60, start + 100*Nanosecond, protect(probeAddr), 2 * Microsecond, true},
		// 36+3000 ns after its lookup began the hit has the lock; after 6*4 ns for lines of
		// the mapping, 8 and 3000 for the uprobe, and an atomic on a line that the writer took
		// (20+150+7) it drops it. Woken 3 µs later, the writer is back after 1 µs.
		{"a long reader", 6000, start + 5*Microsecond, protect(probeAddr), (3036 + 24 + 3008 + 177 - 5000 + 3000 + 1000) * Nanosecond, true},
		{"after the lock", 60, start + 1000*Nanosecond, protect(probeAddr), 0, false},
	} {
		r, reader := vmaRig(t)
		r.add(reader, OpHit, 10*Microsecond, 0, 0)
		r.add(reader, OpHit, 20*Microsecond, 0, 0)
		r.last().LookupCycles = c.walk
		writer := r.NewTask(2, 2)
		r.add(writer, OpWrite, c.lock-22*Nanosecond, hold, 0)
		r.last().Change = c.change
		r.add(writer, OpWrite, 100*Microsecond, hold, 0)
		r.run(t)
		if s := r.rec.sections[1]; s.Even-s.Acquired != hold {
			t.Errorf("%s: another section, with nobody to wait for, takes %v", c.name, s.Even-s.Acquired)
		}
		s := r.rec.sections[0]
		if got := s.Even - s.Acquired - hold; got != c.waited {
			t.Errorf("%s: the section takes %v longer, want %v", c.name, got, c.waited)
		}
		if got := s.Acquired; got != c.lock-Nanosecond {
			t.Errorf("%s: acquired at %v, want %v", c.name, got, c.lock-Nanosecond)
		}
		h := r.rec.hits[2]
		alone := r.rec.hits[1].Parts.Lookup + Time(c.walk-60)*Nanosecond
		if c.wakes {
			alone += (7 + 500) * Nanosecond
		}
		refused := c.name == "before the lock"
		if h.Outcome != Lockless && !refused || refused && h.Outcome != WriterActive {
			t.Errorf("%s: %v", c.name, h.Outcome)
		}
		if !refused && h.Parts.Lookup != alone {
			t.Errorf("%s: the lookup takes %v, want %v", c.name, h.Parts.Lookup, alone)
		}
		if v := r.mm.vma(1); v.readers != 0 || v.writer != nil {
			t.Errorf("%s: the VMA has %d readers, writer %v", c.name, v.readers, v.writer)
		}
	}
}

// TestSpinnersSleepBehindAWriterThatSleeps has a second writer spin on one that waits for
// a VMA's reader, and so leaves its CPU.
func TestSpinnersSleepBehindAWriterThatSleeps(t *testing.T) {
	r, reader := vmaRig(t)
	r.add(reader, OpHit, 20*Microsecond, 0, 0)
	r.last().LookupCycles = 60_000
	r.add(r.NewTask(2, 2), OpWrite, 55*Microsecond, Microsecond, 0)
	r.last().Change = protect(probeAddr)
	spinner := r.NewTask(3, 3)
	r.add(spinner, OpWrite, 55*Microsecond+100*Nanosecond, Microsecond, 0)
	r.last().Tag = "spinner"
	r.busy(r.NewTask(9, 5), 55*Microsecond+300*Nanosecond, Microsecond, 1) // an event to stop at
	if err := r.RunFor(t.Context(), &r.ops, false, 55*Microsecond+250*Nanosecond); err != nil {
		t.Fatal(err)
	}
	spun := spinner.spins()
	if err := r.RunFor(t.Context(), &r.ops, false, 60*Microsecond); err != nil {
		t.Fatal(err)
	}
	if !spun || spinner.spins() || spinner.state != asleep {
		t.Errorf("it spun: %v; then spins %v, state %d", spun, spinner.spins(), spinner.state)
	}
	r.run(t)
	if len(r.rec.sections) != 3 || r.rec.sections[2].Op.Tag != "spinner" {
		t.Errorf("%d sections ended", len(r.rec.sections))
	}
}

// TestVMARefusalGivesBack finds lookups that are refused after they took the lock, in
// random programs whose sections change the mapping that is hit: the lock is given back,
// and nobody waits for ever.
func TestVMARefusalGivesBack(t *testing.T) {
	gaveBack, waited, compared := 0, 0, int64(0)
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t, testMachine(), "pervma")
		tasks := make([]*Task, rapid.IntRange(2, 8).Draw(t, "threads"))
		for i := range tasks {
			tasks[i] = r.NewTask(int32(i), int32(i))
		}
		at := Microsecond
		for range rapid.IntRange(5, 60).Draw(t, "operations") {
			at += Time(rapid.IntRange(0, 900).Draw(t, "apart")) * Nanosecond
			kind := rapid.SampledFrom([]OpKind{OpHit, OpHit, OpWrite}).Draw(t, "kind")
			r.add(tasks[rapid.IntRange(0, len(tasks)-1).Draw(t, "thread")], kind, at, Time(rapid.IntRange(0, 500).Draw(t, "hold"))*Nanosecond, 0)
			if kind == OpWrite {
				pgoff := rapid.SampledFrom([]uint64{0, 0x5000, ^uint64(0)}).Draw(t, "offset")
				r.last().Change = func(s *mm.AddressSpace) mm.Effect {
					if pgoff == ^uint64(0) {
						e, _ := s.Unmap(probeAddr, 1)
						return e
					}
					// Another part of the file, in a structure that is used again.
					e, _ := s.Map(mm.VMA{Start: probeAddr, End: probeAddr + mm.PageSize, Prot: mm.Read, File: textFile, Pgoff: pgoff})
					return e
				}
			}
		}
		r.run(t)
		for i := range r.rec.hits {
			h := &r.rec.hits[i]
			if h.Lookup.Outcome != Lockless && h.Lookup.LockAt > 0 && h.Parts.Wasted > 150*Nanosecond {
				gaveBack++
			}
			if h.Lookup.LockAt > 0 && h.Lookup.Acquired == 0 || h.Lookup.Start+h.Parts.Wasted > h.Lookup.Answered {
				t.Fatalf("%+v", h)
			}
		}
		for i := range r.rec.sections {
			if s := &r.rec.sections[i]; s.Even-s.Acquired > s.Op.Hold+Nanosecond {
				waited++
			}
		}
		for id, v := range r.mm.vmas {
			if v != nil && (v.readers != 0 || v.writer != nil) {
				t.Fatalf("VMA %d has %d readers, writer %v, when all is over", id, v.readers, v.writer)
			}
		}
		compared += r.Checked()
	})
	if gaveBack == 0 || waited == 0 || compared == 0 {
		t.Errorf("vacuous: %d lookups were refused late, %d writers waited, %d answers were compared", gaveBack, waited, compared)
	}
}

// TestWhatTheOracleCounts: the answers that it compares, no others.
func TestWhatTheOracleCounts(t *testing.T) {
	for resolver, want := range map[string]int64{
		"locked": 0, "refcount": 0, "ideal": 0, "pervma": 3, "speculative": 3, "speculative-v1": 3, "speculative-merged": 3,
	} {
		r := newRig(t, testMachine(), resolver)
		task := r.NewTask(1, 0)
		for i := range Time(3) {
			r.add(task, OpHit, (1+10*i)*Microsecond, 0, 0)
		}
		r.run(t)
		if got := r.Checked(); got != want {
			t.Errorf("%s: %d answers were compared, want %d", resolver, got, want)
		}
	}
}
