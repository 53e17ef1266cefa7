package timeline

import (
	"slices"
	"strings"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// lockBook follows mmap_lock through the rows of a trace. Its memory is bounded by
// the waits and holds that are open at a time and by the number of threads and of
// their stacks.
type lockBook struct {
	hits    int64
	rows    bool // there are lock events,
	timed   bool // and not lock_starts alone
	begun   bool
	start   int64 // ns, of the first row
	threads map[int32]*lockThread
	mms     map[uint64]*lockedMM
	spaces  map[uint64]int // numbers of address spaces
	waiters map[waiterKey]*waiterRow
	holders map[holderKey]*holderRow
	stacks  stacks
	kinds   lockKinds

	fallbacks                            int64
	lookups, readers, writers, unblocked dist.Tally
	foreign                              int64 // ns
	inWay                                ByAccess
	unended, refused                     int64
	diary                                diary
	series                               LockSeries

	sections     int64 // holds for write
	writingTIDs  map[int32]bool
	writtenSpace map[uint64]bool
}

// lockBookColumns are what it reads.
const lockBookColumns = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColDur | traces.ColRet | traces.ColMm | traces.ColWrite | traces.ColInUprobe | traces.ColTrap | traces.ColStack

func newLockBook(watch Watch) *lockBook {
	return &lockBook{
		diary:   diary{watch: watch},
		threads: map[int32]*lockThread{}, mms: map[uint64]*lockedMM{}, spaces: map[uint64]int{},
		waiters: map[waiterKey]*waiterRow{}, holders: map[holderKey]*holderRow{}, stacks: newStacks(), kinds: newLockKinds(),
		writingTIDs: map[int32]bool{}, writtenSpace: map[uint64]bool{},
	}
}

// lockThread is what a thread is doing.
type lockThread struct {
	call syscallRow
	wait *lockWait // nil when it waits for nothing
}

type waiterKey struct {
	comm     string
	pid, tid int32
	access   Access
}

type waiterRow struct {
	key  waiterKey
	wait dist.Tally
}

type holderKey struct {
	comm     string
	pid, tid int32
	kind     string
	write    bool
	stack    int // see stacks
}

type holderRow struct {
	key                holderKey
	stack              []string
	hold               dist.Tally
	blocked, blockedNs int64
}

// lockWait is a wait, from its lock_start on.
type lockWait struct {
	row   *waiterRow
	mm    *lockedMM
	kind  string
	stack []string
	cpu   int32
	seq   int64
	space int
	start int64 // ns

	wokeOn int32 // CPU
	ns     int64 // its length, once it is over

	queued, inWay int64 // clocks of mm at start; once it is over, inWay is the difference
	segments      []segment
	ahead         []*lockWait // that were under way when it began
}

// segment is what a hold was in the way of a wait.
type segment struct {
	hold *lockHold
	from int64 // ns
	ns   int64
}

// most is the hold that was in the way longest, the first of those; nil for none.
func (w *lockWait) most() *segment {
	var most *segment
	for i := range w.segments {
		if s := &w.segments[i]; most == nil || s.ns > most.ns {
			most = s
		}
	}
	return most
}

func (w *lockWait) write() bool { return w.row.key.access == WriteAccess }

// lockHold is a hold, from its lock_acquired on.
type lockHold struct {
	row      *holderRow
	tid      int32
	cpu      int32
	seq      int64
	space    int
	acquired int64 // ns
	ns       int64 // its length, once it is over
	blocked  int   // waits that it was in the way of

	write  bool  // not after a downgrade
	since  int64 // ns: when it was acquired or downgraded
	queued int64 // clock of its address space then
}

// lockedMM is an address space whose lock somebody has or waits for. Its clocks
// stand still while what they count is not the case.
type lockedMM struct {
	key     uint64
	space   int   // numbered by first appearance
	now     int64 // ns
	waits   []*lockWait
	holds   []*lockHold
	writers int // of waits
	writing int // of holds

	queued          int64 // ns: a writer waits
	toRead, toWrite int64 // ns: somebody is in the way of a reader, of a writer
}

// advance moves the clocks on. Readers share the lock, but one that comes while a
// writer waits is queued behind it (rwsem_down_read_slowpath in
// kernel/locking/rwsem.c), and so behind the readers that the writer waits for.
func (m *lockedMM) advance(now int64) {
	d := now - m.now
	m.now = now
	if m.writers > 0 {
		m.queued += d
	}
	if len(m.holds) > 0 {
		m.toWrite += d
		if m.writing > 0 || m.writers > 0 {
			m.toRead += d
		}
	}
}

func (m *lockedMM) inWay(write bool) int64 {
	if write {
		return m.toWrite
	}
	return m.toRead
}

// overlap is how long h was in the way of w since it is as it is, in ns.
func (m *lockedMM) overlap(w *lockWait, h *lockHold) int64 {
	if w.write() || h.write {
		return m.now - max(w.start, h.since)
	}
	return m.queued - max(w.queued, h.queued)
}

// credit adds to the open waits what h was in their way.
func (m *lockedMM) credit(h *lockHold) {
	for _, w := range m.waits {
		w.add(h, m.overlap(w, h))
	}
}

func (w *lockWait) add(h *lockHold, ns int64) {
	if ns <= 0 {
		return
	}
	for i := range w.segments {
		if s := &w.segments[i]; s.hold == h { // downgraded in between
			s.ns += ns
			return
		}
	}
	h.blocked++
	w.segments = append(w.segments, segment{h, max(w.start, h.since), ns})
}

// holdOf is the hold of a thread, or nil.
func (m *lockedMM) holdOf(tid int32) *lockHold {
	for _, h := range m.holds {
		if h.tid == tid {
			return h
		}
	}
	return nil
}

func (m *lockedMM) dropHold(h *lockHold) {
	m.holds = slices.DeleteFunc(m.holds, func(x *lockHold) bool { return x == h })
	if h.write {
		m.writing--
	}
}

func (m *lockedMM) dropWait(w *lockWait) {
	m.waits = slices.DeleteFunc(m.waits, func(x *lockWait) bool { return x == w })
	if w.write() {
		m.writers--
	}
}

// add takes in a row.
func (r *lockBook) add(ev *traces.Event) {
	if ev.Kind == traces.Lost || ev.Kind == traces.Map {
		return
	}
	if !r.begun {
		r.start, r.begun = ev.Time, true
	}
	if ev.Kind == traces.Hit && !ev.Got(traces.ColTrap) {
		r.hits++
	}
	if !ev.Got(traces.ColTID) {
		return
	}
	t := r.threads[ev.TID]
	if t == nil {
		t = &lockThread{}
		r.threads[ev.TID] = t
	}
	if w := t.wait; w != nil && (ev.Kind != traces.LockAcquired || w.mm.key != mmKey(ev) || refused(ev)) {
		// A thread that waits does nothing else: it was refused, or the end was lost.
		w.mm.advance(ev.Time)
		w.mm.dropWait(w)
		r.close(w.mm)
		t.wait = nil
		if !refused(ev) {
			r.unended++
		}
	}
	switch {
	case refused(ev):
		r.rows = true
		r.refused++
	case ev.Kind.IsLock():
		r.lock(t, ev)
	case ev.Kind.IsSyscall():
		t.call = syscallRow{kind: ev.Kind.String(), from: ev.Time, to: ev.Time + ev.Dur}
	case ev.Kind == traces.Exit:
		delete(r.threads, ev.TID)
	}
}

// byProcess marks keys of address spaces that are known by their process alone.
const byProcess = 1 << 32

// mmKey tells address spaces apart: by the kernel's own identity, since a thread
// also locks those of other processes, or else by the process.
func mmKey(ev *traces.Event) uint64 {
	switch {
	case ev.Got(traces.ColMm):
		return ev.Mm
	case ev.Got(traces.ColPID):
		return byProcess | uint64(uint32(ev.PID))
	}
	return byProcess | uint64(uint32(ev.TID))
}

func pidOf(ev *traces.Event) int32 {
	if ev.Got(traces.ColPID) {
		return ev.PID
	}
	return NoPID
}

func (r *lockBook) lock(t *lockThread, ev *traces.Event) {
	r.rows = true
	r.timed = r.timed || ev.Kind == traces.LockAcquired
	key := mmKey(ev)
	m := r.mms[key]
	if m == nil {
		space, known := r.spaces[key]
		if !known {
			space = len(r.spaces)
			r.spaces[key] = space
		}
		m = &lockedMM{key: key, space: space, now: ev.Time}
		r.mms[key] = m
	}
	m.advance(ev.Time)
	switch ev.Kind {
	case traces.LockStart:
		r.request(t, m, ev)
	case traces.LockAcquired:
		r.acquire(t, m, ev)
	case traces.LockReleased:
		r.release(m, ev)
	}
	r.close(m)
}

// close forgets an address space that nobody is in.
func (r *lockBook) close(m *lockedMM) {
	if len(m.waits)+len(m.holds) == 0 {
		delete(r.mms, m.key)
	}
}

// lose drops a hold whose lock_released is not in the trace: how long it was is
// unknown.
func (r *lockBook) lose(m *lockedMM, h *lockHold) {
	m.dropHold(h)
	r.unended++
}

func (r *lockBook) request(t *lockThread, m *lockedMM, ev *traces.Event) {
	if h := m.holdOf(ev.TID); h != nil {
		r.lose(m, h)
	}
	access := ReadAccess
	switch {
	case ev.Write:
		access = WriteAccess
	case ev.Lookup() != traces.NoLookup:
		access = LookupAccess
		r.fallbacks++
	}
	w := &lockWait{row: r.waiter(ev, access), mm: m, stack: ev.Stack, cpu: cpuOf(ev), seq: ev.Seq, space: m.space, start: ev.Time, queued: m.queued, inWay: m.inWay(ev.Write)}
	if w.kind = "uprobe"; access != LookupAccess {
		w.kind = r.recordedKind(&t.call, ev)
	}
	t.wait = w
	w.ahead = slices.Clone(m.waits)
	m.waits = append(m.waits, w)
	if ev.Write {
		m.writers++
	}
}

func (r *lockBook) acquire(t *lockThread, m *lockedMM, ev *traces.Event) {
	own := m.holdOf(ev.TID)
	if own != nil && own.write && !ev.Write {
		m.credit(own) // a downgrade: from here on it is in the way of writers alone
		r.holding(own, ev.Time)
		own.write, own.since, own.queued = false, ev.Time, m.queued
		m.writing--
		return
	}
	// Who cannot have the lock beside this thread has let go of it, unseen.
	for _, h := range slices.Clone(m.holds) {
		if ev.Write || h.write || h == own {
			r.lose(m, h)
		}
	}
	kind, stack, seq := UnknownKind, ev.Stack, ev.Seq // where its lock_start is not in the trace
	if w := t.wait; w != nil {
		t.wait, w.wokeOn = nil, cpuOf(ev)
		m.dropWait(w)
		for _, h := range m.holds {
			w.add(h, m.overlap(w, h))
		}
		r.got(m, w)
		if kind, seq = w.kind, w.seq; w.stack != nil {
			stack = w.stack
		}
	}
	h := &lockHold{row: r.holder(ev, kind, stack), tid: ev.TID, cpu: cpuOf(ev), seq: seq, space: m.space, acquired: ev.Time, write: ev.Write, since: ev.Time, queued: m.queued}
	m.holds = append(m.holds, h)
	if h.write {
		m.writing++
		r.sections++
		r.writingTIDs[ev.TID], r.writtenSpace[m.key] = true, true
	}
}

// got adds up a wait that is over.
func (r *lockBook) got(m *lockedMM, w *lockWait) {
	w.ns = m.now - w.start
	w.row.wait.Add(w.ns)
	switch w.row.key.access {
	case LookupAccess:
		r.lookups.Add(w.ns)
	case ReadAccess:
		r.readers.Add(w.ns)
	case WriteAccess:
		r.writers.Add(w.ns)
	}
	if w.inWay = m.inWay(w.write()) - w.inWay; w.inWay == 0 {
		r.unblocked.Add(w.ns)
	}
	*r.inWay.of(w.row.key.access) += sim.Time(w.inWay) * sim.Nanosecond
	for i := range w.segments {
		seg := &w.segments[i]
		row := seg.hold.row
		if !slices.ContainsFunc(w.segments[:i], func(o segment) bool { return o.hold.row == row }) {
			row.blocked++
		}
		row.blockedNs += seg.ns
		if row.key.pid != w.row.key.pid && row.key.pid != NoPID && w.row.key.pid != NoPID {
			r.foreign += seg.ns
		}
	}
	r.series.add(w.start-r.start, m.now-r.start, func(s *LockSlice) *sim.Time { return s.Waited.of(w.row.key.access) })
	r.diary.wait(w, r.start)
	w.mm = nil
}

// holding adds the part of a hold since it is as it is to the series.
func (r *lockBook) holding(h *lockHold, now int64) {
	r.series.add(h.since-r.start, now-r.start, func(s *LockSlice) *sim.Time { return s.held(h.write) })
}

func (r *lockBook) release(m *lockedMM, ev *traces.Event) {
	h := m.holdOf(ev.TID)
	if h == nil {
		return // it began before the recording, or was lost
	}
	m.credit(h)
	m.dropHold(h)
	h.ns = ev.Time - h.acquired
	h.row.hold.Add(h.ns)
	r.holding(h, ev.Time)
	r.diary.hold(h, r.start)
}

func (r *lockBook) waiter(ev *traces.Event, access Access) *waiterRow {
	key := waiterKey{ev.Comm, pidOf(ev), ev.TID, access}
	row := r.waiters[key]
	if row == nil {
		row = &waiterRow{key: key}
		r.waiters[key] = row
	}
	return row
}

func (r *lockBook) holder(ev *traces.Event, kind string, stack []string) *holderRow {
	key := holderKey{ev.Comm, pidOf(ev), ev.TID, kind, ev.Write, r.stacks.number(stack)}
	row := r.holders[key]
	if row == nil {
		row = &holderRow{key: key, stack: stack}
		r.holders[key] = row
	}
	return row
}

// UnknownKind is what a lock was taken for that nothing tells.
const UnknownKind = "unknown"

// recordedKind names what a lock was taken for. Where the stack names no function of the
// kernel, only the syscall can tell.
func (r *lockBook) recordedKind(call *syscallRow, ev *traces.Event) string {
	kind := r.kinds.of(call, ev.Time, ev.Stack)
	if kind == otherKind && !slices.ContainsFunc(ev.Stack, kernelFunction) {
		return UnknownKind
	}
	return kind
}

// kernelFunction reports whether a frame names a function of the kernel or a module of
// it, which perf shows in brackets, other than the one that records the event.
func kernelFunction(frame string) bool {
	return strings.Contains(frame, " ([") && !strings.HasSuffix(frame, " ([vdso])") && !strings.HasSuffix(frame, " ([unknown])") &&
		!strings.HasPrefix(frame, "0x") && !strings.HasPrefix(frame, lockTracer)
}
