package bpftrace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/replay/replay/ingest/lines"
)

// documents are the lines that bpftrace -f json printed: each is a JSON document,
// and the text of its printf documents makes lines again. Its messages come as they
// stand in text.
type documents struct {
	lines  *lines.Reader
	unused map[string]int64 // documents of other types
	text   []byte           // from at on, what is printed and not used
	at     int
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
	Count *int64
	Msg   string
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
				return nil, nil
			}
			d.text = d.text[:before]
		}
	}
	var v document
	if err := json.Unmarshal(doc, &v); err != nil {
		return nil, d.loose(doc, err)
	}
	switch v.Type {
	case "printf", "time", "cat", "join", "syscall":
		var text string
		if err := json.Unmarshal(v.Data, &text); err != nil {
			return nil, d.Bad(doc, "a string as the data of "+v.Type)
		}
		d.text = append(d.text, text...)
		if v.Type == "join" || v.Type == "syscall" {
			d.text = append(d.text, '\n')
		}
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
		return append([]byte("ERROR: "), v.Msg...), nil
	case "":
		return nil, d.Bad(doc, `a document with "type", as bpftrace -f json prints`)
	}
	d.unused["JSON documents of type "+v.Type]++
	return nil, nil
}

// count reads {"data": {"events": N}} or {"count": N}.
func (v *document) count(name string) (int64, error) {
	if v.Count != nil && *v.Count >= 0 {
		return *v.Count, nil
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

// looseDocument is a document whose data is not quoted as JSON wants it, which
// bpftrace prints for strings within other values (bpftrace issue 2920).
var looseDocument = regexp.MustCompile(`^\{"type": ?"([a-z_]+)", ?"data": ?(.*)\}$`)

// loose takes what is no JSON.
func (d *documents) loose(doc []byte, cause error) error {
	m := looseDocument.FindSubmatch(doc)
	switch {
	case m == nil:
		return d.Bad(doc, fmt.Sprintf("a JSON document (%v)", cause))
	case string(m[1]) == "printf":
		text := bytes.TrimSuffix(bytes.TrimPrefix(m[2], []byte{'"'}), []byte{'"'})
		d.text = append(bytes.ReplaceAll(append(d.text, text...), []byte(`\n`), []byte{'\n'}), '\n')
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
		case '"', '\\', '/':
			text = append(text, c)
		case 'u':
			if i+6 > len(b) {
				return text, false
			}
			n, err := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
			if err != nil {
				return text, false
			}
			text = utf8.AppendRune(text, rune(n))
			b = b[i+6:]
			continue
		default:
			return text, false
		}
		b = b[i+2:]
	}
}
