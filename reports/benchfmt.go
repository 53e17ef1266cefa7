package reports

import (
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// Benchfmt writes the runs in Go's benchmark format, so that benchstat compares
// them. A replay has no noise: every unit is declared exact. Figures that rest on what
// the trace cannot tell are left out, and runs without any other.
func Benchfmt(w io.Writer, res *replay.Result) error {
	out := benchfmt.NewWriter(w)
	for _, u := range benchUnits {
		for _, kv := range [][2]string{{"assume", "exact"}, {"better", u.better}} {
			m := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: u.name, Key: kv[0]}, OrigUnit: u.name, Value: kv[1]}
			if err := out.Write(m); err != nil {
				return err
			}
		}
	}
	for i := range res.Runs {
		if !answered(res) {
			break
		}
		if err := out.Write(benchResult(res, &res.Runs[i])); err != nil {
			return err
		}
	}
	return nil
}

// benchUnits are the figures of a run.
var benchUnits = []struct {
	name, better string
	lossy        bool // it counts lost events in
	value        func(*replay.Run) float64
}{
	{"fallbacks", "lower", false, func(r *replay.Run) float64 { return float64(r.Fallbacks()) }},
	{"fallbacks-low", "lower", true, func(r *replay.Run) float64 { return float64(r.Low) }},
	{"fallbacks-high", "lower", true, func(r *replay.Run) float64 { return float64(r.High) }},
	{"resolve-ns/hit", "lower", false, func(r *replay.Run) float64 { return perHit(r.Resolve.Total, r) }},
	{"lock-wait-ns/hit", "lower", false, func(r *replay.Run) float64 { return perHit(r.Parts.LockWait, r) }},
	{"writer-wait-ns", "lower", false, func(r *replay.Run) float64 { return float64(r.WriterWait.Total.Nanos()) }},
	{"line-transfers/hit", "lower", false, func(r *replay.Run) float64 { return float64(r.LineTransfers) / float64(max(r.Hits, 1)) }},
}

func perHit(t sim.Time, r *replay.Run) float64 {
	return float64(t) / float64(sim.Nanosecond) / float64(max(r.Hits, 1))
}

func benchResult(res *replay.Result, r *replay.Run) *benchfmt.Result {
	name := strings.TrimSuffix(path.Base(res.Trace.Path), ".parquet")
	b := &benchfmt.Result{
		Config: []benchfmt.Config{
			{Key: "machine", Value: []byte(res.Machine.Name), File: true},
			{Key: "trace", Value: []byte(res.Trace.SHA256), File: true},
		},
		Name:  benchfmt.Name(fmt.Sprintf("Replay/trace=%s/resolver=%s-%d", strings.ReplaceAll(name, " ", "_"), r.Resolver, res.Machine.CPUs)),
		Iters: int(r.Hits),
	}
	for _, u := range benchUnits {
		if u.lossy && !res.Knows(replay.UnknownLosses) {
			continue
		}
		b.Values = append(b.Values, benchfmt.Value{Value: u.value(r), Unit: u.name})
	}
	return b
}
