package sim

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/replay/replay/sim/protocol"
)

// Resolver is a way from the trap address to the uprobe, and what a section of mmap_lock
// does to the sequence in its kernel: the programs of package protocol, compiled.
type Resolver struct {
	protocol.Resolver
	// Alike is the resolver that reads the same lines, in another order: what else the two
	// do differently costs nothing here.
	Alike string

	// speculate runs first, where there is any; when a step refuses, locked answers.
	speculate, locked plan
	// before and after enclose the handlers.
	before, after plan
	// begin is that of a section held for write; end, or downgrade, its end.
	begin, end, downgrade plan
	// check is what the uprobe system call asks first: was it made from the trampoline? It
	// is the same whatever looks the uprobe up, since no kernel with optimised probes has
	// another (in_uprobe_trampoline, since 6.18).
	check *Resolver

	parts protocol.Parts // that speculate and locked are of
	// Off holds the rules that it does without.
	Off protocol.Off
}

// alike are resolvers that differ in barriers alone, which are nothing on x86.
var alike = map[string]string{"speculative-v1": "speculative-merged"}

// resolvers are all that there are, oldest kernel first, the upper bound last; each is
// compiled when it is first asked for.
var resolvers = func() (all []resolver) {
	for _, r := range protocol.Resolvers() {
		all = append(all, resolver{r.Name, sync.OnceValue(func() *Resolver {
			compiled, err := Compile(protocol.Kernel(), r, nil)
			if err != nil {
				panic(err)
			}
			return compiled
		})})
	}
	return all
}()

type resolver struct {
	name     string
	compiled func() *Resolver
}

// Compile makes a resolver of programs, without the rules that are off. Not all that can be
// explored can be timed.
func Compile(l *protocol.Library, r protocol.Resolver, off protocol.Off) (*Resolver, error) {
	c := &Resolver{Resolver: r, Alike: alike[r.Name], Off: off}
	var err error
	if c.parts, err = r.Parts(l, off); err != nil {
		return nil, err
	}
	check, err := protocol.Trampoline(l, off)
	if err != nil {
		return nil, err
	}
	c.check = &Resolver{Resolver: protocol.Resolver{Name: "in_uprobe_trampoline", SeqBits: 32, Explored: true}, Off: off, parts: check}
	for _, part := range []struct {
		program protocol.Program
		to      *plan
	}{
		{c.parts.Speculate, &c.speculate}, {c.parts.Locked, &c.locked}, {c.parts.Before, &c.before}, {c.parts.After, &c.after},
		{c.parts.Begin, &c.begin}, {c.parts.End, &c.end}, {c.parts.Downgrade, &c.downgrade},
		{check.Speculate, &c.check.speculate}, {check.Locked, &c.check.locked},
	} {
		if *part.to, err = compile(part.program); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return c, nil
}

// ErrUntimed is returned for rules of which the machine can show nothing.
var ErrUntimed = errors.New("nothing that is timed depends on it: the machine's memory has one order, and objects live as long as they are needed")

// Without returns the resolver without some rules.
func (r *Resolver) Without(rules ...string) (*Resolver, error) {
	broken, err := Compile(protocol.Kernel(), r.Resolver, rules)
	if err != nil {
		return nil, err
	}
	same := func(a, b plan) bool { return reflect.DeepEqual(a, b) }
	lookup := same(r.speculate, broken.speculate) && same(r.locked, broken.locked) && same(r.before, broken.before) && same(r.after, broken.after)
	section := same(r.begin, broken.begin) && same(r.end, broken.end) && same(r.downgrade, broken.downgrade)
	if lookup && (section || len(r.speculate) == 0) { // a lookup with the lock sees no section
		return nil, ErrUntimed
	}
	return broken, nil
}

// CheckLoads is how many lines the check of an optimised hit reads without the lock.
func CheckLoads() int64 { return resolvers[0].compiled().check.Loads() }

// Loads is how many lines the resolver reads without the lock.
func (r *Resolver) Loads() int64 { return r.speculate.loads() }

// locksVMAs reports whether lookups ask for the locks of VMAs.
func (r *Resolver) locksVMAs() bool {
	return r.speculate.has(func(a *action) bool {
		return a.step.At.Field == protocol.VMALock || a.step.At.Field == protocol.VMALockSeq
	})
}

// Finder is the kernel's function that looks a uprobe up; Speculator the one that does so
// without the lock, "" where none does.
func (r *Resolver) Finder() string {
	if f := frameOf(r.parts.Locked, func(s *protocol.Step) bool { return s.Op == protocol.Load && s.At.Field == protocol.VMAFile }); f != "" {
		return f
	}
	return r.Speculator()
}

func (r *Resolver) Speculator() string {
	return frameOf(r.parts.Speculate, func(s *protocol.Step) bool { return s.Op == protocol.Enter && s.Sect == protocol.RCU })
}

// Refuser is the function in which a speculation gives up for a reason; "" if it never
// does.
func (r *Resolver) Refuser(o Outcome) string {
	return frameOf(r.parts.Speculate, func(s *protocol.Step) bool { return o != Lockless && s.Refuse == o })
}

// Check is the lookup of an optimised hit that comes before.
func (r *Resolver) Check() *Resolver { return r.check }

// frameOf is the function of the first step that satisfies a condition.
func frameOf(p protocol.Program, condition func(*protocol.Step) bool) string {
	for i := range p {
		if condition(&p[i]) {
			return p[i].Frame
		}
	}
	return ""
}

// ResolverNames lists the resolvers, oldest kernel first.
func ResolverNames() []string {
	names := make([]string, len(resolvers))
	for i := range resolvers {
		names[i] = resolvers[i].name
	}
	return names
}

// FindResolver returns the resolver of that name.
func FindResolver(name string) (*Resolver, error) {
	for _, r := range resolvers {
		if r.name == name {
			return r.compiled(), nil
		}
	}
	return nil, fmt.Errorf("unknown resolver %q: want one of %s", name, strings.Join(ResolverNames(), ", "))
}
