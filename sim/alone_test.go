package sim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
)

// TestAlone runs random programs in which most hits have the machine to themselves, and
// holds that all that can be seen is as event by event: also which lines moved, and why.
func TestAlone(t *testing.T) {
	seen := map[string]loneHits{}
	rapid.Check(t, func(rt *rapid.T) {
		m := oddMachine()
		m.SMT = rapid.IntRange(1, 2).Draw(rt, "SMT")
		if m.SMT == 1 {
			m.CoresPerSocket = 8
		}
		c := anySchedule(rt, m)
		c.resolver = rapid.SampledFrom([]string{"locked", "locked", "speculative", "speculative-merged", "ideal"}).Draw(rt, "alone")
		for i := range c.ops { // apart, so that few meet
			c.ops[i].at = c.ops[i].at*5 + Time(i)*2*Microsecond
			c.ops[i].hold *= 10
		}
		if c.resolver == "speculative" {
			c.off = rapid.SampledFrom([]string{"", "", "compare", "mm-sequence"}).Draw(rt, "without")
		}
		c.delay = rapid.SampledFrom([]Time{0, 0, 0, 0, 0, 300 * Nanosecond}).Draw(rt, "delay")
		if rapid.Bool().Draw(rt, "short") { // so that the store of mmap_lock.owner takes longer
			m.Hit.LookupCycles = 20
			m.Line.Transfer = [NumDistances]Time{0, 200 * Nanosecond, 300 * Nanosecond, 400 * Nanosecond}
		}
		m.Layout = Layout(rapid.IntRange(0, 1).Draw(rt, "layout"))
		want, step := c.run(rt, m, true)
		got, all := c.run(rt, m, false)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(recorder{}), byWhatTheyTell); d != "" {
			rt.Fatalf("%+v (-step by step +alone):\n%.3000s", c, d)
		}
		holdAlike(rt, step, all)
		lone := all.lone
		sum := seen[c.resolver]
		seen[c.resolver] = loneHits{sum.n + lone.n, sum.moved + lone.moved, sum.drained + lone.drained}
	})
	moved := 0
	for _, n := range seen {
		moved += n.moved
	}
	if (seen["locked"].n == 0 || seen["speculative"].n == 0 || moved == 0) && !testing.Short() { // which runs a fifth of them
		t.Errorf("hits that were alone: %+v: too few to tell", seen)
	}
}

// A store of mmap_lock.owner that takes longer than the walk holds up the atomic that lets
// the lock go: hits of two CPUs in turn, each of which takes the lines from the other.
func TestAloneWaitsForItsStore(t *testing.T) {
	run := func(stepwise bool) *rig {
		m := testMachine()
		m.Hit.LookupCycles = 20
		m.Line.Transfer = [NumDistances]Time{0, 200 * Nanosecond, 300 * Nanosecond, 400 * Nanosecond}
		r := rigOf(newSystem(t, m, 0, "locked", Config{Seed: 1, Observer: &recorder{}, Stepwise: stepwise}))
		tasks := []*Task{r.NewTask(1, 0), r.NewTask(2, 2)}
		for i := range 10 {
			r.add(tasks[i%2], OpHit, Time(10*i+1)*Microsecond, 0, 0)
		}
		r.run(t)
		return r
	}
	step, all := run(true), run(false)
	if all.lone.drained < 5 {
		t.Fatalf("%+v: no store was waited for", all.lone)
	}
	if d := cmp.Diff(step.rec.hits, all.rec.hits, byWhatTheyTell); d != "" || step.Lines() != all.Lines() || step.Digest() != all.Digest() {
		t.Errorf("(-event by event +alone):\n%s", d)
	}
}

// A locked lookup that found nothing, since the mapping went while it waited, is no way to
// the next hit: that is the proof that there is a mapping again.
func TestNothingFoundIsNoWay(t *testing.T) {
	run := func(stepwise bool) *rig {
		r := rigOf(newSystem(t, testMachine(), 0, "locked", Config{Seed: 1, Observer: &recorder{}, Stepwise: stepwise}))
		hitter := r.NewTask(1, 0)
		r.add(hitter, OpHit, Microsecond, 0, 0)
		r.add(r.NewTask(2, 2), OpWrite, 9*Microsecond, 20*Microsecond, 0)
		r.last().Change = func(s *mm.AddressSpace) mm.Effect { e, _ := s.Unmap(probeAddr, 1); return e }
		r.add(hitter, OpHit, 10*Microsecond, 0, 0)
		for i := range Time(3) {
			r.add(hitter, OpHit, (100+10*i)*Microsecond, 0, 0)
		}
		r.run(t)
		return r
	}
	step, all := run(true), run(false)
	if h := all.rec.hits; h[1].Found || !h[2].Inferred || !h[2].Found {
		t.Fatalf("found by the hit whose mapping goes: %v; by the next: %v, inferred %v", h[1].Found, h[2].Found, h[2].Inferred)
	}
	if d := cmp.Diff(step.rec.hits, all.rec.hits, byWhatTheyTell); d != "" {
		t.Errorf("(-event by event +alone):\n%s", d)
	}
}
