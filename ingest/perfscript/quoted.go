package perfscript

import "bytes"

// A string that a probe fetches is printed between quotes as it is, with line breaks
// and quotes of its own (print_type_string, PRINT_TYPE_FUNC_NAME(string)). It ends at
// a quote behind which fields go on, or nothing.

// stringMax is how long a string may be (MAX_STRING_SIZE), and some for what follows.
const stringMax = 4096 + 256

// openString reports whether fields end within a string.
func openString(fields []byte) bool {
	for {
		i := bytes.IndexByte(fields, '"')
		if i < 0 {
			return false
		}
		opens := i > 0 && (fields[i-1] == '=' || fields[i-1] == '{' || fields[i-1] == ',')
		fields = fields[i+1:]
		if !opens {
			continue
		}
		end := stringEnd(fields)
		if end < 0 {
			return true
		}
		fields = fields[end+1:]
	}
}

// skipString passes over the lines that the event's string goes on in. Where no end
// comes, the quote was one in a string that ended.
func (p *Parser) skipString() {
	text := p.in.Ahead(stringMax)
	for more := 0; len(text) > 0; more++ {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		if stringEnd(line) >= 0 {
			for range more + 1 {
				if _, err := p.in.Next(); err != nil {
					p.failed = err
					return
				}
			}
			return
		}
		text = rest
	}
}

// stringEnd is where in a line the string ends that it begins with, -1 where it
// does not.
func stringEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '"')
		if i < 0 {
			return -1
		}
		at += i + 1
		if rest := b[at:]; len(rest) == 0 || rest[0] == ',' || rest[0] == '}' || rest[0] == ' ' && isField(rest[skipBlanks(rest, 0):]) {
			return at - 1
		}
	}
}

// isField reports whether text begins with name=, or with the address that perf
// script prints behind the fields of an event without a callchain.
func isField(b []byte) bool {
	word := b[:tokenEnd(b)]
	if _, ok := parseHex(word); ok {
		return true
	}
	return bytes.IndexByte(word, '=') > 0
}
