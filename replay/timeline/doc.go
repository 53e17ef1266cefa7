// Package timeline turns the rows of a trace into operations on the recording's clock:
// lookups of hits, sections of mmap_lock, changes of address spaces.
//
//  1. [TakeSurvey] reads the trace once: counts, the pace of each thread, what recording an
//     event costs (recorder.go), measured between rows that have nothing else between
//     them, what was lost (losses.go), which probes are optimised (sites.go). A
//     [Surveyor] does that while something else reads or makes the trace; what it found
//     can be kept with the trace (kept.go), which then needs no survey.
//  2. [Reconstruct] reads the trace, and yields an [Operation] at a time, in order. [Share]
//     hands them to several readers. On the way it notes what the recorded kernel did
//     ([Recording]), where that is asked for.
//
// A hit is a trap, and a trap is one lookup, however many events it made: rows with
// Event.Trap are counted, and decide nothing. A return probe traps at its function's
// entry too; where that was not recorded, [Survey.Unseen] counts the lookups that are
// missing. Where it is unknown which lock events are of lookups, hits are placed in time as
// in a trace without lock events. Threads whose process is unknown share one address space.
//
// # What was recorded
//
// A [Recording] says what the recorded kernel did, from lock events alone (lockbook.go).
// Locks are told apart by the kernel's mm, since a thread also takes those of other
// processes: to read /proc/PID/smaps, for ptrace, for process_vm_readv. A wait is put
// down to all who had the lock meanwhile; a reader waits for another only while a
// writer is queued between them. Nothing is taken off a wait: recording its lock_start
// is part of it, and a wait no longer than that (Recording.Unblocked) is none.
// A hold whose lock_released was lost ends, with unknown length and blaming nobody,
// when another gets the lock that it would have kept out.
//
// # Arrivals
//
// A hit's row is stamped when its handler runs, after its lookup and after any
// wait. So the lookup is placed before it:
//
//   - with an arrive row, where that says: a quarter of the hits tell how long after it a
//     lookup begins;
//   - with a lock_start of the lookup itself (it failed): it ended as much earlier than
//     HitLag as the pace of threads shows such rows to be later than hits, or else FailLag
//     before, and as much more as a lock_start is late whose code is out of the caches;
//   - else HitLag before the hit's own stamp.
//
// Each lookup takes Window: its own time and the spread of those lags, the same for
// all. Where a trace has no lock events, or they may not be used, a hit that fell
// back does not say so. Then each hit has two explanations, on time or late because
// of a section, and the likelier is taken: see inference.go. What the recorder
// itself adds to a late hit, and to a writer before its lock, is found on the trace:
// it is what makes all stamps likeliest (inference_fit.go). How likely each hit fell back
// goes with it (Origin.Likely). Where each event has a
// callchain, those of lock events make write sections longer, too.
//
// The hit of an optimised probe looks up twice, and whether it is one, is found in the
// survey (sites.go). Its check of the trampoline is placed by its own lock_start, or
// CheckLead before the lookup of the uprobe: a lookup that seems to be on time takes no
// longer, in both parts, than Window and that lead. When the check fell back, the second
// lookup is where its own rows show it, and not when the simulated check is done: the
// wake-up in between is not simulated. Validation compares lookup by lookup.
//
// # Write sections
//
// A section is mmap_lock held by a thread, for read or write, from when it got the lock to
// when it let go. In a write section the sequence is odd, up to its end or a downgrade.
// openSection is one whose end has not come, [Section] one that lock events show, callSection
// the one that a syscall must have had, modelSection where the model places that, by the
// sectionOffset of its kind, and sectionSpan while it keeps the sequence odd.
//
// With lock events a section is odd from AcquireLead before its lock_acquired, longer
// where its thread had slept for the lock, to some time after the row that ends it. That row comes before the sequence is
// bumped (mmap_write_unlock, mmap_write_downgrade), and recording it takes time:
// what the thread took from there to the end of its syscall, less ExitLag; where it
// did not return at once, what it usually takes. Without lock events a section lies
// in its syscall as the profile's machines.SectionModel says, after those of calls that left
// the kernel during it, and after what a recorder of lock events spent before the
// lock; a lookup on time inside it cuts it short.
//
// With [Config.Queue], calls that are in the kernel together have the lock one after the other,
// each at its end, as long as such calls have it that are alone (calls.go). That assumes that
// who is held up is so while it waits: right for most calls of the recordings in package fit,
// wrong for one that frees pages, for read, and loses its CPU. One that a lookup overtook
// which fell back did not wait for the lock, since that would have queued behind it.
// Validation goes without: there a late hit is explained by all of the time that the section
// may have been, which was better on recordings that had been kept aside.
//
// # Queues
//
// With [Config.Queue] a section begins when its thread asked for the lock, where another was
// seen with it: at its lock_start, and what recording that takes, or where its call gets to
// the lock (turn.go). How it came to have it goes with it: when, and how long after somebody
// let go of the lock it went on (Operation.Wait, Operation.Woken). A lockQueue follows who is
// let in when, as rwsem.c does: a reader has the lock from then on, a writer when it runs.
// A replay as recorded gives nobody the lock sooner than then, so that sections lie where they
// did, and who waits for whom is simulated. Validation goes without: there sections are where
// the rows show them, and a lookup that is wrongly predicted moves none.
//
// # Losses
//
// The recorder says when it dropped events, and how many, not which. One that is
// lost was a hit, or part of a section of any writer: so all that overlaps such a gap
// is undecided, and so is all between a gap and the end of something whose beginning
// is missing, or the other way round (losses.go).
package timeline
