package reports

import (
	"slices"

	"github.com/replay/replay/sim"
)

// kernelModule is the module of the frames below, as perf names it.
const kernelModule = "[kernel.kallsyms]"

// kernelStack returns frames of the kernel, given root first as one reads a call
// chain, leaf first as stacks are kept.
func kernelStack(functions ...string) []frame {
	stack := make([]frame, 0, len(functions))
	for i := len(functions) - 1; i >= 0; i-- {
		stack = append(stack, frame{functions[i], kernelModule})
	}
	return stack
}

// trap is how the kernel comes to the uprobe code: on the way back to user mode
// after int3. handle_swbp is inlined into uprobe_notify_resume on most builds; it
// is shown since it is where lookup and handlers part.
var trap = []string{"asm_exc_int3", "irqentry_exit_to_user_mode", "exit_to_user_mode_loop", "uprobe_notify_resume", "handle_swbp"}

// syscall is how the hit of an optimised probe comes there: from the trampoline that its
// site calls (x86 since 6.18).
var syscall = []string{"entry_SYSCALL_64_after_hwframe", "do_syscall_64", "__do_sys_uprobe"}

// lookupFrames are the kernel stacks that the parts of a hit's time belong to,
// leaf first.
type lookupFrames struct {
	speculate []frame                  // the lockless walk
	refused   [sim.NumOutcomes][]frame // where a speculation gave up
	lock      []frame                  // down_read: the atomic on mmap_lock
	blocked   []frame                  // asleep until the lock is granted
	held      []frame                  // the walk under the lock
}

// hitFrames are the stacks of the lookups of hits: by trap, and by the system call of an
// optimised probe, which first asks whether it was made from the trampoline.
type hitFrames struct{ trap, check, syscall *lookupFrames }

// framesOf returns the stacks of a resolver, in the words of the kernel that it
// stands for. The check of the trampoline is the same for all.
func framesOf(resolver string) *hitFrames {
	r, err := sim.FindResolver(resolver)
	if err != nil {
		r, _ = sim.FindResolver(kernelToday)
	}
	return &hitFrames{
		trap: lookupStacks(trap, r), check: lookupStacks(syscall, r.Check()),
		syscall: lookupStacks(append(syscall[:len(syscall):len(syscall)], "handle_syscall_uprobe"), r),
	}
}

// lookupStacks are the stacks of a resolver below those that lead to it, named as in the
// programs that are timed.
func lookupStacks(way []string, r *sim.Resolver) *lookupFrames {
	under := func(functions ...string) []frame {
		return kernelStack(append(append(append([]string{}, way...), r.Finder()), functions...)...)
	}
	var speculate []string
	if f := r.Speculator(); f != "" && f != r.Finder() {
		speculate = append(speculate, f)
	}
	f := &lookupFrames{
		speculate: under(speculate...),
		lock:      under("down_read"),
		blocked:   under("down_read", "rwsem_down_read_slowpath", "schedule_preempt_disabled"),
		held:      under(),
	}
	for o := range sim.NumOutcomes {
		f.refused[o] = f.speculate
		if by := r.Refuser(o); by != "" && by != r.Speculator() {
			f.refused[o] = under(append(speculate[:len(speculate):len(speculate)], by)...)
		}
	}
	return f
}

// kernelToday is the resolver whose kernel others are like.
const kernelToday = "speculative-merged"

// writerCalls is how an operation comes to change the address space under
// mmap_lock, root first; the last function runs while it is held for write.
var writerCalls = map[string][]string{
	"mmap":     {"__x64_sys_mmap", "vm_mmap_pgoff", "do_mmap"},
	"munmap":   {"__x64_sys_munmap", "__vm_munmap", "do_vmi_align_munmap"},
	"mprotect": {"__x64_sys_mprotect", "do_mprotect_pkey"},
	"mremap":   {"__x64_sys_mremap", "do_mremap"},
	"brk":      {"__x64_sys_brk", "do_brk_flags"},
	"madvise":  {"__x64_sys_madvise", "do_madvise"},
	"fork":     {"kernel_clone", "copy_process", "dup_mmap"},
	"exec":     {"__x64_sys_execve", "begin_new_exec", "exec_mmap"},
	"exit":     {"do_exit", "exit_mm", "exit_mmap"},
}

// writerStack is a writer's stack, leaf first: as traced if that names functions of
// the kernel, else the traced part of the program below the model's kernel frames.
func writerStack(kind string, traced []string) []frame {
	stack := parseStack(traced)
	inKernel := slices.IndexFunc(stack, func(f frame) bool { return !f.kernel() })
	if inKernel < 0 {
		inKernel = len(stack)
	}
	if slices.ContainsFunc(stack[:inKernel], frame.named) {
		return stack
	}
	stack = stack[inKernel:]
	calls, ok := writerCalls[kind]
	if !ok {
		return append([]frame{{symbol: "[" + kind + "]"}}, stack...)
	}
	return append(kernelStack(calls...), stack...)
}
