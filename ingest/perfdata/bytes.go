package perfdata

import (
	"bytes"
	"encoding/binary"
)

// cursor takes values from a buffer. Past the end it yields zeros and notes it, so
// that a decoder checks once, at its end.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.short = true
		c.b = nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if len(c.b) < 4 {
		c.take(4)
		return 0
	}
	v := binary.LittleEndian.Uint32(c.b)
	c.b = c.b[4:]
	return v
}

func (c *cursor) u64() uint64 {
	if len(c.b) < 8 {
		c.take(8)
		return 0
	}
	v := binary.LittleEndian.Uint64(c.b)
	c.b = c.b[8:]
	return v
}

// text takes a string that ends at a NUL.
func (c *cursor) text() string {
	i := bytes.IndexByte(c.b, 0)
	if i < 0 {
		c.short = true
		c.b = nil
		return ""
	}
	s := string(c.b[:i])
	c.b = c.b[i+1:]
	return s
}

// count takes the number of things that follow, each at least a byte long, so that
// it cannot be more than the bytes are.
func (c *cursor) count() uint32 {
	n := uint64(c.u32())
	if n > uint64(len(c.b)) {
		c.short = true
		n = 0
	}
	return uint32(n)
}

// countLong is count for a number of 64 bits of things that are each 8 bytes long.
func (c *cursor) countLong() uint64 {
	n := c.u64()
	if n > uint64(len(c.b)/8) {
		c.short = true
		n = 0
	}
	return n
}

// counted takes a string that has its length before it, padded with NULs
// (do_write_string).
func (c *cursor) counted() string { return string(untilNUL(c.take(uint64(c.u32())))) }

// untilNUL cuts b at its first NUL.
func untilNUL(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}
