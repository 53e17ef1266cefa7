package traces

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The Parquet library allocates what a file's lengths and counts ask for before
// it looks for the bytes. The checks here run first, so that a damaged length is
// an error with an offset, not an end of the memory.

const (
	// footerBytesMax bounds the footer; it takes about 5 kB per row group.
	footerBytesMax = 64 << 20

	// pageBytesMax and pageValuesMax bound a page. Writers aim at 1 MB, DuckDB
	// at no more than 100 MB.
	pageBytesMax  = 128 << 20
	pageValuesMax = 16 << 20

	// pageHeaderBytesMax bounds a page's header, most of which is statistics.
	pageHeaderBytesMax = 1 << 20

	thriftDepthMax = 32 // the metadata of Parquet nests to a third of this
)

// checkFrame checks the magic at both ends, the length of the footer, and the
// lengths inside it.
func checkFrame(r io.ReaderAt, size int64) error {
	const least = 12 // magic, footer length, magic
	if size < least {
		return fmt.Errorf("%d bytes are too few for a Parquet file", size)
	}
	var head [4]byte
	var tail [8]byte
	if n, err := r.ReadAt(head[:], 0); n < len(head) {
		return fmt.Errorf("offset 0: %w", err)
	}
	if !IsParquet(head[:]) {
		return fmt.Errorf("offset 0: found %q where a Parquet file has %q", head[:], "PAR1")
	}
	if n, err := r.ReadAt(tail[:], size-8); n < len(tail) {
		return fmt.Errorf("offset %d: %w", size-8, err)
	}
	if string(tail[4:]) != "PAR1" {
		return fmt.Errorf("offset %d: found %q where a Parquet file ends with %q; the file is cut short", size-4, tail[4:], "PAR1")
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > size-least || length > footerBytesMax {
		return fmt.Errorf("offset %d: a footer of %d bytes in a file of %d, of which at most %d are read", size-8, length, size, footerBytesMax)
	}
	footer := make([]byte, length)
	if n, err := r.ReadAt(footer, size-8-length); n < len(footer) {
		return fmt.Errorf("offset %d: %w", size-8-length, err)
	}
	if n, err := skipThrift(footer); err != nil {
		return fmt.Errorf("offset %d: footer: %w", size-8-length+int64(n), err)
	}
	return nil
}

// checkGroups checks that the row groups agree with the file they are in.
func checkGroups(f *parquet.File, size int64) error {
	leaves := len(f.Schema().Columns())
	rows := int64(0)
	for i, g := range f.Metadata().RowGroups {
		if g.NumRows < 0 || g.NumRows > f.NumRows()-rows {
			return fmt.Errorf("footer: row group %d has %d rows in a file of %d", i, g.NumRows, f.NumRows())
		}
		rows += g.NumRows
		if len(g.Columns) != leaves {
			return fmt.Errorf("footer: row group %d has %d columns in a file of %d", i, len(g.Columns), leaves)
		}
		for j := range g.Columns {
			m := &g.Columns[j].MetaData
			start, length := chunkSpan(m)
			if start < 4 || length < 0 || start > size-8 || length > size-8-start || m.NumValues < 0 {
				return fmt.Errorf("footer: row group %d, column %v: %d values in %d bytes at offset %d of a file of %d",
					i, m.PathInSchema, m.NumValues, length, start, size)
			}
		}
	}
	if rows != f.NumRows() {
		return fmt.Errorf("footer: row groups of %d rows in a file of %d", rows, f.NumRows())
	}
	return nil
}

// chunkSpan returns where a column chunk's pages are.
func chunkSpan(m *format.ColumnMetaData) (start, length int64) {
	start = m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		start = m.DictionaryPageOffset
	}
	return start, m.TotalCompressedSize
}

// checkPages checks the header of every page of a column chunk.
func checkPages(r io.ReaderAt, m *format.ColumnMetaData) error {
	offset, length := chunkSpan(m)
	values := int64(0)
	for end := offset + length; offset < end && values < m.NumValues; {
		header, size, err := readPageHeader(r, offset, end)
		if err != nil {
			return fmt.Errorf("page at offset %d: %w", offset, err)
		}
		n, err := checkPage(r, m.Codec, &header, offset+size, end)
		if err != nil {
			return fmt.Errorf("page at offset %d: %w", offset, err)
		}
		values += n
		offset += size + int64(header.CompressedPageSize)
	}
	if values != m.NumValues {
		return fmt.Errorf("pages of %d values up to offset %d, not %d", values, offset, m.NumValues)
	}
	return nil
}

// readPageHeader reads the header at offset of a chunk that ends at end, and
// returns its size too.
func readPageHeader(r io.ReaderAt, offset, end int64) (h format.PageHeader, size int64, err error) {
	for room := int64(256); ; room *= 16 { // nearly all headers fit at once
		buf := make([]byte, min(room, end-offset))
		if n, err := r.ReadAt(buf, offset); n < len(buf) {
			return h, 0, err
		}
		n, err := skipThrift(buf)
		if err == nil {
			return h, int64(n), thrift.Unmarshal(new(thrift.CompactProtocol), buf[:n], &h)
		}
		if int64(len(buf)) == end-offset || room >= pageHeaderBytesMax {
			return h, 0, fmt.Errorf("header: %w", err)
		}
	}
}

// checkPage checks the header of a page with the data at offset, and returns the
// number of the page's values.
func checkPage(r io.ReaderAt, codec format.CompressionCodec, h *format.PageHeader, offset, end int64) (int64, error) {
	packed, plain := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
	if packed < 0 || packed > end-offset {
		return 0, fmt.Errorf("%d bytes where the column has %d left", packed, end-offset)
	}
	if plain < 0 || plain > pageBytesMax {
		return 0, fmt.Errorf("%d bytes unpacked, and at most pageBytesMax, %d, are read", plain, pageBytesMax)
	}
	values, ofColumn := int32(0), int64(0)
	switch {
	case h.DataPageHeader.Valid:
		values = h.DataPageHeader.V.NumValues
		ofColumn = int64(values)
	case h.DataPageHeaderV2.Valid:
		values = h.DataPageHeaderV2.V.NumValues
		ofColumn = int64(values)
	case h.DictionaryPageHeader.Valid:
		values = h.DictionaryPageHeader.V.NumValues
	}
	if values < 0 || values > pageValuesMax {
		return 0, fmt.Errorf("%d values, and at most pageValuesMax, %d, are read", values, pageValuesMax)
	}
	if v2 := &h.DataPageHeaderV2; v2.Valid { // its levels come first and are not compressed
		levels := int64(v2.V.RepetitionLevelsByteLength) + int64(v2.V.DefinitionLevelsByteLength)
		if v2.V.RepetitionLevelsByteLength < 0 || v2.V.DefinitionLevelsByteLength < 0 || levels > min(packed, plain) {
			return 0, fmt.Errorf("%d bytes of levels in a page of %d", levels, packed)
		}
		offset, packed, plain = offset+levels, packed-levels, plain-levels
	}
	return ofColumn, checkPacked(r, codec, offset, packed, plain)
}

// checkPacked checks that a compressed page unpacks to no more than its header
// says, as far as the first bytes tell.
func checkPacked(r io.ReaderAt, codec format.CompressionCodec, offset, packed, plain int64) error {
	buf := make([]byte, min(packed, zstd.HeaderMaxSize))
	if n, err := r.ReadAt(buf, offset); n < len(buf) {
		return err
	}
	unpacked := uint64(0)
	switch codec {
	case format.Uncompressed, format.Gzip:
	case format.Zstd:
		var frame zstd.Header
		if err := frame.Decode(buf); err != nil && packed > 0 {
			return fmt.Errorf("zstd: %w", err)
		}
		unpacked = frame.FrameContentSize // 0 where the frame does not tell
	case format.Snappy:
		unpacked, _ = binary.Uvarint(buf)
	default:
		// The library doubles its buffer for as long as a damaged LZ4 block does
		// not fit.
		return fmt.Errorf("%w: compression %s; write it with zstd, snappy or gzip", ErrUnsupported, codec)
	}
	if unpacked > uint64(plain) {
		return fmt.Errorf("%s: %d bytes unpacked, not %d", codec, unpacked, plain)
	}
	return nil
}

// Types of the Thrift compact protocol.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

var errThriftEnds = errors.New("it ends too early")

// skipThrift returns the length of the Thrift compact struct that b begins with,
// having checked every length and count in it against what is left of b. On an
// error it returns how far it came.
func skipThrift(b []byte) (int, error) {
	s := thriftSkipper{b: b}
	err := s.structure(0)
	return s.pos, err
}

type thriftSkipper struct {
	b   []byte
	pos int
}

func (s *thriftSkipper) byte() (byte, error) {
	if s.pos == len(s.b) {
		return 0, errThriftEnds
	}
	s.pos++
	return s.b[s.pos-1], nil
}

func (s *thriftSkipper) uvarint() (uint64, error) {
	v, n := binary.Uvarint(s.b[s.pos:])
	if n == 0 {
		return 0, errThriftEnds
	}
	if n < 0 {
		return 0, errors.New("a number is too long")
	}
	s.pos += n
	return v, nil
}

// count reads a length of things that take at least a byte each.
func (s *thriftSkipper) count() (int, error) {
	n, err := s.uvarint()
	if err == nil && n > uint64(len(s.b)-s.pos) {
		err = fmt.Errorf("a length of %d where %d bytes are left", n, len(s.b)-s.pos)
	}
	return int(n), err
}

func (s *thriftSkipper) skip(n int) error {
	if n > len(s.b)-s.pos {
		return errThriftEnds
	}
	s.pos += n
	return nil
}

func (s *thriftSkipper) structure(depth int) error {
	if depth > thriftDepthMax {
		return fmt.Errorf("it nests deeper than %d", thriftDepthMax)
	}
	for {
		b, err := s.byte()
		if err != nil || b == thriftStop {
			return err
		}
		if b>>4 == 0 { // the field's id is spelt out
			if _, err := s.uvarint(); err != nil {
				return err
			}
		}
		if kind := b & 0xf; kind != thriftTrue && kind != thriftFalse { // these are in the type
			if err := s.value(kind, depth); err != nil {
				return err
			}
		}
	}
}

func (s *thriftSkipper) value(kind byte, depth int) (err error) {
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return s.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err = s.uvarint()
		return err
	case thriftDouble:
		return s.skip(8)
	case thriftBinary:
		n, err := s.count()
		if err != nil {
			return err
		}
		return s.skip(n)
	case thriftList, thriftSet:
		return s.list(depth)
	case thriftMap:
		return s.mapping(depth)
	case thriftStruct:
		return s.structure(depth + 1)
	}
	return fmt.Errorf("%d is no type of a field", kind)
}

func (s *thriftSkipper) list(depth int) error {
	b, err := s.byte()
	if err != nil {
		return err
	}
	n := int(b >> 4)
	if n == 15 {
		if n, err = s.count(); err != nil {
			return err
		}
	}
	return s.values(n, depth+1, b&0xf)
}

func (s *thriftSkipper) mapping(depth int) error {
	n, err := s.count()
	if err != nil || n == 0 {
		return err
	}
	b, err := s.byte()
	if err != nil {
		return err
	}
	return s.values(n, depth+1, b>>4, b&0xf)
}

// values skips n times a value of each of the kinds.
func (s *thriftSkipper) values(n, depth int, kinds ...byte) error {
	if depth > thriftDepthMax {
		return fmt.Errorf("it nests deeper than %d", thriftDepthMax)
	}
	for range n {
		for _, kind := range kinds {
			if err := s.value(kind, depth); err != nil {
				return err
			}
		}
	}
	return nil
}
