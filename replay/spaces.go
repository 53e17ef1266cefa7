package replay

import (
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// ownSpace is the address space of a process in this replay.
type ownSpace struct {
	space mm.AddressSpace
	sim   *sim.MM // nil before its first operation
}

func (s *source) own(p *timeline.Space) *ownSpace {
	at := slot(&s.spaces, int(p.Index))
	if *at == nil {
		*at = &ownSpace{}
	}
	return *at
}

func (s *source) space(p *timeline.Space) *sim.MM {
	if p == s.here.of { // as mostly is so
		return s.here.mm
	}
	own := s.own(p)
	if own.sim == nil {
		s.started++
		own.sim = s.sys.NewMM(int32(s.started), &own.space)
	}
	s.here.of, s.here.mm = p, own.sim
	return own.sim
}

// make makes a change that this replay has not made yet.
func (s *source) make(c *timeline.Change, space *mm.AddressSpace) mm.Effect {
	if !c.First(s.replay) {
		return mm.Effect{}
	}
	if c.Kind == traces.Fork {
		s.own(c.Child).space.Inherit(space)
		return mm.Effect{}
	}
	effect, err := c.Apply(space)
	if err != nil {
		if s.refused++; s.firstRefusal == nil {
			s.firstRefusal = err
		}
	}
	return effect
}
