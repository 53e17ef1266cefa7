// Package replay plays the operations of a trace on the machine of package sim, and
// gathers what happened.
//
//  1. Package timeline reads the trace once for a survey, and once more to turn its rows
//     into operations on the recording's clock, which it hands to all players.
//  2. A [Player] is one replay, through one resolver. Its source turns operations into
//     those of simulated threads: it places them on CPUs, scales time and makes clones,
//     and has the address spaces of the replay.
//  3. sim executes them; a gatherer adds up a [Run], whose distributions are of package
//     dist, and a chronicle keeps when things happened.
//
// [Play] does that for each resolver, on a profile of package machines, and makes a
// [Result] of it. Package fit plays a trace as it was recorded, compares, and fits
// profiles.
//
// # What is unknown
//
// A trace without a writer may be of a program that never changed its address space, or
// of a recorder that was not told to look. [Result].Unknown says what a trace cannot
// tell (traces.Coverage). Writers, processes and hits are what all figures of a run rest
// on: without them there is none ([Unanswered]), though the runs are there.
//
// # Losses
//
// What lost events may have changed is undecided (package timeline). A run's fallbacks of
// the full trace lie between [Run].Low, those that no loss touches, and [Run].High, with
// every undecided hit and every lost event added. A test takes gaps out of real recordings
// and finds the true number within the bounds.
package replay
