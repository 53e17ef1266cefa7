package traces

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNothingAppearsBeforeCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.parquet")
	w, err := Create(path, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&Event{Kind: Hit}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("before commit: %v", err)
	}
	if err := w.Commit(someMeta); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if d := cmp.Diff([]string{"t.parquet"}, names(t, dir)); d != "" {
		t.Error(d)
	}
	if err := w.Write(&Event{Kind: Hit}); err == nil {
		t.Error("a committed trace takes another event")
	}
	if err := w.Commit(someMeta); err == nil {
		t.Error("a trace is committed twice")
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(filepath.Join(dir, "t.parquet"), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * batchRows {
		if err := w.Write(&Event{Kind: Hit}); err != nil {
			t.Fatal(err)
		}
	}
	w.Abort()
	w.Abort()
	if d := cmp.Diff([]string{}, names(t, dir)); d != "" {
		t.Error(d)
	}
	if err := w.Commit(someMeta); err == nil {
		t.Error("an aborted trace is committed")
	}
}

func TestFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.parquet")
	late, err := Create(path, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, WriterOptions{}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), path) {
		t.Errorf("create: %v", err)
	}
	if err := late.Commit(someMeta); !errors.Is(err, ErrExists) {
		t.Errorf("commit over a file that came later: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file now holds %q", b)
	}
	store(t, path, nil, someMeta) // forces
	if events, _ := readAll(t, path, AllColumns); len(events) != 0 {
		t.Errorf("%d events", len(events))
	}
	if d := cmp.Diff([]string{"t.parquet"}, names(t, dir)); d != "" {
		t.Error(d)
	}
}

func TestCreateWhereNothingCanBe(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "missing", "t.parquet"), os.DevNull} {
		if w, err := Create(path, WriterOptions{Force: true}); err == nil || w != nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestWriterRefusesNoKind(t *testing.T) {
	for _, kind := range []Kind{NoKind, numKinds} {
		w, err := Create(filepath.Join(t.TempDir(), "t.parquet"), WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&Event{Kind: kind}); err == nil {
			t.Errorf("%s is written", kind)
		}
		w.Abort()
	}
}

// TestFullDisk makes the encoder fail while Write is ahead of it.
func TestFullDisk(t *testing.T) {
	w, err := Create(filepath.Join(t.TempDir(), "t.parquet"), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	w.file.Close() // the next write to the disk fails
	events := synthetic(RowGroupRows + 20*batchRows)
	for i := range events {
		if err = w.Write(&events[i]); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), w.path) {
		t.Errorf("write: %v", err)
	}
	if err := w.Commit(someMeta); !errors.Is(err, os.ErrClosed) {
		t.Errorf("commit: %v", err)
	}
}

func TestSameEventsSameBytes(t *testing.T) {
	dir := t.TempDir()
	events := synthetic(RowGroupRows + 5000)
	var first []byte
	for i, procs := range []int{1, 2, 4, 2} {
		before := runtime.GOMAXPROCS(procs)
		path := filepath.Join(dir, "t.parquet")
		store(t, path, events, someMeta)
		runtime.GOMAXPROCS(before)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = data
		}
		if !bytes.Equal(first, data) {
			t.Fatalf("run %d differs", i)
		}
	}
	if !IsParquet(first) || IsText(first) {
		t.Errorf("not told as Parquet: %q", first[:16])
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	const rows = 100_000
	store(t, path, synthetic(rows), someMeta)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := f.Events(AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	n := testing.AllocsPerRun(rows-1, func() {
		if err := r.Next(&e); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 {
		t.Errorf("%v allocations per event", n)
	}
}

// TestEventsBelongToTheCaller spoils each event after it was read; only the
// shared strings and stacks are off limits.
func TestEventsBelongToTheCaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := everything()
	store(t, path, events, someMeta)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := f.Events(AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	kept := make([]Event, 0, len(events))
	for range events {
		if err := r.Next(&e); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, e)
		e = Event{Has: AllColumns, Kind: numKinds, Time: -1, Comm: "spoilt", Stack: []string{"spoilt"}}
	}
	if d := cmp.Diff(events, kept); d != "" {
		t.Errorf("(-written +read):\n%.2000s", d)
	}
}

func TestPruningGivesTheSameRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := everything()
	store(t, path, events, someMeta)
	for bit := Columns(1); bit < colEnd; bit <<= 1 {
		cols := bit | ColCPU
		want := make([]Event, len(events))
		for i, e := range events {
			e.Has &= cols
			for j := range columns {
				columns[j].zero(&e)
			}
			want[i] = e
		}
		got, _ := readAll(t, path, cols)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-written +read):\n%.1000s", cols, d)
		}
	}
}

// TestAttached keeps texts beside the metadata, which do not change it.
func TestAttached(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	w, err := Create(path, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"a.b": "", "a.c": "x\n\"ü", "b": strings.Repeat("long", 1<<18)}
	for _, key := range []string{"a.b", "a.c", "b"} {
		w.Attach(key, texts[key])
	}
	if err := w.Commit(someMeta); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for key, want := range texts {
		if got, ok := f.Attached(key); !ok || got != want {
			t.Errorf("%s: %.20q, %v; want %.20q", key, got, ok, want)
		}
	}
	if _, ok := f.Attached("c"); ok {
		t.Error("something is attached by a key that was not given")
	}
	if d := cmp.Diff(someMeta, f.Meta()); d != "" {
		t.Errorf("meta (-written +read):\n%s", d)
	}
}
