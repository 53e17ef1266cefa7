// Package bpftrace reads what bpftrace prints, as text and as JSON, and has the
// script that makes it print what a trace needs.
//
//  1. [Script] is the program for bpftrace 0.17 and later. It prints a line per
//     event: Prefix, the event, time in ns, CPU, process, thread, and fields by
//     name, of which the last is the thread's name:
//
//     replay1 hit 3794543275451 1 20 21 addr=0x401136 probe=app:f path=/bin/app comm=app
//     replay1 syscalls:sys_enter_munmap 3794543292451 1 20 21 addr=0x7f0000001000 len=0x2000 comm=app
//
//     An event of the kernel has the name of its tracepoint and of the fields of
//     it. A stack follows its line, one frame to a line, each after a tab.
//
//  2. [Snapshot] writes, in the same form, what no event tells: the machine, its
//     clocks, and the mappings of processes that run already. [Follow] adds those of
//     processes that start or map more code while bpftrace prints; without them a
//     stack of a process that has ended has addresses only.
//
//  3. [New] and [NewJSON] make a [Parser] of what was printed, with these lines in
//     front or without. It yields records for the assembler in the order of the
//     input, and losses where bpftrace printed them.
//
//  4. [ReadStderr] counts the losses that went to standard error instead.
//
//  5. [ParseFormat] reads a [Format], which says what the lines of another script
//     mean.
//
// A line that the script or the format knows is an event, whatever else it looks like.
// Of the others, the messages and maps that bpftrace prints itself are counted, not
// skipped silently; a line that makes no sense is a [lines.Error] with its number, and
// the parser goes on after it.
package bpftrace
