// Package ingest makes a trace of what users have: perf.data, the text of perf
// script, what bpftrace printed, and the text twin of the store.
//
//  1. [Open] tells the format of each input by its first bytes, never by its name
//     alone.
//  2. The reader of the format (perfdata, perfscript, bpftrace) yields records in
//     the order of the input.
//  3. assemble puts them in order of time and makes rows of them: syscalls are
//     joined, threads named, callchains resolved.
//  4. Several inputs are merged on their clock, which must be the same. Their records
//     become rows together, as if one recorder had made them; stored rows stay as they
//     are.
//
// What is no input is named, with what to do (lookalikes).
//
// The result is a [Stream]: events in total order, and at its end what the reader
// of any report must know: losses, disorder, what did not fit.
package ingest
