package timeline

import (
	"slices"
	"strings"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// takeLock follows a thread through mmap_lock events. A section for write is
// lock_start, lock_acquired(write), then lock_acquired(read) at a downgrade, and
// lock_released (include/linux/mmap_lock.h).
func (r *Reconstruction) takeLock(t *thread, ev *traces.Event, lookup traces.Lookup) {
	l := &t.lock
	if refused(ev) {
		l.drop()
		return
	}
	switch ev.Kind {
	case traces.LockStart:
		r.startLock(t, ev, lookup)
	case traces.LockAcquired:
		switch {
		case !l.open || l.start == 0 && ev.Write:
			// The start was lost, or trylock took it: those report no start.
			r.openLock(t, ev)
			l.acquired = ev.Time
			r.spaceOf(t).lock.take(l)
		case l.acquired == 0:
			l.acquired = ev.Time
			l.write = ev.Write
			r.spaceOf(t).lock.take(l)
			if l.inUprobe && r.queue {
				t.seen.woken = l.woken(ev.Time)
			}
		case l.write && !ev.Write && l.downgrade == 0:
			l.downgrade = ev.Time
			l.stacked = len(ev.Stack) > 0
			l.queue.wrote = r.evenAt(t, l, ev.Time)
		}
	case traces.LockReleased:
		if l.open {
			r.endLock(t, ev)
		}
	}
}

// refused reports whether a lock_acquired tells that its thread did not get the lock:
// a trylock that found it taken, or a wait that a fatal signal ended
// (mmap_lock_acquire_returned with success=false).
func refused(ev *traces.Event) bool {
	return ev.Kind == traces.LockAcquired && ev.Got(traces.ColRet) && ev.Ret < 0
}

func (r *Reconstruction) startLock(t *thread, ev *traces.Event, which traces.Lookup) {
	lookup := t.seen.of(which)
	r.openLock(t, ev)
	l := &t.lock
	l.start, l.inUprobe, l.stack = ev.Time, lookup != nil, ev.Stack
	l.asked = ev.Time + r.survey.gaps.startLike(len(ev.Stack)).Quarter
	r.spaceOf(t).lock.ask(l)
	if lookup != nil {
		t.seen.take(ev, which)
		lookup.cold = r.survey.gaps.coldCost(r.sinceLockStart(ev), ev.Time-t.lastRow)
		r.hold(t, ev.Time, true)
	}
}

// sinceLockStart is the time since the CPU's latest lock_start, in ns.
func (r *Reconstruction) sinceLockStart(ev *traces.Event) int64 {
	last := r.lastStart[ev.CPU]
	if last == 0 {
		return maxOpen
	}
	return ev.Time - last
}

func (r *Reconstruction) openLock(t *thread, ev *traces.Event) {
	t.lock.drop() // its end was lost
	t.lock = openSection{open: true, start: ev.Time, write: ev.Write, asked: ev.Time}
	r.hold(t, ev.Time, false)
}

// endLock turns a finished hold into an operation, unless it was the lookup of a
// hit, which the simulator does itself.
func (r *Reconstruction) endLock(t *thread, ev *traces.Event) {
	l, queue := t.lock, t.lock.queue
	t.lock.drop()
	t.lock = openSection{}
	if l.acquired == 0 {
		return
	}
	released := ev.Time
	if ev.Got(traces.ColMm) && (l.inUprobe || l.write && l.start >= t.call.from && l.start <= t.call.to) {
		r.found.Sharing += r.sharers.use(ev.Mm, r.spaceOf(t))
	}
	if l.inUprobe {
		queue.wake(released)
		return
	}
	if l.downgrade == 0 {
		l.stacked = len(ev.Stack) > 0
	}
	o := r.origin(t, ev, r.kinds.of(&t.call, l.start, l.stack), l.stack)
	o.Time, o.Observed = l.start, true
	o.Undecided = r.survey.losses.touch(l.acquired, released)
	op := r.operation(sim.OpRead, t.number, r.spaceOf(t), ev)
	op.At, op.Origin, op.ReadHold = l.acquired, o, released-l.acquired
	held := Section{
		PID: t.pid, Write: l.write, Asked: l.start, Odd: l.acquired, Even: l.acquired, Released: released,
		Call: t.call.model, CallFrom: t.call.from, CallTo: t.call.to,
	}
	if l.write {
		r.found.section(o)
		t.section = o
		odd := l.acquired - r.acquireLead(op.Space, &l)
		even := r.evenAt(t, &l, released)
		held.Odd, held.Even = odd, even
		op.Kind, op.At = sim.OpWrite, odd
		op.Hold = max(even-odd, 0)
		op.ReadHold = 0
		if l.downgrade != 0 {
			op.ReadHold = max(released-even, 1)
		}
		if l.start <= t.call.to && l.start >= t.call.from {
			op.Change = t.call.change
		}
	}
	if r.queue {
		l.inTurn(op)
	}
	free := released
	if l.write && l.downgrade == 0 {
		free = held.Even
		queue.wrote = free
	}
	queue.wake(free)
	if r.observer != nil {
		r.observer.Section(&held)
	}
	r.emit(op)
}

// acquireLead is how long before its lock_acquired a writer turned the sequence odd. One
// that had to wait takes longer to tell: the code that records it is out of the caches.
// Where probes are optimised that matters more: their check lets go of the lock, a writer
// that spins has it at once, and the lookup of the uprobe meets that.
func (r *Reconstruction) acquireLead(p *Space, l *openSection) int64 {
	rec := &r.profile.Recorder
	usual := r.survey.gaps.startLike(len(l.stack)).Tenth
	switch waited := l.acquired - l.start - usual; {
	case len(p.trampolines) > 0 && waited >= spunAtLeast && waited <= spunAtMost:
		return rec.ContendedLead
	case waited >= wokenAtLeast:
		return rec.AcquireLead + wokenLead
	}
	return rec.AcquireLead
}

// How much longer than at best a writer that spun takes from its lock_start to its
// lock_acquired, in ns; one that slept takes still longer. wokenLead is how much longer one
// that waited then takes to tell, on recordings whose hits have arrivals of their own.
const (
	spunAtLeast = 1_500
	spunAtMost  = ReaderSpin + 2_000

	wokenAtLeast = 4_000
	wokenLead    = 270
)

// ReaderSpin is how long a writer spins on a reader-owned lock before it sleeps, in
// ns (rwsem_rspin_threshold, one reader).
const ReaderSpin = 10_500

// evenAt is when the sequence became even again, in ns: the row that tells of the
// end comes first, then the recorder takes its time, then the sequence is
// bumped. When the thread left its syscall right after, its own time is known;
// else it is what this recorder usually takes.
func (r *Reconstruction) evenAt(t *thread, l *openSection, released int64) int64 {
	usual := r.survey.gaps.release(l.stacked)
	if l.downgrade != 0 {
		return l.downgrade + max(usual-r.profile.Recorder.ExitLag, 0)
	}
	if own := t.call.to - released; own >= 0 && own <= 3*usual {
		usual = own
	}
	return released + max(usual-r.profile.Recorder.ExitLag, 0)
}

// otherKind is what a lock was taken for that no name is known for.
const otherKind = "other"

// lockKinds names what a thread took mmap_lock for, by stack.
type lockKinds map[stackPart]string

func newLockKinds() lockKinds { return lockKinds{} }

// of names what a thread took mmap_lock for at a time: the syscall that it was in, or what
// a kernel function on its stack tells.
func (k lockKinds) of(call *syscallRow, at int64, stack []string) string {
	if call.kind != "" && at >= call.from && at <= call.to {
		return call.kind
	}
	if len(stack) == 0 {
		return otherKind
	}
	part := stackPart{&stack[0], len(stack)}
	kind, ok := k[part]
	if !ok {
		if len(k) == stackPartsMax {
			clear(k)
		}
		kind = stackKind(stack)
		k[part] = kind
	}
	return kind
}

func stackKind(stack []string) string {
	for _, frame := range stack {
		for _, k := range sectionFrames {
			if strings.HasPrefix(frame, k.frame) {
				return k.kind
			}
		}
	}
	return otherKind
}

// lockTracer begins the names of the functions that record lock events
// (mm/mmap_lock.c), the leaves of their stacks.
const lockTracer = "__mmap_lock_do_trace_"

// SectionKinds are the kinds of operations that take mmap_lock, Class.Kind of sections.
func SectionKinds() []string {
	var kinds []string
	add := func(kind string) {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	for kind := traces.Mmap; kind <= traces.Madvise; kind++ {
		add(kind.String())
	}
	for _, f := range sectionFrames {
		if !strings.ContainsAny(f.kind, " :") {
			add(f.kind)
		}
	}
	add(otherKind)
	return kinds
}

// sectionFrames names the takers of mmap_lock that are no traced syscall, by a
// kernel function on their stack, the leaf-most that is here.
var sectionFrames = []struct{ frame, kind string }{
	{"dup_mm", "fork"},
	{"exit_mmap", "exit"},
	{"begin_new_exec", "exec"},
	{"load_elf_binary", "exec"},
	{"setup_arg_pages", "exec"},
	{"create_init_stack_vma", "exec"},
	{"get_arg_page", "exec"},
	{"map_vdso", "exec"},
	{"vm_mmap_pgoff", "mmap"},
	{"__vm_munmap", "munmap"},
	{"do_mprotect_pkey", "mprotect"},
	{"do_mremap", "mremap"},
	{"__do_sys_mremap", "mremap"},
	{"__do_sys_brk", "brk"},
	{"vm_brk_flags", "brk"},
	{"do_madvise", "madvise"},
	{"asm_exc_page_fault", "fault"},
	{"do_mem_abort", "fault"}, // arm64
	{"arch_uprobe_optimize", "optimise"},
	{"uprobe_register", "register"},
	{"uprobe_unregister", "register"},
	{"register_for_each_vma", "register"},
	{"khugepaged", "khugepaged"},
	// Readers of /proc/PID/maps, smaps and numa_maps are all in m_start (fs/proc/task_mmu.c).
	{"m_start", "/proc maps"},
	{"m_next", "/proc maps"},
	{"show_smaps_rollup", "/proc maps"},
	{"pagemap_read", "/proc maps"},
	{"do_procmap_query", "/proc maps"},
	{"clear_refs_write", "/proc maps"},
	// Of another process's memory: /proc/PID/mem, cmdline and environ, and ptrace.
	{"ptrace_access_vm", "ptrace"},
	{"proc_pid_", "/proc"},
	{"environ_read", "/proc"},
	{"mem_rw", "/proc"},
	{"process_vm_rw", "process_vm"},
	{"task_numa_work", "numa"},
	{"ksm_", "ksm"},
	{"do_coredump", "coredump"},
	{"do_exit", "exit"},
	{"futex_", "futex"},
	{"bpf_", "bpf"},
	{"stack_map_get_build_id_offset", "bpf"},
}
