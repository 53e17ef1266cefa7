package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces"
)

const (
	unknownHits = "100 hit cpu=0 pid=10 tid=10 comm=app addr=0x401136 probe=a:f\n" +
		"90000 hit cpu=1 pid=10 tid=11 comm=app addr=0x401136 probe=a:f\n"
	unknownWriter = "95000 munmap cpu=1 pid=10 tid=11 comm=app dur_ns=5000 addr=0x1000 len=0x1000 ret=0\n"
	unknownLock   = "100000 lock_start cpu=0 pid=10 tid=10 comm=app mm=0x1 write=false\n" +
		"100300 lock_acquired cpu=0 pid=10 tid=10 comm=app mm=0x1 write=false\n" +
		"100500 lock_released cpu=0 pid=10 tid=10 comm=app mm=0x1 write=false\n" +
		"100900 hit cpu=0 pid=10 tid=10 comm=app addr=0x401136 probe=a:f\n"
	recordedAll = "# recorded hit\n# recorded mmap\n# recorded munmap\n# recorded lock_start\n# recorded lock_acquired\n# recorded lock_released\n"
)

// What the trace cannot tell is null, and said with its reason and the remedy; what
// it tells is there.
func TestUnknown(t *testing.T) {
	sampled := `# unknown {"what":"hits","why":"perf sampled a:f (-F 99)","remedy":"record with -c 1"}` + "\n"
	textual := `# unknown {"what":"losses","why":"the text does not show them","remedy":"print with perf script --show-lost-events"}` + "\n"
	raw := `# unknown {"what":"writers","why":"raw_syscalls alone were recorded","remedy":"record syscalls:*"}` + "\n"
	nobody := strings.NewReplacer("pid=10 ", "")
	for _, test := range []struct {
		name, trace string
		unknown     string // what, in order
		nulls       string // in report.json, of the fields below
		headline    string
	}{
		{"all", recordedAll + unknownHits, "", "", "2 of 2 hits resolved without mmap_lock (100 %)"},
		{"writers and locks", unknownHits + unknownWriter, "outcomes", "", "2 of 2 hits resolved without mmap_lock (100 %)"},
		{"hits alone", unknownHits, "writers outcomes", "writers lockless fallbacks", "2 hits; how many resolve without mmap_lock is unknown: nothing that changes address spaces was recorded"},
		{"entries alone", unknownHits + strings.Replace(unknownWriter, "dur_ns=5000 ", "", 1), "writers outcomes", "writers lockless fallbacks", "unknown: 1 of 1 calls that change address spaces have only an entry"},
		{"raw syscalls", raw + unknownHits, "writers outcomes", "writers lockless fallbacks", "unknown: raw_syscalls alone were recorded; record syscalls:*"},
		{"no processes", nobody.Replace(unknownHits + unknownWriter), "outcomes processes", "mms lockless fallbacks", "2 hits; how many resolve without mmap_lock is unknown: 3 of 3 hits and changes"},
		{"no threads", strings.NewReplacer("pid=10 ", "", "tid=10 ", "", "tid=11 ", "").Replace(recordedAll + unknownHits + unknownWriter), "writers processes", "writers mms lockless fallbacks", "2 hits; how many resolve without mmap_lock is unknown: no change of address spaces says which thread it is of"},
		{"samples", sampled + recordedAll + unknownHits, "hits", "hits lockless fallbacks", "How many hits there were, and how many resolve without mmap_lock, is unknown: perf sampled a:f (-F 99); record with -c 1"},
		{"returns alone", recordedAll + "100 ret cpu=0 pid=10 tid=10 comm=app addr=0x401136 probe=a:f__return\n", "hits", "hits lockless fallbacks", "How many hits there were, and how many resolve without mmap_lock, is unknown: only returns were recorded"},
		{"lookups of returns alone", recordedAll + "100 lock_start cpu=0 pid=10 tid=10 comm=app write=false in_uprobe=true\n200 lock_acquired cpu=0 pid=10 tid=10 comm=app write=false\n300 lock_released cpu=0 pid=10 tid=10 comm=app write=false\n400 ret cpu=0 pid=10 tid=10 comm=app addr=0x401136 probe=a:f__return\n", "hits", "hits lockless fallbacks", "only returns were recorded"},
		{"losses", textual + recordedAll + unknownHits, "losses", "lost", "2 of 2 hits resolved without mmap_lock (100 %)"},
		{"undecided locks", unknownHits + unknownWriter + unknownLock, "outcomes", "", "3 of 3 hits resolved without mmap_lock"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t)
			if err := os.WriteFile("t.txt", []byte("# replay-trace 1\n"+test.trace), 0o644); err != nil {
				t.Fatal(err)
			}
			var info struct {
				Lost    *int64
				Unknown []traces.Unknown
			}
			decode(t, succeed(t, "info", "--json", "t.txt"), &info)
			if got := whats(info.Unknown); got != test.unknown || (info.Lost == nil) != (test.name == "losses") {
				t.Errorf("info: unknown %q, want %q; lost %v", got, test.unknown, info.Lost)
			}
			var doc reports.Document
			decode(t, succeed(t, "run", "--json", "-o", "t.run", "t.txt"), &doc)
			if got := whats(*doc.Unknown); got != test.unknown {
				t.Errorf("report.json: unknown %q, want %q", got, test.unknown)
			}
			if got := nulls(&doc); got != test.nulls {
				t.Errorf("null in report.json: %q, want %q", got, test.nulls)
			}
			text := succeed(t, "run", "-f", "-o", "t.run", "t.txt")
			if flat := strings.Join(strings.Fields(text), " "); !strings.Contains(flat, test.headline) {
				t.Errorf("no %q in\n%s", test.headline, text)
			}
			if strings.Contains(test.nulls, "fallbacks") && strings.Contains(text, "100 %") {
				t.Errorf("100 %% of what is unknown:\n%s", text)
			}
			lossy := call(t, "info", "--max-loss", "5", "t.txt")
			if (lossy.code == exitLossy) != (test.name == "losses") {
				t.Errorf("info --max-loss 5: exit %d: %s", lossy.code, lossy.stderr)
			}
		})
	}
}

// nulls are fields of d that are null, of those that may be.
func nulls(d *reports.Document) string {
	r := &reports.Run{} // of a trace without hits
	if n := len(d.Runs); n > 0 {
		r = &d.Runs[n-1]
	}
	var all []string
	for _, f := range []struct {
		name  string
		value *int64
	}{
		{"hits", d.Trace.Hits}, {"writers", d.Trace.Writers}, {"mms", d.Trace.Mms}, {"lost", d.Trace.Lost}, {"lockless", r.Lockless}, {"fallbacks", r.Fallbacks},
	} {
		if f.value == nil {
			all = append(all, f.name)
		}
	}
	unknown := r.Fallbacks == nil
	if unknown != (r.Reasons == nil) || unknown != (r.LockWaitNs == nil) || unknown != (r.ResolveNs == nil) || unknown != (d.Blame == nil) {
		all = append(all, "but not all that goes with fallbacks")
	}
	if r := d.Recorded; r != nil && r.Lookups == nil && r.Fallbacks != nil {
		all = append(all, "but not how many of the recorded lookups fell back")
	}
	return strings.Join(all, " ")
}

// A validation has no score where outcomes or what a prediction rests on is unknown.
func TestValidateUnknown(t *testing.T) {
	for _, test := range []struct {
		name, trace string
		nulls, text string
	}{
		{"all", recordedAll + unknownHits + unknownWriter, "", "F1 1.0000"},
		{"undecided", unknownHits + unknownWriter + unknownLock, "f1 observed_fallbacks tp", "1 of 3 lookups unknown: the lock events have no callchain"},
		{"no writers", unknownHits + strings.ReplaceAll(unknownLock, "write=false\n100300", "write=false in_uprobe=true\n100300"), "f1 predicted_fallbacks tp", "writers unknown: nothing that changes address spaces"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t)
			if err := os.WriteFile("t.txt", []byte("# replay-trace 1\n"+test.trace), 0o644); err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			decode(t, succeed(t, "validate", "--json", "t.txt"), &doc)
			var got []string
			for _, key := range []string{"f1", "hits", "observed_fallbacks", "predicted_fallbacks", "tp"} {
				if doc[key] == nil {
					got = append(got, key)
				}
			}
			if got := strings.Join(got, " "); got != test.nulls {
				t.Errorf("null: %q, want %q", got, test.nulls)
			}
			text := succeed(t, "validate", "t.txt")
			if !strings.Contains(text, test.text) || strings.Contains(text, "F1") != (test.nulls == "") {
				t.Errorf("no %q, or a score, in\n%s", test.text, text)
			}
			want := exitOK
			if test.nulls != "" {
				want = exitLossy
			}
			if r := call(t, "validate", "--min-f1", "0.5", "t.txt"); r.code != want {
				t.Errorf("--min-f1: exit %d, want %d: %s", r.code, want, r.stderr)
			}
			if test.nulls == "" {
				return
			}
			if r := call(t, "calibrate", "t.txt"); r.code != exitInput || !strings.Contains(r.stderr, "nothing can be fitted to it") {
				t.Errorf("calibrate: exit %d: %s", r.code, r.stderr)
			}
		})
	}
}

// The gate gives no verdict on what is unknown, and a comparison says so.
func TestCheckUnknown(t *testing.T) {
	inFolder(t)
	for name, trace := range map[string]string{"known": unknownHits + unknownWriter, "unknown": unknownHits} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name+"/t.txt", []byte("# replay-trace 1\n"+trace), 0o644); err != nil {
			t.Fatal(err)
		}
		succeed(t, "run", "-o", name+"/run", name+"/t.txt")
		succeed(t, "check", "--baseline", name+".json", "--update", name+"/run")
		if r := call(t, "check", "--baseline", name+".json", "--limit", "hits=+0", name+"/run"); (r.code == exitOK) != (name == "known") {
			t.Errorf("%s against itself: exit %d\n%s", name, r.code, r.stdout)
		}
	}
	for _, pair := range [][2]string{{"known", "unknown"}, {"unknown", "known"}, {"unknown", "unknown"}} {
		r := call(t, "check", "--baseline", pair[0]+".json", pair[1]+"/run")
		if r.code != exitLossy || !strings.Contains(r.stdout, "fallbacks is unknown in the") || !strings.Contains(r.stdout, "UNDECIDED: figures under a limit are unknown") {
			t.Errorf("%s against %s: exit %d\n%s", pair[1], pair[0], r.code, r.stdout)
		}
		var d reports.Difference
		decode(t, succeed(t, "diff", "--json", pair[0]+"/run", pair[1]+"/run"), &d)
		for _, c := range d.Changes {
			if c.Metric == "fallbacks" && c.Verdict != "unknown" || c.Metric == "hits" && c.Verdict != "same" {
				t.Errorf("%s against %s: %s is %q", pair[1], pair[0], c.Metric, c.Verdict)
			}
		}
		if d.Blame != nil {
			t.Errorf("%s against %s: blame %v", pair[1], pair[0], d.Blame)
		}
		text := succeed(t, "diff", pair[0]+"/run", pair[1]+"/run")
		if !strings.Contains(text, "writers unknown") || strings.Contains(text, "are the same") && pair[0] != pair[1] {
			t.Errorf("%s against %s:\n%s", pair[1], pair[0], text)
		}
	}
}

func whats(list []traces.Unknown) string {
	var all []string
	for _, u := range list {
		all = append(all, u.What)
	}
	return strings.Join(all, " ")
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// A gate that accepts so many lost events gives no verdict on a trace that does not tell of
// losses: how many there were is unknown, and not 0.
func TestCheckUnknownLosses(t *testing.T) {
	inFolder(t)
	for name, told := range map[string]string{"told": "", "untold": `# unknown {"what":"losses","why":"the text does not show them","remedy":"ask for them"}` + "\n"} {
		if err := os.WriteFile("t.txt", []byte("# replay-trace 1\n"+told+recordedAll+unknownHits), 0o644); err != nil {
			t.Fatal(err)
		}
		succeed(t, "run", "-q", "-f", "-o", "t.run", "t.txt")
		succeed(t, "check", "--baseline", name+".json", "--update", "t.run")
		if r := call(t, "check", "--baseline", name+".json", "t.run"); r.code != exitOK {
			t.Errorf("%s: without a limit: exit %d: %s%s", name, r.code, r.stdout, r.stderr)
		}
		r := call(t, "check", "--baseline", name+".json", "--max-loss", "1", "t.run")
		if want := map[string]int{"told": exitOK, "untold": exitLossy}[name]; r.code != want || name == "untold" && !strings.Contains(r.stderr, "--max-loss 1: ") {
			t.Errorf("%s: exit %d: %s%s", name, r.code, r.stdout, r.stderr)
		}
	}
}
