package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/klauspost/compress/gzip"
	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
)

// exportFormats are what --to takes.
var exportFormats = []string{"perfetto", "folded", "benchfmt", "openmetrics", "csv", "mail"}

func exportCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "turn a run into what other viewers read", ArgsUsage: "DIR",
		Description: "DIR is the folder of a run.\n\n" +
			"   perfetto     trace events as JSON, for ui.perfetto.dev; gzipped where -o ends in .gz\n" +
			"   folded       stacks of a profile, for speedscope, flamegraph.pl and inferno\n" +
			"   benchfmt     figures for benchstat\n" +
			"   openmetrics  figures as gauges, for Prometheus and its kin\n" +
			"   csv          a table of the report, for spreadsheets and data frames\n" +
			"   mail         figures side by side as ASCII of 75 columns, for a mailing list\n\n" +
			"Examples:\n\n   replay export --to folded --profile speculative.blame app.run | flamegraph.pl > blame.svg\n" +
			"   replay export --mail app.run",
		Flags: commonFlags(
			&cli.StringFlag{Name: "to", Usage: "`FORMAT`: " + strings.Join(exportFormats, ", ")},
			&cli.BoolFlag{Name: "mail", Usage: "the same as --to mail"},
			&cli.StringFlag{Name: "profile", Usage: "folded: `NAME` of the profile, such as speculative.blame (default: that of the last resolver)"},
			&cli.StringFlag{Name: "sample_index", Usage: "folded: `TYPE` of values, such as lock_wait (default: the profile's own)"},
			&cli.StringFlag{Name: "time", Usage: "perfetto: `A,B` as durations from the first event, such as 500ms,2s; either may be empty"},
			&cli.StringFlag{Name: "table", Usage: "csv: `TABLE` to write: " + strings.Join(reports.CSVTables(), ", ") + " (default runs)"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write (default standard output)"},
		),
		Action: e.export,
	}
}

func (e *env) export(c *cli.Context) error {
	dir, err := one(c, "folder of a run")
	if err != nil {
		return err
	}
	format, err := exportFormat(c)
	if err != nil {
		return err
	}
	name := c.String("output")
	if c.Bool("json") && name == "" {
		return usage("export: the export itself goes to standard output; --json, which tells what was written, is of -o FILE")
	}
	doc, err := readReport(dir)
	if err != nil {
		return err
	}
	write, err := e.exporter(c, format, dir, doc)
	if err != nil {
		return err
	}
	if name == "" {
		return write(e.stdout)
	}
	if err := reports.CheckFile(name, c.Bool("force")); err != nil {
		return err
	}
	var bytes int64
	err = reports.WriteFile(name, c.Bool("force"), func(w io.Writer) error {
		n := &counting{w: w}
		err := write(n)
		bytes = n.n
		return err
	})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(e, struct {
			Schema string `json:"schema"`
			Format string `json:"format"`
			Output string `json:"output"`
			Bytes  int64  `json:"bytes"`
		}{"replay.export/1", format, name, bytes})
	}
	return nil
}

// exportFormat reads the flags that say what to export, and refuses those of another.
func exportFormat(c *cli.Context) (string, error) {
	format := c.String("to")
	if c.Bool("mail") {
		if format != "" && format != "mail" {
			return "", usage("export: --to %s and --mail are two formats", format)
		}
		format = "mail"
	}
	if format == "" {
		return "", usage("export: no --to FORMAT given: want one of %s", strings.Join(exportFormats, ", "))
	}
	if !slices.Contains(exportFormats, format) {
		return "", usage("export: --to %q: want one of %s", format, strings.Join(exportFormats, ", "))
	}
	for flag, of := range map[string]string{"profile": "folded", "sample_index": "folded", "table": "csv", "time": "perfetto"} {
		if c.IsSet(flag) && of != format {
			return "", usage("export: --%s is of --to %s", flag, of)
		}
	}
	return format, nil
}

// exporter checks what a format needs, and returns what writes it.
func (e *env) exporter(c *cli.Context, format, dir string, doc *reports.Document) (func(io.Writer) error, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir) // report.json of the folder was given
	}
	switch format {
	case "folded":
		p, err := exportProfile(c, dir, doc)
		if err != nil {
			return nil, err
		}
		index := c.String("sample_index")
		i, err := p.SampleIndexByName(index)
		if err != nil {
			return nil, usage("export: --sample_index: %v", err)
		}
		if !slices.ContainsFunc(p.Sample, func(s *profile.Sample) bool { return s.Value[i] != 0 }) {
			e.remark(c, "nothing: %s is 0 throughout; choose another with --sample_index", p.SampleType[i].Type)
		}
		return func(w io.Writer) error { return reports.Folded(w, p, index) }, nil
	case "csv":
		table := cmp.Or(c.String("table"), "runs")
		if !slices.Contains(reports.CSVTables(), table) {
			return nil, usage("export: --table %q: want one of %s", table, strings.Join(reports.CSVTables(), ", "))
		}
		return func(w io.Writer) error { return unknown(reports.CSV(w, doc, table)) }, nil
	case "openmetrics":
		return func(w io.Writer) error { return reports.OpenMetrics(w, doc) }, nil
	case "mail":
		return func(w io.Writer) error { return reports.Mail(w, doc) }, nil
	case "benchfmt":
		return exportFile(filepath.Join(dir, "benchfmt.txt"), false, false)
	}
	timeline := filepath.Join(dir, "timeline.json.gz")
	zip := strings.HasSuffix(c.String("output"), ".gz")
	if !c.IsSet("time") {
		return exportFile(timeline, true, zip)
	}
	window, err := parseWindow(c.String("time"))
	if err != nil {
		return nil, err
	}
	return func(w io.Writer) error { return exportCut(w, timeline, window, zip) }, nil
}

// exportCut writes a part of a timeline.
func exportCut(w io.Writer, path string, window replay.Window, zip bool) error {
	open := func() (io.Reader, error) {
		data, err := os.ReadFile(path) // a few MB: see reports.Timeline
		if err != nil {
			return nil, err
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		return z, damaged(path, err)
	}
	if !zip {
		return damaged(path, reports.CutTimeline(w, open, window))
	}
	z := gzip.NewWriter(w)
	if err := reports.CutTimeline(z, open, window); err != nil {
		return damaged(path, err)
	}
	return z.Close()
}

// damaged says of an error in a zipped file what to do.
func damaged(path string, err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return badInput(fmt.Errorf("%s is cut short or damaged: %w; make the run anew", path, err))
	}
	return err
}

// unknown gives an error of what is not known its exit code.
func unknown(err error) error {
	if errors.Is(err, reports.ErrUnknown) {
		return &coded{exitLossy, fmt.Errorf("export: %w", err)}
	}
	return err
}

// exportProfile reads the profile to fold.
func exportProfile(c *cli.Context, dir string, doc *reports.Document) (*profile.Profile, error) {
	name := strings.TrimSuffix(c.String("profile"), ".pb.gz")
	if name == "" {
		if len(doc.Runs) == 0 {
			return nil, usage("export: %s has no run; choose one of its profiles with --profile", dir)
		}
		name = doc.Runs[len(doc.Runs)-1].Resolver
	}
	f, err := os.Open(filepath.Join(dir, filepath.Base(name)+".pb.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("export: there is no profile %s in %s: want one of %s", name, dir, strings.Join(profilesIn(dir), ", "))
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		return nil, badInput(fmt.Errorf("%s: %w", f.Name(), err))
	}
	return p, nil
}

func profilesIn(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "*.pb.gz"))
	for i := range names {
		names[i] = strings.TrimSuffix(filepath.Base(names[i]), ".pb.gz")
	}
	return names
}

// exportFile copies a file of the run, unzipped unless it is to stay so.
func exportFile(path string, zipped, stay bool) (func(io.Writer) error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return func(w io.Writer) error {
		defer f.Close()
		if !zipped || stay {
			_, err := io.Copy(w, f)
			return err
		}
		z, err := gzip.NewReader(bufio.NewReader(f))
		if err == nil {
			_, err = io.Copy(w, z)
		}
		return damaged(path, err)
	}, nil
}

// counting counts what is written.
type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
