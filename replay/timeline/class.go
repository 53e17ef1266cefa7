package timeline

import (
	"slices"
	"strings"
)

// classes makes equal classes one.
type classes struct {
	known  map[classKey]*Class
	stacks map[string]int
}

type classKey struct {
	pid, tid          int32
	comm, kind, probe string
	stack             int
}

// of returns the class that equals c.
func (l *classes) of(c *Class) *Class {
	key := classKey{c.PID, c.TID, c.Comm, c.Kind, c.Probe, l.stack(c.Stack)}
	known := l.known[key]
	if known == nil {
		known = c
		known.ID = len(l.known)
		l.known[key] = known
	}
	return known
}

// stack numbers a stack; equal stacks have equal numbers.
func (l *classes) stack(frames []string) int {
	if len(frames) == 0 {
		return 0
	}
	key := strings.Join(frames, "\n")
	n, ok := l.stacks[key]
	if !ok {
		n = len(l.stacks)
		l.stacks[key] = n
	}
	return n
}

// sameStack reports whether two stacks are equal. Those of one reader mostly share their
// memory.
func sameStack(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b)
}
