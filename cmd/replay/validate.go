package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/reports"
)

func validateCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "validate", Usage: "compare the prediction with what the recorded kernel did, hit by hit", ArgsUsage: "TRACE",
		Description: "The trace must have been recorded with mmap_lock events on a kernel since 6.14, and the\n" +
			"callchains of mmap_lock_start_locking; there is no score of what is unknown. Its\n" +
			"outcomes are hidden from the prediction: with --using stamps the writers' sections\n" +
			"come from lock events and the arrivals of hits from arrive rows, which do not depend\n" +
			"on the outcome; with --using locks both come from lock events; with --using syscalls\n" +
			"no lock event is used at all.\n\n" +
			"Recording lock events makes a fallback late by what it takes, which a prediction\n" +
			"without them feeds on. A light recording has the truth for 0.4 µs a fallback:\n\n" +
			"   perf record --user-regs=ip -e PROBE -e SYSCALLS \\\n" +
			"     -e mmap_lock:mmap_lock_start_locking --filter write==0 -- PROGRAM\n\n" +
			"Without --user-regs a lock_start does not say what for, and --truth light takes those\n" +
			"of threads that do not fault between their hits for fallbacks.\n\n" +
			"Example:\n\n   replay validate --using syscalls --explain 5 perf.data",
		Flags: commonFlags(append([]cli.Flag{
			machineFlag,
			&cli.StringFlag{Name: "using", Value: "auto", Usage: "`WHAT` the prediction may use: stamps, locks or syscalls; auto takes the first that the trace has"},
			&cli.StringFlag{Name: "truth", Value: "callchains", Usage: "`WHAT` tells which lookups fell back: callchains of lock_start, or light, lock_starts alone"},
			&cli.IntFlag{Name: "explain", Usage: "explain the `N` worst misses"},
			&cli.Float64Flag{Name: "min-f1", Usage: "exit 1 when F1 is below `X`"},
		}, ingestFlags...)...),
		Action: e.validate,
	}
}

func (e *env) validate(c *cli.Context) error {
	path, loss, err := oneTrace(c)
	if err != nil {
		return err
	}
	using, err := timeline.ParseUsing(c.String("using"))
	if err != nil {
		return usage("--using: %v", err)
	}
	light, err := parseTruth(c.String("truth"))
	if err != nil {
		return usage("--truth: %v", err)
	}
	profile, err := loadMachine(c.String("machine"))
	if err != nil {
		return err
	}
	trace, err := e.open(c, path, "")
	if err != nil {
		return err
	}
	defer trace.Close()
	if err := fit.RequireLocks(c.Context, trace); err != nil {
		return badInput(named(path, err))
	}
	e.detail(c, "predicting %d events of %s on %s, using %s", trace.file.NumRows(), path, profile.Name, using)
	v, err := fit.Validate(c.Context, trace, profile, fit.Comparison{Using: using, Light: light, Misses: c.Int("explain")})
	if err != nil {
		return badInput(named(path, err))
	}
	e.endProgress()
	if c.Bool("json") {
		err = reports.ValidationJSON(e.stdout, v)
	} else {
		err = reports.ValidationText(e.stdout, v)
	}
	if err != nil {
		return err
	}
	if err := loss.check(v.Lost, v.Events, v.Unknown); err != nil {
		return err
	}
	if c.IsSet("min-f1") && !v.Scores() {
		return &coded{exitLossy, fmt.Errorf("--min-f1: F1 is unknown, since the trace cannot tell what it rests on: see above")}
	}
	if f1 := v.F1(); v.Scores() && f1 < c.Float64("min-f1") {
		return &coded{exitRegression, fmt.Errorf("F1 is %.4f, below %s", f1, strings.TrimRight(fmt.Sprintf("%.4f", c.Float64("min-f1")), "0"))}
	}
	return nil
}

// parseTruth reports whether the truth is in light lock_starts.
func parseTruth(s string) (light bool, err error) {
	switch s {
	case "callchains":
		return false, nil
	case "light":
		return true, nil
	}
	return false, fmt.Errorf("%q: want callchains or light", s)
}
