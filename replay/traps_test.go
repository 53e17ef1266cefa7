package replay

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

// Two probes on one function make the lookups of one: the same fallbacks, the same
// waits, to the last decision.
func TestAliasChangesNothing(t *testing.T) {
	for _, name := range []string{"churn-1x1", "stress-malloc-z"} {
		if testing.Short() && name != "churn-1x1" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			one := replaytest.Corpus(t, name)
			two := replaytest.WithAlias(t, one)
			a, b := play(t, one, nil), play(t, two, nil)
			if a.Trace.Hits != b.Trace.Hits || b.Trace.HitEvents != 2*a.Trace.Hits || b.Trace.Events != a.Trace.Events+a.Trace.Hits {
				t.Errorf("%+v\nand with an alias\n%+v", a.Trace, b.Trace)
			}
			for i := range a.Runs {
				x, y := a.Runs[i], b.Runs[i]
				alias := slices.IndexFunc(y.Probes, func(p ProbeRow) bool { return p.Probe == "test:alias" })
				if alias < 0 || !reflect.DeepEqual(y.Probes[alias], ProbeRow{Probe: "test:alias", Events: x.Hits}) {
					t.Fatalf("%s: probes %+v", x.Resolver, y.Probes)
				}
				y.Probes = slices.Delete(slices.Clone(y.Probes), alias, alias+1)
				if d := cmp.Diff(x, y); d != "" {
					t.Errorf("%s (-one +two):\n%.2000s", x.Resolver, d)
				}
			}
		})
	}
}

// A recording of returns alone has lookups, at unknown times: no run, and no error.
func TestReturnsAlone(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	trace.Change = func(ev *traces.Event) bool {
		if ev.Kind == traces.Hit {
			ev.Kind = traces.Ret
		}
		return true
	}
	res := play(t, trace, nil)
	if len(res.Runs) != 0 || res.Trace.Hits != 0 || res.Knows(traces.UnknownHits) {
		t.Errorf("%d runs of %d hits, unknown: %v", len(res.Runs), res.Trace.Hits, res.Unknown)
	}
}

// Of locks whose beginning alone was recorded nobody knows who had them: syscalls tell
// of the write sections then.
func TestLockStartAlone(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	whole := play(t, trace, nil).Trace.Writers
	trace.Change = func(ev *traces.Event) bool { return ev.Kind != traces.LockAcquired && ev.Kind != traces.LockReleased }
	if starts := play(t, trace, nil).Trace.Writers; whole == 0 || starts < whole/2 {
		t.Errorf("%d write sections of lock_start alone, %d of all lock events", starts, whole)
	}
}
