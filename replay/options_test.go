package replay

import (
	"errors"
	"slices"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Each timing and placement is what its name says, and no other word is one.
func TestNamesOfOptions(t *testing.T) {
	for i, name := range timingNames {
		if got, err := ParseTiming(name); err != nil || got != Timing(i) || got.String() != name {
			t.Errorf("%q is %v, %v", name, got, err)
		}
	}
	for i, name := range placementNames {
		if got, err := ParsePlacement(name); err != nil || got != Placement(i) || got.String() != name {
			t.Errorf("%q is %v, %v", name, got, err)
		}
	}
	if _, err := ParseTiming("spread"); err == nil {
		t.Error("spread is a timing")
	}
	if _, err := ParsePlacement("asap"); err == nil {
		t.Error("asap is a placement")
	}
}

// A run without rules says which, and judges what it answers; one with all of them does not.
func TestRunWithoutRules(t *testing.T) {
	trace := replaytest.Begin(t, "churn-1x1", 2000)
	rules := []string{"compare"}
	res := play(t, trace, func(o *Options) { o.Fault = rules })
	for i := range res.Runs {
		r := &res.Runs[i]
		if timed := r.Resolver == "speculative"; timed != (r.Fault != nil) || timed && (!slices.Equal(r.Fault.Rules, rules) || r.Fault.Judged == 0) {
			t.Errorf("%s: %+v", r.Resolver, r.Fault)
		}
	}
	for _, r := range play(t, trace, nil).Runs {
		if r.Fault != nil {
			t.Errorf("%s: %+v", r.Resolver, r.Fault)
		}
	}
	o := DefaultOptions()
	o.Resolvers, o.Fault = []string{"speculative"}, []string{"nosuch"}
	if _, err := Play(t.Context(), trace, replaytest.Machine(t), o, nil); err == nil || errors.Is(err, sim.ErrUntimed) {
		t.Errorf("without a rule that is none: %v", err)
	}
}

// A machine has as many CPUs as were asked for, or as the recording had, if it has so many; and the
// layout that was asked for, where the profile stays as it is.
func TestTopologies(t *testing.T) {
	p := replaytest.Machine(t)
	for _, c := range []struct {
		recorded, cpus int
		layout         string
		want           int // CPUs, 0 for an error
	}{
		{2, 0, "", 2}, {2, 5, "", 5}, {p.CPUs(), 0, "", p.CPUs()}, {p.CPUs() + 1, 0, "", 0}, {p.CPUs() + 1, 3, "", 3},
		{2, 0, "seq-apart", 2}, {2, 0, "count-apart", 2}, {2, 0, "nosuch", 0},
	} {
		before := p.Machine.Layout
		topo, err := Topology(p, &Options{CPUs: c.cpus, Layout: c.layout}, &timeline.Survey{CPUs: c.recorded})
		if (err == nil) != (c.want > 0) || p.Machine.Layout != before {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			continue
		}
		layout, err := sim.ParseLayout(c.layout)
		if err != nil {
			layout = before
		}
		if topo.CPUs() != c.want || topo.Machine.Layout != layout {
			t.Errorf("%+v: %d CPUs, %v", c, topo.CPUs(), topo.Machine.Layout)
		}
	}
}
