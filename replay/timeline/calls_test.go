package timeline

import "testing"

// Calls that are in the kernel together tell who had the lock when.
func TestCallsTakeTurns(t *testing.T) {
	o := newOrderer()
	for n, c := range []struct {
		pid, tid    int32
		base, limit int64
	}{
		{1, 1, 0, 50_000},         // 0: alone at first, then with two that wait for it
		{1, 2, 20_000, 90_000},    // 1
		{1, 3, 30_000, 80_000},    // 2: before the one that came before it
		{1, 1, 90_000, 100_000},   // 3: when the last has left
		{2, 4, 30_000, 95_000},    // 4: another process
		{1, 1, 200_000, 300_000},  // 5
		{1, 1, 250_000, 350_000},  // 6: of the same thread
		{1, 2, 340_000, 1000_000}, // 7: with it
		{4, 5, 10_000, 60_000},    // 8
		{4, 6, 10_000, 40_000},    // 9: of the same instant, so it came before nobody
	} {
		o.take(c.pid, &callSection{base: c.base, limit: c.limit, tid: c.tid, seq: int64(n), kind: "mmap"})
	}
	order := o.finish()
	want := map[int64]turn{
		0: {first: true},
		1: {after: 80_000},
		2: {after: 50_000, passed: true},
		6: {after: 300_000, first: true},
		7: {after: 350_000},
		8: {after: 40_000, first: true},
		9: {},
	}
	for n := range int64(10) {
		got, shared := order.turns[n]
		if turn, ok := want[n]; shared != ok || got != turn {
			t.Errorf("call %d: %+v, with others: %v; want %+v", n, got, shared, turn)
		}
	}
	for n := range int64(wholeMin) {
		o.take(3, &callSection{base: 10_000 * n, limit: 10_000*n + 1000 + 100*n, tid: 1, seq: 100 + n, kind: "brk"})
	}
	order = o.finish()
	call := callSection{kind: "brk", seq: 1}
	if order.place(&call); call.whole != 2500 || call.after != 80_000 || !call.shared || call.first || call.passed {
		t.Errorf("%+v", call)
	}
	if _, known := order.whole["mmap"]; known {
		t.Error("three calls tell how long one has the lock")
	}
}

// A call that queued has the lock at its end, as long as calls have it that are alone. One
// that came first has it from its begin if what is left of it frees pages, for read.
func TestCallsThatQueueAreAnchoredAtTheirEnd(t *testing.T) {
	for _, c := range []struct {
		call        callSection
		start, wait int64
	}{
		{callSection{limit: 500_000, whole: 4000}, 500, 0}, // alone
		{callSection{limit: 500_000, whole: 4000, shared: true, after: 20_000}, 496_000, 495_500},
		{callSection{limit: 500_000, whole: 4000, shared: true, after: 498_000}, 498_000, 497_500},
		{callSection{limit: 500_000, whole: 4000, shared: true, after: 20_000, passed: true}, 496_000, 0},
		{callSection{limit: 500_000, whole: 4000, shared: true, first: true}, 496_000, 0}, // for whom it waited is not known
		{callSection{limit: 500_000, whole: 4000, shared: true, first: true, hold: 1700}, 500, 0},
		{callSection{limit: 500_000, whole: 4000, shared: true, after: 20_000, hold: 1700}, 496_000, 495_500},
		{callSection{limit: 500_000, shared: true, after: 20_000}, 20_000, 19_500}, // how long they have it is not known
		{callSection{limit: 500_000, whole: 4000, shared: true, after: 501}, 496_000, 495_500},
		{callSection{limit: 500_000, whole: 4000, shared: true, after: 500}, 496_000, 0}, // it was free when it came
	} {
		c.call.base = 500
		s := c.call.at(sectionOffset{})
		if s.start != c.start || s.wait != c.wait || s.end()+s.readHold != c.call.limit {
			t.Errorf("%+v: %+v, want it to begin at %d, and a wait of %d", c.call, s, c.start, c.wait)
		}
	}
	call := callSection{base: 500, limit: 500_000, whole: 4000, shared: true, after: 20_000}
	if s := call.at(sectionOffset{recording: 2500}); s.start != 498_500 {
		t.Errorf("of a call that is recorded for 2500 ns: %+v", s)
	}
}

// A lookup that fell back and had its answer overtook the calls that had the lock only later.
func TestCallsThatALookupOvertook(t *testing.T) {
	var r recentSpans
	r.add(sectionSpan{from: 90, to: 95, tid: 1, seq: 1, entry: 10})
	r.add(sectionSpan{from: 30, to: 35, tid: 2, seq: 2, entry: 11}) // before
	r.add(sectionSpan{from: 90, to: 95, tid: 3, seq: 3, entry: 12}) // its own
	r.add(sectionSpan{from: 90, to: 95, tid: 4, seq: 4, entry: 20}) // came later
	r.add(sectionSpan{from: 40, to: 95, tid: 4, seq: 5, entry: 19}) // had it when the hit had its answer
	if got := r.waiting(nil, 3, 20, 40); len(got) != 1 || got[0].seq != 1 {
		t.Errorf("%d of them", len(got))
	}
}
