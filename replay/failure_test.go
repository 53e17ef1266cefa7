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

// playWith plays a trace through the speculative resolver, as c says, but for its Resolver and
// Options.
func playWith(t *testing.T, trace timeline.Trace, c PlayerConfig, change func(*Options)) error {
	t.Helper()
	profile, o := replaytest.Machine(t), DefaultOptions()
	if change != nil {
		change(&o)
	}
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
	c.Resolver, c.Options, c.Repeat = "speculative", &o, repeatRun(trace.Path(), profile, &o, "speculative")
	p, err := NewPlayer(rec, topo, s, c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Play(t.Context())
	return err
}

// failing plays a trace until the nth hit, at which it panics as the machine does when it
// is in a state that cannot be.
func failing(t *testing.T, nth int, change func(*Options)) error {
	t.Helper()
	return playWith(t, replaytest.Corpus(t, "churn-1x1"), PlayerConfig{Each: func(*sim.HitRecord) {
		if nth--; nth == 0 {
			panic("sim: impossible")
		}
	}}, change)
}

// What a replay is like is said in the options of the command that does it again, those that are
// as usual too where they may change.
func TestRepeat(t *testing.T) {
	o := DefaultOptions()
	o.Resolvers, o.Timing, o.Placement, o.CPUs, o.SpeedPPM, o.Clone, o.Seed, o.Layout = []string{"pervma", "locked"}, ASAP, Spread, 3, 250_000, 4, 9, "split"
	o.WhatIf, o.Fault = parsed(t, "hit: sample 2", "munmap: drop"), []string{"compare", "recheck"}
	const all = "replay run --machine generic --resolver pervma --timing asap --placement spread --cpus 3 --layout split --what-if hit: sample 2 --what-if munmap: drop " +
		"--fault compare+recheck --speed 0.25 --clone 4 --seed 9 t.parquet"
	if got := strings.Join(RepeatRun("t.parquet", replaytest.Machine(t), &o), " "); got != all {
		t.Errorf("%s\nwant\n%s", got, all)
	}
	o = DefaultOptions()
	o.Clone = 0
	const usual = "replay run --machine generic --resolver locked --timing original --placement recorded --speed 1 --clone 1 --seed 1 t.parquet"
	if got := strings.Join(RepeatRun("t.parquet", replaytest.Machine(t), &o), " "); got != usual {
		t.Errorf("%s\nwant\n%s", got, usual)
	}
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

// A failure says what the machine was at, as far as there is such a thing.
func TestFailureByHand(t *testing.T) {
	f := Failure{Resolver: "locked", Seed: 7, At: 5 * sim.Microsecond, Err: errors.New("no way")}
	want := "replay through locked with seed 7: no way\n  at 5µs of virtual time"
	op := &timeline.Operation{Origin: &timeline.Origin{Class: &timeline.Class{Kind: "mmap", TID: 12, PID: 11, Comm: "a"}, Seq: 9}}
	for _, step := range []struct {
		change func()
		more   string
	}{
		{func() {}, ""},
		{func() { f.Operation = op }, `, in row 9 of the trace (mmap of thread 12, process 11, "a")`},
		{func() { f.Clone = 2 }, `, in row 9 of the trace (mmap of thread 12, process 11, "a"), clone 2`},
		{func() { op.Origin.Time = 44 }, `, in row 9 of the trace (mmap of thread 12, process 11, "a", at 44 ns), clone 2`},
	} {
		if step.change(); f.Error() != want+step.more {
			t.Errorf("%s\nwant\n%s", f.Error(), want+step.more)
		}
	}
}
