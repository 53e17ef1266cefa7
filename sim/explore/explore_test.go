package explore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/sim/protocol"
)

// small are the built-in cases that take no time.
func small() []*Case {
	return slices.DeleteFunc(BuiltIn(), func(c *Case) bool { return c.Name == "busy" })
}

func find(t *testing.T, name string) *Case {
	t.Helper()
	for _, c := range BuiltIn() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no case %s", name)
	return nil
}

func explore(t *testing.T, c *Case, o Options) *Result {
	t.Helper()
	r, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func planOf(t *testing.T, cases []*Case, s Selection) []Exploration {
	t.Helper()
	plan, err := Plan(cases, s)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func (e Exploration) String() string {
	return fmt.Sprintf("%s, %s, without %v, %v", e.Case.Name, e.Options.Resolver, e.Options.Off, e.Options.Model)
}

// Every built-in case has the verdicts that it says, and every counterexample's schedule
// leads to it again.
func TestCases(t *testing.T) {
	t.Parallel()
	cases := BuiltIn()
	if testing.Short() {
		cases = small()
	}
	broken := 0
	for _, e := range planOf(t, cases, Selection{}) {
		r := explore(t, e.Case, e.Options)
		if (r.Verdict == Counterexample) != e.Counterexample || r.Verdict == Bounded {
			t.Errorf("%v: %s: %v\n%s", e, r.Verdict, r.Violation, table(r))
		}
		if r.Verdict != Counterexample {
			continue
		}
		broken++
		again, err := Replay(e.Case, e.Options, r.Schedule)
		if err != nil {
			t.Errorf("%v: %v", e, err)
		} else if again.Violation == nil || *again.Violation != *r.Violation || table(again) != table(r) || again.Schedule != r.Schedule {
			t.Errorf("%v: the schedule %q leads to %v instead of %v", e, r.Schedule, again.Violation, r.Violation)
		}
	}
	if broken < 100 {
		t.Errorf("vacuous: %d counterexamples", broken)
	}
}

func table(r *Result) string {
	var b strings.Builder
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%-10s %-35s %-40s %s\n", row.Thread, row.Frame, row.Step, row.Value)
	}
	return b.String()
}

// Each hazard that is modelled has a case.
func TestHazards(t *testing.T) {
	named := map[string]bool{}
	for _, c := range BuiltIn() {
		for _, h := range c.Hazards {
			named[h.ID] = true
			shown := slices.ContainsFunc(c.Breaks, func(b Break) bool { return slices.Equal(b.Without, h.Rules) })
			if len(h.Rules) > 0 && !shown {
				t.Errorf("case %s, %s: nothing breaks without %v", c.Name, h.ID, h.Rules)
			}
		}
		if c.Doc == "" {
			t.Errorf("case %s has no description", c.Name)
		}
	}
	for _, hazard := range strings.Fields("d.1 d.2 d.3 d.4 d.4b d.4c d.5 d.6 d.7 d.8 d.9 d.10 d.11 d.12 d.12b d.14 d.15 d.17 d.18 d.19 d.21 d.23 d.24 d.25 d.27") {
		if !named[hazard] {
			t.Errorf("no case for %s", hazard)
		}
	}
	// Every rule is taken away somewhere, and that shows.
	for _, rule := range protocol.Kernel().Rules() {
		shown := slices.ContainsFunc(BuiltIn(), func(c *Case) bool {
			return slices.ContainsFunc(c.Breaks, func(b Break) bool { return slices.Contains(b.Without, rule.Name) })
		})
		if !shown && rule.Name != "vma-grace" { // which torn and other-mm are without
			t.Errorf("no case breaks without %s", rule.Name)
		}
	}
}

// In cases that the series is to hold in, lookups do end without the lock, and do fall
// back because of a writer: both sides of what is proved are there.
func TestNotVacuous(t *testing.T) {
	for _, name := range []string{"range", "reuse", "freed-vma", "replaced", "fixed", "two-readers"} {
		for _, m := range Models() {
			r := explore(t, find(t, name), Options{Resolver: "speculative", Model: m})
			if r.Lockless == 0 || r.Fallen == 0 || r.Refused[protocol.WriterActive] == 0 || r.Refused[protocol.SeqChanged] == 0 {
				t.Errorf("%s, %v: %d lockless answers, %d others, refused %v", name, m, r.Lockless, r.Fallen, r.Refused)
			}
		}
	}
}

// What a stronger model shows, a weaker one shows, too; and leaving out orders that do
// not matter changes no verdict.
func TestReduction(t *testing.T) {
	reduced, all := 0, 0
	for _, e := range planOf(t, small(), Selection{}) {
		if e.Case.Name == "replaced" || e.Case.Name == "iriw-mbs" {
			continue // large without reduction
		}
		r := explore(t, e.Case, e.Options)
		full := e.Options
		full.Full = true
		f := explore(t, e.Case, full)
		if f.Verdict != r.Verdict {
			t.Errorf("%v: %s, and %s when every order is explored\n%s", e, r.Verdict, f.Verdict, table(f))
		}
		if f.Verdict == Holds {
			reduced += r.States
			all += f.States
		}
		if e.Options.Model != Weak && r.Verdict == Counterexample && !e.Case.Expected(e.Options.Resolver, e.Options.Off, Weak) {
			t.Errorf("%v: a counterexample that the weak model does not have", e)
		}
	}
	if reduced*2 > all {
		t.Errorf("%d states instead of %d: hardly anything is left out", reduced, all)
	}
}

// Mistakes in the explorer are noticed by the cases.
func TestMutants(t *testing.T) {
	for name, faults := range map[string]Faults{"fences without effect": {NoFence: true}, "an order that is skipped": {Skip: true}} {
		for _, m := range []Model{TSO, Weak} {
			noticed := 0
			for _, e := range planOf(t, small(), Selection{Models: []Model{m}}) {
				e.Options.faults = faults
				if r := explore(t, e.Case, e.Options); (r.Verdict == Counterexample) != e.Counterexample {
					noticed++
				}
			}
			if noticed == 0 {
				t.Errorf("%s, under %v: nothing is noticed", name, m)
			}
		}
	}
}

// One step of a program that is another changes what the explorer finds.
func TestOneStep(t *testing.T) {
	text := mustRead(t, "hazards/range.case")
	for name, c := range map[string]struct {
		program  string
		property string
	}{
		"as it is":          {"", ""},
		"no comparison":     {"program compare\n  fence read\n", "P2"},
		"compares too soon": {"program walk-speculative\n  use find-vma\n  refuse no_vma if vma == 0 goto out\n  now = load mm.seq\n  use read-file\n  use read-offset\n  use find-uprobe\n  refuse no_uprobe if uprobe == 0 goto out\nprogram compare\n  refuse seq_changed if now != seq goto out\n", "P2"},
		"waits":             {"program sample\n  seq = await mm.seq even\n", "P4"},
		"wrong offset":      {"program key\n  inode = load file.inode\n  offset = addr - start\n", "P2"},
	} {
		own, err := ParseCase("mine", text+"\n"+c.program)
		if err != nil {
			t.Fatal(err)
		}
		r := explore(t, own, Options{Resolver: "speculative", Model: SC})
		got := ""
		if r.Violation != nil {
			got = r.Violation.Property
		}
		if got != c.property {
			t.Errorf("%s: %q, want %q: %v", name, got, c.property, r.Violation)
		}
	}
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := caseFiles.ReadFile("cases/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The same exploration gives the same result.
func TestDeterministic(t *testing.T) {
	for _, m := range Models() {
		o := Options{Resolver: "speculative-v1", Model: m}
		a, b := explore(t, find(t, "reuse"), o), explore(t, find(t, "reuse"), o)
		if a.States != b.States || a.Moves != b.Moves || a.Schedule != b.Schedule || table(a) != table(b) {
			t.Errorf("%v: two runs differ", m)
		}
	}
}

// A bound that is reached gives no verdict.
func TestBound(t *testing.T) {
	r := explore(t, find(t, "replaced"), Options{Resolver: "speculative", Model: SC, States: 1000})
	if r.Verdict != Bounded || r.States != 1001 {
		t.Errorf("%s after %d states", r.Verdict, r.States)
	}
}

// Plans have what was asked for.
func TestPlan(t *testing.T) {
	cases := small()
	for _, c := range []struct {
		s    Selection
		want func(Exploration) bool
	}{
		{Selection{Resolvers: []string{"pervma"}}, func(e Exploration) bool {
			return e.Options.Resolver == "pervma" && len(e.Options.Off) == 0 && !e.Case.NoHits()
		}},
		{Selection{Models: []Model{TSO}}, func(e Exploration) bool { return e.Options.Model == TSO }},
		{Selection{Off: []string{"rmb"}}, func(e Exploration) bool {
			return e.Case.Name == "range" && slices.Equal(e.Options.Off, []string{"rmb"}) && slices.Contains(series, e.Options.Resolver)
		}},
		{Selection{Off: []string{"rmb", "wmb"}}, func(e Exploration) bool {
			return !e.Case.NoHits() && slices.Contains(series, e.Options.Resolver) && !e.Counterexample
		}},
		{Selection{Off: []string{"vma-recheck"}, Resolvers: []string{"pervma"}}, func(e Exploration) bool { return e.Options.Resolver == "pervma" }},
	} {
		plan := planOf(t, cases, c.s)
		if len(plan) == 0 || slices.ContainsFunc(plan, func(e Exploration) bool { return !c.want(e) }) {
			t.Errorf("%+v: %v", c.s, plan)
		}
	}
	if _, err := Plan(cases, Selection{Off: []string{"nonsense"}}); err == nil || !strings.HasPrefix(err.Error(), `unknown rule "nonsense": want one of mm-sequence, `) {
		t.Errorf("an unknown rule: %v", err)
	}
}

// Schedules that cannot be are refused, with the move that cannot.
func TestSchedule(t *testing.T) {
	for schedule, want := range map[string]string{
		"reader*2":        "",
		"nobody":          `schedule: move 1, "nobody": there is no thread "nobody"`,
		"reader*0":        `schedule: move 1, "reader*0": want a number up to 1000 after *`,
		"reader writer:x": `schedule: move 2, "writer:x": want a number or flush after the colon`,
		"reader:3":        "schedule: move 1, of reader, is not possible there",
		"writer reader":   "schedule: move 2, of reader, is not possible there",
		"writer:flush":    "schedule: move 1, of writer, is not possible there",
	} {
		r, err := Replay(find(t, "range"), Options{Resolver: "locked", Model: SC}, schedule)
		switch {
		case want == "" && (err != nil || r.Verdict != Holds || len(r.Rows) < 2):
			t.Errorf("%q: %v", schedule, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%q: %v, want %s", schedule, err, want)
		}
	}
}

// Faults in a case name the line and what is wanted.
func TestCaseErrors(t *testing.T) {
	const good = "case a\nobject A mm root=N\nobject N node 1=V\nobject V vma start=1\nthread t\n  do hit addr=1\n"
	if _, err := ParseCase("mine", good); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                                                "mine:1: no case: want a line case NAME first",
		"case a\n":                                        "mine:1: case a has no thread",
		"case a b":                                        "mine:1: a case has one name",
		good + "bogus x":                                  "mine:7: unknown word \"bogus\": want one of case, hazard",
		good + "  do munmap link=300":                     "mine:7: \"300\" is neither an object nor a number up to 255",
		good + "  do nonsense":                            "mine:1: thread t: unknown program \"nonsense\"",
		good + "  do hit adr=1":                           "mine:7: unknown register \"adr\"",
		good + "  do hit addr":                            "mine:7: \"addr\": want REGISTER=VALUE",
		good + "  do":                                     "mine:7: do wants a program",
		good + "  seq = load mm.sequence":                 "mine:7: unknown field \"sequence\" of mm",
		good + "object A mm":                              "mine:7: there is an object A already",
		good + "object B":                                 "mine:7: an object needs a name and a kind",
		good + "object B thing":                           "mine:7: unknown kind \"thing\"",
		good + "object B node 99=V":                       "mine:7: \"99=V\": a slot is a page number below 8",
		good + "object B vma begin=1":                     "mine:7: unknown field \"begin\" of vma",
		good + "object B vma start":                       "mine:7: \"start\": want FIELD=VALUE",
		good + "resolvers fast":                           "mine:7: unknown resolver \"fast\"",
		good + "memory strong":                            "mine:7: unknown memory model \"strong\": want sc, tso or weak",
		good + "wrap 9":                                   "mine:7: wrap 9: want 1 to 7 bits",
		good + "breaks without rmb":                       "mine:7: breaks wants [RESOLVER...]",
		good + "breaks without rnb on sc":                 "mine:7: unknown rule \"rnb\"",
		good + "holds locked":                             "mine:7: holds wants [RESOLVER...]",
		good + "never t:r9 == 0":                          "mine:7: unknown register \"r9\"",
		good + "never u:r0 == 0":                          "mine:7: never: there is no thread \"u\"",
		good + "never Q.seq == 0":                         "mine:7: never: there is no object \"Q\"",
		good + "never t:r0 = 0":                           "mine:7: never: unknown test \"=\": want == or !=",
		good + "never t:r0 == 0 t:r1 == 0":                "mine:7: never: want conditions such as T:r1 == 0",
		good + "kernel with rmb":                          "mine:7: kernel wants without and rules",
		good + "thread u\nthread v\nthread w\nthread x\n": "mine:1: case a has 5 threads: at most 4 are explored",
		good + "thread t\n":                               "mine:7: there is a thread t already",
		good + "program mine\n  jump":                     "mine:8: unknown step \"jump\"",
	} {
		_, err := ParseCase("mine", text)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	two, err := ParseCase("mine", good+"  do hit addr=2\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), two, Options{Resolver: "locked"}); err == nil || err.Error() != "case a, thread t: all lookups of a thread have to be of one address" {
		t.Errorf("two addresses: %v", err)
	}
	loop, err := ParseCase("mine", "case a\nthread t\nagain:\n  goto again\n")
	if err == nil {
		_, err = Run(t.Context(), loop, Options{Resolver: "locked"})
	}
	if err == nil {
		t.Error("no error for a loop that touches nothing")
	}
}

func FuzzParseCase(f *testing.F) {
	for _, name := range []string{"hazards/range.case", "hazards/fork-unregister.case", "litmus/mp-addr.case"} {
		text, err := caseFiles.ReadFile("cases/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCase("fuzz", text)
		if (c == nil) != (err != nil) {
			t.Fatal("a case and an error, or neither")
		}
		if err != nil {
			return
		}
		for _, m := range c.Models {
			for _, r := range c.Resolvers {
				_, _ = Run(t.Context(), c, Options{Resolver: r, Model: m, States: 2000})
			}
		}
	})
}
