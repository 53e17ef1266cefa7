package mm

// The kinds of madvise that change a mapping's flags, and so take mmap_lock for
// write (madvise_vma_behavior; include/uapi/asm-generic/mman-common.h).
const (
	adviseNormal      int32 = 0
	adviseRandom      int32 = 1
	adviseSequential  int32 = 2
	adviseDontFork    int32 = 10
	adviseDoFork      int32 = 11
	adviseMergeable   int32 = 12
	adviseUnmergeable int32 = 13
	adviseHugePage    int32 = 14
	adviseNoHugePage  int32 = 15
	adviseDontDump    int32 = 16
	adviseDoDump      int32 = 17
	adviseWipeOnFork  int32 = 18
	adviseKeepOnFork  int32 = 19
)

// ChangesFlags reports whether madvise with this advice may change the flags of
// mappings. The other kinds change or populate pages under the read lock.
func ChangesFlags(advice int32) bool {
	_, _, ok := advised(advice)
	return ok
}

// advised returns the flags that an advice clears and sets.
func advised(advice int32) (remove, add Flags, ok bool) {
	switch advice {
	case adviseNormal:
		return Random | Sequential, 0, true
	case adviseRandom:
		return Sequential, Random, true
	case adviseSequential:
		return Random, Sequential, true
	case adviseDontFork:
		return 0, DontFork, true
	case adviseDoFork:
		return DontFork, 0, true
	case adviseMergeable:
		return 0, Mergeable, true
	case adviseUnmergeable:
		return Mergeable, 0, true
	case adviseHugePage:
		return NoHugePage, HugePage, true
	case adviseNoHugePage:
		return HugePage, NoHugePage, true
	case adviseDontDump:
		return 0, DontDump, true
	case adviseDoDump:
		return DontDump, 0, true
	case adviseWipeOnFork:
		return 0, WipeOnFork, true
	case adviseKeepOnFork:
		return WipeOnFork, 0, true
	}
	return 0, 0, false
}

// Advise applies madvise to what is mapped from addr up to addr+length. Advice
// that changes no flags has no effect here.
func (s *AddressSpace) Advise(addr, length uint64, advice int32) (Effect, error) {
	remove, add, ok := advised(advice)
	if !ok {
		return Effect{}, nil
	}
	start, end, err := s.begin(addr, length)
	if err != nil {
		return Effect{}, err
	}
	s.change(start, end, func(v VMA) VMA { v.Flags = v.Flags&^remove | add; return v })
	return s.done(), nil
}
