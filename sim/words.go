package sim

import (
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/sim/protocol"
)

// The words of programs as the machine has them. Addresses and offsets count bytes.
// Handles are one more than what they stand for, since 0 is nothing: a file, a uprobe. That
// of a vm_area_struct is its ID, and what there is one of is here.

// vmaReader is what a reader adds to a VMA's lock, and vmaWriter a writer that waits.
const (
	vmaWriter = 1
	vmaReader = 2
)

func probeHandle(id mm.ProbeID) protocol.Value { return protocol.Value(id + 1) }
func probeOf(h protocol.Value) mm.ProbeID      { return mm.ProbeID(h) - 1 }

// word is what a word holds for t at this instant.
func (s *System) word(t *Task, at *protocol.Loc) protocol.Value {
	m, base := t.op.MM, t.regs[at.Base]
	switch at.Field {
	case protocol.MMSeq:
		return m.seq
	case protocol.Slot:
		w := &t.walk
		w.vma, _ = m.Space.Find(t.regs[at.Index])
		w.version = m.Space.Version()
		return protocol.Value(w.vma.ID)
	case protocol.VMALockSeq:
		return m.vma(t.walk.vma.ID).lockSeq
	case protocol.VMALock:
		v := m.vma(t.walk.vma.ID)
		n := protocol.Value(v.readers) * vmaReader
		if v.writer != nil {
			n += vmaWriter
		}
		return n
	case protocol.Inode:
		return base - 1 // a file has one, and the other way round
	case protocol.TreeSeq:
		return 2 * s.probes.Version()
	case protocol.RBRoot:
		return probeHandle(s.probes.Root())
	case protocol.Left, protocol.Right:
		return probeHandle(s.probes.Child(probeOf(base), at.Field == protocol.Right))
	case protocol.UprobeInode:
		file, _ := s.probes.Place(probeOf(base))
		return protocol.Value(file)
	case protocol.UprobeOffset:
		_, offset := s.probes.Place(probeOf(base))
		return offset
	case protocol.MMRoot, protocol.VMAOf:
		return here
	case protocol.VMAFlags, protocol.Opcode:
		return 1 // the trap is the proof that code is mapped there, with a breakpoint
	}
	if at.Field.KindOf() == protocol.VMA {
		return s.vmaWord(t, at.Field)
	}
	return 0 // counts and locks whose value nobody asks for
}

// vmaWord is a word of the mapping that t's lookup has found, as it is by now. A mapping
// that is gone shows what it showed: the memory is not used again before a grace period.
func (s *System) vmaWord(t *Task, f protocol.Field) protocol.Value {
	v, live := t.op.MM.Space.Now(t.walk.vma, t.walk.version)
	switch f {
	case protocol.VMAStart:
		return v.Start
	case protocol.VMAEnd:
		return v.End
	case protocol.VMAPgoff:
		return v.Pgoff
	case protocol.VMAFile:
		if v.FileBacked() {
			return protocol.Value(v.File) + 1
		}
	case protocol.VMADetached:
		if !live {
			return 1
		}
	}
	return 0
}
