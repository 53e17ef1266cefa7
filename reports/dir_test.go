package reports

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

// A run's folder holds whole reports, the same bytes each time, and is replaced
// only when asked.
func TestWriteDir(t *testing.T) {
	res := fixture()
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, dir := range []string{a, b} {
		if err := WriteDir(dir, res, false); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(a)
	if err != nil || len(entries) < 3+2*len(res.Runs) {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		one, err1 := os.ReadFile(filepath.Join(a, e.Name()))
		two, err2 := os.ReadFile(filepath.Join(b, e.Name()))
		if err1 != nil || err2 != nil || len(one) == 0 || !bytes.Equal(one, two) {
			t.Errorf("%s differs between two writes, or is empty", e.Name())
		}
	}
	if err := WriteDir(a, res, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("overwrote without force: %v", err)
	}
	if err := WriteDir(a, res, true); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(a), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteDir(other, res, true); err == nil {
		t.Error("replaced a folder that is no run")
	}
}

// What is written reads back as benchmark results with a unit for each figure.
func TestBenchfmt(t *testing.T) {
	res := fixture()
	var out bytes.Buffer
	if err := Benchfmt(&out, res); err != nil {
		t.Fatal(err)
	}
	in := benchfmt.NewReader(&out, "out")
	results := 0
	for in.Scan() {
		switch r := in.Result().(type) {
		case *benchfmt.Result:
			results++
			if len(r.Values) != len(benchUnits) {
				t.Errorf("%d values, want %d", len(r.Values), len(benchUnits))
			}
		case *benchfmt.SyntaxError:
			t.Error(r)
		}
	}
	if results != len(res.Runs) {
		t.Errorf("%d results of %d runs", results, len(res.Runs))
	}
}
