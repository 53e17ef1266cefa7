package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
)

func diffCommand(e *env) *cli.Command {
	flags := append(slices.Clone(playFlags),
		&cli.StringFlag{Name: "per", Usage: "`WHAT` counts and total times are divided by: run (nothing), hit or second; hit where the\n" +
			"traces are not the same, else run"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`DIR` for the difference and its profiles, for go tool pprof"},
		seedFlag,
	)
	return &cli.Command{
		Name: "diff", Usage: "compare two runs, or two traces", ArgsUsage: "BASE NEW",
		Description: "BASE and NEW are folders of runs, or their report.json, or traces and captures,\n" +
			"which are replayed as replay run does with the same flags. The difference says first\n" +
			"what changed and where most of it lies, then all figures that changed, and which\n" +
			"probes, writers, processes, reasons and cache lines changed most. The profiles in\n" +
			"DIR are NEW's less BASE's.\n\n" +
			"Examples:\n\n   replay diff before.run after.run\n   replay diff --per second -o d.diff --resolver speculative before.parquet after.parquet",
		Flags:  commonFlags(append(flags, ingestFlags...)...),
		Action: e.diff,
	}
}

// side is one of two that are compared.
type side struct {
	doc      *reports.Document
	profiles reports.Profiles
}

func (e *env) diff(c *cli.Context) error {
	if c.NArg() != 2 {
		return usage("diff: want two runs, not %d; see replay diff --help", c.NArg())
	}
	per := reports.Rate(c.String("per"))
	if per != "" {
		var err error
		if per, err = reports.ParseRate(c.String("per")); err != nil {
			return usage("--per: %v", err)
		}
	}
	dir := c.String("output")
	if dir != "" {
		if err := reports.CheckDiffDir(dir, c.Bool("force")); err != nil {
			return err
		}
	}
	color, err := useColor(c, e.stdout)
	if err != nil {
		return err
	}
	var sides [2]side
	replayed := false
	for i, path := range c.Args().Slice() {
		recorded, err := isReport(path)
		if err != nil {
			return err
		}
		if recorded {
			sides[i], err = openSide(path)
		} else {
			replayed = true
			sides[i], err = e.playSide(c, path)
		}
		if err != nil {
			return err
		}
	}
	if name := givenFlag(c, playFlags); name != "" && !replayed {
		return usage("--%s: both are runs, nothing is replayed; give traces, or replay them with replay run", name)
	}
	d := reports.Diff(sides[0].doc, sides[1].doc, per)
	if dir != "" {
		if err := d.WriteDir(dir, sides[0].profiles, sides[1].profiles, c.Bool("force")); err != nil {
			return err
		}
		e.remark(c, "the difference is in %s; try: go tool pprof -http=: %s/%s.pb.gz", dir, dir, d.Changes[len(d.Changes)-1].Resolver)
	}
	if c.Bool("json") {
		return writeJSON(e, d)
	}
	return d.Text(e.stdout, reports.TextOptions{Color: color})
}

// givenFlag is the first of the flags that was given, or "".
func givenFlag(c *cli.Context, flags []cli.Flag) string {
	for _, f := range flags {
		for _, name := range f.Names() {
			if c.IsSet(name) {
				return name
			}
		}
	}
	return ""
}

// isReport reports whether path is the folder of a run, or the report of one, and no
// trace.
func isReport(path string) (bool, error) {
	if path == "-" {
		return false, nil
	}
	if isFolder(path) {
		return isOtherFolder(path), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := io.ReadFull(f, head)
	text := string(bytes.ReplaceAll(head[:n], []byte(" "), nil))
	return strings.HasPrefix(strings.TrimSpace(text), "{") && strings.Contains(text, `"schema":"replay.`), nil
}

// openSide reads the report of a run, and its profiles from beside it.
func openSide(path string) (side, error) {
	doc, err := readReport(path)
	if err != nil {
		return side{}, err
	}
	folder := path
	if !isFolder(folder) {
		folder = filepath.Dir(path)
	}
	return side{doc, func(name string) (*profile.Profile, error) {
		name = filepath.Join(folder, name)
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("profile of %s: %w", path, err)
		}
		defer f.Close()
		p, err := profile.Parse(f)
		if err != nil {
			return nil, badInput(fmt.Errorf("%s: %w", name, err))
		}
		return p, nil
	}}, nil
}

// playSide replays a trace.
func (e *env) playSide(c *cli.Context, path string) (side, error) {
	options, err := runOptions(c)
	if err != nil {
		return side{}, err
	}
	machine, err := loadMachine(c.String("machine"))
	if err != nil {
		return side{}, err
	}
	if options.CPUs > machine.CPUs() {
		return side{}, usage("--cpus %d: machine %s has %d; choose another --machine", options.CPUs, machine.Name, machine.CPUs())
	}
	loss, err := parseLoss(c.String("max-loss"))
	if err != nil {
		return side{}, err
	}
	trace, err := e.openHashed(c, path, "")
	if err != nil {
		return side{}, err
	}
	defer trace.Close()
	res, err := replay.Play(c.Context, trace, machine, options, e.progress(c, "replaying "+filepath.Base(path)))
	if err != nil {
		return side{}, badInput(named(path, err))
	}
	e.endProgress()
	if err := loss.check(res.Trace.Lost, res.Trace.Events, res.Unknown); err != nil {
		return side{}, err
	}
	return side{reports.NewDocument(res), reports.ProfilesOf(res)}, nil
}
