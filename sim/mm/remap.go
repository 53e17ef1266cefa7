package mm

import "fmt"

// DontUnmap is the flag MREMAP_DONTUNMAP of mremap.
const DontUnmap int32 = 4

// Remap moves or resizes what is mapped at the old range so that it is then at
// the new one, as mremap did. An old length of 0 maps the same shared memory once
// more. When nothing is known at the old range, nothing is at the new one.
func (s *AddressSpace) Remap(old, oldLen, now, newLen uint64, flags int32) (Effect, error) {
	newStart, newEnd, err := s.begin(now, newLen)
	if err != nil {
		return Effect{}, err
	}
	oldStart := old &^ (PageSize - 1)
	oldEnd := pageUp(old + oldLen)
	if old+oldLen < old || oldEnd < oldStart {
		return Effect{}, fmt.Errorf("%w: %#x, %d bytes", ErrRange, old, oldLen)
	}
	if oldStart == newStart && oldLen != 0 {
		s.resize(oldEnd, newEnd)
		return s.done(), nil
	}
	if oldStart < newEnd && newStart < max(oldEnd, oldStart+1) {
		return Effect{}, fmt.Errorf("%w: mremap from %#x onto itself at %#x", ErrRange, old, now)
	}
	s.collect(oldStart, oldEnd, newEnd-newStart)
	if len(s.vmas)+len(s.moving) > MaxMapCount-2 {
		return Effect{}, fmt.Errorf("%w: %d of %d", ErrMapCount, len(s.vmas), MaxMapCount)
	}
	s.move(oldStart, oldEnd, newStart, newEnd, flags)
	return s.done(), nil
}

// resize moves the end of a mapping (shrink_vma, expand_vma_in_place).
func (s *AddressSpace) resize(oldEnd, newEnd uint64) {
	if newEnd < oldEnd {
		s.clear(newEnd, oldEnd)
		return
	}
	v, ok := s.Find(oldEnd - 1)
	if !ok || newEnd <= v.End {
		return
	}
	s.clear(v.End, newEnd)
	s.insert(v.from(v.End).until(newEnd))
}

// collect sets s.moving to what is mapped in the old range, cut or grown to size.
// An empty range stands for the mapping at its start.
func (s *AddressSpace) collect(start, end, size uint64) {
	end = max(end, start+PageSize)
	limit := min(end, start+size)
	s.moving = s.moving[:0]
	for i := s.search(start); i < len(s.vmas) && s.vmas[i].Start < limit; i++ {
		s.moving = append(s.moving, s.vmas[i].clip(start, limit))
	}
	if n := len(s.moving); n > 0 && s.moving[n-1].End == end {
		s.moving[n-1].End = start + size
	}
}

// move puts s.moving at the new range and takes it from the old one (move_vma).
func (s *AddressSpace) move(oldStart, oldEnd, newStart, newEnd uint64, flags int32) {
	s.clear(newStart, newEnd)
	for _, v := range s.moving {
		v.Start += newStart - oldStart
		v.End += newStart - oldStart
		s.effect.Moved += v.Pages()
		s.insert(v)
	}
	if flags&DontUnmap == 0 && oldStart < oldEnd {
		unmapped := s.effect.Unmapped
		s.clear(oldStart, oldEnd)
		s.effect.Unmapped = unmapped
	}
}
