package timeline_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/traces"
)

// What a survey says of a few rows, counted by hand.
func TestSurveyByHand(t *testing.T) {
	trace := replaytest.Made(parse(t, `
		500 map tid=11 addr=0x1000 len=4096
		1000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
		1100 hit cpu=0 tid=11 addr=0x401000 probe=p:g trap=1
		2000 mmap cpu=6 tid=12 dur_ns=9000 ret=0x7000 addr=0x7000 len=4096 stack=["main"]
		3000 hit cpu=0 tid=11 addr=0x402000 probe=p:h
		4000 ret cpu=0 tid=11 addr=0x403000 probe=p:r
		4500 ret cpu=0 tid=11 addr=0x402000 probe=p:r
		5000 hit cpu=0 tid=12 addr=0x402000 probe=p:h
		6000 lock_start cpu=0 tid=12 write=false in_uprobe=true
		7000 lost cpu=1 ret=3 dur_ns=400
		8000 lost ret=4 dur_ns=100`))
	trace.Of.CPUs = 4
	s := surveyOf(t, trace)
	got := []int64{s.Events, s.Hits, s.HitEvents(), s.Start, s.End, int64(s.CPUs), s.Lost, s.Unseen()}
	// The mapping known beforehand is no start; the mmap ends last; CPU 6 is the seventh.
	if want := []int64{11, 3, 4, 1000, 11_000, 7, 7, 1}; !slices.Equal(got, want) {
		t.Errorf("events, hits, their events, start, end, CPUs, lost, unseen: %v, want %v", got, want)
	}
	if want := map[string]int64{"p:f": 1, "p:g": 1, "p:h": 2}; !maps.Equal(s.ProbeEvents(), want) {
		t.Errorf("events of probes %v, want %v", s.ProbeEvents(), want)
	}
	if a := s.Threads[11]; a.Hits != 2 || a.First != 1000 || a.Last != 3000 || a.End != 4500 {
		t.Errorf("%+v", a)
	}
	if b := s.Threads[12]; b.Hits != 1 || b.First != 5000 || b.Last != 5000 || b.End != 6000 {
		t.Errorf("%+v", b)
	}
	if want := []timeline.Loss{{From: 5600, To: 6000, CPU: 1, Events: 3}, {From: 6900, To: 7000, CPU: -1, Events: 4}}; !slices.Equal(s.WorstLosses(), want) {
		t.Errorf("losses %+v, want %+v", s.WorstLosses(), want)
	}
	if !s.LockRows || s.None() {
		t.Error("it has lock events, and hits")
	}

	trace.Of.CPUs, trace.List = 12, trace.List[:3]
	if s := surveyOf(t, trace); s.CPUs != 12 || s.LockRows || s.LossyNs() != 0 || len(s.WorstLosses()) != 0 {
		t.Errorf("%+v", s)
	}
	if s := surveyOf(t, &replaytest.Memory{}); !s.None() || s.CPUs != 1 || s.Start != 0 {
		t.Errorf("of nothing: %+v", s)
	}
	if s := surveyOf(t, replaytest.Made(parse(t, "1000 ret tid=11 addr=0x403000 probe=p:r"))); s.None() || s.Hits != 0 {
		t.Error("a return tells of a lookup")
	}
}

// Where lock events tell of lookups they are believed; else their outcomes are inferred.
func TestInfers(t *testing.T) {
	const (
		hits  = "9000 hit cpu=0 tid=11 addr=0x401000 probe=p:f\n"
		call  = "1000 mmap cpu=0 tid=12 dur_ns=9000 ret=0x7000 addr=0x7000 len=4096\n"
		told  = "2000 lock_start cpu=0 tid=12 write=true in_uprobe=false\n2100 lock_acquired cpu=0 tid=12 write=true\n2200 lock_released cpu=0 tid=12 write=true\n"
		vague = "3000 lock_start cpu=0 tid=11 write=false\n3100 lock_acquired cpu=0 tid=11 write=false\n3200 lock_released cpu=0 tid=11 write=false\n"
		clear = "4000 lock_start cpu=0 tid=11 write=false in_uprobe=true\n4100 lock_acquired cpu=0 tid=11 write=false\n4200 lock_released cpu=0 tid=11 write=false\n"
		start = "5000 lock_start cpu=0 tid=11 write=false in_uprobe=true\n"
	)
	for _, test := range []struct {
		name, rows string
		infers     bool
	}{
		{"no lock events", call + hits, true},
		{"lock events that tell", call + told + clear + hits, false},
		{"none of a lookup", call + told + hits, false},
		{"that do not tell", call + told + vague + hits, true},
		{"that mostly tell", call + told + vague + clear + hits, false},
		{"that do not tell, and no syscall", told + vague + hits, false},
		{"starts alone", call + start + hits, true},
		{"starts alone, and no syscall", start + hits, false},
	} {
		s := surveyOf(t, replaytest.Made(parse(t, test.rows)))
		if got := s.Infers(timeline.Everything); got != test.infers {
			t.Errorf("%s: inferred %v", test.name, got)
		}
		if s.Infers(timeline.Locks) || !s.Infers(timeline.Syscalls) {
			t.Errorf("%s: what was asked for is not done", test.name)
		}
	}
}

// What everything stands for: arrivals where 99 in 100 hits have one, else lock events, or
// none where syscalls alone tell who had the lock.
func TestWhatEverythingStandsFor(t *testing.T) {
	const (
		call = "1000 mmap cpu=0 tid=12 dur_ns=9000 ret=0x7000 addr=0x7000 len=4096\n"
		held = "2000 lock_start cpu=0 tid=12 write=true in_uprobe=false\n2100 lock_acquired cpu=0 tid=12 write=true\n2200 lock_released cpu=0 tid=12 write=true\n"
		asks = "2000 lock_start cpu=0 tid=12 write=true in_uprobe=false\n"
	)
	hits := func(n, stamped int) (rows string) {
		for i := range n {
			if i < stamped {
				rows += fmt.Sprintf("%d arrive cpu=1 tid=11\n", 10_000+100*i)
			}
			rows += fmt.Sprintf("%d hit cpu=1 tid=11 addr=0x401000 probe=p:f\n", 10_050+100*i)
		}
		return rows
	}
	for _, c := range []struct {
		name, rows string
		lacks      bool
		want       timeline.Using
	}{
		{"who had the lock", call + held + hits(100, 0), false, timeline.Locks},
		{"nearly all arrivals", call + held + hits(100, 99), false, timeline.Stamps},
		{"too few", call + held + hits(100, 98), false, timeline.Locks},
		{"arrivals, and not who had the lock", call + asks + hits(100, 100), true, timeline.Syscalls},
		{"not who had the lock", call + asks + hits(100, 0), true, timeline.Syscalls},
		{"syscalls", call + hits(100, 0), true, timeline.Syscalls},
		{"not even these", asks + hits(100, 0), false, timeline.Locks},
	} {
		s := surveyOf(t, replaytest.Made(parse(t, c.rows)))
		if got := s.Resolve(timeline.Everything); got != c.want || s.LacksHolders() != c.lacks {
			t.Errorf("%s: %v, lacks holders %v; want %v", c.name, got, s.LacksHolders(), c.want)
		}
		for _, using := range []timeline.Using{timeline.Locks, timeline.Syscalls, timeline.Stamps} {
			if got := s.Resolve(using); got != using {
				t.Errorf("%s: %v was asked for, and stands for %v", c.name, using, got)
			}
		}
	}
}

// A steady thread that now and then is held up takes longer on average than usual, by
// what was stolen from it; of one without a pace that cannot be told.
func TestStolen(t *testing.T) {
	gaps := func(n int, of func(i int) int64) *timeline.ThreadSurvey {
		var rows []traces.Event
		now := int64(0)
		for i := range n {
			now += of(i)
			rows = append(rows, traces.Event{Time: now, Seq: int64(i), Kind: traces.Hit, PID: 10, TID: 11, Addr: 0x1000, Has: traces.ColPID | traces.ColTID | traces.ColAddr})
		}
		return surveyOf(t, replaytest.Made(rows)).Threads[11]
	}
	for _, test := range []struct {
		name string
		*timeline.ThreadSurvey
		want int64
	}{
		{"steady", gaps(2001, func(int) int64 { return 1000 }), 1000},
		{"held up", gaps(2001, func(i int) int64 { return 1000 + int64(i%10/9)*5000 }), 1500}, // one in ten by 5000
		{"too few", gaps(1000, func(i int) int64 { return 1000 + int64(i%10/9)*5000 }), 1000},
		{"enough", gaps(1001, func(i int) int64 { return 1000 + int64(i%10/9)*5000 }), 1500},
		{"of no pace", gaps(2001, func(i int) int64 { return 1000 + int64(i%2)*800 + int64(i%10/9)*5000 }), 1000},
		{"of some", gaps(2001, func(i int) int64 { return 1000 + int64(i%2)*400 + int64(i%10/9)*5000 }), 1214},                      // 1700 on average, 1400 mostly
		{"of as little as there may be", gaps(2001, func(i int) int64 { return 1000 + int64(i%2)*500 + int64(i%10/9)*5000 }), 1166}, // 1750 on average, 1500 mostly
		{"faster on average", gaps(2001, func(i int) int64 { return 1000 - int64(i%10/9)*900 }), 1000},
		{"at once", gaps(2001, func(i int) int64 { return 0 }), 1000},
		{"for later hits nobody asks", gaps(9001, func(i int) int64 { return 1000 + int64(i/4500)*900000 }), 1000},
	} {
		if got := test.StolenPermille(); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

// A lookup that fell back arrived when its lock_start says: what it waited is not the
// thread's pace, nor is that of a return probe's lookup.
func TestPaceWithoutWaits(t *testing.T) {
	var rows []traces.Event
	now := int64(0)
	row := func(at int64, kind traces.Kind) *traces.Event {
		rows = append(rows, traces.Event{Time: at, Seq: int64(len(rows)), Kind: kind, PID: 10, TID: 11, Addr: 0x1000, Has: traces.ColPID | traces.ColTID | traces.ColAddr})
		return &rows[len(rows)-1]
	}
	lookup := func(at int64) {
		ev := row(at, traces.LockStart)
		ev.InUprobe, ev.Has = true, ev.Has|traces.ColInUprobe|traces.ColWrite
		row(at+100, traces.LockAcquired).Has |= traces.ColWrite
		row(at+200, traces.LockReleased).Has |= traces.ColWrite
	}
	lookup(1) // its hit is not there
	row(2, traces.Ret)
	for i := range 2000 {
		now += 1000
		switch i % 4 {
		case 1: // it waits for 4000
			lookup(now)
			now += 4000
		case 2: // the lookup at a function's entry, which then returns
			lookup(now - 900)
			row(now-500, traces.Ret)
		}
		row(now, traces.Hit)
	}
	if got := surveyOf(t, replaytest.Made(rows)).Threads[11].StolenPermille(); got != 1000 {
		t.Errorf("of a steady thread %d ‰", got)
	}
}

// How much a trace has of what costs how much to record, seen in where it places things.
func TestRecorderByHand(t *testing.T) {
	var rows []traces.Event
	now := int64(1_000_000)
	row := func(at int64, kind traces.Kind, cpu, tid int32, write bool, stack ...string) {
		ev := traces.Event{Time: at, Seq: int64(len(rows)), Kind: kind, CPU: cpu, PID: 10, TID: tid, Write: write, Stack: stack, Has: traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColWrite}
		if len(stack) > 0 {
			ev.Has |= traces.ColStack
		}
		rows = append(rows, ev)
	}
	// A writer on CPU 0 whose CPU had no lock_start for idle, and that gets to its own
	// after gap; recording that takes 700, and its lock_released 900 with a callchain and
	// 400 without.
	const frame = "__vm_munmap+0x1 ([kernel.kallsyms])"
	call := func(idle, gap int64, stacked bool) {
		var stack []string
		released := int64(400)
		if stacked {
			stack, released = []string{frame}, 900
		}
		now += idle - gap
		row(now, traces.Munmap, 0, 11, false)
		ev := &rows[len(rows)-1]
		ev.Addr, ev.Len, ev.Dur, ev.Has = 0x7000, 4096, gap+700+2000+released, ev.Has|traces.ColAddr|traces.ColLen|traces.ColDur|traces.ColRet
		row(now+gap, traces.LockStart, 0, 11, true, frame)
		row(now+gap+700, traces.LockAcquired, 0, 11, true, frame)
		row(now+gap+2700, traces.LockReleased, 0, 11, true, stack...)
		now += gap
	}
	for range 10 {
		call(50_000, 1000, true)   // warm
		call(500_000, 1800, false) // 800 more
		call(2_000_000, 1300, false)
	}
	call(20_000_000, 9_000, true) // once is not often enough to tell
	// A lookup that failed, with a start that took another time, which tells of something else.
	lookup := func(away, idle int64) int64 {
		now += idle
		row(now-away, traces.Hit, 1, 12, false)
		row(now, traces.LockStart, 0, 12, false, frame)
		rows[len(rows)-1].InUprobe, rows[len(rows)-1].Has = true, rows[len(rows)-1].Has|traces.ColInUprobe
		at := now
		row(now+60_000, traces.LockAcquired, 0, 12, false, frame)
		row(now+61_000, traces.LockReleased, 0, 12, false)
		row(now+62_000, traces.Hit, 0, 12, false)
		return at
	}
	type late struct{ at, cold int64 }
	var lookups []late
	for _, c := range []struct{ away, idle, cold int64 }{
		{21_000, 200_000, 0},     // a warm CPU
		{21_000, 600_000, 400},   // 800 * (21000 - 6000) / 30000
		{6_000, 600_000, 0},      // the thread was just here
		{36_000, 600_000, 800},   // and is away for long enough
		{90_000, 600_000, 800},   // no more than that
		{21_000, 5_000_000, 400}, // no fewer than after a shorter time, and too few to tell more
		{21_000, 2_000_000, 400},
		{21_000, 50_000_000, 400},
	} {
		lookups = append(lookups, late{lookup(c.away, c.idle), c.cold})
	}
	// And a writer outside of any syscall, twice.
	now += 100_000
	row(now, traces.LockStart, 0, 13, true)
	row(now+700, traces.LockAcquired, 0, 13, true)
	row(now+1700, traces.LockReleased, 0, 13, true)
	row(now+5000, traces.LockStart, 0, 13, true)
	row(now+5700, traces.LockAcquired, 0, 13, true)
	row(now+6700, traces.LockReleased, 0, 13, true, frame)

	s := surveyOf(t, replaytest.Made(rows))
	if s.StartCost() != 700 {
		t.Errorf("recording a lock_start takes %d", s.StartCost())
	}
	list, r := operations(t, rows, timeline.Config{Using: timeline.Locks})
	if r.LockDelay() != 700 {
		t.Errorf("and %d before the lock of a lookup", r.LockDelay())
	}
	var holds []int64
	for _, op := range list {
		if op.Origin.Observed && op.Origin.Truth != nil {
			want := lookups[0]
			lookups = lookups[1:]
			if shown := want.at - 2000 - 300 - want.cold; op.At != shown { // FailLag and Window
				t.Errorf("the lookup of the lock_start at %d begins %d before it, want %d", want.at, want.at-op.At, want.at-shown)
			}
		}
		if op.Origin.TID == 13 {
			holds = append(holds, op.Hold)
		}
	}
	// 1000 from lock_acquired to lock_released, 40 before it, and what recording the latter takes less 50.
	if want := []int64{1000 + 40 + 400 - 50, 1000 + 40 + 900 - 50}; !slices.Equal(holds, want) || len(lookups) > 0 {
		t.Errorf("held for %d, want %d; %d lookups left", holds, want, len(lookups))
	}
}

// Of a recorder that took callchains and whose syscalls do not end with lock_released it
// is known what a lock_start takes.
func TestUsualRelease(t *testing.T) {
	list, _ := operations(t, parse(t, `
		1000 lock_start cpu=0 tid=11 write=true in_uprobe=false stack=["a"]
		1700 lock_acquired cpu=0 tid=11 write=true stack=["a"]
		3000 lock_released cpu=0 tid=11 write=true stack=["a"]`), timeline.Config{Using: timeline.Locks})
	if want := int64(40 + 1300 + 700 + 100 - 50); list[0].Hold != want {
		t.Errorf("held for %d, want %d", list[0].Hold, want)
	}
}

// TestLossesAgainstOracle draws losses and what lies between, and says which of it a lost
// event may have changed by looking at each loss.
func TestLossesAgainstOracle(t *testing.T) {
	const margin = 100_000
	seen, profile := map[bool]int{}, handProfile(t)
	rapid.Check(t, func(t *rapid.T) {
		var rows []traces.Event
		type lost struct{ from, to int64 }
		var losses []lost
		now, sum := int64(1_000_000), int64(0)
		add := func(ev traces.Event) {
			ev.Time, ev.Seq, ev.CPU, ev.Has = now, int64(len(rows)), 0, ev.Has|traces.ColCPU
			rows = append(rows, ev)
		}
		hit := traces.Event{Kind: traces.Hit, PID: 10, TID: 11, Addr: 0x1000, Has: traces.ColPID | traces.ColTID | traces.ColAddr}
		add(hit)
		for range rapid.IntRange(1, 30).Draw(t, "rows") {
			now += rapid.Int64Range(0, 90_000).Draw(t, "gap")
			if rapid.IntRange(0, 4).Draw(t, "lost") > 0 {
				add(hit)
				continue
			}
			n, dur := rapid.Int64Range(1, 9).Draw(t, "events"), rapid.Int64Range(0, 70_000).Draw(t, "for")
			add(traces.Event{Kind: traces.Lost, Ret: n, Dur: dur, Has: traces.ColRet | traces.ColDur})
			losses = append(losses, lost{now - dur, now})
			sum += n
		}
		now += 200_000
		add(hit)
		trace := replaytest.Made(rows)
		s, err := timeline.TakeSurvey(t.Context(), trace)
		if err != nil {
			t.Fatal(err)
		}
		start, end := rows[0].Time, int64(0)
		for _, ev := range rows {
			end = max(end, ev.Time+ev.Dur)
		}
		touched := func(at int64) bool {
			return slices.ContainsFunc(losses, func(l lost) bool { return l.from-margin <= at && at <= l.to+margin })
		}
		lossy := int64(0) // by the edges of losses: between two of them nothing changes
		edges := []int64{start, end}
		for _, l := range losses {
			edges = append(edges, min(max(l.from-margin, start), end), min(max(l.to+margin, start), end))
		}
		slices.Sort(edges)
		for i := range len(edges) - 1 {
			if slices.ContainsFunc(losses, func(l lost) bool { return l.from-margin <= edges[i] && edges[i+1] <= l.to+margin }) {
				lossy += edges[i+1] - edges[i]
			}
		}
		if s.Lost != sum || s.LossyNs() != lossy || len(s.WorstLosses()) != len(losses) {
			t.Fatalf("%d events lost in %d ns, want %d in %d", s.Lost, s.LossyNs(), sum, lossy)
		}
		r, err := timeline.Reconstruct(t.Context(), trace, s, timeline.Config{Using: timeline.Locks, Profile: profile})
		if err != nil {
			t.Fatal(err)
		}
		for op, ok := r.Next(); ok; op, ok = r.Next() {
			// Its lookup began at most 1300 before its row.
			want := touched(op.Origin.Time) || touched(op.At)
			if op.Origin.Undecided != want {
				t.Fatalf("hit at %d: undecided %v, losses %v", op.Origin.Time, op.Origin.Undecided, losses)
			}
			seen[want]++
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("vacuous: %v", seen)
	}
}

// A section or syscall of which one end was lost is undecided up to the end that is there,
// and so is what met it.
func TestHalvesOfLosses(t *testing.T) {
	const second = 1_000_000_000
	hits := func(from, to, step int64) (rows string) {
		for at := from; at <= to; at += step {
			rows += fmt.Sprintf("%d hit cpu=1 tid=20 pid=20 addr=0x401000 probe=p:f\n", at)
		}
		return rows
	}
	tests := []struct {
		name, rows string
		from, to   int64 // what is undecided, in ms; margins left out
	}{
		{"a loss alone", "20000000 lost cpu=0 ret=1 dur_ns=2000000", 18, 20},
		{"an end without a beginning", "20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 lock_released cpu=0 tid=11 write=true", 18, 50},
		{"after a second that is something else", "20000000 lost cpu=0 ret=1 dur_ns=2000000\n1020000000 lock_released cpu=0 tid=11 write=true", 18, 20},
		{"an end with its beginning", "10000000 lock_start cpu=0 tid=11 write=true in_uprobe=false\n10000001 lock_acquired cpu=0 tid=11 write=true\n20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 lock_released cpu=0 tid=11 write=true", 18, 20},
		{"a beginning without an end", "10000000 lock_start cpu=0 tid=11 write=true in_uprobe=false\n10000001 lock_acquired cpu=0 tid=11 write=true\n20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 lock_start cpu=0 tid=11 write=true in_uprobe=false", 10, 50},
		{"one after the loss", "20000000 lost cpu=0 ret=1 dur_ns=2000000\n30000000 lock_start cpu=0 tid=11 write=true in_uprobe=false\n30000001 lock_acquired cpu=0 tid=11 write=true\n50000000 lock_start cpu=0 tid=11 write=true in_uprobe=false", 18, 20},
		{"a trylock for write", "10000001 lock_acquired cpu=0 tid=11 write=true\n20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 lock_acquired cpu=0 tid=11 write=true", 10, 50},
		{"a downgrade is no beginning", "10000001 lock_acquired cpu=0 tid=11 write=true\n20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 lock_acquired cpu=0 tid=11 write=false", 18, 20},
		{"who was refused has no end", "10000000 lock_start cpu=0 tid=11 write=true in_uprobe=false\n10000001 lock_acquired cpu=0 tid=11 write=true ret=-4\n20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 lock_start cpu=0 tid=11 write=true in_uprobe=false", 18, 20},
		{"an exit without an entry", "20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 munmap cpu=0 tid=11 ret=0", 18, 50},
		{"an entry without an exit", "10000000 munmap cpu=0 tid=11 addr=0x7000 len=4096\n20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f", 10, 50},
		{"of another thread", "10000000 munmap cpu=0 tid=11 addr=0x7000 len=4096 dur_ns=10 ret=0\n20000000 lost cpu=0 ret=1 dur_ns=2000000\n50000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f", 18, 20},
	}
	for _, test := range tests {
		rows := append(parse(t, hits(5_000_000, 80_000_000, 1_000_000)), parse(t, test.rows)...)
		rows = append(rows, parse(t, hits(second+40_000_000, second+40_000_000, 1))...)
		slices.SortStableFunc(rows, func(a, b traces.Event) int { return traces.Compare(&a, &b) })
		for i := range rows {
			rows[i].Seq = int64(i)
		}
		list, _ := operations(t, rows, timeline.Config{Using: timeline.Locks})
		var undecided []int64
		for _, op := range list {
			if op.Origin.Undecided && op.Origin.TID == 20 {
				undecided = append(undecided, op.Origin.Time/1_000_000)
			}
		}
		// Where there are lock events, a hit is undecided as far back as its thread is
		// quiet: here for a millisecond.
		want := []int64{}
		for ms := test.from; ms <= test.to; ms++ {
			want = append(want, ms)
		}
		if slices.ContainsFunc(rows, func(ev traces.Event) bool { return ev.Kind.IsLock() }) {
			want = append(want, test.to+1)
		}
		if !slices.Equal(undecided, want) {
			t.Errorf("%s: undecided at %v ms, want %v", test.name, undecided, want)
		}
	}
}

// The stretches that lost most are told of, in order of time; when nothing says where
// events were lost, all is undecided.
func TestWorstLosses(t *testing.T) {
	var rows []traces.Event
	const n = timeline.MaxLosses + 500
	for i := range n {
		lost := int64(i%n*7919%n) + 1
		rows = append(rows, traces.Event{Time: int64(i+1) * 10_000, Seq: int64(i), Kind: traces.Lost, CPU: 1, Ret: lost, Dur: 5, Has: traces.ColCPU | traces.ColRet | traces.ColDur})
	}
	losses := surveyOf(t, replaytest.Made(rows)).WorstLosses()
	for i, l := range losses {
		if l.Events <= n-timeline.MaxLosses || l.To-l.From != 5 || i > 0 && l.From <= losses[i-1].From {
			t.Fatalf("loss %d: %+v", i, l)
		}
	}
	if len(losses) != timeline.MaxLosses {
		t.Errorf("%d losses", len(losses))
	}

	trace := replaytest.Made(parse(t, "1000 hit cpu=1 tid=20 addr=0x401000 probe=p:f\n900000 hit cpu=1 tid=20 addr=0x401000 probe=p:f"))
	trace.Of.Lost = 3
	s := surveyOf(t, trace)
	if s.Lost != 3 || s.LossyNs() != 899_000 || len(s.WorstLosses()) != 0 {
		t.Errorf("%d lost, %d ns undecided, %d stretches", s.Lost, s.LossyNs(), len(s.WorstLosses()))
	}
}

// keptSurvey is a trace with a survey.
type keptSurvey struct {
	*replaytest.Memory
	survey *timeline.Survey
}

func (k *keptSurvey) Survey() *timeline.Survey { return k.survey }

// A survey that was kept is not taken again, and one that was not is.
func TestKeptSurvey(t *testing.T) {
	trace := &keptSurvey{Memory: replaytest.Made(parse(t, "1000 hit cpu=0 tid=11 addr=0x401000 probe=p:f"))}
	first := surveyOf(t, trace)
	if first.Hits != 1 {
		t.Errorf("%+v", first)
	}
	trace.survey, trace.List = first, nil
	if surveyOf(t, trace) != first {
		t.Error("it was taken again")
	}
}

// A site is optimised in the program that was seen, from the row on that tells, be it the
// first of the trace.
func TestSitesByHand(t *testing.T) {
	const hit, optimise = "hit cpu=0 pid=%d tid=%[1]d addr=%#[2]x probe=p:f\n", "lock_start cpu=0 pid=%d tid=%[1]d write=true in_uprobe=false stack=[\"arch_uprobe_optimize+0x1 ([kernel.kallsyms])\"]\n"
	h := func(at, pid, addr int) string { return fmt.Sprintf("%d ", at) + fmt.Sprintf(hit, pid, addr) }
	o := func(at, pid int) string { return fmt.Sprintf("%d ", at) + fmt.Sprintf(optimise, pid) }
	for _, test := range []struct {
		name, rows, ways string // T by trap, S by system call
	}{
		{"of one process", h(1000, 10, 0x1000) + o(2000, 10) + h(9000, 10, 0x1000) + h(9500, 11, 0x1000) + h(9900, 10, 0x1000), "TSTS"},
		{"of one probe", h(1000, 10, 0x1000) + o(2000, 10) + h(9000, 10, 0x2000) + h(9900, 10, 0x1000) + h(9950, 10, 0x2000), "TTST"},
		{"of one program", h(1000, 10, 0x1000) + o(2000, 10) + h(9000, 10, 0x1000) + "9100 exec cpu=0 pid=10 tid=10\n" + h(9500, 10, 0x1000), "TST"},
		{"of its child", h(1000, 10, 0x1000) + o(2000, 10) + "2500 map pid=10 tid=10 addr=0x3ff000 len=4096 path=\"[uprobes-trampoline]\"\n3000 fork cpu=0 pid=10 tid=10 ret=20\n" +
			h(9000, 20, 0x1000) + "9100 exec cpu=0 pid=20 tid=20\n" + h(9500, 20, 0x1000) + h(9900, 10, 0x1000), "TSTS"},
		{"not of a thread's id", h(1000, 10, 0x1000) + o(2000, 10) + "2500 map pid=10 tid=10 addr=0x3ff000 len=4096 path=\"[uprobes-trampoline]\"\n3000 fork cpu=0 pid=10 tid=10 ret=20 flags=0x10f00\n" +
			h(9000, 20, 0x1000) + h(9500, 10, 0x1000), "TTS"},
		{"of a process, not of the next one of its id", h(1000, 20, 0x1000) + o(2000, 20) + "2100 exit cpu=0 pid=20 tid=20\n3000 fork cpu=0 pid=10 tid=10 ret=20\n" + h(9000, 20, 0x1000), "TT"},
		{"not where the function returned meanwhile", h(1000, 10, 0x1000) + "1500 ret cpu=0 pid=10 tid=10 addr=0x1000 probe=p:r\n" + o(2000, 10) + h(9000, 10, 0x1000), "TT"},
		{"a lookup of a return probe is no check", "1000 lock_start cpu=0 pid=10 tid=10 write=false in_uprobe=true stack=[\"__do_sys_uprobe+0x1 ([kernel.kallsyms])\"]\n2000 ret cpu=0 pid=10 tid=10 addr=0x9000 probe=p:r\n" +
			h(9000, 10, 0x1000) + h(9500, 10, 0x1000), "TT"},
	} {
		list, _ := operations(t, parse(t, test.rows), timeline.Config{Using: timeline.Locks})
		hits := map[int64]byte{}
		var times []int64
		for _, op := range list {
			if op.Origin.Kind != "hit" {
				continue
			}
			hits[op.Origin.Time] = 'T'
			if op.Trampoline != 0 {
				hits[op.Origin.Time] = 'S'
			}
			times = append(times, op.Origin.Time)
		}
		slices.Sort(times)
		var ways []byte
		for _, at := range times {
			ways = append(ways, hits[at])
		}
		if string(ways) != test.ways {
			t.Errorf("%s: %s, want %s", test.name, ways, test.ways)
		}
	}
}

// What a lookup waits is not what recording its lock_start takes, however many there are.
func TestStartCostWithoutLookups(t *testing.T) {
	rows := "1000 lock_start cpu=0 tid=11 write=true in_uprobe=false stack=[\"a\"]\n1700 lock_acquired cpu=0 tid=11 write=true stack=[\"a\"]\n3000 lock_released cpu=0 tid=11 write=true stack=[\"a\"]\n"
	for i := range 9 {
		at := 100_000 * (i + 1)
		rows += fmt.Sprintf("%d lock_start cpu=0 tid=11 write=false in_uprobe=true stack=[\"a\"]\n%d lock_acquired cpu=0 tid=11 write=false stack=[\"a\"]\n%[2]d lock_released cpu=0 tid=11 write=false\n", at, at+60_000)
	}
	if got := surveyOf(t, replaytest.Made(parse(t, rows))).StartCost(); got != 700 {
		t.Errorf("recording a lock_start takes %d ns, want 700", got)
	}
}
