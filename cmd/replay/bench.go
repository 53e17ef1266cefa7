package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/reports"
)

func benchCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "bench", Usage: "the kernel's uprobe-nop benchmark, simulated",
		Description: "N threads of one process, each pinned to its CPU, hit one probe without a gap.\n\n" +
			"Example:\n\n   replay bench --machine xeon-6138x2 --cpus 1,2,4-8,40,80",
		Flags: commonFlags(
			machineFlag,
			&cli.StringFlag{Name: "cpus", Value: "1,2,4,8", Usage: "`LIST` of numbers of threads, such as 1,2,4-8"},
			&cli.StringFlag{Name: "resolver", Aliases: []string{"r"}, Value: "locked,speculative", Usage: "`LIST` of resolvers"},
			&cli.StringFlag{Name: "probe-kind", Value: "nop", Usage: "`KIND` of instruction that is probed: nop, which traps by int3, or nop5, which x86\n" +
				"kernels since 6.18 turn into a system call, with two lookups a hit"},
			seedFlag,
		),
		Action: e.bench,
	}
}

func (e *env) bench(c *cli.Context) error {
	if c.NArg() > 0 {
		return usage("bench takes no argument, but got %q", c.Args().First())
	}
	profile, err := loadMachine(c.String("machine"))
	if err != nil {
		return err
	}
	cpus, err := parseList("cpus", c.String("cpus"))
	if err != nil {
		return err
	}
	resolvers, err := parseResolvers(c.String("resolver"))
	if err != nil {
		return err
	}
	kind, err := fit.ParseProbeKind(c.String("probe-kind"))
	if err != nil {
		return usage("--probe-kind: %v", err)
	}
	report := reports.NewBench(profile.Name, kind)
	for _, resolver := range resolvers {
		for _, n := range cpus {
			if n > profile.CPUs() {
				return usage("machine %s has %d CPUs: its figures say nothing about %d", profile.Name, profile.CPUs(), n)
			}
			row, err := fit.Bench(c.Context, &profile.Machine, resolver, kind, n, c.Uint64("seed"))
			if err != nil {
				return err
			}
			report.Add(resolver, n, row.PerSecond())
		}
	}
	if c.Bool("json") {
		return writeJSON(e, report)
	}
	return report.Text(e.stdout)
}

// parseList reads numbers and ranges such as 1,2,4-8.
func parseList(flag, s string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		lo, err1 := strconv.Atoi(first)
		hi, err2 := lo, error(nil)
		if isRange {
			hi, err2 = strconv.Atoi(last)
		}
		if err1 != nil || err2 != nil || lo < 1 || hi < lo || hi > 1<<16 {
			return nil, usage("--%s %q: want numbers and ranges such as 1,2,4-8", flag, s)
		}
		for n := lo; n <= hi; n++ {
			list = append(list, n)
		}
	}
	return list, nil
}

func writeJSON(e *env, v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
