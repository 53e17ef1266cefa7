package perfdata

import (
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// bufferSize is what is read at once of what cannot be mapped.
const bufferSize = 1 << 18

// recordSizeMax is more than any record has, whose size is a uint16.
const recordSizeMax = 1 << 16

// source is a window onto the bytes of a file.
type source struct {
	in     io.Reader
	buf    []byte
	lo, hi int   // what is read but not yet taken is buf[lo:hi]
	pos    int64 // of buf[lo], in the file
	err    error // what ended reading
	mapped bool  // buf is the file itself, from its beginning
	kept   int   // of buf: what is before is given back
	ready  int   // of buf: what is before was brought in
}

// newSource reads in, which is at pos in the file and has about size bytes.
func newSource(in io.Reader, pos, size int64) source {
	return source{in: in, buf: make([]byte, min(max(size, recordSizeMax), bufferSize)), pos: pos}
}

// newFileSource reads n bytes of a file at pos, mapped where that can be done.
func newFileSource(at io.ReaderAt, pos, n int64) source {
	if f, ok := at.(interface{ Fd() uintptr }); ok && n > 0 {
		if m, err := unix.Mmap(int(f.Fd()), 0, int(pos+n), unix.PROT_READ, unix.MAP_SHARED); err == nil {
			s := source{buf: m, lo: int(pos), hi: len(m), pos: pos, err: io.EOF, mapped: true, ready: int(pos) &^ (aheadStep - 1)}
			s.bring()
			return s
		}
	}
	return newSource(io.NewSectionReader(at, pos, n), pos, n)
}

// close gives the mapping back.
func (s *source) close() {
	if s.mapped {
		unix.Munmap(s.buf)
		s.buf, s.lo, s.hi, s.mapped = nil, 0, 0, false
	}
}

const (
	// behind is how much of a mapped file stays at hand behind the position: records wait
	// there to be put in order. What is given back earlier comes from the file again.
	behind = 64 << 20
	// behindStep is how much is given back at once.
	behindStep = 16 << 20

	// aheadStep is how much of a mapped file is brought in at once, in place of a page
	// fault for each 64 KiB (fault_around_bytes).
	aheadStep = 2 << 20
)

// bring has the next pages of a mapped file at hand before they are looked at.
func (s *source) bring() {
	if s.mapped {
		unix.Madvise(s.buf[s.ready:min(s.ready+aheadStep, len(s.buf))], unix.MADV_POPULATE_READ) // no more than a hint
	}
	s.ready += aheadStep
}

// forget gives back the memory of what was read long ago.
func (s *source) forget() {
	if s.mapped {
		unix.Madvise(s.buf[s.kept:s.kept+behindStep], unix.MADV_DONTNEED) // no more than a hint
	}
	s.kept += behindStep
}

// peek returns the next n bytes, at most recordSizeMax, without taking them; fewer
// where the file ends before.
func (s *source) peek(n int) []byte {
	if s.hi-s.lo < n {
		s.fill(n)
	}
	return s.buf[s.lo:min(s.lo+n, s.hi)]
}

// emptyReadsMax bounds the reads in a row that yield nothing.
const emptyReadsMax = 100

func (s *source) fill(n int) {
	if s.mapped {
		return
	}
	s.hi = copy(s.buf, s.buf[s.lo:s.hi])
	s.lo = 0
	for empty := 0; s.hi < n && s.err == nil; {
		var got int
		got, s.err = s.in.Read(s.buf[s.hi:])
		s.hi += got
		if got > 0 {
			empty = 0
		} else if empty++; empty == emptyReadsMax && s.err == nil {
			s.err = io.ErrNoProgress
		}
	}
}

// take moves past n bytes that peek returned.
func (s *source) take(n int) {
	s.lo += n
	s.pos += int64(n)
	if s.lo-s.kept >= behind+behindStep {
		s.forget()
	}
	if s.lo >= s.ready && s.lo < s.hi {
		s.bring()
	}
}

// skip moves past n bytes and returns how many there were.
func (s *source) skip(n uint64) (skipped uint64) {
	for skipped < n {
		b := s.peek(int(min(n-skipped, recordSizeMax)))
		if len(b) == 0 {
			break
		}
		s.take(len(b))
		skipped += uint64(len(b))
	}
	return skipped
}

// read returns a copy of the next n bytes; fewer where the file ends before. It
// takes memory as bytes arrive, not as n promises.
func (s *source) read(n uint64) (b []byte) {
	for uint64(len(b)) < n {
		part := s.peek(int(min(n-uint64(len(b)), recordSizeMax)))
		if len(part) == 0 {
			break
		}
		b = append(b, part...)
		s.take(len(part))
	}
	return b
}

// failure is the I/O error that ended reading, nil at the end of the file.
func (s *source) failure() error {
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// recordHeaderSize is the size of a perf_event_header: type, misc, size.
const recordHeaderSize = 8

// What a record's header says.
func typeOf(head []byte) Type   { return Type(binary.LittleEndian.Uint32(head)) }
func miscOf(head []byte) uint16 { return binary.LittleEndian.Uint16(head[4:]) }
func sizeOf(head []byte) int    { return int(binary.LittleEndian.Uint16(head[6:])) }
