package reports

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// direction says which way a metric gets worse.
type direction int8

const (
	lower  direction = iota // lower is better
	higher                  // higher is better
	either                  // neither: any change is worth a word
)

// String is the direction in the words of benchstat.
func (d direction) String() string { return [...]string{"lower", "higher", ""}[d] }

// metric is one figure of a run. All lists of figures are made of these: what a baseline
// records and a limit may be put on, the comparison of the text and of the page, and the
// units of benchstat.
type metric struct {
	name   string // its path in report.json, but for fallback_ppm; "" where no baseline has it
	label  string // in the comparison, "" where it is not there
	bench  string // for benchstat, "" where it is not there
	better direction
	unit   string // "" for a count, "ns", "ppm", "/s"
	get    func(*Run) Figure

	text   func(*Run) string // in the comparison, of what is no figure
	none   func(*Run) bool   // it is of nothing at all, so that a baseline has 0 and not unknown
	rare   bool              // left out of the comparison when 0 in all runs
	perHit bool              // benchstat has it for each hit
	lossy  bool              // it counts lost events in
}

// value is the figure as a baseline has it. That of no waits at all is 0, not unknown:
// that nobody waits any more must not look like a lost figure.
func (m *metric) value(r *Run) Figure {
	f := m.get(r)
	if !f.Known && m.none != nil && m.none(r) {
		return Figure{0, true}
	}
	return f
}

// cell is the figure for people.
func (m *metric) cell(r *Run) string {
	if m.text != nil {
		return m.text(r)
	}
	f := m.get(r)
	switch {
	case !f.Known:
		return "–"
	case m.unit == "ns":
		return span(sim.Time(f.Milli))
	}
	return count(f.Milli / 1000)
}

// Figure is a metric's value in thousandths: a time in picoseconds out of
// nanoseconds, a rate with three decimals, a count times 1000. It is exact, so
// that equal runs compare equal. Unknown, as the mean of nothing, is not 0.
type Figure struct {
	Milli int64
	Known bool
}

// String formats f as in report.json, or "unknown".
func (f Figure) String() string {
	if !f.Known {
		return "unknown"
	}
	return Nanos(f.Milli).String()
}

// MarshalJSON writes f as a number, or null.
func (f Figure) MarshalJSON() ([]byte, error) {
	if !f.Known {
		return []byte("null"), nil
	}
	return []byte(f.String()), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Figure) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Figure{}
		return nil
	}
	milli, err := parseMilli(string(b))
	if err != nil {
		return fmt.Errorf("figure %s: %w", b, err)
	}
	*f = Figure{milli, true}
	return nil
}

// countFigure is a count's, unknown for nil.
func countFigure(count *int64) Figure {
	if count == nil {
		return Figure{}
	}
	n := *count
	if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
		return Figure{}
	}
	return Figure{n * 1000, true}
}

// timeFigure is a time's, unknown for nil.
func timeFigure(n *Nanos) Figure {
	if n == nil {
		return Figure{}
	}
	return Figure{int64(*n), true}
}

// within is the least and the greatest that a metric may be once lost events are
// counted in, false where nothing bounds it.
func (m *metric) within(r *EntryRun) ([2]Figure, bool) {
	is, b := r.Metrics[m.name], r.Bounds
	if b == nil {
		return [2]Figure{is, is}, true
	}
	hits := r.Metrics["hits"].Milli / 1000
	both := func(low, high int64) ([2]Figure, bool) {
		return [2]Figure{countFigure(&low), countFigure(&high)}, true
	}
	switch m.name {
	case "hits":
		return both(hits, hits+b.Lost)
	case "fallbacks":
		return both(b.FallbacksLow, b.FallbacksHigh)
	case "lockless":
		return both(hits+b.Lost-b.FallbacksHigh, hits+b.Lost-b.FallbacksLow)
	case "fallback_ppm":
		return [2]Figure{perMillion(b.FallbacksLow, hits+b.Lost), perMillion(b.FallbacksHigh, hits+b.Lost)}, true
	}
	return [2]Figure{}, false
}

// figures are all that there are, in the order of the reports.
var figures = buildFigures()

func buildFigures() []metric {
	all := []metric{
		{name: "hits", label: "hits", better: either, get: func(r *Run) Figure { return countFigure(r.Hits) }},
		{name: "lockless", label: "resolved without lock", better: higher, get: func(r *Run) Figure { return countFigure(r.Lockless) }},
		{label: "  of all hits", text: func(r *Run) string { return share(*r.Lockless, *r.Hits) }},
		{name: "fallbacks", label: "took mmap_lock", bench: "fallbacks", get: func(r *Run) Figure { return countFigure(r.Fallbacks) }},
		{name: "fallback_ppm", unit: "ppm", get: fallbackPPM},
		{bench: "fallbacks-low", lossy: true, get: func(r *Run) Figure { return countFigure(r.FallbacksLow) }},
		{bench: "fallbacks-high", lossy: true, get: func(r *Run) Figure { return countFigure(r.FallbacksHigh) }},
	}
	for o := sim.WriterActive; o < sim.NumOutcomes; o++ {
		all = append(all, metric{name: "reasons." + o.String(), label: "  " + reasonNames[o], rare: true, get: func(r *Run) Figure {
			if r.Reasons == nil {
				return Figure{}
			}
			return countFigure(new(r.Reasons.of(o)))
		}})
	}
	all = append(all, distFigures("resolve_ns", "resolve time", "mean", func(r *Run) *Dist { return r.ResolveNs })...)
	all = append(all, metric{bench: "resolve-ns/hit", unit: "ns", perHit: true, get: func(r *Run) Figure { return timeFigure(&r.ResolveNs.Total) }})
	all = append(all, distFigures("lock_wait_ns", "lock wait", "mean of those that locked", func(r *Run) *Dist { return r.LockWaitNs })...)
	all = append(all, metric{bench: "lock-wait-ns/hit", unit: "ns", perHit: true, get: func(r *Run) Figure { return timeFigure(&r.PartsNs.LockWait) }})
	all = append(all, distFigures("writer_wait_ns", "writers' lock wait", "mean", func(r *Run) *Dist { return r.WriterWaitNs })...)
	return append(all,
		metric{bench: "writer-wait-ns", unit: "ns", get: func(r *Run) Figure { return timeFigure(new(r.WriterWaitNs.Total / 1000 * 1000)) }},
		metric{name: "wasted_ns", label: "wasted speculation", unit: "ns", get: func(r *Run) Figure { return timeFigure(r.WastedNs) }},
		metric{label: "waiting for cache lines", unit: "ns", get: func(r *Run) Figure { return timeFigure(&r.PartsNs.Stall) }},
		metric{name: "line_transfers", label: "cache-line transfers", bench: "line-transfers/hit", perHit: true, get: func(r *Run) Figure { return countFigure(r.LineTransfers) }},
		metric{name: "makespan_ns", label: "simulated time", unit: "ns", get: func(r *Run) Figure { return timeFigure(r.MakespanNs) }},
		metric{name: "hits_per_s", label: "hits per second", better: higher, unit: "/s", get: hitRate},
	)
}

// distFigures are those of a distribution.
func distFigures(name, label, mean string, of func(*Run) *Dist) []metric {
	none := func(r *Run) bool { d := of(r); return d != nil && d.Total == 0 }
	part := func(suffix, label string, pick func(*Dist) *Nanos) metric {
		return metric{name: name + suffix, label: label, unit: "ns", none: none, get: func(r *Run) Figure {
			if d := of(r); d != nil {
				return timeFigure(pick(d))
			}
			return Figure{}
		}}
	}
	return []metric{
		part(".total", label+", total", func(d *Dist) *Nanos { return &d.Total }),
		part(".mean", "  "+mean, func(d *Dist) *Nanos { return d.Mean }),
		part(".p50", "  half within", func(d *Dist) *Nanos { return d.P50 }),
		part(".p90", "", func(d *Dist) *Nanos { return d.P90 }),
		part(".p99", "  99 % within", func(d *Dist) *Nanos { return d.P99 }),
		part(".max", "  worst", func(d *Dist) *Nanos { return d.Max }),
	}
}

// metrics are the figures that a baseline records.
var metrics = figuresWith(func(m *metric) bool { return m.name != "" })

func figuresWith(has func(*metric) bool) []metric {
	var some []metric
	for i := range figures {
		if has(&figures[i]) {
			some = append(some, figures[i])
		}
	}
	return some
}

// comparison is the table of the runs side by side: a label, and a cell for each run.
func comparison(runs []replay.Run) [][]string {
	docs := make([]Run, len(runs))
	for i := range runs {
		docs[i] = newRun(&runs[i])
	}
	return compare(docs)
}

// compare is the comparison of runs of which all is known.
func compare(docs []Run) [][]string {
	var rows [][]string
	for i := range figures {
		m := &figures[i]
		if m.label == "" {
			continue
		}
		row, shown := []string{m.label}, !m.rare
		for i := range docs {
			cell := m.cell(&docs[i])
			shown = shown || cell != "0"
			row = append(row, cell)
		}
		if shown {
			rows = append(rows, row)
		}
	}
	return rows
}

// fallbackPPM is fallbacks per million hits, for traces of different lengths.
func fallbackPPM(r *Run) Figure {
	if r.Hits == nil || r.Fallbacks == nil {
		return Figure{}
	}
	return perMillion(*r.Fallbacks, *r.Hits)
}

func perMillion(part, whole int64) Figure {
	if whole <= 0 {
		return Figure{}
	}
	milli := new(big.Int).Mul(big.NewInt(part), big.NewInt(1_000_000_000))
	milli.Quo(milli, big.NewInt(whole))
	return Figure{milli.Int64(), milli.IsInt64()}
}

func hitRate(r *Run) Figure {
	if r.HitsPerS == nil || math.Abs(*r.HitsPerS) > 1e12 {
		return Figure{}
	}
	return Figure{int64(math.Round(*r.HitsPerS * 1000)), true}
}

func findMetric(name string) (*metric, error) {
	for i := range metrics {
		if metrics[i].name == name {
			return &metrics[i], nil
		}
	}
	return nil, fmt.Errorf("unknown metric %q: want one of %s", name, strings.Join(MetricNames(), ", "))
}

// MetricNames lists the metrics that a limit can be put on.
func MetricNames() []string {
	names := make([]string, len(metrics))
	for i := range metrics {
		names[i] = metrics[i].name
	}
	return names
}

// GrowsWithRun reports whether a metric is a sum over a run, which adds up over several.
func GrowsWithRun(name string) bool {
	m, err := findMetric(name)
	return err == nil && m.grows()
}

// IsCount reports whether a metric is a whole number, and no time, share or rate.
func IsCount(name string) bool {
	m, err := findMetric(name)
	return err == nil && m.unit == ""
}
