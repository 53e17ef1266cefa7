package timeline

import (
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// What a return probe does at the function's entry is a lookup, too, that its own rows
// do not show: once for a function, and not where its entry is recorded.
func TestReturnsTellOfLookups(t *testing.T) {
	for name, test := range map[string]struct {
		rows string
		want int64
	}{
		"alone":                {"ret 10 g:r|ret 10 g:r", 2},
		"with the entry":       {"hit 10 g:f|ret 10 g:r|hit 10 g:f|ret 10 g:r", 0},
		"of another":           {"hit 20 g:f|ret 10 g:r", 1},
		"two on a function":    {"ret 10 g:r|ret 10 g:r_again", 1},
		"two functions":        {"ret 10 g:r|ret 30 g:r", 2},
		"the entry is later":   {"ret 10 g:r|hit 10 g:f", 0},
		"entries of one probe": {"hit 10 g:f|hit 20 g:f|ret 20 g:r|ret 10 g:r|ret 30 g:r", 1},
		"entries in turns":     {"hit 10 g:f|hit 20 g:g|hit 10 g:g|hit 40 g:g|ret 20 g:r|ret 40 g:r|ret 10 g:r", 0},
	} {
		var c eventCount
		for _, row := range strings.Split(test.rows, "|") {
			f := strings.Fields(row)
			kind, err := traces.ParseKind(f[0])
			if err != nil {
				t.Fatal(err)
			}
			c.add(&traces.Event{Kind: kind, Addr: uint64(f[1][0]), Probe: f[2]})
		}
		c.flush()
		if got := c.unseen(); got != test.want {
			t.Errorf("%s: %d lookups unseen, want %d", name, got, test.want)
		}
	}
}
