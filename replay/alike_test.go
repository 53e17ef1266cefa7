package replay

import (
	"strings"
	"testing"
)

// TestSaysWhatIsTimedAlike: only where both are there to be compared.
func TestSaysWhatIsTimedAlike(t *testing.T) {
	for _, c := range []struct {
		resolvers []string
		want      int
	}{
		{[]string{"locked", "speculative", "speculative-merged"}, 0}, {[]string{"speculative-v1", "locked"}, 0},
		{[]string{"speculative-merged", "speculative-v1"}, 1},
	} {
		got := alike(c.resolvers)
		if len(got) != c.want || c.want == 1 && !strings.Contains(got[0], "speculative-v1 reads the same lines as speculative-merged") {
			t.Errorf("%v: %q", c.resolvers, got)
		}
	}
}
