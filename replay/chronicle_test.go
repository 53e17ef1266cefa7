package replay

import (
	"fmt"
	"slices"
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

// What happens is in the slice of its time, and a section in all that it lies in, in whatever
// order they are told.
func TestSlicesByHand(t *testing.T) {
	const ns, us = sim.Nanosecond, sim.Microsecond
	c := newChronicle(Window{})
	o := &timeline.Origin{Class: &timeline.Class{}}
	for _, at := range []sim.Time{0, 999 * ns, us, 5 * us, 2*us - 1, 2 * us, us} {
		h := &sim.HitRecord{Trap: at}
		h.Parts.Lookup, h.Parts.LockWait = 10, 3
		c.hit(h, o)
	}
	c.section(&sim.Section{Acquired: 900 * ns, Even: 2100 * ns, Released: 3 * us}, o)
	c.section(&sim.Section{Acquired: 4 * us, Even: 5 * us, Released: 5 * us}, o)
	var r Run
	c.finish(&r)
	hits, held := []int64{2, 3, 1, 0, 0, 1}, []sim.Time{100 * ns, us, 100 * ns, 0, us, 0}
	if r.Series.Step != us || len(r.Series.Slices) != len(hits) {
		t.Fatalf("%d slices of %v", len(r.Series.Slices), r.Series.Step)
	}
	for i, s := range r.Series.Slices {
		if s.Hits() != hits[i] || s.Held != held[i] || s.LockWait != 3*sim.Time(hits[i]) || s.Resolve < 10*sim.Time(hits[i]) {
			t.Errorf("slice %d: %d hits, held for %v, %+v; want %d and %v", i, s.Hits(), s.Held, s, hits[i], held[i])
		}
	}
}

// The last slice ends where the most slices do; what comes then makes all of them twice as long.
func TestSlicesDouble(t *testing.T) {
	c := newChronicle(Window{})
	o := &timeline.Origin{Class: &timeline.Class{}}
	hit := func(at sim.Time) { c.hit(&sim.HitRecord{Trap: at}, o) }
	hit(sim.Microsecond)
	hit(MaxSlices*sim.Microsecond - 1)
	if s := &c.series; s.Step != sim.Microsecond || len(s.Slices) != MaxSlices || s.Slices[1].Hits() != 1 || s.Slices[MaxSlices-1].Hits() != 1 {
		t.Errorf("%d slices of %v", len(s.Slices), s.Step)
	}
	hit(MaxSlices * sim.Microsecond)
	if s := &c.series; s.Step != 2*sim.Microsecond || len(s.Slices) != MaxSlices/2+1 || s.Slices[0].Hits() != 1 || s.Slices[MaxSlices/2-1].Hits() != 1 || s.Slices[MaxSlices/2].Hits() != 1 {
		t.Errorf("%d slices of %v", len(s.Slices), s.Step)
	}
}

// Spans come by their begin, then CPU, thread, and as they were told; beyond the most that are
// kept they are counted. A lookup blames a section that is there.
func TestSpansByHand(t *testing.T) {
	c := newChronicle(Window{})
	origin := func(tid int32) *timeline.Origin { return &timeline.Origin{Class: &timeline.Class{TID: tid}} }
	section := func(at sim.Time, cpu, tid int32) *timeline.Origin {
		o := origin(tid)
		c.section(&sim.Section{Requested: at, Acquired: at, Even: at, Released: at + 10, CPU: cpu}, o)
		return o
	}
	section(500, 1, 7)
	section(500, 0, 8)
	blamed := section(400, 1, 9)
	section(500, 1, 6)
	lookup := func(at sim.Time, blame any, outcome sim.Outcome) {
		h := &sim.HitRecord{Outcome: outcome}
		h.Lookup = sim.Lookup{Outcome: outcome, Start: at, Answered: at + 5, Blame: blame}
		c.hit(h, origin(20))
	}
	lookup(450, blamed, sim.WriterActive)
	lookup(460, origin(30), sim.SeqChanged) // whose section is not there
	lookup(470, nil, sim.NoVMA)
	lookup(480, nil, sim.Lockless)
	lookup(490, nil, sim.Unconfigured)
	var r Run
	c.finish(&r)
	var got []string
	for _, s := range r.Spans {
		got = append(got, fmt.Sprint(int64(s.Start), "/", s.CPU, "/", s.TID, " blames ", s.Blame))
	}
	want := []string{"400/1/9 blames -1", "450/0/20 blames 0", "460/0/20 blames -1", "470/0/20 blames -1", "500/0/8 blames -1", "500/1/6 blames -1", "500/1/7 blames -1"}
	if !slices.Equal(got, want) || r.SpansDropped != 0 {
		t.Errorf("%q, %d dropped; want %q", got, r.SpansDropped, want)
	}
	for i := len(c.spans); i < MaxSpans+3; i++ {
		section(1000, 0, 1)
	}
	if c.finish(&r); len(r.Spans) != MaxSpans || r.SpansDropped != 3 {
		t.Errorf("%d spans, %d dropped", len(r.Spans), r.SpansDropped)
	}
}
