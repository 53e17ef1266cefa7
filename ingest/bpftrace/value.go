package bpftrace

import "bytes"

// appendString appends the content of a JSON string.
func appendString(text, b []byte) ([]byte, bool) {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return text, false
	}
	return unquote(text, b[1:len(b)-1])
}

// depthMax bounds how deep a value is nested.
const depthMax = 100

// appendValue appends a value in JSON as bpftrace prints it in text: a tuple as
// (A, B), a record as { .name = A }, a string without quotes. A tuple and an array
// look the same in JSON; print takes tuples for the most part.
func appendValue(text, b []byte) ([]byte, bool) {
	text, rest, ok := oneValue(text, b, depthMax)
	return text, ok && len(bytes.TrimSpace(rest)) == 0
}

func oneValue(text, b []byte, depth int) (out, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, " \t\r\n")
	switch {
	case len(b) == 0 || depth == 0:
		return text, b, false
	case b[0] == '"':
		end := stringEnd(b)
		if end < 0 {
			return text, b, false
		}
		text, ok = unquote(text, b[1:end])
		return text, b[end+1:], ok
	case b[0] == '[':
		return list(text, b, depth, "(", ")")
	case b[0] == '{':
		return list(text, b, depth, "{ ", " }")
	}
	end := bytes.IndexAny(b, ",]} \t\r\n")
	if end < 0 {
		end = len(b)
	}
	return append(text, b[:end]...), b[end:], end > 0
}

// list appends what stands in brackets, with names in braces.
func list(text, b []byte, depth int, open, end string) (out, rest []byte, ok bool) {
	last := b[0] + 2 // ] and } come two after [ and {
	text = append(text, open...)
	for n := 0; ; n++ {
		b = bytes.TrimLeft(b[1:], " \t\r\n")
		if n == 0 && len(b) > 0 && b[0] == last {
			return append(text, end...), b[1:], true
		}
		if n > 0 {
			text = append(text, ", "...)
		}
		if last == '}' {
			text = append(text, '.')
			if text, b, ok = oneValue(text, b, 1); !ok {
				return text, b, false
			}
			b = bytes.TrimLeft(b, " \t\r\n")
			if len(b) == 0 || b[0] != ':' {
				return text, b, false
			}
			text, b = append(text, " = "...), b[1:]
		}
		if text, b, ok = oneValue(text, b, depth-1); !ok {
			return text, b, false
		}
		b = bytes.TrimLeft(b, " \t\r\n")
		switch {
		case len(b) > 0 && b[0] == last:
			return append(text, end...), b[1:], true
		case len(b) == 0 || b[0] != ',':
			return text, b, false
		}
	}
}

// stringEnd is where the string ends that b begins with, -1 for nowhere.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// looseValue is a value in which strings have no quotes, as bpftrace prints it in
// text. A comma is between two values where a number is before it; any other may be
// of a name.
func looseValue(b []byte) []byte {
	inner, ok := bytes.CutPrefix(b, []byte{'['})
	if !ok || !bytes.HasSuffix(inner, []byte{']'}) {
		return b
	}
	text := []byte{'('}
	for inner = inner[:len(inner)-1]; ; {
		item, rest, more := bytes.Cut(inner, []byte{','})
		if _, number := parseNumber(item); !more || !number {
			break
		}
		text = append(append(text, item...), ", "...)
		inner = bytes.TrimLeft(rest, " ")
	}
	return append(append(text, inner...), ')')
}
