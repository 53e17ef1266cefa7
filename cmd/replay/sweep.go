package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/reports/sweep"
)

func sweepCommand(e *env) *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "cpus", Value: "recorded", Usage: "`LIST` of numbers of CPUs, such as 1,2,4-8; recorded is as many as there were"},
		&cli.StringFlag{Name: "resolver", Aliases: []string{"r"}, Value: "locked,speculative", Usage: "`LIST` of resolvers"},
		&cli.StringFlag{Name: "machine", Aliases: []string{"m"}, Value: machines.Generic, Usage: "`LIST` of built-in profiles, or files"},
		&cli.StringFlag{Name: "timing", Value: "original", Usage: "`LIST` of original, think and asap"},
		&cli.StringFlag{Name: "speed", Value: "1", Usage: "`LIST` of factors that gaps are divided by"},
		&cli.StringFlag{Name: "clone", Value: "1", Usage: "`LIST` of numbers of copies of each recorded thread"},
		&cli.StringFlag{Name: "placement", Value: "recorded", Usage: "`LIST` of recorded, pack, spread and round-robin"},
		&cli.StringFlag{Name: "layout", Usage: "`LIST` of count-apart and seq-apart, how the words of mmap_lock share cache lines (default the machine's)"},
		&cli.StringFlag{Name: "seed", Value: "1", Usage: "`LIST` of seeds"},
		&cli.StringSliceFlag{Name: "what-if", Usage: "cells with `RULE` beside those without; several that are to be applied together have a ; between them"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "sweep", Usage: "`DIR` for the results, and for what is done when it is cut"},
		&cli.StringFlag{Name: "manifest", Usage: "write the grid to `FILE`, for replay-beam, and replay nothing"},
	}
	return &cli.Command{
		Name: "sweep", Usage: "replay traces over a grid of configurations, on all cores", ArgsUsage: "TRACE...",
		Description: "Each trace is replayed in each combination of the values given, and read and\n" +
			"reconstructed once for all of them. DIR gets sweep.parquet (a row for each cell),\n" +
			"sweep.json, a page of curves (sweep.html), and the profiles of each configuration,\n" +
			"added up over all traces. DIR/cells keeps the results by what they came from: a\n" +
			"sweep that was cut, or is larger than before, replays what is missing. The same\n" +
			"sweep gives the same bytes, cut or not, on any number of cores.\n\n" +
			"Examples:\n\n   replay sweep --cpus 2,4,8-16 --resolver locked,speculative -o scaling *.parquet\n" +
			"   replay sweep --clone 1,4,16 --machine epyc-7r13x2 --what-if 'munmap: batch 10' app.parquet",
		Flags:  commonFlags(append(flags, ingestFlags...)...),
		Action: e.sweep,
	}
}

func (e *env) sweep(c *cli.Context) error {
	if c.NArg() == 0 {
		return usage("sweep: no trace given; see replay sweep --help")
	}
	grid, err := parseGrid(c)
	if err != nil {
		return err
	}
	cells, err := grid.Cells(loadMachine)
	if errors.Is(err, sweep.ErrGrid) {
		return usage("sweep: %v", err)
	} else if err != nil {
		return err
	}
	if name := c.String("manifest"); name != "" {
		return e.writeManifest(c, grid, name)
	}
	for _, name := range grid.Traces {
		if _, err := isStored(name); err != nil {
			return err // one that is misspelt; others may fail in the middle, and do not sink the sweep
		}
	}
	dir := c.String("output")
	if err := checkSweepDir(dir); err != nil {
		return err
	}
	store, err := sweep.OpenStore(filepath.Join(dir, "cells"))
	if err != nil {
		return err
	}
	runner := sweep.Runner{Source: &sweepSource{e, c}, Store: store, Progress: e.progress(c, "sweeping")}
	runner.Kept = func(trace string, n int) { e.detail(c, "%s: all %d cells are in %s/cells", trace, n, dir) }
	records, err := runner.Run(c.Context, grid.Traces, cells)
	if err != nil {
		if c.Context.Err() != nil {
			e.remark(c, "what is replayed so far is in %s/cells: the same command goes on from there", dir)
		}
		return err
	}
	e.endProgress()
	doc, err := sweep.NewDocument(grid, records)
	if err != nil {
		return err
	}
	if err := doc.Write(dir); err != nil {
		return err
	}
	if c.Bool("json") {
		err = doc.JSON(e.stdout)
	} else {
		err = doc.Text(e.stdout)
		e.remark(c, "results are in %s: sweep.html, sweep.parquet, sweep.json", dir)
	}
	if err != nil {
		return err
	}
	if n := len(doc.Failed); n > 0 {
		f := doc.Failed[0]
		return &coded{exitInput, fmt.Errorf("%d of %d cells were not replayed; the first, %s: %s; to see it again: %s", n, len(records), f.Trace, f.Error, strings.Join(f.Repeat, " "))}
	}
	return nil
}

// checkSweepDir refuses a folder that holds something else.
func checkSweepDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("output folder: %w", err)
	}
	if len(entries) > 0 && !isFolder(filepath.Join(dir, "cells")) {
		return fmt.Errorf("output folder %s holds something that is no sweep: choose another with -o", dir)
	}
	return nil
}

func (e *env) writeManifest(c *cli.Context, grid *sweep.Grid, name string) error {
	data, err := json.MarshalIndent(grid, "", "  ")
	if err != nil {
		return err
	}
	return reports.WriteFile(name, c.Bool("force"), func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// parseGrid reads the flags.
func parseGrid(c *cli.Context) (*sweep.Grid, error) {
	g := &sweep.Grid{Schema: sweep.GridSchema, Traces: c.Args().Slice(), Machines: list(c, "machine"), Timings: list(c, "timing"), Placements: list(c, "placement"), Layouts: list(c, "layout")}
	var err error
	if g.Resolvers, err = parseResolvers(c.String("resolver")); err != nil {
		return nil, err
	}
	if text := c.String("cpus"); text == "recorded" {
		g.CPUs = []int{0}
	} else if g.CPUs, err = parseList("cpus", text); err != nil {
		return nil, err
	}
	if g.Clones, err = parseList("clone", c.String("clone")); err != nil {
		return nil, err
	}
	for _, n := range g.Clones {
		if n > maxClone {
			return nil, usage("--clone %d: want 1 to %d", n, maxClone)
		}
	}
	for _, s := range list(c, "speed") {
		ppm, err := parseSpeed(s)
		if err != nil {
			return nil, err
		}
		g.SpeedsPPM = append(g.SpeedsPPM, ppm)
	}
	for _, s := range list(c, "seed") {
		seed, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return nil, usage("--seed %q: want whole numbers", c.String("seed"))
		}
		g.Seeds = append(g.Seeds, seed)
	}
	g.WhatIfs = [][]string{{}}
	for _, s := range c.StringSlice("what-if") {
		rules, err := whatif.ParseAll(strings.Split(s, ";"))
		if err != nil {
			return nil, usage("--what-if: %v", err)
		}
		g.WhatIfs = append(g.WhatIfs, rules.Strings())
	}
	return g, nil
}

// list is a flag's value, at its commas.
func list(c *cli.Context, name string) []string { return strings.Split(c.String(name), ",") }

// sweepSource opens traces and captures for a sweep.
type sweepSource struct {
	e *env
	c *cli.Context
}

func (s *sweepSource) SHA256(ctx context.Context, name string) (string, error) {
	if isFolder(name) {
		return "", fmt.Errorf("%s is a folder: want a trace or a capture", name)
	}
	return hashFile(ctx, name)
}

func (s *sweepSource) Open(ctx context.Context, name string) (timeline.Trace, int64, func(), error) {
	t, err := s.e.openHashed(s.c, name, "")
	if err != nil {
		return nil, 0, nil, err
	}
	return t, t.file.NumRows(), func() { t.Close() }, nil
}
