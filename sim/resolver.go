package sim

import (
	"fmt"
	"strings"
)

// action is one thing that a lookup does. What it touches and decides is
// defined once, in lookup.go, for every resolver.
type action uint8

const (
	seqBegin       action = iota // sample the sequence with acquire; refuse odd
	findVMA                      // walk the maple tree to the address
	readFile                     // vma->vm_file
	readOffset                   // vm_start, vm_pgoff, f_inode: the key
	findUprobe                   // walk the rb tree to the key
	seqEnd                       // read barrier; the sequence must be what it was
	mmapReadLock                 // mmap_read_lock
	mmapReadUnlock               // mmap_read_unlock
	vmaReadLock                  // vma_start_read: refuse a write-locked VMA
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
}

var (
	walkSteps = []Step{
		{"mtree_load", findVMA},
		{"find_active_uprobe_rcu", readFile},
		{"find_active_uprobe_rcu", readOffset},
		{"find_uprobe_rcu", findUprobe},
	}
	lockedSteps = enclose(Step{"down_read", mmapReadLock}, walkSteps, Step{"up_read", mmapReadUnlock})

	speculateSteps = []Step{
		{"mmap_lock_speculation_start", seqBegin},
		{"mtree_load", findVMA},
		{"find_active_uprobe_speculative", readFile},
		{"find_active_uprobe_speculative", readOffset},
		{"find_uprobe_rcu", findUprobe},
		{"mmap_lock_speculation_end", seqEnd},
	}
	pervmaSteps = []Step{
		{"mtree_load", findVMA},
		{"lock_vma_under_rcu", vmaReadLock},
		{"find_active_uprobe_rcu", readFile},
		{"find_active_uprobe_rcu", readOffset},
		{"find_uprobe_rcu", findUprobe},
		{"vma_end_read", vmaReadUnlock},
	}
	refcountSteps = []Step{
		{"down_read", mmapReadLock},
		{"mtree_load", findVMA},
		{"find_active_uprobe", readFile},
		{"find_active_uprobe", readOffset},
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

// Resolvers are all that there are, oldest kernel first, the upper bound last.
var resolvers = []Resolver{
	{
		Name: "refcount", Doc: "up to 6.11: tree lock, uprobe refcount, register_rwsem and mmap_lock",
		Locked: refcountSteps,
		Before: []Step{{"down_read", lockConsumers}, {"uprobe_dispatcher", countHit}},
		After:  []Step{{"up_read", unlockConsumers}, {"put_uprobe", putUprobe}},
	},
	{
		Name: "srcu", Doc: "6.12: SRCU and a lockless tree; mmap_lock remains",
		Locked: append([]Step{{"__srcu_read_lock", srcuEnter}}, lockedSteps...),
		Before: []Step{{"uprobe_dispatcher", countHit}},
		After:  []Step{{"__srcu_read_unlock", srcuLeave}},
	},
	{
		Name: "locked", Doc: "6.13: RCU Tasks Trace; the lookup takes mmap_lock for read",
		Locked: lockedSteps,
	},
	{
		Name: "pervma", Doc: "a read lock on the VMA alone, then the locked path",
		Speculate: pervmaSteps, Locked: lockedSteps,
	},
	{
		Name: "speculative-v1", Doc: "the series as first posted: a 32-bit int sequence, barriers as posted",
		Speculate: speculateSteps, Locked: lockedSteps, SeqBits: 32,
	},
	{
		Name: "speculative", Doc: "the series, v3: a 64-bit sequence around a lockless walk, then the locked path",
		Speculate: speculateSteps, Locked: lockedSteps, SeqBits: 64,
	},
	{
		Name: "speculative-merged", Doc: "as merged for 6.14: the same on a 32-bit seqcount",
		Speculate: rename(speculateSteps, "mmap_lock_speculate_try_begin", "mmap_lock_speculate_retry"), Locked: lockedSteps, SeqBits: 32,
	},
	{
		Name: "ideal", Doc: "the same walk with nothing shared: the upper bound",
		Speculate: walkSteps,
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

// rename gives the first and the last step the names of another version.
func rename(steps []Step, first, last string) []Step {
	renamed := append([]Step(nil), steps...)
	renamed[0].Frame, renamed[len(renamed)-1].Frame = first, last
	return renamed
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
