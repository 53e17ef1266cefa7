// Package whatif changes what a program did before it is replayed: what if it unmapped
// half as often, or if a thread of its own did that? A [Rule] says which operations of a
// trace and what becomes of them:
//
//	munmap by comm=jemalloc_bg: batch 10
//	mprotect by comm=C1, pid=71: drop
//	write: scale 0.5
//	hit by probe=libc:malloc: sample 100
//
// What comes before the colon and a space is a kind of operation: hit; write and read, for
// all that takes mmap_lock so; or what it is taken for (Kinds). After "by" stand
// conditions that all have to hold, of comm, probe, pid, tid and stack. A * at the end
// of a comm or a probe stands for any rest; a stack has to have a frame with the text in it.
// A value with a comma, a blank or a quote in it is quoted as in Go.
//
// What becomes of the operations that match, in order of time:
//
//   - drop: they do not happen.
//   - sample N: of each thread's, only every Nth happens. A hit that is left out does not
//     trap: it is as if the probe was on a place that the program comes to less often.
//   - batch N: N of a thread are done in one section, where and as long as the last was:
//     mappings that lie side by side are one to the kernel. That as many pages are freed as
//     before, later, is left out: it is done with the lock for read, which keeps no lookup
//     from being lockless, by a thread that has saved the time before.
//   - delay T: they are asked for T later, such as 50us.
//   - scale X: the lock is held X times as long.
//   - repeat N: each happens N times, one after the other.
//   - move to NAME: a thread of that name does them, which each process has for itself, on
//     the CPU where they were. With move to tid=N a recorded thread does.
//   - also PROBE: of hits: there is another probe right behind, which traps as well. On the
//     same instruction it would share the trap, and cost no lookup.
//
// All else stays where it was recorded: a program that no longer waits for its munmaps
// would be ahead of the recording, and is not. What a call that is left out did to the
// address space is left out, too, but for forks and mappings of files.
//
// [Apply] is a stage between reconstruction and replay. Several rules are applied in turn,
// each to what the one before made. It holds what is delayed or in a batch, nothing else.
package whatif
