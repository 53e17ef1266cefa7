package timeline

import (
	"github.com/replay/replay/traces"
	recentmap "github.com/replay/replay/traces/recent"
)

// siteColumns is what sites reads.
const siteColumns = traces.ColTID | traces.ColPID | traces.ColAddr | traces.ColWrite | traces.ColInUprobe | traces.ColStack | traces.ColRet | traces.ColFlags | traces.ColPath

// sites knows which probes are optimised, in which program and from which row on: their
// hits come by system call and make two lookups each. A site becomes so after a hit by
// int3 (handle_swbp), for good. The trace shows it where
//
//   - the thread that hit takes mmap_lock for write to do it (arch_uprobe_optimize);
//   - the trampoline is mapped right after a hit, for which it was needed first;
//   - the check of a trampoline fell back. Then the site was optimised before the
//     recording, or since the trampoline is there, unless one of the others says when.
//
// A forked child has what its parent has.
type sites struct {
	programs programs
	known    map[site]since
	mapped   map[program]trampolineMap // the first trampoline
	threads  recentmap.Map[int32, siteThread]
	changes  int // of programs
}

// programs counts the programs that each process has begun: another one has other
// memory.
type programs map[int32]int32

// program is one of them.
type program struct{ pid, nth int32 }

// site is a probed address in a program.
type site struct {
	program program
	addr    uint64
}

// since is from which row on a site is optimised, as far as lock events tell, and as
// far as mappings alone do; -1 for never.
type since struct{ locks, maps int64 }

// trampolineMap is the row of a trampoline's mapping; seen says that the trace has the hit
// that it was made for, so that there was none before.
type trampolineMap struct {
	seq  int64
	seen bool
}

// siteThread is what is known of a thread.
type siteThread struct {
	hit     site // its latest hit,
	recent  bool // with nothing since but locks and mappings
	checked bool // since then, the check of a trampoline fell back
	changes int  // of programs, when it hit
}

// stackLookups knows the lookups of lock events by their stack.
type stackLookups map[stackLookup]traces.Lookup

// stackLookup is all that Event.Lookup goes by.
type stackLookup struct {
	stack    stackPart
	inUprobe bool
}

// of is ev.Lookup.
func (l stackLookups) of(ev *traces.Event) traces.Lookup {
	if ev.Kind != traces.LockStart || ev.Write || len(ev.Stack) == 0 {
		return ev.Lookup()
	}
	key := stackLookup{stackPart{&ev.Stack[0], len(ev.Stack)}, ev.InUprobe}
	lookup, ok := l[key]
	if !ok {
		if len(l) == stackPartsMax {
			clear(l)
		}
		lookup = ev.Lookup()
		l[key] = lookup
	}
	return lookup
}

func newSites() *sites {
	return &sites{programs: programs{}, known: map[site]since{}, mapped: map[program]trampolineMap{}}
}

// of is the program that the row's process is in.
func (p programs) of(ev *traces.Event) program {
	pid := processOf(ev)
	return program{pid, p[pid]}
}

// follow takes in a row that may begin a program.
func (p programs) follow(ev *traces.Event) {
	switch {
	case ev.Kind == traces.Exec:
		p[processOf(ev)]++
	case ev.Kind == traces.Fork && !forksThread(ev):
		p[int32(ev.Ret)]++
	}
}

// processOf is the process of a row; a thread of an unknown one is taken to be its own.
func processOf(ev *traces.Event) int32 {
	if ev.Got(traces.ColPID) {
		return ev.PID
	}
	return ev.TID
}

// take takes in a row; lookup is what it is a lock_start of.
func (s *sites) take(ev *traces.Event, lookup traces.Lookup) {
	if ev.Kind == traces.Map {
		s.takeMap(ev)
		return
	}
	if !ev.Got(traces.ColTID) {
		return
	}
	t := s.threads.Get(ev.TID)
	if t == nil {
		t = &siteThread{}
		s.threads.Set(ev.TID, t)
	}
	switch {
	case ev.Kind == traces.Hit && t.recent && !t.checked && t.changes == s.changes && t.hit.addr == ev.Addr && t.hit.program.pid == processOf(ev):
		// Mostly it is the site of the hit before.
	case ev.Kind == traces.Hit:
		at := site{s.programs.of(ev), ev.Addr}
		if t.checked {
			s.learn(at, func(k *since) *int64 { return &k.locks }, s.mapped[at.program].seq)
		}
		*t = siteThread{hit: at, recent: true, changes: s.changes}
	case lookup == traces.TrampolineLookup:
		t.checked = true
	case t.recent && ev.Optimises():
		s.learn(t.hit, func(k *since) *int64 { return &k.locks }, ev.Seq)
	case ev.Kind.IsLock():
	default:
		parent := s.programs.of(ev)
		s.programs.follow(ev)
		if ev.Kind == traces.Exec || ev.Kind == traces.Fork {
			s.changes++
		}
		if ev.Kind == traces.Fork && !forksThread(ev) {
			s.inherit(parent, program{int32(ev.Ret), s.programs[int32(ev.Ret)]}, ev.Seq)
		}
		t.recent, t.checked = false, false
	}
}

func (s *sites) takeMap(ev *traces.Event) {
	if !traces.IsTrampoline(ev.Path) {
		return
	}
	p := s.programs.of(ev)
	t := s.threads.Get(ev.TID)
	seen := ev.Got(traces.ColTID) && t != nil && t.recent
	if _, known := s.mapped[p]; !known {
		s.mapped[p] = trampolineMap{ev.Seq, seen}
	}
	if seen {
		s.learn(t.hit, func(k *since) *int64 { return &k.maps }, ev.Seq)
	}
}

// learn notes since when a site is optimised, unless that is known.
func (s *sites) learn(at site, by func(*since) *int64, seq int64) {
	k, ok := s.known[at]
	if !ok {
		k = since{-1, -1}
	}
	if p := by(&k); *p < 0 {
		*p = seq
	}
	s.known[at] = k
}

// inherit gives a forked child what its parent has.
func (s *sites) inherit(parent, child program, seq int64) {
	m, ok := s.mapped[parent]
	if !ok {
		return
	}
	s.mapped[child] = trampolineMap{seq, m.seen}
	for at, k := range s.known { // each for itself: the order does not matter
		if at.program == parent {
			s.known[site{child, at.addr}] = k
		}
	}
}

// siteEvidence is what tells of a site in a program.
type siteEvidence struct {
	since  since         // never, where the site is not known
	known  bool          // it is
	mapped trampolineMap // the program's, if it has one
	has    bool          // it has
}

// evidence is what there is of a site, once all rows are taken in.
func (s *sites) evidence(p program, addr uint64) siteEvidence {
	e := siteEvidence{since: since{-1, -1}}
	if k, ok := s.known[site{p, addr}]; ok {
		e.since, e.known = k, true
	}
	e.mapped, e.has = s.mapped[p]
	return e
}

// optimised reports whether the hit of a row came by system call; locks says whether lock
// events may tell.
func (e *siteEvidence) optimised(seq int64, locks bool) bool {
	before := func(since int64) bool { return since >= 0 && since < seq }
	return before(e.since.maps) || locks && before(e.since.locks)
}

// untold reports whether the hit of a row may have come by system call and nothing shows
// it: a trampoline is there, for another probe at least, and either it was there before
// the recording, or no lock event has a callchain.
func (e *siteEvidence) untold(seq int64, locks bool) bool {
	return e.has && e.mapped.seq < seq && !(e.mapped.seen && locks) && !e.known
}
