// Package mm holds the address spaces of the simulated kernel and what a uprobe
// hit is looked up in. It answers the questions of find_active_uprobe_rcu:
//
//  1. [AddressSpace.Find]: which mapping is at this address?
//  2. [VMA.File] and [VMA.Offset]: which file, and where in it?
//  3. [Uprobes.Find]: which uprobe is there?
//
// Mappings change as the kernel changes them: a new one replaces what is in its
// way (__mmap_region), an unmapped range splits what sticks out of it
// (vms_gather_munmap_vmas), a changed range is split off, or joined with its
// neighbours when they now agree (vma_merge_existing_range). Which
// vm_area_struct survives a merge or a split is followed too, since each has
// cache lines of its own: see [VMA.ID]. Every operation reports an [Effect], from
// which the length of its write section can be modelled.
//
// Operations are taken as a trace brings them, after the recorded kernel
// accepted them: unmapping what is not known to be mapped does nothing, mapping
// over something replaces it with or without MAP_FIXED.
//
// The package has no time, no I/O and no locks, and iterates over no map. What it
// leaves out, because no trace shows it:
//
//   - which pages were touched. Adjacent anonymous mappings merge as if none of
//     theirs were, but a moved one keeps its offsets as if some were.
//   - mlock, anonymous names, userfaultfd and NUMA policies, which also keep
//     mappings apart, and stack growth by page fault.
//   - pages other than 4 KiB.
package mm
