package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/sim"
)

// What is asked for is what is replayed, each option by itself and all others left alone.
func TestOptionsAreReplayed(t *testing.T) {
	inFolder(t)
	of := func(args ...string) string {
		t.Helper()
		var d reports.Document
		out := succeed(t, append([]string{"run", "-q", "-f", "--json", "-o", "x.run"}, append(args, "app.parquet")...)...)
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		var resolvers []string
		for i := range d.Runs {
			resolvers = append(resolvers, d.Runs[i].Resolver)
		}
		return fmt.Sprint(d.Machine.Name, " ", d.Machine.CPUs, " ", d.Timing, " ", d.Speed, " ", d.Clone, " ", d.Placement, " ", d.Seed, " ", strings.Join(resolvers, "+"), " ", d.Layout, strings.Join(d.WhatIf, "+"))
	}
	plain := strings.Fields(of())
	if want := "generic 2 original 1 1 recorded 1 locked+speculative"; strings.Join(plain, " ") != want {
		t.Fatalf("without options: %v, want %s", plain, want)
	}
	for _, test := range []struct {
		args []string
		at   int // of the field that is another one
		want string
	}{
		{[]string{"--machine", "xeon-6138x2"}, 0, "xeon-6138x2"},
		{[]string{"--cpus", "3"}, 1, "3"},
		{[]string{"--timing", "think"}, 2, "think"},
		{[]string{"--speed", "2.5"}, 3, "2.5"},
		{[]string{"--speed", "0.25x"}, 3, "0.25"},
		{[]string{"--clone", "2"}, 4, "2"},
		{[]string{"--placement", "spread"}, 5, "spread"},
		{[]string{"--seed", "7"}, 6, "7"},
		{[]string{"--resolver", "pervma"}, 7, "pervma"},
		{[]string{"--layout", "seq-apart"}, 8, "seq-apart"},
		{[]string{"--what-if", "mmap: drop"}, 8, "mmap: drop"},
	} {
		want := append(append([]string(nil), plain...), "")
		want[test.at] = test.want
		if got, want := of(test.args...), strings.TrimSpace(strings.Join(want, " ")); got != want && strings.TrimSpace(got) != want {
			t.Errorf("%v: %s, want %s", test.args, got, want)
		}
	}
}

// The window of the timeline is in the units that it is given in.
func TestTimelineWindow(t *testing.T) {
	for s, want := range map[string]replay.Window{
		"1ms,2ms":      {From: sim.Millisecond, To: 2 * sim.Millisecond},
		",3us":         {To: 3 * sim.Microsecond},
		"5ns,":         {From: 5 * sim.Nanosecond},
		"250ns,1500ns": {From: 250 * sim.Nanosecond, To: 1500 * sim.Nanosecond},
		"0s,0s":        {To: sim.Nanosecond}, // 0 would be no bound
	} {
		if got, err := parseWindow(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", s, got, err, want)
		}
	}
}

// A crossover is of the last resolver that speculates, whatever its version.
func TestCrossed(t *testing.T) {
	for list, want := range map[string]string{
		"locked,speculative": "speculative", "locked": "speculative", "speculative,pervma": "pervma",
		"pervma,speculative-v1,locked": "speculative-v1", "speculative-merged,ideal": "speculative-merged",
	} {
		if locked, speculative := crossed(strings.Split(list, ",")); locked != "locked" || speculative != want {
			t.Errorf("of %s: %s with %s, want %s", list, speculative, locked, want)
		}
	}
}

// A list of numbers has each of them once as it says, in its order.
func TestParseList(t *testing.T) {
	for s, want := range map[string]string{
		"1": "[1]", "1,2,4-8": "[1 2 4 5 6 7 8]", "3,1": "[3 1]", "5-5": "[5]", "65536": "[65536]",
		"": "", "0": "", "8-4": "", "1,": "", "-1": "", "65537": "", "1-": "", "a": "", "1.5": "",
	} {
		got, err := parseList("cpus", s)
		if text := fmt.Sprint(got); (err == nil) != (want != "") || want != "" && text != want || err != nil && !strings.Contains(err.Error(), "--cpus") {
			t.Errorf("%q: %s, %v; want %s", s, text, err, want)
		}
	}
}

// The benchmark runs as often as there are numbers of CPUs, with the seed that was given.
func TestBenchOptions(t *testing.T) {
	of := func(args ...string) (rows []string) {
		for i, line := range strings.Split(strings.TrimSpace(succeed(t, append([]string{"bench", "--machine", "xeon-6138x2", "--resolver", "locked"}, args...)...)), "\n") {
			if i > 0 {
				rows = append(rows, strings.Join(strings.Fields(line), " "))
			}
		}
		return rows
	}
	one, two := of("--cpus", "1,3"), of("--cpus", "1,3", "--seed", "2")
	if len(one) != 2 || len(two) != 2 || !strings.HasPrefix(one[0], "locked 1 ") || !strings.HasPrefix(one[1], "locked 3 ") {
		t.Errorf("%q, %q", one, two)
	}
	if one[1] == two[1] {
		t.Errorf("another seed changes nothing: %q", two[1])
	}
}
