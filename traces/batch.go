package traces

import (
	"math/bits"
	"unsafe"
)

// batch is some rows column by column, as the encoder wants them: an event is taken
// apart once, when it is at hand, instead of once for each column.
type batch struct {
	has    []Columns // of each row
	any    Columns   // that some row has
	all    Columns   // that every row has
	kinds  []Kind
	values [colCount]batchValues // by column; those that are there, without gaps
}

// batchValues is the values of one column, in the slice of its type.
type batchValues struct {
	i32   []int32
	i64   []int64 // of uint64 columns, too
	flag  []bool
	text  []string
	stack [][]string
}

// colCount is the number of columns, and colOf the column of a nullable one's bit.
const colCount = 31

var colOf [64]uint8

func init() {
	if len(columns) != colCount {
		panic("traces: colCount is not the number of columns")
	}
	for i := range columns {
		if b := columns[i].bit; b != 0 {
			colOf[bits.TrailingZeros64(uint64(b))] = uint8(i)
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
	b := &batch{has: make([]Columns, 0, batchRows), kinds: make([]Kind, 0, batchRows)}
	if like != nil {
		for i := range b.values {
			v, o := &b.values[i], &like.values[i]
			v.i32, v.i64, v.flag = make([]int32, 0, len(o.i32)), make([]int64, 0, len(o.i64)), make([]bool, 0, len(o.flag))
			v.text, v.stack = make([]string, 0, len(o.text)), make([][]string, 0, len(o.stack))
		}
	}
	b.reset()
	return b
}

// reset empties the batch and lets go of its strings.
func (b *batch) reset() {
	b.has, b.kinds, b.any, b.all = b.has[:0], b.kinds[:0], 0, AllColumns
	for i := range b.values {
		v := &b.values[i]
		v.i32, v.i64, v.flag = v.i32[:0], v.i64[:0], v.flag[:0]
		clear(v.text)
		clear(v.stack)
		v.text, v.stack = v.text[:0], v.stack[:0]
	}
}

// rows is the number of rows in the batch.
func (b *batch) rows() int { return len(b.has) }

// add appends an event.
func (b *batch) add(e *Event) {
	has := e.Has & AllColumns
	b.has = append(b.has, has)
	b.any |= has
	b.all &= has
	b.kinds = append(b.kinds, e.Kind)
	b.values[timeColumn].i64 = append(b.values[timeColumn].i64, e.Time)
	b.values[seqColumn].i64 = append(b.values[seqColumn].i64, e.Seq)
	for ; has != 0; has &= has - 1 {
		i := colOf[bits.TrailingZeros64(uint64(has))]
		c, v := &columns[i], &b.values[i]
		// The field by its offset: to call an accessor for each value takes longer
		// than all else here.
		at := unsafe.Add(unsafe.Pointer(e), c.at)
		switch {
		case c.i64 != nil, c.u64 != nil:
			v.i64 = append(v.i64, *(*int64)(at))
		case c.i32 != nil:
			v.i32 = append(v.i32, *(*int32)(at))
		case c.text != nil:
			v.text = append(v.text, *(*string)(at))
		case c.flag != nil:
			v.flag = append(v.flag, *(*bool)(at))
		default:
			v.stack = append(v.stack, *(*[]string)(at))
		}
	}
}
