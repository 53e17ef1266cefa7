package mm

import "slices"

// trial is how an operation that is only tried is undone.
type trial struct {
	before  AddressSpace // but the contents of its slices
	freeIDs []uint32
	spliced []splice
}

// splice is a replacement of mappings by others, so many, from index at on.
type splice struct {
	at, parts int
	old       []VMA
}

// Try returns the structures that op would write to or remove, by ID in ascending order,
// and leaves s as it was: those that the kernel write-locks before it changes anything
// (vma_start_write).
func (s *AddressSpace) Try(op func(*AddressSpace)) []uint32 {
	t := &trial{before: *s, freeIDs: slices.Clone(s.freeIDs)}
	s.trial = t
	op(s)
	var ids []uint32
	for i := len(t.spliced) - 1; i >= 0; i-- {
		u := &t.spliced[i]
		s.vmas = slices.Replace(s.vmas, u.at, u.at+u.parts, u.old...)
		for _, v := range u.old {
			if v.ID <= t.before.lastID && !slices.Contains(t.freeIDs, v.ID) {
				ids = append(ids, v.ID)
			}
		}
	}
	vmas, written := s.vmas, s.written
	*s = t.before
	s.vmas, s.written, s.freeIDs = vmas, written, t.freeIDs
	slices.Sort(ids)
	return slices.Compact(ids)
}

// keep notes that the mappings from i up to j give way to others, so many.
func (t *trial) keep(s *AddressSpace, i, j, parts int) {
	if t != nil {
		t.spliced = append(t.spliced, splice{i, parts, slices.Clone(s.vmas[i:j])})
	}
}
