package reports

import (
	"strings"
	"testing"

	"github.com/replay/replay/sim/explore"
)

// A verdict that was not expected is marked, shown with its steps and counted; one that
// the bound prevented is no verdict.
func TestProofText(t *testing.T) {
	var plan []explore.Exploration
	for _, c := range explore.BuiltIn() {
		if c.Name == "mp" {
			var err error
			if plan, err = explore.Plan([]*explore.Case{c}, explore.Selection{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	proof := NewProof()
	for _, e := range plan {
		if e.Options.Model == explore.Weak {
			e.Counterexample = false // a mistake
		}
		if e.Options.Model == explore.TSO {
			e.Options.States = 3
		}
		r, err := explore.Run(t.Context(), e.Case, e.Options)
		if err != nil {
			t.Fatal(err)
		}
		proof.Add(e, r)
	}
	if proof.Surprises() != 1 || proof.Unknown() != 1 || proof.Counterexamples() != 1 {
		t.Errorf("%d surprises, %d unknown, %d counterexamples", proof.Surprises(), proof.Unknown(), proof.Counterexamples())
	}
	var b strings.Builder
	if err := proof.Text(&b, false, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"mp  all rules  holds           sc    12\n",
		"counterexample  weak  14    NOT EXPECTED\n",
		"unknown         tso   4\n",
		"Counterexample of mp, weak\nnever: the end that must not be is reached\n",
		"1 reached the bound, which says nothing",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestLong(t *testing.T) {
	for seconds, want := range map[float64]string{59: "0 minutes", 120: "2 minutes", 466: "7 minutes", 7200: "2 hours", 1e6: "11 days", 1e9: "31 years"} {
		if got := long(seconds); got != want {
			t.Errorf("%v s: %s, want %s", seconds, got, want)
		}
	}
}
