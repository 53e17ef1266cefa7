package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// stored is a trace of the corpus, perhaps changed on the way.
type stored struct {
	*traces.File
	path   string
	change func(*traces.Event) bool // false: the row is left out
}

func (s *stored) Path() string   { return s.path }
func (s *stored) SHA256() string { return "" }

func (s *stored) Stream(c traces.Columns) (traces.Stream, error) {
	r, err := s.Events(c)
	if err != nil || s.change == nil {
		return r, err
	}
	// What is changed may depend on columns that were not asked for.
	r.Close()
	r, err = s.Events(traces.AllColumns)
	return &changed{r, s.change}, err
}

type changed struct {
	traces.Stream
	change func(*traces.Event) bool
}

func (c *changed) Next(ev *traces.Event) error {
	for {
		if err := c.Stream.Next(ev); err != nil || c.change(ev) {
			return err
		}
	}
}

func corpus(t testing.TB, name string) *stored {
	t.Helper()
	path := "../traces/corpus/" + name + ".parquet"
	f, err := traces.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &stored{File: f, path: path}
}

// profile is a machine as machines.Load("generic") gives it, so far as these
// tests need one.
func profile() *Profile {
	return &Profile{
		Machine: sim.Machine{
			Name: "test", Sockets: 2, CoresPerSocket: 64, CoresPerL3: 64, SMT: 2, SMTPermille: 1360, Turbo: []sim.TurboStep{{ActiveCores: 64, KHz: 3_000_000}},
			Line: sim.LineCosts{
				LoadCycles: 4, StoreCycles: 1, RMWCycles: 18, Sibling: 7 * sim.Nanosecond,
				Transfer:       [sim.NumDistances]sim.Time{0, 50 * sim.Nanosecond, 50 * sim.Nanosecond, 135 * sim.Nanosecond},
				QueuedPermille: 760, Waiter: 2200, WaiterCap: 22, LocalPermille: 530,
			},
			Lock: sim.LockCosts{SleepCycles: 3000, WakeCycles: 1000, WakeLatency: 2 * sim.Microsecond, SpinCycles: 50, TimeSlice: 3 * sim.Millisecond},
			Hit:  sim.HitCosts{EntryCycles: 450, LookupCycles: 100, ExitCycles: 490, SRCUCycles: 49, SyscallPermille: 277},
		},
		Recorder: Recorder{
			HitLag: 350, FailLag: 380, Window: 250, AcquireLead: 200, ExitLag: 280, WakeLatency: 30_000,
			CheckLead: 370, SyscallHitLag: 800, SyscallFailLag: 70, ContendedLead: 650,
		},
		Sections: SectionModel{
			"mmap": {425, 0}, "munmap": {605, 1700}, "mprotect": {450, 0}, "mremap": {605, 0}, "brk": {605, 0}, "brk_shrink": {605, 2100},
			"madvise": {450, 0}, "fork": {20_000, 100_000},
		},
	}
}

func play(t testing.TB, trace Trace, change func(*Options)) *Result {
	t.Helper()
	o := DefaultOptions()
	if change != nil {
		change(&o)
	}
	res, err := Play(context.Background(), trace, profile(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// The main job on real recordings: every hit is in the ledger once, what the
// parts add up to is what the totals say, and the reasons are there.
func TestPlay(t *testing.T) {
	for _, name := range []string{"churn-1x1", "javac", "stress-malloc-z"} {
		t.Run(name, func(t *testing.T) {
			res := play(t, corpus(t, name), nil)
			for i := range res.Runs {
				checkRun(t, res, &res.Runs[i])
			}
			locked, spec := &res.Runs[0], &res.Runs[1]
			if spec.Fallbacks() == 0 || spec.Outcomes[sim.WriterActive] == 0 {
				t.Errorf("outcomes %v: a recording with failed lookups has fallbacks", spec.Outcomes)
			}
			if locked.Outcomes[sim.Unconfigured] != locked.Hits {
				t.Errorf("locked: outcomes %v", locked.Outcomes)
			}
			if locked.Resolve.Total <= spec.Resolve.Total {
				t.Errorf("locked resolves in %v, speculative in %v", locked.Resolve.Total, spec.Resolve.Total)
			}
		})
	}
}

func checkRun(t *testing.T, res *Result, r *Run) {
	t.Helper()
	var outcomes, samples, probes, blamed int64
	var parts sim.Parts
	for _, n := range r.Outcomes {
		outcomes += n
	}
	for i := range r.Samples {
		samples += r.Samples[i].Hits
		parts.Add(r.Samples[i].Parts)
	}
	for i := range r.Probes {
		probes += r.Probes[i].Hits
	}
	for i := range r.Blame {
		blamed += r.Blame[i].Fallbacks
	}
	if r.Hits != res.Trace.Hits || outcomes != r.Hits || samples != r.Hits || probes != r.Hits {
		t.Errorf("%s: %d hits in the trace, %d replayed, %d outcomes, %d in samples, %d in probes", r.Resolver, res.Trace.Hits, r.Hits, outcomes, samples, probes)
	}
	if parts != r.Parts {
		t.Errorf("%s: samples add up to %+v, the run to %+v", r.Resolver, parts, r.Parts)
	}
	if want := r.Outcomes[sim.WriterActive] + r.Outcomes[sim.SeqChanged]; blamed != want {
		t.Errorf("%s: %d fallbacks have someone to blame, want %d", r.Resolver, blamed, want)
	}
	if r.Resolve.Total != r.Parts.Resolve() || r.Resolve.Count != r.Hits {
		t.Errorf("%s: distribution %+v of parts %+v", r.Resolver, r.Resolve, r.Parts)
	}
}

// More threads mean more of everything; speed, timing and placement do what they
// say.
func TestOptionsMatter(t *testing.T) {
	trace := corpus(t, "churn-1x1")
	base := play(t, trace, nil).Runs[1]
	cloned := play(t, trace, func(o *Options) { o.Clone = 4; o.CPUs = 8 }).Runs[1]
	if cloned.Hits != 4*base.Hits {
		t.Errorf("4 clones make %d of %d hits", cloned.Hits, base.Hits)
	}
	fast := play(t, trace, func(o *Options) { o.SpeedPPM = 2_000_000 }).Runs[1]
	if ratio := float64(base.Makespan) / float64(fast.Makespan); ratio < 1.5 || ratio > 2.02 {
		t.Errorf("at twice the speed the run is %.3f times shorter; sections keep their length", ratio)
	}
	for _, timing := range []Timing{Think, ASAP} {
		r := play(t, trace, func(o *Options) { o.Timing = timing }).Runs[1]
		if r.Hits != base.Hits {
			t.Errorf("%v: %d hits, want %d", timing, r.Hits, base.Hits)
		}
		if timing == ASAP && r.Makespan > base.Makespan*3/4 {
			t.Errorf("without gaps it takes %v of %v", r.Makespan, base.Makespan)
		}
	}
	for _, p := range []Placement{Pack, Spread, RoundRobin} {
		if r := play(t, trace, func(o *Options) { o.Placement = p; o.CPUs = 16 }).Runs[1]; r.Hits != base.Hits {
			t.Errorf("%v: %d hits, want %d", p, r.Hits, base.Hits)
		}
	}
}

// TestCrowded holds that every hit of every clone is replayed where threads share
// CPUs: one that spins on mmap_lock gives its CPU to the one that the lock is handed
// to, whatever the resolver. A lock that all CPUs spin on until their time slices end,
// while the one that it is handed to wants a CPU, would make a run many times as long.
func TestCrowded(t *testing.T) {
	type crowd struct {
		name        string
		timing      Timing
		cpus, clone int
	}
	crowds := []crowd{
		{"churn-1x1", ASAP, 2, 2}, {"churn-1x1", Think, 1, 2}, {"stress-malloc-z", ASAP, 3, 4}, {"stress-malloc-z", Original, 1, 4}, {"stress-malloc-z", Think, 2, 8},
	}
	if testing.Short() {
		crowds = crowds[:1]
	}
	for _, test := range crowds {
		trace := corpus(t, test.name)
		res := play(t, trace, func(o *Options) {
			o.Timing, o.CPUs, o.Clone = test.timing, test.cpus, test.clone
			o.Resolvers = []string{"locked", "speculative", "pervma"}
		})
		for i := range res.Runs {
			if r := &res.Runs[i]; test.timing == ASAP && r.Makespan > 3*res.Runs[0].Makespan {
				t.Errorf("%s, %d CPUs, %d clones: %v for %s, %v for locked", test.name, test.cpus, test.clone, r.Makespan, r.Resolver, res.Runs[0].Makespan)
			}
			if r := &res.Runs[i]; r.Hits != res.Trace.Hits*int64(test.clone) {
				t.Errorf("%s, %v, %d CPUs, %d clones, %s: %d hits of %d", test.name, test.timing, test.cpus, test.clone, r.Resolver, r.Hits, res.Trace.Hits*int64(test.clone))
			}
		}
	}
}

// Equal inputs give equal runs, each decision and each row of them, clones or not.
func TestDeterministic(t *testing.T) {
	trace := corpus(t, "stress-malloc-z")
	for _, clone := range []int{1, 3} {
		run := func() []Run { return play(t, trace, func(o *Options) { o.Clone = clone }).Runs }
		first := run()
		for range 2 {
			if again := run(); !reflect.DeepEqual(first, again) {
				t.Errorf("%d clones: two runs differ", clone)
			}
		}
	}
}

// How well a real kernel is predicted, held against getting worse. The figures
// themselves are in the README.
func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		using  Using
		f1     float64
		number float64 // greatest relative error of the number of fallbacks
		wait   float64 // of the lock wait; 0: not held to any
	}{
		{"churn-1x1", Locks, 0.985, 0.05, 0.2},
		{"stress-malloc-z", Locks, 0.97, 0.05, 0.2},
		{"javac", Locks, 0.94, 0.1, 0},
		{"nop5", Locks, 0.99, 0.05, 0},
		{"churn-1x1", Syscalls, 0.92, 0.15, 0},
		{"stress-malloc-z", Syscalls, 0.6, 0.35, 0},
		{"javac", Syscalls, 0.45, 0.35, 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s/%v", test.name, test.using), func(t *testing.T) {
			v, err := Validate(context.Background(), corpus(t, test.name), profile(), test.using, 5)
			if err != nil {
				t.Fatal(err)
			}
			if v.F1() < test.f1 {
				t.Errorf("F1 %.4f, want %.4f", v.F1(), test.f1)
			}
			if e := math.Abs(v.Expected/float64(v.Observed) - 1); e > test.number {
				t.Errorf("%.1f fallbacks predicted of %d", v.Expected, v.Observed)
			}
			if e := math.Abs(float64(v.Waits.Predicted.Total)/float64(v.Waits.Observed.Total) - 1); test.wait > 0 && e > test.wait {
				t.Errorf("waits of %v predicted, %v observed", v.Waits.Predicted.Total, v.Waits.Observed.Total)
			}
		})
	}
}

// decisions are what was predicted of each hit.
func decisions(t *testing.T, trace Trace, using Using) []bool {
	t.Helper()
	var fell []bool
	ctx := context.Background()
	s, err := takeSurvey(ctx, trace)
	if err != nil {
		t.Fatal(err)
	}
	p := profile()
	in, err := inferenceFor(ctx, trace, p, s, using)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	topo, err := topology(p, &o, s)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := reconstruct(trace, using, p, s, in)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStream(rec.stream)
	pl, err := newPlayer(rec, topo, &o, s, resolverOfKernel, 0)
	if err != nil {
		t.Fatal(err)
	}
	byRow := map[int64]bool{}
	pl.gather.each = func(h *sim.HitRecord) { byRow[h.Op.Tag.(*Origin).Time] = h.Outcome != sim.Lockless }
	if _, err := pl.play(ctx); err != nil {
		t.Fatal(err)
	}
	var times []int64
	for at := range byRow {
		times = append(times, at)
	}
	slices.Sort(times)
	for _, at := range times {
		fell = append(fell, byRow[at])
	}
	return fell
}

// waits are the waits that were predicted.
func waits(t *testing.T, trace Trace, using Using) Dist {
	t.Helper()
	v, err := Validate(context.Background(), trace, profile(), using, 0)
	if err != nil {
		t.Fatal(err)
	}
	return v.Waits.Predicted
}

// No prediction looks at what it predicts. With lock events, how long a lookup
// waited, and where it went on, is taken out of the trace; without, who took any lock, and when, is
// scrambled. The predictions are the same.
func TestOutcomesAreHidden(t *testing.T) {
	inLookup := map[int32]bool{}
	hideWaits := func(ev *traces.Event) bool {
		switch {
		case ev.Kind == traces.LockStart:
			inLookup[ev.TID] = ev.InUprobe
		case ev.Kind.IsLock() && inLookup[ev.TID]:
			return false
		case ev.Kind == traces.Hit && inLookup[ev.TID]:
			inLookup[ev.TID] = false
			ev.CPU ^= 1 // it may have moved while it waited
		}
		return true
	}
	names := []string{"churn-1x1", "nop5", "stress-malloc-z"}
	if testing.Short() {
		names = names[:2]
	}
	rand := sim.NewPRNG(7)
	scramble := func(ev *traces.Event) bool {
		if !ev.Kind.IsLock() {
			return true
		}
		ev.InUprobe, ev.Write = rand.Permille(500), rand.Permille(500)
		ev.Kind = traces.LockStart + traces.Kind(rand.Uint64()>>33%3)
		return rand.Permille(700)
	}
	for _, test := range []struct {
		using  Using
		change func(*traces.Event) bool
	}{{Locks, hideWaits}, {Syscalls, scramble}} {
		for _, name := range names {
			trace := corpus(t, name)
			want, wantWaits := decisions(t, trace, test.using), waits(t, trace, test.using)
			trace.change = test.change
			clear(inLookup)
			got := decisions(t, trace, test.using)
			if !slices.Equal(want, got) {
				t.Errorf("%s using %v: the predictions changed with what is hidden", name, test.using)
			}
			clear(inLookup)
			if got := waits(t, trace, test.using); got != wantWaits {
				t.Errorf("%s using %v: waits %+v, and %+v with what is hidden changed", name, test.using, wantWaits, got)
			}
			if !slices.Contains(want, true) {
				t.Errorf("%s using %v: vacuous, nothing is predicted to fall back", name, test.using)
			}
		}
	}
}

// The fit of machine profiles goes down, and the shape of the benchmark is right.
func TestBenchShape(t *testing.T) {
	m := profile().Machine
	m.Sockets, m.CoresPerSocket, m.CoresPerL3 = 2, 20, 20
	m.Turbo = []sim.TurboStep{{ActiveCores: 20, KHz: 2_700_000}}
	m.Hit.JitterPermille = 400
	rate := map[string]map[int]int64{}
	for _, resolver := range []string{"locked", "speculative", "refcount", "srcu"} {
		rate[resolver] = map[int]int64{}
		for _, n := range []int{1, 5, 24, 48, 80} {
			row, err := Bench(context.Background(), &m, resolver, Nop, n, 1)
			if err != nil {
				t.Fatal(err)
			}
			rate[resolver][n] = row.PerSecond()
		}
	}
	locked, spec := rate["locked"], rate["speculative"]
	if !(locked[5] > locked[1] && locked[24] < locked[5]*7/10 && locked[80] > locked[48]) {
		t.Errorf("locked: %v; it should peak near 5 CPUs, fall by 24, and rise from 48 to 80", locked)
	}
	if spec[80] < 30*spec[1] {
		t.Errorf("speculative: %v; it should scale", spec)
	}
	for n, hits := range rate["refcount"] { // any order
		if n >= 5 && hits*2 > locked[n] {
			t.Errorf("refcount makes %d hits on %d CPUs, locked %d; it should be less than half", hits, n, locked[n])
		}
	}
}

func TestReadBenchTable(t *testing.T) {
	f, err := os.Open("testdata/uprobe-nop-80cpu.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	points, err := ReadBenchTable(f, "table")
	if err != nil || len(points) != 17 || points[0] != (BenchPoint{"locked", 1, 3.384}) {
		t.Errorf("%d points, %v", len(points), err)
	}
}

// A trace without a hit is worth a report where its lock events say something.
func TestNoHits(t *testing.T) {
	trace := corpus(t, "churn-1x1")
	trace.change = func(ev *traces.Event) bool { return ev.Kind != traces.Hit && !ev.Kind.IsLock() }
	if _, err := Play(context.Background(), trace, profile(), DefaultOptions(), nil); !errors.Is(err, ErrNoHits) {
		t.Errorf("%v, want ErrNoHits", err)
	}
	whole := play(t, corpus(t, "churn-1x1"), nil)
	trace.change = func(ev *traces.Event) bool { return ev.Kind != traces.Hit }
	res := play(t, trace, nil)
	if r := res.Recorded; len(res.Runs) != 0 || r == nil || r.Hits != 0 || r.WriterWait != whole.Recorded.WriterWait || !reflect.DeepEqual(r.Holders, whole.Recorded.Holders) {
		t.Errorf("%d runs, recorded %+v", len(res.Runs), r)
	}
	if a, b := &res.Trace, &whole.Trace; a.Writers != b.Writers || a.Mms != b.Mms || a.DurationNs != b.DurationNs || a.Hits != 0 {
		t.Errorf("%+v, want %+v without hits", a, b)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Play(ctx, corpus(t, "churn-1x1"), profile(), DefaultOptions(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func BenchmarkPlay(b *testing.B) {
	trace := corpus(b, "javac")
	var hits int64
	for b.Loop() {
		res := play(b, trace, nil)
		hits += res.Runs[0].Hits + res.Runs[1].Hits
	}
	b.ReportMetric(float64(hits)/b.Elapsed().Seconds(), "hits/s")
}

var _ io.Closer = (*traces.File)(nil)
