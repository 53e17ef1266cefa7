package replay

import (
	"strings"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

// What a recording with an optimised probe shows: each hit but the first by system call,
// and what the kernel did with each of its two lookups.
func TestOptimisedRecording(t *testing.T) {
	trace := replaytest.Corpus(t, "nop5")
	res := play(t, trace, func(o *Options) { o.Resolvers = []string{"locked", "speculative"} })
	for i := range res.Runs {
		r := &res.Runs[i]
		checkRun(t, res, r)
		if r.Hits != 20_901 || r.Optimised != 20_900 || r.Lookups != 41_801 {
			t.Errorf("%s: %d hits, %d of them optimised, %d lookups: the first of 20901 trapped by int3", r.Resolver, r.Hits, r.Optimised, r.Lookups)
		}
		if r.LookupFallbacks < r.Fallbacks() {
			t.Errorf("%s: %d lookups of %d hits fell back", r.Resolver, r.LookupFallbacks, r.Fallbacks())
		}
	}
	if locked := &res.Runs[0]; locked.Fallbacks() != locked.Hits || locked.LookupFallbacks == locked.Lookups {
		t.Errorf("locked: %d of %d hits, %d of %d lookups took the lock: the check of the trampoline speculates whatever follows", locked.Fallbacks(), locked.Hits, locked.LookupFallbacks, locked.Lookups)
	}
}

// Without callchains nothing says whether a probe is optimised whose process has a
// trampoline for another.
func TestUntoldIsSaid(t *testing.T) {
	trace := replaytest.Corpus(t, "nop5")
	second := false
	trace.Change = func(ev *traces.Event) bool {
		if ev.Kind == traces.Hit {
			if second = !second; second {
				ev.Addr += 64
			}
		}
		return !ev.Kind.IsLock()
	}
	res := play(t, trace, nil)
	found := false
	for _, w := range res.Warnings {
		found = found || strings.Contains(w, "are of a process with optimised probes")
	}
	if !found {
		t.Errorf("warnings %q", res.Warnings)
	}
	trace.Change = nil
	for _, w := range play(t, trace, nil).Warnings {
		if strings.Contains(w, "optimised probes") {
			t.Errorf("with callchains all is told, and it says %q", w)
		}
	}
}
