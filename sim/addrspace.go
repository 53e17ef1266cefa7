package sim

import "github.com/replay/replay/sim/mm"

// MM is one process's address space (mm_struct): its mappings, mmap_lock, the
// sequence, and the cache lines that they live on.
type MM struct {
	ID    int32
	Space *mm.AddressSpace

	sem rwsem
	// seq is mm_lock_seq: odd while mmap_lock is held for write. It is 64 bits
	// wide here; SeqBits of the resolver says how many of them are compared.
	seq    uint64
	writer any // tag of the section that made seq what it is

	layout Layout
	count  line
	owner  line
	seqOwn line
	root   line
	leaves []*line
	vmas   []*vmaLines // by VMA.ID, which is small and reused

	history history

	applied Time // of the latest change outside any section: a snapshot, or one whose section is not known
	flights []*Task
	courses []*course
	// vmasLocked is how many VMAs were write-locked, each of which changes a vm_lock_seq.
	vmasLocked uint64
	epoch      uint64 // of the lines that speculations read: another one when any is taken
}

// vmaLines are the lines of one vm_area_struct, and its own lock.
type vmaLines struct {
	head, pgoff, file, lock line
	// lockSeq is vm_lock_seq: equal to the mm's seq while the VMA is write-locked.
	lockSeq uint64
	readers int   // that hold its read lock
	writer  *Task // that waits for them, and lets no more in
}

// NewMM returns an address space with the sequence at 0, as mmap_init_lock
// leaves it, also for a forked one.
func (s *System) NewMM(id int32, space *mm.AddressSpace) *MM {
	m := &MM{
		ID: id, Space: space, layout: s.machine.Layout, applied: -1,
		count: newLine(CountLine), owner: newLine(OwnerLine), seqOwn: newLine(SeqLine), root: newLine(TreeRoot),
	}
	m.seqLine().path = true
	m.seqLine().mm, m.root.mm = m, m
	m.history.record(space.Version(), nil, space.VMAs())
	space.Watch(m.history.record)
	s.mms = append(s.mms, m)
	return m
}

// ownerLine is where a new owner is stored.
func (m *MM) ownerLine() *line {
	if m.layout == SeqApart {
		return &m.count
	}
	return &m.owner
}

// seqLine is where speculation reads the sequence.
func (m *MM) seqLine() *line {
	if m.layout == SeqApart {
		return &m.seqOwn
	}
	return &m.owner
}

func (m *MM) leaf(i int) *line { return lineAt(&m.leaves, i, TreeLeaf, m) }

// lineAt returns line i of m, or of all, making it if need be.
func lineAt(lines *[]*line, i int, role Role, m *MM) *line {
	l := at(lines, i)
	if *l == nil {
		*l = new(line)
		**l = newLine(role)
		(*l).mm = m
	}
	return *l
}

// at returns element i, growing the slice to it.
func at[T any](s *[]T, i int) *T {
	if i >= len(*s) {
		*s = append(*s, make([]T, i+1-len(*s))...)
	}
	return &(*s)[i]
}

func (m *MM) vma(id uint32) *vmaLines {
	v := at(&m.vmas, int(id))
	if *v == nil {
		*v = &vmaLines{head: newLine(VMAHead), pgoff: newLine(VMAPgoff), file: newLine(VMAFile), lock: newLine(VMALock), lockSeq: ^uint64(0)}
		(*v).head.mm, (*v).pgoff.mm, (*v).file.mm = m, m, m
	}
	return *v
}

// globalLines are shared by all processes.
type globalLines struct {
	tree  line
	hits  line    // of one probe: the benchmark has no more
	files []*line // by mm.FileID
	nodes []*line // by mm.ProbeID
}

func (g *globalLines) init() {
	g.tree, g.hits = newLine(UprobeTree), newLine(HitCounter)
}

func (g *globalLines) file(id mm.FileID) *line { return lineAt(&g.files, int(id), FileLine, nil) }

func (g *globalLines) probe(id mm.ProbeID) *line {
	return lineAt(&g.nodes, int(id), UprobeNode, nil)
}
