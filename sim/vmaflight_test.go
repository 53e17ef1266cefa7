package sim

import (
	"slices"
	"testing"

	gocmp "cmp"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/sim/mm"
)

// perVMA runs hits of two threads and what a third does under pervma, with mappings of two
// files that are hit, each with a line of its own.
func perVMA(t *testing.T, stepwise bool, more func(r *rig, hitters []*Task)) *rig {
	t.Helper()
	r := rigOf(newSystem(t, testMachine(), 0, "pervma", Config{Observer: &recorder{}, AsRecorded: true, Stepwise: stepwise}))
	hitters := []*Task{r.NewTask(1, 0), r.NewTask(2, 2)}
	for i, addr := range []uint64{probeAddr, otherAddr} {
		for n := range Time(3) { // so that the core has the lines, and a way is known
			r.add(hitters[i], OpHit, (1+4*n)*Microsecond+Time(i)*2*Microsecond, 0, 0)
			r.last().Addr, r.last().Offset = addr, addr%mm.PageSize
		}
	}
	more(r, hitters)
	slices.SortStableFunc(r.ops.ops, func(a, b planned) int { return gocmp.Compare(a.Due, b.Due) })
	r.run(t)
	return r
}

const otherAddr = probeAddr + 0x20_0000

// asStepByStep holds that both ways show the same, and returns one of them.
func asStepByStep(t *testing.T, what string, more func(r *rig, hitters []*Task)) *rig {
	t.Helper()
	step, all := perVMA(t, true, more), perVMA(t, false, more)
	if d := cmp.Diff(step.rec.hits, all.rec.hits, byWhatTheyTell) + cmp.Diff(step.rec.sections, all.rec.sections, byWhatTheyTell); d != "" || step.Digest() != all.Digest() || step.Lines() != all.Lines() {
		t.Fatalf("%s (-step by step +all):\n%.3000s", what, d)
	}
	return all
}

// A section write-locks its VMAs one after the other, and waits for the readers of each: a
// lookup of the second may be under way when that is locked, long after the sequence of the
// mm became odd.
func TestVMALockDisturbs(t *testing.T) {
	refused := 0
	for offset := Time(0); offset < 600*Nanosecond; offset += 13 * Nanosecond {
		r := asStepByStep(t, offset.String(), func(r *rig, hitters []*Task) {
			r.add(hitters[0], OpHit, 20*Microsecond, 0, 0)
			writer := r.NewTask(3, 4)
			r.add(writer, OpWrite, 20*Microsecond+350*Nanosecond, 4*Microsecond, 0)
			r.last().Change = func(s *mm.AddressSpace) mm.Effect { return mm.Effect{} }
			r.last().Locks = func(s *mm.AddressSpace) (ids []uint32) {
				for _, addr := range []uint64{probeAddr, otherAddr} {
					v, _ := s.Find(addr)
					ids = append(ids, v.ID)
				}
				return ids
			}
			for n := range Time(12) {
				r.add(hitters[1], OpHit, 20*Microsecond+offset+n*2*Microsecond, 0, 0)
				r.last().Addr, r.last().Offset = otherAddr, otherAddr%mm.PageSize
			}
		})
		for _, h := range r.rec.hits {
			if h.Outcome == WriterActive {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("no lookup met a VMA that was write-locked")
	}
}

// A section that changes other mappings leaves a lookup under way alone, and its answer is
// judged like any other: it is known what was changed when.
func TestJudgedAcrossSections(t *testing.T) {
	across := 0
	for offset := Time(0); offset < 600*Nanosecond; offset += 50 * Nanosecond {
		r := asStepByStep(t, offset.String(), func(r *rig, hitters []*Task) {
			r.add(hitters[0], OpHit, 20*Microsecond, 0, 0)
			r.add(r.NewTask(3, 3), OpWrite, 20*Microsecond+offset, 20*Nanosecond, 0)
			r.last().Change = func(s *mm.AddressSpace) mm.Effect {
				e, _ := s.Map(mm.VMA{Start: otherAddr + 0x10000, End: otherAddr + 0x11000, Prot: mm.Read})
				return e
			}
		})
		lockless := int64(0)
		for _, h := range r.rec.hits {
			if h.Outcome == Lockless {
				lockless++
				if at := r.rec.sections[0].Even; h.Lookup.Start < at && at < h.End {
					across++
				}
			}
		}
		if r.Checked() != lockless {
			t.Fatalf("%v: %d of %d answers without the lock were judged", offset, r.Checked(), lockless)
		}
	}
	if across == 0 {
		t.Error("no section ended during a lookup without the lock")
	}
}

// A mapping that goes and comes again alike is another one to a lookup that had found it.
func TestMappingAgain(t *testing.T) {
	changed := 0
	for offset := Microsecond; offset < 1500*Nanosecond; offset += 7 * Nanosecond { // the lookup begins at 1.2 µs
		r := asStepByStep(t, offset.String(), func(r *rig, hitters []*Task) {
			// Line 0 of the VMA is elsewhere when the lookup asks for it, and all others are here:
			// the way is known, and the rest of it is flown once that line has come.
			writer := r.NewTask(3, 3)
			r.add(writer, OpHit, 16*Microsecond, 0, 0)
			r.add(writer, OpWrite, 18*Microsecond, 20*Nanosecond, 0)
			r.last().Change = func(s *mm.AddressSpace) mm.Effect {
				v, _ := s.Find(probeAddr)
				return mm.Effect{Changed: 1, Written: []uint32{v.ID}}
			}
			r.add(hitters[0], OpHit, 19*Microsecond, 0, 0)
			r.last().Addr, r.last().Offset = otherAddr, otherAddr%mm.PageSize
			r.add(hitters[0], OpHit, 20*Microsecond, 0, 0)
			r.add(writer, OpApply, 20*Microsecond+offset, 0, 0)
			r.last().Change = func(s *mm.AddressSpace) mm.Effect {
				v, _ := s.Find(probeAddr)
				s.Unmap(probeAddr, 1)
				e, _ := s.Map(v)
				return e
			}
			r.add(hitters[0], OpHit, 24*Microsecond, 0, 0)
		})
		for _, h := range r.rec.hits {
			if h.Outcome == SeqChanged {
				changed++
			}
		}
	}
	if changed == 0 {
		t.Error("no lookup saw that its mapping was another one")
	}
}
