package traces

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	// RowGroupRows is the number of rows of every row group but the last.
	RowGroupRows = 256 << 10

	createdBy = "replay" // the library's default names its build, which would move the bytes

	batchRows          = 2048      // rows handed to the encoder at a time
	pageBytes          = 256 << 10 // target size of a page before compression
	dictionaryBytesMax = 8 << 20   // a column chunk with a larger dictionary goes on without one
	batchesAhead       = 4         // batches that Write may be ahead of the encoder
)

var (
	// ErrExists is wrapped by the error of Create and Commit when the file is
	// already there and WriterOptions.Force is not set.
	ErrExists = errors.New("file exists")

	// ErrOrder is wrapped by the error for an event that is out of the total
	// order.
	ErrOrder = errors.New("event out of order")
)

// WriterOptions says how Create treats the file system.
type WriterOptions struct {
	Force bool // replace a file that is already there
}

// Writer writes one trace to a Parquet file. Nothing appears under the file's
// name before Commit; until then the rows are in a temporary file next to it.
//
// Encoding runs in a goroutine of its own, so an error of the encoder or the
// disk may be reported by a later call than the one that caused it. A Writer is
// for one goroutine.
type Writer struct {
	path, temp string
	force      bool
	file       *os.File

	seq   sequence
	rows  int64
	batch []Event

	full  chan []Event  // to the encoder
	empty chan []Event  // back from it
	done  chan struct{} // closed when the encoder has ended
	enc   *encoder
	err   error // the first error; every later call returns it
}

// Create begins a trace that Commit will put at path. The folder must exist. A
// file that is already there is refused with ErrExists unless opts.Force is set.
func Create(path string, opts WriterOptions) (*Writer, error) {
	if err := mayReplace(path, opts.Force); err != nil {
		return nil, fmt.Errorf("create trace: %w", err)
	}
	file, err := createTemp(path)
	if err != nil {
		return nil, fmt.Errorf("create trace %s: %w", path, err)
	}
	w := &Writer{
		path: path, temp: file.Name(), force: opts.Force, file: file,
		full:  make(chan []Event, batchesAhead),
		empty: make(chan []Event, batchesAhead+1),
		done:  make(chan struct{}),
		enc:   newEncoder(file),
	}
	for range batchesAhead {
		w.empty <- make([]Event, 0, batchRows)
	}
	w.batch = make([]Event, 0, batchRows)
	go w.encode(w.full)
	return w, nil
}

// Write appends ev and sets ev.Seq to its row number, counted from 0. The event
// must not sort before the previous one. The writer keeps ev's strings and stack,
// not ev itself.
func (w *Writer) Write(ev *Event) error {
	if w.err != nil {
		return w.err
	}
	ev.Seq = w.rows
	if err := w.seq.follow(ev); err != nil {
		return w.fail(fmt.Errorf("write %s: row %d (%s): %w; sort the events before writing them", w.path, w.rows, ev.Kind, err))
	}
	if ev.Kind == NoKind || ev.Kind >= numKinds {
		return w.fail(fmt.Errorf("write %s: row %d: %s is no kind of event", w.path, w.rows, ev.Kind))
	}
	w.rows++
	w.batch = append(w.batch, *ev)
	if len(w.batch) == cap(w.batch) {
		return w.handOver()
	}
	return nil
}

// Rows returns the number of events written so far.
func (w *Writer) Rows() int64 { return w.rows }

// Commit ends the trace, records meta in it and puts the file in place. On an
// error nothing is left behind.
func (w *Writer) Commit(meta Meta) error {
	if w.err != nil {
		w.Abort()
		return w.err
	}
	if err := w.finish(meta); err != nil {
		w.Abort()
		return w.fail(fmt.Errorf("write %s: %w", w.path, err))
	}
	w.err = fmt.Errorf("write %s: the trace is already committed", w.path)
	return nil
}

// Abort gives the trace up and removes the temporary file. After Commit it does
// nothing, so it can be deferred.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	w.stop()
	w.file.Close()
	os.Remove(w.temp)
	w.file = nil
	if w.err == nil {
		w.err = fmt.Errorf("write %s: the trace was aborted", w.path)
	}
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

func (w *Writer) finish(meta Meta) error {
	if len(w.batch) > 0 {
		w.full <- w.batch
		w.batch = nil
	}
	w.stop()
	if err := w.enc.close(meta); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	if err := putInPlace(w.temp, w.path, w.force); err != nil {
		return err
	}
	w.file = nil
	return nil
}

// handOver gives the full batch to the encoder and takes an empty one.
func (w *Writer) handOver() error {
	w.full <- w.batch
	select {
	case w.batch = <-w.empty:
		return nil
	case <-w.done:
		return w.fail(fmt.Errorf("write %s: %w", w.path, w.enc.err))
	}
}

// stop ends the encoder goroutine after it has seen every batch.
func (w *Writer) stop() {
	if w.full != nil {
		close(w.full)
		w.full = nil
	}
	<-w.done
}

func (w *Writer) encode(full <-chan []Event) {
	defer close(w.done)
	for batch := range full {
		if w.enc.err = w.enc.write(batch); w.enc.err != nil {
			return
		}
		clear(batch) // let go of the strings
		w.empty <- batch[:0]
	}
}

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

const encodeWorkers = 2

func newEncoder(out io.Writer) *encoder {
	w := parquet.NewGenericWriter[any](out, newSchema(), &parquet.WriterConfig{
		CreatedBy:          createdBy,
		PageBufferSize:     pageBytes,
		WriteBufferSize:    256 << 10,
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

// write encodes one batch and ends the row group when it is full. RowGroupRows
// is a multiple of batchRows.
func (enc *encoder) write(batch []Event) (err error) {
	defer caught(&err)
	var has Columns
	for i := range batch {
		has |= batch[i].Has
	}
	var (
		next    atomic.Int32
		errs    [encodeWorkers]error
		workers sync.WaitGroup
	)
	for n := range encodeWorkers {
		workers.Go(func() {
			defer caught(&errs[n])
			for i := int(next.Add(1)) - 1; i < len(columns) && errs[n] == nil; i = int(next.Add(1)) - 1 {
				errs[n] = enc.writeColumn(i, n, batch, has)
			}
		})
	}
	workers.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if enc.rows += len(batch); enc.rows >= RowGroupRows {
		enc.rows = 0
		return enc.parquet.Flush()
	}
	return nil
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
// what they call.
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

func putInt32(dst []parquet.Value, batch []Event, c *column) {
	level := c.level()
	for i := range batch {
		dst[i] = parquet.Value{}
		if e := &batch[i]; e.Has&c.bit == c.bit {
			dst[i] = parquet.Int32Value(*c.i32(e))
			dst[i].SetDefinitionLevel(level)
		}
	}
}

func putInt64(dst []parquet.Value, batch []Event, c *column) {
	level := c.level()
	for i := range batch {
		dst[i] = parquet.Value{}
		if e := &batch[i]; e.Has&c.bit == c.bit {
			dst[i] = parquet.Int64Value(*c.i64(e))
			dst[i].SetDefinitionLevel(level)
		}
	}
}

func putUint64(dst []parquet.Value, batch []Event, c *column) {
	level := c.level()
	for i := range batch {
		dst[i] = parquet.Value{}
		if e := &batch[i]; e.Has&c.bit == c.bit {
			dst[i] = parquet.Int64Value(int64(*c.u64(e)))
			dst[i].SetDefinitionLevel(level)
		}
	}
}

func putBool(dst []parquet.Value, batch []Event, c *column) {
	level := c.level()
	for i := range batch {
		dst[i] = parquet.Value{}
		if e := &batch[i]; e.Has&c.bit == c.bit {
			dst[i] = parquet.BooleanValue(*c.flag(e))
			dst[i].SetDefinitionLevel(level)
		}
	}
}

func putString(dst []parquet.Value, batch []Event, c *column) {
	level := c.level()
	for i := range batch {
		dst[i] = parquet.Value{}
		if e := &batch[i]; e.Has&c.bit == c.bit {
			dst[i] = stringValue(*c.text(e))
			dst[i].SetDefinitionLevel(level)
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

// pairs returns the key-value metadata of the file.
func (m Meta) pairs() ([][2]string, error) {
	sources, err := jsonList(m.Sources)
	if err != nil {
		return nil, fmt.Errorf("replay.sources: %w", err)
	}
	warnings, err := jsonList(m.Warnings)
	if err != nil {
		return nil, fmt.Errorf("replay.warnings: %w", err)
	}
	return [][2]string{
		{"replay.schema", strconv.Itoa(Schema)},
		{"replay.clock", m.Clock},
		{"replay.cpus", strconv.Itoa(m.CPUs)},
		{"replay.kernel", m.Kernel},
		{"replay.arch", m.Arch},
		{"replay.sources", sources},
		{"replay.lost", strconv.FormatInt(m.Lost, 10)},
		{"replay.warnings", warnings},
	}, nil
}

// jsonList marshals a list, an absent one as [].
func jsonList[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "[]", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(list)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// mayReplace reports why a trace may not be written to path.
func mayReplace(path string, force bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file; name a file to write to", path)
	case !force:
		return fmt.Errorf("%s: %w; choose another name or ask to replace it", path, ErrExists)
	}
	return nil
}

// createTemp creates an empty file next to path. os.CreateTemp would make it
// private to the user; a trace has the mode of any new file.
func createTemp(path string) (*os.File, error) {
	const tries = 1000
	dir, base := filepath.Split(path)
	for i := range tries {
		name := fmt.Sprintf("%s.%s.%d.%d.tmp", dir, base, os.Getpid(), i)
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%d temporary files of that name are already there; remove them", tries)
}

// putInPlace moves temp to path. Without force, a file that has appeared at path
// meanwhile is kept: link, unlike rename, replaces nothing.
func putInPlace(temp, path string, force bool) error {
	if !force {
		err := os.Link(temp, path)
		if err == nil {
			return os.Remove(temp)
		}
		if errors.Is(err, fs.ErrExist) {
			return mayReplace(path, false)
		}
		// Some file systems have no links; rename is the best they offer.
	}
	if err := mayReplace(path, force); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
