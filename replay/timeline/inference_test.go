package timeline

import (
	"math"
	"slices"
	"testing"

	"github.com/replay/replay/traces"
)

// Where each event has a callchain, those of lock events make a section longer that
// is downgraded.
func TestCallchainsOfLockEvents(t *testing.T) {
	deep := traces.Event{Kind: traces.Munmap, Stack: []string{"munmap"}, Has: traces.ColStack}
	s := NewSurveyor()
	s.Add(&deep)
	call := callSection{base: 600, limit: 60_000, hold: 1700, kind: "munmap"}
	for _, chains := range []bool{false, s.chains()} {
		in := &inference{recording: 10_000, chains: chains}
		hold := int64(1700)
		if chains {
			hold += 10_000
		}
		if got, want := call.at(in.offset("munmap")), (modelSection{start: 10_600, hold: hold, readHold: 60_000 - 10_600 - hold}); got != want {
			t.Errorf("callchains %v: section %+v, want %+v", chains, got, want)
		}
	}
}

// Calls of one process take turns: who leaves later got the lock later.
func TestTurns(t *testing.T) {
	order := turns{}
	take := func(pid, tid int32, base, limit int64) int64 {
		c := callSection{base: base, limit: limit, tid: tid}
		order.take(pid, &c)
		return c.at(sectionOffset{recording: 10_000}).start
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
	for ns := int64(-1000); ns < 1<<24; ns++ {
		sum += in.delayDensity(ns)
	}
	if math.Abs(sum-want) > 1e-6 {
		t.Errorf("the densities add up to %v, want %v", sum, want)
	}
}

// A call that queued has the lock at its end, as long as calls have it that need not wait,
// but from its being woken on where that is longer.
func TestQueuedCallsAreAnchoredAtTheirEnd(t *testing.T) {
	for _, c := range []struct{ after, limit, want int64 }{
		{0, 50_000, 500},            // it waited for nobody: all of it
		{20_000, 50_000, 46_000},    // woken 26 us after
		{20_000, 22_000, 20_000},    // at once
		{20_000, 500_000, 90_000},   // it lost its CPU with the lock
		{490_000, 500_000, 496_000}, // and here without
	} {
		call := callSection{base: 500, limit: c.limit, after: c.after}
		if got := call.at(sectionOffset{whole: 4000}).start; got != c.want {
			t.Errorf("a call until %d that waited until %d: its section begins at %d, want %d", c.limit, c.after, got, c.want)
		}
	}
}

// Near a hit that was due long before its stamp are the sections of both times, whatever
// lies between.
func TestSectionsNearWhereAHitWasDue(t *testing.T) {
	r := &recentSpans{}
	const sections = 10_000
	for n := range int64(sections) {
		r.add(sectionSpan{from: 1000 * n, to: 1000*n + 400, tid: 2 + int32(n%2), seq: n, entry: 1000*n - 100})
	}
	stamp := int64(1000*sections + 100)
	for _, c := range []struct{ due, first, last int64 }{
		{stamp, sections - recentSections, sections - recentSections},
		{stamp - 500_000, sections - 500 - recentSections + 1, sections - 500},
		{0, -1, 0}, // forgotten
	} {
		var got []int64
		for _, o := range r.near(nil, 3, 0, stamp, c.due, stamp) {
			got = append(got, o.seq)
		}
		var want []int64
		for n := int64(0); n < sections; n++ {
			if n%2 == 0 && (n >= sections-recentSections || c.first >= 0 && n >= c.first && n < c.last+1 && r.list[0].seq <= n && 1000*n-100 <= c.due) {
				want = append(want, n)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("due at %d: sections %v, want %v", c.due, got, want)
		}
	}
}

func TestUsualGap(t *testing.T) {
	g := &gapTable{}
	for n := range int64(1000) {
		g.add(1200 + n%64)
		if n%3 == 0 {
			g.add(9000 + 40*n)
		}
	}
	if !g.pacing() || g.usual < 1100 || g.usual > 1300 {
		t.Errorf("pacing %v, usually %d ns", g.pacing(), g.usual)
	}
}
