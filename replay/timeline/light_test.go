package timeline

import (
	"slices"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
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
		{"at the end of one", []traces.Event{start, hit}, 1, 1, [2]int64{}},
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

// Of a hit the truth is the lock_start right before it, if it does not say what it is of and
// its thread was in no syscall then.
func TestLightTruthByHand(t *testing.T) {
	const columns = traces.ColTID | traces.ColPID | traces.ColCPU
	row := func(at int64, kind traces.Kind) traces.Event {
		return traces.Event{Time: at, Kind: kind, TID: 11, PID: 10, Has: columns}
	}
	start := func(at int64) traces.Event { return row(at, traces.LockStart) }
	write, told := start(5000), start(5000)
	write.Write, write.Has = true, columns|traces.ColWrite
	told.Has |= traces.ColInUprobe
	call := row(3000, traces.Munmap)
	call.Dur, call.Has = 2000, columns|traces.ColDur|traces.ColRet
	other := start(5000)
	other.TID = 12
	for _, c := range []struct {
		name string
		rows []traces.Event // between two hits, at 1000 and 9000
		want int64          // the lock_start, or 0
	}{
		{"none", nil, 0},
		{"one", []traces.Event{start(5000)}, 5000},
		{"and what comes of it", []traces.Event{start(5000), row(5100, traces.LockAcquired), row(5200, traces.LockReleased), row(5300, traces.Arrive)}, 5000},
		{"a fault before it", []traces.Event{start(4000), start(5000)}, 5000},
		{"a return after it", []traces.Event{start(5000), row(5100, traces.Ret)}, 0},
		{"in a syscall", []traces.Event{call, start(4000)}, 0},
		{"at its end", []traces.Event{call, start(5000)}, 0},
		{"after it", []traces.Event{call, start(5001)}, 5001},
		{"a writer's", []traces.Event{write}, 0},
		{"a writer's after it", []traces.Event{start(4000), write}, 0},
		{"one that says that it is none", []traces.Event{told}, 0},
		{"another thread's", []traces.Event{other}, 0},
	} {
		rows := append(append([]traces.Event{start(500), row(1000, traces.Hit)}, c.rows...), row(9000, traces.Hit))
		for i := range rows {
			rows[i].Seq = int64(i)
		}
		trace := replaytest.Made(rows)
		s, err := TakeSurvey(t.Context(), trace)
		if err != nil {
			t.Fatal(err)
		}
		s.TakeLight()
		r, err := Reconstruct(t.Context(), trace, s, Config{Using: Syscalls, Profile: replaytest.Machine(t)})
		if err != nil {
			t.Fatal(err)
		}
		got := map[int64]int64{} // by hit
		for op, ok := r.Next(); ok; op, ok = r.Next() {
			if op.Kind != sim.OpHit {
				continue
			}
			if truth := op.Origin.Truth; truth != nil {
				got[op.Origin.Time] = truth.LockStart
			}
		}
		if got[1000] != 0 || got[9000] != c.want { // whether a thread's first hit had one is not asked
			t.Errorf("%s: %v, want %d", c.name, got, c.want)
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
