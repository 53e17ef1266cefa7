package sim

import (
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
		resolver: rapid.SampledFrom(ResolverNames()).Draw(t, "resolver"),
		closed:   rapid.Bool().Draw(t, "closed"), recorded: rapid.Bool().Draw(t, "as recorded"),
	}
	threads := rapid.IntRange(1, 12).Draw(t, "threads")
	for range rapid.IntRange(1, 120).Draw(t, "operations") {
		o := scheduled{
			task: rapid.IntRange(0, threads-1).Draw(t, "thread"), kind: rapid.SampledFrom([]OpKind{OpHit, OpHit, OpHit, OpHit, OpWrite, OpRead, OpApply}).Draw(t, "kind"),
			at:   Time(rapid.Int64Range(0, 60_000).Draw(t, "at")) * Nanosecond,
			addr: probeAddr + uint64(rapid.IntRange(0, 3).Draw(t, "site"))*0x10_0000, cpu: -1,
		}
		o.space = o.task % 2
		if s.recorded {
			o.cpu = int32(rapid.IntRange(0, s.cpus-1).Draw(t, "CPU"))
		}
		o.hold, o.read = Time(rapid.Int64Range(1, 3000).Draw(t, "hold"))*Nanosecond, Time(rapid.Int64Range(0, 2000).Draw(t, "read"))*Nanosecond
		o.trampoline = rapid.IntRange(0, 3).Draw(t, "optimised") == 0
		o.unmaps, o.grows = rapid.IntRange(0, 2).Draw(t, "unmaps") == 0, rapid.Bool().Draw(t, "grows")
		s.ops = append(s.ops, o)
	}
	slices.SortStableFunc(s.ops, func(a, b scheduled) int { return int(a.at - b.at) })
	return s
}

// play runs the schedule and returns all that can be seen of it.
func (c *schedule) play(t *rapid.T, m *Machine, stepwise bool) (*recorder, uint64, [NumRoles]LineStats, int) {
	topo, err := NewTopology(m, c.cpus)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := FindResolver(c.resolver)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	s := NewSystem(Config{Topology: topo, Resolver: resolver, Seed: 7, Probes: &mm.Uprobes{}, Observer: rec, AsRecorded: c.recorded && !c.closed, Stepwise: stepwise})
	spaces := []*MM{s.NewMM(1, &mm.AddressSpace{}), s.NewMM(2, &mm.AddressSpace{})}
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
				Addr: o.addr, File: textFile, Offset: o.addr % mm.PageSize, Tag: i,
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
	return rec, s.Digest(), s.Lines(), s.flown
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
		want, digest, lines, none := c.play(t, m, true)
		got, again, traffic, some := c.play(t, m, false)
		if none != 0 {
			t.Fatalf("%d flights step by step", none)
		}
		flown += some
		recalled += len(got.sections)
		opts := cmp.Options{cmpopts.IgnoreFields(Op{}, "Task", "MM", "Change")}
		for i := range want.hits {
			if d := cmp.Diff(want.hits[i], got.hits[i], opts); d != "" {
				t.Fatalf("hit %d of %+v (-step by step +flown):\n%s", i, c, d)
			}
		}
		if d := cmp.Diff(want.sections, got.sections, opts); d != "" {
			t.Fatalf("sections of %+v (-step by step +flown):\n%s", c, d)
		}
		if lines != traffic {
			t.Fatalf("lines: step by step %v, flown %v", lines, traffic)
		}
		if digest != again {
			t.Fatal("another digest")
		}
	})
	if flown < 100 || recalled < 100 {
		t.Errorf("%d flights and %d sections in all the programs: too few to tell", flown, recalled)
	}
}
