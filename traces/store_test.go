package traces

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyString has what real names have and what formats trip over.
var anyString = rapid.OneOf(
	rapid.SampledFrom([]string{"", "java", "C2 CompilerThre", "/usr/lib/x86_64-linux-gnu/libc.so.6", "probe:alloc", "-", "a b", "\"q\"", "\\", "x=y", "\n", "\x00\xff", "日本", "[heap]", "a;b,c"}),
	rapid.String(),
)

var anyEvent = rapid.Custom(func(t *rapid.T) Event {
	e := Event{
		Kind: rapid.SampledFrom(Kinds()).Draw(t, "kind"),
		Has:  Columns(rapid.Uint64().Draw(t, "has")) & AllColumns,
		Time: rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64()).Draw(t, "time"),
	}
	for i := range columns {
		c := &columns[i]
		if c.bit == 0 || !e.Got(c.bit) {
			continue
		}
		switch {
		case c.i32 != nil:
			*c.i32(&e) = rapid.OneOf(rapid.Int32Range(-1, 3), rapid.Int32()).Draw(t, c.name)
		case c.i64 != nil:
			*c.i64(&e) = rapid.OneOf(rapid.Int64Range(-1, 3), rapid.Int64()).Draw(t, c.name)
		case c.u64 != nil:
			*c.u64(&e) = rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64(), rapid.Just(uint64(math.MaxUint64))).Draw(t, c.name)
		case c.flag != nil:
			*c.flag(&e) = rapid.Bool().Draw(t, c.name)
		case c.text != nil:
			*c.text(&e) = anyString.Draw(t, c.name)
		case c.stack != nil:
			if s := rapid.SliceOfN(anyString, 0, 4).Draw(t, c.name); len(s) > 0 {
				*c.stack(&e) = s
			}
		}
	}
	return e
})

var anyTrace = rapid.Custom(func(t *rapid.T) []Event {
	return inOrder(rapid.SliceOfN(anyEvent, 0, 60).Draw(t, "events"))
})

// inOrder sorts events into the total order and numbers them.
func inOrder(events []Event) []Event {
	slices.SortStableFunc(events, func(a, b Event) int {
		a.Seq, b.Seq = 0, 0
		return Compare(&a, &b)
	})
	first := map[int32]int64{} // of the latest trap, by thread
	for i := range events {
		e := &events[i]
		e.Seq = int64(i)
		if e.Kind != Hit {
			continue
		}
		// A hit shares the thread's latest trap, or none.
		if seq, any := first[e.TID]; any && e.Got(ColTrap) {
			e.Trap = seq
			continue
		}
		e.Trap, e.Has = 0, e.Has&^ColTrap
		first[e.TID] = e.Seq
	}
	return events
}

var someMeta = Meta{
	Schema: Schema, Clock: "monotonic", CPUs: 2, Kernel: "6.18.44", Arch: "x86_64",
	Sources:  []Source{{Path: "perf.data", Format: "perf-data", SHA256: "ab"}, {Path: "-", Format: "text"}},
	Lost:     3,
	Warnings: []string{"3 events lost", "<&> \"quoted\""},
	Recorded: []string{"hit", "munmap"},
	Unknown:  []Unknown{{UnknownHits, "-F \"99\" <samples>", "perf record -c 1"}},
}

func store(t rapid.TB, path string, events []Event, meta Meta) {
	t.Helper()
	w, err := Create(path, WriterOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for i := range events {
		e := events[i]
		if err := w.Write(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(meta); err != nil {
		t.Fatal(err)
	}
}

// collect reads all of a stream into a dirty Event, so that what Next leaves
// over shows.
func collect(s Stream) ([]Event, error) {
	events := []Event{}
	for {
		e := Event{Has: AllColumns, Comm: "dirty", Stack: []string{"dirty"}, CPU: 77, Mm: 77, Write: true}
		switch err := s.Next(&e); err {
		case nil:
			events = append(events, e)
		case io.EOF:
			return events, nil
		default:
			return events, err
		}
	}
}

func readAll(t rapid.TB, path string, cols Columns) ([]Event, Meta) {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := f.Events(cols)
	if err != nil {
		t.Fatal(err)
	}
	events, err := collect(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(events)) != f.NumRows() && cols == AllColumns {
		t.Fatalf("read %d rows of %d", len(events), f.NumRows())
	}
	return events, f.Meta()
}

func TestStoreReturnsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "t.parquet")
		events := anyTrace.Draw(t, "trace")
		store(t, path, events, someMeta)
		got, meta := readAll(t, path, AllColumns)
		if d := cmp.Diff(events, got); d != "" {
			t.Fatalf("events (-written +read):\n%s", d)
		}
		if d := cmp.Diff(someMeta, meta); d != "" {
			t.Fatalf("meta (-written +read):\n%s", d)
		}
	})
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("temporary files left behind: %v", left)
	}
}

// synthetic returns n events shaped like a trace of a busy process: mostly hits
// and mmap calls with few columns each.
func synthetic(n int) []Event {
	stacks := make([][]string, 50)
	for i := range stacks {
		for j := range 5 + i%20 {
			stacks[i] = append(stacks[i], fmt.Sprintf("f%d+0x%x (libc.so.6)", (i*j)%97, j))
		}
	}
	events := make([]Event, n)
	for i := range events {
		e := &events[i]
		*e = Event{
			Has: ColCPU | ColPID | ColTID | ColComm | ColSrc | ColSrcPos, Time: int64(i) * 731, Seq: int64(i),
			CPU: int32(i % 2), PID: 100, TID: int32(100 + i%7), Comm: [3]string{"java", "C2 Compiler", "G1"}[i%3], SrcPos: int64(i) * 96,
		}
		switch i % 4 {
		case 0:
			e.Kind, e.Has = Mmap, e.Has|ColDur|ColAddr|ColLen|ColProt|ColFlags|ColRet
			e.Dur, e.Addr, e.Len, e.Prot, e.Flags = int64(i%5000), 0x7f0000000000+uint64(i)<<12, uint64(i%9)<<12, 3, 34
			e.Ret = int64(e.Addr)
		default:
			e.Kind, e.Has = Hit, e.Has|ColAddr|ColProbe
			e.Addr, e.Probe = 0x400000+uint64(i%5), "probe:alloc"
		}
		if i%16 == 0 {
			e.Has |= ColStack
			e.Stack = stacks[i/16%len(stacks)]
		}
	}
	return events
}

func TestStoreOfManyRowGroups(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := synthetic(RowGroupRows + 1234)
	store(t, path, events, someMeta)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := len(f.file.RowGroups()); n != 2 {
		t.Fatalf("%d row groups, want 2", n)
	}
	r, err := f.Events(AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	for i := range events {
		if err := r.Next(&e); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(events[i], e) {
			t.Fatalf("row %d (-written +read):\n%s", i, cmp.Diff(events[i], e))
		}
	}
	if err := r.Next(&e); err != io.EOF {
		t.Fatalf("after the last row: %v", err)
	}
}

func TestOrderIsKept(t *testing.T) {
	w, err := Create(filepath.Join(t.TempDir(), "t.parquet"), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Write(&Event{Kind: Hit, Time: 2}); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&Event{Kind: Hit, Time: 1}); !errors.Is(err, ErrOrder) {
		t.Fatalf("got %v, want ErrOrder", err)
	}
	if err := w.Commit(Meta{}); !errors.Is(err, ErrOrder) {
		t.Fatalf("commit after an error: %v", err)
	}
}

func TestBetweenReadsOnlyTheRowGroupsItNeeds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := sparse(2*RowGroupRows + 10)
	store(t, path, events, someMeta)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, span := range [][2]int{{0, 0}, {RowGroupRows - 1, RowGroupRows}, {RowGroupRows + 5, RowGroupRows + 700}, {2 * RowGroupRows, 2*RowGroupRows + 9}} {
		r, err := f.Events(ColCPU)
		if err != nil {
			t.Fatal(err)
		}
		r.Between(events[span[0]].Time, events[span[1]].Time)
		got, err := collect(r)
		if err != nil {
			t.Fatal(err)
		}
		if n := span[1] - span[0] + 1; len(got) != n || got[0].Seq != int64(span[0]) || got[n-1].Seq != int64(span[1]) {
			t.Errorf("rows %v: got %d rows from %d", span, len(got), got[0].Seq)
		}
	}
	r, _ := f.Events(ColCPU)
	r.Between(events[2*RowGroupRows].Time, math.MaxInt64)
	for range 2 {
		if err := r.openGroup(); err != nil || r.left != 0 {
			t.Errorf("a row group before the span is opened: %d rows, %v", r.left, err)
		}
	}
}
