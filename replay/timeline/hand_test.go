package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// handProfile has lags that are easy to tell apart in a sum.
func handProfile(t testing.TB) *machines.Profile {
	p := replaytest.Machine(t).Clone()
	p.Recorder = machines.Recorder{
		HitLag: 1000, FailLag: 2000, Window: 300, AcquireLead: 40, ExitLag: 50, CheckLead: 500,
		SyscallHitLag: 7000, SyscallFailLag: 90, ContendedLead: 600, WakeLatency: 9000,
	}
	p.Sections = machines.SectionModel{
		"mmap": {Start: 100}, "munmap": {Start: 200, Hold: 3000}, "brk": {Start: 300}, machines.BrkShrink: {Start: 400, Hold: 500},
		"madvise": {Start: 500}, "fork": {Start: 600, Hold: 700},
	}
	return p
}

// parse reads rows of the text twin. Those without a process are of process 10.
func parse(t testing.TB, text string) []traces.Event {
	t.Helper()
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		line, _, _ = strings.Cut(line, " // ")
		lines = append(lines, strings.TrimSpace(line))
	}
	r := traces.NewTextReader(strings.NewReader("# replay-trace 1\n"+strings.Join(lines, "\n")+"\n"), "rows")
	var rows []traces.Event
	for {
		var ev traces.Event
		err := r.Next(&ev)
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		if !ev.Got(traces.ColPID) && ev.Kind != traces.Lost {
			ev.PID, ev.Has = 10, ev.Has|traces.ColPID
		}
		rows = append(rows, ev)
	}
}

func surveyOf(t testing.TB, trace timeline.Trace) *timeline.Survey {
	t.Helper()
	s, err := timeline.TakeSurvey(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// operations reconstructs rows.
func operations(t testing.TB, rows []traces.Event, c timeline.Config) ([]*timeline.Operation, *timeline.Reconstruction) {
	t.Helper()
	trace := replaytest.Made(rows)
	if c.Profile == nil {
		c.Profile = handProfile(t)
	}
	r, err := timeline.Reconstruct(t.Context(), trace, surveyOf(t, trace), c)
	if err != nil {
		t.Fatal(err)
	}
	var list []*timeline.Operation
	for op, ok := r.Next(); ok; op, ok = r.Next() {
		list = append(list, op)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return list, r
}

// show is what matters of operations, one to a line.
func show(list []*timeline.Operation) string {
	changes := map[*timeline.Change]int{}
	var b strings.Builder
	for _, op := range list {
		o := op.Origin
		switch op.Kind {
		case sim.OpHit:
			fmt.Fprintf(&b, "hit %d cpu %d", op.At, op.CPU)
			if op.Trampoline != 0 {
				fmt.Fprintf(&b, " by %#x, then %d", op.Trampoline, op.LookupAt)
			}
			for _, truth := range []*timeline.Truth{o.CheckTruth, o.Truth} {
				if truth != nil {
					fmt.Fprintf(&b, ", fell back at %d for %d", truth.LockStart, truth.WaitNs)
				}
			}
		case sim.OpWrite:
			fmt.Fprintf(&b, "write %d for %d+%d: %s", op.At, op.Hold, op.ReadHold, o.Kind)
		case sim.OpRead:
			fmt.Fprintf(&b, "read %d for %d+%d: %s", op.At, op.Hold, op.ReadHold, o.Kind)
		case sim.OpApply:
			fmt.Fprintf(&b, "apply %d: %s", op.At, o.Kind)
		}
		if o.Observed {
			b.WriteString(", observed")
		}
		if o.Undecided {
			b.WriteString(", undecided")
		}
		if op.Change != nil {
			if changes[op.Change] == 0 {
				changes[op.Change] = len(changes) + 1
			}
			fmt.Fprintf(&b, ", %v %d", op.Change.Kind, changes[op.Change])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Each operation of a few rows, worked out by hand.
func TestOperationsByHand(t *testing.T) {
	const trampoline = `
		100000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
		100500 lock_start cpu=0 tid=11 write=true in_uprobe=false stack=["arch_uprobe_optimize+0x1 ([kernel.kallsyms])"]
		101000 lock_acquired cpu=0 tid=11 write=true
		102000 lock_released cpu=0 tid=11 write=true
		103000 map tid=11 addr=0x3ff000 len=4096 path="[uprobes-trampoline]"
	`
	const trampolineOps = "hit 98700 cpu 0\nwrite 100960 for 1320+0: optimise, observed\napply 103000: map, map 1\n"
	tests := []struct {
		name  string
		using timeline.Using
		rows  string
		want  string
	}{
		{"a hit is stamped after its lookup and the lag", timeline.Locks,
			`2000000 hit cpu=1 tid=11 addr=0x401040 probe=p:f`,
			"hit 1998700 cpu 1\n"}, // - 1000 - 300

		{"a lookup that failed shows itself, its CPU too", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
			2004000 lock_acquired cpu=0 tid=11 write=false
			2004500 lock_released cpu=0 tid=11 write=false
			2006000 hit cpu=1 tid=11 addr=0x401040 probe=p:f
			2016000 hit cpu=1 tid=11 addr=0x401040 probe=p:f`,
			"hit 1997700 cpu 0, fell back at 2000000 for 4000, observed\n" + // - 2000 - 300
				"hit 2014700 cpu 1\n"},

		{"on which CPU is unknown, and that comes first of an instant", timeline.Locks, `
			2000000 hit tid=11 addr=0x401040 probe=p:f
			2000000 hit cpu=0 tid=12 addr=0x401040 probe=p:f
			2001000 lock_start tid=13 write=false in_uprobe=true
			2004000 lock_acquired tid=13 write=false
			2004500 lock_released tid=13 write=false
			2006000 hit cpu=1 tid=13 addr=0x401040 probe=p:f`,
			"hit 1998700 cpu -1\nhit 1998700 cpu -1, fell back at 2001000 for 3000, observed\nhit 1998700 cpu 0\n"}, // 2001000 - 2000 - 300

		{"what is hidden is told to validation alone", timeline.Syscalls, `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
			2004000 lock_acquired cpu=0 tid=11 write=false
			2004500 lock_released cpu=0 tid=11 write=false
			2006000 hit cpu=1 tid=11 addr=0x401040 probe=p:f`,
			"hit 2004700 cpu 1, fell back at 2000000 for 4000\n"},

		{"a lookup of another thread is not the hit's", timeline.Locks, `
			2000000 lock_start cpu=0 tid=12 write=false in_uprobe=true
			2003000 hit cpu=1 tid=11 addr=0x401040 probe=p:f
			2004000 lock_acquired cpu=0 tid=12 write=false
			2004500 lock_released cpu=0 tid=12 write=false
			2006000 hit cpu=0 tid=12 addr=0x401040 probe=p:f`,
			"hit 1997700 cpu 0, fell back at 2000000 for 4000, observed\nhit 2001700 cpu 1\n"},

		{"a lookup whose hit did not come is not the next one's", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
			2004000 lock_acquired cpu=0 tid=11 write=false
			2004500 lock_released cpu=0 tid=11 write=false
			2100000 lock_start cpu=0 tid=11 write=false in_uprobe=true
			2100700 lock_acquired cpu=0 tid=11 write=false
			2100800 lock_released cpu=0 tid=11 write=false
			2106000 hit cpu=0 tid=11 addr=0x401040 probe=p:f`,
			"hit 2097700 cpu 0, fell back at 2100000 for 700, observed\n"},

		{"the lookup of a return probe, at its function's entry, is no hit's", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
			2004000 lock_acquired cpu=0 tid=11 write=false
			2004500 lock_released cpu=0 tid=11 write=false
			2006000 ret cpu=0 tid=11 addr=0x402000 probe=p:r
			2016000 hit cpu=1 tid=11 addr=0x401040 probe=p:f
			2020000 lock_start cpu=0 tid=11 write=false in_uprobe=true
			2024000 lock_acquired cpu=0 tid=11 write=false
			2024500 lock_released cpu=0 tid=11 write=false
			2026000 munmap cpu=0 tid=11 dur_ns=10 ret=0 addr=0x7000 len=4096
			2036000 hit cpu=1 tid=11 addr=0x401040 probe=p:f`,
			"hit 2014700 cpu 1\napply 2026010: munmap, munmap 1\nhit 2034700 cpu 1\n"},

		{"an arrive row says when", timeline.Stamps, `
			2000000 arrive cpu=1 tid=11
			2000900 hit cpu=1 tid=11 addr=0x401040 probe=p:f
			2009000 hit cpu=1 tid=11 addr=0x401040 probe=p:f`,
			"hit 2000000 cpu 1, observed\nhit 2007700 cpu 1\n"},

		{"which is a prediction of syscalls alone not to see", timeline.Syscalls, `
			2000000 arrive cpu=1 tid=11
			2000900 hit cpu=1 tid=11 addr=0x401040 probe=p:f`,
			"hit 1999600 cpu 1\n"},

		{"events of one trap are one lookup", timeline.Locks, `
			2000000 hit cpu=1 tid=11 addr=0x401040 probe=p:f
			2000100 hit cpu=1 tid=11 addr=0x401040 probe=p:g trap=0`,
			"hit 1998700 cpu 1\n"},

		{"a fault reads", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=false stack=["__mmap_lock_do_trace_start_locking+0x1 ([kernel.kallsyms])","asm_exc_page_fault+0x1 ([kernel.kallsyms])"]
			2000700 lock_acquired cpu=0 tid=11 write=false
			2003000 lock_released cpu=0 tid=11 write=false`,
			"read 2000700 for 0+2300: fault, observed\n"},

		{"a writer of no syscall", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003000 lock_released cpu=0 tid=11 write=true`,
			// 700 - 40; until 330, which recording lock_released takes, less 50 after it.
			"write 2000660 for 2620+0: other, observed\n"},

		{"it left its syscall right after", timeline.Locks, `
			2000000 mmap cpu=0 tid=11 dur_ns=4000 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			2000500 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003900 lock_released cpu=0 tid=11 write=true`,
			// From 2000660 until 50 before the syscall's end, which is told as well, with the
			// same change: whichever comes first makes it.
			"write 2000660 for 3290+0: mmap, observed, mmap 1\napply 2004000: mmap, mmap 1\n"},

		{"it left with the lock_released", timeline.Locks, `
			2000000 mmap cpu=0 tid=11 dur_ns=3900 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			2000500 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003900 lock_released cpu=0 tid=11 write=true`,
			"write 2000660 for 3240+0: mmap, observed, mmap 1\napply 2003900: mmap, mmap 1\n"},

		{"it took three times as long as usual", timeline.Locks, `
			2000000 mmap cpu=0 tid=11 dur_ns=4890 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			2000500 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003900 lock_released cpu=0 tid=11 write=true`,
			"write 2000660 for 4180+0: mmap, observed, mmap 1\napply 2004890: mmap, mmap 1\n"}, // until 990 - 50 after

		{"and longer, so that it did something else", timeline.Locks, `
			2000000 mmap cpu=0 tid=11 dur_ns=4891 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			2000500 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003900 lock_released cpu=0 tid=11 write=true`,
			"write 2000660 for 3520+0: mmap, observed, mmap 1\napply 2004891: mmap, mmap 1\n"}, // until 330 - 50 after

		{"it did a lot after", timeline.Locks, `
			2000000 mmap cpu=0 tid=11 dur_ns=10 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			2000001 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000002 lock_acquired cpu=0 tid=11 write=true
			2000003 lock_released cpu=0 tid=11 write=true
			2001000 mmap cpu=0 tid=11 dur_ns=9000 ret=32768 addr=0x8000 len=4096 prot=3 flags=34
			2001500 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2001700 lock_acquired cpu=0 tid=11 write=true
			2003900 lock_released cpu=0 tid=11 write=true`,
			// Usual is 7 (the first call); 6100 is more than three times that. Less ExitLag: 0.
			"write 1999962 for 41+0: mmap, observed, mmap 1\napply 2000010: mmap, mmap 1\n" +
				"write 2001660 for 2240+0: mmap, observed, mmap 2\napply 2010000: mmap, mmap 2\n"},

		{"a downgrade ends writing", timeline.Locks, `
			2000000 munmap cpu=0 tid=11 dur_ns=90000 ret=0 addr=0x7000 len=4096
			2000500 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2002000 lock_acquired cpu=0 tid=11 write=false
			2008000 lock_released cpu=0 tid=11 write=false`,
			// Even 330 - 50 after the downgrade, then for read.
			"write 2000660 for 1620+5720: munmap, observed, munmap 1\napply 2090000: munmap, munmap 1\n"},

		{"a lock taken after the syscall is not its own", timeline.Locks, `
			2000000 munmap cpu=0 tid=11 dur_ns=1000 ret=0 addr=0x7000 len=4096
			2001001 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2002000 lock_acquired cpu=0 tid=11 write=true
			2003000 lock_released cpu=0 tid=11 write=true`,
			"apply 2001000: munmap, munmap 1\nwrite 2001960 for 1320+0: other, observed\n"},

		{"nor one before it, but at both its ends", timeline.Locks, `
			1990000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			1990700 lock_acquired cpu=0 tid=11 write=true
			1993000 lock_released cpu=0 tid=11 write=true
			2000000 munmap cpu=0 tid=11 dur_ns=9000 ret=0 addr=0x7000 len=4096
			2000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003000 lock_released cpu=0 tid=11 write=true
			2009000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2009700 lock_acquired cpu=0 tid=11 write=true
			2013000 lock_released cpu=0 tid=11 write=true`,
			"write 1990660 for 8290+0: other, observed\nwrite 2000660 for 8290+0: munmap, observed, munmap 1\n" + // recording a lock_released takes 6000 here
				"apply 2009000: munmap, munmap 1\nwrite 2009660 for 9290+0: munmap, observed, munmap 1\n"},

		{"what was handed out stays as it is", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003000 lock_released cpu=0 tid=11 write=true
			30000000 hit cpu=1 tid=12 addr=0x401040 probe=p:f
			30000001 fork cpu=0 tid=11 ret=20
			40000000 mmap cpu=0 tid=11 dur_ns=60000000 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			40000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			40000700 lock_acquired cpu=0 tid=11 write=true
			40003000 lock_released cpu=0 tid=11 write=true
			70000000 hit cpu=1 tid=12 addr=0x401040 probe=p:f
			70000001 map tid=11 addr=0x7000 len=4096 path=/bin/a`,
			"write 2000660 for 2620+0: other, observed\nhit 29998700 cpu 1\napply 30000001: fork, fork 1\n" +
				"write 40000660 for 2620+0: mmap, observed, mmap 2\nhit 69998700 cpu 1\napply 70000001: map, map 3\napply 100000000: mmap, mmap 2\n"},

		{"a writer that waited tells later", timeline.Locks, `
			2000000 lock_start cpu=0 tid=12 write=true in_uprobe=false
			2000500 lock_acquired cpu=0 tid=12 write=true
			2001000 lock_released cpu=0 tid=12 write=true
			2010000 lock_start cpu=0 tid=12 write=true in_uprobe=false
			2014500 lock_acquired cpu=0 tid=12 write=true
			2015000 lock_released cpu=0 tid=12 write=true
			2020000 lock_start cpu=0 tid=12 write=true in_uprobe=false
			2024499 lock_acquired cpu=0 tid=12 write=true
			2025000 lock_released cpu=0 tid=12 write=true`,
			// At best 500: the second waited for 4000, the third for less.
			"write 2000460 for 820+0: other, observed\nwrite 2014190 for 1090+0: other, observed\nwrite 2024459 for 821+0: other, observed\n"},

		{"a trylock has no start", timeline.Locks, `
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003000 lock_released cpu=0 tid=11 write=true`,
			"write 2000660 for 2620+0: other, observed\n"},

		{"who was refused has nothing", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true ret=-4
			2003000 lock_released cpu=0 tid=11 write=true`,
			""},

		{"one that began before the recording is none", timeline.Locks, `
			2003000 lock_released cpu=0 tid=11 write=true
			2004000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2004100 lock_released cpu=0 tid=11 write=true`, // its lock_acquired was lost
			""},

		{"what no name is known for was a fork that follows", timeline.Locks, `
			2000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003000 lock_released cpu=0 tid=11 write=true
			2004000 fork cpu=0 tid=11 ret=20`,
			"write 2000660 for 2620+0: fork, observed\napply 2004000: fork, fork 1\n"},

		{"but not one of a syscall", timeline.Locks, `
			2000000 munmap cpu=0 tid=11 dur_ns=3330 ret=0 addr=0x7000 len=4096
			2000100 lock_start cpu=0 tid=11 write=true in_uprobe=false
			2000700 lock_acquired cpu=0 tid=11 write=true
			2003000 lock_released cpu=0 tid=11 write=true
			2004000 fork cpu=0 tid=11 ret=20`,
			"write 2000660 for 2620+0: munmap, observed, munmap 1\napply 2003330: munmap, munmap 1\napply 2004000: fork, fork 2\n"},

		{"a thread is no process", timeline.Locks, `2004000 fork cpu=0 tid=11 ret=20 flags=0x10f00`, ""},

		{"sections of the model", timeline.Syscalls, `
			2000000 mmap cpu=0 tid=11 dur_ns=5000 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			2010000 munmap cpu=0 tid=11 dur_ns=5000 ret=0 addr=0x7000 len=4096
			2020000 munmap cpu=0 tid=11 dur_ns=2000 ret=0 addr=0x7000 len=4096
			2030000 mmap cpu=0 tid=11 dur_ns=150 ret=28672 addr=0x7000 len=4096 prot=3 flags=34
			2040000 mmap cpu=0 tid=11 dur_ns=5000 ret=-12 addr=0x7000 len=4096 prot=3 flags=34
			2050000 mprotect cpu=0 tid=11 dur_ns=5000 ret=0 addr=0x7000 len=4096 prot=1
			2060000 fork cpu=0 tid=11 ret=20`,
			"write 2000100 for 4850+0: mmap, mmap 1\n" + // until 50 before the end
				"write 2010200 for 3000+1750: munmap, munmap 2\n" + // a downgrade after 3000
				"write 2020200 for 1750+0: munmap, munmap 3\n" + // which it has no time for
				"apply 2030150: mmap, mmap 4\n" + // nor this one for any section
				"write 2040100 for 4850+0: mmap\n" + // fails, and takes the lock
				"apply 2055000: mprotect, mprotect 5\n" + // takes none in this model
				"write 2058700 for 700+0: fork, fork 6\n"}, // 600 and 700 before

		{"a heap that shrinks has a model of its own", timeline.Syscalls, `
			2000000 brk cpu=0 tid=11 dur_ns=5000 ret=0x405000
			2010000 brk cpu=0 tid=11 dur_ns=5000 ret=0x406000
			2020000 brk cpu=0 tid=11 dur_ns=5000 ret=0x405000
			2030000 brk cpu=0 tid=11 dur_ns=5000 ret=0x405000
			2040000 brk cpu=0 tid=12 pid=12 dur_ns=5000 ret=0x400000`, // another process
			"write 2000300 for 4650+0: brk, brk 1\nwrite 2010300 for 4650+0: brk, brk 2\nwrite 2020400 for 500+4050: brk, brk 3\n" +
				"write 2030300 for 4650+0: brk, brk 4\nwrite 2040300 for 4650+0: brk, brk 5\n"},

		{"madvise writes flags, or takes no lock for it", timeline.Syscalls, `
			2000000 madvise cpu=0 tid=11 dur_ns=5000 ret=0 addr=0x7000 len=4096 advice=10
			2010000 madvise cpu=0 tid=11 dur_ns=5000 ret=0 addr=0x7000 len=4096 advice=4`,
			"write 2000500 for 4450+0: madvise, madvise 1\napply 2015000: madvise, madvise 2\n"},

		{"an mmap without its result maps nothing", timeline.Locks, `
			2000000 mmap cpu=0 tid=11 len=4096 prot=3 flags=34
			2010000 brk cpu=0 tid=11 dur_ns=10
			2020000 mmap cpu=0 tid=11 dur_ns=10 ret=-4096 addr=0x7000 len=4096 prot=3 flags=34`,
			"apply 2020010: mmap, mmap 1\n"}, // -4096 is an address, not an error

		{"an optimised hit looks up twice", timeline.Locks, trampoline +
			`2000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f`,
			// Its lookup of the uprobe ends 7000 before and takes 500 here, its check 300 before that.
			trampolineOps + "hit 1992200 cpu 0 by 0x3ff000, then 1992500\n"},

		{"whose lookup of the uprobe failed", timeline.Locks, trampoline + `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
			2004000 lock_acquired cpu=0 tid=11 write=false
			2004500 lock_released cpu=0 tid=11 write=false
			2016000 hit cpu=1 tid=11 addr=0x401000 probe=p:f`,
			// It ended 90 before the lock_start.
			trampolineOps + "hit 1999110 cpu 0 by 0x3ff000, then 1999410, fell back at 2000000 for 4000, observed\n"},

		{"whose check failed", timeline.Locks, trampoline + `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true stack=["__do_sys_uprobe+0x1 ([kernel.kallsyms])"]
			2004000 lock_acquired cpu=0 tid=11 write=false
			2004500 lock_released cpu=0 tid=11 write=false
			2016000 hit cpu=1 tid=11 addr=0x401000 probe=p:f`,
			trampolineOps + "hit 1999610 cpu 0 by 0x3ff000, then 2008500, fell back at 2000000 for 4000, observed\n"},

		{"whose both failed", timeline.Locks, trampoline + `
			2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true stack=["__do_sys_uprobe+0x1 ([kernel.kallsyms])"]
			2004000 lock_acquired cpu=0 tid=11 write=false
			2004500 lock_released cpu=0 tid=11 write=false
			2005000 lock_start cpu=1 tid=11 write=false in_uprobe=true
			2006000 lock_acquired cpu=1 tid=11 write=false
			2006500 lock_released cpu=1 tid=11 write=false
			2016000 hit cpu=1 tid=11 addr=0x401000 probe=p:f`,
			trampolineOps + "hit 1999610 cpu 0 by 0x3ff000, then 2004410, fell back at 2000000 for 4000, fell back at 2005000 for 1000, observed\n"},

		{"and that arrived when a row says", timeline.Stamps, trampoline + `
			2000000 arrive cpu=0 tid=11
			2016000 hit cpu=0 tid=11 addr=0x401000 probe=p:f`,
			trampolineOps + "hit 2000000 cpu 0 by 0x3ff000, then 0, observed\n"},

		{"by mappings alone", timeline.Syscalls, `
			100000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
			103000 map tid=11 addr=0x3ff000 len=4096 path="[uprobes-trampoline]"
			2000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
			2100000 hit cpu=0 tid=11 addr=0x402000 probe=p:g`,
			"hit 98700 cpu 0\napply 103000: map, map 1\nhit 1998200 cpu 0 by 0x3ff000, then 0\nhit 2098700 cpu 0\n"},

		{"a writer that spun takes longer to tell where probes are optimised", timeline.Locks, trampoline + `
			2000000 lock_start cpu=0 tid=12 write=true in_uprobe=false stack=["f+0x1 ([kernel.kallsyms])"]
			2002000 lock_acquired cpu=0 tid=12 write=true
			2003000 lock_released cpu=0 tid=12 write=true
			2010000 lock_start cpu=0 tid=12 write=true in_uprobe=false stack=["f+0x1 ([kernel.kallsyms])"]
			2011999 lock_acquired cpu=0 tid=12 write=true
			2013000 lock_released cpu=0 tid=12 write=true
			2020000 lock_start cpu=0 tid=12 write=true in_uprobe=false stack=["f+0x1 ([kernel.kallsyms])"]
			2033000 lock_acquired cpu=0 tid=12 write=true
			2034000 lock_released cpu=0 tid=12 write=true
			2040000 lock_start cpu=0 tid=12 write=true in_uprobe=false stack=["f+0x1 ([kernel.kallsyms])"]
			2053001 lock_acquired cpu=0 tid=12 write=true
			2054000 lock_released cpu=0 tid=12 write=true`,
			// At best 500 (of a start with a callchain) + 1500 to + 12500: the first and the third. They
			// are 600 early. The last one slept, and is 40 + 270 early.
			trampolineOps + "write 2001400 for 1880+0: other, observed\nwrite 2011959 for 1321+0: other, observed\nwrite 2032400 for 1880+0: other, observed\nwrite 2052691 for 1589+0: other, observed\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, _ := operations(t, parse(t, test.rows), timeline.Config{Using: test.using})
			if got := show(list); got != test.want {
				t.Errorf("got:\n%swant:\n%s", got, test.want)
			}
		})
	}
}

// Where enough hits have an arrive row, the fastest of them tell how long after it their lookups
// begin.
func TestLookupsAfterTheirArrival(t *testing.T) {
	for n, lag := range map[int]int64{29: 0, 30: 2000 - 1000 - 300} { // a hit's lookup ends 1000 before its stamp, and takes 300
		var rows strings.Builder
		for i := range n {
			fmt.Fprintf(&rows, "%d arrive cpu=0 tid=11\n%d hit cpu=0 tid=11 addr=0x401000 probe=p:f\n", 100_000*i+1000, 100_000*i+3000+i%3/2*5000)
		}
		list, _ := operations(t, parse(t, rows.String()), timeline.Config{Using: timeline.Stamps})
		for i, op := range list {
			if want := int64(100_000*i) + 1000 + lag; op.At != want || !op.Origin.Observed {
				t.Errorf("of %d, lookup %d begins at %d, want %d", n, i, op.At, want)
			}
		}
	}
}

// Rows that tell who is who.
func TestWhoOperates(t *testing.T) {
	const hit = "hit cpu=0 addr=0x401000 probe=p:f path=/bin/a"
	tests := []struct {
		name, rows      string
		threads, spaces []int // of the operations: equal where they are of one
	}{
		{"two threads of a process", "1000 " + hit + " tid=11\n2000 " + hit + " tid=12\n3000 " + hit + " tid=11", []int{0, 1, 0}, []int{0, 0, 0}},
		{"two processes", "1000 " + hit + " tid=11\n2000 " + hit + " tid=12 pid=12\n3000 " + hit + " tid=11", []int{0, 1, 0}, []int{0, 1, 0}},
		{"a thread id that is used again", "1000 " + hit + " tid=11\n2000 " + hit + " tid=11 pid=12\n3000 " + hit + " tid=11", []int{0, 1, 0}, []int{0, 1, 0}},
		{"another program", "1000 " + hit + " tid=10\n2000 exec tid=10 path=/bin/b\n3000 " + hit + " tid=10\n4000 " + hit + " tid=11", []int{0, 0, 1}, []int{0, 1, 1}},
		{"a process id that is used again", "1000 " + hit + " tid=10\n2000 exit tid=10\n3000 " + hit + " tid=10", []int{0, 0}, []int{0, 1}},
		{"a leader that ends before its thread", "1000 " + hit + " tid=11\n2000 exit tid=10\n3000 " + hit + " tid=11\n4000 exit tid=11\n5000 " + hit + " tid=10", []int{0, 0, 1}, []int{0, 0, 1}},
		{"one that ends before its thread has a row", "1000 fork tid=10 ret=11 flags=0x10f00\n2000 " + hit + " tid=10\n3000 exit tid=10\n4000 " + hit + " tid=11", []int{0, 1}, []int{0, 0}},
		{"a thread that ends", "1000 " + hit + " tid=10\n2000 exit tid=11\n3000 " + hit + " tid=10", []int{0, 0}, []int{0, 0}},
		{"what was mapped before anybody", "1000 map tid=10 addr=0x401000 len=4096 path=/bin/a\n1000 map tid=12 pid=12 addr=0x401000 len=4096 path=/bin/a\n" +
			"1001 map tid=10 addr=0x402000 len=4096 path=/bin/a\n2000 " + hit + " tid=10", []int{0, 1, 0, 2}, []int{0, 1, 0, 0}},
	}
	for _, test := range tests {
		list, _ := operations(t, parse(t, test.rows), timeline.Config{Using: timeline.Locks})
		slices.SortStableFunc(list, func(a, b *timeline.Operation) int { return int(a.Origin.Seq - b.Origin.Seq) })
		var threads, spaces []int
		for _, op := range list {
			threads, spaces = append(threads, int(op.Thread)), append(spaces, int(op.Space.Index))
			if (op.Origin.TID == timeline.Mapper) != (op.Origin.Kind == "map") {
				t.Errorf("%s: thread %d does a %s", test.name, op.Origin.TID, op.Origin.Kind)
			}
		}
		if !slices.Equal(threads, test.threads) || !slices.Equal(spaces, test.spaces) {
			t.Errorf("%s: threads %v in spaces %v, want %v in %v", test.name, threads, spaces, test.threads, test.spaces)
		}
	}
}

// Without process ids threads may share one address space, and so they do; one thread
// alone has its own.
func TestNobodysProcess(t *testing.T) {
	for n, want := range map[int]int32{1: 11, 2: timeline.NoPID} {
		var rows []traces.Event
		for i := range n {
			rows = append(rows, traces.Event{Time: int64(1000 * i), Seq: int64(i), Kind: traces.Hit, TID: int32(11 + i), Addr: 0x1000, Has: traces.ColTID | traces.ColAddr})
		}
		list, _ := operations(t, rows, timeline.Config{Using: timeline.Locks})
		if got := list[n-1].Origin.PID; got != want || list[n-1].Space != list[0].Space {
			t.Errorf("%d threads: process %d, want %d", n, got, want)
		}
	}
}

// What a change makes of an address space, by the row that it is of.
func TestChangesByHand(t *testing.T) {
	const mapped = "1000 mmap tid=11 dur_ns=100 ret=0x10000 addr=0x10000 len=0x4000 prot=3 flags=0x22\n"
	vma := func(start, end, pgoff uint64, prot mm.Prot, file bool) string {
		return fmt.Sprintf("%#x-%#x @%#x %d %v", start, end, pgoff, prot, file)
	}
	tests := []struct {
		name, rows string
		want       []string
	}{
		{"mmap", mapped, []string{vma(0x10000, 0x14000, 0, 3, false)}},
		{"mmap of a file that it names", "1000 mmap tid=11 dur_ns=100 ret=0x10000 addr=0x10000 len=0x4000 prot=5 flags=2 path=/lib/a pgoff=0x3000",
			[]string{vma(0x10000, 0x14000, 0x3000, 5, true)}},
		{"mmap of a file that a mapping names", "1000 mmap tid=11 dur_ns=100 ret=0x10000 addr=0x10000 len=0x4000 prot=5 flags=2\n1100 map tid=11 addr=0x10000 len=0x4000 prot=1 path=/lib/a pgoff=0x3000",
			[]string{vma(0x10000, 0x14000, 0x3000, 5, true)}},
		{"a mapping after the mmap", "1000 mmap tid=11 dur_ns=100 ret=0x10000 addr=0x10000 len=0x4000 prot=5 flags=2\n1101 map tid=11 addr=0x10000 len=0x2000 prot=1 path=/lib/a pgoff=0x3000",
			[]string{vma(0x10000, 0x12000, 0x3000, 1, true), vma(0x12000, 0x14000, 0, 5, false)}},
		{"a mapping somewhere else", "1000 mmap tid=11 dur_ns=100 ret=0x10000 addr=0x10000 len=0x2000 prot=5 flags=2\n1100 map tid=11 addr=0x20000 len=0x1000 prot=1 path=/lib/a pgoff=0x3000",
			[]string{vma(0x10000, 0x12000, 0, 5, false), vma(0x20000, 0x21000, 0x3000, 1, true)}},
		{"a mapping of another thread", "1000 mmap tid=11 dur_ns=100 ret=0x10000 addr=0x10000 len=0x4000 prot=5 flags=2\n1100 map tid=12 addr=0x10000 len=0x2000 prot=1 path=/lib/a pgoff=0x3000",
			[]string{vma(0x10000, 0x12000, 0x3000, 1, true), vma(0x12000, 0x14000, 0, 5, false)}},
		{"munmap", mapped + "2000 munmap tid=11 dur_ns=100 ret=0 addr=0x11000 len=0x1000", []string{vma(0x10000, 0x11000, 0, 3, false), vma(0x12000, 0x14000, 0, 3, false)}},
		{"mprotect", mapped + "2000 mprotect tid=11 dur_ns=100 ret=0 addr=0x13000 len=0x1000 prot=1", []string{vma(0x10000, 0x13000, 0, 3, false), vma(0x13000, 0x14000, 0, 1, false)}},
		{"mremap", mapped + "2000 mremap tid=11 dur_ns=100 ret=0x20000 addr=0x10000 len=0x4000 new_addr=0x20000 new_len=0x5000 flags=1", []string{vma(0x20000, 0x25000, 0, 3, false)}},
		{"mremap that leaves a hole", mapped + "2000 mremap tid=11 dur_ns=100 ret=0x20000 addr=0x10000 len=0x4000 new_addr=0x20000 new_len=0x4000 flags=5", // MREMAP_DONTUNMAP
			[]string{vma(0x10000, 0x14000, 0, 3, false), vma(0x20000, 0x24000, 0, 3, false)}},
		{"brk", "1000 brk tid=11 dur_ns=100 ret=0x10000\n2000 brk tid=11 dur_ns=100 ret=0x12000", []string{vma(0x10000, 0x12000, 0, 3, false)}},
		{"a refused brk", "1000 brk tid=11 dur_ns=100 ret=0x10000\n2000 brk tid=11 dur_ns=100 addr=0x12000 ret=0x10000", nil},
		{"one that fails", mapped + "2000 munmap tid=11 dur_ns=100 ret=-22 addr=0x11000 len=0x1000", []string{vma(0x10000, 0x14000, 0, 3, false)}},
		{"madvise", mapped + "2000 madvise tid=11 dur_ns=100 ret=0 addr=0x10000 len=0x1000 advice=10", // MADV_DONTFORK
			[]string{vma(0x10000, 0x11000, 0, 3, false), vma(0x11000, 0x14000, 0, 3, false)}},
		{"another madvise", mapped + "2000 madvise tid=11 dur_ns=100 ret=0 addr=0x10000 len=0x1000 advice=4", []string{vma(0x10000, 0x14000, 0, 3, false)}},
	}
	for _, test := range tests {
		list, _ := operations(t, parse(t, test.rows), timeline.Config{Using: timeline.Locks})
		var space mm.AddressSpace
		for _, op := range list {
			if !op.Change.First(0) || op.Change.First(0) || !op.Change.First(5) {
				t.Fatalf("%s: each replay makes a change once", test.name)
			}
			if _, err := op.Change.Apply(&space); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, v := range space.VMAs() {
			pgoff := v.Pgoff
			if v.File == mm.NoFile {
				pgoff = 0
			}
			got = append(got, vma(v.Start, v.End, pgoff, v.Prot, v.File != mm.NoFile))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Files are told apart by what rows say of them; a hit of no known file gets one for its
// probe.
func TestFilesOfHits(t *testing.T) {
	list, _ := operations(t, parse(t, `
		1000 hit tid=11 addr=0x401000 probe=p:f
		2000 hit tid=11 addr=0x402000 probe=p:g
		3000 hit tid=11 addr=0x403000 probe=p:f
		4000 hit tid=11 addr=0x403000 probe=p:f path=/bin/a
		5000 hit tid=11 addr=0x403000 probe=p:g path=/bin/a
		6000 hit tid=11 addr=0x403000 probe=p:g path=/bin/a inode=7 dev_major=1 dev_minor=2
		7000 hit tid=11 addr=0x403000 probe=p:g path=/bin/a inode=7 dev_major=1 dev_minor=3
		8000 hit tid=11 addr=0x403000 probe=p:g path=/bin/a inode=8 dev_major=1 dev_minor=3
		9000 hit tid=11 addr=0x403000 probe=p:g path=/bin/a inode=8 dev_major=1 dev_minor=3 inode_gen=2
		10000 hit tid=11 addr=0x403000 probe=p:g path=/bin/a inode=8 dev_major=1 dev_minor=3 inode_gen=3 // the inode is used again`), timeline.Config{Using: timeline.Locks})
	var got []int
	for _, op := range list {
		got = append(got, int(op.File))
	}
	// The fourth and fifth name a path alone, which is that of the first inode with it.
	if got[0] != got[2] || got[0] == got[1] || got[3] != got[4] || got[3] == got[0] || got[5] == got[6] || got[6] == got[7] || got[7] != got[8] || got[8] == got[9] || slices.Contains(got, int(mm.NoFile)) {
		t.Errorf("files %v", got)
	}
}

// A row that nobody can place is told of, and one that waited for long is no such row: what
// it waits for holds up the operations after it.
func TestLateByHand(t *testing.T) {
	const long = `
		7000001000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
		7000001000500 hit cpu=1 tid=12 addr=0x401000 probe=p:f
		%d lock_acquired cpu=0 tid=11 write=false
		%[1]d lock_released cpu=0 tid=11 write=false
		%[1]d hit cpu=0 tid=11 addr=0x401000 probe=p:f
		%[2]d hit cpu=1 tid=12 addr=0x401000 probe=p:f`
	for _, wait := range []int64{10_000_000, 30_000_000, 900_000_000, 1_100_000_000} {
		list, r := operations(t, parse(t, fmt.Sprintf(long, 7_000_001_000_000+wait, 7_000_001_000_000+2*wait)), timeline.Config{Using: timeline.Locks})
		late := int64(0)
		for i, op := range list {
			if i > 0 && op.At < list[i-1].At {
				late++
			}
		}
		if want := wait > 1_000_000_000; late != r.Found().Late || (late > 0) != want || len(list) != 3 {
			t.Errorf("after a wait of %d ns %d of %d operations are late, %d are said to be", wait, late, len(list), r.Found().Late)
		}
	}
	// One whose lookup begins at the very time of the one before it is not late.
	list, r := operations(t, parse(t, `
		999000 hit cpu=1 tid=12 addr=0x401000 probe=p:f
		1000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
		1200000000 lock_acquired cpu=0 tid=11 write=false
		1200000000 lock_released cpu=0 tid=11 write=false
		1200000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f`), timeline.Config{Using: timeline.Locks})
	if len(list) != 2 || list[0].At != list[1].At || r.Found().Late != 0 {
		t.Errorf("%d operations, %d late", len(list), r.Found().Late)
	}
}

// What was found on the way.
func TestFound(t *testing.T) {
	_, r := operations(t, parse(t, `
		1000000 lost cpu=0 ret=5 dur_ns=1000
		1050000 lock_start cpu=0 tid=11 write=true in_uprobe=false
		1050100 lock_acquired cpu=0 tid=11 write=true
		1050200 lock_released cpu=0 tid=11 write=true
		2000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
		2000100 lock_acquired cpu=0 tid=11 write=true
		2000200 lock_released cpu=0 tid=11 write=true
		3000000 lock_start cpu=0 tid=11 write=false in_uprobe=true
		3000100 lock_acquired cpu=0 tid=11 write=false
		3000200 lock_released cpu=0 tid=11 write=false
		3000900 hit cpu=0 tid=11 addr=0x401000 probe=p:f
		4000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
		5000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
		6000000 lock_start cpu=0 tid=11 write=true in_uprobe=false
		6000000 lock_start cpu=0 tid=12 write=false in_uprobe=false
		6000100 lock_acquired cpu=0 tid=12 write=false`), timeline.Config{Using: timeline.Locks})
	want := timeline.Found{ObservedArrivals: 1, InferredArrivals: 2, Lookups: 3, ObservedSections: 2, UndecidedSections: 1, Unended: 2}
	if *r.Found() != want {
		t.Errorf("%+v, want %+v", *r.Found(), want)
	}
	_, r = operations(t, parse(t, `
		1000000 munmap cpu=0 tid=11 dur_ns=5000 ret=0 addr=0x7000 len=4096
		1050200 mmap cpu=0 tid=11 dur_ns=5000 ret=0x7000 addr=0x7000 len=4096`), timeline.Config{Using: timeline.Syscalls})
	if want := (timeline.Found{ModelledSections: 2}); *r.Found() != want {
		t.Errorf("%+v, want %+v", *r.Found(), want)
	}
}

// eye keeps what an observer is told.
type eye struct {
	waited []int64 // rows
	rows   int
	held   []timeline.Section
}

func (e *eye) Row(ev *traces.Event, waited bool) {
	e.rows++
	if waited {
		e.waited = append(e.waited, ev.Seq)
	}
}

func (e *eye) Section(h *timeline.Section) { e.held = append(e.held, *h) }

// An observer is told which rows show how a lookup went, and of holds.
func TestObserver(t *testing.T) {
	var e eye
	operations(t, parse(t, `
		1000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
		1000001 hit cpu=0 tid=11 addr=0x401000 probe=p:g trap=0
		2000000 lock_start cpu=0 tid=11 write=false in_uprobe=true stack=["__do_sys_uprobe+0x1 ([kernel.kallsyms])"]
		2004000 lock_acquired cpu=0 tid=11 write=false
		2004500 lock_released cpu=0 tid=11 write=false
		2005000 lock_start cpu=1 tid=11 write=false in_uprobe=true
		2006000 lock_acquired cpu=1 tid=11 write=false
		2006500 lock_released cpu=1 tid=11 write=false
		2007000 hit cpu=0 tid=12 addr=0x401000 probe=p:f
		2016000 hit cpu=1 tid=11 addr=0x401000 probe=p:f
		2018000 lock_start cpu=1 tid=11 write=false in_uprobe=true
		2018100 lock_acquired cpu=1 tid=11 write=false
		2018200 lock_released cpu=1 tid=11 write=false
		2019000 hit cpu=1 tid=11 addr=0x401000 probe=p:f
		2020000 brk cpu=0 tid=12 dur_ns=4000 ret=0x8000
		2020400 lock_start cpu=0 tid=12 write=true in_uprobe=false
		2020700 lock_acquired cpu=0 tid=12 write=true
		2022000 lock_acquired cpu=0 tid=12 write=false
		2023000 lock_released cpu=0 tid=12 write=false
		2030000 lock_start cpu=0 tid=12 write=false in_uprobe=false
		2030700 lock_acquired cpu=0 tid=12 write=false
		2033000 lock_released cpu=0 tid=12 write=false
		2040000 brk cpu=0 tid=12 dur_ns=4000 ret=0x7000`), timeline.Config{Using: timeline.Locks, Observer: &e})
	if want := []int64{5, 9, 13}; !slices.Equal(e.waited, want) || e.rows != 22 { // a second lookup after the first failed, and the hits of lookups that failed
		t.Errorf("rows %v of %d tell of waits, want %v of 22", e.waited, e.rows, want)
	}
	want := []timeline.Section{
		// Odd 40 before it tells; even 1000 - 50 after the downgrade, since recording a
		// lock_released takes 1000 here.
		{PID: 10, Write: true, Asked: 2_020_400, Odd: 2_020_660, Even: 2_022_950, Released: 2_023_000, Call: "brk", CallFrom: 2_020_000, CallTo: 2_024_000},
		{PID: 10, Asked: 2_030_000, Odd: 2_030_700, Even: 2_030_700, Released: 2_033_000, Call: "brk", CallFrom: 2_020_000, CallTo: 2_024_000},
	}
	if !slices.Equal(e.held, want) {
		t.Errorf("held %+v\nwant %+v", e.held, want)
	}
}

// broken is a trace that cannot be read to its end.
type broken struct {
	*replaytest.Memory
	err error
}

func (b *broken) Stream(c traces.Columns) (traces.Stream, error) {
	s, err := b.Memory.Stream(c)
	return &brokenStream{s, b.err}, err
}

type brokenStream struct {
	traces.Stream
	err error
}

func (s *brokenStream) Next(ev *traces.Event) error {
	err := s.Stream.Next(ev)
	if err == io.EOF {
		return s.err
	}
	return err
}

var errBroken = errors.New("a page cannot be read")

// An error of the trace is one of whatever reads it, and ends nothing early without a word.
func TestUnreadable(t *testing.T) {
	rows := parse(t, "1000 hit tid=11 addr=0x401000 probe=p:f\n2000 mmap tid=11 dur_ns=500 ret=0x7000 addr=0x7000 len=4096")
	trace := &broken{replaytest.Made(rows), errBroken}
	if _, err := timeline.TakeSurvey(t.Context(), trace); !errors.Is(err, errBroken) {
		t.Errorf("survey: %v", err)
	}
	s := surveyOf(t, trace.Memory)
	if _, err := timeline.Reconstruct(t.Context(), trace, s, timeline.Config{Using: timeline.Syscalls, Profile: handProfile(t)}); !errors.Is(err, errBroken) {
		t.Errorf("inference: %v", err)
	}
	r, err := timeline.Reconstruct(t.Context(), trace, s, timeline.Config{Using: timeline.Locks, Profile: handProfile(t)})
	if err != nil {
		t.Fatal(err)
	}
	shared := timeline.Share(t.Context(), r, 1)
	go shared.Feed()
	reader := shared.Reader(0)
	n := 0
	for _, ok := reader.Next(); ok; _, ok = reader.Next() {
		n++
	}
	if n != 2 || !errors.Is(reader.Err(), errBroken) || !errors.Is(r.Err(), errBroken) {
		t.Errorf("%d operations, then %v", n, reader.Err())
	}
}

// Readers of one reconstruction get the same, however far one is behind the other.
func TestShare(t *testing.T) {
	var rows []traces.Event
	for i := range 5000 {
		rows = append(rows, traces.Event{Time: int64(i) * 1000, Seq: int64(i), Kind: traces.Hit, PID: 10, TID: 11, Addr: uint64(0x1000 + i), Has: traces.ColPID | traces.ColTID | traces.ColAddr})
	}
	trace := replaytest.Made(rows)
	reconstruct := func(ctx context.Context) *timeline.Shared {
		r, err := timeline.Reconstruct(ctx, trace, surveyOf(t, trace), timeline.Config{Using: timeline.Locks, Profile: handProfile(t)})
		if err != nil {
			t.Fatal(err)
		}
		return timeline.Share(ctx, r, 2)
	}
	shared := reconstruct(t.Context())
	go shared.Feed()
	a, b := shared.Reader(0), shared.Reader(1)
	next := func(r *timeline.Reader, i int) {
		op, ok := r.Next()
		if ok != (i < len(rows)) || ok && (op.Addr != rows[i].Addr || op.Origin.Seq != int64(i)) || r.Err() != nil {
			t.Fatalf("operation %d: %+v, %v, %v", i, op, ok, r.Err())
		}
	}
	for i := range 2500 { // fewer than a reader may be ahead
		next(a, i)
	}
	for i := range len(rows) + 1 {
		next(b, i)
		if i >= 2500 {
			next(a, i)
		}
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	shared = reconstruct(ctx)
	cancel(errBroken)
	shared.Feed()
	reader := shared.Reader(1)
	for _, ok := reader.Next(); ok; _, ok = reader.Next() {
	}
	if !errors.Is(reader.Err(), errBroken) {
		t.Errorf("cancelled, and the reader ends with %v", reader.Err())
	}
}

// Reading stops soon after it is cancelled, with the cause; progress is told on the way.
func TestLongTrace(t *testing.T) {
	rows := make([]traces.Event, 140_000)
	for i := range rows {
		rows[i] = traces.Event{Time: int64(i) * 1000, Seq: int64(i), Kind: traces.Hit, PID: 10, TID: 11, Addr: 0x1000, Has: traces.ColPID | traces.ColTID | traces.ColAddr}
	}
	trace := replaytest.Made(rows)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	if _, err := timeline.TakeSurvey(ctx, trace); !errors.Is(err, errBroken) {
		t.Errorf("survey: %v", err)
	}
	s := surveyOf(t, trace)
	if _, err := timeline.Reconstruct(ctx, trace, s, timeline.Config{Using: timeline.Syscalls, Profile: handProfile(t)}); !errors.Is(err, errBroken) {
		t.Errorf("inference: %v", err)
	}
	var told []int64
	operations(t, rows, timeline.Config{Using: timeline.Locks, Progress: func(rows int64) { told = append(told, rows) }})
	if want := []int64{1 << 15, 2 << 15, 3 << 15, 4 << 15}; !slices.Equal(told, want) {
		t.Errorf("told of %v rows, want %v", told, want)
	}
}

// Whatever changes from one operation of a thread to its next, each has what its row says.
func TestClassesOfOperations(t *testing.T) {
	frames := []string{"[\"a (x)\"]", "[\"b (x)\"]", "[\"a (x)\",\"b (x)\"]"}
	var text strings.Builder
	at := int64(1_000_000)
	for i := range 60 {
		comm, probe, stack, pid := i/2%2, i/3%2, i/5%3, 10+i/7%2
		who := fmt.Sprintf("cpu=0 tid=11 pid=%d comm=c%d", pid, comm)
		fmt.Fprintf(&text, "%d hit %s addr=0x1000 probe=p:%d stack=%s\n", at, who, probe, frames[stack])
		fmt.Fprintf(&text, "%d lock_start %s write=%v in_uprobe=false stack=%s\n", at+2000, who, i%2 == 0, frames[stack])
		fmt.Fprintf(&text, "%d lock_acquired %s write=%v\n", at+3000, who, i%2 == 0)
		fmt.Fprintf(&text, "%d lock_released %s write=%v\n", at+4000, who, i%2 == 0)
		at += 100_000
	}
	rows := parse(t, text.String())
	list, _ := operations(t, rows, timeline.Config{Using: timeline.Locks})
	ids := map[string]int{}
	for _, op := range list {
		row, o := &rows[op.Origin.Seq], op.Origin
		stack, kind := row.Stack, "hit"
		if row.Kind != traces.Hit {
			stack, kind = rows[row.Seq-2].Stack, "other" // of its lock_start
		}
		if o.PID != row.PID || o.TID != row.TID || o.Comm != row.Comm || o.Probe != row.Probe || o.Kind != kind || !slices.Equal(o.Stack, stack) {
			t.Errorf("%s: %+v", traces.FormatText(row), *o.Class)
		}
		key := fmt.Sprint(o.PID, o.TID, o.Comm, o.Probe, o.Kind, o.Stack)
		if id, ok := ids[key]; ok && id != o.ID {
			t.Errorf("%s is class %d and %d", key, id, o.ID)
		}
		ids[key] = o.ID
	}
	if len(list) != 120 || len(ids) < 20 {
		t.Errorf("%d operations of %d classes", len(list), len(ids))
	}
}

// Of whose hits it is not known whether they came by system call.
func TestUntoldByHand(t *testing.T) {
	const (
		trampoline = "100 map pid=%d tid=%[1]d addr=0x3ff000 len=4096 path=\"[uprobes-trampoline]\"\n"
		hits       = "1000 hit cpu=0 pid=10 tid=10 addr=0x401000 probe=p:f\n2000 hit cpu=0 pid=10 tid=10 addr=0x402000 probe=p:g\n"
		check      = "500 lock_start cpu=0 pid=10 tid=10 write=false in_uprobe=true stack=[\"__do_sys_uprobe+0x1 ([kernel.kallsyms])\"]\n" +
			"600 lock_acquired cpu=0 pid=10 tid=10 write=false stack=[\"a\"]\n700 lock_released cpu=0 pid=10 tid=10 write=false\n"
	)
	for _, test := range []struct {
		name, rows string
		want       int64
	}{
		{"no trampoline", hits, 0},
		{"one from before", fmt.Sprintf(trampoline, 10) + hits, 2},
		{"of another process", fmt.Sprintf(trampoline, 11) + hits, 0},
		{"and a check that fell back", fmt.Sprintf(trampoline, 10) + check + hits, 1},
		{"and another program then", fmt.Sprintf(trampoline, 10) + "700 exec cpu=0 pid=10 tid=10\n" + hits, 0},
		{"later", hits + "3000 hit cpu=0 pid=10 tid=10 addr=0x401000 probe=p:f\n" + strings.Replace(fmt.Sprintf(trampoline, 10), "100", "4000", 1) + "5000 hit cpu=0 pid=10 tid=10 addr=0x402000 probe=p:g\n", 1},
	} {
		_, r := operations(t, parse(t, test.rows), timeline.Config{Using: timeline.Locks})
		if got := r.Found().Untold; got != test.want {
			t.Errorf("%s: of %d hits it is not known, want %d", test.name, got, test.want)
		}
	}
}

// A probe calls the trampoline that its call reaches, 2 GiB to either side.
func TestTrampolineInReach(t *testing.T) {
	for addr, want := range map[uint64]uint64{
		0x401000: 0x3ff000, 0x3ff000 + 1<<31: 0x3ff000, 0x3ff001 + 1<<31: 0x3ff001 + 1<<31, 0x7f0000001000: 0x7f0000000000, 0x7f0000000000 - 1<<31: 0x7f0000000000 - 1<<31,
		0x7f0000000001 - 1<<31: 0x7f0000000000,
	} {
		list, _ := operations(t, parse(t, fmt.Sprintf(`
			50 map tid=11 addr=0x7f0000000000 len=4096 path="[uprobes-trampoline]"
			100 hit cpu=0 tid=11 addr=%#x probe=p:f
			200 map tid=11 addr=0x3ff000 len=4096 path="[uprobes-trampoline]"
			100000 hit cpu=0 tid=11 addr=%#[1]x probe=p:f`, addr)), timeline.Config{Using: timeline.Syscalls})
		if got := list[len(list)-1].Trampoline; got != want {
			t.Errorf("the probe at %#x calls %#x, want %#x", addr, got, want)
		}
	}
}

// What a recording was, worked out by hand: a reader queues behind a writer that waits for
// a reader.
func TestRecordingByHand(t *testing.T) {
	_, r := operations(t, parse(t, `
		1000000 hit cpu=0 tid=11 addr=0x401000 probe=p:f
		1000100 lock_start cpu=0 tid=11 comm=a mm=7 write=false in_uprobe=false
		1000200 lock_acquired cpu=0 tid=11 comm=a mm=7 write=false
		1001000 lock_start cpu=1 tid=12 comm=b mm=7 write=true in_uprobe=false
		1001500 lock_start cpu=2 tid=13 comm=c mm=7 write=false in_uprobe=true
		1001600 lock_start cpu=3 tid=14 comm=d mm=8 write=false in_uprobe=false
		1001700 lock_acquired cpu=3 tid=14 comm=d mm=8 write=false
		1001800 lock_released cpu=3 tid=14 comm=d mm=8 write=false
		1003000 lock_released cpu=0 tid=11 comm=a mm=7 write=false
		1003100 lock_acquired cpu=1 tid=12 comm=b mm=7 write=true
		1004100 lock_released cpu=1 tid=12 comm=b mm=7 write=true
		1004300 lock_acquired cpu=2 tid=13 comm=c mm=7 write=false
		1004400 lock_released cpu=2 tid=13 comm=c mm=7 write=false
		1005000 hit cpu=2 tid=13 addr=0x401000 probe=p:f
		1006000 hit cpu=2 tid=13 addr=0x401000 probe=p:f
		1006000 hit cpu=2 tid=13 addr=0x401000 probe=p:g trap=14`), timeline.Config{Using: timeline.Locks, Record: true})
	got := r.Recording()
	if got == nil {
		t.Fatal("nothing")
	}
	const ns = sim.Nanosecond
	if got.Hits != 3 || got.Lookups != 3 || got.Fallbacks != 1 || !got.Outcomes || got.Refused != 0 || got.Unended != 0 || got.Sections != 1 || got.Writers != 1 || got.Spaces != 1 {
		t.Errorf("%+v", got)
	}
	// b waits for a; c behind b in the queue for a, and then for b; for 200 nobody is seen.
	if got.WriterWait.Total != 2100*ns || got.LockWait.Total != 2800*ns || got.ReaderWait.Total != 200*ns || got.ReaderWait.Count != 2 || got.Unblocked.Total != 200*ns {
		t.Errorf("waits %v, %v, %v, %v", got.WriterWait, got.LockWait, got.ReaderWait, got.Unblocked)
	}
	if len(got.Waiters) != 4 || got.Waiters[0].Comm != "c" || got.Waiters[0].Access != timeline.LookupAccess || got.Waiters[1].Comm != "b" || got.Waiters[2].Comm != "a" || got.Waiters[3].Comm != "d" {
		t.Errorf("waiters %+v", got.Waiters)
	}
	if len(got.Holders) != 2 {
		t.Fatalf("holders %+v", got.Holders)
	}
	a, b := got.Holders[0], got.Holders[1]
	if a.Comm != "a" || a.Blocked != 2 || a.BlockedTime != (2000+1500)*ns || a.Hold.Total != 2800*ns || a.Write {
		t.Errorf("%+v", a)
	}
	if b.Comm != "b" || b.Blocked != 1 || b.BlockedTime != 1000*ns || b.Hold.Total != 1000*ns || !b.Write {
		t.Errorf("%+v", b)
	}
	if w := got.Longest; w.Comm != "c" || w.At != 1500*ns || w.Wait != 2800*ns || w.InWay != (1500+1000)*ns || w.Holder.Comm != "a" || w.HolderFor != 1500*ns || w.Hold != 2800*ns {
		t.Errorf("longest %+v, %+v", w, w.Holder)
	}
	if _, r := operations(t, parse(t, "1000 hit cpu=0 tid=11 addr=0x401000 probe=p:f"), timeline.Config{Using: timeline.Locks, Record: true}); r.Recording() != nil {
		t.Error("there are no lock events")
	}
	if _, r := operations(t, parse(t, "1000 lock_start cpu=0 tid=11 write=true in_uprobe=false"), timeline.Config{Using: timeline.Locks}); r.Recording() != nil {
		t.Error("nobody asked")
	}
}

// Waits that are equal in one thing are told apart by the next, and rows come in any order
// of threads.
func TestOrderOfRecording(t *testing.T) {
	var text strings.Builder
	at := int64(1_000_000)
	// Each waits for the holder, as long as its number says.
	wait := func(tid int, pid int, comm string, ns int64, holder int) {
		fmt.Fprintf(&text, "%d lock_start cpu=0 tid=%d comm=h mm=7 write=true in_uprobe=false\n%[1]d lock_acquired cpu=0 tid=%[2]d comm=h mm=7 write=true\n", at, holder)
		fmt.Fprintf(&text, "%d lock_start cpu=1 tid=%d pid=%d comm=%s mm=7 write=false in_uprobe=false\n", at+10, tid, pid, comm)
		fmt.Fprintf(&text, "%d lock_released cpu=0 tid=%d comm=h mm=7 write=true\n", at+10+ns, holder)
		fmt.Fprintf(&text, "%d lock_acquired cpu=1 tid=%d pid=%d comm=%s mm=7 write=false\n%[1]d lock_released cpu=1 tid=%[2]d pid=%[3]d comm=%[4]s mm=7 write=false\n", at+10+ns, tid, pid, comm)
		at += 1_000_000
	}
	wait(30, 10, "b", 500, 40)
	wait(31, 10, "a", 900, 41)
	wait(29, 10, "a", 500, 42)
	wait(30, 9, "a", 500, 41)
	wait(30, 10, "a", 500, 42)
	wait(28, 10, "a", 1400, 43)
	rows := parse(t, text.String())
	_, r := operations(t, rows, timeline.Config{Using: timeline.Locks, Record: true})
	var waiters, holders []string
	got := r.Recording()
	for _, w := range got.Waiters {
		if w.Comm != "h" {
			waiters = append(waiters, fmt.Sprint(w.TID, "/", w.PID, w.Comm))
		}
	}
	for _, h := range got.Holders {
		holders = append(holders, fmt.Sprintf("%d: %d waits, %d", h.TID, h.Blocked, h.BlockedTime.Nanos()))
	}
	if want := []string{"28/10a", "31/10a", "29/10a", "30/9a", "30/10a", "30/10b"}; !slices.Equal(waiters, want) {
		t.Errorf("waiters %q, want %q", waiters, want)
	}
	if want := []string{"41: 2 waits, 1400", "43: 1 waits, 1400", "42: 2 waits, 1000", "40: 1 waits, 500"}; !slices.Equal(holders, want) {
		t.Errorf("holders %q, want %q", holders, want)
	}
}
