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

// Where outcomes are what stamps make likely, a lookup that probably fell back waited for as
// long as its stamp is late, besides what recording its lock_start took; of a hit with two
// lookups it is the one that the model has falling back.
func TestInferredOutcomesByHand(t *testing.T) {
	for _, c := range []struct {
		likely               int64
		checked, checkFailed bool
		predicted            int64
	}{
		{timeline.Decided, false, false, 1}, {timeline.Decided - 1, false, false, 0},
		{timeline.Decided, true, false, 1}, {timeline.Decided, true, true, 1}, {timeline.Decided - 1, true, true, 0},
	} {
		v := &validator{inferred: true, lockDelay: 700 * sim.Nanosecond, keep: 10, predicted: dist.NewSketch()}
		o := &timeline.Origin{Class: &timeline.Class{TID: 7}, Likely: c.likely, Delay: 5000}
		h := &sim.HitRecord{Op: &sim.Op{Tag: o}}
		if c.checked {
			h.Op.Trampoline = 0x600000
		}
		h.Lookup.Outcome, h.Check.Outcome = sim.Lockless, sim.Lockless
		if c.checkFailed {
			h.Check.Outcome = sim.SeqChanged
		}
		v.hit(h)
		if v.v.Predicted != c.predicted || v.v.FP != c.predicted || v.v.FN != 0 {
			t.Errorf("%+v: %d predicted", c, v.v.Predicted)
		}
		if got := v.predicted.Dist().Total; got != sim.Time(c.predicted)*5700*sim.Nanosecond {
			t.Errorf("%+v: waits of %v", c, got)
		}
	}
}

// Transfers are looked for within a fifth of what is measured between cores: those that share
// the L3, where all of a socket do, or else those of a socket.
func TestRangesOfTransfers(t *testing.T) {
	for shared, near := range map[int]sim.Distance{4: sim.Cluster, 2: sim.Socket} {
		m := &sim.Machine{CoresPerSocket: 4, CoresPerL3: shared}
		for d := range m.Line.Transfer {
			m.Line.Transfer[d] = sim.Time(d+1) * 100 * sim.Nanosecond
		}
		found := 0
		for _, k := range benchKnobs(m) {
			var d sim.Distance
			switch k.name {
			case "transfer_near_ps":
				d = near
			case "transfer_remote_ps":
				d = sim.Remote
			default:
				continue
			}
			found++
			if is := int64(m.Line.Transfer[d]); k.lo != is*8/10 || k.hi != is*12/10 || k.field(m) != timeField(&m.Line.Transfer[d]) {
				t.Errorf("with %d cores to an L3, %s is within %d and %d, of a transfer that takes %d", shared, k.name, k.lo, k.hi, is)
			}
		}
		if found != 2 {
			t.Errorf("%d parameters are transfers", found)
		}
	}
}

// The lowest of ten, the middle and the highest of ten, of values in order.
func TestDeciles(t *testing.T) {
	var values []int64
	for n := range int64(101) {
		values = append(values, 3*n)
	}
	if got := deciles(values); got != [3]int64{30, 150, 270} {
		t.Errorf("of 0 to 300: %v", got)
	}
	if got := deciles(values[:1]); got != [3]int64{} {
		t.Errorf("of 0 alone: %v", got)
	}
}

// How late a thread was woken is told by a wait of more than twice what recording it takes,
// that ended after the writer's section of its process, and soon after.
func TestWakesByHand(t *testing.T) {
	for _, c := range []struct {
		asked, got int64
		late       int64 // 0: tells nothing
	}{
		{500, 1200, 200}, {799, 1200, 200}, {800, 1200, 0}, {500, 1000, 0}, {500, 1001, 1}, {400, 999, 0},
		{500, 1000 + wakeMax - 1, wakeMax - 1}, {500, 1000 + wakeMax, 0},
	} {
		m := &measurer{lastEven: map[int32]int64{1: 1000}, recording: 200}
		m.addWake(2, c.asked, c.got) // of a process that had no section
		m.addWake(1, c.asked, c.got)
		m.wake.Summarise()
		want := 1
		if c.late == 0 {
			want = 0
		}
		if int(m.wake.Count) != want || m.wake.Median != c.late {
			t.Errorf("asked for at %d and got at %d: %d wakes of %d, want %d", c.asked, c.got, m.wake.Count, m.wake.Median, c.late)
		}
	}
}

// A reader waits for writers that queue already, as long as somebody has the lock: from the
// instant it is granted to that of its release.
func TestBehindByHand(t *testing.T) {
	o := &occupancy{blocking: 10, sections: map[int32][]lockSection{}}
	o.addSection(1, false, 80, 100, 0, 200)
	o.addSection(1, true, 110, 210, 300, 310) // asks at 110, and is in the queue from 120 on
	o.addSection(2, true, 0, 100, 500, 600)
	for at, want := range map[int64]int64{99: 0, 100: 0, 119: 0, 120: 300, 199: 300, 200: 0, 209: 0, 210: 0, 309: 0} {
		if got := o.behind(1, at); got != want {
			t.Errorf("at %d: until %d, want %d", at, got, want)
		}
	}
	o.addSection(1, true, 80, 100, 190, 200) // beside the reader: two spans of one length
	o.addSection(1, true, 85, 205, 290, 295)
	if got := o.behind(1, 100); got != 290 {
		t.Errorf("at the instant it is granted: until %d, want 290", got)
	}
}
