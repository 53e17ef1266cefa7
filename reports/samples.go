package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// DefaultAlpha is how likely a set of captures may be found worse that is not.
const DefaultAlpha = 0.05

// Samples is how several captures compare with several others. Captures of one program
// vary, so that a difference may be chance.
type Samples struct {
	Base Sample `json:"base"`
	New  Sample `json:"new"`
	// P is how likely such captures would differ so much if there was no difference but
	// that which the limit allows (the Mann-Whitney U-test). It has to be below Need.
	P    *float64 `json:"p"`    // null for a bound, which is held against the new ones alone
	Need *float64 `json:"need"` // null for a bound
}

// Sample is a figure of several captures: its median, and the interval in which that of
// all such captures lies.
type Sample struct {
	N          int     `json:"n"`
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"` // from 0 to 1; 0 where so few tell nothing
}

// confidence is the one asked for of intervals. Few captures give no interval so sure.
const confidence = 0.95

func newSample(s *benchmath.Sample) Sample {
	m := benchmath.AssumeNothing.Summary(s, confidence)
	sample := Sample{N: len(s.Values), Median: m.Center, Low: m.Lo, High: m.Hi, Confidence: m.Confidence}
	if math.IsInf(m.Lo, 0) || math.IsInf(m.Hi, 0) {
		sample.Low, sample.High, sample.Confidence = s.Values[0], s.Values[len(s.Values)-1], 0
	}
	return sample
}

// noise is the interval in percent of the median.
func (s *Sample) noise() string {
	if s.Median == 0 {
		if s.Low == s.High {
			return "± 0 %"
		}
		return "± any"
	}
	return fmt.Sprintf("± %.3g %%", 100*max(s.High-s.Median, s.Median-s.Low)/math.Abs(s.Median))
}

// sameTraces reports whether all reports are of traces of the baseline, so that there
// is no noise.
func sameTraces(base, now []*Entry) bool {
	for _, n := range now {
		if !slices.ContainsFunc(base, func(b *Entry) bool { return b.Trace.same(&n.Trace) }) {
			return false
		}
	}
	return len(base) > 0 && len(now) > 0
}

// set compares the reports of several captures of one thing with those of the baseline.
func (c *checker) set(o CheckOptions, base, now []*Entry) error {
	if len(now) == 0 || len(base) == 0 {
		c.missing(o.Set, "", "the baseline has no captures of it; add some with --update")
		return nil
	}
	for _, e := range now {
		if e.Model != now[0].Model {
			return fmt.Errorf("trace %s: %s: the captures of set %s have to be replayed alike", e.Trace.Name, now[0].Model.explain(&e.Model), o.Set)
		}
	}
	c.v.Captures = [2]int{len(base), len(now)}
	cause := TraceChanged
	if why := base[0].Model.explain(&now[0].Model); why != "" {
		cause = ModelChanged
		c.add(Finding{Level: Note, Cause: cause, Trace: o.Set, Message: "the model changed: " + why})
	}
	for _, e := range now {
		c.unknown(e.Trace.Name, e)
	}
	var all []*comparedSet
	c.runs(o.Set, base[0], now[0], func(b, n *EntryRun) {
		was, is := c.runsOf(base, b.Resolver), c.runsOf(now, b.Resolver)
		c.limited(b.Resolver, func(m *metric, l *Limit) {
			has := func(r *EntryRun) bool { _, there := r.figure(l.Part, m.name); return there }
			if l.Part != (Part{}) && !slices.ContainsFunc(was, has) && !slices.ContainsFunc(is, has) {
				return // the part is of something else
			}
			all = append(all, compareSet(newFinding(cause, o.Set, b.Resolver, m, l), m, l, was, is))
		})
	})
	alpha := o.Alpha
	if alpha == 0 {
		alpha = DefaultAlpha
	}
	holm(all, alpha)
	for _, s := range all {
		c.judged(s.judge(len(base), len(now)))
	}
	return nil
}

// runsOf are the runs of a resolver in all entries.
func (c *checker) runsOf(entries []*Entry, resolver string) []*EntryRun {
	var runs []*EntryRun
	for _, e := range entries {
		if r := e.run(resolver); r != nil {
			runs = append(runs, c.lossless(e, r))
		} else {
			runs = append(runs, &EntryRun{Resolver: resolver})
		}
	}
	return runs
}

// comparedSet is a figure of several captures under a limit.
type comparedSet struct {
	f        Finding
	m        *metric
	l        *Limit
	was, is  []*EntryRun
	comp     benchmath.Comparison
	worse    bool // the median is beyond the limit
	open     bool // lost events could turn it
	unknown  string
	tooFewOf float64 // the least p that so many captures can have
}

// compareSet holds the figure against the limit: the new captures against the
// baseline's, each moved by as much as the limit allows.
func compareSet(f Finding, m *metric, l *Limit, was, is []*EntryRun) *comparedSet {
	s := &comparedSet{f: f, m: m, l: l, was: was, is: is}
	base, missing := values(m, l.Part, was, nominal)
	now, missing2 := values(m, l.Part, is, nominal)
	switch {
	case missing2 != "":
		s.unknown = missing2 + " in a report"
		return s
	case missing != "" && l.relative():
		s.unknown = missing + " in the baseline; record it with --update"
		return s
	}
	s.f.New = median(now)
	s.f.Samples = &Samples{New: newSample(sampleOf(now))}
	if len(base) > 0 && missing == "" {
		s.f.Base, s.f.Samples.Base = median(base), newSample(sampleOf(base))
	}
	if !l.relative() {
		s.worse = s.beyondBound(now)
		return s
	}
	s.comp, s.worse = l.test(base, now)
	s.f.Samples.P = &s.comp.P
	s.tooFewOf = 2 / binomial(len(base)+len(now), len(now))
	s.open = s.turned(base, now)
	return s
}

// beyondBound reports whether the captures' median is surely beyond a bound.
func (s *comparedSet) beyondBound(now []int64) bool {
	sample := s.f.Samples.New
	low, high := Figure{int64(math.Round(sample.Low * 1000)), true}, Figure{int64(math.Round(sample.High * 1000)), true}
	return !s.l.holds(Figure{}, low) && !s.l.holds(Figure{}, high)
}

// which picks one of the least, the recorded and the greatest figure.
type which int

const (
	least which = iota
	nominal
	greatest
)

// values are a metric of a part in all runs, in thousandths; what is missing is said.
func values(m *metric, p Part, runs []*EntryRun, pick which) ([]int64, string) {
	var all []int64
	for _, r := range runs {
		f, there := r.figure(p, m.name)
		if pick != nominal {
			if both, known := within(m, p, r); known {
				f = both[pick/2]
			}
		}
		if !there {
			return nil, "is not there"
		}
		if !f.Known {
			return nil, "is unknown"
		}
		all = append(all, f.Milli)
	}
	return all, ""
}

func sampleOf(milli []int64) *benchmath.Sample {
	all := make([]float64, len(milli))
	for i, v := range milli {
		all[i] = float64(v) / 1000
	}
	return benchmath.NewSample(all, &benchmath.DefaultThresholds)
}

// median is the figure in the middle, between the two there.
func median(milli []int64) *Figure {
	sorted := slices.Sorted(slices.Values(milli))
	low, high := sorted[(len(sorted)-1)/2], sorted[len(sorted)/2]
	return &Figure{low + (high-low)/2, true}
}

// test says how likely now is of captures like base, each moved to its limit, and
// whether its median is beyond.
func (l *Limit) test(base, now []int64) (benchmath.Comparison, bool) {
	sides := []int64{1, -1}
	switch l.op {
	case mayRise:
		sides = sides[:1]
	case mayFall:
		sides = sides[1:]
	}
	best := benchmath.Comparison{P: 1, N1: len(base), N2: len(now)}
	beyond := false
	for _, side := range sides {
		moved := make([]int64, len(base))
		for i, v := range base {
			moved[i] = l.moved(v, side)
		}
		before, after := sampleOf(moved), sampleOf(now)
		away := float64(side)*(benchmath.AssumeNothing.Summary(after, confidence).Center-benchmath.AssumeNothing.Summary(before, confidence).Center) > 0
		c := benchmath.AssumeNothing.Compare(before, after)
		if away && (!beyond || c.P < best.P) {
			best, beyond = c, true
		} else if !beyond {
			best.P = max(c.P, best.P)
		}
	}
	return best, beyond
}

// moved is a figure of the baseline as far as the limit lets it go, up or down.
func (l *Limit) moved(milli, side int64) int64 {
	room := float64(l.amount)
	if l.percent {
		room = math.Abs(float64(milli)) * float64(l.amount) / 100_000
	}
	return milli + side*int64(math.Round(room))
}

// turned reports whether lost events could turn the comparison.
func (s *comparedSet) turned(base, now []int64) bool {
	lossy := func(r *EntryRun) bool { return r.Bounds != nil }
	if !slices.ContainsFunc(s.was, lossy) && !slices.ContainsFunc(s.is, lossy) {
		return false
	}
	for _, r := range slices.Concat(s.was, s.is) {
		if _, known := within(s.m, s.l.Part, r); !known {
			return true
		}
	}
	for _, pick := range [][2]which{{least, greatest}, {greatest, least}} {
		b, _ := values(s.m, s.l.Part, s.was, pick[0])
		n, _ := values(s.m, s.l.Part, s.is, pick[1])
		c, beyond := s.l.test(b, n)
		if beyond != s.worse || (c.P < DefaultAlpha) != (s.comp.P < DefaultAlpha) {
			return true
		}
	}
	return false
}

// holm says what p each comparison needs, so that one of all is found worse by chance
// no more often than alpha: the least p has to be below alpha over their number, the next
// over one less, and none after the first that is not (Holm, 1979).
func holm(all []*comparedSet, alpha float64) {
	var tests []*comparedSet
	for _, s := range all {
		if s.f.Samples != nil && s.f.Samples.P != nil {
			tests = append(tests, s)
		}
	}
	slices.SortStableFunc(tests, func(a, b *comparedSet) int { return cmp.Compare(a.comp.P, b.comp.P) })
	step := 0
	for i, s := range tests {
		s.f.Samples.Need = new(alpha / float64(len(tests)-step))
		if i == step && s.comp.P < *s.f.Samples.Need {
			step++
		}
	}
}

// judge is the finding.
func (s *comparedSet) judge(base, now int) Finding {
	f, m := s.f, s.m
	name := f.name()
	switch {
	case s.unknown != "":
		f.Level, f.Cause, f.Message = Open, NotRecorded, name+" "+s.unknown
	case f.Samples.P == nil && s.worse:
		f.Level, f.Message = Fail, fmt.Sprintf("%s is %s in the middle of %d captures, beyond the limit %s", name, figureText(m, *f.New), now, f.Limit)
	case f.Samples.P == nil:
	case s.open:
		f.Level, f.Message = Open, fmt.Sprintf("%s: lost events could turn how it stands against the limit %s", name, f.Limit)
	case s.worse && s.comp.P < *f.Samples.Need:
		f.Level, f.Message = Fail, fmt.Sprintf("%s, medians of %d and %d captures, beyond the limit %s by more than chance (%s)",
			moved(name, m, *f.Base, *f.New), base, now, f.Limit, pText(s.comp.P))
		if f.Most = s.most(); len(f.Most) > 0 && !improved(m, *f.Base, *f.New) {
			f.Message += "; " + sharesText(f.Most)
		}
	case s.tooFewOf >= *f.Samples.Need:
		f.Level, f.Cause, f.Message = Open, TooFew, fmt.Sprintf("%s: %d and %d captures are too few to tell; record %d on each side", name, base, now, enough(*f.Samples.Need))
	}
	return f
}

func pText(p float64) string {
	if p < 0.001 {
		return "p < 0.001"
	}
	return fmt.Sprintf("p = %.3f", p)
}

// most says where most of the worsening lies, between the captures of median figure.
func (s *comparedSet) most() []Share {
	return mostOf(s.m, middle(s.m, s.l.Part, s.was), middle(s.m, s.l.Part, s.is))
}

// middle is the run with the median figure.
func middle(m *metric, p Part, runs []*EntryRun) *EntryRun {
	sorted := slices.SortedStableFunc(slices.Values(runs), func(a, b *EntryRun) int {
		x, _ := a.figure(p, m.name)
		y, _ := b.figure(p, m.name)
		return cmp.Compare(x.Milli, y.Milli)
	})
	return sorted[(len(sorted)-1)/2]
}

// enough is how many captures on each side can have a p below need.
func enough(need float64) int {
	n := 2
	for n < 1000 && 2/binomial(2*n, n) >= need {
		n++
	}
	return n
}

// binomial is n over k.
func binomial(n, k int) float64 {
	b := 1.0
	for i := 1; i <= k; i++ {
		b *= float64(n-k+i) / float64(i)
	}
	return b
}

// samples is the table of all figures of a set: the noise of both sides, and how likely
// they differ by chance.
func (t *textReport) samples(v *Verdict) {
	cols := []column{
		{name: "", width: 29}, {name: "base", figure: true}, {name: "", figure: true}, {name: "new", figure: true}, {name: "", figure: true},
		{name: "p", figure: true}, {name: ""},
	}
	var rows [][]string
	for i := range v.Figures {
		f := &v.Figures[i]
		s := f.Samples
		if s == nil {
			continue
		}
		base, noise, p := "–", "", "–"
		if f.Base != nil {
			base, noise = short3(s.Base.Median), s.Base.noise()
		}
		if s.P != nil {
			p = strings.TrimPrefix(strings.TrimPrefix(pText(*s.P), "p "), "= ")
		}
		level := string(f.Level)
		if f.Level == Held {
			level = ""
		}
		rows = append(rows, []string{f.Resolver + " " + f.name(), base, noise, short3(s.New.Median), s.New.noise(), p, level})
	}
	if len(rows) > 0 {
		t.title(fmt.Sprintf("%d captures against %d of the baseline: medians, 95 %% intervals", v.Captures[1], v.Captures[0]))
		t.table(cols, rows)
		fmt.Fprintln(&t.b)
	}
}

// short3 has four digits.
func short3(x float64) string {
	if math.Abs(x) >= 1000 {
		return count(int64(math.Round(x)))
	}
	return fmt.Sprintf("%.4g", x)
}
