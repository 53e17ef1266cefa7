package main

import (
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
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
	points, err := fit.ReadBenchTable(f, table)
	if err != nil {
		return badInput(err)
	}
	before := profile.Clone()
	show := e.progress(c, "fitting")
	err = fit.ToBench(c.Context, &profile.Machine, points, c.Int("rounds"), c.Uint64("seed"), func(round int, _ float64) {
		show(int64(round), int64(c.Int("rounds")))
	})
	if err != nil {
		return err
	}
	rows, err := fit.Residuals(c.Context, &profile.Machine, points, c.Uint64("seed"))
	if err != nil {
		return err
	}
	e.endProgress()
	profile.CiteFitted(before, "replay calibrate --bench "+table)
	if err := e.save(c, profile); err != nil {
		return err
	}
	doc := reports.NewBenchCalibration(profile.Name, rows)
	if c.Bool("json") {
		return writeJSON(e, doc)
	}
	return doc.Text(e.stdout)
}

func (e *env) calibrateTraces(c *cli.Context, profile *machines.Profile) error {
	loss, err := parseLoss(c.String("max-loss"))
	if err != nil {
		return err
	}
	var list []timeline.Trace
	for _, path := range c.Args().Slice() {
		t, err := e.open(c, path, "")
		if err != nil {
			return err
		}
		defer t.Close()
		if err := loss.check(t.Meta().Lost, t.file.NumRows(), t.Meta().Unknown); err != nil {
			return err
		}
		list = append(list, t)
	}
	before := profile.Clone()
	show := e.progress(c, "fitting")
	fit, err := fit.ToTraces(c.Context, list, profile, func(round, rounds int) { show(int64(round), int64(rounds)) })
	if err != nil {
		return badInput(err)
	}
	e.endProgress()
	profile.CiteFitted(before, "replay calibrate "+strings.Join(c.Args().Slice(), " "))
	if err := e.save(c, profile); err != nil {
		return err
	}
	doc := reports.NewTraceCalibration(profile, list, fit)
	if c.Bool("json") {
		return writeJSON(e, doc)
	}
	return doc.Text(e.stdout)
}
