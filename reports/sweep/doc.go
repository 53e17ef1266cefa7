// Package sweep replays traces over a grid of configurations, and makes results of it
// that are the same bytes wherever and in whatever order the cells were replayed.
//
//  1. A [Grid] has traces and the values of each dimension; [Grid.Cells] is all of them.
//  2. [Play] replays one trace in its cells, and makes a [Record] of each: its figures, its
//     histogram, and its profile. It is the cell function, here and on other machines.
//  3. A [Store] keeps records by the content of what they came from ([Cell.Key]), so that
//     a sweep that was killed goes on, and one that has grown replays what is new.
//  4. [Run] plays what the store lacks, on all cores.
//  5. [Merge] adds up the records of each configuration over all traces: profiles and
//     histograms add, in any order and grouping.
//  6. [Write] writes the results: sweep.parquet, sweep.json, sweep.html and the merged
//     profiles.
//
// # Columns of sweep.parquet
//
// A row for each cell, in the order of the grid. What identifies the cell comes first:
// key, trace (the file's name), trace_sha256, machine, profile (the digest of its
// figures), model_version, cpus (in use), timing, speed, clone, placement, layout ("" is
// the machine's), seed, what_if (empty is nothing), resolver. Then digest, the 16 hex
// digits that fold every decision of the replay; lost and undecided, events that the
// recorder lost and hits that they may have changed; error, null where the cell was
// replayed, and why not elsewhere. Then the figures of report.json under their names, with
// "_" for ".": counts are int64, times in ns and rates double, unknown is null.
package sweep
