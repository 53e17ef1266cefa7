package reports

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

// longer is another recording of fixture()'s program, n times as long, in which gc's
// munmaps spoil more hits.
func longer(n int64, more int64) *replay.Result {
	res := fixture()
	res.Trace.SHA256 = strings.Repeat("0c", 32)
	res.Trace.Hits *= n
	res.Trace.Lost, res.Trace.Losses = 0, nil
	for i := range res.Runs {
		r := &res.Runs[i]
		r.Hits, r.Lookups, r.Makespan, r.LineTransfers = n*r.Hits, n*r.Lookups, sim.Time(n)*r.Makespan, n*r.LineTransfers
		for o := range r.Outcomes {
			r.Outcomes[o] *= n
		}
		scale := func(d *dist.Dist) { d.Count, d.Total = n*d.Count, sim.Time(n)*d.Total }
		scale(&r.Resolve)
		scale(&r.LockWait)
		scale(&r.WriterWait)
		r.Parts.Wasted *= sim.Time(n)
		for j := range r.Probes {
			p := &r.Probes[j]
			p.Hits *= n
			for o := range p.Outcomes {
				p.Outcomes[o] *= n
			}
			p.Parts.Lookup, p.Parts.Stall, p.Parts.LockWait, p.Parts.Wasted = sim.Time(n)*p.Parts.Lookup, sim.Time(n)*p.Parts.Stall, sim.Time(n)*p.Parts.LockWait, sim.Time(n)*p.Parts.Wasted
		}
		for j := range r.Blame {
			b := &r.Blame[j]
			b.Fallbacks, b.Wait, b.Wasted = n*b.Fallbacks, sim.Time(n)*b.Wait, sim.Time(n)*b.Wasted
		}
		for j := range r.Mms {
			m := &r.Mms[j]
			m.Hits, m.Wait = n*m.Hits, sim.Time(n)*m.Wait
			for o := range m.Outcomes {
				m.Outcomes[o] *= n
			}
		}
		for j := range r.Lines {
			l := &r.Lines[j]
			l.Accesses, l.Transfers, l.Stall = n*l.Accesses, n*l.Transfers, sim.Time(n)*l.Stall
		}
		if r.Resolver == "speculative" {
			r.Outcomes[sim.Lockless] -= more
			r.Outcomes[sim.WriterActive] += more
			r.Probes[0].Outcomes[sim.Lockless] -= more
			r.Probes[0].Outcomes[sim.WriterActive] += more
			r.Probes[0].Parts.LockWait += sim.Time(more) * sim.Microsecond
			r.Resolve.Total += sim.Time(more) * sim.Microsecond
			r.Blame[0].Fallbacks += more
			r.Blame[0].Wait += sim.Time(more) * sim.Microsecond
		}
		r.Low, r.High = r.Fallbacks(), r.Fallbacks()
		r.Undecided = 0
	}
	return res
}

func lossless() *Document {
	res := longer(1, 0)
	res.Trace.SHA256 = fixture().Trace.SHA256
	return NewDocument(res)
}

// A recording that is three times as long is the same per hit and per second, and not as
// it is.
func TestDiffRates(t *testing.T) {
	for per, same := range map[Rate]bool{PerHit: true, PerSecond: true, PerRun: false} {
		d := Diff(lossless(), NewDocument(longer(3, 0)), per)
		for _, c := range d.Changes {
			grows := c.Metric == "hits" && per == PerHit || c.Metric == "makespan_ns" && per == PerSecond
			if c.Verdict == "unknown" || grows {
				continue
			}
			if m, _ := findMetric(c.Metric); (same || !m.grows() || c.Base.Milli == 0) != (c.Verdict == "same") {
				t.Errorf("per %s: %s is %s: %s became %s", per, c.Metric, c.Verdict, c.BasePer, c.NewPer)
			}
		}
		if same != (len(d.Rows) == 0) {
			t.Errorf("per %s: %d rows changed: %+v", per, len(d.Rows), d.Rows)
		}
	}
}

func TestDiffOfTraces(t *testing.T) {
	for _, per := range []Rate{"", PerSecond, PerRun} {
		d := Diff(lossless(), NewDocument(longer(3, 90)), per)
		var b bytes.Buffer
		if err := d.Text(&b, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		tracetest.Golden(t, fmt.Sprintf("traces-per-%s.diff.txt", d.Per), b.String())
		for _, line := range strings.Split(b.String(), "\n") {
			if columns(line) > 80 {
				t.Errorf("wider than 80 columns: %s", line)
			}
		}
		first := map[string]string{}
		for _, r := range d.Rows {
			if r.Resolver == "speculative" && first[r.By] == "" {
				first[r.By] = r.Name
			}
		}
		if d.Per != PerRun && (first["probe"] != "libc:malloc" || first["writer"] != "munmap by gc" || first["process"] != "server" && first["process"] != "" || first["reason"] != "writer_active") {
			t.Errorf("per %s: what changed most is %v", d.Per, first)
		}
	}
	if _, err := ParseRate("hour"); err == nil {
		t.Error("a rate per hour")
	}
}

// The rate divides exactly, as big numbers do.
func TestRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hits, makespan := rapid.Int64Range(1, 1<<40).Draw(t, "hits"), rapid.Int64Range(1<<40, 1<<50).Draw(t, "makespan")
		n := rapid.Int64Range(0, 1<<30).Draw(t, "n")
		run := &EntryRun{Metrics: map[string]Figure{"hits": {hits * 1000, true}, "makespan_ns": {makespan, true}}}
		near := func(got Figure, want float64) {
			t.Helper()
			if d := float64(got.Milli) - want*1000; d > 1e-9*want*1000 || d < -1-1e-9*want*1000 {
				t.Fatalf("got %s, want %g", got, want)
			}
		}
		near(PerHit.of(Figure{n * 1000, true}, false, run), float64(n)/float64(hits)*1e6)
		near(PerHit.of(Figure{n, true}, true, run), float64(n)/1000/float64(hits))
		near(PerSecond.of(Figure{n * 1000, true}, false, run), float64(n)/(float64(makespan)/1000/1e9))
		if PerHit.of(Figure{}, true, run).Known || PerHit.of(Figure{1, true}, true, &EntryRun{Metrics: map[string]Figure{"hits": {0, true}}}).Known {
			t.Fatal("a figure per nothing is known")
		}
	})
}

// The differential profile has what changed, and is nothing between equal runs.
func TestDiffProfile(t *testing.T) {
	base, now := fixture(), fixture()
	now.Runs[1].Samples[0].Hits += 7
	now.Runs[1].Samples[0].Parts.Lookup += 9 * sim.Microsecond
	sum := func(per Rate, base, now *replay.Result) [2]int64 {
		t.Helper()
		d := Diff(NewDocument(base), NewDocument(now), per)
		p, err := d.DiffProfile(HitProfile(base, &base.Runs[1]), HitProfile(now, &now.Runs[1]), "speculative")
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteProfile(&bytes.Buffer{}, p); err != nil {
			t.Fatal(err)
		}
		var s [2]int64
		for _, sample := range p.Sample {
			s[0], s[1] = s[0]+sample.Value[0], s[1]+sample.Value[1]
		}
		return s
	}
	if got := sum(PerRun, base, fixture()); got != [2]int64{} {
		t.Errorf("equal runs differ by %v", got)
	}
	if got := sum(PerRun, base, now); got != [2]int64{7, 9000} {
		t.Errorf("the runs differ by %v, want 7 hits and 9000 ns", got)
	}
	twice := fixture()
	twice.Runs[1].Hits *= 2
	if got, off := sum(PerHit, twice, base), int64(len(base.Runs[1].Samples)); got[0] < 1000-off || got[0] > 1000+off {
		t.Errorf("2000 hits, and 2000 of a run of 4000: differ by %v", got)
	}
	d := Diff(NewDocument(base), NewDocument(base), PerHit)
	if p, err := d.DiffProfile(HitProfile(base, &base.Runs[1]), HitProfile(base, &base.Runs[1]), "srcu"); err == nil || p != nil {
		t.Error("a profile of a resolver that is not there")
	}
}
