package ingest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// The same recording as a file and as text gives the same rows, column by column,
// wherever the text has the column.
func TestTextEqualsBinary(t *testing.T) {
	needPerf(t)
	files, _ := filepath.Glob("testdata/*.perf.data")
	if os.Getenv("REPLAY_CAPTURES") != "" {
		files = append(files, captures(t)...)
	}
	sideBand := []string{"--show-mmap-events", "--show-task-events", "--show-lost-events"}
	for _, path := range files {
		want, binary := read(t, path, Options{})
		for _, form := range []struct {
			name    string
			args    []string
			columns traces.Columns
			kinds   func(traces.Kind) bool
		}{
			{"all", append([]string{"--no-inline", "-F", "comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso"}, sideBand...), textColumns | fileColumns | traces.ColInUprobe | traces.ColStack, everyKind},
			{"no chains", append([]string{"-F", "comm,pid,tid,cpu,time,event,trace"}, sideBand...), textColumns | fileColumns, everyKind},
			{"samples", []string{"-F", "comm,pid,tid,cpu,time,event,trace"}, textColumns, isSample},
			{"default", []string{"--no-inline"}, textColumns, isSample},
		} {
			t.Run(filepath.Base(path)+"/"+form.name, func(t *testing.T) {
				got, meta := read(t, printScript(t, path, form.args), Options{})
				checkOrder(t, got)
				columns := form.columns
				if unknownProcesses(meta) || oneThread(got) {
					columns &^= traces.ColPID
				}
				compareRows(t, only(want, form.kinds), only(got, form.kinds), columns)
				if meta.Sources[0].Format != "perf-script" || form.kinds(traces.Lost) && meta.Lost != binary.Lost {
					t.Errorf("meta %+v, of the file %+v", meta, binary)
				}
			})
		}
	}
}

// unknownProcesses reports whether a text by itself does not tell whose its threads
// are: it has hits and mmaps alone.
func unknownProcesses(meta traces.Meta) bool {
	return slices.ContainsFunc(meta.Unknown, func(u traces.Unknown) bool { return u.What == traces.UnknownProcesses })
}

// oneThread reports whether there is nobody to share an address space with.
func oneThread(events []traces.Event) bool {
	return !slices.ContainsFunc(events, func(ev traces.Event) bool { return ev.TID != events[0].TID })
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

func everyKind(traces.Kind) bool { return true }

// isSample reports whether rows of the kind come from samples alone.
func isSample(k traces.Kind) bool {
	return k == traces.Hit || k == traces.Ret || k.IsSyscall() || k.IsLock()
}

func only(events []traces.Event, kind func(traces.Kind) bool) []traces.Event {
	var out []traces.Event
	for _, ev := range events {
		if kind(ev.Kind) {
			out = append(out, ev)
		}
	}
	return out
}

const (
	// textColumns are what the lines of samples have.
	textColumns = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColDur |
		traces.ColAddr | traces.ColLen | traces.ColPgoff | traces.ColNewAddr | traces.ColNewLen | traces.ColProt |
		traces.ColFlags | traces.ColAdvice | traces.ColRet | traces.ColProbe | traces.ColMm | traces.ColWrite
	// fileColumns are what mappings tell, and hits know from them. Text has no
	// build ids.
	fileColumns = traces.ColPath | traces.ColDevMajor | traces.ColDevMinor | traces.ColInode | traces.ColInodeGen
)

// compareRows compares columns, nulls too.
func compareRows(t *testing.T, want, got []traces.Event, columns traces.Columns) {
	t.Helper()
	if len(want) != len(got) || len(want) == 0 {
		t.Errorf("%d rows of text, %d of the file", len(got), len(want))
	}
	bad := 0
	for i := range min(len(want), len(got)) {
		w, g := want[i], got[i]
		w.Seq, g.Seq = 0, 0
		w.Has &= columns
		g.Has &= columns
		if columns&traces.ColStack != 0 {
			w.Stack, g.Stack = shape(w.Stack, g.Stack)
		}
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

// shape reduces two stacks to what perf and we must agree on: how deep they are and
// which modules they pass. Which symbols there are depends on where each looks for
// them, and perf finds data too where a frame pointer was none.
func shape(x, y []string) (xs, ys []string) {
	for i := range max(len(x), len(y)) {
		m, n := "none", "none"
		if i < len(x) {
			m = module(x[i])
		}
		if i < len(y) {
			n = module(y[i])
		}
		if len(x) == len(y) && (noFile.MatchString(m) || noFile.MatchString(n)) {
			m, n = "", ""
		}
		xs, ys = append(xs, m), append(ys, n)
	}
	return xs, ys
}

var noFile = regexp.MustCompile(`^\((\[unknown\]|//anon|/tmp/perf-[0-9]+\.map)\)$`)

func module(frame string) string { return frame[strings.LastIndex(frame, " (")+1:] }

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
