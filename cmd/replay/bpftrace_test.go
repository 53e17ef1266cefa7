package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What bpftrace printed replays as it is: its lock events are the truth.
func TestBpftraceReplays(t *testing.T) {
	text, err := filepath.Abs("../../ingest/testdata/churn.bpftrace.txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var run struct {
		Trace struct {
			Hits     int64
			Sections struct{ Observed int64 }
		}
		Runs []struct {
			Resolver        string
			Hits, Fallbacks int64
		}
	}
	if err := json.Unmarshal([]byte(succeed(t, "run", "--json", "--resolver", "speculative", "-o", "out", text)), &run); err != nil {
		t.Fatal(err)
	}
	if run.Trace.Hits != 692 || run.Trace.Sections.Observed < 56 || len(run.Runs) != 1 || run.Runs[0].Hits != 692 || run.Runs[0].Fallbacks < 20 {
		t.Errorf("%+v", run)
	}
	var v struct {
		Hits     int64
		Observed int64 `json:"observed_fallbacks"`
		F1       float64
	}
	if err := json.Unmarshal([]byte(succeed(t, "validate", "--json", text)), &v); err != nil {
		t.Fatal(err)
	}
	if v.Hits != 692 || v.Observed != 28 || v.F1 < 0.9 {
		t.Errorf("%+v", v)
	}
}

func TestBpftraceFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"tool.txt":  "TIME TID\n100 7\n200 7\n",
		"piece.txt": "100 7\n",
		"tool.yaml": "skip: ['^TIME']\nlines:\n- {kind: hit, probe: 'a:b', line: '^(?P<time_ns>\\d+) (?P<tid>\\d+)$'}\n",
		"err.txt":   "Lost 3 events\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const given = `{skip: [TIME], lines: [{kind: hit, probe: 'a:b', line: '^(?P<time_ns>\d+) (?P<tid>\d+)$'}]}`
	for _, test := range []struct {
		args []string
		code int
		says string // on standard output, or on standard error
	}{
		{[]string{"ingest", "-f", "--bpftrace-format", "tool.yaml", "tool.txt"}, exitOK, "2 events, 2 hits, losses unknown"},
		{[]string{"ingest", "-f", "--format", "bpftrace", "--bpftrace-format", given, "tool.txt"}, exitOK, "2 events, 2 hits, losses unknown"},
		{[]string{"ingest", "-f", "--bpftrace-format", given, "piece.txt"}, exitOK, "1 events, 1 hits, 0 lost"},
		{[]string{"ingest", "-f", "--bpftrace-format", "tool.yaml", "--stderr", "err.txt", "tool.txt"}, exitOK, "3 events, 2 hits, 3 lost"},
		{[]string{"ingest", "-f", "--bpftrace-format", "tool.yaml", "--stderr", "err.txt", "--max-loss", "0", "tool.txt"}, exitLossy, "3 lost"},
		{[]string{"info", "--bpftrace-format", "tool.yaml", "tool.txt"}, exitOK, "a:b"},
		{[]string{"ingest", "-f", "tool.txt"}, exitInput, "--bpftrace-format"},
		{[]string{"ingest", "-f", "--bpftrace-format", "none.yaml", "tool.txt"}, exitUsage, "want a file, or a format"},
		{[]string{"ingest", "-f", "--bpftrace-format", "{line: x}", "tool.txt"}, exitUsage, "--bpftrace-format: bad format"},
		{[]string{"ingest", "-f", "--stderr", "none.txt", "--bpftrace-format", "tool.yaml", "tool.txt"}, exitUsage, "open what bpftrace said"},
	} {
		r := call(t, test.args...)
		if r.code != test.code || !strings.Contains(r.stdout+r.stderr, test.says) {
			t.Errorf("replay %s: exit %d, want %d and %q\n%s%s", strings.Join(test.args, " "), r.code, test.code, test.says, r.stdout, r.stderr)
		}
	}
}
