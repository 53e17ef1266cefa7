package timeline

import "github.com/replay/replay/traces"

// thread is what is known of a recorded thread at a point of the trace.
type thread struct {
	tid, pid int32
	number   int32       // of its operations, see Operation.Thread
	call     syscallRow  // the latest syscall
	seen     lookups     // of the next hit
	truth    lookups     // the same, for Origin.Truth alone
	looked   bool        // there is something in either
	lock     openSection // of mmap_lock, from its lock_start on
	lastRow  int64       // ns, of its row before
	lastHit  int64       // ns, 0 before its first
	unlocked int64       // ns: of a call that takes mmap_lock, the thread's row before, or 0
	section  *Origin     // its latest section
	// Of its next hit, where arrivals are inferred; see Origin.
	likely, delay int64
	light         bool // truth is a lock_start that does not say what for
	gone          bool // it has ended, or its id is another thread's by now

	// What mostly is as it was.
	class   *Class    // of its hit before
	classes [8]*Class // of its latest other operations
	oldest  int       // of these
	space   *Space    // as of Reconstruction.spacesAt
	spaceAt int
	site    siteCache // of its hit before
}

// syscallRow is a syscall: its rows of lock events lie between the times.
type syscallRow struct {
	kind     string
	model    string // its kind in the section model
	from, to int64  // ns
	change   *Change
}

// lookups is what the trace shows of a hit's own lookups before the hit.
type lookups struct {
	arrive int64  // ns: of an arrive row, or 0
	check  lookup // of the trampoline, where the probe is optimised
	uprobe lookup
	latest traces.Lookup
	woken  int64 // see Operation.Woken
}

// elsewhere says that the thread did something else than to handle a hit. What it looked up
// before was of one that made no row: of a return probe, at its function's entry.
func (t *thread) elsewhere() {
	if t.looked {
		t.seen, t.truth, t.looked = lookups{}, lookups{}, false
	}
}

// of is one of them, nil for none.
func (l *lookups) of(which traces.Lookup) *lookup {
	switch which {
	case traces.TrampolineLookup:
		return &l.check
	case traces.UprobeLookup:
		return &l.uprobe
	}
	return nil
}

// take notes a lock event, if it is of a lookup; which is ev.Lookup().
func (l *lookups) take(ev *traces.Event, which traces.Lookup) {
	if which != traces.NoLookup {
		l.latest = which
		*l.of(which) = lookup{start: ev.Time, cpu: cpuOf(ev)}
	} else if at := l.of(l.latest); ev.Kind == traces.LockAcquired && at != nil && at.acquired == 0 {
		at.acquired = ev.Time
	}
}

// first is the first that fell back, nil for none.
func (l *lookups) first() *lookup {
	switch {
	case l.check.start != 0:
		return &l.check
	case l.uprobe.start != 0:
		return &l.uprobe
	}
	return nil
}

// lookup is a lookup that fell back.
type lookup struct {
	start, acquired int64 // ns: of its lock events, or 0
	cpu             int32 // of start
	cold            int64 // ns by which the stamp of start is late, see recorderGaps
	unseen          int64 // see Truth
}

// truth is what is told of it to validation.
func (l *lookup) truth() *Truth {
	if l.start == 0 {
		return nil
	}
	return &Truth{LockStart: l.start, WaitNs: max(l.acquired-l.start, 0), UnseenNs: l.unseen}
}

// siteCache is what is known of the site of a thread's latest hit.
type siteCache struct {
	siteEvidence
	addr   uint64
	pid    int32
	at     int // Reconstruction.programAt then
	looked bool
}

// openSection is a section of mmap_lock, from its lock_start on.
type openSection struct {
	open, write                bool
	inUprobe                   bool
	start, acquired, downgrade int64 // ns
	stacked                    bool

	queue   *lockQueue // that it waits in, or of the lock that it has
	granted bool       // it has the lock
	asked   int64      // ns: when it tried, after what recording its lock_start takes
	let     int64      // ns: when it was let in; 0 where nobody was seen with the lock
	stack   []string
}

// opened is the start of a lock or a lookup that held up operations when it was noted.
type opened struct {
	thread *thread
	at     int64 // ns
	lookup bool
}

// stillOpen reports whether its end has not come.
func (o *opened) stillOpen() bool {
	t := o.thread
	switch {
	case t.gone:
		return false
	case o.lookup:
		l := t.seen.first()
		return l != nil && l.start == o.at
	}
	return t.lock.open && t.lock.start == o.at
}

// find returns the thread of an id, nil for none.
func (r *Reconstruction) find(tid int32) *thread {
	if r.latest == nil || r.latest.tid != tid {
		r.latest = r.threads[tid]
	}
	return r.latest
}

// thread returns the thread of a row.
func (r *Reconstruction) thread(ev *traces.Event) *thread {
	t := r.find(ev.TID)
	if t != nil && (!ev.Got(traces.ColPID) || t.pid == ev.PID) {
		return t
	}
	if t != nil {
		r.exited(t)
	}
	t = &thread{tid: ev.TID, pid: ev.TID}
	switch {
	case ev.Got(traces.ColPID):
		t.pid = ev.PID
	case len(traces.Unknowns(r.survey.Unknown, traces.UnknownProcesses)) > 0:
		t.pid = NoPID // they may all share one address space, and so they do
	}
	t.number = r.number(t.tid, t.pid)
	r.threads[ev.TID], r.latest = t, t
	r.living(t.pid, t.tid)
	return t
}

// process is who is in an address space. It lasts until the last thread has ended, which
// need not be the leader: do_exit drops a thread's own share of it, in exit_mm.
type process struct {
	threads map[int32]bool // that are known to live
	headed  bool           // its leader lives, of which there need be no row
}

// living notes that a thread of a process lives.
func (r *Reconstruction) living(pid, tid int32) {
	p := r.processes[pid]
	if p == nil {
		p = &process{threads: map[int32]bool{}, headed: true}
		r.processes[pid] = p
	}
	p.threads[tid] = true
}

// exited ends a thread, and the address space with its last one.
func (r *Reconstruction) exited(t *thread) {
	t.gone = true
	t.lock.drop()
	p := r.processes[t.pid]
	if p == nil {
		return
	}
	delete(p.threads, t.tid)
	if t.tid == t.pid {
		p.headed = false
	}
	if !p.headed && len(p.threads) == 0 {
		r.forget(t.pid)
	}
}

// threadKey names a thread. Thread ids are used again, so that the process is part of it.
type threadKey struct{ tid, pid int32 }

// number numbers threads.
func (r *Reconstruction) number(tid, pid int32) int32 {
	key := threadKey{tid, pid}
	n, ok := r.numbers[key]
	if !ok {
		n = int32(len(r.numbers))
		r.numbers[key] = n
	}
	return n
}

// space is the address space of a process.
func (r *Reconstruction) space(pid int32) *Space {
	s := r.spaces[pid]
	if s == nil {
		s = &Space{Index: r.begun, PID: pid}
		r.begun++
		r.spaces[pid] = s
		r.spacesAt++
	}
	return s
}

// spaceOf is the address space of a thread.
func (r *Reconstruction) spaceOf(t *thread) *Space {
	if t.space == nil || t.spaceAt != r.spacesAt {
		t.space = r.space(t.pid)
		t.spaceAt = r.spacesAt
	}
	return t.space
}

// forget takes an address space from its process, which gets another one if it comes up
// again.
func (r *Reconstruction) forget(pid int32) {
	delete(r.spaces, pid)
	delete(r.processes, pid)
	r.spacesAt++
}
