package mm

// Effect is what an operation did to an address space.
type Effect struct {
	Added   int // vm_area_structs that are new
	Removed int // that are gone
	Changed int // that remain with other bounds, rights or flags

	Unmapped uint64 // pages that lost their mapping, resident or not
	Moved    uint64 // pages that mremap moved

	// Written holds the IDs of the changed ones, whose first cache line was
	// written. It is valid until the next operation on the address space.
	Written []uint32
}

// None reports whether the operation changed nothing.
func (e *Effect) None() bool { return e.Added == 0 && e.Removed == 0 && e.Changed == 0 }
