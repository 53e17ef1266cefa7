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
				Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite, Kind: kind, Time: i*100 + []int64{0, i, i + 1}[j], Seq: i*3 + int64(j),
				TID: 1, PID: 1, Mm: 1, Write: true,
			})
		}
	}
	r := bookWatching(rows, Watch{At: 755 * sim.Nanosecond, Nearby: 3, From: 500 * sim.Nanosecond, To: 899 * sim.Nanosecond, Spans: 12})
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
