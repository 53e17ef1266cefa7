package protocol

import (
	"fmt"
	"strings"
)

// Resolver is a way from the trap address to the uprobe, and the version of the writer's
// side that belongs to it.
type Resolver struct {
	Name    string
	Doc     string
	Version Version
	// SeqBits is the width of the sequence that is compared; 0 without one.
	SeqBits uint8
	// Explored says that the resolver is meant to be right; ideal is not.
	Explored bool
}

// resolvers are all that there are, oldest kernel first, the upper bound last.
var resolvers = []Resolver{
	{"refcount", "up to 6.11: tree lock, uprobe refcount, register_rwsem and mmap_lock", Version{"refcount", "before"}, 0, true},
	{"srcu", "6.12: SRCU and a lockless tree; mmap_lock remains", Version{"srcu", "before"}, 0, true},
	{"locked", "6.13: RCU Tasks Trace; the lookup takes mmap_lock for read", Version{"before"}, 0, true},
	{"pervma", "a read lock on the VMA alone, then the locked path", Version{"pervma", "before"}, 0, true},
	{"speculative-v1", "the series as first posted: a 32-bit int sequence, barriers as posted", Version{"v1", "before"}, 32, true},
	{"speculative", "the series, v3: a 64-bit sequence around a lockless walk, then the locked path", nil, 64, true},
	{"speculative-merged", "as merged for 6.14: the same on a 32-bit seqcount", Version{"merged"}, 32, true},
	{"ideal", "the same walk with nothing shared: the upper bound", Version{"ideal", "merged"}, 0, false},
}

// Resolvers lists the resolvers, oldest kernel first.
func Resolvers() []Resolver { return append([]Resolver(nil), resolvers...) }

// FindResolver returns the resolver of that name.
func FindResolver(name string) (*Resolver, error) {
	var known []string
	for i := range resolvers {
		if resolvers[i].Name == name {
			r := resolvers[i]
			return &r, nil
		}
		known = append(known, resolvers[i].Name)
	}
	return nil, fmt.Errorf("unknown resolver %q: want one of %s", name, strings.Join(known, ", "))
}

// Parts are the programs of a resolver as a hit runs them.
type Parts struct {
	// Speculate runs first, where there is any. It ends with RegOutcome, and with the
	// answer in RegUprobe if that is Lockless; else Locked answers. What a refusal has
	// to give back it gives back itself.
	Speculate Program
	Locked    Program
	// Before and After enclose the handlers.
	Before, After Program
	// Begin is that of a section of mmap_lock held for write, which ends with End, or with
	// Downgrade where the lock is then held for read.
	Begin, End, Downgrade Program
}

// Parts assembles the programs of r from l, without the rules that are off.
func (r *Resolver) Parts(l *Library, off Off) (p Parts, err error) {
	sections := r.Version
	if r.SeqBits == 0 {
		// Before the series a section changed the sequence once, at its end. Hits of optimised
		// probes, which such a kernel does not have, ask for both: see Trampoline.
		sections = trampoline
	}
	for _, part := range []struct {
		name    string
		version Version
		to      *Program
	}{
		{"speculate", r.Version, &p.Speculate}, {"locked", r.Version, &p.Locked}, {"before", r.Version, &p.Before}, {"after", r.Version, &p.After},
		{"write-lock", sections, &p.Begin}, {"end-section", sections, &p.End}, {"downgrade-section", sections, &p.Downgrade},
	} {
		if *part.to, err = l.Assemble(part.name, part.version, off); err != nil {
			return Parts{}, err
		}
	}
	return p, nil
}

// Trampoline assembles the check of an optimised probe, which is the same under every
// resolver: no kernel with optimised probes has another.
func Trampoline(l *Library, off Off) (p Parts, err error) {
	if p.Speculate, err = l.Assemble("trampoline", trampoline, off); err != nil {
		return Parts{}, err
	}
	p.Locked, err = l.Assemble("trampoline-locked", trampoline, off)
	return p, err
}

// trampoline is the version of the kernel that has optimised probes.
var trampoline = Version{"merged"}
