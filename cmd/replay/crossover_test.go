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

// A curve goes into the report of the run, and is for CPUs that the machine has.
func TestRunCurve(t *testing.T) {
	inFolder(t)
	var doc reports.Document
	if err := json.Unmarshal([]byte(succeed(t, "run", "--curve", "4,1-2", "--json", "-m", "xeon-6138x2", "-o", "x.run", "app.parquet")), &doc); err != nil {
		t.Fatal(err)
	}
	c := doc.Curve
	if c == nil || len(c.Points) != 6 || len(c.Published) == 0 || c.Timing != "think" {
		t.Fatalf("%+v", c)
	}
	for i, p := range c.Points {
		if p.Resolver != doc.Runs[i/3].Resolver || p.CPUs != []int{1, 2, 4}[i%3] || p.HitNs <= p.ResolveNs {
			t.Errorf("point %d: %+v", i, p)
		}
	}
	for _, bad := range []string{"x", "0", "81", "2-"} {
		if r := call(t, "run", "--curve", bad, "-m", "xeon-6138x2", "-o", "y.run", "app.parquet"); r.code != exitUsage {
			t.Errorf("--curve %s: exit code %d", bad, r.code)
		}
	}
}
