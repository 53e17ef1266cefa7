package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/reports/effects"
)

func whatifCommand(e *env) *cli.Command {
	flags := slices.DeleteFunc(slices.Clone(playFlags), func(f cli.Flag) bool {
		return slices.Contains(f.Names(), "resolver") || slices.Contains(f.Names(), "what-if")
	})
	flags = append(flags,
		&cli.StringFlag{Name: "resolver", Aliases: []string{"r"}, Value: "speculative", Usage: "`NAME` of the way to find the uprobe"},
		&cli.StringSliceFlag{Name: "what-if", Usage: "try this `RULE`, in place of those that are tried by themselves; several that are to be applied together have a ; between them"},
		seedFlag,
	)
	return &cli.Command{
		Name: "whatif", Usage: "rank what the program could do otherwise", ArgsUsage: "TRACE",
		Description: "Replays the trace with changes to what was recorded, and ranks them by what they\n" +
			"save. By themselves the dearest writers are tried, half as often, not at all, holding\n" +
			"the lock half as long, and on another thread, and probes that are hit less often.\n\n" +
			"A rule says which operations, and what becomes of them:\n\n" +
			"   munmap by comm=jemalloc_bg: batch 10   ten are done in one\n" +
			"   mprotect by comm=C1, tid=71: drop      they do not happen\n" +
			"   munmap by stack=je_arena: delay 50us   they are asked for later\n" +
			"   write: scale 0.5                       the lock is held half as long\n" +
			"   munmap: move to reaper                 a thread of that name does them\n" +
			"   munmap: repeat 2                       each happens twice\n" +
			"   hit by probe=libc:malloc: sample 100   every 100th is a hit\n" +
			"   hit by probe=app:f: also app:g         there is another probe right behind\n\n" +
			"The operation is hit, write, read, or one of " + strings.Join(whatif.Kinds()[:6], ", ") + "\nand so on;\n" +
			"conditions are of comm, probe (a * at the end stands for any rest), pid, tid and stack\n" +
			"(text in a frame). All else stays where it was recorded.\n\n" +
			"Examples:\n\n   replay whatif app.parquet\n   replay whatif --what-if 'munmap: batch 10; mprotect: drop' app.parquet",
		Flags:  commonFlags(append(flags, ingestFlags...)...),
		Action: e.whatif,
	}
}

func (e *env) whatif(c *cli.Context) error {
	path, loss, err := oneTrace(c)
	if err != nil {
		return err
	}
	var given []effects.Candidate
	for _, s := range c.StringSlice("what-if") {
		rules, err := whatif.ParseAll(strings.Split(s, ";"))
		if err != nil {
			return usage("--what-if: %v", err)
		}
		given = append(given, effects.Candidate{Rules: rules, If: rules.String()})
	}
	options, err := playOptions(c)
	if err != nil {
		return err
	}
	if len(options.Resolvers) > 1 {
		return usage("--resolver %s: want one", c.String("resolver"))
	}
	profile, err := loadMachine(c.String("machine"))
	if err != nil {
		return err
	}
	if options.CPUs > profile.CPUs() {
		return usage("--cpus %d: machine %s has %d; choose another --machine", options.CPUs, profile.Name, profile.CPUs())
	}
	trace, err := e.open(c, path, "")
	if err != nil {
		return err
	}
	defer trace.Close()
	if err := loss.check(trace.file.Meta().Lost, trace.file.NumRows(), nil); err != nil {
		return err
	}
	ranking, err := effects.Rank(c.Context, trace, profile, options, given, e.progress(c, "replaying"))
	switch {
	case errors.Is(err, effects.ErrUnknown):
		return &coded{exitLossy, err}
	case err != nil:
		return badInput(named(path, err))
	}
	e.endProgress()
	if c.Bool("json") {
		return writeJSON(e, ranking)
	}
	return ranking.Text(e.stdout, c.Bool("verbose"))
}
