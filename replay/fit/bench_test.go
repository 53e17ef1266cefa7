package fit_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/machines"
)

// BenchmarkBench times the simulated uprobe-nop benchmark: host time for a simulated
// hit, from an idle machine to one where everybody waits for the same lines.
func BenchmarkBench(b *testing.B) {
	profile, err := machines.Load("epyc-7742x2")
	if err != nil {
		b.Fatal(err)
	}
	for _, resolver := range []string{"locked", "speculative"} {
		for _, cpus := range []int{2, 80, 512} {
			b.Run(fmt.Sprintf("%s/%d", resolver, cpus), func(b *testing.B) {
				m := profile.Machine
				for m.CPUs() < cpus {
					m.Sockets *= 2
				}
				hits := int64(0)
				for b.Loop() {
					row, err := fit.Bench(context.Background(), &m, resolver, fit.Nop, cpus, 1)
					if err != nil {
						b.Fatal(err)
					}
					hits += row.Hits
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(hits), "ns/hit")
				b.ReportMetric(float64(hits)/b.Elapsed().Seconds()/1e6, "Mhits/s")
			})
		}
	}
}
