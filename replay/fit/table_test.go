package fit

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
)

// How much of a recording the parameters were fitted on.
const (
	fitted  = "fitted"        // on the recording itself
	program = "program"       // on other recordings of the program
	unseen  = "nothing of it" // on neither
	nowhere = "unknown"       // a wait that was not recorded
	tableIn = "| recording | fitted on | using | fallbacks | predicted | expected | F1 | lock wait |"
)

// table is what the README of this package says of the corpora.
var table = []struct {
	name  string
	seen  string
	using timeline.Using
}{
	{"stamped-1x1", program, timeline.Stamps},
	{"stamped-2x1", program, timeline.Stamps},
	{"stamped-1x3", program, timeline.Stamps},
	{"churn-1x1", fitted, timeline.Locks},
	{"javac", fitted, timeline.Locks},
	{"nop5", fitted, timeline.Locks},
	{"stress-malloc-z", program, timeline.Locks},
	{"stamped-1x1", program, timeline.Locks},
	{"stamped-2x1", program, timeline.Locks},
	{"stamped-1x3", program, timeline.Locks},
	{"locks-node", program, timeline.Locks},
	{"locks-git", unseen, timeline.Locks},
	{"locks-jem", unseen, timeline.Locks},
	{"light-1x1", program, timeline.Syscalls},
	{"light-1x3", program, timeline.Syscalls},
	{"light-javac", program, timeline.Syscalls},
	{"light-stress", program, timeline.Syscalls},
	{"light-node", program, timeline.Syscalls},
	{"light-jem", unseen, timeline.Syscalls},
	{"churn-1x1", fitted, timeline.Syscalls},
	{"javac", fitted, timeline.Syscalls},
	{"stress-malloc-z", program, timeline.Syscalls},
}

// tableRow is one line of it.
func tableRow(name, seen string, v *Validation) string {
	using := v.Using.String()
	if v.Using == timeline.Syscalls && !v.Waited {
		using = "light"
	}
	expected, wait := "", nowhere
	if v.Inferred {
		expected = fmt.Sprintf("%.0f (%.0f to %.0f)", v.Expected, v.Low, v.High)
	}
	if v.Waited {
		wait = fmt.Sprintf("%+.0f %%", 100*v.WaitError())
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %d | %s | %.3f | %s |", name, seen, using, v.Observed, v.Predicted, expected, v.F1(), wait)
}

// The figures of the README are those that come out. With -v it prints them.
func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("22 validations")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), tableIn+"\n|---|---|---|---|---|---|---|---|\n")
	if !ok {
		t.Fatalf("README.md has no table %s", tableIn)
	}
	rows := strings.Split(rest, "\n")
	short, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, some, ok := strings.Cut(string(short), tableIn+"\n|---|---|---|---|---|---|---|---|\n")
	for row := range strings.SplitSeq(some[:strings.Index(some, "\n\n")], "\n") {
		if !ok || !slices.Contains(rows, row) {
			t.Errorf("the README has a row that is not here: %s", row)
		}
	}
	outside := 0
	for i, want := range table {
		v, err := Validate(t.Context(), replaytest.Corpus(t, want.name), replaytest.Machine(t), Comparison{Using: want.using, Light: strings.HasPrefix(want.name, "light-")})
		if err != nil {
			t.Fatal(err)
		}
		row := tableRow(want.name, want.seen, v)
		if i >= len(rows) || rows[i] != row {
			t.Errorf("README.md, row %d of the table: want\n%s", i+1, row)
		}
		if v.Inferred && (float64(v.Observed) < v.Low || float64(v.Observed) > v.High) {
			outside++
		}
	}
	if len(rows) > len(table) && strings.HasPrefix(rows[len(table)], "|") {
		t.Errorf("README.md has a row more than there are recordings: %s", rows[len(table)])
	}
	if outside > 2 { // of nine
		t.Errorf("%d recordings are outside of their interval of eight in ten", outside)
	}
}
