package traces

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"
)

// compact writes random values of the Thrift compact protocol, as its specification
// has them.
type compact struct {
	t *rapid.T
	b []byte
}

func (c *compact) uvarint(n uint64) { c.b = binary.AppendUvarint(c.b, n) }

func (c *compact) kind(depth int) byte {
	kinds := []byte{thriftByte, thriftI16, thriftI32, thriftI64, thriftDouble, thriftBinary, thriftTrue, thriftFalse}
	if depth < 4 {
		kinds = append(kinds, thriftList, thriftSet, thriftMap, thriftStruct)
	}
	return rapid.SampledFrom(kinds).Draw(c.t, "kind")
}

func (c *compact) value(kind byte, depth int) {
	n := rapid.IntRange(0, 3).Draw(c.t, "n")
	switch kind {
	case thriftTrue, thriftFalse, thriftByte: // of a list; of a field booleans are in the type
		c.b = append(c.b, 1)
	case thriftI16, thriftI32, thriftI64:
		c.uvarint(rapid.Uint64().Draw(c.t, "integer"))
	case thriftDouble:
		c.b = append(c.b, make([]byte, 8)...)
	case thriftBinary:
		c.uvarint(uint64(n * 50))
		c.b = append(c.b, bytes.Repeat([]byte{0xff}, n*50)...)
	case thriftList, thriftSet:
		of := c.kind(depth + 1)
		if rapid.Bool().Draw(c.t, "many") {
			n += 14 // 14 is in the header, 15 and more are not
		}
		if n < 15 {
			c.b = append(c.b, byte(n)<<4|of)
		} else {
			c.b = append(c.b, 0xf0|of)
			c.uvarint(uint64(n))
		}
		for range n {
			c.value(of, depth+1)
		}
	case thriftMap:
		c.uvarint(uint64(n))
		if n > 0 {
			k, v := c.kind(depth+1), c.kind(depth+1)
			c.b = append(c.b, k<<4|v)
			for range n {
				c.value(k, depth+1)
				c.value(v, depth+1)
			}
		}
	case thriftStruct:
		c.structure(depth + 1)
	}
}

func (c *compact) structure(depth int) {
	for range rapid.IntRange(0, 4).Draw(c.t, "fields") {
		kind := c.kind(depth)
		if rapid.Bool().Draw(c.t, "far") {
			c.b = append(c.b, kind)
			c.uvarint(1000)
		} else {
			c.b = append(c.b, 1<<4|kind)
		}
		if kind != thriftTrue && kind != thriftFalse {
			c.value(kind, depth)
		}
	}
	c.b = append(c.b, thriftStop)
}

// TestSkipThriftAgainstWriter skips what was written, whatever follows, and finds that
// each shorter piece of it ends too early.
func TestSkipThriftAgainstWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &compact{t: t}
		c.structure(0)
		if n, err := skipThrift(append(bytes.Clone(c.b), 0xff, 0xff)); err != nil || n != len(c.b) {
			t.Fatalf("skipped %d bytes of %d: %v", n, len(c.b), err)
		}
		for end := range len(c.b) {
			if n, err := skipThrift(c.b[:end]); err == nil || n > end {
				t.Fatalf("the first %d of %d bytes are whole, %d", end, len(c.b), n)
			}
		}
	})
}

// TestSkipThriftByHand has what no writer writes.
func TestSkipThriftByHand(t *testing.T) {
	nested := func(depth int, open, close string) string {
		return strings.Repeat(open, depth) + close + strings.Repeat("\x00", depth)
	}
	for _, c := range []struct {
		name, b string
		n       int
		err     string
	}{
		{"nothing", "", 0, "ends too early"},
		{"an empty struct", "\x00", 1, ""},
		{"a flag in its type", "\x11\x12\x00", 3, ""},
		{"a far field", "\x06\x80\x01\x7f\x00", 5, ""},
		{"a type of none", "\x1d\x00", 1, "13 is no type"},
		{"a type of none in a list", "\x19\x1d\x00\x00", 2, "13 is no type"},
		{"a number too long", "\x15" + strings.Repeat("\xff", 11) + "\x00", 1, "too long"},
		{"a number without end", "\x15\xff", 1, "ends too early"},
		{"a string of what is left", "\x18\x02ab\x00", 5, ""},
		{"a string of all that is left", "\x18\x03ab\x00", 5, "ends too early"},
		{"a string of more", "\x18\x04ab\x00", 2, "a length of 4 where 3 bytes are left"},
		{"a list of more", "\x19\xf3\x7f\x00\x00", 3, "a length of 127 where 2 bytes are left"},
		{"a map of more", "\x1b\x7f\x33\x00\x00", 2, "a length of 127 where 3 bytes are left"},
		{"an empty map", "\x1b\x00\x00", 3, ""},
		{"a double cut short", "\x17\x00\x00\x00", 1, "ends too early"},
		{"as deep as may be", nested(thriftDepthMax, "\x1c", "\x00"), 2*thriftDepthMax + 1, ""},
		{"deeper", nested(thriftDepthMax+1, "\x1c", "\x00"), thriftDepthMax + 1, "deeper than 32"},
		{"lists as deep as may be", "\x19" + nested(thriftDepthMax-1, "\x19", "\x13\x00") + "\x00", thriftDepthMax + 3, ""},
		{"maps deeper", "\x1b" + strings.Repeat("\x01\x3b\x05", thriftDepthMax) + "\x01\x33\x05\x05\x00", 3*thriftDepthMax + 3, "deeper than 32"},
		{"lists deeper", "\x19" + strings.Repeat("\x19", thriftDepthMax) + "\x13\x00\x00", 34, "deeper than 32"},
	} {
		n, err := skipThrift([]byte(c.b))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || n != c.n {
			t.Errorf("%s: %d, %v; want %d, %q", c.name, n, err, c.n, c.err)
		}
	}
}

// TestFrameOfAFile holds the magic at both ends and the length of the footer.
func TestFrameOfAFile(t *testing.T) {
	file := func(middle string, footer uint32) string {
		return "PAR1" + middle + string(binary.LittleEndian.AppendUint32(nil, footer)) + "PAR1"
	}
	for _, c := range []struct{ name, b, err string }{
		{"the least", file("\x00", 1), ""},
		{"with pages", file("pages\x00", 1), ""},
		{"no footer", file("", 0), "footer: it ends too early"},
		{"eleven bytes", file("", 0)[:11], "11 bytes are too few"},
		{"another head", "PARE" + file("\x00", 1)[4:], `found "PARE"`},
		{"cut short", file("\x00", 1) + "x", "the file is cut short"},
		{"a footer of all", file("\x11\x00", 2), ""},
		{"a footer of more", file("\x00", 2), "offset 5: a footer of 2 bytes in a file of 13"},
		{"a damaged footer", file("xx\x18\x7f\x00", 3), "offset 8: footer: a length of 127"},
	} {
		err := checkFrame(strings.NewReader(c.b), int64(len(c.b)))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
	// A footer that is as long as a file may say, without the bytes.
	huge := append(make([]byte, 0, 16), "PAR1"...)
	tail := string(binary.LittleEndian.AppendUint32(nil, footerBytesMax+1)) + "PAR1"
	const size = footerBytesMax * 2
	if err := checkFrame(sparseFile{map[int64]string{0: string(huge), size - 8: tail}}, size); err == nil || !strings.Contains(err.Error(), "at most 67108864 are read") {
		t.Error(err)
	}
}

// sparseFile is a file of zeros but for some places.
type sparseFile struct{ at map[int64]string }

func (s sparseFile) ReadAt(b []byte, offset int64) (int, error) {
	clear(b)
	copy(b, s.at[offset])
	return len(b), nil
}

// TestGroupsAgreeWithTheFile spoils the metadata of a good file, one figure at a time.
func TestGroupsAgreeWithTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	store(t, path, everything(), someMeta)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(data))
	for _, c := range []struct {
		name  string
		spoil func(*format.RowGroup, *format.ColumnMetaData)
		bad   bool
	}{
		{"nothing", func(*format.RowGroup, *format.ColumnMetaData) {}, false},
		{"more rows", func(g *format.RowGroup, m *format.ColumnMetaData) { g.NumRows++ }, true},
		{"fewer rows", func(g *format.RowGroup, m *format.ColumnMetaData) { g.NumRows-- }, true},
		{"rows below none", func(g *format.RowGroup, m *format.ColumnMetaData) { g.NumRows = -1 }, true},
		{"a column less", func(g *format.RowGroup, m *format.ColumnMetaData) { g.Columns = g.Columns[1:] }, true},
		{"pages in the magic", func(g *format.RowGroup, m *format.ColumnMetaData) { m.DictionaryPageOffset, m.DataPageOffset = 0, 3 }, true},
		{"pages after it", func(g *format.RowGroup, m *format.ColumnMetaData) { m.DictionaryPageOffset, m.DataPageOffset = 0, 4 }, false},
		{"a dictionary first", func(g *format.RowGroup, m *format.ColumnMetaData) { m.DictionaryPageOffset, m.DataPageOffset = 4, 3 }, false},
		{"a dictionary in the magic", func(g *format.RowGroup, m *format.ColumnMetaData) { m.DictionaryPageOffset, m.DataPageOffset = 3, 4 }, true},
		{"no bytes", func(g *format.RowGroup, m *format.ColumnMetaData) { m.TotalCompressedSize = 0 }, false},
		{"bytes below none", func(g *format.RowGroup, m *format.ColumnMetaData) { m.TotalCompressedSize = -1 }, true},
		{"up to the tail", func(g *format.RowGroup, m *format.ColumnMetaData) {
			m.DictionaryPageOffset, m.DataPageOffset, m.TotalCompressedSize = 0, 10, size-18
		}, false},
		{"into the tail", func(g *format.RowGroup, m *format.ColumnMetaData) {
			m.DictionaryPageOffset, m.DataPageOffset, m.TotalCompressedSize = 0, 10, size-17
		}, true},
		{"behind the file", func(g *format.RowGroup, m *format.ColumnMetaData) {
			m.DictionaryPageOffset, m.DataPageOffset, m.TotalCompressedSize = 0, size-7, 0
		}, true},
		{"at its end", func(g *format.RowGroup, m *format.ColumnMetaData) {
			m.DictionaryPageOffset, m.DataPageOffset, m.TotalCompressedSize = 0, size-8, 0
		}, false},
		{"no values", func(g *format.RowGroup, m *format.ColumnMetaData) { m.NumValues = 0 }, false},
		{"values below none", func(g *format.RowGroup, m *format.ColumnMetaData) { m.NumValues = -1 }, true},
	} {
		f, err := parquet.OpenFile(bytes.NewReader(data), size)
		if err != nil {
			t.Fatal(err)
		}
		g := &f.Metadata().RowGroups[0]
		c.spoil(g, &g.Columns[0].MetaData)
		if err := checkGroups(f, size); (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// page is a page's header and data.
func page(t testing.TB, h format.PageHeader, data string) string {
	t.Helper()
	b, err := thrift.Marshal(new(thrift.CompactProtocol), &h)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + data
}

func dataPage(values, packed, plain int32) (h format.PageHeader) {
	h.Type, h.CompressedPageSize, h.UncompressedPageSize = format.DataPage, packed, plain
	h.DataPageHeader.V.NumValues, h.DataPageHeader.Valid = values, true
	return h
}

func dictionaryPage(values, packed, plain int32) (h format.PageHeader) {
	h.Type, h.CompressedPageSize, h.UncompressedPageSize = format.DictionaryPage, packed, plain
	h.DictionaryPageHeader.V.NumValues, h.DictionaryPageHeader.Valid = values, true
	return h
}

func dataPageV2(values, packed, plain, repetition, definition int32) (h format.PageHeader) {
	h.Type, h.CompressedPageSize, h.UncompressedPageSize = format.DataPageV2, packed, plain
	h.DataPageHeaderV2.V.NumValues, h.DataPageHeaderV2.Valid = values, true
	h.DataPageHeaderV2.V.RepetitionLevelsByteLength, h.DataPageHeaderV2.V.DefinitionLevelsByteLength = repetition, definition
	return h
}

// TestPagesOfAColumn holds the headers of pages against the column that they are of and
// against what is read at most.
func TestPagesOfAColumn(t *testing.T) {
	eight := "12345678"
	zipped := string(func() []byte {
		w, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(bytes.Repeat([]byte("a"), 100), nil)
	}())
	long := dataPage(1, 8, 8)
	long.DataPageHeader.V.Statistics.MaxValue = bytes.Repeat([]byte("m"), 5000)
	longer := dataPage(1, 8, 8)
	longer.DataPageHeader.V.Statistics.MaxValue = bytes.Repeat([]byte("m"), pageHeaderBytesMax*16)
	for _, c := range []struct {
		name   string
		codec  format.CompressionCodec
		pages  string
		values int64
		err    string
	}{
		{"one", format.Uncompressed, page(t, dataPage(5, 8, 8), eight), 5, ""},
		{"two", format.Uncompressed, page(t, dataPage(5, 8, 8), eight) + page(t, dataPage(2, 8, 8), eight), 7, ""},
		{"a value less", format.Uncompressed, page(t, dataPage(5, 8, 8), eight), 6, "pages of 5 values up to offset"},
		{"a value more", format.Uncompressed, page(t, dataPage(5, 8, 8), eight), 4, "pages of 5 values"},
		{"a dictionary has none of the column's", format.Uncompressed, page(t, dictionaryPage(9, 8, 8), eight) + page(t, dataPage(5, 8, 8), eight), 5, ""},
		{"nothing", format.Uncompressed, "", 0, ""},
		{"nothing, and some wanted", format.Uncompressed, "", 1, "pages of 0 values"},
		{"a byte short", format.Uncompressed, page(t, dataPage(5, 8, 8), eight)[:len(page(t, dataPage(5, 8, 8), eight))-1], 5, "8 bytes where the column has 7 left"},
		{"bytes below none", format.Uncompressed, page(t, dataPage(5, -1, 8), eight), 5, "-1 bytes where"},
		{"no bytes", format.Uncompressed, page(t, dataPage(5, 0, 0), ""), 5, ""},
		{"unpacked below none", format.Uncompressed, page(t, dataPage(5, 8, -1), eight), 5, "-1 bytes unpacked"},
		{"unpacked to the most", format.Uncompressed, page(t, dataPage(5, 8, pageBytesMax), eight), 5, ""},
		{"unpacked to more", format.Uncompressed, page(t, dataPage(5, 8, pageBytesMax+1), eight), 5, "134217729 bytes unpacked"},
		{"the most values", format.Uncompressed, page(t, dataPage(pageValuesMax, 8, 8), eight), pageValuesMax, ""},
		{"more values", format.Uncompressed, page(t, dataPage(pageValuesMax+1, 8, 8), eight), pageValuesMax + 1, "16777217 values"},
		{"more names", format.Uncompressed, page(t, dictionaryPage(pageValuesMax+1, 8, 8), eight), 1, "16777217 values"},
		{"values below none", format.Uncompressed, page(t, dataPage(-1, 8, 8), eight), 5, "-1 values"},
		{"version 2", format.Uncompressed, page(t, dataPageV2(5, 8, 8, 3, 5), eight), 5, ""},
		{"version 2, more values", format.Uncompressed, page(t, dataPageV2(pageValuesMax+1, 8, 8, 3, 5), eight), 5, "16777217 values"},
		{"levels of more than the page", format.Uncompressed, page(t, dataPageV2(5, 8, 8, 4, 5), eight), 5, "9 bytes of levels in a page of 8"},
		{"levels of more than is unpacked", format.Uncompressed, page(t, dataPageV2(5, 8, 7, 4, 4), eight), 5, "8 bytes of levels"},
		{"levels below none", format.Uncompressed, page(t, dataPageV2(5, 8, 8, -1, 5), eight), 5, "bytes of levels"},
		{"definitions below none", format.Uncompressed, page(t, dataPageV2(5, 8, 8, 5, -1), eight), 5, "bytes of levels"},
		{"no levels", format.Uncompressed, page(t, dataPageV2(5, 8, 8, 0, 0), eight), 5, ""},
		{"snappy", format.Snappy, page(t, dataPage(5, 8, 100), "\x642345678"), 5, ""},
		{"snappy of more", format.Snappy, page(t, dataPage(5, 8, 99), "\x642345678"), 5, "SNAPPY: 100 bytes unpacked, not 99"},
		{"snappy after levels", format.Snappy, page(t, dataPageV2(5, 8, 102, 1, 1), "\xff\xff\x6445678"), 5, ""},
		{"snappy of more after levels", format.Snappy, page(t, dataPageV2(5, 8, 101, 1, 1), "\xff\xff\x6445678"), 5, "SNAPPY: 100 bytes unpacked, not 99"},
		{"zstd", format.Zstd, page(t, dataPage(5, int32(len(zipped)), 100), zipped), 5, ""},
		{"zstd of more", format.Zstd, page(t, dataPage(5, int32(len(zipped)), 99), zipped), 5, "ZSTD: 100 bytes unpacked, not 99"},
		{"zstd of nothing", format.Zstd, page(t, dataPage(5, 0, 0), ""), 5, ""},
		{"zstd of something else", format.Zstd, page(t, dataPage(5, 8, 8), eight), 5, "zstd: "},
		{"gzip", format.Gzip, page(t, dataPage(5, 8, 100), eight), 5, ""},
		{"lz4", format.Lz4Raw, page(t, dataPage(5, 8, 100), eight), 5, "write it with zstd"},
		{"a long header", format.Uncompressed, page(t, long, eight), 1, ""},
		{"a longer header", format.Uncompressed, page(t, longer, eight), 1, "header: "},
		{"a header cut short", format.Uncompressed, page(t, long, eight)[:4000], 1, "header: "},
	} {
		for _, offset := range []int64{0, 4} {
			b := strings.Repeat("P", int(offset)) + c.pages
			m := &format.ColumnMetaData{Codec: c.codec, NumValues: c.values, DataPageOffset: offset, TotalCompressedSize: int64(len(c.pages))}
			err := checkPages(strings.NewReader(b+"tail of the file"), m)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s at %d: %v, want %q", c.name, offset, err, c.err)
			}
			if c.name == "lz4" && !errors.Is(err, ErrUnsupported) {
				t.Errorf("lz4: %v is not ErrUnsupported", err)
			}
		}
	}
	// The second page of a column is told by its place.
	first := page(t, dataPage(5, 8, 8), eight)
	m := &format.ColumnMetaData{NumValues: 9, DataPageOffset: 4, TotalCompressedSize: int64(len(first) + 2)}
	if err := checkPages(strings.NewReader("PAR1"+first+"\x1d\x00"), m); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("page at offset %d:", 4+len(first))) {
		t.Error(err)
	}
}
