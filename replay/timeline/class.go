package timeline

import (
	"encoding/binary"
	"slices"
)

// classes makes equal classes one.
type classes struct {
	known  map[classKey]*Class
	stacks stacks
}

type classKey struct {
	pid, tid          int32
	comm, kind, probe string
	stack             int
}

func newClasses() classes { return classes{map[classKey]*Class{}, newStacks()} }

// of returns the class that equals c.
func (l *classes) of(c Class) *Class {
	c.stack = l.stack(c.Stack)
	key := classKey{c.PID, c.TID, c.Comm, c.Kind, c.Probe, c.stack}
	known := l.known[key]
	if known == nil {
		known = &c
		known.ID = len(l.known)
		l.known[key] = known
	}
	return known
}

// stack numbers a stack; equal stacks have equal numbers.
func (l *classes) stack(frames []string) int { return l.stacks.number(frames) }

// stacks numbers stacks. Equal ones of one reader mostly share their memory, which says
// so faster than their frames.
type stacks struct {
	frames   map[string]uint32
	byFrames map[string]int // numbers of frames, 4 bytes each
	byPart   map[stackPart]int
	key      []byte // scratch
}

// stackPart is where a stack is in memory.
type stackPart struct {
	first *string
	n     int
}

// stackPartsMax is how many places are remembered, where a reader does not share them.
const stackPartsMax = 1 << 16

func newStacks() stacks {
	return stacks{frames: map[string]uint32{}, byFrames: map[string]int{"": 0}, byPart: map[stackPart]int{}}
}

// number is 0 for no stack.
func (s *stacks) number(frames []string) int {
	if len(frames) == 0 {
		return 0
	}
	part := stackPart{&frames[0], len(frames)}
	if n, ok := s.byPart[part]; ok {
		return n
	}
	s.key = s.key[:0]
	for _, frame := range frames {
		id, ok := s.frames[frame]
		if !ok {
			id = uint32(len(s.frames))
			s.frames[frame] = id
		}
		s.key = binary.LittleEndian.AppendUint32(s.key, id)
	}
	n, ok := s.byFrames[string(s.key)]
	if !ok {
		n = len(s.byFrames)
		s.byFrames[string(s.key)] = n
	}
	if len(s.byPart) == stackPartsMax {
		clear(s.byPart)
	}
	s.byPart[part] = n
	return n
}

// sameStack reports whether two stacks are equal.
func sameStack(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b)
}
