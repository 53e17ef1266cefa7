package protocol

// Op is what a step does.
type Op uint8

// The operations. Those from [Load] to [Await] touch the word at [Step].At.
const (
	Set       Op = iota // Dst = A + B
	If                  // go to To if the test of A and B holds
	Fence               // order the accesses before it with those after it
	Enter               // begin a read section of Sect
	Leave               // end it
	Alloc               // Dst = a new object of Kind
	Free                // end the life of the object A, as After says
	Begin               // the lookup starts here: answers of earlier instants are too old
	Answer              // the lookup's answer is A: it has to be right
	Sigtrap             // the thread is killed: no uprobe is at its breakpoint
	Load                // Dst = word
	Store               // word = A + B
	Add                 // Dst = word, word += A, in one (an atomic read-modify-write)
	LockRead            // take a lock for read; waits for a writer
	LockWrite           // take it for write; waits for everyone
	TryRead             // take it for read if no writer has it; Dst = 1 if so
	UnlockRead
	UnlockWrite
	Downgrade // from write to read
	Await     // Dst = word, once it is not 0; with the test Odd, once it is even
	numOps
)

// Order is the memory order of a load or store, and the kind of a fence.
type Order uint8

// The orders. Plain accesses may be torn or merged by a compiler; Once are
// READ_ONCE, WRITE_ONCE and rcu_dereference: what depends on the value is ordered.
const (
	Plain   Order = iota
	Once          // READ_ONCE, WRITE_ONCE
	Acquire       // smp_load_acquire
	Release       // smp_store_release, rcu_assign_pointer
	Read          // smp_rmb, a fence
	Write         // smp_wmb
	Full          // smp_mb
	numOrders
)

// Test is a comparison of A and B.
type Test uint8

// The tests. Odd looks at A alone.
const (
	Equal Test = iota
	Unequal
	Less
	Odd
	numTests
)

// Section is a kind of read section, which grace periods wait for.
type Section uint8

// The sections.
const (
	NoSection Section = iota
	RCU               // rcu_read_lock
	Trace             // rcu_read_lock_trace: RCU Tasks Trace
	SRCU              // srcu_read_lock: a counter, and a full barrier
	numSections
)

// Life says when the memory of a freed object may be used again.
type Life uint8

// The lives of an object after free.
const (
	Now        Life = iota // kfree: at once, for anything
	Slab                   // SLAB_TYPESAFE_BY_RCU: at once, for another of its kind
	AfterRCU               // call_rcu
	AfterTrace             // call_rcu_tasks_trace
	numLives
)

// Line is the cache line that a step needs, as the timed machine prices it. NoLine
// rides on what an earlier step brought, or is private.
type Line uint8

// The lines. The fields of a vm_area_struct are on lines that differ between versions.
const (
	NoLine      Line = iota
	CountLine        // mmap_lock.count
	SeqLine          // mm->mm_lock_seq
	TreeRoot         // root node of the maple tree
	TreeLeaf         // leaf node
	VMAHead          // line 0 of a VMA: vm_start, vm_flags, vm_lock_seq
	VMAMiddle        // line 1: vm_pgoff, where it is not on line 2
	VMATail          // line 2: vm_file
	FileLine         // struct file
	UprobeTree       // root of the rb tree, its lock and its sequence
	UprobeNode       // struct uprobe
	HitCounter       // trace_uprobe's nhit
	VMALockLine      // vm_lock, an object of its own
	NumLines
)

// Work is a share of the private cycles of a lookup that a step takes.
type Work uint8

// The shares.
const (
	NoWork   Work = iota
	HalfWalk      // half of a lookup: one of its two trees
	HalfSRCU      // half of a pair of srcu_read_lock and unlock
	numWorks
)

// Outcome is how a lookup ended: resolved without mmap_lock, or why not.
type Outcome uint8

// Lockless and the reasons to fall back to mmap_lock, in the order of the
// speculative walk (find_active_uprobe_speculative).
const (
	Lockless     Outcome = iota // resolved without mmap_lock
	WriterActive                // the sequence was odd at the begin
	SeqChanged                  // the sequence changed before the end
	NoVMA                       // no mapping at the address
	NoFile                      // the mapping has no file
	NoUprobe                    // no uprobe at (inode, offset)
	Unconfigured                // the resolver never speculates
	NumOutcomes
)

// Kind is a kind of object.
type Kind uint8

// The kinds of objects.
const (
	NoKind  Kind = iota
	Globals      // what belongs to no object
	MM           // mm_struct
	Node         // a leaf of the maple tree: a slot for each page
	VMA          // vm_area_struct
	File         // struct file
	Uprobes      // uprobes_tree with its lock and sequence
	Uprobe       // struct uprobe
	NumKinds
)

// Field is a word of an object.
type Field uint8

// The fields, kind by kind.
const (
	NoField Field = iota

	X // Globals: for litmus tests
	Y
	Z
	DupSem  // dup_mmap_sem: keeps fork and registration apart
	Mapped  // i_mmap: another address space that maps the file
	Started // wake_up_new_task
	HitCount

	MMLock // mmap_lock
	MMSeq  // mm_lock_seq
	MMRoot // root of mm_mt
	Opcode // what is at the probed address: 1 for a breakpoint

	Slot // Node: a slot, by page

	VMAStart // vm_start; once freed, the rcu_head is in its place
	VMAEnd
	VMAPgoff
	VMAFile
	VMAFlags    // 1: VM_MAYEXEC, and neither VM_HUGETLB nor VM_MAYSHARE
	VMALockSeq  // vm_lock_seq
	VMADetached // detached: no longer in the tree
	VMALock     // vm_lock
	VMAOf       // vm_mm

	Inode // File: f_inode

	TreeLock // uprobes_treelock
	TreeSeq  // uprobes_seqcount
	RBRoot   // rb_root

	UprobeInode
	UprobeOffset
	Left
	Right
	Refs          // uprobe->ref
	ConsumerLock  // register_rwsem
	ConsumerOwner // its owner
	Consumers

	NumFields
)

// KindOf returns the kind of object that has the field.
func (f Field) KindOf() Kind {
	switch {
	case f == NoField:
		return NoKind
	case f <= HitCount:
		return Globals
	case f <= Opcode:
		return MM
	case f == Slot:
		return Node
	case f <= VMAOf:
		return VMA
	case f == Inode:
		return File
	case f <= RBRoot:
		return Uprobes
	}
	return Uprobe
}

// IsLock reports whether the word is a lock.
func (f Field) IsLock() bool {
	switch f {
	case DupSem, MMLock, VMALock, TreeLock, ConsumerLock:
		return true
	}
	return false
}

// Reg is a register: a local variable of the thread.
type Reg uint8

// The registers. The first ones are what a thread is started with.
const (
	NoReg      Reg = iota
	RegGlobals     // g
	RegUprobes     // uprobes
	RegMM          // mm: current->mm
	RegAddr        // addr: the page looked up
	RegInode       // inode
	RegOffset      // offset: in the file, in pages
	RegOutcome     // outcome: see Outcome
	RegUprobe      // uprobe: the answer; 0 for none
	RegOpcode      // opcode
	RegSeq         // seq: the sequence at the begin
	RegNow         // now: and at the end
	RegNode        // node
	RegVMA         // vma
	RegFile        // file
	RegFlags       // flags
	RegPgoff       // pgoff
	RegStart       // start
	RegEnd         // end
	RegTreeSeq     // treeseq
	RegKey         // key
	RegMM2         // mm2: another address space
	RegVMA2        // vma2
	RegNode2       // node2
	RegBacking     // backing: the file is of an overlay
	RegLast        // last: the file goes with its mapping
	RegLink        // link: what an rcu_head holds
	RegTmp         // tmp
	R0             // r0 and on: for users
	R1
	R2
	R3
	NumRegs
)

// Value is what a word or a register holds: a number, or an object's handle. 0 is no
// object.
type Value = uint64

// Registers are the local state of a thread.
type Registers [NumRegs]Value

// Loc is a location: a field of the object that a register holds.
type Loc struct {
	Base  Reg
	Field Field
	Index Reg // of a slot
}

// Operand is a register or a constant.
type Operand struct {
	Reg   Reg   // NoReg: Const
	Const Value // two's complement where it is negative
}

func (o Operand) in(r *Registers) Value {
	if o.Reg != NoReg {
		return r[o.Reg]
	}
	return o.Const
}

// Step is one instruction of a program.
type Step struct {
	Op    Op
	Order Order
	Test  Test
	Sect  Section
	Life  Life
	Kind  Kind
	Dst   Reg
	At    Loc
	A, B  Operand
	Minus bool // A - B
	Bits  uint8
	// Part is what a torn load brings of the word: a mask, 0 for all.
	Part Value
	To   int // If: the step to go to; the length of the program is its end
	// Refuse is the outcome that a taken If gives the lookup; Lockless for a mere branch.
	Refuse Outcome
	// Commits says that with this store the writer's operation has happened: a locked
	// lookup answers from then on as it leaves things.
	Commits bool

	Frame string // the kernel function
	Line  Line
	Work  Work
	Rules []Rule // that it was picked by
}

// Rule is a condition on a step: it is there while the rule holds, or only without.
type Rule struct {
	Name string
	Off  bool
}

// Program is a sequence of steps. It ends where it runs off its end.
type Program []Step

// Locks: a word holds one writer, or a number of readers.
const (
	lockWriter = 1
	lockReader = 2
)

// Waits reports whether the step cannot be taken while its word holds v.
func (s *Step) Waits(v Value) bool {
	switch s.Op {
	case LockRead:
		return v&lockWriter != 0
	case LockWrite:
		return v != 0
	case Await:
		if s.Test == Odd {
			return v&1 != 0
		}
		return v == 0
	}
	return false
}

// Loads and Stores tell what the step does to its word.
func (s *Step) Loads() bool { return s.Op >= Load && s.Op != Store }

// Stores reports whether the step writes its word.
func (s *Step) Stores() bool { return s.Op >= Store && s.Op != Await }

// Atomic reports whether the step reads and writes its word in one.
func (s *Step) Atomic() bool { return s.Loads() && s.Stores() }

// Exec is the meaning of a step, for whoever runs it: loaded is what its word holds, as
// far as the machine's memory shows it (for Alloc, the object's handle); the registers
// change in place. It returns what the word holds then, and whether to go to s.To. Only
// Store, Add and the locks change the word. A step that waits must not be executed.
func (s *Step) Exec(r *Registers, loaded Value) (stored Value, jump bool) {
	switch s.Op {
	case Set:
		r[s.Dst] = s.sum(r)
	case If:
		jump = s.holds(r)
		if jump && s.Refuse != Lockless {
			r[RegOutcome] = Value(s.Refuse)
		}
	case Alloc:
		r[s.Dst] = loaded
	case Load, Await:
		if s.Part != 0 {
			loaded &= s.Part
		}
		r[s.Dst] = loaded
	case Store:
		stored = s.fit(s.sum(r))
	case Add:
		stored = s.fit(loaded + s.A.in(r))
		r[s.Dst] = loaded
	case LockRead:
		stored = loaded + lockReader
	case LockWrite:
		stored = lockWriter
	case TryRead:
		stored = loaded
		r[s.Dst] = 0
		if loaded&lockWriter == 0 {
			stored += lockReader
			r[s.Dst] = 1
		}
	case UnlockRead:
		stored = loaded - lockReader
	case UnlockWrite:
		stored = 0
	case Downgrade:
		stored = lockReader
	}
	return stored, jump
}

// sum is A + B, or A - B.
func (s *Step) sum(r *Registers) Value {
	if s.Minus {
		return s.A.in(r) - s.B.in(r)
	}
	return s.A.in(r) + s.B.in(r)
}

// fit cuts a value to the width of the word.
func (s *Step) fit(v Value) Value {
	if s.Bits == 0 || s.Bits >= 64 {
		return v
	}
	return v & (1<<s.Bits - 1)
}

func (s *Step) holds(r *Registers) bool {
	a, b := s.A.in(r), s.B.in(r)
	switch s.Test {
	case Equal:
		return a == b
	case Unequal:
		return a != b
	case Less:
		return a < b
	}
	return a&1 != 0
}
