package reports

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// TextOptions is how the text report looks. The zero value is plain and 80 wide.
type TextOptions struct {
	Color bool // emphasis by colour, on top of words that say the same
	Width int  // columns; 0 means 80, and less than 60 is taken as 60
}

const (
	defaultWidth = 80
	minWidth     = 60
	blameRows    = 8 // rows of each table that stay readable; report.json has all
	probeRows    = 8
	mmRows       = 5
	lineRows     = 6
)

// Text writes the report for people: what was found first, then the figures side
// by side, who is to blame, and what the figures rest on.
func Text(w io.Writer, res *replay.Result, o TextOptions) error {
	t := newTextReport(o)
	t.headline(res)
	if answered(res) {
		t.comparison(res.Runs)
		for i := range res.Runs {
			t.blame(&res.Runs[i], len(res.Runs) > 1)
		}
		if r := mainRun(res); r != nil {
			t.probes(r)
			t.mms(r)
		}
		t.lines(res.Runs)
		if res.Curve != nil {
			t.curve(res.Curve)
		}
		if res.Crossover != nil {
			t.crossover(res.Crossover)
		}
	}
	t.provenance(res)
	_, err := w.Write(t.b.Bytes())
	return err
}

// textReport is the report so far.
type textReport struct {
	b     bytes.Buffer
	color bool
	width int
}

func newTextReport(o TextOptions) *textReport {
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	return &textReport{color: o.Color, width: max(o.Width, minWidth)}
}

// emphasis is a use of colour.
type emphasis text.Color

const (
	strong  = emphasis(text.Bold)
	good    = emphasis(text.FgGreen)
	bad     = emphasis(text.FgRed)
	caution = emphasis(text.FgYellow)
	plain   = emphasis(text.Reset)
)

func (t *textReport) paint(e emphasis, s string) string {
	if !t.color || e == plain {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", e, s)
}

// title begins a part of the report.
func (t *textReport) title(s string) { fmt.Fprintf(&t.b, "\n%s\n", t.paint(strong, s)) }

// para writes a paragraph, wrapped and indented.
func (t *textReport) para(e emphasis, indent, s string) {
	for _, line := range strings.Split(wrap(s, t.width-len(indent)), "\n") {
		fmt.Fprintf(&t.b, "%s%s\n", indent, t.paint(e, line))
	}
}

// wrap breaks s at spaces, but not before a unit, and inside a word only when it
// fits no line.
func wrap(s string, width int) string {
	var lines []string
	line := ""
	for _, word := range strings.FieldsFunc(noBreak.Replace(s), func(r rune) bool { return r == ' ' }) {
		if line != "" && columns(line)+1+columns(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
		for columns(line) > width {
			head := text.Trim(line, width)
			lines, line = append(lines, head), line[len(head):]
		}
	}
	return strings.ReplaceAll(strings.Join(append(lines, line), "\n"), "\u00a0", " ")
}

// noBreak keeps figures with their units and signs.
var noBreak = strings.NewReplacer(" %", "\u00a0%", " ns", "\u00a0ns", " µs", "\u00a0µs", " ms", "\u00a0ms", " s ", "\u00a0s ", " s,", "\u00a0s,", " s.", "\u00a0s.")

// columns is how wide s is on a terminal.
func columns(s string) int { return text.StringWidthWithoutEscSequences(s) }

// clip shortens s to a width, and shows that it did.
func clip(s string, width int) string {
	if columns(s) <= width {
		return s
	}
	return text.Trim(s, width-1) + "…"
}

func (t *textReport) headline(res *replay.Result) {
	t.para(strong, "", clip(printable(res.Trace.Path), t.width))
	t.para(plain, "", traceSentence(res))
	t.title(answerTitle)
	short := newAnswer(res)
	for _, f := range short.findings() {
		t.para(f.emphasis, "  ", f.text)
	}
	if res.Recorded == nil {
		t.b.WriteByte('\n')
	} else {
		t.recorded(res)
		t.title(simulatedTitle)
	}
	t.para(plain, "", setupSentence(res))
	t.b.WriteByte('\n')
	for _, s := range findings(res) {
		t.para(s.emphasis, "  ", s.text)
	}
}

// traceSentence says what was replayed.
func traceSentence(res *replay.Result) string {
	t := &res.Trace
	hits, mms, writers := plural(t.Hits, "hit"), plural(t.Mms, "address space"), plural(t.Writers, "write section")
	if t.HitEvents > t.Hits {
		hits += fmt.Sprintf(" (of %s: some share a trap and its lookup)", plural(t.HitEvents, "event"))
	}
	if !res.Knows(replay.UnknownHits) {
		hits = count(t.Hits) + " of an unknown number of hits"
	}
	if !res.Knows(replay.UnknownProcesses) {
		mms = "unknown address spaces"
	}
	if !res.Knows(replay.UnknownWriters) {
		writers = "write sections unknown"
	}
	return fmt.Sprintf("%s in %s, %s of %s; %s", hits, span(sim.Time(t.DurationNs)*sim.Nanosecond), plural(t.Threads, "thread"), mms, writers)
}

// answered reports whether the trace tells what the runs' figures rest on.
func answered(res *replay.Result) bool { return len(replay.Unanswered(res.Unknown)) == 0 }

// setupSentence says how.
func setupSentence(res *replay.Result) string {
	m, o := &res.Machine, &res.Options
	text := fmt.Sprintf("on %s (%s, SMT %d); timing %s, speed %gx, clone %d, placement %s, seed %d",
		printable(m.Name), plural(int64(m.CPUs), "CPU"), m.SMT, o.Timing, float64(o.SpeedPPM)/1e6, o.Clone, o.Placement, o.Seed)
	if o.Layout != "" {
		text += ", layout " + o.Layout
	}
	for _, r := range o.WhatIf {
		text += "; what if " + printable(r.String())
	}
	return text
}

// finding is one sentence of a report.
type finding struct {
	emphasis emphasis
	text     string
}

// findings are the sentences of the headline, on the page as in the text.
func findings(res *replay.Result) []finding {
	r := mainRun(res)
	if !res.Knows(replay.UnknownHits) {
		return unansweredFindings(res, r)
	}
	if r == nil && res.Recorded != nil {
		return append([]finding{{caution, "Nothing: there is no hit to resolve."}}, unansweredFindings(res, nil)...)
	}
	if r == nil || r.Hits == 0 && (res.Trace.Hits == 0 || answered(res)) {
		return append([]finding{{caution, "There was no hit to resolve."}}, unansweredFindings(res, nil)...)
	}
	if !answered(res) {
		return unansweredFindings(res, r)
	}
	all := append(faultFindings(res), finding{resultEmphasis(r), resolvedSentence(r)})
	if s := lookupsSentence(r); s != "" {
		all = append(all, finding{plain, s})
	}
	if s := reasonSentence(res, r); s != "" {
		all = append(all, finding{bad, s})
	}
	if s := guessSentence(res, r); s != "" {
		all = append(all, finding{caution, s})
	}
	if s := boundsSentence(&res.Trace, r); s != "" {
		all = append(all, finding{caution, s})
	}
	if base := baseRun(res); base != nil && base != r {
		all = append(all, finding{strong, againstSentence(base, r)})
	}
	if s := blameSentence(r); s != "" {
		all = append(all, finding{strong, s})
	}
	if res.Recorded != nil {
		all = append(all, finding{plain, whyDifferent(res, r)})
	}
	return all
}

// unansweredFindings say what of a headline the trace cannot tell, of the hits of r.
func unansweredFindings(res *replay.Result, r *replay.Run) []finding {
	var all []finding
	list := replay.Unanswered(res.Unknown)
	sampled := !res.Knows(replay.UnknownHits)
	if sampled || r != nil && len(list) > 0 {
		subject := "How many hits there were, and how many resolve without mmap_lock,"
		if !sampled {
			subject = plural(max(r.Hits, res.Trace.Hits), "hit") + "; how many resolve without mmap_lock"
		} else {
			list = append(replay.Unknowns(list, replay.UnknownHits), replay.Unknowns(list, replay.UnknownWriters, replay.UnknownProcesses)...)
		}
		all = append(all, finding{caution, fmt.Sprintf("%s is unknown: %s; %s", subject, printable(list[0].Why), printable(list[0].Remedy))})
		list = list[1:]
	}
	for _, u := range list {
		all = append(all, finding{caution, printable(u.String())})
	}
	return all
}

// faultFindings say what resolvers without some rules answered.
func faultFindings(res *replay.Result) (all []finding) {
	for i := range res.Runs {
		r := &res.Runs[i]
		f := r.Fault
		if f == nil {
			continue
		}
		without := fmt.Sprintf("%s without %s", r.Resolver, strings.Join(f.Rules, " and "))
		if w := f.First; w != nil {
			all = append(all, finding{bad, fmt.Sprintf("%s: of %s without the lock, %s none that a locked lookup could have given, at any instant of theirs (%s); the first to thread %s (tid %d), at %s of virtual time, in row %d, of %s.",
				without, plural(f.Judged, "answer"), isAre(f.Wrong), share(f.Wrong, f.Judged), printable(w.Comm), w.TID, span(w.At), w.Row, printable(w.Probe))})
			continue
		}
		all = append(all, finding{caution, fmt.Sprintf("%s: each of %s without the lock is one that a locked lookup could have given. That it shows on this trace, timed so, in no answer proves nothing: replay prove --mutate %s tries every order.",
			without, plural(f.Judged, "answer"), strings.Join(f.Rules, "+"))})
	}
	return all
}

func isAre(n int64) string {
	if n == 1 {
		return "1 is"
	}
	return count(n) + " are"
}

func resultEmphasis(r *replay.Run) emphasis {
	if r.Fallbacks() == 0 {
		return good
	}
	return strong
}

func resolvedSentence(r *replay.Run) string {
	return fmt.Sprintf("%s: %s of %s resolved without mmap_lock (%s).",
		r.Resolver, count(r.Lockless()), plural(r.Hits, "hit"), share(r.Lockless(), r.Hits))
}

// lookupsSentence says how many lookups the hits made where some made two, or is "".
func lookupsSentence(r *replay.Run) string {
	if r.Optimised == 0 {
		return ""
	}
	return fmt.Sprintf("They made %s, of which %s fell back: %s came by system call, from optimised probes, and looked up twice.",
		plural(r.Lookups, "lookup"), count(r.LookupFallbacks), plural(r.Optimised, "hit"))
}

// reasonSentence says why hits fell back and what it cost them, or "".
func reasonSentence(res *replay.Result, r *replay.Run) string {
	if r.Fallbacks() == 0 {
		return ""
	}
	var reasons []string
	for o := sim.WriterActive; o < sim.NumOutcomes; o++ {
		if n := r.Outcomes[o]; n > 0 {
			reasons = append(reasons, fmt.Sprintf("%s %s", count(n), reasonNames[o]))
		}
	}
	return fmt.Sprintf("%s fell back (%s): %s. They waited %s%s for the lock, at worst %s.",
		count(r.Fallbacks()), share(r.Fallbacks(), r.Hits), strings.Join(reasons, ", "), leastPrefix(res), span(r.LockWait.Total), span(r.LockWait.Max))
}

// guessSentence says how many fell back on the recorded kernel, where that is inferred, or is
// "". It goes by how late hits are, and knows better than a simulation of sections that the
// model made.
func guessSentence(res *replay.Result, r *replay.Run) string {
	if res.Trace.TakesLock && (res.Recorded == nil || !res.Recorded.Outcomes) {
		return takesLockSentence(res.Trace.Kernel) + " How late hits are tells nothing of fallbacks there."
	}
	g := res.Trace.Guess
	if g == nil || res.Recorded != nil && res.Recorded.Outcomes || r.Fallbacks() == 0 && g.Expected < 0.5 {
		return ""
	}
	s := fmt.Sprintf("On the recorded kernel about %.0f fell back, if it looks up without the lock: %.0f to %.0f in eight recordings of ten like this. That goes by how late hits are, and is the better count of what happened.", g.Expected, g.Low, g.High)
	if res.Trace.Sections.Modelled > 0 {
		s += " " + modelledSections
	}
	return s
}

// modelledSections says how far simulated fallbacks can be believed without lock events.
const modelledSections = "Without lock events a model places write sections within their calls, and calls that queued seem to have the lock for long: the simulation may count far more fallbacks than there were."

// leastPrefix comes before simulated waits, of which some are left out (Result.LeftOut).
func leastPrefix(res *replay.Result) string {
	if _, ok := res.LeftOut(); ok {
		return "at least "
	}
	return ""
}

// boundsSentence says how lost events bound the fallbacks, or is "".
func boundsSentence(t *replay.TraceSummary, r *replay.Run) string {
	if t.Lost == 0 && r.Undecided == 0 {
		return ""
	}
	return fmt.Sprintf("Between %s and %s fell back: %s of %s events were lost (%s), which leaves %s undecided.",
		count(r.Low), plural(r.High, "hit"), count(t.Lost), count(t.Lost+t.Events), share(t.Lost, t.Lost+t.Events), plural(r.Undecided, "hit"))
}

func againstSentence(base, r *replay.Run) string {
	compare := func(what string, a, b sim.Time) string {
		return fmt.Sprintf("%s %s instead of %s%s", what, span(b), span(a), change(a, b))
	}
	return fmt.Sprintf("Against %s: %s, %s.", base.Resolver,
		compare("resolving took", base.Resolve.Total, r.Resolve.Total), compare("lock wait", base.LockWait.Total, r.LockWait.Total))
}

// blameSentence names the writer that cost the most, or is "".
func blameSentence(r *replay.Run) string {
	if len(r.Blame) == 0 {
		return ""
	}
	b := &r.Blame[0]
	if b.Fallbacks == 0 && b.Wait == 0 {
		return ""
	}
	s := fmt.Sprintf("Most to blame: %s of thread %s (tid %d)", b.Kind, printable(b.Comm), b.TID)
	if b.Fallbacks > 0 {
		s += fmt.Sprintf(", which spoiled %s (%s of the fallbacks)", plural(b.Fallbacks, "hit"), share(b.Fallbacks, r.Fallbacks()))
	}
	return s + fmt.Sprintf(" and made hits wait %s.", span(b.Wait))
}

func (t *textReport) provenance(res *replay.Result) {
	t.title("What the figures rest on")
	for _, f := range provenance(res) {
		t.para(f.emphasis, "  ", f.text)
	}
	for _, w := range res.Warnings {
		t.para(caution, "  ", "warning: "+printable(w))
	}
}

// provenance says what the figures rest on.
func provenance(res *replay.Result) []finding {
	tr := &res.Trace
	var all []finding
	for _, u := range res.Unknown {
		if len(replay.Unanswered([]replay.Unknown{u})) == 0 { // the others are in the headline
			all = append(all, finding{caution, printable(u.String())})
		}
	}
	all = append(all, finding{plain, fmt.Sprintf("arrivals of hits: %s observed, %s inferred", count(tr.Arrivals.Observed), count(tr.Arrivals.Modelled))})
	if rec := res.Recorded; rec != nil && rec.Fallbacks > 0 && tr.Arrivals.Observed > 0 && tr.Arrivals.Observed <= rec.Fallbacks {
		all = append(all, finding{plain, fmt.Sprintf("the %s observed are those that fell back, by their own lock_start: that they do so here was recorded, and is no prediction", count(tr.Arrivals.Observed))})
	}
	if left, ok := res.LeftOut(); ok && len(res.Runs) > 0 && tr.Hits > 0 {
		all = append(all, finding{plain, fmt.Sprintf("simulated waits are at least what they would be: threads queue and wake up as recorded, but %s of the recorded waits are not in them, in which nobody was seen with the lock: what recording takes, and CPUs that others had", span(left))})
	}
	if res.Knows(replay.UnknownWriters) {
		all = append(all, finding{plain, fmt.Sprintf("write sections: %s observed, %s modelled", count(tr.Sections.Observed), count(tr.Sections.Modelled))})
	}
	if res.Knows(replay.UnknownLosses) {
		all = append(all, lossFinding(tr))
	}
	for i := range res.Runs {
		if r := &res.Runs[i]; r.Undecided > 0 && answered(res) {
			all = append(all, finding{caution, fmt.Sprintf("%s: a lost event may have changed %s; from %s to %s fell back",
				r.Resolver, plural(r.Undecided, "hit"), count(r.Low), count(r.High))})
		}
	}
	if tr.SHA256 != "" {
		all = append(all, finding{plain, "trace sha256 " + tr.SHA256})
	}
	for i := range res.Runs {
		all = append(all, finding{plain, fmt.Sprintf("digest %016x %s", res.Runs[i].Digest, res.Runs[i].Resolver)})
	}
	return all
}

func lossFinding(t *replay.TraceSummary) finding {
	if t.Lost == 0 {
		return finding{plain, fmt.Sprintf("lost events: none of %s", count(t.Events))}
	}
	total := t.Lost + t.Events
	s := fmt.Sprintf("lost events: %s of %s (%s)", count(t.Lost), count(total), share(t.Lost, total))
	if n := len(t.Losses); n > 0 {
		s += fmt.Sprintf(", in %s; %s of the trace and %s are undecided", plural(int64(n), "gap"),
			span(sim.Time(t.LossyNs)*sim.Nanosecond), plural(t.Undecided, "write section"))
	}
	return finding{caution, s}
}
