package reports

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

func textOf(t *testing.T, res *replay.Result, o TextOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, res, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	tracetest.Golden(t, "report.txt", textOf(t, fixture(), TextOptions{}))
	tracetest.Golden(t, "empty.txt", textOf(t, emptyResult(), TextOptions{}))
}

// The headline is about a lookup that a kernel could have, where one was replayed.
func TestMainRun(t *testing.T) {
	lockless, locks := [sim.NumOutcomes]int64{sim.Lockless: 1}, [sim.NumOutcomes]int64{sim.Unconfigured: 1}
	for list, want := range map[string]string{
		"locked,speculative": "speculative", "speculative,locked": "speculative", "speculative,pervma": "pervma",
		"speculative,ideal": "speculative", "ideal,speculative": "speculative", "ideal,locked": "ideal", "locked,refcount": "refcount",
	} {
		res := &replay.Result{}
		for name := range strings.SplitSeq(list, ",") {
			r := replay.Run{Resolver: name, Hits: 1, Outcomes: lockless}
			if name == "locked" || name == "refcount" {
				r.Outcomes = locks
			}
			res.Runs = append(res.Runs, r)
		}
		if got := mainRun(res).Resolver; got != want {
			t.Errorf("%s: the headline is about %s, want %s", list, got, want)
		}
	}
	if mainRun(&replay.Result{}) != nil {
		t.Error("a headline about no run")
	}
}

func TestCallers(t *testing.T) {
	kernel := []string{"__mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])", "__vm_munmap+0x135 ([kernel.kallsyms])", "0xffffffff81000130 ([kernel.kallsyms])"}
	for _, test := range []struct {
		stack []string
		want  string
	}{
		{nil, ""},
		{kernel, "__vm_munmap"},
		{append(kernel, "__munmap+0x7 (/libc.so.6)", "0x7f00 (/bin/app)", "main+0x1 (/bin/app)", "0x0 ([unknown])"), "__munmap < main"},
		{append(kernel, "0x7f00 (/bin/app)"), "__vm_munmap"},
	} {
		if got := callers(test.stack); got != test.want {
			t.Errorf("%q: %q, want %q", test.stack, got, test.want)
		}
	}
}

// wideResult has everything longer, larger and more than usual.
func wideResult() *replay.Result {
	res := fixture()
	run := res.Runs[1]
	for _, name := range []string{"refcount", "srcu", "speculative-merged"} {
		run.Resolver = name
		res.Runs = append(res.Runs, run)
	}
	for i := range res.Runs {
		r := &res.Runs[i]
		r.LineTransfers = 123_456_789_012
		r.Blame = append([]replay.Blame(nil), r.Blame...)
		r.Blame[0].Comm = "名前がとても長いスレッド名前"
		r.Blame[0].Kind = "a very long operation"
		r.Blame[0].Sections, r.Blame[0].Fallbacks = 1_234_567, 1_234_567
		r.Probes = append([]replay.ProbeRow(nil), r.Probes...)
		r.Probes[0].Probe = strings.Repeat("long_probe_name", 10)
		r.Lines = append([]replay.LineRow(nil), r.Lines...)
		r.Lines[0].Line = strings.Repeat("long line name ", 10)
	}
	res.Trace.Path = "/" + strings.Repeat("deep/", 40) + "trace.parquet"
	res.Warnings = append(res.Warnings, strings.Repeat("many words ", 40), strings.Repeat("x", 200))
	return res
}

func TestTextFits(t *testing.T) {
	for _, res := range []*replay.Result{fixture(), emptyResult(), wideResult(), {}} {
		for _, line := range strings.Split(textOf(t, res, TextOptions{}), "\n") {
			if n := columns(line); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("trailing space: %q", line)
			}
		}
	}
}

// TestTextColor holds that colour adds nothing that words do not say.
func TestTextColor(t *testing.T) {
	plain, colored := textOf(t, wideResult(), TextOptions{}), textOf(t, wideResult(), TextOptions{Color: true})
	if strings.Contains(plain, "\x1b") {
		t.Error("an escape sequence without colour; a thread's name must not bring one in")
	}
	escapes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	if !escapes.MatchString(colored) {
		t.Error("no colour")
	}
	if got := escapes.ReplaceAllString(colored, ""); got != plain {
		t.Error("without its escape sequences, the coloured report differs from the plain one")
	}
}

// Where events share traps, the text counts both, and a probe whose events all share
// has a row.
func TestTextOfSharedTraps(t *testing.T) {
	res := fixture()
	res.Trace.HitEvents = 2500
	r := &res.Runs[1]
	r.Probes = append(r.Probes, replay.ProbeRow{Probe: "server:alias", Events: 500})
	var b bytes.Buffer
	if err := Text(&b, res, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2,000 hits (of 2,500 events: some share a trap and its lookup) in",
		"probe          events", "server:alias      500      0          0       –",
	} {
		if !strings.Contains(strings.ReplaceAll(b.String(), "\n", " "), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
