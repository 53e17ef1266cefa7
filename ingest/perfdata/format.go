package perfdata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Format is the layout of a tracepoint's raw data.
type Format struct {
	System, Name string
	ID           uint64
	Fields       []Field
}

// Field is one field of a Format.
type Field struct {
	Name         string
	Type         string // as in C, such as "unsigned long"
	Offset, Size int
	Signed       bool
	Array        bool
	Dynamic      bool // __data_loc or __rel_loc: offset and length of the value stand here
}

// relative begins the type of dynamic fields whose offset counts from the field's
// end.
const relative = "__rel_loc "

// Field returns the field of that name, or nil.
func (f *Format) Field(name string) *Field {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// Uint is the field's number in raw, sign-extended to 64 bits where it is
// signed; false when raw is too short or the field no number.
func (f *Field) Uint(raw []byte) (uint64, bool) {
	if f.Offset+f.Size > len(raw) || f.Array || f.Dynamic {
		return 0, false
	}
	b := raw[f.Offset:]
	le := binary.LittleEndian
	switch f.Size {
	case 8:
		return le.Uint64(b), true
	case 4:
		if f.Signed {
			return uint64(int64(int32(le.Uint32(b)))), true
		}
		return uint64(le.Uint32(b)), true
	case 2:
		if f.Signed {
			return uint64(int64(int16(le.Uint16(b)))), true
		}
		return uint64(le.Uint16(b)), true
	case 1:
		if f.Signed {
			return uint64(int64(int8(b[0]))), true
		}
		return uint64(b[0]), true
	}
	return 0, false
}

// Text is the field's string in raw.
func (f *Field) Text(raw []byte) (string, bool) {
	if !f.Dynamic {
		if f.Offset+f.Size > len(raw) {
			return "", false
		}
		return string(untilNUL(raw[f.Offset : f.Offset+f.Size])), true
	}
	if f.Offset+4 > len(raw) {
		return "", false
	}
	loc := binary.LittleEndian.Uint32(raw[f.Offset:])
	at, n := int(loc&0xffff), int(loc>>16)
	if strings.HasPrefix(f.Type, relative) {
		at += f.Offset + 4
	}
	if at+n > len(raw) {
		return "", false
	}
	return string(untilNUL(raw[at : at+n])), true
}

// formatFieldsMax bounds the fields of a format; the kernel has some dozens.
const formatFieldsMax = 1024

// ParseFormat reads the text of a tracepoint's format file.
func ParseFormat(system, text string) (*Format, error) {
	f := &Format{System: system}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "name:"):
			f.Name = strings.TrimSpace(line[len("name:"):])
		case strings.HasPrefix(line, "ID:"):
			id, err := strconv.ParseUint(strings.TrimSpace(line[len("ID:"):]), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("format of %s: bad line %q", system, line)
			}
			f.ID = id
		case strings.HasPrefix(line, "field:"):
			field, err := parseField(line)
			if err != nil {
				return nil, fmt.Errorf("format of %s:%s: %w", system, f.Name, err)
			}
			if len(f.Fields) == formatFieldsMax {
				return nil, fmt.Errorf("format of %s:%s: %w: more than %d fields (formatFieldsMax)", system, f.Name, ErrLimit, formatFieldsMax)
			}
			f.Fields = append(f.Fields, field)
		case strings.HasPrefix(line, "print fmt:"):
			return f.check()
		}
	}
	return f.check()
}

func (f *Format) check() (*Format, error) {
	if f.Name == "" || len(f.Fields) == 0 {
		return nil, fmt.Errorf("format of %s: no name or no fields in it", f.System)
	}
	return f, nil
}

// fieldSizeMax bounds offsets and sizes: raw data is at most 64 KiB.
const fieldSizeMax = 1 << 16

// parseField reads a line such as
//
//	field:unsigned long addr;	offset:16;	size:8;	signed:0;
func parseField(line string) (Field, error) {
	var f Field
	for part := range strings.SplitSeq(line, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), ":")
		switch key {
		case "field":
			f.declare(value)
		case "offset", "size", "signed":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > fieldSizeMax {
				return f, fmt.Errorf("bad field line %q", line)
			}
			switch key {
			case "offset":
				f.Offset = n
			case "size":
				f.Size = n
			default:
				f.Signed = n != 0
			}
		}
	}
	if f.Name == "" {
		return f, fmt.Errorf("bad field line %q", line)
	}
	return f, nil
}

// declare splits a C declaration into type and name.
func (f *Field) declare(s string) {
	f.Dynamic = strings.HasPrefix(s, "__data_loc ") || strings.HasPrefix(s, relative)
	if i := strings.IndexByte(s, '['); i >= 0 && !f.Dynamic {
		s, f.Array = s[:i], true
	}
	i := strings.LastIndexAny(s, " *")
	f.Type, f.Name = strings.TrimSpace(s[:i+1]), s[i+1:]
}

// tracingMagic begins a tracing-data section.
const tracingMagic = "\x17\x08\x44tracing"

// tracingData takes in the formats of a tracing-data section, in the order that
// trace_event_info.c writes: header page, header event, ftrace events, events by
// system.
func (r *Reader) tracingData(b []byte, offset int64) error {
	const what = "tracing data"
	c := cursor{b: b}
	at := func() int64 { return offset + int64(len(b)-len(c.b)) }
	if string(c.take(uint64(len(tracingMagic)))) != tracingMagic {
		return r.fail(offset, what, ErrCorrupt, "it does not begin with its magic; the file is damaged")
	}
	c.text() // version
	big, word := c.u8(), c.u8()
	c.u32() // page size
	if !c.short && (big != 0 || word != 8) {
		return r.fail(offset, what, ErrUnsupported, "it is of a big-endian or of a %d-bit machine; convert it there with perf script --ns and ingest the text", 8*int(word))
	}
	for range 2 { // header_page, header_event
		c.text()
		c.take(c.u64())
	}
	for range c.count() { // ftrace's own events are not recorded by perf
		c.take(c.u64())
	}
	for range c.count() {
		system := c.text()
		for range c.count() {
			start := at()
			text := c.take(c.u64())
			if c.short {
				break
			}
			f, err := ParseFormat(system, string(text))
			if err != nil {
				kind := ErrCorrupt
				if errors.Is(err, ErrLimit) {
					kind = ErrLimit
				}
				return r.fail(start, what, kind, "%v; the file is damaged", err)
			}
			r.formats[f.ID] = f
		}
	}
	if c.short {
		return r.fail(offset, what, ErrTruncated, "it ends in the middle of the events' formats, after %d of them; the file is damaged", len(r.formats))
	}
	return nil
}
