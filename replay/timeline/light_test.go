package timeline

import (
	"slices"
	"testing"

	"github.com/replay/replay/traces"
)

// A thread faults of whose lock_starts more than two in a hundred are followed by
// something other than a hit; of one that never had a lookup's there is nothing to tell.
func TestFaultingThreadsByHand(t *testing.T) {
	for _, test := range []struct {
		direct, other int64
		faults        bool
	}{{98, 2, false}, {97, 3, true}, {980, 20, false}, {979, 21, true}, {1, 0, false}, {1, 1, true}, {0, 10, false}} {
		l := lightTruth{direct: test.direct, other: test.other}
		if l.faults() != test.faults {
			t.Errorf("%d before hits, %d before something else: it faults %v", test.direct, test.other, !test.faults)
		}
	}
}

// Which lock_starts between a thread's hits are its lookups', by hand: each of some rows, what
// is counted after it.
func TestLockStartsBeforeHits(t *testing.T) {
	start := traces.Event{Kind: traces.LockStart}
	of := func(kind traces.Kind) traces.Event { return traces.Event{Kind: kind} }
	write, told, hit := start, start, of(traces.Hit)
	write.Write = true
	told.Has |= traces.ColInUprobe
	const direct, other = 0, 1
	for _, c := range []struct {
		name       string
		rows       []traces.Event
		syscallEnd int64
		before     int64 // hits
		want       [2]int64
	}{
		{"its lookup's", []traces.Event{start, of(traces.LockAcquired), of(traces.LockReleased), of(traces.Arrive), hit}, 0, 1, [2]int64{direct: 1}},
		{"of a thread that had no hit", []traces.Event{start, hit}, 0, 0, [2]int64{}},
		{"in a syscall", []traces.Event{start, hit}, 99, 1, [2]int64{}},
		{"a fault's", []traces.Event{start, of(traces.LockAcquired), of(traces.LockReleased), of(traces.Munmap), hit}, 0, 1, [2]int64{other: 1}},
		{"of a return", []traces.Event{start, of(traces.Ret), hit}, 0, 1, [2]int64{other: 1}},
		{"a fault's, then its lookup's", []traces.Event{start, start, hit}, 0, 1, [2]int64{direct: 1, other: 1}},
		{"one that says that it is none", []traces.Event{told, hit}, 0, 1, [2]int64{other: 1}},
		{"a writer's", []traces.Event{write, hit}, 0, 1, [2]int64{}},
		{"then a writer's", []traces.Event{start, write, hit}, 0, 1, [2]int64{other: 1}},
		{"at its end", []traces.Event{start, of(traces.Exit), hit}, 0, 1, [2]int64{}},
	} {
		var l lightTruth
		thread := &ThreadSurvey{Hits: c.before, syscallEnd: c.syscallEnd}
		for i := range c.rows {
			c.rows[i].Time = int64(i) + 1
			l.add(&c.rows[i], thread, false)
		}
		if got := [2]int64{direct: l.direct, other: l.other}; got != c.want {
			t.Errorf("%s: %d before hits and %d before something else, want %v", c.name, l.direct, l.other, c.want)
		}
	}
}

// What is taken for known is not unknown any more, for whoever takes it so.
func TestTakeLight(t *testing.T) {
	unknown := []traces.Unknown{{What: traces.UnknownProcesses}, {What: traces.UnknownOutcomes}}
	s := Survey{Unknown: slices.Clone(unknown)}
	kept := s.Unknown
	s.TakeLight()
	if len(s.Unknown) != 1 || s.Unknown[0].What != traces.UnknownProcesses || !slices.EqualFunc(kept, unknown, func(a, b traces.Unknown) bool { return a.What == b.What }) {
		t.Errorf("unknown is %v; of the trace itself %v", s.Unknown, kept)
	}
}
