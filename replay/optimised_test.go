package replay

import (
	"strings"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
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

// A hit where nothing is known to be mapped is in a mapping of its probe's file, which begins with
// the page that was hit.
func TestInferredMapping(t *testing.T) {
	const all = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColPath
	trace := replaytest.Made([]traces.Event{{Time: 1_000_000, Kind: traces.Hit, PID: 10, TID: 11, Addr: 0x403048, Path: "/bin/a", Has: all}})
	hits := 0
	err := playWith(t, trace, PlayerConfig{Each: func(h *sim.HitRecord) {
		hits++
		if v := h.Op.MM.Space.VMAs(); len(v) != 1 || v[0].Start != 0x403000 || v[0].Offset(0x403048) != 0x48 || v[0].File != h.Op.File || !h.Inferred {
			t.Errorf("mapped is %+v", v)
		}
	}}, nil)
	if err != nil || hits != 1 {
		t.Fatalf("%d hits, %v", hits, err)
	}
}

// Where the stamps of an optimised hit say when its second lookup began, and what both take,
// that is so of such hits alone.
func TestStampedLookups(t *testing.T) {
	trace := replaytest.Begin(t, "nop5", 400)
	s, err := timeline.TakeSurvey(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	hits := map[bool]int{} // by whether they are optimised
	err = playWith(t, trace, PlayerConfig{Stamped: &Stamped{Check: 7, Lookup: 9}, Each: func(h *sim.HitRecord) {
		hits[h.Optimised()]++
		if op := h.Op; op.CheckCycles == 7 != h.Optimised() || op.LookupCycles == 9 != h.Optimised() || op.LookupAt != 0 != h.Optimised() {
			t.Errorf("optimised: %v, and %+v", h.Optimised(), op)
		}
		if o := h.Op.Tag.(*timeline.Origin); h.Optimised() && (h.Op.LookupAt < h.Trap || h.Op.LookupAt > sim.Time(o.Time-s.Start)*sim.Nanosecond) {
			t.Errorf("a hit traps at %v, is stamped at %d ns, and its second lookup begins at %v", h.Trap, o.Time-s.Start, h.Op.LookupAt)
		}
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if hits[true] == 0 || hits[false] == 0 {
		t.Errorf("vacuous: %v", hits)
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
