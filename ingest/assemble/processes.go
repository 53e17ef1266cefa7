package assemble

import (
	"cmp"
	"slices"

	"github.com/replay/replay/traces"
)

// Processes finds the process of each thread in a source that names threads alone, as
// the text of perf script does. What tells is
//
//   - records with both ids: of FORK, COMM, EXIT, MMAP;
//   - exec: the thread leads its process from there on (de_thread);
//   - the mm of the locks that a thread takes: threads of one mm share an address
//     space, and a child of another mm than its creator's leads a process. Not every
//     lock is of the thread's own mm, see [vote];
//   - exits: the last thread of a process, and no other, is marked (group_dead).
//
// Equal names tell nothing. A thread of which nothing tells has no process.
//
// All records are noted first, in the order of the source, or of time where there are
// several; after Settle, Of answers.
type Processes struct {
	lives map[int32][]*life // by thread id, in order
	all   []*life           // in order
	forks bool              // the source records forks
	calls map[uint64]bool   // where the kernel is entered for syscalls, see vote
	execs map[moment]bool   // see replaced
}

// life is a thread from its creation to its end; its id is used again.
type life struct {
	tid     int32
	from    int64 // ns: since when it is known
	pid     int32 // 0: not known
	told    bool  // the source said so
	creator *space
	kids    []*life
	spaces  []*space // what it lived in; exec begins a new one
	rows    bool     // something was seen of it
	user    bool     // it ran a hit or a syscall
	exited  bool
	last    bool  // and no other thread of its process was left
	marked  bool  // the source says whether
	seen    int64 // ns, of the latest record that shows it alive

	call    traces.Kind // a syscall that it is in, or 0
	waiting []*vote     // of locks taken in there
	held    uint64      // mm that it has write-locked, or 0
	execed  bool        // a task record told of an exec, whose tracepoint is to come
	runMm   uint64      // mm of its latest locks
	runAt   int64       // ns: and when they begin
}

// space is an address space as one thread shows it. Those that are known to be one are
// joined: each points to another of them, but for one.
type space struct {
	of          *life
	joined      *space
	votes       []*vote
	more        bool // there were too many
	mm          uint64
	doubt       bool  // it may be joined to others of this mm
	first, last int64 // ns: when it is known to exist
	// Of one that exec began: the mm of the thread's last locks before its row, and when
	// they begin. Exec locks the old mm for the last time when it leaves it (exec_mmap).
	early   uint64
	earlyAt int64
}

// vote is the locks of one mm that a thread took in the same way. Its own are
//
//   - those in a traced syscall: all of them work on the caller;
//   - those with user frames, where the kernel was entered for no syscall: faults;
//   - one that is held while another is taken: fork has both (dup_mmap), and
//     the other is the child's.
//
// Others may be of somebody else's: in reading /proc/PID/smaps, in exec before the
// new mm is in place.
type vote struct {
	mm, entry   uint64
	user, own   bool
	first, last int64
}

// votesMax bounds what is kept of a thread.
const votesMax = 64

// NewProcesses returns an empty Processes.
func NewProcesses() *Processes {
	return &Processes{lives: map[int32][]*life{}, calls: map[uint64]bool{}, execs: map[moment]bool{}}
}

// Note takes in the next record of the source.
func (p *Processes) Note(r *Record) {
	if !r.Got(traces.ColTID) || r.TID <= 0 {
		return
	}
	l := p.current(r.TID)
	if l == nil {
		l = p.begin(r.TID, r.Time)
	}
	if r.Got(traces.ColPID) && r.PID > 0 {
		l.pid, l.told = r.PID, true
	}
	l.rows = true
	switch {
	case r.Kind == traces.Fork && r.foreign():
		l.leave()
	case r.Kind == traces.Fork:
		p.fork(l, r)
	case r.Phase == Naming || r.Kind == traces.Map || r.Kind == traces.Lost:
		return // of any time
	case r.Kind == traces.Exec:
		l.leave()
		if l.pid == 0 {
			l.pid = l.tid
		}
		s := &space{of: l, first: r.Time, last: r.Time}
		if !r.Task && !l.execed {
			s.early, s.earlyAt = l.runMm, l.runAt
		}
		l.execed = r.Task
		l.spaces = append(l.spaces, s)
	case r.Kind == traces.Exit:
		l.leave()
		l.exited = true
		if r.GroupDead != Untold {
			l.marked, l.last = true, r.GroupDead == True
		}
	case r.Kind.IsLock():
		l.lock(r)
		return // which its end goes on with
	case r.Kind.IsSyscall():
		p.syscall(l, r)
	default:
		l.leave()
		l.user = true
	}
	l.seen = r.Time
}

// current is the latest life of a thread id, nil for none.
func (p *Processes) current(tid int32) *life {
	if of := p.lives[tid]; len(of) > 0 {
		return of[len(of)-1]
	}
	return nil
}

func (p *Processes) begin(tid int32, from int64) *life {
	l := &life{tid: tid, from: from}
	l.spaces = []*space{{of: l, first: from, last: from}}
	p.lives[tid] = append(p.lives[tid], l)
	p.all = append(p.all, l)
	return l
}

// fork notes a child. Its task record and the tracepoint tell the same one.
func (p *Processes) fork(l *life, r *Record) {
	l.leave()
	id := int32(r.Ret)
	c := p.current(id)
	if c == nil || c.rows {
		c = p.begin(id, r.Time)
	}
	if r.Got(traces.ColFlags) {
		c.told, c.pid = true, id
		if r.Flags&CloneThread != 0 {
			c.pid = l.pid
		}
	}
	if r.Time == 0 { // made by perf of a thread that was there before
		return
	}
	p.forks = true
	if c.creator == nil {
		c.creator = l.space()
		c.creator.last = max(c.creator.last, r.Time)
		l.kids = append(l.kids, c)
	}
}

func (l *life) space() *space { return l.spaces[len(l.spaces)-1] }

// syscall follows in which syscall a thread is. What it locked in there is its own
// when the end comes next.
func (p *Processes) syscall(l *life, r *Record) {
	ends := r.Phase == Leave && l.call == r.Kind
	if ends {
		for _, v := range l.waiting {
			v.own = true
			if v.entry != 0 {
				p.calls[v.entry] = true
			}
		}
	}
	l.leave()
	l.user = true
	if r.Phase == Enter {
		l.call = r.Kind
	}
}

// leave says that the thread is in no syscall that is known.
func (l *life) leave() { l.call, l.waiting, l.held = 0, l.waiting[:0], 0 }

// lock votes for the mm of a lock.
func (l *life) lock(r *Record) {
	if r.Kind == traces.LockStart && r.Mm != l.runMm {
		l.runMm, l.runAt = r.Mm, r.Time
	}
	switch {
	case !r.Got(traces.ColMm):
	case r.Kind == traces.LockAcquired && r.Write && r.Ret == 0 && l.held == 0:
		l.held = r.Mm
	case r.Kind == traces.LockReleased && r.Mm == l.held:
		l.held = 0
	case r.Kind == traces.LockStart && l.held != 0 && r.Mm != l.held:
		if v := l.space().vote(l.held, 0, false, r.Time); v != nil {
			v.own = true
		}
	case r.Kind == traces.LockStart:
		v := l.space().vote(r.Mm, r.Entry, r.UserIP != 0, r.Time)
		if v != nil && l.call != 0 && len(l.waiting) < votesMax && !slices.Contains(l.waiting, v) {
			l.waiting = append(l.waiting, v)
		}
	}
}

// vote returns the vote of a kind, nil where there are too many.
func (s *space) vote(mm, entry uint64, user bool, at int64) *vote {
	for _, v := range s.votes {
		if v.mm == mm && v.entry == entry && v.user == user {
			v.last = at
			return v
		}
	}
	if len(s.votes) == votesMax {
		s.more = true
		return nil
	}
	v := &vote{mm: mm, entry: entry, user: user, first: at, last: at}
	s.votes = append(s.votes, v)
	return v
}

// Settle says that all is noted.
func (p *Processes) Settle() {
	for _, l := range p.all {
		for i, s := range l.spaces {
			s.elect(p.calls, l.user)
			if i > 0 && s.mm != 0 && s.mm == s.early {
				p.execs[moment{l.tid, s.earlyAt}] = true
			}
			if p.forks && l.creator == nil && i == 0 {
				s.first = 0 // it was there before
			}
			if i == len(l.spaces)-1 {
				s.last = max(s.last, l.seen)
			}
		}
	}
	p.joinByMm()
	for _, l := range p.all {
		// Known to have another mm than its creator.
		if l.pid == 0 && l.creator != nil && l.creator.mm != 0 && l.spaces[0].mm != 0 && root(l.creator) != root(l.spaces[0]) {
			l.pid = l.tid
		}
	}
	p.joinByExits()
	for _, l := range p.all {
		l.findLast()
	}
	p.joinByExits()
	p.lead()
}

// elect decides on the mm: that of its own locks, or else that of all of them.
func (s *space) elect(calls map[uint64]bool, user bool) {
	var own, any uint64
	owns, anys := 0, 0
	for _, v := range s.votes {
		if v.own || len(calls) > 0 && v.user && v.entry != 0 && !calls[v.entry] {
			if v.mm != own {
				own, owns = v.mm, owns+1
			}
		}
		if v.mm != any {
			any, anys = v.mm, anys+1
		}
	}
	switch {
	case owns == 1:
		s.mm = own
	case owns == 0 && anys == 1 && user && !s.more:
		s.mm = any
	}
	for _, v := range s.votes {
		if v.mm == s.mm {
			s.first, s.last = min(s.first, v.first), max(s.last, v.last)
		}
	}
}

// joinByMm joins spaces of one mm that are there at the same time. The memory of an
// mm is used again for another one, and where no forks are recorded, it is not known
// since when a thread is there.
func (p *Processes) joinByMm() {
	of := map[uint64][]*space{}
	var mms []uint64
	for _, l := range p.all {
		for _, s := range l.spaces {
			if s.mm == 0 {
				continue
			}
			if of[s.mm] == nil {
				mms = append(mms, s.mm)
			}
			of[s.mm] = append(of[s.mm], s)
		}
	}
	for _, mm := range mms {
		same := of[mm]
		slices.SortStableFunc(same, func(a, b *space) int { return cmp.Compare(a.first, b.first) })
		end := same[0]
		for _, s := range same[1:] {
			switch {
			case s.first <= end.last:
				join(end, s)
			case s.of.creator == nil && s == s.of.spaces[0]:
				s.doubt = true // a thread of those before, or a process after them
			}
			if s.last > end.last {
				end = s
			}
		}
	}
}

// joinByExits decides on children before their creators.
func (p *Processes) joinByExits() {
	for _, l := range slices.Backward(p.all) {
		l.joinByExit()
	}
}

// joinByExit decides on a thread by the exits of it and of the threads that it
// created: each process has one last exit. Without it among them, their process is
// their creator's.
func (l *life) joinByExit() {
	if l.pid != 0 || l.creator == nil || root(l.creator) == root(l.spaces[0]) {
		return
	}
	ended, last := l.exits()
	creator := l.creator.of
	switch {
	case ended && last == 0:
		join(l.creator, l.spaces[0])
	case last > 0 && (creator.seen > last || creator.last):
		l.pid = l.tid
	}
}

// exits tells of a thread and those that are joined to it of its children, of theirs
// and so on: whether all have ended as one of several, or when the last ended.
func (l *life) exits() (ended bool, last int64) {
	ended = l.exited && l.marked && len(l.spaces) == 1
	if l.exited && l.last {
		last = l.seen
	}
	for _, c := range l.kids {
		switch {
		case root(c.spaces[0]) == root(l.spaces[0]):
			e, x := c.exits()
			ended, last = ended && e, max(last, x)
		case c.pid != c.tid:
			ended = false // it may be one of them
		}
	}
	return ended, last
}

// findLast finds the last thread of a process that its leader is known of, where only
// one can be it: that and its creators, up to the leader, are of the process.
func (l *life) findLast() {
	if l.pid != l.tid {
		return
	}
	var last []*life
	if !l.gatherLast(&last) || len(last) != 1 {
		return
	}
	for c := last[0]; c != l; c = c.creator.of {
		join(c.creator, c.spaces[0])
	}
}

// gatherLast adds those of a thread and its descendants that were the last of their
// process, which may be the thread's. It returns false where the end of one is not known.
func (l *life) gatherLast(last *[]*life) bool {
	if !l.exited || !l.marked {
		return false
	}
	if l.last {
		*last = append(*last, l)
	}
	for _, c := range l.kids {
		if (c.pid == 0 || root(c.creator) == root(c.spaces[0])) && !c.gatherLast(last) {
			return false
		}
	}
	return true
}

// lead gives each group of threads the process of its leader: of one that is known,
// or of whoever created the others. Of those that were there before, the one of the
// lowest id is taken.
func (p *Processes) lead() {
	type group struct {
		known, other, first int32
		open                bool // it may be a part of another
		size                int
	}
	groups := map[*space]*group{}
	for _, l := range p.all {
		for _, s := range l.spaces {
			g := groups[root(s)]
			if g == nil {
				g = &group{}
				groups[root(s)] = g
			}
			g.size++
			inside := l.creator != nil && s == l.spaces[0] && root(l.creator) == root(s)
			switch {
			case l.pid == 0 && !inside:
				g.open = g.open || l.creator != nil || s.doubt
				if g.first == 0 || l.tid < g.first {
					g.first = l.tid
				}
			case l.pid == 0 || inside && !l.told: // vfork has a child in there, too
			case g.known == 0:
				g.known = l.pid
			case g.known != l.pid:
				g.other = l.pid
			}
		}
	}
	for _, l := range p.all {
		s := l.spaces[0]
		g := groups[root(s)]
		switch {
		case l.pid != 0 || g.other != 0:
		case g.known != 0:
			l.pid = g.known
		case !g.open && (g.size > 1 || s.mm != 0):
			l.pid = g.first
		}
	}
}

// root is the one space that stands for those joined to s.
func root(s *space) *space {
	for s.joined != nil {
		if s.joined.joined != nil {
			s.joined = s.joined.joined
		}
		s = s.joined
	}
	return s
}

func join(a, b *space) {
	if a, b = root(a), root(b); a != b {
		b.joined = a
	}
}

// Of returns the process of the thread at a time.
func (p *Processes) Of(tid int32, at int64) (pid int32, ok bool) {
	of := p.lives[tid]
	for i := len(of) - 1; i >= 0; i-- {
		if l := of[i]; l.from <= at || i == 0 {
			return l.pid, l.pid != 0
		}
	}
	return 0, false
}

// ExecsAlone leaves of what is known when execs replaced address spaces, for a source
// that tells processes itself.
func (p *Processes) ExecsAlone() *Processes { return &Processes{execs: p.execs} }

// tell gives a record its process, and says of a fork what it made.
func (p *Processes) tell(r *Record) {
	if !r.Got(traces.ColTID) {
		return
	}
	if pid, ok := p.Of(r.TID, r.Time); ok && !r.Got(traces.ColPID) {
		r.PID = pid
		r.Has |= traces.ColPID
	}
	if r.Kind == traces.Fork && !r.Got(traces.ColFlags) && r.Got(traces.ColPID) {
		if pid, ok := p.Of(int32(r.Ret), r.Time); ok {
			setKin(r, pid)
		}
	}
}

// moment is of a thread, in ns.
type moment struct {
	tid  int32
	time int64
}

// replaced reports whether r is the first record that shows the new address space of an
// exec, whose own comes at its end.
func (p *Processes) replaced(r *Record) bool {
	return r.Kind == traces.LockStart && p.execs[moment{r.TID, r.Time}]
}

// Threads counts the threads that hit a probe or changed an address space: all, those
// whose process was found though the source does not tell it, and those whose process
// is not known.
func (p *Processes) Threads() (all, found, unknown int) {
	for _, l := range p.all {
		switch {
		case !l.user:
			continue
		case l.pid == 0:
			unknown++
		case !l.told:
			found++
		}
		all++
	}
	return all, found, unknown
}
