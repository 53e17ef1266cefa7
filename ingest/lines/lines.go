// Package lines reads text one line at a time, in bounded memory, and says where a
// bad line is.
package lines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrLine is returned for a line that makes no sense.
var ErrLine = errors.New("bad line")

// BOM is what editors of other systems put in front of a text in UTF-8.
var BOM = []byte("\xef\xbb\xbf")

// Error is a bad line.
type Error struct {
	File string
	Line int64
	Text string
	Want string
	Cut  bool // the text ends within the line
}

// maxShown is how many bytes of a bad line a message shows.
const maxShown = 120

func (e *Error) Error() string {
	text := e.Text
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	cut := ""
	if e.Cut {
		cut = ": the text ends within this line; was it cut short?"
	}
	return fmt.Sprintf("%s:%d: %v: want %s, not %q%s", e.File, e.Line, ErrLine, e.Want, text, cut)
}

func (e *Error) Unwrap() error { return ErrLine }

// Reader reads the lines of a text.
type Reader struct {
	name string
	in   *bufio.Reader
	line int64
	read int64
	cut  bool
}

// New returns a Reader of the text from in, whose buffer bounds the length of a
// line. The name is for messages.
func New(in *bufio.Reader, name string) *Reader { return &Reader{name: name, in: in} }

// Next returns the next line without its end, valid until the next call, and io.EOF
// after the last one. After an [Error] for a line that is too long it goes on
// behind that line.
func (r *Reader) Next() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	r.line++
	r.read += int64(len(line))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		bad := r.Bad(line[:maxShown], fmt.Sprintf("a line of at most %d bytes", r.in.Size()))
		return nil, r.skip(bad)
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case err != nil && !errors.Is(err, io.EOF):
		return nil, r.failed(err)
	}
	r.cut = err != nil
	if r.line == 1 {
		line = bytes.TrimPrefix(line, BOM)
	}
	return trimEnd(line), nil
}

// trimEnd cuts off the end of a line.
func trimEnd(line []byte) []byte {
	n := len(line)
	for n > 0 && (line[n-1] == '\n' || line[n-1] == '\r') {
		n--
	}
	return line[:n]
}

// skip reads up to the end of a line that is too long, and returns bad.
func (r *Reader) skip(bad error) error {
	for {
		part, err := r.in.ReadSlice('\n')
		r.read += int64(len(part))
		r.cut = errors.Is(err, io.EOF)
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return bad
		case !errors.Is(err, bufio.ErrBufferFull):
			return r.failed(err)
		}
	}
}

// failed is the error for a line that could not be read.
func (r *Reader) failed(err error) error {
	return fmt.Errorf("%s:%d: read: %w", r.name, r.line, err)
}

// Bad is the error for the line last read.
func (r *Reader) Bad(line []byte, want string) error {
	return &Error{File: r.name, Line: r.line, Text: string(line), Want: want, Cut: r.cut}
}

// Ahead is the text behind the line last read, n bytes or as much as there is, valid
// until the next call. The line last read is not valid any more.
func (r *Reader) Ahead(n int) []byte {
	b, _ := r.in.Peek(n) // Next tells of what is wrong
	return b
}

// Name is the name of the text.
func (r *Reader) Name() string { return r.name }

// Line is the number of the line last read, from 1.
func (r *Reader) Line() int64 { return r.line }

// Cut reports whether the line last read has no end: the text was cut short there.
func (r *Reader) Cut() bool { return r.cut }

// Position is how many bytes are read.
func (r *Reader) Position() int64 { return r.read }
