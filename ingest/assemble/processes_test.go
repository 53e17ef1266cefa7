package assemble

import (
	"fmt"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// noted takes in a story, a line for each thing that happens:
//
//	hit 1          thread 1 hits a probe
//	call 1 a       it makes a syscall that locks mm a
//	enter 1        only the entry of one is in the trace
//	end 1          only the exit of another
//	fault 1 a      a fault of it does
//	read 1 a       it locks mm a, nobody knows why
//	smaps 1 a      in a syscall that is not traced
//	hold 1 a       it has mm a for write, and no end of that is in the trace
//	dup 1 a b      it holds mm a while it locks mm b
//	fork 1 2       it creates thread 2
//	thread 1 2     the same, and that it is a thread of its process; child: that it is none
//	exec 1
//	exit 1 some    others of its process are left; last: none; or untold
//	is 1 7         a record says that it is of process 7
type noted struct {
	p  *Processes
	at int64
}

func (n *noted) record(tid int, fill func(*Record)) {
	n.at++
	r := &Record{}
	r.TID, r.Time, r.SrcPos = int32(tid), n.at, n.at
	r.Has = traces.ColTID | traces.ColSrcPos
	fill(r)
	n.p.Note(r)
}

func (n *noted) lock(tid int, mm string, fill func(*Record)) {
	for _, kind := range []traces.Kind{traces.LockStart, traces.LockAcquired, traces.LockReleased} {
		n.record(tid, func(r *Record) {
			r.Kind = kind
			setMm(r, uint64(mm[0]))
			fill(r)
		})
	}
}

const (
	entrySyscall = 0xffffffff82000001
	entryFault   = 0xffffffff82000002
)

func (n *noted) line(line string) {
	f := strings.Fields(line)
	var tid, other int
	fmt.Sscan(f[1], &tid)
	if len(f) > 2 {
		fmt.Sscan(f[2], &other)
	}
	plain := func(*Record) {}
	switch f[0] {
	case "hit":
		n.record(tid, func(r *Record) { r.Kind = traces.Hit })
	case "call":
		n.record(tid, func(r *Record) { r.Kind, r.Phase = traces.Munmap, Enter })
		n.lock(tid, f[2], func(r *Record) { r.Write, r.Entry, r.UserIP = true, entrySyscall, 1 })
		n.record(tid, func(r *Record) { r.Kind, r.Phase = traces.Munmap, Leave })
	case "enter":
		n.record(tid, func(r *Record) { r.Kind, r.Phase = traces.Munmap, Enter })
	case "end":
		n.record(tid, func(r *Record) { r.Kind, r.Phase = traces.Mmap, Leave })
	case "fault":
		n.lock(tid, f[2], func(r *Record) { r.Entry, r.UserIP = entryFault, 1 })
	case "read":
		n.lock(tid, f[2], plain)
	case "hold":
		for _, kind := range []traces.Kind{traces.LockStart, traces.LockAcquired} {
			n.record(tid, func(r *Record) { r.Kind, r.Write = kind, true; setMm(r, uint64(f[2][0])) })
		}
	case "smaps":
		n.lock(tid, f[2], func(r *Record) { r.Entry, r.UserIP = entrySyscall, 1 })
	case "dup":
		for i, kind := range []traces.Kind{traces.LockStart, traces.LockAcquired, traces.LockStart, traces.LockAcquired, traces.LockReleased, traces.LockReleased} {
			n.record(tid, func(r *Record) {
				r.Kind, r.Write = kind, true
				mm := f[2] // held around the other
				if i > 1 && i < 5 {
					mm = f[3]
				}
				setMm(r, uint64(mm[0]))
			})
		}
	case "fork":
		n.record(tid, func(r *Record) { r.Kind = traces.Fork; setRet(r, uint64(other)) })
	case "thread", "child":
		n.record(tid, func(r *Record) {
			r.Kind, r.Task = traces.Fork, true
			setRet(r, uint64(other))
			setFlags(r, map[string]uint64{"thread": CloneThread}[f[0]])
		})
	case "exec":
		n.record(tid, func(r *Record) { r.Kind = traces.Exec })
	case "exit":
		n.record(tid, func(r *Record) {
			r.Kind = traces.Exit
			switch strings.Join(f[2:], "") {
			case "some":
				r.GroupDead = False
			case "last":
				r.GroupDead = True
			}
		})
	case "is":
		n.record(tid, func(r *Record) {
			r.Kind, r.Task, r.Phase = traces.Exec, true, Naming
			r.PID = int32(other)
			r.Has |= traces.ColPID
		})
	default:
		panic(line)
	}
}

func TestProcesses(t *testing.T) {
	for _, c := range []struct{ name, story, want string }{
		{"syscalls on one mm", "call 1 a, hit 2, call 2 a, hit 1", "1:1 2:1"},
		{"who is created is told", "exec 1, thread 1 2, hit 2, child 2 3, hit 3, thread 3 4, hit 4", "2:1 3:3 4:3"},
		{"an id is used again", "exec 1, thread 1 2, exit 2, child 1 2, hit 2, thread 2 3, hit 3", "2:2 3:2"},
		{"the same name tells nothing", "hit 1, hit 2", "1:? 2:?"},
		{"one of them is known", "call 1 a, hit 2", "1:1 2:?"},
		{"two address spaces", "call 1 a, hit 3, call 2 b, call 3 b", "1:1 3:2 2:2"},
		{"unknown locks are of one mm alone", "read 1 a, call 2 a, hit 1", "1:1 2:1"},
		{"somebody else's smaps", "call 1 a, hit 2, smaps 2 a, smaps 2 a, fault 2 b", "1:1 2:2"},
		{"smaps of two", "call 1 a, call 3 b, hit 2, smaps 2 a, smaps 2 b", "1:1 3:3 2:?"},
		{"syscalls on two mms, with an exec between them that was lost", "call 1 a, call 3 b, call 2 a, call 2 b, hit 1, hit 3", "1:1 3:3 2:?"},
		{"a lock behind a lost exit is not its syscall's", "call 1 a, enter 2, hit 2, read 2 a, read 2 b", "1:1 2:?"},
		{"nor one before a lost exit", "call 1 a, enter 2, smaps 2 a, call 2 b", "1:1 2:2"},
		{"nor one before the exit of another", "call 1 a, enter 2, smaps 2 a, end 2, call 2 b", "1:1 2:2"},
		{"threads one after the other, there before", "call 7 a, call 5 a, fork 5 3", "7:5 5:5"},
		{"threads or processes one after the other", "call 1 a, hit 1, hit 2, call 2 a", "1:1 2:?"},
		{"a thread", "call 1 a, fork 1 2, hit 2, fault 2 a", "1:1 2:1"},
		{"a process", "call 1 a, dup 1 a b, fork 1 2, hit 2, call 2 b", "1:1 2:2"},
		{"threads of a child", "call 1 a, dup 1 a b, fork 1 2, call 2 b, fork 2 3, call 3 b", "1:1 2:2 3:2"},
		{"fork's locks are of the creator and its child", "hit 1, dup 1 a b, fork 1 2, hit 1, dup 1 a b, fork 1 3, call 4 a", "1:1 4:1"},
		{"what was held in the kernel is not held after it", "call 1 a, call 3 b, hold 2 b, hit 2, read 2 a, call 3 b", "1:1 3:3 2:?"},
		{"an mm is used again", "call 1 a, fork 1 2, exec 2, call 2 b, exit 2, fork 1 3, exec 3, call 3 b, fork 3 4, call 4 b", "1:1 2:2 3:3 4:3"},
		{"a thread id is used again", "call 1 a, fork 1 2, call 2 a, exit 2 some, fork 1 2, call 2 b", "1:1 2:1 2:2"},
		{"exec leads", "exec 1, hit 1, fork 1 2, hit 2", "1:1 2:?"},
		{"vfork", "call 1 a, fork 1 2, call 2 a, exec 2, call 2 b, fork 2 3, call 3 b, call 4 a", "1:1 2:2 3:2 4:1"},
		{"attached to: the lowest id", "call 7 a, call 5 a, call 9 a, fork 7 3, call 3 a", "7:5 5:5 9:5 3:5"},
		{"exits: a thread", "exec 1, fork 1 2, hit 2, exit 2 some, exit 1 last", "2:1"},
		{"exits: a process", "exec 1, fork 1 2, hit 2, exit 2 last, hit 1", "1:1 2:2"},
		{"exits: the last is a thread", "exec 1, fork 1 2, hit 2, fork 2 3, hit 3, exit 1 some, exit 2 some, exit 3 last", "2:1 3:1"},
		{"exits: two may be the last", "exec 1, hit 1, fork 1 2, hit 2, fork 1 3, hit 3, exit 1 some, exit 2 last, exit 3 last", "1:1 2:? 3:?"},
		{"exits: one of two may be the last", "exec 1, hit 1, fork 1 2, hit 2, fork 2 3, hit 3, exit 1 some, exit 2 last, exit 3 last", "1:1 2:1 3:3"},
		{"exits: one is not in the trace", "exec 1, hit 1, fork 1 2, hit 2, fork 1 3, hit 3, exit 1 some, exit 2 last", "1:1 2:? 3:?"},
		{"exits: a thread's child, or a child's thread", "exec 1, fork 1 2, hit 2, fork 2 3, hit 3, exit 2 some, exit 3 last, hit 1", "1:1 2:? 3:?"},
		{"exits: untold by older kernels", "exec 1, hit 1, fork 1 2, hit 2, exit 2, exit 1", "1:1 2:?"},
		{"records with both ids", "is 1 1, is 2 1, hit 1, hit 2", "1:1 2:1"},
		{"a thread of the leader that a record tells", "is 1 7, call 1 a, call 2 a, hit 1", "1:7 2:7"},
		{"a part may belong to the creator", "exec 1, hit 1, fork 1 2, fork 2 3, exit 3 some, hit 2, hit 3", "1:1 2:? 3:?"},
	} {
		n := &noted{p: NewProcesses()}
		for line := range strings.SplitSeq(c.story, ", ") {
			n.line(line)
		}
		n.p.Settle()
		var got []string
		for _, l := range n.p.all {
			switch pid, ok := n.p.Of(l.tid, max(l.from, 1)); {
			case !l.user:
			case ok:
				got = append(got, fmt.Sprintf("%d:%d", l.tid, pid))
			default:
				got = append(got, fmt.Sprintf("%d:?", l.tid))
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.story, g, c.want)
		}
	}
}
