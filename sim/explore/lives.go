package explore

import "github.com/replay/replay/sim/protocol"

// Objects live until they are freed, and then until what [protocol.Life] says. A grace
// period is over as soon as the threads that were in a section at its begin have left: the
// earliest is the worst.

// alloc gives t an object.
func (x *explorer) alloc(s *state, t int, st *protocol.Step, h int) {
	s.lives[h] = alive
	if m := s.mem.weak; m != nil {
		// Whoever gets memory sees what was done to it before.
		for i := range x.w.words {
			if x.w.words[i].object == h {
				m.threads[t].cur[i] = m.count[i] - 1
			}
		}
	}
	st.Exec(&s.threads[t].regs, uint64(h))
	if m := s.mem.weak; m != nil {
		m.setReg(t, st, nil, len(x.w.words))
	}
	x.logStep(s, t, st, uint64(h))
	s.threads[t].pc++
}

// free ends the life of an object, or begins to.
func (x *explorer) free(s *state, t int, st *protocol.Step) {
	h := int(s.threads[t].regs[st.A.Reg])
	if h < firstHandle || h >= len(x.w.objects) || s.lives[h] != alive {
		x.violate("P1", "%s frees %s, which is not there to be freed", x.w.threads[t].name, x.nameOf(uint64(h)))
		return
	}
	x.logStep(s, t, st, uint64(h))
	switch st.Life {
	case protocol.Now:
		s.lives[h] = freed
	case protocol.Slab:
		s.lives[h] = recycle
	default:
		g := grace{sect: protocol.RCU, started: s.mem.weak == nil}
		if st.Life == protocol.AfterTrace {
			g.sect = protocol.Trace
		}
		for o := range x.w.threads {
			if s.threads[o].inside&(1<<g.sect) != 0 {
				g.readers |= 1 << o
			}
		}
		s.lives[h], s.grace[h] = waiting, g
		if m := s.mem.weak; m != nil {
			m.waiting[h] = m.threads[t].cur
		}
		x.passed(s, h)
	}
	s.threads[t].pc++
}

// passed frees an object that nobody is waited for any more.
func (x *explorer) passed(s *state, h int) {
	g := &s.grace[h]
	if g.readers != 0 {
		return
	}
	if m := s.mem.weak; m != nil {
		m.passed[g.sect].join(&m.waiting[h], len(x.w.words))
		m.waiting[h] = view{}
	}
	s.lives[h], s.grace[h] = freed, grace{}
	x.logFreed(h)
}

// leave ends a section of t.
func (x *explorer) leave(s *state, t int, sect protocol.Section) {
	ts := &s.threads[t]
	ts.enter &^= 1 << sect
	ts.inside &^= 1 << sect
	for h := firstHandle; h < len(x.w.objects); h++ {
		if s.lives[h] == waiting && s.grace[h].sect == sect {
			s.grace[h].readers &^= 1 << t
			x.passed(s, h)
		}
	}
}

// entersLate reports whether t enters a section while it is open whether a grace period
// has begun: if it has, t sees what came before it, else t is waited for. Only a weak
// model tells the two apart.
func (x *explorer) entersLate(s *state, t int, sect protocol.Section) bool {
	m := s.mem.weak
	if m == nil {
		return false
	}
	for h := firstHandle; h < len(x.w.objects); h++ {
		if s.lives[h] == waiting && s.grace[h].sect == sect && !s.grace[h].started && !m.threads[t].cur.covers(&m.waiting[h], len(x.w.words)) {
			return true
		}
	}
	return false
}

// enterLate enters a section, before or after the grace periods that wait have begun.
func (x *explorer) enterLate(s *state, t int, sect protocol.Section, begun bool) {
	ts := &s.threads[t]
	ts.inside |= 1 << sect
	m := s.mem.weak
	if m == nil {
		return
	}
	n := len(x.w.words)
	cur := &m.threads[t].cur
	cur.join(&m.passed[sect], n)
	for h := firstHandle; h < len(x.w.objects); h++ {
		if s.lives[h] != waiting || s.grace[h].sect != sect {
			continue
		}
		switch {
		case s.grace[h].started || begun:
			s.grace[h].started = true
			cur.join(&m.waiting[h], n)
		case !cur.covers(&m.waiting[h], n):
			s.grace[h].readers |= 1 << t
		}
	}
	m.threads[t].acq.join(cur, n)
}
