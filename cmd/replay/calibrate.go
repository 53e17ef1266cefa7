package main

import (
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
)

func calibrateCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "calibrate", Usage: "fit a machine profile to a benchmark table", ArgsUsage: " ",
		Description: "--bench takes a CSV table with the columns resolver, cpus and mhits_per_s. The free\n" +
			"parameters of the machine's profile are fitted to it; the residuals are printed.\n\n" +
			"Example:\n\n   replay calibrate --machine xeon-6138x2 --bench mine.csv -o mine.yaml",
		Flags: commonFlags(
			machineFlag,
			&cli.StringFlag{Name: "bench", Usage: "`TABLE.csv` to fit"},
			&cli.IntFlag{Name: "rounds", Value: 900, Usage: "`N` rounds of the search"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write the profile to"},
			seedFlag,
		),
		Action: e.calibrate,
	}
}

func (e *env) calibrate(c *cli.Context) error {
	table := c.String("bench")
	if table == "" {
		return usage("calibrate: no --bench table given; see replay calibrate --help")
	}
	f, err := os.Open(table)
	if err != nil {
		return err
	}
	defer f.Close()
	points, err := replay.ReadBenchTable(f, table)
	if err != nil {
		return badInput(err)
	}
	profile, err := loadMachine(c.String("machine"))
	if err != nil {
		return err
	}
	before := profile.Machine
	show := e.progress(c, "fitting")
	err = replay.FitBench(c.Context, &profile.Machine, points, c.Int("rounds"), c.Uint64("seed"), func(round int, _ float64) {
		show(int64(round), int64(c.Int("rounds")))
	})
	if err != nil {
		return err
	}
	rows, err := replay.BenchResiduals(c.Context, &profile.Machine, points, c.Uint64("seed"))
	if err != nil {
		return err
	}
	e.endProgress()
	profile.CiteFitted(&before, "replay calibrate --bench "+table)
	if name := c.String("output"); name != "" {
		if err := reports.WriteFile(name, c.Bool("force"), profile.Write); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(e, newCalibration(profile.Name, rows))
	}
	return e.residuals(rows)
}

// calibration is the JSON document of calibrate.
type calibration struct {
	Schema  string           `json:"schema"`
	Machine string           `json:"machine"`
	Rows    []calibrationRow `json:"rows"`
}

type calibrationRow struct {
	Resolver  string  `json:"resolver"`
	CPUs      int     `json:"cpus"`
	Measured  float64 `json:"measured_mhits_per_s"`
	Predicted float64 `json:"predicted_mhits_per_s"`
	Error     float64 `json:"error"`
}

func newCalibration(machine string, rows []replay.Residual) calibration {
	doc := calibration{Schema: "replay.calibrate/1", Machine: machine}
	for _, r := range rows {
		doc.Rows = append(doc.Rows, calibrationRow{r.Resolver, r.CPUs, r.MHits, r.Predicted, r.Error()})
	}
	return doc
}

// residuals prints the fit, row by row, and the median and worst error of each
// resolver.
func (e *env) residuals(rows []replay.Residual) error {
	t := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "resolver\tcpus\tmeasured\tpredicted\terror\t")
	errs := map[string][]float64{}
	var names []string
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%+.1f%%\t\n", r.Resolver, r.CPUs, r.MHits, r.Predicted, 100*r.Error())
		if errs[r.Resolver] == nil {
			names = append(names, r.Resolver)
		}
		errs[r.Resolver] = append(errs[r.Resolver], max(r.Error(), -r.Error()))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, name := range names {
		list := errs[name]
		slices.Sort(list)
		fmt.Fprintf(e.stdout, "%s: median error %.1f%%, worst %.1f%%\n", name, 100*list[len(list)/2], 100*list[len(list)-1])
	}
	return nil
}
