package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// DiffSchema names the shape of a Difference in JSON.
const DiffSchema = "replay.diff/1"

// Difference is how two reports differ.
type Difference struct {
	Schema   string `json:"schema"`
	Headline string `json:"headline"`
	Trace    string `json:"trace"` // how the traces differ; empty: the same
	Model    string `json:"model"` // how the models differ; empty: the same
	Per      Rate   `json:"per"`   // what base_per and new_per are

	BaseUnknown []replay.Unknown `json:"base_unknown"` // what its trace cannot tell
	NewUnknown  []replay.Unknown `json:"new_unknown"`

	Changes []Change      `json:"changes"` // every figure of every resolver in both
	Rows    []RowChange   `json:"rows"`    // probes, writers, processes, reasons and lines, of each the largest change first
	Blame   []BlameChange `json:"blame"`   // by change of waiting, largest first; null where one is unknown
	OnlyIn  []string      `json:"only_in"` // resolvers that one of the two lacks
}

// Change is one figure in both reports.
type Change struct {
	Resolver string `json:"resolver"`
	Metric   string `json:"metric"`
	Base     Figure `json:"base"`
	New      Figure `json:"new"`
	BasePer  Figure `json:"base_per"` // at the rate, where the figure grows with a run
	NewPer   Figure `json:"new_per"`
	Verdict  string `json:"verdict"` // of what is at the rate: same, better, worse, changed, unknown; undecided where lost events could turn it
}

// RowChange is one figure of one part of a run in both reports. What one of them does not
// have is 0 there.
type RowChange struct {
	Resolver string `json:"resolver"`
	By       string `json:"by"` // probe, writer, process, reason, line
	Name     string `json:"name"`
	Metric   string `json:"metric"`
	Base     Figure `json:"base"`
	New      Figure `json:"new"`
	BasePer  Figure `json:"base_per"`
	NewPer   Figure `json:"new_per"`
}

// size is how much it changed, at the rate.
func (r *RowChange) size() int64 {
	if !r.BasePer.Known || !r.NewPer.Known {
		return 0
	}
	return max(r.NewPer.Milli-r.BasePer.Milli, r.BasePer.Milli-r.NewPer.Milli)
}

// BlameChange is what one writer cost in both reports. Threads are matched by
// name, since another recording has other ids.
type BlameChange struct {
	Resolver      string `json:"resolver"`
	Comm          string `json:"comm"`
	Kind          string `json:"kind"`
	BaseFallbacks int64  `json:"base_fallbacks"`
	NewFallbacks  int64  `json:"new_fallbacks"`
	BaseWaitNs    Nanos  `json:"base_wait_ns"`
	NewWaitNs     Nanos  `json:"new_wait_ns"`
}

// Diff compares two reports. An empty rate is of hits for different traces, and none
// for replays of one.
func Diff(base, now *Document, per Rate) *Difference {
	a, b := NewEntry(base), NewEntry(now)
	d := &Difference{
		Schema: DiffSchema, Trace: a.Trace.explain(&b.Trace), Model: a.Model.explain(&b.Model), Per: per,
		Changes: []Change{}, Rows: []RowChange{}, OnlyIn: []string{},
		BaseUnknown: append([]replay.Unknown{}, base.unknown()...), NewUnknown: append([]replay.Unknown{}, now.unknown()...),
	}
	if d.Per == "" {
		d.Per = PerRun
		if d.Trace != "" {
			d.Per = PerHit
		}
	}
	if base.Blame != nil && now.Blame != nil {
		d.Blame = blameChanges(*base.Blame, *now.Blame)
	}
	for i := range a.Runs {
		if r := b.run(a.Runs[i].Resolver); r != nil {
			d.Changes = append(d.Changes, d.runChanges(&a.Runs[i], r)...)
			d.Rows = append(d.Rows, d.rowChanges(base, now, &a.Runs[i], r)...)
		} else {
			d.OnlyIn = append(d.OnlyIn, a.Runs[i].Resolver)
		}
	}
	for i := range b.Runs {
		if a.run(b.Runs[i].Resolver) == nil {
			d.OnlyIn = append(d.OnlyIn, b.Runs[i].Resolver)
		}
	}
	d.Headline = d.headline()
	return d
}

func (d *Difference) runChanges(base, now *EntryRun) []Change {
	changes := make([]Change, 0, len(metrics))
	for i := range metrics {
		m := &metrics[i]
		c := Change{Resolver: now.Resolver, Metric: m.name, Base: base.Metrics[m.name], New: now.Metrics[m.name]}
		c.BasePer, c.NewPer = d.Per.at(m, c.Base, base), d.Per.at(m, c.New, now)
		c.Verdict = verdict(m, c.BasePer, c.NewPer)
		if d.Trace != "" && c.Verdict != "unknown" && !m.decided(d.Per, base, now, c.Verdict) {
			c.Verdict = "undecided"
		}
		changes = append(changes, c)
	}
	return changes
}

// rowChanges are those of all parts of two runs, of each kind the largest first.
func (d *Difference) rowChanges(base, now *Document, a, b *EntryRun) []RowChange {
	var rows []RowChange
	for _, by := range []struct {
		name   string
		rows   func(*Document, string) []partFigure
		metric []string // by which the rows are sorted, in turn
	}{
		{string(ProbePart), ofParts(ProbePart, "resolve_ns.total", "fallbacks"), []string{"resolve_ns.total", "fallbacks"}},
		{string(WriterPart), ofParts(WriterPart, "lock_wait_ns.total", "fallbacks"), []string{"lock_wait_ns.total", "fallbacks"}},
		{string(ProcessPart), ofParts(ProcessPart, "lock_wait_ns.total", "fallbacks"), []string{"lock_wait_ns.total", "fallbacks"}},
		{"reason", reasonRows, []string{"fallbacks"}},
		{"line", lineRowsOf, []string{"stall_ns", "transfers"}},
	} {
		for _, metric := range by.metric {
			rows = append(rows, d.sorted(by.name, metric, by.rows(base, a.Resolver), by.rows(now, b.Resolver), a, b)...)
		}
	}
	return rows
}

// partFigure is a figure of something that a run has several of.
type partFigure struct {
	name, metric string
	f            Figure
}

func ofParts(kind PartKind, metrics ...string) func(*Document, string) []partFigure {
	return func(d *Document, resolver string) []partFigure {
		var all []partFigure
		for _, p := range partsOf(d, resolver) {
			if p.Part.Kind == kind {
				for _, name := range metrics {
					all = append(all, partFigure{p.Part.Name, name, p.Metrics[name]})
				}
			}
		}
		return all
	}
}

func reasonRows(d *Document, resolver string) []partFigure {
	var all []partFigure
	for i := range d.Runs {
		if r := &d.Runs[i]; r.Resolver == resolver && r.Reasons != nil {
			for o := sim.WriterActive; o < sim.NumOutcomes; o++ {
				all = append(all, partFigure{o.String(), "fallbacks", countFigure(new(r.Reasons.of(o)))})
			}
		}
	}
	return all
}

func lineRowsOf(d *Document, resolver string) []partFigure {
	if d.Lines == nil {
		return nil
	}
	var all []partFigure
	for _, l := range *d.Lines {
		if l.Resolver == resolver {
			all = append(all, partFigure{l.Line, "stall_ns", timeFigure(&l.StallNs)}, partFigure{l.Line, "transfers", countFigure(&l.Transfers)})
		}
	}
	return all
}

// sorted joins the rows of both by name, and leaves out what did not change.
func (d *Difference) sorted(by, metric string, base, now []partFigure, a, b *EntryRun) []RowChange {
	rows := []RowChange{}
	find := map[string]int{}
	side := func(all []partFigure, set func(*RowChange, Figure)) {
		for _, p := range all {
			if p.metric != metric {
				continue
			}
			i, there := find[p.name]
			if !there {
				i, find[p.name] = len(rows), len(rows)
				rows = append(rows, RowChange{Resolver: a.Resolver, By: by, Name: p.name, Metric: metric, Base: Figure{0, true}, New: Figure{0, true}})
			}
			set(&rows[i], p.f)
		}
	}
	side(base, func(r *RowChange, f Figure) { r.Base = f })
	side(now, func(r *RowChange, f Figure) { r.New = f })
	time := strings.Contains(metric, "_ns")
	for i := range rows {
		r := &rows[i]
		r.BasePer, r.NewPer = d.Per.of(r.Base, time, a), d.Per.of(r.New, time, b)
	}
	rows = slices.DeleteFunc(rows, func(r RowChange) bool { return r.size() == 0 })
	slices.SortStableFunc(rows, func(a, b RowChange) int { return cmp.Or(cmp.Compare(b.size(), a.size()), cmp.Compare(a.Name, b.Name)) })
	return rows
}

func verdict(m *metric, was, is Figure) string {
	switch {
	case !was.Known || !is.Known:
		return "unknown"
	case was == is:
		return "same"
	case m.better == either:
		return "changed"
	case improved(m, was, is):
		return "better"
	}
	return "worse"
}

// decided reports whether the verdict holds whatever the lost events were.
func (m *metric) decided(per Rate, base, now *EntryRun, is string) bool {
	was, known := m.within(base)
	new, known2 := m.within(now)
	if !known || !known2 {
		return false
	}
	for _, b := range was {
		for _, n := range new {
			if verdict(m, per.at(m, b, base), per.at(m, n, now)) != is {
				return false
			}
		}
	}
	return true
}

func blameChanges(base, now []Blame) []BlameChange {
	changes := []BlameChange{}
	row := func(b *Blame) *BlameChange {
		for i := range changes {
			if c := &changes[i]; c.Resolver == b.Resolver && c.Comm == b.Comm && c.Kind == b.Kind {
				return c
			}
		}
		changes = append(changes, BlameChange{Resolver: b.Resolver, Comm: b.Comm, Kind: b.Kind})
		return &changes[len(changes)-1]
	}
	for i := range base {
		c := row(&base[i])
		c.BaseFallbacks += base[i].Fallbacks
		c.BaseWaitNs += base[i].WaitNs
	}
	for i := range now {
		c := row(&now[i])
		c.NewFallbacks += now[i].Fallbacks
		c.NewWaitNs += now[i].WaitNs
	}
	slices.SortStableFunc(changes, func(a, b BlameChange) int { return cmp.Compare(b.size(), a.size()) })
	return changes
}

func (c *BlameChange) size() Nanos {
	return max(c.NewWaitNs-c.BaseWaitNs, c.BaseWaitNs-c.NewWaitNs)
}

// headline says what changed, and where most of it lies, of the last resolver in both
// that can do without the lock.
func (d *Difference) headline() string {
	if len(replay.Unanswered(d.BaseUnknown))+len(replay.Unanswered(d.NewUnknown)) > 0 {
		return "What changed is unknown: one of the traces does not tell who took the lock."
	}
	if len(d.Changes) == 0 {
		return "No resolver is in both."
	}
	if !slices.ContainsFunc(d.Changes, func(c Change) bool { return c.Verdict != "same" && !(c.Verdict == "unknown" && c.Base == c.New) }) {
		if len(d.Rows) > 0 {
			return "All figures are the same, but not what they are made of."
		}
		return "Nothing changed: all figures are the same."
	}
	resolver := d.mainResolver()
	change := func(metric string) *Change {
		for i := range d.Changes {
			if c := &d.Changes[i]; c.Resolver == resolver && c.Metric == metric {
				return c
			}
		}
		return &Change{}
	}
	var said []string
	ppm, resolve := change("fallback_ppm"), change("resolve_ns.mean")
	if ppm.Base.Known && ppm.New.Known && ppm.Base != ppm.New {
		said = append(said, fmt.Sprintf("%s of hits fell back, where it was %s (%s)", ppmText(ppm.New), ppmText(ppm.Base), byHowMuch(ppm.Base, ppm.New)))
	}
	if resolve.Base.Known && resolve.New.Known && resolve.Base != resolve.New {
		said = append(said, fmt.Sprintf("a lookup took %s, where it was %s (%s)", span(sim.Time(resolve.New.Milli)), span(sim.Time(resolve.Base.Milli)), byHowMuch(resolve.Base, resolve.New)))
	}
	if len(said) == 0 {
		return fmt.Sprintf("With %s, as many hits fell back and lookups took as long as before; other figures changed.", resolver)
	}
	text := "With " + resolver + ", " + strings.Join(said, ", and ") + "."
	if most := d.most(resolver); most != "" {
		text += " Most of it: " + most + "."
	}
	return text
}

func ppmText(f Figure) string { return fmt.Sprintf("%.3g %%", float64(f.Milli)/1e7) }

// mainResolver is the last that can do without the lock and that a kernel has.
func (d *Difference) mainResolver() string {
	resolver := d.Changes[len(d.Changes)-1].Resolver
	for _, c := range d.Changes {
		if c.Metric == "lockless" && c.Resolver != bound && (c.Base.Milli > 0 || c.New.Milli > 0) {
			resolver = c.Resolver
		}
	}
	return resolver
}

// most names the probe, the writer, the reason and the line that changed most.
func (d *Difference) most(resolver string) string {
	var parts []string
	for _, by := range []struct{ by, metric, words string }{
		{"probe", "resolve_ns.total", "at "}, {"writer", "lock_wait_ns.total", "from "}, {"reason", "fallbacks", "as "}, {"line", "stall_ns", "on line "},
	} {
		for i := range d.Rows {
			if r := &d.Rows[i]; r.Resolver == resolver && r.By == by.by && r.Metric == by.metric {
				parts = append(parts, by.words+printable(r.Name))
				break
			}
		}
	}
	return strings.Join(parts, ", ")
}

// Text writes the difference for people: what was compared, then what changed.
func (d *Difference) Text(w io.Writer, o TextOptions) error {
	t := newTextReport(o)
	t.para(strong, "", d.Headline)
	fmt.Fprintln(&t.b)
	t.sameness("trace", d.Trace)
	t.sameness("model", d.Model)
	if d.Per != PerRun {
		t.para(plain, "", d.Per.in())
	}
	for _, u := range d.BaseUnknown {
		t.para(caution, "", "base: "+u.String())
	}
	for _, u := range d.NewUnknown {
		t.para(caution, "", "new: "+u.String())
	}
	for _, r := range d.OnlyIn {
		t.para(caution, "", "resolver "+r+" is in one of the two only")
	}
	t.changes(d.Changes)
	t.rowChanges(d.Rows)
	_, err := w.Write(t.b.Bytes())
	return err
}

func (t *textReport) sameness(what, difference string) {
	if difference == "" {
		t.para(plain, "", "same "+what)
		return
	}
	t.para(caution, "", "other "+what+": "+difference)
}

func (t *textReport) changes(all []Change) {
	cols := []column{{name: ""}, {name: "base", figure: true}, {name: "new", figure: true}, {name: "change", figure: true}, {name: ""}}
	for len(all) > 0 {
		resolver := all[0].Resolver
		n := 0
		for n < len(all) && all[n].Resolver == resolver {
			n++
		}
		var rows [][]string
		unknown := int64(0)
		for _, c := range all[:n] {
			switch {
			case !c.BasePer.Known && !c.NewPer.Known:
				unknown++
			case c.Verdict != "same":
				rows = append(rows, []string{c.Metric, c.BasePer.String(), c.NewPer.String(), byHowMuch(c.BasePer, c.NewPer), c.Verdict})
			}
		}
		t.title(resolver)
		switch {
		case len(rows) > 0:
			t.table(cols, rows)
		case unknown == 0:
			t.para(good, "  ", fmt.Sprintf("all %d figures are the same", n))
		case int64(n) > unknown:
			t.para(good, "  ", figuresAre(int64(n)-unknown)+" the same")
		}
		if unknown > 0 {
			t.para(caution, "  ", figuresAre(unknown)+" unknown in both")
		}
		all = all[n:]
	}
}

func figuresAre(n int64) string {
	if n == 1 {
		return "1 figure is"
	}
	return plural(n, "figure") + " are"
}

// rowWords are short for the metrics of rows.
var rowWords = map[string]string{
	"resolve_ns.total": "lookups", "lock_wait_ns.total": "waits", "fallbacks": "fallbacks", "stall_ns": "stalls", "transfers": "transfers",
}

// rowChanges are the tables of what changed most, of each resolver.
func (t *textReport) rowChanges(all []RowChange) {
	cols := []column{{name: ""}, {name: "", width: 28}, {name: ""}, {name: "base", figure: true}, {name: "new", figure: true}, {name: "change", figure: true}}
	var rows [][]string
	resolver, shown := "", 0
	flush := func() {
		if len(rows) > 0 {
			t.title("What changed most, " + resolver)
			t.table(cols, rows)
			rows = nil
		}
	}
	for i := range all {
		r := &all[i]
		if r.Resolver != resolver {
			flush()
			resolver = r.Resolver
		}
		if i == 0 || all[i-1].By != r.By || all[i-1].Metric != r.Metric || all[i-1].Resolver != r.Resolver {
			shown = 0
		}
		if shown++; shown <= blameRows {
			rows = append(rows, []string{r.By, printable(r.Name), rowWords[r.Metric], rowText(r, r.BasePer), rowText(r, r.NewPer), byHowMuch(r.BasePer, r.NewPer)})
		}
	}
	flush()
}

func rowText(r *RowChange, f Figure) string {
	if strings.Contains(r.Metric, "_ns") && f.Known {
		return span(sim.Time(f.Milli))
	}
	if f.Known && f.Milli%1000 == 0 {
		return count(f.Milli / 1000)
	}
	return f.String()
}
