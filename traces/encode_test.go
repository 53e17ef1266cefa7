package traces

import (
	"bytes"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// row states the schema a second time, in the library's own way.
type row struct {
	TimeNs   int64    `parquet:"time_ns"`
	Seq      int64    `parquet:"seq"`
	CPU      *int32   `parquet:"cpu"`
	PID      *int32   `parquet:"pid"`
	TID      *int32   `parquet:"tid"`
	Comm     *string  `parquet:"comm"`
	Kind     string   `parquet:"kind"`
	DurNs    *int64   `parquet:"dur_ns"`
	Addr     *uint64  `parquet:"addr"`
	Len      *uint64  `parquet:"len"`
	Pgoff    *uint64  `parquet:"pgoff"`
	NewAddr  *uint64  `parquet:"new_addr"`
	NewLen   *uint64  `parquet:"new_len"`
	Prot     *int32   `parquet:"prot"`
	Flags    *int32   `parquet:"flags"`
	Advice   *int32   `parquet:"advice"`
	Ret      *int64   `parquet:"ret"`
	DevMajor *int32   `parquet:"dev_major"`
	DevMinor *int32   `parquet:"dev_minor"`
	Inode    *uint64  `parquet:"inode"`
	InodeGen *uint64  `parquet:"inode_gen"`
	Path     *string  `parquet:"path"`
	BuildID  *string  `parquet:"build_id"`
	Probe    *string  `parquet:"probe"`
	Mm       *uint64  `parquet:"mm"`
	Write    *bool    `parquet:"write"`
	InUprobe *bool    `parquet:"in_uprobe"`
	Trap     *int64   `parquet:"trap"`
	Stack    []string `parquet:"stack,list,optional"`
	Src      *int32   `parquet:"src"`
	SrcPos   *int64   `parquet:"src_pos"`
}

// rowOf is an event as the library reads it.
func rowOf(e *Event) row {
	r := row{TimeNs: e.Time, Seq: e.Seq, Kind: e.Kind.String()}
	i32 := func(bit Columns, v int32) *int32 { return orNull(e, bit, v) }
	i64 := func(bit Columns, v int64) *int64 { return orNull(e, bit, v) }
	u64 := func(bit Columns, v uint64) *uint64 { return orNull(e, bit, v) }
	text := func(bit Columns, v string) *string { return orNull(e, bit, v) }
	r.CPU, r.PID, r.TID, r.Src = i32(ColCPU, e.CPU), i32(ColPID, e.PID), i32(ColTID, e.TID), i32(ColSrc, e.Src)
	r.Prot, r.Flags, r.Advice = i32(ColProt, e.Prot), i32(ColFlags, e.Flags), i32(ColAdvice, e.Advice)
	r.DevMajor, r.DevMinor = i32(ColDevMajor, e.DevMajor), i32(ColDevMinor, e.DevMinor)
	r.DurNs, r.Ret, r.Trap, r.SrcPos = i64(ColDur, e.Dur), i64(ColRet, e.Ret), i64(ColTrap, e.Trap), i64(ColSrcPos, e.SrcPos)
	r.Addr, r.Len, r.Pgoff = u64(ColAddr, e.Addr), u64(ColLen, e.Len), u64(ColPgoff, e.Pgoff)
	r.NewAddr, r.NewLen = u64(ColNewAddr, e.NewAddr), u64(ColNewLen, e.NewLen)
	r.Inode, r.InodeGen, r.Mm = u64(ColInode, e.Inode), u64(ColInodeGen, e.InodeGen), u64(ColMm, e.Mm)
	r.Comm, r.Path, r.BuildID, r.Probe = text(ColComm, e.Comm), text(ColPath, e.Path), text(ColBuildID, e.BuildID), text(ColProbe, e.Probe)
	r.Write, r.InUprobe = orNull(e, ColWrite, e.Write), orNull(e, ColInUprobe, e.InUprobe)
	if len(e.Stack) > 0 && e.Got(ColStack) {
		r.Stack = e.Stack
	}
	return r
}

func orNull[T any](e *Event, bit Columns, v T) *T {
	if !e.Got(bit) {
		return nil
	}
	return &v
}

// sparseRows are rows of which some columns have values in few places far apart, so
// that pages begin and end with nulls, and of some there are none at all.
func sparseRows(n int) []Event {
	events := synthetic(n)
	for i := range events {
		e := &events[i]
		if i%9973 == 17 {
			e.Kind, e.Has, e.Advice = Madvise, e.Has|ColAdvice|ColMm|ColWrite, int32(i)
			e.Mm, e.Write = 1<<63+uint64(i), i%2 == 0
		}
		if i > n/2 {
			e.Has &^= ColStack
		}
	}
	return events
}

// TestTheLibraryReadsTheStore reads what the encoder wrote with the library's own
// reader: schema, values and page indexes.
func TestTheLibraryReadsTheStore(t *testing.T) {
	large := sparseRows(RowGroupRows + 40_000)
	if testing.Short() {
		large = sparseRows(80_000) // one row group, of some pages
	}
	path := filepath.Join(t.TempDir(), "t.parquet")
	for _, events := range [][]Event{nil, everything(), large} {
		store(t, path, events, someMeta)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(schemaText(parquet.NewSchema("event", parquet.SchemaOf(row{}))), schemaText(f.Schema())); d != "" {
			t.Errorf("schema (-library +store):\n%s", d)
		}
		got := make([]row, len(events)+1)
		n, _ := parquet.NewGenericReader[row](f).Read(got)
		if n != len(events) {
			t.Fatalf("the library reads %d rows of %d", n, len(events))
		}
		for i := range events {
			want := rowOf(&events[i])
			if len(got[i].Stack) == 0 {
				got[i].Stack = nil
			}
			if !reflect.DeepEqual(want, got[i]) {
				t.Fatalf("row %d (-want +got):\n%s", i, cmp.Diff(want, got[i]))
			}
		}
		checkIndexes(t, f)
	}
}

func schemaText(s *parquet.Schema) string {
	var b strings.Builder
	parquet.PrintSchema(&b, "event", s)
	return b.String()
}

// checkIndexes holds the page indexes and the statistics against the pages.
func checkIndexes(t *testing.T, f *parquet.File) {
	t.Helper()
	for g, group := range f.RowGroups() {
		for i, chunk := range group.ColumnChunks() {
			name := fmt.Sprint(f.Metadata().RowGroups[g].Columns[i].MetaData.PathInSchema)
			stats := &f.Metadata().RowGroups[g].Columns[i].MetaData.Statistics
			offsets, err := chunk.OffsetIndex()
			if err != nil {
				t.Fatal(err)
			}
			bounds, err := chunk.ColumnIndex()
			bounded := err == nil && bounds != nil && bounds.NumPages() > 0
			pages := chunk.Pages()
			row, nulls := int64(0), int64(0)
			var least, most parquet.Value
			for p := 0; ; p++ {
				page, err := pages.ReadPage()
				if err != nil {
					if p != offsets.NumPages() {
						t.Errorf("%s: %d pages, and %d in the index", name, p, offsets.NumPages())
					}
					break
				}
				if got := offsets.FirstRowIndex(p); got != row {
					t.Errorf("%s: page %d begins at row %d, not %d", name, p, row, got)
				}
				row += page.NumRows()
				nulls += page.NumNulls()
				if !bounded {
					continue
				}
				low, high, some := page.Bounds()
				if bounds.NullPage(p) == some || bounds.NullCount(p) != page.NumNulls() {
					t.Errorf("%s: page %d: null %v, %d nulls; the index says %v, %d", name, p, !some, page.NumNulls(), bounds.NullPage(p), bounds.NullCount(p))
				}
				if !some {
					continue
				}
				compare := chunk.Type().Compare
				if compare(bounds.MinValue(p), low) != 0 || compare(bounds.MaxValue(p), high) != 0 {
					t.Errorf("%s: page %d: from %v to %v; the index says %v to %v", name, p, low, high, bounds.MinValue(p), bounds.MaxValue(p))
				}
				if least.IsNull() || compare(low, least) < 0 {
					least = low.Clone()
				}
				if most.IsNull() || compare(high, most) > 0 {
					most = high.Clone()
				}
			}
			pages.Close()
			if row != group.NumRows() || stats.NullCount != nulls {
				t.Errorf("%s: %d rows and %d nulls; the metadata says %d and %d", name, row, nulls, group.NumRows(), stats.NullCount)
			}
			if bounded && !least.IsNull() && (!bytes.Equal(stats.MinValue, least.Bytes()) || !bytes.Equal(stats.MaxValue, most.Bytes())) {
				t.Errorf("%s: from %v to %v; the statistics say %x to %x", name, least, most, stats.MinValue, stats.MaxValue)
			}
		}
	}
}

// TestDictionaryThatIsFull goes on without a dictionary, in the middle of a page, and
// begins a new one with the next row group.
func TestDictionaryThatIsFull(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a row group with 40 MB of names")
	}
	path := filepath.Join(t.TempDir(), "t.parquet")
	long := strings.Repeat("x", 4000)
	events := synthetic(RowGroupRows + 5000)
	for i := range events {
		if i%97 == 0 || i > RowGroupRows {
			events[i].Has |= ColPath
			events[i].Path = fmt.Sprintf("/%d/%s", i%(RowGroupRows-1), long)
		}
		if i%32 == 0 {
			events[i].Has |= ColStack
			events[i].Stack = []string{fmt.Sprintf("f%d%s", i, long), "main"}
		}
	}
	store(t, path, events, someMeta)
	got, _ := readAll(t, path, AllColumns)
	if d := cmp.Diff(events, got); d != "" {
		t.Errorf("(-want +got):\n%.2000s", d)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range f.file.Metadata().RowGroups[0].Columns {
		pages := map[format.Encoding]int32{}
		for _, s := range c.MetaData.EncodingStats {
			if s.PageType == format.DataPage {
				pages[s.Encoding] += s.Count
			}
		}
		switch c.MetaData.PathInSchema[0] {
		case "path": // full before its first page is, so that no page needs it
			if pages[format.RLEDictionary] != 0 || pages[format.Plain] == 0 || c.MetaData.DictionaryPageOffset != 0 {
				t.Errorf("path: %v, dictionary at %d", c.MetaData.EncodingStats, c.MetaData.DictionaryPageOffset)
			}
		case "stack":
			if pages[format.RLEDictionary] == 0 || pages[format.Plain] == 0 || c.MetaData.DictionaryPageOffset == 0 {
				t.Errorf("stack: %v: the dictionary was never full, or always", c.MetaData.EncodingStats)
			}
		}
	}
}

// TestDuckDBAgreesOnTheValues compares sums, which take every value, and what is
// found by statistics and page indexes with a search of the rows.
func TestDuckDBAgreesOnTheValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := sparseRows(RowGroupRows + 40_000)
	store(t, path, events, someMeta)
	from := fmt.Sprintf("FROM '%s'", path)
	var query, want []string
	for i := range columns {
		c := &columns[i]
		switch {
		case c.i32 != nil, c.i64 != nil, c.u64 != nil:
			query = append(query, "sum("+c.name+"::HUGEINT)::VARCHAR")
		case c.flag != nil:
			query = append(query, "count_if("+c.name+")::VARCHAR")
		case c.stack != nil:
			query = append(query, "sum(len(array_to_string("+c.name+",';')))::VARCHAR")
		default:
			query = append(query, "sum(len("+c.name+"))::VARCHAR")
		}
		want = append(want, sumOf(c, events))
	}
	got := duckdb(t, "SELECT "+strings.Join(query, ", ")+" "+from)[0]
	for i := range columns {
		if g := fmt.Sprint(got[i]); g != want[i] {
			t.Errorf("%s: DuckDB sums up to %s, the rows to %s", columns[i].name, g, want[i])
		}
	}
	middle := events[len(events)/2].Time
	for where, keep := range map[string]func(*Event) bool{
		fmt.Sprintf("time_ns BETWEEN %d AND %d", middle, middle+731*100): func(e *Event) bool { return e.Time >= middle && e.Time <= middle+731*100 },
		"mm > 9223372036854775808 AND mm < 9223372036854976808":          func(e *Event) bool { return e.Got(ColMm) && e.Mm > 1<<63 && e.Mm < 1<<63+201000 },
		"advice < 60000": func(e *Event) bool { return e.Got(ColAdvice) && e.Advice < 60000 },
		"write":          func(e *Event) bool { return e.Got(ColWrite) && e.Write },
	} {
		n := 0
		for i := range events {
			if keep(&events[i]) {
				n++
			}
		}
		if got := fmt.Sprint(duckdb(t, "SELECT count(*) "+from+" WHERE "+where)[0][0]); got != fmt.Sprint(n) || n == 0 {
			t.Errorf("WHERE %s: DuckDB finds %s rows, there are %d", where, got, n)
		}
	}
}

// sumOf is the sum of a column's values, or of their lengths.
func sumOf(c *column, events []Event) string {
	sum, some := new(big.Int), false
	for i := range events {
		e := &events[i]
		if !e.Got(c.bit) {
			continue
		}
		x := new(big.Int)
		switch {
		case c.i32 != nil:
			x.SetInt64(int64(*c.i32(e)))
		case c.i64 != nil:
			x.SetInt64(*c.i64(e))
		case c.u64 != nil:
			x.SetUint64(*c.u64(e))
		case c.flag != nil:
			if *c.flag(e) {
				x.SetInt64(1)
			}
		case c.stack != nil:
			x.SetInt64(int64(len(strings.Join(e.Stack, ";"))))
		case c.kind != nil:
			x.SetInt64(int64(len(e.Kind.String())))
		default:
			x.SetInt64(int64(len(*c.text(e))))
		}
		sum.Add(sum, x)
		some = true
	}
	if !some {
		return "<nil>"
	}
	return sum.String()
}
