package timeline

import (
	"slices"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// takeSyscall notes what a syscall changed, and when it took mmap_lock if no lock
// event will tell.
func (r *Reconstruction) takeSyscall(t *thread, ev *traces.Event) {
	c := r.changeOf(ev)
	kind := callKind(ev, r.breaks)
	t.call = syscallRow{kind: ev.Kind.String(), model: kind, from: ev.Time, to: ev.Time + ev.Dur, change: c}
	if r.using == Syscalls {
		if section, ok := r.inference.section(r.profile.Sections, ev, kind, r.profile.Recorder.ExitLag, r.turns); ok {
			spansOf(r.sections, t.pid).add(sectionSpan{section.start, section.end(), t.tid, ev.Seq, ev.Time})
			r.emitModelled(t, ev, section, c)
			return
		}
	}
	if c != nil {
		// Whichever comes first makes the change: the section, or the syscall's end.
		r.emitApply(t, ev, ev.Time+ev.Dur, ev.Kind.String(), c)
	}
}

// emitModelled queues a write section that the model places in a syscall.
func (r *Reconstruction) emitModelled(t *thread, ev *traces.Event, s modelSection, c *Change) {
	o := r.origin(t, ev, ev.Kind.String(), ev.Stack)
	r.found.section(o)
	t.section = o
	op := r.operation(sim.OpWrite, t.number, r.spaceOf(t), ev)
	op.At, op.Origin, op.Hold, op.ReadHold, op.Change = s.start, o, s.hold, s.readHold, c
	if r.queue && s.wait > 0 {
		op.At, op.Wait, op.Woken = s.start-s.wait, s.wait, min(s.woken, wokenMost)
	}
	r.emit(op)
}

// emitApply queues a change alone, at a time.
func (r *Reconstruction) emitApply(t *thread, ev *traces.Event, at int64, kind string, c *Change) {
	op := r.operation(sim.OpApply, t.number, r.spaceOf(t), ev)
	op.At, op.Origin, op.Change = at, r.origin(t, ev, kind, nil), c
	r.emit(op)
}

// takeMap puts a mapping known without a syscall in place. When it tells what an
// mmap of the same thread mapped, it completes that.
func (r *Reconstruction) takeMap(ev *traces.Event) {
	if !ev.Got(traces.ColPID) {
		return
	}
	v := mm.VMA{Start: ev.Addr, End: ev.Addr + ev.Len, Pgoff: ev.Pgoff, File: r.fileOf(&r.mapped, ev, ""), Prot: mm.Prot(ev.Prot), Flags: mm.MapFlags(ev.Flags)}
	if t := r.find(ev.TID); t != nil && ev.Got(traces.ColTID) && t.call.change != nil && !t.call.change.handed && ev.Time <= t.call.to && t.call.change.vma.Start == v.Start {
		t.call.change.vma.File, t.call.change.vma.Pgoff = v.File, v.Pgoff
		return
	}
	// A task of its own makes it: the thread may be in the middle of something.
	m := &r.mapper
	if m.space == nil || m.pid != ev.PID || m.at != r.spacesAt {
		space := r.space(ev.PID)
		*m = mapper{ev.PID, r.spacesAt, space, r.number(Mapper, ev.PID), r.classes.of(Class{PID: ev.PID, TID: Mapper, Kind: "map"})}
	}
	if traces.IsTrampoline(ev.Path) {
		m.space.trampolines = append(m.space.trampolines, ev.Addr)
	}
	op := r.operation(sim.OpApply, m.number, m.space, ev)
	op.At, op.Change, op.Origin = ev.Time, r.change(), &Origin{Class: m.class, Seq: ev.Seq}
	op.Change.Kind, op.Change.vma = traces.Map, v
	r.emit(op)
}

// mapper is the task of a process that makes changes which no thread is known to have
// made.
type mapper struct {
	pid    int32
	at     int // Reconstruction.spacesAt then
	space  *Space
	number int32
	class  *Class
}

// change returns a new change.
func (r *Reconstruction) change() *Change {
	if r.changes == nil || r.changed == changeBlock {
		r.changes, r.changed = new([changeBlock]Change), 0
	}
	c := &r.changes[r.changed]
	r.changed++
	return c
}

// changeBlock is how many changes are allocated at once.
const changeBlock = 64

// Mapper is the thread id of changes that no thread is known to have made.
const Mapper = -1

// changeOf is what a syscall did to its address space; nil for nothing.
func (r *Reconstruction) changeOf(ev *traces.Event) *Change {
	if ev.Got(traces.ColRet) && ev.Ret < 0 && ev.Ret > -4096 {
		return nil
	}
	if ev.Kind == traces.Mmap && !ev.Got(traces.ColAddr|traces.ColLen) || ev.Kind == traces.Brk && !ev.Got(traces.ColRet) {
		return nil
	}
	c := r.change()
	c.Kind, c.addr, c.len, c.newAddr, c.newLen = ev.Kind, ev.Addr, ev.Len, ev.NewAddr, ev.NewLen
	c.prot, c.flags, c.advice = mm.Prot(ev.Prot), ev.Flags, ev.Advice
	switch ev.Kind {
	case traces.Mmap:
		c.vma = mm.VMA{Start: ev.Addr, End: ev.Addr + ev.Len, Pgoff: ev.Pgoff, Prot: mm.Prot(ev.Prot), Flags: mm.MapFlags(ev.Flags)}
		if ev.Path != "" {
			c.vma.File = r.fileOf(&r.mapped, ev, "")
		}
	case traces.Brk:
		c.addr = uint64(ev.Ret)
	}
	return c
}

// cloneThread is CLONE_THREAD, in the flags of a fork that made a thread.
const cloneThread = 0x10000

// forksThread reports whether a fork made a thread, not a process.
func forksThread(ev *traces.Event) bool {
	return ev.Got(traces.ColFlags) && ev.Flags&cloneThread != 0
}

// takeTask follows fork, exec and exit.
func (r *Reconstruction) takeTask(t *thread, ev *traces.Event) {
	switch ev.Kind {
	case traces.Fork:
		r.takeFork(t, ev)
	case traces.Exec:
		// The old address space stays with those that still share it.
		r.forget(t.pid)
		r.space(t.pid)
		r.living(t.pid, t.tid)
		t.call = syscallRow{}
	case traces.Exit:
		r.exited(t)
		delete(r.threads, t.tid)
		r.latest = nil
	}
}

// takeFork copies the parent's address space for a child process, and says what
// the section before was for.
func (r *Reconstruction) takeFork(t *thread, ev *traces.Event) {
	if forksThread(ev) {
		r.living(t.pid, int32(ev.Ret))
		return
	}
	parent := r.space(t.pid)
	r.forget(int32(ev.Ret))
	child := r.space(int32(ev.Ret))
	child.trampolines = slices.Clone(parent.trampolines)
	c := r.change()
	c.Kind, c.Child = traces.Fork, child
	if o := t.section; o != nil && o.Kind == "other" && !o.handed {
		fork := *o.Class
		fork.Kind = "fork"
		o.Class = r.classes.of(fork)
	}
	if r.using == Syscalls {
		if section, ok := forkSection(r.profile.Sections, ev); ok {
			r.emitModelled(t, ev, section, c)
			return
		}
	}
	r.emitApply(t, ev, ev.Time, "fork", c)
}
