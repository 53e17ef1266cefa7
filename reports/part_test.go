package reports

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// The parts of each kind add up to what the report has, and rows of one name are one part.
func TestParts(t *testing.T) {
	res := fixture()
	r := &res.Runs[1]
	r.Mms = append(r.Mms, r.Mms[0])
	r.Mms[len(r.Mms)-1].PID++
	d := NewDocument(res)
	parts := partsOf(d, "speculative")
	sums := map[PartKind]int64{}
	for _, p := range parts {
		sums[p.Part.Kind] += p.Metrics["fallbacks"].Milli / 1000
		for name, f := range p.Metrics {
			if !f.Known && name != "fallback_ppm" && name != "resolve_ns.mean" {
				t.Errorf("%s of %s is unknown", name, p.Part)
			}
		}
	}
	var mms, blame int64
	for _, m := range r.Mms {
		mms += m.Hits - m.Outcomes[sim.Lockless]
	}
	for _, b := range r.Blame {
		blame += b.Fallbacks
	}
	want := map[PartKind]int64{ProbePart: r.Fallbacks(), ProcessPart: mms, WriterPart: blame}
	if diff := cmp.Diff(want, sums); diff != "" {
		t.Errorf("fallbacks by kind (-want +got):\n%s", diff)
	}
	server := findPart(parts, Part{ProcessPart, "server"})
	if server == nil || server.Metrics["hits"].Milli != 2*1000*r.Mms[0].Hits {
		t.Errorf("two processes of one name are %+v", server)
	}
	malloc := findPart(parts, Part{ProbePart, "libc:malloc"})
	if got, want := malloc.Metrics["resolve_ns.mean"].Milli, malloc.Metrics["resolve_ns.total"].Milli*1000/malloc.Metrics["hits"].Milli; got != want {
		t.Errorf("mean resolve time of malloc is %d ps, want %d", got, want)
	}
}

// Rows of one name by hand: each figure is the sum, and where one is unknown the sum is. The
// dearest come first, by waits, fallbacks and name; what had no hits, or cost nobody anything,
// is no part.
func TestPartsByHand(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	ns := func(v int64) *Nanos { return new(Nanos(v)) }
	one, two := &Reasons{1, 2, 3, 4, 5, 6}, &Reasons{10, 20, 30, 40, 50, 60}
	d := &Document{
		Probes: []Probe{
			{Resolver: "r", Probe: "a", Hits: n(10), Lockless: n(7), Fallbacks: n(3), Reasons: one, ResolveNs: ns(1000), WaitNs: ns(100), WastedNs: ns(8)},
			{Resolver: "other", Probe: "a", Hits: n(999), Lockless: n(9), Fallbacks: n(9), Reasons: one, ResolveNs: ns(9), WaitNs: ns(9), WastedNs: ns(9)},
			{Resolver: "r", Probe: "a", Hits: n(30), Lockless: n(20), Fallbacks: n(10), Reasons: two, ResolveNs: ns(5000), WaitNs: ns(300), WastedNs: ns(9)},
			{Resolver: "r", Probe: "b", Hits: n(5), Lockless: n(5), Fallbacks: n(0), Reasons: one, ResolveNs: ns(9000), WaitNs: ns(900), WastedNs: ns(0)},
			{Resolver: "r", Probe: "b", Hits: n(6)},
			{Resolver: "r", Probe: "idle", Hits: n(0), Lockless: n(0), Fallbacks: n(0)},
		},
		Mms: &[]Mm{
			{Resolver: "r", Comm: "app", Hits: 4, Lockless: 3, Fallbacks: 1, Reasons: *one, WaitNs: 50},
			{Resolver: "r", Comm: "idle"},
			{Resolver: "r", Comm: "app", PID: 2, Hits: 6, Lockless: 4, Fallbacks: 2, Reasons: *two, WaitNs: 70},
		},
		Blame: &[]Blame{
			{Resolver: "r", Comm: "z", Kind: "brk", Fallbacks: 2, WaitNs: 40},
			{Resolver: "r", Comm: "y", Kind: "brk", Fallbacks: 3, WaitNs: 40},
			{Resolver: "r", Comm: "x", Kind: "brk", Fallbacks: 3, WaitNs: 40},
			{Resolver: "r", Comm: "x", Kind: "mmap", WaitNs: 41},
			{Resolver: "r", Comm: "w", Kind: "mmap", WastedNs: 1},
			{Resolver: "r", Comm: "w", Kind: "munmap", Fallbacks: 1},
			{Resolver: "r", Comm: "w", Kind: "idle", Sections: 7, HoldNs: 9},
			{Resolver: "r", Comm: "w", Kind: "mmap", TID: new(int32(9)), WastedNs: 2, Fallbacks: 0},
		},
	}
	parts := partsOf(d, "r")
	var names []string
	for _, p := range parts {
		names = append(names, p.Part.String())
	}
	// Of b the waits are unknown, which comes last.
	if diff := cmp.Diff([]string{"probe a", "probe b", "process app", "mmap by x", "brk by x", "brk by y", "brk by z", "munmap by w", "mmap by w"}, names); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	count := func(v int64) Figure { return countFigure(&v) }
	time := func(v int64) Figure { return timeFigure(ns(v)) }
	for part, want := range map[Part]map[string]Figure{
		{ProbePart, "a"}: {
			"hits": count(40), "lockless": count(27), "fallbacks": count(13), "resolve_ns.total": time(6000), "resolve_ns.mean": time(150), "lock_wait_ns.total": time(400), "wasted_ns": time(17),
			"reasons.writer_active": count(11), "reasons.seq_changed": count(22), "reasons.no_vma": count(33), "reasons.no_file": count(44), "reasons.no_uprobe": count(55), "reasons.unconfigured": count(66),
		},
		{ProbePart, "b"}: {
			"hits": count(11), "lockless": {}, "fallbacks": {}, "resolve_ns.total": {}, "lock_wait_ns.total": {}, "wasted_ns": {}, "reasons.writer_active": {}, "reasons.unconfigured": {},
		},
		{ProcessPart, "app"}: {
			"hits": count(10), "lockless": count(7), "fallbacks": count(3), "lock_wait_ns.total": time(120), "reasons.no_vma": count(33),
		},
		{WriterPart, "mmap by w"}: {"fallbacks": count(0), "lock_wait_ns.total": time(0), "wasted_ns": time(3)},
	} {
		f := findPart(parts, part)
		if f == nil {
			t.Errorf("no part %s", part)
			continue
		}
		for name, w := range want {
			if got, ok := f.Metrics[name]; !ok || got != w {
				t.Errorf("%s of %s: %+v, want %+v", name, part, got, w)
			}
		}
	}
}

// A writer that a baseline does not have cost nothing, if the baseline has all of them: fewer
// than it would keep, or all by its own word.
func TestWriterThatIsNotThere(t *testing.T) {
	entry := func(writers int, all bool) *EntryRun {
		parts := []PartFigures{{Part: Part{ProbePart, "p"}}}
		for i := range writers {
			parts = append(parts, PartFigures{Part: Part{WriterPart, "munmap by " + string(rune('a'+i))}, Metrics: map[string]Figure{"fallbacks": {5000, true}}})
		}
		return &EntryRun{Parts: &parts, AllParts: all}
	}
	other := Part{WriterPart, "brk by z"}
	for _, c := range []struct {
		writers int
		all     bool
		known   bool
	}{{0, false, true}, {partsKept - 1, false, true}, {partsKept, false, false}, {partsKept + 1, false, false}, {partsKept, true, true}} {
		f, ok := entry(c.writers, c.all).figure(other, "fallbacks")
		if ok != c.known || ok && f != (Figure{0, true}) {
			t.Errorf("of %d writers, all %v: %+v, %v", c.writers, c.all, f, ok)
		}
	}
	if f, ok := entry(1, true).figure(Part{WriterPart, "munmap by a"}, "fallbacks"); !ok || f.Milli != 5000 {
		t.Errorf("one that is there: %+v, %v", f, ok)
	}
	if _, ok := entry(1, true).figure(Part{ProbePart, "q"}, "fallbacks"); ok {
		t.Error("a probe that is not there is known")
	}
	if _, ok := (&EntryRun{AllParts: true}).figure(other, "fallbacks"); ok {
		t.Error("a baseline without parts knows a writer")
	}
}

func TestLimitsOfParts(t *testing.T) {
	base := baselineOf(t, fixture())
	limits := mustLimits(t, "fallbacks=any", "resolve_ns.total=any", "resolve_ns.p99=any", "lock_wait_ns.total=any", "wasted_ns=any",
		"fallbacks of process server=+0", "speculative:lock_wait_ns.total of writer munmap by gc<=900000", "reasons.writer_active of probe libc:malloc=+1%", "wasted_ns of writer brk by nobody=+0")
	if err := base.Replace("", []*Document{NewDocument(fixture())}, limits); err != nil {
		t.Fatal(err)
	}
	check := func(res *replay.Result) *Verdict {
		t.Helper()
		v, err := Check(base, []*Document{NewDocument(res)}, CheckOptions{Limits: limits, Tolerate: func(int64, int64) bool { return true }})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := check(fixture()); !v.Passed || v.Compared != 2*(3+3)+1 { // of each resolver 3 of the run and 3 of parts
		t.Errorf("unchanged: %+v", v)
	}
	for name, change := range map[string]func(*replay.Run){
		"fallbacks of process server rose from 71 to 81": func(r *replay.Run) { r.Mms[0].Outcomes[sim.Lockless] -= 10 },
		"lock_wait_ns.total of munmap by gc rose":        func(r *replay.Run) { r.Blame[0].Wait += sim.Millisecond },
		"reasons.writer_active of probe libc:malloc":     func(r *replay.Run) { r.Probes[0].Outcomes[sim.WriterActive]++ },
		"wasted_ns of brk by nobody rose from 0 ns to 7": func(r *replay.Run) {
			r.Blame = append(r.Blame, replay.Blame{Comm: "nobody", Kind: "brk", Writers: 1, Fallbacks: 1, Wasted: 7000})
		},
	} {
		res := fixture()
		change(&res.Runs[1])
		v := check(res)
		if v.Passed || len(v.Findings) != 1 || !strings.Contains(v.Findings[0].Message, name) {
			t.Errorf("%s: %+v", name, v.Findings)
		}
	}
	gone := fixture()
	gone.Runs[1].Probes = gone.Runs[1].Probes[1:]
	if v := check(gone); v.Passed || !strings.Contains(v.Findings[0].Message, "no hit of probe libc:malloc") {
		t.Errorf("a probe without hits: %+v", v.Findings)
	}
}

// A limit of a part is of the traces that have it.
func TestLimitOfAnotherTrace(t *testing.T) {
	other := func() *replay.Result {
		res := fixture()
		res.Trace.Path, res.Trace.SHA256 = "other.parquet", strings.Repeat("0d", 32)
		for i := range res.Runs {
			res.Runs[i].Probes[0].Probe = "other:f"
		}
		return res
	}
	limits := mustLimits(t, "fallbacks of probe libc:malloc=+0", "fallbacks of probe other:f=+0")
	base := baselineOf(t, fixture(), other())
	if err := base.Replace("", []*Document{NewDocument(fixture()), NewDocument(other())}, limits); err != nil {
		t.Fatal(err)
	}
	v, err := Check(base, []*Document{NewDocument(fixture()), NewDocument(other())}, CheckOptions{Limits: limits})
	if err != nil || !v.Passed || v.Compared != 2*2*(8+1) {
		t.Errorf("%+v, %v", v, err)
	}
	gone := other()
	for i := range gone.Runs {
		gone.Runs[i].Probes = gone.Runs[i].Probes[1:]
	}
	if v, err := Check(base, []*Document{NewDocument(fixture()), NewDocument(gone)}, CheckOptions{Limits: limits}); err != nil || v.Passed {
		t.Errorf("a probe that is hit no more passes: %+v, %v", v, err)
	}
}

// A worsening is put down to the probe and the writer that it lies in.
func TestWhereItLies(t *testing.T) {
	res := fixture()
	r := &res.Runs[1]
	r.Outcomes[sim.Lockless] -= 40
	r.Outcomes[sim.WriterActive] += 40
	r.Low, r.High = r.Low+40, r.High+40
	r.Probes[1].Outcomes[sim.Lockless] -= 40
	r.Probes[1].Outcomes[sim.WriterActive] += 40
	r.Blame[1].Fallbacks += 40
	v, err := Check(baselineOf(t, fixture()), []*Document{NewDocument(res)}, CheckOptions{Tolerate: func(int64, int64) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	const want = "fallbacks rose from 71 to 111 (+56.34 %), beyond the limit fallbacks=+0; most at probe app:run_query (fallbacks 0 to 40), from mmap by load\uFFFD[er (fallbacks 5 to 45)"
	if len(v.Findings) == 0 || v.Findings[0].Message != want {
		t.Errorf("got %+v\nwant %s", v.Findings, want)
	}
}

func TestReadLimits(t *testing.T) {
	limits, err := ReadLimits(strings.NewReader("# ours\n\nfallbacks = +5% # since 6.14\n  speculative: hits_per_s >= 1000\r\nfallbacks of probe \"a # b\" <= 3\nfallbacks of process a#b=+0"), "ci/limits")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range limits {
		got = append(got, strings.Join([]string{l.at.String(), l.Resolver, l.Metric, l.Part.String(), l.String()}, "|"))
	}
	want := []string{
		"ci/limits:3||fallbacks||fallbacks = +5%", "ci/limits:4|speculative|hits_per_s||speculative: hits_per_s >= 1000",
		`ci/limits:5||fallbacks|probe a # b|fallbacks of probe "a # b" <= 3`, "ci/limits:6||fallbacks|process a#b|fallbacks of process a#b=+0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for in, want := range map[string]string{
		"\nfallbacks":                      `l:2: limit "fallbacks": no = in it`,
		"fallbacks of thread x=1":          `l:1: limit "fallbacks of thread x=1": "thread" is no kind of part`,
		"fallbacks of probe =1":            `l:1: limit "fallbacks of probe =1": no name after probe`,
		`fallbacks of probe "x=1`:          "l:1: limit \"fallbacks of probe \\\"x=1\": the name after probe has no end",
		"hits_per_s of probe x=1":          `l:1: limit "hits_per_s of probe x=1": a probe has no metric "hits_per_s": want one of hits, lockless,`,
		"reasons.no_vma of writer x=1":     `a writer has no metric "reasons.no_vma": want one of fallbacks, lock_wait_ns.total, wasted_ns`,
		strings.Repeat("#\n", 600_000):     "l: longer than the limit of 1048576 bytes (limitsBytesMax)",
		"fallbacks of probe libc:malloc +": "no = in it",
	} {
		if l, err := ReadLimits(strings.NewReader(in), "l"); err == nil || l != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, %v; want %s", in, l, err, want)
		}
	}
	if diff := cmp.Diff([]string{"a=1", `b of probe "x,y"=2`, "c=3"}, SplitLimits(`a=1,,b of probe "x,y"=2 , c=3`)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
