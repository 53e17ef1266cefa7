package traces

import (
	"math/bits"
	"unsafe"
)

// batch is some rows column by column, as the encoder wants them: an event is taken
// apart once, when it is at hand, instead of once for each column.
type batch struct {
	shapes []shape               // of the rows
	any    Columns               // that some row has
	all    Columns               // that every row has
	kinds  []Kind                // of each row
	has    [columnBits]rowBits   // by the number of the bit, once find was called
	values [colCount]batchValues // by column; those that are there, without gaps
}

// rowBits has a bit for each row of a batch, the first in the lowest bit.
type rowBits [batchRows / 8]byte

// columnBits is the number of nullable columns.
const columnBits = 28

// find notes which rows have which column, as far as they differ.
func (b *batch) find() {
	some := b.any &^ b.all
	for set := some; set != 0; set &= set - 1 {
		b.has[bits.TrailingZeros64(uint64(set))%columnBits] = rowBits{}
	}
	at := 0
	for _, s := range b.shapes {
		for set := s.has & some; set != 0; set &= set - 1 {
			setBits(b.has[bits.TrailingZeros64(uint64(set))%columnBits][:], at, s.n)
		}
		at += s.n
	}
}

// shape is the columns that some rows in a row have.
type shape struct {
	has Columns
	n   int
}

// batchValues is the values of one column, in the slice of its type.
type batchValues struct {
	i32   []int32
	i64   []int64 // of uint64 columns, too
	flag  []bool
	text  []nameRun
	stack [][]string
}

// nameRun is a name that some values in a row have: mostly the next row is of the
// same command, file and probe.
type nameRun struct {
	name string
	n    int
}

// colCount is the number of columns.
const colCount = 31

// Of the nullable columns by the number of their bit: which column it is, and where
// its field is in an Event.
var (
	colOf   [64]uint8
	fieldOf [64]uintptr
)

// The nullable columns by type. An event is taken apart by one type after the other,
// so that the way taken does not depend on which columns it has.
var wideColumns, narrowColumns, textColumns, flagColumns Columns

func init() {
	if len(columns) != colCount || colEnd != 1<<columnBits {
		panic("traces: colCount or columnBits is not the number of columns")
	}
	for i := range columns {
		c := &columns[i]
		if c.bit == 0 {
			continue
		}
		n := bits.TrailingZeros64(uint64(c.bit))
		colOf[n], fieldOf[n] = uint8(i), c.offset()
		switch {
		case c.i64 != nil, c.u64 != nil:
			wideColumns |= c.bit
		case c.i32 != nil:
			narrowColumns |= c.bit
		case c.text != nil:
			textColumns |= c.bit
		case c.flag != nil:
			flagColumns |= c.bit
		}
	}
}

// Places of the columns that every row has.
const (
	timeColumn = 0
	seqColumn  = 1
)

// newBatch makes a batch with room for what is in the one before, nil for the first.
func newBatch(like *batch) *batch {
	b := &batch{kinds: make([]Kind, 0, batchRows)}
	if like != nil {
		b.shapes = make([]shape, 0, len(like.shapes))
		for i := range b.values {
			v, o := &b.values[i], &like.values[i]
			v.i32, v.i64, v.flag = make([]int32, 0, len(o.i32)), make([]int64, 0, len(o.i64)), make([]bool, 0, len(o.flag))
			v.text, v.stack = make([]nameRun, 0, len(o.text)), make([][]string, 0, len(o.stack))
		}
	}
	b.reset()
	return b
}

// reset empties the batch and lets go of its strings.
func (b *batch) reset() {
	b.shapes, b.kinds, b.any, b.all = b.shapes[:0], b.kinds[:0], 0, AllColumns
	for i := range b.values {
		v := &b.values[i]
		v.i32, v.i64, v.flag = v.i32[:0], v.i64[:0], v.flag[:0]
		clear(v.text)
		clear(v.stack)
		v.text, v.stack = v.text[:0], v.stack[:0]
	}
}

// rows is the number of rows in the batch.
func (b *batch) rows() int { return len(b.kinds) }

// add appends an event.
func (b *batch) add(e *Event) {
	has := e.Has & AllColumns
	if last := len(b.shapes) - 1; last >= 0 && b.shapes[last].has == has {
		b.shapes[last].n++
	} else {
		b.shapes = append(b.shapes, shape{has, 1})
		b.any |= has
		b.all &= has
	}
	b.kinds = append(b.kinds, e.Kind)
	b.values[timeColumn].i64 = append(b.values[timeColumn].i64, e.Time)
	b.values[seqColumn].i64 = append(b.values[seqColumn].i64, e.Seq)
	// Fields by their place: to call an accessor for each value takes longer than all
	// else here.
	for set := has & wideColumns; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(uint64(set)) % 64
		v := &b.values[colOf[n]%colCount].i64
		*v = append(*v, *(*int64)(unsafe.Add(unsafe.Pointer(e), fieldOf[n])))
	}
	for set := has & narrowColumns; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(uint64(set)) % 64
		v := &b.values[colOf[n]%colCount].i32
		*v = append(*v, *(*int32)(unsafe.Add(unsafe.Pointer(e), fieldOf[n])))
	}
	for set := has & textColumns; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(uint64(set)) % 64
		b.values[colOf[n]%colCount].addText(*(*string)(unsafe.Add(unsafe.Pointer(e), fieldOf[n])))
	}
	for set := has & flagColumns; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(uint64(set)) % 64
		v := &b.values[colOf[n]%colCount].flag
		*v = append(*v, *(*bool)(unsafe.Add(unsafe.Pointer(e), fieldOf[n])))
	}
	if has&ColStack != 0 {
		v := &b.values[colOf[bits.TrailingZeros64(uint64(ColStack))]].stack
		*v = append(*v, e.Stack)
	}
}

// addText appends a name. It is of the run before where it is the same in memory.
func (v *batchValues) addText(s string) {
	if last := len(v.text) - 1; last >= 0 {
		if r := &v.text[last]; len(r.name) == len(s) && unsafe.StringData(r.name) == unsafe.StringData(s) {
			r.n++
			return
		}
	}
	v.text = append(v.text, nameRun{s, 1})
}
