package reports

import (
	_ "embed" // the page's parts
	"fmt"
	"html/template"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// The page's template, style and script, and the charting library that draws its
// curves (uPlot, MIT; see page/uplot.LICENSE). All go into the file itself.
var (
	//go:embed page/head.html
	headHTML string
	//go:embed page/page.html
	pageHTML string
	//go:embed page/index.html
	indexHTML string
	//go:embed page/table.html
	tableHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/charts.js
	chartsJS string
	//go:embed page/page.js
	pageJS string
	//go:embed page/table.js
	tableJS string
	//go:embed page/uplot.js
	uplotJS string
	//go:embed page/uplot.css
	uplotCSS string
)

var pageTemplate = sync.OnceValue(func() *template.Template { return parsePage(pageHTML) })

// parsePage parses a page, which may use the head, the scripts and the tables of all.
func parsePage(html string) *template.Template {
	t := template.New("page")
	for _, part := range []string{headHTML, tableHTML, html} {
		template.Must(t.Parse(part))
	}
	return t
}

// dress is what goes into the head and to the end of a page.
type dress struct {
	Title                          string
	UplotCSS, CSS                  template.CSS
	UplotJS, ChartsJS, JS, TableJS template.JS
}

// plainDress is that of a page without charts.
func plainDress(title string) dress {
	return dress{Title: title, CSS: template.CSS(pageCSS), TableJS: template.JS(tableJS)}
}

// chartDress is that of a page whose charts are drawn by js.
func chartDress(title, js string) dress {
	d := plainDress(title)
	d.UplotCSS, d.UplotJS, d.ChartsJS, d.JS = template.CSS(uplotCSS), template.JS(uplotJS), template.JS(chartsJS), template.JS(js)
	return d
}

// HTML writes the report as one page that needs nothing else, no network either.
func HTML(w io.Writer, res *replay.Result) error {
	return pageTemplate().Execute(w, newPage(res))
}

// page is what the template shows.
type page struct {
	dress
	Subtitle, Setup string

	Warnings   []string
	Answer     []string
	Recorded   *recordedPage
	Simulated  string // the title of what comes after it
	Cards      []card
	Findings   []string
	Bars       []barChart
	Charts     []chart
	Crossover  *crossMap // nil for none
	Tables     []pageTable
	Files      []pageLink // beside the page
	Provenance []string
	Data       []chart // for the script
}

// card is one large figure.
type card struct {
	Name, Value, Note string
	Bad               bool
}

func newPage(res *replay.Result) *page {
	p := &page{
		dress: chartDress(path.Base(res.Trace.Path), pageJS), Subtitle: traceSentence(res), Setup: setupSentence(res),
		Charts: []chart{},
	}
	if answered(res) {
		p.Cards, p.Bars, p.Charts, p.Tables = cards(res), barCharts(res.Runs), charts(res), pageTables(res)
	}
	if res.Crossover != nil {
		p.Crossover = newCrossMap(res.Crossover)
	}
	if res.Curve != nil {
		p.Charts = append(p.Charts, *curveChart(res.Curve))
		p.Tables = append(p.Tables, *curveTable(res.Curve).cut())
		p.Tables[len(p.Tables)-1].Title += ", in figures"
		p.Tables[len(p.Tables)-1].Hint = ""
	}
	p.Data = slices.Clone(p.Charts)
	if res.Recorded != nil {
		p.Recorded, p.Simulated = newRecordedPage(res), simulatedTitle
		if c := recordedOverTime(res); c != nil {
			p.Recorded.Chart = c
			p.Data = append(p.Data, *c)
		}
	}
	short := newAnswer(res)
	for _, f := range short.findings() {
		p.Answer = append(p.Answer, f.text)
	}
	for _, w := range res.Warnings {
		p.Warnings = append(p.Warnings, printable(w))
	}
	for _, f := range findings(res) {
		p.Findings = append(p.Findings, f.text)
	}
	for _, f := range files(res) {
		p.Files = append(p.Files, pageLink{fileName(f.name), url.PathEscape(f.name)})
	}
	for _, f := range provenance(res) {
		p.Provenance = append(p.Provenance, f.text)
	}
	return p
}

// fileName says what a file of a run is.
func fileName(name string) string {
	switch {
	case name == "recorded.blame.pb.gz":
		return "profile of who had the lock, recorded"
	case strings.HasSuffix(name, ".blame.pb.gz"):
		return "profile of who is to blame, " + strings.TrimSuffix(name, ".blame.pb.gz")
	case strings.HasSuffix(name, ".pb.gz"):
		return "profile of hits, " + strings.TrimSuffix(name, ".pb.gz")
	case name == "timeline.json.gz":
		return "timeline for ui.perfetto.dev"
	}
	return name
}

// cards are the figures that one looks for first.
func cards(res *replay.Result) []card {
	r := mainRun(res)
	if r == nil || r.Hits == 0 {
		return nil
	}
	all := []card{
		{Name: "resolved without mmap_lock", Value: share(r.Lockless(), r.Hits), Note: count(r.Lockless()) + " of " + plural(r.Hits, "hit")},
		{Name: "fell back to the lock", Value: count(r.Fallbacks()), Note: share(r.Fallbacks(), r.Hits) + " of hits", Bad: r.Fallbacks() > 0},
		{Name: "hits waited for the lock", Value: leastPrefix(res) + span(r.LockWait.Total), Note: "at worst " + span(r.LockWait.Max), Bad: r.LockWait.Total > 0},
		{Name: "resolving took", Value: span(r.Resolve.Total), Note: span(r.Resolve.Mean()) + " a hit"},
	}
	if res.Trace.Lost > 0 {
		all[1].Note = count(r.Low) + " to " + count(r.High) + ", since events were lost"
	}
	if base := baseRun(res); base != nil && base != r {
		all[2].Note += "; " + base.Resolver + " " + span(base.LockWait.Total)
		all[3].Note = base.Resolver + " " + span(base.Resolve.Total) + change(base.Resolve.Total, r.Resolve.Total)
	}
	return all
}

// barChart is one stacked bar for each run.
type barChart struct {
	Title, Hint string
	Legend      []legendEntry
	Rows        []bar
}

type legendEntry struct{ Name, Class string }

type bar struct {
	Name, Total, Text string
	Parts             []barPart
}

type barPart struct {
	Class, Text string
	Percent     string
}

func barCharts(runs []replay.Run) []barChart {
	if len(runs) == 0 {
		return nil
	}
	return []barChart{outcomeBars(runs), timeBars(runs)}
}

func outcomeBars(runs []replay.Run) barChart {
	c := barChart{Title: "How hits ended", Hint: "Every hit is in exactly one part: resolved without mmap_lock, or the reason why it took the lock."}
	for o := range sim.NumOutcomes {
		for i := range runs {
			if runs[i].Outcomes[o] > 0 {
				c.Legend = append(c.Legend, legendEntry{reasonNames[o], o.String()})
				break
			}
		}
	}
	for i := range runs {
		r := &runs[i]
		b := bar{Name: r.Resolver, Total: share(r.Lockless(), r.Hits) + " without lock", Text: r.Resolver + ":"}
		for o := range sim.NumOutcomes {
			text := fmt.Sprintf("%s: %s (%s)", reasonNames[o], count(r.Outcomes[o]), share(r.Outcomes[o], r.Hits))
			b.add(o.String(), text, r.Outcomes[o], r.Hits)
		}
		c.Rows = append(c.Rows, b)
	}
	return c
}

// timeBars are to one scale, so that runs compare at a glance.
func timeBars(runs []replay.Run) barChart {
	c := barChart{
		Title: "Where hits spend their time",
		Hint:  "Summed over all hits, all runs to one scale. The handler part is the trap itself and the probe's handlers, which no resolver changes.",
		Legend: []legendEntry{
			{"walking to the uprobe", "lookup"}, {"waiting for cache lines", "stall"}, {"waiting for mmap_lock", "lock_wait"}, {"trap and handlers", "handler"},
		},
	}
	var longest sim.Time
	for i := range runs {
		longest = max(longest, runs[i].Parts.Resolve()+runs[i].Parts.Handler)
	}
	for i := range runs {
		p := &runs[i].Parts
		b := bar{Name: runs[i].Resolver, Total: span(p.Resolve()) + " resolving", Text: runs[i].Resolver + ":"}
		for j, t := range []sim.Time{p.Lookup, p.Stall, p.LockWait, p.Handler} {
			b.add(c.Legend[j].Class, c.Legend[j].Name+": "+span(t), int64(t), int64(longest))
		}
		c.Rows = append(c.Rows, b)
	}
	return c
}

func (b *bar) add(class, text string, part, whole int64) {
	if part <= 0 || whole <= 0 {
		return
	}
	b.Parts = append(b.Parts, barPart{class, text, fmt.Sprintf("%.4f", 100*float64(part)/float64(whole))})
	b.Text += " " + text + ";"
}
