// Package perfdata reads the files of perf record: perf.data, and the stream of
// perf record -o -. It knows the format and nothing of what the events mean.
//
//  1. [New] and [NewPipe] read the header: attributes, event names, tracepoint
//     formats, and what the machine was. A pipe tells these in records.
//  2. [Reader.Next] yields records in the order of the file. Samples are decoded
//     by the attribute that their id leads to (evlist__event2evsel), fields of
//     tracepoints by the format in the file. Compressed records are inflated on
//     the way.
//  3. Records and features of unknown type are skipped and counted.
//
// Files are read in one pass and in bounded memory. Whatever the bytes are, the
// answer is a record or an [Error] with a position; never a panic.
package perfdata
