// Package capture records what ingest reads: it knows which events a trace needs,
// and how to ask the kernel and perf for them.
//
//  1. [Parse] reads a PROBE as users write it; [Resolve] finds the instructions
//     that it means, in ELF files: offsets that uprobes are defined by.
//  2. [NewPlan] makes a [Plan]: definitions of probes, and the command line of the
//     recorder. [Plan.Script] prints it for a machine without this program.
//  3. [Machine.Missing] tells what the machine lacks, and how to get it.
//  4. [Guard.Add] defines the probes. The guard is a process that removes them when
//     this one is done with them, or was killed; [Tracefs.Clean] removes those of
//     captures that were killed together with their guard.
//  5. [Plan.Record] runs the recorder until it ends or is asked to. For bpftrace it
//     has the program in a process that calls [Become]: nothing of that is recorded
//     before it is the program.
//
// To find a program's libraries, its dynamic linker is asked. Nothing is mounted, installed or downloaded, and of a probed file only its
// symbols and notes are read.
package capture
