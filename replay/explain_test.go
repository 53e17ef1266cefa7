package replay

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// Of the hits that waited, the longest are kept, longest first, or those nearest to a time;
// what one waited for is told as it was, if it is still known.
func TestSlowHits(t *testing.T) {
	origin := func(seq int64, comm string) *timeline.Origin {
		return &timeline.Origin{Class: &timeline.Class{Comm: comm, PID: 1, TID: int32(seq), Kind: "munmap"}, Seq: seq}
	}
	writer, unseen := origin(100, "writer"), origin(101, "unseen")
	tell := func(s *slowHits) {
		s.section(&sim.Section{Op: sim.Op{Tag: writer}, Requested: 1, Acquired: 2, Released: 30})
		for i, wait := range []sim.Time{5, 0, 9, 7, 9, 1} {
			at := sim.Time(100 * i)
			h := &sim.HitRecord{Op: &sim.Op{Tag: origin(int64(i), "hit")}, Trap: at, End: at + wait}
			h.Parts.LockWait, h.Lookup.LockAt, h.Lookup.Blame = wait, at+1, any(writer)
			if i == 3 {
				h.Lookup.Blame = any(unseen)
			}
			s.hit(h)
		}
	}
	text := func(s *slowHits) (list string) {
		for _, h := range s.kept {
			list += fmt.Sprintf("%d:%d by %s %v %d-%d; ", h.Seq, h.Wait, h.Blame.Comm, h.Blame.Known, h.Blame.Acquired, h.Blame.Released)
		}
		return list
	}
	for _, test := range []struct {
		watch timeline.Watch
		want  string
	}{
		{timeline.Watch{Worst: 3, At: -1}, "2:9 by writer true 2-30; 4:9 by writer true 2-30; 3:7 by unseen false 0-0; "},
		{timeline.Watch{Worst: 3, At: 301, Nearby: 2}, "3:7 by unseen false 0-0; 2:9 by writer true 2-30; "},
		{timeline.Watch{Worst: 3, At: 0, Nearby: 2}, "0:5 by writer true 2-30; 2:9 by writer true 2-30; "},
		{timeline.Watch{Worst: 3, At: 490, Nearby: 1}, "5:1 by writer true 2-30; "},
	} {
		s := &slowHits{watch: test.watch, sections: map[*timeline.Origin]sim.Section{}}
		if tell(s); text(s) != test.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", test.watch, text(s), test.want)
		}
	}
}

// What was under way at a time, or else the nearest.
func TestUnder(t *testing.T) {
	span := func(x [2]sim.Time) (from, to sim.Time) { return x[0], x[1] }
	near := [][2]sim.Time{{10, 20}, {15, 30}, {40, 50}}
	for at, want := range map[sim.Time]string{9: "[[10ps 20ps]]", 10: "[[10ps 20ps]]", 14: "[[10ps 20ps]]", 15: "[[10ps 20ps] [15ps 30ps]]", 18: "[[10ps 20ps] [15ps 30ps]]", 30: "[[15ps 30ps]]", 20: "[[10ps 20ps] [15ps 30ps]]", 21: "[[15ps 30ps]]", 35: "[[10ps 20ps]]"} {
		if got := fmt.Sprint(under(near, at, span)); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
	if got := under(nil, 5, span); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// A window has what overlaps it, to the end where it has none.
func TestWindow(t *testing.T) {
	for _, test := range []struct {
		window   Window
		from, to sim.Time
		in       bool
	}{
		{Window{}, 5, 9, true}, {Window{From: 10}, 5, 9, false}, {Window{From: 10}, 5, 10, true}, {Window{From: 10}, 99, 100, true},
		{Window{From: 10, To: 20}, 20, 30, true}, {Window{From: 10, To: 20}, 21, 30, false}, {Window{From: 10, To: 20}, 5, 30, true},
	} {
		if got := test.window.Contains(test.from, test.to); got != test.in {
			t.Errorf("%+v has %d to %d: %v", test.window, test.from, test.to, got)
		}
	}
}

// Cells share a reconstruction whose profiles say the same of recordings, in both that
// they say, so many at a time.
func TestGroupsOfCells(t *testing.T) {
	base := replaytest.Machine(t)
	machine, recorder, sections := base.Clone(), base.Clone(), base.Clone()
	machine.Hit.ExitCycles++
	recorder.Recorder.HitLag++
	for kind, s := range sections.Sections {
		s.Start++
		sections.Sections[kind] = s
	}
	var cells []Cell
	for range MaxTogether {
		cells = append(cells, Cell{Profile: base})
	}
	cells = append(cells, Cell{Profile: recorder}, Cell{Profile: machine}, Cell{Profile: sections}, Cell{Profile: recorder})
	var sizes []int
	for _, g := range inGroups(cells) {
		sizes = append(sizes, len(g))
	}
	if fmt.Sprint(sizes) != fmt.Sprint([]int{MaxTogether, 2, 1, 1}) {
		t.Errorf("groups of %v", sizes)
	}
}

// What is said of single waits, worked out by hand: a writer and a lookup that wait for a writer.
func TestExplainByHand(t *testing.T) {
	var l lockRows
	l.hold(1, true, 0, 0.5, 0, 100)
	l.hold(2, true, 20, 131, 0, 150)
	lookup := l.add(traces.LockStart, 3, 60, false)
	lookup.InUprobe, lookup.Has = true, lookup.Has|traces.ColInUprobe
	l.add(traces.LockAcquired, 3, 152, false)
	l.add(traces.LockReleased, 3, 152.5, false)
	hit := l.add(traces.Hit, 3, 153, false)
	hit.Addr, hit.Probe, hit.Path, hit.Has = 0x1000, "app:f", "/app", hit.Has|traces.ColAddr|traces.ColProbe|traces.ColPath
	l.add(traces.Exit, 8, 30, false) // is seen on CPU 0
	trace, profile, options := l.trace(), replaytest.Machine(t), DefaultOptions()
	options.Resolvers = []string{"speculative", "locked"}
	explain := func(watch timeline.Watch) *Explanation {
		t.Helper()
		e, err := Explain(t.Context(), trace, profile, options, watch)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := explain(timeline.Watch{Worst: 2, At: -1})
	if !e.Locks || e.Path != "made" || e.Start != 50_000 || e.Resolver != "speculative" || e.Machine.CPUs != 2 || len(e.Unknown) != 0 {
		t.Errorf("%+v", e)
	}
	if len(e.Recorded) != 2 || e.Recorded[0].TID != 2 || e.Recorded[0].For != 111*sim.Microsecond || e.Recorded[1].TID != 3 || e.Recorded[1].For != 92*sim.Microsecond {
		t.Fatalf("recorded %+v", e.Recorded)
	}
	row := func(seq int64) *timeline.Scene {
		s := e.Scenes[seq]
		if s == nil {
			t.Errorf("row %d is told of, and is no scene", seq)
			s = &timeline.Scene{}
		}
		return s
	}
	for _, w := range e.Recorded {
		if s := row(w.Seq); s.Row.TID != w.TID || s.Row.Kind != traces.LockStart {
			t.Errorf("the wait of %d begins in %+v", w.TID, s.Row)
		}
		if len(w.Behind) == 0 || w.Behind[0].Hold.TID != 1 {
			t.Fatalf("%d waits behind %+v", w.TID, w.Behind)
		}
		if s := row(w.Behind[0].Hold.Seq); s.Row.TID != 1 {
			t.Errorf("it had the lock in %+v", s.Row)
		}
		if on := e.CPUs[w]; on == nil || on.CPU != w.TID%2 || on.TID != w.TID || on.From != 50_000+w.At.Nanos() || on.To != on.From+w.For.Nanos() {
			t.Errorf("%d went on as %+v", w.TID, on)
		}
	}
	if seen := e.CPUs[e.Recorded[0]].Seen; len(seen) != 1 || seen[0].TID != 8 {
		t.Errorf("on the CPU of the first was seen %+v", seen)
	}
	if len(e.Recorded[1].Ahead) != 1 || row(e.Recorded[1].Ahead[0].Seq).Row.TID != 2 {
		t.Errorf("ahead of the lookup: %+v", e.Recorded[1].Ahead)
	}
	if len(e.Simulated) != 1 {
		t.Fatalf("simulated %+v", e.Simulated)
	}
	h := e.Simulated[0]
	if h.TID != 3 || h.Outcome != sim.WriterActive || h.Wait < 80*sim.Microsecond || h.Wait > 95*sim.Microsecond || row(h.Seq).Row.Kind != traces.Hit {
		t.Errorf("%+v", h)
	}
	if b := h.Blame; b == nil || b.TID != 1 || !b.Known || b.Asked > b.Acquired || b.Acquired >= b.Released || row(b.Seq).Row.TID != 1 {
		t.Errorf("for %+v", h.Blame)
	}
	// At a time: who waits then, or else the nearest, in the recording and in the replay.
	for us, want := range map[sim.Time][]int{0: {1, 1}, 960: {1, 1}, 990: {1, 1}, 1030: {2, 1}, 1102: {1, 1}, 5000: {1, 1}} {
		e := explain(timeline.Watch{At: us * sim.Microsecond, Nearby: 9})
		if len(e.Recorded) != want[0] || len(e.Simulated) != want[1] {
			t.Errorf("at %d us: %d and %d waits, want %v", us, len(e.Recorded), len(e.Simulated), want)
		}
	}
	if e := explain(timeline.Watch{At: -1}); len(e.Recorded)+len(e.Simulated)+len(e.Scenes)+len(e.CPUs) != 0 {
		t.Errorf("nobody asked for any: %+v", e)
	}
}

// What lock events and hits do not tell is not explained, and a trace of neither not at all.
func TestExplainWithoutRows(t *testing.T) {
	explain := func(leave func(*traces.Event) bool) (*Explanation, error) {
		trace := replaytest.Begin(t, "churn-1x1", 6000)
		trace.List = slices.DeleteFunc(slices.Clone(trace.List), func(ev traces.Event) bool { return !leave(&ev) })
		return Explain(t.Context(), trace, replaytest.Machine(t), DefaultOptions(), timeline.Watch{Worst: 3, At: -1})
	}
	if _, err := explain(func(ev *traces.Event) bool { return ev.Kind == traces.Mmap }); !errors.Is(err, ErrNoHits) {
		t.Errorf("%v, want %v", err, ErrNoHits)
	}
	if e, err := explain(func(ev *traces.Event) bool { return ev.Kind != traces.Hit }); err != nil || !e.Locks || len(e.Recorded) != 3 || len(e.Simulated) != 0 || e.Machine.CPUs != 0 {
		t.Errorf("without hits: %+v, %v", e, err)
	}
	if e, err := explain(func(ev *traces.Event) bool { return !ev.Kind.IsLock() }); err != nil || e.Locks || len(e.Recorded) != 0 || len(e.Simulated) != 3 {
		t.Errorf("without lock events: %+v, %v", e, err)
	}
	nearest, err := Explain(t.Context(), replaytest.Begin(t, "churn-1x1", 6000), replaytest.Machine(t), DefaultOptions(), timeline.Watch{At: 0, Nearby: 5})
	if err != nil || len(nearest.Simulated) != 1 || len(nearest.Recorded) != 1 {
		t.Errorf("nearest to the begin: %+v, %v", nearest, err)
	}
	if e, err := explain(func(ev *traces.Event) bool { return ev.Kind == traces.Hit }); err != nil || len(e.Unknown) == 0 || len(e.Simulated) != 0 {
		t.Errorf("hits alone: %+v, %v", e, err)
	}
}
