package fit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// How well a real kernel is predicted, held against getting worse. The figures
// themselves are in the README.
func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		using  timeline.Using
		f1     float64
		number float64 // greatest relative error of the number of fallbacks
		wait   float64 // of the lock wait; 0: not held to any
	}{
		{"churn-1x1", timeline.Locks, 0.985, 0.05, 0.2},
		{"stress-malloc-z", timeline.Locks, 0.97, 0.05, 0.2},
		{"javac", timeline.Locks, 0.94, 0.1, 0},
		{"nop5", timeline.Locks, 0.99, 0.05, 0},
		{"churn-1x1", timeline.Syscalls, 0.92, 0.15, 0},
		{"stress-malloc-z", timeline.Syscalls, 0.6, 0.35, 0},
		{"javac", timeline.Syscalls, 0.45, 0.35, 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s/%v", test.name, test.using), func(t *testing.T) {
			v, err := Validate(context.Background(), replaytest.Corpus(t, test.name), replaytest.Machine(t), Comparison{Using: test.using, Misses: 5})
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

// validatorProbe plays a trace as Validate does, but for the profile of the recorded
// machine, and shows the hits.
type validatorProbe struct{ each func(*sim.HitRecord) }

func (v *validatorProbe) play(t *testing.T, trace timeline.Trace, using timeline.Using) {
	t.Helper()
	ctx := context.Background()
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		t.Fatal(err)
	}
	p := replaytest.Machine(t)
	o := replay.DefaultOptions()
	topo, err := replay.Topology(p, &o, s)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := timeline.Reconstruct(ctx, trace, s, timeline.Config{Using: using, Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	pl, err := replay.NewPlayer(rec, topo, s, replay.PlayerConfig{Resolver: resolverOfKernel, Options: &o, Each: v.each})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pl.Play(ctx); err != nil {
		t.Fatal(err)
	}
}

// decisions are what was predicted of each hit.
func decisions(t *testing.T, trace timeline.Trace, using timeline.Using) []bool {
	t.Helper()
	byRow := map[int64]bool{}
	probe := validatorProbe{each: func(h *sim.HitRecord) { byRow[h.Op.Tag.(*timeline.Origin).Time] = h.Outcome != sim.Lockless }}
	probe.play(t, trace, using)
	var fell []bool
	for _, at := range slices.Sorted(maps.Keys(byRow)) {
		fell = append(fell, byRow[at])
	}
	return fell
}

// waits are the waits that were predicted.
func waits(t *testing.T, trace timeline.Trace, using timeline.Using) dist.Dist {
	t.Helper()
	v, err := Validate(context.Background(), trace, replaytest.Machine(t), Comparison{Using: using})
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
		using  timeline.Using
		change func(*traces.Event) bool
	}{{timeline.Locks, hideWaits}, {timeline.Syscalls, scramble}} {
		for _, name := range names {
			trace := replaytest.Corpus(t, name)
			want, wantWaits := decisions(t, trace, test.using), waits(t, trace, test.using)
			trace.Change = test.change
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

// What recording costs is found on the trace, whatever the machine.
func TestInferenceFindsTheRecorder(t *testing.T) {
	for _, c := range []struct{ recording, cost int64 }{{6500, 7500}, {3400, 5500}, {2000, 3000}} {
		rows, late := replaytest.Loop(t, c.recording, c.cost)
		if late < 300 {
			t.Fatalf("vacuous: %d hits fell back", late)
		}
		v, err := Validate(context.Background(), replaytest.Made(rows), replaytest.Machine(t), Comparison{Using: timeline.Syscalls})
		if err != nil {
			t.Fatal(err)
		}
		if v.Observed != late || v.F1() < 0.95 || math.Abs(v.Expected/float64(late)-1) > 0.05 {
			t.Errorf("recording %d, cost %d: F1 %.3f, %.0f of %d expected", c.recording, c.cost, v.F1(), v.Expected, late)
		}
	}
}

// Two probes on one function make the lookups of one: the same predictions.
func TestAliasPredictsNothing(t *testing.T) {
	name := "stress-malloc-z"
	if testing.Short() {
		name = "churn-1x1"
	}
	one := replaytest.Corpus(t, name)
	two := replaytest.WithAlias(t, one)
	for _, using := range []timeline.Using{timeline.Locks, timeline.Syscalls} {
		v, err := Validate(context.Background(), one, replaytest.Machine(t), Comparison{Using: using})
		if err != nil {
			t.Fatal(err)
		}
		w, err := Validate(context.Background(), two, replaytest.Machine(t), Comparison{Using: using})
		if err != nil {
			t.Fatal(err)
		}
		if w.Events = v.Events; !cmp.Equal(v, w) {
			t.Errorf("validation (-one +two):\n%s", cmp.Diff(v, w))
		}
	}
}

// A recording of returns alone has lookups, at unknown times: no score, and no error.
func TestNoScoreOfReturns(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	trace.Change = func(ev *traces.Event) bool {
		if ev.Kind == traces.Hit {
			ev.Kind = traces.Ret
		}
		return true
	}
	v, err := Validate(context.Background(), trace, replaytest.Machine(t), Comparison{Using: timeline.Locks})
	if err != nil || v.Scores() {
		t.Errorf("scored %v, %v", v, err)
	}
}

// There is no score where lock events do not tell which are of lookups.
func TestNoScoreOfUnknownOutcomes(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	trace.Change = func(ev *traces.Event) bool {
		if ev.Kind == traces.LockStart && ev.InUprobe {
			ev.InUprobe = false
			ev.Has &^= traces.ColInUprobe | traces.ColStack
			ev.Stack = nil
		}
		return true
	}
	v, err := Validate(context.Background(), trace, replaytest.Machine(t), Comparison{Using: timeline.Locks})
	if err != nil {
		t.Fatal(err)
	}
	if v.Observes() || v.Scores() || !v.Predicts() || v.Undecided != 551 {
		t.Errorf("undecided %d, observes %v, scores %v, predicts %v", v.Undecided, v.Observes(), v.Scores(), v.Predicts())
	}
}

// What the kernel did with each of the two lookups of an optimised probe's hits.
func TestOptimisedLookups(t *testing.T) {
	trace := replaytest.Corpus(t, "nop5")
	want := validateLocks(t, trace)
	if want.Observed != 2984 || want.Lookups != 41_801 || want.Hits != 20_901 {
		t.Errorf("%d fallbacks of %d lookups of %d hits observed", want.Observed, want.Lookups, want.Hits)
	}
	trace.Change = func(ev *traces.Event) bool { // as traces were stored before the check was known
		if ev.Lookup() == traces.TrampolineLookup {
			ev.InUprobe = false
		}
		return true
	}
	if got := validateLocks(t, trace); got.TP != want.TP || got.FP != want.FP || got.FN != want.FN {
		t.Errorf("in_uprobe=false for the check: %d/%d/%d, want %d/%d/%d", got.TP, got.FP, got.FN, want.TP, want.FP, want.FN)
	}
}

func validateLocks(t *testing.T, trace timeline.Trace) *Validation {
	t.Helper()
	v, err := Validate(context.Background(), trace, replaytest.Machine(t), Comparison{Using: timeline.Locks})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Of lock_starts alone nothing but syscalls tells where write sections are: no score of 0.
func TestLockStartsTellNoSections(t *testing.T) {
	trace := replaytest.Corpus(t, "light-1x3")
	if _, err := Validate(context.Background(), trace, replaytest.Machine(t), Comparison{Using: timeline.Locks, Light: true}); !errors.Is(err, ErrNoHolders) {
		t.Errorf("using locks: %v", err)
	}
	if v, err := Validate(context.Background(), trace, replaytest.Machine(t), Comparison{Light: true}); err != nil || !v.Scores() || v.Predicted == 0 {
		t.Errorf("using what there is: %+v, %v", v, err)
	}
}
