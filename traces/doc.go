// Package traces holds recorded events: the schema, the total order, and the two
// forms in which a trace is kept.
//
// It is the second part of the pipeline: ingest makes a trace of what perf or
// bpftrace recorded, replay reads it.
//
//  1. An Event is one row, of a Kind, with a set of Columns that hold a value. A
//     Stream gives out events in the total order of Compare: by time, CPU and seq.
//  2. Create starts a Parquet file; Writer.Write checks the order and numbers the
//     rows; Writer.Commit adds the Meta and puts the file in place, whole or not
//     at all. The bytes depend on the events, the Meta and what Writer.Attach was
//     given alone.
//  3. Open or NewFile opens one; File.Events streams it back with only the
//     columns asked for, and Reader.Between for only a part of the time.
//  4. NewTextWriter and NewTextReader are the same for the text twin, one line to
//     an event, which FormatText and ParseText turn into each other. A JSONWriter
//     writes the same as one document, for others to read.
//  5. Several events may sit on one breakpoint. Traps finds the hits that one trap
//     made, which have Event.Trap in common; Relink keeps that right where rows
//     get other numbers. The Writer does, and a reader finds the traps of a file
//     of before the column.
//  6. Coverage finds out what a trace cannot tell, since it was not recorded: what rests
//     on that is unknown to all who read the trace, and never none.
//  7. Validate holds a stream to the rules of the schema, which are stricter than
//     what the readers need.
//
// The Parquet file is sorted, compressed with zstd, and has one column for each
// field, null where the recording did not tell, so that other tools can query it:
//
//	SELECT kind, count(*) FROM 'trace.parquet' GROUP BY kind
//
// Files that other tools wrote are read too, whatever the order, encoding and
// nullability of their columns, as long as the types are those of the schema;
// File.Extra names the columns beyond it. A file that is damaged is refused with
// its name, the row and the column. Pages have checksums; Parquet has none for
// the footer, so that damage there is noticed only where it contradicts itself.
//
// The package does not repair, sort or complete events: that is for ingest.
package traces
