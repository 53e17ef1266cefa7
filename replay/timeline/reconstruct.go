package timeline

import (
	"context"
	"errors"
	"io"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// Reconstruction turns rows into operations. Rows come in order of time; operations come
// out in order of their own, later by at most maxLag unless a lock is held longer.
type Reconstruction struct {
	stream  traces.Stream
	using   Using
	arrive  bool // arrive rows may be used
	queue   bool // see Config.Queue
	profile *machines.Profile
	survey  *Survey
	// For Syscalls: how to tell late hits, and what they may be late for.
	inference *inference
	sections  map[int32]*recentSpans
	near      []*sectionSpan // scratch
	breaks    map[int32]uint64
	turns     turns

	files     mm.Files
	probed    namedFile          // of the latest hit
	mapped    namedFile          // and mapping
	spaces    map[int32]*Space   // by process
	processes map[int32]*process // with a space or a thread
	// spacesAt is another number whenever spaces has another one for one of its processes.
	spacesAt int
	begun    int32 // address spaces so far
	programs programs
	// programAt is another number whenever a process may be in another program.
	programAt int
	threads   map[int32]*thread // by id
	latest    *thread           // of threads: mostly the next row is of the same
	numbers   map[threadKey]int32
	classes   classes
	kinds     lockKinds

	block     *operationBlock // the latest
	free      chan *operationBlock
	readers   int32 // of each operation
	changes   *[changeBlock]Change
	changed   int
	mapper    mapper // the latest
	ready     operationQueue
	open      []opened        // what holds up operations, by time
	lastStart map[int32]int64 // ns, of the latest lock_start of each CPU
	lastOn    map[int32]int64 // and of its latest row, where an observer wants to know

	now    int64 // ns: the latest row
	passed int64 // ns: the latest operation that was handed out
	ended  bool
	err    error
	ev     traces.Event

	rows     int64
	progress func(rows int64) // may be nil
	observer Observer         // may be nil
	locks    *lockBook        // may be nil
	found    Found
	lockSeen bool // there was a lock event
	sharers  sharers
	guess    GuessSum
	buildIDs map[string]string         // of mapped files, by path
	built    struct{ path, id string } // the latest of them
}

// maxLag is how far before its row's time an operation may lie, in ns. What is known
// to be open is waited for longer.
const maxLag = 20_000_000

// maxOpen is how long an end of a lock or lookup is waited for, in ns. A lost
// event must not hold up the replay for ever.
const maxOpen = 1_000_000_000

// Reconstruct begins to reconstruct a trace.
func Reconstruct(ctx context.Context, trace Trace, s *Survey, c Config) (*Reconstruction, error) {
	using := c.Using
	var in *inference
	if s.Infers(using) {
		using = Syscalls
		var err error
		if in, err = newInference(ctx, trace, c.Profile, s, c.Queue); err != nil {
			return nil, err
		}
	}
	stream, err := trace.Stream(replayColumns)
	if err != nil {
		return nil, err
	}
	var locks *lockBook
	if c.Record {
		locks = newLockBook(watching.within(c.From, c.To))
	}
	return &Reconstruction{
		free: make(chan *operationBlock, freeBlocks), readers: 1,
		stream: stream, using: using, arrive: c.Using == Everything || c.Using == Stamps, queue: c.Queue, profile: c.Profile, survey: s, inference: in, sections: map[int32]*recentSpans{}, breaks: map[int32]uint64{}, turns: turns{},
		spaces: map[int32]*Space{}, processes: map[int32]*process{}, programs: programs{}, threads: map[int32]*thread{}, lastStart: map[int32]int64{}, lastOn: map[int32]int64{},
		numbers: map[threadKey]int32{}, sharers: sharers{map[uint64]*users{}, map[*Space]bool{}}, classes: newClasses(), kinds: newLockKinds(),
		progress: c.Progress, observer: c.Observer, locks: locks, buildIDs: map[string]string{},
	}, nil
}

// Recording is what the recorded kernel did, complete at the end; nil without lock events,
// and where it was not asked for.
func (r *Reconstruction) Recording() *Recording {
	if r.locks == nil {
		return nil
	}
	return r.locks.recorded(r.survey.Unknown)
}

// Close lets go of the trace.
func (r *Reconstruction) Close() { closeStream(r.stream) }

// LockDelay is what the recorder spent between a refused speculation and the lock, in
// ns, where it recorded that.
func (r *Reconstruction) LockDelay() int64 {
	if r.inference != nil {
		return r.inference.recording
	}
	return r.survey.gaps.lookupStart().Quarter // others found the lock taken, or the code cold
}

// Next returns the next operation in order of time.
func (r *Reconstruction) Next() (*Operation, bool) {
	for !r.ended && (r.ready.empty() || r.ready.first().at > r.horizon()) {
		r.read()
	}
	if r.ready.empty() {
		return nil, false
	}
	next := r.ready.pop()
	op := next.op
	r.passed = next.at
	if next.kind != sim.OpHit { // of a hit nothing changes once it is emitted
		op.Origin.handed = true
		if op.Change != nil {
			op.Change.handed = true
		}
	}
	return op, true
}

// Found is what was noted on the way, complete at the end.
func (r *Reconstruction) Found() *Found { return &r.found }

// Guess is how many lookups fell back on the recorded kernel, complete at the end; nil where
// rows tell that.
func (r *Reconstruction) Guess() *Guess {
	if r.inference == nil {
		return nil
	}
	g := r.guess.Guess()
	return &g
}

// BuildIDs are those of the files that were mapped, by path, complete at the end.
func (r *Reconstruction) BuildIDs() map[string]string { return r.buildIDs }

// Err is part of Operations.
func (r *Reconstruction) Err() error { return r.err }

// horizon is the time before which no operation can come any more.
func (r *Reconstruction) horizon() int64 {
	for len(r.open) > 0 {
		first := &r.open[0]
		if r.now-first.at < maxOpen && first.stillOpen() {
			return min(r.now, first.at) - maxLag
		}
		r.open = r.open[1:]
	}
	return r.now - maxLag
}

// hold holds up operations from a time on, until what begins then has ended. Times do
// not decrease.
func (r *Reconstruction) hold(t *thread, at int64, lookup bool) {
	r.open = append(r.open, opened{t, at, lookup})
}

// progressEvery is how many rows pass between reports of progress.
const progressEvery = 1 << 15

// read takes in one row.
func (r *Reconstruction) read() {
	ev := &r.ev
	if err := r.stream.Next(ev); err != nil {
		r.end(err)
		return
	}
	if r.rows++; r.rows%progressEvery == 0 && r.progress != nil {
		r.progress(r.rows)
	}
	if r.locks != nil {
		r.locks.add(ev)
	}
	if ev.Got(traces.ColPath|traces.ColBuildID) && (ev.BuildID != r.built.id || ev.Path != r.built.path) {
		r.built.path, r.built.id = ev.Path, ev.BuildID
		r.buildIDs[ev.Path] = ev.BuildID
	}
	if ev.Joined() {
		return // the first event of the trap has its lookup
	}
	r.now = ev.Time
	lookup := ev.Lookup()
	if r.observer != nil {
		r.observer.Row(ev, r.waited(ev, lookup))
	}
	r.take(ev, lookup)
	if t := r.find(ev.TID); t != nil {
		r.unlocked(t, ev)
		t.lastRow = ev.Time
	}
	if ev.Kind == traces.LockStart {
		r.lastStart[ev.CPU] = ev.Time
	}
	if r.observer != nil {
		r.lastOn[cpuOf(ev)] = ev.Time
	}
}

// unlocked counts the calls that took mmap_lock for write, as all of them do, without a row
// that says so: the recorder had not enabled all of its events yet, which takes perf a while
// where it attaches to what runs already, CPU by CPU (evlist__enable). A cut has calls from
// before its first lock alone.
func (r *Reconstruction) unlocked(t *thread, ev *traces.Event) {
	if !r.survey.holds || !ev.Got(traces.ColTID) || ev.Kind == traces.Map {
		return
	}
	if t.unlocked != 0 && !ev.Kind.IsLock() {
		r.found.Unlocked++
		r.found.UnlockedUntil = t.unlocked - r.survey.Start
	}
	t.unlocked = 0
	if (ev.Kind == traces.Mmap || ev.Kind == traces.Munmap) && ev.Ret >= 0 && r.lockSeen {
		t.unlocked = ev.Time
	}
	r.lockSeen = r.lockSeen || ev.Kind.IsLock()
}

// end notes why there are no more rows.
func (r *Reconstruction) end(err error) {
	r.ended = true
	if !errors.Is(err, io.EOF) {
		r.err = err
	}
	for _, t := range r.threads { // a count: the order does not matter
		if t.lock.open {
			r.found.Unended++
		}
	}
}

// waited reports whether a row is of a hit whose lookup fell back, or of its second
// lookup after the first did: its time and CPU tell how that went.
func (r *Reconstruction) waited(ev *traces.Event, lookup traces.Lookup) bool {
	t := r.find(ev.TID)
	if t == nil {
		return false
	}
	return ev.Kind == traces.Hit && t.seen.first() != nil || t.seen.check.start != 0 && lookup == traces.UprobeLookup
}

func (r *Reconstruction) take(ev *traces.Event, lookup traces.Lookup) {
	if r.survey.light && ev.Kind != traces.Hit && ev.Got(traces.ColTID) {
		r.thread(ev).takeLight(ev)
	}
	switch {
	case ev.Kind == traces.Map:
		r.takeMap(ev)
	case ev.Kind == traces.Lost || !ev.Got(traces.ColTID):
	case ev.Kind == traces.Hit:
		r.takeHit(r.thread(ev), ev)
	case ev.Kind == traces.Arrive:
		t := r.thread(ev)
		t.seen.arrive, t.looked = ev.Time, true
	case ev.Kind.IsSyscall():
		t := r.thread(ev)
		t.elsewhere()
		r.takeSyscall(t, ev)
	case ev.Kind.IsLock():
		t := r.thread(ev)
		t.looked = t.looked || lookup != traces.NoLookup
		t.truth.take(ev, lookup)
		if r.using != Syscalls {
			r.takeLock(t, ev, lookup)
			r.seek(t, ev)
		}
	default:
		r.programs.follow(ev)
		r.programAt++
		t := r.thread(ev)
		t.elsewhere()
		r.takeTask(t, ev)
	}
}

// operation returns a new operation of a thread at the row ev, on its CPU. emit queues
// it.
func (r *Reconstruction) operation(kind sim.OpKind, number int32, s *Space, ev *traces.Event) *Operation {
	if r.block == nil || r.block.used == operationBlockSize {
		r.block = r.anyBlock()
	}
	op := &r.block.list[r.block.used]
	r.block.used++
	*op = Operation{Kind: kind, Thread: number, Space: s, CPU: -1, block: r.block}
	if ev.Got(traces.ColCPU) {
		op.CPU = ev.CPU
	}
	return op
}

// anyBlock is a block that nobody uses.
func (r *Reconstruction) anyBlock() *operationBlock {
	var b *operationBlock
	select {
	case b = <-r.free:
		b.used = 0
	default:
		b = &operationBlock{free: r.free}
	}
	b.left.Store(operationBlockSize * r.readers)
	return b
}

// seek notes for how long a lookup that has got the lock had been let in while no row shows
// anybody on its CPU.
func (r *Reconstruction) seek(t *thread, ev *traces.Event) {
	l, of := &t.lock, t.truth.of(t.truth.latest)
	if r.observer == nil || !l.inUprobe || ev.Kind != traces.LockAcquired || l.acquired != ev.Time || of == nil {
		return
	}
	if unseen := ev.Time - max(l.let, l.asked, r.lastOn[cpuOf(ev)]); unseen > wokenMost {
		of.unseen = unseen
	}
}

// emit queues an operation whose time and origin are known.
func (r *Reconstruction) emit(op *Operation) {
	if op.At < r.passed {
		r.found.Late++
	}
	r.ready.push(op)
}

// origin is that of what a thread does at the row ev, other than a hit. It is by itself in
// memory, since a result may keep it.
func (r *Reconstruction) origin(t *thread, ev *traces.Event, kind string, stack []string) *Origin {
	return &Origin{
		Class: r.class(t, ev, kind, stack),
		Seq:   ev.Seq, Time: ev.Time, Undecided: r.survey.losses.touch(ev.Time, ev.Time+ev.Dur),
	}
}

// class is that of an operation. Mostly it is one of the thread's latest.
func (r *Reconstruction) class(t *thread, ev *traces.Event, kind string, stack []string) *Class {
	n := r.classes.stack(stack)
	for _, c := range t.classes {
		if c != nil && c.stack == n && c.Kind == kind && c.Comm == ev.Comm && c.Probe == ev.Probe {
			return c
		}
	}
	c := r.classes.of(Class{PID: t.pid, TID: t.tid, Comm: ev.Comm, Kind: kind, Probe: ev.Probe, Stack: stack})
	t.classes[t.oldest] = c
	t.oldest = (t.oldest + 1) % len(t.classes)
	return c
}
