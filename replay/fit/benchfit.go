package fit

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/replay/replay/sim"
)

// BenchPoint is one row of a published or own benchmark table.
type BenchPoint struct {
	Resolver string
	CPUs     int
	MHits    float64 // million hits per second
}

// ReadBenchTable reads a CSV table with the columns resolver, cpus and
// mhits_per_s, in any order and among others; lines that begin with # are
// comments. Errors name the line.
func ReadBenchTable(r io.Reader, name string) ([]BenchPoint, error) {
	in := csv.NewReader(r)
	in.Comment = '#'
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: read the header of the table: %w", name, err)
	}
	column := map[string]int{}
	for i, h := range header {
		column[strings.TrimSpace(h)] = i
	}
	for _, want := range []string{"resolver", "cpus", "mhits_per_s"} {
		if _, ok := column[want]; !ok {
			return nil, fmt.Errorf("%s: the table has no column %q: it needs resolver, cpus and mhits_per_s", name, want)
		}
	}
	var points []BenchPoint
	for {
		row, err := in.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := in.FieldPos(0)
		cpus, err1 := strconv.Atoi(row[column["cpus"]])
		mhits, err2 := strconv.ParseFloat(row[column["mhits_per_s"]], 64)
		if err1 != nil || err2 != nil || cpus < 1 || !(mhits > 0) || math.IsInf(mhits, 0) {
			return nil, fmt.Errorf("%s:%d: want a number of CPUs and a throughput, both positive, not %q and %q", name, line, row[column["cpus"]], row[column["mhits_per_s"]])
		}
		points = append(points, BenchPoint{row[column["resolver"]], cpus, mhits})
	}
	if len(points) == 0 {
		return nil, fmt.Errorf("%s: the table has no rows", name)
	}
	return points, nil
}

// Residual is a measured row beside what the machine predicts for it.
type Residual struct {
	BenchPoint
	Predicted float64
}

// Error is the relative error of the prediction.
func (r Residual) Error() float64 { return r.Predicted/r.MHits - 1 }

// Residuals runs the benchmark for every row.
func Residuals(ctx context.Context, m *sim.Machine, points []BenchPoint, seed uint64) ([]Residual, error) {
	return benchAll(ctx, m, points, seed, benchRun)
}

// benchAll runs rows in parallel, each on its own; their order is kept.
func benchAll(ctx context.Context, m *sim.Machine, points []BenchPoint, seed uint64, run sim.Time) ([]Residual, error) {
	out := make([]Residual, len(points))
	errs := make([]error, len(points))
	var wg sync.WaitGroup
	for i, p := range points {
		wg.Go(func() {
			row, err := bench(ctx, m, p.Resolver, Nop, p.CPUs, seed, run)
			out[i], errs[i] = Residual{p, float64(row.PerSecond()) / 1e6}, err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// knob is a free parameter of the fit, with the range that is physical.
type knob struct {
	name   string
	lo, hi int64
	field  func(*sim.Machine) *int64
}

// timeField is the picoseconds of a Time.
func timeField(t *sim.Time) *int64 { return (*int64)(t) }

// benchKnobs are the parameters that no published figure settles. Their ranges
// come from figures that are published: transfers within what is measured
// between the cores of such machines, less the atomic itself.
func benchKnobs(m *sim.Machine) []knob {
	around := func(t sim.Time) (int64, int64) { return int64(t) * 8 / 10, int64(t) * 12 / 10 }
	near := sim.Socket
	if m.CoresPerL3 == m.CoresPerSocket {
		near = sim.Cluster // all cores of a socket share the L3
	}
	nl, nh := around(m.Line.Transfer[near])
	rl, rh := around(m.Line.Transfer[sim.Remote])
	return []knob{
		{"queued_permille", 400, 1000, func(m *sim.Machine) *int64 { return &m.Line.QueuedPermille }},
		{"waiter_ps", 0, 6000, func(m *sim.Machine) *int64 { return timeField(&m.Line.Waiter) }},
		{"waiter_cap", 0, 40, func(m *sim.Machine) *int64 { return &m.Line.WaiterCap }},
		{"local_permille", 0, 1000, func(m *sim.Machine) *int64 { return &m.Line.LocalPermille }},
		{"jitter_permille", 0, 500, func(m *sim.Machine) *int64 { return &m.Hit.JitterPermille }},
		{"lookup_cycles", 20, 300, func(m *sim.Machine) *int64 { return &m.Hit.LookupCycles }},
		{"transfer_near_ps", nl, nh, func(m *sim.Machine) *int64 { return timeField(&m.Line.Transfer[near]) }},
		{"transfer_remote_ps", rl, rh, func(m *sim.Machine) *int64 { return timeField(&m.Line.Transfer[sim.Remote]) }},
	}
}

// fitRun is the length of the benchmark in a fit: shorter than benchRun, since it
// runs thousands of times.
const fitRun = 400 * sim.Microsecond

// ToBench fits the machine's free parameters to a benchmark table: the private
// cycles of a hit and the SMT factor from the rows without contention, then the
// traffic on contended lines by a seeded search of so many rounds. It changes m.
// Progress is told after each round.
func ToBench(ctx context.Context, m *sim.Machine, points []BenchPoint, rounds int, seed uint64, progress func(round int, cost float64)) error {
	if err := fitPrivate(ctx, m, points, seed); err != nil {
		return err
	}
	if err := fitAtomic(ctx, m, points, seed); err != nil {
		return err
	}
	contended := slices.DeleteFunc(slices.Clone(points), func(p BenchPoint) bool { return p.Resolver == "speculative" })
	if len(contended) == 0 {
		return nil
	}
	best, err := benchCost(ctx, m, contended, seed)
	if err != nil {
		return err
	}
	rand := sim.NewPRNG(seed)
	knobs := benchKnobs(m)
	for round := range rounds {
		trial := *m
		perturb(&trial, knobs, &rand, int64(rounds-round), int64(rounds))
		cost, err := benchCost(ctx, &trial, contended, seed)
		if err != nil {
			return err
		}
		if cost < best {
			best = cost
			*m = trial
		}
		if progress != nil {
			progress(round+1, best)
		}
	}
	return fitPrivate(ctx, m, points, seed)
}

// perturb moves some knobs by up to a quarter of their range, less and less
// towards the end of the search. The total of a hit's private cycles stays.
func perturb(m *sim.Machine, knobs []knob, rand *sim.PRNG, left, rounds int64) {
	total := m.Hit.EntryCycles + m.Hit.LookupCycles + m.Hit.ExitCycles
	for _, k := range knobs {
		if !rand.Permille(350) {
			continue
		}
		reach := max((k.hi-k.lo)*left/rounds/4, 1)
		f := k.field(m)
		*f = min(max(*f-reach+int64(rand.Uint64()>>1)%(2*reach+1), k.lo), k.hi)
	}
	setPrivate(m, total)
}

// benchCost is the sum of the rows' relative errors to the power of 1.5: an
// outlier weighs more than its share, but not so much that one row rules.
func benchCost(ctx context.Context, m *sim.Machine, points []BenchPoint, seed uint64) (float64, error) {
	rows, err := benchAll(ctx, m, points, seed, fitRun)
	if err != nil {
		return 0, err
	}
	cost := 0.0
	for _, r := range rows {
		cost += math.Pow(math.Abs(r.Error()), 1.5)
	}
	return cost, nil
}

// fitPrivate scales the private cycles of a hit to the speculative rows that use
// each core once, and the SMT factor to the one that uses most threads.
func fitPrivate(ctx context.Context, m *sim.Machine, points []BenchPoint, seed uint64) error {
	cores := m.Sockets * m.CoresPerSocket
	var single, double []BenchPoint
	for _, p := range points {
		switch {
		case p.Resolver != "speculative":
		case p.CPUs <= cores:
			single = append(single, p)
		case len(double) == 0 || p.CPUs > double[0].CPUs:
			double = []BenchPoint{p}
		}
	}
	for range 3 { // each step is nearly exact; what is left is rounding
		rows, err := benchAll(ctx, m, single, seed, fitRun)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			total := m.Hit.EntryCycles + m.Hit.LookupCycles + m.Hit.ExitCycles
			setPrivate(m, int64(math.Round(float64(total)*medianRatio(rows))))
		}
		if rows, err = benchAll(ctx, m, double, seed, fitRun); err != nil {
			return err
		}
		if len(rows) > 0 && m.SMT > 1 {
			m.SMTPermille = min(max(int64(math.Round(float64(m.SMTPermille)/medianRatio(rows))), 1000), 2000)
		}
	}
	return nil
}

// setPrivate spreads a hit's private cycles: the lookup keeps its own, the rest is
// before and after it in equal parts.
func setPrivate(m *sim.Machine, total int64) {
	rest := max(total-m.Hit.LookupCycles, 0)
	m.Hit.EntryCycles, m.Hit.ExitCycles = rest/2, rest-rest/2
}

// fitAtomic sets the cost of an uncontended atomic from the difference between
// the two resolvers on one CPU: the locked lookup has two more.
func fitAtomic(ctx context.Context, m *sim.Machine, points []BenchPoint, seed uint64) error {
	for _, p := range points {
		if p.Resolver != "locked" || p.CPUs != 1 {
			continue
		}
		rows, err := benchAll(ctx, m, []BenchPoint{p}, seed, fitRun)
		if err != nil {
			return err
		}
		missing := 1e3/p.MHits - 1e3/rows[0].Predicted // ns of a hit
		m.Line.RMWCycles += int64(math.Round(missing * float64(m.KHz(1)) / 1e6 / 2))
		m.Line.RMWCycles = max(m.Line.RMWCycles, 1)
	}
	return nil
}

// medianRatio is the median of predicted over measured.
func medianRatio(rows []Residual) float64 {
	ratios := make([]float64, len(rows))
	for i, r := range rows {
		ratios[i] = r.Predicted / r.MHits
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}
