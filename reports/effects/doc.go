// Package effects ranks what a program could do otherwise by what it would save its
// lookups, in the manner of causal profiling: each candidate is a what-if (package whatif),
// replayed beside the trace as it was recorded, and what it saves is measured, not
// guessed from how often something comes up.
//
//  1. [Candidates] takes from a run who changed the address space at the cost of hits, and
//     which probes were hit: those writers do it half as often, not at all, in half the
//     time, or on a thread of their own; those probes are hit a tenth as often.
//  2. [Rank] replays all of them, and any others, beside one reconstruction of the trace.
//
// What it says is of the recorded program at its recorded times: see package whatif for
// what stays as it was.
package effects
