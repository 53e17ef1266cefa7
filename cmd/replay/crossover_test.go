package main

import (
	"encoding/json"
	"testing"

	"github.com/replay/replay/reports"
)

func TestRunCrossover(t *testing.T) {
	inFolder(t)
	var doc reports.Document
	if err := json.Unmarshal([]byte(succeed(t, "run", "--crossover", "--json", "-o", "x.run", "app.parquet")), &doc); err != nil {
		t.Fatal(err)
	}
	c := doc.Crossover
	if c == nil || c.Locked != "locked" || c.Speculative != "speculative" || len(c.Cells) != 20 {
		t.Fatalf("%+v", c)
	}
	for _, cell := range c.Cells {
		if cell.Hits == "1" && cell.Writers == "1" && cell.SpeculativeNs != *doc.Runs[1].ResolveNs.Mean {
			t.Errorf("a hit takes %v on the map, %v in the run", cell.SpeculativeNs, *doc.Runs[1].ResolveNs.Mean)
		}
	}
	for given, want := range map[string]string{"locked": "speculative", "speculative-v1,ideal": "speculative-v1", "pervma": "pervma"} {
		names, err := parseResolvers(given)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := crossed(names); got != want {
			t.Errorf("--resolver %s compares %s, want %s", given, got, want)
		}
	}
}
