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
	t.call = syscallRow{kind: ev.Kind.String(), model: kind, from: ev.Time, to: ev.Time + ev.Dur, change: c, stack: ev.Stack}
	p := r.processOf(t, ev.Comm)
	if r.using == Syscalls {
		if section, ok := r.inference.section(r.profile.Sections, ev, kind, r.profile.Recorder.ExitLag, r.turns); ok {
			recentOf(r.sections, t.pid).add(odd{section.start, section.end(), t.tid, ev.Seq})
			r.emitModelled(t, ev, p, section, c)
			return
		}
	}
	if c != nil {
		// Whichever comes first makes the change: the section, or the syscall's end.
		r.emit(ev, Operation{Kind: sim.OpApply, Thread: t.who, At: ev.Time + ev.Dur, Space: p, Origin: r.origin(t, ev, ev.Kind.String(), nil), Change: c})
	}
}

// emitModelled queues a write section that the model places in a syscall.
func (r *Reconstruction) emitModelled(t *thread, ev *traces.Event, p *Space, s modelledSection, c *Change) {
	o := r.origin(t, ev, ev.Kind.String(), ev.Stack)
	r.notes.section(o)
	t.section = o
	r.emit(ev, Operation{Kind: sim.OpWrite, Thread: t.who, At: s.start, Space: p, Origin: o, Hold: s.hold, ReadHold: s.readHold, Change: c})
}

// takeMap puts a mapping known without a syscall in place. When it tells what an
// mmap of the same thread mapped, it completes that.
func (r *Reconstruction) takeMap(ev *traces.Event) {
	if !ev.Got(traces.ColPID) {
		return
	}
	v := mm.VMA{Start: ev.Addr, End: ev.Addr + ev.Len, Pgoff: ev.Pgoff, File: r.fileOf(ev, ""), Prot: mm.Prot(ev.Prot), Flags: mm.MapFlags(ev.Flags)}
	if t := r.find(ev.TID); t != nil && ev.Got(traces.ColTID) && t.call.change != nil && !t.call.change.handed && ev.Time <= t.call.to && t.call.change.vma.Start == v.Start {
		t.call.change.vma.File, t.call.change.vma.Pgoff = v.File, v.Pgoff
		return
	}
	// A task of its own makes it: the thread may be in the middle of something.
	p := r.process(ev.PID, ev.Comm)
	if traces.IsTrampoline(ev.Path) {
		p.trampolines = append(p.trampolines, ev.Addr)
	}
	c := &Change{Kind: traces.Map, vma: v}
	o := &Origin{Class: r.classes.of(&Class{PID: ev.PID, TID: Mapper, Kind: "map"}), Seq: ev.Seq}
	r.emit(ev, Operation{Kind: sim.OpApply, Thread: r.whoIs(Mapper, ev.PID), At: ev.Time, Space: p, Origin: o, Change: c})
}

// Mapper is the thread id of changes that no thread is known to have made.
const Mapper = -1

// changeOf is what a syscall did to its address space; nil for nothing.
func (r *Reconstruction) changeOf(ev *traces.Event) *Change {
	if ev.Got(traces.ColRet) && ev.Ret < 0 && ev.Ret > -4096 {
		return nil
	}
	c := &Change{Kind: ev.Kind, addr: ev.Addr, len: ev.Len, newAddr: ev.NewAddr, newLen: ev.NewLen, prot: mm.Prot(ev.Prot), flags: ev.Flags, advice: ev.Advice}
	switch ev.Kind {
	case traces.Mmap:
		if !ev.Got(traces.ColAddr | traces.ColLen) {
			return nil
		}
		c.vma = mm.VMA{Start: ev.Addr, End: ev.Addr + ev.Len, Pgoff: ev.Pgoff, Prot: mm.Prot(ev.Prot), Flags: mm.MapFlags(ev.Flags)}
		if ev.Path != "" {
			c.vma.File = r.fileOf(ev, "")
		}
	case traces.Brk:
		if !ev.Got(traces.ColRet) {
			return nil
		}
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
		r.process(t.pid, ev.Comm)
		t.call = syscallRow{}
	case traces.Exit:
		delete(r.threads, t.tid)
		r.latest = nil
		if t.tid == t.pid {
			r.forget(t.pid)
		}
	}
}

// takeFork copies the parent's address space for a child process, and says what
// the section before was for.
func (r *Reconstruction) takeFork(t *thread, ev *traces.Event) {
	if forksThread(ev) {
		return
	}
	parent := r.process(t.pid, ev.Comm)
	r.forget(int32(ev.Ret))
	child := r.process(int32(ev.Ret), ev.Comm)
	child.trampolines = slices.Clone(parent.trampolines)
	c := &Change{Kind: traces.Fork, Child: child}
	if o := t.section; o != nil && o.Kind == "other" && !o.handed {
		fork := *o.Class
		fork.Kind = "fork"
		o.Class = r.classes.of(&fork)
	}
	if r.using == Syscalls {
		if section, ok := forkSection(r.profile.Sections, ev); ok {
			r.emitModelled(t, ev, parent, section, c)
			return
		}
	}
	r.emit(ev, Operation{Kind: sim.OpApply, Thread: t.who, At: ev.Time, Space: parent, Origin: r.origin(t, ev, "fork", nil), Change: c})
}
