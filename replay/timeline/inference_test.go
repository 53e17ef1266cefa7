package timeline

import (
	"math"
	"testing"

	"github.com/replay/replay/traces"
)

// Where each event has a callchain, those of lock events make a section longer that
// is downgraded.
func TestCallchainsOfLockEvents(t *testing.T) {
	deep := traces.Event{Kind: traces.Munmap, Stack: []string{"munmap"}, Has: traces.ColStack}
	s := NewSurveyor()
	s.Add(&deep)
	call := sectionCall{base: 600, limit: 60_000, hold: 1700, kind: "munmap"}
	for _, chains := range []bool{false, s.chains()} {
		in := &inference{recording: 10_000, chains: chains}
		hold := int64(1700)
		if chains {
			hold += 10_000
		}
		if got, want := call.at(in.place("munmap")), (modelledSection{10_600, hold, 60_000 - 10_600 - hold}); got != want {
			t.Errorf("callchains %v: section %+v, want %+v", chains, got, want)
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
