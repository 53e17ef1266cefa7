package assemble

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/replay/replay/traces"
)

// Limits of an Assembler.
const (
	// MaxHeld is how many rows may wait for one before them to be completed. Then
	// that one is given out as it is.
	MaxHeld = 1 << 20
	// MaxUnordered is how many records may wait to be put in order, for sources
	// that never say how far they are complete.
	MaxUnordered = 1 << 20
)

// Options of an Assembler.
type Options struct {
	Symbols Symbolizer // may be nil
	// Fork and Exec say that the source may record sched_process_fork and
	// sched_process_exec, so that the rows of task records wait for them.
	Fork, Exec bool
}

// Counts is what did not fit.
type Counts struct {
	UnpairedEnters int64 // syscalls without an exit
	UnpairedExits  int64 // exits without an entry: rows of the exit alone
	Late           int64 // records earlier than what was given out before them
	LatestNs       int64 // by how much, at most, ns
	Unordered      int64 // records that came after later ones
	DisorderNs     int64 // by how much, at most, ns
	ForcedOut      int64 // rows given out incomplete because of MaxHeld
	Undecided      int64 // lock_start rows of which it is unknown who took the lock
	Lost           int64 // events that the recorder dropped
}

// Assembler makes rows of records. It is used by one goroutine.
type Assembler struct {
	options Options
	symbols Symbolizer
	counts  Counts

	lookups []maybeLookup // whose lock is released, in order of that

	free     []*Record
	input    uint64
	latest   int64     // time of the latest record added
	unsort   []*Record // added, not in order yet
	merge    []*Record
	rows     []*Record // in order; a prefix is given out
	head     int
	seq      int64
	hits     int64
	flushing bool  // the input is at its end
	past     int64 // time of the latest record that became a row
	pastCPU  int32 // and its CPU

	threads      map[int32]*thread
	processes    map[int32]*process
	exited       []int32
	kernelFrames map[uint64]string
	stacks       map[uint64]namedChain
	seed         maphash.Seed
	scratch      []byte
}

// lookupWait is how long after its lock was released a lock_start waits for the hit
// that it was the lookup of, in ns. Only preemption lies between them, while a
// thread that goes to sleep may hit again at any time or never.
const lookupWait = 100_000_000

// maybeLookup is a lock_start that waits, and when its lock was released.
type maybeLookup struct {
	thread          *thread
	row             *Record
	start, released int64 // ns
}

// thread is what is known of a thread.
type thread struct {
	pid   int32
	comm  string
	kin   kinship
	ended bool
	// exitTraced says that sched_process_exit made the row of its end.
	exitTraced bool
	call       *Record // a syscall that it is in
	exec       *Record // an exec of which the end is not known
	fork       *Record // a task record whose tracepoint may be the thread's next record
	lookup     *Record // a lock_start of which it is not known what for
}

// kinship says what a child is to its parent.
type kinship uint8

const (
	unknown kinship = iota
	isThread
	isProcess
)

// New returns an empty Assembler.
func New(o Options) *Assembler {
	return &Assembler{
		options: o, symbols: o.Symbols, threads: map[int32]*thread{}, processes: map[int32]*process{},
		kernelFrames: map[uint64]string{}, stacks: map[uint64]namedChain{}, seed: maphash.MakeSeed(), past: minTime, latest: minTime,
	}
}

const minTime = -1 << 63

// Record returns an empty record to fill and Add.
func (a *Assembler) Record() *Record {
	if n := len(a.free); n > 0 {
		r := a.free[n-1]
		a.free = a.free[:n-1]
		r.reset()
		return r
	}
	// Many at once, for the sake of the garbage collector.
	block := make([]Record, recordBlock)
	for i := range block[1:] {
		a.free = append(a.free, &block[i+1])
	}
	return &block[0]
}

// recordBlock is how many records are allocated at once.
const recordBlock = 512

// Counts returns what did not fit so far.
func (a *Assembler) Counts() Counts { return a.counts }

// Add takes a record in, which the Assembler then owns.
func (a *Assembler) Add(r *Record) {
	a.input++
	r.input = a.input
	if r.Time < a.latest {
		a.counts.Unordered++
		a.counts.DisorderNs = max(a.counts.DisorderNs, a.latest-r.Time)
	}
	a.latest = max(a.latest, r.Time)
	a.unsort = append(a.unsort, r)
	if len(a.unsort) >= MaxUnordered {
		a.unsort = a.sortRuns(a.unsort)
		a.Advance(a.unsort[len(a.unsort)/2].Time)
	}
}

// Place takes in the next record in order, for sources that put theirs in order
// themselves. The Assembler then owns it.
func (a *Assembler) Place(r *Record) { a.place(r) }

// Advance says that no record earlier than t will come any more.
func (a *Assembler) Advance(t int64) {
	a.unsort = a.sortRuns(a.unsort)
	n := 0
	for n < len(a.unsort) && a.unsort[n].Time < t {
		a.place(a.unsort[n])
		n++
	}
	a.unsort = append(a.unsort[:0], a.unsort[n:]...)
}

// Flush says that the input is at its end. Next gives out what is left, and what
// is incomplete stays so.
func (a *Assembler) Flush() {
	a.unsort = a.sortRuns(a.unsort)
	a.flushing = true
}

// flushStep is how many records Next places at once after Flush: whoever takes the
// rows works at the same time.
const flushStep = 4096

// flush places some of what is left, and at its end gives up on what is incomplete.
func (a *Assembler) flush() {
	n := min(flushStep, len(a.unsort))
	for _, r := range a.unsort[:n] {
		a.place(r)
	}
	a.unsort = a.unsort[n:]
	if n > 0 {
		return
	}
	a.flushing = false
	for _, r := range a.rows[a.head:] {
		if r.pending {
			a.giveUp(r)
		}
	}
}

// sortRuns sorts records by merging their runs: a source writes the buffers of
// its CPUs one after the other, each in order.
func (a *Assembler) sortRuns(rs []*Record) []*Record {
	for {
		out := a.merge[:0]
		runs := 0
		for i := 0; i < len(rs); {
			j := runEnd(rs, i)
			k := runEnd(rs, j)
			out = mergeRuns(out, rs[i:j], rs[j:k])
			i = k
			runs++
		}
		a.merge = rs
		rs = out
		if runs <= 1 {
			return rs
		}
	}
}

func runEnd(rs []*Record, i int) int {
	if i >= len(rs) {
		return i
	}
	for i++; i < len(rs) && !rs[i].before(rs[i-1]); i++ {
	}
	return i
}

func mergeRuns(out, x, y []*Record) []*Record {
	for len(x) > 0 && len(y) > 0 {
		if y[0].before(x[0]) {
			out = append(out, y[0])
			y = y[1:]
		} else {
			out = append(out, x[0])
			x = x[1:]
		}
	}
	return append(append(out, x...), y...)
}

// place puts the next record in order into the rows.
func (a *Assembler) place(r *Record) {
	if r.Time < a.past || r.Time == a.past && r.cpu() < a.pastCPU {
		// Too late to be put where it belongs; it keeps its columns, and the
		// earliest place that is left.
		a.counts.Late++
		a.counts.LatestNs = max(a.counts.LatestNs, a.past-r.Time)
		r.Time = a.past
		if r.cpu() < a.pastCPU {
			r.Time++
		}
	}
	a.past, a.pastCPU = r.Time, r.cpu()
	for len(a.lookups) > 0 && a.lookups[0].released < a.past-lookupWait {
		if l := &a.lookups[0]; l.thread.lookup == l.row && l.row.Time == l.start {
			a.notLookup(l.thread)
		}
		a.lookups = a.lookups[1:]
	}
	t := a.thread(r)
	a.name(r, t)
	if t != nil {
		settle(r, t)
	}
	switch {
	case r.Phase == Naming:
		a.recycle(r)
	case r.Phase == Leave:
		a.leave(r, t)
	case noRow(r, t):
		a.follow(r, t)
		a.recycle(r)
	case !r.Task && r.Kind == traces.Exec && t != nil && t.exec != nil:
		a.execed(r, t)
	default:
		a.row(r, t)
	}
}

// noRow reports whether a task record makes no row: sched_process_exit made that of
// an exit already (do_exit has it first), and what has no time perf made of a task
// that was there before (perf_event__synthesize_fork).
func noRow(r *Record, t *thread) bool {
	if r.Task && r.Kind == traces.Exit && t != nil && t.exitTraced {
		t.exitTraced = false
		return true
	}
	return r.Task && r.Kind == traces.Fork && r.Time == 0
}

// settle ends the wait of a thread's task records for their tracepoints. That of a
// fork is the very next record of the thread (kernel_clone), which makes the row in
// place of the task record; that of an exec comes before the thread's user code runs.
func settle(r *Record, t *thread) {
	if f := t.fork; f != nil {
		f.dropped = !r.Task && r.Kind == traces.Fork && r.Ret == f.Ret
		f.pending = false
		t.fork = nil
	}
	if t.exec != nil && (r.Phase == Enter || r.Kind == traces.Hit || r.Kind == traces.Fork || r.Kind == traces.Exit || r.Task && r.Kind == traces.Exec && r.Phase == Whole) {
		t.exec.pending = false
		t.exec = nil
	}
}

// row gives r its place and does what its kind asks for.
func (a *Assembler) row(r *Record, t *thread) {
	a.rows = append(a.rows, r)
	if len(a.rows)-a.head > MaxHeld {
		a.counts.ForcedOut++
		a.giveUp(a.rows[a.head])
	}
	a.nameStack(r)
	switch r.Kind {
	case traces.Hit, traces.Ret:
		a.hits++
		a.hit(r, t)
	case traces.LockStart:
		a.lockStart(r, t)
	case traces.LockReleased:
		if t != nil && t.lookup != nil {
			a.lookups = append(a.lookups, maybeLookup{t, t.lookup, t.lookup.Time, r.Time})
		}
	case traces.Map:
		a.mapped(r)
	case traces.Lost:
		a.counts.Lost += r.Ret
	case traces.Fork, traces.Exec, traces.Exit:
		a.follow(r, t)
	}
	if r.Phase == Enter {
		a.enter(r, t)
	}
}

// thread returns the thread of r, nil when r is of none.
func (a *Assembler) thread(r *Record) *thread {
	if !r.Got(traces.ColTID) {
		return nil
	}
	t := a.threads[r.TID]
	if t == nil {
		t = &thread{pid: r.TID}
		a.threads[r.TID] = t
	}
	if r.Got(traces.ColPID) {
		t.pid = r.PID
	}
	return t
}

// name gives r its thread's name, or takes it from r.
func (a *Assembler) name(r *Record, t *thread) {
	switch {
	case t == nil:
	case r.Got(traces.ColComm):
		t.comm = r.Comm
	case t.comm != "":
		r.Comm = t.comm
		r.Has |= traces.ColComm
	}
}

func (a *Assembler) process(pid int32) *process {
	p := a.processes[pid]
	if p == nil {
		p = &process{}
		a.processes[pid] = p
	}
	return p
}

// enter lets r wait for the exit of its syscall.
func (a *Assembler) enter(r *Record, t *thread) {
	if t == nil {
		return
	}
	if t.call != nil {
		a.counts.UnpairedEnters++
		t.call.pending = false
	}
	a.notLookup(t)
	r.pending = true
	t.call = r
}

// leave completes the syscall that r is the exit of.
func (a *Assembler) leave(r *Record, t *thread) {
	if t == nil || t.call == nil || t.call.Kind != r.Kind {
		a.counts.UnpairedExits++
		r.Phase = Whole
		a.row(r, t)
		return
	}
	c := t.call
	t.call = nil
	c.pending = false
	c.Dur, c.Ret = r.Time-c.Time, r.Ret
	c.Has |= traces.ColDur | traces.ColRet
	if ok := c.Ret >= 0 || c.Ret < -4095; ok {
		switch c.Kind {
		case traces.Mmap:
			setAddr(c, uint64(c.Ret))
		case traces.Mremap:
			setNewAddr(c, uint64(c.Ret))
		}
	}
	a.recycle(r)
}

// giveUp ends the wait for what would complete r.
func (a *Assembler) giveUp(r *Record) {
	if t := a.threads[r.TID]; t != nil {
		switch r {
		case t.call:
			t.call = nil
			a.counts.UnpairedEnters++
		case t.lookup:
			a.notLookup(t)
		case t.exec:
			t.exec = nil
		case t.fork:
			t.fork = nil
		}
	}
	r.pending = false
}

// lockStart waits for what the lock turns out to have been taken for, unless a
// symbol on the stack tells.
func (a *Assembler) lockStart(r *Record, t *thread) {
	if r.Got(traces.ColInUprobe) || t == nil {
		return
	}
	if lookupOnStack(r) {
		r.InUprobe = true
		r.Has |= traces.ColInUprobe
		return
	}
	a.notLookup(t)
	if r.Write || r.UserIP == 0 {
		if r.Write || len(r.Stack) > 0 {
			r.Has |= traces.ColInUprobe // the lookup takes it for read, from a trap
		} else {
			a.counts.Undecided++
		}
		return
	}
	r.pending = true
	t.lookup = r
}

// lookupFrames begin the names of the functions that look a uprobe up, in the
// order of their history.
const lookupFrames = "find_active_uprobe"

// lookupOnStack reports whether the uprobe lookup is on the stack by name. That it
// is not says nothing: perf names kernel frames after another kernel when a
// recording does not tell its own.
func lookupOnStack(r *Record) bool {
	return slices.ContainsFunc(r.Stack, func(f string) bool { return strings.HasPrefix(f, lookupFrames) })
}

// notLookup decides that the thread's lock_start was no uprobe lookup's.
func (a *Assembler) notLookup(t *thread) {
	if r := t.lookup; r != nil {
		r.Has |= traces.ColInUprobe
		r.pending = false
		t.lookup = nil
	}
}

// hit decides whether the thread's lock_start was this hit's lookup: it was when
// the lock was taken on the way out of a trap at the probed instruction. On x86
// the saved address is one byte beyond it (do_int3), elsewhere it is the same.
func (a *Assembler) hit(r *Record, t *thread) {
	if t != nil && t.lookup != nil {
		l := t.lookup
		if r.Kind == traces.Hit && sameTrap(l, r.Addr) {
			l.InUprobe = true
		}
		a.notLookup(t)
	}
	if t == nil || r.Got(traces.ColPath) {
		return
	}
	if file := a.process(t.pid).file(r.Addr); file != nil {
		copyFile(&r.Event, file)
	}
}

func sameTrap(l *Record, addr uint64) bool {
	if l.UserIPPage {
		return (l.UserIP-addr)%4096 <= 1
	}
	return l.UserIP == addr || l.UserIP == addr+1
}

const fileColumns = traces.ColPath | traces.ColBuildID | traces.ColDevMajor | traces.ColDevMinor | traces.ColInode | traces.ColInodeGen

// copyFile takes over the file of a mapping.
func copyFile(ev, file *traces.Event) {
	ev.Has |= file.Has & fileColumns
	ev.Path, ev.BuildID = file.Path, file.BuildID
	ev.DevMajor, ev.DevMinor, ev.Inode, ev.InodeGen = file.DevMajor, file.DevMinor, file.Inode, file.InodeGen
}

// protExec is PROT_EXEC.
const protExec = 4

// mapped adds a mapping with code to its process.
func (a *Assembler) mapped(r *Record) {
	if !r.Got(traces.ColPID | traces.ColAddr | traces.ColLen) {
		return
	}
	if r.Got(traces.ColProt) && r.Prot&protExec == 0 {
		return // no code, so that no hit and no frame is in it
	}
	file := r.Event
	a.process(r.PID).add(mapping{start: r.Addr, end: r.Addr + r.Len, pgoff: r.Pgoff, ev: &file})
}

// follow keeps track of who shares which address space.
func (a *Assembler) follow(r *Record, t *thread) {
	if t == nil {
		return
	}
	switch r.Kind {
	case traces.Fork:
		a.fork(r, t)
		if r.Task && a.options.Fork && r.Time > 0 {
			r.pending = true
			t.fork = r
		}
	case traces.Exec:
		delete(a.processes, t.pid)
		if r.Task && a.options.Exec {
			r.pending = true // sched_process_exec, at the end, has the path
			t.exec = r
		}
	case traces.Exit:
		a.exit(r, t)
	}
}

// fork starts a child with what its parent has. The task record knows whether it
// is a thread; it comes first (perf_event_fork in copy_process, trace_sched_process_fork
// in kernel_clone).
func (a *Assembler) fork(r *Record, t *thread) {
	id := int32(r.Ret)
	c := a.threads[id]
	if c == nil || c.ended || r.Task {
		c = &thread{pid: id, comm: t.comm}
		a.threads[id] = c
	}
	switch {
	case !r.Got(traces.ColFlags) && c.kin == isThread:
		setFlags(r, CloneThread)
	case !r.Got(traces.ColFlags) && c.kin == isProcess:
		setFlags(r, 0)
	case r.Got(traces.ColFlags) && r.Flags&CloneThread != 0:
		c.kin, c.pid = isThread, t.pid
	case r.Got(traces.ColFlags):
		c.kin = isProcess
	}
	if p := a.processes[t.pid]; p != nil && c.kin != isThread && a.processes[id] == nil {
		a.processes[id] = p.clone()
	}
}

// execed completes the row of an exec, which stands where the address space was
// replaced (begin_new_exec), with what sched_process_exec tells at its end.
func (a *Assembler) execed(r *Record, t *thread) {
	e := t.exec
	t.exec = nil
	e.pending = false
	e.Path = r.Path
	e.Has |= r.Has & traces.ColPath
	e.Dur = r.Time - e.Time
	e.Has |= traces.ColDur
	a.recycle(r)
}

// exit ends a thread. Its last mmap_lock events may come after.
func (a *Assembler) exit(r *Record, t *thread) {
	a.notLookup(t)
	if t.call != nil {
		t.call.pending = false
		t.call = nil
		a.counts.UnpairedEnters++
	}
	t.ended, t.exitTraced = true, !r.Task
	if r.TID != t.pid {
		return
	}
	a.exited = append(a.exited, t.pid)
	if len(a.exited) > maxExited {
		delete(a.processes, a.exited[0])
		a.exited = a.exited[1:]
	}
}

// maxExited is how many processes are remembered after their end, for the
// threads of theirs that end later.
const maxExited = 256

// CloneThread is CLONE_THREAD, in the flags of a fork row: the child is a thread
// of its parent's process.
const CloneThread = 0x10000

// nameStack turns a callchain into frames. Equal callchains share one slice.
func (a *Assembler) nameStack(r *Record) {
	if len(r.Chain) == 0 {
		return
	}
	pid := r.TID
	if r.Got(traces.ColPID) {
		pid = r.PID
	}
	key := a.chainKey(pid, r)
	known, ok := a.stacks[key]
	if !ok || !slices.Equal(known.chain, r.Chain) {
		known = namedChain{chain: slices.Clone(r.Chain)}
		p := a.process(pid)
		for i, addr := range r.Chain {
			name := a.frame(p, pid, addr, i < r.ChainUser)
			known.frames = append(known.frames, strings.Split(name, "\n")...)
		}
		if len(a.stacks) > maxStacks {
			clear(a.stacks)
		}
		a.stacks[key] = known
	}
	r.Stack = known.frames
	r.Has |= traces.ColStack
}

// namedChain is a callchain with its frames.
type namedChain struct {
	chain  []uint64
	frames []string
}

// maxStacks bounds the memory for remembered callchains.
const maxStacks = 1 << 18

// chainKey names a callchain of a process in its present state: a new mapping
// may change what its addresses are.
func (a *Assembler) chainKey(pid int32, r *Record) uint64 {
	b := a.scratch[:0]
	b = binary.LittleEndian.AppendUint32(b, uint32(pid))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(a.process(pid).maps)))
	for _, addr := range r.Chain {
		b = binary.LittleEndian.AppendUint64(b, addr)
	}
	a.scratch = b
	return maphash.Bytes(a.seed, b)
}

// Release gives back a record that is not to be added.
func (a *Assembler) Release(r *Record) { a.recycle(r) }

// Hits is how many hits and returns became rows.
func (a *Assembler) Hits() int64 { return a.hits }

func (a *Assembler) recycle(r *Record) { a.free = append(a.free, r) }

// Next fills ev with the next row and returns true, or returns false when none is
// complete yet.
func (a *Assembler) Next(ev *traces.Event) bool {
	for a.flushing && (a.head == len(a.rows) || a.rows[a.head].pending) {
		a.flush()
	}
	if a.head == len(a.rows) {
		a.rows = a.rows[:0]
		a.head = 0
		return false
	}
	r := a.rows[a.head]
	if r.pending {
		return false
	}
	a.rows[a.head] = nil
	a.head++
	if a.head >= 4096 && a.head*2 >= len(a.rows) {
		a.rows = append(a.rows[:0], a.rows[a.head:]...)
		a.head = 0
	}
	if r.dropped {
		a.recycle(r)
		return a.Next(ev)
	}
	*ev = r.Event
	ev.Seq = a.seq
	a.seq++
	a.recycle(r)
	return true
}
