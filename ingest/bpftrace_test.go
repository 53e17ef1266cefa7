package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replay/replay/ingest/bpftrace"
	"github.com/replay/replay/traces"
)

const bpftraceText = "testdata/churn.bpftrace.txt"

// countKinds counts rows by kind, and by what tells the program's own from the C
// library's.
func countKinds(events []traces.Event, length uint64) map[string]int {
	n := map[string]int{}
	for i := range events {
		ev := &events[i]
		n[ev.Kind.String()]++
		if ev.Kind.IsSyscall() && ev.Len == length && ev.Got(traces.ColDur) && ev.Ret != -1 {
			n[ev.Kind.String()+" of its own"]++
		}
		if ev.InUprobe {
			n["in_uprobe"]++
		}
	}
	return n
}

// What the recorded program counted itself: 692 hits, 28 mmaps and munmaps. Each of
// the mmaps, whose lock the kernel held for long, met a hit.
func TestBpftraceText(t *testing.T) {
	events, meta := read(t, bpftraceText, Options{})
	checkOrder(t, events)
	n := countKinds(events, 65536)
	for name, want := range map[string]int{"hit": 692, "mmap of its own": 28, "munmap of its own": 28, "in_uprobe": 28, "lost": 0, "exec": 1} {
		if n[name] != want {
			t.Errorf("%d rows %s, want %d", n[name], name, want)
		}
	}
	if meta.Clock != "monotonic" || meta.Lost != 0 || meta.CPUs != 2 || meta.Kernel != "6.18.44" || meta.Arch != "x86_64" || meta.Sources[0].Format != "bpftrace" {
		t.Errorf("%+v", meta)
	}
	for i := range events {
		if ev := &events[i]; ev.Kind == traces.Hit && (ev.Path != "/opt/churn" || ev.Probe != "replay:probe_nop" || ev.Addr == 0 || !ev.Got(traces.ColCPU|traces.ColPID|traces.ColTID|traces.ColComm)) {
			t.Fatalf("%s", traces.FormatText(ev))
		}
	}
}

// Frames that bpftrace did not name are named by the mappings that were put before
// them while it printed, those of this very program.
func TestBpftraceFrames(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pid, code := os.Getpid(), reflect.ValueOf(TestBpftraceFrames).Pointer()
	printed := fmt.Sprintf(`replay1 script clock=boottime
replay1 sched:sched_process_exec 100 0 %[1]d %[1]d path=/bin/app comm=app
replay1 hit 120 0 %[1]d %[1]d addr=0x%[2]x probe=app:f path=/bin/app comm=app
	%[2]x 0x%[2]x ([unknown])
	10 0x10 ([unknown])
`, pid, code)
	var b strings.Builder
	if err := bpftrace.Follow(&b, strings.NewReader(toJSON(t, printed)), func() {}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	events, _ := read(t, writeFile(t, "out.json", b.String()), Options{})
	for i := range events {
		ev := &events[i]
		if ev.Kind != traces.Hit {
			continue
		}
		if len(ev.Stack) != 2 || !strings.HasSuffix(ev.Stack[0], " ("+exe+")") || ev.Stack[1] != "0x10 ([unknown])" {
			t.Errorf("%q", ev.Stack)
		}
		return
	}
	t.Error("no hit")
}

// toJSON makes of a text what bpftrace -f json prints for it.
func toJSON(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(text, "\n\t", "\x00")) {
		if strings.HasPrefix(line, "Attaching") {
			b.WriteString(`{"type": "attached_probes", "data": {"probes": 22}}` + "\n")
			continue
		}
		data, err := json.Marshal(strings.ReplaceAll(line, "\x00", "\n\t"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "{\"type\": \"printf\", \"data\": %s}\n", data)
	}
	return b.String()
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readString(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The same recording as JSON, and on standard input, gives the same rows.
func TestBpftraceJSON(t *testing.T) {
	text := readString(t, bpftraceText)
	want, _ := read(t, bpftraceText, Options{})
	asJSON := toJSON(t, text)
	got, meta := read(t, writeFile(t, "out.json", asJSON), Options{})
	piped, _ := read(t, "-", Options{Stdin: strings.NewReader(asJSON)})
	if meta.Sources[0].Format != "bpftrace-json" || meta.Clock != "monotonic" {
		t.Errorf("%+v", meta)
	}
	for _, events := range [][]traces.Event{got, piped} {
		if len(events) != len(want) {
			t.Fatalf("%d rows, want %d", len(events), len(want))
		}
		for i := range want {
			w, g := want[i], events[i]
			w.SrcPos, g.SrcPos = 0, 0
			if w, g := traces.FormatText(&w), traces.FormatText(&g); w != g {
				t.Fatalf("row %d:\njson %s\ntext %s", i, g, w)
			}
		}
	}
}

// eventLine is a line of a thread on a CPU.
func eventLine(name string, ns int64, cpu, tid int, fields string) string {
	return fmt.Sprintf("replay1 %s %d %d 10 %d %s comm=a\n", name, ns, cpu, tid, fields)
}

func hitLine(ns int64, cpu int) string {
	return eventLine("hit", ns, cpu, 11+cpu, "addr=0x401136 probe=app:f path=/bin/app")
}

// Lines in any order within the window are sorted, and how far they were is told.
func TestBpftraceOrder(t *testing.T) {
	var text strings.Builder
	text.WriteString("Attaching 1 probe...\n")
	for block := range 50 {
		for cpu := 3; cpu >= 0; cpu-- {
			for i := range 500 {
				text.WriteString(hitLine(int64(block)*100_000_000+int64(i)*200_000+int64(cpu), cpu))
			}
		}
	}
	events, meta := read(t, writeFile(t, "out.txt", text.String()), Options{})
	checkOrder(t, events)
	if len(events) != 100_000 {
		t.Errorf("%d rows", len(events))
	}
	if !slices.ContainsFunc(meta.Warnings, func(w string) bool { return contains(w, "out of order, by up to 99.8", "ms") }) || len(meta.Warnings) != 1 {
		t.Errorf("%q", meta.Warnings)
	}
}

// A loss covers the time since the CPU that was longest silent was heard of, up to
// the next event.
func TestBpftraceLoss(t *testing.T) {
	text := hitLine(100, 0) + hitLine(300, 1) + hitLine(200, 0) + "Lost 5 events\nLost 2 events\n" + hitLine(500, 1) + hitLine(600, 0) + "Lost 1 events\n"
	want := map[int64][2]int64{7: {500, 300}, 1: {600, 100}}
	for name, input := range map[string]string{
		"out.txt":  text,
		"out.json": strings.ReplaceAll(strings.ReplaceAll(toJSON(t, text), `{"type": "printf", "data": "Lost 5 events\n"}`, `{"type": "lost_events", "data": {"events": 5}}`), `{"type": "printf", "data": "Lost 2 events\n"}`, `{"type":"lost_events", "count":2}`),
	} {
		events, meta := read(t, writeFile(t, name, input), Options{})
		seen := 0
		for _, ev := range events {
			if ev.Kind != traces.Lost {
				continue
			}
			seen++
			if w := want[ev.Ret]; ev.Time != w[0] || ev.Dur != w[1] {
				t.Errorf("%s: %s, want time and duration %d", name, traces.FormatText(&ev), w)
			}
		}
		if seen != 2 || meta.Lost != 8 || len(events) != 7 {
			t.Errorf("%s: %d losses, %+v", name, seen, meta)
		}
	}
}

// Losses on standard error may be anywhere.
func TestBpftraceStderr(t *testing.T) {
	out := writeFile(t, "out.txt", hitLine(100, 0)+hitLine(300, 1))
	stderr := writeFile(t, "err.txt", "Attaching 1 probe...\nLost 5 events\nLost 6 events\nERROR: odd\n")
	events, meta := read(t, out, Options{Stderr: stderr})
	last := events[len(events)-1]
	if len(events) != 3 || meta.Lost != 11 || last.Kind != traces.Lost && events[1].Kind != traces.Lost {
		t.Errorf("%+v, %+v", events, meta)
	}
	for _, ev := range events {
		if ev.Kind == traces.Lost && (ev.Ret != 11 || ev.Time != 300 || ev.Dur != 200) {
			t.Errorf("%s", traces.FormatText(&ev))
		}
	}
	if all := strings.Join(meta.Warnings, "\n"); !contains(all, "nowhere is the trace known to be whole", "bpftrace said: ERROR: odd") {
		t.Errorf("%s", all)
	}
	for says, err := range map[string]error{
		"does not go with": second(tryRead("testdata/churn.perf.data", Options{Stderr: stderr})),
		"of one input":     openError([]string{out, out}, Options{Stderr: stderr}),
		"no such file":     second(tryRead(out, Options{Stderr: out + ".missing"})),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func second(_ []traces.Event, _ traces.Meta, err error) error { return err }

func openError(paths []string, o Options) error {
	s, err := Open(context.Background(), paths, o)
	if err == nil {
		s.Close()
	}
	return err
}

// The first hit in a mapping names its file, in a row before the hit; so does a
// snapshot.
func TestBpftraceFiles(t *testing.T) {
	const start = "7f0000001000"
	mapped := eventLine("syscalls:sys_enter_mmap", 100, 0, 11, "addr=0x0 len=0x2000 prot=0x5 flags=0x2 fd=0x3 off=0x1000") +
		eventLine("syscalls:sys_exit_mmap", 110, 0, 11, "ret=139637976731648")
	inside := eventLine("hit", 200, 1, 12, "addr=0x7f0000001136 probe=lib:f path=/lib/a b.so")
	events, _ := read(t, writeFile(t, "out.txt", inside+mapped+strings.ReplaceAll(inside, " 200 ", " 300 ")), Options{})
	checkOrder(t, events)
	if len(events) != 4 || events[1].Kind != traces.Map || events[2].Kind != traces.Hit {
		t.Fatalf("%+v", events)
	}
	if m := events[1]; m.Time != 200 || m.CPU != 1 || m.Addr != 0x7f0000001000 || m.Len != 0x2000 || m.Pgoff != 0x1000 || m.Prot != 5 || m.Path != "/lib/a b.so" || m.PID != 10 || m.Got(traces.ColDur) {
		t.Errorf("%s", traces.FormatText(&m))
	}
	gone := mapped + eventLine("syscalls:sys_enter_munmap", 120, 0, 11, "addr=0x"+start+" len=0x1000") + eventLine("syscalls:sys_exit_munmap", 130, 0, 11, "ret=0") + inside
	child := mapped + eventLine("sched:sched_process_fork", 120, 0, 11, "child_pid=20 flags=0x0") + inside + strings.ReplaceAll(inside, " 10 12 ", " 20 20 ")
	snapshot := "replay1 maps 10 " + start + "-7f0000003000 r-xp 00001000 fe:00 77   /lib/a b.so\n" + inside
	for name, test := range map[string]struct {
		text string
		maps int
	}{"unmapped": {gone, 0}, "child": {child, 2}, "snapshot": {snapshot, 1}} {
		events, _ := read(t, writeFile(t, "out.txt", test.text), Options{})
		checkOrder(t, events)
		if n := countKinds(events, 0)["map"]; n != test.maps {
			t.Errorf("%s: %d rows map, want %d", name, n, test.maps)
		}
		if name == "snapshot" && (events[0].Time != 200 || events[0].Inode != 77) {
			t.Errorf("%s", traces.FormatText(&events[0]))
		}
	}
}

// A bad line fails with its number, or is skipped and counted.
func TestBpftraceBadLine(t *testing.T) {
	path := writeFile(t, "out.txt", hitLine(100, 0)+"hits 1 of the program\n"+hitLine(200, 0))
	if _, _, err := tryRead(path, Options{}); err == nil || !contains(err.Error(), "out.txt:2: bad line", "bpftrace -o FILE") {
		t.Errorf("%v", err)
	}
	events, meta := read(t, path, Options{SkipBad: true})
	if len(events) != 2 || !slices.ContainsFunc(meta.Warnings, func(w string) bool { return contains(w, "1 bad lines were skipped", "out.txt:2:") }) {
		t.Errorf("%d rows, %q", len(events), meta.Warnings)
	}
	none := writeFile(t, "none.txt", strings.ReplaceAll(hitLine(100, 0), "hit 100", "sched:sched_process_exit 100"))
	if _, _, err := tryRead(none, Options{}); !errors.Is(err, ErrNoProbe) {
		t.Errorf("%v", err)
	}
}

// A text that ends within a line may lack more, and says so.
func TestBpftraceCut(t *testing.T) {
	whole := hitLine(100, 0) + hitLine(200, 0)
	for _, text := range []string{whole, toJSON(t, whole)} {
		for _, cut := range []int{0, 1} {
			events, meta := read(t, writeFile(t, "out", text[:len(text)-cut]), Options{})
			if told := slices.Contains(meta.Warnings, traces.CutWarning); len(events) != 2 || told != (cut > 0) {
				t.Errorf("%d bytes cut: %d rows, warned %v", cut, len(events), told)
			}
		}
	}
}

// Calls that began before time 0 do not collapse: all times are later.
func TestBpftraceBeforeZero(t *testing.T) {
	spec, err := bpftrace.ParseFormat([]byte(`{clock: elapsed, lines: [{kind: hit, probe: 'a:b', line: '^(?P<time_s>[\d.]+) (?P<pid>\d+) (?P<dur_us>[\d.]+)$'}]}`), "spec")
	if err != nil {
		t.Fatal(err)
	}
	late := strings.Repeat("9.000000 7 0.5\n", 2*sniffed/len("9.000000 7 0.5\n"))
	events, meta := read(t, writeFile(t, "out.txt", "0.000000 7 12.50\n0.000120 7 3.25\n"+late+"9.000000 7 9000100\n"), Options{Bpftrace: spec})
	if events[0].Time != 0 || events[1].Time != 129_250 {
		t.Errorf("%d, %d", events[0].Time, events[1].Time)
	}
	if all := strings.Join(meta.Warnings, "\n"); !contains(all, "up to 12.5µs before time 0", "1 events began before the trace does", "times have us only") {
		t.Errorf("%s", all)
	}
}

// Losses are known where bpftrace prints that it attached its probes, since it prints
// them there, too, or with what went to standard error.
func TestBpftraceLossesUnknown(t *testing.T) {
	err := writeFile(t, "err.txt", "Attached 1 probe\nLost 5 events\nWARNING: Total lost event count: 7\n")
	for _, test := range []struct {
		text, stderr string
		unknown      bool
		lost         int64
	}{
		{hitLine(100, 0), "", false, 0}, // a piece of a text
		{"replay1 script clock=boottime\n" + hitLine(100, 0), "", true, 0},
		{"replay1 script clock=boottime\n" + hitLine(100, 0), err, false, 7},
		{"Attaching 1 probe...\nreplay1 script clock=boottime\n" + hitLine(100, 0), "", false, 0},
		{"Attaching 1 probe...\n" + hitLine(100, 0), "", false, 0},
		{"Attached 2 probes\n" + hitLine(100, 0), "", false, 0},
		{hitLine(100, 0) + "Lost 3 events\n" + hitLine(200, 0), "", false, 3},
		{hitLine(100, 0) + "Lost 3 events\n" + hitLine(200, 0), err, false, 8},
		{hitLine(100, 0) + "Lost 3 events\n" + hitLine(200, 0) + "WARNING: Total lost event count: 3\n", "", false, 3},
		{hitLine(100, 0) + "Lost 3 events\n" + hitLine(200, 0) + "Total lost event count: 9\n", "", false, 9},
		{toJSON(t, hitLine(100, 0)), "", false, 0},
	} {
		events, meta := read(t, writeFile(t, "out.txt", test.text), Options{Stderr: test.stderr})
		if (len(meta.Unknown) > 0) != test.unknown || meta.Lost != test.lost {
			t.Errorf("%q: %+v of %d rows", test.text, meta, len(events))
		}
		if warned := strings.Contains(strings.Join(meta.Warnings, ""), "the beginning is missing"); warned != (test.text == hitLine(100, 0)) {
			t.Errorf("%q: %q", test.text, meta.Warnings)
		}
		for _, u := range meta.Unknown {
			if u.What != traces.UnknownLosses || !strings.Contains(u.Remedy, "--stderr") {
				t.Errorf("%+v", u)
			}
		}
	}
}

// A script says what it records, whether any comes or not.
func TestBpftraceRecorded(t *testing.T) {
	text := "Attaching 1 probe...\nreplay1 recorded hit mmap lock_start\n" + hitLine(100, 0) + "replay1 recorded hit munmap\n"
	if _, meta := read(t, writeFile(t, "out.txt", text), Options{}); !slices.Equal(meta.Recorded, []string{"hit", "mmap", "lock_start", "munmap"}) {
		t.Errorf("%q", meta.Recorded)
	}
	if _, meta := read(t, writeFile(t, "out.txt", hitLine(100, 0)), Options{}); meta.Recorded != nil {
		t.Errorf("%q", meta.Recorded)
	}
	if _, _, err := tryRead(writeFile(t, "out.txt", "replay1 recorded hit hop\n"+hitLine(100, 0)), Options{}); err == nil || !contains(err.Error(), "out.txt:1", "hop") {
		t.Error(err)
	}
}

// What is in an input without hits is told.
func TestBpftraceNoHits(t *testing.T) {
	text := `{"type": "attached_probes", "data": {"probes": 1}}` + "\n" + strings.Repeat(`{"type": "value", "data": [1000, 5, 5, "x"]}`+"\n", 2)
	if _, _, err := tryRead(writeFile(t, "out.json", text), Options{}); !errors.Is(err, ErrNoProbe) || !contains(err.Error(), "2 JSON documents of type value", "--bpftrace-format") {
		t.Error(err)
	}
}

// Inputs are merged when their clocks agree, which is known before they are read.
func TestBpftraceClocks(t *testing.T) {
	machine := "replay1 clock boottime=1100 monotonic=1000\nreplay1 script clock=boottime\n"
	mono := writeFile(t, "mono.txt", machine+hitLine(1300, 0))
	other := writeFile(t, "other.txt", "replay1 script clock=monotonic\n"+hitLine(250, 0))
	boot := writeFile(t, "boot.txt", hitLine(250, 0))
	if err := openError([]string{mono, other}, Options{}); err != nil {
		t.Error(err)
	}
	if err := openError([]string{mono, boot}, Options{}); !errors.Is(err, ErrClock) {
		t.Error(err)
	}
	events, _ := read(t, mono, Options{})
	if events[0].Time != 1200 {
		t.Errorf("%s", traces.FormatText(&events[0]))
	}
	spec, err := bpftrace.ParseFormat([]byte("clock: elapsed\nlines: [{kind: hit, probe: 'a:b', line: '(?P<time_ns>\\d+) (?P<tid>\\d+)'}]"), "spec")
	if err != nil {
		t.Fatal(err)
	}
	a, b := writeFile(t, "a.txt", "1 2\n"), writeFile(t, "b.txt", "1 3\n")
	if err := openError([]string{a, b}, Options{Bpftrace: spec}); !errors.Is(err, ErrClock) {
		t.Errorf("%v: two clocks that began with their recordings", err)
	}
}

// recordHeld runs a recorder with the id of a process that becomes the program once
// the recorder waits for events, and returns what the program prints.
func recordHeld(t *testing.T, bin string, recorder ...string) []byte {
	t.Helper()
	program := exec.Command("sh", "-c", `read go && exec "$0" 100`, bin)
	ahead, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	program.Stdout = &printed
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer program.Wait()
	defer ahead.Close()
	var said bytes.Buffer
	cmd := exec.Command(recorder[0], append(recorder[1:], fmt.Sprint(program.Process.Pid))...)
	cmd.Env = append(os.Environ(), "BPFTRACE_PERF_RB_PAGES=2048")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	untilWaits := func() { // with nothing left in its buffers
		for waits := false; !waits; {
			select {
			case err := <-ended:
				t.Skipf("%s does not work here: %v\n%s", recorder[0], err, &said)
			case <-time.After(20 * time.Millisecond):
			}
			where, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", cmd.Process.Pid))
			waits = bytes.Contains(where, []byte("ep_poll")) || bytes.Contains(where, []byte("epoll"))
		}
	}
	untilWaits()
	fmt.Fprintln(ahead, "go")
	if err := program.Wait(); err != nil {
		t.Error(err)
	}
	untilWaits()
	cmd.Process.Signal(os.Interrupt)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return printed.Bytes()
}

// A program counts its hits, mmaps and munmaps; what bpftrace records of it, as
// text and as JSON, are as many, and nothing of it stays behind.
func TestBpftraceLive(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: cannot record")
	}
	for _, tool := range []string{"bpftrace", "cc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "counts")
	if out, err := exec.Command("cc", "-O1", "-g", "-o", bin, "bpftrace/testdata/counts.c", "-lpthread").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	script, err := bpftrace.Script(bpftrace.Options{
		Command: true, Locks: true,
		Probes: []bpftrace.Probe{
			{Name: "counts:probed", Path: bin, Function: "probed"},
			{Name: "counts:probed_return", Path: bin, Function: "probed", Return: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			out := filepath.Join(dir, "out."+format)
			var printed []byte
			var events []traces.Event
			var meta traces.Meta
			for range 3 { // a busy machine may lose events
				printed = recordHeld(t, bin, "bpftrace", "-f", format, "-o", out, "-e", script)
				if events, meta = read(t, out, Options{}); meta.Lost == 0 {
					break
				}
			}
			var hits, maps int
			if _, err := fmt.Sscanf(string(printed), "hits %d maps %d", &hits, &maps); err != nil || hits != 2000 || maps != 400 {
				t.Fatalf("the program printed %q: %v", printed, err)
			}
			checkOrder(t, events)
			n := countKinds(events, 5*4096)
			for name, want := range map[string]int{
				"hit": hits, "ret": hits, "mmap of its own": maps, "munmap of its own": maps,
				"lost": 0, "fork": 4, "exec": 1, "exit": 5,
			} {
				if n[name] != want {
					t.Errorf("%d rows %s, want %d (%d lost)", n[name], name, want, meta.Lost)
				}
			}
			if n["lock_start"] == 0 || n["lock_acquired"] == 0 || n["lock_released"] == 0 {
				t.Errorf("no lock rows: %v", n)
			}
			for _, ev := range events {
				if ev.Kind == traces.LockStart && !ev.Got(traces.ColInUprobe|traces.ColStack) {
					t.Errorf("undecided: %s", traces.FormatText(&ev))
					break
				}
			}
			t.Logf("%d rows, %d lookups took the lock; %q", len(events), n["in_uprobe"], meta.Warnings)
		})
	}
	if left, err := os.ReadFile("/sys/kernel/tracing/uprobe_events"); err == nil && strings.Contains(string(left), bin) {
		t.Errorf("a probe is left: %s", left)
	}
}
