package replay

import "github.com/replay/replay/traces"

// SectionModel says when a syscall holds mmap_lock for write, for traces without
// lock events. Kinds that are absent take no write lock.
type SectionModel map[string]KindModel

// KindModel is one kind of operation: its write section begins Before ns after
// the entry and takes what is left of the syscall but for After ns, at most; the
// figures in permille divide it.
type KindModel struct {
	StartPermille int64 // of the syscall's duration: from the entry to the lock
	HoldPermille  int64 // held for write
	ReadPermille  int64 // then held for read, after a downgrade
}

// modelledSection is a write section in ns: held for write from start, and then
// for read.
type modelledSection struct{ start, hold, readHold int64 }

// of places the write section of a syscall or fork.
func (m SectionModel) of(ev *traces.Event) (modelledSection, bool) {
	k, ok := m[ev.Kind.String()]
	if !ok || !takesWriteLock(ev) {
		return modelledSection{}, false
	}
	return modelledSection{
		start:    ev.Time + ev.Dur*k.StartPermille/1000,
		hold:     max(ev.Dur*k.HoldPermille/1000, 1),
		readHold: ev.Dur * k.ReadPermille / 1000,
	}, true
}

// Advice that takes mmap_lock for write, since it changes vm_flags (mm/madvise.c,
// madvise_need_mmap_write and its successor get_lock_mode).
const (
	madvNormal     = 0
	madvRandom     = 1
	madvSequential = 2
)

// writeAdvice reports whether madvise takes the lock for write.
func writeAdvice(advice int32) bool {
	switch advice {
	case madvNormal, madvRandom, madvSequential,
		10, 11, // DONTFORK, DOFORK
		12, 13, // MERGEABLE, UNMERGEABLE
		14, 15, // HUGEPAGE, NOHUGEPAGE
		16, 17, // DONTDUMP, DODUMP
		18, 19: // WIPEONFORK, KEEPONFORK
		return true
	}
	return false
}

// takesWriteLock reports whether a syscall gets as far as the write lock.
func takesWriteLock(ev *traces.Event) bool {
	switch ev.Kind {
	case traces.Madvise:
		return writeAdvice(ev.Advice)
	case traces.Brk:
		return true // brk(0) takes it too, and returns the current end
	}
	return true
}
