package perfscript

import (
	"bytes"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// fields reads "name: value, ..." and "name=value ..." as far as columns take it,
// or says what it wanted. A field that a kernel does not print is no mistake, but
// none at all is.
func (p *Parser) fields(r *assemble.Record, tp *assemble.Tracepoint, b []byte) (want string) {
	switch {
	case tp.Phase == assemble.Leave:
		n, ok := parseNumber(b[:tokenEnd(b)])
		if !ok {
			return wantResult
		}
		tp.Fields()[0].Set(r, n)
		return ""
	case tp.Kind == traces.Exec:
		path, ok := between(b, "filename=", " pid=")
		if !ok {
			return wantFields
		}
		r.Path = p.intern(path)
		r.Has |= traces.ColPath
		return ""
	}
	if tp.Kind == traces.Exit {
		r.GroupDead = groupDead(b)
	}
	rest := b
	any := len(tp.Fields()) == 0
	for i := range tp.Fields() {
		f := &tp.Fields()[i]
		// They come in the order of their table; where they do not, from the start.
		value, after, ok := fieldValue(rest, f.Name)
		if !ok {
			value, after, ok = fieldValue(b, f.Name)
		}
		if !ok {
			continue
		}
		n, ok := parseValue(value)
		if !ok {
			return "a number in the field " + f.Name
		}
		f.Set(r, n)
		rest, any = after, true
	}
	if !any {
		return wantFields
	}
	for _, f := range tp.Spare() {
		if value, _, ok := fieldValue(b, f.Name); ok {
			if n, ok := parseValue(value); ok {
				f.Set(r, n)
			}
		}
	}
	return ""
}

// What an event lacks that was printed without its fields.
const (
	wantFields = "the event's fields"
	wantResult = "the result of a syscall, a number"
)

// groupDead reads from an exit whether the process ends with the thread, which kernels
// tell since 6.16. The name of the thread stands in front.
func groupDead(b []byte) assemble.Truth {
	switch i := bytes.LastIndex(b, []byte(" group_dead=")); {
	case i < 0:
		return assemble.Untold
	case bytes.HasPrefix(b[i:], []byte(" group_dead=true")):
		return assemble.True
	}
	return assemble.False
}

func between(b []byte, from, to string) ([]byte, bool) {
	_, b, ok := bytes.Cut(b, []byte(from))
	if !ok {
		return nil, false
	}
	if i := bytes.LastIndex(b, []byte(to)); i >= 0 {
		return b[:i], true
	}
	return b, true
}

// fieldValue finds a field by name, at the start or after a blank, and followed by
// ": " or "=". It returns what stands behind it too.
func fieldValue(b []byte, name string) (value, rest []byte, ok bool) {
	for len(b) > len(name) {
		if string(b[:len(name)]) == name {
			switch v := b[len(name):]; {
			case v[0] == '=':
				value, rest = cutValue(v[1:])
				return value, rest, true
			case v[0] == ':' && len(v) > 1 && v[1] == ' ':
				value, rest = cutValue(v[2:])
				return value, rest, true
			}
		}
		i := bytes.IndexByte(b, ' ')
		if i < 0 {
			break
		}
		b = b[i+1:]
	}
	return nil, nil, false
}

// cutValue splits a value from the fields behind it.
func cutValue(b []byte) (value, rest []byte) {
	for i, c := range b {
		if c == ' ' {
			return b[:i], b[i+1:]
		}
		if c == ',' {
			return b[:i], b[skipBlanks(b, i+1):]
		}
	}
	return b, nil
}
