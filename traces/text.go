package traces

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The text twin holds the same rows as the Parquet file, one to a line, for
// reading, for tests and for bug reports:
//
//	# replay-trace 1
//	# clock monotonic
//	# source {"path":"perf.data","format":"perf-data"}
//	1051 mmap cpu=0 tid=9 comm=java dur_ns=2210 addr=0x7f0a1000 len=0x1000 ret=139680800
//	1400 hit cpu=1 tid=8 comm="G1 Main" addr=0x401136 stack=["alloc+0x4 (app)","main+0x1f (app)"]
//
// A line begins with time_ns and kind; any other column follows as name=value
// and is null where it is not named, except that seq counts the rows from 0. A
// string that could be mistaken for something else is a quoted Go string.
// Lines that begin with # hold the metadata. "# replay-trace 1" begins a block
// of them that replaces the one before, so that a writer who learns the whole
// metadata last can end with it.

const (
	textMagic = "# replay-trace "

	// TextLineMax is the length in bytes of the longest line that a TextReader
	// accepts.
	TextLineMax = 4 << 20

	// CutWarning is the warning about a text whose last line has no end.
	CutWarning = "the text ends within a line: was it cut short? That line may be wrong, and more may be missing"
)

// IsText reports whether a file that begins with prefix, of 16 bytes or more, is
// the text twin of a trace.
func IsText(prefix []byte) bool { return bytes.HasPrefix(prefix, []byte(textMagic)) }

// FormatText returns ev as one line of the text twin, without a line break.
func FormatText(ev *Event) string { return string(AppendText(nil, ev)) }

// AppendText appends ev as one line of the text twin, without a line break.
func AppendText(dst []byte, ev *Event) []byte {
	return appendText(dst, ev, true)
}

func appendText(dst []byte, ev *Event, withSeq bool) []byte {
	dst = strconv.AppendInt(dst, ev.Time, 10)
	dst = append(dst, ' ')
	dst = append(dst, ev.Kind.String()...)
	if withSeq {
		dst = append(dst, " seq="...)
		dst = strconv.AppendInt(dst, ev.Seq, 10)
	}
	for i := range columns {
		if c := &columns[i]; c.bit != 0 && ev.Got(c.bit) {
			dst = append(dst, ' ')
			dst = append(dst, c.name...)
			dst = append(dst, '=')
			dst = c.appendText(dst, ev)
		}
	}
	return dst
}

// appendText appends the value of column c.
func (c *column) appendText(dst []byte, ev *Event) []byte {
	switch {
	case c.i32 != nil:
		return strconv.AppendInt(dst, int64(*c.i32(ev)), 10)
	case c.i64 != nil:
		return strconv.AppendInt(dst, *c.i64(ev), 10)
	case c.u64 != nil && c.bit&(ColInode|ColInodeGen) != 0:
		return strconv.AppendUint(dst, *c.u64(ev), 10)
	case c.u64 != nil:
		return strconv.AppendUint(append(dst, "0x"...), *c.u64(ev), 16)
	case c.flag != nil:
		return strconv.AppendBool(dst, *c.flag(ev))
	case c.text != nil:
		return appendTextString(dst, *c.text(ev))
	default:
		dst = append(dst, '[')
		for i, frame := range *c.stack(ev) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendQuote(dst, frame)
		}
		return append(dst, ']')
	}
}

// appendTextString appends s, quoted unless it is a plain word.
func appendTextString(dst []byte, s string) []byte {
	word := s != ""
	for i := range len(s) {
		b := s[i]
		word = word && ('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("_-./:+@%~", b) >= 0)
	}
	if word {
		return append(dst, s...)
	}
	return strconv.AppendQuote(dst, s)
}

// TextWriter writes the text twin of a trace.
type TextWriter struct {
	w    *bufio.Writer
	line []byte
	rows int64
}

// NewTextWriter returns a TextWriter to w. A trace begins with WriteMeta; flush
// it when done.
func NewTextWriter(w io.Writer) *TextWriter {
	return &TextWriter{w: bufio.NewWriterSize(w, 64<<10)}
}

// WriteMeta writes the metadata. It replaces what an earlier call wrote.
func (w *TextWriter) WriteMeta(m Meta) error {
	fmt.Fprintf(w.w, "%s%d\n", textMagic, Schema)
	for _, p := range [][2]string{{"clock", m.Clock}, {"kernel", m.Kernel}, {"arch", m.Arch}} {
		if p[1] != "" {
			fmt.Fprintf(w.w, "# %s %s\n", p[0], appendTextString(nil, p[1]))
		}
	}
	fmt.Fprintf(w.w, "# cpus %d\n# lost %d\n", m.CPUs, m.Lost)
	for _, s := range m.Sources {
		b, err := json.Marshal(s)
		if err != nil {
			return err
		}
		fmt.Fprintf(w.w, "# source %s\n", b)
	}
	for _, s := range m.Warnings {
		fmt.Fprintf(w.w, "# warning %q\n", s)
	}
	for _, s := range m.Recorded {
		fmt.Fprintf(w.w, "# recorded %s\n", appendTextString(nil, s))
	}
	for _, u := range m.Unknown {
		b, err := json.Marshal(u)
		if err != nil {
			return err
		}
		fmt.Fprintf(w.w, "# unknown %s\n", b)
	}
	return nil
}

// Write writes ev as one line.
func (w *TextWriter) Write(ev *Event) error {
	w.line = append(appendText(w.line[:0], ev, ev.Seq != w.rows), '\n')
	w.rows++
	_, err := w.w.Write(w.line)
	return err
}

// Flush writes out what is still buffered.
func (w *TextWriter) Flush() error { return w.w.Flush() }

// TextReader reads the text twin of a trace. It is a Stream.
type TextReader struct {
	name string
	in   *bufio.Reader
	line int // number of the line last read, from 1
	long []byte
	rows int64
	cut  bool // the last line has no end
	meta Meta
	pool *pool
	seq  sequence
	err  error
}

// NewTextReader returns a Stream of the text twin in r; name stands for it in
// errors.
func NewTextReader(r io.Reader, name string) *TextReader {
	return &TextReader{name: name, in: bufio.NewReaderSize(r, 64<<10), pool: newPool()}
}

// Meta returns the metadata read so far.
func (r *TextReader) Meta() Meta { return r.meta }

// Next overwrites ev with the event of the next line.
func (r *TextReader) Next(ev *Event) error {
	if r.err == nil {
		r.err = r.next(ev)
	}
	return r.err
}

func (r *TextReader) next(ev *Event) error {
	for {
		line, err := r.readLine()
		if err == io.EOF {
			if r.meta.Schema == 0 {
				return fmt.Errorf("%s: %w: the file is empty; a trace begins with %q", r.name, ErrCorrupt, textMagic+"1")
			}
			if r.cut {
				r.meta.Warnings = append(r.meta.Warnings, CutWarning)
			}
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", r.name, r.line, err)
		}
		if isEvent, err := r.parseLine(line, ev); err != nil {
			if !errors.Is(err, ErrUnsupported) {
				err = fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			return fmt.Errorf("%s:%d: %w", r.name, r.line, err)
		} else if isEvent {
			return nil
		}
	}
}

// readLine returns the next line without its line break. It is valid until the
// next call.
func (r *TextReader) readLine() ([]byte, error) {
	r.line++
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.long)+len(part) > TextLineMax {
			return nil, fmt.Errorf("%w: the line is longer than TextLineMax, %d bytes; is this a text trace?", ErrCorrupt, TextLineMax)
		}
		if err == bufio.ErrBufferFull {
			r.long = append(r.long, part...)
			continue
		}
		if len(r.long) > 0 {
			r.long = append(r.long, part...)
			part = r.long
		}
		if err == io.EOF && len(part) > 0 {
			err = nil
			r.cut = true
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(part, []byte("\n")), []byte("\r")), err
	}
}

// parseLine parses one line, and reports whether it held an event.
func (r *TextReader) parseLine(line []byte, ev *Event) (bool, error) {
	if r.meta.Schema == 0 && !bytes.HasPrefix(line, []byte(textMagic)) {
		return false, fmt.Errorf("found %q where a trace begins with %q", clip(line), textMagic+"1")
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return false, nil
	}
	if line[0] == '#' {
		return false, r.parseMeta(string(line))
	}
	if err := parseText(line, ev, r.rows, r.pool); err != nil {
		return false, err
	}
	if len(r.pool.strings) > poolMax || len(r.pool.stacks) > poolMax {
		r.pool = newPool()
	}
	r.rows++
	return true, r.seq.follow(ev)
}

// parseMeta parses a line of metadata.
func (r *TextReader) parseMeta(line string) (err error) {
	key, value, _ := strings.Cut(strings.TrimPrefix(line[1:], " "), " ")
	switch key {
	case "replay-trace":
		if value != strconv.Itoa(Schema) {
			return fmt.Errorf("%w: schema %q, and this version reads %d; use the replay that wrote it", ErrUnsupported, clip(value), Schema)
		}
		r.meta = Meta{Schema: Schema}
	case "clock":
		r.meta.Clock, err = unquoteWord(value)
	case "kernel":
		r.meta.Kernel, err = unquoteWord(value)
	case "arch":
		r.meta.Arch, err = unquoteWord(value)
	case "cpus":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 31)
		r.meta.CPUs = int(n)
	case "lost":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 63)
		r.meta.Lost = int64(n)
	case "source":
		var s Source
		err = json.Unmarshal([]byte(value), &s)
		r.meta.Sources = append(r.meta.Sources, s)
	case "warning":
		var s string
		s, err = strconv.Unquote(value)
		r.meta.Warnings = append(r.meta.Warnings, s)
	case "recorded":
		var s string
		s, err = unquoteWord(value)
		r.meta.Recorded = append(r.meta.Recorded, s)
	case "unknown":
		var u Unknown
		err = json.Unmarshal([]byte(value), &u)
		r.meta.Unknown = append(r.meta.Unknown, u)
	default:
		return fmt.Errorf("%q is no metadata; known are replay-trace, clock, cpus, kernel, arch, source, lost, warning, recorded and unknown", clip(key))
	}
	if err != nil {
		return fmt.Errorf("metadata %s %q: %w", key, clip(value), err)
	}
	return nil
}

func unquoteWord(s string) (string, error) {
	if strings.HasPrefix(s, `"`) {
		return strconv.Unquote(s)
	}
	return s, nil
}

// ParseText overwrites ev with the event of a line that FormatText has written.
func ParseText(line string, ev *Event) error {
	return parseText([]byte(line), ev, 0, newPool())
}

// parseText parses the line of an event whose seq is row where the line does not
// tell it. Strings come from the pool.
func parseText(line []byte, ev *Event, row int64, pool *pool) (err error) {
	*ev = Event{Seq: row}
	p := textParser{rest: line, pool: pool}
	word := p.word()
	if ev.Time, err = strconv.ParseInt(string(word), 10, 64); err != nil {
		return fmt.Errorf("found %q where time_ns is expected, a number of nanoseconds", clip(word))
	}
	word = p.word()
	if ev.Kind, err = ParseKind(string(word)); err != nil {
		return err
	}
	seen := Columns(0)
	for hasSeq := false; p.skipSpace(); {
		name, ok := p.name()
		if !ok {
			return fmt.Errorf("found %q where column=value is expected", clip(p.rest))
		}
		if string(name) == "seq" && !hasSeq {
			hasSeq = true
			ev.Seq, err = strconv.ParseInt(string(p.word()), 10, 64)
			if err != nil {
				return errors.New("seq is no number")
			}
			continue
		}
		c := nullable[string(name)]
		if c == nil {
			return fmt.Errorf("%q is no column that may be named here", clip(name))
		}
		if seen&c.bit != 0 {
			return fmt.Errorf("column %s comes twice", c.name)
		}
		seen |= c.bit
		if err := p.value(c, ev); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		ev.Has |= c.bit
	}
	return nil
}

// nullable is the columns that a line may name.
var nullable = func() map[string]*column {
	m := map[string]*column{}
	for i := range columns {
		if columns[i].bit != 0 {
			m[columns[i].name] = &columns[i]
		}
	}
	return m
}()

// textParser takes an event's line apart from the left.
type textParser struct {
	rest []byte
	pool *pool
	ids  []int32
}

// skipSpace skips blanks and reports whether anything follows.
func (p *textParser) skipSpace() bool {
	p.rest = bytes.TrimLeft(p.rest, " \t")
	return len(p.rest) > 0
}

// word takes everything up to the next blank.
func (p *textParser) word() []byte {
	p.skipSpace()
	end := 0
	for end < len(p.rest) && p.rest[end] != ' ' && p.rest[end] != '\t' {
		end++
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

// name takes the name before an equals sign, and the sign.
func (p *textParser) name() ([]byte, bool) {
	name, rest, ok := bytes.Cut(p.rest, []byte("="))
	if ok = ok && len(name) > 0; ok {
		p.rest = rest
	}
	return name, ok
}

// value takes the value of column c into ev.
func (p *textParser) value(c *column, ev *Event) (err error) {
	if c.text != nil {
		*c.text(ev), err = p.text()
		return err
	}
	if c.stack != nil {
		*c.stack(ev), err = p.stack()
		return err
	}
	word := string(p.word())
	switch {
	case c.i32 != nil:
		var n int64
		n, err = strconv.ParseInt(word, 0, 32)
		*c.i32(ev) = int32(n)
	case c.i64 != nil:
		*c.i64(ev), err = strconv.ParseInt(word, 0, 64)
	case c.u64 != nil:
		*c.u64(ev), err = strconv.ParseUint(word, 0, 64)
	default:
		*c.flag(ev) = word == "true"
		if word != "true" && word != "false" {
			err = strconv.ErrSyntax
		}
	}
	if err != nil {
		return fmt.Errorf("%q is no %s", clip(word), c.typeName())
	}
	return nil
}

// text takes a string, quoted or a word.
func (p *textParser) text() (string, error) {
	if len(p.rest) == 0 || p.rest[0] != '"' {
		return p.pool.strings[p.pool.id(p.word())], nil
	}
	id, err := p.quoted()
	if err != nil {
		return "", err
	}
	if len(p.rest) > 0 && p.rest[0] != ' ' && p.rest[0] != '\t' {
		return "", fmt.Errorf("found %q after the closing quote", clip(p.rest))
	}
	return p.pool.strings[id], nil
}

// quoted takes a quoted string and returns its id in the pool.
func (p *textParser) quoted() (int32, error) {
	if len(p.rest) == 0 || p.rest[0] != '"' {
		return 0, fmt.Errorf("found %q where a quoted string is expected", clip(p.rest))
	}
	if n := plainQuoted(p.rest); n > 0 {
		id := p.pool.id(p.rest[1 : n-1])
		p.rest = p.rest[n:]
		return id, nil
	}
	quoted, err := strconv.QuotedPrefix(string(p.rest))
	if err != nil {
		return 0, fmt.Errorf("%q is no quoted string", clip(p.rest))
	}
	s, err := strconv.Unquote(quoted)
	if err != nil {
		return 0, fmt.Errorf("%q is no quoted string", clip(quoted))
	}
	p.rest = p.rest[len(quoted):]
	return p.pool.id([]byte(s)), nil
}

// plainQuoted returns the length of the quoted string that b begins with when it
// is ASCII without escapes, as nearly all are, and 0 when it is not.
func plainQuoted(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ' || c > '~' || c == '\\':
			return 0
		}
	}
	return 0
}

// stack takes a list of quoted strings in brackets.
func (p *textParser) stack() ([]string, error) {
	if len(p.rest) == 0 || p.rest[0] != '[' {
		return nil, fmt.Errorf(`found %q where a list like ["leaf","caller"] is expected`, clip(p.rest))
	}
	p.rest = p.rest[1:]
	p.ids = p.ids[:0]
	if len(p.rest) > 0 && p.rest[0] == ']' {
		p.rest = p.rest[1:]
		return nil, nil
	}
	for {
		id, err := p.quoted()
		if err != nil {
			return nil, err
		}
		p.ids = append(p.ids, id)
		if len(p.rest) == 0 || p.rest[0] != ',' {
			break
		}
		p.rest = p.rest[1:]
	}
	if len(p.rest) == 0 || p.rest[0] != ']' {
		return nil, fmt.Errorf("found %q where the list goes on with , or ends with ]", clip(p.rest))
	}
	p.rest = p.rest[1:]
	return p.pool.stack(p.ids), nil
}

// clip shortens what an error quotes.
func clip[T string | []byte](s T) string {
	const most = 60
	if len(s) > most {
		return string(s[:most]) + "..."
	}
	return string(s)
}
