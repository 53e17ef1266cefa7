package reports

import (
	"html/template"
	"io"
	"sync"

	_ "embed"
)

//go:embed page/curves.html
var curvesHTML string

//go:embed page/curves.js
var curvesJS string

var curvesTemplate = sync.OnceValue(func() *template.Template { return parsePage(curvesHTML) })

// CurvesPage is a page of curves and tables, which needs nothing else, no network either.
type CurvesPage struct {
	Title, Subtitle string
	Notes           []string
	Charts          []CurvesChart
	Tables          []CurvesTable
}

// CurvesChart is a chart of lines over common points.
type CurvesChart struct {
	Title, Hint string
	X           string    // what is at the bottom
	At          []float64 // ascending
	Unit        string    // of what is drawn: "ns", "%", "/s" or "" for a number
	Lines       []CurvesLine
}

// CurvesLine is a line; nil is unknown there.
type CurvesLine struct {
	Name string
	Y    []*float64
}

// CurvesTable is a table, of which the columns from Figures on are numbers.
type CurvesTable struct {
	Title   string
	Columns []string
	Figures int
	Rows    [][]string
}

// HTML writes the page.
func (p *CurvesPage) HTML(w io.Writer) error {
	page := struct {
		dress
		Subtitle string
		Notes    []string
		Charts   []CurvesChart
		Tables   []pageTable
	}{dress: chartDress(p.Title, curvesJS), Subtitle: p.Subtitle, Notes: p.Notes, Charts: p.Charts}
	for _, t := range p.Tables {
		table := pageTable{Title: t.Title}
		for i, c := range t.Columns {
			if i >= t.Figures {
				table.Columns = append(table.Columns, number(c))
			} else {
				table.Columns = append(table.Columns, words(c))
			}
		}
		for _, r := range t.Rows {
			table.add(nil, r...)
		}
		page.Tables = append(page.Tables, *table.cut())
	}
	return curvesTemplate().Execute(w, page)
}
