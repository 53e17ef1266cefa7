package mm

import "slices"

// clear unmaps a range. What sticks out of it on either side goes on in a new
// structure: vms_gather_munmap_vmas splits so that the old one is what it then
// removes.
func (s *AddressSpace) clear(start, end uint64) {
	i := s.search(start)
	j := i
	for ; j < len(s.vmas) && s.vmas[j].Start < end; j++ {
		s.effect.Unmapped += s.vmas[j].clip(start, end).Pages()
	}
	if i == j {
		return
	}
	var rest [2]VMA
	n := 0
	if first := s.vmas[i]; first.Start < start {
		rest[n] = first.until(start).unnamed()
		n++
	}
	if last := s.vmas[j-1]; last.End > end {
		rest[n] = last.from(end).unnamed()
		n++
	}
	s.splice(i, j, rest[:n])
}

// insert adds v, whose range must be free, or extends a neighbour that agrees
// with it (vma_merge_new_range).
func (s *AddressSpace) insert(v VMA) {
	i := s.search(v.Start)
	below := i > 0 && mergeable(&s.vmas[i-1], &v)
	above := i < len(s.vmas) && mergeable(&v, &s.vmas[i])
	switch {
	case below && above:
		v.End = s.vmas[i].End
		s.splice(i-1, i+1, []VMA{s.vmas[i-1].until(v.End)})
	case below:
		s.splice(i-1, i, []VMA{s.vmas[i-1].until(v.End)})
	case above:
		s.splice(i, i+1, []VMA{s.vmas[i].from(v.Start)})
	default:
		s.splice(i, i, []VMA{v.unnamed()})
	}
}

// change applies edit to every mapping in a range, one after the other as
// mprotect and madvise do.
func (s *AddressSpace) change(start, end uint64, edit func(VMA) VMA) {
	for at := start; at < end; {
		i := s.search(at)
		if i == len(s.vmas) || s.vmas[i].Start >= end {
			return
		}
		mid := edit(s.vmas[i].clip(at, end))
		at = mid.End
		if old := &s.vmas[i]; mid.Prot != old.Prot || mid.Flags != old.Flags {
			s.modify(i, mid)
		}
	}
}

// modify replaces a part of mapping i by mid, which has other rights or flags. It
// goes to a neighbour that now agrees with it (vma_merge_existing_range), else it
// keeps the structure and the rest gets new ones (vma_modify).
func (s *AddressSpace) modify(i int, mid VMA) {
	old := s.vmas[i]
	head, tail := mid.Start == old.Start, mid.End == old.End
	below := head && i > 0 && mergeable(&s.vmas[i-1], &mid)
	above := tail && i+1 < len(s.vmas) && mergeable(&mid, &s.vmas[i+1])
	switch {
	case below && above:
		s.splice(i-1, i+2, []VMA{s.vmas[i-1].until(s.vmas[i+1].End)})
	case below && tail:
		s.splice(i-1, i+1, []VMA{s.vmas[i-1].until(mid.End)})
	case below:
		s.splice(i-1, i+1, []VMA{s.vmas[i-1].until(mid.End), old.from(mid.End)})
	case above && head:
		s.splice(i, i+2, []VMA{s.vmas[i+1].from(mid.Start)})
	case above:
		s.splice(i, i+2, []VMA{old.until(mid.Start), s.vmas[i+1].from(mid.Start)})
	default:
		s.split(i, mid)
	}
}

// split puts mid in place of its part of mapping i.
func (s *AddressSpace) split(i int, mid VMA) {
	old := s.vmas[i]
	var parts [3]VMA
	n := 0
	if old.Start < mid.Start {
		parts[n] = old.until(mid.Start).unnamed()
		n++
	}
	parts[n] = mid
	n++
	if mid.End < old.End {
		parts[n] = old.from(mid.End).unnamed()
		n++
	}
	s.splice(i, i+1, parts[:n])
}

// until returns v with another end, from v with another start and everything
// where it was, unnamed v as a structure that is new.
func (v VMA) until(end uint64) VMA { v.End = end; return v }

func (v VMA) from(start uint64) VMA {
	v.Pgoff += start - v.Start // also downwards, modulo 2^64
	v.Start = start
	return v
}

func (v VMA) unnamed() VMA { v.ID = 0; return v }

// splice replaces the mappings from i up to j, accounts for what that does, and
// names those that have no ID. Every change of an address space comes down to it.
func (s *AddressSpace) splice(i, j int, parts []VMA) {
	for p := range parts {
		if parts[p].ID == 0 {
			parts[p].ID = s.newID()
			s.effect.Added++
		}
	}
	for _, old := range s.vmas[i:j] {
		now := find(parts, old.ID)
		switch {
		case now == nil:
			s.freeIDs = append(s.freeIDs, old.ID)
			s.remove(old.ID)
			s.effect.Removed++
		case *now != old:
			s.effect.Changed++
			s.effect.Written = append(s.effect.Written, old.ID)
		}
	}
	s.trial.keep(s, i, j, len(parts))
	s.changed(s.vmas[i:j], parts)
	s.gaps -= s.gapsAround(i, j)
	s.vmas = slices.Replace(s.vmas, i, j, parts...)
	s.gaps += s.gapsAround(i, i+len(parts))
	s.check(i, i+len(parts))
}

// remove notes that a structure goes, unless that is only tried.
func (s *AddressSpace) remove(id uint32) {
	if s.trial != nil {
		return
	}
	if n := int(id) + 1; n > len(s.removed) {
		s.removed = append(s.removed, make([]uint64, n-len(s.removed))...)
	}
	s.removed[id] = s.version
}

func find(vmas []VMA, id uint32) *VMA {
	for i := range vmas {
		if vmas[i].ID == id {
			return &vmas[i]
		}
	}
	return nil
}

// newID takes the ID freed last: a slab hands out the object that is still hot.
func (s *AddressSpace) newID() uint32 {
	if n := len(s.freeIDs); n > 0 {
		id := s.freeIDs[n-1]
		s.freeIDs = s.freeIDs[:n-1]
		return id
	}
	s.lastID++
	return s.lastID
}

// check panics when the mappings from i up to j are not in order among themselves
// and with their neighbours.
func (s *AddressSpace) check(i, j int) {
	for k := max(i, 1); k < min(j+1, len(s.vmas)); k++ {
		if a, b := &s.vmas[k-1], &s.vmas[k]; a.End > b.Start || b.Start >= b.End {
			panic("mm: mappings out of order")
		}
	}
}
