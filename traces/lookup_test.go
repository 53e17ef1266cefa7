package traces

import "testing"

func TestLookup(t *testing.T) {
	const kernel = " ([kernel.kallsyms])"
	check := []string{"__mmap_lock_do_trace_start_locking+0x4b" + kernel, "__do_sys_uprobe+0x254" + kernel, "do_syscall_64+0x71" + kernel, "0x55b239fac00d ([uprobes-trampo)"}
	find := []string{"find_active_uprobe_rcu+0x135" + kernel, "handle_syscall_uprobe+0x41" + kernel, "__do_sys_uprobe+0x124" + kernel, "site+0x0 (/bin/app)"}
	unnamed := []string{"0xffffffff81234567" + kernel, "0x55b239fac00d ([uprobes-trampoline])"}
	tests := []struct {
		name string
		ev   Event
		want Lookup
	}{
		{"check", Event{Kind: LockStart, InUprobe: true, Stack: check}, TrampolineLookup},
		{"check in a trace from before it was known", Event{Kind: LockStart, Stack: check}, TrampolineLookup},
		{"uprobe", Event{Kind: LockStart, InUprobe: true, Stack: find}, UprobeLookup},
		{"uprobe without a callchain", Event{Kind: LockStart, InUprobe: true}, UprobeLookup},
		{"check without names", Event{Kind: LockStart, InUprobe: true, Stack: unnamed}, TrampolineLookup},
		{"page fault on the trampoline", Event{Kind: LockStart, Stack: unnamed}, NoLookup},
		{"for write", Event{Kind: LockStart, Write: true, Stack: check}, NoLookup},
		{"another row", Event{Kind: LockAcquired, Stack: check}, NoLookup},
		{"uretprobe", Event{Kind: LockStart, Stack: []string{"__do_sys_uretprobe+0x1" + kernel}}, NoLookup},
		{"page fault of the system call", Event{Kind: LockStart, Stack: append([]string{"exc_page_fault+0x1" + kernel}, check[1:]...)}, NoLookup},
	}
	for _, test := range tests {
		if got := test.ev.Lookup(); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestOptimises(t *testing.T) {
	stack := []string{"__mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])", "arch_uprobe_optimize+0x112 ([kernel.kallsyms])", "uprobe_notify_resume+0x1ad ([kernel.kallsyms])"}
	ev := Event{Kind: LockStart, Write: true, Stack: stack}
	if !ev.Optimises() {
		t.Error("arch_uprobe_optimize takes the lock for write to optimise a probe")
	}
	ev.Write = false
	if ev.Optimises() {
		t.Error("a reader optimises nothing")
	}
}
