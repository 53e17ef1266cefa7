package ingest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/traces"
)

// read ingests a file whole.
func read(t testing.TB, path string, o Options) ([]traces.Event, traces.Meta) {
	t.Helper()
	events, meta, err := tryRead(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return events, meta
}

func tryRead(path string, o Options) ([]traces.Event, traces.Meta, error) {
	s, err := Open(context.Background(), []string{path}, o)
	if err != nil {
		return nil, traces.Meta{}, err
	}
	defer s.Close()
	var events []traces.Event
	for {
		var ev traces.Event
		err := s.Next(&ev)
		if errors.Is(err, io.EOF) {
			return events, s.Meta(), nil
		}
		if err != nil {
			return events, s.Meta(), err
		}
		events = append(events, ev)
	}
}

func kinds(events []traces.Event) map[string]int {
	n := map[string]int{}
	for i := range events {
		n[events[i].Kind.String()]++
	}
	return n
}

// checkOrder holds a trace to the total order.
func checkOrder(t *testing.T, events []traces.Event) {
	t.Helper()
	for i := range events {
		if events[i].Seq != int64(i) {
			t.Fatalf("row %d has seq %d", i, events[i].Seq)
		}
		if i > 0 && traces.Compare(&events[i-1], &events[i]) >= 0 {
			t.Fatalf("rows %d and %d are out of order: %d on CPU %d, %d on CPU %d", i-1, i, events[i-1].Time, events[i-1].CPU, events[i].Time, events[i].CPU)
		}
	}
}

func TestPerfData(t *testing.T) {
	for _, name := range []string{"churn.perf.data", "churn-z.perf.data", "churn-pipe.perf.data"} {
		t.Run(name, func(t *testing.T) {
			events, meta := read(t, filepath.Join("testdata", name), Options{})
			checkOrder(t, events)
			n := kinds(events)
			if n["hit"] < 100 || n["mmap"] < 10 || n["munmap"] < 4 || n["lock_start"] < 20 || n["map"] < 3 || n["fork"] != 2 || n["exec"] != 1 || n["exit"] != 3 {
				t.Errorf("kinds %v", n)
			}
			if meta.Clock != "perf" || meta.CPUs != 2 || meta.Arch != "x86_64" || !strings.HasPrefix(meta.Kernel, "6.18") {
				t.Errorf("meta %+v", meta)
			}
			checkRows(t, events)
		})
	}
}

// checkRows looks at what single rows hold.
func checkRows(t *testing.T, events []traces.Event) {
	t.Helper()
	threads := 0
	for i := range events {
		ev := &events[i]
		switch ev.Kind {
		case traces.Hit:
			if ev.Probe != "probe_churn:probe_nop" || ev.Comm != "churn" || !strings.HasSuffix(ev.Path, "/churn") || ev.Addr%4096 == 0 || ev.Got(traces.ColLen) {
				t.Fatalf("hit %+v", *ev)
			}
		case traces.Mmap:
			if !ev.Got(traces.ColDur|traces.ColRet|traces.ColLen) || uint64(ev.Ret) != ev.Addr {
				t.Fatalf("mmap %+v", *ev)
			}
		case traces.Fork:
			if ev.Flags == 0x10000 {
				threads++
			}
		case traces.Exec:
			if !strings.HasSuffix(ev.Path, "churn") {
				t.Errorf("exec %+v", *ev)
			}
		}
	}
	if threads != 2 {
		t.Errorf("%d of the forks made threads, want 2", threads)
	}
}

// captures returns the recordings that REPLAY_CAPTURES points to.
func captures(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv("REPLAY_CAPTURES")
	if dir == "" {
		t.Skip("REPLAY_CAPTURES is not set: no folder of larger recordings to compare on")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.perf.data"))
	if err != nil || len(files) == 0 {
		t.Skipf("no *.perf.data in %s", dir)
	}
	return files
}

func needPerf(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("perf"); err != nil {
		t.Skip("perf is not installed, and it is what the rows are compared with")
	}
}

// Every event that perf script prints is in a row, and in no more than one.
func TestRowsEqualPerfScript(t *testing.T) {
	needPerf(t)
	files, _ := filepath.Glob("testdata/*.perf.data")
	if os.Getenv("REPLAY_CAPTURES") != "" {
		files = append(files, captures(t)...)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want := perfScriptKinds(t, path)
			events, _ := read(t, path, Options{})
			checkOrder(t, events)
			got := kinds(events)
			delete(got, "map")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (+) against perf script (-):\n%s", diff)
			}
		})
	}
}

// perfScriptKinds counts what perf script prints, as kinds of rows.
func perfScriptKinds(t *testing.T, path string) map[string]int {
	t.Helper()
	args := []string{"script", "--show-task-events", "--show-lost-events", "-F", "time,event", "-i"}
	cmd := exec.Command("perf", append(args, path)...)
	if strings.Contains(path, "pipe") {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd = exec.Command("perf", append(args, "-")...)
		cmd.Stdin = f
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("perf script: %v", err)
	}
	n := map[string]int{}
	for line := range strings.SplitSeq(string(out), "\n") {
		time, name, _ := strings.Cut(strings.TrimSpace(line), ": ")
		name = strings.TrimSuffix(strings.TrimSpace(name), ":")
		_, event, _ := strings.Cut(name, ":")
		switch {
		case strings.Trim(time, "0.") == "" || strings.HasPrefix(event, "sched_process_"):
			// What has no time was there before. A fork before perf enabled its
			// tracepoints has the task record alone.
		case strings.HasPrefix(name, "PERF_RECORD_FORK("):
			n["fork"]++
		case strings.HasPrefix(name, "PERF_RECORD_EXIT("):
			n["exit"]++
		case strings.HasPrefix(name, "PERF_RECORD_COMM exec"):
			n["exec"]++
		case strings.HasPrefix(name, "PERF_RECORD_LOST"):
			n["lost"]++
		case strings.HasPrefix(name, "probe") || strings.HasPrefix(name, "sdt_"):
			n["hit"]++
		case strings.HasPrefix(event, "sys_enter_"):
			n[event[len("sys_enter_"):]]++
		case event == "mmap_lock_start_locking":
			n["lock_start"]++
		case event == "mmap_lock_acquire_returned":
			n["lock_acquired"]++
		case event == "mmap_lock_released":
			n["lock_released"]++
		}
	}
	return n
}

// What the kernel's symbols said when the recordings were made.
func TestFallbacksOfRecordings(t *testing.T) {
	want := map[string]int{
		"churn-1x1": 551, "churn-2x0": 0, "javac": 89, "stress-malloc-z": 531, "python-callgraph": 25, "pgbench": 0, "go-build": 0,
	}
	seen := 0
	for _, path := range captures(t) {
		n, ok := want[strings.TrimSuffix(filepath.Base(path), ".perf.data")]
		if !ok {
			continue
		}
		seen++
		events, _ := read(t, path, Options{})
		got := 0
		for i := range events {
			if events[i].InUprobe {
				got++
			}
		}
		if got != n {
			t.Errorf("%s: %d lookups took the lock, want %d", path, got, n)
		}
	}
	if seen == 0 {
		t.Error("vacuous: none of the known recordings is there")
	}
}

// The trap address and the kernel's symbols agree on who took the lock: a live
// recording, whose kernel is the running one.
func TestSymbolsAndTrapAgree(t *testing.T) {
	path := recordLive(t, filepath.Join(t.TempDir(), "live.perf.data"), nil, "1", "1", "100")
	events, _ := read(t, path, Options{})
	byTrap, byName := 0, 0
	for i := range events {
		ev := &events[i]
		if ev.Kind != traces.LockStart || ev.Write {
			continue
		}
		named := slices.ContainsFunc(ev.Stack, func(f string) bool { return strings.HasPrefix(f, "find_active_uprobe") })
		trap := slices.ContainsFunc(ev.Stack, func(f string) bool { return strings.HasPrefix(f, "probe_nop+") })
		if named {
			byName++
		}
		if ev.InUprobe {
			byTrap++
		}
		if named != ev.InUprobe || named && !trap {
			t.Errorf("row %d: in_uprobe %v, stack %q", ev.Seq, ev.InUprobe, ev.Stack)
		}
	}
	if byName == 0 {
		t.Skip("no lookup failed in this recording: the machine was busy with something else")
	}
	t.Logf("%d failed lookups", byTrap)
}

// recordLive records traces/corpus/churn.c with perf into a file, which it returns. It
// skips where that cannot be done.
func recordLive(t *testing.T, file string, options []string, args ...string) string {
	t.Helper()
	needPerf(t)
	if os.Getuid() != 0 {
		t.Skip("not root: cannot record")
	}
	if _, err := os.Stat("/sys/kernel/tracing/uprobe_events"); err != nil {
		t.Skip("no tracefs or no uprobes in this kernel: mount -t tracefs nodev /sys/kernel/tracing")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "churn")
	if out, err := exec.Command(cc, "-O1", "-g", "-o", bin, "../traces/corpus/churn.c", "-lpthread").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	group := "probe_live" + strconv.Itoa(os.Getpid())
	probe := exec.Command("perf", "probe", "-q", "-x", bin, group+":probe_nop=probe_nop")
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("perf probe does not work here: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("perf", "probe", "-q", "-d", group+":*").Run() })
	record := append([]string{"record", "-q", "-m", "16M", "-o", file}, options...)
	record = append(record, "-e", group+":probe_nop",
		"-e", "syscalls:sys_enter_mmap,syscalls:sys_exit_mmap,syscalls:sys_enter_munmap,syscalls:sys_exit_munmap",
		"-e", "mmap_lock:mmap_lock_start_locking/call-graph=fp,max-stack=16/",
		"-e", "mmap_lock:mmap_lock_acquire_returned,mmap_lock:mmap_lock_released", "--", bin)
	record = append(record, args...)
	if out, err := exec.Command("perf", record...).CombinedOutput(); err != nil {
		t.Skipf("perf record does not work here: %v\n%s", err, out)
	}
	return file
}

// A file that ends anywhere gives rows and an error with a position, or an error
// alone; it never panics, and never passes for whole.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"churn.perf.data", "churn-z.perf.data", "churn-pipe.perf.data"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		all, _ := read(t, filepath.Join("testdata", name), Options{})
		step := max(len(whole)/80, 1)
		for n := 0; n < len(whole); n += step {
			path := filepath.Join(t.TempDir(), "cut")
			if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			events, _, err := tryRead(path, Options{})
			if err == nil && len(events) < len(all) && !strings.Contains(name, "pipe") {
				t.Fatalf("%s cut to %d of %d bytes passes for whole", name, n, len(whole))
			}
			if err != nil && !strings.Contains(err.Error(), "cut:") {
				t.Errorf("%s cut to %d bytes: %v: no position", name, n, err)
			}
		}
	}
}

// Corrupt bytes give an error or rows, in bounded memory.
func TestCorrupt(t *testing.T) {
	whole, err := os.ReadFile("testdata/churn.perf.data")
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for at := 0; at < len(whole); at += 1999 {
		b := bytes.Clone(whole)
		for i := at; i < min(at+8, len(b)); i++ {
			b[i] = 0xff
		}
		path := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tryRead(path, Options{}); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("vacuous: no corruption was noticed")
	}
}

func TestBadInputs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		path string
		want error
		says string
	}{
		{filepath.Join(dir, "missing"), os.ErrNotExist, "open input"},
		{write("empty", ""), ErrFormat, "the file is empty"},
		{write("noise", "\x00\x01\x02 nothing of ours"), ErrFormat, "want perf.data"},
		{write("short", "PERFILE2"), perfdata.ErrTruncated, "@0"},
		{write("big-endian", "2ELIFREP"+strings.Repeat("\x00", 200)), perfdata.ErrUnsupported, "big-endian"},
		{dir, nil, "is a folder"},
	}
	for _, test := range tests {
		_, _, err := tryRead(test.path, Options{})
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want %v and %q", test.path, err, test.want, test.says)
		}
	}
}
