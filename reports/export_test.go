package reports

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

// exported are documents that exports must cope with.
func exported() map[string]*Document {
	docs := map[string]*Document{}
	for name, res := range map[string]*replay.Result{
		"fixture": fixture(), "recorded": recordedResult(), "unknown": unknownResult(), "untold": untoldResult(), "hitless": hitlessResult(), "empty": emptyResult(), "wide": wideResult(),
	} {
		docs[name] = NewDocument(res)
	}
	return docs
}

// Each table of a report.json is a table in CSV, with every figure in it.
func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := CSV(&b, NewDocument(recordedResult()), "holders"); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "holders.csv", b.String())
	written := 0
	for name, d := range exported() {
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var raw map[string]any
		if err := json.Unmarshal(data, &raw); err != nil {
			t.Fatal(err)
		}
		for _, table := range CSVTables() {
			from := raw[table]
			if table == "waiters" || table == "holders" {
				recorded, _ := raw["recorded"].(map[string]any)
				from = recorded[table]
			}
			var b bytes.Buffer
			err := CSV(&b, d, table)
			if from == nil {
				if !errors.Is(err, ErrUnknown) || b.Len() > 0 {
					t.Errorf("%s of %s, which is unknown: %v\n%s", table, name, err, &b)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&b).ReadAll()
			if err != nil || len(rows) != 1+len(from.([]any)) {
				t.Fatalf("%s of %s: %v, %d rows", table, name, err, len(rows))
			}
			for i, row := range rows[1:] {
				for j, cell := range row {
					if want := lookUp(from.([]any)[i], rows[0][j]); cell != want {
						t.Errorf("%s of %s, row %d, %s: %q, but in report.json %q", table, name, i, rows[0][j], cell, want)
					}
					written++
				}
			}
		}
	}
	if written < 500 {
		t.Errorf("vacuous: %d cells", written)
	}
	if err := CSV(&b, NewDocument(fixture()), "nothing"); err == nil {
		t.Error("a table that is not there")
	}
}

// lookUp is what a path leads to, as CSV shows it.
func lookUp(v any, path string) string {
	for key := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = object[key]
	}
	switch x := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case []any:
		var all []string
		for _, s := range x {
			all = append(all, s.(string))
		}
		return strings.Join(all, ";")
	}
	return fmt.Sprint(v)
}

// The lines of a folded profile add up to it, and equal stacks are one line.
func TestFolded(t *testing.T) {
	res := fixture()
	r := &res.Runs[1]
	r.Samples[0].Stack = append([]string{"a;b\n (app)"}, r.Samples[0].Stack...)
	for _, p := range []string{"hits", "resolve", ""} {
		prof := HitProfile(res, r)
		index, err := prof.SampleIndexByName(p)
		if err != nil {
			t.Fatal(err)
		}
		var want int64
		for _, s := range prof.Sample {
			want += s.Value[index]
		}
		var b bytes.Buffer
		if err := Folded(&b, prof, p); err != nil {
			t.Fatal(err)
		}
		var got int64
		var stacks []string
		for line := range strings.Lines(b.String()) {
			at := strings.LastIndex(line, " ")
			n, err := strconv.ParseInt(strings.TrimSpace(line[at+1:]), 10, 64)
			if err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			got += n
			stacks = append(stacks, line[:at])
		}
		if got != want || want == 0 {
			t.Errorf("%s: the lines have %d, the profile %d", p, got, want)
		}
		if sorted := slices.Compact(slices.Sorted(slices.Values(stacks))); !slices.Equal(sorted, stacks) {
			t.Errorf("%s: stacks twice, or out of order:\n%s", p, &b)
		}
		if p == "hits" && !strings.Contains(b.String(), "a:b") {
			t.Errorf("a separator in a name:\n%s", &b)
		}
	}
	if err := Folded(&bytes.Buffer{}, HitProfile(res, r), "nothing"); err == nil {
		t.Error("a type that is not there")
	}
}

// What OpenMetrics writes, its parser reads, with the figures of the report.
func TestOpenMetrics(t *testing.T) {
	for name, d := range exported() {
		d.Trace.Path, d.Machine.Name = "a \"b\"\n\\\xff.parquet", "m"
		var b bytes.Buffer
		if err := OpenMetrics(&b, d); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(b.String(), "# EOF\n") {
			t.Errorf("%s has no end", name)
		}
		values := parseMetrics(t, b.String())
		expect := func(metric string, want float64, labels ...string) {
			got, ok := values[metric+fmt.Sprint(labels)]
			if !ok || math.Abs(got-want) > 1e-12*math.Abs(want) {
				t.Errorf("%s: %s %q is %v, %t; want %v", name, metric, labels, got, ok, want)
			}
		}
		// Of the trace; what is unknown of it is not there.
		expect("replay_trace_events", float64(d.Trace.Events))
		expect("replay_trace_duration_seconds", float64(d.Trace.DurationNs)/1e9)
		for metric, n := range map[string]*int64{"replay_trace_hits": d.Trace.Hits, "replay_trace_write_sections": d.Trace.Writers, "replay_trace_lost_events": d.Trace.Lost} {
			if n != nil {
				expect(metric, float64(*n))
			} else if _, ok := values[metric+"[]"]; ok {
				t.Errorf("%s: %s is there, and unknown", name, metric)
			}
		}
		// Rows that differ in what is no label are one figure.
		blamed := map[string]float64{}
		for _, b := range deref(d.Blame) {
			labels := []string{"resolver", b.Resolver, "comm", validUTF8(b.Comm), "tid", fmt.Sprint(*b.TID), "kind", b.Kind}
			blamed[fmt.Sprint(labels)] += float64(b.WaitNs) / 1e12
		}
		for labels, want := range blamed {
			if got, ok := values["replay_blame_wait_seconds"+labels]; !ok || math.Abs(got-want) > 1e-12*want {
				t.Errorf("%s: waits for %s: %v, want %v", name, labels, got, want)
			}
		}
		for i := range d.Runs {
			r := &d.Runs[i]
			if r.Lockless == nil {
				if _, ok := values["replay_lockless"+fmt.Sprint([]string{"resolver", r.Resolver})]; ok {
					t.Errorf("%s: what is unknown is there", name)
				}
				continue
			}
			expect("replay_lockless", float64(*r.Lockless), "resolver", r.Resolver)
			expect("replay_fallbacks", float64(r.Reasons.SeqChanged), "resolver", r.Resolver, "reason", "seq_changed")
			expect("replay_resolve_seconds", float64(r.ResolveNs.Total)/1e12, "resolver", r.Resolver, "stat", "total")
			if r.LockWaitNs.Max != nil {
				expect("replay_lock_wait_seconds", float64(*r.LockWaitNs.Max)/1e12, "resolver", r.Resolver, "stat", "max")
			}
		}
		if d.Recorded != nil {
			expect("replay_recorded_wait_seconds", float64(d.Recorded.WriterWaitNs.Total)/1e12, "access", "write", "stat", "total")
			expect("replay_recorded_blocked_seconds", float64(11*sim.Millisecond)/1e12, "comm", "cat", "tid", "900", "kind", "/proc maps", "mode", "read")
		}
	}
}

// parseMetrics are the samples of a text, by name and labels but for those of the trace.
func parseMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	dec := expfmt.NewDecoder(strings.NewReader(text), expfmt.NewFormat(expfmt.TypeOpenMetrics))
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err != nil {
			if err.Error() != "EOF" {
				t.Fatalf("%v in\n%s", err, text)
			}
			return values
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				if l.GetName() == "trace" || l.GetName() == "machine" {
					continue
				}
				labels = append(labels, l.GetName(), l.GetValue())
			}
			key := f.GetName() + fmt.Sprint(labels)
			if _, ok := values[key]; ok {
				t.Errorf("%s is there twice", key)
			}
			values[key] = m.GetGauge().GetValue()
		}
	}
}

// A mail is ASCII of 75 columns, whatever names there are.
func TestMail(t *testing.T) {
	var b bytes.Buffer
	if err := Mail(&b, NewDocument(recordedResult())); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "recorded.mail.txt", b.String())
	for name, d := range exported() {
		var b bytes.Buffer
		if err := Mail(&b, d); err != nil {
			t.Fatal(err)
		}
		if b.Len() < 40 {
			t.Errorf("%s: next to nothing: %s", name, &b)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if len(line) > MailWidth || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s, %d columns: %q", name, len(line), line)
			}
		}
		if name == "untold" && (!strings.Contains(b.String(), "unknown: ") || strings.Contains(b.String(), "Simulated")) {
			t.Errorf("what is unknown:\n%s", &b)
		}
	}
	for _, test := range []struct {
		a, b Figure
		want string
	}{
		{Figure{2000, true}, Figure{1000, true}, "-50.0%"}, {Figure{2000, true}, Figure{2000, true}, "="}, {Figure{0, true}, Figure{1, true}, "new"},
		{Figure{}, Figure{1, true}, "-"}, {Figure{1000, true}, Figure{2010, true}, "+101.0%"},
		{Figure{1000, true}, Figure{9999, true}, "+899.9%"}, {Figure{1000, true}, Figure{10_000, true}, "x10"},
	} {
		if got := percentChange(test.a, test.b); got != test.want {
			t.Errorf("%v to %v: %s, want %s", test.a, test.b, got, test.want)
		}
	}
}

// Writers that differ in their stacks alone are one figure, which is the sum.
func TestOpenMetricsAddsUp(t *testing.T) {
	d := NewDocument(fixture())
	row := Blame{Resolver: "speculative", Comm: "gc", TID: new(int32(7)), Kind: "munmap"}
	one, two := row, row
	one.Fallbacks, one.WaitNs, two.Fallbacks, two.WaitNs = 3, 5_000_000_000, 4, 6_000_000_000
	d.Blame = &[]Blame{one, two}
	var b bytes.Buffer
	if err := OpenMetrics(&b, d); err != nil {
		t.Fatal(err)
	}
	values := parseMetrics(t, b.String())
	labels := fmt.Sprint([]string{"resolver", "speculative", "comm", "gc", "tid", "7", "kind", "munmap"})
	if n, s := values["replay_blame_fallbacks"+labels], values["replay_blame_wait_seconds"+labels]; n != 7 || math.Abs(s-0.011) > 1e-12 {
		t.Errorf("%v fallbacks, %v s; want 7 and 0.011 s", n, s)
	}
}

// A row of several writers has no thread: not in JSON, not in OpenMetrics, not in pprof.
func TestBlameOfSeveral(t *testing.T) {
	res := fixture()
	run := &res.Runs[1]
	run.Blame = append(run.Blame, replay.Blame{Comm: "sh", PID: timeline.NoPID, TID: timeline.NoPID, Kind: "exit", Writers: 4000, Sections: 4100})
	d := NewDocument(res)
	if rows := deref(d.Blame); rows[len(rows)-1].PID != nil || rows[len(rows)-1].TID != nil || *rows[len(rows)-1].Writers != 4000 || *rows[0].TID != 720 {
		t.Errorf("JSON has %+v", rows)
	}
	var b bytes.Buffer
	if err := OpenMetrics(&b, d); err != nil {
		t.Fatal(err)
	}
	if got, ok := parseMetrics(t, b.String())["replay_blame_fallbacks"+fmt.Sprint([]string{"resolver", run.Resolver, "comm", "sh", "kind", "exit"})]; !ok || got != 0 {
		t.Errorf("OpenMetrics has %v, %t", got, ok)
	}
	b.Reset()
	if err := Text(&b, res, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "4,000 other writers cost no hit anything") {
		t.Errorf("the text does not count them:\n%s", b.String())
	}
	for _, s := range BlameProfile(res, run).Sample {
		if _, ok := s.NumLabel["tid"]; ok == (s.Label["comm"][0] == "sh") {
			t.Errorf("pprof has %v of %v", s.NumLabel, s.Label)
		}
	}
}
