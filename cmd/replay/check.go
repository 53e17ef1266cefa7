package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces"
)

func checkCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "compare runs with a baseline; the CI gate", ArgsUsage: "RUN...",
		Description: "RUN is the folder of a run, or its report.json. A replay has no noise: a figure\n" +
			"that moved has moved, and the verdict says whether the trace, the model or only\n" +
			"the result changed. Exit code 1 says that a limit is broken, 4 that lost events\n" +
			"could turn the verdict, which --max-loss accepts, or that a figure is unknown.\n\n" +
			"Examples:\n\n   replay check --baseline ci/replay.json --update app.run\n" +
			"   replay check --baseline ci/replay.json --limit 'fallbacks=+5%' app.run",
		Flags: commonFlags(
			&cli.StringFlag{Name: "baseline", Usage: "`FILE` to compare with"},
			&cli.BoolFlag{Name: "update", Usage: "write the baseline from these runs"},
			&cli.StringFlag{Name: "max-loss", Usage: "take up to `N` lost events for none, exit 4 for more; 0.01 or 1% is a share of them"},
			&cli.StringSliceFlag{Name: "limit", Usage: "`LIMIT` such as fallbacks=+0, resolve_ns.p99=+2% or hits_per_s>=1e6; later ones win"},
		),
		Action: e.check,
	}
}

func (e *env) check(c *cli.Context) error {
	if c.NArg() == 0 {
		return usage("check: no run given; see replay check --help")
	}
	if c.String("baseline") == "" {
		return usage("check: no --baseline given; see replay check --help")
	}
	limits, err := parseLimits(strings.FieldsFunc(strings.Join(c.StringSlice("limit"), ","), func(r rune) bool { return r == ',' }))
	if err != nil {
		return err
	}
	loss, err := parseLoss(c.String("max-loss"))
	if err != nil {
		return err
	}
	var docs []*reports.Document
	for _, path := range c.Args().Slice() {
		d, err := readReport(path)
		if err != nil {
			return err
		}
		if err := checkLoss(loss, d); err != nil {
			return err
		}
		docs = append(docs, d)
	}
	if c.Bool("update") {
		return e.updateBaseline(c, docs, limits)
	}
	b, err := readBaseline(c.String("baseline"))
	if err != nil {
		return err
	}
	color, err := useColor(c, e.stdout)
	if err != nil {
		return err
	}
	v, err := reports.Check(b, docs, limits, loss.allows)
	if err != nil {
		return usage("%v", err)
	}
	if c.Bool("json") {
		err = writeJSON(e, v)
	} else {
		err = v.Text(e.stdout, reports.TextOptions{Color: color})
	}
	switch {
	case err != nil:
	case v.Open:
		err = &coded{exitLossy, nil}
	case !v.Passed:
		err = &coded{exitRegression, nil}
	}
	return err
}

func checkLoss(l lossLimit, d *reports.Document) error {
	var lost int64
	if d.Trace.Lost != nil {
		lost = *d.Trace.Lost
	}
	var unknown []traces.Unknown
	if d.Unknown != nil {
		unknown = *d.Unknown
	}
	return l.check(lost, d.Trace.Events, unknown)
}

func parseLimits(texts []string) ([]reports.Limit, error) {
	var limits []reports.Limit
	for _, s := range texts {
		l, err := reports.ParseLimit(s)
		if err != nil {
			return nil, usage("--limit: %v", err)
		}
		limits = append(limits, l)
	}
	return limits, nil
}

// updateBaseline writes the baseline; limits that the file has are kept.
func (e *env) updateBaseline(c *cli.Context, docs []*reports.Document, limits []reports.Limit) error {
	path := c.String("baseline")
	if len(limits) == 0 {
		limits = reports.DefaultLimits()
		if old, err := readBaseline(path); err == nil {
			if limits, err = old.ParseLimits(); err != nil {
				return badInput(err)
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	b, err := reports.NewBaseline(docs, limits)
	if err != nil {
		return usage("%v", err)
	}
	if err := reports.WriteFile(path, true, b.Write); err != nil {
		return err
	}
	e.remark(c, "wrote %s: commit it", path)
	if c.Bool("json") {
		return b.Write(e.stdout)
	}
	return nil
}

func readBaseline(path string) (*reports.Baseline, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := reports.ReadBaseline(f, path)
	return b, badInput(err)
}

// readReport reads the report of a run: its folder, or the file.
func readReport(path string) (*reports.Document, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "report.json")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := reports.ReadJSON(f, path)
	return d, badInput(err)
}

func diffCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "compare two runs", ArgsUsage: "BASE NEW",
		Description: "BASE and NEW are folders of runs, or their report.json.\n\nExample:\n\n   replay diff before.run after.run",
		Flags:       commonFlags(),
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usage("diff: want two runs, not %d; see replay diff --help", c.NArg())
			}
			base, err := readReport(c.Args().Get(0))
			if err != nil {
				return err
			}
			now, err := readReport(c.Args().Get(1))
			if err != nil {
				return err
			}
			d := reports.Diff(base, now)
			if c.Bool("json") {
				return writeJSON(e, d)
			}
			color, err := useColor(c, e.stdout)
			if err != nil {
				return err
			}
			return d.Text(e.stdout, reports.TextOptions{Color: color})
		},
	}
}
