package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/replay/replay/sim/explore"
	"github.com/replay/replay/sim/protocol"
)

// ProofSchema names the shape of a Proof in JSON.
const ProofSchema = "replay.prove/1"

// Proof is what explorations of the protocol found.
type Proof struct {
	Schema string      `json:"schema"`
	Cases  []ProofCase `json:"cases"`

	explorations []explore.Exploration
	results      []*explore.Result
}

// ProofCase is one exploration.
type ProofCase struct {
	Case           string          `json:"case"`
	Resolver       *string         `json:"resolver"` // null where nothing is looked up
	Mutation       *string         `json:"mutation"` // rules that are off, with + between
	MemoryModel    string          `json:"memory_model"`
	States         int             `json:"states"`
	Verdict        string          `json:"verdict"` // holds, counterexample, or unknown when the bound was reached
	Expected       string          `json:"expected"`
	Counterexample *Counterexample `json:"counterexample"`
}

// Counterexample is an order of steps in which a property is broken.
type Counterexample struct {
	Property string        `json:"property"`
	Text     string        `json:"text"`
	Schedule string        `json:"schedule"`
	Steps    []explore.Row `json:"steps"`
}

// NewProof returns a Proof without cases.
func NewProof() *Proof { return &Proof{Schema: ProofSchema, Cases: []ProofCase{}} }

// Add appends an exploration.
func (p *Proof) Add(e explore.Exploration, r *explore.Result) {
	c := ProofCase{
		Case: e.Case.Name, MemoryModel: e.Options.Model.String(), States: r.States, Verdict: verdictName(r.Verdict), Expected: string(explore.Holds),
	}
	if e.Counterexample {
		c.Expected = string(explore.Counterexample)
	}
	if !e.Case.NoHits() {
		c.Resolver = &e.Options.Resolver
	}
	if len(e.Options.Off) > 0 {
		mutation := strings.Join(e.Options.Off, "+")
		c.Mutation = &mutation
	}
	if r.Violation != nil {
		c.Counterexample = &Counterexample{r.Violation.Property, r.Violation.Text, r.Schedule, r.Rows}
	}
	p.Cases = append(p.Cases, c)
	p.explorations = append(p.explorations, e)
	p.results = append(p.results, r)
}

func verdictName(v explore.Verdict) string {
	if v == explore.Bounded {
		return "unknown"
	}
	return string(v)
}

// Surprises counts the verdicts that are not the expected ones.
func (p *Proof) Surprises() int { return p.count((*ProofCase).surprise) }

func (c *ProofCase) surprise() bool { return c.Verdict != c.Expected && c.Verdict != "unknown" }

// Counterexamples counts the explorations that found one.
func (p *Proof) Counterexamples() int {
	return p.count(func(c *ProofCase) bool { return c.Verdict == string(explore.Counterexample) })
}

// Unknown counts the explorations that reached their bound.
func (p *Proof) Unknown() int {
	return p.count(func(c *ProofCase) bool { return c.Verdict == "unknown" })
}

func (p *Proof) count(is func(*ProofCase) bool) int {
	n := 0
	for i := range p.Cases {
		if is(&p.Cases[i]) {
			n++
		}
	}
	return n
}

// JSON writes p.
func (p *Proof) JSON(w io.Writer) error { return writeJSON(w, p) }

// Text writes p for people: a line for what goes together, and counterexamples: all if
// asked, else those that were not expected, or were asked for; of a case and its rules
// the shortest.
func (p *Proof) Text(w io.Writer, asked, all bool) error {
	b := &strings.Builder{}
	p.summary(b)
	for _, i := range p.shown(asked, all) {
		b.WriteByte('\n')
		p.counterexample(b, i)
	}
	p.total(b)
	return writeTrimmed(w, b.String())
}

// writeTrimmed writes text without the blanks that a table leaves at the ends of lines.
func writeTrimmed(w io.Writer, text string) error {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n"))
	return err
}

// summary has for each case, for each set of rules that are off, the verdicts with the
// resolvers and models that they are of.
func (p *Proof) summary(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for i := 0; i < len(p.Cases); {
		j := i
		for j < len(p.Cases) && p.sameGroup(i, j) {
			j++
		}
		p.group(t, i, j)
		i = j
	}
	t.Flush()
}

func (p *Proof) sameGroup(i, j int) bool {
	a, b := &p.explorations[i], &p.explorations[j]
	return a.Case == b.Case && slices.Equal(a.Options.Off, b.Options.Off)
}

// verdictLine is one verdict of a group, with the resolvers that have it on the same
// models.
type verdictLine struct {
	verdict, models string
	surprise        bool
	resolvers       []string
	states          int
}

func (p *Proof) group(w io.Writer, i, j int) {
	name, rules := p.Cases[i].Case, "all rules"
	if i > 0 && p.explorations[i-1].Case == p.explorations[i].Case {
		name = ""
	}
	if m := p.Cases[i].Mutation; m != nil {
		rules = "without " + *m
	}
	for _, l := range p.lines(i, j) {
		mark := ""
		if l.surprise {
			mark = "NOT EXPECTED"
		}
		who := strings.Join(l.resolvers, " ")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, rules, l.verdict, l.models, count(int64(l.states)), who, mark)
		name, rules = "", ""
	}
}

func (p *Proof) lines(i, j int) []verdictLine {
	var resolvers []string
	for k := i; k < j; k++ {
		if r := p.explorations[k].Options.Resolver; !slices.Contains(resolvers, r) {
			resolvers = append(resolvers, r)
		}
	}
	var lines []verdictLine
	for _, verdict := range []string{"holds", "counterexample", "unknown"} {
		for _, surprise := range []bool{false, true} {
			for _, r := range resolvers {
				l := verdictLine{verdict: verdict, surprise: surprise}
				for k := i; k < j; k++ {
					c := &p.Cases[k]
					if p.explorations[k].Options.Resolver == r && c.Verdict == verdict && c.surprise() == surprise {
						l.models = strings.TrimSpace(l.models + " " + c.MemoryModel)
						l.states += c.States
						if c.Resolver != nil {
							l.resolvers = []string{r}
						}
					}
				}
				if l.models == "" {
					continue
				}
				if n := len(lines) - 1; n >= 0 && lines[n].verdict == verdict && lines[n].surprise == surprise && lines[n].models == l.models {
					lines[n].resolvers = append(lines[n].resolvers, l.resolvers...)
					lines[n].states += l.states
					continue
				}
				lines = append(lines, l)
			}
		}
	}
	return lines
}

// shown picks the counterexamples to print.
func (p *Proof) shown(asked, all bool) []int {
	var picked []int
	for i := range p.Cases {
		c := &p.Cases[i]
		if len(p.results[i].Rows) == 0 || !all && !asked && c.Expected == c.Verdict {
			continue
		}
		if n := len(picked) - 1; !all && n >= 0 && p.sameGroup(picked[n], i) {
			if len(p.results[i].Rows) < len(p.results[picked[n]].Rows) {
				picked[n] = i
			}
			continue
		}
		picked = append(picked, i)
	}
	return picked
}

func (p *Proof) counterexample(b *strings.Builder, i int) {
	c := &p.Cases[i]
	e := &p.explorations[i]
	title := c.Case
	recipe := "replay prove"
	if e.Case.File != c.Case+".case" {
		recipe += " " + e.Case.File
	} else {
		recipe += " " + c.Case
	}
	if c.Resolver != nil {
		title += ", " + *c.Resolver
		recipe += " --resolver " + *c.Resolver
	}
	if c.Mutation != nil {
		title += " without " + *c.Mutation
		recipe += " --mutate " + *c.Mutation
	}
	title += ", " + c.MemoryModel
	recipe += " --memory " + c.MemoryModel
	if c.Counterexample != nil {
		fmt.Fprintf(b, "Counterexample of %s\n%s: %s\n", title, c.Counterexample.Property, c.Counterexample.Text)
	} else {
		fmt.Fprintf(b, "Steps of %s\n", title) // of a schedule
	}
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for n, row := range p.results[i].Rows {
		fmt.Fprintf(t, "%4d\t%s\t%s\t%s\t%s\n", n+1, row.Thread, row.Frame, row.Step, row.Value)
	}
	t.Flush()
	fmt.Fprintf(b, "Again: %s --schedule %q\n", recipe, p.results[i].Schedule)
}

func (p *Proof) total(b *strings.Builder) {
	states := 0
	for i := range p.Cases {
		states += p.Cases[i].States
	}
	fmt.Fprintf(b, "\n%s, %s states (at most %s each): ", plural(int64(len(p.Cases)), "exploration"), count(int64(states)), count(int64(p.bound())))
	switch n, unknown := p.Surprises(), p.Unknown(); {
	case unknown > 0:
		fmt.Fprintf(b, "%s reached the bound, which says nothing; give --states more\n", count(int64(unknown)))
	case n > 0:
		fmt.Fprintf(b, "%s with another verdict than expected\n", count(int64(n)))
	default:
		fmt.Fprintf(b, "every verdict as expected, with %s\n", plural(int64(p.Counterexamples()), "counterexample"))
	}
}

func (p *Proof) bound() int {
	if len(p.results) > 0 && p.results[0].Options.States > 0 {
		return p.results[0].Options.States
	}
	return explore.StatesMax
}

// Hazards writes the table of the hazards that cases are about.
func Hazards(w io.Writer, cases []*explore.Case) error {
	b := &strings.Builder{}
	hazards(b, cases)
	return writeTrimmed(w, b.String())
}

func hazards(w io.Writer, cases []*explore.Case) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "hazard\tcase\trule that prevents it\traised by\tcommand\n")
	type line struct {
		c *explore.Case
		h explore.Hazard
	}
	var lines []line
	for _, c := range cases {
		for _, h := range c.Hazards {
			lines = append(lines, line{c, h})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return compareNatural(a.h.ID, b.h.ID) })
	for _, l := range lines {
		rule, command := "none needed", "replay prove "+l.c.Name
		if len(l.h.Rules) > 0 {
			rule = strings.Join(l.h.Rules, "+")
			command += " --mutate " + rule
		}
		by := strings.TrimSpace(l.h.By + " " + l.h.Message)
		if by == "" {
			by = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", l.h.ID, l.c.Name, rule, by, command)
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, rule := range protocol.Kernel().Rules() {
		fmt.Fprintf(t, "%s\t%s\n", rule.Name, rule.Doc)
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, c := range cases {
		fmt.Fprintf(t, "%s\t%s\n", c.Name, c.Doc)
	}
	t.Flush()
}

// compareNatural orders d.2 before d.10.
func compareNatural(a, b string) int {
	number := func(s string) (int, string) {
		n, i := 0, strings.IndexAny(s, "0123456789")
		for ; i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			n = n*10 + int(s[i]-'0')
		}
		return n, s
	}
	an, as := number(a)
	bn, bs := number(b)
	if an != bn {
		return an - bn
	}
	return strings.Compare(as, bs)
}
