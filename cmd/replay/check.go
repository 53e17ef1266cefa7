package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/reports"
	"github.com/replay/replay/reports/ci"
	"github.com/replay/replay/traces"
)

func checkCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "compare runs with a baseline; the CI gate", ArgsUsage: "RUN...",
		Description: "RUN is the folder of a run, or its report.json. Replays of one trace have no noise:\n" +
			"a figure that moved has moved, and the verdict says whether the trace, the model or\n" +
			"only the result changed. With --as the runs are of several captures of one program,\n" +
			"which do vary, and are compared with those of the baseline by the Mann-Whitney\n" +
			"U-test. Exit code 1 says that a limit is broken, 4 that lost events could turn the\n" +
			"verdict, which --max-loss accepts, that a figure is unknown, or captures too few.\n\n" +
			"A file of limits has one on a line, as --limit takes them: a metric, of one probe,\n" +
			"process or writer if you like, and how far it may go. # begins a comment.\n\n" +
			"   fallbacks = +5%                       # may rise by 5 % of the baseline\n" +
			"   speculative:resolve_ns.p99 <= 2000    # whatever the baseline says\n" +
			"   lock_wait_ns.total of probe libc:malloc = +10%\n" +
			"   fallbacks of writer munmap by gc = +0\n\n" +
			"Examples:\n\n   replay check --baseline ci/replay.json --update app.run\n" +
			"   replay check --baseline ci/replay.json --limits ci/limits app.run\n" +
			"   replay check --baseline ci/replay.json --as app --to junit=app.xml app-*.run",
		Flags: commonFlags(
			&cli.StringFlag{Name: "baseline", Usage: "`FILE` to compare with"},
			&cli.BoolFlag{Name: "update", Usage: "write the baseline from these runs"},
			&cli.StringFlag{Name: "max-loss", Usage: "take up to `N` lost events for none, exit 4 for more; 0.01 or 1% is a share of them"},
			&cli.StringSliceFlag{Name: "limit", Usage: "`LIMIT` such as fallbacks=+0, resolve_ns.p99=+2% or hits_per_s>=1e6; later ones win"},
			&cli.StringFlag{Name: "limits", Usage: "`FILE` of limits; they win over those of the baseline"},
			&cli.StringFlag{Name: "as", Usage: "the runs are captures of one program, called `NAME` in the baseline"},
			&cli.Float64Flag{Name: "alpha", Value: reports.DefaultAlpha, Usage: "how `LIKELY` captures may be called worse that are not, over all figures"},
			&cli.StringSliceFlag{Name: "to", Usage: "write the verdict for a CI system, too: `FORMAT=FILE` with " + strings.Join(ci.Formats(), ", ") + "; - is standard output, in place of the text"},
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
	limits, err := readLimits(c)
	if err != nil {
		return err
	}
	loss, err := parseLoss(c.String("max-loss"))
	if err != nil {
		return err
	}
	if a := c.Float64("alpha"); !(a > 0 && a < 1) {
		return usage("--alpha %g: want a probability between 0 and 1", a)
	}
	outputs, err := parseOutputs(c)
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
	v, err := reports.Check(b, docs, reports.CheckOptions{Limits: limits, Tolerate: loss.allows, Set: c.String("as"), Alpha: c.Float64("alpha")})
	if err != nil {
		return usage("%v", err)
	}
	if err := e.writeVerdict(c, v, docs, outputs); err != nil {
		return err
	}
	switch {
	case v.Open:
		return &coded{exitLossy, nil}
	case !v.Passed:
		return &coded{exitRegression, nil}
	}
	return nil
}

// output is a file that a verdict goes to.
type output struct{ format, file string }

// parseOutputs reads --to. Only one document goes to standard output.
func parseOutputs(c *cli.Context) ([]output, error) {
	var all []output
	stdout := c.Bool("json")
	for _, s := range c.StringSlice("to") {
		format, file, found := strings.Cut(s, "=")
		if !found || file == "" || !slices.Contains(ci.Formats(), format) {
			return nil, usage("--to %q: want FORMAT=FILE with one of %s", s, strings.Join(ci.Formats(), ", "))
		}
		if file == "-" {
			if stdout {
				return nil, usage("--to %s: something else goes to standard output already", s)
			}
			stdout = true
		}
		all = append(all, output{format, file})
	}
	return all, nil
}

// writeVerdict writes the verdict as asked for, as text where nothing else goes to
// standard output.
func (e *env) writeVerdict(c *cli.Context, v *reports.Verdict, docs []*reports.Document, outputs []output) error {
	text := !c.Bool("json")
	for _, o := range outputs {
		write := func(w io.Writer) error { return ci.Write(w, o.format, v, docs, c.String("baseline")) }
		var err error
		if o.file == "-" {
			text, err = false, write(e.stdout)
		} else {
			err = reports.WriteFile(o.file, true, write)
		}
		if err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(e, v)
	}
	if !text {
		return nil
	}
	color, err := useColor(c, e.stdout)
	if err != nil {
		return err
	}
	return v.Text(e.stdout, reports.TextOptions{Color: color})
}

// readLimits reads those of the file, and then those of the command line, which win.
func readLimits(c *cli.Context) ([]reports.Limit, error) {
	var limits []reports.Limit
	if name := c.String("limits"); name != "" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--limits: %w", err)
		}
		defer f.Close()
		if limits, err = reports.ReadLimits(f, name); err != nil {
			return nil, badInput(err)
		}
	}
	for _, s := range reports.SplitLimits(strings.Join(c.StringSlice("limit"), ",")) {
		l, err := reports.ParseLimit(s)
		if err != nil {
			return nil, usage("--limit: %v", err)
		}
		limits = append(limits, l)
	}
	return limits, nil
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

// updateBaseline writes the baseline; limits that the file has are kept, and so are
// entries of other sets.
func (e *env) updateBaseline(c *cli.Context, docs []*reports.Document, limits []reports.Limit) error {
	path := c.String("baseline")
	b, err := readBaseline(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b = &reports.Baseline{Schema: reports.BaselineSchema, Limits: []string{}, Entries: []reports.Entry{}}
		if len(limits) == 0 {
			limits = reports.DefaultLimits()
		}
	case err != nil:
		return err
	}
	b.SetLimits(limits)
	if err := b.Replace(c.String("as"), docs, limits); err != nil {
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
