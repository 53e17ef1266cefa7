package effects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/reports"
)

// Schema names the shape of a Ranking in JSON.
const Schema = "replay.whatif/1"

// ErrUnknown is returned for a trace that does not tell who took the lock.
var ErrUnknown = errors.New("what would help is unknown")

// Ranking is what each what-if does, what saves most first.
type Ranking struct {
	Schema   string   `json:"schema"`
	Trace    string   `json:"trace"`
	Machine  string   `json:"machine"`
	CPUs     int      `json:"cpus"`
	Resolver string   `json:"resolver"`
	Base     Figures  `json:"base"`
	Effects  []Effect `json:"effects"`
	Warnings []string `json:"warnings"`
}

// Figures are those of a run that are compared.
type Figures struct {
	Hits      int64         `json:"hits"`
	Fallbacks int64         `json:"fallbacks"`
	LockWait  reports.Nanos `json:"lock_wait_ns"` // of all hits
	Resolve   reports.Nanos `json:"resolve_ns"`
	Writers   reports.Nanos `json:"writer_wait_ns"` // of all write sections
}

// Effect is what one what-if does.
type Effect struct {
	WhatIf   []string `json:"what_if"`
	If       string   `json:"if"` // the same in words
	New      Figures  `json:"new"`
	Matched  bool     `json:"matched"` // something in the trace was a case of it
	Failure  string   `json:"failure"` // why it was not replayed; empty: it was
	original int      // place among the candidates
}

// Candidate is a what-if and what it is in words.
type Candidate struct {
	Rules whatif.Rules
	If    string
}

// Limits of candidates: what the dearest few do is what helps.
const (
	writersTried = 6
	probesTried  = 3
)

// Candidates are what-ifs for the dearest writers and the probes that are hit most. A run
// in which nobody cost anything has those of probes alone.
func Candidates(run *replay.Run) []Candidate {
	var all []Candidate
	type writer struct{ comm, kind string }
	var writers []writer
	for _, b := range run.Blame {
		w := writer{b.Comm, b.Kind}
		if b.Fallbacks > 0 && b.Comm != "" && slices.Contains(whatif.Kinds(), b.Kind) && !slices.Contains(writers, w) && len(writers) < writersTried {
			writers = append(writers, w)
		}
	}
	for _, w := range writers {
		rule := func(a whatif.Action, set func(*whatif.Rule)) whatif.Rules {
			r := whatif.Rule{What: w.kind, By: []whatif.Condition{{Field: "comm", Value: w.comm}}, Action: a}
			set(&r)
			return whatif.Rules{r}
		}
		of := fmt.Sprintf("the %ss of %s", w.kind, w.comm)
		all = append(all,
			Candidate{rule(whatif.Batch, func(r *whatif.Rule) { r.N = 2 }), of + " were halved"},
			Candidate{rule(whatif.Drop, func(*whatif.Rule) {}), "there were none of " + of},
			Candidate{rule(whatif.Scale, func(r *whatif.Rule) { r.Scale = 500_000 }), of + " held the lock half as long"},
			Candidate{rule(whatif.Move, func(r *whatif.Rule) { r.Name = "helper" }), "a thread of its own did " + of},
		)
	}
	for _, p := range run.Probes[:min(len(run.Probes), probesTried)] {
		if p.Hits > 0 && p.Probe != "" {
			r := whatif.Rule{What: "hit", By: []whatif.Condition{{Field: "probe", Value: p.Probe}}, Action: whatif.Sample, N: 10}
			all = append(all, Candidate{whatif.Rules{r}, p.Probe + " was hit a tenth as often"})
		}
	}
	return all
}

// crowded warns of a replay whose lookups wait longer than the recorded ones did, though
// nothing is recorded there: of a queue that is too long too much goes when a few leave it.
func crowded(res *replay.Result, o *replay.Options) string {
	rec := res.Recorded
	if rec == nil || !rec.Outcomes || rec.Untimed || res.Trace.TakesLock || len(o.WhatIf) > 0 || o.Clone > 1 || o.Timing != replay.Original || !strings.HasPrefix(res.Runs[0].Resolver, "speculative") {
		return ""
	}
	was, is := rec.LockWait.Total, res.Runs[0].LockWait.Total
	if is*4 <= was*5 { // a quarter more
		return ""
	}
	return fmt.Sprintf("lookups wait %s here, and waited %s when they were recorded, recording included: threads queue longer than they did, so that waits fall too much below; believe fallbacks first", reports.Nanos(is).Span(), reports.Nanos(was).Span())
}

// Rank replays the trace as it was recorded, and then with each candidate; those of the
// run, where none are given. options has one resolver. progress may be nil.
func Rank(ctx context.Context, trace timeline.Trace, profile *machines.Profile, options replay.Options, given []Candidate, progress func(done, total int64)) (*Ranking, error) {
	cell := func(rules whatif.Rules) replay.Cell {
		o := options
		o.WhatIf = append(slices.Clone(options.WhatIf), rules...)
		return replay.Cell{Profile: profile, Options: o}
	}
	first, err := replay.PlayCells(ctx, trace, []replay.Cell{cell(nil)}, progress)
	if err == nil {
		err = first[0].Err
	}
	if err != nil {
		return nil, err
	}
	res := first[0].Result
	if u := replay.Unanswered(res.Unknown); len(u) > 0 {
		return nil, fmt.Errorf("%w: %v", ErrUnknown, u[0])
	}
	if len(res.Runs) == 0 {
		return nil, replay.ErrNoHits
	}
	r := &Ranking{
		Schema: Schema, Trace: trace.Path(), Machine: profile.Name, CPUs: res.Machine.CPUs, Resolver: options.Resolvers[0],
		Base: figures(&res.Runs[0]), Effects: []Effect{}, Warnings: append([]string{}, res.Warnings...),
	}
	if w := crowded(res, &options); w != "" {
		r.Warnings = append(r.Warnings, w)
	}
	candidates := given
	if len(candidates) == 0 {
		candidates = Candidates(&res.Runs[0])
	}
	cells := make([]replay.Cell, len(candidates))
	for i, c := range candidates {
		cells[i] = cell(c.Rules)
	}
	outcomes, err := replay.PlayCells(ctx, trace, cells, progress)
	if err != nil {
		return nil, err
	}
	for i, out := range outcomes {
		e := Effect{WhatIf: candidates[i].Rules.Strings(), If: candidates[i].If, Matched: true, original: i}
		if out.Err != nil {
			e.Failure = out.Err.Error()
		} else {
			e.New = figures(&out.Result.Runs[0])
			e.Matched = !unmatched(out.Result, candidates[i].Rules)
		}
		r.Effects = append(r.Effects, e)
	}
	slices.SortFunc(r.Effects, bySavings)
	return r, nil
}

// bySavings orders effects: what saves most comes first, and what was not replayed last.
func bySavings(a, b Effect) int {
	return cmp.Or(
		compareBool(a.Failure != "", b.Failure != ""),
		cmp.Compare(a.New.LockWait, b.New.LockWait), cmp.Compare(a.New.Fallbacks, b.New.Fallbacks), cmp.Compare(a.New.Resolve, b.New.Resolve),
		cmp.Compare(a.original, b.original),
	)
}

// unmatched reports whether the result warns of one of the rules.
func unmatched(res *replay.Result, rules whatif.Rules) bool {
	return slices.ContainsFunc(rules, func(r whatif.Rule) bool {
		return slices.ContainsFunc(res.Warnings, func(w string) bool { return strings.HasPrefix(w, "what if "+r.String()+": nothing") })
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func figures(run *replay.Run) Figures {
	return Figures{
		Hits: run.Hits, Fallbacks: run.Fallbacks(), LockWait: reports.Nanos(run.Parts.LockWait),
		Resolve: reports.Nanos(run.Parts.Resolve()), Writers: reports.Nanos(run.WriterWait.Total),
	}
}

// Sentence is an effect in words.
func (r *Ranking) Sentence(e *Effect) string {
	switch {
	case e.Failure != "":
		return fmt.Sprintf("If %s: it was not replayed: %s", e.If, e.Failure)
	case !e.Matched:
		return fmt.Sprintf("If %s: nothing in the trace is a case of that", e.If)
	case e.New.LockWait == r.Base.LockWait && e.New.Fallbacks == r.Base.Fallbacks:
		return fmt.Sprintf("If %s, as many hits fall back, and wait as long", e.If)
	}
	return fmt.Sprintf("If %s, waits %s, and fallbacks %s", e.If, change(int64(r.Base.LockWait), int64(e.New.LockWait)), change(r.Base.Fallbacks, e.New.Fallbacks))
}

// change says how a figure changes.
func change(was, is int64) string {
	switch {
	case was == is:
		return "stay as they are"
	case was == 0:
		return "come up"
	case is == 0:
		return "are gone"
	case is > 10*was:
		return fmt.Sprintf("are %.0f times as much", float64(is)/float64(was))
	}
	percent := 100 * (float64(is) - float64(was)) / float64(was)
	if percent < 0 {
		return fmt.Sprintf("fall by %.3g %%", -percent)
	}
	return fmt.Sprintf("rise by %.3g %%", percent)
}
