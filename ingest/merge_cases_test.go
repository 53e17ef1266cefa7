package ingest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

const (
	hitsText   = "app  4101/4101  [000]    50.000000100: probe_app:f: (401136)\n"
	enterText  = "app  4101/4102  [001]    50.000000200: syscalls:sys_enter_munmap: addr: 0x7f0000001000, len: 0x00002000\n"
	leaveText  = "app  4101/4102  [001]    50.000000300: syscalls:sys_exit_munmap: 0x0\n"
	moreText   = "app  4101/4101  [000]    50.000009000: probe_app:f: (401136)\n"
	lookupText = "app  4101/4101  [000]    50.000000010: mmap_lock:mmap_lock_start_locking: mm=0xffff888100069900 memcg_path=/ write=false\n" +
		"\tffffffff81000010 f1+0x10 ([kernel.kallsyms])\n\t401137 f+0x1 (/srv/app)\n\n" +
		"app  4101/4101  [000]    50.000000020: mmap_lock:mmap_lock_acquire_returned: mm=0xffff888100069900 memcg_path=/ write=false success=true\n" +
		"app  4101/4101  [000]    50.000000030: mmap_lock:mmap_lock_released: mm=0xffff888100069900 memcg_path=/ write=false\n"
	hitsBpftrace = "replay1 clock boottime=50000000000 monotonic=50000000000\n" +
		"replay1 hit 50000000100 0 4101 4101 addr=0x401136 probe=app:f path=/srv/app comm=app\n"
)

// One of the inputs needs a probe, not each; what one of them begins another may end.
func TestMergeKinds(t *testing.T) {
	const hit = "50000000100 hit 4101/4101"
	const munmap = "50000000200 munmap 4101/4102 ret=0 dur=100"
	for _, test := range []struct {
		name   string
		inputs []string
		want   []string
		warns  string // "" none but of clocks and losses
	}{
		{"hits and syscalls", []string{hitsText, enterText + leaveText}, []string{hit, munmap}, ""},
		{"in the other order", []string{enterText + leaveText, hitsText}, []string{hit, munmap}, ""},
		// perf script --per-event-dump.
		{"each event alone", []string{enterText, hitsText, leaveText}, []string{hit, munmap}, ""},
		{"one hit each", []string{hitsText, moreText}, []string{hit, "50000009000 hit 4101/4101"}, ""},
		{"a copy", []string{hitsText, hitsText}, []string{hit}, "has the same content as"},
		{"two recorders at once", []string{hitsText + enterText + leaveText, strings.ReplaceAll(enterText+leaveText, "00: sys", "77: sys")}, []string{hit, munmap}, "2 records are in two inputs"},
		// perf record --switch-output.
		{"one after the other", []string{hitsText + enterText + leaveText, strings.ReplaceAll(enterText+leaveText, "50.000000", "50.000007")}, []string{hit, munmap, "50000007200 munmap 4101/4102 ret=0 dur=100"}, ""},
		{"a file of what never came", []string{hitsText, "", enterText + leaveText}, []string{hit, munmap}, ""},
		{"all but one are such", []string{"", hitsText}, []string{hit}, "is empty and left out"},
		{"a lookup and its hit", []string{hitsText, lookupText}, []string{"50000000010 lock_start 4101/4101 in_uprobe=true", "50000000020 lock_acquired 4101/4101", "50000000030 lock_released 4101/4101", hit}, ""},
		{"perf's and bpftrace's", []string{hitsBpftrace, enterText + leaveText}, []string{hit, munmap}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			events, meta, err := readMerged(writeEach(t, test.inputs)...)
			if err != nil {
				t.Fatal(err)
			}
			checkOrder(t, events)
			var got []string
			for i := range events {
				got = append(got, brief(&events[i]))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			warned := strings.Join(meta.Warnings, "\n")
			if test.warns != "" && !contains(warned, test.warns) || test.warns == "" && contains(warned, "taken once") {
				t.Errorf("warnings %q, want one with %q", meta.Warnings, test.warns)
			}
		})
	}
}

// brief is what a row of a merge is told by.
func brief(ev *traces.Event) string {
	s := fmt.Sprintf("%d %s %d/%d", ev.Time, ev.Kind, ev.PID, ev.TID)
	if ev.InUprobe {
		s += " in_uprobe=true"
	}
	if ev.Got(traces.ColRet) {
		s += fmt.Sprintf(" ret=%d", ev.Ret)
	}
	if ev.Got(traces.ColDur) {
		s += fmt.Sprintf(" dur=%d", ev.Dur)
	}
	return s
}

func writeEach(t *testing.T, texts []string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i, text := range texts {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(paths[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// Without any probe, no input's lack of it is to blame alone.
func TestMergeWithoutProbe(t *testing.T) {
	paths := writeEach(t, []string{enterText, leaveText})
	if _, _, err := readMerged(paths...); !errors.Is(err, ErrNoProbe) || !contains(err.Error(), "at least one of them") {
		t.Error(err)
	}
}

// Where all inputs are empty, something went wrong.
func TestMergeOfNothing(t *testing.T) {
	if _, _, err := readMerged(writeEach(t, []string{"", ""})...); !errors.Is(err, ErrFormat) || !contains(err.Error(), "the file is empty") {
		t.Error(err)
	}
}

// What a recording of numbered syscalls cannot tell, another that names them does.
func TestMergeUnknown(t *testing.T) {
	const raw = "app  4101/4101  [000]    50.000000500: raw_syscalls:sys_enter: NR 11 (7f0000001000, 2000, 0, 0, 0, 0)\n"
	has := func(inputs ...string) bool {
		_, meta, err := readMerged(writeEach(t, inputs)...)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(meta.Unknown, func(u traces.Unknown) bool { return u.What == traces.UnknownWriters })
	}
	if !has(hitsText, raw) {
		t.Error("with hits: writers pass for known")
	}
	if has(hitsText+raw, enterText+leaveText) {
		t.Error("with syscalls: writers are unknown")
	}
}

// Recordings of the same threads made at once: both tell of mappings and forks.
func TestMergeRecordedKinds(t *testing.T) {
	_, meta, err := readMerged("testdata/perf/kprobe-beside.perf.data", "testdata/perf/dwarf-unnamed-kernel.perf.data")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"hit", "fork", "exec", "exit", "map", "lock_start", "lock_acquired", "lock_released", "lost"}; !slices.Equal(meta.Recorded, want) {
		t.Errorf("recorded %q, want %q", meta.Recorded, want)
	}
	if _, meta, err = readMerged(writeEach(t, []string{hitsText, enterText + leaveText})...); err != nil || meta.Recorded != nil {
		t.Errorf("text: recorded %q, %v", meta.Recorded, err)
	}
}

// Text that names threads alone is told by the other inputs whose they are.
func TestMergeTellsProcesses(t *testing.T) {
	const alone = "app  4102 [001]    50.000000400: probe_app:f: (401136)\n" +
		"app  4103 [001]    50.000000500: probe_app:f: (401136)\n" +
		"app  4999 [001]    50.000000600: probe_app:f: (401136)\n"
	const forks = "app  4101/4101  [000]    50.000000350: PERF_RECORD_FORK(4101:4103):(4101:4101)\n"
	events, _, err := readMerged(writeEach(t, []string{alone, enterText + leaveText + forks})...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range events {
		if ev := &events[i]; ev.Kind == traces.Hit {
			got = append(got, fmt.Sprint(ev.TID, " of ", ev.PID, " ", ev.Got(traces.ColPID)))
		}
	}
	if want := []string{"4102 of 4101 true", "4103 of 4101 true", "4999 of 0 false"}; !slices.Equal(got, want) {
		t.Errorf("hits of %q, want %q", got, want)
	}
}

// What recorders lost adds up, and of what each tells it is said which.
func TestMergeAddsLosses(t *testing.T) {
	text := func(lost int, rest string) string {
		return fmt.Sprintf("# replay-trace 1\n# clock perf\n# lost %d\n# warning \"of %[1]d\"\n# cpus %[1]d\n%s\n", lost, rest)
	}
	paths := writeEach(t, []string{
		text(5, "50000000400 hit cpu=0 pid=1 tid=1 addr=0x401136 probe=a:f\n50000000500 lost cpu=0 ret=5"), text(7, "50000000450 lost cpu=1 ret=7"),
		"app  4101/4101  [000]    50.000000480: PERF_RECORD_LOST lost 3\n" + hitsText,
	})
	events, meta, err := readMerged(paths...)
	if err != nil {
		t.Fatal(err)
	}
	var rows int64
	for i := range events {
		if events[i].Kind == traces.Lost {
			rows += events[i].Ret
		}
	}
	warnings := strings.Join(meta.Warnings, "\n")
	if meta.Lost != 15 || rows != 15 || meta.CPUs != 7 || !strings.Contains(warnings, paths[0]+": of 5") || !strings.Contains(warnings, paths[1]+": of 7") {
		t.Errorf("%d lost, rows of %d, %d CPUs, %q", meta.Lost, rows, meta.CPUs, meta.Warnings)
	}
}

// Of the totals that perf tells at the end, only what is beyond the losses in place is new.
func TestRestOfLosses(t *testing.T) {
	for _, test := range []struct{ seen, total, rest int64 }{{4, 10, 6}, {10, 10, 0}, {12, 10, 0}, {0, 3, 3}} {
		l := losses{seen: test.seen, total: test.total, newest: 100}
		r := &assemble.Record{}
		if told := l.rest(r); told != (test.rest > 0) || r.Ret != test.rest {
			t.Errorf("%+v: %d", test, r.Ret)
		}
	}
}

// A child process leads its own process, a thread is of its creator's, for whoever names
// threads alone.
func TestProcessesAcrossInputs(t *testing.T) {
	j := &joint{pids: map[int32]int32{}}
	for _, child := range []struct {
		tid   int64
		flags int32
		pid   int32
	}{{5, 0, 5}, {6, assemble.CloneThread, 1}} {
		r := &assemble.Record{}
		r.Kind, r.PID, r.TID, r.Ret, r.Flags, r.Has = traces.Fork, 1, 2, child.tid, child.flags, traces.ColPID|traces.ColTID|traces.ColRet|traces.ColFlags
		j.follow(r)
		alone := &assemble.Record{}
		alone.Kind, alone.TID, alone.Has = traces.Hit, int32(child.tid), traces.ColTID
		if j.follow(alone); alone.PID != child.pid || !alone.Got(traces.ColPID) {
			t.Errorf("%+v is of %d", child, alone.PID)
		}
	}
}

// Of events at one time on one CPU, those of the input that was given first come first.
func TestMergeTies(t *testing.T) {
	text := func(probe string) string {
		return "# replay-trace 1\n# clock perf\n50000000100 hit cpu=0 pid=1 tid=1 addr=0x401136 probe=" + probe + "\n50000000100 hit cpu=1 pid=1 tid=2 addr=0x401136 probe=" + probe + "\n"
	}
	for _, probes := range [][]string{{"a:f", "b:f", "c:f"}, {"c:f", "b:f", "a:f"}} {
		events, _, err := readMerged(writeEach(t, []string{text(probes[0]), text(probes[1]), text(probes[2])})...)
		if err != nil || len(events) != 6 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		for i := range events {
			if events[i].Probe != probes[i%3] || int(events[i].CPU) != i/3 {
				t.Errorf("event %d is of %s on CPU %d, inputs are %v", i, events[i].Probe, events[i].CPU, probes)
			}
		}
	}
}

// A loss reaches back to the record before of its own CPU, the first one too.
func TestLossReachesBack(t *testing.T) {
	var l losses
	l.heard(0, 100)
	l.heard(1, 140)
	for _, test := range []struct {
		cpu, time int64
		has       traces.Columns
		dur       int64
	}{{0, 150, traces.ColCPU, 50}, {1, 150, traces.ColCPU, 10}, {2, 150, traces.ColCPU, 0}, {0, 150, 0, 0}, {0, 90, traces.ColCPU, 0}} {
		r := &assemble.Record{}
		r.Time, r.CPU, r.Has = test.time, int32(test.cpu), test.has
		if l.span(r); r.Dur != test.dur || r.Got(traces.ColDur) != (test.dur > 0) {
			t.Errorf("a loss on CPU %d at %d (told: %v) lasts %d ns, want %d", test.cpu, test.time, test.has != 0, r.Dur, test.dur)
		}
	}
	// The rest is behind all, and reaches back to who was silent longest.
	l.total = 9
	if r := (&assemble.Record{}); !l.rest(r) || r.Time != 141 || r.Dur != 41 || r.Ret != 9 {
		t.Errorf("the rest of %d from %d to %d", r.Ret, r.Time-r.Dur, r.Time)
	}
}

// Whose a thread is changes when its number is used again, and another input than that of
// the hits may say so.
func TestProcessesOfOtherInputs(t *testing.T) {
	const lives = "app  4101 [000]    50.000000100: PERF_RECORD_FORK(4101:4105):(4101:4101)\n" +
		"app  4105 [000]    50.000000300: PERF_RECORD_EXIT(4101:4105):(4101:4105)\n" +
		"app  4200 [000]    50.000000500: PERF_RECORD_FORK(4105:4105):(4200:4200)\n"
	const alone = "app  4105 [001]    50.000000200: probe_app:f: (401136)\n" +
		"app  4105 [001]    50.000000600: probe_app:f: (401136)\n"
	for _, texts := range [][]string{{lives, alone}, {alone, lives}} {
		events, _, err := readMerged(writeEach(t, texts)...)
		if err != nil {
			t.Fatal(err)
		}
		var pids []int32
		for i := range events {
			if events[i].Kind == traces.Hit {
				pids = append(pids, events[i].PID)
			}
		}
		if want := []int32{4101, 4105}; !slices.Equal(pids, want) {
			t.Errorf("hits of processes %v, want %v", pids, want)
		}
	}
}

// Of stored inputs, each has one event of a trap, under whatever name.
func TestTrapOfStoredInputs(t *testing.T) {
	text := func(at int, probe string) string {
		return fmt.Sprintf("# replay-trace 1\n# clock perf\n%d hit cpu=0 pid=7 tid=7 addr=0x10 probe=%s\n%d hit cpu=0 pid=7 tid=7 addr=0x10 probe=%[2]s\n", at, probe, at+50_000)
	}
	for name, probes := range map[string][]string{"one probe": {"a:f", "a:f"}, "two": {"a:f", "b:f"}} {
		events, _, err := readMerged(writeEach(t, []string{text(1000, probes[0]), text(1300, probes[1])})...)
		if err != nil {
			t.Fatal(err)
		}
		var joined []bool
		for i := range events {
			joined = append(joined, events[i].Joined())
		}
		if want := []bool{false, true, false, true}; !slices.Equal(joined, want) {
			t.Errorf("%s: joined to the trap before: %v, want %v", name, joined, want)
		}
	}
}

// What was skipped is counted, and the first of it is told.
func TestSkipped(t *testing.T) {
	var s skipped
	if w := s.warnings("lines"); w != nil {
		t.Errorf("of nothing: %q", w)
	}
	s.add(errors.New("line 3"))
	s.add(errors.New("line 7"))
	if w := s.warnings("lines"); len(w) != 1 || w[0] != "2 bad lines were skipped, the first: line 3" {
		t.Errorf("%q", w)
	}
}

// Whose threads are is asked of all texts together, and told once where none tells.
func TestMergeUnknownOnce(t *testing.T) {
	text := func(tid, at int) string {
		return fmt.Sprintf("app  %d [001]    50.000000%d: probe_app:f: (401136)\n", tid, at)
	}
	_, meta, err := readMerged(writeEach(t, []string{text(4105, 200) + text(4106, 600), text(4107, 300), text(4108, 900)})...)
	if err != nil {
		t.Fatal(err)
	}
	if told := traces.Unknowns(meta.Unknown, traces.UnknownProcesses); len(told) != 1 || !strings.Contains(told[0].Why, "4 of 4 threads") {
		t.Errorf("whose threads are: %+v, want it once, of 4 threads", told)
	}
}
