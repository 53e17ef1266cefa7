package reports

import (
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/replay/replay/replay"
)

// Benchfmt writes the runs in Go's benchmark format, so that benchstat compares
// them. A replay has no noise: every unit is declared exact. Figures that rest on what
// the trace cannot tell are left out, and runs without any other.
func Benchfmt(w io.Writer, res *replay.Result) error {
	out := benchfmt.NewWriter(w)
	for _, u := range benchUnits {
		for _, kv := range [][2]string{{"assume", "exact"}, {"better", u.better.String()}} {
			m := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: u.bench, Key: kv[0]}, OrigUnit: u.bench, Value: kv[1]}
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
var benchUnits = figuresWith(func(m *metric) bool { return m.bench != "" })

// benchValue is a figure as a number, in the words of its name.
func benchValue(m *metric, r *Run) float64 {
	x := float64(m.get(r).Milli) / 1000
	if m.perHit {
		x /= float64(max(*r.Hits, 1))
	}
	return x
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
	doc := newRun(r)
	for i := range benchUnits {
		u := &benchUnits[i]
		if u.lossy && !res.Knows(replay.UnknownLosses) {
			continue
		}
		b.Values = append(b.Values, benchfmt.Value{Value: benchValue(u, &doc), Unit: u.bench})
	}
	return b
}
