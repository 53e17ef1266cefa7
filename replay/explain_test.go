package replay

import (
	"fmt"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
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
	for at, want := range map[sim.Time]string{9: "[[10ps 20ps]]", 10: "[[10ps 20ps]]", 18: "[[10ps 20ps] [15ps 30ps]]", 20: "[[10ps 20ps] [15ps 30ps]]", 21: "[[15ps 30ps]]", 35: "[[10ps 20ps]]"} {
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
