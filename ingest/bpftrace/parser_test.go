package bpftrace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/traces"
)

// bufferBytes bounds lines in tests.
const bufferBytes = 1 << 12

// parse returns a line of text for each record, and the bad lines.
func parse(p *Parser) (rows []string, bad []error) {
	for {
		var r assemble.Record
		used, err := p.Next(&r)
		if errors.Is(err, io.EOF) {
			return rows, bad
		}
		if err != nil {
			bad = append(bad, err)
		} else if used {
			rows = append(rows, fmt.Sprintf("%d %s", r.Phase, traces.FormatText(&r.Event)))
		}
	}
}

func parseText(text string, format *Format) (*Parser, []string, []error) {
	p := New(bufio.NewReaderSize(strings.NewReader(text), bufferBytes), "out.txt", format)
	rows, bad := parse(p)
	return p, rows, bad
}

// asJSON is text as bpftrace -f json prints it, one document for each line, or for
// the lines of a stack.
func asJSON(text string) string {
	var b strings.Builder
	for _, line := range strings.SplitAfter(strings.ReplaceAll(text, "\n\t", "\x00"), "\n") {
		if line == "" {
			continue
		}
		data, _ := json.Marshal(strings.ReplaceAll(line, "\x00", "\n\t"))
		fmt.Fprintf(&b, "{\"type\": \"printf\", \"data\": %s}\n", data)
	}
	return b.String()
}

const sample = `replay1 script clock=boottime
replay1 mmap_lock:mmap_lock_start_locking 100 0 10 11 mm=0xffff888199d45dc0 write=0 comm=a b=c
	ffffffff815de08b __mmap_lock_do_trace_start_locking+75
	ffffffff815f5436 find_active_uprobe_rcu+230
	55d0c0de1139 probed+0 (/bin/app of mine)
	55d0c0de1140 0x55d0c0de1140 ([unknown])
replay1 mmap_lock:mmap_lock_acquire_returned 110 0 10 11 mm=0xffff888199d45dc0 write=0 success=0 comm=a
replay1 mmap_lock:mmap_lock_released 120 0 10 11 mm=0xffff888199d45dc0 write=0 comm=a
replay1 hit 130 0 10 11 addr=0x55d0c0de1139 probe=app:f path=/bin/app of mine comm=a comm
replay1 ret 140 0 10 11 probe=app:f_return path=/bin/app comm=
replay1 syscalls:sys_enter_mmap 150 1 10 12 addr=0x0 len=0x2000 prot=0x3 flags=0x22 fd=0xffffffffffffffff off=0x1000 comm=a
replay1 syscalls:sys_exit_mmap 160 1 10 12 ret=139650000000000 comm=a
replay1 syscalls:sys_enter_munmap 170 1 10 12 addr=0x1000 len=0x2000 comm=a
replay1 syscalls:sys_exit_munmap 180 1 10 12 ret=-22 comm=a
replay1 syscalls:sys_enter_mprotect 190 1 10 12 start=0x1000 len=0x2000 prot=0x1 comm=a
replay1 syscalls:sys_enter_mremap 190 1 10 12 addr=0x1000 old_len=0x2000 new_len=0x3000 flags=0x1 new_addr=0x0 comm=a
replay1 syscalls:sys_enter_brk 190 1 10 12 brk=0x1000 comm=a
replay1 syscalls:sys_enter_madvise 190 1 10 12 start=0x1000 len_in=0x2000 behavior=0x4 comm=a
replay1 sched:sched_process_fork 200 1 10 12 child_pid=13 flags=0x10f00 comm=a
replay1 sched:sched_process_exec 210 1 13 13 path=/usr/bin/a b comm=a b
replay1 sched:sched_process_exit 220 1 13 13 comm=a
replay1 mapped 230 13 7f0000001000-7f0000002000 r-xp 00001000 fe:00 325835                     /usr/lib/a library.so
`

func TestSample(t *testing.T) {
	p, rows, bad := parseText(sample, nil)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	golden(t, "sample.txt", strings.Join(rows, "\n")+"\n")
	if p.Clock() != "boottime" {
		t.Errorf("clock %q", p.Clock())
	}
}

// JSON has the same rows, and the number of a document for that of a line.
func TestJSONEqualsText(t *testing.T) {
	_, want, _ := parseText(sample, nil)
	p := NewJSON(bufio.NewReaderSize(strings.NewReader(asJSON(sample)), bufferBytes), "out.json", nil)
	got, bad := parse(p)
	if len(bad) > 0 || len(got) != len(want) {
		t.Fatalf("%d rows, want %d; %v", len(got), len(want), bad)
	}
	for i := range want {
		w, _, _ := strings.Cut(want[i], " src_pos=")
		if g, _, _ := strings.Cut(got[i], " src_pos="); g != w {
			t.Errorf("row %d:\njson %s\ntext %s", i, g, w)
		}
	}
}

const hit = "replay1 hit 130 0 10 11 addr=0x1139 probe=app:f path=/bin/app comm=a\n"

func TestMessages(t *testing.T) {
	tests := []struct {
		name, text string
		rows       int
		lost       string // the losses in order
	}{
		{"a header", "ERROR: no limit\nx.bt:1:2: WARNING: odd\n  quoted source\n  ~~~\nAttaching 3 probes...\n" + hit, 1, ""},
		{"of late", "Attached 1 probe\n" + hit + "\n\n", 1, ""},
		{"a loss in place", hit + "Lost 5 events\n" + hit, 3, "5"},
		{"a loss in a line", hit[:20] + "Lost 5 events\n" + hit[20:] + hit, 3, "5"},
		{"two losses in a line", hit[:20] + "Lost 5 events\nLost 6 events\n" + hit[20:] + hit, 4, "5 6"},
		{"a loss in the last line", hit + hit[:len(hit)-8] + "Lost 5 events\n", 3, "5"},
		{"a name like a loss", hit[:len(hit)-2] + "Lost 5 events\n" + hit, 2, ""},
		{"a name like a loss at the end", hit + hit[:len(hit)-2] + "Lost 5 events\n", 2, ""},
		{"a loss before the name ends", hit[:len(hit)-1] + "Lost 5 events\nb\n" + hit, 3, "5"},
		{"a loss in a stack", hit + "\tffffffff815de08b a+1\nLost 7 events\n\tffffffff815de08b b+1\n" + hit, 3, "7"},
		{"maps", hit + "@in[10]: 1\n@: 2\n", 1, ""},
		{"from a terminal", hit + "^C\n\n@: 2\n", 1, ""},
		{"a last line without end", hit[:len(hit)-1], 1, ""},
		{"returns", strings.ReplaceAll(hit, "\n", "\r\n"), 1, ""},
	}
	for _, test := range tests {
		_, rows, bad := parseText(test.text, nil)
		var lost []string
		for _, row := range rows {
			if _, n, ok := strings.Cut(row, "0 0 lost seq=0 ret="); ok {
				n, _, _ = strings.Cut(n, " ")
				lost = append(lost, n)
			}
		}
		if len(bad) > 0 || len(rows) != test.rows || strings.Join(lost, " ") != test.lost {
			t.Errorf("%s: %d rows, want %d; lost %q, want %q; %v\n%s", test.name, len(rows), test.rows, lost, test.lost, bad, strings.Join(rows, "\n"))
		}
	}
}

func TestStacks(t *testing.T) {
	const bpftraceMode = "5 7\n        find_active_uprobe_rcu+230\n        asm_exc_int3+22\n\n5 7\n"
	f, err := ParseFormat([]byte(`{kind: lock_start, line: '^ *(?P<time_ns>\d+) (?P<tid>\d+)$'}`), "spec")
	if err != nil {
		t.Fatal(err)
	}
	_, rows, bad := parseText(bpftraceMode, f)
	if len(bad) > 0 || len(rows) != 2 || !strings.Contains(rows[0], `stack=["find_active_uprobe_rcu+0xe6 ([unknown])","asm_exc_int3+0x16 ([unknown])"]`) || strings.Contains(rows[1], "stack") {
		t.Errorf("%q %v", rows, bad)
	}
	var r assemble.Record
	p := New(bufio.NewReader(strings.NewReader(sample)), "out.txt", nil)
	for r.Kind != traces.LockStart {
		if _, err := p.Next(&r); err != nil {
			t.Fatal(err)
		}
	}
	if r.UserIP != 0x55d0c0de1139 {
		t.Errorf("the user was at %#x", r.UserIP)
	}
	if len(r.Stack) != 4 || len(r.Chain) != 0 {
		t.Errorf("a stack with names, %q, is to be named once more from %x", r.Stack, r.Chain)
	}
	// Stacks are told apart by their frames, not by the letters of all of them.
	_, rows, bad = parseText("5 7\n        a+1\n        b+23\n\n6 7\n        a+1b+2\n        3\n\n", f)
	if len(bad) > 0 || len(rows) != 2 || !strings.Contains(rows[0], `"b+0x17 ([unknown])"]`) || strings.Contains(rows[1], `"b+0x17 ([unknown])"]`) {
		t.Errorf("%q %v", rows, bad)
	}
	_, rows, bad = parseText("5 7\n         6 7\n", f)
	if len(bad) > 0 || len(rows) != 2 {
		t.Errorf("an event that is padded: %q %v", rows, bad)
	}
}

func TestDocuments(t *testing.T) {
	printed := asJSON(hit)
	tests := []struct {
		name, text string
		rows, bad  int
		unused     int64
	}{
		{"data.events", `{"type": "lost_events", "data": {"events": 5}}` + "\n" + printed, 2, 0, 0},
		{"count", `{"type":"lost_events", "count":5}` + "\n" + printed, 2, 0, 0},
		{"both", `{"type": "lost_events", "data": {"events": 5}, "count": 5}` + "\n" + printed, 2, 0, 0},
		{"probes", `{"type": "attached_probes", "data": {"probes": 3}}` + "\n" + `{"type":"attached_probes", "count":3}` + "\n" + printed, 1, 0, 0},
		{"others", printed + `{"type": "map", "data": {"@in": {"1": 1}}}` + "\n" + `{"type": "time", "data": "\n"}` + "\n", 1, 0, 1},
		{"unquoted", printed + `{"type": "value", "data": [1, a]}` + "\n", 1, 0, 1},
		{"an unquoted line", `{"type": "printf", "data": ` + hit[:len(hit)-1] + "}\n", 1, 0, 0},
		{"a line in pieces", strings.ReplaceAll(printed, "addr", `"}`+"\n"+`{"type": "printf", "data": "addr`), 1, 0, 0},
		{"two lines in one", asJSON(hit[:len(hit)-1] + "\\n" + hit)[:0] + strings.Replace(printed, `\n"}`, `\n`+hit[:len(hit)-1]+`\n"}`, 1), 2, 0, 0},
		{"no end of line", strings.Replace(printed, `\n"}`, `"}`, 1), 1, 0, 0},
		{"in front", "replay1 machine cpus=2 arch=x86_64 kernel=6.18\n" + printed, 1, 0, 0},
		{"an error", `{"type": "helper_error", "msg": "no", "helper": "x", "retcode": -2}` + "\n" + printed, 1, 0, 1},
		{"cut short", printed + printed[:30], 1, 1, 0},
		{"no type", printed + "{\"a\": 1}\n" + printed, 2, 1, 0},
		{"of the program", printed + "hello\n" + printed, 2, 1, 0},
		{"bad count", printed + `{"type": "lost_events", "data": {"events": -1}}` + "\n" + printed, 2, 1, 0},
		{"bad data", printed + `{"type": "printf", "data": 1}` + "\n" + printed, 2, 1, 0},
	}
	for _, test := range tests {
		p := NewJSON(bufio.NewReaderSize(strings.NewReader(test.text), bufferBytes), "out.json", nil)
		rows, bad := parse(p)
		unused := int64(0)
		for _, n := range p.Unused {
			unused += n
		}
		if len(rows) != test.rows || len(bad) != test.bad || unused != test.unused {
			t.Errorf("%s: %d rows, want %d; %d of no use, want %d; bad %v, want %d\n%s", test.name, len(rows), test.rows, unused, test.unused, bad, test.bad, test.text)
		}
		for _, err := range bad {
			if !errors.Is(err, lines.ErrLine) || !strings.Contains(err.Error(), "out.json:") {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
}

func TestBadEvents(t *testing.T) {
	tests := []struct{ text, says string }{
		{"hello", "keep a program's own output apart"},
		{"replay1 hit 1 2 3 addr=0x1", "four numbers"},
		{"replay1 hit 1 70000 3 4 probe=a:b comm=x", "a CPU below"},
		{"replay1 hit 1 0 3000000000 4 probe=a:b comm=x", "ids of a process"},
		{"replay1 hit 9223372036854775807 0 3 4 probe=a:b comm=x", "a time"},
		{"replay1 hit 1 0 3 4 addr=0x1 comm=x", "probe="},
		{"replay1 hit 1 0 3 4 addr=zz probe=a:b comm=x", "a number in addr"},
		{"replay1 hit 1 0 3 4 addr", "NAME=VALUE"},
		{"replay1 sched:sched_switch 1 0 3 4 comm=x", "a tracepoint that a row is made of"},
		{"replay1 syscalls:sys_enter_munmap 1 0 3 4 addr=0x1 comm=x", "all fields"},
		{"replay1 script clock=wall", "clock=boottime or monotonic"},
		{"replay1 clock boottime=1 monotonic=2", "is not less"},
		{"replay1 machine cpus=x", "cpus=N"},
		{"replay1 maps 1 2-1 r-xp 0 0:0 0", "PID START-END"},
		{"replay1 maps 1 1000-2000 r-x 0 0:0 0", "PID START-END"},
		{"replay1 " + strings.Repeat("x", bufferBytes), "a line of at most"},
	}
	for _, test := range tests {
		_, rows, bad := parseText(hit+test.text+"\n"+hit, nil)
		if len(rows) != 2 || len(bad) != 1 || !strings.Contains(bad[0].Error(), test.says) || !strings.HasPrefix(bad[0].Error(), "out.txt:2: bad line: ") {
			t.Errorf("%.60s: %d rows, %v; want one error with %q", test.text, len(rows), bad, test.says)
		}
	}
}

// Times of CLOCK_BOOTTIME are put on CLOCK_MONOTONIC where it is known how far they
// are apart.
func TestClocks(t *testing.T) {
	tests := []struct{ text, clock, time string }{
		{hit, "", "130"},
		{"replay1 script clock=boottime\n" + hit, "boottime", "130"},
		{"replay1 clock boottime=1100 monotonic=1000\nreplay1 script clock=boottime\n" + hit, "monotonic", "30"},
		{"replay1 clock boottime=1100 monotonic=1000\nreplay1 script clock=monotonic\n" + hit, "monotonic", "130"},
	}
	for _, test := range tests {
		p, rows, bad := parseText(test.text, nil)
		if len(bad) > 0 || len(rows) != 1 || p.Clock() != test.clock || !strings.HasPrefix(rows[0], "0 "+test.time+" hit") {
			t.Errorf("%s: clock %q, %q, %v", test.text, p.Clock(), rows, bad)
		}
	}
}

func TestSnapshotIsRead(t *testing.T) {
	var b strings.Builder
	if err := Snapshot(&b, os.Getpid(), 1<<30); err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	p, rows, bad := parseText(b.String(), nil)
	if len(bad) > 0 || len(rows) == 0 || p.Machine.CPUs == 0 || p.Machine.Arch == "" || p.Machine.Kernel == "" || p.mono == 0 {
		t.Errorf("%d rows, %+v, %v", len(rows), p.Machine, bad)
	}
	_, rows, bad = parseText("replay1 maps 7 7f0000001000-7f0000003000 r-xs 00002000 fe:01 326269                     /usr/lib/a b.so\n", nil)
	const want = "0 0 map seq=0 pid=7 tid=7 addr=0x7f0000001000 len=0x2000 pgoff=0x2000 prot=5 flags=1 dev_major=254 dev_minor=1 inode=326269 path=\"/usr/lib/a b.so\""
	if len(bad) > 0 || len(rows) != 1 || !strings.HasPrefix(rows[0], want) {
		t.Errorf("%q %v\nwant %s", rows, bad, want)
	}
	_, rows, bad = parseText("replay1 maps 7 7f0000001000-7f0000003000 rw-p 00000000 00:00 0 \n", nil)
	const anonymous = "0 0 map seq=0 pid=7 tid=7 addr=0x7f0000001000 len=0x2000 pgoff=0x0 prot=3 flags=2 src_pos=1"
	if len(bad) > 0 || len(rows) != 1 || rows[0] != anonymous {
		t.Errorf("%q %v\nwant %s", rows, bad, anonymous)
	}
	if err := Snapshot(io.Discard, 1<<30); err == nil {
		t.Error("no error for a process that is not there")
	}
}

func TestStderr(t *testing.T) {
	s, err := ReadStderr(bufio.NewReader(strings.NewReader("Attaching 2 probes...\nERROR: x\nLost 5 events\n\nLost 37 events\n")), "err.txt")
	if err != nil || s.Lost != 42 || len(s.Said) != 1 || s.Said[0] != "ERROR: x" {
		t.Errorf("%+v, %v", s, err)
	}
	huge := strings.Repeat("Lost 999999999999999999 events\n", 20)
	if s, err := ReadStderr(bufio.NewReader(strings.NewReader(huge)), "err.txt"); s != nil || !errors.Is(err, lines.ErrLine) {
		t.Errorf("%+v, %v", s, err)
	}
}

// The total that is said at the end has all before it in it.
func TestTotalIsOfAll(t *testing.T) {
	const text = hit + "Total lost event count: 5\nWARNING: Total lost event count: 7\nTotal lost event count: 6\n"
	if p, _, bad := parseText(text, nil); p.TotalLost != 7 || !p.LossesHere || len(bad) > 0 {
		t.Errorf("lost %d, %v", p.TotalLost, bad)
	}
	for text, here := range map[string]bool{hit: false, hit + "Lost 5 events\n": true, "Attaching 2 probes...\n" + hit: true} {
		if p, _, _ := parseText(text, nil); p.LossesHere != here {
			t.Errorf("%q: losses are told of: %v", text, !here)
		}
	}
}

func BenchmarkParser(b *testing.B) {
	text := strings.Repeat(sample, 1000)
	for name, in := range map[string]struct {
		text string
		make func(*bufio.Reader, string, *Format) *Parser
	}{"text": {text, New}, "json": {asJSON(text), NewJSON}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in.text)))
			records := 0
			for b.Loop() {
				p := in.make(bufio.NewReaderSize(strings.NewReader(in.text), 1<<16), "out", nil)
				for {
					var r assemble.Record
					if _, err := p.Next(&r); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						b.Fatal(err)
					}
					records++
				}
			}
			b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// Names of threads and paths may hold anything: where names have a width, that says
// where they end. Older scripts print them as long as they are.
func TestNames(t *testing.T) {
	const script = "replay1 script clock=boottime comm=15\n"
	pad := func(name string) string { return fmt.Sprintf("%-15s", name) }
	for _, test := range []struct{ comm, path string }{
		{"app", "/bin/app"}, {"a\nb", "/bin/app"}, {"a comm=z", "/bin/a comm=b"}, {"\n\n\n", "/bin/app"},
		{"replay1 hit 1 2", "/bin/a\nreplay1 b"}, {"a\n\tb", "/x"}, {"123456789012345", "/bin/app"}, {"", ""}, {"Lost 12 events", "/x"},
	} {
		line := func(comm string) string {
			return "replay1 hit 10 1 20 21 addr=0x401136 probe=app:f path=" + test.path + " comm=" + comm
		}
		text := script + line(pad(test.comm)) + "\n\t401136 f+4 (/bin/app)\n" + line(pad("next")) + "\n"
		for kind, in := range map[string]string{"text": text, "JSON": asJSON(script) + asJSON(line(pad(test.comm))+"\n\t401136 f+4 (/bin/app)\n") + asJSON(line(pad("next"))+"\n")} {
			p := New(bufio.NewReader(strings.NewReader(in)), "in", nil)
			if kind == "JSON" {
				p = NewJSON(bufio.NewReader(strings.NewReader(in)), "in", nil)
			}
			var got []string
			for {
				var r assemble.Record
				used, err := p.Next(&r)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s %q: %v", kind, test.comm, err)
				}
				if used {
					got = append(got, r.Comm, r.Path, fmt.Sprint(len(r.Stack)))
				}
			}
			if want := []string{test.comm, test.path, "1", "next", test.path, "0"}; !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", kind, got, want)
			}
		}
	}
}

// A name that never ends is an error, not the end of the program.
func TestNameWithoutEnd(t *testing.T) {
	in := "replay1 script clock=boottime comm=15\nreplay1 hit 10 1 20 21 probe=a:b path=/x comm=short\n"
	p := New(bufio.NewReader(strings.NewReader(in)), "in", nil)
	var r assemble.Record
	p.Next(&r)
	if used, err := p.Next(&r); used || err == nil || !strings.Contains(err.Error(), "comm= and 15 bytes") {
		t.Errorf("%v, %v", used, err)
	}
}

// The script says what it records, and who killed it that not all was printed.
func TestRecorded(t *testing.T) {
	p := New(bufio.NewReader(strings.NewReader("replay1 recorded hit munmap hit\nreplay1 killed\nreplay1 recorded nothing\n")), "in", nil)
	var r assemble.Record
	for range 2 {
		if used, err := p.Next(&r); used || err != nil {
			t.Fatal(used, err)
		}
	}
	if !slices.Equal(p.Recorded, []string{"hit", "munmap"}) || !p.Killed {
		t.Errorf("%q, killed %v", p.Recorded, p.Killed)
	}
	if _, err := p.Next(&r); err == nil {
		t.Error("a kind that is none")
	}
}
