package lines

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression, which is compiled when it is first asked for:
// there are dozens of them, and most inputs need none.
func Pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
