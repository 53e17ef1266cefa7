package reports

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

func mustLimits(t *testing.T, texts ...string) []Limit {
	t.Helper()
	var limits []Limit
	for _, s := range texts {
		l, err := ParseLimit(s)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, l)
	}
	return limits
}

func baselineOf(t *testing.T, res ...*replay.Result) *Baseline {
	t.Helper()
	var docs []*Document
	for _, r := range res {
		docs = append(docs, NewDocument(r))
	}
	b, err := NewBaseline(docs, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBaselineFile(t *testing.T) {
	want := baselineOf(t, fixture())
	var b bytes.Buffer
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "baseline.json", b.String())
	got, err := ReadBaseline(&b, "baseline.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("does not read back (-want +got):\n%s", diff)
	}
}

func TestBaselineRefuses(t *testing.T) {
	doc := NewDocument(fixture())
	if b, err := NewBaseline([]*Document{doc, doc}, nil); err == nil || b != nil {
		t.Error("two reports of one trace and model became a baseline")
	}
	for in, want := range map[string]string{
		`{"schema":"replay.baseline/1","limits":["x=1"],"entries":[]}`: `b.json: limit "x=1": unknown metric "x"`,
		`{"schema":"replay.baseline/1","limits":[]}`:                   "b.json: entries is missing or null",
		`{"schema":"replay.baseline/1","limits":[],"entries":[{}]}`:    "b.json: entries[0].trace is missing or null",
		`{"schema":"replay.report/1"}`:                                 "b.json: not a replay.baseline/1 document",
		"":                                                             "b.json:1: not a replay.baseline/1 document, which replay writes as JSON: unexpected end of JSON input",
	} {
		b, err := ReadBaseline(strings.NewReader(in), "b.json")
		if err == nil || b != nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %s", in, b, err, want)
		}
	}
}

// clone is fixture() replayed with more threads.
func clone() *replay.Result {
	res := fixture()
	res.Options.Clone = 4
	r := &res.Runs[1]
	r.Outcomes[sim.Lockless] -= 300
	r.Outcomes[sim.SeqChanged] += 300
	r.LockWait.Total += 5 * sim.Millisecond
	r.Resolve.Total += 5*sim.Millisecond + 1
	r.Digest++
	return res
}

// Figures that lost events could carry across a limit are left open.
func TestCheckLoss(t *testing.T) {
	recorded := func(change func(*replay.Result)) *replay.Result {
		res := fixture()
		res.Trace.SHA256 = strings.Repeat("0b", 32)
		change(res)
		return res
	}
	none := func(r *replay.Result) {
		r.Trace.Lost, r.Trace.Losses = 0, nil
		for i := range r.Runs {
			r.Runs[i].Undecided, r.Runs[i].Low, r.Runs[i].High = 0, r.Runs[i].Fallbacks(), r.Runs[i].Fallbacks()
		}
	}
	fallbacks := fixture().Runs[1].Fallbacks()
	for _, c := range []struct {
		name     string
		base     func(*replay.Result) // how the baseline's trace differs
		now      *replay.Result
		limit    string
		tolerate bool
		want     string
	}{
		{"the same trace", nil, fixture(), "fallbacks=+0", false, "PASSED"},
		{"another trace", nil, recorded(func(*replay.Result) {}), "speculative:fallbacks=+0", false, "UNDECIDED"},
		{"another trace within a wide limit", nil, recorded(func(*replay.Result) {}), "speculative:fallbacks=+1000", false, "PASSED"},
		{"a loss that does not count", nil, recorded(func(*replay.Result) {}), "speculative:fallbacks=+0", true, "PASSED"},
		{"nothing lost", none, recorded(none), "speculative:fallbacks=+0", false, "PASSED"},
		{"lost in the baseline alone", nil, recorded(none), "speculative:fallbacks=+0", false, "UNDECIDED"},
		{"far worse whatever was lost", nil, recorded(func(r *replay.Result) {
			s := &r.Runs[1]
			s.Outcomes[sim.Lockless], s.Outcomes[sim.WriterActive] = 0, s.Outcomes[sim.WriterActive]+s.Outcomes[sim.Lockless]
			s.Low, s.High = s.Fallbacks()-3, s.Fallbacks()+12
		}), "speculative:fallbacks=+0", false, "FAILED"},
		{"a bound among the possible", nil, fixture(), fmt.Sprintf("speculative:fallbacks<=%d", fallbacks+1), false, "UNDECIDED"},
		{"a bound below all of them", nil, fixture(), "speculative:fallbacks<=1", false, "FAILED"},
		{"what nothing bounds", nil, recorded(func(*replay.Result) {}), "speculative:wasted_ns=+0", false, "UNDECIDED"},
	} {
		base := fixture()
		if c.base != nil {
			c.base(base)
		}
		b, err := NewBaseline([]*Document{NewDocument(base)}, mustLimits(t, c.limit))
		if err != nil {
			t.Fatal(err)
		}
		var stored bytes.Buffer
		if err := b.Write(&stored); err != nil {
			t.Fatal(err)
		}
		if b, err = ReadBaseline(&stored, "baseline"); err != nil {
			t.Fatal(err)
		}
		v, err := Check(b, []*Document{NewDocument(c.now)}, CheckOptions{Tolerate: func(lost, events int64) bool { return c.tolerate && lost == 12 && events == 92_341 }})
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := v.Text(&text, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, c.want) || v.Passed != (c.want == "PASSED") || v.Open != (c.want == "UNDECIDED") {
			t.Errorf("%s: %+v\n%s\nwant %s", c.name, v, text.String(), c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	other := func(change func(*replay.Result)) *replay.Result {
		res := fixture()
		change(res)
		return res
	}
	gone := baselineOf(t, fixture())
	delete(gone.Entries[0].Runs[0].Metrics, "fallbacks")
	gone.Entries[0].Runs[1].Metrics["wasted_ns"] = Figure{}
	for _, c := range []struct {
		name   string
		base   *Baseline
		now    []*replay.Result
		limits []string
		passed bool
	}{
		{"the same", nil, []*replay.Result{fixture()}, nil, true},
		{"more clones", nil, []*replay.Result{clone()}, nil, false},
		{"more clones within limits", nil, []*replay.Result{clone()}, []string{
			"fallbacks=+500%", "speculative:lock_wait_ns.total=+6000000", "speculative:resolve_ns.total=+600%", "fallbacks<=2000"}, true},
		{"a bound", nil, []*replay.Result{fixture()}, []string{"speculative:fallbacks<=70", "speculative:lockless>=1929", "locked:hits_per_s>=2000000"}, false},
		{"another trace, a little worse", nil, []*replay.Result{other(func(r *replay.Result) {
			r.Trace.SHA256, r.Trace.Events = strings.Repeat("0a", 32), 95_000
			r.Runs[0].LineTransfers++
		})}, nil, false},
		{"another answer", nil, []*replay.Result{other(func(r *replay.Result) { r.Runs[1].Digest++; r.Runs[1].Parts.Wasted++ })}, nil, false},
		{"another way to the same figures", nil, []*replay.Result{other(func(r *replay.Result) { r.Runs[1].Digest++ })}, nil, true},
		{"better", nil, []*replay.Result{other(func(r *replay.Result) { r.Runs[0].LineTransfers = 0 })}, nil, true},
		{"renamed", nil, []*replay.Result{other(func(r *replay.Result) { r.Trace.Path = "elsewhere/renamed.parquet" })}, nil, true},
		{"a resolver less, one more", nil, []*replay.Result{other(func(r *replay.Result) { r.Runs[0].Resolver = "srcu" })}, nil, false},
		{"no run of it", nil, nil, nil, false},
		{"unknown to the baseline", nil, []*replay.Result{fixture(), emptyResult()}, nil, false},
		{"figures missing in the baseline", gone, []*replay.Result{fixture()}, nil, false},
		{"a figure missing in the report", nil, []*replay.Result{other(func(r *replay.Result) { r.Runs[0].Makespan = 0 })}, nil, false},
		{"a figure missing that nobody limits", nil, []*replay.Result{other(func(r *replay.Result) { r.Runs[0].Makespan = 0 })}, []string{"hits_per_s=any"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := c.base
			if base == nil {
				base = baselineOf(t, fixture())
			}
			var docs []*Document
			for _, r := range c.now {
				docs = append(docs, NewDocument(r))
			}
			v, err := Check(base, docs, CheckOptions{Limits: mustLimits(t, c.limits...), Tolerate: func(int64, int64) bool { return true }})
			if err != nil {
				t.Fatal(err)
			}
			if v.Passed != c.passed {
				t.Errorf("passed is %v, want %v", v.Passed, c.passed)
			}
			var b bytes.Buffer
			if err := v.Text(&b, TextOptions{}); err != nil {
				t.Fatal(err)
			}
			tracetest.Golden(t, "check/"+strings.NewReplacer(" ", "-", ",", "").Replace(c.name)+".txt", b.String())
		})
	}
}

// TestCheckPicksTheModel holds that one trace may be in a baseline on several
// models, and that a report finds its own.
func TestCheckPicksTheModel(t *testing.T) {
	base := baselineOf(t, fixture(), clone())
	v, err := Check(base, []*Document{NewDocument(clone()), NewDocument(fixture())}, CheckOptions{})
	if err != nil || !v.Passed || len(v.Findings) != 0 {
		t.Errorf("got %+v, %v", v, err)
	}
	stranger := fixture()
	stranger.Options.Clone = 2
	if v, err := Check(base, []*Document{NewDocument(stranger)}, CheckOptions{}); err == nil || v != nil {
		t.Errorf("an open choice was made: %+v", v)
	}
	if v, err := Check(base, []*Document{NewDocument(fixture())}, CheckOptions{Limits: mustLimits(t, "speculativ:fallbacks=+5")}); err == nil || v != nil {
		t.Errorf("a limit for an unknown resolver was ignored: %+v", v)
	}
	if v, err := Check(baselineOf(t, fixture()), []*Document{NewDocument(fixture()), NewDocument(clone())}, CheckOptions{}); err == nil || v != nil {
		t.Errorf("two reports were compared with one entry: %+v", v)
	}
}

func TestDiff(t *testing.T) {
	var b bytes.Buffer
	res := clone()
	res.Runs[1].Blame[0].Wait += 5 * sim.Millisecond
	res.Runs = append(res.Runs, replay.Run{Resolver: "ideal"})
	if err := Diff(NewDocument(fixture()), NewDocument(res), "").Text(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "diff.txt", b.String())
	for _, line := range strings.Split(b.String(), "\n") {
		if columns(line) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	b.Reset()
	if err := Diff(NewDocument(fixture()), NewDocument(fixture()), "").Text(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "same.diff.txt", b.String())
}

func TestParseLimit(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "no = in it",
		"=5":               "no = in it",
		"fallbacks":        "no = in it",
		"fallbacks=":       `"" is no number of at most three decimals`,
		"fallbacks=+":      `"" is no number of at most three decimals`,
		"fallbacks=5%%":    `"5%" is no number of at most three decimals`,
		"fallbacks=--5":    `"-5" is no number of at most three decimals`,
		"fallbacks=1.2345": `"1.2345" is no number of at most three decimals`,
		"fallbacks<=5%":    "a bound has no baseline to take a percentage of",
	} {
		_, err := ParseLimit(in)
		if want = fmt.Sprintf("limit %q: %s; want [RESOLVER:]METRIC[ of probe|process|writer NAME]=[+|-|+-]N[%%], METRIC<=N, METRIC>=N or METRIC=any", in, want); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestLimitHolds compares with fractions.
func TestLimitHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, now := rapid.Int64Range(0, 5000).Draw(t, "base"), rapid.Int64Range(0, 5000).Draw(t, "now")
		n := rapid.Int64Range(0, 3000).Draw(t, "n")
		sign := rapid.SampledFrom([]string{"+", "-", "+-"}).Draw(t, "sign")
		unit := rapid.SampledFrom([]string{"", "%"}).Draw(t, "unit")
		l, err := ParseLimit("fallbacks=" + sign + Nanos(n).String() + unit)
		if err != nil {
			t.Fatal(err)
		}
		change := big.NewRat(now-base, 1)
		switch sign {
		case "-":
			change.Neg(change)
		case "+-":
			change.Abs(change)
		}
		room := big.NewRat(n, 1)
		if unit == "%" {
			room.Mul(big.NewRat(n, 100_000), big.NewRat(base, 1))
		}
		if got, want := l.holds(Figure{base, true}, Figure{now, true}), change.Cmp(room) <= 0; got != want {
			t.Fatalf("%s: %d to %d thousandths: got %v, want %v", l, base, now, got, want)
		}
	})
}

func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"fallbacks=+5%", "speculative:resolve_ns.p99<=1.5", "hits=any", "hits_per_s>=-3", "a:b=+-0", "fallbacks of probe a:b=1", `hits of process "x\x00=" >= 2`, "r:wasted_ns of writer munmap by c=+1%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLimit(s)
		if err != nil {
			if l != (Limit{}) {
				t.Fatalf("an error and a limit: %+v", l)
			}
			return
		}
		if again, err := ParseLimit(l.String()); err != nil || again != l {
			t.Fatalf("%q reads back as %+v, %v", l, again, err)
		}
		l.holds(Figure{-1 << 63, true}, Figure{1<<63 - 1, true})
	})
}

func FuzzReadBaseline(f *testing.F) {
	f.Add([]byte(`{"schema":"replay.baseline/1","limits":["fallbacks=+5%"],"entries":[]}`))
	var b bytes.Buffer
	base, err := NewBaseline([]*Document{NewDocument(emptyResult())}, DefaultLimits())
	if err != nil {
		f.Fatal(err)
	}
	if err := base.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	doc := NewDocument(emptyResult())
	f.Fuzz(func(t *testing.T, data []byte) {
		base, err := ReadBaseline(bytes.NewReader(data), "f")
		if (base == nil) != (err != nil) {
			t.Fatalf("got %v and %v", base, err)
		}
		if err != nil {
			return
		}
		v, err := Check(base, []*Document{doc}, CheckOptions{})
		if (v == nil) != (err != nil) {
			t.Fatalf("got %v and %v", v, err)
		}
	})
}
