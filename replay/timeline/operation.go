package timeline

import (
	"sync/atomic"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// Operation is what a thread did, on the recording's clock: a lookup of a hit, a section
// of mmap_lock, or a change of its address space alone.
type Operation struct {
	Kind   sim.OpKind
	At     int64 // ns: a lookup's begin, a section's request, a change's time
	CPU    int32 // -1 where it is not recorded
	Thread int32 // numbered from 0 by first appearance; Mapper has one for each process
	Space  *Space
	Origin *Origin

	Hold, ReadHold int64 // ns, of a section: for write, and for read
	Wait           int64 // ns, from At to when mmap_lock was got; 0 where that is not told, see Config.Queue
	// Woken is how long after it was let in a thread went on that had slept for the lock, in
	// ns, without the time that others had its CPU; 0 for one that did not sleep.
	Woken  int64
	Change *Change // nil for none

	// Of a hit: where it trapped, and the file that its probe is in.
	Addr uint64
	File mm.FileID
	// Of an optimised probe: where it enters the kernel, and when its lookup of the
	// uprobe begins by the stamps, 0 where they do not tell.
	Trampoline uint64
	LookupAt   int64 // ns

	own   Origin // of a hit, whose Origin points here
	block *operationBlock
}

// operationBlock is a number of operations that are allocated at once, and used again when
// every reader is done with all of them: what is made for one row in a million is still in
// the caches for the next, and no garbage.
type operationBlock struct {
	list [operationBlockSize]Operation
	used int          // of list, by the reconstruction
	left atomic.Int32 // operations that some reader is not done with, summed over readers
	free chan<- *operationBlock
}

const operationBlockSize = 128

// freeBlocks is how many blocks are kept: those of maxLag, and of chunks under way.
const freeBlocks = 512

// done says that so many operations are not used any more by a reader.
func (b *operationBlock) done(n int32) {
	if b.left.Add(-n) != 0 {
		return
	}
	select {
	case b.free <- b:
	default: // there are enough
	}
}

// Space is an address space of the trace.
type Space struct {
	Index int32 // from 0, by first appearance
	PID   int32 // of the process that had it first
	// trampolines are where those of its optimised probes are.
	trampolines []uint64
	lock        lockQueue
}

// Change is what an operation does to its address space, once, whichever of its
// operations comes first. Each replay makes it in address spaces of its own.
type Change struct {
	Kind  traces.Kind // Map for a mapping known without a syscall, Fork for a copy to Child
	Child *Space

	addr, len       uint64
	newAddr, newLen uint64
	prot            mm.Prot
	flags, advice   int32
	vma             mm.VMA          // Mmap, Map: what is mapped; an mmap's file may become known later
	handed          bool            // an operation with it was handed out: it stays as it is
	made            atomic.Uint32   // by bit, which replays have made it
	more            []atomic.Uint32 // the same of replays from the 32nd on
}

// madeBits is how many replays Change.made has a bit for.
const madeBits = 32

// First reports whether the nth replay has not made the change yet, which it makes now.
func (c *Change) First(nth int) bool {
	made, bit := c.madeBy(nth)
	return made.Or(bit)&bit == 0
}

// Needed reports whether later operations rest on the change: a child's address space, and
// files that are mapped, whose probes are hit.
func (c *Change) Needed() bool {
	return c.Kind == traces.Fork || (c.Kind == traces.Mmap || c.Kind == traces.Map) && c.vma.File != mm.NoFile
}

// madeBy is where it is kept whether the nth replay has made the change.
func (c *Change) madeBy(nth int) (*atomic.Uint32, uint32) {
	bit := uint32(1) << (nth % madeBits)
	if nth < madeBits {
		return &c.made, bit
	}
	return &c.more[nth/madeBits-1], bit
}

// readBy makes room for so many replays, before any of them has it.
func (c *Change) readBy(replays int) {
	if words := (replays - 1) / madeBits; len(c.more) < words {
		c.more = make([]atomic.Uint32, words)
	}
}

// Locks tells which mappings the nth replay write-locks for the change, by ID.
func (c *Change) Locks(nth int, s *mm.AddressSpace) []uint32 {
	if made, bit := c.madeBy(nth); made.Load()&bit != 0 {
		return nil
	}
	if c.Kind == traces.Fork { // all: dup_mmap copies each under its lock
		ids := make([]uint32, 0, s.Len())
		for _, v := range s.VMAs() {
			ids = append(ids, v.ID)
		}
		return ids
	}
	return s.Try(func(s *mm.AddressSpace) { c.Apply(s) }) // one that is refused changes nothing
}

// Apply makes the change in an address space. It is not for a fork.
func (c *Change) Apply(s *mm.AddressSpace) (mm.Effect, error) {
	switch c.Kind {
	case traces.Mmap, traces.Map:
		return s.Map(c.vma)
	case traces.Munmap:
		return s.Unmap(c.addr, c.len)
	case traces.Mprotect:
		return s.Protect(c.addr, c.len, c.prot)
	case traces.Mremap:
		return s.Remap(c.addr, c.len, c.newAddr, c.newLen, c.flags)
	case traces.Brk:
		return s.Brk(c.addr)
	default:
		return s.Advise(c.addr, c.len, c.advice)
	}
}
