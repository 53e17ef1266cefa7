package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay"
)

// benchReport is the JSON document of bench.
type benchReport struct {
	Schema  string     `json:"schema"`
	Machine string     `json:"machine"`
	Kind    string     `json:"probe_kind,omitempty"` // none for the kernel's own, nop
	Rows    []benchRow `json:"rows"`
}

type benchRow struct {
	Resolver string  `json:"resolver"`
	CPUs     int     `json:"cpus"`
	MHits    float64 `json:"mhits_per_s"`
	PerCPU   float64 `json:"mhits_per_s_per_cpu"`
}

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
	cpus, err := parseList(c.String("cpus"))
	if err != nil {
		return err
	}
	resolvers, err := parseResolvers(c.String("resolver"))
	if err != nil {
		return err
	}
	kind, err := replay.ParseProbeKind(c.String("probe-kind"))
	if err != nil {
		return usage("--probe-kind: %v", err)
	}
	report := benchReport{Schema: "replay.bench/1", Machine: profile.Name}
	if kind != replay.Nop {
		report.Kind = kind.String()
	}
	for _, resolver := range resolvers {
		for _, n := range cpus {
			if n > profile.CPUs() {
				return usage("machine %s has %d CPUs: its figures say nothing about %d", profile.Name, profile.CPUs(), n)
			}
			row, err := replay.Bench(c.Context, &profile.Machine, resolver, kind, n, c.Uint64("seed"))
			if err != nil {
				return err
			}
			mhits := float64(row.PerSecond()) / 1e6
			report.Rows = append(report.Rows, benchRow{resolver, n, mhits, mhits / float64(n)})
		}
	}
	if c.Bool("json") {
		return writeJSON(e, report)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "resolver\tcpus\tM hits/s\tM hits/s/cpu\t\n")
	for _, r := range report.Rows {
		fmt.Fprintf(w, "%s\t%d\t%.3f\t%.3f\t\n", r.Resolver, r.CPUs, r.MHits, r.PerCPU)
	}
	return w.Flush()
}

// parseList reads numbers and ranges such as 1,2,4-8.
func parseList(s string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		lo, err1 := strconv.Atoi(first)
		hi, err2 := lo, error(nil)
		if isRange {
			hi, err2 = strconv.Atoi(last)
		}
		if err1 != nil || err2 != nil || lo < 1 || hi < lo || hi > 1<<16 {
			return nil, usage("--cpus %q: want numbers and ranges such as 1,2,4-8", s)
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
