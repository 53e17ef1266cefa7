package ingest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/tracetest"
)

// What becomes of texts as people print them: their rows, what is said of them, or why
// they are refused.
func TestScriptTexts(t *testing.T) {
	files, _ := filepath.Glob("testdata/script/*.txt")
	if len(files) == 0 {
		t.Fatal("vacuous: no texts")
	}
	var b strings.Builder
	for _, path := range files {
		fmt.Fprintf(&b, "== %s\n", filepath.Base(path))
		events, meta, err := tryRead(path, Options{})
		if err != nil {
			fmt.Fprintln(&b, strings.ReplaceAll(err.Error(), "testdata/script/", ""))
			continue
		}
		describe(&b, events)
		if meta.Recorded != nil {
			fmt.Fprintf(&b, "recorded: %s\n", strings.Join(meta.Recorded, " "))
		}
		for _, w := range meta.Warnings {
			fmt.Fprintf(&b, "warning: %s\n", w)
		}
		for _, u := range meta.Unknown {
			fmt.Fprintf(&b, "unknown: %s: %s: %s\n", u.What, u.Why, u.Remedy)
		}
	}
	tracetest.Golden(t, "script.golden", b.String())
}

// describe prints a few rows as they are, and counts many.
func describe(b *strings.Builder, events []traces.Event) {
	if len(events) <= 12 {
		for i := range events {
			ev := events[i]
			ev.Has &^= traces.ColSrc
			fmt.Fprintln(b, traces.FormatText(&ev))
		}
		return
	}
	count := map[string]int{}
	for i := range events {
		ev := &events[i]
		what := fmt.Sprintf("%s of thread %d", ev.Kind, ev.TID)
		if ev.Got(traces.ColPID) {
			what += fmt.Sprintf(" of process %d", ev.PID)
		}
		count[what]++
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(b, "%d rows: %s\n", count[what], what)
	}
}

// The first event may stand anywhere: behind a header of any length, behind a
// callchain of any length.
func TestScriptIsFarDown(t *testing.T) {
	const hit = "             app  4101/4101  [000]    50.000000100: probe_app:f: (401136)\n"
	header := "# ========\n# captured on    : Sun Nov 29 08:36:12 2026\n" + strings.Repeat("# sibling sockets : 0-127\n", 5000) + "# ========\n#\n"
	profile := "app  4101/4101  [000]    50.000000100:    1001001 cycles: \n" + strings.Repeat("\t          401136 f+0x0 (/srv/app)\n", 5000) + "\n"
	for name, front := range map[string]string{"header": header, "profile": profile} {
		path := filepath.Join(t.TempDir(), "script.txt")
		if err := os.WriteFile(path, []byte(front+hit), 0o600); err != nil {
			t.Fatal(err)
		}
		if events, _ := read(t, path, Options{}); len(front) < sniffed || len(events) != 1 || events[0].Addr != 0x401136 {
			t.Errorf("%s of %d bytes: rows %+v", name, len(front), events)
		}
	}
}
