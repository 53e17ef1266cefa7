package replay

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// TestStepByStep compares replays with the same ones whose lookups go step by step,
// in all that a result has: every corpus through every resolver, and what some begin with, with
// clones, closed loops and many CPUs.
func TestStepByStep(t *testing.T) {
	for _, name := range []string{"churn-1x1", "stress-malloc-z", "nop5"} {
		whole, begin := replaytest.Corpus(t, name), replaytest.Begin(t, name, 12_000)
		for what, change := range map[string]func(*Options){
			"all resolvers": func(o *Options) { o.Resolvers = sim.ResolverNames() },
			"clones":        func(o *Options) { o.Clone, o.CPUs, o.Placement = 8, 12, Spread },
			"crowd":         func(o *Options) { o.Clone, o.CPUs, o.Timing = 3, 2, Think },
			"asap":          func(o *Options) { o.Timing, o.CPUs, o.Placement = ASAP, 4, RoundRobin },
			"fast":          func(o *Options) { o.SpeedPPM, o.Placement = 8_000_000, Pack },
		} {
			if what != "all resolvers" && (testing.Short() || name == "churn-1x1") {
				continue
			}
			t.Run(name+"/"+what, func(t *testing.T) {
				var trace timeline.Trace = begin
				if what == "all resolvers" {
					trace = whole
				}
				step := play(t, trace, func(o *Options) { change(o); o.stepwise = true })
				flown := play(t, trace, change)
				step.Options.stepwise = false
				if !reflect.DeepEqual(step, flown) {
					t.Errorf("(-step by step +flown):\n%.4000s", cmp.Diff(step, flown, cmp.AllowUnexported(Options{}, Result{})))
				}
			})
		}
	}
}
