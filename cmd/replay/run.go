package main

import (
	"cmp"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/protocol"
	"github.com/replay/replay/traces"
)

// playFlags say how to replay.
var playFlags = []cli.Flag{
	&cli.StringFlag{Name: "resolver", Aliases: []string{"r"}, Value: "locked,speculative", Usage: "`LIST` of ways to find the uprobe: " + strings.Join(sim.ResolverNames(), ", ")},
	machineFlag,
	&cli.StringFlag{Name: "timing", Value: "original", Usage: "`WHEN` operations are issued: original (recorded times), think (recorded gaps) or asap"},
	&cli.StringFlag{Name: "speed", Value: "1", Usage: "divide all gaps by `X`"},
	&cli.StringFlag{Name: "cpus", Value: "recorded", Usage: "`N` simulated CPUs, or recorded"},
	&cli.StringFlag{Name: "placement", Value: "recorded", Usage: "`WHERE` threads run: recorded, pack, spread or round-robin"},
	&cli.StringFlag{Name: "layout", Usage: "`HOW` the words of mmap_lock share cache lines, in place of the machine's: count-apart or seq-apart"},
	&cli.StringSliceFlag{Name: "what-if", Usage: "change what was recorded by `RULE`, such as 'munmap by comm=gc: batch 10'; see replay whatif --help"},
	&cli.IntFlag{Name: "clone", Value: 1, Usage: "run `K` phase-shifted copies of each recorded thread"},
}

func runCommand(e *env) *cli.Command {
	flags := append(slices.Clone(playFlags),
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`DIR` for the reports (default TRACE.run)"},
		&cli.StringFlag{Name: "fault", Usage: "replay a broken version, without `RULE` of replay prove --list (several with + between): what would it have answered, and how often wrongly? A wrong answer is an exit code of 1"},
		&cli.BoolFlag{Name: "no-trace", Usage: "do not keep the trace that is made of a raw capture"},
		&cli.BoolFlag{Name: "crossover", Usage: "also replay with more and fewer hits and changes: from where on does speculation lose? Takes forty replays"},
		&cli.StringFlag{Name: "curve", Usage: "also replay on each of `LIST` of numbers of CPUs, such as 1,2,4-8, with copies of the recorded threads: how does it scale?"},
		&cli.StringFlag{Name: "timeline", Usage: "what the timeline shows where it cannot show all: `A,B` as durations from the first event, such as 500ms,2s"},
		&cli.BoolFlag{Name: "web", Usage: "serve the reports to a browser afterwards, as replay web does, until Ctrl-C"},
		httpFlag, noBrowserFlag, seedFlag,
	)
	return &cli.Command{
		Name: "run", Usage: "replay a trace and report; the main job", ArgsUsage: "TRACE",
		Description: "TRACE is a trace of the store, or a raw capture. The report goes to standard\n" +
			"output: what the recorded kernel did, where lock events tell, then what is simulated.\n" +
			"DIR gets it as text, JSON and a page (report.html), profiles for go tool pprof, a\n" +
			"timeline for Perfetto, and figures for benchstat; of a raw capture also the trace that\n" +
			"was made of it, trace.parquet, which the next run can start from, and SQL.\n\n" +
			"Examples:\n\n   replay run perf.data\n   replay run --clone 16 --cpus 64 --machine epyc-7r13x2 app.parquet",
		Flags:  commonFlags(append(flags, ingestFlags...)...),
		Action: e.run,
	}
}

func (e *env) run(c *cli.Context) error {
	path, loss, err := oneTrace(c)
	if err != nil {
		return err
	}
	options, err := runOptions(c)
	if err != nil {
		return err
	}
	profile, err := loadMachine(c.String("machine"))
	if err != nil {
		return err
	}
	if options.CPUs > profile.CPUs() {
		return usage("--cpus %d: machine %s has %d; choose another --machine", options.CPUs, profile.Name, profile.CPUs())
	}
	curve, err := parseCurve(c.String("curve"), profile)
	if err != nil {
		return err
	}
	color, err := useColor(c, e.stdout)
	if err != nil {
		return err
	}
	if err := checkWebFlags(c); err != nil {
		return err
	}
	dir := c.String("output")
	if dir == "" {
		dir = strings.TrimSuffix(path, "/") + ".run"
		if path == "-" {
			dir = "stdin.run"
		}
	}
	if _, err := isStored(path); err != nil {
		return err // that there is no trace comes before where to write to
	}
	out, err := reports.CreateDir(dir, c.Bool("force"))
	if err != nil {
		return err
	}
	defer out.Abort()
	keep := out.Trace()
	if c.Bool("no-trace") {
		keep = ""
	}
	trace, err := e.openHashed(c, path, keep)
	if err != nil {
		return err
	}
	defer trace.Close()
	e.detail(c, "replaying %d events of %s on %s, lookups %s", trace.file.NumRows(), path, profile.Name, strings.Join(options.Resolvers, ", "))
	result, err := replay.Play(c.Context, trace, profile, options, e.progress(c, "replaying"))
	if err != nil {
		return badInput(named(path, err))
	}
	told := result.Trace.Hits > 0 && len(replay.Unanswered(result.Unknown)) == 0
	if curve != nil && told {
		if result.Curve, err = replay.Scale(c.Context, trace, profile, options, curve, e.progress(c, "scaling")); err != nil {
			return badInput(named(path, err))
		}
		for _, p := range fit.Published(profile.Name) {
			result.Curve.Published = append(result.Curve.Published, replay.PublishedPoint(p))
		}
	}
	if c.Bool("crossover") && told {
		locked, speculative := crossed(options.Resolvers)
		if result.Crossover, err = replay.Cross(c.Context, trace, profile, options, locked, speculative, e.progress(c, "crossing over")); err != nil {
			return badInput(named(path, err))
		}
	}
	e.endProgress()
	if err := out.Write(result); err != nil {
		return err
	}
	if c.Bool("json") {
		err = reports.JSON(e.stdout, result)
	} else {
		err = reports.Text(e.stdout, result, reports.TextOptions{Color: color})
		if trace.kept {
			e.remark(c, "the trace is kept as %s: the next run can start from it, and SQL", filepath.Join(dir, reports.TraceFile))
		}
		if n := len(result.Runs); n > 0 {
			e.remark(c, "reports are in %s; try: go tool pprof -http=: %s/%s.pb.gz", dir, dir, result.Runs[n-1].Resolver)
		} else {
			e.remark(c, "reports are in %s", dir)
		}
	}
	if err != nil {
		return err
	}
	var served error
	if c.Bool("web") {
		served = e.serve(c, []string{dir})
	}
	return cmp.Or(wrong(result), loss.check(result.Trace.Lost, result.Trace.Events, result.Unknown), served)
}

// wrong is the exit code of a broken version that answered wrongly.
func wrong(r *replay.Result) error {
	for i := range r.Runs {
		if f := r.Runs[i].Fault; f != nil && f.Wrong > 0 {
			return &coded{code: exitRegression}
		}
	}
	return nil
}

// parseFault reads rules, which some resolver has to show something of.
func parseFault(s string, resolvers []string) ([]string, error) {
	rules := strings.Split(s, "+")
	for _, rule := range rules {
		if !protocol.Kernel().HasRule(rule) {
			return nil, usage("--fault %s: there is no rule %q; see replay prove --list", s, rule)
		}
	}
	// The reason is that of one that speculates: the others have rules in their check of
	// optimised hits alone.
	var reason error
	speculates := false
	for _, name := range resolvers {
		r, err := sim.FindResolver(name)
		if err != nil {
			return nil, err
		}
		if _, err = r.Without(rules...); err == nil {
			return rules, nil
		}
		if better := r.Speculator() != "" && !speculates; reason == nil || better || errors.Is(reason, sim.ErrUntimed) {
			reason, speculates = err, speculates || better
		}
	}
	return nil, usage("--fault %s: %v; replay prove --mutate %s explores it", s, reason, s)
}

// parseCurve reads the numbers of CPUs of a curve, nil for none.
func parseCurve(s string, profile *machines.Profile) ([]int, error) {
	if s == "" {
		return nil, nil
	}
	cpus, err := parseList("curve", s)
	if err != nil {
		return nil, err
	}
	slices.Sort(cpus)
	cpus = slices.Compact(cpus)
	if most := cpus[len(cpus)-1]; most > profile.CPUs() {
		return nil, usage("--curve %s: machine %s has %d CPUs; choose another --machine", s, profile.Name, profile.CPUs())
	}
	return cpus, nil
}

// crossed are the resolvers that a crossover compares: the last of those that speculate
// among the ones asked for, with the lock.
func crossed(resolvers []string) (locked, speculative string) {
	speculative = "speculative"
	for _, name := range resolvers {
		if strings.HasPrefix(name, "speculative") || name == "pervma" {
			speculative = name
		}
	}
	return "locked", speculative
}

// runOptions reads the flags that say how to replay, and what.
func runOptions(c *cli.Context) (replay.Options, error) {
	o, err := playOptions(c)
	if err != nil {
		return o, err
	}
	if o.WhatIf, err = whatif.ParseAll(c.StringSlice("what-if")); err != nil {
		return o, usage("--what-if: %v", err)
	}
	if c.IsSet("fault") {
		o.Fault, err = parseFault(c.String("fault"), o.Resolvers)
	}
	return o, err
}

// playOptions reads the flags that say how to replay.
func playOptions(c *cli.Context) (replay.Options, error) {
	o := replay.DefaultOptions()
	var err error
	if o.Resolvers, err = parseResolvers(c.String("resolver")); err != nil {
		return o, err
	}
	if o.Timing, err = replay.ParseTiming(c.String("timing")); err != nil {
		return o, usage("--timing: %v", err)
	}
	if o.Placement, err = replay.ParsePlacement(c.String("placement")); err != nil {
		return o, usage("--placement: %v", err)
	}
	if o.SpeedPPM, err = parseSpeed(c.String("speed")); err != nil {
		return o, err
	}
	if cpus := c.String("cpus"); cpus != "recorded" {
		if o.CPUs, err = strconv.Atoi(cpus); err != nil || o.CPUs < 1 || o.CPUs > sim.MaxCPUs {
			return o, usage("--cpus %q: want recorded, or 1 to %d", cpus, sim.MaxCPUs)
		}
	}
	if o.Clone = c.Int("clone"); o.Clone < 1 || o.Clone > maxClone {
		return o, usage("--clone %d: want 1 to %d", o.Clone, maxClone)
	}
	if o.Layout = c.String("layout"); o.Layout != "" {
		if _, err := sim.ParseLayout(o.Layout); err != nil {
			return o, usage("--layout: %v", err)
		}
	}
	o.Seed = c.Uint64("seed")
	if s := c.String("timeline"); s != "" {
		if o.Window, err = parseWindow(s); err != nil {
			return o, err
		}
	}
	return o, nil
}

// parseWindow reads A,B as durations.
func parseWindow(s string) (replay.Window, error) {
	cut := traces.Cut{From: -1, To: -1}
	if err := parseSpan(s, &cut); err != nil {
		return replay.Window{}, err
	}
	w := replay.Window{From: sim.Time(max(cut.From, 0)) * sim.Nanosecond}
	if cut.To >= 0 {
		w.To = sim.Time(max(cut.To, 1)) * sim.Nanosecond
	}
	return w, nil
}

// parseResolvers reads a list of names.
func parseResolvers(s string) ([]string, error) {
	names := strings.Split(s, ",")
	for i, name := range names {
		if _, err := sim.FindResolver(name); err != nil {
			return nil, usage("--resolver: %v", err)
		}
		if slices.Contains(names[:i], name) {
			return nil, usage("--resolver %q: %s is given twice", s, name)
		}
	}
	return names, nil
}

// maxClone bounds the copies of a thread.
const maxClone = 4096

// parseSpeed reads a factor such as 2, 0.5 or 2x as parts per million.
func parseSpeed(s string) (int64, error) {
	x, err := strconv.ParseFloat(strings.TrimSuffix(s, "x"), 64)
	if err != nil || !(x >= 0.001 && x <= 1000) {
		return 0, usage("--speed %q: want a factor from 0.001 to 1000", s)
	}
	return int64(math.Round(x * 1e6)), nil
}
