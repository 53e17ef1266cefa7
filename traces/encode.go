package traces

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	// RowGroupRows is the number of rows of every row group but the last. It is a
	// multiple of batchRows.
	RowGroupRows = 256 << 10

	createdBy = "replay" // the library's default names its build, which would move the bytes

	pageBytes          = 64 << 10 // target size of a page before compression
	fileBufferBytes    = 64 << 10
	dictionaryBytesMax = 8 << 20 // a column chunk with a larger dictionary goes on without one
	encodeWorkers      = 2
)

// encoder turns batches of events into column chunks. The columns of a batch are
// independent of each other, so workers share them out; which one does what
// leaves no mark in the file.
type encoder struct {
	parquet *parquet.GenericWriter[any]
	leaves  []*parquet.ColumnWriter // in the order of columns
	nulls   []parquet.Value         // a batch of them, for the columns that no event of it has
	values  [encodeWorkers][]parquet.Value
	rows    int // in the current row group
	err     error
}

func newEncoder(out io.Writer) *encoder {
	w := parquet.NewGenericWriter[any](out, newSchema(), &parquet.WriterConfig{
		CreatedBy:          createdBy,
		PageBufferSize:     pageBytes,
		WriteBufferSize:    fileBufferBytes,
		DataPageVersion:    1, // what every reader knows
		SkipPageBounds:     unboundedColumns(),
		SkipPageStatistics: unboundedColumns(),
		DictionaryMaxBytes: dictionaryBytesMax,
		Compression:        &zstd.Codec{Level: zstd.SpeedFastest},
		Sorting: parquet.SortingConfig{SortingColumns: []parquet.SortingColumn{
			parquet.Ascending("time_ns"),
			parquet.NullsFirst(parquet.Ascending("cpu")),
			parquet.Ascending("seq"),
		}},
	})
	return &encoder{parquet: w, leaves: w.ColumnWriters(), nulls: make([]parquet.Value, batchRows)}
}

// unboundedColumns are the columns without min/max statistics: no query prunes
// by the order of names, and comparing them takes longer than compressing them.
func unboundedColumns() (paths [][]string) {
	for i := range columns {
		switch c := &columns[i]; {
		case c.stack != nil:
			paths = append(paths, []string{c.name, "list", "element"})
		case c.text != nil, c.kind != nil:
			paths = append(paths, []string{c.name})
		}
	}
	return paths
}

// write encodes one batch and ends the row group when it is full.
func (enc *encoder) write(batch []Event) error {
	var has Columns
	for i := range batch {
		has |= batch[i].Has
	}
	err := enc.each(func(i, worker int) error { return enc.writeColumn(i, worker, batch, has) })
	if err != nil {
		return err
	}
	if enc.rows += len(batch); enc.rows >= RowGroupRows {
		enc.rows = 0
		return enc.flush()
	}
	return nil
}

// each calls do for every column, on all workers; worker is the number of the one.
func (enc *encoder) each(do func(i, worker int) error) error {
	var (
		next    atomic.Int32
		errs    [encodeWorkers]error
		workers sync.WaitGroup
	)
	for n := range encodeWorkers {
		workers.Go(func() {
			defer caught(&errs[n])
			for i := int(next.Add(1)) - 1; i < len(columns) && errs[n] == nil; i = int(next.Add(1)) - 1 {
				errs[n] = do(i, n)
			}
		})
	}
	workers.Wait()
	return errors.Join(errs[:]...)
}

// flush ends the row group. The library would end one column after the other.
func (enc *encoder) flush() (err error) {
	defer caught(&err)
	if err := enc.each(func(i, _ int) error { return enc.leaves[i].Flush() }); err != nil {
		return err
	}
	return enc.parquet.Flush()
}

// writeColumn encodes one column of a batch; has is the union of its events'
// columns, and worker the number of the buffer to use.
func (enc *encoder) writeColumn(i, worker int, batch []Event, has Columns) error {
	c := &columns[i]
	values := enc.nulls[:len(batch)]
	if has&c.bit == c.bit {
		values = c.gather(enc.values[worker], batch)
		enc.values[worker] = values
	}
	if _, err := enc.leaves[i].WriteRowValues(values); err != nil {
		return fmt.Errorf("column %s: %w", c.name, err)
	}
	return nil
}

func (enc *encoder) close(meta Meta) (err error) {
	defer caught(&err)
	if enc.err != nil {
		return enc.err
	}
	pairs, err := meta.pairs()
	if err != nil {
		return err
	}
	for _, p := range pairs {
		enc.parquet.SetKeyValueMetadata(p[0], p[1])
	}
	if err := enc.flush(); err != nil {
		return err
	}
	return enc.parquet.Close()
}

// caught turns a panic of the Parquet library into an error: it panics on
// states that only its own bugs or a corrupt file can cause.
func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("parquet library: %v", r)
	}
}

// gather returns the values of column c for every event of the batch, in buf
// where they fit. The functions it calls are small so that the compiler inlines
// what they call, and make the values where they are to be: copying one that was
// just put together takes five times as long, since the CPU waits for its pieces.
func (c *column) gather(buf []parquet.Value, batch []Event) []parquet.Value {
	if c.stack != nil {
		return appendStacks(buf[:0], batch)
	}
	buf = slices.Grow(buf[:0], len(batch))[:len(batch)]
	switch {
	case c.i32 != nil:
		putInt32(buf, batch, c)
	case c.i64 != nil:
		putInt64(buf, batch, c)
	case c.u64 != nil:
		putUint64(buf, batch, c)
	case c.flag != nil:
		putBool(buf, batch, c)
	case c.text != nil:
		putString(buf, batch, c)
	default:
		putKind(buf, batch)
	}
	return buf
}

// level is the definition level of a value that is there.
func (c *column) level() int {
	if c.bit == 0 {
		return 0
	}
	return 1
}

// field is the field at an offset: calling the accessor of a column for each event
// takes longer than all else here.
func field[T any](e *Event, at uintptr) *T { return (*T)(unsafe.Add(unsafe.Pointer(e), at)) }

func putInt32(dst []parquet.Value, batch []Event, c *column) {
	bit, level := c.bit, c.level()
	for i := range batch {
		if e := &batch[i]; e.Has&bit == bit {
			dst[i] = parquet.Int32Value(*field[int32](e, c.at))
			dst[i].SetDefinitionLevel(level)
		} else {
			dst[i] = parquet.Value{}
		}
	}
}

func putInt64(dst []parquet.Value, batch []Event, c *column) {
	bit, level := c.bit, c.level()
	for i := range batch {
		if e := &batch[i]; e.Has&bit == bit {
			dst[i] = parquet.Int64Value(*field[int64](e, c.at))
			dst[i].SetDefinitionLevel(level)
		} else {
			dst[i] = parquet.Value{}
		}
	}
}

func putUint64(dst []parquet.Value, batch []Event, c *column) {
	bit, level := c.bit, c.level()
	for i := range batch {
		if e := &batch[i]; e.Has&bit == bit {
			dst[i] = parquet.Int64Value(int64(*field[uint64](e, c.at)))
			dst[i].SetDefinitionLevel(level)
		} else {
			dst[i] = parquet.Value{}
		}
	}
}

func putBool(dst []parquet.Value, batch []Event, c *column) {
	bit, level := c.bit, c.level()
	for i := range batch {
		if e := &batch[i]; e.Has&bit == bit {
			dst[i] = parquet.BooleanValue(*field[bool](e, c.at))
			dst[i].SetDefinitionLevel(level)
		} else {
			dst[i] = parquet.Value{}
		}
	}
}

func putString(dst []parquet.Value, batch []Event, c *column) {
	bit, level := c.bit, c.level()
	for i := range batch {
		if e := &batch[i]; e.Has&bit == bit {
			dst[i] = stringValue(*field[string](e, c.at))
			dst[i].SetDefinitionLevel(level)
		} else {
			dst[i] = parquet.Value{}
		}
	}
}

func putKind(dst []parquet.Value, batch []Event) {
	for i := range batch {
		dst[i] = stringValue(kindNames[batch[i].Kind])
	}
}

// appendStacks appends the frames of the stacks: definition level 0 is no stack,
// 1 an empty one, 2 a frame; frames after the first repeat.
func appendStacks(dst []parquet.Value, batch []Event) []parquet.Value {
	for i := range batch {
		e := &batch[i]
		if !e.Got(ColStack) {
			dst = append(dst, parquet.Value{})
			continue
		}
		if len(e.Stack) == 0 {
			dst = append(dst, parquet.Value{}.Level(0, 1, 0))
		}
		for j, frame := range e.Stack {
			dst = append(dst, stringValue(frame))
			v := &dst[len(dst)-1]
			v.SetDefinitionLevel(2)
			v.SetRepetitionLevel(min(j, 1))
		}
	}
	return dst
}

// stringValue is parquet.ByteArrayValue without a copy; the encoder copies what
// it keeps and writes to none of it.
func stringValue(s string) parquet.Value {
	return parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(s), len(s)))
}
