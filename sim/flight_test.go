package sim

import (
	gocmp "cmp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
)

// schedule is a random program: what it needs to be run twice.
type schedule struct {
	cpus     int
	resolver string
	closed   bool
	recorded bool
	others   int    // mappings below those that are hit
	delay    Time   // before each lookup's mmap_lock
	off      string // a rule that the resolver does without
	ops      []scheduled
}

type scheduled struct {
	task, space   int
	kind          OpKind
	cpu           int32
	at            Time
	hold, read    Time
	addr          uint64
	trampoline    bool
	unmaps, grows bool
}

func anySchedule(t *rapid.T, m *Machine) schedule {
	s := schedule{
		cpus:     rapid.SampledFrom([]int{1, 2, 5, 8, 16}).Draw(t, "CPUs"),
		resolver: rapid.SampledFrom(append(ResolverNames(), "speculative", "ideal", "ideal")).Draw(t, "resolver"),
		closed:   rapid.Bool().Draw(t, "closed"), recorded: rapid.Bool().Draw(t, "as recorded"),
	}
	s.others = rapid.SampledFrom([]int{0, 0, 6, 7, 14, 15, 30}).Draw(t, "other mappings")
	threads := rapid.IntRange(1, 12).Draw(t, "threads")
	// Crowded programs have their hits on top of each other, with sections of moments.
	span, hold, sites := int64(60_000), int64(3000), 3
	if rapid.IntRange(0, 2).Draw(t, "crowded") > 0 {
		span, hold, sites = 4000, 60, rapid.IntRange(0, 3).Draw(t, "sites")
	}
	for range rapid.IntRange(1, 120).Draw(t, "operations") {
		o := scheduled{
			task: rapid.IntRange(0, threads-1).Draw(t, "thread"), kind: rapid.SampledFrom([]OpKind{OpHit, OpHit, OpHit, OpHit, OpWrite, OpRead, OpApply}).Draw(t, "kind"),
			at:   Time(rapid.Int64Range(0, span).Draw(t, "at")) * Nanosecond,
			addr: probeAddr + uint64(rapid.IntRange(0, sites).Draw(t, "site"))*0x10_0000, cpu: -1,
		}
		o.space = o.task % 2
		if s.recorded {
			o.cpu = int32(rapid.IntRange(0, s.cpus-1).Draw(t, "CPU"))
		}
		o.hold, o.read = Time(rapid.Int64Range(1, hold).Draw(t, "hold"))*Nanosecond, Time(rapid.Int64Range(0, 2000).Draw(t, "read"))*Nanosecond
		o.trampoline = rapid.IntRange(0, 3).Draw(t, "optimised") == 0
		o.unmaps, o.grows = rapid.IntRange(0, 2).Draw(t, "unmaps") == 0, rapid.Bool().Draw(t, "grows")
		s.ops = append(s.ops, o)
	}
	slices.SortStableFunc(s.ops, func(a, b scheduled) int { return int(a.at - b.at) })
	return s
}

// run runs the schedule and returns all that can be seen of it.
func (c *schedule) run(t *rapid.T, m *Machine, stepwise bool) (*recorder, *System) {
	rec := &recorder{}
	s := newSystem(t, m, c.cpus, c.resolver, Config{Seed: 7, Observer: rec, AsRecorded: c.recorded && !c.closed, Stepwise: stepwise})
	if c.off != "" {
		broken, err := s.resolver.Without(c.off)
		if err != nil {
			t.Fatal(err)
		}
		s.resolver = broken
	}
	spaces := []*MM{s.NewMM(1, &mm.AddressSpace{}), s.NewMM(2, &mm.AddressSpace{})}
	for i := range uint64(c.others) { // so that a mapping that comes or goes moves others to another leaf
		for _, m := range spaces {
			if _, err := m.Space.Map(mm.VMA{Start: 0x10_0000 + i*0x4000, End: 0x10_2000 + i*0x4000, Prot: mm.Read}); err != nil {
				t.Fatal(err)
			}
		}
	}
	tasks := map[int]*Task{}
	src := &list{}
	last := map[int]Time{}
	for i, o := range c.ops {
		task := tasks[o.task]
		first := task == nil
		if first {
			task = s.NewTask(int32(o.task), int32(o.task%c.cpus))
			tasks[o.task] = task
		}
		op := planned{
			Op: Op{
				Task: task, Kind: o.kind, At: o.at, MM: spaces[o.space],
				Addr: o.addr, File: textFile, Offset: o.addr % mm.PageSize, Tag: i, LockDelay: c.delay,
			},
			CPU: o.cpu, Due: o.at, Until: c.ops[len(c.ops)-1].at,
		}
		if c.closed && !first {
			op.At, op.Gap = 0, max(o.at-last[o.task], 0)
		}
		last[o.task] = o.at
		switch o.kind {
		case OpWrite:
			op.Hold, op.ReadHold = o.hold, o.read
		case OpRead:
			op.ReadHold = o.hold
		case OpHit:
			if o.trampoline {
				op.Trampoline = 0x7000_0000
			}
		}
		if o.kind == OpWrite || o.kind == OpApply {
			op.Change = func(space *mm.AddressSpace) mm.Effect {
				if o.unmaps {
					e, _ := space.Unmap(o.addr, mm.PageSize)
					return e
				}
				e, _ := space.Map(mm.VMA{Start: 0x7000_0000, End: 0x7000_1000, Prot: mm.Read | mm.Exec})
				return e
			}
		}
		src.ops = append(src.ops, op)
	}
	if err := s.Run(t.Context(), src, c.closed); err != nil {
		t.Fatal(err)
	}
	return rec, s
}

// byWhatTheyTell compares records by what they tell.
var byWhatTheyTell = cmp.Options{cmpopts.IgnoreFields(Op{}, "Task", "MM", "Change", "Locks")}

// TestEachDisturbance lets one thing happen at every moment of a hit that flies, and holds
// that the two are as step by step.
func TestEachDisturbance(t *testing.T) {
	unmap := func(addr uint64) Change {
		return func(s *mm.AddressSpace) mm.Effect { e, _ := s.Unmap(addr, 1); return e }
	}
	const other = 0x8000 // below all, so that a mapping there moves them up, to another leaf
	for _, c := range []struct {
		name, resolver string
		cpu            int32 // where it happens; the hit is on CPU 0
		kind           OpKind
		addr           uint64
		change         Change
		hold           Time
	}{
		{"a section on the same CPU", "speculative", 0, OpWrite, 0, nil, 50},
		{"a section on the sibling", "speculative-merged", 4, OpWrite, 0, nil, 50},
		{"a section elsewhere", "speculative", 2, OpWrite, 0, nil, 50},
		{"the mapping goes", "ideal", 2, OpWrite, 0, unmap(probeAddr), 50},
		{"the mapping goes, of a section that began before", "ideal", 2, OpWrite, 0, unmap(probeAddr), 400},
		{"the mapping goes, of a same CPU", "ideal", 0, OpWrite, 0, unmap(probeAddr), 400},
		{"the mapping goes without a section", "speculative", 2, OpApply, 0, unmap(probeAddr), 0},
		{"a mapping is inferred", "speculative", 2, OpHit, other, nil, 0},
		{"a mapping is inferred, on a same CPU", "ideal", 0, OpHit, other, nil, 0},
		{"a hit of the sibling", "speculative", 4, OpHit, probeAddr, nil, 0},
		{"a reader elsewhere", "speculative", 2, OpRead, 0, nil, 50},
		{"a reader on the sibling", "locked", 4, OpRead, 0, nil, 50},
	} {
		for offset := -500 * Nanosecond; offset < 800*Nanosecond; offset += 9 * Nanosecond {
			run := func(stepwise bool) (*recorder, uint64, [NumRoles]LineStats, int) {
				rec := &recorder{}
				s := newSystem(t, testMachine(), 0, c.resolver, Config{Observer: rec, AsRecorded: true, Stepwise: stepwise})
				r := rigOf(s)
				for i := range uint64(8) { // with the other, two leaves
					if _, err := r.mm.Space.Map(mm.VMA{Start: 0x10000 + i*0x4000, End: 0x12000 + i*0x4000, Prot: mm.Read}); err != nil {
						t.Fatal(err)
					}
				}
				hitter, disturber := r.NewTask(1, 0), r.NewTask(2, c.cpu)
				// The disturber's core alone reads the upper leaf.
				r.add(disturber, OpHit, Microsecond, 0, 0)
				r.last().Addr, r.last().Offset = other, other%mm.PageSize
				r.add(disturber, OpHit, 4*Microsecond, 0, 0)
				r.add(disturber, OpApply, 8*Microsecond, 0, 0)
				r.last().Change = unmap(other)
				for i := range Time(2) {
					r.add(hitter, OpHit, (10+4*i)*Microsecond, 0, 0)
					r.add(disturber, OpHit, (12+4*i)*Microsecond, 0, 0)
				}
				r.add(hitter, OpHit, 20*Microsecond, 0, 0)
				r.add(disturber, c.kind, 20*Microsecond+offset, c.hold*Nanosecond, c.hold*Nanosecond)
				if r.last().Change = c.change; c.addr != 0 {
					r.last().Addr, r.last().Offset = c.addr, c.addr%mm.PageSize
				}
				r.add(hitter, OpHit, 30*Microsecond, 0, 0)
				r.add(disturber, OpHit, 34*Microsecond, 0, 0)
				slices.SortStableFunc(r.ops.ops, func(a, b planned) int { return gocmp.Compare(a.Due, b.Due) })
				r.run(t)
				return rec, s.Digest(), s.Lines(), s.flown
			}
			want, digest, lines, _ := run(true)
			got, again, traffic, flown := run(false)
			if flown == 0 && c.resolver != "locked" {
				t.Fatalf("%s: nothing flies", c.name)
			}
			if d := cmp.Diff(want.hits, got.hits, byWhatTheyTell) + cmp.Diff(want.sections, got.sections, byWhatTheyTell); d != "" || digest != again || lines != traffic {
				t.Fatalf("%s, %v after the trap (-step by step +flown; lines %v, %v):\n%.3000s", c.name, offset, lines, traffic, d)
			}
		}
	}
}

// TestFlightsChangeNothing compares random programs with the same ones step by step:
// each record, the traffic of each line, and the digest of all decisions.
func TestFlightsChangeNothing(t *testing.T) {
	flown, recalled := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := oddMachine()
		m.SMT = rapid.SampledFrom([]int{1, 2}).Draw(t, "SMT")
		m.Line.LocalPermille = 500
		m.Layout = rapid.SampledFrom([]Layout{CountApart, SeqApart}).Draw(t, "layout")
		if m.SMT == 1 {
			m.CoresPerSocket = 8
		}
		c := anySchedule(t, m)
		want, step := c.run(t, m, true)
		got, all := c.run(t, m, false)
		if step.flown != 0 || step.lone.n != 0 {
			t.Fatalf("%d flights step by step, %d hits alone", step.flown, step.lone.n)
		}
		flown += all.flown
		recalled += len(got.sections)
		for i := range want.hits {
			if d := cmp.Diff(want.hits[i], got.hits[i], byWhatTheyTell); d != "" {
				t.Fatalf("hit %d of %+v (-step by step +flown):\n%s", i, c, d)
			}
		}
		if d := cmp.Diff(want.sections, got.sections, byWhatTheyTell); d != "" {
			t.Fatalf("sections of %+v (-step by step +flown):\n%s", c, d)
		}
		holdAlike(t, step, all)
	})
	if flown < 100 || recalled < 100 {
		t.Errorf("%d flights and %d sections in all the programs: too few to tell", flown, recalled)
	}
}

// holdAlike holds that two runs moved the same lines, for the same reasons, and decided alike.
func holdAlike(t *rapid.T, step, all *System) {
	if d := cmp.Diff(step.Lines(), all.Lines()) + cmp.Diff(step.LinePairs(), all.LinePairs()); d != "" {
		t.Fatalf("lines, and who took them from whom (-step by step +all):\n%s", d)
	}
	if step.Digest() != all.Digest() {
		t.Fatal("another digest")
	}
}
