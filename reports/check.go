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
	Held Level = "held" // within its limit: among Figures alone
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
	TooFew        Cause = "few"     // so few captures tell nothing
)

// Finding is one thing that differs from the baseline.
type Finding struct {
	Level    Level     `json:"level"`
	Cause    Cause     `json:"cause"`
	Trace    string    `json:"trace"` // or the set, of several captures
	Resolver string    `json:"resolver"`
	Part     *Part     `json:"part"` // of the run; null: all of it
	Metric   string    `json:"metric"`
	Base     *Figure   `json:"base"` // the median, of several captures
	New      *Figure   `json:"new"`
	Limit    string    `json:"limit"`
	LimitAt  *Position `json:"limit_at"` // null where the limit is in no file of limits
	Message  string    `json:"message"`
	Most     []Share   `json:"most"`    // where most of a worsening lies: a probe, a writer
	Samples  *Samples  `json:"samples"` // null where figures of one trace are compared
}

// Verdict is the outcome of a check.
type Verdict struct {
	Schema   string    `json:"schema"`
	Passed   bool      `json:"passed"`
	Open     bool      `json:"open"`     // neither passed nor failed: too much was lost, or is unknown
	Compared int       `json:"compared"` // figures held against a limit
	Findings []Finding `json:"findings"`
	Figures  []Finding `json:"figures"`  // all that were held against a limit
	Captures [2]int    `json:"captures"` // of a set, in the baseline and now; 0 where none are compared as samples
}

// CheckOptions say how a check is done.
type CheckOptions struct {
	Limits []Limit // after those of the baseline, so that they win
	// Tolerate says of a trace's lost events, of so many in all, that they do not count.
	// Nil tolerates none.
	Tolerate func(lost, events int64) bool
	// Set is what all reports are captures of, to be compared with those of the same
	// set in the baseline as samples are. Empty: each is of itself alone.
	Set string
	// Alpha is how likely a set may be found worse that is not, over all of its figures;
	// 0 is DefaultAlpha.
	Alpha float64
}

// Check compares reports with a baseline, under the baseline's limits and then
// those given. It fails on a figure beyond its
// limit, and on anything that is missing: an entry of the baseline without a
// report, a report without an entry, a resolver, a figure under a limit. A figure
// that lost events could carry across its limit is left open, unless they are
// tolerated; and so is one that rests on what the trace cannot tell.
func Check(b *Baseline, docs []*Document, o CheckOptions) (*Verdict, error) {
	own, err := b.ParseLimits()
	if err != nil {
		return nil, err
	}
	c := &checker{limits: append(own, o.Limits...), tolerate: o.Tolerate, v: &Verdict{Schema: CheckSchema, Findings: []Finding{}, Figures: []Finding{}}}
	var base, now []*Entry
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Set == o.Set {
			base = append(base, e)
		}
	}
	for _, d := range docs {
		e := NewEntry(d)
		e.Unknown = d.unknown()
		now = append(now, e)
	}
	if err := limitsApply(c.limits, base, now); err != nil {
		return nil, err
	}
	if o.Set != "" && !sameTraces(base, now) {
		err = c.set(o, base, now)
	} else {
		err = c.entries(base, now)
	}
	if err != nil {
		return nil, err
	}
	has := func(l Level) bool {
		return slices.ContainsFunc(c.v.Findings, func(f Finding) bool { return f.Level == l })
	}
	c.v.Open = has(Open) && !has(Fail)
	c.v.Passed = !has(Open) && !has(Fail)
	return c.v, nil
}

// entries compares each report with the entry of its trace.
func (c *checker) entries(base, now []*Entry) error {
	used := make([]bool, len(base))
	for _, e := range now {
		i, err := match(base, e)
		switch {
		case err != nil:
			return err
		case i < 0:
			c.missing(e.Trace.Name, "", "the baseline has no entry for it; add one with --update")
		case used[i]:
			return fmt.Errorf("trace %s: two reports match one entry of the baseline; several captures of one thing are a set, see --as", e.Trace.Name)
		default:
			used[i] = true
			c.entry(base[i], e)
		}
	}
	for i, u := range used {
		if !u {
			c.missing(base[i].Trace.Name, "", "in the baseline, but no report of it was given")
		}
	}
	return nil
}

// limitsApply refuses a limit for a resolver, probe or process that nothing has: a
// misspelt one would never fail. A writer that does no harm has no row.
func limitsApply(limits []Limit, base, now []*Entry) error {
	all := append(base[:len(base):len(base)], now...)
	for _, l := range limits {
		resolver, part := l.Resolver == "" || len(now) == 0, l.Part == (Part{}) || l.Part.Kind == WriterPart || len(now) == 0
		for _, e := range all {
			resolver = resolver || e.run(l.Resolver) != nil
			for i := range e.Runs {
				part = part || e.Runs[i].part(l.Part) != nil
			}
		}
		switch {
		case !resolver:
			return fmt.Errorf("limit %q: no report has a resolver %q", l, l.Resolver)
		case !part:
			return fmt.Errorf("limit %q: no report has a %s", l, l.Part)
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

// add adds a finding. Names in its message are any bytes.
func (c *checker) add(f Finding) {
	f.Message = printable(f.Message)
	c.v.Findings = append(c.v.Findings, f)
}

// judged adds a figure that was held against a limit.
func (c *checker) judged(f Finding) {
	f.Message = printable(f.Message)
	c.v.Compared++
	c.v.Figures = append(c.v.Figures, f)
	if f.Level != Held {
		c.add(f)
	}
}

func (c *checker) missing(trace, resolver, message string) {
	c.add(Finding{Level: Fail, Cause: Missing, Trace: trace, Resolver: resolver, Message: message})
}

// question says what is other than in the baseline, and returns what a difference is
// put down to.
func (c *checker) question(name string, base, now *Entry) Cause {
	cause := ResultChanged
	if why := base.Model.explain(&now.Model); why != "" {
		cause = ModelChanged
		c.add(Finding{Level: Note, Cause: cause, Trace: name, Message: "the model changed: " + why})
	}
	if why := base.Trace.explain(&now.Trace); why != "" {
		cause = TraceChanged
		c.add(Finding{Level: Note, Cause: cause, Trace: name, Message: "the trace changed: " + why})
	}
	return cause
}

func (c *checker) unknown(name string, now *Entry) {
	c.unanswered = len(replay.Unanswered(now.Unknown)) > 0
	for _, u := range now.Unknown {
		c.add(Finding{Level: Note, Cause: NotRecorded, Trace: name, Message: u.String()})
	}
}

// entry compares a report with its entry.
func (c *checker) entry(base, now *Entry) {
	trace := now.Trace.Name
	cause := c.question(trace, base, now)
	c.unknown(trace, now)
	c.runs(trace, base, now, func(b, n *EntryRun) { c.run(trace, cause, c.lossless(base, b), c.lossless(now, n)) })
}

// runs compares what both have, and says which run only one of them has.
func (c *checker) runs(name string, base, now *Entry, compare func(base, now *EntryRun)) {
	for i := range base.Runs {
		if r := now.run(base.Runs[i].Resolver); r != nil {
			compare(&base.Runs[i], r)
		} else {
			c.missing(name, base.Runs[i].Resolver, "in the baseline, but not in the report")
		}
	}
	for i := range now.Runs {
		if r := &now.Runs[i]; base.run(r.Resolver) == nil {
			c.add(Finding{Level: Note, Cause: Missing, Trace: name, Resolver: r.Resolver, Message: "not in the baseline; add it with --update"})
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

// limited calls do with every limit that a resolver's figures are under.
func (c *checker) limited(resolver string, do func(*metric, *Limit)) {
	parts := []Part{{}}
	for i := range c.limits {
		if p := c.limits[i].Part; !slices.Contains(parts, p) {
			parts = append(parts, p)
		}
	}
	for _, part := range parts {
		for i := range metrics {
			m := &metrics[i]
			for _, l := range limitsFor(c.limits, resolver, part, m.name) {
				if l.op != anything {
					do(m, &l)
				}
			}
		}
	}
}

func (c *checker) run(trace string, cause Cause, base, now *EntryRun) {
	before := len(c.v.Findings)
	c.limited(now.Resolver, func(m *metric, l *Limit) {
		c.figure(newFinding(cause, trace, now.Resolver, m, l), m, l, base, now)
	})
	if cause == ResultChanged && base.Digest != now.Digest && len(c.v.Findings) == before {
		c.add(Finding{Level: Note, Cause: cause, Trace: trace, Resolver: now.Resolver,
			Message: "the run decided differently (digest " + base.Digest + " became " + now.Digest + "), but no figure under a limit moved"})
	}
}

func newFinding(cause Cause, name, resolver string, m *metric, l *Limit) Finding {
	f := Finding{Level: Held, Cause: cause, Trace: name, Resolver: resolver, Metric: m.name, Limit: l.String()}
	if l.Part != (Part{}) {
		f.Part = &l.Part
	}
	if l.at != (Position{}) {
		f.LimitAt = &l.at
	}
	return f
}

// figure holds one figure against one limit.
func (c *checker) figure(f Finding, m *metric, l *Limit, base, now *EntryRun) {
	was, there := base.figure(l.Part, m.name)
	is, isThere := now.figure(l.Part, m.name)
	if l.Part != (Part{}) && !there && !isThere {
		return // the part is of another trace
	}
	f.Base, f.New = &was, &is
	held := l.holds(was, is)
	name := f.name()
	switch {
	case !isThere && l.Part != (Part{}):
		f.Level, f.Cause, f.Message = Fail, Missing, "no hit of "+l.Part.String()+" is in the report"
	case !is.Known && c.unanswered:
		f.Level, f.Cause, f.Message = Open, NotRecorded, name+" is unknown in the report"
	case !is.Known:
		f.Level, f.Cause, f.Message = Fail, Missing, name+" is unknown in the report"
	case l.relative() && there && !was.Known:
		f.Level, f.Cause, f.Message = Open, NotRecorded, name+" is unknown in the baseline; record it with --update"
	case l.relative() && !there:
		f.Level, f.Cause, f.Message = Fail, Missing, name+" is not in the baseline; record it with --update"
	case c.turns(f.Cause, m, l, base, now, held):
		f.Level, f.Message = Open, moved(name, m, was, is)+", which lost events could turn against the limit "+l.String()
	case !held:
		if was == is {
			f.Cause = LimitBroken
		}
		f.Level, f.Message = Fail, moved(name, m, was, is)+", beyond the limit "+l.String()
		if f.Most = mostOf(m, base, now); len(f.Most) > 0 && !improved(m, was, is) {
			f.Message += "; " + sharesText(f.Most)
		}
	case l.relative() && improved(m, was, is):
		f.Level, f.Message = Note, moved(name, m, was, is)+", which is better; record it with --update"
	}
	c.judged(f)
}

// name is the metric, and of what part of the run it is.
func (f *Finding) name() string {
	if f.Part == nil {
		return f.Metric
	}
	return f.Metric + " of " + f.Part.String()
}

// sharesText says where most of a change lies.
func sharesText(shares []Share) string {
	text := "most at "
	for i, s := range shares {
		if i > 0 {
			text += ", from "
		} else if s.Part.Kind == WriterPart {
			text = "most from "
		}
		m, _ := findMetric(s.Metric)
		text += fmt.Sprintf("%s (%s %s to %s)", s.Part, s.Metric, figureText(m, s.Base), figureText(m, s.New))
	}
	return text
}

// turns reports whether lost events could turn how a figure stands against its
// limit. Of one and the same trace they are the same on both sides.
func (c *checker) turns(cause Cause, m *metric, l *Limit, base, now *EntryRun, held bool) bool {
	if l.relative() && cause != TraceChanged {
		return false
	}
	was, known := within(m, l.Part, base)
	is, known2 := within(m, l.Part, now)
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

// within is the least and the greatest that a metric may be of a part; lost events
// may have been of any.
func within(m *metric, p Part, r *EntryRun) ([2]Figure, bool) {
	if p == (Part{}) {
		return m.within(r)
	}
	f, _ := r.figure(p, m.name)
	return [2]Figure{f, f}, r.Bounds == nil
}

func improved(m *metric, was, is Figure) bool {
	return was.Known && (m.better == lower && is.Milli < was.Milli || m.better == higher && is.Milli > was.Milli)
}

// moved says how a figure changed.
func moved(name string, m *metric, was, is Figure) string {
	if !was.Known {
		return fmt.Sprintf("%s is %s", name, figureText(m, is))
	}
	if is == was {
		return fmt.Sprintf("%s stayed at %s", name, figureText(m, was))
	}
	verb := "rose from"
	if is.Milli < was.Milli {
		verb = "fell from"
	}
	return fmt.Sprintf("%s %s %s to %s (%s)", name, verb, figureText(m, was), figureText(m, is), byHowMuch(was, is))
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
	t.samples(v)
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
		t.para(good, "", v.Decision())
	case v.Open:
		t.para(caution, "", v.Decision())
	default:
		t.para(bad, "", v.Decision())
	}
	_, err := w.Write(t.b.Bytes())
	return err
}

// Decision is the verdict in one line.
func (v *Verdict) Decision() string {
	switch {
	case v.Passed:
		return fmt.Sprintf("PASSED: %s within their limits", plural(int64(v.Compared), "figure"))
	case v.Open:
		return "UNDECIDED: " + v.openBecause()
	}
	return "FAILED"
}

// openBecause says why there is no verdict.
func (v *Verdict) openBecause() string {
	open := func(cause Cause) bool {
		return slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Level == Open && f.Cause == cause })
	}
	switch {
	case open(NotRecorded):
		return "figures under a limit are unknown"
	case open(TooFew):
		return "so few captures cannot tell a change from noise"
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
	if f.Metric != "" && f.Samples == nil && f.Cause != Missing && f.Cause != NotRecorded && f.Cause != LimitBroken && f.Cause != TooFew {
		cause = " [" + string(f.Cause) + " changed]"
	}
	t.para(e, "", fmt.Sprintf("%s: %s: %s%s", f.Level, printable(where), f.Message, cause))
}
