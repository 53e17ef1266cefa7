package replay

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// failing plays a trace until the nth hit, at which it panics as the machine does when it
// is in a state that cannot be.
func failing(t *testing.T, nth int, change func(*Options)) error {
	t.Helper()
	trace, profile := replaytest.Corpus(t, "churn-1x1"), replaytest.Machine(t)
	o := DefaultOptions()
	change(&o)
	s, err := timeline.TakeSurvey(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	topo, err := Topology(profile, &o, s)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := timeline.Reconstruct(t.Context(), trace, s, timeline.Config{Using: timeline.Everything, Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	p, err := NewPlayer(rec, topo, s, PlayerConfig{Resolver: "speculative", Options: &o, Repeat: repeatRun(trace.Path(), profile, &o, "speculative"), Each: func(h *sim.HitRecord) {
		if nth--; nth == 0 {
			panic("sim: impossible")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Play(t.Context())
	return err
}

// A machine that fails says in which operation, and how to see it again.
func TestFailure(t *testing.T) {
	err := failing(t, 1000, func(o *Options) { o.Clone, o.CPUs, o.Seed, o.SpeedPPM = 2, 6, 7, 1_500_000 })
	var f *Failure
	var fault *sim.Fault
	if !errors.As(err, &f) || !errors.As(err, &fault) {
		t.Fatalf("%v is no Failure of a Fault", err)
	}
	if f.Resolver != "speculative" || f.Seed != 7 || f.At <= 0 || f.Operation == nil || f.Operation.Kind != sim.OpHit {
		t.Errorf("%+v", f)
	}
	want := []string{"replay", "run", "--machine", "generic", "--resolver", "speculative", "--timing", "original", "--placement", "recorded",
		"--cpus", "6", "--speed", "1.5", "--clone", "2", "--seed", "7", "../traces/corpus/churn-1x1.parquet"}
	if !slices.Equal(f.Repeat, want) {
		t.Errorf("to repeat: %q\nwant       %q", f.Repeat, want)
	}
	for _, want := range []string{"speculative", "seed 7", "sim: impossible", "virtual time", "in row ", "(hit of thread ", "process ", `"churn"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if !strings.Contains(string(fault.Stack), "failing") {
		t.Errorf("stack %s", fault.Stack)
	}
	again := failing(t, 1000, func(o *Options) { o.Clone, o.CPUs, o.Seed, o.SpeedPPM = 2, 6, 7, 1_500_000 })
	if again.Error() != err.Error() {
		t.Errorf("%v\nand again\n%v", err, again)
	}
	clones := false
	for nth := 1000; nth < 1010; nth++ {
		errors.As(failing(t, nth, func(o *Options) { o.Clone, o.CPUs = 2, 6 }), &f)
		clones = clones || f.Clone == 1 && strings.Contains(f.Error(), "clone 1")
	}
	if !clones {
		t.Error("no failure is a clone's")
	}
}
