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
	return BenchfmtOf(w, []*Document{NewDocument(res)})
}

// BenchfmtOf writes the runs of reports as Benchfmt does.
func BenchfmtOf(w io.Writer, docs []*Document) error {
	out := benchfmt.NewWriter(w)
	for _, u := range benchUnits {
		for _, kv := range [][2]string{{"assume", "exact"}, {"better", u.better.String()}} {
			m := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: u.bench, Key: kv[0]}, OrigUnit: u.bench, Value: kv[1]}
			if err := out.Write(m); err != nil {
				return err
			}
		}
	}
	for _, d := range docs {
		for i := range d.Runs {
			if r := benchResult(d, &d.Runs[i]); r != nil {
				if err := out.Write(r); err != nil {
					return err
				}
			}
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

// benchResult is nil for a run of which nothing is known.
func benchResult(d *Document, r *Run) *benchfmt.Result {
	if r.Fallbacks == nil || r.Hits == nil {
		return nil
	}
	name, sha := strings.TrimSuffix(path.Base(d.Trace.Path), ".parquet"), ""
	if d.Trace.SHA256 != nil {
		sha = *d.Trace.SHA256
	}
	b := &benchfmt.Result{
		Config: []benchfmt.Config{
			{Key: "machine", Value: []byte(d.Machine.Name), File: true},
			{Key: "trace", Value: []byte(sha), File: true},
		},
		Name:  benchfmt.Name(fmt.Sprintf("Replay/trace=%s/resolver=%s-%d", strings.ReplaceAll(name, " ", "_"), r.Resolver, d.Machine.CPUs)),
		Iters: int(*r.Hits),
	}
	for i := range benchUnits {
		if u := &benchUnits[i]; u.get(r).Known {
			b.Values = append(b.Values, benchfmt.Value{Value: benchValue(u, r), Unit: u.bench})
		}
	}
	return b
}
