package explore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/replay/replay/sim/protocol"
)

// Case is a small situation: objects, threads, and what must not happen. It is read from
// text by [ParseCase].
type Case struct {
	Name      string
	File      string // that it is from
	Doc       string // its comment
	Litmus    bool   // it is of a memory model, not of a hazard
	Hazards   []Hazard
	Resolvers []string
	Models    []Model
	// Wrap is how many bits a 32-bit sequence has here, 0 for enough.
	Wrap    uint8
	Objects []Object
	Threads []Thread
	Never   []Condition // all of them at the end are a violation
	Breaks  []Break
	Holding []Break  // without these rules it holds all the same: another guards
	Without []string // rules that the kernel of the case does not have
	Library *protocol.Library
	names   map[string]int // of objects, to their handles
	noHits  bool           // no thread looks anything up: the resolver does not matter
}

// Object is a thing in memory at the start, and what its words hold.
type Object struct {
	Name  string
	Kind  protocol.Kind
	Words []Word
}

// Word is one word of an object.
type Word struct {
	Field protocol.Field
	Index int // of a slot
	Value protocol.Value
}

// Thread is a sequence of programs.
type Thread struct {
	Name string
	Does []Do
}

// Do is a program, or steps of the case's own, and what registers hold before.
type Do struct {
	Program string
	Sets    []Set
}

// Hazard is what the case is about: a mistake that somebody could make, or made.
type Hazard struct {
	ID      string
	Rules   []string // that prevent it; none where nothing has to
	By      string   // who raised it
	Message string   // and in which message; "" where that is not known
}

// Set is a register's value.
type Set struct {
	Reg   protocol.Reg
	Value protocol.Value
}

// Condition is what a register of a thread, or a word of an object, is at the end.
type Condition struct {
	Thread int // -1: a word
	Reg    protocol.Reg
	Object int // its handle
	Field  protocol.Field
	Value  protocol.Value
	Not    bool
}

// Break says where a counterexample is expected: with one of the resolvers, or with all;
// without some rules, or with all of them.
type Break struct {
	Resolvers []string
	Without   []string
	Models    []Model
}

// NoHits reports whether nothing is looked up in the case, so that it is the same with
// every resolver.
func (c *Case) NoHits() bool { return c.noHits }

// Expected reports whether a counterexample is, for a resolver and rules that are off.
func (c *Case) Expected(resolver string, off []string, m Model) bool {
	return slices.ContainsFunc(c.Breaks, func(b Break) bool {
		return b.of(resolver) && slices.Equal(b.Without, off) && slices.Contains(b.Models, m)
	})
}

// of reports whether the line is about a resolver. One about rules that names none is
// about the series, as posted and as merged.
func (b *Break) of(resolver string) bool {
	if len(b.Resolvers) > 0 {
		return slices.Contains(b.Resolvers, resolver)
	}
	return len(b.Without) == 0 || slices.Contains(series, resolver)
}

var series = []string{"speculative", "speculative-merged"}

// Mutations lists the sets of rules that the case is to be explored without.
func (c *Case) Mutations() [][]string {
	var all [][]string
	for _, b := range slices.Concat(c.Breaks, c.Holding) {
		if len(b.Without) > 0 && !slices.ContainsFunc(all, func(m []string) bool { return slices.Equal(m, b.Without) }) {
			all = append(all, b.Without)
		}
	}
	return all
}

// MutationResolvers lists those that a mutation is explored with.
func (c *Case) MutationResolvers(off []string) []string {
	var named []string
	for _, r := range c.Resolvers {
		if slices.ContainsFunc(slices.Concat(c.Breaks, c.Holding), func(b Break) bool { return slices.Equal(b.Without, off) && (c.noHits || b.of(r)) }) {
			named = append(named, r)
		}
	}
	return named
}

// caseParser reads a case line by line.
type caseParser struct {
	c       *Case
	own     []string // programs of the case's own, on the lines that they are on in the case
	at      int      // the line that is read
	thread  *Thread
	raw     int // threads' own steps so far
	inRaw   bool
	inOwn   bool
	pending []pending // what needs names that come later
}

// pending is what is left to do of a line.
type pending struct {
	at int
	do func() error
}

func (p *caseParser) later(do func() error) { p.pending = append(p.pending, pending{p.at, do}) }

// ParseCase reads one case. name is for errors.
func ParseCase(name, text string) (*Case, error) {
	lines := strings.Split(text, "\n")
	p := caseParser{c: &Case{File: name, names: map[string]int{}}, own: make([]string, len(lines))}
	for i, line := range lines {
		p.at = i
		if err := p.line(line); err != nil {
			return nil, &protocol.Error{Name: name, Line: i + 1, Err: err}
		}
	}
	for _, later := range p.pending {
		if err := later.do(); err != nil {
			return nil, &protocol.Error{Name: name, Line: later.at + 1, Err: err}
		}
	}
	return p.finish(name)
}

func (p *caseParser) finish(name string) (*Case, error) {
	c := p.c
	fail := func(format string, args ...any) (*Case, error) {
		return nil, &protocol.Error{Name: name, Line: 1, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case c.Name == "":
		return fail("no case: want a line case NAME first")
	case len(c.Threads) == 0:
		return fail("case %s has no thread", c.Name)
	case len(c.Threads) > threadMax:
		return fail("case %s has %d threads: at most %d are explored", c.Name, len(c.Threads), threadMax)
	}
	library, err := protocol.Parse(protocol.Kernel(), name, strings.Join(p.own, "\n"))
	if err != nil {
		return nil, err
	}
	c.Library = library
	if len(c.Models) == 0 {
		c.Models = Models()
	}
	if c.noHits, err = c.looksNothingUp(); err != nil {
		return nil, &protocol.Error{Name: name, Line: 1, Err: err}
	}
	if len(c.Resolvers) == 0 {
		for _, r := range protocol.Resolvers() {
			if r.Explored {
				c.Resolvers = append(c.Resolvers, r.Name)
			}
		}
	}
	if c.noHits {
		c.Resolvers = []string{"speculative"} // whose writers they may be
	}
	return c, nil
}

// looksNothingUp reports whether no program of the case has a lookup in it. It also finds
// programs that cannot be put together.
func (c *Case) looksNothingUp() (bool, error) {
	nothing := true
	for _, t := range c.Threads {
		for _, do := range t.Does {
			p, err := c.Library.Assemble(do.Program, nil, nil)
			if err != nil {
				return false, fmt.Errorf("thread %s: %w", t.Name, err)
			}
			if slices.ContainsFunc(p, func(s protocol.Step) bool { return s.Op == protocol.Begin }) {
				nothing = false
			}
		}
	}
	return nothing, nil
}

var errNoName = errors.New("a case has one name")

func (p *caseParser) line(line string) error {
	text, comment, _ := strings.Cut(line, "#")
	w := strings.Fields(text)
	c := p.c
	if len(w) == 0 {
		if c.Name == "" && comment != "" {
			c.Doc = strings.TrimSpace(c.Doc + " " + strings.TrimSpace(comment))
		}
		return nil
	}
	if inside := line[0] == ' ' || line[0] == '\t' || len(w) == 1 && strings.HasSuffix(w[0], ":"); inside && p.inOwn {
		p.own[p.at] = line
		return nil
	} else if inside && p.thread != nil {
		return p.step(line, w)
	}
	p.thread, p.inRaw, p.inOwn = nil, false, false
	switch w[0] {
	case "case":
		if len(w) != 2 || c.Name != "" {
			return errNoName
		}
		c.Name = w[1]
	case "hazard":
		return p.hazard(w[1:])
	case "resolvers":
		for _, name := range w[1:] {
			if _, err := protocol.FindResolver(name); err != nil {
				return err
			}
		}
		c.Resolvers = w[1:]
	case "memory":
		models, err := parseModels(w[1:])
		c.Models = models
		return err
	case "wrap":
		if len(w) != 2 {
			return errors.New("wrap wants a number of bits")
		}
		n, err := strconv.ParseUint(w[1], 10, 8)
		if err != nil || n == 0 || n > 7 {
			return fmt.Errorf("wrap %s: want 1 to 7 bits", w[1])
		}
		c.Wrap = uint8(n)
	case "object":
		return p.object(w[1:])
	case "thread":
		if len(w) != 2 {
			return errors.New("a thread has one name")
		}
		if slices.ContainsFunc(c.Threads, func(t Thread) bool { return t.Name == w[1] }) {
			return fmt.Errorf("there is a thread %s already", w[1])
		}
		c.Threads = append(c.Threads, Thread{Name: w[1]})
		p.thread = &c.Threads[len(c.Threads)-1]
	case "never":
		p.later(func() error { return p.never(w[1:]) })
	case "breaks", "holds":
		return p.expects(w)
	case "kernel":
		if len(w) < 3 || w[1] != "without" {
			return errors.New("kernel wants without and rules")
		}
		c.Without = w[2:]
		return p.knownRules(c.Without)
	case "program", "rule":
		p.inOwn = w[0] == "program"
		p.own[p.at] = line
	default:
		return fmt.Errorf("unknown word %q: want one of case, hazard, resolvers, memory, wrap, kernel, object, thread, program, rule, never, breaks, holds", w[0])
	}
	return nil
}

func parseModels(words []string) ([]Model, error) {
	var models []Model
	for _, word := range words {
		m, err := ParseModel(word)
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	if len(models) == 0 {
		return nil, errors.New("no memory model given")
	}
	return models, nil
}

// hazard reads ID RULE[+RULE] WHO... [MESSAGE], with - for what there is not.
func (p *caseParser) hazard(w []string) error {
	if len(w) < 3 {
		return errors.New("hazard: want hazard NAME RULE WHO MESSAGE, with - for what there is not")
	}
	h := Hazard{ID: w[0]}
	if w[1] != "-" {
		h.Rules = strings.Split(w[1], "+")
		if err := p.knownRules(h.Rules); err != nil {
			return err
		}
	}
	who := w[2:]
	if last := who[len(who)-1]; strings.Contains(last, "@") {
		h.Message, who = last, who[:len(who)-1]
	}
	h.By = strings.TrimPrefix(strings.Join(who, " "), "-")
	p.c.Hazards = append(p.c.Hazards, h)
	return nil
}

// object reads NAME KIND FIELD=VALUE...
func (p *caseParser) object(w []string) error {
	c := p.c
	if len(w) < 2 {
		return errors.New("an object needs a name and a kind")
	}
	if _, known := c.names[w[0]]; known {
		return fmt.Errorf("there is an object %s already", w[0])
	}
	kind, err := protocol.ParseKind(w[1])
	if err != nil {
		return err
	}
	at := len(c.Objects)
	c.Objects = append(c.Objects, Object{Name: w[0], Kind: kind})
	c.names[w[0]] = at + firstHandle
	if kind == protocol.VMA {
		c.Objects[at].Words = []Word{{Field: protocol.VMALockSeq, Value: 255}, {Field: protocol.VMAFlags, Value: 1}}
	}
	for _, setting := range w[2:] {
		field, value, ok := strings.Cut(setting, "=")
		if !ok {
			return fmt.Errorf("%q: want FIELD=VALUE", setting)
		}
		word := Word{}
		if kind == protocol.Node {
			page, err := strconv.ParseUint(field, 10, 8)
			if err != nil || page >= pageMax {
				return fmt.Errorf("%q: a slot is a page number below %d", setting, pageMax)
			}
			word.Field, word.Index = protocol.Slot, int(page)
		} else if word.Field, err = protocol.ParseField(kind, field); err != nil {
			return err
		}
		n := len(c.Objects[at].Words)
		c.Objects[at].Words = append(c.Objects[at].Words, word)
		p.later(func() (err error) {
			c.Objects[at].Words[n].Value, err = p.value(value)
			return err
		})
	}
	return nil
}

// value reads a number or an object's name.
func (p *caseParser) value(text string) (protocol.Value, error) {
	if handle, ok := p.c.names[text]; ok {
		return protocol.Value(handle), nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("%q is neither an object nor a number up to 255", text)
	}
	return n, nil
}

// step reads a line of a thread: do PROGRAM REG=VALUE..., or a step.
func (p *caseParser) step(line string, w []string) error {
	t := p.thread
	if w[0] != "do" {
		if !p.inRaw {
			p.raw++
			p.inRaw = true
			name := fmt.Sprintf("thread-%s-%d", t.Name, p.raw)
			t.Does = append(t.Does, Do{Program: name})
			p.own[p.at-1] = "program " + name // a line that is not of the program
		}
		p.own[p.at] = line
		return nil
	}
	p.inRaw = false
	if len(w) < 2 {
		return errors.New("do wants a program")
	}
	at := len(t.Does)
	t.Does = append(t.Does, Do{Program: w[1]})
	does := len(p.c.Threads) - 1
	for _, setting := range w[2:] {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return fmt.Errorf("%q: want REGISTER=VALUE", setting)
		}
		reg, err := protocol.ParseReg(name)
		if err != nil {
			return err
		}
		p.later(func() error {
			v, err := p.value(value)
			d := &p.c.Threads[does].Does[at]
			d.Sets = append(d.Sets, Set{reg, v})
			return err
		})
	}
	return nil
}

// never reads conditions with "and" between: THREAD:REG == VALUE, OBJECT.FIELD != VALUE.
func (p *caseParser) never(w []string) error {
	c := p.c
	for i := 0; i < len(w); i += 4 {
		if i+3 > len(w) || i+3 < len(w) && w[i+3] != "and" {
			return fmt.Errorf("never: want conditions such as T:r1 == 0, with \"and\" between")
		}
		cond := Condition{Thread: -1}
		switch w[i+1] {
		case "==":
		case "!=":
			cond.Not = true
		default:
			return fmt.Errorf("never: unknown test %q: want == or !=", w[i+1])
		}
		var err error
		if cond.Value, err = p.value(w[i+2]); err != nil {
			return err
		}
		if thread, reg, ok := strings.Cut(w[i], ":"); ok {
			cond.Thread = slices.IndexFunc(c.Threads, func(t Thread) bool { return t.Name == thread })
			if cond.Thread < 0 {
				return fmt.Errorf("never: there is no thread %q", thread)
			}
			if cond.Reg, err = protocol.ParseReg(reg); err != nil {
				return err
			}
		} else if object, field, ok := strings.Cut(w[i], "."); ok {
			kind := protocol.Globals
			cond.Object = handleGlobals
			if object != "g" {
				if cond.Object, ok = c.names[object]; !ok {
					return fmt.Errorf("never: there is no object %q", object)
				}
				kind = c.Objects[cond.Object-firstHandle].Kind
			}
			if cond.Field, err = protocol.ParseField(kind, field); err != nil {
				return err
			}
		} else {
			return fmt.Errorf("never: %q is neither THREAD:REGISTER nor OBJECT.FIELD", w[i])
		}
		c.Never = append(c.Never, cond)
	}
	return nil
}

// expects reads breaks [RESOLVER...] [without RULE[+RULE]] on MODEL..., and holds
// [RESOLVER...] without RULE[+RULE].
func (p *caseParser) expects(w []string) error {
	b := Break{}
	word, w := w[0], w[1:]
	if word == "breaks" {
		on := slices.Index(w, "on")
		if on < 0 {
			return errors.New("breaks wants [RESOLVER...] [without RULE+RULE] on MODEL, or several of each")
		}
		var err error
		if b.Models, err = parseModels(w[on+1:]); err != nil {
			return err
		}
		w = w[:on]
	}
	if without := slices.Index(w, "without"); without >= 0 {
		if len(w) != without+2 {
			return fmt.Errorf("%s: without wants rules, with + between", word)
		}
		b.Without = strings.Split(w[without+1], "+")
		if err := p.knownRules(b.Without); err != nil {
			return err
		}
		w = w[:without]
	}
	for _, name := range w {
		if _, err := protocol.FindResolver(name); err != nil {
			return err
		}
		b.Resolvers = append(b.Resolvers, name)
	}
	if word == "breaks" {
		p.c.Breaks = append(p.c.Breaks, b)
		return nil
	}
	if len(b.Without) == 0 {
		return errors.New("holds wants [RESOLVER...] without RULE+RULE; that it holds with all rules needs no line")
	}
	p.c.Holding = append(p.c.Holding, b)
	return nil
}

// knownRules asks, once all is read, whether there are rules of these names.
func (p *caseParser) knownRules(rules []string) error {
	p.later(func() error {
		for _, rule := range rules {
			if !protocol.Kernel().HasRule(rule) && !strings.Contains(strings.Join(p.own, "\n"), "rule "+rule+" ") {
				return fmt.Errorf("unknown rule %q", rule)
			}
		}
		return nil
	})
	return nil
}
