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
package bpftrace
