package fit

import (
	"testing"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/traces"
)

// TestWhatIsMeasured: a section counts where it lies in its call, to the ends of that; and
// a lookup that slept was woken by the section before it, unless the attempt was given up or
// something else came of the thread.
func TestWhatIsMeasured(t *testing.T) {
	const call = "munmap"
	for _, c := range []struct {
		odd  int64
		want int
	}{{999, 0}, {1000, 1}, {1500, 1}, {2000, 1}, {2001, 0}} {
		m := &measurer{by: map[string]*measured{}, recording: 100, lastEven: map[int32]int64{}}
		m.Section(&timeline.Section{PID: 7, Write: true, Odd: c.odd, Even: c.odd + 300, Call: call, CallFrom: 1000, CallTo: 2000})
		m.Section(&timeline.Section{PID: 7, Odd: 1200, Even: 1200, Call: call, CallFrom: 1000, CallTo: 2000}) // for read
		got := m.by[call]
		if n := m.lastEven[7]; n != c.odd+300 || c.want == 0 && got != nil || c.want == 1 && (len(got.start) != 1 || got.start[0] != c.odd-1100 || got.hold[0] != 300) {
			t.Errorf("a section from %d on: %+v, the latest ended at %d", c.odd, got, n)
		}
	}
	lock := func(kind traces.Kind, at, ret int64, lookup bool) *traces.Event {
		return &traces.Event{Kind: kind, Time: at, PID: 7, TID: 8, Ret: ret, InUprobe: lookup, Has: traces.ColPID | traces.ColTID | traces.ColRet | traces.ColInUprobe}
	}
	for name, c := range map[string]struct {
		between *traces.Event
		ret     int64
		want    int
	}{
		"it slept":       {nil, 0, 1},
		"it was killed":  {nil, -4, 0},
		"other lock":     {lock(traces.LockReleased, 9_500, 0, false), 0, 0},
		"no lock at all": {&traces.Event{Kind: traces.Mmap, Time: 9_500, TID: 8, Has: traces.ColTID}, 0, 1},
	} {
		m := &measurer{by: map[string]*measured{}, lastEven: map[int32]int64{}, asked: map[int32]int64{}}
		m.Row(lock(traces.LockStart, 1_000, 0, true), false)
		m.lastEven[7] = 9_000
		if c.between != nil {
			m.Row(c.between, false)
		}
		m.Row(lock(traces.LockAcquired, 30_000, c.ret, false), false)
		if m.wake.Summarise(); m.wake.Count != c.want || c.want == 1 && m.wake.Typical != 21_000 {
			t.Errorf("%s: %d wake-ups, of %d ns", name, m.wake.Count, m.wake.Typical)
		}
	}
}

// TestPublished: the table of the machine that it was measured on, and of no other.
func TestPublished(t *testing.T) {
	points := Published("xeon-6138x2")
	if len(points) == 0 || points[0] != (BenchPoint{"locked", 1, 3.384}) {
		t.Errorf("%+v", points)
	}
	if other := Published("generic"); other != nil {
		t.Errorf("of another machine: %+v", other)
	}
}
