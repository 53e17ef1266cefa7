package traces

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// wild is rows whose numbers take all their bits, both signs, and every order: rising,
// falling, neither, and with pages that are all null.
func wild(n int) []Event {
	events := make([]Event, n)
	x := uint64(88172645463325252)
	next := func() uint64 { // xorshift64
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return x
	}
	for i := range events {
		e := &events[i]
		*e = Event{Kind: Madvise, Time: int64(i) * 10, Seq: int64(i), Has: ColTID | ColMm | ColRet | ColAdvice | ColDur | ColAddr | ColLen | ColWrite | ColCPU}
		e.TID, e.CPU = int32(next()>>40), int32(i%7)
		e.Mm, e.Ret, e.Advice, e.Dur = next(), int64(next()), int32(next()), int64(n-i)<<20
		e.Addr, e.Len = 1<<63-uint64(n/2)<<32+uint64(i)<<32, 1<<63+uint64(n/2)<<32-uint64(i)<<32
		e.Write = next()%3 == 0
		if i < n/2 {
			e.Has &^= ColInode
		} else {
			e.Has, e.Inode = e.Has|ColInode, next()
		}
		if i%1000 == 0 {
			e.Has, e.Comm, e.Stack = e.Has|ColComm|ColStack, fmt.Sprint("c", i%9), []string{fmt.Sprint("f", i%5), "main"}
		}
	}
	return events
}

// TestChunksAgainstTheirPages walks the pages of every column chunk, and compares the
// chunk's metadata and page index with what is there.
func TestChunksAgainstTheirPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := wild(60_000)
	store(t, path, events, someMeta)
	got, _ := readAll(t, path, AllColumns)
	for i := range events {
		a, b := events[i], got[i]
		if a.Mm != b.Mm || a.Ret != b.Ret || a.Advice != b.Advice || a.Dur != b.Dur || a.Addr != b.Addr || a.Len != b.Len || a.Write != b.Write || a.Inode != b.Inode || a.Has != b.Has || a.Comm != b.Comm || a.TID != b.TID {
			t.Fatalf("row %d is %+v, want %+v", i, b, a)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	checkIndexes(t, f)
	ordered, unordered := 0, 0
	at := int64(4) // after the magic; chunks follow each other
	for g, group := range f.RowGroups() {
		for i, chunk := range group.ColumnChunks() {
			m := &f.Metadata().RowGroups[g].Columns[i].MetaData
			name := m.PathInSchema[0]
			start, length := chunkSpan(m)
			if start != at {
				t.Errorf("%s: begins at %d, not behind the one before at %d", name, start, at)
			}
			at = start + length
			want := format.ColumnMetaData{}
			pages := map[format.PageEncodingStats]int32{}
			offsets, err := chunk.OffsetIndex()
			if err != nil {
				t.Fatal(err)
			}
			nth := 0
			for offset := start; offset < start+length; {
				h, size, err := readPageHeader(bytes.NewReader(data), offset, start+length)
				if err != nil {
					t.Fatal(err)
				}
				whole := size + int64(h.CompressedPageSize)
				want.TotalUncompressedSize += size + int64(h.UncompressedPageSize)
				if h.DictionaryPageHeader.Valid {
					if offset != start || m.DictionaryPageOffset != start || m.DataPageOffset != start+whole {
						t.Errorf("%s: a dictionary at %d, the metadata says %d, and pages from %d", name, offset, m.DictionaryPageOffset, m.DataPageOffset)
					}
					pages[format.PageEncodingStats{PageType: h.Type, Encoding: h.DictionaryPageHeader.V.Encoding}]++
				} else {
					if nth == 0 && m.DataPageOffset != offset {
						t.Errorf("%s: pages from %d, the metadata says %d", name, offset, m.DataPageOffset)
					}
					if offsets.Offset(nth) != offset || offsets.CompressedPageSize(nth) != whole {
						t.Errorf("%s: page %d is at %d, %d bytes; the index says %d, %d", name, nth, offset, whole, offsets.Offset(nth), offsets.CompressedPageSize(nth))
					}
					nth++
					want.NumValues += int64(h.DataPageHeader.V.NumValues)
					pages[format.PageEncodingStats{PageType: h.Type, Encoding: h.DataPageHeader.V.Encoding}]++
				}
				offset += whole
			}
			if want.NumValues != m.NumValues || want.TotalUncompressedSize != m.TotalUncompressedSize {
				t.Errorf("%s: %d values, %d bytes; the metadata says %d, %d", name, want.NumValues, want.TotalUncompressedSize, m.NumValues, m.TotalUncompressedSize)
			}
			var all []format.Encoding
			for _, s := range m.EncodingStats {
				all = append(all, s.Encoding)
				n := s.Count
				s.Count = 0
				if pages[s] != n {
					t.Errorf("%s: %d pages of type %v in %v, the metadata says %d", name, pages[s], s.PageType, s.Encoding, n)
				}
				delete(pages, s)
			}
			if len(pages) > 0 {
				t.Errorf("%s: not in the metadata: %v", name, pages)
			}
			nullable := chunkOptional(f, name)
			for _, e := range []format.Encoding{format.Plain, format.RLE, format.DeltaBinaryPacked, format.RLEDictionary} {
				is := slices.Contains(all, e) || e == format.RLE && nullable
				n := 0
				for _, listed := range m.Encoding {
					if listed == e {
						n++
					}
				}
				if is != (n == 1) || n > 1 {
					t.Errorf("%s: the metadata lists encoding %v %d times, used: %v", name, e, n, is)
				}
			}
			if name == "comm" || name == "stack" || name == "kind" {
				continue
			}
			bounds, err := chunk.ColumnIndex()
			if err != nil || bounds.NumPages() != nth {
				continue
			}
			ascending := true
			for p := 1; p < nth; p++ {
				compare := chunk.Type().Compare
				ascending = ascending && !bounds.NullPage(p) && !bounds.NullPage(p-1) &&
					compare(bounds.MinValue(p-1), bounds.MinValue(p)) <= 0 && compare(bounds.MaxValue(p-1), bounds.MaxValue(p)) <= 0
			}
			if bounds.IsAscending() != ascending {
				t.Errorf("%s: %d pages ascend: %v; the index says %v", name, nth, ascending, bounds.IsAscending())
			}
			if nth > 2 && ascending {
				ordered++
			} else if nth > 2 {
				unordered++
			}
		}
	}
	if ordered < 3 || unordered < 3 {
		t.Errorf("vacuous: %d columns with ascending pages, %d with others", ordered, unordered)
	}
}

// chunkOptional reports whether a column has levels.
func chunkOptional(f *parquet.File, name string) bool {
	for _, field := range f.Schema().Fields() {
		if field.Name() == name {
			return !field.Required()
		}
	}
	return false
}
