package sim

import (
	"cmp"
	"slices"
	"testing"

	"github.com/replay/replay/sim/mm"
)

// The machine of these tests makes a cycle 1 ns: a load takes 4, a store 1, an atomic
// 20, entry and exit 300 and 400, each half of the walk 30, a way over the sockets 150.

// withMM is the same rig with another address space.
func (r *rig) withMM(id int32) *rig {
	other := *r
	other.mm = r.NewMM(id, &mm.AddressSpace{})
	return &other
}

// last is the operation that was added last.
func (r *rig) last() *planned { return &r.ops.ops[len(r.ops.ops)-1] }

// TestUncontendedHitsByHand adds up what the second hit of a thread takes, with every
// line at hand, for each kernel.
func TestUncontendedHitsByHand(t *testing.T) {
	const (
		// Tree root and leaf, VMA lines 0 and 2, file, uprobe tree and node; both halves.
		walk  = 7*4 + 60
		pgoff = 4 // VMA line 1, but in v3
		// down_read is an atomic and the store of the owner, up_read an atomic.
		locked = 21 + walk + pgoff + 20
	)
	for name, want := range map[string]struct{ lookup, handler Time }{
		"ideal":              {walk + pgoff, 0},
		"speculative":        {walk + 2*4, 0}, // the sequence twice
		"speculative-v1":     {walk + pgoff + 2*4, 0},
		"speculative-merged": {walk + pgoff + 2*4, 0},
		// The sequence twice, line 0 twice more, two atomics on the lock.
		"pervma": {walk + pgoff + 4*4 + 2*20, 0},
		"locked": {locked, 0},
		// Half of srcu's 50 cycles before, half after; nhit is a load and a store.
		"srcu": {25 + locked, 5 + 25},
		// Tree lock twice and the reference; register_rwsem (an atomic, a store), nhit,
		// and both given back.
		"refcount": {locked + 3*20, 21 + 5 + 40},
	} {
		r := newRig(t, testMachine(), name)
		task := r.NewTask(1, 0)
		r.add(task, OpHit, Microsecond, 0, 0)
		r.add(task, OpHit, 10*Microsecond, 0, 0)
		r.add(task, OpHit, 20*Microsecond, 0, 0)
		r.run(t)
		h := r.rec.hits[1]
		for _, h := range r.rec.hits {
			sampled, checked := h.Lookup.Start+4*Nanosecond, h.Lookup.Answered
			if r.resolver.SeqBits == 0 {
				sampled, checked = 0, 0 // looks at no sequence
			}
			if h.Lookup.Sampled != sampled || h.Lookup.Checked != checked {
				t.Errorf("%s: the sequence is read at %v and %v, want %v, %v", name, h.Lookup.Sampled, h.Lookup.Checked, sampled, checked)
			}
		}
		if again := r.rec.hits[2]; again.Parts != h.Parts || again.End-again.Trap != h.End-h.Trap {
			t.Errorf("%s: the third hit takes %+v, the second %+v", name, again.Parts, h.Parts)
		}
		if h.Parts.Lookup != want.lookup*Nanosecond || h.Parts.Handler != (700+want.handler)*Nanosecond {
			t.Errorf("%s: lookup %v, handler %v; want %v, %v", name, h.Parts.Lookup, h.Parts.Handler, want.lookup*Nanosecond, (700+want.handler)*Nanosecond)
		}
		if h.Parts.Stall != 0 || h.Parts.LockWait != 0 || h.Parts.Wasted != 0 || h.Transfers != 0 {
			t.Errorf("%s: %+v, %d transfers, alone on the machine", name, h.Parts, h.Transfers)
		}
		if h.Trap != 10*Microsecond || h.Lookup.Start != h.Trap+300*Nanosecond || h.Lookup.Answered != h.Lookup.Start+h.Parts.Lookup || h.End-h.Trap != h.Parts.Lookup+h.Parts.Handler {
			t.Errorf("%s: trap %v, start %v, answered %v, end %v", name, h.Trap, h.Lookup.Start, h.Lookup.Answered, h.End)
		}
		// mmap_lock is held from the store of the owner to the atomic of up_read.
		if hold := h.Parts.LockHold; len(r.resolver.speculate) == 0 && hold != want.lookup*Nanosecond-h.Lookup.Acquired+h.Lookup.Start-20*Nanosecond {
			t.Errorf("%s: the lock is held for %v of %v", name, hold, h.Parts.Lookup)
		}
	}
}

// TestTrafficByHand counts accesses, transfers and stalls by role: a hit on CPU 0, then
// one on the other socket.
func TestTrafficByHand(t *testing.T) {
	type traffic map[Role]LineStats
	const way = 150 * Nanosecond
	reads := func(more traffic) traffic {
		for _, role := range []Role{TreeRoot, TreeLeaf, VMAFile, VMAPgoff, VMAHead, FileLine, UprobeTree, UprobeNode} {
			if _, ok := more[role]; !ok {
				more[role] = LineStats{2, 1, way}
			}
		}
		return more
	}
	for name, want := range map[string]traffic{
		"ideal":              reads(traffic{}),
		"speculative":        reads(traffic{OwnerLine: {4, 1, way}, VMAPgoff: {}}), // beside the file
		"speculative-merged": reads(traffic{OwnerLine: {4, 1, way}}),
		"locked":             reads(traffic{CountLine: {4, 1, way}, OwnerLine: {2, 1, way}}),
		"pervma":             reads(traffic{VMAHead: {6, 1, way}, OwnerLine: {4, 1, way}, VMALock: {4, 1, way}}),
		"refcount": reads(traffic{
			CountLine: {4, 1, way}, OwnerLine: {2, 1, way}, UprobeTree: {6, 1, way},
			// read first, and then written, which takes it from the other a second time
			UprobeNode: {12, 2, 2 * way}, HitCounter: {4, 2, 2 * way},
		}),
	} {
		r := newRig(t, testMachine(), name)
		r.add(r.NewTask(1, 0), OpHit, Microsecond, 0, 0)
		r.add(r.NewTask(2, 2), OpHit, 10*Microsecond, 0, 0)
		r.run(t)
		moved, stalled := int64(0), Time(0)
		for role, got := range r.Lines() {
			if got != want[Role(role)] {
				t.Errorf("%s: %v: %+v, want %+v", name, Role(role), got, want[Role(role)])
			}
			moved += got.Transfers
			if Role(role) != OwnerLine || name != "locked" && name != "refcount" {
				stalled += got.Stall // but the owner is stored through the store buffer
			}
		}
		h := r.rec.hits[1]
		if h.Transfers != moved {
			t.Errorf("%s: the hit counts %d transfers, the lines %d", name, h.Transfers, moved)
		}
		if name != "refcount" && h.Parts.Stall != stalled {
			t.Errorf("%s: the hit was stalled for %v, the lines %v", name, h.Parts.Stall, stalled)
		}
		for of, parts := range map[string]Parts{"hit": h.Parts, "lookup": h.Lookup.Parts} {
			if parts.Resolve() != h.Lookup.Answered-h.Lookup.Start {
				t.Errorf("%s: the parts of the %s of %v add up to %v", name, of, h.Lookup.Answered-h.Lookup.Start, parts.Resolve())
			}
		}
		// What a hit moved is its own, not of those before.
		again := newRig(t, testMachine(), name)
		first, second := again.NewTask(1, 0), again.NewTask(2, 2)
		again.add(first, OpHit, Microsecond, 0, 0)
		again.add(second, OpHit, 10*Microsecond, 0, 0)
		again.add(second, OpHit, 20*Microsecond, 0, 0)
		again.run(t)
		if h := again.rec.hits[2]; h.Transfers != 0 || h.Parts.Stall != 0 {
			t.Errorf("%s: the second hit on a core counts %d transfers, %v of stalls", name, h.Transfers, h.Parts.Stall)
		}
	}
}

// TestGivenCycles: where the caller knows the private work of lookups, it is that.
func TestGivenCycles(t *testing.T) {
	const trampoline = 0x10000
	m := testMachine()
	m.Hit.SyscallPermille = 500
	r := newRig(t, m, "speculative")
	if _, err := r.mm.Space.Map(mm.VMA{Start: trampoline, End: trampoline + mm.PageSize, Prot: mm.Read | mm.Exec}); err != nil {
		t.Fatal(err)
	}
	task := r.NewTask(1, 0)
	for i, c := range [][2]int64{{0, 0}, {0, 0}, {77, 0}, {0, 200}, {11, 22}} {
		r.add(task, OpHit, Time(1+i)*10*Microsecond, 0, 0)
		r.last().Trampoline, r.last().CheckCycles, r.last().LookupCycles = trampoline, c[0], c[1]
	}
	r.run(t)
	check, lookup := CheckLoads()*4, r.resolver.Loads()*4
	if check != 5*4 || lookup != 9*4 {
		t.Errorf("the check reads %d lines, the lookup %d; want 5, 9", check/4, lookup/4)
	}
	for i, want := range [][2]int64{{30, 60}, {77, 60}, {30, 200}, {11, 22}} {
		h := r.rec.hits[1+i]
		if got, want := [2]Time{h.Check.Parts.Lookup, h.Lookup.Parts.Lookup}, [2]Time{Time(want[0]+check) * Nanosecond, Time(want[1]+lookup) * Nanosecond}; got != want {
			t.Errorf("hit %d: check and lookup take %v, want %v", 1+i, got, want)
		}
	}
}

// TestLayouts holds which line the words of mmap_lock are on.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		layout Layout
		kind   OpKind
		want   map[Role]int64
	}{
		// A write section: count for down and up, the owner, the sequence twice.
		{CountApart, OpWrite, map[Role]int64{CountLine: 2, OwnerLine: 3}},
		{SeqApart, OpWrite, map[Role]int64{CountLine: 3, SeqLine: 2}},
		{CountApart, OpRead, map[Role]int64{CountLine: 2, OwnerLine: 1}},
		{SeqApart, OpRead, map[Role]int64{CountLine: 3}},
		{CountApart, OpHit, map[Role]int64{OwnerLine: 2}},
		{SeqApart, OpHit, map[Role]int64{SeqLine: 2}},
	} {
		m := testMachine()
		m.Layout = c.layout
		r := newRig(t, m, "speculative")
		r.add(r.NewTask(1, 0), c.kind, Microsecond, Microsecond, 0)
		r.run(t)
		lines := r.Lines()
		for _, role := range []Role{CountLine, OwnerLine, SeqLine} {
			if got := lines[role].Accesses; got != c.want[role] {
				t.Errorf("%v, kind %d: %d accesses to %v, want %d", c.layout, c.kind, got, role, c.want[role])
			}
		}
	}
}

// TestSectionsByHand holds the instants of sections that nobody disturbs.
func TestSectionsByHand(t *testing.T) {
	ns := func(n Time) Time { return n * Nanosecond }
	for _, c := range []struct {
		name           string
		kind           OpKind
		hold, readHold Time
		want           [4]Time // requested, acquired, even, released
	}{
		// down_write 20, owner 1; even Hold later; the sequence 1, up_write 20.
		{"write", OpWrite, 500, 0, [4]Time{1000, 1021, 1521, 1542}},
		{"write for no time", OpWrite, 0, 0, [4]Time{1000, 1021, 1022, 1043}},
		// downgrade_write 20, then the hold, then up_read 20.
		{"downgrade", OpWrite, 500, 300, [4]Time{1000, 1021, 1521, 1862}},
		{"downgrade for a moment", OpWrite, 500, 1, [4]Time{1000, 1021, 1521, 1563}},
		{"read", OpRead, 0, 300, [4]Time{1000, 1021, 0, 1341}},
	} {
		r := newRig(t, testMachine(), "speculative")
		r.add(r.NewTask(1, 0), c.kind, Microsecond, ns(c.hold), ns(c.readHold))
		r.run(t)
		s := r.rec.sections[0]
		if got, want := [4]Time{s.Requested, s.Acquired, s.Even, s.Released}, [4]Time{ns(c.want[0]), ns(c.want[1]), ns(c.want[2]), ns(c.want[3])}; got != want {
			t.Errorf("%s: requested, acquired, even, released at %v, want %v", c.name, got, want)
		}
		if s.CPU != 0 || s.Op.Tag != 0 {
			t.Errorf("%s: CPU %d, tag %v", c.name, s.CPU, s.Op.Tag)
		}
	}
}

// TestWhatAChangeTakes counts the lines that the next lookup on another socket has to
// fetch back after a write section: the sequence, and what the change wrote.
func TestWhatAChangeTakes(t *testing.T) {
	protect := func(addr uint64) Change {
		return func(s *mm.AddressSpace) mm.Effect {
			e, err := s.Protect(addr, mm.PageSize, mm.Read)
			if err != nil {
				panic(err)
			}
			return e
		}
	}
	const other = 0x7f0000000000
	for _, c := range []struct {
		name   string
		change Change
		want   int64
	}{
		{"nothing", nil, 1},
		{"what is so already", protect(other), 1},
		{"the mapping itself", protect(probeAddr), 1 + 3}, // tree root and leaf, VMA line 0
		{"a mapping elsewhere", func(s *mm.AddressSpace) mm.Effect {
			e, err := s.Unmap(other, mm.PageSize)
			if err != nil {
				panic(err)
			}
			return e
		}, 1 + 2},
	} {
		r := newRig(t, testMachine(), "speculative")
		if _, err := r.mm.Space.Map(mm.VMA{Start: other, End: other + mm.PageSize, Prot: mm.Read}); err != nil {
			t.Fatal(err)
		}
		reader := r.NewTask(1, 0)
		for i := range Time(3) { // the later ones find all lines where the first left them
			r.add(reader, OpHit, (1+i)*Microsecond, 0, 0)
		}
		r.add(r.NewTask(2, 2), OpWrite, 10*Microsecond, Microsecond, 0)
		r.last().Change = c.change
		r.add(reader, OpHit, 20*Microsecond, 0, 0)
		r.run(t)
		h := r.rec.hits[3]
		if h.Transfers != c.want || h.Outcome != Lockless {
			t.Errorf("%s: %v with %d transfers, want %d", c.name, h.Outcome, h.Transfers, c.want)
		}
		if want := Time(c.want) * 150 * Nanosecond; h.Parts.Stall != want {
			t.Errorf("%s: stalled for %v, want %v", c.name, h.Parts.Stall, want)
		}
	}
}

// TestLeavesOfALargeTree has only one of many leaves read: the others are nobody's.
func TestLeavesOfALargeTree(t *testing.T) {
	r := newRig(t, testMachine(), "speculative")
	for i := range uint64(200) {
		if _, err := r.mm.Space.Map(mm.VMA{Start: 0x1000 + i*0x2000, End: 0x2000 + i*0x2000, Prot: mm.Read}); err != nil {
			t.Fatal(err)
		}
	}
	if _, leaf := r.mm.Space.Path(probeAddr); leaf == 0 {
		t.Fatal("vacuous: the probe is in the first leaf")
	}
	reader := r.NewTask(1, 0)
	r.add(reader, OpHit, Microsecond, 0, 0)
	r.add(r.NewTask(2, 2), OpWrite, 10*Microsecond, Microsecond, 0)
	r.last().Change = func(s *mm.AddressSpace) mm.Effect {
		e, err := s.Unmap(0x1000, 0x1000)
		if err != nil {
			panic(err)
		}
		return e
	}
	r.add(reader, OpHit, 20*Microsecond, 0, 0)
	r.run(t)
	if h := r.rec.hits[1]; h.Transfers != 3 {
		t.Errorf("%d transfers, want 3: the sequence, the root, its leaf", h.Transfers)
	}
}

// TestFallbacks forces each reason to fall back that lies in the address space, has the
// recorder spend time before the lock, and holds what the ledger says of it.
func TestFallbacks(t *testing.T) {
	unmap := func(s *mm.AddressSpace) mm.Effect {
		e, err := s.Unmap(probeAddr, 1)
		if err != nil {
			panic(err)
		}
		return e
	}
	mapped := func(v mm.VMA) Change {
		return func(s *mm.AddressSpace) mm.Effect {
			v.Start, v.End = probeAddr, probeAddr+mm.PageSize
			e, err := s.Map(v)
			if err != nil {
				panic(err)
			}
			return e
		}
	}
	for _, c := range []struct {
		name   string
		change Change
		want   Outcome
		wasted Time // ns that the refused walk read and walked, but for three lines from the other socket
	}{
		{"unmapped", unmap, NoVMA, 4 + 8 + 30},
		{"anonymous memory", mapped(mm.VMA{Prot: mm.Read}), NoFile, 4 + 8 + 30 + 4},
		{"another file", mapped(mm.VMA{Prot: mm.Read, File: 7}), NoUprobe, 4 + 8 + 30 + 4 + 8 + 8 + 30},
		{"another part of the file", mapped(mm.VMA{Prot: mm.Read, File: textFile, Pgoff: 0x5000}), NoUprobe, 4 + 8 + 30 + 4 + 8 + 8 + 30},
	} {
		var ends []Time
		for _, delay := range []Time{0, 1, 700 * Nanosecond} {
			r := newRig(t, testMachine(), "speculative")
			r.add(r.NewTask(1, 0), OpHit, Microsecond, 0, 0)
			r.unmapAfterTrap(12*Microsecond + 50*Nanosecond)
			r.last().Change = c.change
			r.add(r.NewTask(3, 0), OpHit, 12*Microsecond, 0, 0)
			r.last().LockDelay = delay
			r.run(t)
			h := r.rec.hits[1]
			if h.Outcome != c.want || h.Found || h.Lookup.Blame != nil || h.Inferred {
				t.Errorf("%s: %v, found %v, blame %v, inferred %v; want %v", c.name, h.Outcome, h.Found, h.Lookup.Blame, h.Inferred, c.want)
			}
			if h.Parts.Wasted != h.Lookup.LockAt-h.Lookup.Start || h.Lookup.LockAt <= h.Lookup.Start {
				t.Errorf("%s: %v wasted from %v to %v", c.name, h.Parts.Wasted, h.Lookup.Start, h.Lookup.LockAt)
			}
			if h.Parts.Resolve() != h.Lookup.Answered-h.Lookup.Start {
				t.Errorf("%s: the parts of %v add up to %v", c.name, h.Lookup.Answered-h.Lookup.Start, h.Parts.Resolve())
			}
			if want := (c.wasted + 3*150) * Nanosecond; h.Parts.Wasted != want {
				t.Errorf("%s: %v wasted, want %v", c.name, h.Parts.Wasted, want)
			}
			ends = append(ends, h.End-delay)
		}
		if ends[0] != ends[1] || ends[0] != ends[2] {
			t.Errorf("%s: the recorder's time before the lock is not what the hit takes longer: %v", c.name, ends)
		}
	}
}

// TestTheTrapIsProof holds what becomes of an address of which the trace knew something
// else: the trap proves that a file with a uprobe is there.
func TestTheTrapIsProof(t *testing.T) {
	for _, c := range []struct {
		name     string
		there    *mm.VMA
		inferred bool
	}{
		{"nothing known", nil, true},
		{"anonymous memory", &mm.VMA{Prot: mm.Read}, true},
		{"the file", &mm.VMA{Prot: mm.Read, File: textFile, Pgoff: 0x1000}, false},
		{"another place of it", &mm.VMA{Prot: mm.Read, File: textFile, Pgoff: 0x9000}, false},
	} {
		r := newRig(t, testMachine(), "speculative")
		task := r.NewTask(1, 0)
		r.add(task, OpApply, 0, 0, 0)
		if c.there != nil {
			r.last().Change = func(s *mm.AddressSpace) mm.Effect {
				v := *c.there
				v.Start, v.End = probeAddr, probeAddr+mm.PageSize
				e, err := s.Map(v)
				if err != nil {
					panic(err)
				}
				return e
			}
		}
		r.add(task, OpHit, Microsecond, 0, 0)
		r.add(task, OpHit, 2*Microsecond, 0, 0)
		r.run(t)
		for i, h := range r.rec.hits {
			if h.Outcome != Lockless || !h.Found || h.Inferred != (c.inferred && i == 0) {
				t.Errorf("%s: hit %d: %v, found %v, inferred %v", c.name, i, h.Outcome, h.Found, h.Inferred)
			}
		}
	}
}

// TestUpperBoundLooksAtNothing lets the mapping go while the ideal walk is past it: it
// answers, and is held to nothing. The speculative one is refused at its end.
func TestUpperBoundLooksAtNothing(t *testing.T) {
	for name, want := range map[string]Outcome{"ideal": Lockless, "speculative": SeqChanged, "speculative-merged": SeqChanged, "speculative-v1": SeqChanged} {
		r := newRig(t, testMachine(), name)
		r.add(r.NewTask(1, 0), OpHit, Microsecond, 0, 0)
		// The lookup starts at 12.3 µs and has its VMA 42 ns later; the section is over at 12.36 µs.
		r.unmapAfterTrap(12*Microsecond + 310*Nanosecond)
		r.last().Hold = 29 * Nanosecond
		r.add(r.NewTask(3, 0), OpHit, 12*Microsecond, 0, 0)
		r.run(t)
		h := r.rec.hits[1]
		if h.Outcome != want || h.Found != (want == Lockless) {
			t.Errorf("%s: %v, found %v; want %v", name, h.Outcome, h.Found, want)
		}
	}
}

// TestCheckOfATrampolineThatIsGone: that nothing is mapped there is an answer as well,
// for less, since there is no mapping to read.
func TestCheckOfATrampolineThatIsGone(t *testing.T) {
	const trampoline = 0x10000
	for _, mapped := range []bool{true, false} {
		m := testMachine()
		m.Hit.SyscallPermille = 500
		r := newRig(t, m, "speculative")
		if mapped {
			if _, err := r.mm.Space.Map(mm.VMA{Start: trampoline, End: trampoline + mm.PageSize, Prot: mm.Read | mm.Exec}); err != nil {
				t.Fatal(err)
			}
		}
		task := r.NewTask(1, 0)
		for i := range Time(2) {
			r.add(task, OpHit, Microsecond+i*10*Microsecond, 0, 0)
			r.last().Trampoline = trampoline
		}
		r.run(t)
		want := Time(4+4+4+30+4) * Nanosecond // sequence, root, leaf, walk, sequence
		if mapped {
			want += 4 * Nanosecond
		}
		if h := r.rec.hits[1]; h.Outcome != Lockless || h.Check.Parts.Lookup != want || h.Lookup.Start != h.Check.Answered {
			t.Errorf("mapped %v: %v, a check of %v, want %v", mapped, h.Outcome, h.Check.Parts.Lookup, want)
		}
	}
}

// TestLinesOfSeveralProbes has two probes: a lookup reads the struct of its own, and one
// that finds none ends at the neighbour below which it would be.
func TestLinesOfSeveralProbes(t *testing.T) {
	const first, second = probeAddr + 0x10, probeAddr + 0x20
	for _, resolver := range []string{"locked", "speculative", "ideal", "refcount"} {
		r := newRig(t, testMachine(), resolver)
		warm, other := r.NewTask(1, 0), r.NewTask(2, 2)
		hit := func(task *Task, at Time, addr uint64) {
			r.add(task, OpHit, at, 0, 0)
			r.last().Addr, r.last().Offset = addr, addr%mm.PageSize
		}
		hit(warm, Microsecond, first)
		hit(warm, 10*Microsecond, second)
		hit(other, 20*Microsecond, first)
		hit(other, 30*Microsecond, second) // of what the first one moved, only the struct differs
		hit(other, 40*Microsecond, second)
		r.run(t)
		lines := r.Lines()
		moved := int64(1) // to the other core
		if resolver == "refcount" {
			moved = 2 // read, then written
		}
		if got := lines[UprobeNode].Transfers; got != 2*moved {
			t.Errorf("%s: %d transfers of the structs of two uprobes, want %d", resolver, got, 2*moved)
		}
		for id := range mm.ProbeID(2) {
			if l := r.global.nodes[id]; l == nil || !l.sharers.has(r.topo.cpus[0].core) && resolver != "refcount" || !l.sharers.has(r.topo.cpus[2].core) {
				t.Errorf("%s: the struct of uprobe %d was not read by both", resolver, id)
			}
		}
	}
}

// TestNothingBehindWhatIsNotFound holds what a locked lookup reads when it finds nothing.
func TestNothingBehindWhatIsNotFound(t *testing.T) {
	at := mm.VMA{Start: probeAddr, End: probeAddr + mm.PageSize, Prot: mm.Read}
	anonymous, another := at, at
	another.File, another.Pgoff = textFile, 0x5000
	type reads map[Role]int64
	for _, c := range []struct {
		name string
		then *mm.VMA
		want reads
	}{
		{"unmapped", nil, reads{TreeRoot: 1, TreeLeaf: 1}},
		{"no file", &anonymous, reads{TreeRoot: 1, TreeLeaf: 1, VMAFile: 1}},
		// The tree has one uprobe, at which the search ends.
		{"no uprobe", &another, reads{TreeRoot: 1, TreeLeaf: 1, VMAFile: 1, VMAHead: 1, VMAPgoff: 1, FileLine: 1, UprobeTree: 1, UprobeNode: 1}},
	} {
		for _, resolver := range []string{"locked", "refcount"} {
			traffic := func(second bool) [NumRoles]LineStats {
				r := newRig(t, testMachine(), resolver)
				r.add(r.NewTask(1, 0), OpHit, Microsecond, 0, 0)
				r.unmapAfterTrap(12*Microsecond + 50*Nanosecond)
				r.last().Change = func(s *mm.AddressSpace) mm.Effect {
					e, _ := s.Unmap(probeAddr, 1)
					if c.then != nil {
						e, _ = s.Map(*c.then)
					}
					return e
				}
				if second {
					r.add(r.NewTask(3, 4), OpHit, 12*Microsecond, 0, 0)
				}
				r.run(t)
				if second && r.rec.hits[1].Found {
					t.Fatalf("%s: found", c.name)
				}
				return r.Lines()
			}
			with, without := traffic(true), traffic(false)
			for role := TreeRoot; role < NumRoles; role++ {
				want := c.want[role]
				if resolver == "refcount" && role == UprobeTree && want > 0 {
					want += 2 // its lock
				}
				if got := with[role].Accesses - without[role].Accesses; got != want {
					t.Errorf("%s, %s: %d accesses to %v, want %d", resolver, c.name, got, role, want)
				}
			}
		}
	}
}

// TestNoTwoResolversAreOne has hits of several sockets and a writer in between: each
// resolver decides something else, or at another time.
func TestNoTwoResolversAreOne(t *testing.T) {
	digests := map[uint64]*Resolver{}
	for _, name := range ResolverNames() {
		r := newRig(t, testMachine(), name)
		for i := range int32(8) {
			task := r.NewTask(i, i)
			for j := range Time(4) {
				r.add(task, OpHit, (1+j)*Microsecond, 0, 0)
			}
		}
		r.add(r.NewTask(8, 3), OpWrite, 2*Microsecond, 300*Nanosecond, 0)
		r.last().Change = protect(probeAddr)
		slices.SortStableFunc(r.ops.ops, func(a, b planned) int { return cmp.Compare(a.Due, b.Due) })
		r.run(t)
		if other := digests[r.Digest()]; other != nil && other.Alike != name {
			t.Errorf("%s decides what %s does", name, other.Name)
		}
		digests[r.Digest()] = r.resolver
	}
	for i := range resolvers {
		r := resolvers[i].compiled()
		if like := r.Alike; like != "" {
			other, err := FindResolver(like)
			if err != nil || other.Loads() != r.Loads() || other.SeqBits != r.SeqBits {
				t.Errorf("%s reads not as many lines as %s: %v", r.Name, like, err)
			}
		}
	}
}
