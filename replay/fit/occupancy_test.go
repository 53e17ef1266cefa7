package fit

import (
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// A woken thread gets its CPU after the thread that the trace shows there, and
// never learns anything from rows of its own.
func TestWakeOnTakenCPU(t *testing.T) {
	const woken, other, us = 7, 8, 1000
	row := func(at int64, cpu, tid int32, kind traces.Kind) traces.Event {
		return traces.Event{Time: at, CPU: cpu, TID: tid, PID: 1, Kind: kind, Write: kind == traces.LockStart, Has: traces.ColCPU | traces.ColTID | traces.ColPID}
	}
	own := row(40*us, 0, woken, traces.Hit)
	tests := []struct {
		name string
		rows []traces.Event
		want int64 // ns
	}{
		{"idle", nil, 30 * us},
		{"own rows are not looked at", []traces.Event{own}, 30 * us},
		{"another CPU", []traces.Event{row(5*us, 1, other, traces.Hit)}, 30 * us},
		{"a row too late to say that the CPU was taken", []traces.Event{row(60*us, 0, other, traces.Hit)}, 30 * us},
		{"taken until the last row", []traces.Event{row(5*us, 0, other, traces.Hit), own, row(150*us, 0, other, traces.Hit)}, 150 * us},
		{"until a gap", []traces.Event{row(5*us, 0, other, traces.Hit), row(400*us, 0, other, traces.Hit)}, 30 * us},
		{"until a third thread", []traces.Event{row(5*us, 0, other, traces.Hit), row(90*us, 0, other, traces.Hit), row(95*us, 0, 9, traces.Hit), row(99*us, 0, other, traces.Hit)}, 90 * us},
		{"until it waits for the lock", []traces.Event{row(5*us, 0, other, traces.Hit), row(90*us, 0, other, traces.LockStart), row(99*us, 0, other, traces.Hit)}, 90*us + timeline.ReaderSpin},
	}
	p := replaytest.Machine(t)
	for _, test := range tests {
		o := newOccupancy(p, &timeline.Survey{}, timeline.Locks)
		for i := range test.rows {
			o.note(&test.rows[i], false)
		}
		if got := o.wake(&timeline.Origin{Class: &timeline.Class{TID: woken, PID: 1}}, 0, 0).Nanos(); got != test.want {
			t.Errorf("%s: %d ns, want %d", test.name, got, test.want)
		}
	}

	// Once it is known to stay for long, it cannot have come and left meanwhile.
	for at, taken := range map[int64]int64{100: 100, 180: 180, 250: 30} { // µs
		o := newOccupancy(p, &timeline.Survey{}, timeline.Locks)
		for t := int64(-2000); t <= 0; t += 100 {
			stays := row(t*us, 1, woken, traces.Hit)
			o.note(&stays, false)
		}
		for _, ev := range []traces.Event{row(1*us, 1, other, traces.Hit), row(at*us, 0, other, traces.Hit)} {
			o.note(&ev, false)
		}
		if got := o.wake(&timeline.Origin{Class: &timeline.Class{TID: woken, PID: 1}}, 0, 0).Nanos(); got != taken*us {
			t.Errorf("another thread's row after %d µs: %d ns, want %d µs", at, got, taken)
		}
	}

	o := newOccupancy(p, &timeline.Survey{}, timeline.Locks)
	late := row(5*us, 0, other, traces.Hit)
	o.note(&late, true)
	if len(o.cpus) != 0 {
		t.Error("the row of another thread's hit that waited was noted")
	}
}

// However long a trace, what lies behind the simulation is dropped.
func TestOccupancyIsBounded(t *testing.T) {
	o := newOccupancy(replaytest.Machine(t), &timeline.Survey{}, timeline.Locks)
	most := 0
	for i := range int64(100_000) {
		ev := traces.Event{Time: i, TID: 1, Kind: traces.Hit, Has: traces.ColCPU | traces.ColTID}
		o.note(&ev, false)
		o.forget(i - 100)
		most = max(most, len(o.cpus[0]))
	}
	if most > 300 {
		t.Errorf("%d rows are held of the last 100", most)
	}
}

// A lookup that asks for the lock queues behind a writer that sleeps for it, but
// steals the lock when nobody holds it.
func TestBehindWaitingWriter(t *testing.T) {
	const us = 1000
	o := newOccupancy(replaytest.Machine(t), &timeline.Survey{}, timeline.Locks)
	o.addSection(1, true, 0, 1*us, 20*us, 200*us)        // holds the lock, for read from 20 µs on
	o.addSection(1, true, 30*us, 230*us, 240*us, 241*us) // waits for it, and is slow to wake up
	o.addSection(2, true, 0, 500*us, 600*us, 600*us)     // another process
	for _, c := range []struct{ at, want int64 }{
		{25 * us, 0},         // the writer has not asked
		{35 * us, 0},         // it spins
		{100 * us, 240 * us}, // it sleeps
		{210 * us, 0},        // the lock is free: stolen
		{235 * us, 0},        // the writer has it; that is the simulated lock's
	} {
		if got := o.behind(1, c.at); got != c.want {
			t.Errorf("a reader that asks at %d ns waits until %d, want %d", c.at, got, c.want)
		}
	}
}

// A thread that comes to its CPU anew keeps it for a time slice from one that is woken; one
// that was there within that time has had its share, and is preempted at once.
func TestOneThatRanIsPreempted(t *testing.T) {
	for _, c := range []struct {
		ranAt int64 // ms before, 0 for never
		want  sim.Time
	}{{0, 2 * sim.Millisecond}, {2, 0}, {40, 2 * sim.Millisecond}} {
		o := newOccupancy(replaytest.Machine(t), &timeline.Survey{}, timeline.Locks)
		o.latency = 0
		row := func(at int64, tid int32) {
			o.note(&traces.Event{Time: at, CPU: 1, TID: tid, Kind: traces.Hit, Has: traces.ColCPU | traces.ColTID}, false)
		}
		if c.ranAt > 0 {
			row(100_000_000-c.ranAt*1_000_000, 7)
		}
		row(99_900_000, 5)
		for at := int64(100_000_000); at <= 102_000_000; at += 50_000 {
			row(at, 7)
		}
		row(102_010_000, 5)
		if got := o.wake(&timeline.Origin{Class: &timeline.Class{TID: 5}}, 1, 100*sim.Millisecond); got != c.want {
			t.Errorf("ran %d ms before: the woken thread has the CPU after %v, want %v", c.ranAt, got, c.want)
		}
	}
}

// Virtual time begins with the recording: what is told of rows does not depend on when
// that was.
func TestOccupancySinceStart(t *testing.T) {
	const us = 1000
	p := replaytest.Machine(t)
	for _, start := range []int64{0, 7_000_000_000} {
		o := newOccupancy(p, &timeline.Survey{Start: start}, timeline.Locks)
		for _, at := range []int64{5 * us, 100 * us, 150 * us} {
			ev := traces.Event{Time: start + at, CPU: 0, TID: 8, PID: 1, Kind: traces.Hit, Has: traces.ColCPU | traces.ColTID | traces.ColPID}
			o.note(&ev, false)
		}
		if got := o.wake(&timeline.Origin{Class: &timeline.Class{TID: 7, PID: 1}}, 0, 2*us*sim.Nanosecond).Nanos(); got != 148*us {
			t.Errorf("in a recording from %d on the CPU is taken for %d ns, want %d", start, got, 148*us)
		}
	}
	// Its time slice ends with the first row after it, however long the other stays.
	slice := p.Lock.TimeSlice.Nanos()
	o := newOccupancy(p, &timeline.Survey{}, timeline.Locks)
	for at := int64(5 * us); at < 2*slice; at += 100 * us {
		ev := traces.Event{Time: at, CPU: 0, TID: 8, PID: 1, Kind: traces.Hit, Has: traces.ColCPU | traces.ColTID | traces.ColPID}
		o.note(&ev, false)
	}
	if got := o.wake(&timeline.Origin{Class: &timeline.Class{TID: 7, PID: 1}}, 0, 0).Nanos(); got > slice || got < slice-100*us {
		t.Errorf("the CPU is taken for %d ns, a time slice is %d", got, slice)
	}
}
