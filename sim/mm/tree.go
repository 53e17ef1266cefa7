package mm

// Slots of a maple tree node (MAPLE_RANGE64_SLOTS, MAPLE_ARANGE64_SLOTS). An
// address space uses allocation trees: ranges in the leaves, gap-tracking nodes
// above them.
const (
	leafSlots = 16
	nodeSlots = 10
)

// Path returns how many nodes of the maple tree a lookup of addr reads, and which
// of the leaves, counted from the lowest address, it ends in. An empty tree has
// depth 1.
//
// Every mapping takes a slot, and so does every gap between two. Nodes are taken
// as full, which is a lower bound of their number, and gaps as evenly spread,
// which makes a leaf's index exact to a few leaves. Where the real tree splits its
// nodes depends on all of its history.
func (s *AddressSpace) Path(addr uint64) (depth, leaf int) {
	depth = 1
	for nodes := (s.slots() + leafSlots - 1) / leafSlots; nodes > 1; nodes = (nodes + nodeSlots - 1) / nodeSlots {
		depth++
	}
	if len(s.vmas) == 0 {
		return depth, 0
	}
	i := min(s.search(addr), len(s.vmas)-1)
	return depth, i * s.slots() / len(s.vmas) / leafSlots
}

// Leaves is the number of leaf nodes that Path tells apart.
func (s *AddressSpace) Leaves() int { return max(1, (s.slots()+leafSlots-1)/leafSlots) }

func (s *AddressSpace) slots() int { return len(s.vmas) + s.gaps }

// gapsAround counts the gaps directly below the mappings from i up to j, and the
// one above the last of them.
func (s *AddressSpace) gapsAround(i, j int) int {
	n := 0
	for k := max(i, 1); k < min(j+1, len(s.vmas)); k++ {
		if s.vmas[k-1].End < s.vmas[k].Start {
			n++
		}
	}
	return n
}
