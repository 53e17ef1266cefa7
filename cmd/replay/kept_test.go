package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheTraceOfACaptureIsKept runs raw captures: the trace made of each is with the
// reports, is what ingest makes, and no report tells of it.
func TestTheTraceOfACaptureIsKept(t *testing.T) {
	for _, input := range []string{"churn.perf.data", "churn.bpftrace.txt"} {
		t.Run(input, func(t *testing.T) {
			inFolder(t)
			data, err := os.ReadFile(filepath.Join(testdata, "../../../ingest/testdata", input))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(input, data, 0o644); err != nil {
				t.Fatal(err)
			}
			const remark = "the trace is kept as kept.run/trace.parquet"
			kept := call(t, "run", "-o", "kept.run", input)
			if kept.code != exitOK || !strings.Contains(kept.stderr, remark) {
				t.Fatalf("exit %d: %s", kept.code, kept.stderr)
			}
			declined := call(t, "run", "--no-trace", "-o", "declined.run", input)
			if declined.code != exitOK || strings.Contains(declined.stderr, "trace.parquet") || declined.stdout != kept.stdout {
				t.Errorf("with --no-trace: exit %d: %s\n%s\nnot\n%s", declined.code, declined.stderr, declined.stdout, kept.stdout)
			}
			stored := call(t, "run", "kept.run/trace.parquet")
			sha := func(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
			if want := strings.NewReplacer(input, "kept.run/trace.parquet", sha(data), sha(contents(t, "kept.run/trace.parquet"))).Replace(kept.stdout); stored.code != exitOK || strings.Contains(stored.stderr, "is kept") || stored.stdout != want {
				t.Errorf("of the trace itself: exit %d: %s\n%s\nnot\n%s", stored.code, stored.stderr, stored.stdout, want)
			}
			succeed(t, "ingest", "-o", "ingested.parquet", input)
			if !bytes.Equal(contents(t, "kept.run/trace.parquet"), contents(t, "ingested.parquet")) {
				t.Error("what is kept is not what ingest makes")
			}
			// info of a capture makes no trace, and tells the same.
			if raw, stored := succeed(t, "info", "--json", input), succeed(t, "info", "--json", "ingested.parquet"); raw != stored {
				t.Errorf("info of the capture:\n%s\nand of its trace:\n%s", raw, stored)
			}
			for name, n := range map[string]int{"kept.run": 1, "declined.run": 0, "kept.run/trace.parquet.run": 0} {
				if got, _ := filepath.Glob(filepath.Join(name, "*.parquet")); len(got) != n {
					t.Errorf("%s holds %v, want %d traces", name, got, n)
				}
			}
			reports, _ := filepath.Glob("declined.run/*")
			for _, name := range reports {
				if !bytes.Equal(contents(t, name), contents(t, filepath.Join("kept.run", filepath.Base(name)))) {
					t.Errorf("%s differs where the trace is kept", name)
				}
			}
			if len(reports) < 5 {
				t.Errorf("vacuous: %d reports", len(reports))
			}
			// Replaced, the run is of the new options; a run that fails changes nothing.
			succeed(t, "run", "-f", "--no-trace", "-o", "kept.run", input)
			before := listing(t)
			if strings.Contains(before, "kept.run/trace.parquet") {
				t.Errorf("the trace of the run before is still there:\n%s", before)
			}
			if r := call(t, "run", "-f", "-o", "kept.run", "-"); r.code != exitInput {
				t.Errorf("of nothing: exit %d: %s", r.code, r.stderr)
			}
			if after := listing(t); after != before {
				t.Errorf("files before:\n%s\nand after:\n%s", before, after)
			}
		})
	}
}

func contents(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
