// Package sim is the simulated machine. It knows no file format, does no I/O and
// reads no clock; equal configurations and operations give equal runs, to the
// picosecond.
//
//  1. A [Machine] gives all figures: topology, turbo, the cost of cache lines,
//     of sleeping and of the private part of a hit. A [Topology] is a machine with
//     some CPUs in use.
//  2. A [Source] yields operations ([Op]): hits, sections of mmap_lock, changes of
//     an address space. Each belongs to a [Task], a thread; tasks share CPUs.
//  3. A [Resolver] is the way from the trap address to the uprobe, and what sections of
//     mmap_lock do to the sequence: the programs of package protocol, which package explore
//     explores, compiled (plan.go). A step takes what its line costs; words.go says what
//     the words are here.
//     A walk that nothing disturbs is one event (flight.go), also beside a sibling that
//     computes (motion.go), and a hit during which nothing else happens is no event at all
//     (alone.go): tests hold that it comes to the same as step by step.
//  4. Shared data lives on cache lines (line.go), which are the currency: a line is
//     held by one core or shared by some, and moves at a cost that depends on the
//     distance. Contention is nothing but requests that queue for a line.
//  5. mmap_lock (rwsem.go) is the kernel's rw_semaphore: reader fast path and
//     stealing, writers that spin and then sleep, FIFO, handoff, wake batches,
//     downgrade.
//  6. The oracle (oracle.go) judges each answer that was found without the lock, by a record
//     of its own of what was mapped when: some instant of the lookup has to have shown it.
//     An answer that it refuses stops the machine, with a [Fault].
//  7. An [Observer] is told of every finished hit, with its row of the ledger and
//     the section to blame, and of every finished section.
//
// # Time
//
// Virtual time is an integer number of picoseconds. Events are ordered by time,
// then CPU, then thread, then insertion. Nothing iterates over a map, and the one source of
// randomness is a generator of our own with a seed.
//
// # CPUs
//
// A thread keeps its CPU for a time slice while others wait for it. One that is woken
// goes to the nearest idle CPU if its own is taken (select_idle_sibling), else before
// those that had their slice; a thread that only spins on a lock gives way to it at
// once. Without these rules handoffs wait for spinners, and crowded runs take many
// times as long. A real kernel's do not: 24 threads that map, fault and unmap on two
// CPUs of kernel 6.18 take 1.2 times as long as one that does it all.
//
// # Optimised probes
//
// Since 6.18 a probe on a 5-byte nop becomes, on x86, a call of a trampoline that makes the
// uprobe system call. Such a hit ([Op].Trampoline) costs less on its way in and out
// ([HitCosts].SyscallPermille), and looks up twice: in_uprobe_trampoline, a program of its
// own, then the resolver. That program speculates and falls back under every resolver,
// also under those of kernels before the series: no kernel has optimised probes and another
// check, so that it says what the resolver alone changes. A hit's row of the ledger is that
// of its resolver, or if that was lockless, of the check ([HitRecord].Deciding).
//
// # Memory model
//
// Steps take effect one at a time, in the order of their completion: sequential
// consistency. Stores of mmap_lock.owner and of the sequence go through a store
// buffer as far as their cost goes. The barriers that separate the versions of the
// series matter to their correctness, not to their timing on x86; what they cost on
// arm64 is published nowhere, so that v1 of the series differs from the merged one in
// nothing but the order in which it reads lines ([Resolver].Alike).
//
// # What the model leaves out
//
//   - User code between operations takes no CPU: a trace does not tell running
//     from sleeping. With more threads than CPUs, throughput in a closed loop is
//     an upper bound.
//   - Cold misses: a line that no core has used costs nothing the first time.
//     Capacity misses do not exist.
//   - When within its section a change is made: as a whole, at its last instant; the steps
//     of the operations in package protocol are explored alone. The VMAs that it
//     will write to are write-locked from the first one on (vma_start_write), after the
//     wait for their readers. A section whose operation is not known, or that was refused,
//     locks none, and neither do those of clones.
//   - Interrupts and preemption inside an operation. A recorded write section
//     keeps its recorded length, and with it whatever interrupted it then.
//   - The home socket of a line: a transfer across sockets costs the mean of both
//     directions.
//   - Page faults that find the VMA lock are invisible; those that took mmap_lock
//     are replayed where the trace has lock events.
//   - Reads of owner words (__rwsem_set_reader_owned keeps the bit below): with a
//     transfer for each, the locked lookup of two threads is fitted 10 % too slow
//     instead of 5 %, so other instructions seem to hide them.
//   - What older kernels wait for beyond the lines named in programs.txt. On
//     xeon-6138x2 their peaks are too high: refcount 4.05 M hits/s instead of less
//     than 4 M, srcu 11.4 M instead of 8 to 10 M. A published profile of the latter
//     has 14 % of all time in srcu_read_lock with 8 threads and 19 % with 16, so
//     most of it is contention; the barriers explain 2 %.
//     The shared hit counter is not it: with that alone beside a lockless lookup, 32
//     CPUs make 11.5 M hits/s here, and about 12 M on such a machine
//     (CAEf4Bzaq86fPVGWtXqvxLtbsk06coGBebnAO5YiuvuUF2v7++w@mail.gmail.com).
//   - PREEMPT_RT, whose mmap_lock is another lock altogether.
package sim
