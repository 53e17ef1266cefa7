package sim

// A thread in motion computes, or lets time pass, on its CPU for a while: until then,
// nothing that it does can be seen. Only how long that takes can change, when the other
// thread of its core computes as well. The threads of a core are therefore followed
// together, ahead of time, until one of them arrives: that is an event of the machine.

// legsMax is how many legs a motion has: the entry path, and those of the longest course.
const legsMax = 8

// motion is what a thread does until it arrives, in legs: work, which a computing sibling
// slows down, or time that passes.
type motion struct {
	on    bool
	n     int8
	work  uint8 // by bit, which legs are work
	begun Time
	now   pace          // when the machine's time last mattered to it
	ahead pace          // when the next of its core arrives
	legs  [legsMax]Time // what each takes, work at full speed
	ends  [legsMax]Time // of those that are over, and ahead of time of the others
}

// pace is how far a motion is.
type pace struct {
	leg  int8 // that is under way; motion.n: arrived
	work bool // it is
	rate int32
	end  Time
	left Time // of work at full speed,
	at   Time // as of this time
}

// core is the threads in motion on the two CPUs of a core.
type core struct {
	moving    []*Task
	next      *Task // the first to arrive, nil if that has to be found
	unplanned bool  // it is in System.unplanned
}

// add appends a leg to a motion that has not begun.
func (m *motion) add(takes Time, work bool) {
	m.legs[m.n] = takes
	if work {
		m.work |= 1 << m.n
	}
	m.n++
}

// clear makes room for another motion.
func (m *motion) clear() { m.n, m.work = 0, 0 }

// start is the begin of leg i, if that is not to come.
func (m *motion) start(i int) Time {
	if i == 0 {
		return m.begun
	}
	return m.ends[i-1]
}

// enter begins the leg under way at a time, beside a sibling that may compute.
func (p *pace) enter(m *motion, at Time, sibling *pace, together int32) {
	takes := m.legs[p.leg]
	p.work, p.end = m.work>>p.leg&1 != 0, at+takes
	if !p.work {
		return
	}
	p.left, p.rate, p.at = takes, full, at
	if sibling != nil && sibling.work {
		sibling.setRate(at, together)
		p.setRate(at, together)
	}
}

// leave ends the leg under way and begins the next. A sibling that computes has its full
// speed back, until that is work as well. True means that there is none: t arrives.
func (p *pace) leave(m *motion, sibling *pace, together int32) bool {
	at := p.end
	m.ends[p.leg] = at
	if p.work && sibling != nil && sibling.work {
		sibling.setRate(at, full)
	}
	if p.leg++; p.leg == m.n {
		p.work = false
		return true
	}
	p.enter(m, at, sibling, together)
	return false
}

// full is the rate of a thread whose sibling does not compute, in permille.
const full = 1000

// setRate changes the speed in mid-work.
func (p *pace) setRate(at Time, permille int32) {
	p.left = max(p.left-(at-p.at)*Time(p.rate)/1000, 0)
	p.rate, p.at = permille, at
	if p.end = at + p.left; permille != full {
		p.end = at + p.left*1000/Time(permille)
	}
}

// together is the rate of two threads of a core that both compute.
func (s *System) together() int32 { return int32(s.machine.SMTPermille / 2) }

// move begins t's motion. It arrives with t.next.
func (s *System) move(t *Task) {
	m, c := &t.motion, s.coreOf(t)
	if c != nil {
		s.follow(c)
	}
	m.on, m.begun, m.now = true, s.now, pace{}
	if c == nil {
		at := s.now
		for i := range m.n {
			at += m.legs[i]
			m.ends[i] = at
		}
		s.runAt(t, at)
		return
	}
	c.moving = append(c.moving, t)
	m.now.enter(m, s.now, s.sibling(t, false), s.together())
	s.unplan(c)
}

// coreOf is the core of t, nil if it has no other thread in use.
func (s *System) coreOf(t *Task) *core {
	if s.siblingCPU[t.cpu] < 0 {
		return nil
	}
	return &s.cores[s.topo.cpus[t.cpu].core]
}

func (t *Task) pace(ahead bool) *pace {
	if ahead {
		return &t.motion.ahead
	}
	return &t.motion.now
}

// sibling is the pace of the task on the other thread of t's core, nil if that is not in
// motion.
func (s *System) sibling(t *Task, ahead bool) *pace {
	if o := s.cpus[s.siblingCPU[t.cpu]].current; o != nil && o.motion.on {
		return o.pace(ahead)
	}
	return nil
}

// first is the task of a core whose leg ends first; of those at one instant, that of the
// lower CPU, then thread, as in the order of events.
func (c *core) first(ahead bool) *Task {
	first := c.moving[0]
	for _, t := range c.moving[1:] {
		if a, b := t.pace(ahead).end, first.pace(ahead).end; a < b || a == b && t.before(first) {
			first = t
		}
	}
	return first
}

func (t *Task) before(o *Task) bool { return t.cpu < o.cpu || t.cpu == o.cpu && t.ID < o.ID }

// follow brings the motions of a core to where they are by now. It comes before anything
// that changes them, or who is on the CPUs.
func (s *System) follow(c *core) {
	for len(c.moving) > 0 {
		t := c.first(false)
		m := &t.motion
		if m.now.leg == m.n-1 || !s.passed(t, m.now.end) {
			return // to arrive is an event of its own
		}
		m.now.leave(m, s.sibling(t, false), s.together())
	}
}

// unplan has it found who is the next of a core to arrive, at the end of this event.
func (s *System) unplan(c *core) {
	if t := c.next; t != nil {
		c.next = nil
		t.gen++ // the event of its arrival is not to be
		if s.direct == t {
			s.direct = nil
		}
	}
	if !c.unplanned {
		c.unplanned = true
		s.unplanned = append(s.unplanned, c)
	}
}

// plan finds the next arrivals. That can wait while a thread goes on at this instant, by
// which the motions of its core mostly change again, unless one may arrive before it.
func (s *System) plan() {
	if s.direct != nil && s.directAt.at == s.now && !s.mayArrive() {
		return
	}
	for _, c := range s.unplanned {
		c.unplanned = false
		if len(c.moving) == 0 {
			continue
		}
		c.next = s.race(c)
		s.runAt(c.next, c.next.motion.ahead.end)
	}
	s.unplanned = s.unplanned[:0]
}

// mayArrive reports whether a thread of an unplanned core may arrive at this instant.
func (s *System) mayArrive() bool {
	for _, c := range s.unplanned {
		for _, t := range c.moving {
			if t.motion.now.end <= s.now {
				return true
			}
		}
	}
	return false
}

// race runs the motions of a core ahead of time until one arrives, which it returns.
func (s *System) race(c *core) *Task {
	together := s.together()
	if len(c.moving) == 2 {
		a, b := c.moving[0], c.moving[1]
		if s.cpus[a.cpu].current == a && s.cpus[b.cpu].current == b { // as is nearly always so
			return race(a, b, together)
		}
	}
	for _, t := range c.moving {
		t.motion.ahead = t.motion.now
	}
	for {
		t := c.first(true)
		if m := &t.motion; m.ahead.leave(m, s.sibling(t, true), together) {
			return t
		}
	}
}

// race is that of two siblings.
func race(a, b *Task, together int32) (first *Task) {
	if !a.before(b) {
		a, b = b, a
	}
	x, y := a.motion.now, b.motion.now
	for first == nil {
		if x.end <= y.end {
			if x.leave(&a.motion, &y, together) {
				first = a
			}
		} else if y.leave(&b.motion, &x, together) {
			first = b
		}
	}
	a.motion.ahead, b.motion.ahead = x, y
	return first
}

// arrive ends t's motion.
func (s *System) arrive(t *Task) {
	t.motion.on = false
	c := s.coreOf(t)
	if c == nil {
		return
	}
	for _, o := range c.moving {
		o.motion.now = o.motion.ahead
	}
	c.moving = removeTask(c.moving, t)
	c.next = nil
	s.unplan(c)
}

// stop takes t out of motion where it is by now; true means that it stays in motion to the
// end of the work that is under way.
func (s *System) stop(t *Task) bool {
	m := &t.motion
	c := s.coreOf(t)
	if c == nil {
		for m.now.leg < m.n-1 && s.passed(t, m.ends[m.now.leg]) {
			m.now.leg++
		}
	} else {
		s.follow(c)
		s.unplan(c)
	}
	leg := m.now.leg
	if m.work>>leg&1 != 0 {
		m.n = leg + 1
		if c == nil {
			s.runAt(t, m.ends[leg])
		}
		return true
	}
	m.on = false
	if c != nil {
		c.moving = removeTask(c.moving, t)
	}
	return false
}
