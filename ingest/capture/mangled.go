package capture

import (
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// inSource returns the symbols of functions that the source calls name, in C++ or
// Rust: ns::A::f(int), or ns::A::f without its parameters, or without those of a
// template.
func inSource(symbols []symbol, name string) []symbol {
	part := lastWord(name)
	if part == "" {
		return nil
	}
	var found []symbol
	for _, s := range symbols {
		// Few symbols get as far as this: a mangled name has the words of the source.
		if !strings.Contains(s.name, part) {
			continue
		}
		for _, options := range spellings {
			if source, err := demangle.ToString(s.name, options...); err == nil && unspaced(source) == unspaced(name) {
				found = append(found, s)
				break
			}
		}
	}
	return found
}

// spellings are how much of a name people write.
var spellings = [][]demangle.Option{
	nil,
	{demangle.NoParams},
	{demangle.NoParams, demangle.NoTemplateParams},
}

// unspaced leaves out blanks, which tools put in different places.
func unspaced(s string) string { return strings.ReplaceAll(s, " ", "") }

// lastWord is the last word of a name before its parameters: f of ns::A<int>::f(int).
// That of an operator is of the type that it is of.
func lastWord(name string) string {
	name, _, _ = strings.Cut(name, "(")
	name, _, _ = strings.Cut(name, "operator")
	depth, end := 0, -1
	for i := len(name) - 1; i >= 0; i-- {
		switch c := name[i]; {
		case c == '>':
			depth++
		case c == '<':
			depth--
		case depth == 0 && isWord(c):
			if end < 0 {
				end = i + 1
			}
			continue
		}
		if end >= 0 {
			return name[i+1 : end]
		}
	}
	if end < 0 {
		return ""
	}
	return name[:end]
}
