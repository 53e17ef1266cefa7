package reports

import (
	"fmt"
	"io"
	"math/big"
	"slices"

	"github.com/replay/replay/replay"
)

// CheckSchema names the shape of a Verdict in JSON.
const CheckSchema = "replay.check/1"

// Level is how much a Finding matters.
type Level string

// Levels of a Finding.
const (
	Fail Level = "fail" // the gate is shut
	Open Level = "open" // lost events could turn it, or nobody knows
	Note Level = "note" // worth a look
)

// Cause is what a Finding comes from.
type Cause string

// Causes of a Finding. A figure that moved together with the trace or the model
// is put down to them; only where both are as they were has the result changed.
const (
	TraceChanged  Cause = "trace"   // another recording
	ModelChanged  Cause = "model"   // another machine, option or seed
	ResultChanged Cause = "result"  // the same question, another answer
	LimitBroken   Cause = "limit"   // as recorded, but never within its limit
	Missing       Cause = "missing" // nothing to compare with
	NotRecorded   Cause = "unknown" // what it rests on was not recorded
)

// Finding is one thing that differs from the baseline.
type Finding struct {
	Level    Level   `json:"level"`
	Cause    Cause   `json:"cause"`
	Trace    string  `json:"trace"`
	Resolver string  `json:"resolver"`
	Metric   string  `json:"metric"`
	Base     *Figure `json:"base"`
	New      *Figure `json:"new"`
	Limit    string  `json:"limit"`
	Message  string  `json:"message"`
}

// Verdict is the outcome of a check.
type Verdict struct {
	Schema   string    `json:"schema"`
	Passed   bool      `json:"passed"`
	Open     bool      `json:"open"`     // neither passed nor failed: too much was lost, or is unknown
	Compared int       `json:"compared"` // figures held against a limit
	Findings []Finding `json:"findings"`
}

// Check compares reports with a baseline, under the baseline's limits and then
// those given, which come later and so win. It fails on a figure beyond its
// limit, and on anything that is missing: an entry of the baseline without a
// report, a report without an entry, a resolver, a figure under a limit. A figure
// that lost events could carry across its limit is left open, unless tolerate says
// of the trace's lost events, of so many in all, that they do not count; and so is
// one that rests on what the trace cannot tell.
func Check(b *Baseline, docs []*Document, limits []Limit, tolerate func(lost, events int64) bool) (*Verdict, error) {
	own, err := b.ParseLimits()
	if err != nil {
		return nil, err
	}
	limits = append(own, limits...)
	if err := limitsApply(limits, docs); err != nil {
		return nil, err
	}
	c := &checker{limits: limits, tolerate: tolerate, v: &Verdict{Schema: CheckSchema, Findings: []Finding{}}}
	used := make([]bool, len(b.Entries))
	for _, d := range docs {
		e := NewEntry(d)
		i, err := match(b.Entries, e)
		switch {
		case err != nil:
			return nil, err
		case i < 0:
			c.missing(e.Trace.Name, "", "the baseline has no entry for it; add one with --update")
		case used[i]:
			return nil, fmt.Errorf("trace %s: two reports match one entry of the baseline", e.Trace.Name)
		default:
			used[i] = true
			c.entry(&b.Entries[i], e, d.unknown())
		}
	}
	for i, u := range used {
		if !u {
			c.missing(b.Entries[i].Trace.Name, "", "in the baseline, but no report of it was given")
		}
	}
	has := func(l Level) bool {
		return slices.ContainsFunc(c.v.Findings, func(f Finding) bool { return f.Level == l })
	}
	c.v.Open = has(Open) && !has(Fail)
	c.v.Passed = !has(Open) && !has(Fail)
	return c.v, nil
}

// limitsApply refuses a limit for a resolver that no report has: a misspelt one
// would never fail.
func limitsApply(limits []Limit, docs []*Document) error {
	for _, l := range limits {
		found := l.Resolver == "" || len(docs) == 0
		for _, d := range docs {
			found = found || slices.ContainsFunc(d.Runs, func(r Run) bool { return r.Resolver == l.Resolver })
		}
		if !found {
			return fmt.Errorf("limit %q: no report has a resolver %q", l, l.Resolver)
		}
	}
	return nil
}

// checker gathers a Verdict.
type checker struct {
	limits   []Limit
	tolerate func(lost, events int64) bool
	v        *Verdict

	unanswered bool // the report's trace does not tell who took the lock
}

func (c *checker) add(f Finding) { c.v.Findings = append(c.v.Findings, f) }

func (c *checker) missing(trace, resolver, message string) {
	c.add(Finding{Level: Fail, Cause: Missing, Trace: trace, Resolver: resolver, Message: message})
}

// entry compares a report, of a trace that cannot tell what is unknown, with its entry.
func (c *checker) entry(base, now *Entry, unknown []replay.Unknown) {
	c.unanswered = len(replay.Unanswered(unknown)) > 0
	trace, cause := now.Trace.Name, ResultChanged
	if why := base.Model.explain(&now.Model); why != "" {
		cause = ModelChanged
		c.add(Finding{Level: Note, Cause: cause, Trace: trace, Message: "the model changed: " + why})
	}
	if why := base.Trace.explain(&now.Trace); why != "" {
		cause = TraceChanged
		c.add(Finding{Level: Note, Cause: cause, Trace: trace, Message: "the trace changed: " + why})
	}
	for _, u := range unknown {
		c.add(Finding{Level: Note, Cause: NotRecorded, Trace: trace, Message: u.String()})
	}
	for i := range base.Runs {
		if r := now.run(base.Runs[i].Resolver); r != nil {
			c.run(trace, cause, c.lossless(base, &base.Runs[i]), c.lossless(now, r))
		} else {
			c.missing(trace, base.Runs[i].Resolver, "in the baseline, but not in the report")
		}
	}
	for i := range now.Runs {
		if r := &now.Runs[i]; base.run(r.Resolver) == nil {
			c.add(Finding{Level: Note, Cause: Missing, Trace: trace, Resolver: r.Resolver, Message: "not in the baseline; add it with --update"})
		}
	}
}

// lossless takes the bounds off a run of which the lost events do not count.
func (c *checker) lossless(e *Entry, r *EntryRun) *EntryRun {
	if r.Bounds == nil || c.tolerate == nil || !c.tolerate(r.Bounds.Lost, e.Trace.Events) {
		return r
	}
	plain := *r
	plain.Bounds = nil
	return &plain
}

func (c *checker) run(trace string, cause Cause, base, now *EntryRun) {
	before := len(c.v.Findings)
	for i := range metrics {
		m := &metrics[i]
		for _, l := range limitsFor(c.limits, now.Resolver, m.name) {
			if l.op != anything {
				c.figure(Finding{Cause: cause, Trace: trace, Resolver: now.Resolver, Metric: m.name, Limit: l.String()}, m, &l, base, now)
			}
		}
	}
	if cause == ResultChanged && base.Digest != now.Digest && len(c.v.Findings) == before {
		c.add(Finding{Level: Note, Cause: cause, Trace: trace, Resolver: now.Resolver,
			Message: "the run decided differently (digest " + base.Digest + " became " + now.Digest + "), but no figure under a limit moved"})
	}
}

// figure holds one figure against one limit.
func (c *checker) figure(f Finding, m *metric, l *Limit, base, now *EntryRun) {
	c.v.Compared++
	was, there := base.Metrics[m.name]
	is := now.Metrics[m.name]
	f.Level, f.Base, f.New = Fail, &was, &is
	held := l.holds(was, is)
	switch {
	case !is.Known && c.unanswered:
		f.Level, f.Cause, f.Message = Open, NotRecorded, m.name+" is unknown in the report"
	case !is.Known:
		f.Cause, f.Message = Missing, m.name+" is unknown in the report"
	case l.relative() && there && !was.Known:
		f.Level, f.Cause, f.Message = Open, NotRecorded, m.name+" is unknown in the baseline; record it with --update"
	case l.relative() && !there:
		f.Cause, f.Message = Missing, m.name+" is not in the baseline; record it with --update"
	case c.turns(f.Cause, m, l, base, now, held):
		f.Level, f.Message = Open, moved(m, was, is)+", which lost events could turn against the limit "+l.String()
	case !held:
		if was == is {
			f.Cause = LimitBroken
		}
		f.Message = moved(m, was, is) + ", beyond the limit " + l.String()
	case l.relative() && improved(m, was, is):
		f.Level, f.Message = Note, moved(m, was, is)+", which is better; record it with --update"
	default:
		return
	}
	c.add(f)
}

// turns reports whether lost events could turn how a figure stands against its
// limit. Of one and the same trace they are the same on both sides.
func (c *checker) turns(cause Cause, m *metric, l *Limit, base, now *EntryRun, held bool) bool {
	if l.relative() && cause != TraceChanged {
		return false
	}
	was, known := m.within(base)
	is, known2 := m.within(now)
	if !known && l.relative() || !known2 {
		return true
	}
	for _, b := range was {
		for _, n := range is {
			if l.holds(b, n) != held {
				return true
			}
		}
	}
	return false
}

func improved(m *metric, was, is Figure) bool {
	return was.Known && (m.better == lower && is.Milli < was.Milli || m.better == higher && is.Milli > was.Milli)
}

// moved says how a figure changed.
func moved(m *metric, was, is Figure) string {
	if !was.Known {
		return fmt.Sprintf("%s is %s", m.name, figureText(m, is))
	}
	if is == was {
		return fmt.Sprintf("%s stayed at %s", m.name, figureText(m, was))
	}
	verb := "rose from"
	if is.Milli < was.Milli {
		verb = "fell from"
	}
	return fmt.Sprintf("%s %s %s to %s (%s)", m.name, verb, figureText(m, was), figureText(m, is), byHowMuch(was, is))
}

func figureText(m *metric, f Figure) string {
	if f.Known && m.unit == "ns" {
		return f.String() + " ns"
	}
	return f.String()
}

// byHowMuch is a signed percentage.
func byHowMuch(was, is Figure) string {
	if !was.Known || !is.Known {
		return "–"
	}
	if was.Milli == 0 {
		return "from nothing"
	}
	diff := new(big.Int).Sub(big.NewInt(is.Milli), big.NewInt(was.Milli))
	percent := new(big.Rat).SetFrac(diff.Mul(diff, big.NewInt(100)), new(big.Int).Abs(big.NewInt(was.Milli)))
	text := percent.FloatString(2)
	if percent.Sign() > 0 {
		text = "+" + text
	}
	return text + " %"
}

// Text writes the verdict for people: first what changed in the question, then
// failures, then other notes, and the decision last.
func (v *Verdict) Text(w io.Writer, o TextOptions) error {
	t := newTextReport(o)
	for _, pass := range []func(*Finding) bool{
		(*Finding).context,
		func(f *Finding) bool { return f.Level == Fail },
		func(f *Finding) bool { return f.Level == Open },
		func(f *Finding) bool { return f.Level == Note && !f.context() },
	} {
		for i := range v.Findings {
			if f := &v.Findings[i]; pass(f) {
				t.finding(f)
			}
		}
	}
	switch {
	case v.Passed:
		t.para(good, "", fmt.Sprintf("PASSED: %s within their limits", plural(int64(v.Compared), "figure")))
	case v.Open:
		t.para(caution, "", "UNDECIDED: "+v.openBecause())
	default:
		t.para(bad, "", "FAILED")
	}
	_, err := w.Write(t.b.Bytes())
	return err
}

// openBecause says why there is no verdict.
func (v *Verdict) openBecause() string {
	if slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Level == Open && f.Cause == NotRecorded }) {
		return "figures under a limit are unknown"
	}
	return "too many events were lost; --max-loss accepts so many"
}

// context reports whether f says that another question was asked.
func (f *Finding) context() bool {
	return f.Metric == "" && (f.Cause == TraceChanged || f.Cause == ModelChanged)
}

func (t *textReport) finding(f *Finding) {
	e, where := plain, f.Trace
	switch f.Level {
	case Fail:
		e = bad
	case Open:
		e = caution
	}
	if f.Resolver != "" {
		where += " " + f.Resolver
	}
	cause := ""
	if f.Metric != "" && f.Cause != Missing && f.Cause != NotRecorded && f.Cause != LimitBroken {
		cause = " [" + string(f.Cause) + " changed]"
	}
	t.para(e, "", fmt.Sprintf("%s: %s: %s%s", f.Level, printable(where), f.Message, cause))
}
