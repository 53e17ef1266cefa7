package replay

import (
	"context"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// What a recording with an optimised probe shows: each hit but the first by system call,
// and what the kernel did with each of its two lookups.
func TestOptimisedRecording(t *testing.T) {
	trace := corpus(t, "nop5")
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
	want := validateLocks(t, trace)
	if want.Observed != 2984 || want.Lookups != 41_801 || want.Hits != 20_901 {
		t.Errorf("%d fallbacks of %d lookups of %d hits observed", want.Observed, want.Lookups, want.Hits)
	}
	trace.change = func(ev *traces.Event) bool { // as traces were stored before the check was known
		if ev.Lookup() == traces.TrampolineLookup {
			ev.InUprobe = false
		}
		return true
	}
	if got := validateLocks(t, trace); got.TP != want.TP || got.FP != want.FP || got.FN != want.FN {
		t.Errorf("in_uprobe=false for the check: %d/%d/%d, want %d/%d/%d", got.TP, got.FP, got.FN, want.TP, want.FP, want.FN)
	}
}

func validateLocks(t *testing.T, trace Trace) *Validation {
	t.Helper()
	v, err := Validate(context.Background(), trace, profile(), Locks, 0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// From which hit on a probe is optimised, by each kind of evidence.
func TestSites(t *testing.T) {
	const pid, addr, other = 10, 0x401000, 0x402000
	hit := func(tid int32, addr uint64) traces.Event {
		return traces.Event{Kind: traces.Hit, Has: traces.ColPID | traces.ColTID | traces.ColAddr, PID: pid, TID: tid, Addr: addr}
	}
	lock := func(write bool, stack ...string) traces.Event {
		return traces.Event{Kind: traces.LockStart, Has: traces.ColPID | traces.ColTID | traces.ColWrite | traces.ColStack, PID: pid, TID: pid, Write: write, Stack: stack}
	}
	optimise := lock(true, "arch_uprobe_optimize+0x1 ([kernel.kallsyms])")
	check := lock(false, "__do_sys_uprobe+0x254 ([kernel.kallsyms])")
	trampoline := traces.Event{Kind: traces.Map, Has: traces.ColPID | traces.ColTID | traces.ColPath, PID: pid, TID: pid, Path: "[uprobes-trampo"}
	row := func(kind traces.Kind) traces.Event {
		return traces.Event{Kind: kind, Has: traces.ColPID | traces.ColTID, PID: pid, TID: pid}
	}
	fork := row(traces.Fork)
	fork.Has, fork.Ret = fork.Has|traces.ColRet, 20
	child := hit(20, addr)
	child.PID = 20
	tests := []struct {
		name        string
		rows        []traces.Event
		locks, maps string // of each hit: T by trap, S by system call
		untold      int    // hits of which that is not known for sure, with lock events
	}{
		{"no sign", []traces.Event{hit(pid, addr), hit(pid, addr)}, "TT", "TT", 0},
		{"optimised after the first hit", []traces.Event{hit(pid, addr), optimise, trampoline, hit(pid, addr), hit(pid, addr)}, "TSS", "TSS", 0},
		{"a second probe needs no other trampoline", []traces.Event{hit(pid, addr), trampoline, hit(pid, other), optimise, hit(pid, other), hit(pid, addr)}, "TTSS", "TTTS", 0},
		{"another probe is not meant", []traces.Event{hit(pid, addr), optimise, trampoline, hit(pid, other), hit(pid, other)}, "TTT", "TTT", 0},
		{"before the recording", []traces.Event{trampoline, hit(pid, addr), check, hit(pid, addr), hit(pid, addr)}, "SSS", "TTT", 0},
		{"before the recording, and no check fell back", []traces.Event{trampoline, hit(pid, addr), hit(pid, other), optimise, hit(pid, other)}, "TTS", "TTT", 1},
		{"mapped for something else", []traces.Event{hit(pid, addr), row(traces.Munmap), trampoline, hit(pid, addr)}, "TT", "TT", 1},
		{"another program", []traces.Event{hit(pid, addr), optimise, trampoline, hit(pid, addr), row(traces.Exec), hit(pid, addr)}, "TST", "TST", 0},
		{"a child has it", []traces.Event{hit(pid, addr), optimise, trampoline, fork, child}, "TS", "TS", 0},
	}
	for _, test := range tests {
		s := newSites()
		for i := range test.rows {
			test.rows[i].Seq = int64(i)
			s.take(&test.rows[i])
		}
		ran := programs{}
		var locks, maps strings.Builder
		untold := 0
		for i := range test.rows {
			ev := &test.rows[i]
			ran.follow(ev)
			if ev.Kind != traces.Hit {
				continue
			}
			if s.untold(ran.of(ev), ev, true) {
				untold++
			}
			for b, using := range map[*strings.Builder]bool{&locks: true, &maps: false} {
				way := byte('T')
				if s.optimised(ran.of(ev), ev, using) {
					way = 'S'
				}
				b.WriteByte(way)
			}
		}
		if untold != test.untold {
			t.Errorf("%s: of %d hits it is not known, want %d", test.name, untold, test.untold)
		}
		if locks.String() != test.locks || maps.String() != test.maps {
			t.Errorf("%s: %s by lock events, %s by mappings; want %s and %s", test.name, &locks, &maps, test.locks, test.maps)
		}
	}
}

// Without callchains nothing says whether a probe is optimised whose process has a
// trampoline for another.
func TestUntoldIsSaid(t *testing.T) {
	trace := corpus(t, "nop5")
	second := false
	trace.change = func(ev *traces.Event) bool {
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
	trace.change = nil
	for _, w := range play(t, trace, nil).Warnings {
		if strings.Contains(w, "optimised probes") {
			t.Errorf("with callchains all is told, and it says %q", w)
		}
	}
}

// An optimised probe saves the trap and pays a second lookup.
func TestBenchNop5(t *testing.T) {
	m := profile().Machine
	rate := func(resolver string, kind ProbeKind, cpus int) float64 {
		row, err := Bench(context.Background(), &m, resolver, kind, cpus, 1)
		if err != nil {
			t.Fatal(err)
		}
		return float64(row.PerSecond())
	}
	if got := rate("speculative", Nop5, 1) / rate("speculative", Nop, 1); got < 2.2 || got > 2.4 {
		t.Errorf("one thread makes %.2f times the hits, want 316/137", got)
	}
	if a, b := rate("locked", Nop5, 20), rate("locked", Nop, 20); a > 1.1*b {
		t.Errorf("20 threads make %.0f hits/s, and %.0f by int3: both wait for the one lock", a, b)
	}
}
