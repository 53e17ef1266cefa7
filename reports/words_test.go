package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Spans have three digits on both sides of each change of unit and of decimals.
func TestSpanEdges(t *testing.T) {
	for ps, want := range map[sim.Time]string{
		9_995: "10.0 ns", 99_949: "99.9 ns", 99_950: "100 ns", 999_500: "1.00 µs", 9_995_000: "10.0 µs", 99_950_000: "100 µs", 999_500_000: "1.00 ms",
		999_500 * sim.Microsecond: "1.00 s", 999_500 * sim.Millisecond: "1000 s",
	} {
		if got := span(ps); got != want {
			t.Errorf("%d ps: got %s, want %s", int64(ps), got, want)
		}
	}
}

func TestShareEdges(t *testing.T) {
	for _, c := range []struct {
		part, whole int64
		want        string
	}{{1, 10_000, "0.01 %"}, {99, 1_000_000, "<0.01 %"}, {9_999, 10_000, "99.99 %"}, {999_901, 1_000_000, ">99.99 %"}} {
		if got := share(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: got %s, want %s", c.part, c.whole, got, c.want)
		}
	}
}

func TestChange(t *testing.T) {
	for _, c := range []struct {
		a, b sim.Time
		want string
	}{
		{0, 5, ""}, {5, 5, ""}, {1000, 1004, " (about the same)"}, {1000, 996, " (about the same)"}, {1000, 1005, " (0 % more)"},
		{1000, 1500, " (50 % more)"}, {1000, 500, " (50 % less)"}, {100, 1000, " (900 % more)"}, {100, 1100, " (11 times as much)"},
	} {
		if got := change(c.a, c.b); got != c.want {
			t.Errorf("%d to %d: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

// The words for how a figure moved say the right way.
func TestMoved(t *testing.T) {
	m, err := findMetric("wasted_ns")
	if err != nil {
		t.Fatal(err)
	}
	five, ten, none := Figure{5_000, true}, Figure{10_000, true}, Figure{0, true}
	for _, c := range []struct {
		was, is Figure
		want    string
	}{
		{five, ten, "wasted_ns rose from 5 ns to 10 ns (+100.00 %)"}, {ten, five, "wasted_ns fell from 10 ns to 5 ns (-50.00 %)"},
		{five, five, "wasted_ns stayed at 5 ns"}, {none, five, "wasted_ns rose from 0 ns to 5 ns (from nothing)"}, {Figure{}, five, "wasted_ns is 5 ns"},
	} {
		if got := moved(m.name, m, c.was, c.is); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if got := byHowMuch(five, five); got != "0.00 %" {
		t.Errorf("no change is %s", got)
	}
	if got := byHowMuch(Figure{}, five) + byHowMuch(five, Figure{}); got != "––" {
		t.Errorf("a change of the unknown is %s", got)
	}
}

// Who is dearest, and what for, is in the headline; a writer may cost waits alone, or
// fallbacks alone.
func TestBlameSentence(t *testing.T) {
	for _, c := range []struct {
		fallbacks int64
		wait      sim.Time
		guilty    int
		want      string
	}{
		{0, 0, 0, ""},
		{0, sim.Microsecond, 1, "Most to blame: munmap of thread gc (tid 720) and made hits wait 1.00 µs."},
		{5, 0, 1, "Most to blame: munmap of thread gc (tid 720), which spoiled 5 hits (50.00 % of the fallbacks) and made hits wait 0 ns."},
	} {
		r := &replay.Run{Resolver: "speculative", Hits: 10, Outcomes: [sim.NumOutcomes]int64{sim.SeqChanged: 10}}
		r.Blame = []replay.Blame{{Comm: "gc", TID: 720, Kind: "munmap", Fallbacks: c.fallbacks, Wait: c.wait}, {Comm: "idle"}}
		if got := blameSentence(r); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if got := guilty(r); len(got) != c.guilty {
			t.Errorf("%d fallbacks and %v of waiting: %d are guilty", c.fallbacks, c.wait, len(got))
		}
	}
	if got := blameSentence(&replay.Run{}); got != "" {
		t.Errorf("nobody is to blame: %s", got)
	}
}

// What lost events leave open is said where there is any, of the trace or of the run.
func TestBoundsSentence(t *testing.T) {
	for _, c := range []struct {
		lost, undecided int64
		want            string
	}{
		{0, 0, ""},
		{0, 2, "Between 5 and 9 hits fell back: 0 of 100 events were lost (0 %), which leaves 2 hits undecided."},
		{25, 0, "Between 5 and 9 hits fell back: 25 of 125 events were lost (20.00 %), which leaves 0 hits undecided."},
	} {
		got := boundsSentence(&replay.TraceSummary{Events: 100, Lost: c.lost}, &replay.Run{Low: 5, High: 9, Undecided: c.undecided})
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestLossFinding(t *testing.T) {
	tr := replay.TraceSummary{Events: 90, Lost: 10, LossyNs: 1500, Undecided: 1}
	for n, want := range map[int]string{
		0: "lost events: 10 of 100 (10.00 %)",
		1: "lost events: 10 of 100 (10.00 %), in 1 gap; 1.50 µs of the trace and 1 write section are undecided",
	} {
		tr.Losses = make([]timeline.Loss, n)
		if got := lossFinding(&tr); got != (finding{caution, want}) {
			t.Errorf("got  %v\nwant %s", got, want)
		}
	}
	if got := lossFinding(&replay.TraceSummary{Events: 90}); got != (finding{plain, "lost events: none of 90"}) {
		t.Errorf("got %v", got)
	}
}

// Colour is only on top: without escapes the report is the plain one, and what is good,
// bad or in doubt has its own.
func TestEmphasis(t *testing.T) {
	t1 := newTextReport(TextOptions{Color: true})
	for e, want := range map[emphasis]string{plain: "x", strong: "\x1b[1mx\x1b[0m", good: "\x1b[32mx\x1b[0m", bad: "\x1b[31mx\x1b[0m", caution: "\x1b[33mx\x1b[0m"} {
		if got := t1.paint(e, "x"); got != want {
			t.Errorf("%d: %q, want %q", e, got, want)
		}
		if got := newTextReport(TextOptions{}).paint(e, "x"); got != "x" {
			t.Errorf("%d without colour: %q", e, got)
		}
	}
	all := &replay.Run{Hits: 2, Outcomes: [sim.NumOutcomes]int64{sim.Lockless: 2}}
	some := &replay.Run{Hits: 2, Outcomes: [sim.NumOutcomes]int64{sim.Lockless: 1, sim.NoVMA: 1}}
	if resultEmphasis(all) != good || resultEmphasis(some) != strong {
		t.Error("a run without fallbacks is good, others are not")
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		s     string
		width int
		want  string
	}{{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"äöüß", 3, "äö…"}, {"", 3, ""}} {
		if got := clip(c.s, c.width); got != c.want || columns(got) > c.width {
			t.Errorf("%s in %d: %s, want %s", c.s, c.width, got, c.want)
		}
	}
}

// Lines of callers fill the width and no more.
func TestCallersFill(t *testing.T) {
	res := fixture()
	res.Recorded = recordedResult().Recorded
	long := []string{strings.Repeat("f", 200) + "+0x1 (/bin/app)"}
	for i := range res.Runs {
		res.Runs[i].Blame[0].Stack = long
	}
	for i := range res.Recorded.Holders {
		res.Recorded.Holders[i].Stack = long
	}
	longest := map[string]int{}
	for line := range strings.SplitSeq(textOf(t, res, TextOptions{}), "\n") {
		if strings.Contains(line, "ffff") {
			key, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			longest[key] = columns(line)
		}
	}
	if len(longest) < 3 {
		t.Fatalf("vacuous: %v", longest)
	}
	for who, n := range longest {
		if n != defaultWidth {
			t.Errorf("the line of %s has %d columns, want %d", who, n, defaultWidth)
		}
	}
}

// Frames with odd names are taken apart at the right place.
func TestFrameEdges(t *testing.T) {
	for s, want := range map[string]frame{
		"":                            {},
		"main":                        {symbol: "main"},
		" (/bin/app)":                 {module: "/bin/app"},
		"0x1234 (/bin/app)":           {symbol: "0x1234", module: "/bin/app"},
		"f+0x1 (/bin/a (deleted))":    {symbol: "f", module: "/bin/a (deleted)"},
		"f (int)+0x1 (/bin/app)":      {symbol: "f (int)", module: "/bin/app"},
		"operator() (int) (/bin/app)": {symbol: "operator() (int)", module: "/bin/app"},
		"f0x1 (/bin/app)":             {symbol: "f0x1", module: "/bin/app"},
		"+0x1":                        {symbol: "+0x1"},
		"f+0x1 (open":                 {symbol: "f"},
		"0x1 (/bin/a (deleted))":      {symbol: "0x1", module: "/bin/a (deleted)"},
		" (x)+0x1 (/bin/a (deleted))": {symbol: " (x)", module: "/bin/a (deleted)"},
	} {
		if got := parseFrame(s); got != want {
			t.Errorf("%q: %+v, want %+v", s, got, want)
		}
	}
	for f, want := range map[frame]string{
		{"0x1", "/usr/bin/app"}: "0x1 in app", {"0x1", ""}: "0x1", {"main", "/usr/bin/app"}: "main",
	} {
		if got := f.label(); got != want {
			t.Errorf("%+v is called %q, want %q", f, got, want)
		}
	}
	for f, kernel := range map[frame]bool{
		{"a", "[kernel.kallsyms]"}: true, {"a", "[ext4]"}: true, {"a", "/lib/modules/6.18/fuse.ko"}: true,
		{"a", "[vdso]"}: false, {"a", "[vsyscall]"}: false, {"a", "[unknown]"}: false, {"a", "/bin/app"}: false, {"a", ""}: false,
	} {
		if f.kernel() != kernel {
			t.Errorf("%+v: in the kernel is %v", f, f.kernel())
		}
	}
}

// The base of a comparison has hits that locked; one without hits tells nothing.
func TestBaseRun(t *testing.T) {
	locks := func(name string, hits int64) replay.Run {
		return replay.Run{Resolver: name, Hits: hits, Outcomes: [sim.NumOutcomes]int64{sim.Unconfigured: hits}}
	}
	res := &replay.Result{Runs: []replay.Run{locks("refcount", 0), locks("srcu", 1), locks("locked", 1)}}
	if got := baseRun(res); got == nil || got.Resolver != "srcu" {
		t.Errorf("the base is %+v", got)
	}
	if got := baseRun(&replay.Result{Runs: res.Runs[:1]}); got != nil {
		t.Errorf("the base is %+v", got)
	}
}

// Figures for benchstat, by hand: 4 hits, 8 ns of resolving, 2 of them waiting.
func TestBenchfmtFigures(t *testing.T) {
	res := emptyResult()
	res.Runs = []replay.Run{{
		Resolver: "locked", Hits: 4, Outcomes: [sim.NumOutcomes]int64{sim.Lockless: 1, sim.Unconfigured: 3}, Low: 2, High: 5,
		Resolve: dist.Dist{Total: 8 * sim.Nanosecond}, Parts: sim.Parts{LockWait: 2 * sim.Nanosecond}, WriterWait: dist.Dist{Total: 7 * sim.Nanosecond}, LineTransfers: 6,
	}}
	line := func() string {
		var out bytes.Buffer
		if err := Benchfmt(&out, res); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return lines[len(lines)-1]
	}
	if got, want := line(), "BenchmarkReplay/trace=none/resolver=locked-1 4 3 fallbacks 2 fallbacks-low 5 fallbacks-high 2 resolve-ns/hit 0.5 lock-wait-ns/hit 7 writer-wait-ns 1.5 line-transfers/hit"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	res.Runs[0] = replay.Run{Resolver: "locked"} // no hits divide nothing
	if got := line(); strings.Contains(got, "NaN") || !strings.Contains(got, " 0 resolve-ns/hit") {
		t.Errorf("got %s", got)
	}
}

// The cards of the page are bad where something was paid, and have bounds where events
// were lost.
func TestCards(t *testing.T) {
	res := fixture()
	res.Trace.Lost = 0
	all := cards(res)
	if !all[1].Bad || !all[2].Bad || strings.Contains(all[1].Note, "lost") {
		t.Errorf("%+v", all)
	}
	res.Trace.Lost = 1
	if r := mainRun(res); cards(res)[1].Note != fmt.Sprintf("%d to %d, since events were lost", r.Low, r.High) {
		t.Errorf("%+v", cards(res)[1])
	}
	quiet := mainRun(res)
	quiet.Outcomes = [sim.NumOutcomes]int64{sim.Lockless: quiet.Hits}
	quiet.LockWait = dist.Dist{}
	if all := cards(res); all[1].Bad || all[2].Bad {
		t.Errorf("nothing was paid, but: %+v", all)
	}
	quiet.Hits = 0
	quiet.Outcomes = [sim.NumOutcomes]int64{}
	res.Runs = []replay.Run{*quiet}
	if all := cards(res); all != nil {
		t.Errorf("cards about no hit: %+v", all)
	}
}

// Charts are of runs that have something to draw.
func TestCharts(t *testing.T) {
	ids := func(res *replay.Result) string {
		var all []string
		for _, c := range charts(res) {
			all = append(all, c.ID)
		}
		return strings.Join(all, " ")
	}
	for want, change := range map[string]func(*replay.Run){
		"over-time-1 phases latency": func(*replay.Run) {},
		"phases latency":             func(r *replay.Run) { r.Series.Slices = nil },
		"phases latency ":            func(r *replay.Run) { r.Series.Step = 0 },
		"over-time-1 phases":         func(r *replay.Run) { r.ResolveHist = nil },
	} {
		res := fixture()
		if want == "over-time-1 phases" {
			res.Runs[0].ResolveHist = nil
		}
		change(&res.Runs[1])
		if got := ids(res); got != strings.TrimSpace(want) {
			t.Errorf("charts %q, want %q", got, want)
		}
	}
	res := fixture()
	if c := phases(res); len(c.Lines) != 2 || len(c.Lost) != len(res.Trace.Losses) {
		t.Errorf("phases %+v", c)
	} else {
		// Runs of which one's slices are longer are to that one's.
		res.Runs[1].Series.Double()
		var hits, of float64
		for _, n := range phases(res).Bars[0].Values {
			hits += n
		}
		for i, n := range c.Bars[0].Values {
			of += n * c.Lines[0].Values[i]
		}
		if d := phases(res); d.StepNs != 2*c.StepNs || hits != float64(res.Runs[1].Hits) || len(d.Lines[0].Values) != 20 {
			t.Errorf("phases of longer slices %+v", d)
		}
		if mean := of / hits; mean < 0.999*inNanos(res.Runs[0].Resolve.Mean()) || mean > 1.001*inNanos(res.Runs[0].Resolve.Mean()) {
			t.Errorf("phases have a hit at %v ns, it is %v", mean, inNanos(res.Runs[0].Resolve.Mean()))
		}
	}
	res = fixture()
	if c := charts(res)[0]; !strings.HasSuffix(c.Hint, "Shaded: events were lost there.") || len(c.Lost) != len(res.Trace.Losses) {
		t.Errorf("%q, lost %v", c.Hint, c.Lost)
	}
	res.Trace.Losses = nil
	if c := charts(res)[0]; strings.Contains(c.Hint, "Shaded") || c.Lost != nil {
		t.Errorf("%q, lost %v", c.Hint, c.Lost)
	}
}

// The curve of latencies, by hand: 1 of 4 hits within 2 ns, 3 within 4, all within 8; an
// axis that is logarithmic starts above 0.
func TestLatency(t *testing.T) {
	ns := sim.Nanosecond
	run := replay.Run{Resolver: "locked", Hits: 4, ResolveHist: []dist.Bin{{Low: ns, High: 2 * ns, Count: 1}, {Low: 2 * ns, High: 4 * ns, Count: 2}, {Low: 4 * ns, High: 8 * ns, Count: 1}}}
	c := latency([]replay.Run{run, {Resolver: "none"}})
	if diff := cmp.Diff([]float64{1, 2, 4, 8}, c.X); diff != "" {
		t.Errorf("x (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]runCurve{{"locked", []float64{0, 25, 75, 100}}}, c.Runs); diff != "" {
		t.Errorf("curves (-want +got):\n%s", diff)
	}
	run.ResolveHist[0].Low = 0
	if c := latency([]replay.Run{run}); c.X[0] != 2 {
		t.Errorf("the axis starts at %g", c.X[0])
	}
}

// Tables of the page say what they leave out, and none is empty.
func TestPageTables(t *testing.T) {
	cut := func(n int) *pageTable {
		table := &pageTable{Columns: []pageColumn{words("a")}}
		for range n {
			table.add(nil, "x")
		}
		return table.cut()
	}
	if table := cut(15); table.Cut || table.More != "" || table.Rows[14].Rest {
		t.Errorf("few rows: %+v", table)
	}
	if table := cut(16); !table.Cut || table.More != "12 of 16 rows" || table.Rows[11].Rest || !table.Rows[12].Rest {
		t.Errorf("more: %+v", table)
	}
	if table := cut(1301); len(table.Rows) != 300 || table.More != "12 of 1,301 rows; those beyond 300 are in report.json alone" {
		t.Errorf("too many: %d rows, %q", len(table.Rows), table.More)
	}
	if got := figureTable(nil); len(got.Rows) != 0 {
		t.Errorf("figures of no run: %+v", got)
	}
	for _, res := range []*replay.Result{fixture(), emptyResult(), {}} {
		for _, table := range pageTables(res) {
			if len(table.Rows) == 0 {
				t.Errorf("an empty table: %+v", table)
			}
		}
	}
	r := replay.Run{Resolver: "locked", Lines: []replay.LineRow{{Line: "cold", Accesses: 5}, {Line: "hot", Accesses: 5, Transfers: 1}}}
	if rows := lineTable([]replay.Run{r}).Rows; len(rows) != 1 || rows[0].Cells[1].Text != "hot" {
		t.Errorf("lines %+v, want the one that moved", rows)
	}
	text := newTextReport(TextOptions{})
	text.lines([]replay.Run{r})
	if s := text.b.String(); !strings.Contains(s, "hot ") || strings.Contains(s, "cold") {
		t.Errorf("lines in\n%s", s)
	}
}

// The parts of a stacked bar are shares of the whole, without those that are nothing.
func TestBars(t *testing.T) {
	var b bar
	b.add("a", "one", 1, 4)
	b.add("b", "none", 0, 4)
	b.add("c", "of nothing", 1, 0)
	if want := []barPart{{"a", "one", "25.0000"}}; !cmp.Equal(want, b.Parts) || b.Text != " one;" {
		t.Errorf("%+v", b)
	}
}

// Sentences about a recording are there where there is something to say.
func TestRecordedSentences(t *testing.T) {
	res := recordedResult()
	r := res.Recorded
	says := func() string {
		var b strings.Builder
		for _, f := range recordedFindings(res) {
			b.WriteString(f.text + "\n")
		}
		return b.String() + whyDifferent(res, &res.Runs[1])
	}
	sentences := []string{"were lost", "did not get it", "without an end", "a hold of", "nobody was seen with it", "threads of other processes"}
	res.Trace.Lost = 3
	for _, s := range sentences {
		if !strings.Contains(says(), s) {
			t.Errorf("no %q in\n%s", s, says())
		}
	}
	res.Trace.Lost, r.Refused, r.Unended, r.Foreign, r.Longest.Hold, r.Longest.InWay = 0, 0, 0, 0, 0, r.Longest.Wait
	for _, s := range sentences {
		if strings.Contains(says(), s) {
			t.Errorf("%q in\n%s", s, says())
		}
	}
	if doc := newLongestWait(r.Longest); doc.Holder.HoldNs != nil {
		t.Errorf("a hold without an end took %v", *doc.Holder.HoldNs)
	}
	r.Longest.InWay = r.Longest.Wait - r.Longest.Wait/10 // the tenth that a wake-up may take
	if strings.Contains(says(), "nobody was seen with it") {
		t.Errorf("a tenth of the wait is news in\n%s", says())
	}
	r.WriterWait, r.ReaderWait = dist.Dist{}, dist.Dist{}
	if got := waitSentence(r); got != "Nobody else asked for it." {
		t.Errorf("%s", got)
	}
	r.ReaderWait = distOf([]sim.Time{4 * sim.Microsecond})
	if got := waitSentence(r); got != "Other readers waited 4.00 µs in 1 section, at worst 4.00 µs." {
		t.Errorf("%s", got)
	}
}

// A loss on CPU 0 is on a CPU; one on an unknown CPU is on none.
func TestLossCPU(t *testing.T) {
	losses := *newTrace(&replay.TraceSummary{Losses: []timeline.Loss{{CPU: 0}, {CPU: -1}}}).Losses
	if losses[0].CPU == nil || *losses[0].CPU != 0 || losses[1].CPU != nil {
		t.Errorf("%+v", losses)
	}
}

// A report of hits that were sampled has no count of them anywhere.
func TestUnknownHits(t *testing.T) {
	res := recordedResult()
	res.Unknown = []replay.Unknown{{What: replay.UnknownHits, Why: "they were sampled", Remedy: "record all"}}
	d := NewDocument(res)
	if d.Trace.Hits != nil || d.Recorded.Hits != nil || d.Recorded.Lookups != nil || d.Runs[1].Hits != nil || d.Probes[0].Hits != nil {
		t.Errorf("%+v", d)
	}
	if (&Document{}).unknown() != nil || len(d.unknown()) != 1 {
		t.Errorf("unknown is %v", d.unknown())
	}
	res.Recorded = nil
	if d := NewDocument(res); d.Recorded != nil {
		t.Errorf("%+v", d.Recorded)
	}
}

// The ledger adds up over every reason.
func TestReasonsSum(t *testing.T) {
	if got := (&Reasons{1, 20, 300, 4000, 50_000, 600_000}).sum(); got != 654_321 {
		t.Errorf("the reasons add up to %d", got)
	}
}

// Parts of a lookup's time never add up to more than it, whatever the ledger says.
func TestSplit(t *testing.T) {
	f := framesOf("speculative").trap
	ns := sim.Nanosecond
	got := split(sim.Parts{Lookup: 70 * ns, Stall: 30 * ns, Wasted: 40 * ns, LockHold: 80 * ns, LockWait: 5 * ns}, sim.SeqChanged, f)
	var times []sim.Time
	for _, p := range got {
		times = append(times, p.resolve)
	}
	if want := []sim.Time{40 * ns, 0, 5 * ns, 60 * ns}; !cmp.Equal(want, times) {
		t.Errorf("wasted, taking, waiting, held: %v, want %v", times, want)
	}
}

// An output is not overwritten unasked, and what fails leaves what was there.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	if err := errors.Join(CheckFile(name, false), WriteFile(name, false, text("one"))); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{CheckFile(name, false), WriteFile(name, false, text("two"))} {
		if !errors.Is(err, ErrExists) {
			t.Errorf("%v, want %v", err, ErrExists)
		}
	}
	if err := errors.Join(CheckFile(name, true), WriteFile(name, true, text("three"))); err != nil {
		t.Error(err)
	}
	if err := WriteFile(name, true, func(w io.Writer) error { return errors.Join(text("four")(w), errFull) }); !errors.Is(err, errFull) || !strings.Contains(err.Error(), name) {
		t.Errorf("%v, want %v", err, errFull)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "three" {
		t.Errorf("it holds %q, %v", got, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	missing := filepath.Join(dir, "missing", "out")
	if err := CheckFile(missing, false); err == nil || !strings.Contains(err.Error(), missing+" cannot be written: ") {
		t.Errorf("%v", err)
	}
}

// A document may be as long as the limit and no longer.
func TestReadAll(t *testing.T) {
	for limit, ok := range map[int64]bool{2: false, 3: true, 4: true} {
		data, err := readAll(strings.NewReader("abc"), "d.json", limit)
		if (err == nil) != ok || ok && string(data) != "abc" {
			t.Errorf("3 bytes with a limit of %d: %q, %v", limit, data, err)
		}
	}
}

// What a profile was made from says of bounds only where something was lost, and a report
// of one run needs no name at its blame.
func TestOnlyWhereItMatters(t *testing.T) {
	res := fixture()
	undecided := func() bool {
		return strings.Contains(strings.Join(comments(res, &res.Runs[1]), "\n"), "undecided hits: 3")
	}
	if !undecided() {
		t.Error("events were lost, but the profile does not say so")
	}
	if res.Trace.Lost = 0; undecided() {
		t.Error("nothing was lost, but the profile has bounds")
	}
	if s := textOf(t, res, TextOptions{}); !strings.Contains(s, "Who is to blame, speculative") {
		t.Errorf("two runs in\n%s", s)
	}
	res.Runs = res.Runs[1:]
	if s := textOf(t, res, TextOptions{}); !strings.Contains(s, "Who is to blame\n") {
		t.Errorf("one run in\n%s", s)
	}
}

// No table of a recording is empty on the page.
func TestRecordedTables(t *testing.T) {
	res := recordedResult()
	if p := newRecordedPage(res); len(p.Tables) != 3 {
		t.Errorf("%d tables", len(p.Tables))
	}
	res.Recorded.Waiters = nil
	if p := newRecordedPage(res); len(p.Tables) != 2 {
		t.Errorf("%d tables without waiters", len(p.Tables))
	}
}

// What cannot be told of a run with no hits, and of no run at all, is no claim about hits.
func TestUnansweredFindings(t *testing.T) {
	res := untoldResult()
	res.Unknown = nil
	if got := unansweredFindings(res, &res.Runs[1]); got != nil {
		t.Errorf("all is known, but: %v", got)
	}
	res = untoldResult()
	for _, f := range unansweredFindings(res, nil) {
		if strings.Contains(f.text, "how many resolve") {
			t.Errorf("of no run: %s", f.text)
		}
	}
	res.Runs[1].Hits, res.Runs[0].Hits = 0, 0 // none could be replayed, but the trace has them
	if got := findings(res); len(got) == 0 || !strings.HasPrefix(got[0].text, "2,000 hits; how many resolve without mmap_lock is unknown") {
		t.Errorf("%v", got)
	}
	res.Trace.Hits = 0
	if got := findings(res); got[0].text != "There was no hit to resolve." {
		t.Errorf("%v", got)
	}
}
