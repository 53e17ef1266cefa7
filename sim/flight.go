package sim

// A speculation that nothing disturbs is one event: when the core has every line of
// it, in an address space that nobody changes, its end is known at its begin. Whatever
// would take a line, bump the sequence or change the mappings first puts the flights
// that it may concern back to where they are by then, and they go on step by step.
// Flights change nothing that others see, so that any number of them are under way
// together. What comes out is the same, to the byte, as step by step (Config.Stepwise).

// flight is a speculation under way that was not disturbed so far.
type flight struct {
	on    bool
	index int  // in MM.flights
	trap  Time // the entry path begins
	begin Time // the lookup begins
	walk  walk // as it was at the begin
	way   *course
}

// course is the way of an undisturbed speculation to an address: the lines in the order
// in which it reads them, and what it finds.
type course struct {
	resolver *Resolver
	addr     uint64
	version  uint64 // of the address space
	lines    []*line
	walk     walk     // at the end; but seq
	loads    []int    // of each event of the speculation, how many loads were before it,
	halves   []int    // and how many private walks
	sampled  int      // the event at which the sequence is read, -1 for none
	checked  int      // and compared
	had      []uint64 // by core: 1 more than the epoch at which it had all lines
}

// lockless reports whether steps only read: no atomic, no lock.
func lockless(steps []Step) bool {
	for _, step := range steps {
		def := &actions[step.do]
		if def.block != nil {
			return false
		}
		for _, touch := range def.touches {
			if touch.kind != load {
				return false
			}
		}
	}
	return len(steps) > 0
}

// course returns the way of w to its address as things are now, nil where it would be
// refused.
func (s *System) course(t *Task, w *walk) *course {
	m := t.op.MM
	for _, c := range m.courses {
		if c.addr == w.addr && c.resolver == w.resolver && c.version == m.Space.Version() {
			return c
		}
	}
	if !lockless(w.resolver.Speculate) {
		return nil
	}
	c := s.survey(t, w)
	if c == nil {
		return nil
	}
	if len(m.courses) == coursesMax {
		copy(m.courses, m.courses[1:])
		m.courses = m.courses[:coursesMax-1]
	}
	m.courses = append(m.courses, c)
	return c
}

// coursesMax is how many courses an address space remembers: as many as there are
// probes that are hit in turn, for most.
const coursesMax = 8

// survey takes the steps of a speculation without their time.
func (s *System) survey(t *Task, w *walk) *course {
	c := &course{resolver: w.resolver, addr: w.addr, version: t.op.MM.Space.Version(), sampled: -1, checked: -1, had: make([]uint64, len(s.coreCPU))}
	kept := *t.lookup
	defer func() { *t.lookup = kept }()
	t.walk = *w
	loads, halves := 0, 0
	event := func() { c.loads, c.halves = append(c.loads, loads), append(c.halves, halves) }
	event()
	for def := t.walk.next(); def != nil; def = t.walk.next() {
		for _, touch := range def.touches {
			if !s.touched(t, touch.role) {
				return nil // no core can have it
			}
			c.lines = append(c.lines, s.lineOf(t, touch.role))
			loads++
			event()
		}
		if def.walks {
			halves++
			event()
		}
		if def.check(s, t) != Lockless {
			return nil
		}
		switch w.steps[t.walk.pc].do {
		case seqBegin:
			c.sampled = len(c.loads) - 1
		case seqEnd:
			c.checked = len(c.loads) - 1
		}
		t.walk.end()
	}
	c.walk = t.walk
	return c
}

// after is the time from the begin of a lookup by cpu to event k of it.
func (s *System) after(c *course, cpu int32, half int64, k int) Time {
	return Time(c.loads[k])*s.topo.Cycles(cpu, s.machine.Line.LoadCycles) + Time(c.halves[k])*s.topo.Cycles(cpu, half)
}

// last is the event at which a course ends.
func (c *course) last() int { return len(c.loads) - 1 }

// holds reports whether a core has all lines of the course. The epoch tells that none
// was taken from anybody since it was last seen to.
func (s *System) holds(c *course, m *MM, core int32) bool {
	epoch := 1 + m.epoch + s.epoch
	if c.had[core] == epoch {
		return true
	}
	for _, l := range c.lines {
		if l.busy || !l.sharers.has(core) {
			return false
		}
	}
	c.had[core] = epoch
	return true
}

// fly begins the speculation w as one event, after cycles of the trap's entry path, and
// returns false where it has to go step by step.
func (s *System) fly(t *Task, w walk, cycles int64) bool {
	m := t.op.MM
	if s.stepwise || w.resolver.SeqBits > 0 && m.seq&1 != 0 || s.siblingActive(t) {
		return false
	}
	c := s.course(t, &w)
	if c == nil || !s.holds(c, m, s.topo.cpus[t.cpu].core) {
		return false
	}
	begin := s.now
	if cycles > 0 {
		begin += s.topo.Cycles(t.cpu, cycles)
	}
	t.flight = flight{on: true, index: len(m.flights), trap: s.now, begin: begin, walk: w, way: c}
	m.flights = append(m.flights, t)
	s.flights++
	s.flown++
	t.next = landed
	s.runAt(t, begin+s.after(c, t.cpu, w.half, c.last()))
	return true
}

// landed is the end of a speculation that nothing disturbed.
func landed(s *System, t *Task) {
	f, l := &t.flight, t.lookup
	c := f.way
	s.ground(t)
	l.Start = f.begin
	if c.sampled >= 0 {
		l.Sampled = f.begin + s.after(c, t.cpu, f.walk.half, c.sampled)
	}
	if c.checked >= 0 {
		l.Checked = f.begin + s.after(c, t.cpu, f.walk.half, c.checked)
	}
	for _, line := range c.lines {
		s.stats[line.role].Accesses++
	}
	t.account = true
	t.walk = c.walk
	t.walk.half, t.walk.seq, t.walk.after = f.walk.half, t.op.MM.seq, f.walk.after
	t.walk.after(s, t)
}

// ground takes t out of the flights.
func (s *System) ground(t *Task) {
	f, m := &t.flight, t.op.MM
	f.on = false
	s.flights--
	last := len(m.flights) - 1
	m.flights[f.index] = m.flights[last]
	m.flights[f.index].flight.index = f.index
	m.flights[last] = nil
	m.flights = m.flights[:last]
}

// disturb is called before anything in m changes that a speculation reads; nil stands
// for what all address spaces share.
func (s *System) disturb(m *MM) {
	if m == nil {
		s.epoch++
		if s.flights == 0 {
			return
		}
		for _, m := range s.mms {
			s.recall(m)
		}
		return
	}
	m.epoch++
	s.recall(m)
}

// recall ends the flights in m.
func (s *System) recall(m *MM) {
	for len(m.flights) > 0 {
		s.interrupt(m.flights[len(m.flights)-1])
	}
}

// taken is called before a line is taken from those that have it, or begins to travel.
func (s *System) taken(l *line) {
	if l.path {
		s.disturb(l.mm)
	}
}

// passed reports whether what t did at a time on its CPU comes before the event that is
// handled now.
func (s *System) passed(t *Task, at Time) bool {
	step := when{at, uint64(t.cpu)<<cpuShift | uint64(t.ID)<<threadShift | uint64(evRun)<<kindShift | 1<<numberBits - 1}
	return step.before(s.turn)
}

// interrupt puts a flight back to where it is by now.
func (s *System) interrupt(t *Task) {
	f := t.flight
	s.ground(t)
	if s.direct == t {
		s.direct = nil
	}
	now := s.now
	if f.begin > f.trap && !s.passed(t, f.begin) {
		s.resume(t, beginCheck, f.trap, f.begin, true)
		return
	}
	t.lookup.Start = f.begin
	t.account = true
	t.walk = f.walk
	at := f.begin
	for {
		// The event at this time has happened: it decides the step that ended, and
		// begins the next touch or walk.
		w := &t.walk
		def := w.next()
		if w.touch == len(def.touches) && !def.walks || w.touch > len(def.touches) {
			s.now = at
			def.check(s, t) // it refuses nothing: what it reads was not disturbed
			s.now = now
			w.end()
			continue
		}
		computing := w.touch == len(def.touches)
		end := at + s.topo.Cycles(t.cpu, w.half)
		if !computing {
			l := s.lineOf(t, def.touches[w.touch].role)
			s.stats[l.role].Accesses++
			end = at + s.topo.Cycles(t.cpu, s.machine.Line.LoadCycles)
		}
		w.touch++
		if !s.passed(t, end) {
			s.resume(t, nextTouch, at, end, computing)
			return
		}
		at = end
	}
}

// resume lets t go on with next at the end of what it began at a time.
func (s *System) resume(t *Task, next resume, begin, end Time, computing bool) {
	t.next = next
	if computing && s.machine.SMT > 1 {
		t.computing, t.remaining, t.rate, t.rateSince = true, end-begin, 1000, begin
	}
	s.runAt(t, end)
}

// siblingActive reports whether the other thread of t's core computes, or may before a
// flight of t is over.
func (s *System) siblingActive(t *Task) bool {
	other := s.siblingCPU[t.cpu]
	if other < 0 {
		return false
	}
	o := s.cpus[other].current
	return o != nil && (o.computing || o.flight.on)
}
