package reports

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

// capture is one recording of fixture()'s program: another trace, with more or fewer
// hits that found a writer active, and longer waits by as much.
func capture(n int, more int64) *Document {
	res := fixture()
	res.Trace.SHA256, res.Trace.Path = fmt.Sprintf("%064x", n), fmt.Sprintf("server-%d.parquet", n)
	res.Trace.Lost, res.Trace.Losses = 0, nil
	for i := range res.Runs {
		r := &res.Runs[i]
		r.Undecided = 0
		if r.Resolver == "speculative" {
			r.Outcomes[sim.Lockless] -= more
			r.Outcomes[sim.WriterActive] += more
			r.Blame[0].Fallbacks += more
			r.Probes[0].Outcomes[sim.Lockless] -= more
			r.Probes[0].Outcomes[sim.WriterActive] += more
		}
		r.Low, r.High = r.Fallbacks(), r.Fallbacks()
	}
	return NewDocument(res)
}

// captures are those with as many more fallbacks as the numbers say.
func captures(first int, more ...int64) []*Document {
	var docs []*Document
	for i, m := range more {
		docs = append(docs, capture(first+i, m))
	}
	return docs
}

func setBaseline(t *testing.T, docs []*Document, limits ...string) *Baseline {
	t.Helper()
	b := &Baseline{Schema: BaselineSchema, Limits: limits, Entries: []Entry{}}
	if err := b.Replace("server", docs, nil); err != nil {
		t.Fatal(err)
	}
	var stored bytes.Buffer
	if err := b.Write(&stored); err != nil {
		t.Fatal(err)
	}
	again, err := ReadBaseline(&stored, "baseline")
	if err != nil {
		t.Fatal(err)
	}
	return again
}

var (
	noise  = []int64{0, 7, 3, -4, 12, -9, 5, 1}
	noise2 = []int64{2, -6, 9, 4, -2, 11, 0, -7}
	worse  = []int64{92, 84, 99, 94, 88, 101, 90, 83}
)

func TestCheckSet(t *testing.T) {
	for _, c := range []struct {
		name      string
		base, now []*Document
		limit     string
		want      string
	}{
		{"noise", captures(0, noise...), captures(50, noise2...), "speculative:fallbacks=+0", "PASSED"},
		{"worse", captures(0, noise...), captures(50, worse...), "speculative:fallbacks=+0", "FAILED"},
		{"worse within the limit", captures(0, noise...), captures(50, worse...), "speculative:fallbacks=+150%", "PASSED"},
		{"worse by more than the limit", captures(0, noise...), captures(50, worse...), "speculative:fallbacks=+60", "FAILED"},
		{"better", captures(0, worse...), captures(50, noise...), "speculative:fallbacks=+0", "PASSED"},
		{"either way", captures(0, worse...), captures(50, noise...), "speculative:fallbacks=+-10%", "FAILED"},
		{"too few", captures(0, noise[:3]...), captures(50, worse[:3]...), "speculative:fallbacks=+0", "UNDECIDED"},
		{"a bound", captures(0, noise...), captures(50, worse...), "speculative:fallbacks<=150", "FAILED"},
		{"a bound within the noise", captures(0, noise...), captures(50, noise2...), "speculative:fallbacks<=72", "PASSED"},
		{"of a probe", captures(0, noise...), captures(50, worse...), "speculative:fallbacks of probe libc:malloc=+0", "FAILED"},
		{"of another probe", captures(0, noise...), captures(50, worse...), "speculative:fallbacks of probe app:run_query=+0", "PASSED"},
		{"of a writer", captures(0, noise...), captures(50, worse...), "speculative:fallbacks of writer munmap by gc=+0", "FAILED"},
		{"the same traces", captures(0, noise...), captures(0, noise...), "speculative:fallbacks=+0", "PASSED"},
		{"nothing recorded", nil, captures(0, noise...), "speculative:fallbacks=+0", "FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Check(setBaseline(t, c.base, c.limit), c.now, CheckOptions{Set: "server"})
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := v.Text(&text, TextOptions{}); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(v.Decision(), c.want) {
				t.Errorf("got %s, want %s", v.Decision(), c.want)
			}
			tracetest.Golden(t, "set/"+strings.ReplaceAll(c.name, " ", "-")+".txt", text.String())
			for _, line := range strings.Split(text.String(), "\n") {
				if columns(line) > 80 {
					t.Errorf("wider than 80 columns: %s", line)
				}
			}
		})
	}
}

// Traces that are replayed again have no noise, also as a set: one more fallback is a
// change there, and none among fresh captures.
func TestSetOfSameTraces(t *testing.T) {
	base := setBaseline(t, captures(0, noise...), "speculative:fallbacks=+0")
	one := captures(0, noise...)
	one[3] = capture(3, noise[3]+1)
	v, err := Check(base, one, CheckOptions{Set: "server"})
	if err != nil || v.Passed || v.Captures != [2]int{} {
		t.Errorf("another answer for one trace passes: %+v, %v", v, err)
	}
	fresh := captures(50, noise...)
	fresh[3] = capture(53, noise[3]+1)
	if v, err := Check(base, fresh, CheckOptions{Set: "server"}); err != nil || !v.Passed || v.Captures != [2]int{8, 8} {
		t.Errorf("one more fallback in one fresh capture fails: %+v, %v", v, err)
	}
}

// Captures of one program that has not changed are called worse no more often than
// alpha, over all figures together; whatever the noise is like.
func TestSetFalseAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("200 checks")
	}
	d := dice(7)
	draw := func() []int64 {
		var all []int64
		for range 8 {
			x := d.roll(30)
			if d.roll(4) == 0 {
				x += d.roll(200) // a tail
			}
			all = append(all, x)
		}
		return all
	}
	alarms := 0
	const checks = 200
	for range checks {
		v, err := Check(setBaseline(t, captures(0, draw()...), "fallbacks=+0", "reasons.writer_active=+0", "lockless=-0", "resolve_ns.p99=+0"), captures(50, draw()...), CheckOptions{Set: "server"})
		if err != nil {
			t.Fatal(err)
		}
		if !v.Passed {
			alarms++
		}
	}
	if float64(alarms) > checks*DefaultAlpha {
		t.Errorf("%d alarms in %d checks of what did not change", alarms, checks)
	}
	t.Logf("%d alarms in %d", alarms, checks)
}

// holm against its definition: a test is significant where each that is not larger has p
// below alpha over the number of tests that are not smaller.
func TestHolm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := rapid.SliceOfN(rapid.Float64Range(0, 0.1), 1, 12).Draw(t, "p")
		var all []*comparedSet
		for _, p := range ps {
			s := &comparedSet{f: Finding{Samples: &Samples{P: &p}}}
			s.comp.P = p
			all = append(all, s)
		}
		holm(all, 0.05)
		for i, p := range ps {
			want := true
			for j, q := range ps {
				rank := 0 // tests before q
				for k, r := range ps {
					if r < q || r == q && k < j {
						rank++
					}
				}
				if (q < p || q == p && j <= i) && q >= 0.05/float64(len(ps)-rank) {
					want = false
				}
			}
			if got := p < *all[i].f.Samples.Need; got != want {
				t.Fatalf("p = %g among %v: got %v, want %v", p, ps, got, want)
			}
		}
	})
}

func TestEnough(t *testing.T) {
	for _, c := range []struct {
		need float64
		want int
	}{{0.05, 4}, {0.05 / 16, 6}, {0.34, 2}} {
		if got := enough(c.need); got != c.want {
			t.Errorf("below %g: %d captures, want %d", c.need, got, c.want)
		}
	}
	if got := binomial(52, 5); math.Abs(got-2_598_960) > 1 {
		t.Errorf("52 over 5 is %g", got)
	}
}

func TestSetRefuses(t *testing.T) {
	other := fixture()
	other.Options.Clone = 3
	b := setBaseline(t, captures(0, noise...), "fallbacks=+0")
	if v, err := Check(b, append(captures(50, noise...), NewDocument(other)), CheckOptions{Set: "server"}); err == nil || v != nil {
		t.Errorf("captures that are replayed otherwise are compared: %+v", v)
	}
	for _, docs := range [][]*Document{{capture(1, 0), capture(1, 0)}, {capture(1, 0), NewDocument(other)}} {
		if err := (&Baseline{}).Replace("server", docs, nil); err == nil {
			t.Error("a set of other models, or of one trace twice, became a baseline")
		}
	}
	if v, err := Check(b, captures(50, noise...), CheckOptions{Limits: mustLimits(t, "fallbacks of probe libc:maloc=+0"), Set: "server"}); err == nil || v != nil {
		t.Errorf("a limit for a misspelt probe never fails: %+v", v)
	}
}

// Sets and what is of itself alone live in one baseline and do not disturb each other.
func TestSetsBesideOthers(t *testing.T) {
	b := baselineOf(t, fixture())
	if err := b.Replace("server", captures(0, noise...), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Replace("other", captures(20, worse...), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		docs []*Document
		set  string
	}{{[]*Document{NewDocument(fixture())}, ""}, {captures(50, noise2...), "server"}, {captures(50, worse...), "other"}} {
		if v, err := Check(b, c.docs, CheckOptions{Set: c.set}); err != nil || !v.Passed || v.Compared < 16 {
			t.Errorf("set %q: %+v, %v", c.set, v, err)
		}
	}
	if err := b.Replace("", []*Document{NewDocument(clone())}, nil); err != nil || len(b.Entries) != 17 {
		t.Errorf("%d entries, want two sets of 8 and one: %v", len(b.Entries), err)
	}
}

// Lost events leave a comparison of captures open where they could turn it.
func TestSetLoss(t *testing.T) {
	lossy := func(first int, high int64, more ...int64) []*Document {
		docs := captures(first, more...)
		for _, d := range docs {
			d.Trace.Lost = new(int64(5))
			for i := range d.Runs {
				d.Runs[i].FallbacksHigh = new(*d.Runs[i].Fallbacks + high)
			}
		}
		return docs
	}
	b := setBaseline(t, captures(0, noise...), "speculative:fallbacks=+0")
	for high, want := range map[int64]string{0: "PASSED", 100: "UNDECIDED"} {
		if v, err := Check(b, lossy(50, high, noise2...), CheckOptions{Set: "server"}); err != nil || !strings.HasPrefix(v.Decision(), want) {
			t.Errorf("with up to %d more fallbacks: %+v, %v; want %s", high, v, err, want)
		}
	}
	if v, err := Check(b, lossy(50, 100, noise2...), CheckOptions{Set: "server", Tolerate: func(int64, int64) bool { return true }}); err != nil || !v.Passed {
		t.Errorf("a tolerated loss: %+v, %v", v, err)
	}
	if v, err := Check(b, lossy(50, 100, 900, 880, 910, 905, 890, 870, 920, 899), CheckOptions{Set: "server"}); err != nil || v.Passed || v.Open {
		t.Errorf("far worse whatever was lost: %+v, %v", v, err)
	}
}
