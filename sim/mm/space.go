package mm

import (
	"errors"
	"fmt"
	"slices"
)

// MaxMapCount is how many mappings an address space may have. It is what
// distributions raise vm.max_map_count to; the kernel's own default is 65530.
const MaxMapCount = 1 << 20

// ErrMapCount is the error of an operation that may exceed MaxMapCount: the
// kernel's ENOMEM. ErrRange is that of a range that the kernel cannot have
// accepted: empty, or beyond the end of the address space. Neither changes
// anything.
var (
	ErrMapCount = errors.New("too many mappings in an address space")
	ErrRange    = errors.New("impossible address range")
)

// AddressSpace is the mappings of a process, disjoint and in order of address.
// The zero value is empty and ready to use.
//
// Note: a sorted slice does better than a tree here. Lookups are what a replay
// does most, and they are a binary search over one array. A change moves 40 bytes
// for each mapping above it: 0.3 µs with the 500 mappings of a large process,
// 0.2 ms with 65530 (BenchmarkMapUnmap).
type AddressSpace struct {
	vmas  []VMA
	gaps  int    // between neighbours; the maple tree has slots for them as well
	brk   uint64 // end of the heap, 0 where unknown
	shmem uint64 // offset for the next shared anonymous mapping

	lastID  uint32
	freeIDs []uint32
	removed []uint64 // by ID: the version at which the structure was last removed
	version uint64

	effect  Effect // of the operation that runs
	written []uint32
	moving  []VMA
	trial   *trial // nil when operations last
	watch   func(version uint64, removed, added []VMA)
}

// Watch has a function told of each change: by which version, which mappings went, and
// which came in their place; of one that only changed, both. An operation may have several.
func (s *AddressSpace) Watch(f func(version uint64, removed, added []VMA)) { s.watch = f }

func (s *AddressSpace) changed(removed, added []VMA) {
	if s.watch != nil && s.trial == nil {
		s.watch(s.version, removed, added)
	}
}

// Len is the number of mappings.
func (s *AddressSpace) Len() int { return len(s.vmas) }

// VMAs returns all mappings in order of address. The slice is the address space's
// own: it must not be written to, and is valid until the next operation.
func (s *AddressSpace) VMAs() []VMA { return s.vmas }

// Version is another number after each operation that may have changed a mapping.
func (s *AddressSpace) Version() uint64 { return s.version }

// Inherit makes s what a fork makes of its parent: a Clone of it in place of all that
// s had.
func (s *AddressSpace) Inherit(parent *AddressSpace) {
	before := *s
	*s = *parent.Clone()
	s.version, s.watch, s.removed = before.version+1, before.watch, before.removed
	for i := range before.vmas {
		s.remove(before.vmas[i].ID) // those of the parent may have the same
	}
	s.changed(before.vmas, s.vmas)
}

// Find returns the mapping at addr (vma_lookup).
func (s *AddressSpace) Find(addr uint64) (VMA, bool) {
	i := s.search(addr)
	if i == len(s.vmas) || addr < s.vmas[i].Start {
		return VMA{}, false
	}
	return s.vmas[i], true
}

// Now returns what the structure v, as it was found at a version, holds by now. False means
// that it was removed since: what it held then is what whoever found it still sees, until
// its memory is used again after a grace period.
func (s *AddressSpace) Now(v VMA, since uint64) (VMA, bool) {
	if s.version == since {
		return v, true
	}
	if int(v.ID) < len(s.removed) && s.removed[v.ID] > since {
		return v, false
	}
	if i := s.search(v.Start); i < len(s.vmas) && s.vmas[i].ID == v.ID {
		return s.vmas[i], true
	}
	for i := range s.vmas {
		if s.vmas[i].ID == v.ID {
			return s.vmas[i], true
		}
	}
	return v, false
}

// search returns the index of the first mapping that ends above addr.
func (s *AddressSpace) search(addr uint64) int {
	lo, hi := 0, len(s.vmas)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if s.vmas[mid].End > addr {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Map adds a mapping in place of whatever is there, as mmap does with MAP_FIXED.
// Bounds are widened to pages; v.ID is ignored, and v.Pgoff when v
// has no file.
func (s *AddressSpace) Map(v VMA) (Effect, error) {
	start, end, err := s.begin(v.Start, v.End-v.Start)
	if err != nil {
		return Effect{}, err
	}
	v.Pgoff -= v.Start - start
	v.Start, v.End, v.Prot = start, end, v.Prot&allProt
	if v.File == NoFile {
		v.Pgoff = s.anonymousPgoff(&v)
	}
	s.clear(start, end)
	s.insert(v.account())
	return s.done(), nil
}

// anonymousPgoff is the offset of memory without a file. Private memory has its
// address, so that neighbours fit together (do_mmap). Shared memory is in a file
// of its own, of which parts fit together; here, in a place of its own in one.
func (s *AddressSpace) anonymousPgoff(v *VMA) uint64 {
	if v.Flags&Shared == 0 {
		return v.Start
	}
	place := s.shmem
	s.shmem += v.Len() + PageSize
	return place
}

// Unmap removes what is mapped from addr up to addr+length (munmap).
func (s *AddressSpace) Unmap(addr, length uint64) (Effect, error) {
	start, end, err := s.begin(addr, length)
	if err != nil {
		return Effect{}, err
	}
	s.clear(start, end)
	return s.done(), nil
}

// Protect gives what is mapped from addr up to addr+length other rights
// (mprotect).
func (s *AddressSpace) Protect(addr, length uint64, prot Prot) (Effect, error) {
	start, end, err := s.begin(addr, length)
	if err != nil {
		return Effect{}, err
	}
	s.change(start, end, func(v VMA) VMA { return v.protect(prot & allProt) })
	return s.done(), nil
}

// Brk moves the end of the heap to what brk returned. The first call in a process
// only tells where it is.
func (s *AddressSpace) Brk(to uint64) (Effect, error) {
	from := s.brk
	s.brk = to
	from, to = pageUp(from), pageUp(to)
	switch {
	case from == 0 || from == to:
		return Effect{}, nil
	case from < to:
		return s.Map(VMA{Start: from, End: to, Prot: Read | Write})
	default:
		return s.Unmap(to, from-to)
	}
}

// Reset removes everything, as exec and exit do.
func (s *AddressSpace) Reset() Effect {
	e := Effect{Removed: len(s.vmas)}
	s.trial.keep(s, 0, len(s.vmas), 0)
	s.version++
	for i := range s.vmas {
		e.Unmapped += s.vmas[i].Pages()
		s.remove(s.vmas[i].ID)
	}
	s.changed(s.vmas, nil)
	s.vmas, s.freeIDs = s.vmas[:0], s.freeIDs[:0]
	s.gaps, s.brk, s.shmem, s.lastID = 0, 0, 0, 0
	return e
}

// Clone returns what a child process gets (dup_mmap): all but the mappings that
// madvise(MADV_DONTFORK) excludes. Its VMAs are structures of their own with the
// IDs of the originals.
func (s *AddressSpace) Clone() *AddressSpace {
	child := &AddressSpace{vmas: make([]VMA, 0, len(s.vmas)), brk: s.brk, shmem: s.shmem, lastID: s.lastID}
	child.freeIDs = slices.Clone(s.freeIDs)
	for _, v := range s.vmas {
		if v.Flags&DontFork != 0 {
			child.freeIDs = append(child.freeIDs, v.ID)
			continue
		}
		child.vmas = append(child.vmas, v)
	}
	child.gaps = child.gapsAround(0, len(child.vmas))
	return child
}

// Infer maps the page at addr so that it shows offset of file, for a hit where no
// mapping is known. What is known stays as it is. A mapping inferred earlier that
// fits, with nothing known in between, is extended instead: text is mapped in
// one piece. False means that addr is mapped already, or cannot show offset.
func (s *AddressSpace) Infer(addr uint64, file FileID, offset uint64) (VMA, bool) {
	start := addr &^ (PageSize - 1)
	if _, mapped := s.Find(addr); mapped || offset%PageSize != addr%PageSize || file == NoFile {
		return VMA{}, false
	}
	v := VMA{Start: start, End: start + PageSize, Pgoff: offset - (addr - start), Prot: Read | Exec, Flags: Inferred, File: file}
	i := s.search(addr)
	if i > 0 && sameText(&s.vmas[i-1], &v) {
		v.Pgoff -= v.Start - s.vmas[i-1].End
		v.Start = s.vmas[i-1].End
	}
	if i < len(s.vmas) && sameText(&s.vmas[i], &v) {
		v.End = s.vmas[i].Start
	}
	if _, err := s.Map(v); err != nil {
		return VMA{}, false
	}
	return s.Find(addr)
}

// sameText reports whether a was inferred for the same file at the same place.
func sameText(a, v *VMA) bool {
	return a.Flags&Inferred != 0 && a.File == v.File && a.Prot == v.Prot && a.Start-a.Pgoff == v.Start-v.Pgoff
}

// begin starts an operation on a range, which it widens to pages.
func (s *AddressSpace) begin(addr, length uint64) (start, end uint64, err error) {
	start, end = addr&^(PageSize-1), pageUp(addr+length)
	if length == 0 || addr+length < addr || end <= start {
		return 0, 0, fmt.Errorf("%w: %#x, %d bytes", ErrRange, addr, length)
	}
	if len(s.vmas) > MaxMapCount-2 { // a range can split two
		return 0, 0, fmt.Errorf("%w: %d of %d", ErrMapCount, len(s.vmas), MaxMapCount)
	}
	s.version++
	s.effect = Effect{Written: s.written[:0]}
	return start, end, nil
}

// done ends an operation.
func (s *AddressSpace) done() Effect {
	s.written = s.effect.Written
	return s.effect
}

func pageUp(n uint64) uint64 { return (n + PageSize - 1) &^ (PageSize - 1) }
