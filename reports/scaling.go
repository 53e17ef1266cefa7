package reports

import (
	"fmt"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// Curve is how the lookups of the workload scale with CPUs.
type Curve struct {
	Timing    string           `json:"timing"`
	Points    []CurvePoint     `json:"points"`
	Published []PublishedPoint `json:"published"` // measured on such a machine; empty where nothing was
}

// CurvePoint is a run with so many CPUs.
type CurvePoint struct {
	Resolver  string   `json:"resolver"`
	CPUs      int      `json:"cpus"`
	Clone     int      `json:"clone"`
	Hits      int64    `json:"hits"`
	HitsPerS  *float64 `json:"hits_per_s"`
	ResolveNs Nanos    `json:"resolve_ns"` // of each hit
	HitNs     Nanos    `json:"hit_ns"`     // of each, from the trap to its end
}

// PublishedPoint is a measured throughput of the kernel's benchmark, which hits without a gap.
type PublishedPoint struct {
	Resolver string  `json:"resolver"`
	CPUs     int     `json:"cpus"`
	HitsPerS float64 `json:"hits_per_s"`
	HitNs    float64 `json:"hit_ns"` // of each, all CPUs being busy with them
}

func newCurve(c *replay.Curve) *Curve {
	doc := &Curve{Timing: c.Timing.String(), Points: []CurvePoint{}, Published: []PublishedPoint{}}
	for _, p := range c.Points {
		doc.Points = append(doc.Points, CurvePoint{p.Resolver, p.CPUs, p.Clone, p.Hits, perSecond(p.Hits, p.Makespan), Nanos(p.Resolve), Nanos(p.Hit)})
	}
	for _, p := range c.Published {
		doc.Published = append(doc.Published, PublishedPoint{p.Resolver, p.CPUs, p.MHits * 1e6, publishedHit(&p)})
	}
	return doc
}

func publishedHit(p *replay.PublishedPoint) float64 { return float64(p.CPUs) * 1000 / p.MHits }

const curveTitle = "How it scales"

// curveTable has a row for each resolver and number of CPUs.
func curveTable(c *replay.Curve) *pageTable {
	t := &pageTable{Title: curveTitle, Hint: curveHint(c), Columns: []pageColumn{
		words("resolver"), number("CPUs"), number("copies"), number("a hit takes"), number("of it resolving"), number("hits/s"),
	}}
	if c.Published != nil {
		t.Columns = append(t.Columns, number("measured"))
	}
	for i := range c.Points {
		p := &c.Points[i]
		rate := "–"
		if r := perSecond(p.Hits, p.Makespan); r != nil {
			rate = count(int64(*r))
		}
		row := []string{p.Resolver, fmt.Sprint(p.CPUs), count(int64(p.Clone)), span(p.Hit), span(p.Resolve), rate}
		if c.Published != nil {
			measured := "–"
			for i := range c.Published {
				if m := &c.Published[i]; m.Resolver == p.Resolver && m.CPUs == p.CPUs {
					measured = span(sim.Time(publishedHit(m) * float64(sim.Nanosecond)))
				}
			}
			row = append(row, measured)
		}
		t.add(nil, row...)
	}
	return t
}

func curveHint(c *replay.Curve) string {
	s := "What a hit takes on average from its trap to its end, and how many there are in a second, where the recorded threads, and copies of them for the further CPUs, run "
	if c.Timing == replay.ASAP {
		s += "without gaps."
	} else {
		s += "with the gaps that were recorded."
	}
	if c.Published != nil {
		s += " Measured: the kernel's own benchmark on such a machine, which hits one function without gaps on all CPUs."
	}
	return s
}

// curveChart is what a hit takes against CPUs, with what was measured beside it.
func curveChart(c *replay.Curve) *chart {
	x := &chart{ID: "curve", Kind: "curve", Title: curveTitle, Hint: curveHint(c)}
	at := func(resolver string, cpus int, ns float64) {
		i := slices.IndexFunc(x.Runs, func(r runCurve) bool { return r.Name == resolver })
		if i < 0 {
			i = len(x.Runs)
			x.Runs = append(x.Runs, runCurve{Name: resolver, Share: make([]float64, len(x.X))})
		}
		j := slices.Index(x.X, float64(cpus))
		x.Runs[i].Share[j] = ns
	}
	for _, p := range c.Points {
		x.X = append(x.X, float64(p.CPUs))
	}
	for _, p := range c.Published {
		x.X = append(x.X, float64(p.CPUs))
	}
	slices.Sort(x.X)
	x.X = slices.Compact(x.X)
	for _, p := range c.Points {
		at(p.Resolver, p.CPUs, inNanos(p.Hit))
	}
	for i := range c.Published {
		at(c.Published[i].Resolver+", measured", c.Published[i].CPUs, publishedHit(&c.Published[i]))
	}
	return x
}

// curve writes the table as text.
func (t *textReport) curve(c *replay.Curve) {
	t.title(curveTitle)
	table := curveTable(c)
	var cols []column
	for _, c := range table.Columns {
		cols = append(cols, column{name: c.Name, figure: c.Figure, width: 18})
	}
	var rows [][]string
	for _, r := range table.Rows {
		var row []string
		for _, cell := range r.Cells {
			row = append(row, cell.Text)
		}
		rows = append(rows, row)
	}
	t.table(cols, rows)
	t.para(plain, "  ", table.Hint)
}
