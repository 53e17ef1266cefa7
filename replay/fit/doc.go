// Package fit holds replays against what is known to be true, and fits machine profiles to
// it.
//
// [Validate] plays a trace with the resolver of the recorded kernel and compares outcomes,
// hit by hit. [ToTraces] fits a profile to recordings, [ToBench] to a table of the kernel's
// benchmark, which [Bench] simulates.
//
// # Waits
//
// A lookup that falls back asks for the lock when the recorder is done with its
// lock_start, and sleeps when the lock is taken then. [Validate] adds what waking
// up takes: WakeLatency, the mean of many; or longer, when another thread's rows
// show that it had the CPU (occupancy.go). It adds it where it holds up nobody,
// since the rows say when a thread went on. Of the sleeps of a recording some have
// no trace of who was in the way; those come out at WakeLatency. Where arrivals are
// inferred, a wait is by what the hit is late beyond what recording costs.
//
// # What a prediction may see
//
// [Validate] hides outcomes: with arrivals of their own ([timeline.Stamps]) nothing of a
// lookup's lock events is read; with lock events ([timeline.Locks]) only the position of a
// lookup comes from its own lock_start, never its length or its outcome, and how
// long it waited is not read, nor are the stamp and the CPU of its hit, or any row
// of its thread, for the time that it took to wake up; without ([timeline.Syscalls]) no lock event is. A test takes
// out or scrambles what is hidden and gets the same predictions.
//
// Each lookup is where the rows show it: one that is wrongly predicted to wait does not hold
// up its thread's next. Otherwise a false fallback at the begin of a section would make a
// missed one of the next lookup, which the same section made fall back.
//
// That position leaks all the same: the stamps of lookups that fell back and of those that
// did not are displaced differently, and moving only the former into the sections would make
// nearly all of them right. So by how much they differ is not fitted to outcomes, but taken
// from the pace of steady threads. With stamps there is nothing of the kind to move.
//
// Recording a fallback's lock events makes its hit late by 4 to 8 µs, which is what a
// prediction without lock events sees. Whether it would do without, a light recording shows:
// lock_starts alone, whose truth costs 0.4 µs ([Comparison].Light, and Event.InUprobe).
package fit
