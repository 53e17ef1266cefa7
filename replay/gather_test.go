package replay

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// TestGathererAgainstSums adds up random hits and sections a second time, each figure by
// itself over the whole list.
func TestGathererAgainstSums(t *testing.T) {
	blames := 0
	machine := replaytest.Machine(t).Machine
	topo, err := sim.NewTopology(&machine, 1)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := sim.FindResolver("speculative")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var classes []*timeline.Class
		for i := range rapid.IntRange(1, 5).Draw(t, "classes") {
			c := &timeline.Class{ID: i, PID: int32(10 + i%2), TID: int32(20 + i), Comm: fmt.Sprint("c", i%3), Kind: "hit", Probe: fmt.Sprint("p", i%2)}
			if i%2 == 1 {
				c.Stack = []string{"leaf", "root"}
			}
			classes = append(classes, c)
		}
		class := func() *timeline.Class { return rapid.SampledFrom(classes).Draw(t, "class") }
		span := func(what string) sim.Time { return sim.Time(rapid.Int64Range(0, 5_000_000).Draw(t, what)) }
		options := DefaultOptions()
		g := newGatherer(&PlayerConfig{Resolver: "speculative", Options: &options})

		var sections []sim.Section
		var hits []sim.HitRecord
		end := sim.Time(0)
		for range rapid.IntRange(0, 40).Draw(t, "records") {
			mm := &sim.MM{ID: rapid.Int32Range(0, 3).Draw(t, "mm")}
			o := &timeline.Origin{Class: class(), Undecided: rapid.IntRange(0, 3).Draw(t, "undecided") == 0}
			if rapid.IntRange(0, 2).Draw(t, "section") == 0 {
				at := span("at")
				s := sim.Section{Op: sim.Op{Kind: rapid.SampledFrom([]sim.OpKind{sim.OpWrite, sim.OpWrite, sim.OpRead}).Draw(t, "kind"), Tag: o, MM: mm}, Requested: at}
				s.Acquired = s.Requested + span("wait")
				s.Even = s.Acquired + span("hold")
				s.Released = s.Even + span("read")
				sections = append(sections, s)
				end = max(end, s.Released)
				g.Section(&s)
				continue
			}
			h := sim.HitRecord{Op: &sim.Op{Tag: o, MM: mm}, CPU: rapid.Int32Range(0, 2).Draw(t, "cpu"), Trap: span("trap"), Transfers: rapid.Int64Range(0, 9).Draw(t, "transfers"), Inferred: rapid.Bool().Draw(t, "inferred")}
			h.End = h.Trap + span("length")
			lookup := func() (l sim.Lookup) {
				l.Outcome = rapid.SampledFrom([]sim.Outcome{sim.Lockless, sim.Lockless, sim.WriterActive, sim.SeqChanged, sim.NoVMA, sim.Unconfigured}).Draw(t, "outcome")
				l.Parts = sim.Parts{Lookup: span("lookup"), Stall: span("stall")}
				if l.Outcome != sim.Lockless {
					l.Acquired, l.Parts.LockWait, l.Parts.LockHold, l.Parts.Wasted = 1+span("acquired"), span("lock wait"), span("lock hold"), span("wasted")
					if len(sections) > 0 && rapid.Bool().Draw(t, "blame") {
						l.Blame = rapid.SampledFrom(sections).Draw(t, "whom").Op.Tag
					}
				}
				return l
			}
			h.Lookup = lookup()
			if rapid.Bool().Draw(t, "optimised") {
				h.Op.Trampoline, h.Check = 1, lookup()
				h.Parts.Add(&h.Check.Parts)
			}
			h.Parts.Add(&h.Lookup.Parts)
			h.Parts.Handler = span("handler")
			h.Outcome = h.Deciding().Outcome
			hits = append(hits, h)
			end = max(end, h.End)
			g.Hit(&h)
		}
		r := g.finish(sim.NewSystem(sim.Config{Topology: topo, Resolver: resolver, Observer: g})) // one that has done nothing

		sum := func(of func(h *sim.HitRecord) int64) (n int64) {
			for i := range hits {
				n += of(&hits[i])
			}
			return n
		}
		is := func(b bool) int64 {
			if b {
				return 1
			}
			return 0
		}
		origin := func(h *sim.HitRecord) *timeline.Origin { return h.Op.Tag.(*timeline.Origin) }
		check := func(what string, got, want int64) {
			if got != want {
				t.Fatalf("%s: %d, want %d", what, got, want)
			}
		}
		check("hits", r.Hits, int64(len(hits)))
		check("lookups", r.Lookups, sum(func(h *sim.HitRecord) int64 { return 1 + is(h.Optimised()) }))
		check("optimised", r.Optimised, sum(func(h *sim.HitRecord) int64 { return is(h.Optimised()) }))
		check("transfers", r.LineTransfers, sum(func(h *sim.HitRecord) int64 { return h.Transfers }))
		check("undecided", r.Undecided, sum(func(h *sim.HitRecord) int64 { return is(origin(h).Undecided) }))
		check("low", r.Low, sum(func(h *sim.HitRecord) int64 { return is(!origin(h).Undecided && h.Outcome != sim.Lockless) }))
		check("lookups that fell back", r.LookupFallbacks, sum(func(h *sim.HitRecord) int64 {
			return is(h.Lookup.Outcome != sim.Lockless) + is(h.Check.Outcome != sim.Lockless)
		}))
		check("inferred", g.inferred, sum(func(h *sim.HitRecord) int64 { return is(h.Inferred) }))
		check("makespan", int64(r.Makespan), int64(end))
		check("resolve", int64(r.Resolve.Total), sum(func(h *sim.HitRecord) int64 { return int64(h.Parts.Resolve()) }))
		check("waits", r.LockWait.Count, sum(func(h *sim.HitRecord) int64 { return is(h.Lookup.Acquired+h.Check.Acquired > 0) }))
		check("waited", int64(r.LockWait.Total), sum(func(h *sim.HitRecord) int64 { return int64(h.Parts.LockWait) }))
		for o := range sim.NumOutcomes {
			check("outcome", r.Outcomes[o], sum(func(h *sim.HitRecord) int64 { return is(h.Outcome == o) }))
		}
		// Each row has the hits that it says, and all rows have all of them.
		seen := int64(0)
		for i := range r.Samples {
			s := &r.Samples[i]
			if i > 0 && compareSamples(&r.Samples[i-1], s) >= 0 {
				t.Fatal("samples are not in order")
			}
			of := func(h *sim.HitRecord) bool {
				c := origin(h).Class
				return s.PID == c.PID && s.TID == c.TID && s.Comm == c.Comm && s.Probe == c.Probe && slices.Equal(s.Stack, c.Stack) && s.CPU == int(h.CPU) && s.Outcome == h.Outcome &&
					(s.Check != nil) == h.Optimised() && (s.Check == nil || s.Check.Outcome == h.Check.Outcome && s.Check.Lookup == h.Lookup.Outcome)
			}
			check("hits of a sample", s.Hits, sum(func(h *sim.HitRecord) int64 { return is(of(h)) }))
			check("transfers of a sample", s.LineTransfers, sum(func(h *sim.HitRecord) int64 { return is(of(h)) * h.Transfers }))
			check("waits of a sample", int64(s.Parts.LockWait), sum(func(h *sim.HitRecord) int64 { return is(of(h)) * int64(h.Parts.LockWait) }))
			if s.Check != nil {
				check("checks of a sample", int64(s.Check.Parts.Stall), sum(func(h *sim.HitRecord) int64 { return is(of(h)) * int64(h.Check.Parts.Stall) }))
			}
			seen += s.Hits
		}
		check("hits of samples", seen, r.Hits)
		seen = 0
		for i := range r.Probes {
			p := &r.Probes[i]
			of := func(h *sim.HitRecord) bool { return origin(h).Probe == p.Probe }
			check("hits of a probe", p.Hits, sum(func(h *sim.HitRecord) int64 { return is(of(h)) }))
			check("waits of a probe", int64(p.Parts.LockWait), sum(func(h *sim.HitRecord) int64 { return is(of(h)) * int64(h.Parts.LockWait) }))
			check("lockless of a probe", p.Outcomes[sim.Lockless], sum(func(h *sim.HitRecord) int64 { return is(of(h) && h.Outcome == sim.Lockless) }))
			if i > 0 && (p.Hits > r.Probes[i-1].Hits || p.Hits == r.Probes[i-1].Hits && p.Probe < r.Probes[i-1].Probe) {
				t.Fatal("probes are not in order")
			}
			seen += p.Hits
		}
		check("hits of probes", seen, r.Hits)
		seen = 0
		writers, waited, lockless := int64(0), int64(0), int64(0)
		for i := range r.Mms {
			seen, writers = seen+r.Mms[i].Hits, writers+r.Mms[i].Writers
			waited, lockless = waited+int64(r.Mms[i].Wait), lockless+r.Mms[i].Outcomes[sim.Lockless]
			if i > 0 && r.Mms[i].Hits > r.Mms[i-1].Hits {
				t.Fatal("address spaces are not in order")
			}
		}
		check("hits of address spaces", seen, r.Hits)
		check("waits of address spaces", waited, int64(r.LockWait.Total))
		check("lockless of address spaces", lockless, r.Outcomes[sim.Lockless])
		wrote := int64(0)
		for i := range sections {
			wrote += is(sections[i].Op.Kind == sim.OpWrite)
		}
		check("writers of address spaces", writers, wrote)
		check("write sections that waited", r.WriterWait.Count, wrote)

		for i := range r.Blame {
			b := &r.Blame[i]
			whose := func(tag any) bool {
				o, ok := tag.(*timeline.Origin)
				return ok && o.TID == b.TID && o.PID == b.PID && o.Comm == b.Comm
			}
			var held, n int64
			for j := range sections {
				if s := &sections[j]; s.Op.Kind == sim.OpWrite && whose(s.Op.Tag) {
					n++
					held += int64(s.Even - s.Acquired)
				}
			}
			check("sections of a writer", b.Sections, n)
			check("held by a writer", int64(b.Hold), held)
			check("waits for a writer", int64(b.Wait), sum(func(h *sim.HitRecord) int64 {
				return is(whose(h.Lookup.Blame))*int64(h.Lookup.Parts.LockWait) + is(whose(h.Check.Blame))*int64(h.Check.Parts.LockWait)
			}))
			check("wasted by a writer", int64(b.Wasted), sum(func(h *sim.HitRecord) int64 {
				return is(whose(h.Lookup.Blame))*int64(h.Lookup.Parts.Wasted) + is(whose(h.Check.Blame))*int64(h.Check.Parts.Wasted)
			}))
			check("fallbacks for a writer", b.Fallbacks, sum(func(h *sim.HitRecord) int64 {
				return is(h.Outcome != sim.Lockless && h.Outcome != sim.Unconfigured && whose(h.Deciding().Blame))
			}))
			if i > 0 && (b.Wait > r.Blame[i-1].Wait || b.Wait == r.Blame[i-1].Wait && b.Fallbacks > r.Blame[i-1].Fallbacks) {
				t.Fatal("who is to blame is not in order")
			}
			blames++
		}
	})
	if blames == 0 {
		t.Error("vacuous: nobody is to blame")
	}
}

// In a closed loop a gap begins where the section before it ended, and all that a lost
// event may have been is added to the fallbacks that there are.
func TestGapsAfterSections(t *testing.T) {
	const all = traces.ColCPU | traces.ColPID | traces.ColTID
	row := func(at int64, kind traces.Kind, has traces.Columns) traces.Event {
		return traces.Event{Time: at, Kind: kind, PID: 10, TID: 11, Addr: 0x401000, Path: "/bin/a", Write: kind.IsLock(), Has: all | has}
	}
	const hit, lock = traces.ColAddr | traces.ColPath, traces.ColWrite
	rows := []traces.Event{
		row(1_000_000, traces.Hit, hit), row(2_000_000, traces.LockAcquired, lock), row(2_500_000, traces.LockReleased, lock), row(3_000_000, traces.Hit, hit),
		{Time: 9_000_000, CPU: 1, Kind: traces.Lost, Ret: 7, Dur: 10, Has: traces.ColCPU | traces.ColRet | traces.ColDur}, row(9_000_000, traces.Hit, hit),
	}
	slices.SortStableFunc(rows, func(a, b traces.Event) int { return traces.Compare(&a, &b) })
	for i := range rows {
		rows[i].Seq = int64(i)
	}
	res := play(t, replaytest.Made(rows), func(o *Options) { o.Resolvers, o.Timing, o.Clone, o.CPUs = []string{"locked"}, Think, 2, 2 })
	r := &res.Runs[0]
	if r.Hits != 6 || r.Undecided != 2 || r.Low != 4 || r.High != 4+2+2*7 {
		t.Errorf("%d hits, %d undecided, %d to %d fell back", r.Hits, r.Undecided, r.Low, r.High)
	}
	if r.Probes[0].Hits != 6 || r.Probes[0].Events != 6 {
		t.Errorf("two clones: %d hits of %d events of the probe", r.Probes[0].Hits, r.Probes[0].Events)
	}
	one := play(t, replaytest.Made(rows), func(o *Options) { o.Resolvers, o.Timing = []string{"locked"}, Think }).Runs[0]
	if end := one.Makespan.Nanos() - 8_000_000; end < 0 || end > 10_000 {
		t.Errorf("from the first hit to the last it takes %d ns more than in the recording", end)
	}
	// One that waited for another goes on so long after it had done with the lock, whatever it
	// waits here: for the other one, but not the 50 µs that it then took to have it.
	other := func(at int64, kind traces.Kind) traces.Event {
		ev := row(at, kind, lock)
		ev.TID = 12
		return ev
	}
	rows = slices.Insert(rows, 1, other(1_400_000, traces.LockStart), other(1_500_000, traces.LockAcquired), row(1_600_000, traces.LockStart, lock), other(1_950_000, traces.LockReleased))
	for i := range rows {
		rows[i].Seq = int64(i)
	}
	one = play(t, replaytest.Made(rows), func(o *Options) { o.Resolvers, o.Timing = []string{"locked"}, Think }).Runs[0]
	if end := one.Makespan.Nanos() - (8_000_000 - 50_000); end < 0 || end > 10_000 {
		t.Errorf("without these 50 µs it takes %d ns more than in the recording", end)
	}
}

// TestWrongAnswers: both lookups of a hit are counted, and the first is kept.
func TestWrongAnswers(t *testing.T) {
	options := DefaultOptions()
	g := newGatherer(&PlayerConfig{Resolver: "speculative", Options: &options})
	g.run.Fault = &Fault{Rules: []string{"compare"}}
	for i := range int64(3) {
		o := &timeline.Origin{Class: &timeline.Class{TID: 7, Comm: "app", Probe: "p"}, Seq: 40 + i}
		h := &sim.HitRecord{Op: &sim.Op{Tag: o, MM: &sim.MM{}}}
		h.Lookup.Wrong, h.Check.Wrong, h.Lookup.Answered = i > 0, i == 2, sim.Time(i)
		g.Hit(h)
	}
	f := g.run.Fault
	if f.Wrong != 3 || f.First == nil || *f.First != (WrongAnswer{Row: 41, TID: 7, Comm: "app", Probe: "p", At: 1}) {
		t.Errorf("%+v, first %+v", f, f.First)
	}
}

// What is told of a trace counts each thread and address space once: one that writes and
// never hits a probe too, and neither clones nor who mapped what was there before.
func TestSummaryByHand(t *testing.T) {
	const all = traces.ColCPU | traces.ColPID | traces.ColTID
	row := func(at int64, kind traces.Kind, pid, tid int32, has traces.Columns) traces.Event {
		return traces.Event{Time: at, Kind: kind, PID: pid, TID: tid, Addr: 0x401000, Len: 4096, Prot: 5, Path: "/bin/a", Write: kind.IsLock(), Has: all | has}
	}
	const mapped, hit, lock = traces.ColAddr | traces.ColLen | traces.ColProt | traces.ColPath, traces.ColAddr | traces.ColPath, traces.ColWrite
	rows := []traces.Event{
		row(500, traces.Map, 10, 10, mapped), row(600, traces.Map, 20, 20, mapped),
		row(1_000_000, traces.Hit, 10, 11, hit), row(1_100_000, traces.Hit, 10, 12, hit), row(1_200_000, traces.Hit, 10, 11, hit),
		row(2_000_000, traces.LockAcquired, 20, 21, lock), row(2_500_000, traces.LockReleased, 20, 21, lock),
	}
	for i := range rows {
		rows[i].Seq = int64(i)
	}
	for _, clone := range []int{1, 3} {
		res := play(t, replaytest.Made(rows), func(o *Options) { o.Resolvers, o.Clone, o.CPUs = []string{"locked"}, clone, 2 })
		if s := res.Trace; s.Threads != 3 || s.Mms != 2 || s.Writers != 1 || s.Hits != 3 || res.Runs[0].Hits != int64(3*clone) {
			t.Errorf("with %d clones: %+v, %d hits; want 3 threads of 2 address spaces, 1 write section, 3 hits", clone, s, res.Runs[0].Hits)
		}
	}
}

// Whatever hits are told apart by, they add up to those of the run, and rows have what is
// dearest first.
func TestRowsAddUp(t *testing.T) {
	res := play(t, replaytest.Corpus(t, "stress-malloc-z"), func(o *Options) { o.Resolvers = []string{"locked", "speculative"} })
	for i := range res.Runs {
		r := &res.Runs[i]
		type row struct {
			hits     int64
			outcomes [sim.NumOutcomes]int64
		}
		rows := map[string][]row{}
		for _, x := range r.CPUs {
			rows["CPUs"] = append(rows["CPUs"], row{x.Hits, x.Outcomes})
		}
		for _, x := range r.Threads {
			rows["threads"] = append(rows["threads"], row{x.Hits, x.Outcomes})
		}
		for _, x := range r.Mms {
			rows["address spaces"] = append(rows["address spaces"], row{x.Hits, x.Outcomes})
		}
		for _, x := range r.Probes {
			rows["probes"] = append(rows["probes"], row{x.Hits, x.Outcomes})
		}
		for what, of := range rows {
			var sum row
			for _, x := range of {
				all := int64(0)
				for o, n := range x.outcomes {
					all, sum.outcomes[o] = all+n, sum.outcomes[o]+n
				}
				if sum.hits += x.hits; all != x.hits {
					t.Errorf("%s: one of the %s has %d hits with outcomes %v", r.Resolver, what, x.hits, x.outcomes)
				}
			}
			if sum != (row{r.Hits, r.Outcomes}) {
				t.Errorf("%s: the %s add up to %+v, the run has %d hits with outcomes %v", r.Resolver, what, sum, r.Hits, r.Outcomes)
			}
		}
		if len(r.CPUs) < 2 || len(r.Threads) < 2 {
			t.Errorf("vacuous: %d CPUs, %d threads", len(r.CPUs), len(r.Threads))
		}
		for j := 1; j < len(r.Threads); j++ {
			if r.Threads[j-1].Times.Resolve.Total < r.Threads[j].Times.Resolve.Total {
				t.Errorf("%s: thread %d is dearer than the one before it", r.Resolver, j)
			}
		}
		pairs := 0
		for j, l := range r.Lines {
			if j > 0 && r.Lines[j-1].Transfers < l.Transfers {
				t.Errorf("%s: %s moves more often than the line before it", r.Resolver, l.Line)
			}
			var sum LinePair
			for k, p := range l.Pairs {
				if pairs++; k > 0 && (l.Pairs[k-1].Stall < p.Stall || l.Pairs[k-1].Stall == p.Stall && l.Pairs[k-1].Transfers < p.Transfers) {
					t.Errorf("%s: the pairs of %s are not in order: %+v", r.Resolver, l.Line, l.Pairs)
				}
				sum.Transfers, sum.Stall = sum.Transfers+p.Transfers, sum.Stall+p.Stall
			}
			if sum.Transfers != l.Transfers || sum.Stall != l.Stall {
				t.Errorf("%s: the pairs of %s add up to %+v, want %d transfers and %v", r.Resolver, l.Line, sum, l.Transfers, l.Stall)
			}
		}
		if pairs < 3 {
			t.Errorf("vacuous: %d pairs", pairs)
		}
	}
}

// Kinds of operations have labels of their own, whatever their classes, as long as there are
// some; those that come later share one.
func TestLabels(t *testing.T) {
	l := labels{names: []string{HitLabel}}
	for class := range 2 * 20 {
		kind, want := fmt.Sprint("kind ", class/2), min(class/2+1, sim.MaxLabels-1)
		for range 2 {
			if got := l.of(class, kind); int(got) != want {
				t.Errorf("label %d of class %d, want %d", got, class, want)
			}
		}
	}
	if got := l.of(99, HitLabel); got != 0 {
		t.Errorf("label %d of hits", got)
	}
	if len(l.names) != sim.MaxLabels || l.names[1] != "kind 0" || l.names[sim.MaxLabels-2] != "kind 13" || l.names[sim.MaxLabels-1] != otherLabel {
		t.Errorf("labels %q", l.names)
	}
}

// A ticket is put before those that are due later, and after those that are due with it; what was
// handed out stays behind.
func TestTicketsThatAreDueTogether(t *testing.T) {
	s := &source{queue: []sim.Ticket{{Due: 9}, {Due: 3, CPU: 1}, {Due: 5, CPU: 2}}, head: 1}
	for _, c := range []struct {
		due  sim.Time
		want []int32 // CPUs
	}{{5, []int32{0, 1, 2, 3}}, {4, []int32{0, 1, 4, 2, 3}}, {3, []int32{0, 1, 5, 4, 2, 3}}, {2, []int32{0, 6, 1, 5, 4, 2, 3}}} {
		s.queue = append(s.queue, sim.Ticket{Due: c.due, CPU: int32(len(s.queue))})
		s.sift()
		var got []int32
		for _, ticket := range s.queue {
			got = append(got, ticket.CPU)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("after one that is due at %d: %v, want %v", c.due, got, c.want)
		}
	}
}

// Tickets come in the order in which they are due, and are not read ahead further than need be.
func TestTicketsComeInOrder(t *testing.T) {
	trace, profile := replaytest.Corpus(t, "stamped-1x3"), replaytest.Machine(t)
	s, err := timeline.TakeSurvey(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	options := DefaultOptions()
	topo, err := Topology(profile, &options, s)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := timeline.Reconstruct(t.Context(), trace, s, timeline.Config{Using: timeline.Everything, Profile: profile, Queue: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	p, err := NewPlayer(rec, topo, s, PlayerConfig{Resolver: "speculative", Options: &options})
	if err != nil {
		t.Fatal(err)
	}
	n, ahead := 0, 0
	var ticket sim.Ticket
	for last := sim.Time(0); p.src.Next(&ticket); last = ticket.Due {
		if ticket.Due < last {
			t.Fatalf("ticket %d is due at %v, the one before it at %v", n, ticket.Due, last)
		}
		if of := s.Threads[p.src.tasks[ticket.Task.ID].tid]; of != nil && ticket.Until != sim.Time(of.End-s.Start)*sim.Nanosecond {
			t.Fatalf("ticket %d is of a thread that ends at %v, want %d ns", n, ticket.Until, of.End-s.Start)
		}
		n++
		ahead = max(ahead, len(p.src.queue)-p.src.head)
	}
	if p.src.Err() != nil || n < 1000 || ahead > n/10 {
		t.Errorf("%d tickets, of which up to %d were read ahead; %v", n, ahead, p.src.Err())
	}
}

// TestSumUp: who cost anything keeps a row, the others of one name, operation and stack
// share one, and nothing is lost of what any group of them did.
func TestSumUp(t *testing.T) {
	summed := 0
	rapid.Check(t, func(t *rapid.T) {
		var rows []*Blame
		for i := range rapid.IntRange(0, 30).Draw(t, "rows") {
			b := &Blame{
				Comm: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "comm"), PID: int32(i), TID: int32(100 + i), Kind: rapid.SampledFrom([]string{"mmap", "brk"}).Draw(t, "kind"),
				Writers: 1, Sections: rapid.Int64Range(1, 9).Draw(t, "sections"), Hold: sim.Time(rapid.Int64Range(0, 9).Draw(t, "hold")),
			}
			b.Stack = rapid.SampledFrom([][]string{nil, {"leaf", "root"}, {"leaf", "0x7f01 (/ld.so)"}, {"leaf", "0x7e02 (/ld.so)"}, {"leaf", "0x7e02 (/a.out)"}, {"leaf", "0x7e02"}}).Draw(t, "stack")
			switch rapid.IntRange(0, 9).Draw(t, "cost") {
			case 0:
				b.Fallbacks = 1
			case 1:
				b.Wait = 5
			case 2:
				b.Wasted = 7
			}
			rows = append(rows, b)
		}
		all := sorted(rows, compareBlame)
		most := rapid.IntRange(0, 30).Draw(t, "most")
		got := sorted(sumUp(rows, most), compareBlame)
		if len(all) <= most {
			if !reflect.DeepEqual(got, all) {
				t.Fatalf("%d rows of at most %d changed: %+v", len(all), most, got)
			}
			return
		}
		type group struct{ comm, kind, stack string }
		where := func(b *Blame) group {
			stack := fmt.Sprint(b.Stack)
			for _, address := range []string{"0x7f01", "0x7e02"} {
				stack = strings.ReplaceAll(stack, address, "[unknown]")
			}
			return group{b.Comm, b.Kind, stack}
		}
		type sum struct{ writers, sections, hold, fallbacks, wait, wasted int64 }
		sums := func(rows []Blame) map[group]sum {
			of := map[group]sum{}
			for _, b := range rows {
				g := where(&b)
				s := of[g]
				of[g] = sum{s.writers + b.Writers, s.sections + b.Sections, s.hold + int64(b.Hold), s.fallbacks + b.Fallbacks, s.wait + int64(b.Wait), s.wasted + int64(b.Wasted)}
			}
			return of
		}
		if a, b := sums(all), sums(got); !maps.Equal(a, b) {
			t.Fatalf("sums %v became %v", a, b)
		}
		seen := map[group]bool{}
		for _, b := range got {
			g := where(&b)
			free := b.Fallbacks == 0 && b.Wait == 0 && b.Wasted == 0
			if single := b.Writers == 1; single != (b.TID != timeline.NoPID) || single != (b.PID != timeline.NoPID) || !single && (!free || strings.Contains(fmt.Sprint(b.Stack), "0x")) || free && seen[g] {
				t.Fatalf("%+v of %+v", b, got)
			}
			seen[g] = seen[g] || free
			if b.Writers > 1 {
				summed++
			}
		}
	})
	if summed == 0 {
		t.Error("vacuous: nothing was summed up")
	}
}

// Of samples that are alike otherwise those of one lookup come first, then those of two by how
// these ended.
func TestOrderOfChecks(t *testing.T) {
	list := []*SampleCheck{nil, {}, {Lookup: sim.SeqChanged}, {Outcome: sim.SeqChanged}, {Outcome: sim.SeqChanged, Lookup: sim.SeqChanged}}
	inOrder(t, list, (*SampleCheck).compare)
}

// Rows are in a total order: who is to blame, and pairs of lines, by what they cost, address spaces
// by what is in them, samples by who and where.
func TestOrderOfRows(t *testing.T) {
	blames := []*Blame{
		{Wait: 9}, {Wait: 8, Fallbacks: 9}, {Wait: 8, Fallbacks: 8, Hold: 9}, {Wait: 8, Fallbacks: 8, Hold: 8},
		{Wait: 8, Fallbacks: 8, Hold: 8, PID: 1}, {Wait: 8, Fallbacks: 8, Hold: 8, PID: 1, TID: 1}, {Wait: 8, Fallbacks: 8, Hold: 8, PID: 1, TID: 1, Kind: "a"},
		{Wait: 8, Fallbacks: 8, Hold: 8, PID: 1, TID: 1, Kind: "a", Comm: "a"}, {Wait: 8, Fallbacks: 8, Hold: 8, PID: 1, TID: 1, Kind: "a", Comm: "a", Stack: []string{"a"}},
	}
	samples := []*Sample{
		{}, {PID: 1}, {PID: 1, TID: 1}, {PID: 1, TID: 1, CPU: 1}, {PID: 1, TID: 1, CPU: 1, Probe: "a"}, {PID: 1, TID: 1, CPU: 1, Probe: "a", Outcome: 1},
		{PID: 1, TID: 1, CPU: 1, Probe: "a", Outcome: 1, Comm: "a"}, {PID: 1, TID: 1, CPU: 1, Probe: "a", Outcome: 1, Comm: "a", Stack: []string{"a"}},
		{PID: 1, TID: 1, CPU: 1, Probe: "a", Outcome: 1, Comm: "a", Stack: []string{"a"}, Check: &SampleCheck{}},
	}
	mms := []*MmRow{
		{Hits: 9}, {Hits: 8, Writers: 9}, {Hits: 8, Writers: 8}, {Hits: 8, Writers: 8, PID: 1}, {Hits: 8, Writers: 8, PID: 1, Comm: "a"}, {Hits: 8, Writers: 8, PID: 1, Comm: "a", Wait: 1},
		{Hits: 8, Writers: 8, PID: 1, Comm: "a", Wait: 1, Outcomes: [sim.NumOutcomes]int64{1}},
	}
	pairs := []LinePair{{Stall: 9}, {Stall: 8, Transfers: 9}, {Stall: 8, Transfers: 8}, {Stall: 8, Transfers: 8, Had: "a"}, {Stall: 8, Transfers: 8, Had: "a", Took: "a"}}
	inOrder(t, mms, compareMms)
	inOrder(t, pairs, comparePairs)
	inOrder(t, blames, compareBlame)
	inOrder(t, samples, compareSamples)
}

// inOrder holds that an order compares each two of a list as they stand in it.
func inOrder[V any](t *testing.T, list []V, compare func(a, b V) int) {
	t.Helper()
	for i, a := range list {
		for j, b := range list {
			if got := compare(a, b); got != cmp.Compare(i, j) {
				t.Errorf("%+v to %+v: %d", a, b, got)
			}
		}
	}
}

// TestBlameOfClones: the section that a span of a hit points at is the one that was there while
// the hit was looked up, and not that of another copy of its thread.
func TestBlameOfClones(t *testing.T) {
	res := play(t, replaytest.Corpus(t, "churn-1x1"), func(o *Options) { o.Resolvers, o.Clone, o.CPUs = []string{"speculative"}, 3, 6 })
	blamed := 0
	for _, s := range res.Runs[0].Spans {
		if s.Kind != FallbackSpan || s.Blame < 0 {
			continue
		}
		blamed++
		if by := res.Runs[0].Spans[s.Blame]; by.Kind != SectionSpan || by.Start > s.End || by.End < s.Start {
			t.Fatalf("a hit from %v to %v is put down to a section from %v to %v", s.Start, s.End, by.Start, by.End)
		}
	}
	if blamed < 100 {
		t.Errorf("vacuous: %d spans have somebody to blame", blamed)
	}
}
