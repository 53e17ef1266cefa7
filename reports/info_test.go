package reports

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/replay/replay/traces"
)

func infoOf(t *testing.T, meta traces.Meta, events ...traces.Event) *Info {
	t.Helper()
	n := NewInfoCounter()
	for i := range events {
		if err := n.Add(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	return n.Info(meta)
}

// What is counted, by hand. A mapping known beforehand has no time that counts; two hits
// of one trap are one trap; a process is called what its first thread is, where that one
// is in the trace, else what one of its threads is.
func TestInfo(t *testing.T) {
	who := traces.ColPID | traces.ColTID | traces.ColComm
	cpu, other := int32(0), int32(3)
	info := infoOf(t, traces.Meta{Lost: 5, CPUs: 1, Warnings: []string{"the clock of a guest"}},
		traces.Event{Kind: traces.Map, Time: -900, Has: who, PID: 7, TID: 7, Comm: "early"},
		traces.Event{Kind: traces.Hit, Time: 100, Has: who | traces.ColProbe, PID: 7, TID: 8, Comm: "worker", Probe: "a:f"},
		traces.Event{Kind: traces.Hit, Time: 100, Seq: 2, Trap: 1, Has: who | traces.ColProbe | traces.ColTrap, PID: 7, TID: 8, Comm: "worker", Probe: "a:g"},
		traces.Event{Kind: traces.Hit, Time: 110, Seq: 3, Has: who | traces.ColProbe, PID: 9, TID: 10, Comm: "helper", Probe: "a:g"},
		traces.Event{Kind: traces.Munmap, Time: 120, Has: who, PID: 9, TID: 11, Comm: "second"},
		traces.Event{Kind: traces.Lost, Time: 130, Has: traces.ColCPU, CPU: other, Ret: 2, Dur: 10},
		traces.Event{Kind: traces.Lost, Time: 140, Has: traces.ColCPU, CPU: cpu, Ret: 3, Dur: 20},
		traces.Event{Kind: traces.Lost, Time: 150, Has: traces.ColCPU, CPU: other, Ret: 4, Dur: 30},
		traces.Event{Kind: traces.Lost, Time: 160, Ret: 1},
	)
	want := &Info{
		Schema: InfoSchema, Events: 9, DurationNs: 60, Traps: 2,
		Kinds:     map[string]int64{"map": 1, "hit": 3, "munmap": 1, "lost": 4},
		Probes:    []InfoProbe{{"a:g", 2}, {"a:f", 1}},
		Processes: []InfoProcess{{PID: 7, Comm: "early", Events: 3}, {PID: 9, Comm: "second", Events: 2}},
		Losses:    []InfoLoss{{nil, 1, 1, 0}, {&cpu, 3, 1, 20}, {&other, 6, 2, 40}},
		Warnings:  []string{"the clock of a guest"},
	}
	if diff := cmp.Diff(want, info, cmpopts.IgnoreUnexported(Info{}, InfoProcess{}), cmpopts.IgnoreFields(Info{}, "Unknown", "Lost")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info.LostEvents() != 10 || info.Lost == nil || *info.Lost != 10 {
		t.Errorf("%d are lost, as a number %v; want the 10 of the rows, more than the 5 that the source tells of", info.LostEvents(), info.Lost)
	}
	if got := info.HitsText() + ", " + info.LostText(); got != "3 hits of 2 traps, 10 lost" {
		t.Errorf("%s", got)
	}
	var b strings.Builder
	if err := info.Text(&b, "it's.parquet"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"it's.parquet: 9 events over 0s\n", ", 1 CPU, clock unknown\n", "lost 10 of 19 events\n",
		"  1 on an unknown CPU, in 1 gaps of 0s in all\n  3 on CPU 0, in 1 gaps of 20ns in all\n  6 on CPU 3, in 2 gaps of 40ns in all\n",
		"hit     3, traps: 2\n", "FROM 'it''s.parquet'", "\nwarning: the clock of a guest\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

// Losses that the source does not show are unknown, not none.
func TestInfoUnknown(t *testing.T) {
	info := infoOf(t, traces.Meta{Unknown: []traces.Unknown{{What: traces.UnknownLosses, Why: "the text does not show them", Remedy: "print them"}}},
		traces.Event{Kind: traces.Hit, Has: traces.ColProbe, Probe: "a:f"})
	var b strings.Builder
	if err := info.Text(&b, "t"); err != nil {
		t.Fatal(err)
	}
	if info.Lost != nil || info.LostText() != "losses unknown" || strings.Contains(b.String(), "lost 0") || !strings.Contains(b.String(), "losses unknown: the text") {
		t.Errorf("lost %v, %s in\n%s", info.Lost, info.LostText(), &b)
	}
	if got := info.HitsText(); got != "1 hits" {
		t.Errorf("%s", got)
	}
	if !strings.Contains(b.String(), "an unknown number of CPUs") || strings.Contains(b.String(), "traps:") {
		t.Errorf("%s", &b)
	}
}

// The text shows the most frequent and says how many more there are; equal ones are in
// the order of their names.
func TestInfoIsShort(t *testing.T) {
	var events []traces.Event
	for i := range int32(infoRows + 3) {
		for range 1 + i%2 {
			events = append(events, traces.Event{Kind: traces.Hit, Has: traces.ColPID | traces.ColProbe, PID: 100 - i, Comm: "p", Probe: fmt.Sprintf("a:%02d", 99-i)})
		}
	}
	info := infoOf(t, traces.Meta{CPUs: 4}, events...)
	var b strings.Builder
	if err := info.Text(&b, "t"); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\na:"); n != infoRows || !strings.Contains(b.String(), "and 3 more processes") || !strings.Contains(b.String(), "4 CPUs") {
		t.Errorf("%d probes in\n%s", n, &b)
	}
	if p := info.Probes; p[0].Probe != "a:86" || p[0].Hits != 2 || p[1].Probe != "a:88" || info.Processes[0].PID != 87 {
		t.Errorf("%v %v", p, info.Processes)
	}
	b.Reset()
	all := slices.DeleteFunc(events, func(ev traces.Event) bool { return ev.PID <= 100-infoRows })
	if err := infoOf(t, traces.Meta{}, all...).Text(&b, "t"); err != nil || strings.Contains(b.String(), "more processes") {
		t.Errorf("%v\n%s", err, &b)
	}
	if err := info.Text(&small{0, errFull}, "t"); err == nil {
		t.Error("a full disk is no error")
	}
}
