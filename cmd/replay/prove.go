package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/reports"
	"github.com/replay/replay/sim/explore"
)

func proveCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "prove", Usage: "explore every order of small cases: what breaks without a rule", ArgsUsage: "[CASE|FILE]...",
		Description: "Runs the lookups and what happens to the address space meanwhile, step by step, in\n" +
			"every order that a memory model allows. Without arguments that is every built-in case\n" +
			"with every resolver, and again without each rule that it is about: each verdict has to\n" +
			"be the expected one. With --resolver, --mutate or --schedule any counterexample is an\n" +
			"exit code of 1; so is, in files, a verdict that they do not expect. 4: the bound of\n" +
			"states was reached, and there is no verdict.\n\n" +
			"Examples:\n\n" +
			"   replay prove\n" +
			"   replay prove --mutate rmb\n" +
			"   replay prove --list",
		Flags: commonFlags(
			&cli.StringFlag{Name: "resolver", Aliases: []string{"r"}, Usage: "`LIST` of resolvers"},
			&cli.StringFlag{Name: "mutate", Usage: "take away `RULE`, or several with + between; see --list"},
			&cli.StringFlag{Name: "memory", Usage: "`LIST` of memory models: sc, tso, weak"},
			&cli.StringFlag{Name: "schedule", Usage: "run one `ORDER` of one case, as a counterexample prints it"},
			&cli.IntFlag{Name: "states", Value: explore.StatesMax, Usage: "explore at most `N` states of each case"},
			&cli.BoolFlag{Name: "list", Usage: "list hazards, rules and cases, and explore nothing"},
			&cli.BoolFlag{Name: "promela", Usage: "print one case for Spin, and explore nothing"},
			&cli.BoolFlag{Name: "litmus", Usage: "print one case as a litmus test of the Linux memory model for herd7, and explore nothing"},
		),
		Action: e.prove,
	}
}

func (e *env) prove(c *cli.Context) error {
	cases, builtIn, err := e.proofCases(c)
	if err != nil {
		return err
	}
	if c.Bool("list") {
		return reports.Hazards(e.stdout, cases)
	}
	selection, err := proofSelection(c)
	if err != nil {
		return err
	}
	plan, err := explore.Plan(cases, selection)
	if err != nil {
		return usage("--mutate: %v", err)
	}
	if len(plan) == 0 {
		return usage("prove: no case is about that: none has these rules, resolvers and memory models together; see replay prove --list")
	}
	states := c.Int("states")
	if states < 1 {
		return usage("--states %d: want a number above 0", states)
	}
	for i := range plan {
		plan[i].Options.States = states
	}
	if c.Bool("promela") || c.Bool("litmus") {
		return e.printCase(c, plan)
	}
	proof := reports.NewProof()
	asked := len(selection.Resolvers) > 0 || len(selection.Off) > 0
	if schedule := c.String("schedule"); c.IsSet("schedule") {
		if len(plan) != 1 {
			return usage("--schedule: %d explorations are meant; name one case, one --resolver and one --memory", len(plan))
		}
		result, err := explore.Replay(plan[0].Case, plan[0].Options, schedule)
		if err != nil {
			return usage("%v", err)
		}
		plan[0].Counterexample = result.Violation != nil // one order proves nothing else
		proof.Add(plan[0], result)
		asked = true
	} else if err := e.explore(c, plan, proof); err != nil {
		return err
	}
	if c.Bool("json") {
		err = proof.JSON(e.stdout)
	} else {
		err = proof.Text(e.stdout, asked || !builtIn, c.Bool("verbose"))
	}
	if err != nil {
		return err
	}
	return verdict(proof, asked)
}

// verdict is the exit code of a proof.
func verdict(p *reports.Proof, asked bool) error {
	switch {
	case asked && p.Counterexamples() > 0, p.Surprises() > 0:
		return &coded{code: exitRegression}
	case p.Unknown() > 0:
		return &coded{code: exitLossy}
	}
	return nil
}

// proofCases are the cases that are named: built-in ones, or files. Without names it is
// all that are built in.
func (e *env) proofCases(c *cli.Context) (cases []*explore.Case, builtIn bool, err error) {
	known := explore.BuiltIn()
	if c.NArg() == 0 {
		return known, true, nil
	}
	builtIn = true
	for _, name := range c.Args().Slice() {
		if i := slices.IndexFunc(known, func(k *explore.Case) bool { return k.Name == name }); i >= 0 {
			cases = append(cases, known[i])
			continue
		}
		builtIn = false
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, false, usage("prove: there is neither a case nor a file %q; see replay prove --list", name)
		}
		if err != nil {
			return nil, false, err
		}
		one, err := explore.ParseCase(name, string(text))
		if err != nil {
			return nil, false, badInput(err)
		}
		cases = append(cases, one)
	}
	return cases, builtIn, nil
}

func proofSelection(c *cli.Context) (s explore.Selection, err error) {
	if c.IsSet("resolver") {
		resolvers, err := parseResolvers(c.String("resolver"))
		if err != nil {
			return s, err
		}
		if slices.Contains(resolvers, "ideal") {
			return s, usage("--resolver ideal: nothing keeps it from being wrong; it is there to be timed")
		}
		s.Resolvers = resolvers
	}
	if c.IsSet("mutate") {
		s.Off = strings.Split(c.String("mutate"), "+")
	}
	if c.IsSet("memory") {
		for name := range strings.SplitSeq(c.String("memory"), ",") {
			m, err := explore.ParseModel(name)
			if err != nil {
				return s, usage("--memory: %v", err)
			}
			s.Models = append(s.Models, m)
		}
	}
	return s, nil
}

// explore runs a plan on all CPUs and adds the results in the order of the plan.
func (e *env) explore(c *cli.Context, plan []explore.Exploration, proof *reports.Proof) error {
	ctx, stop := context.WithCancel(c.Context)
	defer stop()
	results := make([]*explore.Result, len(plan))
	errs := make([]error, len(plan))
	progress := e.progress(c, "exploring")
	var mu sync.Mutex
	var wait sync.WaitGroup
	next, done := 0, int64(0)
	for range min(runtime.GOMAXPROCS(0), len(plan)) {
		wait.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(plan) || ctx.Err() != nil {
					return
				}
				results[i], errs[i] = explore.Run(ctx, plan[i].Case, plan[i].Options)
				if errs[i] != nil {
					stop()
				}
				mu.Lock()
				done++
				progress(done, int64(len(plan)))
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	e.endProgress()
	if err := c.Context.Err(); err != nil {
		return err
	}
	for i := range plan {
		if errs[i] != nil && !errors.Is(errs[i], context.Canceled) {
			return badInput(errs[i])
		}
	}
	for i := range plan {
		proof.Add(plan[i], results[i])
	}
	return nil
}

// printCase writes a case for another tool.
func (e *env) printCase(c *cli.Context, plan []explore.Exploration) error {
	first := plan[0]
	if c.NArg() != 1 || c.Bool("promela") && c.Bool("litmus") {
		return usage("prove: name one case, and one of --promela and --litmus")
	}
	print := explore.Litmus
	if c.Bool("promela") {
		print = explore.Promela
	}
	text, err := print(first.Case, first.Options)
	if err != nil {
		return usage("%v", err)
	}
	_, err = e.stdout.Write([]byte(text))
	return err
}
