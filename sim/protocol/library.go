package protocol

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed programs.txt
var text string

// Library is a set of programs in the text form, and the rules that they rest on.
type Library struct {
	rules    []RuleDoc
	programs map[string][]sourceLine
	order    []string
}

// RuleDoc is what a rule asks for.
type RuleDoc struct{ Name, Doc string }

// Kernel returns the programs of this package. They are parsed when they are first asked
// for: most commands start without them.
var Kernel = sync.OnceValue(func() *Library {
	l, err := Parse(nil, "programs.txt", text)
	if err != nil {
		panic(err)
	}
	return l
})

// Error is a fault in a text, with its place.
type Error struct {
	Name string
	Line int
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %v", e.Name, e.Line, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Parse reads programs and rules. Those of base are there, too, unless the text has some
// of the same name.
func Parse(base *Library, name, text string) (*Library, error) {
	l := &Library{programs: map[string][]sourceLine{}}
	if base != nil {
		l.rules = slices.Clone(base.rules)
		l.order = slices.Clone(base.order)
		for _, program := range l.order {
			l.programs[program] = base.programs[program]
		}
	}
	current, fresh := "", map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		fail := func(err error) (*Library, error) { return nil, &Error{name, i + 1, err} }
		switch {
		case len(words) == 0:
			continue
		case words[0] == "rule":
			if len(words) < 3 {
				return fail(fmt.Errorf("a rule needs a name and what it asks for"))
			}
			l.rules = append(l.rules, RuleDoc{words[1], strings.Join(words[2:], " ")})
			continue
		case words[0] == "program":
			if len(words) != 2 {
				return fail(fmt.Errorf("a program needs one name"))
			}
			current = words[1]
			if fresh[current] {
				return fail(fmt.Errorf("there is a program %s already", current))
			}
			fresh[current] = true
			if _, known := l.programs[current]; !known {
				l.order = append(l.order, current)
			}
			l.programs[current] = nil
			continue
		case current == "":
			return fail(fmt.Errorf("%q is outside of any program", strings.TrimSpace(line)))
		}
		parsed, err := parseLine(line)
		if err != nil {
			return fail(err)
		}
		for _, rule := range parsed.rules {
			if !l.HasRule(rule.Name) {
				return fail(fmt.Errorf("unknown rule %q", rule.Name))
			}
		}
		l.programs[current] = append(l.programs[current], parsed)
	}
	return l, nil
}

// Rules lists the rules in their order.
func (l *Library) Rules() []RuleDoc { return slices.Clone(l.rules) }

// HasRule reports whether there is a rule of that name.
func (l *Library) HasRule(name string) bool {
	return slices.ContainsFunc(l.rules, func(r RuleDoc) bool { return r.Name == name })
}

// Programs lists the names of the programs in their order.
func (l *Library) Programs() []string { return slices.Clone(l.order) }

// Version picks among programs: of several with one name and different suffixes, that
// with the first of these suffixes is taken, else the one without.
type Version []string

// Off holds the rules that do not apply.
type Off []string

// Assemble puts a program together: what it uses is copied in.
func (l *Library) Assemble(name string, v Version, off Off) (Program, error) {
	for _, rule := range off {
		if !l.HasRule(rule) {
			return nil, fmt.Errorf("unknown rule %q: want one of %s", rule, l.ruleNames())
		}
	}
	a := assembler{library: l, version: v, off: off}
	if err := a.expand(name, nil); err != nil {
		return nil, err
	}
	for _, p := range a.pending {
		to, ok := p.scope.find(p.label)
		if !ok {
			return nil, fmt.Errorf("program %s: no label %q", p.scope.name, p.label)
		}
		a.steps[p.step].To = to
	}
	return a.steps, nil
}

func (l *Library) ruleNames() string {
	var names []string
	for _, r := range l.rules {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

type assembler struct {
	library *Library
	version Version
	off     Off
	frame   string
	steps   Program
	pending []pendingJump
}

type pendingJump struct {
	step  int
	label string
	scope *scope
}

// scope is where labels are known: in a program, then in the one that uses it.
type scope struct {
	name   string
	parent *scope
	labels map[string]int
	depth  int
}

func (s *scope) find(label string) (int, bool) {
	for ; s != nil; s = s.parent {
		if at, ok := s.labels[label]; ok {
			return at, true
		}
	}
	return 0, false
}

// depthMax bounds programs that use each other: a program cannot use itself.
const depthMax = 20

func (a *assembler) expand(name string, parent *scope) error {
	chosen, lines, err := a.library.choose(name, a.version)
	if err != nil {
		return err
	}
	in := &scope{name: chosen, parent: parent, labels: map[string]int{}}
	if parent != nil {
		in.depth = parent.depth + 1
	}
	if in.depth > depthMax {
		return fmt.Errorf("program %s: more than %d programs use each other: does one use itself?", chosen, depthMax)
	}
	frame := a.frame
	for _, line := range lines {
		if !a.applies(line.rules) {
			continue
		}
		switch {
		case line.label != "":
			in.labels[line.label] = len(a.steps)
		case line.frame != "":
			a.frame = line.frame
		case line.use != "":
			if err := a.expand(line.use, in); err != nil {
				return err
			}
		default:
			step := line.step
			step.Frame = a.frame
			if step.Op == If {
				a.pending = append(a.pending, pendingJump{len(a.steps), line.target, in})
			}
			a.steps = append(a.steps, step)
		}
	}
	a.frame = frame
	return nil
}

func (a *assembler) applies(rules []Rule) bool {
	for _, rule := range rules {
		if slices.Contains(a.off, rule.Name) != rule.Off {
			return false
		}
	}
	return true
}

func (l *Library) choose(name string, v Version) (string, []sourceLine, error) {
	for _, suffix := range v {
		if lines, ok := l.programs[name+"."+suffix]; ok {
			return name + "." + suffix, lines, nil
		}
	}
	lines, ok := l.programs[name]
	if !ok {
		return "", nil, fmt.Errorf("unknown program %q: want one of %s", name, strings.Join(l.order, ", "))
	}
	return name, lines, nil
}
