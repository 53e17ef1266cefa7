package reports

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/replay/replay/replay/fit"
)

// BenchSchema names the shape of a Bench in JSON.
const BenchSchema = "replay.bench/1"

// Bench is how many hits a machine resolves per second, by resolver and threads.
type Bench struct {
	Schema  string     `json:"schema"`
	Machine string     `json:"machine"`
	Kind    string     `json:"probe_kind,omitempty"` // none for the kernel's own, nop
	Rows    []BenchRow `json:"rows"`
}

// BenchRow is one measurement of a Bench.
type BenchRow struct {
	Resolver string  `json:"resolver"`
	CPUs     int     `json:"cpus"`
	MHits    float64 `json:"mhits_per_s"`
	PerCPU   float64 `json:"mhits_per_s_per_cpu"`
}

// NewBench returns a Bench without rows.
func NewBench(machine string, kind fit.ProbeKind) *Bench {
	b := &Bench{Schema: BenchSchema, Machine: machine}
	if kind != fit.Nop {
		b.Kind = kind.String()
	}
	return b
}

// Add appends what n threads did.
func (b *Bench) Add(resolver string, n int, hitsPerSecond int64) {
	mhits := float64(hitsPerSecond) / 1e6
	b.Rows = append(b.Rows, BenchRow{resolver, n, mhits, mhits / float64(n)})
}

// Text writes b for people.
func (b *Bench) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "resolver\tcpus\tM hits/s\tM hits/s/cpu\t\n")
	for _, r := range b.Rows {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t\n", r.Resolver, r.CPUs, r.MHits, r.PerCPU)
	}
	return t.Flush()
}
