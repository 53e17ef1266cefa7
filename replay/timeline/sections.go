package timeline

import (
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// modelSection is a write section in ns: held for write from start, and then
// for read. Its thread had waited for it for so long, of that since it was let in.
type modelSection struct{ start, hold, readHold, wait, woken int64 }

func (s modelSection) end() int64 { return s.start + s.hold }

// callSection is the write section of a syscall, before it is known what
// recording cost in it. Times are ns.
type callSection struct {
	base  int64 // the section begins here if recording cost nothing
	limit int64 // and ends here at the latest
	after int64 // another thread of the process had the lock until then, or 0
	hold  int64 // or after so long, then for read until limit; 0: no such end
	kind  string
	tid   int32
	seq   int64 // of its row
	entry int64 // its time

	// Where calls queue (callOrder): others of the process were in the kernel meanwhile; it
	// came first of these; it passed one of them; and how long one has the lock that is alone,
	// 0 where that is not known.
	shared, first, passed bool
	whole                 int64
}

// callOf finds the write section of a syscall, false if it takes no write lock.
func callOf(m machines.SectionModel, ev *traces.Event, kind string, exitLag int64) (callSection, bool) {
	k, ok := m[kind]
	if !ok || !takesWriteLock(ev) {
		return callSection{}, false
	}
	c := callSection{base: ev.Time + k.Start, limit: ev.Time + ev.Dur - exitLag, hold: k.Hold, kind: kind, tid: ev.TID, seq: ev.Seq, entry: ev.Time}
	return c, c.limit > c.base
}

// turns tells which calls had to wait for each other. It has the ends of the latest
// calls of each process.
type turns map[int32][]callSection

// turnsKept is how many calls of a process are looked at.
const turnsKept = 8

// take notes the next call of a process, in order of their entries. It had to wait for
// those of other threads that were in the kernel before it and left before it: each
// has the lock, at last for read, until shortly before it returns.
func (t turns) take(pid int32, c *callSection) {
	of := t[pid]
	for i := range of {
		if o := &of[i]; o.tid != c.tid && o.limit > c.base && o.limit < c.limit {
			c.after = max(c.after, o.limit)
		}
	}
	if len(of) == turnsKept {
		of = append(of[:0], of[1:]...)
	}
	t[pid] = append(of, *c)
}

// sectionOffset is where the sections of one kind lie, as a trace shows it, in ns:
// recording is what the recorder spent in the call before the lock was tried, hold
// is how long the lock was held for write, 0 for what the model says, to which inside
// is added for what the recorder spent meanwhile.
// whole is how long a call has the lock in all, 0 where that is not known.
type sectionOffset struct{ recording, hold, inside, whole int64 }

// holdMin is the least time of a section, in ns: a call too short for what recording
// usually costs had less of that.
const holdMin = 1000

// wokenMost is how long after the lock was let go of a waiter may come to have it, in ns.
const wokenMost = 70_000

// at is the section at a place.
func (c *callSection) at(p sectionOffset) modelSection {
	start := max(c.base+p.recording, c.after)
	switch {
	case c.shared:
		if c.whole > 0 && !(c.first && c.hold > 0) {
			start = max(start, c.limit-max(c.whole-p.recording, holdMin))
		}
	case c.after > 0 && p.whole > 0:
		// It queued, was woken, and had the lock to its end; but nobody has a lock for long
		// that others wait for: a call that takes longer had it meanwhile.
		start = max(start, min(c.limit-p.whole, c.after+wokenMost))
	}
	start = max(min(start, c.limit-holdMin), c.base)
	s := modelSection{start: start, hold: c.limit - start}
	if asked := c.base + p.recording; c.after > asked && start > asked && !c.passed {
		s.wait, s.woken = start-asked, max(start-c.after, 0)
	}
	switch {
	case c.hold > 0 && c.hold+p.inside < s.hold:
		s.readHold = s.hold - c.hold - p.inside
		s.hold -= s.readHold
	case c.hold == 0 && p.hold > 0:
		s.hold = min(p.hold, s.hold)
	}
	return s
}

// forkSection is the write section of a fork. Its row is at the end of the copy, whose
// length it does not tell.
func forkSection(m machines.SectionModel, ev *traces.Event) (modelSection, bool) {
	k, ok := m["fork"]
	return modelSection{start: ev.Time - k.Start - k.Hold, hold: max(k.Hold, 1)}, ok
}

// takesWriteLock reports whether a syscall gets as far as the write lock. madvise
// takes it to change vm_flags (mm/madvise.c, get_lock_mode).
func takesWriteLock(ev *traces.Event) bool {
	return ev.Kind != traces.Madvise || mm.ChangesFlags(ev.Advice)
}
