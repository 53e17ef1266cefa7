package replay

import (
	"runtime"
	"testing"
	"weak"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// TestCursors has clones go through the operations of their thread, each at a pace of its
// own: each does all of them in order, but for changes, which the thread alone makes.
func TestCursors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recordedThread
		var all []*timeline.Operation
		cursors := make([]*cursor, rapid.IntRange(1, 4).Draw(t, "clones"))
		done := make([]int, len(cursors))
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			n := rapid.IntRange(0, len(cursors)-1).Draw(t, "clone")
			if len(all) == 0 || rapid.Bool().Draw(t, "add") {
				op := &timeline.Operation{At: int64(len(all))}
				if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
					op.Kind = sim.OpApply
				}
				here := r.add(op)
				for i := range cursors {
					if cursors[i] == nil && does(i, op) {
						at := here
						cursors[i], done[i] = &at, len(all)
					}
				}
				all = append(all, op)
				continue
			}
			for done[n] < len(all) && !does(n, all[done[n]]) {
				done[n]++
			}
			if cursors[n] == nil || done[n] == len(all) {
				continue
			}
			if got := cursors[n].operation(n); got != all[done[n]] {
				t.Fatalf("clone %d: operation %d, want %d", n, got.At, done[n])
			}
			cursors[n].at++
			done[n]++
		}
	})
}

// TestPassedOperationsAreDropped holds that what all clones have behind them is garbage,
// and that what one has before it is not.
func TestPassedOperationsAreDropped(t *testing.T) {
	var r recordedThread
	first := r.add(&timeline.Operation{})
	fast, slow := first, first
	for range 10 * someSize {
		r.add(&timeline.Operation{})
	}
	begin := weak.Make(first.in)
	first = cursor{}
	for range 5 * someSize {
		fast.operation(0)
		fast.at++
	}
	runtime.GC()
	if begin.Value() == nil {
		t.Error("a clone has lost what it has not done")
	}
	for range 5 * someSize {
		slow.operation(1)
		slow.at++
	}
	runtime.GC()
	if begin.Value() != nil {
		t.Error("what all have behind them is kept")
	}
	runtime.KeepAlive(fast)
	runtime.KeepAlive(slow)
	runtime.KeepAlive(&r)
}

// A thread's next operation comes so long after the recorded end of the one before: after
// all of a section, its part for reading too.
func TestGapFromTheEnd(t *testing.T) {
	s, at := &source{}, position{}
	for i, test := range []struct {
		op    timeline.Operation
		gap   int64
		first bool
	}{
		{timeline.Operation{At: 100, Hold: 30, ReadHold: 20}, 100, true},
		{timeline.Operation{At: 200, Hold: 30}, 50, false},
		{timeline.Operation{At: 240}, 10, false},
		{timeline.Operation{At: 245}, 5, false},
	} {
		test.op.CPU = -1
		if gap, first := s.begin(&simThread{}, &at, &test.op); gap != test.gap || first != test.first {
			t.Errorf("operation %d: %d ns after the one before, the first: %v; want %d, %v", i, gap, first, test.gap, test.first)
		}
	}
}
