package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces"
)

// Inputs as public reports show them, and as real tools print them: what each is, or why
// it is refused.
var inputCases = []struct {
	args   string // files, of which each is in one of caseFolders, and flags of ingest
	result string // rows by kind, and how many hits fell back; or the exit code
	asks   string // what is unknown
	says   string // phrases of the trace in text, or of the refusal, with | between
}{
	// perf script.
	{"args-named-like-columns.txt", "hit 1, ret 1; ? of 1 fell back", "writers outcomes losses", "hit cpu=0 pid=4101 tid=4101 comm=app addr=0x401136 probe=probe_app:f|probe=probe_app:g__return"},
	{"comm-newline.txt", "exit 3", "", "comm-newline.txt:1: bad line"},
	{"--on-bad-record=skip comm-newline.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "1 bad lines were skipped, the first"},
	{"cpu-profile-first.txt", "hit 1; ? of 1 fell back", "writers outcomes losses", "1 lines of cpu-clock make no rows"},
	{"cpu-profile-only.txt", "exit 3", "", "no uprobe event in it: it has cycles; add one with perf probe"},
	{"cut-in-address.txt", "exit 3", "", "cut-in-address.txt:4: bad line|was it cut short?"},
	{"cut-in-length.txt", "hit 1, munmap 1; ? of 1 fell back", "writers outcomes losses", "the text ends within a line: was it cut short?"},
	{"cut-in-time.txt", "exit 3", "", "cut-in-time.txt:2: bad line|was it cut short?"},
	{"deltatime.txt", "exit 3", "", "print without --deltatime"},
	{"frames.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "(/srv/lib (x86)/libx.so (deleted))|([JIT app cache])|(inlined)|(//anon)"},
	{"ftrace.txt", "exit 3", "", "it looks like the text of ftrace|perf record"},
	{"trace-cmd.txt", "exit 3", "", "it looks like the text of trace-cmd report|perf record"},
	{"perf-trace.txt", "exit 3", "", "it looks like the text of perf trace|perf record"},
	{"gzipped.txt.gz", "hit 20, lock_acquired 21, lock_released 21, lock_start 21, munmap 20; 20 of 20 fell back", "losses", ""},
	{"header-60-lines.txt", "hit 1; ? of 1 fell back", "writers outcomes losses", ""},
	{"header-of-readme-recipe.txt", "hit 1; ? of 1 fell back", "writers outcomes losses", "# recorded hit"},
	{"hexcomm.txt", "hit 5, munmap 1; 0 of 5 fell back", "outcomes losses", "pid=4102 tid=4102 comm=dd addr|pid=4103 tid=4103 comm=ab addr|pid=4104 tid=4104 addr|ret=0"},
	{"hexcomm-real.txt", "hit 5; ? of 5 fell back", "writers outcomes processes losses", "comm=shell|comm=bc|comm=ed|comm=cafe|comm=104"},
	{"kprobe-beside.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "make no rows"},
	{"kprobe-only.txt", "exit 3", "", "no uprobe event in it"},
	{"lost-unknown.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "print losses unless asked to|perf script --show-lost-events"},
	{"memcg-path.txt", "hit 1, lock_acquired 1, lock_released 1, lock_start 1; 0 of 1 fell back", "losses", "mm=0xffff888100069900"},
	{"merge-probe-only.txt merge-syscalls-only.txt", "hit 1, munmap 1; 0 of 1 fell back", "outcomes losses", "addr=0x7f0000001000 len=0x2000 ret=0"},
	{"merge-bpftrace-hits.txt merge-syscalls-only.txt", "hit 2, munmap 1; 0 of 2 fell back", "outcomes losses", "50000000250 hit|ret=0"},
	{"misc-field.txt", "hit 1, munmap 1; 0 of 1 fell back", "outcomes losses", "hit cpu=0 pid=4101 tid=4101 comm=app|munmap cpu=1 pid=4101 tid=4102 comm=app|ret=0"},
	{"tod-field.txt", "hit 1, munmap 1; 0 of 1 fell back", "outcomes losses", "hit cpu=0 pid=4101 tid=4101 comm=app|munmap cpu=1 pid=4101 tid=4102 comm=app|ret=0"},
	{"no-final-newline.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "was it cut short?"},
	{"no-trace-field.txt", "exit 3", "", "print with perf script -F +trace"},
	{"perfdata-converter-182.txt", "exit 3", "", "print with perf script -F +trace"},
	{"nocomm-smallpid.txt", "hit 2, munmap 1; ? of 2 fell back", "outcomes processes losses", ""},
	{"nopid-default.txt", "hit 20, lock_acquired 21, lock_released 21, lock_start 21, munmap 20; 20 of 20 fell back", "losses", "the text names no processes: those of 2 threads were found"},
	{"nopid-default.with-pid.txt", "hit 20, lock_acquired 21, lock_released 21, lock_start 21, munmap 20; 20 of 20 fell back", "losses", ""},
	{"nopid-with-task-events.txt", "exec 1, fork 1, hit 20, lock_acquired 21, lock_released 21, lock_start 21, munmap 20; 20 of 20 fell back", "losses", ""},
	{"odd-comms.txt", "hit 11; ? of 11 fell back", "writers outcomes losses", `comm="CPU 0/KVM"|comm="[ET_NET 0]"`},
	{"odd-comms.nopid.txt", "hit 11; ? of 11 fell back", "writers outcomes processes losses", `comm="CPU 0/KVM"|comm="[ET_NET 0]"`},
	{"odd-comms.nocpu.txt", "hit 11; ? of 11 fell back", "writers outcomes processes losses", `comm="CPU 0/KVM"|comm="[ET_NET 0]"`},
	{"perf-warnings-mixed.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "8 lines are messages of perf itself|leave out 2>&1"},
	{"perf-warnings-after.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "lost 1 chunks|leave out 2>&1"},
	{"pid-minus-one.txt", "hit 2, lock_acquired 1, lock_released 1, lock_start 1; 0 of 2 fell back", "losses", ""},
	{"pid-minus-one.nopid.txt", "hit 2, lock_acquired 1, lock_released 1, lock_start 1; 0 of 2 fell back", "losses", ""},
	{"pid-zero.txt", "hit 2, lock_acquired 1, lock_released 1, lock_start 1; 0 of 2 fell back", "losses", "pid=0 tid=0"},
	{"raw-syscalls.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "in place of raw_syscalls"},
	{"return-only.txt", "ret 3; nothing ran", "writers losses hits", "record the probe without %return too"},
	{"round-events.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", ""},
	{"sdt.txt", "hit 4; ? of 4 fell back", "writers outcomes losses", ""},
	{"srcline-no-chain.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", ""},
	{"strarg-forged.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "probe=probe_app:log"},
	{"strarg-newline.txt", "hit 2, munmap 1; 0 of 2 fell back", "outcomes losses", "ret=0"},
	{"syscall-entries-only.txt", "hit 3, mmap 1, munmap 1; ? of 3 fell back", "writers outcomes losses", "2 syscalls have no exit"},
	{"two-probes-one-place.txt", "hit 20 of 10 traps; ? of 10 fell back", "writers outcomes losses", ""},
	{"undecided-locks.txt", "hit 2, lock_acquired 1, lock_released 1, lock_start 1; ? of 2 fell back", "writers outcomes losses", "have no callchain that names the kernel's functions"},
	{"writers-not-recorded.txt", "hit 3; ? of 3 fell back", "writers outcomes losses", "nothing that changes address spaces was recorded"},

	// perf.data.
	{"aux-and-new-records.perf.data", "exec 1, hit 4, map 1; ? of 4 fell back", "writers outcomes", ""},
	{"big-endian.perf.data", "exit 3", "", "recorded on a big-endian machine; convert it there with perf script --ns"},
	{"chatter-after.perf.data", "exec 1, hit 3, map 1; ? of 3 fell back", "writers outcomes", "[ perf record: Woken up"},
	{"cut.perf.data", "exit 3", "", "file ends too early|was the recording killed?"},
	{"deferred-callchain.perf.data", "exec 1, hit 1, map 1; ? of 1 fell back", "writers outcomes", `stack=["0x401136 (/srv/app)","0x401180 (/srv/app)"]`},
	{"dwarf-unnamed-kernel.perf.data", "exec 1, hit 5, lock_acquired 5, lock_released 5, lock_start 5, map 1; 0 of 5 fell back", "", "in_uprobe=true"},
	{"event-twice.perf.data", "exec 1, hit 10 of 5 traps, map 1; ? of 5 fell back", "writers outcomes", ""},
	{"freq99.perf.data", "exec 1, hit 5, map 1; ? of ? fell back", "writers outcomes hits", "perf sampled probe_app:f (-F 99)"},
	{"guest-sample.perf.data", "exec 1, hit 3, map 1; ? of 3 fell back", "writers outcomes", "1 records of virtual machines' guests were left out"},
	{"jit-map.perf.data", "exec 1, hit 2, map 2; ? of 2 fell back", "writers outcomes", ""},
	{"kprobe-beside.perf.data", "exec 1, hit 2, map 1; ? of 2 fell back", "writers outcomes", "make no rows"},
	{"lost-dropped-by-filter.perf.data", "exec 1, hit 3, map 1; ? of 3 fell back", "writers outcomes", "# lost 0|123456 samples were dropped on purpose"},
	{"lost-really.perf.data", "exec 1, hit 3, lost 1, map 1; ? of 3 fell back", "writers outcomes", "# lost 123456"},
	{"mixed-formats.perf.data", "exec 1, hit 3, lock_start 3, map 1; ? of 3 fell back", "writers", ""},
	{"odd-bytes.perf.data", "exec 1, hit 16, map 5; ? of 16 fell back", "writers outcomes", ""},
	{"odd-names.perf.data", "exec 1, hit 13, map 11; ? of 13 fell back", "writers outcomes", ""},
	{"probe-ip-4-bytes.perf.data", "exec 1, hit 3, map 1; ? of 3 fell back", "writers outcomes", "addr=0x401136"},
	{"rt-common-fields.perf.data", "exec 1, hit 3, map 1; ? of 3 fell back", "writers outcomes", "addr=0x401136"},

	// bpftrace.
	{"06-bom.txt", "hit 2; ? of 2 fell back", "writers outcomes", ""},
	{"before-first-event-bom.txt", "hit 2; ? of 2 fell back", "writers outcomes", ""},
	{"--bpftrace-format=07-lead.yaml 07-lead.txt", "exit 3", "", `07-lead.txt:1: bad line|not "1001000 20 tmux: server q"`},
	{"--bpftrace-format=07-lead.yaml 07b-lead.txt", "exit 3", "", `07b-lead.txt:2: bad line|not "1002000 20 tmux: server q"`},
	{"--bpftrace-format=before-first-event-pre.yaml before-first-event-pre.txt", "exit 3", "", "pre.txt:1: bad line"},
	{"--bpftrace-format=before-first-event-pre.yaml before-first-event-post.txt", "exit 3", "", "post.txt:2: bad line"},
	{"--bpftrace-format=08-lost.yaml 08-lost.txt", "hit 3; ? of 3 fell back", "writers outcomes", "# lost 0"},
	{"--bpftrace-format=09-tab.yaml 09-tab.txt", "hit 2; ? of 2 fell back", "writers outcomes", ""},
	{"--bpftrace-format=10-wallclock.yaml 10-wallclock.txt", "exit 3", "", "a time of day is the group time_hms"},
	{"--bpftrace-format=wall-clock-readme-threadsnoop.yaml wall-clock-threadsnoop-0.20.txt", "exit 3", "", "a time of day is the group time_hms"},
	{"--bpftrace-format=time-of-day.yaml 10-wallclock.txt", "hit 2; ? of 2 fell back", "writers outcomes", "37231938572000 hit|37231939213000 hit"},
	{"--bpftrace-format=time-of-day.yaml wall-clock-threadsnoop-0.20.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "11016214381000 hit|11016218105000 hit"},
	{"--bpftrace-format=time-of-day.yaml wall-clock-gethostlatency.txt", "hit 2; ? of 2 fell back", "writers outcomes", "times have s only, too coarse"},
	{"--bpftrace-format=14-json-value.yaml 14-json-value.json", "hit 2; ? of 2 fell back", "writers outcomes", "7447885237721 hit cpu=1 pid=20 tid=20 comm=al"},
	{"--bpftrace-format=json-value-f.yaml json-value-val.json", "hit 2; ? of 2 fell back", "writers outcomes", "1000 hit pid=5 tid=5 comm=x"},
	{"--bpftrace-format=coarse-seconds-sec.yaml coarse-seconds-sec.txt", "hit 3; ? of 3 fell back", "writers outcomes", "times have s only, too coarse"},
	{"--bpftrace-format=negative-time-fsl.yaml negative-time-funcslower.txt", "hit 2; ? of 2 fell back", "writers outcomes losses", "\n0 hit|\n129250 hit"},
	{"hist-at-exit-in.txt", "hit 1; ? of 1 fell back", "writers outcomes", "7 lines make no rows: maps that bpftrace printed"},
	{"located-warning-in.txt", "hit 2; ? of 2 fell back", "writers outcomes", "bpftrace said: k.bt:1:20-30: WARNING: Failed to map_delete_elem"},
	{"utf8-json-in.json", "hit 1; ? of 1 fell back", "writers outcomes", `comm="xé"|path="/tmp/aé"`},

	// Stored traces.
	{"open-aliases.parquet", "brk 3, exec 1, exit 1, hit 3 of 1 traps, lock_acquired 56, lock_released 54, lock_start 54, map 38, mmap 22, mprotect 3, munmap 2; 0 of 1 fell back", "", ""},
	{"same-probe-twice.parquet", "brk 1, exec 1, exit 1, hit 1000 of 500 traps, lock_acquired 187, lock_released 136, lock_start 136, map 74, mmap 58, mprotect 3, munmap 51; 0 of 500 fell back", "", ""},
	{"return-only.parquet", "brk 1, exec 1, exit 1, lock_acquired 188, lock_released 137, lock_start 137, map 74, mmap 58, mprotect 3, munmap 51, ret 500; nothing ran", "hits", "only returns were recorded, 500 of them"},
}

// caseFolders have the inputs.
var caseFolders = []string{"testdata/cases", "../../ingest/testdata/script", "../../ingest/testdata/perf"}

func TestInputCases(t *testing.T) {
	used := map[string]bool{}
	find := func(name string) string {
		used[name] = true
		for _, dir := range caseFolders {
			if path, err := filepath.Abs(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			} else if _, err := os.Stat(path); err == nil {
				return path
			}
		}
		t.Fatalf("no %s", name)
		return ""
	}
	for _, test := range inputCases {
		var args []string
		for _, word := range strings.Fields(test.args) {
			if flag, name, is := strings.Cut(word, "="); !is {
				args = append(args, find(word))
			} else if strings.HasSuffix(name, ".yaml") {
				args = append(args, flag, find(name))
			} else {
				args = append(args, flag, name)
			}
		}
		t.Run(test.args, func(t *testing.T) {
			t.Chdir(t.TempDir())
			result, asks, says := judge(t, args)
			if result != test.result || asks != test.asks {
				t.Errorf("it is    %q, unknown %q\nit shall %q, unknown %q\n%s", result, asks, test.result, test.asks, shortened(says))
			}
			for _, phrase := range strings.Split(test.says, "|") {
				if !strings.Contains(says, phrase) {
					t.Errorf("no %q in\n%s", phrase, shortened(says))
				}
			}
		})
	}
	left, err := filepath.Glob("testdata/cases/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		if name := filepath.Base(path); !used[name] && name != "nop1.parquet" {
			t.Errorf("%s is in no case", name)
		}
	}
}

// judge ingests and runs: rows by kind, what is unknown, and all that is said.
func judge(t *testing.T, args []string) (result, asks, says string) {
	t.Helper()
	r := call(t, append([]string{"ingest", "-o", "t.parquet"}, args...)...)
	if r.code != exitOK {
		return fmt.Sprint("exit ", r.code), "", r.stderr
	}
	var info struct {
		Kinds   map[string]int64
		Traps   int64
		Unknown []traces.Unknown
	}
	decode(t, succeed(t, "info", "--json", "t.parquet"), &info)
	var kinds []string
	for _, kind := range sortedKeys(info.Kinds) {
		n := fmt.Sprintf("%s %d", kind, info.Kinds[kind])
		if kind == "hit" && info.Traps != info.Kinds[kind] {
			n += fmt.Sprintf(" of %d traps", info.Traps)
		}
		kinds = append(kinds, n)
	}
	var doc reports.Document
	decode(t, succeed(t, "run", "--json", "-o", "run", "t.parquet"), &doc)
	ran := "nothing ran"
	for i := range doc.Runs {
		if run := &doc.Runs[i]; run.Resolver == "speculative" {
			ran = fmt.Sprintf("%s of %s fell back", known(run.Fallbacks), known(doc.Trace.Hits))
		}
	}
	if got := whats(*doc.Unknown); got != whats(info.Unknown) {
		t.Errorf("info: unknown %q, run: %q", whats(info.Unknown), got)
	}
	return strings.Join(kinds, ", ") + "; " + ran, whats(info.Unknown), r.stderr + succeed(t, "info", "t.parquet") + succeed(t, "dump", "t.parquet")
}

// What the recorded kernel did, as far as the recording tells.
func TestValidateCases(t *testing.T) {
	for _, test := range []struct{ file, says string }{
		{"testdata/cases/undecided-locks.txt", "no score|1 of 2 lookups unknown: the lock events have no callchain|kernel    unknown"},
		{"../../ingest/testdata/perf/dwarf-unnamed-kernel.perf.data", "F1 0.0000|predicted lockless                 5                0"},
		{"testdata/cases/nop1.parquet", "F1 1.0000|(using locks, 20000 hits)"},
	} {
		said := succeed(t, "validate", "--using", "locks", test.file)
		for _, phrase := range strings.Split(test.says, "|") {
			if !strings.Contains(said, phrase) {
				t.Errorf("%s: no %q in\n%s", test.file, phrase, said)
			}
		}
	}
}

// shortened is the beginning of a text.
func shortened(s string) string { return s[:min(len(s), 4000)] }

func known(n *int64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
