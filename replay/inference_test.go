package replay

import (
	"context"
	"io"
	"math"
	"testing"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// made is a trace in memory.
type made []traces.Event

func (m made) Path() string      { return "made" }
func (m made) SHA256() string    { return "" }
func (m made) Meta() traces.Meta { return traces.Meta{Schema: traces.Schema, CPUs: 2} }
func (m made) Stream(traces.Columns) (traces.Stream, error) {
	return &madeStream{events: m}, nil
}

type madeStream struct {
	events []traces.Event
	next   int
}

func (s *madeStream) Meta() traces.Meta { return traces.Meta{Schema: traces.Schema, CPUs: 2} }
func (s *madeStream) Next(ev *traces.Event) error {
	if s.next == len(s.events) {
		return io.EOF
	}
	*ev = s.events[s.next]
	s.next++
	return nil
}

// recordedLoop is a loop that hits every 2 µs beside one that maps, on a recorder
// that spends so much on a writer's lock_start, and by which hits are so late that
// fell back. It returns the number of those.
func recordedLoop(recording, cost int64) (m made, late int64) {
	rand := sim.NewPRNG(3)
	upTo := func(n int64) int64 { return int64(rand.Uint64()>>1) % n }
	const hitter, mapper = 11, 12
	p := profile()
	row := func(at int64, kind traces.Kind, tid int32) *traces.Event {
		m = append(m, traces.Event{Time: at, Seq: int64(len(m)), CPU: tid - hitter, PID: 10, TID: tid, Kind: kind, Has: traces.ColCPU | traces.ColPID | traces.ColTID})
		return &m[len(m)-1]
	}
	lookup := int64(1_000_000) // end of the next one
	for entry := int64(1_010_000); entry < 60_000_000; entry += 30_000 + upTo(9000) {
		from := entry + p.Sections["mmap"].Start + recording
		to := from + 2000
		hit := func(before int64) {
			for lookup < before {
				if lookup >= from && lookup-p.Recorder.Window <= to {
					ev := row(lookup+p.Recorder.FailLag, traces.LockStart, hitter)
					ev.InUprobe, ev.Has = true, ev.Has|traces.ColInUprobe|traces.ColWrite
					lookup += cost + upTo(200)
					late++
				}
				ev := row(lookup+p.Recorder.HitLag, traces.Hit, hitter)
				ev.Addr, ev.Probe, ev.Has = 0x1000, "a:b", ev.Has|traces.ColAddr|traces.ColProbe
				lookup += 1900 + upTo(200)
			}
		}
		hit(entry - p.Recorder.HitLag)
		ev := row(entry, traces.Mmap, mapper)
		ev.Addr, ev.Len, ev.Ret, ev.Dur = 0x70000000, 4096, 0x70000000, to-entry+p.Recorder.ExitLag
		ev.Has |= traces.ColAddr | traces.ColLen | traces.ColRet | traces.ColDur
		hit(entry + 25_000)
	}
	return m, late
}

// What recording costs is found on the trace, whatever the machine.
func TestInferenceFindsTheRecorder(t *testing.T) {
	for _, c := range []struct{ recording, cost int64 }{{6500, 7500}, {3400, 5500}, {2000, 3000}} {
		trace, late := recordedLoop(c.recording, c.cost)
		if late < 300 {
			t.Fatalf("vacuous: %d hits fell back", late)
		}
		v, err := Validate(context.Background(), trace, profile(), Syscalls, 0)
		if err != nil {
			t.Fatal(err)
		}
		if v.Observed != late || v.F1() < 0.95 || math.Abs(v.Expected/float64(late)-1) > 0.05 {
			t.Errorf("recording %d, cost %d: F1 %.3f, %.0f of %d expected", c.recording, c.cost, v.F1(), v.Expected, late)
		}
	}
}

// Where each event has a callchain, those of lock events make a section longer that
// is downgraded, and a lookup that fails later.
func TestCallchainsOfLockEvents(t *testing.T) {
	deep := traces.Event{Kind: traces.Munmap, Stack: []string{"munmap"}, Has: traces.ColStack}
	s := &survey{threads: map[int32]*threadSurvey{}}
	s.add(&deep)
	call := sectionCall{base: 600, limit: 60_000, hold: 1700, kind: "munmap"}
	for _, chains := range []bool{false, s.chains()} {
		in := &inference{recording: 10_000, chains: chains}
		hold, cost := int64(1700), int64(11_000)
		if chains {
			hold, cost = 1700+10_000, 16_000
		}
		if got, want := call.at(in.place("munmap")), (modelledSection{10_600, hold, 60_000 - 10_600 - hold}); got != want {
			t.Errorf("callchains %v: section %+v, want %+v", chains, got, want)
		}
		if got := in.costOf(10_000, 1000); got != cost {
			t.Errorf("callchains %v: hits are late by %d ns, want %d", chains, got, cost)
		}
	}
}

// Calls of one process take turns: who leaves later got the lock later.
func TestTurns(t *testing.T) {
	order := turns{}
	take := func(pid, tid int32, base, limit int64) int64 {
		c := sectionCall{base: base, limit: limit, tid: tid}
		order.take(pid, &c)
		return c.at(placement{recording: 10_000}).start
	}
	for _, c := range []struct {
		pid, tid          int32
		base, limit, want int64
	}{
		{1, 1, 0, 50_000, 10_000},
		{1, 2, 20_000, 90_000, 50_000}, // waits for the first
		{1, 3, 25_000, 45_000, 35_000}, // cannot have waited for either
		{2, 4, 30_000, 95_000, 40_000}, // another process
		{1, 1, 95_000, 120_000, 105_000},
	} {
		if got := take(c.pid, c.tid, c.base, c.limit); got != c.want {
			t.Errorf("call of thread %d at %d ns: its section begins at %d, want %d", c.tid, c.base, got, c.want)
		}
	}
}

// The density of delays is that of their bins.
func TestDelayDensity(t *testing.T) {
	in := &inference{late: firstDelays()}
	sum, want := 0.0, 0.0
	for _, share := range in.late {
		want += share
	}
	for ns := int64(-1000); ns < 131072; ns++ {
		sum += in.delayDensity(ns)
	}
	if math.Abs(sum-want) > 1e-6 {
		t.Errorf("the densities add up to %v, want %v", sum, want)
	}
}

// Where the trace shows when hits arrived, that is believed, lock events or not.
func TestArriveRowsWithoutLocks(t *testing.T) {
	full, _ := recordedLoop(0, 3000)
	var trace made
	hits := int64(0)
	for _, ev := range full {
		switch {
		case ev.Kind.IsLock():
			continue
		case ev.Kind == traces.Hit:
			hits++
			trace = append(trace, traces.Event{Time: ev.Time - 400, CPU: ev.CPU, PID: ev.PID, TID: ev.TID, Kind: traces.Arrive, Has: traces.ColCPU | traces.ColPID | traces.ColTID})
		}
		trace = append(trace, ev)
	}
	res := speculative(t, trace)
	if a := res.Trace.Arrivals; a.Observed != hits || a.Modelled != 0 {
		t.Errorf("of %d hits %d arrivals are observed, %d inferred", hits, a.Observed, a.Modelled)
	}
}
