package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
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
	Spark  *spark // in place of the text
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
		row.Cells = append(row.Cells, pageCell{Text: printable(c), Figure: t.Columns[i].Figure})
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
		tables = append(tables, probeTable(r).cut(), mmTable(r).cut(), threadTable(r).cut(), cpuTable(r).cut())
	}
	tables = append(tables, lineTable(res.Runs), pairTable(res.Runs).cut())
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

// timesColumns are those of how long the hits of a row took.
var timesColumns = []pageColumn{number("median"), number("90 %"), number("99 %"), number("max"), number("lock wait"), number("its 99 %"), words("times")}

const timesHint = "Half, 90 % and 99 % of the hits were resolved within a time, and the longest; then what those that took mmap_lock waited in all, and 99 % of them at most. The picture is how often hits took how long, all rows to one logarithmic scale."

// addTimes appends a row with how long its hits took.
func (t *pageTable) addTimes(times *replay.HitTimes, scale *sparkScale, cells ...string) {
	each := func(d *dist.Dist, at sim.Time) string {
		if d.Count == 0 {
			return "–"
		}
		return span(at)
	}
	r, w := &times.Resolve, &times.LockWait
	t.add(nil, append(cells, each(r, r.P50), each(r, r.P90), each(r, r.P99), each(r, r.Max), span(w.Total), each(w, w.P99), "")...)
	if s := newSpark(times.Hist, scale); s != nil {
		s.Text = fmt.Sprintf("from %s to %s, mostly about %s", span(times.Hist[0].Low), span(times.Hist[len(times.Hist)-1].High), span(mode(times.Hist).Low))
		row := t.Rows[len(t.Rows)-1].Cells
		row[len(row)-1].Spark = s
	}
}

func probeTable(r *replay.Run) *pageTable {
	t := &pageTable{
		Title: "Probes, " + r.Resolver, Hint: timesHint,
		Columns: append([]pageColumn{words("probe"), number("hits"), number("fell back"), number("share"), number("resolving")}, timesColumns...),
	}
	shared := sharesTraps(r)
	if shared {
		t.Columns = slices.Insert(t.Columns, 1, number("events"))
	}
	scale := newSparkScale(r)
	for i := range r.Probes {
		p := &r.Probes[i]
		fell := p.Hits - p.Outcomes[sim.Lockless]
		row := []string{p.Probe, count(p.Hits), count(fell), share(fell, p.Hits), span(p.Parts.Resolve())}
		if shared {
			row = slices.Insert(row, 1, count(p.Events))
		}
		t.addTimes(&p.Times, scale, row...)
	}
	return t
}

func mmTable(r *replay.Run) *pageTable {
	t := &pageTable{
		Title:   "Processes, " + r.Resolver,
		Columns: append([]pageColumn{words("process"), number("pid"), number("hits"), number("fell back"), number("share"), number("write sections")}, timesColumns...),
	}
	scale := newSparkScale(r)
	for i := range r.Mms {
		m := &r.Mms[i]
		fell := m.Hits - m.Outcomes[sim.Lockless]
		t.addTimes(&m.Times, scale, m.Comm, fmt.Sprint(m.PID), count(m.Hits), count(fell), share(fell, m.Hits), count(m.Writers))
	}
	return t
}

// threadTable has the threads that hit, dearest first; none where one did all.
func threadTable(r *replay.Run) *pageTable {
	t := &pageTable{
		Title:   "Threads, " + r.Resolver,
		Columns: append([]pageColumn{words("thread"), number("tid"), number("hits"), number("fell back"), number("share")}, timesColumns...),
	}
	scale := newSparkScale(r)
	for i := range r.Threads {
		x := &r.Threads[i]
		fell := x.Hits - x.Outcomes[sim.Lockless]
		if len(r.Threads) > 1 {
			t.addTimes(&x.Times, scale, x.Comm, fmt.Sprint(x.TID), count(x.Hits), count(fell), share(fell, x.Hits))
		}
	}
	return t
}

func cpuTable(r *replay.Run) *pageTable {
	t := &pageTable{
		Title:   "CPUs, " + r.Resolver,
		Columns: append([]pageColumn{number("CPU"), number("hits"), number("fell back"), number("share")}, timesColumns...),
	}
	scale := newSparkScale(r)
	for i := range r.CPUs {
		c := &r.CPUs[i]
		fell := c.Hits - c.Outcomes[sim.Lockless]
		if len(r.CPUs) > 1 {
			t.addTimes(&c.Times, scale, fmt.Sprint(c.CPU), count(c.Hits), count(fell), share(fell, c.Hits))
		}
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

// pairTable has who fights for cache lines, as perf c2c shows it: dearest first for each
// resolver. It has what has a share of its run's stall.
func pairTable(runs []replay.Run) *pageTable {
	t := &pageTable{
		Title:   "Who fights for cache lines",
		Hint:    "A line had to come to an operation because another had it, or wrote to it. Share: of all the run's waiting for lines. A lookup is that of a hit; the rest is by what took mmap_lock.",
		Columns: []pageColumn{words("resolver"), words("line"), words("taken by"), words("had by"), number("transfers"), number("stall"), number("share")},
	}
	for i := range runs {
		all, stall := pairsOf(&runs[i])
		for _, p := range all {
			if p.Stall*1000 >= stall && p.Stall > 0 {
				t.add(nil, runs[i].Resolver, p.line, p.Took, p.Had, count(p.Transfers), span(p.Stall), share(int64(p.Stall), int64(stall)))
			}
		}
	}
	return t
}

// linePair is a pair with its line.
type linePair struct {
	line string
	replay.LinePair
}

// pairsOf are the pairs of all lines of a run, dearest first, and their stall.
func pairsOf(r *replay.Run) (all []linePair, stall sim.Time) {
	for _, l := range r.Lines {
		stall += l.Stall
		for _, p := range l.Pairs {
			all = append(all, linePair{l.Line, p})
		}
	}
	slices.SortStableFunc(all, func(a, b linePair) int { return -cmp.Compare(a.Stall, b.Stall) })
	return all, stall
}
