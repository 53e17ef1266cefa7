package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/reports"
)

func calibrateCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "calibrate", Usage: "fit a machine profile to recordings or to a benchmark table", ArgsUsage: "TRACE...",
		Description: "TRACE is a recording with mmap_lock events: where write sections lie in their\n" +
			"syscalls is measured, and the lags of the recorder's stamps are searched for.\n" +
			"--bench takes a CSV table with the columns resolver, cpus and mhits_per_s, to which\n" +
			"the traffic on cache lines is fitted. The residuals are printed.\n\n" +
			"Examples:\n\n   replay calibrate -o mine.yaml perf.data\n" +
			"   replay calibrate --machine xeon-6138x2 --bench mine.csv -o mine.yaml",
		Flags: commonFlags(append([]cli.Flag{
			machineFlag,
			&cli.StringFlag{Name: "bench", Usage: "`TABLE.csv` to fit"},
			&cli.IntFlag{Name: "rounds", Value: 900, Usage: "`N` rounds of the search with --bench"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write the profile to"},
			seedFlag,
		}, ingestFlags...)...),
		Action: e.calibrate,
	}
}

func (e *env) calibrate(c *cli.Context) error {
	table := c.String("bench")
	if (table == "") == (c.NArg() == 0) {
		return usage("calibrate: give either traces or --bench TABLE.csv; see replay calibrate --help")
	}
	profile, err := loadMachine(c.String("machine"))
	if err != nil {
		return err
	}
	if name := c.String("output"); name != "" {
		if err := reports.CheckFile(name, c.Bool("force")); err != nil {
			return err
		}
	}
	if table != "" {
		return e.calibrateBench(c, profile, table)
	}
	return e.calibrateTraces(c, profile)
}

// save writes the fitted profile, where it is asked for.
func (e *env) save(c *cli.Context, profile *machines.Profile) error {
	name := c.String("output")
	if name == "" {
		return nil
	}
	return reports.WriteFile(name, c.Bool("force"), profile.Write)
}

func (e *env) calibrateBench(c *cli.Context, profile *machines.Profile, table string) error {
	f, err := os.Open(table)
	if err != nil {
		return err
	}
	defer f.Close()
	points, err := replay.ReadBenchTable(f, table)
	if err != nil {
		return badInput(err)
	}
	before := profile.Profile
	show := e.progress(c, "fitting")
	err = replay.FitBench(c.Context, &profile.Machine, points, c.Int("rounds"), c.Uint64("seed"), func(round int, _ float64) {
		show(int64(round), int64(c.Int("rounds")))
	})
	if err != nil {
		return err
	}
	rows, err := replay.BenchResiduals(c.Context, &profile.Machine, points, c.Uint64("seed"))
	if err != nil {
		return err
	}
	e.endProgress()
	profile.CiteFitted(&before, "replay calibrate --bench "+table)
	if err := e.save(c, profile); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(e, newCalibration(profile.Name, rows))
	}
	return e.residuals(rows)
}

func (e *env) calibrateTraces(c *cli.Context, profile *machines.Profile) error {
	loss, err := parseLoss(c.String("max-loss"))
	if err != nil {
		return err
	}
	var list []replay.Trace
	for _, path := range c.Args().Slice() {
		t, err := e.open(c, path)
		if err != nil {
			return err
		}
		defer t.Close()
		if err := loss.check(t.Meta().Lost, t.file.NumRows(), t.Meta().Unknown); err != nil {
			return err
		}
		list = append(list, t)
	}
	before := profile.Profile
	before.Sections = maps.Clone(profile.Sections)
	show := e.progress(c, "fitting")
	fit, err := replay.FitTraces(c.Context, list, &profile.Profile, func(round, rounds int) { show(int64(round), int64(rounds)) })
	if err != nil {
		return badInput(err)
	}
	e.endProgress()
	profile.CiteFitted(&before, "replay calibrate "+strings.Join(c.Args().Slice(), " "))
	if err := e.save(c, profile); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(e, newTraceCalibration(profile, list, fit))
	}
	return e.traceResiduals(profile, list, fit)
}

// traceCalibration is the JSON document of calibrate with traces.
type traceCalibration struct {
	Schema   string               `json:"schema"`
	Machine  string               `json:"machine"`
	Recorder map[string]int64     `json:"recorder_ns"`
	Sections []sectionCalibration `json:"sections"`
	Traces   []traceResidual      `json:"traces"`
}

type sectionCalibration struct {
	Kind     string   `json:"kind"`
	Sections int      `json:"sections"`
	Start    int64    `json:"start_ns"`
	Hold     int64    `json:"hold_ns"`
	Starts   [3]int64 `json:"start_ns_p10_p50_p90"`
	Holds    [3]int64 `json:"hold_ns_p10_p50_p90"`
}

type traceResidual struct {
	Path      string  `json:"path"`
	Observed  int64   `json:"observed_fallbacks"`
	Predicted int64   `json:"predicted_fallbacks"`
	F1        float64 `json:"f1"`
	WaitError float64 `json:"wait_error"`
}

func newTraceCalibration(p *machines.Profile, list []replay.Trace, fit *replay.TraceFit) traceCalibration {
	r := &p.Recorder
	doc := traceCalibration{Schema: "replay.calibrate/1", Machine: p.Name, Recorder: map[string]int64{
		"hit_lag": r.HitLag, "fail_lag": r.FailLag, "window": r.Window, "acquire_lead": r.AcquireLead, "exit_lag": r.ExitLag, "wake_latency": r.WakeLatency,
	}}
	for _, s := range fit.Sections {
		doc.Sections = append(doc.Sections, sectionCalibration{s.Kind, s.Sections, s.Model.Start, s.Model.Hold, s.Start, s.Hold})
	}
	for i, v := range fit.Validations {
		doc.Traces = append(doc.Traces, traceResidual{list[i].Path(), v.Observed, v.Predicted, v.F1(), v.WaitError()})
	}
	return doc
}

func (e *env) traceResiduals(p *machines.Profile, list []replay.Trace, fit *replay.TraceFit) error {
	r := &p.Recorder
	fmt.Fprintf(e.stdout, "recorder: hit_lag %d ns, fail_lag %d ns, window %d ns, acquire_lead %d ns, exit_lag %d ns, wake_latency %d ns\n\n",
		r.HitLag, r.FailLag, r.Window, r.AcquireLead, r.ExitLag, r.WakeLatency)
	t := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "kind\tsections\tstart ns\tp10\tp90\thold ns\tp10\tp50\tp90\t")
	for _, s := range fit.Sections {
		hold := "to the end"
		if s.Model.Hold > 0 {
			hold = fmt.Sprint(s.Model.Hold)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t\n", s.Kind, s.Sections, s.Model.Start, s.Start[0], s.Start[2], hold, s.Hold[0], s.Hold[1], s.Hold[2])
	}
	fmt.Fprintln(t, "\t\t\t\t\t\t\t\t\t")
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "trace\tfallbacks\tpredicted\tF1\twait error\t")
	for i, v := range fit.Validations {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.4f\t%+.0f %%\t\n", list[i].Path(), v.Observed, v.Predicted, v.F1(), 100*v.WaitError())
	}
	return t.Flush()
}

// calibration is the JSON document of calibrate.
type calibration struct {
	Schema  string           `json:"schema"`
	Machine string           `json:"machine"`
	Rows    []calibrationRow `json:"rows"`
}

type calibrationRow struct {
	Resolver  string  `json:"resolver"`
	CPUs      int     `json:"cpus"`
	Measured  float64 `json:"measured_mhits_per_s"`
	Predicted float64 `json:"predicted_mhits_per_s"`
	Error     float64 `json:"error"`
}

func newCalibration(machine string, rows []replay.Residual) calibration {
	doc := calibration{Schema: "replay.calibrate/1", Machine: machine}
	for _, r := range rows {
		doc.Rows = append(doc.Rows, calibrationRow{r.Resolver, r.CPUs, r.MHits, r.Predicted, r.Error()})
	}
	return doc
}

// residuals prints the fit, row by row, and the median and worst error of each
// resolver.
func (e *env) residuals(rows []replay.Residual) error {
	t := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "resolver\tcpus\tmeasured\tpredicted\terror\t")
	errs := map[string][]float64{}
	var names []string
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%+.1f%%\t\n", r.Resolver, r.CPUs, r.MHits, r.Predicted, 100*r.Error())
		if errs[r.Resolver] == nil {
			names = append(names, r.Resolver)
		}
		errs[r.Resolver] = append(errs[r.Resolver], max(r.Error(), -r.Error()))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, name := range names {
		list := errs[name]
		slices.Sort(list)
		fmt.Fprintf(e.stdout, "%s: median error %.1f%%, worst %.1f%%\n", name, 100*list[len(list)/2], 100*list[len(list)-1])
	}
	return nil
}
