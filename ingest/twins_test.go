package ingest

import (
	"testing"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// What two recorders heard of one event is the same in all that the kernel says of it, and
// at nearly the same time.
func TestTwins(t *testing.T) {
	first := assemble.Record{Phase: assemble.Enter}
	first.Kind, first.Time, first.TID, first.Addr, first.Len, first.Mm = traces.Mmap, 1_000_000, 7, 0x7000, 4096, 0xffff
	goesOn, ended := func(int32) bool { return true }, func(int32) bool { return false }
	for name, test := range map[string]struct {
		change func(*assemble.Record)
		goesOn func(int32) bool
		twin   bool
	}{
		"the same":              {func(r *assemble.Record) {}, goesOn, true},
		"50 µs later":           {func(r *assemble.Record) { r.Time += 50_000 }, goesOn, true},
		"more than that later":  {func(r *assemble.Record) { r.Time += 50_001 }, goesOn, false},
		"of another thread":     {func(r *assemble.Record) { r.TID = 8 }, goesOn, false},
		"of another mapping":    {func(r *assemble.Record) { r.Addr = 0x8000 }, goesOn, false},
		"of another length":     {func(r *assemble.Record) { r.Len = 8192 }, goesOn, false},
		"of another result":     {func(r *assemble.Record) { r.Ret = -12 }, goesOn, false},
		"of another mm":         {func(r *assemble.Record) { r.Mm = 0xfffe }, goesOn, false},
		"its end":               {func(r *assemble.Record) { r.Phase = assemble.Leave }, goesOn, false},
		"of the same input":     {func(r *assemble.Record) { r.Src = 0 }, goesOn, false},
		"of the input after it": {func(r *assemble.Record) { r.Time += 10 }, ended, false},
		"a hit":                 {func(r *assemble.Record) { r.Kind = traces.Hit }, goesOn, false},
	} {
		var w twins
		one, two := first, first
		two.Src = 1
		test.change(&two)
		one.Kind = two.Kind
		if w.second(&one, test.goesOn) {
			t.Errorf("%s: the first one has a twin", name)
		}
		if got := w.second(&two, test.goesOn); got != test.twin || (len(w.warnings()) == 1) != test.twin {
			t.Errorf("%s: a twin: %v, want %v (%q)", name, got, test.twin, w.warnings())
		}
	}
}

// Of three recorders' records of an event, two are twins of the first; a fourth is another
// event, since each input has it once.
func TestTwinsOfThree(t *testing.T) {
	var w twins
	for i, test := range []struct {
		src  int32
		twin bool
	}{{0, false}, {1, true}, {2, true}, {1, false}, {0, true}} {
		r := assemble.Record{}
		r.Kind, r.Time, r.TID, r.Src = traces.LockStart, int64(1000+i), 7, test.src
		if got := w.second(&r, func(int32) bool { return true }); got != test.twin {
			t.Errorf("record %d, of input %d: a twin: %v", i, test.src, got)
		}
	}
	if w.n != 3 {
		t.Errorf("%d twins, want 3", w.n)
	}
}
