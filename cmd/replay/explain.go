package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/sim"
)

func explainCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "why single waits for mmap_lock were as long as they were", ArgsUsage: "TRACE",
		Description: "For each wait: who wanted the lock and for what, who had it meanwhile, with syscall,\n" +
			"arguments, mapping and stack, and for how long nobody was seen with it. First those that\n" +
			"were recorded, of hits and of all others, then the hits of a simulated run.\n\n" +
			"Examples:\n\n   replay explain app.parquet\n   replay explain --at 448ms app.parquet",
		Flags: commonFlags(append([]cli.Flag{
			&cli.IntFlag{Name: "worst", Value: 3, Usage: "explain the `N` longest waits"},
			&cli.StringFlag{Name: "at", Usage: "explain the waits that were under way at `TIME` from the first event, such as 448ms"},
			&cli.StringFlag{Name: "resolver", Aliases: []string{"r"}, Value: "speculative", Usage: "`WAY` to find the uprobe in the simulated run"},
			machineFlag, seedFlag,
		}, ingestFlags...)...),
		Action: e.explain,
	}
}

// explainedMax bounds how many waits are explained.
const explainedMax = 1000

func (e *env) explain(c *cli.Context) error {
	path, loss, err := oneTrace(c)
	if err != nil {
		return err
	}
	watch, err := explainWatch(c)
	if err != nil {
		return err
	}
	options := replay.DefaultOptions()
	options.Seed = c.Uint64("seed")
	if options.Resolvers, err = parseResolvers(c.String("resolver")); err != nil {
		return err
	}
	if len(options.Resolvers) > 1 {
		return usage("explain: --resolver %s: want one", c.String("resolver"))
	}
	profile, err := loadMachine(c.String("machine"))
	if err != nil {
		return err
	}
	color, err := useColor(c, e.stdout)
	if err != nil {
		return err
	}
	trace, err := e.open(c, path, "")
	if err != nil {
		return err
	}
	defer trace.Close()
	e.detail(c, "explaining waits in %d events of %s", trace.file.NumRows(), path)
	found, err := replay.Explain(c.Context, trace, profile, options, watch)
	if err != nil {
		return badInput(named(path, err))
	}
	e.endProgress()
	doc := reports.NewExplanation(found, watch.At)
	if c.Bool("json") {
		err = doc.JSON(e.stdout)
	} else {
		err = doc.Text(e.stdout, reports.TextOptions{Color: color})
	}
	if err != nil {
		return err
	}
	return loss.check(trace.Meta().Lost, trace.file.NumRows(), found.Unknown)
}

// explainWatch reads which waits to explain.
func explainWatch(c *cli.Context) (timeline.Watch, error) {
	watch := timeline.Watch{Worst: c.Int("worst"), At: -1}
	if watch.Worst < 1 || watch.Worst > explainedMax {
		return watch, usage("explain: --worst %d: want 1 to %d", watch.Worst, explainedMax)
	}
	s := c.String("at")
	if s == "" {
		return watch, nil
	}
	if c.IsSet("worst") {
		return watch, usage("explain: --at and --worst are two questions")
	}
	at, err := time.ParseDuration(s)
	if err != nil || at < 0 {
		return watch, usage("explain: --at %q: want a time from the first event, such as 448ms", s)
	}
	return timeline.Watch{At: sim.Time(at.Nanoseconds()) * sim.Nanosecond, Nearby: explainedMax}, nil
}
