package assemble

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/traces"
)

// record makes a record of a thread of process 10 on a CPU.
func record(a *Assembler, kind traces.Kind, at int64, cpu, tid int32) *Record {
	r := a.Record()
	r.Kind, r.Time, r.CPU, r.PID, r.TID = kind, at, cpu, 10, tid
	r.Has = traces.ColCPU | traces.ColPID | traces.ColTID
	return r
}

func phase(a *Assembler, p Phase, kind traces.Kind, at int64, cpu, tid int32) *Record {
	r := record(a, kind, at, cpu, tid)
	r.Phase = p
	return r
}

// rows ends the input and returns what comes out.
func rows(a *Assembler) []traces.Event {
	a.Flush()
	var out []traces.Event
	var ev traces.Event
	for a.Next(&ev) {
		out = append(out, ev)
	}
	return out
}

func TestSyscallsAreJoined(t *testing.T) {
	a := New(Options{})
	in := phase(a, Enter, traces.Mmap, 100, 0, 11)
	setLen(in, 4096)
	a.Add(in)
	a.Add(record(a, traces.Exec, 150, 1, 12))
	out := phase(a, Leave, traces.Mmap, 300, 0, 11)
	setRet(out, 0x7000)
	a.Add(out)
	failed := phase(a, Enter, traces.Munmap, 400, 0, 11)
	a.Add(failed)
	bad := phase(a, Leave, traces.Munmap, 450, 0, 11)
	setRet(bad, ^uint64(21)) // -EINVAL
	a.Add(bad)
	got := rows(a)
	if len(got) != 3 {
		t.Fatalf("%d rows, want 3", len(got))
	}
	m := got[0]
	if m.Kind != traces.Mmap || m.Time != 100 || m.Dur != 200 || m.Addr != 0x7000 || m.Len != 4096 {
		t.Errorf("mmap %+v", m)
	}
	if u := got[2]; u.Ret != -22 || u.Dur != 50 || u.Got(traces.ColAddr) {
		t.Errorf("failed munmap %+v", u)
	}
	if c := a.Counts(); c.UnpairedEnters+c.UnpairedExits+c.Late != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestUnpaired(t *testing.T) {
	a := New(Options{})
	a.Add(phase(a, Leave, traces.Brk, 10, 0, 11))  // its entry was before the recording
	a.Add(phase(a, Enter, traces.Mmap, 20, 0, 11)) // its exit was lost
	a.Add(phase(a, Enter, traces.Mmap, 30, 0, 11)) // still running at the end
	got := rows(a)
	if len(got) != 3 || got[1].Got(traces.ColDur) || got[2].Got(traces.ColDur) {
		t.Errorf("rows %+v", got)
	}
	if c := a.Counts(); c.UnpairedExits != 1 || c.UnpairedEnters != 2 || len(c.Warnings()) != 2 {
		t.Errorf("counts %+v", c)
	}
}

// A lock without a callchain is no lookup's when the thread went on with something else
// than a hit, or was in a system call.
func TestUndecidedLock(t *testing.T) {
	hit := func(a *Assembler) *Record { return record(a, traces.Hit, 900, 0, 11) }
	for _, test := range []struct {
		name    string
		then    func(a *Assembler) []*Record
		decided bool
	}{
		{"a hit follows", func(a *Assembler) []*Record { return []*Record{hit(a)} }, false},
		{"a hit of another thread follows", func(a *Assembler) []*Record { return []*Record{record(a, traces.Hit, 900, 1, 12)} }, true},
		{"a return follows", func(a *Assembler) []*Record { return []*Record{record(a, traces.Ret, 200, 0, 11), hit(a)} }, true},
		{"a syscall follows", func(a *Assembler) []*Record { return []*Record{phase(a, Enter, traces.Brk, 200, 0, 11), hit(a)} }, true},
		{"a syscall's end follows", func(a *Assembler) []*Record { return []*Record{phase(a, Leave, traces.Brk, 200, 0, 11), hit(a)} }, true},
		{"its syscall has no end", func(a *Assembler) []*Record { return []*Record{phase(a, Enter, traces.Brk, 50, 0, 11), hit(a)} }, false},
		{"another lock follows", func(a *Assembler) []*Record {
			other := record(a, traces.LockStart, 200, 0, 11)
			other.UserIP = 0x402000
			return []*Record{other, hit(a)}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := New(Options{})
			a.Add(record(a, traces.LockStart, 100, 0, 11))
			a.Add(record(a, traces.LockAcquired, 110, 0, 11))
			for _, r := range test.then(a) {
				a.Add(r)
			}
			for _, ev := range rows(a) {
				if ev.Kind == traces.LockStart && ev.Time == 100 && (ev.Got(traces.ColInUprobe) != test.decided || ev.InUprobe) {
					t.Errorf("in_uprobe %v, decided %v", ev.InUprobe, ev.Got(traces.ColInUprobe))
				}
			}
		})
	}
}

// Who took the lock is told by where the trap was, or by the kernel's symbols.
func TestInUprobe(t *testing.T) {
	tests := []struct {
		name    string
		start   func(*Record)
		in      bool
		decided bool
	}{
		{"trap at the probe", func(r *Record) { r.UserIP = 0x401001 }, true, true},
		{"where the saved address is the probe's", func(r *Record) { r.UserIP = 0x401000 }, true, true},
		{"elsewhere", func(r *Record) { r.UserIP = 0x402345 }, false, true},
		{"relative to the module", func(r *Record) { r.UserIP, r.UserIPPage = 0x1, true }, true, true},
		{"for write", func(r *Record) { r.UserIP, r.Write = 0x401001, true }, false, true},
		{"named", func(r *Record) {
			r.Stack = []string{"x+0x1 ([kernel.kallsyms])", "find_active_uprobe_rcu+0x1 ([kernel.kallsyms])"}
		}, true, true},
		{"misnamed, trap at the probe", func(r *Record) { r.Stack = []string{"ri_timer+0x5 ([kernel.kallsyms])"}; r.UserIP = 0x401001 }, true, true},
		{"named otherwise, trap elsewhere", func(r *Record) {
			r.Stack = []string{"lock_mm_and_find_vma+0x1 ([kernel.kallsyms])"}
			r.UserIP = 0x402000
		}, false, true},
		{"without a callchain", func(r *Record) {}, false, false},
		{"unnamed, the program's part not unwound", func(r *Record) { r.Stack = []string{"0xffffffff00001040 ([kernel.kallsyms])"} }, false, false},
		{"the program's part alone, without addresses", func(r *Record) { r.Stack = []string{"main+0x1 (/app)"} }, false, false},
		{"unnamed, the registers at the probe", func(r *Record) {
			r.Stack = []string{"0xffffffff00001040 ([kernel.kallsyms])"}
			r.UserIP = 0x401001
		}, true, true},
		{"named otherwise", func(r *Record) { r.Stack = []string{"lock_mm_and_find_vma+0x1 ([kernel.kallsyms])"} }, false, true},
		{"the check of the trampoline", func(r *Record) {
			r.Stack = []string{"__mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])", "__do_sys_uprobe+0x254 ([kernel.kallsyms])", "do_syscall_64+0x71 ([kernel.kallsyms])", "0x60000d ([uprobes-trampo)"}
			r.UserIP = 0x60000d
		}, true, true},
		{"the check without a user's frame", func(r *Record) {
			r.Stack = []string{"__do_sys_uprobe ([kernel.kallsyms])"}
		}, true, true},
		{"the check, misnamed", func(r *Record) {
			r.Stack = []string{"ri_timer+0x5 ([kernel.kallsyms])", "0x60000d ([uprobes-trampoline])"}
			r.UserIP = 0x60000d
		}, true, true},
		{"a fault on the trampoline", func(r *Record) {
			r.Stack = []string{"ri_timer+0x5 ([kernel.kallsyms])", "0x600000 ([uprobes-trampo)"}
			r.UserIP = 0x600000
		}, false, true},
		{"a fault of the uprobe system call", func(r *Record) {
			r.Stack = []string{"lock_mm_and_find_vma+0x144 ([kernel.kallsyms])", "exc_page_fault+0x1 ([kernel.kallsyms])", "__do_sys_uprobe+0x60 ([kernel.kallsyms])"}
		}, false, true},
		{"the uprobe's lookup in the system call", func(r *Record) {
			r.Stack = []string{"find_active_uprobe_rcu+0x135 ([kernel.kallsyms])", "handle_syscall_uprobe+0x41 ([kernel.kallsyms])", "__do_sys_uprobe+0x124 ([kernel.kallsyms])", "site+0x0 (/bin/app)"}
			r.UserIP = 0x401000
		}, true, true},
		{"a handler of the system call", func(r *Record) {
			r.Stack = []string{"bpf_get_stack+0x1 ([kernel.kallsyms])", "handle_syscall_uprobe+0x41 ([kernel.kallsyms])", "__do_sys_uprobe+0x124 ([kernel.kallsyms])", "0x60000d ([unknown])"}
			r.UserIP = 0x600001
		}, false, true},
		{"the return of a uretprobe", func(r *Record) {
			r.Stack = []string{"lock_vma+0x1 ([kernel.kallsyms])", "__do_sys_uretprobe+0x254 ([kernel.kallsyms])"}
		}, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := New(Options{})
			start := record(a, traces.LockStart, 100, 0, 11)
			test.start(start)
			a.Add(start)
			a.Add(record(a, traces.LockAcquired, 200, 0, 11))
			hit := record(a, traces.Hit, 300, 0, 11)
			setAddr(hit, 0x401000)
			a.Add(hit)
			got := rows(a)
			if got[0].InUprobe != test.in || got[0].Got(traces.ColInUprobe) != test.decided {
				t.Errorf("in_uprobe %v, decided %v", got[0].InUprobe, got[0].Got(traces.ColInUprobe))
			}
		})
	}
}

// A lookup that is one by name is of a probe that is recorded, or of somebody else's: of
// that no hit comes, and the hit that comes next did not take the lock.
func TestWhoseLookup(t *testing.T) {
	lookup := func(at int64, ip uint64) func(*Assembler) *Record {
		return func(a *Assembler) *Record {
			r := record(a, traces.LockStart, at, 0, 11)
			r.Stack, r.UserIP = []string{"find_active_uprobe_rcu+0x1 ([kernel.kallsyms])", "f+0x1 (/app)"}, ip
			return r
		}
	}
	row := func(kind traces.Kind, at int64, addr uint64) func(*Assembler) *Record {
		return func(a *Assembler) *Record {
			r := record(a, kind, at, 0, 11)
			if addr != 0 {
				setAddr(r, addr)
			}
			return r
		}
	}
	enter := func(at int64) func(*Assembler) *Record {
		return func(a *Assembler) *Record { return phase(a, Enter, traces.Brk, at, 0, 11) }
	}
	const ours, other, function = 0x401000, 0x402000, 0x403000
	for _, c := range []struct {
		name string
		rows []func(*Assembler) *Record
		want string
	}{
		{"ours", []func(*Assembler) *Record{lookup(100, ours+1), row(traces.Hit, 200, ours)}, "true"},
		{"another's, then ours without", []func(*Assembler) *Record{lookup(100, other+1), row(traces.Hit, 200, ours)}, "false"},
		{"another's, then ours with", []func(*Assembler) *Record{lookup(100, other+1), lookup(200, ours+1), row(traces.Hit, 300, ours)}, "false true"},
		{"ours whose hit was lost", []func(*Assembler) *Record{row(traces.Hit, 100, ours), lookup(200, ours+1), enter(300)}, "true"},
		{"another's alone", []func(*Assembler) *Record{row(traces.Hit, 100, ours), lookup(200, other+1), enter(300)}, "false"},
		{"the entry of a function whose return is recorded", []func(*Assembler) *Record{lookup(100, function+1), row(traces.Ret, 200, function)}, "true"},
		{"the same with a hit in between", []func(*Assembler) *Record{row(traces.Ret, 50, function), lookup(100, function+1), row(traces.Hit, 200, ours), row(traces.Ret, 300, function)}, "true"},
		{"another's in a function that returns", []func(*Assembler) *Record{lookup(100, other+1), row(traces.Ret, 200, function)}, "false"},
		{"a hit that does not say where", []func(*Assembler) *Record{lookup(100, other+1), row(traces.Hit, 200, 0)}, "true"},
		{"a lookup that does not say where", []func(*Assembler) *Record{lookup(100, 0), row(traces.Hit, 200, ours)}, "true"},
	} {
		a := New(Options{})
		for _, r := range c.rows {
			a.Add(r(a))
		}
		var got []string
		strangers := int64(0)
		for _, ev := range rows(a) {
			if ev.Kind == traces.LockStart {
				got = append(got, fmt.Sprint(ev.InUprobe && ev.Got(traces.ColInUprobe)))
				if !ev.InUprobe {
					strangers++
				}
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %s, want %s", c.name, g, c.want)
		}
		if n := a.Counts().Strangers; n != strangers {
			t.Errorf("%s: %d of others are told", c.name, n)
		}
	}
}

// A page fault's lock is not the next hit's, though the thread hits soon.
func TestFaultIsNoLookup(t *testing.T) {
	a := New(Options{})
	fault := record(a, traces.LockStart, 100, 0, 11)
	fault.UserIP = 0x401001
	a.Add(fault)
	own := record(a, traces.LockStart, 200, 0, 11)
	own.UserIP = 0x401001
	a.Add(own)
	hit := record(a, traces.Hit, 300, 0, 11)
	setAddr(hit, 0x401000)
	a.Add(hit)
	got := rows(a)
	if got[0].InUprobe || !got[1].InUprobe {
		t.Errorf("in_uprobe %v and %v: only the lock before the hit is its lookup's", got[0].InUprobe, got[1].InUprobe)
	}
}

func TestTasks(t *testing.T) {
	a := New(Options{Fork: true, Exec: true})
	name := record(a, traces.Exec, 1, 0, 10)
	name.Phase, name.Comm, name.Has = Naming, "parent", name.Has|traces.ColComm
	a.Add(name)
	task := record(a, traces.Fork, 10, 0, 10) // PERF_RECORD_FORK: no row, but it knows
	task.Task = true
	setChild(task, 12)
	setFlags(task, CloneThread)
	a.Add(task)
	fork := record(a, traces.Fork, 11, 0, 10)
	setChild(fork, 12)
	a.Add(fork)
	child := record(a, traces.Hit, 12, 1, 12)
	setAddr(child, 0x401000)
	a.Add(child)
	begin := record(a, traces.Exec, 20, 0, 10)
	begin.Task, begin.Comm = true, "new"
	begin.Has |= traces.ColComm
	a.Add(begin)
	end := record(a, traces.Exec, 30, 0, 10)
	end.Path = "/bin/new"
	end.Has |= traces.ColPath
	a.Add(end)
	got := rows(a)
	if len(got) != 3 {
		t.Fatalf("%d rows: %+v", len(got), got)
	}
	if f := got[0]; f.Kind != traces.Fork || f.Ret != 12 || f.Flags != CloneThread {
		t.Errorf("fork %+v", f)
	}
	if h := got[1]; h.Comm != "parent" {
		t.Errorf("the child is called %q, want its parent's name", h.Comm)
	}
	if e := got[2]; e.Time != 20 || e.Dur != 10 || e.Path != "/bin/new" || e.Comm != "new" {
		t.Errorf("exec %+v", e)
	}
}

// A hit has the file that is mapped at its address, the newest one.
func TestFiles(t *testing.T) {
	a := New(Options{})
	for i, path := range []string{"/old", "/new"} {
		m := record(a, traces.Map, int64(i), 0, 10)
		setAddr(m, 0x400000)
		setLen(m, 0x2000)
		setProt(m, 5)
		m.Path, m.Inode, m.Has = path, uint64(i+7), m.Has|traces.ColPath|traces.ColInode
		a.Add(m)
	}
	hit := record(a, traces.Hit, 10, 0, 11)
	setAddr(hit, 0x401000)
	hit.Chain, hit.ChainUser = append(hit.Chain, 0xffffffff81000010, 0x401000), 1
	a.Add(hit)
	got := rows(a)[2]
	if got.Path != "/new" || got.Inode != 8 {
		t.Errorf("hit in %s, inode %d", got.Path, got.Inode)
	}
	if s := strings.Join(got.Stack, "|"); s != "0xffffffff81000010 ([kernel.kallsyms])|0x401000 (/new)" {
		t.Errorf("stack %s", s)
	}
}

// Whatever order the buffers of CPUs come in, rows come out in total order, and
// every record is in exactly one.
func TestOrder(t *testing.T) {
	unordered := 0
	rapid.Check(t, func(rt *rapid.T) {
		a := New(Options{})
		var got []traces.Event
		take := func() {
			var ev traces.Event
			for a.Next(&ev) {
				got = append(got, ev)
			}
		}
		want := 0
		round := int64(0)
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			for cpu := range int32(rapid.IntRange(1, 4).Draw(rt, "cpus")) {
				at := round
				for range rapid.IntRange(0, 20).Draw(rt, "records") {
					at += int64(rapid.IntRange(0, 40).Draw(rt, "gap"))
					r := record(a, traces.Hit, at, cpu, 20+cpu)
					setAddr(r, 0x401000)
					a.Add(r)
					want++
				}
			}
			a.Advance(round)
			take()
			round += 1000
		}
		got = append(got, rows(a)...)
		if len(got) != want {
			rt.Fatalf("%d rows of %d records", len(got), want)
		}
		for i := range got {
			if got[i].Seq != int64(i) || i > 0 && traces.Compare(&got[i-1], &got[i]) >= 0 {
				rt.Fatalf("row %d is out of order", i)
			}
		}
		if a.Counts().Unordered > 0 {
			unordered++
		}
		if a.Counts().Late > 0 {
			rt.Fatalf("%d records were late", a.Counts().Late)
		}
	})
	if unordered == 0 {
		t.Error("vacuous: the input was always in order")
	}
}

func TestLateRecordsAreCounted(t *testing.T) {
	a := New(Options{})
	a.Add(record(a, traces.Hit, 1000, 0, 11))
	a.Advance(2000)
	a.Add(record(a, traces.Hit, 400, 1, 12))
	if got := rows(a); len(got) != 2 || got[1].Time != 1000 {
		t.Errorf("rows %+v", got)
	}
	if c := a.Counts(); c.Late != 1 || c.LatestNs != 600 {
		t.Errorf("counts %+v", c)
	}
}

func TestLookup(t *testing.T) {
	for _, test := range []struct {
		name   string
		fields []string
		kind   traces.Kind
	}{
		{"probe_libc:malloc", []string{"common_type", FieldIP}, traces.Hit},
		{"sdt_postgresql:lwlock__acquire", []string{FieldIP, "arg1"}, traces.Hit},
		{"my_group:f__return", []string{FieldFunc, FieldRetIP}, traces.Ret},
		{"probe:uprobe_notify_resume", []string{FieldIP}, traces.Arrive},
		{"syscalls:sys_enter_brk", nil, traces.Brk},
		{"sched:sched_switch", []string{"prev_pid"}, traces.NoKind},
	} {
		p, ok := Lookup(test.name, test.fields)
		if ok != (test.kind != traces.NoKind) || ok && p.Kind != test.kind {
			t.Errorf("%s: %+v, %v; want %v", test.name, p, ok, test.kind)
		}
	}
}

// Each task record makes a row unless its tracepoint does, wherever in the input
// the first tracepoint comes.
func TestTaskRecordsAndTracepoints(t *testing.T) {
	a := New(Options{Fork: true, Exec: true})
	task := func(k traces.Kind, time int64, tid int32, child uint64) {
		r := record(a, k, time, 0, tid)
		r.Task = true
		if k == traces.Fork {
			setChild(r, child)
			setFlags(r, CloneThread)
		}
		a.Add(r)
	}
	point := func(k traces.Kind, time int64, tid int32, child uint64) {
		r := record(a, k, time, 0, tid)
		if k == traces.Fork {
			setChild(r, child)
		}
		a.Add(r)
	}
	task(traces.Fork, 0, 1, 10)   // perf's own, of a task that was there
	task(traces.Fork, 5, 10, 11)  // before the tracepoints were enabled
	task(traces.Exec, 6, 10, 0)   // the same
	point(traces.Hit, 7, 10, 0)   // user code runs: its tracepoint does not come
	task(traces.Exit, 8, 11, 0)   // the same
	task(traces.Fork, 20, 10, 12) // with its tracepoint
	point(traces.Fork, 21, 10, 12)
	task(traces.Exec, 22, 10, 0)
	point(traces.Exec, 25, 10, 0)
	point(traces.Exit, 30, 12, 0)
	task(traces.Exit, 31, 12, 0)
	task(traces.Exit, 32, 12, 0)  // of another recorder
	task(traces.Fork, 40, 10, 13) // whose tracepoint was lost
	point(traces.Fork, 41, 10, 14)
	var got []string
	for _, ev := range rows(a) {
		got = append(got, fmt.Sprint(ev.Kind, " ", ev.Time, " ", ev.Ret))
	}
	want := []string{"fork 5 11", "exec 6 0", "hit 7 0", "exit 8 0", "fork 21 12", "exec 22 0", "exit 30 0", "fork 40 13", "fork 41 14"}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q\nwant %q", got, want)
	}
}

// In a container sched_process_fork has ids of outside, and the task record those that
// all other records have. Without it nobody knows which child is meant.
func TestForksOfAnotherNamespace(t *testing.T) {
	a := New(Options{Fork: true})
	point := func(time int64, tid int32, parent, child uint64) {
		r := record(a, traces.Fork, time, 0, tid)
		setParent(r, parent)
		setChild(r, child)
		a.Add(r)
	}
	r := record(a, traces.Fork, 5, 0, 10)
	r.Task = true
	setChild(r, 11)
	setFlags(r, 0)
	a.Add(r)
	point(6, 10, 30010, 30011)
	a.Add(record(a, traces.Hit, 7, 0, 11))
	point(8, 10, 30010, 11)
	point(9, 10, 10, 12)
	var got []string
	for _, ev := range rows(a) {
		got = append(got, fmt.Sprint(ev.Kind, " ", ev.Time, " ", ev.Ret))
	}
	if want := []string{"fork 6 11", "hit 7 0", "fork 9 12"}; !slices.Equal(got, want) {
		t.Errorf("rows %q\nwant %q", got, want)
	}
	if c := a.Counts(); c.ForeignForks != 1 || !strings.Contains(strings.Join(c.Warnings(), ""), "1 forks name their child as another namespace") {
		t.Errorf("%d forks of another namespace, %q; want 1", c.ForeignForks, c.Warnings())
	}
	p := NewProcesses()
	q := &Record{}
	q.Kind, q.TID, q.Time, q.Has = traces.Fork, 10, 1, traces.ColTID|traces.ColRet
	setParent(q, 30010)
	setChild(q, 30011)
	p.Note(q)
	if p.current(30011) != nil {
		t.Error("a thread is known by its id of another namespace")
	}
}

// The user's part of a callchain comes when the thread goes back to user space, under
// its cookie; what is not told for, or is for another stay in the kernel, is no frame.
func TestDeferredCallchains(t *testing.T) {
	a := New(Options{})
	waiting := func(at int64, tid int32, cookie uint64) {
		r := record(a, traces.Hit, at, 0, tid)
		r.Chain, r.ChainUser, r.Cookie = append(r.Chain, 1<<63+uint64(at)), 1, cookie
		a.Place(r)
	}
	told := func(at int64, tid int32, cookie uint64) {
		r := phase(a, Unwound, traces.NoKind, at, 1, tid)
		r.Chain, r.Cookie = append(r.Chain, 0x401000+cookie), cookie
		a.Place(r)
	}
	waiting(10, 11, 1)
	waiting(20, 11, 1)
	waiting(30, 12, 2) // exits
	told(40, 13, 1)    // another thread's
	var ev traces.Event
	if a.Next(&ev) {
		t.Error("a row is given out before its callchain is whole")
	}
	told(50, 11, 1)
	waiting(60, 11, 3) // lost
	a.Place(record(a, traces.Exit, 70, 0, 12))
	told(80, 11, 4)
	waiting(90, 11, 5) // the end comes first
	var got []string
	for _, ev := range rows(a) {
		if ev.Kind == traces.Hit {
			got = append(got, fmt.Sprintf("%d %s", ev.Time, strings.Join(ev.Stack, " ")))
		}
	}
	const kernel = "0x80000000000000%02x ([kernel.kallsyms])"
	want := []string{
		fmt.Sprintf("10 "+kernel+" 0x401001 ([unknown])", 10), fmt.Sprintf("20 "+kernel+" 0x401001 ([unknown])", 20),
		fmt.Sprintf("30 "+kernel, 30), fmt.Sprintf("60 "+kernel, 60), fmt.Sprintf("90 "+kernel, 90),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if n := a.Counts().NotUnwound; n != 3 {
		t.Errorf("%d callchains count as not told, want 3", n)
	}
}

// A lock whose callchain the kernel put off is not known to be another's than the
// lookup's: its IP is told when the trap is over.
func TestDeferredLock(t *testing.T) {
	a := New(Options{})
	l := record(a, traces.LockStart, 10, 0, 11)
	l.Chain, l.ChainUser, l.Cookie = append(l.Chain, 1<<63), 1, 7
	a.Place(l)
	a.Place(record(a, traces.Hit, 15, 0, 11))
	u := phase(a, Unwound, traces.NoKind, 20, 0, 11)
	u.Chain, u.Cookie = append(u.Chain, 0x401005), 7
	a.Place(u)
	if got := rows(a); len(got) != 2 || got[0].Got(traces.ColInUprobe) || len(got[0].Stack) != 2 {
		t.Errorf("%+v", got)
	}
}

// What newer mappings hide is forgotten first, and nothing that can be seen with it.
func TestForgetHidden(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &process{}
		for range rapid.IntRange(0, 30).Draw(rt, "mappings") {
			start := uint64(rapid.IntRange(0, 20).Draw(rt, "start"))
			p.maps = append(p.maps, mapping{start: start, end: start + uint64(rapid.IntRange(0, 6).Draw(rt, "length")), pgoff: uint64(len(p.maps))})
		}
		var want []uint64 // at each address, the mapping that is seen there
		visible := map[uint64]bool{}
		look := func() (found []uint64) {
			for addr := range uint64(30) {
				nr := ^uint64(0)
				if m := p.find(addr); m != nil {
					nr = m.pgoff
				}
				found = append(found, nr)
			}
			return found
		}
		want = look()
		for _, nr := range want {
			visible[nr] = nr != ^uint64(0)
		}
		p.forgetHidden()
		if got := look(); !slices.Equal(got, want) {
			rt.Fatalf("found %v, want %v", got, want)
		}
		for _, m := range p.maps {
			if !visible[m.pgoff] {
				rt.Fatalf("mapping %d is hidden, and kept", m.pgoff)
			}
		}
	})
}

// A process that maps without end over one place still knows what it mapped first.
func TestMappingsAreBounded(t *testing.T) {
	p := &process{}
	p.add(mapping{start: 1, end: 2, pgoff: 7})
	for i := range uint64(maxMappings) + 10 {
		p.add(mapping{start: 100, end: 200, pgoff: i})
	}
	if m := p.find(1); m == nil || m.pgoff != 7 || len(p.maps) > maxMappings {
		t.Errorf("of %d mappings, the first is %+v", len(p.maps), m)
	}
	for i := range uint64(maxMappings) + 10 {
		p.add(mapping{start: 1000 + i, end: 1001 + i})
	}
	if len(p.maps) > maxMappings {
		t.Errorf("%d mappings", len(p.maps))
	}
}

// A thread that ends leaves nothing to wait for: the call that it is in has no exit, a lock
// that it took was no lookup's, and its callchains lack the user's part. Whoever has its id
// next begins anew.
func TestExitEndsWaits(t *testing.T) {
	a := New(Options{})
	a.Place(phase(a, Enter, traces.Munmap, 10, 0, 11))
	start := record(a, traces.LockStart, 20, 0, 11)
	a.Place(start)
	lacks := record(a, traces.Hit, 30, 0, 12)
	lacks.Cookie = 7
	a.Place(lacks)
	for _, tid := range []int32{11, 12} {
		end := record(a, traces.Exit, 40, 0, tid)
		end.Task = true
		a.Place(end)
	}
	for i, want := range []traces.Kind{traces.Munmap, traces.LockStart, traces.Hit, traces.Exit, traces.Exit} { // without an end of the input
		var ev traces.Event
		if !a.Next(&ev) || ev.Kind != want {
			t.Fatalf("row %d is %v, want %v", i, ev.Kind, want)
		}
		if ev.Kind == traces.LockStart && (!ev.Got(traces.ColInUprobe) || ev.InUprobe) || ev.Got(traces.ColDur) {
			t.Errorf("%s", traces.FormatText(&ev))
		}
	}
	late := phase(a, Leave, traces.Munmap, 50, 0, 11)
	setRet(late, 0)
	a.Place(late)
	unwound := phase(a, Unwound, 0, 50, 0, 12)
	unwound.Cookie = 7
	a.Place(unwound)
	end := record(a, traces.Exit, 60, 0, 12)
	end.Task = true
	a.Place(end)
	got := rows(a)
	if len(got) != 2 || got[0].Kind != traces.Munmap || got[0].Got(traces.ColDur) || got[0].Time != 50 {
		t.Errorf("after its end:\n%+v", got)
	}
	if c := a.Counts(); c.UnpairedEnters != 1 || c.UnpairedExits != 1 || c.NotUnwound != 1 {
		t.Errorf("counts %+v", c)
	}
}

// An exec takes from where it replaced the address space to its end, and stays where it began.
func TestExecTakes(t *testing.T) {
	a := New(Options{Exec: true})
	task := record(a, traces.Exec, 100, 0, 10)
	task.Task = true
	a.Add(task)
	done := record(a, traces.Exec, 450, 1, 10)
	done.Path, done.Has = "/bin/app", done.Has|traces.ColPath
	a.Add(done)
	got := rows(a)
	if len(got) != 1 || got[0].Time != 100 || got[0].CPU != 0 || !got[0].Got(traces.ColDur|traces.ColPath) || got[0].Dur != 350 || got[0].Path != "/bin/app" {
		t.Errorf("rows %+v", got)
	}
}

// What the kernel returns of a call that maps is an address but for the last 4095 values,
// which are errors.
func TestReturnedAddresses(t *testing.T) {
	for _, kind := range []traces.Kind{traces.Mmap, traces.Mremap, traces.Brk} {
		for ret, address := range map[int64]bool{0x7000: true, -4096: true, -4095: false, -1: false, 0: true} {
			a := New(Options{})
			a.Add(phase(a, Enter, kind, 10, 0, 11))
			out := phase(a, Leave, kind, 20, 0, 11)
			setRet(out, uint64(ret))
			a.Add(out)
			ev := rows(a)[0]
			if addr, moved := ev.Got(traces.ColAddr), ev.Got(traces.ColNewAddr); addr != (address && kind == traces.Mmap) || moved != (address && kind == traces.Mremap) || ev.Ret != ret {
				t.Errorf("%v that returns %d: address %v, new address %v", kind, ret, addr, moved)
			}
			if ev.Got(traces.ColAddr) && ev.Addr != uint64(ret) || ev.Got(traces.ColNewAddr) && ev.NewAddr != uint64(ret) {
				t.Errorf("%v that returns %d: %#x, %#x", kind, ret, ev.Addr, ev.NewAddr)
			}
		}
	}
}

// A record that comes too late has the earliest place that is left: after what was given out,
// and after all of that instant where its CPU comes before theirs.
func TestPlaceOfLateRecords(t *testing.T) {
	a := New(Options{})
	for _, r := range []struct {
		at  int64
		cpu int32
	}{{100, 1}, {90, 2}, {100, 2}, {100, 1}, {101, 0}} {
		a.Place(record(a, traces.Hit, r.at, r.cpu, 11))
	}
	var got []string
	for _, ev := range rows(a) {
		got = append(got, fmt.Sprint(ev.Time, " ", ev.CPU))
	}
	if want := []string{"100 1", "100 2", "100 2", "101 1", "102 0"}; !slices.Equal(got, want) {
		t.Errorf("placed at %q, want %q", got, want)
	}
	if c := a.Counts(); c.Late != 3 || c.LatestNs != 10 {
		t.Errorf("counts %+v", c)
	}
}

// A child process has its parent's mappings as they were, whoever maps something next.
func TestMappingsOfAFork(t *testing.T) {
	parent := &process{maps: make([]mapping, 0, 8)}
	file := func(path string) *traces.Event { return &traces.Event{Path: path} }
	parent.add(mapping{start: 0x1000, end: 0x2000, ev: file("/a")})
	child := parent.clone()
	child.add(mapping{start: 0x3000, end: 0x4000, ev: file("/child")})
	parent.add(mapping{start: 0x3000, end: 0x4000, ev: file("/parent")})
	for _, c := range []struct {
		of   *process
		addr uint64
		want string
	}{{parent, 0x1000, "/a"}, {child, 0x1fff, "/a"}, {child, 0x2000, ""}, {parent, 0x3000, "/parent"}, {child, 0x3000, "/child"}} {
		if got := c.of.file(c.addr).Path; got != c.want {
			t.Errorf("%#x shows %q, want %q", c.addr, got, c.want)
		}
	}
}

// An exec whose tracepoint was lost is not completed by that of another: user code that runs,
// a child, an end or the next exec of the thread comes after it.
func TestExecWithoutItsTracepoint(t *testing.T) {
	for _, between := range []string{"hit", "fork", "exit", "exec"} {
		a := New(Options{Fork: true, Exec: true})
		exec := func(at int64, task bool) *Record {
			r := record(a, traces.Exec, at, 0, 10)
			r.Task = task
			return r
		}
		a.Add(exec(100, true))
		switch between {
		case "hit":
			a.Add(record(a, traces.Hit, 200, 0, 10))
		case "fork":
			r := record(a, traces.Fork, 200, 0, 10)
			setChild(r, 11)
			a.Add(r)
		case "exit":
			a.Add(record(a, traces.Exit, 200, 0, 10))
		case "exec":
			a.Add(exec(200, true))
		}
		a.Advance(250)
		var ev traces.Event
		if !a.Next(&ev) || ev.Kind != traces.Exec || ev.Time != 100 {
			t.Errorf("%s: the exec still waits, first comes %v at %d", between, ev.Kind, ev.Time)
		}
		done := exec(300, false)
		done.Path, done.Has = "/bin/other", done.Has|traces.ColPath
		a.Add(done)
		got := rows(a)
		last := got[len(got)-1]
		want := int64(300) // a row of its own
		if between == "exec" {
			want = 200
		}
		if ev.Got(traces.ColPath) || ev.Got(traces.ColDur) || last.Kind != traces.Exec || last.Time != want || last.Path != "/bin/other" {
			t.Errorf("%s: %+v, then %+v", between, ev, got)
		}
	}
}

// The id of a thread that has ended is used again, for a process.
func TestIDUsedAgain(t *testing.T) {
	a := New(Options{Fork: true})
	thread := record(a, traces.Fork, 10, 0, 10)
	thread.Task = true
	setChild(thread, 11)
	setFlags(thread, CloneThread)
	a.Add(thread)
	a.Add(record(a, traces.Hit, 15, 0, 10))
	a.Add(record(a, traces.Exit, 20, 0, 11))
	process := record(a, traces.Fork, 30, 0, 10) // by its tracepoint alone
	setChild(process, 11)
	a.Add(process)
	hit := record(a, traces.Hit, 40, 0, 11)
	hit.PID = 11
	a.Add(hit)
	got := rows(a)
	if len(got) != 5 || got[0].Flags&CloneThread == 0 || got[3].Kind != traces.Fork || !got[3].Got(traces.ColFlags) || got[3].Flags&CloneThread != 0 {
		t.Errorf("rows %+v", got)
	}
}
