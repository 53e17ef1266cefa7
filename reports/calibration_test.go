package reports

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

func TestBench(t *testing.T) {
	b := NewBench("generic", fit.Nop)
	b.Add("locked", 2, 3_500_000)
	if diff := cmp.Diff(&Bench{BenchSchema, "generic", "", []BenchRow{{"locked", 2, 3.5, 1.75}}}, b); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var text strings.Builder
	if err := b.Text(&text); err != nil {
		t.Fatal(err)
	}
	if want := "  resolver  cpus  M hits/s  M hits/s/cpu\n    locked     2     3.500         1.750\n"; text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
	if b := NewBench("generic", fit.Nop5); b.Kind != "nop5" {
		t.Errorf("of kind %q", b.Kind)
	}
}

// The error of each row has its sign; the median and the worst of a resolver have none.
func TestBenchCalibration(t *testing.T) {
	row := func(resolver string, measured, predicted float64) fit.Residual {
		return fit.Residual{BenchPoint: fit.BenchPoint{Resolver: resolver, CPUs: 4, MHits: measured}, Predicted: predicted}
	}
	c := NewBenchCalibration("mine", []fit.Residual{row("locked", 2, 1), row("speculative", 4, 4), row("locked", 2, 2.2), row("locked", 4, 5)})
	if c.Rows[0].Error != -0.5 || math.Abs(c.Rows[2].Error-0.1) > 1e-9 || c.Schema != CalibrateSchema || c.Machine != "mine" {
		t.Errorf("%+v", c)
	}
	var text strings.Builder
	if err := c.Text(&text); err != nil {
		t.Fatal(err)
	}
	want := "     resolver  cpus  measured  predicted   error\n" +
		"       locked     4     2.000      1.000  -50.0%\n" +
		"  speculative     4     4.000      4.000   +0.0%\n" +
		"       locked     4     2.000      2.200  +10.0%\n" +
		"       locked     4     4.000      5.000  +25.0%\n" +
		"locked: median error 25.0%, worst 50.0%\nspeculative: median error 0.0%, worst 0.0%\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
	if err := c.Text(&small{0, errFull}); err == nil {
		t.Error("a full disk is no error")
	}
}

// namedTrace is a trace of which nothing but the name is asked.
type namedTrace string

func (n namedTrace) Path() string                               { return string(n) }
func (namedTrace) SHA256() string                               { return "" }
func (namedTrace) Meta() traces.Meta                            { return traces.Meta{} }
func (namedTrace) Stream(traces.Columns) (traces.Stream, error) { return nil, nil }

func TestTraceCalibration(t *testing.T) {
	p := &machines.Profile{Machine: sim.Machine{Name: "mine"}, Recorder: machines.Recorder{
		HitLag: 1, FailLag: 2, Window: 3, AcquireLead: 4, ExitLag: 5, WakeLatency: 6,
	}}
	v := &fit.Validation{Observed: 10, Predicted: 8, TP: 6, FP: 2, FN: 4}
	v.Waits.Observed.Total, v.Waits.Predicted.Total = 4*sim.Microsecond, 3*sim.Microsecond
	c := NewTraceCalibration(p, []timeline.Trace{namedTrace("a.parquet")}, &fit.TraceFit{
		Sections: []fit.SectionFit{
			{Kind: "mmap", Sections: 20, Model: machines.KindModel{Start: 300, Hold: 2000}, Start: [3]int64{250, 300, 400}, Hold: [3]int64{1500, 2000, 3000}},
			{Kind: "brk", Sections: 12, Model: machines.KindModel{Start: 100}, Start: [3]int64{80, 100, 120}, Hold: [3]int64{500, 600, 700}},
		},
		Validations: []*fit.Validation{v},
	})
	var text bytes.Buffer
	if err := c.Text(&text); err != nil {
		t.Fatal(err)
	}
	want := "recorder: hit_lag 1 ns, fail_lag 2 ns, window 3 ns, acquire_lead 4 ns, exit_lag 5 ns, wake_latency 6 ns\n\n" +
		"  kind  sections  start ns  p10  p90     hold ns   p10   p50   p90\n" +
		"  mmap        20       300  250  400        2000  1500  2000  3000\n" +
		"   brk        12       100   80  120  to the end   500   600   700\n"
	if got := text.String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "  a.parquet         10          8  0.6667       -25 %\n") {
		t.Errorf("got\n%s", got)
	}
	if c.Schema != CalibrateSchema || c.Machine != "mine" || len(c.Recorder) != 6 || c.Recorder["wake_latency"] != 6 ||
		c.Sections[0] != (SectionCalibration{"mmap", 20, 300, 2000, [3]int64{250, 300, 400}, [3]int64{1500, 2000, 3000}}) {
		t.Errorf("%+v", c)
	}
	if err := c.Text(&small{110, errFull}); err == nil {
		t.Error("a full disk is no error")
	}
}
