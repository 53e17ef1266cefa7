package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// result is what one call of the program did.
type result struct {
	code           int
	stdout, stderr string
}

// call runs the program in the current folder.
func call(t testing.TB, args ...string) result {
	t.Helper()
	return callWith(context.Background(), t, "", args...)
}

func callWith(ctx context.Context, t testing.TB, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// succeed runs the program and returns its standard output.
func succeed(t testing.TB, args ...string) string {
	t.Helper()
	r := call(t, args...)
	if r.code != exitOK {
		t.Fatalf("replay %s: exit %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// testdata is absolute: tests change their folder.
var testdata = func() string {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return dir
}()

// smallTrace is 200 hits of two threads of the process app, one of which maps and
// unmaps memory under mmap_lock, and one hit of another process.
func smallTrace() []traces.Event {
	const all = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm
	var events []traces.Event
	add := func(ev traces.Event) {
		ev.Has |= all
		if ev.PID == 0 {
			ev.PID = 100
		}
		events = append(events, ev)
	}
	add(traces.Event{
		Has: traces.ColAddr | traces.ColLen | traces.ColPgoff | traces.ColProt | traces.ColFlags | traces.ColPath, Kind: traces.Map,
		Time: 1000, TID: 100, Comm: "app", Addr: 0x400000, Len: 0x10000, Prot: 5, Flags: 2, Path: "/usr/bin/app",
	})
	for i := range int64(100) {
		at := 1_000_000 + i*20_000
		hit := traces.Event{Has: traces.ColAddr | traces.ColProbe, Kind: traces.Hit, Time: at, TID: 100, Comm: "app", Addr: 0x401000, Probe: "probe_app:alloc"}
		add(hit)
		if i%10 == 5 {
			mapped := 0x7f0000000000 + uint64(i)<<16
			lock := traces.Event{Has: traces.ColWrite | traces.ColMm, Time: at + 1000, CPU: 1, TID: 101, Comm: "worker", Write: true, Mm: 0xffff888000001000}
			mmap := traces.Event{
				Has: traces.ColDur | traces.ColAddr | traces.ColLen | traces.ColProt | traces.ColFlags | traces.ColRet, Kind: traces.Mmap,
				Time: at + 800, CPU: 1, TID: 101, Comm: "worker", Dur: 4000, Addr: mapped, Len: 0x4000, Prot: 3, Flags: 34, Ret: int64(mapped),
			}
			add(mmap)
			for j, kind := range []traces.Kind{traces.LockStart, traces.LockAcquired, traces.LockReleased} {
				lock.Kind, lock.Time = kind, at+1000+int64(j)*1000
				add(lock)
			}
		}
		hit.Time, hit.CPU, hit.TID, hit.Comm = at+10_000, 1, 101, "worker"
		add(hit)
	}
	add(traces.Event{Has: traces.ColAddr | traces.ColProbe, Kind: traces.Hit, Time: 4_000_000, PID: 200, TID: 200, Comm: "other", Addr: 0x5000, Probe: "probe_other:f"})
	return events
}

var smallMeta = traces.Meta{
	Clock: "monotonic", CPUs: 2, Kernel: "6.18.0", Arch: "x86_64",
	Sources: []traces.Source{{Path: "app.data", Format: "perf-data"}},
}

// writeTrace stores events under name.
func writeTrace(t testing.TB, name string, events []traces.Event, meta traces.Meta) {
	t.Helper()
	w, err := traces.Create(name, traces.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for i := range events {
		ev := events[i]
		if err := w.Write(&ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(meta); err != nil {
		t.Fatal(err)
	}
}

// inFolder makes a folder with app.parquet, the small trace, and lossy.parquet,
// which lost 3 events of 100, and makes it the current one.
func inFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
	if err := os.Mkdir("tmp", 0o755); err != nil {
		t.Fatal(err)
	}
	writeTrace(t, "app.parquet", smallTrace(), smallMeta)
	lossy := smallMeta
	lossy.Lost, lossy.Warnings = 3, []string{"3 events lost"}
	writeTrace(t, "lossy.parquet", smallTrace()[:97], lossy)
	return dir
}

// transcript is a call and all it did, as golden files show it.
func transcript(r result, args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ replay %s\n", strings.Join(args, " "))
	for _, stream := range []struct{ prefix, text string }{{"", r.stdout}, {"! ", r.stderr}} {
		for line := range strings.Lines(stream.text) {
			b.WriteString(stream.prefix + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	fmt.Fprintf(&b, "exit %d\n\n", r.code)
	return b.String()
}

// listing is every file below the current folder.
func listing(t testing.TB) string {
	t.Helper()
	return below(t, ".")
}

// below is every file below a folder, a line each.
func below(t testing.TB, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
