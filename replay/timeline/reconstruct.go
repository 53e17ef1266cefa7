package timeline

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

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

	who   int32  // of its operations
	class *Class // of its hit before
	proc  *Space // as of Reconstruction.processesAt
	at    int
}

// syscallRow is a syscall: its rows of lock events lie between the times.
type syscallRow struct {
	kind     string
	model    string // its kind in the section model
	from, to int64  // ns
	change   *Change
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

// Reconstruction turns rows into operations. Rows come in order of time; operations come
// out in order of their own, later by at most maxLag unless a lock is held longer.
type Reconstruction struct {
	stream  traces.Stream
	using   Using
	arrive  bool // arrive rows may be used
	profile *machines.Profile
	survey  *Survey
	// For Syscalls: how to tell late hits, and what they may be late for.
	inference *inference
	sections  map[int32]*recent
	near      []*odd // scratch
	breaks    map[int32]uint64
	turns     turns

	files     mm.Files
	file      mm.File // the latest that was looked up,
	fileID    mm.FileID
	processes map[int32]*Space
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
	ready       operationQueue
	open        int   // locks and lookups that threads are in
	now         int64 // ns: the latest row
	ended       bool
	err         error
	ev          traces.Event

	rows     int64
	progress func(rows int64) // may be nil
	observer Observer         // may be nil

	notes   Found
	started int32 // address spaces so far
}

// Found counts what a reader of the result must know.
type Found struct {
	ObservedArrivals, InferredArrivals int64 // of hits
	ObservedSections, ModelledSections int64 // for write
	UndecidedSections                  int64 // of these, which a lost event may have changed
	Unended                            int64 // locks still held at the end
	Untold                             int64 // hits that may have been of optimised probes
	Late                               int64 // operations that came too late to be in order
	Expected, Variance                 int64 // of the number of fallbacks, where arrivals are inferred: millionths
}

// section counts a write section.
func (n *Found) section(o *Origin) {
	if o.Undecided {
		n.UndecidedSections++
	}
	if o.Observed {
		n.ObservedSections++
	} else {
		n.ModelledSections++
	}
}

// expect adds a fallback of the likelihood in millionths.
func (n *Found) expect(ppm int64) {
	n.Expected += ppm
	n.Variance += ppm * (1_000_000 - ppm) / 1_000_000
}

// maxLag is how far before its row's time an operation may lie, in ns. What is known
// to be open is waited for longer.
const maxLag = 20_000_000

// maxOpen is how long an end of a lock or lookup is waited for, in ns. A lost
// event must not hold up the replay for ever.
const maxOpen = 1_000_000_000

// Using says which rows of a trace may be used to reconstruct it.
type Using uint8

const (
	Everything Using = iota // what the trace has
	Locks                   // lock events for sections and arrivals; no outcomes
	Syscalls                // no lock event at all
)

var usingNames = []string{"everything", "locks", "syscalls"}

// String is the name of it in options and reports.
func (u Using) String() string { return usingNames[u] }

// ParseUsing reads locks or syscalls.
func ParseUsing(s string) (Using, error) {
	switch s {
	case "locks":
		return Locks, nil
	case "syscalls":
		return Syscalls, nil
	}
	return 0, fmt.Errorf("%q: want locks or syscalls", s)
}

// Config says what a reconstruction goes by, and who wants to know of it.
type Config struct {
	Using    Using
	Profile  *machines.Profile
	Progress func(rows int64) // told now and then how many rows are behind it; may be nil
	Observer Observer         // may be nil
}

// Observer is told of what a reconstruction meets, in the order of the rows.
type Observer interface {
	// Row is a row, unless it shares its trap with an earlier one. waited says that it
	// is of a hit whose lookup fell back, or of its second lookup after the first did:
	// its time and CPU tell how that went. The event is valid during the call.
	Row(ev *traces.Event, waited bool)
	// Held is a hold of mmap_lock that lock events show, other than a lookup's. It is
	// told at its end, and valid during the call.
	Held(h *Held)
}

// Held is a hold of mmap_lock as lock events show it. Times are ns.
type Held struct {
	PID   int32
	Write bool // at first, until Even
	// It was asked for, was had from Odd on, for write until Even, and until Released.
	// One for read has all of it for read.
	Asked, Odd, Even, Released int64
	// Call is the kind of the syscall that its thread was in before, in the section
	// model, or ""; CallFrom and CallTo are its entry and exit.
	Call             string
	CallFrom, CallTo int64
}

// Reconstruct begins to reconstruct a trace.
func Reconstruct(ctx context.Context, trace Trace, s *Survey, c Config) (*Reconstruction, error) {
	using := c.Using
	var in *inference
	if s.Infers(using) {
		using = Syscalls
		var err error
		if in, err = newInference(ctx, trace, c.Profile, s); err != nil {
			return nil, err
		}
	}
	stream, err := trace.Stream(replayColumns)
	if err != nil {
		return nil, err
	}
	return &Reconstruction{
		stream: stream, using: using, arrive: c.Using != Syscalls, profile: c.Profile, survey: s, inference: in, sections: map[int32]*recent{}, breaks: map[int32]uint64{}, turns: turns{},
		processes: map[int32]*Space{}, programs: programs{}, threads: map[int32]*thread{}, lastStart: map[int32]int64{},
		whos: map[whoKey]int32{}, classes: classes{known: map[classKey]*Class{}, stacks: map[string]int{"": 0}},
		progress: c.Progress, observer: c.Observer,
	}, nil
}

// Close lets go of the trace.
func (r *Reconstruction) Close() { closeStream(r.stream) }

// LockDelay is what the recorder spent between a refused speculation and the lock, in
// ns, where it recorded that.
func (r *Reconstruction) LockDelay() int64 {
	if r.inference != nil {
		return r.inference.recording
	}
	return r.survey.gaps.start[1].Quarter // others found the lock taken, or the code cold
}

// Next returns the next operation in order of time.
func (r *Reconstruction) Next() (Operation, bool) {
	for !r.ended && (r.ready.empty() || r.ready.first().At > r.horizon()) {
		r.read()
	}
	if r.ready.empty() {
		return Operation{}, false
	}
	a := r.ready.pop()
	if a.Change != nil {
		a.Change.handed = true
	}
	a.Origin.handed = true
	return a, true
}

// Found is what was noted on the way, complete at the end.
func (r *Reconstruction) Found() *Found { return &r.notes }

// Err is part of operations.
func (r *Reconstruction) Err() error { return r.err }

// horizon is the time before which no operation can come any more.
func (r *Reconstruction) horizon() int64 {
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
func (r *Reconstruction) read() {
	err := r.stream.Next(&r.ev)
	if err != nil {
		r.ended = true
		if !errors.Is(err, io.EOF) {
			r.err = err
		}
		for _, t := range r.threads {
			if t.lock.open {
				r.notes.Unended++
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
	if r.observer != nil {
		r.observer.Row(ev, r.waited(ev))
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
func (r *Reconstruction) waited(ev *traces.Event) bool {
	t := r.find(ev.TID)
	if t == nil {
		return false
	}
	return ev.Kind == traces.Hit && t.seen.first() != nil || t.seen.check.start != 0 && ev.Lookup() == traces.UprobeLookup
}

func (r *Reconstruction) take(ev *traces.Event) {
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
func (r *Reconstruction) find(tid int32) *thread {
	if r.latest == nil || r.latest.tid != tid {
		r.latest = r.threads[tid]
	}
	return r.latest
}

func (r *Reconstruction) thread(ev *traces.Event) *thread {
	t := r.find(ev.TID)
	if t == nil || ev.Got(traces.ColPID) && t.pid != ev.PID {
		t = &thread{tid: ev.TID, pid: ev.TID}
		switch {
		case ev.Got(traces.ColPID):
			t.pid = ev.PID
		case len(traces.Unknowns(r.survey.Unknown, traces.UnknownProcesses)) > 0:
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
func (r *Reconstruction) whoIs(tid, pid int32) int32 {
	key := whoKey{tid, pid}
	who, ok := r.whos[key]
	if !ok {
		who = int32(len(r.whos))
		r.whos[key] = who
	}
	return who
}

func (r *Reconstruction) process(pid int32, comm string) *Space {
	p := r.processes[pid]
	if p == nil {
		p = &Space{Index: r.started, PID: pid, comm: comm}
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
func (r *Reconstruction) processOf(t *thread, comm string) *Space {
	if t.proc == nil || t.at != r.processesAt {
		t.proc = r.process(t.pid, comm)
		t.at = r.processesAt
	}
	return t.proc
}

// forget takes an address space from its process, which gets another one if it comes up
// again.
func (r *Reconstruction) forget(pid int32) {
	delete(r.processes, pid)
	r.processesAt++
}

// emit queues an operation of the row ev, on its CPU.
func (r *Reconstruction) emit(ev *traces.Event, a Operation) { r.emitOn(-1, ev, a) }

// emitOn queues an operation on a CPU, or on that of its row for -1: a lookup that
// waited may have moved meanwhile.
func (r *Reconstruction) emitOn(cpu int32, ev *traces.Event, a Operation) {
	a.Seq = ev.Seq
	a.CPU = cpu
	if cpu < 0 && ev.Got(traces.ColCPU) {
		a.CPU = ev.CPU
	}
	if a.At < r.now-maxLag && a.Kind != sim.OpWrite && a.Kind != sim.OpRead {
		r.notes.Late++
	}
	r.ready.push(&a)
}

// origin is that of what a thread does at the row ev.
func (r *Reconstruction) origin(t *thread, ev *traces.Event, kind string, stack []string) *Origin {
	return &Origin{
		Class: r.classes.of(&Class{PID: t.pid, TID: t.tid, Comm: ev.Comm, Kind: kind, Probe: ev.Probe, Stack: stack}),
		Seq:   ev.Seq, Time: ev.Time, Undecided: r.survey.losses.touch(ev.Time, ev.Time+ev.Dur),
	}
}

// originBlock is how many origins of hits are allocated at once. Those of sections, which
// a result may keep, are not among them, or each would keep a block.
const originBlock = 256

func (r *Reconstruction) hitOrigin() *Origin {
	if len(r.origins) == 0 {
		r.origins = make([]Origin, originBlock)
	}
	o := &r.origins[0]
	r.origins = r.origins[1:]
	return o
}

// hitClass is that of a hit. Mostly it is the one of the thread's hit before.
func (r *Reconstruction) hitClass(t *thread, ev *traces.Event) *Class {
	if c := t.class; c == nil || c.PID != t.pid || c.Comm != ev.Comm || c.Probe != ev.Probe || !sameStack(c.Stack, ev.Stack) {
		t.class = r.classes.of(&Class{PID: t.pid, TID: t.tid, Comm: ev.Comm, Kind: "hit", Probe: ev.Probe, Stack: ev.Stack})
	}
	return t.class
}

// takeHit places the lookup of a hit in time.
func (r *Reconstruction) takeHit(t *thread, ev *traces.Event) {
	a := Operation{Kind: sim.OpHit, Thread: t.who, Space: r.processOf(t, ev.Comm), Addr: ev.Addr, Offset: ev.Addr % mm.PageSize}
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
		r.notes.ObservedArrivals++
	} else {
		r.notes.InferredArrivals++
	}
	cpu := int32(-1)
	if l := t.seen.first(); l != nil {
		r.open -= t.seen.open()
		cpu = l.cpu
	}
	t.lastHit = ev.Time
	t.seen, t.truth = lookups{}, lookups{}
	a.At, a.Origin, a.File = begin, o, r.fileOf(ev, ev.Probe)
	r.emitOn(cpu, ev, a)
}

// quiet is since when the trace has nothing of the thread, in ns: if events were
// lost then, those of the hit's own lookup may be among them.
func (r *Reconstruction) quiet(t *thread, ev *traces.Event) int64 {
	if !r.survey.LockRows {
		return ev.Time
	}
	return max(t.lastRow, ev.Time-lossLookback)
}

// fileOf names the file of a row; a hit of no known file gets one for its probe.
func (r *Reconstruction) fileOf(ev *traces.Event, probe string) mm.FileID {
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
func (r *Reconstruction) arrival(t *thread, ev *traces.Event) (int64, bool) {
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
func (r *Reconstruction) failedAt(l *lookup, lag int64) int64 {
	return l.start - lag - l.cold - r.profile.Recorder.Window
}

// optimised reports whether the hit came by system call.
func (r *Reconstruction) optimised(ev *traces.Event) bool {
	p := r.programs.of(ev)
	if r.survey.sites.untold(p, ev, r.survey.gaps.start[1].Count > 0) {
		r.notes.Untold++
	}
	return r.survey.sites.optimised(p, ev, r.using != Syscalls)
}

// checkBefore places the check of an optimised hit before its lookup of the uprobe, at
// begin: where its own lock_start shows it, else so much earlier that it ends
// CheckLead before the other. The two together take no longer than one does, but for
// that lead: the spread of the lags is the same one.
func (r *Reconstruction) checkBefore(a *Operation, t *thread, begin int64, observed bool) (int64, bool) {
	rec := &r.profile.Recorder
	a.Trampoline = a.Space.trampoline(a.Addr)
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
	a.LookupAt = begin + rec.Window - rec.CheckLead
	if c := &t.seen.check; c.start != 0 {
		return r.failedAt(c, rec.SyscallFailLag), true
	}
	return begin - rec.CheckLead, observed
}

// trampoline is the one that a probe at the address calls: near enough for that. Where
// none is known its check looks up the probe's own address, which costs the same.
func (p *Space) trampoline(addr uint64) uint64 {
	for _, at := range p.trampolines {
		if d := int64(at - addr); d == int64(int32(d)) {
			return at
		}
	}
	return addr
}

// inferred is the begin of a lookup that seems to have fallen back, which makes the
// hit late.
func (r *Reconstruction) inferred(t *thread, ev *traces.Event) (begin int64, late bool) {
	r.near = r.sections[t.pid].near(r.near[:0], t.tid, t.lastHit, ev.Time, r.inference.reach)
	if len(r.near) == 0 {
		return 0, false
	}
	e := r.inference.explain(r.inference.table(t.tid), r.near, t.lastHit, ev.Time, nil)
	r.notes.expect(int64(1e6 * e.share()))
	return e.begin, e.share() >= 0.5
}
