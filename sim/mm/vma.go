package mm

// PageSize is the size of a page in bytes.
const PageSize = 4096

// Prot is the access rights of a mapping, with the values of PROT_*.
type Prot uint32

// The access rights.
const (
	Read Prot = 1 << iota
	Write
	Exec
	allProt = Read | Write | Exec
)

// Flags are the properties of a mapping that decide whether it merges with its
// neighbours, and how it is inherited: the part of vm_flags that a trace shows.
type Flags uint32

// The flags. Those from Sequential on are set and cleared by madvise.
const (
	Shared     Flags = 1 << iota // MAP_SHARED
	GrowsDown                    // MAP_GROWSDOWN
	NoReserve                    // MAP_NORESERVE
	HugeTLB                      // MAP_HUGETLB
	Accounted                    // VM_ACCOUNT: counted as memory that may be written; set by the operations
	Inferred                     // not in the trace: made up by AddressSpace.Infer
	Sequential                   // MADV_SEQUENTIAL
	Random                       // MADV_RANDOM
	DontFork                     // MADV_DONTFORK
	WipeOnFork                   // MADV_WIPEONFORK
	DontDump                     // MADV_DONTDUMP
	Mergeable                    // MADV_MERGEABLE
	HugePage                     // MADV_HUGEPAGE
	NoHugePage                   // MADV_NOHUGEPAGE
)

// mapFlags pairs the mmap flags of Linux (include/uapi/linux/mman.h and
// asm-generic/mman.h; x86 and arm64 agree) with ours.
var mapFlags = [...]struct {
	mmap int32
	flag Flags
}{
	{0x01, Shared}, // MAP_SHARED, and a bit of MAP_SHARED_VALIDATE
	{0x100, GrowsDown},
	{0x4000, NoReserve},
	{0x40000, HugeTLB},
}

// MapFlags translates the flags given to mmap. Those that do not outlive the
// call, such as MAP_FIXED, are dropped.
func MapFlags(mmap int32) Flags {
	var f Flags
	for _, m := range mapFlags {
		if mmap&m.mmap != 0 {
			f |= m.flag
		}
	}
	return f
}

// VMA is one mapping, a vm_area_struct: the addresses from Start up to End show
// File from Pgoff on.
type VMA struct {
	Start, End uint64 // page aligned, Start < End
	Pgoff      uint64 // offset of Start in File, in bytes; without a file, what tells whether neighbours fit
	Prot       Prot
	Flags      Flags
	File       FileID
	// ID tells the vm_area_structs of an address space apart: it stays the same
	// while the kernel keeps the structure, whatever becomes of its bounds. IDs are
	// small, start at 1, and are used again, as a slab does.
	ID uint32
}

// Len is the size of v in bytes.
func (v VMA) Len() uint64 { return v.End - v.Start }

// Pages is the size of v in pages.
func (v VMA) Pages() uint64 { return v.Len() / PageSize }

// Contains reports whether addr is in v.
func (v VMA) Contains(addr uint64) bool { return v.Start <= addr && addr < v.End }

// Offset is the position of addr in v's file, in bytes.
func (v VMA) Offset(addr uint64) uint64 { return v.Pgoff + (addr - v.Start) }

// FileBacked reports whether the kernel's vm_file is set. It is for shared
// anonymous memory and huge pages as well: they live in an unnamed file.
func (v VMA) FileBacked() bool { return v.File != NoFile || v.Flags&(Shared|HugeTLB) != 0 }

// account sets the flag of a new mapping (accountable_mapping).
func (v VMA) account() VMA {
	v.Flags &^= Accounted
	if v.Prot&Write != 0 && v.Flags&(Shared|NoReserve|HugeTLB) == 0 {
		v.Flags |= Accounted
	}
	return v
}

// protect gives v other rights. Private memory stays accounted for when it is no
// longer writable, unless it is anonymous and untouched, and so does not merge
// with what never was writable (mprotect_fixup).
func (v VMA) protect(prot Prot) VMA {
	switch {
	case prot&Write != 0:
		if v.Prot&Write == 0 && v.Flags&(Shared|NoReserve|HugeTLB) == 0 {
			v.Flags |= Accounted
		}
	case v.File == NoFile:
		v.Flags &^= Accounted
	}
	v.Prot = prot
	return v
}

// clip returns the part of v from start up to end, which must overlap it.
func (v VMA) clip(start, end uint64) VMA {
	if start > v.Start {
		v.Pgoff += start - v.Start
		v.Start = start
	}
	v.End = min(v.End, end)
	return v
}

// mergeable reports whether a and b, b directly above a, are one mapping to the
// kernel (can_vma_merge_after). Huge pages are VM_DONTEXPAND and never merge.
func mergeable(a, b *VMA) bool {
	return a.End == b.Start && a.Prot == b.Prot && a.Flags == b.Flags && a.File == b.File &&
		a.Pgoff+a.Len() == b.Pgoff && a.Flags&HugeTLB == 0
}
