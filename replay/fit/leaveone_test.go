package fit

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
)

var refit = flag.Bool("refit", false, "fit TestLeaveOneOut's figures anew, which takes minutes, and write them")

// leftOut are recordings of two machines, each of which is predicted with what the others
// say of the recorder and of write sections.
var leftOut = []string{"churn-1x1", "stress-malloc-z", "zen3-1x1", "zen3-1x3", "zen3-jem", "zen3-node"}

const (
	leftOutFile = "testdata/leave-one-out.json"
	leftOutIn   = "| left out | F1 | refitted on the others | lock wait | refitted on the others | waking up, ns |\n|---|---|---|---|---|---|\n"
)

// leftOutFit is what was fitted without one recording.
type leftOutFit struct {
	Recorder machines.Recorder
	Sections machines.SectionModel
}

// The table of recordings that were left out of a fit is what comes out. -refit finds the
// fits anew; without it each recording is predicted with the fit that is kept.
func TestLeaveOneOut(t *testing.T) {
	fits := map[string]leftOutFit{}
	if *refit {
		for i, name := range leftOut {
			var others []timeline.Trace
			for j, other := range leftOut {
				if j != i {
					others = append(others, replaytest.Corpus(t, other))
				}
			}
			p := replaytest.Machine(t).Clone()
			if _, err := ToTraces(t.Context(), others, p, nil); err != nil {
				t.Fatal(err)
			}
			fits[name] = leftOutFit{p.Recorder, p.Sections}
		}
		b, err := json.MarshalIndent(fits, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(leftOutFile, append(b, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(leftOutFile)
	if err != nil {
		t.Fatal(err)
	}
	clear(fits)
	if err := json.Unmarshal(b, &fits); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), leftOutIn)
	if !ok {
		t.Fatalf("README.md has no table %s", leftOutIn)
	}
	rows := strings.Split(rest, "\n")
	for i, name := range leftOut {
		fit, ok := fits[name]
		if !ok {
			t.Fatalf("%s: no fit without it; -refit makes one", name)
		}
		validate := func(p *machines.Profile) *Validation {
			v, err := Validate(t.Context(), replaytest.Corpus(t, name), p, Comparison{Using: timeline.Locks})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		p := replaytest.Machine(t).Clone()
		as := validate(p)
		p.Recorder, p.Sections = fit.Recorder, fit.Sections
		v := validate(p)
		row := fmt.Sprintf("| %s | %.3f | %.3f | %+.0f %% | %+.0f %% | %d |", name, as.F1(), v.F1(), 100*as.WaitError(), 100*v.WaitError(), fit.Recorder.WakeLatency)
		if i >= len(rows) || rows[i] != row {
			t.Errorf("README.md, row %d of the table: want\n%s", i+1, row)
		}
	}
}
