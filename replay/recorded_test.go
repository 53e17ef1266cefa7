package replay

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/traces"
)

// What the recorded kernel did is the same whatever is replayed: with more threads, or with
// hits and changes that the program might have left out.
func TestRecordedIsNotReplayed(t *testing.T) {
	for _, name := range []string{"churn-1x1", "nop5"} { // nop5 has two lookups to a hit
		trace := replaytest.Corpus(t, name)
		quick := func(o *Options) { o.Resolvers = []string{"ideal"} }
		want := play(t, trace, quick).Recorded
		if want.Lookups < want.Hits || (want.Lookups > want.Hits) != (name == "nop5") {
			t.Errorf("%s: %d lookups of %d hits", name, want.Lookups, want.Hits)
		}
		for _, rule := range []string{"", "hit: sample 10", "mmap: drop"} {
			res := play(t, trace, func(o *Options) {
				quick(o)
				if rule == "" {
					o.Clone = 3
					return
				}
				r, err := whatif.Parse(rule)
				if err != nil {
					t.Fatal(err)
				}
				o.WhatIf = append(o.WhatIf, r)
			})
			if d := cmp.Diff(want, res.Recorded); d != "" {
				t.Errorf("%s, what if %q (-as recorded +then):\n%s", name, rule, d)
			}
		}
	}
}

// Lookups that only returns tell of may fall back, too: they are among those that did or
// did not.
func TestRecordedLookupsOfReturns(t *testing.T) {
	rows := replaytest.Corpus(t, "churn-1x1").Rows(t)
	for i := range rows {
		if ev := &rows[i]; ev.Kind == traces.Hit && i%2 == 0 { // every other one as if of a return probe
			ev.Kind, ev.Addr, ev.Probe = traces.Ret, ev.Addr+64, "churn:other__return"
		}
	}
	returns := int64(0)
	for i := range rows {
		if rows[i].Kind == traces.Ret {
			returns++
		}
	}
	if returns == 0 || !slices.ContainsFunc(rows, func(ev traces.Event) bool { return ev.Kind == traces.Hit }) {
		t.Fatal("there are no hits and returns")
	}
	r := play(t, replaytest.Made(rows), func(o *Options) { o.Resolvers = []string{"ideal"} }).Recorded
	if r.Unseen != returns || r.Lookups != r.Hits+returns {
		t.Errorf("%d lookups, %d of %d returns and of %d hits", r.Lookups, r.Unseen, returns, r.Hits)
	}
}
