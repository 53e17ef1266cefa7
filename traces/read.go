package traces

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

var (
	// ErrCorrupt is wrapped by the error for a file that is damaged or is no
	// trace.
	ErrCorrupt = errors.New("damaged trace")

	// ErrUnsupported is wrapped by the error for a file that is well formed but
	// not what this version can read.
	ErrUnsupported = errors.New("unsupported trace")
)

// File is a trace in a Parquet file. It is for one goroutine, but any number of
// Readers may be taken from it.
type File struct {
	name   string
	source io.ReaderAt
	closer io.Closer
	file   *parquet.File
	meta   Meta
	leaves []leaf // by column; leaf.index is -1 where the file has no such column
	extra  []string
}

// leaf is where a column is found in the file.
type leaf struct {
	index  int // of the column chunk in a row group, -1 where absent
	maxDef byte
	maxRep byte
	list   byte // stack: the definition level of an empty list
}

// IsParquet reports whether a file that begins with prefix, of 4 bytes or more,
// is a Parquet file.
func IsParquet(prefix []byte) bool { return bytes.HasPrefix(prefix, []byte("PAR1")) }

// Open opens the trace at path. Close it after its last use.
func Open(path string) (*File, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	info, err := r.Stat()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("open trace: %w", err)
	}
	f, err := NewFile(r, info.Size(), path)
	if err != nil {
		r.Close()
		return nil, err
	}
	f.closer = r
	return f, nil
}

// NewFile reads the trace of size bytes in r; name stands for it in errors.
func NewFile(r io.ReaderAt, size int64, name string) (f *File, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("%s: %w: footer: %v; copy or ingest it again", name, ErrCorrupt, r)
		}
	}()
	if err := checkFrame(r, size); err != nil {
		return nil, fmt.Errorf("%s: %w: %w; copy or ingest it again", name, ErrCorrupt, err)
	}
	p, err := parquet.OpenFile(r, size, &parquet.FileConfig{SkipPageIndex: true, SkipBloomFilters: true, ReadBufferSize: 64 << 10})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: footer: %w; copy or ingest it again", name, ErrCorrupt, err)
	}
	if err := checkGroups(p, size); err != nil {
		return nil, fmt.Errorf("%s: %w: %w; copy or ingest it again", name, ErrCorrupt, err)
	}
	f = &File{name: name, source: r, file: p}
	if f.meta, err = parseMeta(p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := f.findColumns(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Meta returns what the file says of the whole trace.
func (f *File) Meta() Meta { return f.meta }

// Attached returns what Writer.Attach has kept with the trace.
func (f *File) Attached(key string) (text string, ok bool) { return f.file.Lookup(key) }

// NumRows returns the number of events.
func (f *File) NumRows() int64 { return f.file.NumRows() }

// chunk returns the metadata of a column chunk.
func (f *File) chunk(group, leaf int) *format.ColumnMetaData {
	return &f.file.Metadata().RowGroups[group].Columns[leaf].MetaData
}

// Extra returns the names of the columns that this version does not know, in
// the order of the file. They are left alone.
func (f *File) Extra() []string { return f.extra }

// Close closes the file. Readers taken from it end with it.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// findColumns finds each column of the schema in the file, in whatever order
// they are.
func (f *File) findColumns() error {
	found := map[string]*parquet.Column{}
	for _, c := range f.file.Root().Columns() {
		found[c.Name()] = c
	}
	f.leaves = make([]leaf, len(columns))
	for i := range columns {
		c := &columns[i]
		n, ok := found[c.name]
		if !ok {
			if c.bit == 0 {
				return fmt.Errorf("%w: no column %s; ingest the capture again", ErrUnsupported, c.name)
			}
			f.leaves[i].index = -1
			continue
		}
		delete(found, c.name)
		var err error
		if f.leaves[i], err = c.findLeaf(n); err != nil {
			return err
		}
	}
	for _, c := range f.file.Root().Columns() {
		if found[c.Name()] != nil {
			f.extra = append(f.extra, c.Name())
		}
	}
	return nil
}

// has reports whether the file has the column.
func (f *File) has(column Columns) bool {
	for i := range columns {
		if columns[i].bit == column {
			return f.leaves[i].index >= 0
		}
	}
	return false
}

// findLeaf checks that the file's column n has the type of c.
func (c *column) findLeaf(n *parquet.Column) (leaf, error) {
	var list byte
	if c.stack != nil {
		if n.Optional() {
			list = 1
		}
		// LIST has three levels: stack, list (repeated), element.
		for range 2 {
			if n.Leaf() || len(n.Columns()) != 1 {
				break
			}
			n = n.Columns()[0]
		}
	}
	reps := 0
	if c.stack != nil {
		reps = 1
	}
	if !n.Leaf() || n.MaxRepetitionLevel() != reps || n.Type().Kind() != c.physical() {
		found := "a group"
		if n.Leaf() {
			found = n.Type().String()
		}
		return leaf{}, fmt.Errorf("%w: column %s is %s, not %s; write it with that type", ErrUnsupported, c.name, found, c.typeName())
	}
	return leaf{index: n.Index(), maxDef: byte(n.MaxDefinitionLevel()), maxRep: byte(reps), list: list}, nil
}

func (c *column) physical() parquet.Kind {
	switch {
	case c.i32 != nil:
		return parquet.Int32
	case c.i64 != nil, c.u64 != nil:
		return parquet.Int64
	case c.flag != nil:
		return parquet.Boolean
	default:
		return parquet.ByteArray
	}
}

func (c *column) typeName() string {
	switch {
	case c.i32 != nil:
		return "int32"
	case c.i64 != nil:
		return "int64"
	case c.u64 != nil:
		return "uint64"
	case c.flag != nil:
		return "bool"
	case c.stack != nil:
		return "a list of string"
	default:
		return "string"
	}
}

// Reader streams the events of a File. It is a Stream.
type Reader struct {
	file *File
	cols []*columnReader
	pool *pool

	from, to int64 // of the time, [from, to]
	group    int   // the next row group to open
	left     int64 // rows of the open row group that are not decoded yet
	row      int64 // number of the next row to decode, in the file

	traps *Traps  // of a file without them
	hide  Columns // that are read only for these

	batch []Event
	next  int // in batch
	seq   sequence
	err   error
}

// readRows is the number of events decoded at a time: small enough to stay in
// the cache between the columns.
const readRows = 256

// Events begins a pass over the trace that decodes only cols, besides time, seq
// and kind; the other columns are absent from the events. In a file without the
// column trap, of which rows share a trap is found as Traps does. Start it with Between
// for a part of the trace.
func (f *File) Events(cols Columns) (*Reader, error) {
	r := &Reader{file: f, pool: newPool(), from: math.MinInt64, to: math.MaxInt64, batch: make([]Event, 0, readRows)}
	if cols&ColTrap != 0 && !f.has(ColTrap) {
		r.traps, r.hide = &Traps{}, trapColumns&^cols
		cols |= trapColumns
	}
	for i := range columns {
		if c := &columns[i]; f.leaves[i].index >= 0 && cols&c.bit == c.bit {
			r.cols = append(r.cols, newColumnReader(c, f.leaves[i], r.pool))
		}
	}
	return r, nil
}

// Between limits the pass to events with from <= Time <= to, in nanoseconds of
// the capture clock; row groups outside are not read. Call it before Next.
func (r *Reader) Between(from, to int64) *Reader {
	r.from, r.to = from, to
	return r
}

// Meta returns what the file says of the whole trace.
func (r *Reader) Meta() Meta { return r.file.meta }

// Close lets go of the pass's buffers. It need not be called after an error or
// io.EOF.
func (r *Reader) Close() error {
	r.end(fmt.Errorf("%s: the reader is closed", r.file.name))
	return nil
}

// Next overwrites ev with the next event. Its strings and stack are shared with
// other events and stay valid.
func (r *Reader) Next(ev *Event) error {
	for {
		if r.next == len(r.batch) {
			if r.err == nil {
				r.decode()
			}
			if r.next == len(r.batch) {
				return r.err
			}
		}
		e := &r.batch[r.next]
		r.next++
		if e.Time > r.to {
			r.end(io.EOF)
			r.batch, r.next = r.batch[:0], 0
			continue
		}
		if e.Time >= r.from {
			*ev = *e
			if r.traps != nil {
				r.join(ev)
			}
			return nil
		}
	}
}

// join finds out whether a hit shares its trap, and takes away what was read for that.
func (r *Reader) join(ev *Event) {
	r.traps.Join(ev, 0, false)
	if r.hide == 0 {
		return
	}
	ev.Has &^= r.hide
	if r.hide&ColProbe != 0 {
		ev.Probe = ""
	}
	if r.hide&ColAddr != 0 {
		ev.Addr = 0
	}
	if r.hide&ColTID != 0 {
		ev.TID = 0
	}
	if r.hide&ColInUprobe != 0 {
		ev.InUprobe = false
	}
}

// end closes the columns and makes err the answer of all later calls.
func (r *Reader) end(err error) {
	if r.err == nil {
		r.err = err
	}
	for _, c := range r.cols {
		c.close()
	}
}

// decode fills the batch, or sets err.
func (r *Reader) decode() {
	if err := r.decodeBatch(); err != nil {
		r.batch, r.next = r.batch[:0], 0
		r.end(err)
	}
}

func (r *Reader) decodeBatch() (err error) {
	at := ""
	defer func() {
		if p := recover(); p != nil {
			err = r.corrupt(at, fmt.Errorf("parquet library: %v", p))
		}
	}()
	for r.left == 0 {
		if err := r.openGroup(); err != nil {
			return err
		}
	}
	n := int(min(r.left, readRows))
	r.batch, r.next = r.batch[:n], 0
	clear(r.batch)
	for _, c := range r.cols {
		at = c.name
		if row, err := c.fill(r.batch); err != nil {
			r.row += int64(row)
			return r.corrupt(at, err)
		}
	}
	if err := r.checkOrder(); err != nil {
		return err
	}
	r.row += int64(n)
	r.left -= int64(n)
	return nil
}

func (r *Reader) corrupt(column string, err error) error {
	if column != "" {
		column = ", column " + column
	}
	return fmt.Errorf("%s: row %d (row group %d%s): %w: %w; copy or ingest it again", r.file.name, r.row, r.group-1, column, ErrCorrupt, err)
}

// openGroup begins the next row group that may hold events in [from, to].
func (r *Reader) openGroup() error {
	groups := r.file.file.RowGroups()
	if r.group == len(groups) {
		return io.EOF
	}
	g := groups[r.group]
	chunks := g.ColumnChunks()
	r.group++
	if r.outside(chunks) {
		r.row += g.NumRows()
		return nil
	}
	r.pool.trim()
	for _, c := range r.cols {
		if err := c.open(r.file.source, chunks[c.leaf.index], r.file.chunk(r.group-1, c.leaf.index), g.NumRows()); err != nil {
			return r.corrupt(c.name, err)
		}
	}
	r.left = g.NumRows()
	return nil
}

// outside reports whether the statistics of time_ns put all of a row group
// before or after the wanted time.
func (r *Reader) outside(chunks []parquet.ColumnChunk) bool {
	chunk, ok := chunks[r.file.leaves[0].index].(*parquet.FileColumnChunk)
	if !ok {
		return false
	}
	least, most, ok := chunk.Bounds()
	return ok && (most.Int64() < r.from || least.Int64() > r.to)
}

// checkOrder makes sure that the batch keeps the total order, as far as the
// columns that are read show it.
func (r *Reader) checkOrder() error {
	for i := range r.batch {
		if err := r.seq.follow(&r.batch[i]); err != nil {
			r.row += int64(i)
			return r.corrupt("", err)
		}
	}
	return nil
}
