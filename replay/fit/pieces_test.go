package fit

import (
	"testing"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// How far a lookup was placed from where its lock_start shows it, either way, by the lags
// of its own kind.
func TestArrivalErrorByHand(t *testing.T) {
	for _, test := range []struct {
		trampoline             uint64
		at, lockStart, farAway int64 // ns
	}{{0, 5000, 5110, 0}, {0, 5000, 5130, 20}, {0, 5000, 5090, 20}, {1, 5000, 5040, 0}, {1, 5000, 5047, 7}} {
		v := &validator{start: 1000, recorder: &machines.Recorder{FailLag: 100, Window: 10, SyscallFailLag: 30}, arrival: dist.NewSketch()}
		h := &sim.HitRecord{Op: &sim.Op{At: sim.Time(test.at-1000) * sim.Nanosecond, Trampoline: test.trampoline}}
		v.addArrival(h, &h.Check, &timeline.Truth{LockStart: test.lockStart})
		if got := v.arrival.Dist().Total.Nanos(); got != test.farAway {
			t.Errorf("%+v: %d ns off", test, got)
		}
	}
}

// Nothing is stolen from a thread whose pace nobody knows.
func TestStolenByHand(t *testing.T) {
	v := &validator{lockDelay: 700, survey: &timeline.Survey{Threads: map[int32]*timeline.ThreadSurvey{1: {}}}}
	v.v.Using = timeline.Locks
	if v.stolen(1) != 0 || v.stolen(2) != 0 {
		t.Errorf("%v and %v", v.stolen(1), v.stolen(2))
	}
}

func TestMedianRatioByHand(t *testing.T) {
	rows := func(ratios ...float64) (list []Residual) {
		for _, r := range ratios {
			list = append(list, Residual{BenchPoint{MHits: 2}, 2 * r})
		}
		return list
	}
	if m := medianRatio(rows(9, 1, 3)); m != 3 {
		t.Errorf("median of 9, 1 and 3: %v", m)
	}
}

// A section for read says nothing of where writers' sections lie, or when they end.
func TestMeasuredSectionsByHand(t *testing.T) {
	m := &measurer{by: map[string]*measured{}, lastEven: map[int32]int64{}}
	s := timeline.Section{PID: 1, Call: "munmap", CallFrom: 100, CallTo: 900, Odd: 200, Even: 300}
	if m.Section(&s); len(m.lastEven)+len(m.by) != 0 {
		t.Errorf("%v, %v", m.lastEven, m.by)
	}
	s.Write = true
	if m.Section(&s); m.lastEven[1] != 300 || len(m.by["munmap"].start) != 1 || m.by["munmap"].start[0] != 100 || m.by["munmap"].hold[0] != 100 {
		t.Errorf("%v, %v", m.lastEven, m.by)
	}
}

// Which rows show that a thread is on a CPU: where outcomes are to be found without lock
// events, none of those, and never what comes after a wait.
func TestShownByHand(t *testing.T) {
	for _, test := range []struct {
		kind          traces.Kind
		locks, waited bool
		shown         bool
	}{
		{traces.Hit, false, false, true}, {traces.Hit, true, true, false}, {traces.LockStart, true, false, true}, {traces.LockStart, false, false, false},
		{traces.LockAcquired, true, false, false}, {traces.Munmap, false, false, true}, {traces.Map, true, false, false},
	} {
		o := &occupancy{locks: test.locks, cpus: map[int32][]shown{}, runs: map[int32]*run{}, stays: map[int32]*stay{}}
		o.note(&traces.Event{Kind: test.kind, Time: 5, CPU: 1, TID: 7, Has: traces.ColCPU | traces.ColTID}, test.waited)
		if got := len(o.cpus[1]) == 1; got != test.shown {
			t.Errorf("%+v: shown %v", test, got)
		}
	}
}
