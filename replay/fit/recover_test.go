package fit_test

import (
	"context"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// known is a machine of two sockets with four cores of two threads, all at 2 GHz.
func known(t testing.TB) sim.Machine {
	m := replaytest.Machine(t).Machine
	m.Sockets, m.CoresPerSocket, m.CoresPerL3, m.SMT = 2, 4, 4, 2
	m.Turbo = []sim.TurboStep{{ActiveCores: 4, KHz: 2_000_000}}
	return m
}

// measure is the table that a benchmark of the machine has.
func measure(t testing.TB, m *sim.Machine, rows map[string][]int) []fit.BenchPoint {
	t.Helper()
	var points []fit.BenchPoint
	for _, resolver := range []string{"locked", "speculative"} {
		for _, cpus := range rows[resolver] {
			points = append(points, fit.BenchPoint{Resolver: resolver, CPUs: cpus, MHits: 1})
		}
	}
	got, err := fit.Residuals(context.Background(), m, points, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range points {
		points[i].MHits = got[i].Predicted
	}
	return points
}

func private(m *sim.Machine) int64 {
	return m.Hit.EntryCycles + m.Hit.LookupCycles + m.Hit.ExitCycles
}

func within(got, want, percent int64) bool { return 100*max(got-want, want-got) <= percent*want }

// A fit finds the machine that made a table, from a start that is wrong in all that is
// fitted, and predicts a row that it has not seen.
func TestToBenchRecovers(t *testing.T) {
	truth := known(t)
	points := measure(t, &truth, map[string][]int{"locked": {1, 3, 8}, "speculative": {1, 4, 16}})
	wrong := truth
	wrong.Hit.EntryCycles, wrong.Hit.LookupCycles, wrong.Line.RMWCycles, wrong.SMTPermille = 900, 250, 60, 1900
	wrong.Line.QueuedPermille, wrong.Line.LocalPermille = 420, 1000

	var costs []float64
	fitted := wrong
	progress := func(round int, cost float64) {
		if round != len(costs)+1 {
			t.Errorf("round %d after %d", round, len(costs))
		}
		costs = append(costs, cost)
	}
	const rounds = 120
	if err := fit.ToBench(context.Background(), &fitted, points, rounds, 7, progress); err != nil {
		t.Fatal(err)
	}
	if got, want := private(&fitted), private(&truth); !within(got, want, 2) {
		t.Errorf("a hit takes %d cycles, want %d", got, want)
	}
	if !within(fitted.SMTPermille, truth.SMTPermille, 2) {
		t.Errorf("two threads make %d ‰ of one, want %d", fitted.SMTPermille, truth.SMTPermille)
	}
	if off := fitted.Line.RMWCycles - truth.Line.RMWCycles; off < -6 || off > 6 {
		t.Errorf("an atomic takes %d cycles, want %d", fitted.Line.RMWCycles, truth.Line.RMWCycles)
	}
	if len(costs) != rounds {
		t.Fatalf("%d rounds", len(costs))
	}
	for i := range costs[1:] {
		if costs[i+1] > costs[i] {
			t.Errorf("round %d is worse than the one before: %v, %v", i+2, costs[i+1], costs[i])
		}
	}
	if costs[rounds-1] > costs[0]/2 {
		t.Errorf("after %d rounds it costs %v, at first %v", rounds, costs[rounds-1], costs[0])
	}

	var twice [2]sim.Machine
	for i := range twice {
		twice[i] = wrong
		if err := fit.ToBench(context.Background(), &twice[i], points, 8, 7, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(twice[0], twice[1]) {
		t.Errorf("the same fit finds another machine: %+v", twice)
	}

	worst := func(m *sim.Machine, points []fit.BenchPoint) float64 {
		rows, err := fit.Residuals(context.Background(), m, points, 1)
		if err != nil {
			t.Fatal(err)
		}
		most := 0.0
		for _, r := range rows {
			most = max(most, math.Abs(r.Error()))
		}
		return most
	}
	if before, after := worst(&wrong, points), worst(&fitted, points); after > 0.05 || before < 0.3 {
		t.Errorf("the worst row is off by %.3f, and by %.3f before the fit", after, before)
	}
	for i, left := range points {
		if left.CPUs != 3 && left.CPUs != 4 { // of the ends nothing else tells
			continue
		}
		others := append(append([]fit.BenchPoint{}, points[:i]...), points[i+1:]...)
		m := wrong
		if err := fit.ToBench(context.Background(), &m, others, 20, 7, nil); err != nil {
			t.Fatal(err)
		}
		if off := worst(&m, []fit.BenchPoint{left}); off > 0.1 {
			t.Errorf("without %s on %d CPUs it is off by %.3f there", left.Resolver, left.CPUs, off)
		}
	}
}

// What a table does not tell of stays as it was.
func TestToBenchLeavesAlone(t *testing.T) {
	truth := known(t)
	wrong := truth
	wrong.Hit.EntryCycles, wrong.Line.RMWCycles, wrong.SMTPermille, wrong.Line.QueuedPermille = 900, 60, 1900, 420
	for _, test := range []struct {
		name    string
		rows    map[string][]int
		private bool // is found
		smt     bool
	}{
		{"one thread of each core", map[string][]int{"speculative": {1, 8}}, true, false},
		{"both", map[string][]int{"speculative": {2, 12, 16}}, true, true},
	} {
		m := wrong
		if err := fit.ToBench(context.Background(), &m, measure(t, &truth, test.rows), 5, 1, func(int, float64) { t.Errorf("%s: nothing to search for", test.name) }); err != nil {
			t.Fatal(err)
		}
		if within(private(&m), private(&truth), 1) != test.private || within(m.SMTPermille, truth.SMTPermille, 2) != test.smt {
			t.Errorf("%s: %d cycles, %d ‰", test.name, private(&m), m.SMTPermille)
		}
		if !test.smt && m.SMTPermille != wrong.SMTPermille || m.Line != wrong.Line || m.Hit.LookupCycles != wrong.Hit.LookupCycles {
			t.Errorf("%s: %+v", test.name, m)
		}
		if d := m.Hit.ExitCycles - m.Hit.EntryCycles; d < 0 || d > 1 {
			t.Errorf("%s: %d cycles before a lookup and %d after it, want equal parts", test.name, m.Hit.EntryCycles, m.Hit.ExitCycles)
		}
	}
	single := truth
	single.SMT = 1
	single.SMTPermille = 1000
	m := single
	m.Hit.EntryCycles = 900
	if err := fit.ToBench(context.Background(), &m, measure(t, &single, map[string][]int{"speculative": {1, 8}}), 5, 1, nil); err != nil || m.SMTPermille != 1000 || !within(private(&m), private(&single), 1) {
		t.Errorf("%v, %+v", err, m)
	}
}

// A row of the benchmark counts what is done after the warm-up, in what is measured.
func TestBenchByHand(t *testing.T) {
	m := known(t)
	m.Hit.EntryCycles, m.Hit.LookupCycles, m.Hit.ExitCycles, m.Hit.JitterPermille = 3000, 1000, 4000, 0 // 4 µs
	for _, cpus := range []int{1, 3, 8} {
		row, err := fit.Bench(context.Background(), &m, "ideal", fit.Nop, cpus, 1)
		if err != nil {
			t.Fatal(err)
		}
		// 500 in 2 ms, each longer by some loads.
		if want := int64(500 * cpus); row.Hits > want || !within(row.Hits, want, 1) || row.Over != 2*sim.Millisecond || row.PerSecond() != 500*row.Hits {
			t.Errorf("%d CPUs: %d hits, %d a second over %v", cpus, row.Hits, row.PerSecond(), row.Over)
		}
		if row.CPUs != cpus || row.Resolver != "ideal" {
			t.Errorf("%+v", row)
		}
	}
	for _, test := range []struct {
		resolver string
		cpus     int
		want     string
	}{{"nonsense", 1, "nonsense"}, {"locked", 0, "cannot pin 0 producers"}, {"locked", 17, "has 16 CPUs: cannot pin 17 producers"}} {
		if _, err := fit.Bench(context.Background(), &m, test.resolver, fit.Nop, test.cpus, 1); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s on %d CPUs: %v", test.resolver, test.cpus, err)
		}
		if err := fit.ToBench(context.Background(), &m, []fit.BenchPoint{{Resolver: test.resolver, CPUs: test.cpus, MHits: 1}}, 1, 1, nil); err == nil {
			t.Errorf("%s on %d CPUs: fitted to", test.resolver, test.cpus)
		}
	}
	if _, err := fit.Bench(context.Background(), &m, "locked", fit.Nop, 16, 1); err != nil {
		t.Error(err)
	}
	for _, kind := range []fit.ProbeKind{fit.Nop, fit.Nop5} {
		if k, err := fit.ParseProbeKind(kind.String()); k != kind || err != nil {
			t.Errorf("%v reads back as %v, %v", kind, k, err)
		}
	}
	if _, err := fit.ParseProbeKind("int3"); err == nil {
		t.Error("int3 is no kind of probe")
	}
}

func TestBadBenchTables(t *testing.T) {
	const header = "resolver,cpus,mhits_per_s\n"
	for _, test := range []struct{ table, want string }{
		{"", "read the header"},
		{"resolver,cpus\nlocked,1\n", `no column "mhits_per_s"`},
		{header, "no rows"},
		{"# no more\n" + header + "locked,1,2\nlocked,0,2\n", "t:4: want"},
		{header + "locked,-1,2\n", "t:2: want"},
		{header + "locked,1,0\n", "t:2: want"},
		{header + "locked,1,-2\n", "t:2: want"},
		{header + "locked,1,NaN\n", "t:2: want"},
		{header + "locked,1,+Inf\n", "t:2: want"},
		{header + "locked,x,2\n", "t:2: want"},
		{header + "locked,1,x\n", "t:2: want"},
		{header + "locked,1\n", "t: record on line 2"},
	} {
		points, err := fit.ReadBenchTable(strings.NewReader(test.table), "t")
		if err == nil || !strings.Contains(err.Error(), test.want) || points != nil {
			t.Errorf("%q: %v, want %q", test.table, err, test.want)
		}
	}
	points, err := fit.ReadBenchTable(strings.NewReader("note,mhits_per_s, cpus,resolver\na,1.5,2,locked\n"), "t")
	if err != nil || len(points) != 1 || points[0] != (fit.BenchPoint{Resolver: "locked", CPUs: 2, MHits: 1.5}) {
		t.Errorf("%+v, %v", points, err)
	}
}

// recording is what a recorder with known lags makes of a thread that hits every 2 µs
// beside one that maps and unmaps. How long each thing takes is exact, but for when it is.
type recording struct {
	machines.Recorder
	lookup                           int64 // of a lookup
	start, released                  int64 // that recording these takes
	mapStart, mapHold, unmapStart    int64 // of the sections
	unmapHold, unmapRead, wake, idle int64
}

func knownRecording() recording {
	return recording{
		Recorder: machines.Recorder{HitLag: 500, FailLag: 300, Window: 200, AcquireLead: 200, ExitLag: 280, WakeLatency: 6000},
		lookup:   200, start: 2000, released: 900, mapStart: 700, mapHold: 2600, unmapStart: 900, unmapHold: 3100, unmapRead: 4000, wake: 6000, idle: 12_000,
	}
}

func (r *recording) rows(until int64) []traces.Event {
	const hitter, mapper = 11, 12
	var rows []traces.Event
	row := func(at int64, kind traces.Kind, tid int32, write bool, stack ...string) *traces.Event {
		rows = append(rows, traces.Event{Time: at, CPU: tid - hitter, PID: 10, TID: tid, Kind: kind, Write: write, Stack: stack, Has: traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColWrite})
		ev := &rows[len(rows)-1]
		if len(stack) > 0 {
			ev.Has |= traces.ColStack
		}
		return ev
	}
	const frame = "f+0x1 ([kernel.kallsyms])"
	rand := sim.NewPRNG(5)
	upTo := func(n int64) int64 { return int64(rand.Uint64()>>1) % n }
	type section struct{ odd, even, free int64 }
	var sections []section
	for entry, n := int64(1_010_000), 0; entry < until; n++ {
		kind, start, hold, read := traces.Mmap, r.mapStart, r.mapHold, int64(0)
		if n%2 == 1 {
			kind, start, hold, read = traces.Munmap, r.unmapStart, r.unmapHold, r.unmapRead
		}
		odd := entry + start + r.start
		even := odd + hold
		at := len(rows)
		call := row(entry, kind, mapper, false)
		call.Addr, call.Len, call.Ret, call.Has = 0x70000000, 4096, 0x70000000*int64(1-n%2), call.Has&^traces.ColWrite|traces.ColAddr|traces.ColLen|traces.ColRet|traces.ColDur
		row(odd+r.AcquireLead-r.start, traces.LockStart, mapper, true, frame)
		row(odd+r.AcquireLead, traces.LockAcquired, mapper, true)
		end := even + r.ExitLag // the recorder is done with the row that tells of the end
		if read > 0 {
			row(end-r.released, traces.LockAcquired, mapper, false)
			end += read
		}
		row(end-r.released, traces.LockReleased, mapper, read == 0)
		sections = append(sections, section{odd, even, even + read})
		rows[at].Dur = end - entry
		entry = end + r.idle + upTo(9000)
	}
	for begin, s := int64(1_000_000), 0; begin < until; {
		end := begin + r.lookup
		for s < len(sections) && sections[s].even < begin {
			s++
		}
		if s == len(sections) || end < sections[s].odd {
			row(end+r.HitLag, traces.Hit, hitter, false)
			begin = end + r.HitLag + 1000 + upTo(500)
		} else {
			asked := end + r.FailLag
			row(asked, traces.LockStart, hitter, false, frame).InUprobe = true
			rows[len(rows)-1].Has |= traces.ColInUprobe
			got := asked + r.start
			if got < sections[s].even {
				got = sections[s].even + r.wake
			}
			row(got, traces.LockAcquired, hitter, false)
			row(got+300, traces.LockReleased, hitter, false)
			row(got+1500, traces.Hit, hitter, false)
			begin = got + 2500 + upTo(500)
		}
		if hit := &rows[len(rows)-1]; hit.Kind == traces.Hit {
			hit.Addr, hit.Probe, hit.Has = 0x401000, "p:f", hit.Has&^traces.ColWrite|traces.ColAddr|traces.ColProbe
		}
	}
	slices.SortStableFunc(rows, func(a, b traces.Event) int { return traces.Compare(&a, &b) })
	for i := range rows {
		rows[i].Seq = int64(i)
	}
	return rows
}

// A fit finds where the sections of a simulated recording are in their syscalls, how long
// waking up takes, and lags that predict its lookups; nothing gets worse on the way.
func TestToTracesRecovers(t *testing.T) {
	truth := knownRecording()
	trace := replaytest.Made(truth.rows(12_000_000))
	quiet := truth
	quiet.idle = 1 << 40 // no section: whatever the lags, it is predicted well
	calm := replaytest.Made(quiet.rows(1_300_000))
	p := replaytest.Machine(t).Clone()
	p.Recorder = truth.Recorder
	p.Recorder.HitLag, p.Recorder.FailLag, p.Recorder.WakeLatency = 900, 1400, 77
	p.Sections = machines.SectionModel{"brk": {Start: 5}}
	f1 := func(p *machines.Profile) float64 {
		v, err := fit.Validate(context.Background(), trace, p, fit.Comparison{Using: timeline.Locks})
		if err != nil {
			t.Fatal(err)
		}
		if v.Observed < 200 {
			t.Fatalf("vacuous: %d fallbacks", v.Observed)
		}
		return v.F1()
	}
	exact := p.Clone()
	exact.Recorder = truth.Recorder
	if best := f1(exact); best < 0.98 {
		t.Fatalf("with the lags that it has F1 is %.4f", best)
	}
	before := f1(p)
	var steps, all int
	got, err := fit.ToTraces(context.Background(), []timeline.Trace{trace, calm}, p, func(done, of int) {
		if steps++; done != steps {
			t.Errorf("step %d after %d", done, steps-1)
		}
		all = of
	})
	if err != nil {
		t.Fatal(err)
	}
	if steps == 0 || steps != all {
		t.Errorf("%d steps of %d", steps, all)
	}
	if after := f1(p); after < 0.97 || before > 0.9 || len(got.Validations) != 2 || got.Validations[0].F1() != after {
		t.Errorf("F1 %.4f, %.4f before; %d validations", after, before, len(got.Validations))
	}
	want := machines.SectionModel{"brk": {Start: 5}, "mmap": {Start: truth.mapStart}, "munmap": {Start: truth.unmapStart, Hold: truth.unmapHold}}
	if !reflect.DeepEqual(p.Sections, want) {
		t.Errorf("sections %+v, want %+v", p.Sections, want)
	}
	if p.Recorder.WakeLatency != truth.wake {
		t.Errorf("waking up takes %d, want %d", p.Recorder.WakeLatency, truth.wake)
	}
	if len(got.Sections) != 2 || got.Sections[0].Kind != "mmap" || got.Sections[1].Kind != "munmap" || got.Sections[1].Model != want["munmap"] ||
		got.Sections[0].Start != [3]int64{truth.mapStart, truth.mapStart, truth.mapStart} || got.Sections[0].Hold != [3]int64{truth.mapHold, truth.mapHold, truth.mapHold} {
		t.Errorf("fitted %+v", got.Sections)
	}
}

// What tells nothing is not fitted to, and it is said why.
func TestNothingToFit(t *testing.T) {
	truth := knownRecording()
	rows := truth.rows(1_300_000)
	no := func(kinds ...traces.Kind) *replaytest.Memory {
		var left []traces.Event
		for _, ev := range rows {
			keep := true
			for _, kind := range kinds {
				keep = keep && ev.Kind != kind
			}
			if keep {
				left = append(left, ev)
			}
		}
		for i := range left {
			left[i].Seq = int64(i)
		}
		return replaytest.Made(left)
	}
	try := func(trace timeline.Trace) error {
		_, err := fit.ToTraces(context.Background(), []timeline.Trace{trace}, replaytest.Machine(t).Clone(), nil)
		return err
	}
	unlocked := no(traces.LockStart, traces.LockAcquired, traces.LockReleased)
	if err := try(unlocked); !errors.Is(err, fit.ErrNoLocks) || !strings.Contains(err.Error(), "made: ") {
		t.Errorf("without lock events: %v", err)
	}
	if err := try(no(traces.Hit)); err == nil || !strings.Contains(err.Error(), "made: nothing can be fitted to it") && !strings.Contains(err.Error(), "hit") {
		t.Errorf("without hits: %v", err)
	}
	older, fell := no(), false
	older.Of.Kernel = "6.8.0"
	older.List = slices.DeleteFunc(older.List, func(ev traces.Event) bool { // but hits that took the lock
		if ev.Kind == traces.LockStart && ev.InUprobe {
			fell = true
		}
		keep := ev.Kind != traces.Hit || fell
		fell = fell && ev.Kind != traces.Hit
		return !keep
	})
	if err := try(older); !errors.Is(err, fit.ErrTakesLock) {
		t.Errorf("of a kernel that takes the lock for each lookup: %v", err)
	}
	few := no()
	few.List = few.List[:120]
	p := replaytest.Machine(t).Clone()
	before := p.Clone()
	if got, err := fit.ToTraces(context.Background(), []timeline.Trace{few}, p, nil); err != nil || len(got.Sections) != 0 || !reflect.DeepEqual(p.Sections, before.Sections) || p.Recorder.WakeLatency != before.Recorder.WakeLatency {
		t.Errorf("of a few sections: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(io.ErrClosedPipe)
	if _, err := fit.ToTraces(ctx, []timeline.Trace{no()}, p, nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("cancelled: %v", err)
	}

	if err := fit.RequireLocks(context.Background(), unlocked); !errors.Is(err, fit.ErrNoLocks) {
		t.Errorf("without lock events: %v", err)
	}
	if err := fit.RequireLocks(ctx, unlocked); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("cancelled: %v", err)
	}
	if err := fit.RequireLocks(context.Background(), no()); err != nil {
		t.Errorf("with them: %v", err)
	}
	unlocked.Of.Recorded = []string{"hit", "lock_start"}
	if err := fit.RequireLocks(context.Background(), unlocked); err != nil {
		t.Errorf("recorded, and nobody took it: %v", err)
	}
}
