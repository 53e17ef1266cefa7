package reports

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// MailWidth is how many columns Mail takes at most: a mailing list's lines have 78, and
// are quoted.
const MailWidth = 75

// Mail writes a report as plain ASCII text for a mailing list: what was recorded, then
// the figures of the runs side by side with their change against the first.
func Mail(w io.Writer, d *Document) error {
	t := &textReport{width: MailWidth}
	t.para(plain, "", mailTrace(d))
	for _, u := range d.unknown() {
		t.para(plain, "", printable("unknown: "+u.String()))
	}
	if d.Recorded != nil {
		t.mailRecorded(d.Recorded)
	}
	if len(replay.Unanswered(d.unknown())) == 0 {
		t.mailRuns(d)
		t.mailBlame(d)
	}
	for _, s := range d.Warnings {
		t.para(plain, "", "warning: "+printable(s))
	}
	_, err := io.WriteString(w, ascii(t.b.String()))
	return err
}

// plainUnits are the signs of reports that are not ASCII, as one writes them in mail.
var plainUnits = strings.NewReplacer("µ", "u", "…", "~", "–", "-", " %", "%")

// ascii is s in ASCII, as wide as before at most.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, plainUnits.Replace(s))
}

func mailTrace(d *Document) string {
	t := &d.Trace
	s := fmt.Sprintf("%s: %s hits, %s write sections, %s threads in %s", printable(path.Base(t.Path)), counted(t.Hits), counted(t.Writers),
		count(t.Threads), span(sim.Time(t.DurationNs)*sim.Nanosecond))
	switch {
	case t.Lost == nil:
		s += "; lost events unknown"
	case *t.Lost > 0:
		s += fmt.Sprintf("; %s events lost (%s)", count(*t.Lost), share(*t.Lost, *t.Lost+t.Events))
	}
	if t.SHA256 != nil {
		s += ", sha256 " + short(t.SHA256)
	}
	return s
}

// mailRows is how many rows its tables have.
const mailRows = 6

func (t *textReport) mailRecorded(r *Recorded) {
	t.title("Recorded waits for mmap_lock")
	cols := []column{{name: "access"}, {name: "waited", figure: true}, {name: "p50", figure: true}, {name: "p99", figure: true}, {name: "max", figure: true}}
	var rows [][]string
	row := func(who string, d *Dist) {
		if d != nil {
			rows = append(rows, []string{who, span(sim.Time(d.Total)), spanOf(d.P50), spanOf(d.P99), spanOf(d.Max)})
		}
	}
	row("lookup of a uprobe", r.LockWaitNs)
	row("other read", r.ReaderWaitNs)
	row("write", r.WriterWaitNs)
	t.table(cols, rows)
	all := holderParties(r)
	if len(all) == 0 {
		return
	}
	t.title("Who had it meanwhile")
	cols = []column{
		{name: "comm", width: 15}, {name: "tid", figure: true}, {name: "operation", width: 10}, {name: "mode"}, {name: "longest", figure: true},
		{name: "blocked", figure: true}, {name: "for", figure: true},
	}
	rows = nil
	shown := all[:min(len(all), mailRows)]
	for _, p := range shown {
		rows = append(rows, []string{printable(p.comm), p.tid(), p.what, p.mode, span(p.max), count(p.blocked), span(p.blockedTime)})
	}
	t.table(cols, rows)
	t.more(len(all) - len(shown))
	for _, p := range shown[:min(len(shown), mailStacks)] {
		if from := lockPath(p.stack); from != "" {
			t.para(plain, "  ", clip(fmt.Sprintf("%s %s: %s", printable(p.comm), p.what, from), t.width-2))
		}
	}
}

// mailStacks is how many of them show where they took it.
const mailStacks = 3

// mailRuns shows two runs at a time, the first in each.
func (t *textReport) mailRuns(d *Document) {
	for i := range d.Runs {
		if i > 0 || len(d.Runs) == 1 {
			t.mailPair(d, i)
		}
	}
}

func (t *textReport) mailPair(d *Document, i int) {
	t.title(fmt.Sprintf("Simulated: %s, %d CPUs, timing %s", printable(d.Machine.Name), d.Machine.CPUs, d.Timing))
	base, now := &d.Runs[0], &d.Runs[i]
	cols := []column{{name: base.Resolver, figure: true, width: 16}}
	if i > 0 {
		cols = append(cols, column{name: "%change", figure: true}, column{name: now.Resolver, figure: true, width: 16})
	}
	cols = append(cols, column{name: "", width: 28})
	var rows [][]string
	for j := range figures {
		m := &figures[j]
		if m.label == "" || m.text != nil || !complete(base) || !complete(now) {
			continue
		}
		a, b := m.cell(base), m.cell(now)
		if m.rare && a == "0" && b == "0" {
			continue
		}
		row := []string{a}
		if i > 0 {
			row = append(row, percentChange(m.get(base), m.get(now)), b)
		}
		rows = append(rows, append(row, m.label))
	}
	t.table(cols, rows)
}

// percentChange is a change as lkp shows it, such as -98.4%, or how many times as much.
func percentChange(a, b Figure) string {
	switch {
	case !a.Known || !b.Known:
		return "-"
	case a == b:
		return "="
	case a.Milli == 0:
		return "new"
	case b.Milli/10 >= a.Milli:
		return fmt.Sprintf("x%.0f", float64(b.Milli)/float64(a.Milli))
	}
	return fmt.Sprintf("%+.1f%%", 100*float64(b.Milli-a.Milli)/float64(a.Milli))
}

func (t *textReport) mailBlame(d *Document) {
	if len(d.Runs) == 0 {
		return
	}
	resolver := d.Runs[len(d.Runs)-1].Resolver
	cols := []column{
		{name: "comm", width: 16}, {name: "tid", figure: true}, {name: "operation", width: 10}, {name: "spoiled", figure: true},
		{name: "waited", figure: true},
	}
	var rows [][]string
	all := deref(d.Blame)
	costly := 0
	for i := range all {
		b := &all[i]
		if b.Resolver != resolver || b.Fallbacks == 0 && b.WaitNs == 0 {
			continue
		}
		if costly++; costly <= mailRows {
			rows = append(rows, []string{printable(b.Comm), fmt.Sprint(*b.TID), b.Kind, count(b.Fallbacks), span(sim.Time(b.WaitNs))})
		}
	}
	if len(rows) > 0 {
		t.title("Who made hits wait, " + resolver)
		t.table(cols, rows)
		t.more(costly - len(rows))
	}
}
