package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/reports"
)

// TestFault: a broken version is replayed, judged, and said to be broken; of what the
// machine cannot show it says so.
func TestFault(t *testing.T) {
	trace, err := filepath.Abs("../../traces/corpus/churn-1x1.parquet")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	whole, broken := reports.Document{}, reports.Document{}
	for _, c := range []struct {
		doc  *reports.Document
		args []string
	}{{&whole, nil}, {&broken, []string{"--fault", "even+compare"}}} {
		args := append(append([]string{"run", "-q", "--force", "--json", "-o", "x.run"}, c.args...), trace)
		if err := json.Unmarshal([]byte(succeed(t, args...)), c.doc); err != nil {
			t.Fatal(err)
		}
	}
	locked, series := broken.Runs[0], broken.Runs[1]
	if locked.Fault != nil || locked.Digest != whole.Runs[0].Digest || whole.Runs[1].Fault != nil {
		t.Errorf("locked has no such rules: %+v", locked.Fault)
	}
	if f := series.Fault; f == nil || strings.Join(f.Rules, "+") != "even+compare" || f.Judged < *whole.Runs[1].Lockless || f.Wrong != 0 || f.First != nil {
		t.Errorf("the series without rules: %+v", f)
	}
	if *series.Fallbacks != 0 || *whole.Runs[1].Fallbacks == 0 {
		t.Errorf("%d fallbacks, with the rules %d", *series.Fallbacks, *whole.Runs[1].Fallbacks)
	}
	text := strings.Join(strings.Fields(succeed(t, "run", "-q", "--force", "-o", "x.run", "--fault", "compare", trace)), " ")
	if want := "proves nothing: replay prove --mutate compare tries every order"; !strings.Contains(text, want) {
		t.Errorf("no %q in %.2000s", want, text)
	}
	for rule, want := range map[string]string{
		"rmb":       "nothing that is timed depends on it",
		"vma-rcu":   "nothing that is timed depends on it",
		"try-begin": "--fault try-begin: speculative: mmap_lock_speculation_start waits for a word to change (seq = await mm.seq even), for which the machine has no price",
		"read-once": "--fault read-once: speculative: find_active_uprobe_speculative reads a word in parts (tmp = load vma.file part 3), and no word of the machine is ever torn",
		"nonsense":  `there is no rule "nonsense"; see replay prove --list`,
	} {
		if r := call(t, "run", "-q", "-o", "y.run", "--fault", rule, trace); r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("--fault %s: exit %d, %s; want %s", rule, r.code, r.stderr, want)
		}
	}
}
