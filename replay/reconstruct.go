package replay

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// Using says which rows of a trace may be used to reconstruct it.
type Using uint8

const (
	Everything Using = iota // what the trace has
	Locks                   // lock events for sections and arrivals; no outcomes
	Syscalls                // no lock event at all
)

// action is one reconstructed operation, on the recording's clock.
type action struct {
	kind   sim.OpKind
	at     int64 // ns: a lookup's begin, a section's request, a change's time
	seq    int64 // of the row, to break ties
	cpu    int32
	who    int32 // the thread, numbered from 0 by first appearance; see reconstructor.whoIs
	proc   *process
	origin *Origin

	hold, readHold int64 // ns
	change         *change

	addr   uint64
	file   mm.FileID
	offset uint64
	// Of an optimised probe: where it enters the kernel, and when its lookup of the
	// uprobe begins by the stamps, 0 where they do not tell.
	trampoline uint64
	lookupAt   int64
}

// process is an address space of the trace.
type process struct {
	index int32 // from 0, by first appearance
	pid   int32
	comm  string
	// trampolines are where those of its optimised probes are.
	trampolines []uint64
}

// change is what an operation does to its address space, once, whichever of its
// actions comes first. Each replay makes it in address spaces of its own.
type change struct {
	kind            traces.Kind // Map for a mapping known without a syscall, Fork for a copy to child
	addr, len       uint64
	newAddr, newLen uint64
	prot            mm.Prot
	flags, advice   int32
	vma             mm.VMA // Mmap, Map: what is mapped; an mmap's file may become known later
	child           *process
	handed          bool          // an action with it was handed out: it stays as it is
	made            atomic.Uint32 // by bit, which replays have made it
}

// apply makes the change in an address space.
func (c *change) apply(s *mm.AddressSpace) (mm.Effect, error) {
	switch c.kind {
	case traces.Mmap, traces.Map:
		return s.Map(c.vma)
	case traces.Munmap:
		return s.Unmap(c.addr, c.len)
	case traces.Mprotect:
		return s.Protect(c.addr, c.len, c.prot)
	case traces.Mremap:
		return s.Remap(c.addr, c.len, c.newAddr, c.newLen, c.flags)
	case traces.Brk:
		return s.Brk(c.addr)
	default:
		return s.Advise(c.addr, c.len, c.advice)
	}
}

// thread is what is known of a recorded thread at a point of the trace.
type thread struct {
	tid, pid int32
	call     syscallRow // the latest syscall
	seen     lookups    // of the next hit
	truth    lookups    // the same, for Origin.Truth alone
	lock     hold       // of mmap_lock, from its lock_start on
	lastRow  int64      // ns, of its row before
	lastHit  int64      // ns, 0 before its first
	section  *Origin    // its latest section

	who   int32    // of its actions
	class *Class   // of its hit before
	proc  *process // as of reconstructor.processesAt
	at    int
}

// syscallRow is a syscall: its rows of lock events lie between the times.
type syscallRow struct {
	kind     string
	model    string // its kind in the section model
	from, to int64  // ns
	change   *change
	stack    []string
}

// lookups is what the trace shows of a hit's own lookups before the hit.
type lookups struct {
	arrive int64  // ns: of an arrive row, or 0
	check  lookup // of the trampoline, where the probe is optimised
	uprobe lookup
	latest traces.Lookup
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

// take notes a lock event, if it is of a lookup.
func (l *lookups) take(ev *traces.Event) {
	if which := ev.Lookup(); which != traces.NoLookup {
		l.latest = which
		*l.of(which) = lookup{start: ev.Time, cpu: ev.CPU}
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

// open is how many fell back.
func (l *lookups) open() int {
	n := 0
	for _, at := range [...]*lookup{&l.check, &l.uprobe} {
		if at.start != 0 {
			n++
		}
	}
	return n
}

// lookup is a lookup that fell back.
type lookup struct {
	start, acquired int64 // ns: of its lock events, or 0
	cpu             int32 // of start
	cold            int64 // ns by which the stamp of start is late, see recorderGaps
}

// truth is what is told of it to validation.
func (l *lookup) truth() *Truth {
	if l.start == 0 {
		return nil
	}
	return &Truth{LockStart: l.start, WaitNs: max(l.acquired-l.start, 0)}
}

// hold is mmap_lock held by a thread.
type hold struct {
	open, write                bool
	inUprobe                   bool
	start, acquired, downgrade int64 // ns
	stacked                    bool
	stack                      []string
	seq                        int64
}

// reconstructor turns rows into actions. Rows come in order of time; actions come
// out in order of their own, later by at most maxLag unless a lock is held longer.
type reconstructor struct {
	stream  traces.Stream
	using   Using
	arrive  bool // arrive rows may be used
	profile *Profile
	survey  *survey
	// For Syscalls: how to tell late hits, and what they may be late for.
	inference *inference
	sections  map[int32]*recent
	near      []*odd // scratch
	breaks    map[int32]uint64
	turns     turns

	files     mm.Files
	file      mm.File // the latest that was looked up,
	fileID    mm.FileID
	processes map[int32]*process
	// processesAt is another number whenever processes has another address space for
	// one of its processes.
	processesAt int
	programs    programs
	threads     map[int32]*thread
	latest      *thread // of threads: mostly the next row is of the same
	classes     classes
	origins     []Origin // for hits, allocated and not used
	whos        map[whoKey]int32
	lastStart   map[int32]int64 // ns, of the latest lock_start of each CPU
	ready       actionQueue
	open        int   // locks and lookups that threads are in
	now         int64 // ns: the latest row
	ended       bool
	err         error
	ev          traces.Event

	occupancy *occupancy // told of who ran where, where somebody wants to know
	// sectionSeen is told of write sections from lock events, where somebody wants
	// to know.
	progress    func(rows int64) // told now and then, where somebody wants to know
	rows        int64
	sectionSeen func(t *thread, odd, even int64, downgraded bool)

	notes   notes
	started int32 // address spaces so far
}

// notes counts what a reader of the result must know.
type notes struct {
	observedArrivals, inferredArrivals int64
	observedSections, modelledSections int64
	undecidedSections                  int64 // that a lost event may have changed
	unended                            int64 // locks still held at the end
	untold                             int64 // hits that may have been of optimised probes
	late                               int64 // actions out of order by more than maxLag
	expected, variance                 int64 // of the fallbacks, where arrivals are inferred: millionths
}

// section counts a write section.
func (n *notes) section(o *Origin) {
	if o.Undecided {
		n.undecidedSections++
	}
	if o.Observed {
		n.observedSections++
	} else {
		n.modelledSections++
	}
}

// expect adds a fallback of the likelihood in millionths.
func (n *notes) expect(ppm int64) {
	n.expected += ppm
	n.variance += ppm * (1_000_000 - ppm) / 1_000_000
}

// maxLag is how far before its row's time an action may lie, in ns. What is known
// to be open is waited for longer.
const maxLag = 20_000_000

// maxOpen is how long an end of a lock or lookup is waited for, in ns. A lost
// event must not hold up the replay for ever.
const maxOpen = 1_000_000_000

// reconstruct begins to reconstruct a trace; in may be nil.
func reconstruct(trace Trace, using Using, profile *Profile, s *survey, in *inference) (*reconstructor, error) {
	stream, err := trace.Stream(replayColumns)
	if err != nil {
		return nil, err
	}
	return newReconstructor(stream, using, profile, s, in), nil
}

func newReconstructor(stream traces.Stream, using Using, profile *Profile, s *survey, in *inference) *reconstructor {
	arrive := using != Syscalls
	if in != nil {
		using = Syscalls
	}
	return &reconstructor{
		stream: stream, using: using, arrive: arrive, profile: profile, survey: s, inference: in, sections: map[int32]*recent{}, breaks: map[int32]uint64{}, turns: turns{},
		processes: map[int32]*process{}, programs: programs{}, threads: map[int32]*thread{}, lastStart: map[int32]int64{},
		whos: map[whoKey]int32{}, classes: classes{known: map[classKey]*Class{}, stacks: map[string]int{"": 0}},
	}
}

// next returns the next action in order of time.
func (r *reconstructor) next() (action, bool) {
	for !r.ended && (r.ready.empty() || r.ready.first().at > r.horizon()) {
		r.read()
	}
	if r.ready.empty() {
		return action{}, false
	}
	a := r.ready.pop()
	if a.change != nil {
		a.change.handed = true
	}
	a.origin.handed = true
	return a, true
}

// failed is part of actions.
func (r *reconstructor) failed() error { return r.err }

// horizon is the time before which no action can come any more.
func (r *reconstructor) horizon() int64 {
	h := r.now - maxLag
	if r.open == 0 {
		return h
	}
	for _, t := range r.threads { // a minimum: the order does not matter
		if t.lock.open && r.now-t.lock.start < maxOpen {
			h = min(h, t.lock.start-maxLag)
		}
		if l := t.seen.first(); l != nil && r.now-l.start < maxOpen {
			h = min(h, l.start-maxLag)
		}
	}
	return h
}

// progressEvery is how many rows pass between reports of progress.
const progressEvery = 1 << 15

// read takes in one row.
func (r *reconstructor) read() {
	err := r.stream.Next(&r.ev)
	if err != nil {
		r.ended = true
		if !errors.Is(err, io.EOF) {
			r.err = err
		}
		for _, t := range r.threads {
			if t.lock.open {
				r.notes.unended++
			}
		}
		return
	}
	ev := &r.ev
	if r.rows++; r.rows%progressEvery == 0 && r.progress != nil {
		r.progress(r.rows)
	}
	if ev.Joined() {
		return // the first event of the trap has its lookup
	}
	r.now = ev.Time
	if r.occupancy != nil {
		r.occupancy.note(ev, r.waited(ev))
	}
	r.take(ev)
	if t := r.find(ev.TID); t != nil {
		t.lastRow = ev.Time
	}
	if ev.Kind == traces.LockStart {
		r.lastStart[ev.CPU] = ev.Time
	}
}

// waited reports whether a row is of a hit whose lookup fell back, or of its second
// lookup after the first did: its time and CPU tell how that went.
func (r *reconstructor) waited(ev *traces.Event) bool {
	t := r.find(ev.TID)
	if t == nil {
		return false
	}
	return ev.Kind == traces.Hit && t.seen.first() != nil || t.seen.check.start != 0 && ev.Lookup() == traces.UprobeLookup
}

func (r *reconstructor) take(ev *traces.Event) {
	switch {
	case ev.Kind == traces.Map:
		r.takeMap(ev)
	case ev.Kind == traces.Lost || !ev.Got(traces.ColTID):
	case ev.Kind == traces.Hit:
		r.takeHit(r.thread(ev), ev)
	case ev.Kind == traces.Arrive:
		r.thread(ev).seen.arrive = ev.Time
	case ev.Kind.IsSyscall():
		r.takeSyscall(r.thread(ev), ev)
	case ev.Kind.IsLock():
		t := r.thread(ev)
		t.truth.take(ev)
		if r.using != Syscalls {
			r.takeLock(t, ev)
		}
	default:
		r.programs.follow(ev)
		r.takeTask(r.thread(ev), ev)
	}
}

// find returns the thread of an id, nil for none.
func (r *reconstructor) find(tid int32) *thread {
	if r.latest == nil || r.latest.tid != tid {
		r.latest = r.threads[tid]
	}
	return r.latest
}

func (r *reconstructor) thread(ev *traces.Event) *thread {
	t := r.find(ev.TID)
	if t == nil || ev.Got(traces.ColPID) && t.pid != ev.PID {
		t = &thread{tid: ev.TID, pid: ev.TID}
		switch {
		case ev.Got(traces.ColPID):
			t.pid = ev.PID
		case len(Unknowns(r.survey.unknown, UnknownProcesses)) > 0:
			t.pid = NoPID // they may all share one address space, and so they do
		}
		t.who = r.whoIs(t.tid, t.pid)
		r.threads[ev.TID], r.latest = t, t
	}
	return t
}

// whoKey names a thread. Thread ids are used again, so that the process is part of it.
type whoKey struct{ tid, pid int32 }

// whoIs numbers threads.
func (r *reconstructor) whoIs(tid, pid int32) int32 {
	key := whoKey{tid, pid}
	who, ok := r.whos[key]
	if !ok {
		who = int32(len(r.whos))
		r.whos[key] = who
	}
	return who
}

func (r *reconstructor) process(pid int32, comm string) *process {
	p := r.processes[pid]
	if p == nil {
		p = &process{index: r.started, pid: pid, comm: comm}
		r.started++
		r.processes[pid] = p
		r.processesAt++
	}
	if p.comm == "" {
		p.comm = comm
	}
	return p
}

// processOf is the address space of a thread.
func (r *reconstructor) processOf(t *thread, comm string) *process {
	if t.proc == nil || t.at != r.processesAt {
		t.proc = r.process(t.pid, comm)
		t.at = r.processesAt
	}
	return t.proc
}

// forget takes an address space from its process, which gets another one if it comes up
// again.
func (r *reconstructor) forget(pid int32) {
	delete(r.processes, pid)
	r.processesAt++
}

// emit queues an action of the row ev, on its CPU.
func (r *reconstructor) emit(ev *traces.Event, a action) { r.emitOn(-1, ev, a) }

// emitOn queues an action on a CPU, or on that of its row for -1: a lookup that
// waited may have moved meanwhile.
func (r *reconstructor) emitOn(cpu int32, ev *traces.Event, a action) {
	a.seq = ev.Seq
	a.cpu = cpu
	if cpu < 0 && ev.Got(traces.ColCPU) {
		a.cpu = ev.CPU
	}
	if a.at < r.now-maxLag && a.kind != sim.OpWrite && a.kind != sim.OpRead {
		r.notes.late++
	}
	r.ready.push(&a)
}

// origin is that of what a thread does at the row ev.
func (r *reconstructor) origin(t *thread, ev *traces.Event, kind string, stack []string) *Origin {
	return &Origin{
		Class: r.classes.of(&Class{PID: t.pid, TID: t.tid, Comm: ev.Comm, Kind: kind, Probe: ev.Probe, Stack: stack}),
		Seq:   ev.Seq, Time: ev.Time, Undecided: r.survey.losses.touch(ev.Time, ev.Time+ev.Dur),
	}
}

// originBlock is how many origins of hits are allocated at once. Those of sections, which
// a result may keep, are not among them, or each would keep a block.
const originBlock = 256

func (r *reconstructor) hitOrigin() *Origin {
	if len(r.origins) == 0 {
		r.origins = make([]Origin, originBlock)
	}
	o := &r.origins[0]
	r.origins = r.origins[1:]
	return o
}

// hitClass is that of a hit. Mostly it is the one of the thread's hit before.
func (r *reconstructor) hitClass(t *thread, ev *traces.Event) *Class {
	if c := t.class; c == nil || c.PID != t.pid || c.Comm != ev.Comm || c.Probe != ev.Probe || !sameStack(c.Stack, ev.Stack) {
		t.class = r.classes.of(&Class{PID: t.pid, TID: t.tid, Comm: ev.Comm, Kind: "hit", Probe: ev.Probe, Stack: ev.Stack})
	}
	return t.class
}

// takeHit places the lookup of a hit in time.
func (r *reconstructor) takeHit(t *thread, ev *traces.Event) {
	a := action{kind: sim.OpHit, who: t.who, proc: r.processOf(t, ev.Comm), addr: ev.Addr, offset: ev.Addr % mm.PageSize}
	begin, observed := r.arrival(t, ev)
	if r.optimised(ev) {
		begin, observed = r.checkBefore(&a, t, begin, observed)
	}
	o := r.hitOrigin()
	*o = Origin{
		Class: r.hitClass(t, ev), Seq: ev.Seq, Time: ev.Time, Observed: observed,
		Undecided: r.survey.losses.touch(min(begin, r.quiet(t, ev)), ev.Time),
		Truth:     t.truth.uprobe.truth(), CheckTruth: t.truth.check.truth(),
	}
	if observed {
		r.notes.observedArrivals++
	} else {
		r.notes.inferredArrivals++
	}
	cpu := int32(-1)
	if l := t.seen.first(); l != nil {
		r.open -= t.seen.open()
		cpu = l.cpu
	}
	t.lastHit = ev.Time
	t.seen, t.truth = lookups{}, lookups{}
	a.at, a.origin, a.file = begin, o, r.fileOf(ev, ev.Probe)
	r.emitOn(cpu, ev, a)
}

// quiet is since when the trace has nothing of the thread, in ns: if events were
// lost then, those of the hit's own lookup may be among them.
func (r *reconstructor) quiet(t *thread, ev *traces.Event) int64 {
	if !r.survey.lockRows {
		return ev.Time
	}
	return max(t.lastRow, ev.Time-lossLookback)
}

// fileOf names the file of a row; a hit of no known file gets one for its probe.
func (r *reconstructor) fileOf(ev *traces.Event, probe string) mm.FileID {
	f := mm.File{Path: ev.Path, Inode: ev.Inode, Gen: ev.InodeGen, Dev: mm.Dev(ev.DevMajor, ev.DevMinor)}
	if probe != "" && ev.Path == "" && ev.Inode == 0 {
		f = mm.File{Path: "file of " + probe}
	}
	if f != r.file || r.fileID == mm.NoFile {
		r.file, r.fileID = f, r.files.ID(f)
	}
	return r.fileID
}

// arrival is the begin of a hit's lookup in ns, and whether the trace shows it.
func (r *reconstructor) arrival(t *thread, ev *traces.Event) (int64, bool) {
	rec := &r.profile.Recorder
	switch {
	case t.seen.arrive != 0 && r.arrive:
		return t.seen.arrive, true
	case t.seen.uprobe.start != 0 && r.using != Syscalls:
		return r.failedAt(&t.seen.uprobe, rec.FailLag), true
	case r.using == Syscalls && t.lastHit != 0:
		if begin, late := r.inferred(t, ev); late {
			return begin, false
		}
	}
	return ev.Time - rec.HitLag - rec.Window, false
}

// failedAt is the begin of a lookup that its own lock_start shows.
func (r *reconstructor) failedAt(l *lookup, lag int64) int64 {
	return l.start - lag - l.cold - r.profile.Recorder.Window
}

// optimised reports whether the hit came by system call.
func (r *reconstructor) optimised(ev *traces.Event) bool {
	p := r.programs.of(ev)
	if r.survey.sites.untold(p, ev, r.survey.gaps.start[1].count > 0) {
		r.notes.untold++
	}
	return r.survey.sites.optimised(p, ev, r.using != Syscalls)
}

// checkBefore places the check of an optimised hit before its lookup of the uprobe, at
// begin: where its own lock_start shows it, else so much earlier that it ends
// CheckLead before the other. The two together take no longer than one does, but for
// that lead: the spread of the lags is the same one.
func (r *reconstructor) checkBefore(a *action, t *thread, begin int64, observed bool) (int64, bool) {
	rec := &r.profile.Recorder
	a.trampoline = a.proc.trampoline(a.addr)
	switch {
	case t.seen.arrive != 0 && r.arrive:
		return begin, observed
	case r.using == Syscalls:
		return begin - rec.CheckLead, observed
	}
	begin += rec.HitLag - rec.SyscallHitLag
	if l := &t.seen.uprobe; l.start != 0 {
		begin = r.failedAt(l, rec.SyscallFailLag)
	}
	a.lookupAt = begin + rec.Window - rec.CheckLead
	if c := &t.seen.check; c.start != 0 {
		return r.failedAt(c, rec.SyscallFailLag), true
	}
	return begin - rec.CheckLead, observed
}

// trampoline is the one that a probe at the address calls: near enough for that. Where
// none is known its check looks up the probe's own address, which costs the same.
func (p *process) trampoline(addr uint64) uint64 {
	for _, at := range p.trampolines {
		if d := int64(at - addr); d == int64(int32(d)) {
			return at
		}
	}
	return addr
}

// inferred is the begin of a lookup that seems to have fallen back, which makes the
// hit late.
func (r *reconstructor) inferred(t *thread, ev *traces.Event) (begin int64, late bool) {
	r.near = r.sections[t.pid].near(r.near[:0], t.tid, t.lastHit, ev.Time, r.inference.reach)
	if len(r.near) == 0 {
		return 0, false
	}
	e := r.inference.explain(r.inference.table(t.tid), r.near, t.lastHit, ev.Time, nil)
	r.notes.expect(int64(1e6 * e.share()))
	return e.begin, e.share() >= 0.5
}
