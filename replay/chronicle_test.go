package replay

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// TestChronicle holds that nothing is lost when slices double, and that a hit's
// span points at the section that it blames.
func TestChronicle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChronicle(Window{})
		var hits int64
		var held, at sim.Time
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			at += sim.Time(rapid.Int64Range(0, int64(3*sim.Millisecond)).Draw(t, "gap"))
			o := &timeline.Origin{Class: &timeline.Class{Kind: "munmap", TID: int32(at % 1000)}}
			length := sim.Time(rapid.Int64Range(0, int64(sim.Millisecond)).Draw(t, "hold"))
			wait := sim.Time(rapid.Int64Range(0, int64(at)).Draw(t, "wait"))
			c.section(&sim.Section{Requested: at - wait, Acquired: at, Even: at + length, Released: at + length + wait}, o)
			held += length
			c.hit(&sim.HitRecord{Outcome: sim.WriterActive, Trap: at, Lookup: sim.Lookup{Outcome: sim.WriterActive, Start: at, Blame: o}}, &timeline.Origin{Class: &timeline.Class{TID: -1}})
			hits++
		}
		var r Run
		c.finish(&r)
		var gotHits int64
		var gotHeld sim.Time
		for _, s := range r.Series.Slices {
			gotHits += s.Outcomes[sim.WriterActive]
			gotHeld += s.Held
		}
		if gotHits != hits || gotHeld != held || len(r.Series.Slices) > MaxSlices {
			t.Fatalf("%d hits, %v held in %d slices; want %d and %v", gotHits, gotHeld, len(r.Series.Slices), hits, held)
		}
		for _, s := range r.Spans {
			if s.Kind == FallbackSpan && (s.Blame < 0 || r.Spans[s.Blame].Kind != SectionSpan || r.Spans[s.Blame].LockedAt != s.Start) {
				t.Fatalf("span %+v blames the wrong section", s)
			}
		}
	})
}

// A span is kept where any of it is in the window: of a lookup, what it took from its begin
// to its answer.
func TestSpansInWindow(t *testing.T) {
	for _, test := range []struct {
		from, to sim.Time // of a lookup, whose trap is long before
		section  bool     // that is asked for at 100, held from 200 and released at 300
		kept     int
	}{
		{1000, 2000, true, 0}, {999, 2000, false, 0}, {400, 499, false, 0}, {400, 500, false, 1}, {600, 700, false, 1}, {900, 1000, false, 1}, {901, 1000, false, 0},
		{100, 150, true, 1}, {250, 260, true, 1}, {300, 400, true, 1}, {301, 400, true, 0}, {50, 99, true, 0},
	} {
		c := newChronicle(Window{From: test.from, To: test.to})
		if test.section {
			c.section(&sim.Section{Requested: 100, Acquired: 200, Even: 250, Released: 300}, &timeline.Origin{Class: &timeline.Class{}})
		} else {
			c.hit(&sim.HitRecord{Outcome: sim.WriterActive, Trap: 10, Lookup: sim.Lookup{Outcome: sim.WriterActive, Start: 500, Answered: 900}}, &timeline.Origin{Class: &timeline.Class{}})
		}
		var r Run
		if c.finish(&r); len(r.Spans) != test.kept || r.SpansDropped != 0 {
			t.Errorf("from %d to %d, a section %v: %d spans, want %d", test.from, test.to, test.section, len(r.Spans), test.kept)
		}
	}
}
