package replay

import (
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// SectionModel says when a syscall holds mmap_lock for write, for traces without
// lock events. Kinds that are absent take no write lock.
type SectionModel map[string]KindModel

// KindModel is one kind of operation. All are times of the syscall alone; what a
// recorder of lock events adds to its start is found on the trace, see inference.
type KindModel struct {
	Start int64 // ns from the syscall's entry to the sequence turning odd
	// Hold is ns until the sequence is even; 0: until shortly before the syscall
	// returns. What is left of the syscall after Hold has the lock for read: munmap
	// and a shrinking brk downgrade before they free pages.
	Hold int64
}

// brkShrink is the kind of a brk that gives memory back: it downgrades.
const brkShrink = "brk_shrink"

// modelledSection is a write section in ns: held for write from start, and then
// for read.
type modelledSection struct{ start, hold, readHold int64 }

func (s modelledSection) end() int64 { return s.start + s.hold }

// of places the write section of a syscall or fork. The recorder spent recording
// ns in it before the lock was tried.
func (m SectionModel) of(ev *traces.Event, kind string, exitLag, recording int64) (modelledSection, bool) {
	k, ok := m[kind]
	if !ok || !takesWriteLock(ev) {
		return modelledSection{}, false
	}
	if ev.Kind == traces.Fork {
		// The row is at the end of the copy, whose length it does not tell.
		return modelledSection{start: ev.Time - k.Start - k.Hold, hold: max(k.Hold, 1)}, true
	}
	start, end := ev.Time+k.Start+recording, ev.Time+ev.Dur-exitLag
	if end <= start {
		return modelledSection{}, false // too short to have got that far
	}
	s := modelledSection{start: start, hold: end - start}
	if k.Hold > 0 && k.Hold < s.hold {
		s.hold, s.readHold = k.Hold, s.hold-k.Hold
	}
	return s, true
}

// takesWriteLock reports whether a syscall gets as far as the write lock. madvise
// takes it to change vm_flags (mm/madvise.c, get_lock_mode).
func takesWriteLock(ev *traces.Event) bool {
	return ev.Kind != traces.Madvise || mm.ChangesFlags(ev.Advice)
}
