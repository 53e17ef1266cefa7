package assemble

import "github.com/replay/replay/traces"

// thread is what is known of a thread.
type thread struct {
	pid   int32
	comm  string
	kin   kinship
	ended bool
	// exitTraced says that sched_process_exit made the row of its end.
	exitTraced bool
	call       *Record   // a syscall that it is in
	exec       *Record   // an exec of which the end is not known
	fork       *Record   // a task record whose tracepoint may be the thread's next record
	birth      *Record   // the row of its creation, of which it is not known what it is
	awaiting   []*Record // whose callchains wait for the user's part
	lookup     *Record   // a lock_start of which it is not known what for
}

// kinship says what a child is to its parent.
type kinship uint8

const (
	unknown kinship = iota
	isThread
	isProcess
)

// noRow reports whether a task record makes no row: sched_process_exit made that of
// an exit already (do_exit has it first), of which each of several recorders has one, and
// what has no time perf made of a task that was there before (perf_event__synthesize_fork).
func noRow(r *Record, t *thread) bool {
	if r.Task && r.Kind == traces.Exit && t != nil && t.exitTraced {
		return true
	}
	return r.Task && r.Kind == traces.Fork && r.Time == 0
}

// settle ends the wait of a thread's task records for their tracepoints. That of a
// fork is the very next record of the thread (kernel_clone), which makes the row in
// place of the task record, with the child's id as that has it; that of an exec comes before
// the thread's user code runs.
func settle(r *Record, t *thread) {
	if f := t.fork; f != nil {
		f.dropped = !r.Task && r.Kind == traces.Fork && (r.Ret == f.Ret || r.foreign())
		if f.dropped {
			r.Ret, r.Parent = f.Ret, 0
		}
		f.pending = false
		t.fork = nil
	}
	if t.exec != nil && (r.Phase == Enter || r.Kind == traces.Hit || r.Kind == traces.Fork || r.Kind == traces.Exit || r.Task && r.Kind == traces.Exec && r.Phase == Whole) {
		t.exec.pending = false
		t.exec = nil
	}
}

// execBefore is a record of an exec, which its tracepoint completes, at the first lock
// of the new address space, r, where no task record tells of it.
func (a *Assembler) execBefore(r *Record) *Record {
	e := a.Record()
	e.Kind, e.Task = traces.Exec, true
	e.Time, e.CPU, e.PID, e.TID, e.Comm, e.SrcPos = r.Time, r.CPU, r.PID, r.TID, r.Comm, r.SrcPos
	e.Has = r.Has & (traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColSrcPos)
	return e
}

// thread returns the thread of r, nil when r is of none.
func (a *Assembler) thread(r *Record) *thread {
	if !r.Got(traces.ColTID) {
		return nil
	}
	t := a.threads.Get(r.TID)
	if t == nil {
		t = &thread{pid: r.TID}
		a.threads.Set(r.TID, t)
	}
	if r.Got(traces.ColPID) {
		t.pid = r.PID
		if t.birth != nil {
			t.born()
		}
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
	p := a.processes.Get(pid)
	if p == nil {
		p = &process{}
		a.processes.Set(pid, p)
	}
	return p
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
		a.processes.Delete(t.pid)
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
	c := a.threads.Get(id)
	if c == nil || c.ended || r.Task {
		c = &thread{pid: id, comm: t.comm}
		a.threads.Set(id, c)
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
	case r.Got(traces.ColPID):
		r.pending = true // the child's first row tells
		c.birth = r
		a.births = append(a.births, birth{c, r, r.Time})
	}
	if p := a.processes.Get(t.pid); p != nil && c.kin != isThread {
		if before := a.processes.Get(id); before == nil || before.ended {
			a.processes.Set(id, p.clone())
		}
	}
}

// birth is the row of a fork that waits for the child to tell its process.
type birth struct {
	child *thread
	row   *Record
	time  int64
}

// birthWait is how long a fork waits for that, in ns. A child runs at once, unless the
// CPUs are busy.
const birthWait = 100_000_000

// setKin says whether a child of the process is a thread of its creator's.
func setKin(r *Record, child int32) {
	setFlags(r, 0)
	if child == r.PID {
		setFlags(r, CloneThread)
	}
}

// born completes the row of a thread's creation, now that its process is known.
func (t *thread) born() {
	setKin(t.birth, t.pid)
	t.birth.pending = false
	t.birth = nil
}

// unborn ends the waits of those that were created before the time.
func (a *Assembler) unborn(before int64) {
	for len(a.births) > 0 && a.births[0].time < before {
		if b := &a.births[0]; b.child.birth == b.row {
			b.child.birth = nil
			b.row.pending = false
		}
		a.births = a.births[1:]
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
	a.noMoreUnwound(t)
	t.ended, t.exitTraced = true, t.exitTraced || !r.Task
	p := a.processes.Get(t.pid)
	if p == nil || r.TID != t.pid && !p.unled {
		return
	}
	p.unled, p.ended = true, true
	a.exited = append(a.exited, exited{t.pid, p})
	if len(a.exited) > maxExited {
		// By now it may be going on, or another process may have its id.
		if o := a.exited[0]; o.process.ended && a.processes.Get(o.pid) == o.process {
			a.processes.Delete(o.pid)
		}
		a.exited = a.exited[1:]
	}
}

// exited is a process that is over, unless threads of it hit later.
type exited struct {
	pid     int32
	process *process
}

// maxExited is how many processes are remembered after their end, for the
// threads of theirs that end later.
const maxExited = 256

// CloneThread is CLONE_THREAD, in the flags of a fork row: the child is a thread
// of its parent's process.
const CloneThread = 0x10000
