package sweep

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/replay/replay/reports"
)

// dimension is one of the grid: what curves may go along, and what tells them apart.
type dimension struct {
	name    string
	of      func(*Record) string
	number  func(*Record) float64 // nil where it is none
	values  []string              // in the order of the grid
	numbers []float64
}

// dimensions are those of the records, the resolver last.
func dimensions(records []*Record) []dimension {
	all := []dimension{
		{name: "CPUs", of: func(r *Record) string { return strconv.Itoa(r.CPUs) }, number: func(r *Record) float64 { return float64(r.CPUs) }},
		{name: "clones", of: func(r *Record) string { return strconv.Itoa(r.Config.Clone) }, number: func(r *Record) float64 { return float64(r.Config.Clone) }},
		{name: "speed", of: func(r *Record) string { return fmt.Sprint(float64(r.Config.SpeedPPM) / 1e6) }, number: func(r *Record) float64 { return float64(r.Config.SpeedPPM) / 1e6 }},
		{name: "seed", of: func(r *Record) string { return strconv.FormatUint(r.Config.Seed, 10) }, number: func(r *Record) float64 { return float64(r.Config.Seed) }},
		{name: "machine", of: func(r *Record) string { return r.Config.Machine + " " + r.Config.Profile }},
		{name: "timing", of: func(r *Record) string { return r.Config.Timing }},
		{name: "placement", of: func(r *Record) string { return r.Config.Placement }},
		{name: "layout", of: func(r *Record) string { return cmp.Or(r.Config.Layout, "the machine's") }},
		{name: "what if", of: func(r *Record) string { return cmp.Or(strings.Join(r.Config.WhatIf, "; "), "as recorded") }},
		{name: "resolver", of: func(r *Record) string { return r.Config.Resolver }},
	}
	for i := range all {
		d := &all[i]
		for _, r := range records {
			if v := d.of(r); !slices.Contains(d.values, v) {
				d.values = append(d.values, v)
				if d.number != nil {
					d.numbers = append(d.numbers, d.number(r))
				}
			}
		}
		slices.Sort(d.numbers)
	}
	return all
}

// along is the dimension that curves go along: the first that has several numbers, or else
// the first that is one.
func along(all []dimension) *dimension {
	for i := range all {
		if d := &all[i]; len(d.numbers) > 1 {
			return d
		}
	}
	return &all[0]
}

// drawn are the figures of the page: what is drawn of each record.
var drawn = []struct {
	title, hint, unit string
	of                func(*Record) *float64
}{
	{"Hits that took mmap_lock", "Share of all hits. Lower is better.", "%", func(r *Record) *float64 { return scaled(r, "fallback_ppm", 1e-4) }},
	{"Time to resolve a hit", "Mean over all hits, with waiting for the lock. Lower is better.", "ns", func(r *Record) *float64 { return scaled(r, "resolve_ns.mean", 1) }},
	{"99 % of hits are resolved within", "Lower is better.", "ns", func(r *Record) *float64 { return scaled(r, "resolve_ns.p99", 1) }},
	{"Writers' wait for mmap_lock", "Mean over all write sections. Lower is better.", "ns", func(r *Record) *float64 { return scaled(r, "writer_wait_ns.mean", 1) }},
	{"Hits per second", "Of simulated time. Higher is better; with the original timing it is what was recorded.", "/s", func(r *Record) *float64 { return scaled(r, "hits_per_s", 1) }},
}

func scaled(r *Record, metric string, by float64) *float64 {
	f := r.Metrics[metric]
	if !f.Known {
		return nil
	}
	return new(float64(f.Milli) / 1000 * by)
}

// Limits of the page: more cannot be told apart. sweep.json and sweep.parquet have all.
const (
	tracesDrawn = 8
	linesDrawn  = 24
)

// HTML writes sweep.html: curves for each trace.
func (d *Document) HTML(w io.Writer) error {
	dims := dimensions(d.Cells)
	x := along(dims)
	page := &reports.CurvesPage{Title: "Sweep", Subtitle: d.subtitle(dims)}
	for _, f := range d.Failed {
		if len(page.Notes) < 20 {
			page.Notes = append(page.Notes, fmt.Sprintf("%s was not replayed (%s): %s", f.Trace, strings.Join(f.Repeat, " "), firstLine(f.Error)))
		}
	}
	if n := len(d.Failed) - 20; n > 0 {
		page.Notes = append(page.Notes, fmt.Sprintf("and %d more cells; sweep.json has all", n))
	}
	page.Notes = append(page.Notes, d.notes()...)
	traces := byTrace(d.Cells)
	if n := len(traces) - tracesDrawn; n > 0 {
		page.Notes = append(page.Notes, fmt.Sprintf("%d more traces are in sweep.json and sweep.parquet", n))
	}
	for _, records := range traces[:min(len(traces), tracesDrawn)] {
		page.Charts = append(page.Charts, charts(records, dims, x)...)
	}
	page.Tables = []reports.CurvesTable{d.table(dims)}
	return page.HTML(w)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// valuesShown is how many values of a dimension the page's head names.
const valuesShown = 8

func (d *Document) subtitle(dims []dimension) string {
	text := fmt.Sprintf("%d cells", len(d.Cells))
	for i := range dims {
		values, more := dims[i].values, ""
		if n := len(values) - valuesShown; n > 0 {
			values, more = values[:valuesShown], fmt.Sprintf(" and %d more", n)
		}
		text += fmt.Sprintf("; %s %s%s", dims[i].name, strings.Join(values, ", "), more)
	}
	return text + fmt.Sprintf("; version %d of the model", d.ModelVersion)
}

// byTrace are the records of each trace.
func byTrace(records []*Record) [][]*Record {
	var all [][]*Record
	at := map[[2]string]int{}
	for _, r := range records {
		key := [2]string{r.Trace, r.TraceSHA256}
		i, there := at[key]
		if !there {
			i, at[key] = len(all), len(all)
			all = append(all, nil)
		}
		all[i] = append(all[i], r)
	}
	return all
}

// charts are those of a trace: a line for each value of the dimensions that have several.
func charts(records []*Record, dims []dimension, x *dimension) []reports.CurvesChart {
	var names []string
	lines := map[string][]*Record{}
	for _, r := range records {
		var parts []string
		for i := range dims {
			if d := &dims[i]; d.name != x.name && len(d.values) > 1 {
				parts = append(parts, d.of(r))
			}
		}
		name := cmp.Or(strings.Join(parts, ", "), r.Config.Resolver)
		if lines[name] == nil {
			names = append(names, name)
		}
		lines[name] = append(lines[name], r)
	}
	var all []reports.CurvesChart
	for _, f := range drawn {
		c := reports.CurvesChart{Title: f.title + ", " + records[0].Trace, Hint: f.hint, X: x.name, At: x.numbers, Unit: f.unit}
		if n := len(names) - linesDrawn; n > 0 {
			c.Hint += fmt.Sprintf(" %d more lines are left out.", n)
		}
		for _, name := range names[:min(len(names), linesDrawn)] {
			line := reports.CurvesLine{Name: name, Y: make([]*float64, len(x.numbers))}
			for _, r := range lines[name] {
				if i, ok := slices.BinarySearch(x.numbers, x.number(r)); ok {
					line.Y[i] = f.of(r)
				}
			}
			c.Lines = append(c.Lines, line)
		}
		all = append(all, c)
	}
	return all
}

// mainFigures are those of the table, as people read them; sweep.parquet and sweep.json have
// all of them, in one unit each.
var mainFigures = []struct {
	title, metric string
	show          func(thousandths int64) string
}{
	{"fell back", "fallbacks", func(n int64) string { return humanize.Comma(n / 1000) }},
	{"of hits", "fallback_ppm", func(n int64) string { return fmt.Sprintf("%.4g %%", float64(n)/1e7) }},
	{"mean", "resolve_ns.mean", span},
	{"99 %", "resolve_ns.p99", span},
	{"lock wait", "lock_wait_ns.total", span},
	{"writers wait", "writer_wait_ns.total", span},
}

func span(ps int64) string { return reports.Nanos(ps).Span() }

// table has a row for each cell.
func (d *Document) table(dims []dimension) reports.CurvesTable {
	t := reports.CurvesTable{Title: "All cells", Columns: []string{"trace"}}
	var shown []*dimension
	for i := range dims {
		if len(dims[i].values) > 1 || dims[i].name == "resolver" {
			shown = append(shown, &dims[i])
			t.Columns = append(t.Columns, dims[i].name)
		}
	}
	t.Figures = len(t.Columns)
	for _, m := range mainFigures {
		t.Columns = append(t.Columns, m.title)
	}
	for _, r := range d.Cells {
		row := []string{r.Trace}
		for _, s := range shown {
			row = append(row, s.of(r))
		}
		for _, m := range mainFigures {
			text := "unknown"
			if f := r.Metrics[m.metric]; f.Known {
				text = m.show(f.Milli)
			}
			row = append(row, text)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
