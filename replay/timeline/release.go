package timeline

import (
	"fmt"

	"github.com/replay/replay/traces"
)

// The first release whose lookups try without mmap_lock (find_active_uprobe_speculative in
// kernel/events/uprobes.c), if it is built with locks per VMA.
const (
	speculativeMajor = 6
	speculativeMinor = 14
)

// olderKernel reports whether a release is from before lookups tried without the lock, as
// far as its number tells: distributions take changes of later ones.
func olderKernel(release string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major < speculativeMajor || major == speculativeMajor && minor < speculativeMinor
}

// lookupsEnough is how many lookups under the lock, and next to none without, tell that a
// kernel has no others. Of a kernel that tries without, hardly a third was seen to fall back.
const lookupsEnough = 100

// TakesLock reports whether the recorded kernel takes mmap_lock for each lookup. Rows tell,
// and where they do not, its release.
func (s *Survey) TakesLock(m traces.Meta) bool {
	older := olderKernel(m.Kernel)
	nearlyAll := func(lookups int64) bool { return s.Hits > 0 && lookups*100 >= s.Hits*99 }
	switch {
	case !s.LockRows:
		return older
	case older:
		return nearlyAll(s.failed + s.undecided)
	}
	return s.Hits >= lookupsEnough && nearlyAll(s.failed)
}
