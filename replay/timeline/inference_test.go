package timeline

import (
	"math"
	"slices"
	"testing"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/replaytest"
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

// A section is not downgraded in a call that is over before that.
func TestDowngradeThatDoesNotCome(t *testing.T) {
	for limit, want := range map[int64]modelSection{
		22_301: {start: 10_600, hold: 11_700, readHold: 1}, 22_300: {start: 10_600, hold: 11_700}, 15_000: {start: 10_600, hold: 4400},
	} {
		call := callSection{base: 600, limit: limit, hold: 1700}
		if got := call.at(sectionOffset{recording: 10_000, inside: 10_000}); got != want {
			t.Errorf("until %d: %+v, want %+v", limit, got, want)
		}
	}
}

// Calls of one process take turns: who leaves later got the lock later.
func TestTurns(t *testing.T) {
	order := turns{}
	take := func(pid, tid int32, base, limit int64) (start, after int64) {
		c := callSection{base: base, limit: limit, tid: tid}
		order.take(pid, &c)
		return c.at(sectionOffset{recording: 10_000}).start, c.after
	}
	for _, c := range []struct {
		pid, tid          int32
		base, limit, want int64
		after             int64 // that it waited until
	}{
		{1, 1, 0, 50_000, 10_000, 0},
		{1, 2, 20_000, 90_000, 50_000, 50_000}, // waits for the first
		{1, 3, 25_000, 45_000, 35_000, 0},      // cannot have waited for either
		{2, 4, 30_000, 95_000, 40_000, 0},      // another process
		{1, 1, 95_000, 120_000, 105_000, 0},
		{3, 1, 0, 50_000, 10_000, 0},
		{3, 2, 50_000, 90_000, 60_000, 0}, // came when that left
		{3, 3, 55_000, 90_000, 65_000, 0}, // leaves with the one before
	} {
		if got, after := take(c.pid, c.tid, c.base, c.limit); got != c.want || after != c.after {
			t.Errorf("call of thread %d at %d ns: its section begins at %d after %d, want %d after %d", c.tid, c.base, got, after, c.want, c.after)
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

// A section made a hit late only if it was over after the thread's hit before, no longer ago
// than it reaches, and had begun.
func TestNearASection(t *testing.T) {
	o := sectionSpan{from: 1000, to: 2000}
	for _, c := range []struct {
		prev, stamp, reach int64
		near               bool
	}{
		{0, 3000, 3000, true}, {1999, 3000, 3000, true}, {2000, 3000, 3000, false}, // over before
		{0, 3000, 1001, true}, {0, 3000, 1000, false}, // too long ago
		{0, 1001, 3000, true}, {0, 1000, 3000, false}, // not begun
	} {
		if o.near(c.prev, c.stamp, c.reach) != c.near {
			t.Errorf("%+v is near %+v: %v", o, c, !c.near)
		}
	}
}

// The latest sections are looked at, and before them as many that were begun by a time.
func TestTheLatestAndThoseBefore(t *testing.T) {
	entry := func(i int) int64 { return 10 * int64(i) }
	const n, last = 100, 100 - recentSections // of n
	for by, want := range map[int64]span{
		5000: {}, 10 * last: {}, 10*last - 1: {last - recentSections, last}, 500: {51 - recentSections, 51}, 499: {50 - recentSections, 50}, 50: {0, 6}, -1: {0, 0},
	} {
		if first, latest := twice(n, entry, by); first != want || latest != (span{last, n}) {
			t.Errorf("by %d: %v and %v, want %v and %v", by, first, latest, want, span{last, n})
		}
	}
	if first, latest := twice(recentSections, entry, 5); first != (span{}) || latest != (span{0, recentSections}) {
		t.Errorf("of as many as are looked at: %v, %v", first, latest)
	}
}

// A hit of a known late one, weighed by hand: all gaps are as likely, and delays are of three
// bins.
func TestExplanationByHand(t *testing.T) {
	const stamp = 1<<20 + 6000
	in := &inference{rec: machines.Recorder{HitLag: 1000, Window: 300}, cost: 3000}
	in.late[delayBin(150)], in.late[delayBin(-50)], in.late[0] = 0.3, 0.3, 0.2
	const arrived = stamp - 1000
	const gaps = 0.5 / (1 << 16) // as dense as none are around 1 ms
	o := sectionSpan{from: arrived - 3000 - 400, to: arrived}
	var ways []lateness
	e := in.explain(&gapTable{}, []*sectionSpan{&o}, 0, stamp, func(w lateness) { ways = append(ways, w) })
	// It is looked at by 100 ns from a delay of 400 on. What is left at the end is 76 ns of the
	// first bin, from -400 to -476. Of what is as likely the earliest counts.
	want := []lateness{{150, 1<<20 + 5000 - 3000 - 150 + 1000, gaps * 0.3}, {-50, 1<<20 + 5000 - 3000 + 50 + 1000, gaps * 0.3}, {-438, 1<<20 + 5000 - 3000 + 438 + 1000, gaps * 0.2 * 0.76}}
	for i, w := range ways {
		if i >= len(want) || w.delay != want[i].delay || w.gap != want[i].gap || math.Abs(w.density/want[i].density-1) > 1e-9 {
			t.Errorf("late in the ways %+v, want %+v", ways, want)
			break
		}
	}
	if len(ways) != len(want) || math.Abs(e.late/(gaps*(0.3+0.3+0.2*0.76))-1) > 1e-9 || e.delay != 150 || e.begin != o.from+sectionEdge || math.Abs(e.onTime/(gaps*(1-0.9))-1) > 1e-9 {
		t.Errorf("%+v, in %d ways", e, len(ways))
	}
	if o.to++; in.explain(&gapTable{}, []*sectionSpan{&o}, 0, stamp, nil).late != 0 {
		t.Error("late for a section that was not over when the lookup was")
	}
}

// Hits are looked at that a section of another thread's call may have made late.
func TestHitsNearCalls(t *testing.T) {
	p := &machines.Profile{Recorder: machines.Recorder{ExitLag: 50}, Sections: machines.SectionModel{"mmap": {Start: 100}}}
	for _, c := range []struct {
		prev, stamp int64
		tid         int32 // of the call, which has the lock from 10_100 to 11_100 at most
		near        bool
	}{
		{11_099, 12_000, 12, true}, {11_100, 12_000, 12, false}, // over before the thread's hit before
		{1000, 16_099, 12, true}, {1000, 16_100, 12, false}, // or too long ago
		{1000, 10_101, 12, true}, {1000, 10_100, 12, false}, // or not begun
		{1000, 12_000, 11, false}, // or its own
	} {
		row := func(kind traces.Kind, at int64, tid int32) traces.Event {
			return traces.Event{Kind: kind, Time: at, PID: 10, TID: tid, Has: traces.ColPID | traces.ColTID}
		}
		call := row(traces.Mmap, 10_000, c.tid)
		call.Dur, call.Has = 1150, call.Has|traces.ColDur|traces.ColRet
		rows := []traces.Event{row(traces.Hit, c.prev, 11), call, row(traces.Hit, c.stamp, 11)}
		slices.SortFunc(rows, func(a, b traces.Event) int { return int(a.Time - b.Time) })
		f := &inferFit{in: &inference{reach: 5000, all: &gapTable{}}, toTheEnd: map[string]bool{}, alone: map[string]*dist.Durations{}}
		if err := f.gather(t.Context(), replaytest.Made(rows), p); err != nil {
			t.Fatal(err)
		}
		if (len(f.sightings) == 1) != c.near {
			t.Errorf("%+v: %d hits", c, len(f.sightings))
		}
	}
}

// How long calls have the lock is told by twenty of them, and by their median.
func TestWholeCalls(t *testing.T) {
	f := &inferFit{alone: map[string]*dist.Durations{}}
	for n := range int64(20) {
		f.add1(&callSection{base: 100, limit: 1100 + 10*n, kind: "mmap"})
		if n > 0 {
			f.add1(&callSection{base: 100, limit: 1100, kind: "munmap"})
		}
	}
	if got := f.wholes(); len(got) != 1 || got["mmap"] != 1100 {
		t.Errorf("calls have the lock for %v", got)
	}
}

// With callchains sections are looked at from longer before a hit on, by what three of them take.
func TestReachOfSections(t *testing.T) {
	for stacked, want := range map[int]int64{20: nearby, 21: nearby + 3*175} {
		s := NewSurveyor()
		var rows []traces.Event
		for i := range 40 {
			ev := traces.Event{Kind: traces.Mmap, Time: int64(10_000 * i), Seq: int64(i), PID: 10, TID: 11, Dur: 3166 + 700, Has: traces.ColPID | traces.ColTID | traces.ColDur | traces.ColRet}
			if i < stacked {
				ev.Stack, ev.Has = []string{"a"}, ev.Has|traces.ColStack
			}
			rows = append(rows, ev)
		}
		rows = append(rows, traces.Event{Kind: traces.LockStart, Time: 1_000_000, Seq: 40, PID: 10, TID: 11, Write: true, Has: traces.ColPID | traces.ColTID | traces.ColWrite})
		for i := range rows {
			s.Add(&rows[i])
		}
		in, err := newInference(t.Context(), replaytest.Made(rows), replaytest.Machine(t), s.Finish(traces.Meta{}), false)
		if err != nil || in.reach != want {
			t.Errorf("with %d callchains of 40: %d ns, %v; want %d", stacked, in.reach, err, want)
		}
	}
}

// A lookup that was on time cuts the section of a call short, which its thread then waited for
// until then, if it waited. One that was overtaken did not wait.
func TestSectionOfACutCall(t *testing.T) {
	m := machines.SectionModel{"mmap": {Start: 100}}
	cut := map[int64]span{2: {46_000, 47_000}, 4: {47_000, 47_000}, 6: {46_000, 47_000}, 7: {46_000, 47_000}}
	in := &inference{
		trimmed: cut, unasked: map[int64]bool{5: true, 6: true},
		order: &callOrder{turns: map[int64]turn{1: {after: 20_000}, 2: {after: 20_000}, 4: {after: 20_000}, 5: {after: 20_000}, 6: {after: 20_000}, 7: {first: true}}, whole: map[string]int64{"mmap": 4000}},
	}
	for seq, want := range map[int64]modelSection{
		1: {start: 45_950, hold: 4000, wait: 45_850, woken: 25_950},
		2: {start: 46_000, hold: 1000, wait: 45_900, woken: 25_950},
		3: {start: 100, hold: 49_850},
		4: {start: 47_000, hold: 1, wait: 46_900, woken: 25_950},
		5: {start: 45_950, hold: 4000},
		6: {start: 46_000, hold: 1000},
		7: {start: 46_000, hold: 1000},
	} {
		ev := traces.Event{Kind: traces.Mmap, Dur: 50_000, Seq: seq, PID: 10, TID: 11}
		if got, ok := in.section(m, &ev, "mmap", 50, nil); !ok || got != want {
			t.Errorf("call %d: %+v, %v; want %+v", seq, got, ok, want)
		}
	}
}

// late is a fit of one hit that was late by a section of 400 ns, most likely where its lookup
// ended 200 into it, and by a delay of 74 (24 to 124) beyond a cost of 5000. Gaps are all as
// likely; so is on time.
func lateBy5000(c callSection) *inferFit {
	const from = 1 << 20
	in := &inference{rec: machines.Recorder{HitLag: 1000, Window: 300}, reach: nearby, offsets: map[string]sectionOffset{}, all: &gapTable{}}
	in.late[delayBin(74)] = 1
	return &inferFit{
		in: in, nth: 1, kinds: []string{c.kind}, toTheEnd: map[string]bool{c.kind: c.hold == 0},
		sightings: []sighting{{in.all, 11, 0, from + 200 + 74 + 5000 + 1000, []callSection{c}}},
	}
}

// A cost is searched for 300 ns around what it was taken for. From 4900 to 5150 the delay is
// all within the section: of what is as likely the least is taken.
func TestCostNearby(t *testing.T) {
	for around, want := range map[int64]int64{5000: 4900, 4550: 4850, 5150: 4900, 5450: 5150, 4500: 4800} {
		f := lateBy5000(callSection{base: 1 << 20, limit: 1<<20 + 400, kind: "mmap", tid: 12})
		f.in.cost = around
		if f.findCost(); f.in.cost != want {
			t.Errorf("around %d: %d, want %d", around, f.in.cost, want)
		}
	}
}

// The place of a kind of section is searched for 1500 ns around what it was taken for, by 150,
// and no earlier than its calls get to the lock. It is another only if that is far likelier.
func TestPlaceNearby(t *testing.T) {
	const early, late = 1<<20 - 1500, 1<<20 - 1650 // a call's section is in place 1500 or 1650 after that
	for _, c := range []struct{ base, recording, want int64 }{
		{early, 0, 1500}, {late, 0, 1500}, {late, 3000, 1650}, {early, 3150, 1650}, {early, 1500, 1500}, {1<<20 + 300, 0, 0},
	} {
		f := lateBy5000(callSection{base: c.base, limit: c.base + 90_000, hold: 400, kind: "munmap", tid: 12})
		f.in.cost, f.in.recording = 5000, c.recording
		f.sightings = slices.Repeat(f.sightings, 40)
		f.findOffsets()
		if got := f.in.offset("munmap").recording; got != c.want {
			t.Errorf("from %d on, around %d: %d, want %d", c.base-1<<20, c.recording, got, c.want)
		}
	}
}

// A lookup that fell back overtook the calls that had the lock only after its hit: they were
// held up by something else than the lock.
func TestOvertakenCalls(t *testing.T) {
	p := &machines.Profile{Recorder: machines.Recorder{ExitLag: 50}, Sections: machines.SectionModel{"mmap": {Start: 100}}}
	var rows []traces.Event
	row := func(kind traces.Kind, at int64, tid int32, dur int64) {
		rows = append(rows, traces.Event{Kind: kind, Time: at, Seq: int64(len(rows)), PID: 10, TID: tid, Dur: dur, Has: traces.ColPID | traces.ColTID | traces.ColDur | traces.ColRet})
	}
	row(traces.Mmap, 100_000, 12, 20_050) // has it from 116000 to 120000,
	row(traces.Mmap, 105_000, 13, 95_050) // and this one from 196000 on
	row(traces.Hit, 110_000, 11, 0)
	row(traces.Mmap, 119_000, 14, 90_000) // came after the lookup
	row(traces.Hit, 125_000, 11, 0)       // due at 119000
	for _, late := range []bool{true, false} {
		in := &inference{
			rec: machines.Recorder{HitLag: 1000, Window: 300}, cost: 3000, edgeError: 150, reach: nearby, late: firstDelays(), all: &gapTable{}, offsets: map[string]sectionOffset{},
			trimmed: map[int64]span{}, unasked: map[int64]bool{}, order: &callOrder{turns: map[int64]turn{0: {first: true}, 1: {after: 120_000}, 3: {after: 200_000}}, whole: map[string]int64{"mmap": 4000}},
		}
		for n := range int64(1000) {
			in.all.add(9000 + n)
			if !late {
				in.all.add(15_000)
			}
		}
		if err := in.trimAll(t.Context(), replaytest.Made(rows), p); err != nil {
			t.Fatal(err)
		}
		if in.unasked[1] != late || in.unasked[0] || in.unasked[3] || len(in.trimmed) != 0 {
			t.Errorf("late %v: overtaken %v, cut %v", late, in.unasked, in.trimmed)
		}
	}
}
