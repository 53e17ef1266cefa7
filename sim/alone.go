package sim

import "github.com/replay/replay/sim/protocol"

// A hit that is alone is one step: from its trap to its end nothing else happens on the
// machine, so that what each line costs is known at the trap, and nobody sees in which order
// the thread has them. What comes out is the same, to the byte, as event by event
// (Config.Stepwise). It is for hits by int3 of resolvers that do nothing around the handlers,
// and for lookups that are surveyed: see course.

// alone makes the whole hit of t, that traps now, where that is so. Otherwise it returns
// false, and has changed nothing.
func (s *System) alone(t *Task) bool {
	r, m, costs := s.resolver, t.op.MM, &s.machine.Hit
	if s.stepwise || t.hit.Optimised() || len(r.before)+len(r.after) > 0 || s.direct != nil {
		return false
	}
	if t.op.LockDelay > 0 || t.op.Repeat && costs.JitterPermille > 0 {
		return false
	}
	if core := s.coreOf(t); core != nil && len(core.moving) > 0 {
		return false // which would make it longer, and the other one's
	}
	own := &s.topo.costs[t.cpu]
	if !s.nothingTo(s.now + own.entry + own.exit) {
		return false // as mostly is so where it will not do
	}
	c := s.whole(m, t.op.Addr)
	if c == nil {
		return false
	}
	cycles := costs.LookupCycles
	if t.op.LookupCycles > 0 {
		cycles = t.op.LookupCycles
	}
	a := &s.sole
	*a = sole{task: t, course: c, load: own.load, half: s.topo.Cycles(t.cpu, cycles/2)}
	a.start = s.now + own.entry
	end, ok := s.forecast(a)
	end += own.exit
	if !ok || end >= s.until || !s.nothingTo(end) {
		return false
	}
	s.answer(a)
	s.lone.n++
	s.now = end
	endHit(s, t)
	return true
}

// loneHits counts the hits that were alone: all, those that had to have lines moved, and
// those whose store of mmap_lock.owner was waited for.
type loneHits struct{ n, moved, drained int }

// nothingTo reports whether nothing else happens up to a time, and at it. Where the next
// arrival of a core is not known yet, that is not known either.
func (s *System) nothingTo(at Time) bool {
	return len(s.unplanned) == 0 && s.mayPass(at) && (s.events.empty() || at < s.events.first().at)
}

// sole is a hit that may be alone.
type sole struct {
	task       *Task
	course     *course
	load, half Time // of a load that the core has, and of half of the private work
	start      Time // of the lookup
	walk       Time // begin of the course: with mmap_lock it comes after that
	stored     Time // mmap_lock.owner is there; 0 where it was
	away       bool // the core does not have every line of the course
}

// at is when so much of the course is over, with all lines there.
func (a *sole) at(p progress) Time { return a.walk + Time(p.loads)*a.load + Time(p.halves)*a.half }

// whole is the course to the uprobe at an address that is all of the resolver's lookup but
// for mmap_lock, nil where none is known. One that found no uprobe is none: it is not what
// the next trap there finds, see ensureProbe.
func (s *System) whole(m *MM, addr uint64) *course {
	plan, locks := s.resolver.speculate, 0
	if len(plan) == 0 {
		plan, locks = s.resolver.locked, 1
	}
	if len(plan) == 0 {
		return nil
	}
	c := s.known(m, plan, addr, s.resolver)
	if c == nil || c.regs[protocol.RegUprobe] == 0 || c.pc != locks || c.end != len(plan)-locks || locks > 0 && (plan[0].blocks != mmapRead || plan[c.end].blocks != mmapReadDone) {
		return nil
	}
	return c
}

// forecast is when the lookup ends, and false where somebody else is at its lines or has
// mmap_lock.
func (s *System) forecast(a *sole) (Time, bool) {
	t, c := a.task, a.course
	m, cpu := t.op.MM, t.cpu
	a.walk = a.start
	if c.pc > 0 {
		r, owner := &m.sem, m.ownerLine()
		if r.writer != nil || len(r.waiters)+len(r.spinners) > 0 || m.count.busy || owner.busy {
			return 0, false
		}
		cost, moves := s.costAlone(&m.count, cpu, rmw)
		if a.walk += cost; moves && s.flights > 0 {
			return 0, false
		}
		takes := s.topo.costs[cpu].store
		if owner != &m.count {
			cost, moves := s.costAlone(owner, cpu, store)
			if moves {
				if s.flights > 0 {
					return 0, false
				}
				a.stored = a.walk + cost
			} else {
				takes = cost
			}
		}
		a.walk += takes
	}
	end := a.at(c.whole)
	if !s.holds(c, 0, m, s.topo.cpus[cpu].core) {
		a.away = true
		for i, l := range c.lines {
			if l.busy {
				return 0, false
			}
			if s.cached(l, cpu, load) || c.sooner(i) {
				continue
			}
			if s.flights > 0 {
				return 0, false
			}
			end += s.transferCost(l, cpu, load, false)
		}
	}
	if c.pc > 0 {
		end = max(end, a.stored) + s.topo.costs[cpu].rmw // of a line that it has by then
	}
	return end, true
}

// costAlone is the time of an access to a line that nobody else is at, and whether it has to
// move.
func (s *System) costAlone(l *line, cpu int32, kind access) (Time, bool) {
	cost := s.localCost(l, cpu, kind)
	if s.cached(l, cpu, kind) {
		return cost, false
	}
	return cost + s.transferCost(l, cpu, kind, false), true
}

// takeAlone is such an access, at s.now. It returns how long it waits for the line.
func (s *System) takeAlone(t *Task, l *line, kind access) (stall Time) {
	s.stats[l.role].Accesses++
	if s.cached(l, t.cpu, kind) {
		s.own(l, t.cpu, kind, t.op.Label)
		return 0
	}
	r := request{task: t, since: s.now, cpu: t.cpu, kind: kind, label: t.op.Label}
	s.lone.moved++
	stall = s.bring(l, &r) - s.localCost(l, t.cpu, kind)
	s.stalled(l, &r, stall)
	if kind != store { // which leaves through the store buffer
		t.addStall(stall)
	}
	return stall
}

// sooner reports whether a line of the course was read before, on it.
func (c *course) sooner(i int) bool {
	for _, l := range c.lines[:i] {
		if l == c.lines[i] {
			return true
		}
	}
	return false
}

// answer makes the lookup of a hit that is alone.
func (s *System) answer(a *sole) {
	t, c := a.task, a.course
	m, l := t.op.MM, &t.hit.Lookup
	t.lookup = l
	t.walk.addr = c.addr
	t.regs[protocol.RegVMA], t.regs[protocol.RegUprobe] = c.regs[protocol.RegVMA], c.regs[protocol.RegUprobe]
	s.now = a.start
	t.startLookup(s.now)
	if c.pc > 0 {
		l.Outcome, l.LockAt = Unconfigured, s.now
		s.takeAlone(t, &m.count, rmw)
		m.sem.readerOwned = true
		s.takeAlone(t, m.ownerLine(), store)
		s.now, l.Acquired = a.walk, a.walk
	}
	var stall, sampled, checked Time // up to the two looks at the sequence
	if a.away {
		for i, line := range c.lines {
			stall += s.takeAlone(t, line, load)
			if i+1 == c.sampledAt.loads {
				sampled = stall
			}
			if i+1 == c.checkedAt.loads {
				checked = stall
			}
		}
	} else {
		c.uses++
	}
	if s.resolver.SeqBits > 0 && c.sampled != never {
		l.Sampled = a.at(c.sampledAt) + sampled
	}
	if s.resolver.SeqBits > 0 && c.checked != never {
		l.Checked = a.at(c.checkedAt) + checked
	}
	s.now = a.at(c.whole) + stall
	if c.pc > 0 {
		l.Parts.LockHold = s.now - l.Acquired
		if a.stored > s.now { // an atomic waits for the buffered stores
			t.addStall(a.stored - s.now)
			s.lone.drained++
			s.now = a.stored
		}
		s.now += s.topo.costs[t.cpu].rmw
		s.takeAlone(t, &m.count, rmw)
		if m.sem.readers == 0 {
			m.sem.nonspinnable = false
		}
	}
	t.hit.Found = t.regs[protocol.RegUprobe] != 0
	s.judge(t, s.resolver, &c.vma)
	s.endLookup(t)
	t.hit.Outcome = l.Outcome
}
