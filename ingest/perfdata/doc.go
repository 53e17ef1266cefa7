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
// What perf record --threads wrote beside a file is read by [Reader.Part]. Text that
// stands between the records of a pipe is left out and counted.
//
// Files are read in one pass and in bounded memory. Whatever the bytes are, the
// answer is a record or an [Error] with a position; never a panic. A file that is cut
// short gives all its whole records first, and [Info].Incomplete says at once what
// else it lacks. After one bad record, [Skippable] says, reading can go on.
//
// Not read, and refused with ErrUnsupported: files of big-endian and of 32-bit
// machines, other compression than zstd.
package perfdata
