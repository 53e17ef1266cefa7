package traces

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
)

// JSONWriter writes a trace as one JSON document, for tools that read nothing else.
//
//	{"schema":"replay.dump/1",
//	 "meta":{"clock","cpus","kernel","arch","sources","lost","warnings","recorded","unknown"},
//	 "events":[{"time_ns","seq","kind",...},...]}
//
// An event has the columns that are not null. Numbers of 64 bits without a sign are
// strings, as in the text twin: many readers of JSON round large numbers.
type JSONWriter struct {
	w    *bufio.Writer
	line []byte
	rows int64
}

// NewJSONWriter returns a JSONWriter to w; close it when done.
func NewJSONWriter(w io.Writer) *JSONWriter {
	return &JSONWriter{w: bufio.NewWriterSize(w, 64<<10)}
}

// WriteMeta begins the document.
func (w *JSONWriter) WriteMeta(m Meta) error {
	meta, err := json.Marshal(struct {
		Clock    string    `json:"clock"`
		CPUs     int       `json:"cpus"`
		Kernel   string    `json:"kernel"`
		Arch     string    `json:"arch"`
		Sources  []Source  `json:"sources"`
		Lost     int64     `json:"lost"`
		Warnings []string  `json:"warnings"`
		Recorded []string  `json:"recorded"`
		Unknown  []Unknown `json:"unknown"`
	}{m.Clock, m.CPUs, m.Kernel, m.Arch, append([]Source{}, m.Sources...), m.Lost, append([]string{}, m.Warnings...),
		m.Recorded, append([]Unknown{}, m.Unknown...)})
	if err != nil {
		return err
	}
	w.w.WriteString(`{"schema":"replay.dump/1","meta":`)
	w.w.Write(meta)
	_, err = w.w.WriteString(`,"events":[`)
	return err
}

// Write writes ev, on a line of its own.
func (w *JSONWriter) Write(ev *Event) error {
	b := w.line[:0]
	if w.rows > 0 {
		b = append(b, ',')
	}
	w.rows++
	b = append(b, "\n{"...)
	for i := range columns {
		c := &columns[i]
		if c.bit != 0 && !ev.Got(c.bit) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, c.name...)
		b = append(b, `":`...)
		b = c.appendJSON(b, ev)
	}
	w.line = append(b, '}')
	_, err := w.w.Write(w.line)
	return err
}

// appendJSON appends the value of column c.
func (c *column) appendJSON(dst []byte, ev *Event) []byte {
	switch {
	case c.kind != nil:
		return strconv.AppendQuote(dst, c.kind(ev).String())
	case c.u64 != nil:
		return append(c.appendText(append(dst, '"'), ev), '"')
	case c.text != nil:
		return appendJSONString(dst, *c.text(ev))
	case c.stack != nil:
		dst = append(dst, '[')
		for i, frame := range *c.stack(ev) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, frame)
		}
		return append(dst, ']')
	}
	return c.appendText(dst, ev)
}

// appendJSONString appends s; bytes that are no UTF-8 become U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	b, _ := json.Marshal(s) // a string cannot fail
	return append(dst, b...)
}

// Close ends the document.
func (w *JSONWriter) Close() error {
	w.w.WriteString("\n]}\n")
	return w.w.Flush()
}
