package ingest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// The same recording as a file and as text gives the same rows, field by field,
// wherever the text has the field.
func TestTextEqualsBinary(t *testing.T) {
	needPerf(t)
	files, _ := filepath.Glob("testdata/*.perf.data")
	if os.Getenv("REPLAY_CAPTURES") != "" {
		files = append(files, captures(t)...)
	}
	for _, path := range files {
		for name, args := range map[string][]string{
			"chains":    {"-F", "comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso"},
			"no chains": {"-F", "comm,pid,tid,cpu,time,event,trace"},
		} {
			t.Run(filepath.Base(path)+"/"+name, func(t *testing.T) {
				text := printScript(t, path, append(args, "--show-mmap-events", "--show-task-events", "--show-lost-events"))
				got, meta := read(t, text, Options{})
				want, _ := read(t, path, Options{})
				checkOrder(t, got)
				compareRows(t, relevant(want), relevant(got), name == "chains")
				if meta.Sources[0].Format != "perf-script" {
					t.Errorf("meta %+v", meta)
				}
			})
		}
	}
}

func printScript(t *testing.T, path string, args []string) string {
	t.Helper()
	text := filepath.Join(t.TempDir(), "script.txt")
	f, err := os.Create(text)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("perf", append([]string{"script", "--ns", "-i", path}, args...)...)
	cmd.Stdout = f
	if err := cmd.Run(); err != nil {
		t.Fatalf("perf script: %v", err)
	}
	return text
}

// relevant are hits, syscalls and lock rows.
func relevant(events []traces.Event) []traces.Event {
	var out []traces.Event
	for _, ev := range events {
		if ev.Kind == traces.Hit || ev.Kind == traces.Ret || ev.Kind.IsSyscall() || ev.Kind.IsLock() {
			out = append(out, ev)
		}
	}
	return out
}

// textColumns are what text has in the form of the file.
const textColumns = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColDur |
	traces.ColAddr | traces.ColLen | traces.ColPgoff | traces.ColNewAddr | traces.ColNewLen | traces.ColProt |
	traces.ColFlags | traces.ColAdvice | traces.ColRet | traces.ColProbe | traces.ColMm | traces.ColWrite

// compareRows compares every column that text has, nulls too.
func compareRows(t *testing.T, want, got []traces.Event, chains bool) {
	t.Helper()
	if len(want) != len(got) || len(want) == 0 {
		t.Fatalf("%d rows of text, %d of the file", len(got), len(want))
	}
	columns := textColumns
	if chains {
		columns |= traces.ColInUprobe
	}
	bad := 0
	for i := range want {
		w, g := want[i], got[i]
		w.Seq, g.Seq = 0, 0
		w.Has &= columns
		g.Has &= columns
		if file, text := traces.FormatText(&w), traces.FormatText(&g); file != text {
			if bad++; bad <= 3 {
				t.Errorf("row %d:\nfile %s\ntext %s", i, file, text)
			}
		}
	}
	if bad > 3 {
		t.Errorf("%d of %d rows differ", bad, len(want))
	}
}

func TestBadLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script.txt")
	content := "a b: [x] 10/11 [001] 5.000000001: probe_x:y: (401000)\nnonsense\na 10/11 [001] 5.000000002: probe_x:y: (401000)\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tryRead(path, Options{}); err == nil || err.Error() == "" || !contains(err.Error(), "script.txt:2:", "nonsense") {
		t.Errorf("%v: want the line", err)
	}
	events, meta := read(t, path, Options{SkipBad: true})
	if len(events) != 2 || events[0].Comm != "a b: [x]" || events[0].PID != 10 || events[0].TID != 11 || events[0].CPU != 1 || events[0].Addr != 0x401000 {
		t.Errorf("events %+v", events)
	}
	if len(meta.Warnings) == 0 {
		t.Error("no warning of the bad line")
	}
}

func contains(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
