package sim

import (
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/sim/protocol"
)

// OpKind says what an operation is.
type OpKind uint8

const (
	OpHit   OpKind = iota // a uprobe hit
	OpWrite               // a section of mmap_lock held for write
	OpRead                // a section held for read, such as a page fault's
	OpApply               // a change known without any lock, such as a snapshot
)

// Ticket is an operation to come: whose, when and where. What it is the source says when
// it begins. At is for open loops, Gap for closed ones; the operation starts at the later
// of both.
type Ticket struct {
	Task *Task
	CPU  int32 // where; -1: where the thread was
	Due  Time  // when the source may hand it out; does not decrease
	// Until is a time after which no operation of the thread is due.
	Until Time
	At    Time // not before
	Gap   Time // not before this long after the thread's operation before
}

// Op is one thing that a thread does.
type Op struct {
	Task *Task // from its ticket, as is At
	Kind OpKind
	// Label is the caller's own, below MaxLabels: LinePairs tells operations apart by it.
	Label uint8
	At    Time
	Tag   any // the caller's own; it comes back in records and as blame
	MM    *MM

	// Repeat issues the operation again, the Gap of its ticket after its end, until the
	// thread has another one.
	Repeat bool

	Addr uint64 // hit: the probed address
	// Trampoline is where a hit of an optimised probe enters the kernel, by system call
	// in place of int3; 0 for int3. It looks up twice.
	Trampoline uint64
	// LookupAt is when the second of two lookups may begin: where a recording shows it.
	LookupAt Time
	// CheckCycles and LookupCycles replace the private work of a hit's lookups where the
	// caller knows better than the machine.
	CheckCycles, LookupCycles int64
	// LockDelay is spent between a refused speculation and the lock: what a
	// recorder did there.
	LockDelay Time
	// File is what is mapped at Addr, should the address space not know. The trap
	// itself is the proof that a file with a uprobe is mapped there.
	File   mm.FileID
	Offset uint64
	// Where a recording shows that the thread waited for the lock: when it had that, which it
	// has no sooner, since until then others had it, or the thread's CPU; and how long it took
	// to wake up, 0 if it did not sleep. One that slept does not spin.
	Got, Woken Time
	// Sections: the lock is held for write for Hold, which is odd time of the
	// sequence; then, if ReadHold is not 0, downgraded and held for that long.
	Hold, ReadHold Time
	Change         Change // applied in the write section, just before its end
	// Locks tells which VMAs Change will write to or remove, by ID, without making it: they
	// are write-locked from the begin of the section. Without it, Change is tried.
	Locks func(*mm.AddressSpace) []uint32
}

// Change is what an operation does to an address space: nil for nothing.
type Change func(*mm.AddressSpace) mm.Effect

// Section is a finished hold of mmap_lock. It is reused: copy what must last.
type Section struct {
	Op        Op
	CPU       int32
	Requested Time
	Acquired  Time // the sequence is odd from here
	Even      Time // the sequence is even again
	Released  Time
}

// Lookup is how one lookup of a hit went.
type Lookup struct {
	Outcome  Outcome
	Wrong    bool // what was found without the lock was there at no instant of the lookup
	Start    Time
	Sampled  Time // speculation: the sequence was read at the begin
	Checked  Time // speculation: the sequence was compared at the end
	LockAt   Time // the locked path began; 0 without one
	Woken    Time // it slept for mmap_lock until then; 0 if it did not
	Acquired Time // mmap_lock was got; 0 without
	Answered Time
	Parts    Parts // but Handler
	Blame    any   // tag of the section that spoiled the speculation or kept the lock, or nil
}

// HitRecord is a finished hit. It is reused, and so is what Op points to: copy what must last.
type HitRecord struct {
	Op        *Op
	CPU       int32
	Outcome   Outcome // the row of the ledger: that of Deciding
	Found     bool    // there was a uprobe
	Trap      Time
	Check     Lookup // of the trampoline; Answered is 0 for a hit by int3
	Lookup    Lookup // of the uprobe
	End       Time
	Parts     Parts // of both lookups, and Handler
	Transfers int64
	Inferred  bool // no mapping was known at the address
}

// Optimised reports whether the hit came by system call, and looked up twice.
func (h *HitRecord) Optimised() bool { return h.Op.Trampoline != 0 }

// Deciding is the lookup that the hit's row of the ledger is of: that of the uprobe,
// unless it was lockless and the one of the trampoline was not.
func (h *HitRecord) Deciding() *Lookup {
	if h.Lookup.Outcome == Lockless && h.Check.Outcome != Lockless {
		return &h.Check
	}
	return &h.Lookup
}

// begin starts t.op.
func (s *System) begin(t *Task) {
	s.queued--
	s.begun++
	s.do(t)
}

func (s *System) do(t *Task) {
	switch t.op.Kind {
	case OpHit:
		beginHit(s, t)
	case OpWrite:
		if s.wasInTheWay(t) {
			return
		}
		t.section = Section{Op: t.op, CPU: t.cpu, Requested: s.now}
		t.walk = walk{resolver: &noResolver}
		t.regs[protocol.RegMM] = here
		s.perform(t, s.resolver.begin, sectionBegun)
	case OpRead:
		if s.wasInTheWay(t) {
			return
		}
		t.section = Section{Op: t.op, CPU: t.cpu, Requested: s.now}
		s.downRead(t, t.op.MM, beginRead)
	case OpApply:
		if t.op.Change != nil {
			s.disturb(t.op.MM)
			t.op.MM.applied = s.now
			t.op.Change(t.op.MM.Space)
		}
		s.finish(t)
	}
}

// wasInTheWay reports whether a section comes when it was had, since who had the lock when
// it was asked for, in the recording, has not got it here.
func (s *System) wasInTheWay(t *Task) bool {
	r := &t.op.MM.sem
	if t.op.Got <= s.now || !r.free() || len(r.waiters) > 0 {
		return false
	}
	t.next = beginAgain
	s.runAt(t, t.op.Got)
	return true
}

func beginAgain(s *System, t *Task) {
	t.op.Got = 0
	s.do(t)
}

// noResolver is that of a plan that is no lookup.
var noResolver Resolver

// sectionBegins is a section that has mmap_lock.
func (s *System) sectionBegins(t *Task) {
	t.op.MM.writer = t.op.Tag
	t.section.Acquired = s.now
	advance(s, t)
}

// sectionBegun is a section whose lookups are told of it. The store's own time is part of
// the section's recorded length.
func sectionBegun(s *System, t *Task) {
	if t.locked = 0; s.vmaLocks && t.op.Change != nil {
		lockVMAs(s, t)
		return
	}
	holdWrite(s, t)
}

func holdWrite(s *System, t *Task) {
	s.delay(t, max(t.section.Acquired+t.op.Hold+t.locked-s.now, 0), endWrite)
}

// lockVMAs is vma_start_write for each VMA that the section will change.
func lockVMAs(s *System, t *Task) {
	space := t.op.MM.Space
	if t.op.Locks != nil {
		t.vmas = t.op.Locks(space)
	} else {
		t.vmas = space.Try(func(space *mm.AddressSpace) { t.op.Change(space) })
	}
	t.version = space.Version()
	nextVMA(s, t)
}

// nextVMA write-locks t.vmas, one after the other: no reader gets in any more, and those
// that are in are waited for (__vma_enter_locked). The stores are part of the section's
// recorded length; the wait, for lookups that the recording did not have, is not.
func nextVMA(s *System, t *Task) {
	m := t.op.MM
	for ; len(t.vmas) > 0; t.vmas = t.vmas[1:] {
		v := m.vma(t.vmas[0])
		if v.writer == nil {
			v.writer, t.since = t, s.now
			s.invalidate(t, &v.lock)
			if v.readers > 0 {
				t.next = sleepForReaders
				s.delayCycles(t, s.machine.Lock.SleepCycles/2)
				return
			}
		}
		t.locked += s.now - t.since
		s.disturb(m) // who looks at the VMA's sequence
		m.vmasLocked++
		v.writer, v.lockSeq = nil, m.seq
		s.invalidate(t, &v.head)
	}
	holdWrite(s, t)
}

// sleepForReaders takes a writer off its CPU until the last reader of a VMA wakes it,
// unless that was before.
func sleepForReaders(s *System, t *Task) {
	if t.op.MM.vma(t.vmas[0]).readers == 0 {
		backFromReaders(s, t)
		return
	}
	t.next = backFromReaders
	s.leave(t, asleep)
	s.ownerLeft(t.op.MM)
}

func backFromReaders(s *System, t *Task) {
	t.next = nextVMA
	s.delayCycles(t, s.machine.Lock.SleepCycles/2)
}

// bump stores the sequence.
func (s *System) bump(t *Task, m *MM, to uint64) {
	s.disturb(m)
	m.seq = to
	t.section.Even = s.now
	s.fold(uint64(s.now), uint64(m.ID), m.seq)
}

// endWrite is the end of what a section does: its operation, and the sequence, which is even
// before the lock is released or downgraded (vma_end_write_all).
func endWrite(s *System, t *Task) {
	t.section.Even = s.now
	if t.op.ReadHold > 0 {
		s.perform(t, s.resolver.downgrade, holdRead)
		return
	}
	s.perform(t, s.resolver.end, endSection)
}

// commit applies the change of t's section.
func (s *System) commit(t *Task) {
	m := t.op.MM
	if t.op.Change == nil {
		return
	}
	s.disturb(m)
	if s.vmaLocks && m.Space.Version() != t.version {
		m.applied = s.now // a mapping became known meanwhile, that was not locked
	}
	s.dirty(t, m, t.op.Change(m.Space))
}

// dirty takes the lines that a change wrote from whoever reads them: the root
// and leaves of the tree, and line 0 of each VMA. That they are write-locked nobody can
// see any more who did not before: the sequence is bumped in the same instant.
func (s *System) dirty(t *Task, m *MM, e mm.Effect) {
	if e.None() {
		return
	}
	s.invalidate(t, &m.root)
	for _, leaf := range m.leaves {
		if leaf != nil {
			s.invalidate(t, leaf)
		}
	}
	for _, id := range e.Written {
		s.invalidate(t, &m.vma(id).head)
	}
}

// invalidate makes t's core the only one that has l. The stores are part of the
// section's recorded length, so they take no further time. Who flies was disturbed by what
// the section did before.
func (s *System) invalidate(t *Task, l *line) {
	if !l.busy {
		s.own(l, t.cpu, store, t.op.Label)
	}
}

func beginRead(s *System, t *Task) {
	t.section.Acquired = s.now
	holdRead(s, t)
}

func holdRead(s *System, t *Task) { s.delay(t, t.op.ReadHold, endRead) }

func endRead(s *System, t *Task) { s.upRead(t, t.op.MM, endSection) }

func endSection(s *System, t *Task) {
	s.observer.Section(&t.section)
	s.finish(t)
}
