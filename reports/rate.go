package reports

import (
	"fmt"
	"math/big"
	"strings"
)

// Rate says what figures that grow with a run are divided by, so that runs of different
// length compare.
type Rate string

// Rates.
const (
	PerRun    Rate = "run"    // nothing: as they are
	PerHit    Rate = "hit"    // counts for a million hits, times for one
	PerSecond Rate = "second" // of simulated time
)

// ParseRate reads a Rate.
func ParseRate(s string) (Rate, error) {
	switch r := Rate(s); r {
	case PerRun, PerHit, PerSecond:
		return r, nil
	}
	return "", fmt.Errorf("unknown rate %q: want run, hit or second", s)
}

// in says what the figures are, in words.
func (r Rate) in() string {
	switch r {
	case PerHit:
		return "counts per million hits, total times per hit"
	case PerSecond:
		return "counts and total times per second of simulated time"
	}
	return "as they are"
}

// grows reports whether a metric grows with the run.
func (m *metric) grows() bool {
	switch m.name {
	case "hits", "lockless", "fallbacks", "wasted_ns", "line_transfers", "makespan_ns":
		return true
	}
	return strings.HasPrefix(m.name, "reasons.") || strings.HasSuffix(m.name, ".total")
}

// of is a figure of a run at the rate; time says that it is one. It is unknown where the
// run has no hit, or took no time.
func (r Rate) of(f Figure, time bool, run *EntryRun) Figure {
	over, times := Figure{1000, true}, int64(1)
	switch r {
	case PerHit:
		over = run.Metrics["hits"]
		if !time {
			times = 1_000_000
		}
	case PerSecond:
		over, times = run.Metrics["makespan_ns"], 1_000_000_000
	}
	if !f.Known || !over.Known || over.Milli <= 0 {
		return Figure{}
	}
	milli := new(big.Int).Mul(big.NewInt(f.Milli), big.NewInt(1000*times))
	milli.Quo(milli, big.NewInt(over.Milli))
	return Figure{milli.Int64(), milli.IsInt64()}
}

// at is a metric of a run at the rate. What does not grow with the run stays.
func (r Rate) at(m *metric, f Figure, run *EntryRun) Figure {
	if r == PerRun || !m.grows() || r == PerHit && m.name == "hits" || r == PerSecond && m.name == "makespan_ns" {
		return f
	}
	return r.of(f, m.unit == "ns", run)
}
