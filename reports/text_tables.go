package reports

import (
	"fmt"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// column is one column of a table: text to the left, figures to the right.
type column struct {
	name   string
	figure bool
	width  int // at most; 0 for as wide as it gets
}

// table writes rows under their columns, indented by two.
func (t *textReport) table(cols []column, rows [][]string) {
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.Options{}
	style.Box.PaddingLeft, style.Box.PaddingRight = "  ", ""
	style.Format.Header = text.FormatDefault
	if t.color {
		style.Color.Header = text.Colors{text.Faint}
	}
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	header := make(table.Row, len(cols))
	configs := make([]table.ColumnConfig, len(cols))
	for i, c := range cols {
		header[i] = c.name
		configs[i] = table.ColumnConfig{Number: i + 1}
		if c.figure {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	w.SetColumnConfigs(configs)
	w.AppendHeader(header)
	for _, cells := range rows {
		row := make(table.Row, len(cells))
		for i, c := range cells {
			if cols[i].width > 0 {
				c = clip(c, cols[i].width)
			}
			row[i] = c
		}
		w.AppendRow(row)
	}
	fmt.Fprintln(&t.b, w.Render())
}

// more says how many rows a table left out.
func (t *textReport) more(left int) {
	if left > 0 {
		t.para(plain, "  ", fmt.Sprintf("and %s more in report.json", count(int64(left))))
	}
}

const (
	figureLabel = 30 // columns of the comparison's labels
	figureWidth = 16 // and of each run, gap included
)

// comparison shows the runs side by side, as many as fit.
func (t *textReport) comparison(runs []replay.Run) {
	fit := max(1, (t.width-figureLabel)/figureWidth)
	for len(runs) > 0 {
		n := min(fit, len(runs))
		t.title("Side by side")
		t.sideBySide(runs[:n])
		runs = runs[n:]
	}
}

func (t *textReport) sideBySide(runs []replay.Run) {
	cols := []column{{name: ""}}
	for i := range runs {
		cols = append(cols, column{name: runs[i].Resolver, figure: true, width: figureWidth})
	}
	t.table(cols, comparison(runs))
}

// blame shows which writers cost hits the most.
func (t *textReport) blame(r *replay.Run, several bool) {
	if len(r.Blame) == 0 {
		return
	}
	title := "Who is to blame"
	if several {
		title += ", " + r.Resolver
	}
	t.title(title)
	to := guilty(r)
	if len(to) == 0 {
		t.para(good, "  ", fmt.Sprintf("nobody: %s made no hit fall back or wait", plural(writers(r.Blame), "writer")))
		return
	}
	cols := []column{
		{name: "thread", width: 16}, {name: "tid", figure: true}, {name: "operation", width: 10}, {name: "sections", figure: true},
		{name: "hits spoiled", figure: true}, {name: "hits waited", figure: true},
	}
	var rows [][]string
	all := culprits(r)
	shown := all[:min(len(all), blameRows)]
	for _, c := range shown {
		rows = append(rows, []string{printable(c.comm), threads(c.tids), c.kind, count(c.sections), count(c.fallbacks), span(c.wait)})
	}
	t.table(cols, rows)
	for _, c := range shown {
		if from := callers(c.rows[0].Stack); from != "" {
			t.para(plain, "  ", clip(fmt.Sprintf("%s %s: %s", printable(c.comm), c.kind, from), t.width-2))
		}
	}
	t.more(len(all) - len(shown))
	if free := writers(r.Blame[len(to):]); free > 0 {
		t.para(plain, "  ", plural(free, "other writer")+" cost no hit anything")
	}
}

func (t *textReport) probes(r *replay.Run) {
	if len(r.Probes) == 0 {
		return
	}
	t.title("Probes, " + r.Resolver)
	cols := []column{
		{name: "probe", width: t.width - 56}, {name: "hits", figure: true}, {name: "fell back", figure: true},
		{name: "", figure: true}, {name: "resolving", figure: true}, {name: "lock wait", figure: true},
	}
	shared := sharesTraps(r)
	if shared {
		cols[0].width -= 10
		cols = slices.Insert(cols, 1, column{name: "events", figure: true})
	}
	var rows [][]string
	shown := r.Probes[:min(len(r.Probes), probeRows)]
	for i := range shown {
		p := &shown[i]
		fell := p.Hits - p.Outcomes[sim.Lockless]
		row := []string{
			printable(p.Probe), count(p.Hits), count(fell), share(fell, p.Hits), span(p.Parts.Resolve()), span(p.Parts.LockWait),
		}
		if shared {
			row = slices.Insert(row, 1, count(p.Events))
		}
		rows = append(rows, row)
	}
	t.table(cols, rows)
	t.more(len(r.Probes) - len(shown))
}

// sharesTraps reports whether events of a run's probes share a trap, so that a probe has
// more events than hits.
func sharesTraps(r *replay.Run) bool {
	return slices.ContainsFunc(r.Probes, func(p replay.ProbeRow) bool { return p.Events > p.Hits })
}

func (t *textReport) mms(r *replay.Run) {
	if len(r.Mms) == 0 {
		return
	}
	t.title("Processes, " + r.Resolver)
	cols := []column{
		{name: "process", width: 16}, {name: "pid", figure: true}, {name: "hits", figure: true}, {name: "fell back", figure: true},
		{name: "", figure: true}, {name: "writers", figure: true}, {name: "lock wait", figure: true},
	}
	var rows [][]string
	shown := r.Mms[:min(len(r.Mms), mmRows)]
	for i := range shown {
		m := &shown[i]
		fell := m.Hits - m.Outcomes[sim.Lockless]
		rows = append(rows, []string{
			printable(m.Comm), fmt.Sprint(m.PID), count(m.Hits), count(fell), share(fell, m.Hits), count(m.Writers), span(m.Wait),
		})
	}
	t.table(cols, rows)
	t.more(len(r.Mms) - len(shown))
	t.wrap(r)
}

// wrap says how long a lookup without the lock would have to be stopped for a 32-bit
// sequence, as merged for 6.14, to come back to where it was: after 2^31 sections of the
// process that has most of them.
func (t *textReport) wrap(r *replay.Run) {
	most := &r.Mms[0]
	for i := range r.Mms {
		if r.Mms[i].Writers > most.Writers {
			most = &r.Mms[i]
		}
	}
	if most.Writers == 0 || r.Makespan <= 0 {
		return
	}
	seconds := float64(r.Makespan) / float64(sim.Second) / float64(most.Writers) * (1 << 31)
	t.para(plain, "  ", fmt.Sprintf("At the pace of %s (pid %d) a 32-bit sequence comes round in %s: a lookup without the lock would have to be stopped for exactly that long to be wrong",
		printable(most.Comm), most.PID, long(seconds)))
}

// long is a time that no clock has to be read for.
func long(seconds float64) string {
	switch hours := seconds / 3600; {
	case hours < 1:
		return plural(int64(seconds/60), "minute")
	case hours < 72:
		return plural(int64(hours), "hour")
	case hours < 24*365:
		return plural(int64(hours/24), "day")
	default:
		return plural(int64(hours/24/365), "year")
	}
}

// lines shows the hottest cache lines of each run, and who had them before.
func (t *textReport) lines(runs []replay.Run) {
	cols := []column{
		{name: "resolver", width: 18}, {name: "line", width: 28}, {name: "transfers", figure: true}, {name: "stall", figure: true}}
	var rows [][]string
	for i := range runs {
		for _, l := range runs[i].Lines[:min(len(runs[i].Lines), lineRows)] {
			if l.Transfers > 0 {
				rows = append(rows, []string{runs[i].Resolver, l.Line, count(l.Transfers), span(l.Stall)})
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	t.title("Hottest cache lines")
	t.table(cols, rows)
	for i := range runs {
		if f := fight(&runs[i]); f != "" {
			t.para(plain, "  ", f)
		}
	}
}

// fight says how much of the waiting for lines is that of lookups, and whom they wait for
// most; "" where they do not.
func fight(r *replay.Run) string {
	all, stall := pairsOf(r)
	var lookups, most sim.Time
	behind, by := "", map[string]sim.Time{}
	for _, p := range all {
		if p.Took == replay.HitLabel {
			lookups += p.Stall
			if by[p.Had] += p.Stall; by[p.Had] > most {
				behind, most = p.Had, by[p.Had]
			}
		}
	}
	if most == 0 {
		return ""
	}
	whose := "that " + behind + " had"
	if behind == replay.HitLabel {
		whose = "that other lookups had"
	}
	return fmt.Sprintf("%s: of %s of waiting for lines, %s is that of lookups, %s of it for lines %s", r.Resolver, span(stall), span(lookups), share(int64(most), int64(lookups)), whose)
}
