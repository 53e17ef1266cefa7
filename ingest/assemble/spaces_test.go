package assemble

import (
	"fmt"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// places names addresses by the file and the offset that they are asked for with.
type places struct{}

func (places) Kernel(uint64) string { return "" }

func (places) User(_ int32, _ uint64, file *traces.Event, offset uint64) string {
	if file == nil {
		return "nowhere"
	}
	return fmt.Sprintf("%s@%#x", file.Path, offset)
}

// Whose mappings an address is looked up in: a thread has those of its process, a child
// process those of its parent as they were, and exec leaves nothing of them. Records that
// name threads alone rely on it.
func TestWhoseMappings(t *testing.T) {
	a := New(Options{Symbols: places{}})
	at := int64(0)
	next := func(kind traces.Kind, pid, tid int32) *Record {
		at++
		r := record(a, kind, at, 0, tid)
		r.PID = pid
		return r
	}
	mapping := func(pid int32, path string, addr, pgoff uint64, prot uint64) {
		r := next(traces.Map, pid, pid)
		setAddr(r, addr)
		setLen(r, 0x1000)
		setPgoff(r, pgoff)
		setProt(r, prot)
		r.Path, r.BuildID, r.Has = path, "b1d", r.Has|traces.ColPath|traces.ColBuildID
		a.Place(r)
	}
	fork := func(pid, child int32, flags uint64) {
		r := next(traces.Fork, pid, pid)
		r.Task = true
		setChild(r, uint64(child))
		setFlags(r, flags)
		a.Place(r)
	}
	hit := func(tid int32, addr uint64) {
		r := next(traces.Hit, 0, tid)
		r.Has &^= traces.ColPID
		setAddr(r, addr)
		r.Chain = append(r.Chain, addr)
		a.Place(r)
	}
	const code, data = 5, 3
	mapping(10, "/app", 0x401000, 0x3000, code)
	hit(10, 0x401010)
	mapping(10, "/heap", 0x401000, 0, data) // of which perf tells with -d: no code is hidden by it
	hit(10, 0x401010)
	fork(10, 11, CloneThread)
	hit(11, 0x401010)
	fork(10, 20, 0)
	mapping(10, "/later", 0x402000, 0, code)
	hit(11, 0x402010) // a thread sees what its process maps
	hit(20, 0x401010)
	hit(20, 0x402010)                      // and a child process does not
	mapping(20, "/own", 0x401000, 0, code) // which the parent does not see
	hit(10, 0x401010)
	hit(20, 0x401010)                  // and which changes what the same callchain is
	a.Place(next(traces.Exec, 20, 20)) // which nothing is left of
	hit(20, 0x401010)
	named := next(traces.Hit, 10, 10) // as bpftrace does: it knows better
	setAddr(named, 0x402010)
	named.Path, named.Has = "/named", named.Has|traces.ColPath
	a.Place(named)
	var got []string
	for _, ev := range rows(a) {
		if ev.Kind == traces.Hit {
			id := "-"
			if ev.Got(traces.ColBuildID) {
				id = ev.BuildID
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", ev.TID, ev.Path, id, strings.Join(ev.Stack, " "))))
		}
	}
	want := []string{
		"10 /app b1d /app@0x3010", "10 /app b1d /app@0x3010", "11 /app b1d /app@0x3010",
		"11 /later b1d /later@0x10", "20 /app b1d /app@0x3010", "20  - nowhere",
		"10 /app b1d /app@0x3010", "20 /own b1d /own@0x10", "20  - nowhere", "10 /named -",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// What mremap moves is the same file at another address, as far as it is still seen there,
// and nobody but the system call tells of it.
func TestMovedMappings(t *testing.T) {
	a := New(Options{Symbols: places{}})
	at := int64(0)
	next := func(kind traces.Kind) *Record {
		at++
		return record(a, kind, at, 0, 10)
	}
	mapping := func(path string, addr, length, pgoff uint64) {
		r := next(traces.Map)
		setAddr(r, addr)
		setLen(r, length)
		setPgoff(r, pgoff)
		r.Path, r.Has = path, r.Has|traces.ColPath
		a.Place(r)
	}
	mremap := func(from, size, to, newSize uint64, result int64) {
		in := next(traces.Mremap)
		in.Phase = Enter
		setAddr(in, from)
		setLen(in, size)
		setNewLen(in, newSize)
		a.Place(in)
		out := next(traces.Mremap)
		out.Phase = Leave
		if setRet(out, to); result < 0 {
			setRet(out, uint64(result))
		}
		a.Place(out)
	}
	var got []string
	hit := func(addr uint64) {
		r := next(traces.Hit)
		setAddr(r, addr)
		r.Chain = append(r.Chain, addr)
		a.Place(r)
	}
	mapping("/lib", 0x10000, 0x4000, 0x1000)
	mapping("/old", 0x50000, 0x1000, 0)
	hit(0x51010) // nothing is there yet
	mremap(0x11000, 0x2000, 0x50000, 0x2000, 0)
	hit(0x50010) // over another file
	hit(0x51010)
	mapping("/new", 0x50000, 0x1000, 0)
	hit(0x50010) // mapped over what was moved
	mremap(0x50000, 0x2000, 0x70000, 0x3000, 0)
	hit(0x70010)
	hit(0x71010)
	hit(0x72010) // it grew
	mremap(0x13000, 100, 0x80000, 100, 0)
	hit(0x80ff0) // whole pages
	mremap(0x10000, 0x1000, 0x70000, 0x1000, -12)
	hit(0x70010) // it failed
	mremap(0x10000, 0, 0x90000, 0x1000, 0)
	hit(0x10010) // it is there twice
	hit(0x90010)
	for _, ev := range rows(a) {
		if ev.Kind == traces.Hit {
			got = append(got, fmt.Sprintf("%#x %s %s", ev.Addr, ev.Path, strings.Join(ev.Stack, " ")))
		}
	}
	want := []string{
		"0x51010  nowhere", "0x50010 /lib /lib@0x2010", "0x51010 /lib /lib@0x3010", "0x50010 /new /new@0x10",
		"0x70010 /new /new@0x10", "0x71010 /lib /lib@0x3010", "0x72010 /lib /lib@0x4010", "0x80ff0 /lib /lib@0x4ff0",
		"0x70010 /new /new@0x10", "0x10010 /lib /lib@0x1010", "0x90010 /lib /lib@0x1010",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// A process that has the id of one that is over has its parent's mappings, and keeps them
// however many others end. So does one whose first thread is over.
func TestMappingsOfReusedIDs(t *testing.T) {
	a := New(Options{Symbols: places{}})
	at := int64(0)
	next := func(kind traces.Kind, pid, tid int32) *Record {
		at++
		r := record(a, kind, at, 0, tid)
		r.PID = pid
		return r
	}
	mapping := func(pid int32, path string) {
		r := next(traces.Map, pid, pid)
		setAddr(r, 0x401000)
		setLen(r, 0x1000)
		r.Path, r.Has = path, r.Has|traces.ColPath
		a.Place(r)
	}
	fork := func(pid, child int32, flags uint64) {
		r := next(traces.Fork, pid, pid)
		r.Task = true
		setChild(r, uint64(child))
		setFlags(r, flags)
		a.Place(r)
	}
	hit := func(pid, tid int32) {
		r := next(traces.Hit, pid, tid)
		setAddr(r, 0x401010)
		a.Place(r)
	}
	exit := func(pid, tid int32) { a.Place(next(traces.Exit, pid, tid)) }
	others := func() {
		for id := int32(1000); id < 1000+2*maxExited; id++ {
			fork(10, id, 0)
			exit(id, id)
		}
	}
	mapping(10, "/parent")
	fork(10, 20, 0)
	mapping(20, "/first")
	hit(20, 20)
	exit(20, 20)
	fork(10, 20, 0) // as soon as that
	hit(20, 20)
	mapping(20, "/second")
	others()
	hit(20, 20)
	fork(20, 21, CloneThread)
	exit(20, 20)
	hit(20, 21) // its other thread goes on
	others()
	hit(20, 21)
	exit(20, 21)
	fork(10, 20, 0)
	hit(20, 20)
	var got []string
	for _, ev := range rows(a) {
		if ev.Kind == traces.Hit {
			got = append(got, ev.Path)
		}
	}
	if g, w := strings.Join(got, " "), "/first /parent /second /second /second /parent"; g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// An exit belongs to the entry of the same call alone, and what it returned is an address
// where it succeeded.
func TestExitsOfCalls(t *testing.T) {
	a := New(Options{})
	in := phase(a, Enter, traces.Mmap, 100, 0, 11)
	setAddr(in, 0x5000)
	a.Add(in)
	failed := phase(a, Leave, traces.Mmap, 150, 0, 11)
	setRet(failed, ^uint64(11)) // -ENOMEM
	a.Add(failed)
	a.Add(phase(a, Enter, traces.Munmap, 200, 0, 11)) // its exit was lost, and the entry of the next
	other := phase(a, Leave, traces.Brk, 250, 0, 11)
	setRet(other, 0x9000)
	a.Add(other)
	high := phase(a, Enter, traces.Mmap, 300, 0, 11)
	a.Add(high)
	end := phase(a, Leave, traces.Mmap, 310, 0, 11)
	setRet(end, 0xffff_8000_0000_0000) // no error number
	a.Add(end)
	got := rows(a)
	if len(got) != 4 {
		t.Fatalf("%d rows: %+v", len(got), got)
	}
	if m := got[0]; m.Addr != 0x5000 || m.Ret != -12 || m.Dur != 50 {
		t.Errorf("failed mmap %+v", m)
	}
	if u, b := got[1], got[2]; u.Got(traces.ColDur) || u.Got(traces.ColRet) || b.Kind != traces.Brk || b.Got(traces.ColDur) || b.Ret != 0x9000 {
		t.Errorf("munmap without an exit %+v, brk without an entry %+v", u, b)
	}
	if m := got[3]; m.Addr != 0xffff_8000_0000_0000 {
		t.Errorf("mmap %+v", m)
	}
	if c := a.Counts(); c.UnpairedExits != 1 || c.UnpairedEnters != 1 {
		t.Errorf("counts %+v", c)
	}
}

// Records of one time come out by CPU, and those of one CPU as they went in.
func TestTies(t *testing.T) {
	a := New(Options{})
	for i, cpu := range []int32{1, 0, 1, 0, 2} {
		r := record(a, traces.Hit, 100, cpu, 11)
		setAddr(r, uint64(i))
		a.Add(r)
	}
	unknown := record(a, traces.Hit, 100, 0, 11)
	setAddr(unknown, 9)
	unknown.Has &^= traces.ColCPU
	a.Add(unknown)
	var got []uint64
	for _, ev := range rows(a) {
		got = append(got, ev.Addr)
	}
	if fmt.Sprint(got) != "[9 1 3 0 2 4]" {
		t.Errorf("order %v", got)
	}
}

// What the columns of tracepoints are made of.
func TestColumnsOfFields(t *testing.T) {
	r := &Record{}
	setSuccess(r, 1)
	if r.Got(traces.ColRet) {
		t.Error("a lock that was got has a result")
	}
	if setSuccess(r, 0); r.Ret != -4 || !r.Got(traces.ColRet) { // -EINTR
		t.Errorf("a lock that was not got: %d", r.Ret)
	}
	if setChild(r, 0xffff_ffff_0000_0007); r.Ret != 7 {
		t.Errorf("child %d", r.Ret)
	}
	for addr, kernel := range map[uint64]bool{0x7fff_ffff_ffff: false, 1 << 47: false, 1 << 56: false, 0xffff_8000_0000_0000: true, 1 << 63: true} {
		if KernelAddress(addr) != kernel {
			t.Errorf("%#x is the kernel's: %v", addr, !kernel)
		}
	}
	for recorded, want := range map[string]string{
		"replay_123:malloc": "replay:malloc", "replay_:malloc": "replay_:malloc", "replay_x1:malloc": "replay_x1:malloc",
		"replay_123": "replay_123", "probe_libc:malloc": "probe_libc:malloc", "replay:malloc": "replay:malloc",
	} {
		if got := ProbeName(recorded); got != want {
			t.Errorf("%s is called %s, want %s", recorded, got, want)
		}
	}
}

// Which argument of a syscall is in which column, as the kernel declares them (SYSCALL_DEFINE
// in mm/mmap.c, mprotect.c, mremap.c and madvise.c).
func TestColumnsOfArguments(t *testing.T) {
	for name, want := range map[string]traces.Event{
		"mmap addr":        {Addr: 9, Has: traces.ColAddr},
		"mmap len":         {Len: 9, Has: traces.ColLen},
		"mmap prot":        {Prot: 9, Has: traces.ColProt},
		"mmap flags":       {Flags: 9, Has: traces.ColFlags},
		"mmap fd":          {},
		"mmap off":         {Pgoff: 9, Has: traces.ColPgoff},
		"munmap addr":      {Addr: 9, Has: traces.ColAddr},
		"munmap len":       {Len: 9, Has: traces.ColLen},
		"mprotect start":   {Addr: 9, Has: traces.ColAddr},
		"mprotect len":     {Len: 9, Has: traces.ColLen},
		"mprotect prot":    {Prot: 9, Has: traces.ColProt},
		"mremap addr":      {Addr: 9, Has: traces.ColAddr},
		"mremap old_len":   {Len: 9, Has: traces.ColLen},
		"mremap new_len":   {NewLen: 9, Has: traces.ColNewLen},
		"mremap flags":     {Flags: 9, Has: traces.ColFlags},
		"mremap new_addr":  {NewAddr: 9, Has: traces.ColNewAddr},
		"brk brk":          {Addr: 9, Has: traces.ColAddr},
		"madvise start":    {Addr: 9, Has: traces.ColAddr},
		"madvise len_in":   {Len: 9, Has: traces.ColLen},
		"madvise behavior": {Advice: 9, Has: traces.ColAdvice},
	} {
		call, field, _ := strings.Cut(name, " ")
		enter, ok := Lookup("syscalls:sys_enter_"+call, nil)
		if !ok || enter.Phase != Enter || enter.Kind.String() != call {
			t.Fatalf("the entry of %s is %+v", call, enter)
		}
		r := &Record{}
		if f := enter.Field(field); f != nil {
			f.Set(r, 9)
		}
		if r.Event.Has != want.Has || traces.FormatText(&r.Event) != traces.FormatText(&want) {
			t.Errorf("%s: %s, want %s", name, traces.FormatText(&r.Event), traces.FormatText(&want))
		}
		leave, ok := Lookup("syscalls:sys_exit_"+call, nil)
		if !ok || leave.Phase != Leave || leave.Kind != enter.Kind || leave.Field("ret") == nil || leave.Field(field) != nil {
			t.Errorf("the exit of %s is %+v", call, leave)
		}
	}
}

// What a fork made is told by the child's first row, where the fork itself does not say,
// if that comes before long.
func TestBirths(t *testing.T) {
	a := New(Options{})
	fork := func(at int64, child uint64) {
		r := record(a, traces.Fork, at, 0, 10)
		setChild(r, child)
		a.Place(r)
	}
	row := func(at int64, pid, tid int32) {
		r := record(a, traces.Hit, at, 1, tid)
		r.PID = pid
		a.Place(r)
	}
	fork(1, 11)
	fork(2, 12)
	fork(3, 13)
	var ev traces.Event
	if a.Next(&ev) {
		t.Error("a fork is given out before its child can tell")
	}
	row(4, 12, 12)
	row(5, 10, 11)
	row(birthWait+10, 10, 10)
	row(birthWait+11, 13, 13) // too late
	fork(birthWait+12, 14)    // which never runs
	var got []string
	for _, ev := range rows(a) {
		if ev.Kind == traces.Fork {
			got = append(got, fmt.Sprint(ev.Ret, ev.Got(traces.ColFlags), ev.Flags))
		}
	}
	if want := fmt.Sprintf("[11 true %d 12 true 0 13 false 0 14 false 0]", CloneThread); fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}
