package fit

import (
	"context"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
)

// The simulated benchmark has the shape of the published one: where locked lookups peak
// and fall, and how the others compare.
func TestBenchShape(t *testing.T) {
	m := replaytest.Machine(t).Machine
	m.Sockets, m.CoresPerSocket, m.CoresPerL3 = 2, 20, 20
	m.Turbo = []sim.TurboStep{{ActiveCores: 20, KHz: 2_700_000}}
	m.Hit.JitterPermille = 400
	rate := map[string]map[int]int64{}
	for _, resolver := range []string{"locked", "speculative", "refcount", "srcu"} {
		rate[resolver] = map[int]int64{}
		for _, n := range []int{1, 5, 24, 48, 80} {
			row, err := Bench(context.Background(), &m, resolver, Nop, n, 1)
			if err != nil {
				t.Fatal(err)
			}
			rate[resolver][n] = row.PerSecond()
		}
	}
	locked, spec := rate["locked"], rate["speculative"]
	if !(locked[5] > locked[1] && locked[24] < locked[5]*7/10 && locked[80] > locked[48]) {
		t.Errorf("locked: %v; it should peak near 5 CPUs, fall by 24, and rise from 48 to 80", locked)
	}
	if spec[80] < 30*spec[1] {
		t.Errorf("speculative: %v; it should scale", spec)
	}
	for n, hits := range rate["refcount"] { // any order
		if n >= 5 && hits*2 > locked[n] {
			t.Errorf("refcount makes %d hits on %d CPUs, locked %d; it should be less than half", hits, n, locked[n])
		}
	}
}

// An optimised probe saves the trap and pays a second lookup.
func TestBenchNop5(t *testing.T) {
	m := replaytest.Machine(t).Machine
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
