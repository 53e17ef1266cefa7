package reports

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/replay/replay/replay"
)

// Entry is what a baseline records of one report: which trace on which model
// gave which figures.
type Entry struct {
	// Set is of what this is one capture among several; empty: of itself alone.
	Set   string     `json:"set,omitempty"`
	Trace EntryTrace `json:"trace"`
	Model Model      `json:"model"`
	Runs  []EntryRun `json:"runs"`

	Unknown []replay.Unknown `json:"-"` // what a report's trace cannot tell
}

// EntryTrace says which trace an Entry is about.
type EntryTrace struct {
	Name   string  `json:"name"` // the file's, without its folder
	SHA256 *string `json:"sha256"`
	Events int64   `json:"events"`
	Hits   *int64  `json:"hits"`
}

// Model is all that decides a run, other than the trace.
type Model struct {
	Machine   Machine `json:"machine"`
	Timing    string  `json:"timing"`
	Speed     float64 `json:"speed"`
	Clone     int     `json:"clone"`
	Placement string  `json:"placement"`
	Seed      uint64  `json:"seed"`
	Layout    string  `json:"layout,omitempty"`
	WhatIf    string  `json:"what_if,omitempty"`
	Fault     string  `json:"fault,omitempty"`   // rules that a resolver did without
	Version   int     `json:"version,omitempty"` // of the model; 0 where it is not known
}

// EntryRun holds the figures of one resolver, by metric.
type EntryRun struct {
	Resolver string            `json:"resolver"`
	Digest   string            `json:"digest"`
	Metrics  map[string]Figure `json:"metrics"`
	Bounds   *Bounds           `json:"bounds,omitempty"` // nil where nothing was lost
	Parts    *[]PartFigures    `json:"parts,omitempty"`  // nil in a baseline of before there were some

	AllParts bool `json:"-"` // Parts are all that there are
}

// Bounds is what lost events leave open of a run.
type Bounds struct {
	Lost          int64 `json:"lost"`
	Undecided     int64 `json:"undecided"` // hits
	FallbacksLow  int64 `json:"fallbacks_low"`
	FallbacksHigh int64 `json:"fallbacks_high"`
}

// NewEntry takes the figures out of a report.
func NewEntry(d *Document) *Entry {
	e := &Entry{
		Trace: EntryTrace{Name: path.Base(d.Trace.Path), SHA256: d.Trace.SHA256, Events: d.Trace.Events, Hits: d.Trace.Hits},
		Model: Model{d.Machine, d.Timing, d.Speed, d.Clone, d.Placement, d.Seed, d.Layout, strings.Join(d.WhatIf, "; "), "", d.ModelVersion},
		Runs:  []EntryRun{},
	}
	for i := range d.Runs {
		r := &d.Runs[i]
		if r.Fault != nil {
			e.Model.Fault = strings.Join(r.Fault.Rules, "+")
		}
		run := EntryRun{Resolver: r.Resolver, Digest: r.Digest, Metrics: make(map[string]Figure, len(metrics))}
		for _, m := range metrics {
			run.Metrics[m.name] = m.value(r)
		}
		if r.FallbacksLow != nil && r.FallbacksHigh != nil && r.Undecided != nil && d.Trace.Lost != nil && (*d.Trace.Lost > 0 || *r.Undecided > 0) {
			run.Bounds = &Bounds{*d.Trace.Lost, *r.Undecided, *r.FallbacksLow, *r.FallbacksHigh}
		}
		run.Parts, run.AllParts = new(partsOf(d, r.Resolver)), true
		e.Runs = append(e.Runs, run)
	}
	return e
}

// record is what of e a baseline with these limits has.
func (e *Entry) record(limits []Limit) Entry {
	kept := *e
	kept.Runs = []EntryRun{}
	for _, r := range e.Runs {
		r.Parts, r.AllParts = new(keepParts(*r.Parts, limits)), false
		kept.Runs = append(kept.Runs, r)
	}
	return kept
}

func (e *Entry) run(resolver string) *EntryRun {
	for i := range e.Runs {
		if e.Runs[i].Resolver == resolver {
			return &e.Runs[i]
		}
	}
	return nil
}

// same reports whether both are of the same content, as far as is known.
func (t *EntryTrace) same(u *EntryTrace) bool {
	if t.SHA256 != nil && u.SHA256 != nil {
		return *t.SHA256 == *u.SHA256
	}
	return t.Events == u.Events && countFigure(t.Hits) == countFigure(u.Hits)
}

// explain says how trace u differs from t, or "".
func (t *EntryTrace) explain(u *EntryTrace) string {
	if t.same(u) {
		return ""
	}
	hits := "hits unknown"
	if t.Hits != nil && u.Hits != nil {
		hits = plural(*t.Hits, "hit") + " became " + count(*u.Hits)
	}
	return fmt.Sprintf("sha256 %s became %s, %s became %s, %s", short(t.SHA256), short(u.SHA256), plural(t.Events, "event"), count(u.Events), hits)
}

func short(sha *string) string {
	if sha == nil {
		return "unknown"
	}
	return (*sha)[:min(12, len(*sha))]
}

// explain says how model n differs from m, or "".
func (m *Model) explain(n *Model) string {
	var changes []string
	note := func(name string, a, b any) {
		if a != b {
			changes = append(changes, fmt.Sprintf("%s %v became %v", name, a, b))
		}
	}
	note("machine", m.Machine.Name, n.Machine.Name)
	if m.Machine.Profile != "" && n.Machine.Profile != "" {
		note("its figures", m.Machine.Profile, n.Machine.Profile)
	}
	if m.Version != 0 && n.Version != 0 {
		note("version of the model", m.Version, n.Version)
	}
	note("cpus", m.Machine.CPUs, n.Machine.CPUs)
	note("sockets", m.Machine.Sockets, n.Machine.Sockets)
	note("smt", m.Machine.SMT, n.Machine.SMT)
	note("timing", m.Timing, n.Timing)
	note("speed", m.Speed, n.Speed)
	note("clone", m.Clone, n.Clone)
	note("placement", m.Placement, n.Placement)
	note("seed", m.Seed, n.Seed)
	note("layout", cmp.Or(m.Layout, "of the machine"), cmp.Or(n.Layout, "of the machine"))
	note("what if", cmp.Or(m.WhatIf, "nothing"), cmp.Or(n.WhatIf, "nothing"))
	note("rules left out", cmp.Or(m.Fault, "none"), cmp.Or(n.Fault, "none"))
	return strings.Join(changes, ", ")
}

// match finds the entry that e is to be compared with: one of the same trace, by
// content or else by name, and among those one of the same model. It is -1 when
// there is none, and an error when the choice is open.
func match(entries []*Entry, e *Entry) (int, error) {
	best, bestScore, ties := -1, 0, 0
	for i := range entries {
		score := affinity(entries[i], e)
		switch cmp.Compare(score, bestScore) {
		case 1:
			best, bestScore, ties = i, score, 0
		case 0:
			ties++
		}
	}
	if bestScore > 0 && ties > 0 {
		return -1, fmt.Errorf("trace %s: the baseline has several entries for it and none with this model; replay it with the options of one of them, or update the baseline", e.Trace.Name)
	}
	return best, nil
}

// affinity ranks how well two entries match; 0 is not at all.
func affinity(a, b *Entry) int {
	score := 0
	if a.Trace.same(&b.Trace) {
		score += 4
	}
	if a.Trace.Name == b.Trace.Name {
		score += 2
	}
	if score > 0 && a.Model == b.Model {
		score++
	}
	return score
}
