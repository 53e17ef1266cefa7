package bpftrace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/replay/replay/ingest/lines"
)

// documents are the lines that bpftrace -f json printed: each is a JSON document,
// and the text of its printf documents makes lines again. Its messages come as they
// stand in text.
type documents struct {
	lines  *lines.Reader
	format *Format
	unused map[string]int64 // documents of other types
	text   []byte           // from at on, what is printed and not used
	at     int
	end    int  // of the line at the beginning of text that may have line breaks, or 0
	hex    bool // numbers may be hexadecimal, see count
}

// Line is the number of the document last read.
func (d *documents) Line() int64 { return d.lines.Line() }

// Position is how many bytes are read.
func (d *documents) Position() int64 { return d.lines.Position() }

// Cut reports whether the document last read has no end.
func (d *documents) Cut() bool { return d.lines.Cut() }

// Bad is the error for a line of the document last read.
func (d *documents) Bad(line []byte, want string) error { return d.lines.Bad(line, want) }

// textMax bounds the text of one line that several documents print.
const textMax = 1 << 16

// Next returns the next line without its end, valid until the next call.
func (d *documents) Next() ([]byte, error) {
	for {
		if line := d.text[:d.end]; len(line) > 0 {
			d.at, d.end = d.end+1, 0
			return line, nil
		}
		if i := bytes.IndexByte(d.text[d.at:], '\n'); i >= 0 {
			line := d.text[d.at : d.at+i]
			d.at += i + 1
			return line, nil
		}
		d.text = append(d.text[:0], d.text[d.at:]...)
		d.at = 0
		if len(d.text) > textMax {
			bad := d.Bad(d.text, fmt.Sprintf("a line of at most %d bytes", textMax))
			d.text = d.text[:0]
			return nil, bad
		}
		doc, err := d.lines.Next()
		if errors.Is(err, io.EOF) && len(d.text) > 0 {
			d.at = len(d.text)
			return d.text, nil
		}
		if err != nil {
			return nil, err
		}
		if line, err := d.take(doc); line != nil || err != nil {
			return line, err
		}
	}
}

// document is what bpftrace prints for one event (src/output/json.cpp).
type document struct {
	Type string `json:"type"`
	Data json.RawMessage
	// Count is of late in place of data, and in versions between besides it.
	Count   json.RawMessage
	Msg     string
	Helper  string
	Retcode int64
	Line    int64 // in the script
	Col     int64
}

// printfBegin begins nearly all documents.
var printfBegin = []byte(`{"type": "printf", "data": "`)

// take reads one document: the text is added to what is printed, a message is
// returned as a line.
func (d *documents) take(doc []byte) ([]byte, error) {
	if len(doc) == 0 {
		return nil, nil
	}
	if doc[0] != '{' {
		return doc, nil // put in front by the capture, or of the program itself
	}
	if text, ok := bytes.CutPrefix(doc, printfBegin); ok {
		if text, ok = bytes.CutSuffix(text, []byte(`"}`)); ok {
			before := len(d.text)
			if d.text, ok = unquote(d.text, text); ok {
				d.hex = d.hex || bytes.Contains(text, escape)
				d.whole(before)
				return nil, nil
			}
			d.text = d.text[:before]
		}
	}
	if m := countLine().FindSubmatch(doc); m != nil && d.hex {
		doc = fmt.Appendf(nil, `{"type": "%s", "count": "0x%s"}`, m[1], m[2])
	}
	var v document
	if err := json.Unmarshal(doc, &v); err != nil {
		return nil, d.loose(doc, err)
	}
	d.hex = d.hex || bytes.Contains(doc, escape)
	switch v.Type {
	case "printf", "time", "cat", "join", "syscall":
		before := len(d.text)
		var ok bool
		if d.text, ok = appendString(d.text, v.Data); !ok {
			d.text = d.text[:before]
			return nil, d.Bad(doc, "a string as the data of "+v.Type)
		}
		if v.Type == "join" || v.Type == "syscall" {
			d.text = append(d.text, '\n')
		}
		d.whole(before)
		return nil, nil
	case "value":
		text, ok := appendValue(nil, v.Data)
		if !ok {
			return nil, d.Bad(doc, "a value")
		}
		d.value(v.Data, text)
		return nil, nil
	case "lost_events":
		n, err := v.count("events")
		if err != nil {
			return nil, d.Bad(doc, "a number of lost events")
		}
		return fmt.Appendf(nil, "Lost %d events", n), nil
	case "attached_probes":
		n, err := v.count("probes")
		if err != nil {
			return nil, d.Bad(doc, "a number of attached probes")
		}
		return fmt.Appendf(nil, "Attached %d probes", n), nil
	case "helper_error", "runtime_error", "print_error":
		if v.Msg == "" {
			v.Msg = fmt.Sprintf("%s failed: %d", v.Helper, v.Retcode)
		}
		if v.Line > 0 {
			v.Msg = fmt.Sprintf("%d:%d: %s", v.Line, v.Col, v.Msg)
		}
		return append([]byte("ERROR: "), strings.ReplaceAll(v.Msg, "\n", "; ")...), nil
	case "":
		return nil, d.Bad(doc, `a document with "type", as bpftrace -f json prints`)
	}
	d.unused["JSON documents of type "+v.Type]++
	return nil, nil
}

// countLine is a document with a count in place of data.
var countLine = lines.Pattern(`^\{"type": ?"([a-z_]+)", ?"count": ?([0-9a-f]+)\}$`)

// escape begins what makes the numbers hexadecimal, see count.
var escape = []byte(`\u`)

// count reads {"data": {"events": N}} or {"count": N}. Once bpftrace has escaped a
// character it prints the latter in hexadecimal, without a sign of that: its stream
// stays so (emit for strings and lost_events in src/output/json.cpp).
func (v *document) count(name string) (int64, error) {
	if count := bytes.Trim(v.Count, `"`); len(count) > 0 {
		n, ok := parseNumber(count)
		if !ok || int64(n) < 0 {
			return 0, errors.New("no such number")
		}
		return int64(n), nil
	}
	var data map[string]int64
	if err := json.Unmarshal(v.Data, &data); err != nil {
		return 0, err
	}
	n, ok := data[name]
	if !ok || n < 0 {
		return 0, errors.New("no such number")
	}
	return n, nil
}

// whole sees to it that the event that a document of its own prints is one line,
// though its names have line breaks: text from before on is of that document.
func (d *documents) whole(before int) {
	text := d.text[before:]
	if before > 0 || bytes.IndexByte(text, '\n') == len(text)-1 {
		return
	}
	if bytes.HasPrefix(text, prefixBytes) {
		for i := range text {
			if text[i] == '\n' && ends(text[:i], text[i+1:]) {
				d.end = i
				return
			}
		}
		return
	}
	if line := bytes.TrimSuffix(text, []byte{'\n'}); d.format != nil && len(line) < len(text) {
		if kind, _ := d.format.match(line); kind >= 0 {
			d.end = len(line)
		}
	}
}

// frameBegin is the first frame of a stack, as stack reads it.
var frameBegin = lines.Pattern(`^(\t[0-9a-f]+ |        \S.*\+[0-9]+(\n|$))`)

// ends reports whether a line of Script ended before a text: with it, with frames,
// or with another line. A name is at the end of the line and may look like nearly
// anything.
func ends(line, text []byte) bool {
	switch {
	case len(text) == 0 || frameBegin().Match(text):
		return true
	case text[0] == '\t' || bytes.HasPrefix(text, []byte("        ")):
		return !bytes.Contains(line, []byte(commField))
	}
	rest, own := bytes.CutPrefix(text, prefixBytes)
	if !own {
		return false
	}
	words := bytes.Fields(rest)
	if len(words) < 5 {
		return len(words) > 1 && slices.Contains([]string{scriptLine, machineLine, clockLine, recordedLine}, string(words[0]))
	}
	return true
}

// value adds the line of a value, as it is in text or else as it is in JSON, whichever
// the format knows. Without a format there is nothing that a value could mean.
func (d *documents) value(asJSON, text []byte) {
	if d.format == nil && !bytes.HasPrefix(text, prefixBytes) {
		d.unused["JSON documents of type value: say what they mean with --bpftrace-format"]++
		return
	}
	if d.format != nil && !d.format.knows(text) && d.format.knows(asJSON) {
		text = asJSON
	}
	before := len(d.text)
	d.text = append(append(d.text, text...), '\n')
	d.whole(before)
}

// looseDocument is a document whose data is not quoted as JSON wants it, which
// bpftrace prints for strings within other values (bpftrace issue 2920).
var looseDocument = lines.Pattern(`^\{"type": ?"([a-z_]+)", ?"data": ?(.*)\}$`)

// loose takes what is no JSON.
func (d *documents) loose(doc []byte, cause error) error {
	m := looseDocument().FindSubmatch(doc)
	switch {
	case m == nil:
		return d.Bad(doc, fmt.Sprintf("a JSON document (%v)", cause))
	case string(m[1]) == "printf":
		text := bytes.TrimSuffix(bytes.TrimPrefix(m[2], []byte{'"'}), []byte{'"'})
		d.text = append(bytes.ReplaceAll(append(d.text, text...), []byte(`\n`), []byte{'\n'}), '\n')
		return nil
	case string(m[1]) == "value":
		d.value(m[2], looseValue(m[2]))
		return nil
	}
	d.unused["JSON documents of type "+string(m[1])]++
	return nil
}

// unquote appends the content of a JSON string to text, false for what needs a
// closer look. Bytes that are no UTF-8 stay as they are: names of threads may hold
// any.
func unquote(text, b []byte) ([]byte, bool) {
	for {
		i := bytes.IndexAny(b, `\"`)
		if i < 0 {
			return append(text, b...), true
		}
		text = append(text, b[:i]...)
		if b[i] == '"' || i+1 >= len(b) {
			return text, false
		}
		switch c := b[i+1]; c {
		case 'n':
			text = append(text, '\n')
		case 't':
			text = append(text, '\t')
		case 'r':
			text = append(text, '\r')
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case '"', '\\', '/':
			text = append(text, c)
		case 'u':
			var n int
			if text, n = appendEscape(text, b[i:]); n == 0 {
				return text, false
			}
			b = b[i+n:]
			continue
		default:
			return text, false
		}
		b = b[i+2:]
	}
}

// signed is what bpftrace puts before the two digits of a byte of which char is
// negative (json_escape in src/output.cpp).
var signed = []byte(`\uffffff`)

// appendEscape appends what \uXXXX at the beginning of b stands for, and returns how
// long that is, 0 for none. Where bpftrace prints eight digits it is one byte.
func appendEscape(text, b []byte) ([]byte, int) {
	if rest, ok := bytes.CutPrefix(b, signed); ok && len(rest) >= 2 {
		if n, err := strconv.ParseUint(string(rest[:2]), 16, 8); err == nil && n >= 0x80 {
			return append(text, byte(n)), len(signed) + 2
		}
	}
	r, n := escaped(b)
	if utf16.IsSurrogate(r) {
		low, m := escaped(b[n:])
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			n += m
		}
	}
	return utf8.AppendRune(text, r), n
}

// escaped reads \uXXXX.
func escaped(b []byte) (r rune, size int) {
	const size16 = len(`\uXXXX`)
	if len(b) < size16 || b[0] != '\\' || b[1] != 'u' {
		return 0, 0
	}
	n, err := strconv.ParseUint(string(b[2:size16]), 16, 16)
	if err != nil {
		return 0, 0
	}
	return rune(n), size16
}
