package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// DiffSchema names the shape of a Difference in JSON.
const DiffSchema = "replay.diff/1"

// Difference is how two reports differ.
type Difference struct {
	Schema string `json:"schema"`
	Trace  string `json:"trace"` // how the traces differ; empty: the same
	Model  string `json:"model"` // how the models differ; empty: the same

	BaseUnknown []replay.Unknown `json:"base_unknown"` // what its trace cannot tell
	NewUnknown  []replay.Unknown `json:"new_unknown"`

	Changes []Change      `json:"changes"` // every figure of every resolver in both
	Blame   []BlameChange `json:"blame"`   // by change of waiting, largest first; null where one is unknown
	OnlyIn  []string      `json:"only_in"` // resolvers that one of the two lacks
}

// Change is one figure in both reports.
type Change struct {
	Resolver string `json:"resolver"`
	Metric   string `json:"metric"`
	Base     Figure `json:"base"`
	New      Figure `json:"new"`
	Verdict  string `json:"verdict"` // same, better, worse, changed, unknown; undecided where lost events could turn it
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

// Diff compares two reports.
func Diff(base, now *Document) *Difference {
	a, b := NewEntry(base), NewEntry(now)
	d := &Difference{
		Schema: DiffSchema, Trace: a.Trace.explain(&b.Trace), Model: a.Model.explain(&b.Model),
		Changes: []Change{}, OnlyIn: []string{},
		BaseUnknown: append([]replay.Unknown{}, base.unknown()...), NewUnknown: append([]replay.Unknown{}, now.unknown()...),
	}
	if base.Blame != nil && now.Blame != nil {
		d.Blame = blameChanges(*base.Blame, *now.Blame)
	}
	for i := range a.Runs {
		if r := b.run(a.Runs[i].Resolver); r != nil {
			d.Changes = append(d.Changes, runChanges(&a.Runs[i], r, d.Trace == "")...)
		} else {
			d.OnlyIn = append(d.OnlyIn, a.Runs[i].Resolver)
		}
	}
	for i := range b.Runs {
		if a.run(b.Runs[i].Resolver) == nil {
			d.OnlyIn = append(d.OnlyIn, b.Runs[i].Resolver)
		}
	}
	return d
}

func runChanges(base, now *EntryRun, sameTrace bool) []Change {
	changes := make([]Change, 0, len(metrics))
	for i := range metrics {
		m := &metrics[i]
		c := Change{Resolver: now.Resolver, Metric: m.name, Base: base.Metrics[m.name], New: now.Metrics[m.name]}
		c.Verdict = verdict(m, c.Base, c.New)
		if !sameTrace && c.Verdict != "unknown" && !m.decided(base, now, c.Verdict) {
			c.Verdict = "undecided"
		}
		changes = append(changes, c)
	}
	return changes
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
func (m *metric) decided(base, now *EntryRun, is string) bool {
	was, known := m.within(base)
	new, known2 := m.within(now)
	if !known || !known2 {
		return false
	}
	for _, b := range was {
		for _, n := range new {
			if verdict(m, b, n) != is {
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

// Text writes the difference for people: what was compared, then what changed.
func (d *Difference) Text(w io.Writer, o TextOptions) error {
	t := newTextReport(o)
	t.sameness("trace", d.Trace)
	t.sameness("model", d.Model)
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
	t.blameChanges(d.Blame)
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
			case !c.Base.Known && !c.New.Known:
				unknown++
			case c.Verdict != "same":
				rows = append(rows, []string{c.Metric, c.Base.String(), c.New.String(), byHowMuch(c.Base, c.New), c.Verdict})
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

func (t *textReport) blameChanges(all []BlameChange) {
	cols := []column{
		{name: "resolver", width: 18}, {name: "thread", width: 16}, {name: "operation", width: 8}, {name: "spoiled", figure: true}, {name: "now", figure: true},
		{name: "waited", figure: true}, {name: "now", figure: true},
	}
	var rows [][]string
	for i := range all {
		if c := &all[i]; c.size() > 0 && len(rows) < blameRows {
			rows = append(rows, []string{
				c.Resolver, printable(c.Comm), c.Kind, count(c.BaseFallbacks), count(c.NewFallbacks), span(sim.Time(c.BaseWaitNs)), span(sim.Time(c.NewWaitNs)),
			})
		}
	}
	if len(rows) > 0 {
		t.title("Who is to blame, by change")
		t.table(cols, rows)
	}
}
