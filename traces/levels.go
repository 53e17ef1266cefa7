package traces

import (
	"encoding/binary"
	"math/bits"
)

// levels are the definition levels of a column whose rows have a value or none, in
// Parquet's hybrid of runs and bit-packed groups of eight.
type levels struct {
	encoded []byte
	open    int // where encoded has the header of the group that goes on; -1: none does
	n       int // levels
	set     int // of them, those with a value

	level byte // of the run that goes on
	run   int  // its length, which is not encoded yet
}

const (
	// runMin is the least run that is worth leaving the groups of eight for.
	runMin = 64
	// groupsMax is how many groups of eight the header of one byte can announce.
	groupsMax = 63
)

func (l *levels) reset() { *l = levels{encoded: l.encoded[:0], open: -1} }

// add appends n equal levels.
func (l *levels) add(level byte, n int) {
	l.n += n
	l.set += n * int(level)
	l.extend(level, n)
}

func (l *levels) extend(level byte, n int) {
	if l.level != level {
		l.endRun()
		l.level = level
	}
	l.run += n
}

// pack appends n levels, eight to a byte, the first in its lowest bit; those beyond are
// zero. Where n is no multiple of eight, they are the last of the page.
func (l *levels) pack(packed []byte, n int) {
	l.n += n
	for i, b := range packed[:(n+7)/8] {
		l.set += bits.OnesCount8(b)
		if b == 0 || b == 0xff {
			l.extend(b&1, min(8, n-8*i))
			continue
		}
		l.endRun()
		l.group(b)
	}
}

// endRun encodes the run that goes on.
func (l *levels) endRun() {
	if l.run >= runMin || l.run%8 != 0 {
		l.encoded = append(binary.AppendUvarint(l.encoded, uint64(l.run)<<1), l.level)
		l.open = -1
	} else {
		for range l.run / 8 {
			l.group(-l.level)
		}
	}
	l.run = 0
}

// group encodes eight levels.
func (l *levels) group(b byte) {
	if l.open < 0 || l.encoded[l.open] == groupsMax<<1|1 {
		l.open = len(l.encoded)
		l.encoded = append(l.encoded, 1)
	}
	l.encoded[l.open] += 2
	l.encoded = append(l.encoded, b)
}

// setBits sets n bits from a position on, the first of each byte its lowest.
func setBits(b []byte, at, n int) {
	if from := at % 8; from+n <= 8 {
		b[at/8] |= byte(1<<n-1) << from
		return
	} else if from > 0 {
		b[at/8] |= 0xff << from
		at, n = at+8-from, n-8+from
	}
	for ; n >= 8; at, n = at+8, n-8 {
		b[at/8] = 0xff
	}
	if n > 0 {
		b[at/8] |= byte(1<<n - 1)
	}
}
