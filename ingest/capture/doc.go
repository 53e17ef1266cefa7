// Package capture records what ingest reads: it knows which events a trace needs,
// and how to ask the kernel and perf for them.
//
//  1. [Parse] reads a PROBE as users write it; [Resolve] finds the instructions
//     that it means, in ELF files: offsets that uprobes are defined by.
//  2. [NewPlan] makes a [Plan]: definitions of probes, and the command line of the
//     recorder. [Plan.Script] prints it for a machine without this program.
//  3. [Missing] tells what the machine lacks, and how to get it.
//  4. [Tracefs.Add] defines the probes and [Tracefs.Remove] takes them away again;
//     [Tracefs.Clean] takes away those of captures that were killed.
//  5. [Record] runs the recorder until it ends or is asked to.
//
// Nothing is mounted, installed or downloaded, and of a probed file only its
// symbols and notes are read.
package capture
