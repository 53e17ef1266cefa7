package sim

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
)

// testMachine has two sockets of two cores with two threads, in round figures.
func testMachine() *Machine {
	return &Machine{
		Name: "test", Sockets: 2, CoresPerSocket: 2, CoresPerL3: 1, SMT: 2, SMTPermille: 1400,
		Turbo: []TurboStep{{2, 1_000_000}},
		Line: LineCosts{
			LoadCycles: 4, StoreCycles: 1, RMWCycles: 20, Sibling: 7 * Nanosecond,
			Transfer: [NumDistances]Time{0, 25 * Nanosecond, 50 * Nanosecond, 150 * Nanosecond}, QueuedPermille: 700,
			Waiter: 2 * Nanosecond, WaiterCap: 8, LocalPermille: 500,
		},
		Lock: LockCosts{SleepCycles: 2000, WakeCycles: 500, WakeLatency: 3 * Microsecond, SpinCycles: 40, TimeSlice: 3 * Millisecond},
		Hit:  HitCosts{EntryCycles: 300, LookupCycles: 60, ExitCycles: 400, SRCUCycles: 50},
	}
}

// planned is an operation and its ticket.
type planned struct {
	Op
	CPU             int32
	Due, Until, Gap Time
}

// list is a source of given operations, in order of their due times.
type list struct {
	ops   []planned
	given map[*Task][]planned // and not begun
}

func (l *list) Next(next *Ticket) bool {
	if len(l.ops) == 0 {
		return false
	}
	p := l.ops[0]
	l.ops = l.ops[1:]
	if l.given == nil {
		l.given = map[*Task][]planned{}
	}
	l.given[p.Task] = append(l.given[p.Task], p)
	*next = p.ticket()
	return true
}

func (p *planned) ticket() Ticket {
	return Ticket{Task: p.Task, CPU: p.CPU, Due: p.Due, Until: p.Until, At: p.At, Gap: p.Gap}
}

func (l *list) Waiting(t *Task) Ticket { return l.given[t][0].ticket() }

func (l *list) Op(t *Task, op *Op) {
	at := op.At
	*op = l.given[t][0].Op
	op.Task, op.At = t, at
	if !op.Repeat {
		l.given[t] = l.given[t][1:]
	}
}

func (l *list) Err() error { return nil }

// recorder keeps all that it is told.
type recorder struct {
	hits     []HitRecord
	sections []Section
}

func (r *recorder) Hit(h *HitRecord) {
	op := *h.Op
	r.hits = append(r.hits, *h)
	r.hits[len(r.hits)-1].Op = &op
}
func (r *recorder) Section(s *Section) { r.sections = append(r.sections, *s) }

const (
	probeAddr = 0x401000
	textFile  = mm.FileID(1)
)

// rig is a system under test with one address space.
type rig struct {
	*System
	rec *recorder
	mm  *MM
	ops list
}

// failer is a test, or a program of one.
type failer interface {
	Helper()
	Fatal(...any)
}

// newSystem makes a machine of the first cpus of m, 0 for all, with a resolver by name;
// the rest is in c.
func newSystem(t failer, m *Machine, cpus int, resolver string, c Config) *System {
	t.Helper()
	var err error
	if c.Topology, err = NewTopology(m, cpus); err != nil {
		t.Fatal(err)
	}
	if c.Resolver, err = FindResolver(resolver); err != nil {
		t.Fatal(err)
	}
	if c.Probes == nil {
		c.Probes = &mm.Uprobes{}
	}
	return NewSystem(c)
}

// rigOf is a rig of a system.
func rigOf(s *System) *rig {
	rec, _ := s.observer.(*recorder)
	return &rig{System: s, rec: rec, mm: s.NewMM(1, &mm.AddressSpace{})}
}

func newRig(t failer, m *Machine, resolver string) *rig {
	t.Helper()
	return rigOf(newSystem(t, m, 0, resolver, Config{Seed: 1, Observer: &recorder{}}))
}

func (r *rig) add(task *Task, kind OpKind, at, hold, readHold Time) {
	r.ops.ops = append(r.ops.ops, planned{
		Op:  Op{Task: task, Kind: kind, At: at, MM: r.mm, Addr: probeAddr, File: textFile, Hold: hold, ReadHold: readHold, Tag: len(r.ops.ops)},
		CPU: -1, Due: at,
	})
}

func (r *rig) run(t failer) {
	t.Helper()
	if err := r.Run(context.Background(), &r.ops, false); err != nil {
		t.Fatal(err)
	}
}

func TestUncontendedHit(t *testing.T) {
	r := newRig(t, testMachine(), "speculative")
	r.add(r.NewTask(1, 0), OpHit, Microsecond, 0, 0)
	r.run(t)
	h := r.rec.hits[0]
	if h.Outcome != Lockless || !h.Found || h.Transfers != 0 {
		t.Fatalf("outcome %v, found %v, %d transfers", h.Outcome, h.Found, h.Transfers)
	}
	// 300 + 60 + 9 loads of 4 + 400 cycles at 1 GHz.
	if got, want := h.End-h.Trap, 796*Nanosecond; got != want {
		t.Errorf("an undisturbed hit takes %v, want %v", got, want)
	}
	if h.Parts.Lookup != 96*Nanosecond || h.Parts.Handler != 700*Nanosecond || h.Parts.Stall != 0 {
		t.Errorf("parts %+v", h.Parts)
	}
}

// A hit of an optimised probe: a cheaper way in and out, and the check before the lookup.
func TestOptimisedHit(t *testing.T) {
	const trampoline = 0x10000
	run := func(resolver string, writer Time) HitRecord {
		m := testMachine()
		m.Hit.SyscallPermille = 500
		r := newRig(t, m, resolver)
		r.mm.Space.Map(mm.VMA{Start: trampoline, End: trampoline + mm.PageSize, Prot: mm.Read | mm.Exec})
		r.add(r.NewTask(1, 0), OpHit, Microsecond, 0, 0) // maps the program
		if writer > 0 {
			r.add(r.NewTask(2, 2), OpWrite, writer, 3*Microsecond, 0)
		}
		r.add(r.NewTask(3, 4), OpHit, 12*Microsecond, 0, 0)
		r.ops.ops[len(r.ops.ops)-1].Trampoline = trampoline
		r.run(t)
		return r.rec.hits[len(r.rec.hits)-1]
	}
	h := run("speculative", 0)
	// (300 + 400) / 2 + a check of half a lookup and 5 loads + a lookup of 60 and 9 loads;
	// lines that the first hit left on another core have to come over.
	if h.Outcome != Lockless || !h.Found || h.Parts.Handler != 350*Nanosecond || h.Check.Parts.Lookup != 50*Nanosecond || h.Lookup.Parts.Lookup != 96*Nanosecond {
		t.Errorf("%+v", h)
	}
	if h.End-h.Trap != h.Parts.Handler+h.Parts.Resolve() || h.Lookup.Start != h.Check.Answered {
		t.Errorf("the parts of %v do not add up: %+v", h.End-h.Trap, h.Parts)
	}
	if h := run("speculative", 10*Microsecond); h.Outcome != WriterActive || h.Check.Outcome != WriterActive || h.Lookup.Outcome != Lockless || h.Check.Blame == nil || h.Lookup.Blame != nil {
		t.Errorf("a writer at the check: %+v", h)
	}
	if h := run("speculative", h.Check.Answered-20*Nanosecond); h.Check.Outcome != Lockless && h.Lookup.Outcome != Lockless {
		t.Errorf("one writer spoils one lookup: %+v", h)
	}
	if h := run("locked", 0); h.Outcome != Unconfigured || h.Check.Outcome != Lockless || h.Lookup.Outcome != Unconfigured {
		t.Errorf("locked: the check speculates all the same: %+v", h)
	}
	if h := run("locked", 10*Microsecond); h.Outcome != Unconfigured || h.Check.Outcome != WriterActive {
		t.Errorf("locked, a writer at the check: %+v", h)
	}
}

// Each row of the ledger, forced.
func TestOutcomes(t *testing.T) {
	write := func(r *rig, at, hold Time) { r.add(r.NewTask(2, 2), OpWrite, at, hold, 0) }
	tests := []struct {
		name     string
		resolver string
		arrange  func(*rig)
		want     Outcome
	}{
		{"undisturbed", "speculative", func(r *rig) {}, Lockless},
		{"writer at the begin", "speculative", func(r *rig) { write(r, 10*Microsecond, 5*Microsecond) }, WriterActive},
		{"writer in between", "speculative", func(r *rig) { write(r, 12*Microsecond+310*Nanosecond, Microsecond) }, SeqChanged},
		{"writer just before", "speculative", func(r *rig) { write(r, 10*Microsecond, 2*Microsecond) }, Lockless},
		{"merged version", "speculative-merged", func(r *rig) { write(r, 10*Microsecond, 5*Microsecond) }, WriterActive},
		{"never speculates", "locked", func(r *rig) {}, Unconfigured},
		{"refcount", "refcount", func(r *rig) {}, Unconfigured},
		{"upper bound", "ideal", func(r *rig) { write(r, 10*Microsecond, 5*Microsecond) }, Lockless},
		{"mapping goes after the trap", "speculative", func(r *rig) {
			r.unmapAfterTrap(12*Microsecond + 50*Nanosecond)
		}, NoVMA},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, testMachine(), test.resolver)
			r.add(r.NewTask(1, 0), OpHit, Microsecond, 0, 0) // maps and registers
			test.arrange(r)
			r.add(r.NewTask(3, 4), OpHit, 12*Microsecond, 0, 0)
			r.run(t)
			h := r.rec.hits[len(r.rec.hits)-1]
			if h.Outcome != test.want {
				t.Errorf("outcome %v, want %v", h.Outcome, test.want)
			}
			if blamed := h.Lookup.Blame != nil; blamed != (test.want == WriterActive || test.want == SeqChanged) {
				t.Errorf("blame %v for %v", h.Lookup.Blame, h.Outcome)
			}
		})
	}
}

// unmapAfterTrap lets a section of another thread remove the probe's mapping, so
// early in its life that a lookup begins after it.
func (r *rig) unmapAfterTrap(at Time) {
	r.add(r.NewTask(2, 2), OpWrite, at, 20*Nanosecond, 0)
	r.ops.ops[len(r.ops.ops)-1].Change = func(s *mm.AddressSpace) mm.Effect {
		e, _ := s.Unmap(probeAddr, 1)
		return e
	}
	// The list is in order of due times; the hit at 12 µs comes after.
	r.ops.ops[len(r.ops.ops)-1].Due = 12 * Microsecond
}

// The ledger against an oracle that knows nothing of steps: a lookup is lockless
// if and only if no odd stretch of the sequence overlaps it.
func TestLedgerAgainstIntervals(t *testing.T) {
	var seen [NumOutcomes]int
	downgrades, waits := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, testMachine(), rapid.SampledFrom([]string{"speculative", "speculative-merged"}).Draw(rt, "resolver"))
		tasks := make([]*Task, rapid.IntRange(2, 12).Draw(rt, "tasks"))
		for i := range tasks {
			tasks[i] = r.NewTask(int32(i), int32(i)%int32(r.topo.CPUs()))
		}
		at := Microsecond
		want := map[OpKind]int{}
		for range rapid.IntRange(1, 60).Draw(rt, "ops") {
			at += Time(rapid.IntRange(0, 3000).Draw(rt, "gap")) * Nanosecond
			kind := rapid.SampledFrom([]OpKind{OpHit, OpHit, OpHit, OpWrite, OpRead}).Draw(rt, "kind")
			hold := Time(rapid.IntRange(1, 4000).Draw(rt, "hold")) * Nanosecond
			readHold := Time(rapid.IntRange(0, 1).Draw(rt, "downgrade")) * hold
			if kind == OpRead {
				readHold = hold
			}
			r.add(tasks[rapid.IntRange(0, len(tasks)-1).Draw(rt, "task")], kind, at, hold, readHold)
			want[kind]++
		}
		r.run(t)
		if len(r.rec.hits) != want[OpHit] || len(r.rec.sections) != want[OpWrite]+want[OpRead] {
			rt.Fatalf("%d hits and %d sections ended, of %v", len(r.rec.hits), len(r.rec.sections), want)
		}
		checkExclusion(rt, r.rec.sections)
		for i := range r.rec.hits {
			h := &r.rec.hits[i]
			seen[h.Outcome]++
			checkLedger(rt, h, r.rec.sections)
			if h.Parts.LockWait > 0 {
				waits++
			}
		}
		for _, s := range r.rec.sections {
			if s.Op.Kind == OpWrite && s.Op.ReadHold > 0 {
				downgrades++
			}
		}
	})
	if seen[Lockless] == 0 || seen[WriterActive] == 0 || seen[SeqChanged] == 0 || downgrades == 0 || waits == 0 {
		t.Errorf("vacuous: outcomes %v, %d downgrades, %d waits", seen, downgrades, waits)
	}
}

// checkExclusion holds writers to their word: nobody else has the lock while one
// does.
func checkExclusion(rt *rapid.T, sections []Section) {
	for i := range sections {
		w := &sections[i]
		if w.Op.Kind != OpWrite {
			continue
		}
		for j := range sections {
			o := &sections[j]
			if i != j && o.Acquired < w.Even && w.Acquired < o.Released {
				rt.Fatalf("section %v [%v %v) overlaps the write section %v [%v %v)", o.Op.Tag, o.Acquired, o.Released, w.Op.Tag, w.Acquired, w.Even)
			}
		}
	}
}

func checkLedger(rt *rapid.T, h *HitRecord, sections []Section) {
	odd := func(at Time) bool {
		for i := range sections {
			if s := &sections[i]; s.Op.Kind == OpWrite && s.Acquired <= at && at < s.Even {
				return true
			}
		}
		return false
	}
	bumped := false
	for i := range sections {
		s := &sections[i]
		in := func(at Time) bool { return h.Lookup.Sampled < at && at < h.Lookup.Checked }
		bumped = bumped || s.Op.Kind == OpWrite && (in(s.Acquired) || in(s.Even))
	}
	switch h.Outcome {
	case Lockless:
		// At one instant the order of CPUs decides, which the times do not show.
		if odd(h.Lookup.Sampled) && odd(h.Lookup.Sampled-1) || odd(h.Lookup.Checked) && odd(h.Lookup.Checked-1) || bumped {
			rt.Fatalf("a lockless lookup between %v and %v met a write section", h.Lookup.Sampled, h.Lookup.Checked)
		}
		return
	case WriterActive:
		if !odd(h.Lookup.Sampled) && !odd(h.Lookup.Sampled-1) {
			rt.Fatalf("no writer at %v", h.Lookup.Sampled)
		}
	case SeqChanged:
		if !bumped && !odd(h.Lookup.Checked) && !odd(h.Lookup.Sampled) {
			rt.Fatalf("no change between %v and %v", h.Lookup.Sampled, h.Lookup.Checked)
		}
	}
	if odd(h.Lookup.Acquired) {
		rt.Fatalf("a reader got the lock at %v inside a write section", h.Lookup.Acquired)
	}
}

// Equal seeds and operations give equal digests; another seed changes no outcome
// here, only the order of service.
func TestDeterminism(t *testing.T) {
	digest := func() uint64 {
		r := newRig(t, testMachine(), "locked")
		for i := range 400 {
			if i%9 == 0 {
				r.add(r.NewTask(int32(i), int32(i)%8), OpWrite, Time(i)*100*Nanosecond, 300*Nanosecond, 50*Nanosecond)
				continue
			}
			r.add(r.NewTask(int32(i), int32(i)%8), OpHit, Time(i)*100*Nanosecond, 0, 0)
		}
		r.run(t)
		return r.Digest()
	}
	if a, b := digest(), digest(); a != b {
		t.Errorf("digests %x and %x of the same run", a, b)
	}
}

// More threads than CPUs share them, and a thread that sleeps on the lock frees
// its CPU for the others.
func TestRunQueue(t *testing.T) {
	m := testMachine()
	m.Sockets, m.CoresPerSocket, m.SMT = 1, 2, 1
	r := newRig(t, m, "locked")
	r.add(r.NewTask(1, 0), OpHit, 0, 0, 0)
	r.add(r.NewTask(2, 1), OpWrite, 10*Microsecond, 100*Microsecond, 0)
	r.add(r.NewTask(3, 0), OpHit, 20*Microsecond, 0, 0) // sleeps
	other := &MM{}
	*other = *r.NewMM(2, &mm.AddressSpace{})
	r.add(r.NewTask(4, 0), OpHit, 30*Microsecond, 0, 0)
	r.ops.ops[len(r.ops.ops)-1].MM = other
	r.run(t)
	if len(r.rec.hits) != 3 {
		t.Fatalf("%d hits", len(r.rec.hits))
	}
	if h := r.rec.hits[1]; h.Op.Task.ID != 4 || h.End > 35*Microsecond {
		t.Errorf("thread 4 ended at %v: the CPU was not free while thread 3 slept", h.End)
	}
	if h := r.rec.hits[2]; h.Parts.LockWait < 85*Microsecond {
		t.Errorf("thread 3 waited %v for a section of 100 µs", h.Parts.LockWait)
	}
}

// Two threads of a core are slower together, and only while both compute.
func TestSMT(t *testing.T) {
	one := newRig(t, testMachine(), "ideal")
	one.add(one.NewTask(1, 0), OpHit, 0, 0, 0)
	one.run(t)
	two := newRig(t, testMachine(), "ideal")
	two.add(two.NewTask(1, 0), OpHit, 0, 0, 0)
	two.add(two.NewTask(2, 4), OpHit, 0, 0, 0) // the sibling: CPU 0's core again
	two.run(t)
	alone, shared := one.rec.hits[0].End, two.rec.hits[0].End
	if ratio := shared * 100 / alone; ratio < 135 || ratio > 145 {
		t.Errorf("a hit takes %v alone and %v beside its sibling: want 1/0.7 of it", alone, shared)
	}
}
