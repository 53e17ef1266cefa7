package traces

import (
	"slices"
	"strings"
)

// Lookup says for which lookup of a uprobe hit a thread asked for mmap_lock.
type Lookup uint8

// A hit by int3 makes one lookup. That of an optimised probe makes two: the uprobe
// system call asks first whether it was made from the trampoline.
const (
	NoLookup         Lookup = iota
	UprobeLookup            // find_active_uprobe and its successors
	TrampolineLookup        // in_uprobe_trampoline (arch/x86/kernel/uprobes.c, since 6.18)
)

// trampoline begins the path of the mapping through which optimised probes enter
// the kernel, "[uprobes-trampoline]" (tramp_mapping). perf_event_mmap_event has 16
// bytes for the name of a special mapping, and cuts it.
const trampoline = "[uprobes-trampo"

// IsTrampoline reports whether a path is that of the trampoline of optimised probes.
func IsTrampoline(path string) bool { return strings.HasPrefix(path, trampoline) }

// Lookup reports for which lookup of a hit the lock_start e is. A trampoline's is
// known by its stack even where in_uprobe says false: traces from before it was known
// are stored so.
func (e *Event) Lookup() Lookup {
	switch {
	case e.Kind != LockStart || e.Write:
		return NoLookup
	case TrampolineCheck(e.Stack):
		return TrampolineLookup
	case !e.InUprobe:
		return NoLookup
	case FromTrampoline(e.Stack):
		return TrampolineLookup
	}
	return UprobeLookup
}

// Optimises reports whether the lock_start e is of the optimisation of a probe: a hit
// by int3 turned its site into a call of the trampoline, for which it takes mmap_lock
// for write.
func (e *Event) Optimises() bool {
	return e.Kind == LockStart && e.Write && slices.ContainsFunc(e.Stack, func(f string) bool { return in(f, "arch_uprobe_optimize") })
}

// TrampolineCheck reports whether a stack on which mmap_lock is taken for read is by
// name that of the check. Compilers put in_uprobe_trampoline into its one caller, the
// system call; what else that does has functions of its own, and so has a page fault.
func TrampolineCheck(stack []string) bool {
	for _, frame := range stack {
		switch {
		case in(frame, "__do_sys_uprobe"), in(frame, "__x64_sys_uprobe"), in(frame, "in_uprobe_trampoline"):
			return true
		case in(frame, "handle_syscall_uprobe"), in(frame, "exc_page_fault"), in(frame, "asm_exc_page_fault"):
			return false
		}
	}
	return false
}

// in reports whether a frame is of the function: function+0xoff (module).
func in(frame, function string) bool {
	rest, ok := strings.CutPrefix(frame, function)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ' ' || rest[0] == '.')
}

// inKernel ends the frames of the kernel itself.
const inKernel = " (" + kernelModule + ")"

// FromTrampoline reports whether a stack's user part begins in the trampoline. The
// lookup of the uprobe comes when the system call has put the probe's address in its
// place (handle_syscall_uprobe).
func FromTrampoline(stack []string) bool {
	for _, frame := range stack {
		if strings.HasSuffix(frame, inKernel) {
			continue // as most of them
		}
		i := strings.LastIndex(frame, " (")
		if i < 0 {
			continue
		}
		switch module := frame[i+2:]; {
		case IsTrampoline(module):
			return true
		case module[0] != '[': // a file: neither the kernel nor unknown
			return false
		}
	}
	return false
}

// NamesKernel reports whether a callchain names a function of the kernel, so that it
// tells what the kernel was doing.
func NamesKernel(stack []string) bool {
	return slices.ContainsFunc(stack, func(frame string) bool {
		return !strings.HasPrefix(frame, "0x") && kernelFrame(frame)
	})
}

// WithoutAddresses is a stack in which frames that have no name say no more than their module:
// each process has that at an address of its own.
func WithoutAddresses(stack []string) []string {
	var without []string
	for i, frame := range stack {
		if !strings.HasPrefix(frame, "0x") {
			continue
		}
		if without == nil {
			without = slices.Clone(stack)
		}
		without[i] = "[unknown]"
		if at := strings.LastIndex(frame, " ("); at >= 0 {
			without[i] += frame[at:]
		}
	}
	if without == nil {
		return stack
	}
	return without
}

// kernelFrame reports whether a frame is in the kernel or a module of it. What
// bpftrace names without saying where it is counts: it prints a lock's kernel stack so.
func kernelFrame(frame string) bool {
	i := strings.LastIndex(frame, " (")
	if i < 0 {
		return true
	}
	switch module := strings.TrimSuffix(frame[i+2:], ")"); module {
	case "[vdso]", "[vsyscall]", "[heap]", "[stack]":
		return false
	default:
		return strings.HasPrefix(module, "[") && !IsTrampoline(module) || strings.HasSuffix(module, ".ko")
	}
}
