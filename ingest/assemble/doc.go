// Package assemble turns the records of any source into the rows of a trace. All
// parsers, binary or text, hand their records to it, so that the same recording
// gives the same rows whatever form it comes in.
//
//  1. [Lookup] says what a tracepoint becomes: its kind, whether it is one end of
//     a syscall, and which field goes into which column.
//  2. The parser fills a [Record] and gives it to [Assembler.Add] in the order of
//     its input, or to [Assembler.Place] where that is the order of time already.
//  3. [Assembler.Advance] says up to which time the input is complete. Records up
//     to there are put in order of time, CPU and input.
//  4. In that order they become rows. A syscall's row takes its place at the entry
//     and is completed at the exit; a lock_start waits until it is known whether a
//     uprobe lookup took the lock. Threads get their names, hits their files,
//     callchains their modules, from the mappings known so far.
//  5. [Assembler.Next] yields rows as soon as none before can change any more, and
//     joins the hits that one trap made (traces.Traps).
//
// Nothing is dropped silently: what does not fit is counted, and becomes a
// warning of the trace.
package assemble
