package effects

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/tracetest"
)

func rank(t *testing.T, trace string, rules ...string) *Ranking {
	t.Helper()
	var given []Candidate
	for _, text := range rules {
		parsed, err := whatif.ParseAll(strings.Split(text, ";"))
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, Candidate{parsed, text})
	}
	o := replay.DefaultOptions()
	o.Resolvers = []string{"speculative"}
	r, err := Rank(t.Context(), replaytest.Corpus(t, trace), replaytest.Machine(t), o, given, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An effect is what a run with that what-if has, and those that save most come first.
func TestRank(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	r := rank(t, "churn-1x1")
	if len(r.Effects) != 2*4+1 {
		t.Errorf("%d effects: want four of two writers, and one of a probe", len(r.Effects))
	}
	for i, e := range r.Effects {
		rules, err := whatif.ParseAll(e.WhatIf)
		if err != nil {
			t.Fatal(err)
		}
		o := replay.DefaultOptions()
		o.Resolvers, o.WhatIf = []string{"speculative"}, rules
		res, err := replay.Play(t.Context(), trace, replaytest.Machine(t), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := figures(&res.Runs[0]); got != e.New {
			t.Errorf("%v: %+v, and a run has %+v", e.WhatIf, e.New, got)
		}
		if i > 0 && e.New.LockWait < r.Effects[i-1].New.LockWait {
			t.Errorf("%v saves more than the one before", e.WhatIf)
		}
	}
	if last := r.Effects[len(r.Effects)-1]; r.Effects[0].New.LockWait >= last.New.LockWait || last.New.LockWait > r.Base.LockWait*101/100 {
		t.Errorf("vacuous: from %s to %s of %s", r.Effects[0].New.LockWait, last.New.LockWait, r.Base.LockWait)
	}
}

// Doing without all who cost anything costs nothing; what is asked for is all that is tried.
func TestGiven(t *testing.T) {
	r := rank(t, "stress-malloc-z", "write: drop", "munmap by comm=nobody: drop", "hit by probe=probe_libc:malloc: sample 2; write: drop", "mprotect: repeat 3")
	if len(r.Effects) != 4 {
		t.Fatalf("%d effects", len(r.Effects))
	}
	var b bytes.Buffer
	if err := r.Text(&b, false); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"If write: drop, waits are gone, and fallbacks are gone.", "If munmap by comm=nobody: drop: nothing in the trace is a case of that.", "rise by "} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if half := r.Effects[slices.IndexFunc(r.Effects, func(e Effect) bool { return len(e.WhatIf) == 2 })]; half.New.Hits < r.Base.Hits/2-4 || half.New.Hits > r.Base.Hits/2 {
		t.Errorf("%d hits of %d", half.New.Hits, r.Base.Hits)
	}
	if half := r.Effects[0]; half.New.Fallbacks != 0 {
		t.Errorf("the first saves %+v", half)
	}
}

func TestSentences(t *testing.T) {
	r := &Ranking{
		Schema: Schema, Machine: "generic", CPUs: 2, Resolver: "speculative", Base: Figures{Hits: 1000, Fallbacks: 40, LockWait: 8_000_000},
		Effects: []Effect{
			{WhatIf: []string{"munmap: drop"}, If: "a", New: Figures{1000, 0, 0, 0, 0}, Matched: true},
			{WhatIf: []string{"munmap: batch 2"}, If: "b", New: Figures{1000, 20, 2_400_000, 0, 0}, Matched: true},
			{WhatIf: []string{"munmap: move to x"}, If: "c", New: Figures{1000, 40, 8_000_000, 0, 0}, Matched: true},
			{WhatIf: []string{"munmap: repeat 2"}, If: "d", New: Figures{1000, 42, 100_000_000, 0, 0}, Matched: true},
			{WhatIf: []string{`munmap by comm="\x1b": drop`}, If: "e\x1b", Matched: false},
			{WhatIf: []string{"brk: drop"}, If: "f", Failure: "no"},
		},
		Warnings: []string{"w"},
	}
	var b bytes.Buffer
	if err := r.Text(&b, true); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "ranking.txt", b.String())
	b.Reset()
	for range 4 {
		r.Effects = append(r.Effects, r.Effects...)
	}
	if err := r.Text(&b, false); err != nil || !strings.Contains(b.String(), "84 more do less; -v or --json has all.") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// The dearest writers are each tried in four ways, and the probe by a tenth; who cost
// nothing, or has no name that a rule could have, is not tried.
func TestCandidates(t *testing.T) {
	blame := func(comm, kind string, fallbacks int64) (b replay.Blame) {
		b.Comm, b.Kind, b.Fallbacks = comm, kind, fallbacks
		return b
	}
	run := &replay.Run{Blame: []replay.Blame{blame("gc x", "munmap", 9), blame("gc x", "munmap", 3), blame("", "mmap", 2), blame("idle", "brk", 0)}}
	run.Probes = make([]replay.ProbeRow, 2)
	run.Probes[0].Probe, run.Probes[0].Hits = "libc:malloc", 5
	var got []string
	for _, c := range Candidates(run) {
		got = append(got, c.Rules.String()+" | "+c.If)
	}
	want := []string{
		`munmap by comm="gc x": batch 2 | the munmaps of gc x were halved`,
		`munmap by comm="gc x": drop | there were none of the munmaps of gc x`,
		`munmap by comm="gc x": scale 0.5 | the munmaps of gc x held the lock half as long`,
		`munmap by comm="gc x": move to helper | a thread of its own did the munmaps of gc x`,
		`hit by probe=libc:malloc: sample 10 | libc:malloc was hit a tenth as often`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Six writers are tried, and of the three probes that are hit most those that are hit at all.
func TestCandidatesAreFew(t *testing.T) {
	run := &replay.Run{Blame: make([]replay.Blame, 9), Probes: make([]replay.ProbeRow, 4)}
	for i := range run.Blame {
		b := &run.Blame[i]
		b.Comm, b.Kind, b.Fallbacks = string(rune('a'+i)), "munmap", int64(9-i)
	}
	for i := range run.Probes {
		run.Probes[i].Probe, run.Probes[i].Hits = "p:"+string(rune('a'+i)), int64([]int{7, 1, 0, 0}[i])
	}
	var got []string
	for _, c := range Candidates(run) {
		got = append(got, c.Rules[0].By[0].Value)
	}
	want := strings.Split("a a a a b b b b c c c c d d d d e e e e f f f f p:a p:b", " ")
	if !slices.Equal(got, want) {
		t.Errorf("tried %q, want %q", got, want)
	}
	run.Probes[2].Hits, run.Probes[3].Hits = 1, 1
	if all := Candidates(run); len(all) != 6*4+3 {
		t.Errorf("%d candidates", len(all))
	}
}

// What saves most comes first, by waits, fallbacks and the time to resolve; what was not
// replayed saves nothing.
func TestOrder(t *testing.T) {
	want := []Effect{
		{If: "a", New: Figures{LockWait: 1, Fallbacks: 9}},
		{If: "b", New: Figures{LockWait: 2, Fallbacks: 1, Resolve: 9}},
		{If: "c", New: Figures{LockWait: 2, Fallbacks: 2, Resolve: 1}, original: 9},
		{If: "d", New: Figures{LockWait: 2, Fallbacks: 2, Resolve: 2}, original: 1},
		{If: "e", New: Figures{LockWait: 2, Fallbacks: 2, Resolve: 2}, original: 2},
		{If: "f", Failure: "no"},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, bySavings)
	for i := range want {
		if got[i].If != want[i].If {
			t.Errorf("%d: got %s, want %s", i, got[i].If, want[i].If)
		}
	}
}

func TestChange(t *testing.T) {
	for _, c := range []struct {
		was, is int64
		want    string
	}{{4, 4, "stay as they are"}, {0, 0, "stay as they are"}, {0, 3, "come up"}, {3, 0, "are gone"}, {4, 3, "fall by 25 %"}, {4, 5, "rise by 25 %"}, {1, 10, "rise by 900 %"}, {1, 11, "are 11 times as much"}} {
		if got := change(c.was, c.is); got != c.want {
			t.Errorf("from %d to %d: %q, want %q", c.was, c.is, got, c.want)
		}
	}
}

// A rule is shown as a shell takes it.
func TestInShell(t *testing.T) {
	r := &Ranking{Effects: []Effect{{WhatIf: []string{`munmap by comm="it's $x": drop`, "brk: drop"}, Matched: true}}}
	var b bytes.Buffer
	if err := r.Text(&b, false); err != nil {
		t.Fatal(err)
	}
	_, word, _ := strings.Cut(b.String(), "--what-if ")
	out, err := exec.Command("sh", "-c", "printf %s "+word).Output()
	if want := strings.Join(r.Effects[0].WhatIf, "; "); err != nil || string(out) != want {
		t.Errorf("a shell reads %q, %v; want %q", out, err, want)
	}
}

// What is changed anyhow is changed under each candidate, too.
func TestOnTop(t *testing.T) {
	rules, err := whatif.ParseAll([]string{"write: drop"})
	if err != nil {
		t.Fatal(err)
	}
	hit, err := whatif.ParseAll([]string{"hit: sample 2"})
	if err != nil {
		t.Fatal(err)
	}
	o := replay.DefaultOptions()
	o.Resolvers, o.WhatIf = []string{"speculative"}, rules
	r, err := Rank(t.Context(), replaytest.Corpus(t, "stress-malloc-z"), replaytest.Machine(t), o, []Candidate{{hit, "half"}}, nil)
	if err != nil || r.Base.Fallbacks != 0 || r.Effects[0].New.Fallbacks != 0 || r.Effects[0].New.Hits >= r.Base.Hits {
		t.Errorf("%+v, %v", r, err)
	}
}

// What nobody recorded nobody can rank.
func TestUnknown(t *testing.T) {
	var rows []traces.Event
	for i := range int64(50) {
		rows = append(rows, traces.Event{Has: traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColProbe, Kind: traces.Hit, Time: 1000 + i*1000, Seq: i, PID: 1, TID: 1, Addr: 0x1000, Probe: "a:f"})
	}
	o := replay.DefaultOptions()
	o.Resolvers = []string{"speculative"}
	if r, err := Rank(t.Context(), replaytest.Made(rows), replaytest.Machine(t), o, nil, nil); !errors.Is(err, ErrUnknown) || r != nil {
		t.Errorf("got %+v, %v", r, err)
	}
}

// A replay whose lookups wait longer than recorded ones did says too much of what is saved.
func TestCrowded(t *testing.T) {
	result := func(change func(*replay.Result)) *replay.Result {
		res := &replay.Result{Recorded: &timeline.Recording{Outcomes: true}, Runs: []replay.Run{{Resolver: "speculative"}}}
		res.Recorded.LockWait.Total, res.Runs[0].LockWait.Total = 97*sim.Millisecond, 200*sim.Millisecond
		change(res)
		return res
	}
	same := func(*replay.Result) {}
	plain, moved := replay.DefaultOptions(), replay.DefaultOptions()
	moved.Clone = 2
	if w := crowded(result(same), &plain); !strings.Contains(w, "lookups wait 200 ms here, and waited 97.0 ms when they were recorded") {
		t.Errorf("twice as long: %q", w)
	}
	for what, w := range map[string]string{
		"a quarter longer": crowded(result(func(r *replay.Result) { r.Runs[0].LockWait.Total = 97 * sim.Millisecond * 5 / 4 }), &plain),
		"clones":           crowded(result(same), &moved),
		"under the lock":   crowded(result(func(r *replay.Result) { r.Runs[0].Resolver = "locked" }), &plain),
		"no lock events":   crowded(result(func(r *replay.Result) { r.Recorded = nil }), &plain),
		"unknown outcomes": crowded(result(func(r *replay.Result) { r.Recorded.Outcomes = false }), &plain),
		"unknown waits":    crowded(result(func(r *replay.Result) { r.Recorded.Untimed = true }), &plain),
		"an older kernel":  crowded(result(func(r *replay.Result) { r.Trace.TakesLock = true }), &plain),
	} {
		if w != "" {
			t.Errorf("%s: %s", what, w)
		}
	}
}
