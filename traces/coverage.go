package traces

import (
	"fmt"
	"slices"
	"strings"
)

// Coverage finds out what a trace cannot tell: from its rows, which Add is shown, from
// what was recorded without making any, and from what the source says of itself. That
// something was not recorded never means that it did not happen.
type Coverage struct {
	lookups, rets int64 // several events of one trap are one lookup
	whole, cut    int64 // rows of calls that change address spaces: with a duration, without
	stray         bool  // one of these, or of locks for write, does not say which thread it is of

	locks, starts, writes int64          // lock events; lock_start; for write, from lock_acquired on
	undecided             int64          // lookups right after a lock_start that may have been theirs
	waiting               map[int32]bool // threads after such a lock_start

	actors   int64 // hits and changes of address spaces
	nameless int64 // those that do not say which process they are of
	named    bool  // one of them says which thread it is of, the first
	first    int32 // that one
	several  bool  // there is another
}

// CoverageColumns are those that Add looks at.
const CoverageColumns = ColPID | ColTID | ColDur | ColWrite | ColInUprobe | ColTrap

// Add takes the next row of the trace into account.
func (c *Coverage) Add(ev *Event) {
	actor := false
	switch k := ev.Kind; {
	case k == Madvise: // most take the lock for read, and change no mapping
	case k == Hit:
		if !ev.Got(ColTrap) {
			c.lookups++
		}
		actor = true
	case k == Ret:
		c.rets++
	case k.IsSyscall() && ev.Got(ColDur):
		c.whole++
		actor = true
	case k.IsSyscall():
		c.cut++
	case k.IsLock():
		c.locks++
		if k == LockStart {
			c.starts++
		} else if ev.Write {
			c.writes++
			actor = true
		}
	}
	if actor {
		if ev.Kind != Hit && !ev.Got(ColTID) {
			c.stray = true
		}
		c.act(ev)
	}
	if ev.Got(ColTID) && (ev.Kind == LockStart || len(c.waiting) > 0) {
		c.follow(ev)
	}
}

// act notes whose row it is.
func (c *Coverage) act(ev *Event) {
	switch {
	case ev.Got(ColTID) && !c.named:
		c.named, c.first = true, ev.TID
	case ev.Got(ColTID) && c.first != ev.TID || ev.Kind == Hit && !ev.Got(ColTID):
		c.several = true
	case !ev.Got(ColTID):
		return // perf has no thread for the lock events of one that ends
	}
	c.actors++
	if !ev.Got(ColPID | ColTID) {
		c.nameless++
	}
}

// follow looks for hits of which it is unknown whether they fell back. Nothing else of
// a thread lies between the lock of a lookup and its hit.
func (c *Coverage) follow(ev *Event) {
	switch ev.Kind {
	case LockAcquired, LockReleased:
		return
	case LockStart:
		if !ev.Write && !ev.Got(ColInUprobe) {
			if c.waiting == nil {
				c.waiting = map[int32]bool{}
			}
			c.waiting[ev.TID] = true
			return
		}
	case Hit:
		if c.waiting[ev.TID] {
			c.undecided++
		}
	}
	delete(c.waiting, ev.TID)
}

// Undecided is of how many lookups it is unknown whether they took the lock.
func (c *Coverage) Undecided() int64 { return c.undecided }

// Lookups is how many traps there were that looked a probe up.
func (c *Coverage) Lookups() int64 { return c.lookups }

// Unknown lists what the trace cannot tell, each thing once, in the order of the
// constants; it is empty, and not nil, where the trace tells all.
func (c *Coverage) Unknown(m Meta) []Unknown {
	list := []Unknown{}
	for _, of := range []struct {
		what string
		find func(recorded) (why, remedy string)
	}{
		{UnknownWriters, c.writersUnknown},
		{UnknownOutcomes, c.outcomesUnknown},
		{UnknownProcesses, c.processesUnknown},
		{UnknownLosses, nil}, // which only the source can know
		{UnknownHits, c.hitsUnknown},
	} {
		u, found := fromSource(m.Unknown, of.what)
		if of.what == UnknownProcesses && !c.several {
			found = false // a thread alone has its address space to itself
		}
		if !found && of.find != nil {
			u.Why, u.Remedy = of.find(m.Recorded)
			found = u.Why != ""
		}
		if found {
			list = append(list, u)
		}
	}
	return list
}

// fromSource joins what the source says of one thing.
func fromSource(list []Unknown, what string) (Unknown, bool) {
	var whys, remedies []string
	add := func(to *[]string, s string) {
		if s != "" && !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	found := false
	for _, u := range list {
		if u.What == what {
			found = true
			add(&whys, u.Why)
			add(&remedies, u.Remedy)
		}
	}
	return Unknown{what, strings.Join(whys, "; "), strings.Join(remedies, "; ")}, found
}

// recorded is Meta.Recorded.
type recorded []string

func (r recorded) has(kinds ...Kind) bool {
	for _, k := range kinds {
		if !slices.Contains(r, k.String()) {
			return false
		}
	}
	return true
}

func (c *Coverage) writersUnknown(r recorded) (why, remedy string) {
	const both = "record the entries and exits of mmap, munmap and so on, or mmap_lock events, as replay capture does"
	switch {
	case c.stray && !c.named:
		return "no change of address spaces says which thread it is of", "print it too: perf script -F comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso"
	case c.writes > 0 || r.has(LockAcquired, LockReleased):
		return "", ""
	case c.cut > 0 && c.cut >= c.whole:
		return fmt.Sprintf("%d of %d calls that change address spaces have only an entry or only an exit", c.cut, c.cut+c.whole), both
	case c.whole > 0 || r.has(Mmap, Munmap):
		return "", ""
	case r != nil:
		return "nothing that changes address spaces was recorded", both
	}
	return "nothing that changes address spaces was recorded, or nothing came: the input does not say which", both + ", and ingest the perf.data itself"
}

// Partly says which calls that change address spaces were recorded where others were
// not, or is "": what those did is not in the trace.
func (c *Coverage) Partly(m Meta) string {
	r := recorded(m.Recorded)
	if len(r) == 0 || c.writes > 0 || r.has(LockAcquired, LockReleased) {
		return ""
	}
	var of []string
	missing := false
	for _, k := range []Kind{Mmap, Munmap, Mprotect, Mremap, Brk} {
		if r.has(k) {
			of = append(of, k.String())
		} else {
			missing = true
		}
	}
	if len(of) == 0 || !missing {
		return ""
	}
	return fmt.Sprintf("of what changes address spaces, only %s was recorded: hits that other calls made fall back are not told", strings.Join(of, ", "))
}

func (c *Coverage) outcomesUnknown(r recorded) (why, remedy string) {
	const chains = "record mmap_lock:mmap_lock_start_locking/call-graph=fp/, and print it with ip,sym,symoff"
	switch {
	case c.lookups == 0:
		return "", ""
	case c.undecided > 0:
		return fmt.Sprintf("the lock events of %d of %d lookups have no callchain that names the kernel's functions", c.undecided, c.lookups), chains
	case c.starts > 0 || r.has(LockStart):
		return "", ""
	case c.locks > 0:
		return "the lock events that say what a lock is taken for were not recorded", chains
	}
	return "no lock events were recorded", "record mmap_lock events, as replay capture does"
}

func (c *Coverage) processesUnknown(recorded) (why, remedy string) {
	if c.nameless == 0 || !c.several {
		return "", ""
	}
	return fmt.Sprintf("%d of %d hits and changes of address spaces do not say which process they are of", c.nameless, c.actors),
		"print the process too: perf script -F comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso"
}

// hitsUnknown tells of a return probe alone. It puts a breakpoint at its function's
// entry, where it has the return address replaced (prepare_uretprobe).
func (c *Coverage) hitsUnknown(recorded) (why, remedy string) {
	if c.lookups > 0 || c.rets == 0 {
		return "", ""
	}
	return fmt.Sprintf("only returns were recorded, %d of them: the lookups of these calls came at their entries, nobody knows when", c.rets), "record the probe without %return too"
}

// String is u for people, on one line.
func (u Unknown) String() string {
	s := u.What + " unknown: " + u.Why
	if u.Remedy != "" {
		s += "; " + u.Remedy
	}
	return s
}

// Unknowns picks those of a list that are about one of some things.
func Unknowns(list []Unknown, whats ...string) []Unknown {
	var picked []Unknown
	for _, u := range list {
		if slices.Contains(whats, u.What) {
			picked = append(picked, u)
		}
	}
	return picked
}
