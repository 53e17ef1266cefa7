package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// What lost events leave open of each figure: 900 hits of which 100 fell back, 100 events
// lost, which may all have been hits of either kind.
func TestWithin(t *testing.T) {
	r := &EntryRun{
		Metrics: map[string]Figure{"hits": {900_000, true}, "lockless": {800_000, true}, "fallbacks": {100_000, true}, "wasted_ns": {5_000, true}},
		Bounds:  &Bounds{Lost: 100, Undecided: 30, FallbacksLow: 80, FallbacksHigh: 230},
	}
	bounded := map[string][2]int64{ // thousandths
		"hits": {900_000, 1_000_000}, "fallbacks": {80_000, 230_000}, "lockless": {770_000, 920_000}, "fallback_ppm": {80_000_000, 230_000_000},
	}
	for i := range metrics {
		m := &metrics[i]
		got, ok := m.within(r)
		want, bounds := bounded[m.name]
		if ok != bounds || ok && got != [2]Figure{{want[0], true}, {want[1], true}} {
			t.Errorf("%s is within %v, %v; want %v", m.name, got, ok, want)
		}
	}
	r.Bounds = nil
	m, err := findMetric("wasted_ns")
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := m.within(r); !ok || got != [2]Figure{{5_000, true}, {5_000, true}} {
		t.Errorf("with nothing lost: %v, %v", got, ok)
	}
}

// A run has bounds where events were lost or a hit is undecided, and only there.
func TestEntryBounds(t *testing.T) {
	for _, c := range []struct {
		lost, undecided int64
		bounded         bool
	}{{0, 0, false}, {1, 0, true}, {0, 1, true}, {-1, 0, false}} {
		res := fixture()
		res.Trace.Lost, res.Runs[1].Undecided = c.lost, c.undecided
		b := NewEntry(NewDocument(res)).Runs[1].Bounds
		if (b != nil) != c.bounded {
			t.Errorf("%d lost, %d undecided: bounds %+v", c.lost, c.undecided, b)
		}
		if b != nil && (b.Lost != c.lost || b.Undecided != c.undecided || b.FallbacksLow != res.Runs[1].Low || b.FallbacksHigh != res.Runs[1].High) {
			t.Errorf("bounds %+v", b)
		}
	}
}

// Of two recordings, what lost events could turn is undecided, and what they could not is
// not.
func TestDiffOfLossyTraces(t *testing.T) {
	verdicts := func(base, now *replay.Result) map[string]string {
		got := map[string]string{}
		for _, c := range Diff(NewDocument(base), NewDocument(now), PerRun).Changes {
			if c.Resolver == "speculative" {
				got[c.Metric] = c.Verdict
			}
		}
		return got
	}
	other := fixture()
	other.Trace.SHA256 = strings.Repeat("0c", 32)
	r := &other.Runs[1]
	moved := r.Outcomes[sim.Lockless] - 100
	r.Outcomes[sim.Lockless] -= moved
	r.Outcomes[sim.SeqChanged] += moved
	r.Low, r.High = r.Fallbacks()-2, r.Fallbacks()+13
	got := verdicts(fixture(), other)
	for metric, want := range map[string]string{
		"fallbacks": "worse", "lockless": "worse", "fallback_ppm": "worse", "hits": "undecided", "wasted_ns": "undecided", "reasons.seq_changed": "undecided",
	} {
		if got[metric] != want {
			t.Errorf("%s is %s, want %s", metric, got[metric], want)
		}
	}
	other.Trace.SHA256 = fixture().Trace.SHA256 // of one trace the loss is the same on both sides
	if got := verdicts(fixture(), other); got["wasted_ns"] != "same" || got["reasons.seq_changed"] != "worse" {
		t.Errorf("of one trace: %v", got)
	}
}

// Unknown on both sides is no news, and no figure that is the same either.
func TestDiffOfUnknown(t *testing.T) {
	text := func(base, now *replay.Result) string {
		var b strings.Builder
		if err := Diff(NewDocument(base), NewDocument(now), PerRun).Text(&b, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	all := int64(len(metrics))
	got := text(untoldResult(), untoldResult())
	if want := fmt.Sprintf("  1 figure is the same\n  %d figures are unknown in both\n", all-1); !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
	sampled := untoldResult()
	sampled.Unknown = append(sampled.Unknown, replay.Unknown{What: replay.UnknownHits, Why: "they were sampled", Remedy: "record all"})
	got = text(sampled, sampled)
	if strings.Contains(got, "the same\n\n") || strings.Contains(got, "are the same") || !strings.Contains(got, fmt.Sprintf("%d figures are unknown in both", all)) {
		t.Errorf("what is unknown is the same in\n%s", got)
	}
	got = text(fixture(), untoldResult())
	if !strings.Contains(got, "unknown") || strings.Contains(got, "unknown in both") || strings.Contains(got, "\nWho is to blame") {
		t.Errorf("known on one side:\n%s", got)
	}
}

// The table of the blame stays short; a writer that cost as much as before is left out.
func TestDiffBlameIsShort(t *testing.T) {
	base, now := fixture(), fixture()
	for i := range 2 * blameRows {
		b := replay.Blame{Comm: fmt.Sprintf("writer-%02d", i), Kind: "mmap", Writers: 1, Fallbacks: 1, Wait: sim.Microsecond}
		base.Runs[1].Blame = append(base.Runs[1].Blame, b)
		b.Wait += sim.Time(i) * sim.Microsecond
		now.Runs[1].Blame = append(now.Runs[1].Blame, b)
	}
	var b strings.Builder
	if err := Diff(NewDocument(base), NewDocument(now), PerRun).Text(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "writer-"); n != blameRows || !strings.Contains(b.String(), "writer-15") || strings.Contains(b.String(), "writer-00") {
		t.Errorf("%d rows, want the %d that changed most:\n%s", n, blameRows, &b)
	}
}

// A verdict that is open says whether too much was lost or something is unknown.
func TestOpenBecause(t *testing.T) {
	for want, f := range map[string]Finding{
		"too many events were lost":             {Level: Open, Cause: ResultChanged},
		"figures under a limit are unknown":     {Level: Open, Cause: NotRecorded},
		"too many events were lost; --max-loss": {Level: Note, Cause: NotRecorded},
	} {
		v := &Verdict{Open: true, Findings: []Finding{f}}
		if got := v.openBecause(); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %s, want %s", f, got, want)
		}
	}
}

// Of limits on one figure the last counts, one for its resolver before one for all; a
// change, a maximum and a minimum stand beside each other.
func TestLimitsFor(t *testing.T) {
	for _, c := range []struct{ limits, want string }{
		{"", ""},
		{"hits=+1", ""},
		{"fallbacks=+1 fallbacks=+2", "fallbacks=+2"},
		{"fallbacks=+1 fallbacks=-2%", "fallbacks=-2%"},
		{"locked:fallbacks=+1 fallbacks=+2", "locked:fallbacks=+1"},
		{"fallbacks=+2 locked:fallbacks=+1", "locked:fallbacks=+1"},
		{"locked:fallbacks=+1 locked:fallbacks=+3 fallbacks=+2", "locked:fallbacks=+3"},
		{"srcu:fallbacks=+1 fallbacks=+2 srcu:fallbacks<=7", "fallbacks=+2"},
		{"fallbacks>=3 fallbacks<=9 fallbacks=+1 fallbacks<=8", "fallbacks=+1 fallbacks<=8 fallbacks>=3"},
		{"fallbacks=+1 fallbacks=any fallbacks<=8", "fallbacks=any fallbacks<=8"},
		{"locked:fallbacks<=1 fallbacks<=8 fallbacks>=2", "locked:fallbacks<=1 fallbacks>=2"},
	} {
		var got []string
		for _, l := range limitsFor(mustLimits(t, strings.Fields(c.limits)...), "locked", Part{}, "fallbacks") {
			got = append(got, l.String())
		}
		if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" && c.want+strings.Join(got, "") != "" {
			t.Errorf("%s (-want +got):\n%s", c.limits, diff)
		}
	}
}

// Limits hold at their edges, for both signs.
func TestLimitEdges(t *testing.T) {
	for _, c := range []struct {
		limit     string
		base, now int64 // thousandths
		holds     bool
	}{
		{"fallbacks<=5", 0, 5_000, true}, {"fallbacks<=5", 0, 5_001, false}, {"fallbacks>=5", 0, 5_000, true}, {"fallbacks>=5", 0, 4_999, false},
		{"fallbacks=+10%", 10_000, 11_000, true}, {"fallbacks=+10%", 10_000, 11_001, false}, {"fallbacks=+10%", 0, 0, true}, {"fallbacks=+10%", 0, 1, false},
		{"fallbacks=5", 0, 5_000, true}, {"fallbacks=5", 0, 5_001, false}, {"lockless=5", 9_000, 4_000, true}, {"lockless=5", 9_000, 3_999, false},
		{"hits=5", 9_000, 14_001, false}, {"hits=5", 9_000, 3_999, false}, {"hits=any", 0, math.MaxInt64, true},
	} {
		l := mustLimits(t, c.limit)[0]
		if got := l.holds(Figure{c.base, true}, Figure{c.now, true}); got != c.holds {
			t.Errorf("%s: %d to %d holds is %v", c.limit, c.base, c.now, got)
		}
	}
}

// A figure that thousandths cannot hold is unknown, not something else.
func TestFigureLimits(t *testing.T) {
	for _, c := range []struct {
		n     int64
		known bool
	}{
		{0, true}, {math.MaxInt64 / 1000, true}, {math.MaxInt64/1000 + 1, false}, {math.MinInt64 / 1000, true}, {math.MinInt64/1000 - 1, false}, {math.MaxInt64, false},
	} {
		if f := countFigure(&c.n); f.Known != c.known || f.Known && f.Milli != c.n*1000 {
			t.Errorf("%d is %+v", c.n, f)
		}
	}
	for rate, known := range map[float64]bool{0: true, 1.5: true, 1e12: true, -1e12: true, 1.1e12: false, -1.1e12: false} {
		if f := hitRate(&Run{HitsPerS: &rate}); f.Known != known || known && f.Milli != int64(rate*1000) {
			t.Errorf("%g/s is %+v", rate, f)
		}
	}
	if f := perMillion(1, 0); f.Known {
		t.Errorf("a share of nothing is %+v", f)
	}
	if f := perMillion(1, 3); f != (Figure{333_333_333, true}) {
		t.Errorf("a third is %+v", f)
	}
}

// That nobody waits any more is 0; the median of waits that a report lacks is unknown.
func TestDistFigures(t *testing.T) {
	total := Nanos(5000)
	m, err := findMetric("lock_wait_ns.p50")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d    *Dist
		want Figure
	}{
		{nil, Figure{}}, {&Dist{}, Figure{0, true}}, {&Dist{Total: total}, Figure{}}, {&Dist{Total: total, P50: &total}, Figure{5000, true}},
	} {
		if got := m.value(&Run{LockWaitNs: c.d}); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.d, got, c.want)
		}
	}
}

// Traces are the same by their contents where these are known, else by their size.
func TestSameTrace(t *testing.T) {
	one, two := strings.Repeat("1", 64), strings.Repeat("2", 64)
	hits, more := int64(5), int64(6)
	for _, c := range []struct {
		a, b EntryTrace
		same bool
	}{
		{EntryTrace{SHA256: &one, Events: 9, Hits: &hits}, EntryTrace{SHA256: &one, Events: 8, Hits: &more}, true},
		{EntryTrace{SHA256: &one, Events: 9, Hits: &hits}, EntryTrace{SHA256: &two, Events: 9, Hits: &hits}, false},
		{EntryTrace{SHA256: &one, Events: 9, Hits: &hits}, EntryTrace{Events: 9, Hits: &hits}, true},
		{EntryTrace{Events: 9, Hits: &hits}, EntryTrace{Events: 8, Hits: &hits}, false},
		{EntryTrace{Events: 9, Hits: &hits}, EntryTrace{Events: 9, Hits: &more}, false},
		{EntryTrace{Events: 9, Hits: &hits}, EntryTrace{Events: 9}, false},
	} {
		if got := c.a.same(&c.b); got != c.same {
			t.Errorf("%+v and %+v: same is %v", c.a, c.b, got)
		}
		if why := c.a.explain(&c.b); (why == "") != c.same {
			t.Errorf("%+v and %+v: %q", c.a, c.b, why)
		}
	}
}

// An entry of the same contents is a better match than one of the same name, and the
// model decides among equals but makes no match by itself.
func TestAffinity(t *testing.T) {
	one, two := strings.Repeat("1", 64), strings.Repeat("2", 64)
	entry := func(name string, sha *string, seed uint64) *Entry {
		return &Entry{Trace: EntryTrace{Name: name, SHA256: sha}, Model: Model{Seed: seed}}
	}
	now := entry("a", &one, 1)
	ranked := []*Entry{ // worst first
		entry("b", &two, 1), entry("a", &two, 2), entry("a", &two, 1), entry("b", &one, 2), entry("b", &one, 1), entry("a", &one, 2), entry("a", &one, 1),
	}
	if got := affinity(ranked[0], now); got != 0 {
		t.Errorf("an entry of another trace scores %d for its model alone", got)
	}
	if !slices.IsSortedFunc(ranked, func(a, b *Entry) int { return affinity(a, now) - affinity(b, now) }) {
		t.Error("matches are ranked otherwise")
	}
	if i, err := match([]*Entry{ranked[0], ranked[1], ranked[5], ranked[3]}, now); err != nil || i != 2 {
		t.Errorf("the match is %d, %v", i, err)
	}
	if i, err := match([]*Entry{ranked[0]}, now); err != nil || i != -1 {
		t.Errorf("a match with nothing in common: %d, %v", i, err)
	}
	if i, err := match([]*Entry{ranked[1], ranked[1]}, now); err == nil || i != -1 {
		t.Errorf("an open choice: %d, %v", i, err)
	}
}

// Lost events are in the time of the run: at twice the speed in half of it, and within
// the recording.
func TestLossTimes(t *testing.T) {
	res := fixture()
	res.Options.SpeedPPM = 2_000_000
	res.Trace.DurationNs = 5_000_000_000
	res.Trace.Losses = []timeline.Loss{{From: -5, To: 3_000_000, CPU: 1, Events: 9}, {From: 4_000_000_002, To: 6_000_000_000, CPU: -1, Events: 3}}
	want := []loss{{0, 1_500_000 * sim.Nanosecond, 1, 9}, {2_000_000_001 * sim.Nanosecond, 2_500_000_000 * sim.Nanosecond, -1, 3}}
	if diff := cmp.Diff(want, losses(res), cmp.AllowUnexported(loss{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	res.Options.SpeedPPM = 1
	if got := losses(res); got[0].to != 3_000_000*1_000_000*sim.Nanosecond {
		t.Errorf("a millionth of the speed: %+v", got)
	}
	res.Options.SpeedPPM = 0
	if got := losses(res); got != nil {
		t.Errorf("without a speed: %v", got)
	}
	res.Options.SpeedPPM, res.Options.Timing = 1_000_000, replay.ASAP
	if got := losses(res); got != nil {
		t.Errorf("in a run that does not go with the recording: %v", got)
	}
}
