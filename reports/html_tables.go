package reports

import (
	"fmt"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// A table of the page shows the first rows, and has the rest at hand up to a limit;
// report.json has all.
const (
	pageRows    = 12
	pageRowsMax = 300
)

// pageTable is one table of the page.
type pageTable struct {
	Title, Hint, More string
	Columns           []pageColumn
	Rows              []pageRow
	Cut               bool // some rows are only shown when asked for
	Fixed             bool // rows belong together: it does not sort
}

type pageColumn struct {
	Name   string
	Figure bool
}

type pageRow struct {
	Cells  []pageCell
	Stacks []pageStack
	Rest   bool // shown when asked for
}

// pageStack is a stack below a row, leaf first.
type pageStack struct {
	Label  string // of what of the row; "" for all
	Frames []string
}

// oneStack is a stack of a whole row; none is none.
func oneStack(frames []string) []pageStack {
	if len(frames) == 0 {
		return nil
	}
	return []pageStack{{Frames: frames}}
}

type pageCell struct {
	Text   string
	Figure bool
}

// words and number make columns: text to the left, figures to the right.
func words(name string) pageColumn  { return pageColumn{name, false} }
func number(name string) pageColumn { return pageColumn{name, true} }

func (t *pageTable) add(stacks []pageStack, cells ...string) {
	row := pageRow{}
	for _, s := range stacks {
		clean := pageStack{Label: printable(s.Label)}
		for _, f := range s.Frames {
			clean.Frames = append(clean.Frames, printable(f))
		}
		row.Stacks = append(row.Stacks, clean)
	}
	for i, c := range cells {
		row.Cells = append(row.Cells, pageCell{printable(c), t.Columns[i].Figure})
	}
	t.Rows = append(t.Rows, row)
}

// cut hides the rows beyond pageRows, unless these are few, leaves out those beyond
// pageRowsMax, and says so.
func (t *pageTable) cut() *pageTable {
	n := len(t.Rows)
	if n <= pageRows+pageRows/4 {
		return t
	}
	t.Rows, t.Cut = t.Rows[:min(n, pageRowsMax)], true
	for i := pageRows; i < len(t.Rows); i++ {
		t.Rows[i].Rest = true
	}
	t.More = fmt.Sprintf("%d of %s rows", pageRows, count(int64(n)))
	if n > pageRowsMax {
		t.More += fmt.Sprintf("; those beyond %d are in report.json alone", pageRowsMax)
	}
	return t
}

func pageTables(res *replay.Result) []pageTable {
	tables := []*pageTable{figureTable(res.Runs)}
	for i := range res.Runs {
		tables = append(tables, blameTable(&res.Runs[i]).cut())
	}
	if r := mainRun(res); r != nil {
		tables = append(tables, probeTable(r).cut(), mmTable(r).cut())
	}
	tables = append(tables, lineTable(res.Runs))
	var out []pageTable
	for _, t := range tables {
		if len(t.Rows) > 0 {
			out = append(out, *t)
		}
	}
	return out
}

// figureTable is the comparison of the text report.
func figureTable(runs []replay.Run) *pageTable {
	t := &pageTable{Title: "Side by side", Fixed: true, Columns: []pageColumn{words("")}}
	for i := range runs {
		t.Columns = append(t.Columns, number(runs[i].Resolver))
	}
	if len(runs) == 0 {
		return t
	}
	for _, row := range comparison(runs) {
		t.add(nil, row...)
	}
	return t
}

func blameTable(r *replay.Run) *pageTable {
	t := &pageTable{
		Title: "Who is to blame, " + r.Resolver,
		Hint:  "Threads whose changes of the address space made hits fall back or wait, by name and operation, dearest first.",
		Columns: []pageColumn{
			words("thread"), number("tid"), words("operation"), number("sections"), number("held"), number("hits spoiled"), number("of fallbacks"), number("hits waited"), number("wasted"),
		},
	}
	for _, c := range culprits(r) {
		t.add(culpritStacks(c), c.comm, threads(c.tids), c.kind, count(c.sections), span(c.hold), count(c.fallbacks), share(c.fallbacks, r.Fallbacks()), span(c.wait), span(c.wasted))
	}
	return t
}

// culpritStacksMax is how many of the stacks of a culprit the page has.
const culpritStacksMax = 8

// culpritStacks are where it came from, with what each cost.
func culpritStacks(c *culprit) []pageStack {
	var stacks []pageStack
	for i, b := range c.rows {
		if i == culpritStacksMax {
			stacks = append(stacks, pageStack{Label: fmt.Sprintf("and %d more in report.json", len(c.rows)-i)})
			break
		}
		if len(b.Stack) > 0 {
			stacks = append(stacks, pageStack{Label: fmt.Sprintf("tid %d, %s spoiled, waited %s", b.TID, plural(b.Fallbacks, "hit"), span(b.Wait)), Frames: b.Stack})
		}
	}
	return stacks
}

func probeTable(r *replay.Run) *pageTable {
	t := &pageTable{
		Title:   "Probes, " + r.Resolver,
		Columns: []pageColumn{words("probe"), number("hits"), number("fell back"), number("share"), number("resolving"), number("lock wait")},
	}
	shared := sharesTraps(r)
	if shared {
		t.Columns = slices.Insert(t.Columns, 1, number("events"))
	}
	for i := range r.Probes {
		p := &r.Probes[i]
		fell := p.Hits - p.Outcomes[sim.Lockless]
		row := []string{p.Probe, count(p.Hits), count(fell), share(fell, p.Hits), span(p.Parts.Resolve()), span(p.Parts.LockWait)}
		if shared {
			row = slices.Insert(row, 1, count(p.Events))
		}
		t.add(nil, row...)
	}
	return t
}

func mmTable(r *replay.Run) *pageTable {
	t := &pageTable{
		Title:   "Processes, " + r.Resolver,
		Columns: []pageColumn{words("process"), number("pid"), number("hits"), number("fell back"), number("share"), number("write sections"), number("lock wait")},
	}
	for i := range r.Mms {
		m := &r.Mms[i]
		fell := m.Hits - m.Outcomes[sim.Lockless]
		t.add(nil, m.Comm, fmt.Sprint(m.PID), count(m.Hits), count(fell), share(fell, m.Hits), count(m.Writers), span(m.Wait))
	}
	return t
}

func lineTable(runs []replay.Run) *pageTable {
	t := &pageTable{
		Title:   "Hottest cache lines",
		Hint:    "A transfer is a line that had to come from another core.",
		Columns: []pageColumn{words("resolver"), words("line"), number("accesses"), number("transfers"), number("stall")},
	}
	for i := range runs {
		for _, l := range runs[i].Lines[:min(len(runs[i].Lines), lineRows)] {
			if l.Transfers > 0 {
				t.add(nil, runs[i].Resolver, l.Line, count(l.Accesses), count(l.Transfers), span(l.Stall))
			}
		}
	}
	return t
}
