package traces

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// RowGroupRows is the number of rows of every row group but the last. It is a
	// multiple of batchRows.
	RowGroupRows = 256 << 10

	createdBy       = "replay"
	parquetMagic    = "PAR1"
	parquetVersion  = 2
	fileBufferBytes = 64 << 10
	// zstdWindow is more than most pages have; what is beyond finds no match in the
	// page's first bytes, and the encoders take a tenth of the memory.
	zstdWindow = 512 << 10
)

// encoder turns batches into a Parquet file. The library's writer takes optional
// columns value by value, which took three quarters of the time of writing a trace;
// here pages are made of whole slices, with the library's encodings and metadata.
//
// It takes a fraction of the time that most need to make the events.
type encoder struct {
	out     *bufio.Writer
	offset  int64
	columns []*columnEncoder
	page    pageBuffers
	rows    int64 // in the current row group
	total   int64
	groups  []format.RowGroup
	indexes [][]pageIndex // by row group, by column
	err     error
}

func newEncoder(out io.Writer) *encoder {
	enc := &encoder{out: bufio.NewWriterSize(out, fileBufferBytes)}
	for i := range columns {
		enc.columns = append(enc.columns, newColumnEncoder(&columns[i]))
	}
	// An encoder without a stream has no error to report.
	enc.page.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
	enc.emit([]byte(parquetMagic))
	return enc
}

// emit writes bytes of the file.
func (enc *encoder) emit(b []byte) {
	if enc.err != nil {
		return
	}
	_, enc.err = enc.out.Write(b)
	enc.offset += int64(len(b))
}

// write encodes one batch and ends the row group when it is full.
func (enc *encoder) write(b *batch) error {
	if enc.err != nil {
		return enc.err
	}
	b.find()
	for i, c := range enc.columns {
		if err := c.add(b, i, &enc.page); err != nil {
			return columnError(c, err)
		}
	}
	if enc.rows += int64(b.rows()); enc.rows >= RowGroupRows {
		return enc.flush()
	}
	return nil
}

func columnError(c *columnEncoder, err error) error {
	return fmt.Errorf("column %s: %w", c.column.name, err)
}

// flush ends the row group.
func (enc *encoder) flush() error {
	for _, c := range enc.columns {
		if err := c.end(&enc.page); err != nil {
			return columnError(c, err)
		}
	}
	g := format.RowGroup{
		NumRows: enc.rows, FileOffset: enc.offset, Ordinal: int16(len(enc.groups)),
		SortingColumns: thrift.Slice[format.SortingColumn]{{ColumnIdx: 0}, {ColumnIdx: 2, NullsFirst: true}, {ColumnIdx: 1}},
	}
	index := make([]pageIndex, len(enc.columns))
	for i, c := range enc.columns {
		meta := c.chunk(enc.offset)
		index[i] = c.index(enc.offset)
		enc.emit(c.dictPage)
		enc.emit(c.pages)
		g.TotalByteSize += meta.TotalUncompressedSize
		g.TotalCompressedSize += meta.TotalCompressedSize
		g.Columns = append(g.Columns, format.ColumnChunk{MetaData: meta})
		c.reset()
	}
	enc.groups = append(enc.groups, g)
	enc.indexes = append(enc.indexes, index)
	enc.total += enc.rows
	enc.rows = 0
	return enc.err
}

// close ends the file.
func (enc *encoder) close(meta Meta, attached [][2]string) error {
	if enc.err != nil {
		return enc.err
	}
	pairs, err := meta.pairs()
	if err != nil {
		return err
	}
	if enc.rows > 0 {
		if err := enc.flush(); err != nil {
			return err
		}
	}
	footer := format.FileMetaData{Version: parquetVersion, Schema: schemaElements(), NumRows: enc.total, CreatedBy: createdBy}
	for _, p := range append(pairs, attached...) {
		footer.KeyValueMetadata = append(footer.KeyValueMetadata, format.KeyValue{Key: p[0], Value: p[1]})
	}
	for range columns {
		footer.ColumnOrders = append(footer.ColumnOrders, format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	if err := enc.pageIndexes(); err != nil {
		return err
	}
	footer.RowGroups = enc.groups
	b, err := thrift.Marshal(new(thrift.CompactProtocol), &footer)
	if err != nil {
		return err
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)))
	enc.emit(append(b, parquetMagic...))
	if enc.err == nil {
		enc.err = enc.out.Flush()
	}
	return enc.err
}

// pageIndexes writes where the pages are and what is in them, all the column indexes
// before all the offset indexes, and notes it in the row groups.
func (enc *encoder) pageIndexes() error {
	put := func(v any) (offset int64, length int32, err error) {
		b, err := thrift.Marshal(new(thrift.CompactProtocol), v)
		offset = enc.offset
		enc.emit(b)
		return offset, int32(len(b)), errors.Join(err, enc.err)
	}
	for i := range enc.groups {
		for j := range enc.indexes[i] {
			if chunk, index := &enc.groups[i].Columns[j], &enc.indexes[i][j]; index.bounded {
				var err error
				if chunk.ColumnIndexOffset, chunk.ColumnIndexLength, err = put(&index.bounds); err != nil {
					return err
				}
			}
		}
	}
	for i := range enc.groups {
		for j := range enc.indexes[i] {
			chunk, err := &enc.groups[i].Columns[j], error(nil)
			if chunk.OffsetIndexOffset, chunk.OffsetIndexLength, err = put(&enc.indexes[i][j].pages); err != nil {
				return err
			}
		}
	}
	return nil
}

// schemaElements is the schema of a file that this package writes: the columns in
// their order, below a root.
func schemaElements() thrift.Slice[format.SchemaElement] {
	list := thrift.Slice[format.SchemaElement]{{Name: "event", NumChildren: thrift.New(int32(len(columns)))}}
	for i := range columns {
		c := &columns[i]
		repetition := format.Optional
		if c.bit == 0 {
			repetition = format.Required
		}
		if c.stack == nil {
			list = append(list, c.element(c.name, repetition))
			continue
		}
		group := format.SchemaElement{Name: c.name, RepetitionType: thrift.New(repetition), NumChildren: thrift.New(int32(1))}
		group.ConvertedType, group.LogicalType.Value = thrift.New(deprecated.List), &format.ListType{}
		list = append(list, group,
			format.SchemaElement{Name: "list", RepetitionType: thrift.New(format.Repeated), NumChildren: thrift.New(int32(1))},
			c.element("element", format.Required))
	}
	return list
}

// element is the leaf of column c in the schema.
func (c *column) element(name string, repetition format.FieldRepetitionType) format.SchemaElement {
	e := format.SchemaElement{Name: name, Type: thrift.New(c.storedType()), RepetitionType: thrift.New(repetition)}
	number := func(bits int8, signed bool, converted deprecated.ConvertedType) {
		e.TypeLength = thrift.New(int32(bits))
		e.ConvertedType = thrift.New(converted)
		e.LogicalType.Value = &format.IntType{BitWidth: bits, IsSigned: signed}
	}
	switch {
	case c.i32 != nil:
		number(32, true, deprecated.Int32)
	case c.i64 != nil:
		number(64, true, deprecated.Int64)
	case c.u64 != nil:
		number(64, false, deprecated.Uint64)
	case c.flag != nil:
		e.TypeLength = thrift.New(int32(1))
	default:
		e.ConvertedType, e.LogicalType.Value = thrift.New(deprecated.UTF8), &format.StringType{}
	}
	return e
}

// storedType is the physical type of column c.
func (c *column) storedType() format.Type {
	switch {
	case c.i32 != nil:
		return format.Int32
	case c.i64 != nil, c.u64 != nil:
		return format.Int64
	case c.flag != nil:
		return format.Boolean
	}
	return format.ByteArray
}
