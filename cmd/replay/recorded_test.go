package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/replay/replay/reports"
)

// lockScript is what perf script printed of a process whose mmap waits for another
// that reads its /proc/PID/smaps; no uprobe was recorded.
const lockScript = `             cat   900/900   [000]    50.000000000: mmap_lock:mmap_lock_start_locking: mm=0xffff888100069900 memcg_path=/ write=false
	ffffffff8126a5db __mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])
	ffffffff8145a3d5 m_start+0x1d5 ([kernel.kallsyms])
	ffffffff813fd478 seq_read_iter+0x108 ([kernel.kallsyms])

             cat   900/900   [000]    50.000004000: mmap_lock:mmap_lock_acquire_returned: mm=0xffff888100069900 memcg_path=/ write=false success=true
             big   700/701   [001]    50.000010000: mmap_lock:mmap_lock_start_locking: mm=0xffff888100069900 memcg_path=/ write=true
	ffffffff8126a5db __mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])
	ffffffff811fb2c5 vm_mmap_pgoff+0x195 ([kernel.kallsyms])

             cat   900/900   [000]    50.030921000: mmap_lock:mmap_lock_released: mm=0xffff888100069900 memcg_path=/ write=false
             big   700/701   [001]    50.032101000: mmap_lock:mmap_lock_acquire_returned: mm=0xffff888100069900 memcg_path=/ write=true success=true
             big   700/701   [001]    50.032106000: mmap_lock:mmap_lock_released: mm=0xffff888100069900 memcg_path=/ write=true
`

// TestRunWithoutHits holds that lock events alone are worth a report, and that it
// names a reader of another process.
func TestRunWithoutHits(t *testing.T) {
	inFolder(t)
	if err := os.WriteFile("locks.txt", []byte(lockScript), 0o644); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(succeed(t, "run", "-o", "out.run", "locks.txt")), " ")
	for _, want := range []string{
		"No hit of a uprobe was recorded.",
		"big (tid 701) wanted it for mmap and waited 32.1 ms, from 10.0 µs on. For 30.9 ms of that cat (tid 900) had it for /proc maps, a hold of 30.9 ms.",
		"cat /proc maps: m_start < seq_read_iter",
		"Nothing: there is no hit to resolve.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	f, err := os.Open("out.run/report.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := reports.ReadJSON(f, "report.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Runs) != 0 || doc.Recorded == nil || len(doc.Recorded.Holders) != 1 {
		t.Fatalf("%d runs, recorded %+v", len(doc.Runs), doc.Recorded)
	}
	if h := doc.Recorded.Holders[0]; h.Comm != "cat" || h.Mode != "read" || h.Blocked != 1 || h.BlockedNs != 30_911_000_000 || h.Holds != 1 {
		t.Errorf("%+v", h)
	}
	if w := *doc.Recorded.Worst; len(w) != 2 || w[0].WaitNs != 32_091_000_000 || len(w[0].Behind) != 1 || w[0].Behind[0].Comm != "cat" {
		t.Errorf("the longest waits are %+v", w)
	}
	if !strings.Contains(doc.Answer.Problem, "mostly cat for /proc maps") || !strings.Contains(doc.Answer.Helps, "smaps") {
		t.Errorf("it answers %+v", doc.Answer)
	}
	page, err := os.ReadFile("out.run/report.html")
	if err != nil || !strings.Contains(string(page), "m_start&#43;0x1d5") || !strings.Contains(string(page), "32.1 ms") {
		t.Errorf("the page does not show it: %v", err)
	}
	folded := func(index string) string {
		return succeed(t, "export", "--to", "folded", "--profile", "recorded.blame", "--sample_index", index, "out.run")
	}
	if got, want := folded("blocked"), "who had it;cat;seq_read_iter;m_start 30911000\n"; got != want {
		t.Errorf("the profile has %q, want %q", got, want)
	}
	if got, want := folded("wait"), "who waited;big;mmap_lock for write 32091000\nwho waited;cat;mmap_lock for read 4000\n"; got != want {
		t.Errorf("the profile has %q, want %q", got, want)
	}
}

// TestNoLockEvents holds that nothing is said of what was not recorded.
func TestNoLockEvents(t *testing.T) {
	inFolder(t)
	events := smallTrace()
	kept := events[:0]
	for _, ev := range events {
		if !ev.Kind.IsLock() {
			kept = append(kept, ev)
		}
	}
	writeTrace(t, "plain.parquet", kept, smallMeta)
	var doc map[string]any
	if err := json.Unmarshal([]byte(succeed(t, "run", "--json", "-o", "out.run", "plain.parquet")), &doc); err != nil {
		t.Fatal(err)
	}
	if recorded, there := doc["recorded"]; !there || recorded != nil {
		t.Errorf("recorded is %v, want null", recorded)
	}
	if text, err := os.ReadFile("out.run/report.txt"); err != nil || strings.Contains(string(text), "recorded kernel") {
		t.Errorf("%v\n%s", err, text)
	}
}
