package sim

// A walk that nothing disturbs is one event: from an instant at which the core has every
// line that is still to be read, in an address space that nobody changes, its end is known.
// Whatever would take a line, bump the sequence or change the mappings first puts the
// flights that it may concern back to where they are by then, and they go on step by step.
// Flights change nothing that others see, so that any number of them are under way
// together. What comes out is the same, to the byte, as step by step (Config.Stepwise).

// flight is a part of a lookup under way that was not disturbed so far.
type flight struct {
	on    bool
	index int      // in MM.flights
	entry int      // legs of the trap's entry path, before those of the course
	from  waypoint // in the course
	way   *course
}

// course is the way of an undisturbed walk to an address, or from mmap_lock to the uprobe:
// the lines in the order in which it reads them, and what it finds.
type course struct {
	steps   *Step // the first of those that it is of
	addr    uint64
	version uint64     // of the address space
	pc, end int        // of the first step, and behind the last one
	at      []waypoint // of each step from pc on
	lines   []*line
	walk    walk     // at the end; but seq
	legs    []int    // so many loads, or 0 for a private walk
	sampled moment   // the sequence is read
	checked moment   // and compared
	had     []uint64 // by core: 1 more than the epoch at which it had all lines
}

// moment is an instant of a course: so many loads after so many legs.
type moment struct{ legs, loads int }

// waypoint is a moment, and how many lines were read by then.
type waypoint struct {
	moment
	lines int
}

// never is the moment of what does not happen.
var never = moment{legs: -1}

// reads reports whether an action only reads: no atomic, no lock.
func (def *actionDef) reads() bool {
	if def.block != nil {
		return false
	}
	for _, touch := range def.touches {
		if touch.kind != load {
			return false
		}
	}
	return true
}

// course returns the way of t's walk to its address as things are now, nil where there is
// none: that would be refused, or nobody was there.
func (s *System) course(t *Task) *course {
	m, w := t.op.MM, &t.walk
	for _, c := range m.courses {
		if c.addr == w.addr && c.steps == &w.steps[0] && c.version == m.Space.Version() {
			if w.pc < c.pc || w.pc >= c.end {
				return nil
			}
			return c
		}
	}
	if w.touch != 0 || w.pc > 0 && actions[w.steps[w.pc-1].do].block == nil {
		return nil // in the midst of things
	}
	c := s.survey(t)
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

// survey takes the steps of a walk without their time, up to one that does more than read.
func (s *System) survey(t *Task) *course {
	w := &t.walk
	c := &course{
		steps: &w.steps[0], addr: w.addr, version: t.op.MM.Space.Version(), pc: w.pc, end: w.pc,
		sampled: never, checked: never, had: make([]uint64, len(s.coreCPU)),
	}
	lookup, before := *t.lookup, t.walk
	defer func() { *t.lookup, t.walk = lookup, before }()
	loads := 0 // since the last private walk
	walked := func() {
		if loads > 0 {
			c.legs = append(c.legs, loads)
		}
		loads = 0
	}
	for def := w.next(); def != nil && def.reads(); def = w.next() {
		for c.end <= w.pc { // steps that are left out are nowhere else
			c.at = append(c.at, waypoint{moment{len(c.legs), loads}, len(c.lines)})
			c.end++
		}
		for _, touch := range def.touches {
			if !s.touched(t, touch.role) {
				return nil // no core can have it
			}
			c.lines = append(c.lines, s.lineOf(t, touch.role))
			loads++
		}
		if def.walks {
			walked()
			c.legs = append(c.legs, 0)
		}
		if def.check(s, t) != Lockless {
			return nil
		}
		switch w.steps[w.pc].do {
		case seqBegin:
			c.sampled = moment{len(c.legs), loads}
		case seqEnd:
			c.checked = moment{len(c.legs), loads}
		}
		w.end()
	}
	walked()
	if len(c.legs) > legsMax-1 || len(c.lines) == 0 {
		return nil
	}
	c.end = w.pc
	c.walk = *w
	return c
}

// when is a moment of t's flight.
func (s *System) when(t *Task, m moment) Time {
	f := &t.flight
	if i := m.legs - f.from.legs; i > 0 {
		return t.motion.start(f.entry+i) + Time(m.loads)*s.topo.Cycles(t.cpu, s.machine.Line.LoadCycles)
	}
	return t.motion.start(f.entry) + Time(m.loads-f.from.loads)*s.topo.Cycles(t.cpu, s.machine.Line.LoadCycles)
}

// holds reports whether a core has all lines of the course from one on. The epoch tells
// that none was taken from anybody since it was last seen to.
func (s *System) holds(c *course, from int, m *MM, core int32) bool {
	epoch := 1 + m.epoch + s.epoch
	if c.had[core] == epoch {
		return true
	}
	for _, l := range c.lines[from:] {
		if l.busy || !l.sharers.has(core) {
			return false
		}
	}
	if from == 0 {
		c.had[core] = epoch
	}
	return true
}

// noEntry stands for a walk that does not begin with a trap.
const noEntry = -1

// fly begins the lookup that was prepared as one event, after cycles of the trap's entry
// path or noEntry, and returns false where it has to go step by step. Until it lands, the
// walk stays as it is at the begin.
func (s *System) fly(t *Task, cycles int64) bool {
	m, w := t.op.MM, &t.walk
	if s.stepwise || len(w.steps) == 0 || w.resolver.SeqBits > 0 && m.seq&1 != 0 {
		return false
	}
	c := s.course(t)
	if c == nil || c.pc != 0 || !s.holds(c, 0, m, s.topo.cpus[t.cpu].core) {
		return false
	}
	t.motion.clear()
	if cycles != noEntry { // also one of no cycles: work it is
		t.motion.add(s.topo.Cycles(t.cpu, cycles), true)
	}
	s.depart(t, c, waypoint{})
	t.next = landed
	return true
}

// flyOn is that of the rest of a walk: from where mmap_lock was got, or a line that had to
// come from elsewhere.
func (s *System) flyOn(t *Task) bool {
	m, w := t.op.MM, &t.walk
	if s.stepwise {
		return false
	}
	c := s.course(t)
	if c == nil || w.got >= mapping && w.vma != c.walk.vma {
		return false
	}
	if c.sampled != never && (w.pc == 0 && m.seq&1 != 0 || w.pc > 0 && w.seq != m.seq) {
		return false
	}
	from := c.at[w.pc-c.pc]
	from.loads += w.touch
	from.lines += w.touch
	if from.legs < len(c.legs) && c.legs[from.legs] > 0 && from.loads == c.legs[from.legs] {
		from.moment = moment{from.legs + 1, 0}
	}
	if from.legs == len(c.legs) || !s.holds(c, from.lines, m, s.topo.cpus[t.cpu].core) {
		return false
	}
	t.motion.clear()
	s.depart(t, c, from)
	t.next = arrived
	return true
}

// depart begins a flight from a place of its course.
func (s *System) depart(t *Task, c *course, from waypoint) {
	m := t.op.MM
	t.flight = flight{on: true, index: len(m.flights), entry: int(t.motion.n), from: from, way: c}
	load, half := s.topo.Cycles(t.cpu, s.machine.Line.LoadCycles), s.topo.Cycles(t.cpu, t.walk.half)
	for i, loads := range c.legs[from.legs:] {
		if loads == 0 {
			t.motion.add(half, true)
			continue
		}
		if i == 0 {
			loads -= from.loads
		}
		t.motion.add(Time(loads)*load, false)
	}
	m.flights = append(m.flights, t)
	s.flights++
	s.flown++
	s.move(t)
}

// landed is the end of a lookup that nothing disturbed.
func landed(s *System, t *Task) {
	t.lookup.Start = t.motion.start(t.flight.entry)
	t.account = true
	arrived(s, t)
}

// arrived is the end of a walk that nothing disturbed.
func arrived(s *System, t *Task) {
	f, l, w := &t.flight, t.lookup, &t.walk
	c := f.way
	s.ground(t)
	if from := f.from; c.sampled != never && (c.sampled.legs > from.legs || c.sampled.legs == from.legs && c.sampled.loads >= from.loads) {
		w.seq, l.Sampled = t.op.MM.seq, s.when(t, c.sampled)
	}
	if c.checked != never {
		l.Checked = s.when(t, c.checked)
	}
	for _, line := range c.lines[f.from.lines:] {
		s.stats[line.role].Accesses++
	}
	w.got, w.vma, w.offset, w.probe = c.walk.got, c.walk.vma, c.walk.offset, c.walk.probe
	if w.pc, w.touch = c.end, 0; w.pc == len(w.steps) {
		w.after(s, t)
		return
	}
	nextTouch(s, t)
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
	f := &t.flight
	s.ground(t)
	if s.direct == t {
		s.direct = nil
	}
	computing := s.stop(t)
	leg := int(t.motion.now.leg) // that is under way
	if leg < f.entry {
		t.next = lookUp
		return
	}
	if f.from == (waypoint{}) && f.way.pc == 0 { // else it began before
		t.lookup.Start = t.motion.start(f.entry)
		t.account = true
	}
	t.next = nextTouch
	now, at := s.now, f.from.moment
	for {
		// The event at this time has happened: it decides the step that ended, and
		// begins the next touch or walk.
		w := &t.walk
		def := w.next()
		switch {
		case w.touch < len(def.touches):
			l := s.lineOf(t, def.touches[w.touch].role)
			s.stats[l.role].Accesses++
			w.touch++
			at.loads++
			if end := s.when(t, at); f.entry+at.legs-f.from.legs == leg && !s.passed(t, end) {
				s.runAt(t, end)
				return
			}
		case def.walks && w.touch == len(def.touches):
			w.touch++
			if at.loads > 0 {
				at = moment{legs: at.legs + 1}
			}
			if computing && f.entry+at.legs-f.from.legs == leg {
				return
			}
			at = moment{legs: at.legs + 1}
		default:
			s.now = s.when(t, at)
			def.check(s, t) // it refuses nothing: what it reads was not disturbed
			s.now = now
			w.end()
		}
	}
}
