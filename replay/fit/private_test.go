package fit

import (
	"testing"

	"github.com/replay/replay/sim"
)

// The lookup keeps its cycles; the rest of a hit's is before and after it in equal parts.
func TestSetPrivate(t *testing.T) {
	for _, test := range []struct{ total, entry, exit int64 }{{700, 300, 300}, {701, 300, 301}, {100, 0, 0}, {50, 0, 0}} {
		m := sim.Machine{}
		m.Hit.LookupCycles, m.Hit.EntryCycles = 100, 7
		if setPrivate(&m, test.total); m.Hit.LookupCycles != 100 || m.Hit.EntryCycles != test.entry || m.Hit.ExitCycles != test.exit {
			t.Errorf("%d cycles: %+v, want %d before and %d after", test.total, m.Hit, test.entry, test.exit)
		}
	}
}
