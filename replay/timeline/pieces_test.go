package timeline

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// TestQueue compares with a sorted list: whatever order operations come in, the first of
// those that are there comes out.
func TestQueue(t *testing.T) {
	far, long := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var q operationQueue
		var want []*Operation
		now, seq := int64(0), int64(0)
		order := func(a, b *Operation) int {
			for _, d := range []int64{a.At - b.At, int64(a.CPU - b.CPU), a.Origin.Seq - b.Origin.Seq} {
				if d != 0 {
					return int(d)
				}
			}
			return 0
		}
		pop := func() {
			if q.empty() || q.first().op != want[0] || q.pop().op != want[0] {
				t.Fatal("another operation is first")
			}
			want = want[1:]
		}
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			for range rapid.IntRange(0, 120).Draw(t, "pushed") {
				now += rapid.Int64Range(0, 3).Draw(t, "gap")
				op := &Operation{At: now, CPU: rapid.Int32Range(-1, 1).Draw(t, "cpu"), Origin: &Origin{Seq: seq}}
				seq++
				switch rapid.IntRange(0, 19).Draw(t, "late") {
				case 0:
					op.At -= rapid.Int64Range(0, 400).Draw(t, "by")
				case 1, 2:
					op.At -= rapid.Int64Range(0, 30).Draw(t, "by a little")
				}
				q.push(op)
				at, _ := slices.BinarySearchFunc(want, op, order)
				if len(want)-at > nearEnough {
					far++
				}
				want = slices.Insert(want, at, op)
			}
			for range rapid.IntRange(0, len(want)).Draw(t, "popped") {
				pop()
			}
			long = max(long, q.head)
		}
		for len(want) > 0 {
			pop()
		}
		if !q.empty() {
			t.Fatal("something is left")
		}
	})
	if far == 0 || long == 0 {
		t.Errorf("vacuous: %d stragglers", far)
	}
}

// A queue does not grow with what has gone through it.
func TestQueueIsBounded(t *testing.T) {
	var q operationQueue
	for i := range int64(100_000) {
		q.push(&Operation{At: i, Origin: &Origin{}})
		if i >= 100 && q.pop().at != i-100 {
			t.Fatal("out of order")
		}
	}
	if len(q.list) > 4096 {
		t.Errorf("%d places for 100 operations", len(q.list))
	}
}

// Equal classes are one, numbered as they come.
func TestClasses(t *testing.T) {
	l := newClasses()
	stack := func(frames ...string) []string { return frames }
	base := Class{PID: 1, TID: 2, Comm: "c", Kind: "hit", Probe: "p", Stack: stack("a", "b")}
	first := l.of(base)
	equal := base
	equal.Stack = stack("a", "b") // somewhere else in memory
	if first.ID != 0 || l.of(equal) != first || l.of(base) != first {
		t.Error("equal classes are not one")
	}
	for i, change := range []func(*Class){
		func(c *Class) { c.PID = 9 }, func(c *Class) { c.TID = 9 }, func(c *Class) { c.Comm = "d" }, func(c *Class) { c.Kind = "mmap" },
		func(c *Class) { c.Probe = "q" }, func(c *Class) { c.Stack = stack("a") }, func(c *Class) { c.Stack = nil }, func(c *Class) { c.Stack = stack("b", "a") },
	} {
		c := base
		change(&c)
		if got := l.of(c); got == first || got.ID != i+1 {
			t.Errorf("class %d: %+v", i, got)
		}
	}
	for _, c := range []struct {
		a, b []string
		same bool
	}{{nil, nil, true}, {nil, stack("a"), false}, {stack("a"), stack("a"), true}, {stack("a"), stack("b"), false}, {base.Stack, base.Stack, true}, {base.Stack, base.Stack[:1], false}} {
		if sameStack(c.a, c.b) != c.same || sameStack(c.b, c.a) != c.same {
			t.Errorf("%q and %q: same %v", c.a, c.b, !c.same)
		}
	}
}

// The density of gaps counts those in the same sixteenth of an octave, a half added, over
// their number and the width of that.
func TestGapDensity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gaps := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(-5, 300), rapid.Int64Range(0, 1<<33)), 1, 30).Draw(t, "gaps")
		var g gapTable
		for _, ns := range gaps {
			g.add(ns)
		}
		bin := func(ns int64) (low, width float64) {
			x := math.Max(float64(ns), 16)
			octave := math.Exp2(math.Floor(math.Log2(x)))
			return octave + math.Floor(16*(x-octave)/octave)*octave/16, octave / 16
		}
		for _, at := range append(gaps, rapid.Int64Range(0, 1<<33).Draw(t, "at")) {
			low, width := bin(at)
			n := 0.5
			for _, ns := range gaps {
				if l, _ := bin(ns); l == low {
					n++
				}
			}
			if got, want := g.density(at), n/float64(len(gaps)+1)/width; math.Abs(got/want-1) > 1e-9 {
				t.Fatalf("at %d of %v: %v, want %v", at, gaps, got, want)
			}
		}
	})
}

// A thread is steady when most of its gaps lie within half an octave.
func TestSteadyGaps(t *testing.T) {
	for _, c := range []struct {
		name   string
		gaps   []int64
		steady bool
	}{
		{"one", []int64{1000}, true},
		{"within half an octave", []int64{1024, 1100, 1200, 1300, 1400, 9000, 20, 70}, true},
		{"half of them", []int64{1024, 1100, 1200, 1300, 9000, 20, 70, 4_000_000}, false},
		{"across an octave", []int64{900, 950, 1000, 1100, 1200, 20, 70}, true},
		{"too far apart", []int64{1024, 1500, 2100, 3000, 4200, 6000, 8400}, false},
	} {
		var g gapTable
		for _, ns := range c.gaps {
			g.add(ns)
		}
		if g.steady() != c.steady {
			t.Errorf("%s: steady %v", c.name, !c.steady)
		}
	}
}

// The edges of a section are known to so many ns on either side.
func TestCovers(t *testing.T) {
	o := sectionSpan{from: 1000, to: 2000}
	for at, want := range map[int64]float64{
		899: 0, 900: 0, 950: 0.25, 1000: 0.5, 1050: 0.75, 1100: 1, 1500: 1, 1900: 1, 1950: 0.75, 2000: 0.5, 2050: 0.25, 2100: 0, 2101: 0,
	} {
		if got := o.covers(at, 100); got != want {
			t.Errorf("at %d: %v, want %v", at, got, want)
		}
	}
	short := sectionSpan{from: 1000, to: 1100}
	if got := short.covers(1050, 100); got != 0.75*0.75 {
		t.Errorf("in the middle of a short one: %v", got)
	}
}

// What a lookup that was on time leaves of a section, and where one lies that fell back.
func TestTrimAndInside(t *testing.T) {
	for _, c := range []struct {
		begin, end, from, to int64
		cut                  bool
	}{
		{100, 899, 1000, 2000, false}, // before it
		{100, 900, 1000, 2000, true},  // 900 + 100 is its begin
		{1000, 1200, 1300, 2000, true},
		{1800, 1900, 1000, 1700, true},
		{1400, 1600, 1000, 1300, true}, // as much on either side: the end goes
		{1300, 1600, 1700, 2000, true}, // 600 up to its end, 700 from its begin on
		{1450, 1500, 1600, 2000, true},
		{900, 2100, 1000, 1000, true}, // all of it
		{2100, 2500, 1000, 2000, true},
		{2101, 2500, 1000, 2000, false},
	} {
		o := sectionSpan{from: 1000, to: 2000}
		if cut := o.trim(c.begin, c.end); cut != c.cut || o.from != c.from || o.to != c.to {
			t.Errorf("by %d to %d: %+v, %v; want %+v", c.begin, c.end, o, cut, c)
		}
	}
	o, short := sectionSpan{from: 1000, to: 2000}, sectionSpan{from: 1000, to: 1100}
	for at, want := range map[int64]int64{0: 1100, 1100: 1100, 1101: 1101, 1899: 1899, 1900: 1900, 5000: 1900} {
		if got := o.inside(at); got != want {
			t.Errorf("%d is put to %d, want %d", at, got, want)
		}
	}
	if a, b := short.inside(0), short.inside(5000); a != 1050 || b != 1050 {
		t.Errorf("in a short one: %d, %d", a, b)
	}
}

// How likely a hit was late is the integral over all times that its lookup may have failed
// at; the likeliest of them is where it is put.
func TestExplainAgainstIntegral(t *testing.T) {
	p := replaytest.Machine(t)
	var table gapTable
	for i := range int64(300) {
		table.add(4000 + 3*i)
	}
	in := &inference{rec: p.Recorder, cost: 3000, edgeError: 150, late: firstDelays()}
	lateOnes := 0
	rapid.Check(t, func(t *rapid.T) {
		const prev = 100_000
		stamp := prev + rapid.Int64Range(3000, 40_000).Draw(t, "gap")
		from := prev + rapid.Int64Range(-3000, 30_000).Draw(t, "from")
		o := sectionSpan{from: from, to: from + rapid.Int64Range(500, 20_000).Draw(t, "hold")}
		e := in.explain(&table, []*sectionSpan{&o}, prev, stamp, nil)
		arrived := stamp - p.Recorder.HitLag
		late, most := 0.0, 0.0
		low, high := max(o.from-in.edgeError, prev-p.Recorder.HitLag), min(o.to+in.edgeError, arrived-in.cost-delayMin)
		if o.to <= arrived {
			for end := low; end < high; end++ {
				w := table.density(end+p.Recorder.HitLag-prev) * in.delayDensity(arrived-in.cost-end) * o.covers(end, in.edgeError)
				late += w
				most = max(most, w)
			}
		}
		onTime := table.density(stamp-prev) * (1 - 0.9*o.covers(arrived-p.Recorder.Window/2, in.edgeError))
		if math.Abs(e.onTime/onTime-1) > 1e-9 || math.Abs(e.late-late) > 0.6*late+600*most { // it goes by steps, of an eighth of the shorter time
			t.Fatalf("on time %v, want %v; late %v, want %v", e.onTime, onTime, e.late, late)
		}
		if s := e.share(); math.Abs(s-e.late/(e.late+e.onTime)) > 1e-12 {
			t.Fatalf("share %v of %+v", s, e)
		}
		if e.late == 0 {
			return
		}
		lateOnes++
		if edge := min(sectionEdge, (o.to-o.from)/2); e.begin < o.from+edge || e.begin > o.to-edge {
			t.Fatalf("begins at %d, not in %+v", e.begin, o)
		}
	})
	if lateOnes == 0 {
		t.Error("vacuous: no hit may have been late")
	}
}

// Without lock events the hits of a known recorder are found late where they were, and
// placed when their lookups failed.
func TestInferenceOfKnownRecorder(t *testing.T) {
	p := replaytest.Machine(t)
	for _, c := range []struct{ recording, cost int64 }{{6500, 7500}, {2000, 3000}} {
		rows, late := replaytest.Loop(t, c.recording, c.cost)
		trace := replaytest.Made(rows)
		s, err := TakeSurvey(t.Context(), trace)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Reconstruct(t.Context(), trace, s, Config{Using: Syscalls, Profile: p})
		if err != nil {
			t.Fatal(err)
		}
		var found, right, placed, expected int64
		for op, ok := r.Next(); ok; op, ok = r.Next() {
			o := op.Origin
			expected += o.Likely
			if op.Kind != sim.OpHit || op.At == o.Time-p.Recorder.HitLag-p.Recorder.Window {
				continue
			}
			if found++; o.Truth == nil {
				continue
			}
			right++
			if off := op.At - (o.Truth.LockStart - p.Recorder.FailLag - p.Recorder.Window); off > -700 && off < 700 {
				placed++
			}
		}
		if right < found*95/100 || right < late*95/100 || placed < right*9/10 {
			t.Errorf("recording %d, cost %d: %d hits are late, %d of them were, of %d; %d in their places", c.recording, c.cost, found, right, late, placed)
		}
		if got := float64(expected) / 1e6; math.Abs(got/float64(late)-1) > 0.05 {
			t.Errorf("%v fallbacks expected of %d", got, late)
		}
	}
}

// Delays are told apart by 100 ns up to a microsecond, and by a quarter of an octave above;
// at first more than half are within the noise of the recorder.
func TestDelays(t *testing.T) {
	bin := func(ns int64) (low, width float64) {
		switch {
		case ns < -376:
			return -476, 100
		case ns < 1024:
			return math.Floor(float64(ns+476)/100)*100 - 476, 100
		}
		octave := math.Exp2(math.Floor(math.Log2(float64(ns))))
		return octave + math.Floor(4*(float64(ns)-octave)/octave)*octave/4, octave / 4
	}
	in := &inference{}
	last := int64(1024) << ((len(in.late) - 15) / 4) // where the bins end: what is longer is in the last
	for i := range in.late {
		in.late[i] = float64(i + 1)
	}
	for ns := int64(-476); ns < last; ns += 1 + max(ns, 0)/300 {
		low, width := bin(ns)
		at := delayBin(ns)
		if l, _ := bin(ns - 1); ns > -476 && (delayBin(ns-1) == at) != (l == low) {
			t.Fatalf("%d and %d ns: bins %d and %d", ns-1, ns, delayBin(ns-1), at)
		}
		if got := in.delayDensity(ns); math.Abs(got*width-float64(at+1)) > 1e-9 {
			t.Fatalf("%d ns: %v a ns in a bin of %v", ns, got, width)
		}
	}
	if in.delayDensity(-477) != 0 || delayBin(-5000) != 0 || delayBin(last-1) != len(in.late)-1 || delayBin(100*last) != len(in.late)-1 {
		t.Error("what is earlier or later has a bin of its own")
	}
	in.late = firstDelays()
	early, near, all := 0.0, 0.0, 0.0
	for ns := int64(-600); ns < 140_000; ns++ {
		d := in.delayDensity(ns)
		all += d
		if ns < -76 { // where a bin ends
			early += d
		}
		if ns < 524 {
			near += d
		}
	}
	// By the table: 0.033 + 0.053 + 0.073 below -100 ns, 0.583 below 500; its tail is cut.
	if math.Abs(early-0.159381) > 1e-6 || math.Abs(near-0.583162) > 1e-6 || math.Abs(all-0.963107) > 1e-6 {
		t.Errorf("%v below -76 ns, %v below 524, %v in all", early, near, all)
	}
}

// What a recorder adds to calls is guessed from the shortest, where there are enough.
func TestRecordingGuess(t *testing.T) {
	survey := func(kind traces.Kind, n int, dur int64, stacked int) *Survey {
		s := NewSurveyor()
		for i := range n {
			ev := traces.Event{Kind: kind, TID: 1, Dur: dur, Has: traces.ColTID | traces.ColDur | traces.ColRet}
			if i%10 == 9 {
				ev.Dur *= 100
			}
			if i < stacked {
				ev.Stack, ev.Has = []string{"a"}, ev.Has|traces.ColStack
			}
			s.Add(&ev)
		}
		return s.Finish(traces.Meta{})
	}
	for _, c := range []struct {
		name string
		*Survey
		want int64
	}{
		{"mmap", survey(traces.Mmap, 20, 3166+700, 0), 700},
		{"mprotect", survey(traces.Mprotect, 40, 1483+700, 0), 700},
		{"brk", survey(traces.Brk, 40, 800+700, 0), 700},
		{"munmap takes what it takes", survey(traces.Munmap, 40, 5000, 0), 0},
		{"too few", survey(traces.Mmap, 19, 3166+700, 0), 0},
		{"faster than known", survey(traces.Mmap, 40, 2000, 0), 0},
		{"with callchains half of it is before the lock", survey(traces.Mmap, 40, 3166+700, 21), 350},
		{"half of them have one", survey(traces.Mmap, 40, 3166+700, 20), 700},
	} {
		if got := c.recordingGuess(); got != c.want {
			t.Errorf("%s: %d ns, want %d", c.name, got, c.want)
		}
	}
	both := NewSurveyor()
	for i := range 80 {
		ev := traces.Event{Kind: traces.Mmap, TID: 1, Dur: 3166 + 1000, Has: traces.ColTID | traces.ColDur | traces.ColRet}
		if i < 20 {
			ev.Kind, ev.Dur = traces.Brk, 800+200
		}
		both.Add(&ev)
	}
	if got := both.Finish(traces.Meta{}).recordingGuess(); got != (60*1000+20*200)/80 {
		t.Errorf("of two kinds: %d ns", got)
	}
}

// A lock is a syscall's from the instant of its begin to that of its end, and else of what
// its stack says.
func TestWhatALockIsFor(t *testing.T) {
	call := &syscallRow{kind: "munmap", from: 100, to: 200}
	for at, want := range map[int64]string{99: otherKind, 100: "munmap", 150: "munmap", 200: "munmap", 201: otherKind} {
		if got := newLockKinds().of(call, at, nil); got != want {
			t.Errorf("a lock at %d is for %s, want %s", at, got, want)
		}
	}
	if got := newLockKinds().of(&syscallRow{}, 0, nil); got != otherKind {
		t.Errorf("a lock in no syscall is for %q", got)
	}
	kinds := SectionKinds()
	for kind := traces.Mmap; kind <= traces.Madvise; kind++ {
		if slices.Index(kinds, kind.String()) != int(kind-traces.Mmap) {
			t.Errorf("%v is not in its place among %q", kind, kinds)
		}
	}
	if kinds[len(kinds)-1] != otherKind || !slices.Contains(kinds, "fault") || len(slices.Compact(slices.Sorted(slices.Values(kinds)))) != len(kinds) {
		t.Errorf("kinds %q", kinds)
	}
}

// An end without a beginning is put down to a loss up to a second before it, and a beginning
// without an end to the latest loss that it is not after.
func TestReachOfALoss(t *testing.T) {
	at := func() *losses { return &losses{spans: []span{{5_000, 6_000}}} }
	for when, want := range map[int64]span{
		5_500: {5_000, 6_000}, 7_000: {5_000, 7_000}, 6_000 + lossReach - 1: {5_000, 6_000 + lossReach - 1}, 6_000 + lossReach: {5_000, 6_000},
	} {
		l := at()
		if l.endOnly(when); l.spans[0] != want {
			t.Errorf("with an end at %d: %v, want %v", when, l.spans[0], want)
		}
	}
	for when, want := range map[[2]int64]span{
		{4_000, 5_500}: {4_000, 6_000}, {5_500, 7_000}: {5_000, 7_000}, {6_000, 7_000}: {5_000, 7_000}, {6_001, 7_000}: {5_000, 6_000},
		{4_000, 6_000 + lossReach - 1}: {4_000, 6_000 + lossReach - 1}, {4_000, 6_000 + lossReach}: {5_000, 6_000},
	} {
		l := at()
		if l.beginOnly(when[0], when[1]); l.spans[0] != want {
			t.Errorf("with a beginning at %d by %d: %v, want %v", when[0], when[1], l.spans[0], want)
		}
	}
	none := &losses{}
	none.endOnly(1)
	none.beginOnly(1, 2)
	if len(none.spans) != 0 {
		t.Errorf("losses %v of nothing", none.spans)
	}
}

// A loss may have changed what touches it by a margin to either side.
func TestTouchOfALoss(t *testing.T) {
	l := &losses{spans: []span{{5_000_000, 6_000_000}, {6_000_000 + 2*lossMargin, 7_000_000 + 2*lossMargin}, {9_000_000, 9_500_000}}}
	l.merge()
	for at, want := range map[span]bool{
		{1, 5_000_000 - lossMargin}: true, {1, 5_000_000 - lossMargin - 1}: false, {6_500_000, 6_500_000}: true, {9_500_000 + lossMargin, 1 << 60}: true,
		{9_500_001 + lossMargin, 1 << 60}: false, {8_000_000, 8_800_000}: false, {8_000_000, 8_900_000}: true,
	} {
		if l.touch(at.from, at.to) != want {
			t.Errorf("%v is touched: %v", at, !want)
		}
	}
	if len(l.spans) != 2 {
		t.Errorf("two that meet are not one: %v", l.spans)
	}
	if got := l.length(0, 1<<60); got != 1_000_000+1_000_000+4*lossMargin+500_000+2*lossMargin {
		t.Errorf("%d ns are undecided", got)
	}
}

// How late the stamps of failed lookups are is told by thirty, whose spread is small.
func TestFailedLag(t *testing.T) {
	for _, c := range []struct {
		n      int
		spread int64
		want   int64
	}{{30, 600, 250}, {29, 600, 77}, {30, 601, 77}, {1000, 0, 250}} {
		g := &recorderGaps{failed: dist.Durations{Count: c.n, Quarter: paceShift + 200, Median: paceShift + 250, ThreeQuarters: paceShift + 200 + c.spread}}
		if got := g.failedLag(77); got != c.want {
			t.Errorf("%+v: %d ns", c, got)
		}
	}
}

// Callchains that are as long as the longest were cut, and take another time than the others;
// where few tell, all that have one are alike. Of lookups that counts which most of them have.
func TestCallchainsOfLockStarts(t *testing.T) {
	of := func(starts, lookups map[int]int) *recorderGaps {
		g := &recorderGaps{}
		for frames, n := range starts {
			for range n {
				g.deep[frames].Add(int64(100 * frames))
			}
		}
		for frames, n := range lookups {
			g.lookups[frames] = n
		}
		g.settleDeep()
		return g
	}
	const plain, stacked, cut, whole = "plain", "stacked", "cut", "whole"
	for name, c := range map[string]struct {
		*recorderGaps
		starts map[int]string // by frames
		lookup string
	}{
		"some were cut":      {of(map[int]int{5: 20, 64: 20}, map[int]int{5: 2, 64: 3}), map[int]string{0: plain, 1: whole, 5: whole, 63: whole, 64: cut, 90: cut}, cut},
		"too few":            {of(map[int]int{5: 19, 64: 19}, map[int]int{5: 2, 64: 3}), map[int]string{0: plain, 1: stacked, 64: stacked}, stacked},
		"of one length":      {of(map[int]int{5: 20}, map[int]int{5: 20}), map[int]string{0: plain, 4: stacked, 5: cut, 6: stacked}, cut},
		"lookups alone":      {of(map[int]int{5: 20}, map[int]int{9: 1}), map[int]string{5: whole, 9: stacked}, stacked},
		"as many of each":    {of(map[int]int{5: 20, 9: 20}, map[int]int{5: 2, 9: 2}), map[int]string{5: whole, 9: cut}, whole},
		"no lookups":         {of(map[int]int{5: 20, 9: 20}, nil), map[int]string{5: whole, 9: cut}, stacked},
		"without callchains": {of(map[int]int{5: 20, 9: 20}, map[int]int{0: 9, 5: 3}), map[int]string{5: whole}, stacked},
	} {
		names := map[*dist.Durations]string{&c.start[0]: plain, &c.start[1]: stacked, &c.cut: cut, &c.whole: whole}
		for frames, want := range c.starts {
			if got := names[c.startLike(frames)]; got != want {
				t.Errorf("%s: one of %d frames is like the %s ones, want %s", name, frames, got, want)
			}
		}
		if got := names[c.lookupStart()]; got != c.lookup {
			t.Errorf("%s: a lookup's is like the %s ones, want %s", name, got, c.lookup)
		}
		if c.cut.Count > 0 && c.cut.Median != 100*c.longest {
			t.Errorf("%s: of %d frames it takes %d", name, c.longest, c.cut.Median)
		}
	}
}

// What a survey measures between two rows of a thread, each once.
func TestMeasuredGaps(t *testing.T) {
	const columns = traces.ColTID | traces.ColPID | traces.ColCPU
	row := func(at int64, kind traces.Kind, stack ...string) traces.Event {
		return traces.Event{Kind: kind, Time: at, TID: 11, PID: 10, Stack: stack, Has: columns}
	}
	call := func(at, dur int64) traces.Event {
		ev := row(at, traces.Munmap)
		ev.Dur, ev.Has = dur, columns|traces.ColDur|traces.ColRet
		return ev
	}
	start := func(at int64, write bool, stack ...string) traces.Event {
		ev := row(at, traces.LockStart, stack...)
		ev.Write, ev.Has = write, columns|traces.ColWrite
		return ev
	}
	lookup := func(at int64) traces.Event {
		ev := start(at, false, "a", "b")
		ev.InUprobe, ev.Has = true, ev.Has|traces.ColInUprobe
		return ev
	}
	hit := func(at int64) traces.Event { return row(at, traces.Hit) }
	for _, c := range []struct {
		name string
		rows []traces.Event
		want [8]int // starts without and with a callchain, releases without and with one, cold, lookups of 2 frames, arrived, stamped
	}{
		{"a lock_start", []traces.Event{start(1000, true), row(1500, traces.LockAcquired)}, [8]int{0: 1}},
		{"with a callchain", []traces.Event{start(1000, true, "a"), row(1500, traces.LockAcquired)}, [8]int{1: 1}},
		{"a release in a syscall", []traces.Event{call(1000, 1000), row(1500, traces.LockReleased), row(2000, traces.Hit)}, [8]int{2: 1}},
		{"with a callchain", []traces.Event{call(1000, 1000), row(1500, traces.LockReleased, "a"), row(3000, traces.Hit)}, [8]int{3: 1}},
		{"that does not end before the next row", []traces.Event{call(1000, 1000), row(1500, traces.LockReleased), row(1999, traces.Hit)}, [8]int{}},
		{"at its end", []traces.Event{call(1000, 500), row(1500, traces.LockReleased), row(2000, traces.Hit)}, [8]int{}},
		{"a writer after its syscall's entry", []traces.Event{call(1000, 90_000), start(1000+coldGapMax-1, true)}, [8]int{4: 1}},
		{"too long after", []traces.Event{call(1000, 90_000), start(1000+coldGapMax, true)}, [8]int{}},
		{"a reader", []traces.Event{call(1000, 90_000), start(2000, false)}, [8]int{}},
		{"a lookup", []traces.Event{hit(500), lookup(1000)}, [8]int{5: 1, 6: 1}},
		{"and what comes of it", []traces.Event{hit(500), lookup(1000), row(1100, traces.LockAcquired), row(1200, traces.LockReleased), row(1300, traces.Arrive)}, [8]int{5: 1, 6: 1}},
		{"of a return", []traces.Event{hit(500), lookup(1000), row(1100, traces.Ret)}, [8]int{5: 1}},
		{"of a hit", []traces.Event{hit(500), lookup(1000), hit(1100)}, [8]int{5: 1}},
		{"a hit that arrived", []traces.Event{row(1000, traces.Arrive), hit(1700), hit(2000)}, [8]int{7: 1}},
	} {
		s := NewSurveyor()
		for i := range c.rows {
			s.Add(&c.rows[i])
		}
		cold := 0
		for i := range s.gaps.cold {
			cold += s.gaps.cold[i].Count
		}
		got := [8]int{s.gaps.start[0].Count, s.gaps.start[1].Count, s.gaps.released[0].Count, s.gaps.released[1].Count, cold, s.gaps.lookups[2], index(s.Threads[11].arrived != 0), int(s.stamped)}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		over := int64(0)
		for i := range c.rows {
			over = max(over, c.rows[i].Time+c.rows[i].Dur)
		}
		if s.Threads[11].Over != over {
			t.Errorf("%s: the thread may be at something until %d, want %d", c.name, s.Threads[11].Over, over)
		}
		if s.gaps.arrived.Summarise(); s.gaps.arrived.Count != c.want[7] || c.want[7] > 0 && s.gaps.arrived.Median != 700 {
			t.Errorf("%s: %d after its arrival", c.name, s.gaps.arrived.Median)
		}
	}
}

// A CPU is cold from 0.3 ms on, as far as eight tell; else as cold as for a shorter time.
func TestColdCPUs(t *testing.T) {
	g := &recorderGaps{}
	for bin, c := range map[int]struct {
		n  int
		ns int64
	}{0: {20, 1000}, 2: {8, 5000}, 3: {8, 1800}, 4: {7, 9000}, 5: {8, 1500}, 6: {9, 2500}} {
		for range c.n {
			g.cold[bin].Add(c.ns)
		}
	}
	g.summarise()
	if want := [len(coldEdges) + 1]int64{3: 800, 4: 800, 5: 800, 6: 1500}; g.coldExtra != want {
		t.Errorf("later by %v, want %v", g.coldExtra, want)
	}
	for idle, want := range map[int64]int{0: 0, coldEdges[0] - 1: 0, coldEdges[0]: 1, coldEdges[5] - 1: 5, coldEdges[5]: 6, 1 << 60: 6} {
		if got := coldBin(idle); got != want {
			t.Errorf("%d ns: bin %d, want %d", idle, got, want)
		}
	}
}

// A lock_acquired that says how it ended is refused where that is an error, and not with 0.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		ev   traces.Event
		want bool
	}{
		{traces.Event{Kind: traces.LockAcquired, Ret: -4, Has: traces.ColRet}, true},
		{traces.Event{Kind: traces.LockAcquired, Ret: 0, Has: traces.ColRet}, false},
		{traces.Event{Kind: traces.LockAcquired, Ret: -4}, false},
		{traces.Event{Kind: traces.LockReleased, Ret: -4, Has: traces.ColRet}, false},
	} {
		if refused(&c.ev) != c.want {
			t.Errorf("%v with %d: refused %v", c.ev.Kind, c.ev.Ret, !c.want)
		}
	}
}

// The median of gaps is the lowest bin by which half of them are reached.
func TestMedianGap(t *testing.T) {
	for _, c := range []struct {
		gaps []int64
		want int64
	}{{[]int64{1024}, 1024}, {[]int64{16, 1024}, 16}, {[]int64{16, 1024, 1024}, 1024}, {[]int64{16, 16, 1024, 4096}, 16}} {
		var g gapTable
		for _, ns := range c.gaps {
			g.add(ns)
		}
		if got := g.median(); got != c.want {
			t.Errorf("of %v: %d, want %d", c.gaps, got, c.want)
		}
	}
}

// A pace is steady up to where the longest gap is half as long again as the median.
func TestPaceByHand(t *testing.T) {
	for _, c := range []struct {
		gaps []int64
		want int64
	}{{[]int64{100, 100, 100, 100}, 0}, {[]int64{90, 100, 150, 80, 120}, 100}, {[]int64{90, 100, 151, 80, 120}, 0}, {[]int64{999, 90, 100, 150, 80, 120}, 100}} {
		var p pace
		for _, ns := range c.gaps {
			p.add(ns)
		}
		if got := p.usual(); got != c.want {
			t.Errorf("after %v: %d, want %d", c.gaps, got, c.want)
		}
	}
}

// Products of many densities are compared as their logarithms are, where those tell them apart.
func TestLikelihoods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() (l likelihood, log float64) {
			l = likelihood{m: 1}
			for _, d := range rapid.SliceOfN(rapid.Float64Range(1e-9, 4), 0, 400).Draw(t, "densities") {
				l.times(d)
				log += math.Log(d)
			}
			return l, log
		}
		a, x := draw()
		b, y := draw()
		if rapid.Bool().Draw(t, "near") {
			b, y = a, x
			d := rapid.Float64Range(0.5, 2).Draw(t, "by")
			b.times(d)
			y += math.Log(d)
		}
		if math.Abs(x-y) > 1e-6 && (a.over(b) != (x > y) || b.over(a) != (y > x)) {
			t.Fatalf("%+v over %+v: %v, with logarithms %v and %v", a, b, a.over(b), x, y)
		}
		if a.over(a) || !a.over(unlikely) || unlikely.over(a) {
			t.Fatalf("%+v over itself, or not over what is unlikely", a)
		}
	})
}

// A survey may be of one CPU, and of none and of more than there are.
func TestKeptCPUs(t *testing.T) {
	for cpus, ok := range map[int]bool{-1: false, 0: false, 1: true, 1 << 20: true, 1<<20 + 1: false} {
		s := newSurvey()
		s.CPUs = cpus
		if err := s.check(); (err == nil) != ok {
			t.Errorf("%d CPUs: %v", cpus, err)
		}
	}
}

// A key that is there twice, or not after the one before it, is damage.
func TestKeptKeys(t *testing.T) {
	for _, c := range []struct {
		keys []int64
		ok   bool
	}{{[]int64{1, 2, 9}, true}, {[]int64{1, 1}, false}, {[]int64{2, 1}, false}, {[]int64{7}, true}} {
		w := &archive{}
		w.length(len(c.keys))
		for _, k := range c.keys {
			w.numbers(&k, &k)
		}
		r := &archive{reads: true, bytes: w.bytes}
		var m map[int64]int64
		table(r, &m, cmp.Compare[int64], func(k *int64) { r.numbers(k) }, func(v *int64) { r.numbers(v) })
		if (r.err == nil) != c.ok || c.ok && len(m) != len(c.keys) {
			t.Errorf("keys %v: %v, %v", c.keys, m, r.err)
		}
	}
}

// Who has an address space for write is counted in and out, and who has it for read is not.
func TestWritersOfAnAddressSpace(t *testing.T) {
	write, read := &lockHold{tid: 1, write: true}, &lockHold{tid: 2}
	m := &lockedMM{holds: []*lockHold{write, read}, writing: 1}
	if m.dropHold(read); m.writing != 1 || m.holdOf(2) != nil || m.holdOf(1) != write {
		t.Errorf("without the reader: %+v", m)
	}
	if m.dropHold(write); m.writing != 0 || len(m.holds) != 0 {
		t.Errorf("without the writer: %+v", m)
	}
}
