package sim

import (
	"fmt"
	"slices"
	"strings"
)

// action is one thing that a lookup does. What it touches and decides is
// defined once, in lookup.go, for every resolver.
type action uint8

const (
	seqBegin       action = iota // sample the sequence with acquire; refuse odd
	findVMA                      // walk the maple tree to the address
	readFile                     // vma->vm_file
	readFlags                    // vma->vm_flags, where valid_vma looks at them; the trap proves that they will do
	readPgoff                    // vma->vm_pgoff, on a line of its own
	readStart                    // vma->vm_start, and vm_pgoff where it is beside vm_file
	readInode                    // vm_file->f_inode; with it the key is known
	findUprobe                   // walk the rb tree to the key
	seqEnd                       // read barrier; the sequence must be what it was
	mmapReadLock                 // mmap_read_lock
	mmapReadUnlock               // mmap_read_unlock
	vmaLooksFree                 // vma_start_read: refuse a VMA whose vm_lock_seq is the mm's sequence,
	vmaReadLock                  // count a reader, unless a writer waits,
	vmaStillFree                 // and look at the sequence again, with acquire
	vmaStillThere                // refuse a VMA that was detached, or moved, since it was found
	vmaReadUnlock                // vma_end_read
	srcuEnter                    // per-CPU counter and a full barrier
	srcuLeave
	treeLock        // read_lock(&uprobes_treelock)
	treeUnlock      // read_unlock
	getUprobe       // atomic increment of uprobe.ref
	putUprobe       // atomic decrement
	lockConsumers   // down_read(&uprobe->register_rwsem)
	unlockConsumers // up_read
	countHit        // tu->nhit++, a plain increment of a shared word
	findTrampoline  // walk the maple tree to where the system call was made
	readMapping     // vma->vm_ops, vm_private_data: is it the trampoline?
	numActions
)

// Step is one action of a resolver, and the kernel function that does it.
type Step struct {
	Frame string
	do    action
}

// Resolver is a way from the trap address to the uprobe, as a sequence of steps.
// The definitions below are all that replay times.
type Resolver struct {
	Name string
	Doc  string

	// Speculate runs first, where there is any; when a step refuses, Locked
	// answers.
	Speculate []Step
	Locked    []Step
	// Before and After enclose the handlers.
	Before, After []Step
	// SeqBits is how many bits of the sequence are compared.
	SeqBits uint
	// Alike is the resolver that reads the same lines, in another order: what else the two
	// do differently costs nothing here.
	Alike string
}

// How a mapping becomes a key differs with the layout of vm_area_struct and with what is
// checked (facts from the pahole output in the mails of 2024-10-17 on v3):
//
//   - up to 6.13, and under v1, valid_vma looks at vm_flags, beside vm_start on line 0.
//     vm_pgoff is at offset 120 on line 1, vm_file at 128 on line 2.
//   - v3 checks for a file only. Its 64-bit vm_lock_seq moves vm_pgoff to offset 128, on
//     line 2 beside vm_file.
//   - as merged, the sequence has 32 bits again, and vm_pgoff is back on line 1.
//
// Where mm_lock_seq is does not differ: in each version it follows mmlist, behind
// mmap_lock. See [Layout] for what a kernel's configuration makes of that.
var (
	keyUpTo613 = []action{readFlags, readInode, readPgoff}
	keyV3      = []action{readStart, readInode}
	keyMerged  = []action{readPgoff, readStart, readInode}
)

// walkBy goes from the address to the uprobe; frame is the function that is in between.
func walkBy(frame string, key []action) []Step {
	steps := []Step{{"mtree_load", findVMA}, {frame, readFile}}
	for _, do := range key {
		steps = append(steps, Step{frame, do})
	}
	return append(steps, Step{"find_uprobe_rcu", findUprobe})
}

func lockedBy(key []action) []Step {
	return enclose(Step{"down_read", mmapReadLock}, walkBy("find_active_uprobe_rcu", key), Step{"up_read", mmapReadUnlock})
}

func speculateBy(begin, end string, key []action) []Step {
	return enclose(Step{begin, seqBegin}, walkBy("find_active_uprobe_speculative", key), Step{end, seqEnd})
}

var (
	// lock_vma_under_rcu, of the kernels that the series was merged into.
	pervmaSteps = []Step{
		{"mtree_load", findVMA},
		{"vma_start_read", vmaLooksFree},
		{"vma_start_read", vmaReadLock},
		{"vma_start_read", vmaStillFree},
		{"lock_vma_under_rcu", vmaStillThere},
		{"find_active_uprobe_rcu", readFile},
		{"find_active_uprobe_rcu", readPgoff},
		{"find_active_uprobe_rcu", readStart},
		{"find_active_uprobe_rcu", readInode},
		{"find_uprobe_rcu", findUprobe},
		{"vma_end_read", vmaReadUnlock},
	}
	refcountSteps = []Step{
		{"down_read", mmapReadLock},
		{"mtree_load", findVMA},
		{"find_active_uprobe", readFile},
		{"find_active_uprobe", readFlags},
		{"find_active_uprobe", readInode},
		{"find_active_uprobe", readPgoff},
		{"_raw_read_lock", treeLock},
		{"find_uprobe", findUprobe},
		{"get_uprobe", getUprobe},
		{"_raw_read_unlock", treeUnlock},
		{"up_read", mmapReadUnlock},
	}
)

func enclose(first Step, steps []Step, last Step) []Step {
	return append(append([]Step{first}, steps...), last)
}

// resolvers are all that there are, oldest kernel first, the upper bound last.
var resolvers = []Resolver{
	{
		Name: "refcount", Doc: "up to 6.11: tree lock, uprobe refcount, register_rwsem and mmap_lock",
		Locked: refcountSteps,
		Before: []Step{{"down_read", lockConsumers}, {"uprobe_dispatcher", countHit}},
		After:  []Step{{"up_read", unlockConsumers}, {"put_uprobe", putUprobe}},
	},
	{
		Name: "srcu", Doc: "6.12: SRCU and a lockless tree; mmap_lock remains",
		Locked: append([]Step{{"__srcu_read_lock", srcuEnter}}, lockedBy(keyUpTo613)...),
		Before: []Step{{"uprobe_dispatcher", countHit}},
		After:  []Step{{"__srcu_read_unlock", srcuLeave}},
	},
	{
		Name: "locked", Doc: "6.13: RCU Tasks Trace; the lookup takes mmap_lock for read",
		Locked: lockedBy(keyUpTo613),
	},
	{
		Name: "pervma", Doc: "a read lock on the VMA alone, then the locked path",
		Speculate: pervmaSteps, Locked: lockedBy(keyMerged),
	},
	{
		Name: "speculative-v1", Doc: "the series as first posted: a 32-bit int sequence, valid_vma; its barriers cost what those that replaced them do",
		Speculate: speculateBy("mmap_lock_speculation_start", "mmap_lock_speculation_end", keyUpTo613), Locked: lockedBy(keyUpTo613), SeqBits: 32,
		// Its barriers are nothing on x86, like those that replaced them.
		Alike: "speculative-merged",
	},
	{
		Name: "speculative", Doc: "the series, v3: a 64-bit sequence around a lockless walk, then the locked path",
		Speculate: speculateBy("mmap_lock_speculation_start", "mmap_lock_speculation_end", keyV3), Locked: lockedBy(keyV3), SeqBits: 64,
	},
	{
		Name: "speculative-merged", Doc: "as merged for 6.14: the same on a 32-bit seqcount, with vm_pgoff and vm_file on two lines",
		Speculate: speculateBy("mmap_lock_speculate_try_begin", "mmap_lock_speculate_retry", keyMerged), Locked: lockedBy(keyMerged), SeqBits: 32,
	},
	{
		Name: "ideal", Doc: "the same walk with nothing shared: the upper bound",
		Speculate: walkBy("find_active_uprobe_rcu", keyMerged),
	},
}

// trampolineCheck is what the uprobe system call asks first: was it made from the
// trampoline? It is the same whatever looks the uprobe up, since no kernel with
// optimised probes has another (in_uprobe_trampoline, since 6.18).
var trampolineCheck = Resolver{
	Name: "in_uprobe_trampoline",
	Speculate: []Step{
		{"mmap_lock_speculate_try_begin", seqBegin},
		{"mtree_load", findTrampoline},
		{"in_uprobe_trampoline", readMapping},
		{"mmap_lock_speculate_retry", seqEnd},
	},
	Locked: []Step{
		{"down_read", mmapReadLock},
		{"mtree_load", findTrampoline},
		{"in_uprobe_trampoline", readMapping},
		{"up_read", mmapReadUnlock},
	},
	SeqBits: 32,
}

// CheckLoads is how many lines the check of an optimised hit reads without the lock.
func CheckLoads() int64 { return trampolineCheck.Loads() }

// Loads is how many lines the resolver reads without the lock.
func (r *Resolver) Loads() int64 {
	n := 0
	for _, step := range r.Speculate {
		n += len(actions[step.do].touches)
	}
	return int64(n)
}

// locksVMAs reports whether lookups take the locks of VMAs.
func (r *Resolver) locksVMAs() bool {
	return slices.ContainsFunc(r.Speculate, func(s Step) bool { return s.do == vmaReadLock })
}

// ResolverNames lists the resolvers, oldest kernel first.
func ResolverNames() []string {
	names := make([]string, len(resolvers))
	for i := range resolvers {
		names[i] = resolvers[i].Name
	}
	return names
}

// FindResolver returns the resolver of that name.
func FindResolver(name string) (*Resolver, error) {
	for i := range resolvers {
		if resolvers[i].Name == name {
			return &resolvers[i], nil
		}
	}
	return nil, fmt.Errorf("unknown resolver %q: want one of %s", name, strings.Join(ResolverNames(), ", "))
}
