package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
)

// CalibrateSchema names the shape of a TraceCalibration and a BenchCalibration in JSON.
const CalibrateSchema = "replay.calibrate/1"

// TraceCalibration is what was fitted to traces, and how well it fits.
type TraceCalibration struct {
	Schema   string               `json:"schema"`
	Machine  string               `json:"machine"`
	Recorder map[string]int64     `json:"recorder_ns"`
	Sections []SectionCalibration `json:"sections"`
	Traces   []TraceResidual      `json:"traces"`
}

// SectionCalibration is where write sections of one kind lie in their syscalls.
type SectionCalibration struct {
	Kind     string   `json:"kind"`
	Sections int      `json:"sections"`
	Start    int64    `json:"start_ns"`
	Hold     int64    `json:"hold_ns"` // 0: to the end
	Starts   [3]int64 `json:"start_ns_p10_p50_p90"`
	Holds    [3]int64 `json:"hold_ns_p10_p50_p90"`
}

// TraceResidual is what is left to explain of one trace.
type TraceResidual struct {
	Path      string  `json:"path"`
	Observed  int64   `json:"observed_fallbacks"`
	Predicted int64   `json:"predicted_fallbacks"`
	F1        float64 `json:"f1"`
	WaitError float64 `json:"wait_error"`
}

// recorderFigures are what is fitted of the recorder, in the order of the text.
var recorderFigures = []struct {
	name string
	of   func(*machines.Recorder) int64
}{
	{"hit_lag", func(r *machines.Recorder) int64 { return r.HitLag }},
	{"fail_lag", func(r *machines.Recorder) int64 { return r.FailLag }},
	{"window", func(r *machines.Recorder) int64 { return r.Window }},
	{"acquire_lead", func(r *machines.Recorder) int64 { return r.AcquireLead }},
	{"exit_lag", func(r *machines.Recorder) int64 { return r.ExitLag }},
	{"wake_latency", func(r *machines.Recorder) int64 { return r.WakeLatency }},
}

// NewTraceCalibration is the fit of p to traces.
func NewTraceCalibration(p *machines.Profile, list []timeline.Trace, fit *fit.TraceFit) *TraceCalibration {
	doc := &TraceCalibration{Schema: CalibrateSchema, Machine: p.Name, Recorder: map[string]int64{}}
	for _, f := range recorderFigures {
		doc.Recorder[f.name] = f.of(&p.Recorder)
	}
	for _, s := range fit.Sections {
		doc.Sections = append(doc.Sections, SectionCalibration{s.Kind, s.Sections, s.Model.Start, s.Model.Hold, s.Start, s.Hold})
	}
	for i, v := range fit.Validations {
		doc.Traces = append(doc.Traces, TraceResidual{list[i].Path(), v.Observed, v.Predicted, v.F1(), v.WaitError()})
	}
	return doc
}

// Text writes c for people.
func (c *TraceCalibration) Text(w io.Writer) error {
	var figures []string
	for _, f := range recorderFigures {
		figures = append(figures, fmt.Sprintf("%s %d ns", f.name, c.Recorder[f.name]))
	}
	fmt.Fprintf(w, "recorder: %s\n\n", strings.Join(figures, ", "))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "kind\tsections\tstart ns\tp10\tp90\thold ns\tp10\tp50\tp90\t")
	for _, s := range c.Sections {
		hold := "to the end"
		if s.Hold > 0 {
			hold = fmt.Sprint(s.Hold)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t\n", s.Kind, s.Sections, s.Start, s.Starts[0], s.Starts[2], hold, s.Holds[0], s.Holds[1], s.Holds[2])
	}
	fmt.Fprintln(t, "\t\t\t\t\t\t\t\t\t")
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "trace\tfallbacks\tpredicted\tF1\twait error\t")
	for _, r := range c.Traces {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.4f\t%+.0f %%\t\n", r.Path, r.Observed, r.Predicted, r.F1, 100*r.WaitError)
	}
	return t.Flush()
}

// BenchCalibration is what was fitted to a table of measurements, row by row.
type BenchCalibration struct {
	Schema  string                `json:"schema"`
	Machine string                `json:"machine"`
	Rows    []BenchCalibrationRow `json:"rows"`
}

// BenchCalibrationRow is one measurement, and what the machine makes of it.
type BenchCalibrationRow struct {
	Resolver  string  `json:"resolver"`
	CPUs      int     `json:"cpus"`
	Measured  float64 `json:"measured_mhits_per_s"`
	Predicted float64 `json:"predicted_mhits_per_s"`
	Error     float64 `json:"error"`
}

// NewBenchCalibration is the fit of a machine to measurements.
func NewBenchCalibration(machine string, rows []fit.Residual) *BenchCalibration {
	doc := &BenchCalibration{Schema: CalibrateSchema, Machine: machine}
	for _, r := range rows {
		doc.Rows = append(doc.Rows, BenchCalibrationRow{r.Resolver, r.CPUs, r.MHits, r.Predicted, r.Error()})
	}
	return doc
}

// Text writes the fit, row by row, and the median and worst error of each resolver.
func (c *BenchCalibration) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "resolver\tcpus\tmeasured\tpredicted\terror\t")
	errs := map[string][]float64{}
	var names []string
	for _, r := range c.Rows {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%+.1f%%\t\n", r.Resolver, r.CPUs, r.Measured, r.Predicted, 100*r.Error)
		if errs[r.Resolver] == nil {
			names = append(names, r.Resolver)
		}
		errs[r.Resolver] = append(errs[r.Resolver], max(r.Error, -r.Error))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, name := range names {
		list := errs[name]
		slices.Sort(list)
		fmt.Fprintf(w, "%s: median error %.1f%%, worst %.1f%%\n", name, 100*list[len(list)/2], 100*list[len(list)-1])
	}
	return nil
}
