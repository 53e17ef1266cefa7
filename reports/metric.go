package reports

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// direction says which way a metric gets worse.
type direction int8

const (
	lower  direction = iota // lower is better
	higher                  // higher is better
	either                  // neither: any change is worth a word
)

// metric is one figure of a run that can be compared.
type metric struct {
	name   string
	better direction
	unit   string
	get    func(*Run) Figure
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

// metrics are all that a baseline records, in its order; names are the paths in
// report.json, but for fallback_ppm.
var metrics = buildMetrics()

func buildMetrics() []metric {
	all := []metric{
		{"hits", either, "", func(r *Run) Figure { return countFigure(r.Hits) }},
		{"lockless", higher, "", func(r *Run) Figure { return countFigure(r.Lockless) }},
		{"fallbacks", lower, "", func(r *Run) Figure { return countFigure(r.Fallbacks) }},
		{"fallback_ppm", lower, "ppm", fallbackPPM},
		reasonMetric("writer_active", func(r *Reasons) *int64 { return &r.WriterActive }),
		reasonMetric("seq_changed", func(r *Reasons) *int64 { return &r.SeqChanged }),
		reasonMetric("no_vma", func(r *Reasons) *int64 { return &r.NoVMA }),
		reasonMetric("no_file", func(r *Reasons) *int64 { return &r.NoFile }),
		reasonMetric("no_uprobe", func(r *Reasons) *int64 { return &r.NoUprobe }),
		reasonMetric("unconfigured", func(r *Reasons) *int64 { return &r.Unconfigured }),
	}
	all = append(all, distMetrics("resolve_ns", func(r *Run) *Dist { return r.ResolveNs })...)
	all = append(all, distMetrics("lock_wait_ns", func(r *Run) *Dist { return r.LockWaitNs })...)
	all = append(all, distMetrics("writer_wait_ns", func(r *Run) *Dist { return r.WriterWaitNs })...)
	return append(all,
		metric{"wasted_ns", lower, "ns", func(r *Run) Figure { return timeFigure(r.WastedNs) }},
		metric{"line_transfers", lower, "", func(r *Run) Figure { return countFigure(r.LineTransfers) }},
		metric{"makespan_ns", lower, "ns", func(r *Run) Figure { return timeFigure(r.MakespanNs) }},
		metric{"hits_per_s", higher, "/s", hitRate},
	)
}

// reasonMetric is how many hits fell back for one reason.
func reasonMetric(name string, of func(*Reasons) *int64) metric {
	return metric{"reasons." + name, lower, "", func(r *Run) Figure {
		if r.Reasons == nil {
			return Figure{}
		}
		return countFigure(of(r.Reasons))
	}}
}

// distMetrics are the figures of a distribution. Those of no waits at all are 0,
// not unknown: that nobody waits any more must not look like a lost figure.
func distMetrics(name string, of func(*Run) *Dist) []metric {
	part := func(suffix string, pick func(*Dist) *Nanos) metric {
		return metric{name + suffix, lower, "ns", func(r *Run) Figure {
			d := of(r)
			if d == nil {
				return Figure{}
			}
			if n := pick(d); n != nil {
				return timeFigure(n)
			}
			return Figure{0, d.Total == 0}
		}}
	}
	return []metric{
		part(".total", func(d *Dist) *Nanos { return &d.Total }),
		part(".mean", func(d *Dist) *Nanos { return d.Mean }),
		part(".p50", func(d *Dist) *Nanos { return d.P50 }),
		part(".p90", func(d *Dist) *Nanos { return d.P90 }),
		part(".p99", func(d *Dist) *Nanos { return d.P99 }),
		part(".max", func(d *Dist) *Nanos { return d.Max }),
	}
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
