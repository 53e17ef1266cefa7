package replay

import (
	"slices"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

// A kernel that takes the lock for each lookup has no fallbacks to infer from how late hits are.
func TestOlderKernel(t *testing.T) {
	for release, older := range map[string]bool{"6.8.0": true, "6.18.44": false, "": false} {
		rows, _ := replaytest.Loop(t, 0, 3000)
		rows = slices.DeleteFunc(rows, func(ev traces.Event) bool { return ev.Kind.IsLock() })
		trace := replaytest.Made(rows)
		trace.Of.Kernel = release
		res := speculative(t, trace)
		if res.Trace.TakesLock != older || res.Trace.Kernel != release || (res.Trace.Guess == nil) != older {
			t.Errorf("kernel %q: takes the lock: %v, of kernel %q, guess %v", release, res.Trace.TakesLock, res.Trace.Kernel, res.Trace.Guess)
		}
	}
}
