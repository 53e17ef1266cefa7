package perfscript

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/tracetest"
)

const sample = `java: [C1] x 16299/16301 [001]  1064.354772554:    mmap_lock:mmap_lock_start_locking: mm=0xffff88810006be80 memcg_id=4985 write=false
	ffffffff815f426b [unknown] ([kernel.kallsyms])
	           98931 malloc+0x1 (/usr/lib/libc.so.6)

           javac 16299 [000]  1064.165590178:     1                probe_libc:malloc: (7f7b9138c930)     7f7b9138c930 malloc+0x0 (/usr/lib/libc.so.6)
           javac 16299/16299  1064.165590:   syscalls:sys_enter_mmap: addr: 0x00000000, len: 0x00010000, prot: 0x00000003, flags: 0x00000022, fd: 0xffffffff, off: 0x00000000
           javac 16299/16299 [000]  1064.2:   syscalls:sys_exit_mmap: 0x7f00
           javac 16299/16299 [000]  1064.3:   syscalls:sys_exit_munmap: -22
           javac 16299/16299 [000]  1064.4:   my_group:f__return: (401000 <- 401010)
           churn 16283/16283 [001]  1060.697704431:             sched:sched_process_exec: filename=./a b pid=16283 old_pid=16283
           churn 16283/16283 [001]  1060.697704431:             sched:sched_switch: prev_comm=x
           churn 16283 [001]  1060.697233987: PERF_RECORD_MMAP2 16283/16283: [0x55f2e761b000(0x5000) @ 0x2000 fe:00 827395 1087206221]: r-xp /srv/a b
           churn 16283 [001]  1060.7: PERF_RECORD_COMM exec: a: b:16283/16283
           churn 16283 [001]  1060.8: PERF_RECORD_FORK(16283:16285):(16283:16283)
           churn 16283 [001]  1060.9: PERF_RECORD_LOST lost 12
`

func TestLines(t *testing.T) {
	p := New(bufio.NewReader(strings.NewReader(sample)), "sample")
	var got []string
	for {
		r := assemble.New(assemble.Options{}).Record()
		used, err := p.Next(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if used {
			r.Has &^= traces.ColSrcPos
			got = append(got, traces.FormatText(&r.Event))
		}
	}
	want := []string{
		`1064354772554 lock_start seq=0 cpu=1 pid=16299 tid=16301 comm="java: [C1] x" mm=0xffff88810006be80 write=false stack=["0xffffffff815f426b ([kernel.kallsyms])","malloc+0x1 (/usr/lib/libc.so.6)"]`,
		`1064165590178 hit seq=0 cpu=0 tid=16299 comm=javac addr=0x7f7b9138c930 probe=probe_libc:malloc`,
		`1064165590000 mmap seq=0 pid=16299 tid=16299 comm=javac addr=0x0 len=0x10000 pgoff=0x0 prot=3 flags=34`,
		`1064200000000 mmap seq=0 cpu=0 pid=16299 tid=16299 comm=javac ret=32512`,
		`1064300000000 munmap seq=0 cpu=0 pid=16299 tid=16299 comm=javac ret=-22`,
		`1064400000000 ret seq=0 cpu=0 pid=16299 tid=16299 comm=javac addr=0x401000 probe=my_group:f__return`,
		`1060697704431 exec seq=0 cpu=1 pid=16283 tid=16283 comm=churn path="./a b"`,
		`1060697233987 map seq=0 cpu=1 pid=16283 tid=16283 addr=0x55f2e761b000 len=0x5000 pgoff=0x2000 prot=5 flags=2 dev_major=254 dev_minor=0 inode=827395 inode_gen=1087206221 path="/srv/a b"`,
		`1060700000000 exec seq=0 cpu=1 pid=16283 tid=16283 comm="a: b"`,
		`1060800000000 fork seq=0 cpu=1 pid=16283 tid=16283 flags=65536 ret=16285`,
		`1060900000000 lost seq=0 cpu=1 ret=12`,
	}
	for i := range max(len(want), len(got)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if stripSeq(g) != stripSeq(w) {
			t.Errorf("row %d:\n got %s\nwant %s", i, g, w)
		}
	}
	if p.Unused["sched:sched_switch"] != 1 || !p.Micro {
		t.Errorf("unused %v, micro %v", p.Unused, p.Micro)
	}
}

func stripSeq(s string) string { return strings.Replace(s, " seq=0", "", 1) }

// Each bad line is one error with its line, and what follows it is read. Its
// callchain goes with it.
func TestBad(t *testing.T) {
	good := "a 1/2 [000] 5.000000001: probe_x:y: (401000)\n"
	for _, c := range []struct{ line, want string }{
		{"nonsense\n\t 401000 f+0x1 (/a)\n\t 401010 g+0x1 (/a)\n\n", "an event of perf script"},
		{"a 1/2 [70000] 5.000000001: probe_x:y: (401000)\n", "an event of perf script"},
		{"a 1/2 [000] 5.0000000001: probe_x:y: (401000)\n", "an event of perf script"},
		{"a 1/2 [000] 5.000000001: probe_x:y: (40zz00)\n", "(address)"},
		{"a 1/2 [000] 5.000000001: probe_x:y: (401000\n", "(address)"},
		{"a 1/2 [000] 5.000000001: syscalls:sys_exit_mmap: \n", "the result of a syscall"},
		{"a 1/2 [000] 5.000000001: syscalls:sys_enter_munmap: addr: 0x1000, len: x\n", "a number in the field len"},
		{"a 1/2 [000] 5.000000001: PERF_RECORD_MMAP2 1/2: [0x1000(0x1000\n", "pid/tid: [address"},
		{"a 1/2 [000] 5.000000001: PERF_RECORD_COMM x\n", "name:pid/tid"},
		{"a 1/2 [000] 5.000000001: PERF_RECORD_FORK(1:2)\n", "PERF_RECORD_FORK(pid"},
		{"a 1/2 [000] 5.000000001: PERF_RECORD_LOST lost many\n", "lost and a number"},
		{strings.Repeat("x", 10000) + "\n", "at most 4096 bytes"},
	} {
		p := New(bufio.NewReader(strings.NewReader(good+c.line+good)), "file")
		a := assemble.New(assemble.Options{})
		rows, errs := 0, []error{}
		for {
			used, err := p.Next(a.Record())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				errs = append(errs, err)
			}
			if used {
				rows++
			}
		}
		if len(errs) != 1 || !errors.Is(errs[0], lines.ErrLine) || !strings.HasPrefix(errs[0].Error(), "file:2: ") || !strings.Contains(errs[0].Error(), c.want) {
			t.Errorf("%.60q: errors %v, want one of line 2 about %q", c.line, errs, c.want)
		}
		if rows != 2 {
			t.Errorf("%.60q: %d rows, want 2", c.line, rows)
		}
	}
}

func FuzzParser(f *testing.F) {
	for line := range strings.SplitSeq(sample, "\n") {
		f.Add([]byte(line))
	}
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := New(bufio.NewReader(bytes.NewReader(data)), "fuzz")
		a := assemble.New(assemble.Options{})
		for range len(data) + 1 {
			used, err := p.Next(a.Record())
			if used && errors.Is(err, io.EOF) {
				t.Fatal("a record and the end")
			}
			var bad *lines.Error
			if errors.As(err, &bad) && bad.Line < 1 {
				t.Fatalf("no position: %v", err)
			}
			if err != nil && bad == nil {
				return
			}
		}
		t.Fatal("no end")
	})
}

func BenchmarkNext(b *testing.B) {
	var all strings.Builder
	for i := range 200 { // times are of one clock
		all.WriteString(strings.NewReplacer("1064.3547", fmt.Sprintf("%d.0", 1060+i), "1064.165590:", fmt.Sprintf("%d.1656:", 1060+i), "1060.", fmt.Sprintf("%d.", 1060+i), "1064.", fmt.Sprintf("%d.", 1060+i)).Replace(sample))
	}
	text := all.String()
	a := assemble.New(assemble.Options{})
	lines := 0
	for b.Loop() {
		p := New(bufio.NewReaderSize(strings.NewReader(text), 64<<10), "bench")
		for {
			r := a.Record()
			_, err := p.Next(r)
			a.Release(r)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		lines += int(p.Line())
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}

// The totals at the end repeat what was said in place.
func TestLost(t *testing.T) {
	text := `churn 7404 [001] 5512.608422125: PERF_RECORD_LOST lost 1760
swapper 0 [000] 0.000000000: PERF_RECORD_LOST_SAMPLES lost 1800
swapper 0 [000] 0.000000000: PERF_RECORD_LOST_SAMPLES
churn 7404 [001] 5512.7: PERF_RECORD_LOST_SAMPLES lost 5
`
	p := New(bufio.NewReader(strings.NewReader(text)), "text")
	var rets []int64
	for {
		r := assemble.New(assemble.Options{}).Record()
		used, err := p.Next(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if used {
			rets = append(rets, r.Ret)
		}
	}
	if len(rets) != 2 || rets[0] != 1760 || rets[1] != 5 || p.Lost != 1760 || p.LostTotal != 1800 {
		t.Errorf("rows %d, in place %d, totals %d", rets, p.Lost, p.LostTotal)
	}
}

// What each of the odd lines is read as, or why not.
func TestOddLines(t *testing.T) {
	text, err := os.ReadFile("testdata/odd.txt")
	if err != nil {
		t.Fatal(err)
	}
	p := New(bufio.NewReader(bytes.NewReader(text)), "odd.txt")
	a := assemble.New(assemble.Options{})
	var got strings.Builder
	for {
		r := a.Record()
		used, err := p.Next(r)
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil:
			fmt.Fprintln(&got, err)
		case used:
			fmt.Fprintf(&got, "phase=%d %s\n", r.Phase, stripSeq(traces.FormatText(&r.Event)))
		}
	}
	fmt.Fprintf(&got, "unused %v, without a thread %d, micro %v\n", p.Unused, p.NoThread, p.Micro)
	tracetest.Golden(t, "odd.golden", got.String())
}

// perf script --Latency prints the CPU without brackets; a number in a name, or a
// thread's alone, is none.
func TestBareCPU(t *testing.T) {
	for line, want := range map[string]string{
		"      t1  1752   0 ":       "t1 -1/1752 0",
		"      t1  1752  12 ":       "t1 -1/1752 12",
		"      t1    17 123 ":       "t1 -1/17 123",
		"    t0-0  1752/1762    1 ": "t0-0 1752/1762 1",
		"    t0-0     4/5       1 ": "t0-0 4/5 1",
		"      t1  1752 ":           "t1 -1/1752 -1",
		" worker 12   200 ":         "worker 12 -1/200 -1",
		" worker 12     3 ":         "worker 12 -1/3 -1",
		" worker 12  3000 ":         "worker 12 -1/3000 -1",
		" worker 12  4/200 ":        "worker 12 4/200 -1",
		"       a 1/2      3 ":      "a 1/2 -1/3 -1",
		"  1752 ":                   " -1/1752 -1",
		"  1752   1 ":               " -1/1752 1",
	} {
		h, ok := splitHeader([]byte(line + " 3099.295845493:   probe_a:f: (401136)"))
		if got := fmt.Sprintf("%s %d/%d %d", h.comm, h.pid, h.tid, h.cpu); !ok || got != want {
			t.Errorf("%q: %s, %v; want %s", line, got, ok, want)
		}
	}
}

// What records tell besides rows: whose child it is, whether others of the process are
// left, and by which way the kernel was entered.
func TestBesidesRows(t *testing.T) {
	const text = `# of no losses a word
churn 10/11 [001] 1.1: PERF_RECORD_FORK(20:20):(10:11)
churn 10/11 [001] 1.2: sched:sched_process_exit: comm=a group_dead=false pid=11 prio=120 group_dead=true
churn 10/12 [001] 1.3: sched:sched_process_exit: comm=b pid=12 prio=120 group_dead=false
churn 10/13 [001] 1.4: sched:sched_process_exit: comm=c pid=13 prio=120
churn 10/11 [001] 1.5: mmap_lock:mmap_lock_start_locking: mm=0x1 memcg_path=/ write=false
	ffffffff815f426b down_read+0x1 ([kernel.kallsyms])
	ffffffff8160000a entry+0x1 ([kernel.kallsyms])
	401234 main+0x4 (/bin/a)
	401300 start+0x4 (/bin/a)

churn 10/11 [001] 1.6: my:probe: (401000)
churn 10/11 [001] 1.7: my:probe__return: (401000 <- 401900)
`
	p := New(bufio.NewReader(strings.NewReader(text)), "text")
	var got []string
	for {
		r := assemble.New(assemble.Options{}).Record()
		used, err := p.Next(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !used {
			continue
		}
		got = append(got, fmt.Sprintf("%s %d/%d ret=%d flags=%d dead=%d user=%x page=%v entry=%x addr=%x", r.Kind, r.PID, r.TID, r.Ret, r.Flags, r.GroupDead, r.UserIP, r.UserIPPage, r.Entry, r.Addr))
	}
	want := []string{
		"fork 10/11 ret=20 flags=0 dead=0 user=0 page=false entry=0 addr=0",
		fmt.Sprintf("exit 10/11 ret=0 flags=0 dead=%d user=0 page=false entry=0 addr=0", assemble.True),
		fmt.Sprintf("exit 10/12 ret=0 flags=0 dead=%d user=0 page=false entry=0 addr=0", assemble.False),
		fmt.Sprintf("exit 10/13 ret=0 flags=0 dead=%d user=0 page=false entry=0 addr=0", assemble.Untold),
		"lock_start 10/11 ret=0 flags=0 dead=0 user=401234 page=true entry=ffffffff8160000a addr=0",
		"hit 10/11 ret=0 flags=0 dead=0 user=0 page=false entry=0 addr=401000",
		"ret 10/11 ret=0 flags=0 dead=0 user=0 page=false entry=0 addr=401000",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	if p.LostShown {
		t.Error("a text without a loss, and without a word of it, tells that there was none")
	}
	p = New(bufio.NewReader(strings.NewReader("# perf script --ns\n# perf script --show-lost-events\n")), "text")
	for used, err := p.Next(assemble.New(assemble.Options{}).Record()); err == nil; used, err = p.Next(assemble.New(assemble.Options{}).Record()) {
		if used {
			t.Fatal("a comment makes a row")
		}
	}
	if !p.LostShown {
		t.Error("losses were asked for, and the text does not say so")
	}
}

// perf script -F with pid and without tid prints the processes where the threads would be.
func TestProcessesInPlaceOfThreads(t *testing.T) {
	fork := func(header, own int) string {
		return fmt.Sprintf("app %d [000] 5.000000001: sched:sched_process_fork: comm=app pid=%d child_comm=app child_pid=30\n", header, own)
	}
	exit := func(comm string, header, own int) string {
		return fmt.Sprintf("%s %d [000] 5.000000002: sched:sched_process_exit: comm=%[1]s pid=%[3]d prio=120 group_dead=false\n", comm, header, own)
	}
	for _, c := range []struct {
		name, text string
		bad        bool
	}{
		{"threads", fork(20, 20) + exit("app", 30, 30) + exit("app", 20, 20), false},
		{"a thread of the process ends", fork(20, 20) + exit("app", 20, 30), true},
		{"a thread of the process forks", fork(20, 25) + exit("app", 20, 20), true},
		{"ids of a container", fork(2, 20) + exit("app", 3, 30) + exit("app", 2, 20), false},
		{"both ids", strings.ReplaceAll(fork(20, 20)+exit("app", 20, 30), "app 20 ", "app 20/30 "), false},
		{"a thread's name", fork(20, 20) + exit("a pid=30", 20, 20), false},
	} {
		p := New(bufio.NewReader(strings.NewReader(c.text)), "file")
		a := assemble.New(assemble.Options{})
		var err error
		for err == nil {
			_, err = p.Next(a.Record())
		}
		if errors.Is(err, ErrPrinted) != c.bad || !c.bad && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
