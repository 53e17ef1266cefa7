package replay

import (
	"errors"
	"io"

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
	proc   *process
	origin *Origin

	hold, readHold int64 // ns
	change         *change

	addr   uint64
	file   mm.FileID
	offset uint64
}

// process is an address space of the trace.
type process struct {
	pid   int32
	comm  string
	space *mm.AddressSpace
	sim   *sim.MM // set by whoever simulates it
}

// change is what an operation does to its address space, once, whichever of its
// actions comes first.
type change struct {
	apply   func(*mm.AddressSpace) (mm.Effect, error)
	vma     mm.VMA // mmap: what is mapped; the file may become known later
	done    bool
	refused func(error)
}

// run is the sim.Change of c.
func (c *change) run(space *mm.AddressSpace) mm.Effect {
	if c.done {
		return mm.Effect{}
	}
	c.done = true
	effect, err := c.apply(space)
	if err != nil {
		c.refused(err)
	}
	return effect
}

// thread is what is known of a recorded thread at a point of the trace.
type thread struct {
	tid, pid int32
	call     syscallRow // the latest syscall
	lookup   lookup     // of the next hit
	truth    lookup     // the same, for Origin.Truth alone
	lock     hold       // of mmap_lock, from its lock_start on
	lastRow  int64      // ns, of its row before
	lastHit  int64      // ns, 0 before its first
	section  *Origin    // its latest section
}

// syscallRow is a syscall: its rows of lock events lie between the times.
type syscallRow struct {
	kind     string
	model    string // its kind in the section model
	from, to int64  // ns
	change   *change
	stack    []string
}

// lookup is what the trace shows of a hit's own lookup before the hit.
type lookup struct {
	arrive          int64 // ns: of an arrive row, or 0
	start, acquired int64 // ns: of its lock events, or 0
	cpu             int32 // of start
	cold            int64 // ns by which the stamp of start is late, see recorderGaps
}

// take notes a lock event of the uprobe lookup itself.
func (l *lookup) take(ev *traces.Event) {
	switch {
	case ev.Kind == traces.LockStart && ev.InUprobe:
		l.start, l.acquired, l.cpu = ev.Time, 0, ev.CPU
	case ev.Kind == traces.LockAcquired && l.start != 0 && l.acquired == 0:
		l.acquired = ev.Time
	}
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
	processes map[int32]*process
	threads   map[int32]*thread
	lastStart map[int32]int64 // ns, of the latest lock_start of each CPU
	ready     actionHeap
	open      int   // locks and lookups that threads are in
	now       int64 // ns: the latest row
	ended     bool
	err       error
	ev        traces.Event

	occupancy *occupancy // told of who ran where, where somebody wants to know
	// sectionSeen is told of write sections from lock events, where somebody wants
	// to know.
	progress    func(rows int64) // told now and then, where somebody wants to know
	rows        int64
	sectionSeen func(t *thread, odd, even int64, downgraded bool)

	notes notes
	all   []*process // in order of first appearance
}

// notes counts what a reader of the result must know.
type notes struct {
	observedArrivals, inferredArrivals int64
	observedSections, modelledSections int64
	undecidedSections                  int64 // that a lost event may have changed
	refused                            int64 // changes that the address space refused
	firstRefusal                       error
	unended                            int64 // locks still held at the end
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

func newReconstructor(stream traces.Stream, using Using, profile *Profile, s *survey, in *inference) *reconstructor {
	arrive := using != Syscalls
	if in != nil {
		using = Syscalls
	}
	return &reconstructor{
		stream: stream, using: using, arrive: arrive, profile: profile, survey: s, inference: in, sections: map[int32]*recent{}, breaks: map[int32]uint64{}, turns: turns{},
		processes: map[int32]*process{}, threads: map[int32]*thread{}, lastStart: map[int32]int64{},
	}
}

// next returns the next action in order of time.
func (r *reconstructor) next() (action, bool) {
	for !r.ended && (len(r.ready) == 0 || r.ready[0].at > r.horizon()) {
		r.read()
	}
	if len(r.ready) == 0 {
		return action{}, false
	}
	return r.ready.pop(), true
}

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
		if t.lookup.start != 0 && r.now-t.lookup.start < maxOpen {
			h = min(h, t.lookup.start-maxLag)
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
	if t := r.threads[ev.TID]; t != nil {
		t.lastRow = ev.Time
	}
	if ev.Kind == traces.LockStart {
		r.lastStart[ev.CPU] = ev.Time
	}
}

// waited reports whether a row is of a hit whose lookup fell back: its time and CPU
// tell how that went.
func (r *reconstructor) waited(ev *traces.Event) bool {
	t := r.threads[ev.TID]
	return ev.Kind == traces.Hit && t != nil && t.lookup.start != 0
}

func (r *reconstructor) take(ev *traces.Event) {
	switch {
	case ev.Kind == traces.Map:
		r.takeMap(ev)
	case ev.Kind == traces.Lost || !ev.Got(traces.ColTID):
	case ev.Kind == traces.Hit:
		r.takeHit(r.thread(ev), ev)
	case ev.Kind == traces.Arrive:
		r.thread(ev).lookup.arrive = ev.Time
	case ev.Kind.IsSyscall():
		r.takeSyscall(r.thread(ev), ev)
	case ev.Kind.IsLock():
		t := r.thread(ev)
		t.truth.take(ev)
		if r.using != Syscalls {
			r.takeLock(t, ev)
		}
	default:
		r.takeTask(r.thread(ev), ev)
	}
}

func (r *reconstructor) thread(ev *traces.Event) *thread {
	t := r.threads[ev.TID]
	if t == nil || ev.Got(traces.ColPID) && t.pid != ev.PID {
		t = &thread{tid: ev.TID, pid: ev.TID}
		if ev.Got(traces.ColPID) {
			t.pid = ev.PID
		}
		r.threads[ev.TID] = t
	}
	return t
}

func (r *reconstructor) process(pid int32, comm string) *process {
	p := r.processes[pid]
	if p == nil {
		p = &process{pid: pid, comm: comm, space: &mm.AddressSpace{}}
		r.processes[pid] = p
		r.all = append(r.all, p)
	}
	if p.comm == "" {
		p.comm = comm
	}
	return p
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
	r.ready.push(a)
}

func (r *reconstructor) origin(t *thread, ev *traces.Event, kind string, stack []string) *Origin {
	return &Origin{
		Seq: ev.Seq, Time: ev.Time, PID: t.pid, TID: t.tid, Comm: ev.Comm, Kind: kind, Probe: ev.Probe, Stack: stack,
		Undecided: r.survey.losses.touch(ev.Time, ev.Time+ev.Dur),
	}
}

// takeHit places the lookup of a hit in time.
func (r *reconstructor) takeHit(t *thread, ev *traces.Event) {
	begin, observed := r.arrival(t, ev)
	o := r.origin(t, ev, "hit", ev.Stack)
	o.Observed = observed
	o.Undecided = r.survey.losses.touch(min(begin, r.quiet(t, ev)), ev.Time)
	if t.truth.start != 0 {
		o.LockStart = t.truth.start
		o.Truth = &Truth{FellBack: true, WaitNs: max(t.truth.acquired-t.truth.start, 0)}
	}
	if observed {
		r.notes.observedArrivals++
	} else {
		r.notes.inferredArrivals++
	}
	cpu := int32(-1)
	if t.lookup.start != 0 {
		r.open--
		cpu = t.lookup.cpu
	}
	t.lastHit = ev.Time
	t.lookup, t.truth = lookup{}, lookup{}
	a := action{kind: sim.OpHit, at: begin, proc: r.process(t.pid, ev.Comm), origin: o, addr: ev.Addr, offset: ev.Addr % mm.PageSize}
	a.file = r.fileOf(ev, ev.Probe)
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
	return r.files.ID(f)
}

// arrival is the begin of a hit's lookup in ns, and whether the trace shows it.
func (r *reconstructor) arrival(t *thread, ev *traces.Event) (int64, bool) {
	rec := &r.profile.Recorder
	switch {
	case t.lookup.arrive != 0 && r.arrive:
		return t.lookup.arrive, true
	case t.lookup.start != 0 && r.using != Syscalls:
		return t.lookup.start - rec.FailLag - t.lookup.cold - rec.Window, true
	case r.using == Syscalls && t.lastHit != 0:
		if begin, late := r.inferred(t, ev); late {
			return begin, false
		}
	}
	return ev.Time - rec.HitLag - rec.Window, false
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
