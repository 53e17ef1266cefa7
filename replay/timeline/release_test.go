package timeline

import (
	"testing"

	"github.com/replay/replay/traces"
)

func TestOlderKernel(t *testing.T) {
	for release, want := range map[string]bool{
		"5.15.0-91-generic": true, "6.8.0": true, "6.13.12": true, "6.13": true, "4.19.0": true,
		"6.14.0": false, "6.14-rc1": false, "6.18.44": false, "7.0.1": false, "10.1": false, "": false, "unknown": false, "6": false,
	} {
		if got := olderKernel(release); got != want {
			t.Errorf("%q: %v, want %v", release, got, want)
		}
	}
}

// Rows tell whether a kernel takes the lock for each lookup, but of few; a release tells where
// rows do not.
func TestTakesLock(t *testing.T) {
	for _, c := range []struct {
		name    string
		survey  Survey
		release string
		want    bool
	}{
		{"all of many", Survey{Hits: 100, LockRows: true, failed: 100}, "", true},
		{"all but few of many", Survey{Hits: 1000, LockRows: true, failed: 990}, "6.18.44", true},
		{"most of many", Survey{Hits: 1000, LockRows: true, failed: 989}, "", false},
		{"all of few", Survey{Hits: 99, LockRows: true, failed: 99}, "6.18.44", false},
		{"all of few, an older kernel", Survey{Hits: 3, LockRows: true, failed: 3}, "6.8.0", true},
		{"an older kernel with a later one's lookups", Survey{Hits: 1000, LockRows: true, failed: 30}, "6.8.0", false},
		{"an older kernel, without callchains", Survey{Hits: 1000, LockRows: true, undecided: 1000}, "6.8.0", true},
		{"a later kernel, without callchains", Survey{Hits: 1000, LockRows: true, undecided: 1000}, "6.18.44", false},
		{"an older kernel, no rows", Survey{Hits: 1000}, "6.8.0", true},
		{"a later kernel, no rows", Survey{Hits: 1000}, "6.18.44", false},
		{"nobody knows", Survey{Hits: 1000}, "", false},
		{"no hit", Survey{LockRows: true}, "6.8.0", false},
	} {
		if got := c.survey.TakesLock(traces.Meta{Kernel: c.release}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
