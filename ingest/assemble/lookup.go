package assemble

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/replay/replay/traces"
)

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

// lockStart waits for what the lock turns out to have been taken for. Where a symbol on
// the stack tells that it is a lookup's, it waits for whose: others may have put probes
// into the process, and debuggers breakpoints, that the recorder records no hit of. Of a
// trampoline there is nothing to tell that by.
func (a *Assembler) lockStart(r *Record, t *thread) {
	if r.Got(traces.ColInUprobe) || t == nil {
		return
	}
	a.notLookup(t)
	tells := a.stackTells(r.Stack)
	if tells.lookup || tells.trampolineCheck(r) {
		r.InUprobe = true
		if tells.check || tells.fromTrampoline || r.UserIP == 0 || r.Cookie != 0 {
			r.Has |= traces.ColInUprobe
			return
		}
		r.pending = true
		t.lookup = r
		return
	}
	// A callchain that is put off is unwound on the way back to user space, when the
	// trap has moved the IP on: it does not tell whose lock it was.
	if r.Write || r.UserIP == 0 && r.Cookie == 0 && tells.kernel {
		r.Has |= traces.ColInUprobe // the lookup takes it for read, from a trap
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
func lookupOnStack(stack []string) bool {
	return slices.ContainsFunc(stack, func(f string) bool { return strings.HasPrefix(f, lookupFrames) })
}

// stackTells is what the stack of a lock_start tells of it.
type stackTells struct {
	lookup         bool // lookupOnStack
	check          bool // traces.TrampolineCheck
	fromTrampoline bool // traces.FromTrampoline
	kernel         bool // traces.NamesKernel
}

// toldStack is a stack and what it tells.
type toldStack struct {
	stack []string
	tells stackTells
}

// stacksTold is how many stacks are remembered.
const stacksTold = 256

// stackTells looks at the frames of a stack, mostly once for all rows that share them in
// one place of the memory.
func (a *Assembler) stackTells(stack []string) stackTells {
	if len(stack) == 0 {
		return stackTells{}
	}
	t := &a.told[uintptr(unsafe.Pointer(&stack[0]))/unsafe.Sizeof(stack[0])%stacksTold]
	if len(t.stack) != len(stack) || &t.stack[0] != &stack[0] {
		*t = toldStack{stack, stackTells{lookupOnStack(stack), traces.TrampolineCheck(stack), traces.FromTrampoline(stack), traces.NamesKernel(stack)}}
	}
	return t.tells
}

// trampolineCheck reports whether the lock_start is of the first lookup of an optimised
// probe, by name or, where the kernel's frames have none, by where it came from.
func (t stackTells) trampolineCheck(r *Record) bool {
	return !r.Write && (t.check || t.fromTrampoline && r.UserIP%4096 >= trampolineReturn)
}

// trampolineReturn is how many bytes of the trampoline a thread has behind it after its
// system call. It may fault on those before (uprobe_trampoline_entry).
const trampolineReturn = 13

// notLookup decides that the thread's lock_start was no uprobe lookup's: the thread
// did something else before its next hit, or came from elsewhere. One that is by name was of
// a hit that made no row, if it was at a probe that others are at.
func (a *Assembler) notLookup(t *thread) {
	if r := t.lookup; r != nil {
		if r.InUprobe && !a.process(t.pid).probedBy(r) {
			r.InUprobe = false
			a.counts.Strangers++
		}
		r.Has |= traces.ColInUprobe
		r.pending = false
		t.lookup = nil
	}
}

// hit decides whether the thread's lock_start was this hit's lookup: it was when
// the lock was taken on the way out of a trap at the probed instruction. On x86
// the saved address is one byte beyond it (do_int3), elsewhere it is the same. Without
// that address and without names it may have been, or a page fault's before the trap:
// it stays undecided.
func (a *Assembler) hit(r *Record, t *thread) {
	if t != nil && r.Got(traces.ColAddr) {
		p := a.process(t.pid)
		p.ended = false
		p.probe(r.Addr)
	}
	if t != nil && t.lookup != nil {
		l := t.lookup
		switch {
		case l.InUprobe && r.Kind == traces.Hit && (!r.Got(traces.ColAddr) || sameTrap(l, r.Addr)):
			l.Has |= traces.ColInUprobe
			l.pending, t.lookup = false, nil
		case l.InUprobe, r.Kind != traces.Hit:
			a.notLookup(t)
		case l.UserIP == 0:
			l.pending, t.lookup = false, nil
		default:
			l.InUprobe = sameTrap(l, r.Addr)
			a.notLookup(t)
		}
	}
	if t == nil || r.Got(traces.ColPath) {
		return
	}
	if file := a.process(t.pid).file(r.Addr); file != noFile {
		copyFile(&r.Event, file)
	}
}

func sameTrap(l *Record, addr uint64) bool {
	if l.UserIPPage {
		return (l.UserIP-addr)%4096 <= 1
	}
	return l.UserIP == addr || l.UserIP == addr+1
}
