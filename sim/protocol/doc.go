// Package protocol is the one definition of what a uprobe hit does to find its uprobe,
// and of what the other side does to the address space meanwhile: programs, as data.
// The timed machine of package sim prices them; package explore runs them in every
// order under a memory model.
//
//  1. programs.txt holds the programs in a text form that reads like the kernel
//     functions they stand for. [Parse] reads it, and what users write beside it.
//  2. [Library.Assemble] puts a program together: it copies in what the program uses,
//     picks the variant of a [Version], and leaves out what belongs to rules that are off.
//  3. A [Program] is a sequence of [Step]s. A step names the word it touches ([Loc]: a
//     field of the object that a register holds), its memory order, and the cache line
//     that it needs ([Line]) where another step has not brought it.
//  4. [Step.Exec] is what a step means: a function of the registers and of what the word
//     holds. Which of its values a word shows, and when a store is seen, is the business
//     of whoever runs the program; so are the lives of objects.
//
// # The text form
//
// "program NAME" begins a program, "program NAME.SUFFIX" its variant for a version; "use
// NAME" copies one in, "at FUNCTION" names the kernel function of the steps that follow.
// Steps are
//
//	REG = load[.once|.acquire] LOC [part MASK]   a MASK takes a part of a torn load
//	store[.once|.release] LOC[:BITS] = SUM [commits]
//	REG = add LOC VALUE                          atomic, of full order; REG is what was there
//	fence read|write|full
//	REG = SUM                                    VALUE, VALUE + VALUE or VALUE - VALUE
//	if COND goto LABEL      goto LABEL      LABEL:
//	refuse OUTCOME if COND goto LABEL            the lookup gives up, for that reason
//	lock|unlock read|write LOC   downgrade LOC   REG = tryread LOC   REG = await LOC [even]
//	enter|leave rcu|trace|srcu
//	REG = alloc KIND        free[.slab|.rcu|.trace] REG
//	begin   answer REG   sigtrap   touch
//
// where LOC is REG.FIELD, or NODE[REG] for a slot, and COND one of ==, !=, < and odd. At
// the end of a line, {LINE} or {LINE half} is its price (a line that an earlier step has
// brought costs nothing more, and is not named again), "@rule" says that the line is
// there while the rule holds, and "@!rule" that it takes the place of others when not.
// commits marks the store with which an operation has happened, as far as lookups with
// the lock can tell.
//
// # What is modelled
//
// An address is a page number, a file offset counts pages, a leaf of the maple tree has a
// slot for each page, and the vm_flags that uprobes ask for are one word. What is probed
// is one page of a process, whose instruction is mm.opcode: 1 is a breakpoint. Locks are
// words that hold one writer or some readers; how mmap_lock is handed over is the
// business of the timed machine.
//
// The versions differ in: the width of the sequence (mm.seq:32), the points where it
// changes (seq-begin, seq-end), the refusal of an odd one (sample), the barriers, the
// check of vm_flags before patch 3 (check-flags), READ_ONCE or a racy read of vm_file
// (read-file), the layout of the vm_area_struct (read-offset), and the lifetime of files
// and VMAs (remove-vma). A kernel without per-VMA locks is that of refcount, srcu and
// locked: their speculation is empty, as the stubs of such a kernel refuse always.
//
// # Sources
//
// The kernel: mm/mmap.c, mm/vma.c, mm/memory.c (lock_vma_under_rcu),
// include/linux/mmap_lock.h, kernel/events/uprobes.c, kernel/fork.c (dup_mmap). The series,
// on lore.kernel.org: 20240906051205.530219-1-andrii@kernel.org (v1),
// 20241010205644.3831427-1-andrii@kernel.org (v3), 20241122035922.3321100-1-andrii@kernel.org
// with 20241122174416.1367052-1-surenb@google.com (as merged for 6.14).
package protocol
