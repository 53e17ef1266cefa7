package replay

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// play replays a trace on the generic machine.
func play(t testing.TB, trace timeline.Trace, change func(*Options)) *Result {
	t.Helper()
	o := DefaultOptions()
	if change != nil {
		change(&o)
	}
	res, err := Play(context.Background(), trace, replaytest.Machine(t), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func speculative(t *testing.T, trace timeline.Trace) *Result {
	t.Helper()
	o := DefaultOptions()
	o.Resolvers = []string{"speculative"}
	res, err := Play(context.Background(), trace, replaytest.Machine(t), o, nil)
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
			res := play(t, replaytest.Corpus(t, name), nil)
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

// Who waited for a CPU that another had is told where a replay leaves that out, as far as
// it matters: with twice the threads javac's writers would seem to wait a sixth.
func TestShorterWaitsAreTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Options)
		told   bool
	}{
		{"javac", nil, false},
		{"javac", func(o *Options) { o.Clone = 2 }, true},
		{"javac", func(o *Options) { o.Clone = 8 }, false}, // they wait longer than they did
		{"stress-malloc-z", func(o *Options) { o.Placement = Spread }, true},
		{"churn-1x1", func(o *Options) { o.Placement = Spread }, false},
	} {
		res := play(t, replaytest.Corpus(t, test.name), test.change)
		n := 0
		for _, w := range res.Warnings {
			if strings.HasPrefix(w, "writers waited ") {
				n++
			}
		}
		if n > 1 || (n == 1) != test.told {
			t.Errorf("%s, clone %d, placement %v: told %d times, want %v: %q", test.name, res.Options.Clone, res.Options.Placement, n, test.told, res.Warnings)
		}
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
		parts.Add(&r.Samples[i].Parts)
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
	trace := replaytest.Corpus(t, "churn-1x1")
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
		trace := replaytest.Corpus(t, test.name)
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
	trace := replaytest.Corpus(t, "stress-malloc-z")
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

// A trace without a hit is worth a report where its lock events say something.
func TestNoHits(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	trace.Change = func(ev *traces.Event) bool { return ev.Kind != traces.Hit && !ev.Kind.IsLock() }
	if _, err := Play(context.Background(), trace, replaytest.Machine(t), DefaultOptions(), nil); !errors.Is(err, ErrNoHits) {
		t.Errorf("%v, want ErrNoHits", err)
	}
	whole := play(t, replaytest.Corpus(t, "churn-1x1"), nil)
	trace.Change = func(ev *traces.Event) bool { return ev.Kind != traces.Hit }
	res := play(t, trace, nil)
	if r := res.Recorded; len(res.Runs) != 0 || r == nil || r.Hits != 0 || r.WriterWait != whole.Recorded.WriterWait || !reflect.DeepEqual(r.Holders, whole.Recorded.Holders) {
		t.Errorf("%d runs, recorded %+v", len(res.Runs), r)
	}
	if a, b := &res.Trace, &whole.Trace; a.Writers != b.Writers || a.Mms != b.Mms || a.DurationNs != b.DurationNs || a.Hits != 0 {
		t.Errorf("%+v, want %+v without hits", a, b)
	}
}

// A machine that a trace does not fit is told, also where there is nothing to replay.
func TestHitlessOnTooFewCPUs(t *testing.T) {
	trace := replaytest.Begin(t, "churn-1x1", 500)
	trace.List = slices.DeleteFunc(slices.Clone(trace.List), func(ev traces.Event) bool { return ev.Kind == traces.Hit })
	cells := cellsOf(replaytest.Machine(t))[:2]
	cells[0].Options.CPUs = sim.MaxCPUs + 1
	got, err := PlayCells(t.Context(), trace, cells, nil)
	if err != nil || got[0].Err == nil || got[0].Result != nil || got[1].Err != nil || got[1].Result == nil || got[1].Result.Recorded == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// brokenTrace cannot be read to its end a second time.
type brokenTrace struct {
	*replaytest.Memory
	reads int
}

var errBroken = errors.New("a page cannot be read")

func (b *brokenTrace) Stream(c traces.Columns) (traces.Stream, error) {
	s, err := b.Memory.Stream(c)
	if b.reads++; b.reads > 1 {
		return &brokenStream{s, len(b.List) / 2}, err
	}
	return s, err
}

type brokenStream struct {
	traces.Stream
	left int
}

func (s *brokenStream) Next(ev *traces.Event) error {
	if s.left--; s.left < 0 {
		return errBroken
	}
	return s.Stream.Next(ev)
}

// An error of the trace is one of the replay, and of no machine.
func TestBrokenTrace(t *testing.T) {
	trace := &brokenTrace{Memory: replaytest.Begin(t, "churn-1x1", 2000)}
	_, err := PlayCells(t.Context(), trace, cellsOf(replaytest.Machine(t))[:2], nil)
	var f *Failure
	if !errors.Is(err, errBroken) || errors.As(err, &f) {
		t.Errorf("%v, want %v", err, errBroken)
	}
}

// What of the changes of address spaces was not recorded is said.
func TestPartlyRecorded(t *testing.T) {
	const told = "of what changes address spaces, only "
	for of, want := range map[string]bool{"": false, "hit mmap": true, "hit mmap munmap mprotect mremap brk": false} {
		trace := replaytest.Begin(t, "churn-1x1", 500)
		trace.List = slices.DeleteFunc(slices.Clone(trace.List), func(ev traces.Event) bool { return ev.Kind.IsLock() })
		trace.Of.Recorded = strings.Fields(of)
		res := play(t, trace, nil)
		if got := slices.ContainsFunc(res.Warnings, func(w string) bool { return strings.HasPrefix(w, told) }); got != want || slices.Contains(res.Warnings, "") {
			t.Errorf("of %q: warnings %q", of, res.Warnings)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Play(ctx, replaytest.Corpus(t, "churn-1x1"), replaytest.Machine(t), DefaultOptions(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func BenchmarkPlay(b *testing.B) {
	trace := replaytest.Corpus(b, "javac")
	var hits int64
	for b.Loop() {
		res := play(b, trace, nil)
		hits += res.Runs[0].Hits + res.Runs[1].Hits
	}
	b.ReportMetric(float64(hits)/b.Elapsed().Seconds(), "hits/s")
}

// BenchmarkFromMemory replays rows that are at hand, with a resolver at a time: the
// reconstruction and the simulation, without decoding.
func BenchmarkFromMemory(b *testing.B) {
	for _, name := range []string{"javac", "churn-1x1"} {
		stored := replaytest.Corpus(b, name)
		trace := &replaytest.Memory{Of: stored.Meta(), List: stored.Rows(b)}
		for _, resolver := range []string{"speculative", "locked"} {
			b.Run(name+"/"+resolver, func(b *testing.B) {
				hits := int64(0)
				for b.Loop() {
					hits += play(b, trace, func(o *Options) { o.Resolvers = []string{resolver} }).Runs[0].Hits
				}
				b.ReportMetric(float64(hits)/b.Elapsed().Seconds()/1e6, "Mhits/s")
			})
		}
	}
}

// Where the trace shows when hits arrived, that is believed, lock events or not.
func TestArriveRowsWithoutLocks(t *testing.T) {
	full, _ := replaytest.Loop(t, 0, 3000)
	var trace []traces.Event
	hits := int64(0)
	for _, ev := range full {
		switch {
		case ev.Kind.IsLock():
			continue
		case ev.Kind == traces.Hit:
			hits++
			trace = append(trace, traces.Event{Time: ev.Time - 400, CPU: ev.CPU, PID: ev.PID, TID: ev.TID, Kind: traces.Arrive, Has: traces.ColCPU | traces.ColPID | traces.ColTID})
		}
		trace = append(trace, ev)
	}
	res := speculative(t, replaytest.Made(trace))
	if a := res.Trace.Arrivals; a.Observed != hits || a.Modelled != 0 {
		t.Errorf("of %d hits %d arrivals are observed, %d inferred", hits, a.Observed, a.Modelled)
	}
}
