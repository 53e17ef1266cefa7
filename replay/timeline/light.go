package timeline

import (
	"slices"

	"github.com/replay/replay/traces"
)

// lightTruth tells of one thread whether the lock_starts right before its hits are of their
// lookups, where no callchain says what a lock was taken for. Between its hits a thread
// takes mmap_lock for read in system calls, which have rows, in page faults, and in
// lookups; a lookup's is followed by its hit, those of faults by anything.
type lightTruth struct {
	open   bool  // the latest row is such a lock_start
	direct int64 // followed by a hit
	other  int64 // by something else
}

// lightFaults is how many of a thread's lock_starts, in percent, may be followed by
// something other than a hit before it counts as one that faults.
const lightFaults = 2

func (l *lightTruth) add(ev *traces.Event, t *ThreadSurvey, lookup bool) {
	switch {
	case ev.Kind == traces.LockAcquired || ev.Kind == traces.LockReleased || ev.Kind == traces.Arrive:
	case ev.Kind == traces.LockStart && !ev.Write && ev.Time > t.syscallEnd && t.Hits > 0:
		l.end(false)
		if l.open = mayBeLookup(ev); !l.open && !lookup {
			l.other++
		}
	case ev.Kind == traces.Exit:
		l.open = false
	default:
		l.end(ev.Kind == traces.Hit)
	}
}

func (l *lightTruth) end(hit bool) {
	switch {
	case l.open && hit:
		l.direct++
	case l.open:
		l.other++
	}
	l.open = false
}

// mayBeLookup reports whether a row is a lock_start that does not say what for.
func mayBeLookup(ev *traces.Event) bool {
	return ev.Kind == traces.LockStart && !ev.Write && !ev.Got(traces.ColInUprobe)
}

// faults reports whether a lock_start before a hit may as well be a page fault's.
func (l *lightTruth) faults() bool {
	return l.direct > 0 && l.other*100 > (l.direct+l.other)*lightFaults
}

// TakeLight takes the lock_starts of threads that do not fault for those of their hits,
// where no callchain tells. What is left undecided, Origin.Untold says.
func (s *Survey) TakeLight() {
	s.light = true
	s.Unknown = slices.DeleteFunc(slices.Clone(s.Unknown), func(u traces.Unknown) bool { return u.What == traces.UnknownOutcomes })
}

// TellsWaits reports whether lock events tell how long lookups waited.
func (s *Survey) TellsWaits() bool { return s.holds }

// takeLight notes a lock_start that may be of the thread's next hit, and what shows that it
// is not.
func (t *thread) takeLight(ev *traces.Event) {
	switch {
	case ev.Kind == traces.LockAcquired || ev.Kind == traces.LockReleased || ev.Kind == traces.Arrive:
	case mayBeLookup(ev) && ev.Time > t.call.to && t.lastHit != 0:
		t.truth.uprobe, t.looked, t.light = lookup{start: ev.Time, cpu: cpuOf(ev)}, true, true
	case t.light:
		t.truth.uprobe, t.light = lookup{}, false
	}
}
