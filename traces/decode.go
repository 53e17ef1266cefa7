package traces

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// columnReader decodes one column of the row groups, page by page, straight
// from the pages' typed buffers.
type columnReader struct {
	*column
	leaf leaf
	pool *pool

	pages  parquet.Pages // nil before open and after the last page
	page   parquet.Page
	defs   []byte // definition levels of page; empty where nothing can be null
	reps   []byte // repetition levels of page; empty where nothing repeats
	levels int    // number of levels in page
	level  int    // the next one
	value  int    // the next of the page's values

	// The page's values, of the column's type; strings by their id in pool.
	i32  values[int32]
	i64  values[int64]
	u64  values[uint64]
	flag values[bool]

	frames []int32 // stack under construction
}

// values is a page's values: plain, or by index into a dictionary.
type values[T any] struct {
	plain []T
	dict  []T
	index []int32
}

func (v *values[T]) at(i int) T {
	if v.index != nil {
		return v.dict[v.index[i]]
	}
	return v.plain[i]
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
	c.i32.dict, c.i64.dict, c.u64.dict, c.flag.dict = nil, nil, nil, nil
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
	want := c.levels
	if c.defs != nil {
		want = 0
		for _, d := range c.defs {
			if d == c.leaf.maxDef {
				want++
			}
		}
	}
	if have < want || have > want && c.column.flag == nil { // flags come in bytes
		return fmt.Errorf("a page has %d values where its levels announce %d", have, want)
	}
	return nil
}

// loadValues loads the page's values that are not null and returns their number.
func (c *columnReader) loadValues() (int, error) {
	switch {
	case c.column.i32 != nil:
		return load(&c.i32, c.page, int32Values)
	case c.column.i64 != nil:
		return load(&c.i64, c.page, int64Values)
	case c.column.u64 != nil:
		return load(&c.u64, c.page, uint64Values)
	case c.column.flag != nil:
		return load(&c.flag, c.page, boolValues)
	default:
		return load(&c.i32, c.page, c.stringValues)
	}
}

// load fills v from page; decode is asked for the values of a plain page or of
// a dictionary. A dictionary is loaded once per column chunk.
func load[T any](v *values[T], page parquet.Page, decode func(parquet.Page) []T) (int, error) {
	dict := page.Dictionary()
	if dict == nil {
		v.plain, v.index = decode(page), nil
		return len(v.plain), nil
	}
	if v.dict == nil {
		v.dict = decode(dict.Page())
	}
	data := page.Data()
	v.plain, v.index = nil, data.Int32()
	if v.index == nil {
		v.index = []int32{}
	}
	for _, i := range v.index {
		if uint(i) >= uint(len(v.dict)) {
			return 0, fmt.Errorf("value %d of a dictionary of %d", i, len(v.dict))
		}
	}
	return len(v.index), nil
}

func int32Values(p parquet.Page) []int32 {
	data := p.Data()
	return data.Int32()
}

func int64Values(p parquet.Page) []int64 {
	data := p.Data()
	return data.Int64()
}

func uint64Values(p parquet.Page) []uint64 {
	data := p.Data()
	return data.Uint64()
}

func boolValues(p parquet.Page) []bool {
	data := p.Data()
	bits := data.Boolean()
	flags := make([]bool, min(8*int64(len(bits)), p.NumValues()))
	for i := range flags {
		flags[i] = bits[i/8]>>(i%8)&1 != 0
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

// fill decodes the column's values into the events. On an error it returns the
// index of the event that it could not fill.
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
	if c.column.stack != nil {
		return c.fillStacks(events)
	}
	events = events[:min(len(events), c.levels-c.level)]
	switch {
	case c.column.i32 != nil:
		return scatter(c, events, &c.i32, c.column.i32)
	case c.column.i64 != nil:
		return scatter(c, events, &c.i64, c.column.i64)
	case c.column.u64 != nil:
		return scatter(c, events, &c.u64, c.column.u64)
	case c.column.flag != nil:
		return scatter(c, events, &c.flag, c.column.flag)
	case c.column.text != nil:
		return c.fillStrings(events)
	default:
		return c.fillKinds(events)
	}
}

// scatter stores values into the field of each event that has one.
func scatter[T any](c *columnReader, events []Event, v *values[T], field func(*Event) *T) (int, error) {
	for i := range events {
		e := &events[i]
		if !c.take() {
			if c.bit == 0 {
				return i, errNull
			}
			continue
		}
		*field(e) = v.at(c.value)
		c.value++
		e.Has |= c.bit
	}
	return len(events), nil
}

var errNull = errors.New("null in a column that every row has")

// take steps over the next level and reports whether it has a value.
func (c *columnReader) take() bool {
	c.level++
	return c.defs == nil || c.defs[c.level-1] == c.leaf.maxDef
}

func (c *columnReader) fillStrings(events []Event) (int, error) {
	for i := range events {
		if c.take() {
			*c.text(&events[i]) = c.pool.strings[c.i32.at(c.value)]
			c.value++
			events[i].Has |= c.bit
		}
	}
	return len(events), nil
}

func (c *columnReader) fillKinds(events []Event) (int, error) {
	for i := range events {
		if !c.take() {
			return i, errNull
		}
		kind, err := c.pool.kind(c.i32.at(c.value))
		if err != nil {
			return i, err
		}
		c.value++
		*c.kind(&events[i]) = kind
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
		if err := c.fillStack(&events[i]); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

func (c *columnReader) fillStack(e *Event) error {
	c.frames = c.frames[:0]
	if def := c.defs[c.level]; def <= c.leaf.list { // a list always has levels
		c.level++
		if def == c.leaf.list {
			e.Has |= c.bit
		}
		return nil
	}
	e.Has |= c.bit
	for {
		if c.defs[c.level] != c.leaf.maxDef {
			return errors.New("null in a stack")
		}
		c.frames = append(c.frames, c.i32.at(c.value))
		c.value++
		c.level++
		if more, err := c.repeats(); err != nil || !more {
			e.Stack = c.pool.stack(c.frames)
			return err
		}
	}
}

// repeats reports whether the next level goes on with the same stack, loading
// the next page where that is needed to tell.
func (c *columnReader) repeats() (bool, error) {
	if c.level == c.levels {
		err := c.nextPage()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return c.reps[c.level] != 0, nil
}

// pool holds one copy of each string and stack of a pass, so that an event costs
// no allocation.
type pool struct {
	ids     map[string]int32
	strings []string // by id
	kinds   []Kind   // by id, as far as asked for; NoKind where not yet known
	stacks  map[string][]string
	key     []byte
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

// stack returns the stack of these frames.
func (p *pool) stack(frames []int32) []string {
	p.key = p.key[:0]
	for _, id := range frames {
		p.key = binary.LittleEndian.AppendUint32(p.key, uint32(id))
	}
	s, ok := p.stacks[string(p.key)]
	if !ok {
		s = make([]string, len(frames))
		for i, id := range frames {
			s[i] = p.strings[id]
		}
		p.stacks[string(p.key)] = s
	}
	return s
}
