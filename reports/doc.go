// Package reports turns a replay.Result into files that people and programs
// read. It is the last stage of the pipeline and computes nothing that a run did
// not find: it sorts nothing anew, samples nothing and knows no clock, so equal
// Results give equal bytes.
//
//  1. JSON writes report.json, the machine-readable form with every figure in it
//     ([Document]); ReadJSON reads it back, and refuses a report that lacks one.
//  2. Text writes the report for a terminal, in 80 columns: what was recorded, where
//     lock events tell, then what was simulated, the headline of each first.
//  3. HTML writes the same as a page with charts: one file, which works offline.
//  4. HitProfile and BlameProfile make pprof profiles: where hits spend their
//     time, and whose address-space changes cost it. Kernel frames of a trace
//     without kernel symbols are those that Linux goes through for the operation.
//  5. Timeline writes write sections and fallbacks as a trace-event file for
//     Perfetto; Benchfmt writes the figures for benchstat.
//  6. Folded, CSV, OpenMetrics and Mail are the same figures for other programs, made of
//     a report.json and of profiles.
//  7. A Dir takes all of them into one directory, or none, with the trace that was made
//     of a raw capture. Index is a page of several runs; package web serves it, the
//     directories, and pprof's web UI.
//  8. Baseline, Limit and Check are the gate for CI: a replay has no noise, so a
//     figure is compared with the one on record, exactly or within a stated limit.
//     Only several captures of one program (a set) vary, and are compared as samples.
//     Package ci writes the verdict in the formats of CI systems. Diff shows two runs
//     side by side.
//  9. Info counts what is in a trace; Bench, BenchCalibration, TraceCalibration and
//     ValidationJSON are the documents of the commands that measure the model, and
//     Explanation that of single waits.
//
// # What is unknown
//
// What the trace cannot tell (replay.Result.Unknown) is null in report.json, with its
// reason and its remedy under "unknown", and one sentence in the headline in place of
// figures. Events, threads and stacks are counted all the same, as rows. Where only
// samples of hits were recorded, trace.hits and runs[].hits are null too. Check gives no
// verdict on a figure that is unknown on either side.
//
// # Time
//
// Virtual time is a whole number of picoseconds. report.json gives nanoseconds
// with up to three decimals, so nothing is lost and sums agree. Profiles hold
// whole nanoseconds; what is cut off one sample is carried to the next, so that
// each column adds up to the run's total. The text report and the page round to
// three digits.
package reports
