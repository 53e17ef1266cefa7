package timeline

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// bookWatching is what is found with a watch of one's own.
func bookWatching(rows []traces.Event, watch Watch) *Recording {
	b := newLockBook(watch)
	for i := range rows {
		b.add(&rows[i])
	}
	return b.recorded(nil)
}

// Single waits, holds and slices of time add up to the figures of the whole, and the
// worst waits are those of a sorted list.
func TestWaitsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := schedule(t)
		rows = slices.DeleteFunc(slices.Clone(rows), func(ev traces.Event) bool { return !closed(rows, &ev) })
		worst := rapid.IntRange(1, 5).Draw(t, "worst")
		r := bookWatching(rows, Watch{Worst: worst, At: -1, To: sim.Second, Spans: 4000})
		if r == nil {
			return
		}
		waits, _, lengths := oracle(rows)
		slices.SortStableFunc(waits, func(a, b lockSpan) int {
			return cmp.Or(cmp.Compare(b.to-b.from, a.to-a.from), cmp.Compare(a.from, b.from))
		})
		if len(r.Waits) != len(waits) || len(r.Holds) != len(lengths) || r.SpansDropped != 0 {
			t.Fatalf("%d waits, %d holds, %d dropped; want %d and %d", len(r.Waits), len(r.Holds), r.SpansDropped, len(waits), len(lengths))
		}
		for i, w := range r.Worst {
			if w.For.Nanos() != waits[i].to-waits[i].from || w.At.Nanos() != waits[i].from-rows[0].Time {
				t.Fatalf("worst %d: %+v, want %+v", i, w, waits[i])
			}
		}
		if len(r.Worst) != min(worst, len(waits)) {
			t.Fatalf("%d of the worst %d of %d", len(r.Worst), worst, len(waits))
		}
		var waited, held, inWay, blockedNs sim.Time
		var blocked, met int
		var ways ByAccess
		for _, w := range r.Waits {
			waited += w.For
			*ways.of(w.Access) += w.InWay
			for i, b := range w.Behind {
				inWay += b.For
				met++
				if b.From < w.At || b.From+b.For > w.At+w.For || b.For <= 0 || i > 0 && b.From < w.Behind[i-1].From {
					t.Fatalf("behind %+v of %+v", b, w)
				}
			}
		}
		for _, h := range r.Holds {
			held += h.For
			blocked += h.Blocked
		}
		if ways != r.InWay {
			t.Fatalf("in the way %+v, of single waits %+v", r.InWay, ways)
		}
		for _, h := range r.Holders {
			blockedNs += h.BlockedTime
		}
		if blocked != met || inWay != blockedNs {
			t.Fatalf("%d waits blocked, for %v; want %d, %v", blocked, blockedNs, met, inWay)
		}
		for _, s := range r.OverTime.Slices {
			waited -= s.Waited.Total()
			held -= s.ReadHeld + s.WriteHeld
		}
		if waited != 0 || held != 0 {
			t.Fatalf("the slices lack %v of waits and %v of holds", waited, held)
		}
	})
}

// A watch keeps what it is to keep: a stretch of time, so many, those nearest to a time.
func TestWatch(t *testing.T) {
	var rows []traces.Event
	for i := range int64(20) { // a wait of i ns every 100 ns, behind nobody
		for j, kind := range []traces.Kind{traces.LockStart, traces.LockAcquired, traces.LockReleased} {
			rows = append(rows, traces.Event{
				Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite, Kind: kind, Time: 7_000_000 + i*100 + []int64{0, i, i + 1}[j], Seq: i*3 + int64(j),
				TID: 1, PID: 1, Mm: 1, Write: true,
			})
		}
	}
	r := bookWatching(rows, Watch{At: 755 * sim.Nanosecond, Nearby: 3, From: 500 * sim.Nanosecond, To: 899 * sim.Nanosecond, Spans: 12})
	for i, h := range r.Holds {
		if at := int64(500 + 100*i); h.At.Nanos() != at+at/100 || h.For.Nanos() != 1 || r.Waits[i].At.Nanos() != at {
			t.Errorf("%+v, after a wait of %+v", h, r.Waits[i])
		}
	}
	if len(r.Worst) != 0 || len(r.Waits) != 3 || len(r.Holds) != 3 || r.SpansDropped != 2 {
		t.Errorf("%d worst, %d waits, %d holds, %d dropped", len(r.Worst), len(r.Waits), len(r.Holds), r.SpansDropped)
	}
	var at []int64
	for _, w := range r.Near {
		at = append(at, w.At.Nanos())
	}
	if !slices.Equal(at, []int64{800, 700, 900}) {
		t.Errorf("near 755 ns are %v", at)
	}
}

// A long recording has no more slices than a short one.
func TestLockSeries(t *testing.T) {
	var s LockSeries
	s.add(0, 512_000, func(s *LockSlice) *sim.Time { return &s.ReadHeld })
	if s.Step != sim.Microsecond || len(s.Slices) != maxLockSlices || s.Slices[511].ReadHeld != sim.Microsecond {
		t.Errorf("half a millisecond has %d slices of %v", len(s.Slices), s.Step)
	}
	s = LockSeries{}
	for i := range int64(3000) {
		s.add(i*1_000_000, i*1_000_000+500_000, func(s *LockSlice) *sim.Time { return s.Waited.of(WriteAccess) })
	}
	var sum sim.Time
	for _, slice := range s.Slices {
		sum += slice.Waited.Write
	}
	if len(s.Slices) > maxLockSlices || len(s.Slices) < maxLockSlices/4 || sum != 1500*sim.Millisecond {
		t.Errorf("%d slices of %v with %v", len(s.Slices), s.Step, sum)
	}
}

// A reader that asked before a writer and went on before it is ahead of it, also where it
// was granted the lock long before it ran.
func TestAhead(t *testing.T) {
	var rows []traces.Event
	add := func(at int64, kind traces.Kind, tid int32, write bool) {
		rows = append(rows, traces.Event{
			Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite, Kind: kind, Time: at, Seq: int64(len(rows)), TID: tid, PID: 1, Mm: 1, Write: write,
		})
	}
	add(0, traces.LockStart, 1, true)
	add(10, traces.LockAcquired, 1, true)
	add(21, traces.LockStart, 2, false)
	add(30, traces.LockReleased, 1, true)
	add(35, traces.LockStart, 4, false) // goes on after all of them: it is ahead of nobody
	add(40, traces.LockStart, 1, true)  // behind 2, which has it and does not run
	add(45, traces.LockStart, 3, true)  // after that
	add(500, traces.LockAcquired, 2, false)
	add(510, traces.LockReleased, 2, false)
	add(520, traces.LockAcquired, 1, true)
	add(530, traces.LockReleased, 1, true)
	add(540, traces.LockAcquired, 3, true)
	add(550, traces.LockReleased, 3, true)
	add(600, traces.LockAcquired, 4, false)
	r := bookWatching(rows, Watch{Worst: 4, At: -1})
	third, first := r.Worst[1], r.Worst[2] // of 565, 495, 480 and 479 ns
	if third.TID != 3 || first.TID != 1 || first.At != 40*sim.Nanosecond || len(first.Ahead) != 1 || first.Ahead[0].TID != 2 {
		t.Fatalf("%+v, %+v", third, first)
	}
	if len(third.Ahead) != 2 || third.Ahead[0].TID != 2 || third.Ahead[1].TID != 1 || third.Ahead[1].Ahead != nil {
		t.Errorf("ahead of the last: %+v", third.Ahead)
	}
}

// Of holds that were in the way for as long, the first is told.
func TestMostInTheWay(t *testing.T) {
	var holds [3]lockHold
	w := lockWait{segments: []segment{{hold: &holds[0], ns: 4}, {hold: &holds[1], ns: 5}, {hold: &holds[2], ns: 5}}}
	if w.most().hold != &holds[1] {
		t.Error("another hold than the first of the longest")
	}
	if (&lockWait{}).most() != nil {
		t.Error("nobody had the lock, and somebody was in the way")
	}
}

// alone are waits of one thread for a lock that nobody has, each with the time of its begin and
// of its end; its hold is over 2 ns later.
func alone(spans ...[2]int64) (rows []traces.Event) {
	for _, s := range spans {
		for j, kind := range []traces.Kind{traces.LockStart, traces.LockAcquired, traces.LockReleased} {
			rows = append(rows, traces.Event{
				Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite, Kind: kind, Time: 5_000_000 + []int64{s[0], s[1], s[1] + 2}[j], Seq: int64(len(rows)), TID: 1, PID: 1, Mm: 1, Write: true,
			})
		}
	}
	return rows
}

// The waits nearest to a time are those under way, and then by how long they were over or not
// begun; of those that are as near the longest.
func TestNearestWaits(t *testing.T) {
	rows := alone([2]int64{0, 300}, [2]int64{400, 410}, [2]int64{700, 705})
	for at, want := range map[sim.Time][]int64{0: {0, 400, 700}, 320: {0, 400, 700}, 350: {0, 400, 700}, 351: {400, 0, 700}, 402: {400, 0, 700}, 555: {400, 700, 0}, 556: {700, 400, 0}, 9999: {700, 400, 0}} {
		var got []int64
		for _, w := range bookWatching(rows, Watch{At: at * sim.Nanosecond, Nearby: 3}).Near {
			got = append(got, w.At.Nanos())
		}
		if !slices.Equal(got, want) {
			t.Errorf("near %d: %v, want %v", at, got, want)
		}
	}
	if near := bookWatching(rows, Watch{At: -1, Nearby: 3}).Near; len(near) != 0 {
		t.Errorf("nobody asked for what is near: %v", near)
	}
}

// What touches the stretch that is watched is kept, and nothing is missed where none is.
func TestTouchingAWatch(t *testing.T) {
	rows := alone([2]int64{0, 300}, [2]int64{400, 410})
	for _, c := range []struct {
		from, to     sim.Time
		waits, holds int
	}{{0, 999, 2, 2}, {300, 399, 1, 1}, {301, 399, 0, 1}, {302, 399, 0, 1}, {303, 399, 0, 0}, {303, 400, 1, 0}, {303, 409, 1, 0}, {303, 410, 1, 1}} {
		r := bookWatching(rows, Watch{At: -1, From: c.from * sim.Nanosecond, To: c.to * sim.Nanosecond, Spans: 100})
		if len(r.Waits) != c.waits || len(r.Holds) != c.holds || r.SpansDropped != 0 {
			t.Errorf("%d to %d: %d waits, %d holds, %d dropped", c.from, c.to, len(r.Waits), len(r.Holds), r.SpansDropped)
		}
	}
	if r := bookWatching(rows, Watch{At: -1, To: sim.Second}); len(r.Waits) != 0 || r.SpansDropped != 0 {
		t.Errorf("nobody asked: %d waits, %d dropped", len(r.Waits), r.SpansDropped)
	}
}

// Who is ahead of a wait comes in the order in which they went on, one that did so with it among
// them, and one that did when it began not.
func TestOrderOfThoseAhead(t *testing.T) {
	var rows []traces.Event
	add := func(at int64, kind traces.Kind, tid int32, write bool) {
		rows = append(rows, traces.Event{
			Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite, Kind: kind, Time: 900 + at, Seq: int64(len(rows)), TID: tid, PID: 1, Mm: 1, Write: write,
		})
	}
	add(0, traces.LockStart, 1, true)
	add(5, traces.LockAcquired, 1, true)
	add(10, traces.LockStart, 2, false) // goes on last, with 5
	add(20, traces.LockStart, 3, false)
	add(30, traces.LockStart, 4, false) // goes on when 5 comes
	add(40, traces.LockStart, 6, false) // never does
	add(50, traces.LockReleased, 1, true)
	add(60, traces.LockStart, 5, false)
	add(60, traces.LockAcquired, 4, false)
	add(100, traces.LockAcquired, 3, false)
	add(600, traces.LockAcquired, 5, false)
	add(600, traces.LockAcquired, 2, false)
	for _, w := range bookWatching(rows, Watch{Worst: 9, At: -1}).Worst {
		if w.TID == 5 {
			if len(w.Ahead) != 2 || w.Ahead[0].TID != 3 || w.Ahead[1].TID != 2 {
				t.Errorf("ahead: %+v", w.Ahead)
			}
			return
		}
	}
	t.Error("vacuous: no such wait")
}
