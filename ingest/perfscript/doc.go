// Package perfscript reads the text of perf script.
//
// An event is a line: thread name, ids, CPU, time, event and its fields. A
// callchain follows it, one frame to a line, and ends at an empty line. The name
// of a thread may hold anything, spaces, brackets and colons too, so that a line
// is taken apart from its time stamp, not from its start.
//
// Nothing in the text tells what perf script was asked to leave out: CPUs (-C), threads
// (--tid) or times (--time). Not even its header does, which names the command that
// recorded.
//
// [Parser.Next] yields records for the assembler in the order of the text. A line
// that makes no sense is a [lines.Error] with its number; the parser goes on after it.
package perfscript
