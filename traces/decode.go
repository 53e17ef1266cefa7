package traces

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// columnReader decodes one column of the row groups, page by page, straight
// from the pages' typed buffers.
type columnReader struct {
	*column
	leaf  leaf
	pool  *pool
	field uintptr // where the column's field is in an Event

	pages  parquet.Pages // nil before open and after the last page
	page   parquet.Page
	defs   []byte // definition levels of page; empty where nothing can be null
	reps   []byte // repetition levels of page; empty where nothing repeats
	levels int    // number of levels in page
	level  int    // the next one
	there  int    // levels in page that have a value
	value  int    // the next of the page's values
	blank  bool   // no row of page has a value

	// The page's values, of the column's type: strings by their id in pool, numbers
	// by their bits.
	i32  paged[int32]
	i64  paged[int64]
	flag paged[bool]

	rows   [readRows]uint8 // of a batch, those that have a value
	frames []int32         // of a stack that goes on in another page
}

// paged is the values of a page, in the page itself or looked up in the dictionary of
// its column chunk.
type paged[T any] struct {
	values []T
	looked []T // buffer
	dict   []T // nil until a page needs it
}

func newColumnReader(c *column, leaf leaf, pool *pool) *columnReader {
	return &columnReader{column: c, leaf: leaf, pool: pool, field: c.offset()}
}

// open begins a column chunk of a row group.
func (c *columnReader) open(source io.ReaderAt, chunk parquet.ColumnChunk, meta *format.ColumnMetaData, rows int64) error {
	c.close()
	if n := meta.NumValues; n != rows && (c.leaf.maxRep == 0 || n < rows) {
		return fmt.Errorf("%d values for %d rows", n, rows)
	}
	if err := checkPages(source, meta); err != nil {
		return err
	}
	c.pages = chunk.Pages()
	return nil
}

// close lets go of the page and the pages after it.
func (c *columnReader) close() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	if c.pages != nil {
		c.pages.Close()
		c.pages = nil
	}
	c.defs, c.reps, c.level, c.levels = nil, nil, 0, 0
	c.i32.dict, c.i64.dict, c.flag.dict = nil, nil, nil
}

var errShort = errors.New("the column ends before the row group does")

// nextPage loads the next page that holds anything. io.EOF means that there is
// none.
func (c *columnReader) nextPage() error {
	for {
		if c.page != nil {
			parquet.Release(c.page)
			c.page = nil
		}
		page, err := c.pages.ReadPage()
		if err != nil {
			return err
		}
		c.page = page
		c.level, c.value = 0, 0
		if err := c.loadPage(); err != nil {
			return err
		}
		if c.levels > 0 {
			return nil
		}
	}
}

func (c *columnReader) loadPage() error {
	c.defs, c.reps = c.page.DefinitionLevels(), c.page.RepetitionLevels()
	c.levels = int(c.page.NumValues())
	if c.leaf.maxDef == 0 {
		c.defs = nil
	} else if len(c.defs) != c.levels {
		return fmt.Errorf("%d definition levels for %d values", len(c.defs), c.levels)
	}
	if c.leaf.maxRep > 0 && len(c.reps) != c.levels {
		return fmt.Errorf("%d repetition levels for %d values", len(c.reps), c.levels)
	}
	have, err := c.loadValues()
	if err != nil {
		return err
	}
	c.there = c.levels
	if c.defs != nil {
		c.there = bytes.Count(c.defs, []byte{c.leaf.maxDef})
	}
	c.blank = c.there == 0
	if c.column.stack != nil {
		c.blank = c.leaf.list > 0 && bytes.Count(c.defs, []byte{0}) == c.levels && bytes.Count(c.reps, []byte{0}) == c.levels
	}
	if have < c.there || have > c.there && c.column.flag == nil { // flags come in bytes
		return fmt.Errorf("a page has %d values where its levels announce %d", have, c.there)
	}
	return nil
}

// loadValues loads the page's values that are not null and returns their number.
func (c *columnReader) loadValues() (int, error) {
	switch {
	case c.column.i32 != nil:
		return c.i32.load(c.page, int32Values)
	case c.column.i64 != nil, c.column.u64 != nil:
		return c.i64.load(c.page, int64Values)
	case c.column.flag != nil:
		return c.flag.load(c.page, boolValues)
	default:
		return c.i32.load(c.page, c.stringValues)
	}
}

// load takes the values of page and returns their number; decode is asked for those of
// a plain page or of a dictionary. A dictionary is loaded once per column chunk.
func (p *paged[T]) load(page parquet.Page, decode func(parquet.Page) []T) (int, error) {
	dict := page.Dictionary()
	if dict == nil {
		p.values = decode(page)
		return len(p.values), nil
	}
	if p.dict == nil {
		p.dict = decode(dict.Page())
	}
	data := page.Data()
	p.looked = slices.Grow(p.looked[:0], len(data.Int32()))
	for _, i := range data.Int32() {
		if uint(i) >= uint(len(p.dict)) {
			return 0, fmt.Errorf("value %d of a dictionary of %d", i, len(p.dict))
		}
		p.looked = append(p.looked, p.dict[i])
	}
	p.values = p.looked
	return len(p.values), nil
}

func int32Values(p parquet.Page) []int32 {
	data := p.Data()
	return data.Int32()
}

func int64Values(p parquet.Page) []int64 {
	data := p.Data()
	return data.Int64()
}

func boolValues(p parquet.Page) []bool {
	data := p.Data()
	packed := data.Boolean()
	flags := make([]bool, min(8*int64(len(packed)), p.NumValues()))
	for i := range flags {
		flags[i] = packed[i/8]>>(i%8)&1 != 0
	}
	return flags
}

// stringValues returns the pool's ids of the page's strings.
func (c *columnReader) stringValues(p parquet.Page) []int32 {
	data := p.Data()
	bytes, offsets := data.ByteArray()
	ids := make([]int32, 0, len(offsets))
	for i := 1; i < len(offsets); i++ {
		ids = append(ids, c.pool.id(bytes[offsets[i-1]:offsets[i]]))
	}
	return ids
}

// fill decodes the column's values into the events, of which there are no more than
// readRows. On an error it returns the index of the event that it could not fill.
func (c *columnReader) fill(events []Event) (int, error) {
	for done := 0; done < len(events); {
		if c.level == c.levels {
			err := c.nextPage()
			if err == io.EOF {
				err = errShort
			}
			if err != nil {
				return done, err
			}
		}
		n, err := c.fillFromPage(events[done:])
		if done += n; err != nil {
			return done, err
		}
	}
	return len(events), nil
}

// fillFromPage fills as many of the events as the page has rows for.
func (c *columnReader) fillFromPage(events []Event) (int, error) {
	if c.blank && c.bit != 0 {
		n := min(len(events), c.levels-c.level)
		c.level += n
		return n, nil
	}
	if c.column.stack != nil {
		return c.fillStacks(events)
	}
	events = events[:min(len(events), c.levels-c.level)]
	rows := c.rowsWithValue(len(events))
	if c.bit == 0 && len(rows) < len(events) {
		n := 0
		for n < len(rows) && int(rows[n]) == n {
			n++
		}
		return n, errNull
	}
	from := c.value
	c.level, c.value = c.level+len(events), from+len(rows)
	for _, i := range rows {
		events[i].Has |= c.bit
	}
	switch {
	case c.column.i32 != nil:
		put(events, rows, c.field, c.i32.values[from:c.value])
	case c.column.i64 != nil, c.column.u64 != nil:
		put(events, rows, c.field, c.i64.values[from:c.value])
	case c.column.flag != nil:
		put(events, rows, c.field, c.flag.values[from:c.value])
	case c.column.text != nil:
		c.putNames(events, rows, c.i32.values[from:c.value])
	default:
		return c.putKinds(events, c.i32.values[from:c.value])
	}
	return len(events), nil
}

var errNull = errors.New("null in a column that every row has")

// everyRow is the rows of a batch.
var everyRow = func() (rows [readRows]uint8) {
	for i := range rows {
		rows[i] = uint8(i)
	}
	return rows
}()

// rowsWithValue are those of the page's next n rows that are not null.
func (c *columnReader) rowsWithValue(n int) []uint8 {
	switch c.there {
	case c.levels:
		return everyRow[:n]
	case 0:
		return nil
	}
	// Levels of a column that is no list are 0 and 1: eight of them are looked at
	// together, since where few rows have a value most are passed over.
	defs, rows := c.defs[c.level:c.level+n], c.rows[:0]
	at := 0
	for ; at+8 <= n; at += 8 {
		for has := binary.LittleEndian.Uint64(defs[at:]); has != 0; has &= has - 1 {
			rows = append(rows, uint8(at+bits.TrailingZeros64(has)/8))
		}
	}
	for ; at < n; at++ {
		if defs[at] != 0 {
			rows = append(rows, uint8(at))
		}
	}
	return rows
}

// put stores values into the field of the rows that have one.
func put[T any](events []Event, rows []uint8, field uintptr, values []T) {
	for n, v := range values[:len(rows)] {
		*(*T)(unsafe.Add(unsafe.Pointer(&events[rows[n]]), field)) = v
	}
}

func (c *columnReader) putNames(events []Event, rows []uint8, ids []int32) {
	for n, id := range ids[:len(rows)] {
		*(*string)(unsafe.Add(unsafe.Pointer(&events[rows[n]]), c.field)) = c.pool.strings[id]
	}
}

func (c *columnReader) putKinds(events []Event, ids []int32) (int, error) {
	for i := range events {
		kind, err := c.pool.kind(ids[i])
		if err != nil {
			return i, err
		}
		events[i].Kind = kind
	}
	return len(events), nil
}

// fillStacks fills whole stacks. A stack ends where the next level does not
// repeat, which may be in a later page.
func (c *columnReader) fillStacks(events []Event) (int, error) {
	for i := range events {
		if c.level == c.levels {
			return i, nil
		}
		if c.reps[c.level] != 0 {
			return i, errors.New("a stack begins with a repeated frame")
		}
		if def := c.defs[c.level]; def > c.leaf.list { // a list always has levels
			events[i].Has |= c.bit
			if err := c.fillStack(&events[i]); err != nil {
				return i, err
			}
		} else {
			if def == c.leaf.list {
				events[i].Has |= c.bit
			}
			c.level++
		}
	}
	return len(events), nil
}

// fillStack fills a stack of one frame or more. Mostly all of them are in the page,
// where they follow each other.
func (c *columnReader) fillStack(e *Event) error {
	n := 1 + bytes.IndexByte(c.reps[c.level+1:], 0)
	if n == 0 {
		return c.joinStack(e)
	}
	if !c.takeFrames(n) {
		return errNullFrame
	}
	e.Stack = c.pool.stack(c.i32.values[c.value-n : c.value])
	return nil
}

var errNullFrame = errors.New("null in a stack")

// takeFrames steps over the next n frames, and reports whether none is null.
func (c *columnReader) takeFrames(n int) bool {
	for _, d := range c.defs[c.level : c.level+n] {
		if d != c.leaf.maxDef {
			return false
		}
	}
	c.level, c.value = c.level+n, c.value+n
	return true
}

// joinStack fills a stack that reaches the end of the page, and may go on in the next.
func (c *columnReader) joinStack(e *Event) error {
	c.frames = c.frames[:0]
	for more := true; more; {
		n := 0
		for c.level+n < c.levels && (c.reps[c.level+n] != 0 || len(c.frames)+n == 0) {
			n++
		}
		if !c.takeFrames(n) {
			return errNullFrame
		}
		c.frames = append(c.frames, c.i32.values[c.value-n:c.value]...)
		if more = c.level == c.levels; more {
			if err := c.nextPage(); err == io.EOF {
				more = false
			} else if err != nil {
				return err
			}
		}
	}
	e.Stack = c.pool.stack(c.frames)
	return nil
}

// pool holds one copy of each string and stack of a pass, so that an event costs
// no allocation.
type pool struct {
	ids     map[string]int32
	strings []string            // by id
	kinds   []Kind              // by id, as far as asked for; NoKind where not yet known
	stacks  map[string][]string // by their frames' ids
}

// poolMax is the number of strings, and of stacks, beyond which a pool starts
// anew at the next row group. Events keep theirs.
const poolMax = 1 << 17

func newPool() *pool {
	return &pool{ids: map[string]int32{}, stacks: map[string][]string{}}
}

// trim empties a pool that has grown large. Ids handed out before are void.
func (p *pool) trim() {
	if len(p.strings) > poolMax || len(p.stacks) > poolMax {
		*p = *newPool()
	}
}

func (p *pool) id(b []byte) int32 {
	id, ok := p.ids[string(b)]
	if !ok {
		id = int32(len(p.strings))
		s := string(b)
		p.ids[s] = id
		p.strings = append(p.strings, s)
	}
	return id
}

// kind returns the kind that the string of this id names.
func (p *pool) kind(id int32) (Kind, error) {
	for int(id) >= len(p.kinds) {
		p.kinds = append(p.kinds, NoKind)
	}
	if p.kinds[id] == NoKind {
		k, err := ParseKind(p.strings[id])
		if err != nil {
			return NoKind, err
		}
		p.kinds[id] = k
	}
	return p.kinds[id], nil
}

// stack returns the stack of these frames, of which there are some.
func (p *pool) stack(frames []int32) []string {
	key := unsafe.String((*byte)(unsafe.Pointer(&frames[0])), len(frames)*int(unsafe.Sizeof(frames[0])))
	s, ok := p.stacks[key]
	if !ok {
		s = make([]string, len(frames))
		for i, id := range frames {
			s[i] = p.strings[id]
		}
		p.stacks[strings.Clone(key)] = s
	}
	return s
}
