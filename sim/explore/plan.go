package explore

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/replay/replay/sim/protocol"
)

//go:embed cases
var caseFiles embed.FS

// BuiltIn are the cases of this package: those of hazards, then those of memory models,
// each by name.
func BuiltIn() []*Case {
	var cases []*Case
	for _, class := range []string{"hazards", "litmus"} {
		entries, err := fs.ReadDir(caseFiles, path.Join("cases", class))
		if err != nil {
			panic(err)
		}
		for _, e := range entries {
			name := path.Join("cases", class, e.Name())
			text, err := fs.ReadFile(caseFiles, name)
			if err != nil {
				panic(err)
			}
			c, err := ParseCase(e.Name(), string(text))
			if err != nil {
				panic(err)
			}
			c.Litmus = class == "litmus"
			cases = append(cases, c)
		}
	}
	return cases
}

// Selection says what is to be explored of some cases. What is empty restricts nothing.
type Selection struct {
	Resolvers []string
	Models    []Model
	// Off are rules to take away, all at a time.
	Off []string
}

// Exploration is one run to be made, and what it is expected to find.
type Exploration struct {
	Case           *Case
	Options        Options
	Counterexample bool // is expected
}

// Plan lists the explorations of cases. Without resolvers or rules selected that is each
// case with every resolver it names, and then without the rules that it names. With
// rules, it is the cases that name these; if none does, those whose programs have them.
func Plan(cases []*Case, s Selection) ([]Exploration, error) {
	for _, rule := range s.Off {
		known := protocol.Kernel().HasRule(rule) || slices.ContainsFunc(cases, func(c *Case) bool { return c.Library.HasRule(rule) })
		if !known {
			var names []string
			for _, r := range protocol.Kernel().Rules() {
				names = append(names, r.Name)
			}
			return nil, fmt.Errorf("unknown rule %q: want one of %s", rule, strings.Join(names, ", "))
		}
	}
	var plan []Exploration
	add := func(c *Case, resolvers []string, off []string) {
		for _, m := range c.Models {
			if len(s.Models) > 0 && !slices.Contains(s.Models, m) {
				continue
			}
			for _, r := range resolvers {
				if len(s.Resolvers) == 0 || slices.Contains(s.Resolvers, r) && !c.noHits {
					plan = append(plan, Exploration{c, Options{Resolver: r, Off: off, Model: m}, c.Expected(r, off, m)})
				}
			}
		}
	}
	named := false
	for _, c := range cases {
		switch {
		case len(s.Off) == 0:
			add(c, c.Resolvers, nil)
			if len(s.Resolvers) == 0 {
				for _, off := range c.Mutations() {
					add(c, c.MutationResolvers(off), off)
				}
			}
		case len(c.MutationResolvers(s.Off)) > 0:
			named = true
			resolvers := c.MutationResolvers(s.Off)
			if len(s.Resolvers) > 0 {
				var err error
				if resolvers, err = c.affectedResolvers(s.Off); err != nil {
					return nil, err
				}
			}
			add(c, resolvers, s.Off)
		}
	}
	if len(s.Off) > 0 && !named {
		for _, c := range cases {
			resolvers, err := c.affectedResolvers(s.Off)
			if err != nil {
				return nil, err
			}
			if len(s.Resolvers) == 0 && !c.noHits {
				resolvers = slices.DeleteFunc(resolvers, func(r string) bool { return !slices.Contains(series, r) })
			}
			add(c, resolvers, s.Off)
		}
	}
	return plan, nil
}

// affectedResolvers are those whose programs the rules that are off change.
func (c *Case) affectedResolvers(off []string) (affected []string, err error) {
	for _, r := range c.Resolvers {
		is, err := c.affected(r, off)
		if err != nil {
			return nil, err
		}
		if is {
			affected = append(affected, r)
		}
	}
	return affected, nil
}

// affected reports whether rules that are off change any program of the case.
func (c *Case) affected(resolver string, off []string) (bool, error) {
	r, err := protocol.FindResolver(resolver)
	if err != nil {
		return false, err
	}
	for _, rule := range off {
		if !c.Library.HasRule(rule) {
			return false, nil
		}
	}
	for _, t := range c.Threads {
		for _, do := range t.Does {
			on, err := c.Library.Assemble(do.Program, r.Version, c.Without)
			if err != nil {
				return false, err
			}
			without, err := c.Library.Assemble(do.Program, r.Version, slices.Concat(c.Without, off))
			if err != nil {
				return false, err
			}
			if !reflect.DeepEqual(on, without) {
				return true, nil
			}
		}
	}
	return false, nil
}
