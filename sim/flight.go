package sim

import (
	"slices"

	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/sim/protocol"
)

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
	plan    *action // the first of that which it is of
	addr    uint64
	version uint64     // of the address space, at which it was seen to be as it is
	seq     uint64     // of it, when the course was surveyed,
	locked  uint64     // and MM.vmasLocked
	pc, end int        // of the first action, and behind the last one
	at      []waypoint // of each action from pc on
	lines   []*line
	vma     mm.VMA             // that is found,
	leaf    int                // and where: its number
	regs    protocol.Registers // at the end; but what holds the sequence
	legs    []int              // so many loads, or 0 for a private walk
	sampled moment             // the sequence is read
	checked moment             // and compared
	had     []uint64           // by core: 1 more than the epoch at which it had all lines
	uses    int64              // by hits that had all lines there, not counted in LineStats yet
	// The same as sums, from its begin on.
	whole, sampledAt, checkedAt progress
}

// progress is how many loads and private walks of a course are over.
type progress struct{ loads, halves int }

// until sums up a course to a moment, nothing for never.
func (c *course) until(m moment) (p progress) {
	if m == never {
		return p
	}
	for _, loads := range c.legs[:m.legs] {
		if p.loads += loads; loads == 0 {
			p.halves++
		}
	}
	p.loads += m.loads
	return p
}

// moment is an instant of a course: so many loads after so many legs.
type moment struct{ legs, loads int }

// before reports whether m is over by another moment; never is not.
func (m moment) before(o moment) bool {
	return m != never && (m.legs < o.legs || m.legs == o.legs && m.loads < o.loads)
}

// waypoint is a moment, and how many lines were read by then.
type waypoint struct {
	moment
	lines int
}

// never is the moment of what does not happen.
var never = moment{legs: -1}

// course returns the way of t's walk to its address as things are now, nil where there is
// none: that would be refused, or nobody was there.
func (s *System) course(t *Task) *course {
	m, w := t.op.MM, &t.walk
	if c := s.known(m, w.plan, w.addr, w.resolver); c != nil {
		if w.pc < c.pc || w.pc >= c.end {
			return nil
		}
		return c
	}
	if w.stage != ahead || w.pc > 0 && w.plan[w.pc-1].blocks == nothing {
		return nil // in the midst of things
	}
	c := s.survey(t)
	if c == nil {
		return nil
	}
	if len(m.courses) == coursesMax {
		s.used(m.courses[0])
		copy(m.courses, m.courses[1:])
		m.courses = m.courses[:coursesMax-1]
	}
	m.courses = append(m.courses, c)
	return c
}

// known returns a course of a plan to an address that was surveyed, nil where none is as
// things are now.
func (s *System) known(m *MM, p plan, addr uint64, r *Resolver) *course {
	for i := 0; i < len(m.courses); i++ {
		c := m.courses[i]
		switch {
		case c.addr != addr || c.plan != &p[0]:
		case !c.fits(m):
			s.used(c)
			m.courses = slices.Delete(m.courses, i, i+1)
			i--
		case c.locked == m.vmasLocked && c.like(m, r):
			return c
		}
	}
	return nil
}

// Forget drops what was remembered of lookups in an address space, of which no more may
// come. It changes nothing of what they would do.
func (s *System) Forget(m *MM) {
	if len(m.flights) > 0 {
		return
	}
	for _, c := range m.courses {
		s.used(c)
	}
	m.courses = nil
}

// used counts the accesses of a course.
func (s *System) used(c *course) {
	for _, l := range c.lines {
		s.stats[l.role].Accesses += c.uses
	}
	c.uses = 0
}

// fits reports whether the address is mapped as it was when the course was surveyed, by the
// same structure, which the same leaf has: most changes of an address space are elsewhere.
func (c *course) fits(m *MM) bool {
	if c.version == m.Space.Version() {
		return true
	}
	if v, _ := m.Space.Find(c.addr); v != c.vma {
		return false
	}
	if _, leaf := m.Space.Path(c.addr); leaf != c.leaf {
		return false
	}
	c.version = m.Space.Version()
	return true
}

// like reports whether the sequence decides what it did when the course was surveyed. To a
// resolver that compares it, any even one is like another.
func (c *course) like(m *MM, r *Resolver) bool {
	return c.sampled == never || c.seq == m.seq || r.SeqBits > 0 && (c.seq^m.seq)&1 == 0
}

// coursesMax is how many courses an address space remembers: as many as there are
// probes that are hit in turn, for most.
const coursesMax = 8

// survey takes the actions of a walk without their time, up to one that does more than
// read.
func (s *System) survey(t *Task) *course {
	m, w := t.op.MM, &t.walk
	c := &course{
		plan: &w.plan[0], addr: w.addr, version: m.Space.Version(), seq: m.seq, locked: m.vmasLocked, pc: w.pc,
		sampled: never, checked: never, had: make([]uint64, len(s.coreCPU)),
	}
	lookup, before, regs := *t.lookup, t.walk, t.regs
	defer func() { *t.lookup, t.walk, t.regs = lookup, before, regs }()
	loads := 0 // since the last private walk
	worked := func() {
		if loads > 0 {
			c.legs = append(c.legs, loads)
		}
		loads = 0
	}
	for w.pc < len(w.plan) && w.plan[w.pc].reads() {
		a := &w.plan[w.pc]
		for len(c.at) <= w.pc-c.pc { // actions that are left out are nowhere else
			c.at = append(c.at, waypoint{moment{len(c.legs), loads}, len(c.lines)})
		}
		if a.needs {
			if !s.touched(t, a.role) {
				return nil // no core can have it
			}
			c.lines = append(c.lines, s.lineOf(t, a.role))
			loads++
		}
		if a.half {
			worked()
			c.legs = append(c.legs, 0)
		}
		switch a.effect {
		case samples:
			c.sampled = moment{len(c.legs), loads}
		case compares:
			c.checked = moment{len(c.legs), loads}
		}
		if s.exec(t, a); t.lookup.Outcome != lookup.Outcome {
			return nil // refused
		}
	}
	worked()
	if len(c.legs) > legsMax-1 || len(c.lines) == 0 {
		return nil
	}
	c.end, c.vma, c.regs = w.pc, w.vma, t.regs
	_, c.leaf = m.Space.Path(c.addr)
	c.whole, c.sampledAt, c.checkedAt = c.until(moment{legs: len(c.legs)}), c.until(c.sampled), c.until(c.checked)
	return c
}

// when is a moment of t's flight.
func (s *System) when(t *Task, m moment) Time {
	f := &t.flight
	if i := m.legs - f.from.legs; i > 0 {
		return t.motion.start(f.entry+i) + Time(m.loads)*s.topo.costs[t.cpu].load
	}
	return t.motion.start(f.entry) + Time(m.loads-f.from.loads)*s.topo.costs[t.cpu].load
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
	if s.stepwise || len(w.plan) == 0 {
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
	if c == nil || w.vma.ID != 0 && (w.vma != c.vma || w.version != c.version) {
		return false // what it found may have gone, and the like of it come
	}
	from := c.at[w.pc-c.pc]
	if w.stage == there {
		from.loads++
		from.lines++
	}
	if c.sampled.before(from.moment) && t.regs[protocol.RegSeq] != m.seq {
		return false
	}
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
	load, half := s.topo.costs[t.cpu].load, s.topo.Cycles(t.cpu, t.walk.half)
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
	t.startLookup(t.motion.start(t.flight.entry))
	arrived(s, t)
}

// arrived is the end of a walk that nothing disturbed.
func arrived(s *System, t *Task) {
	f, l, w := &t.flight, t.lookup, &t.walk
	c, m := f.way, t.op.MM
	s.ground(t)
	if c.sampled != never && w.resolver.SeqBits > 0 && !c.sampled.before(f.from.moment) {
		l.Sampled = s.when(t, c.sampled)
	}
	if c.checked != never && w.resolver.SeqBits > 0 {
		l.Checked = s.when(t, c.checked)
	}
	for _, line := range c.lines[f.from.lines:] {
		s.stats[line.role].Accesses++
	}
	w.vma, w.version = c.vma, c.version
	if w.pc, w.stage = c.end, ahead; w.pc == len(w.plan) {
		t.regs[protocol.RegVMA], t.regs[protocol.RegUprobe] = c.regs[protocol.RegVMA], c.regs[protocol.RegUprobe]
		w.after(s, t)
		return
	}
	seq := t.regs[protocol.RegSeq]
	if t.regs = c.regs; c.sampled != never {
		seq = m.seq
	}
	t.regs[protocol.RegSeq], t.regs[protocol.RegNow] = seq, m.seq
	advance(s, t)
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

// taken is called before a line is taken from those that have it, or begins to travel. Each
// reader with the lock takes that of the owner, where the sequence mostly is; flights that
// do not read the sequence go on.
func (s *System) taken(l *line) {
	switch m := l.mm; {
	case !l.path:
	case m == nil || l != m.seqLine():
		s.disturb(m)
	default:
		m.epoch++
		for i := len(m.flights) - 1; i >= 0; i-- {
			if t := m.flights[i]; t.flight.way.sampled != never {
				s.interrupt(t)
			}
		}
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
		t.startLookup(t.motion.start(f.entry))
	}
	t.next = advance
	now, at := s.now, f.from.moment
	w := &t.walk
	for {
		// The event at this time has happened: it decides the action that ended, and
		// begins the next touch or walk.
		a := &w.plan[w.pc]
		switch {
		case a.needs && w.stage == ahead:
			w.stage = there
			s.stats[s.lineOf(t, a.role).role].Accesses++
			at.loads++
			if end := s.when(t, at); f.entry+at.legs-f.from.legs == leg && !s.passed(t, end) {
				s.runAt(t, end)
				return
			}
		case a.half && w.stage != walked:
			w.stage = walked
			if at.loads > 0 {
				at = moment{legs: at.legs + 1}
			}
			if computing && f.entry+at.legs-f.from.legs == leg {
				return
			}
			at = moment{legs: at.legs + 1}
		default:
			s.now = s.when(t, at)
			s.exec(t, a) // it refuses nothing: what it reads was not disturbed
			s.now = now
		}
	}
}
