package replay

import (
	"cmp"
	"maps"
	"slices"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// gatherer is the observer of a run: it adds up what reports show. Rows are found by
// the dense ids of classes, CPUs and address spaces.
type gatherer struct {
	run        *Run
	writerWait *dist.Sketch

	classes []classRows // by Class.id
	samples []*Sample
	times   []*hitTimes // of hits alike
	timesOf map[hitKey]*hitTimes
	probes  map[string]*ProbeRow
	mms     []*MmRow             // by MM.ID; nil for none
	when    *chronicle           // nil where nobody wants to know
	each    func(*sim.HitRecord) // told of every hit, where somebody wants to know
	section func(*sim.Section)   // and of every section
	end     sim.Time

	inferred int64 // hits with no mapping known
}

// classRows are the rows of one class.
type classRows struct {
	samples [][]sampleCell // by CPU; few each
	probe   *ProbeRow
	blame   *Blame
}

// sampleCell is a sample of a class on a CPU.
type sampleCell struct {
	outcome sim.Outcome
	twice   twice
	mm      int32
	row     *Sample
	times   *hitTimes
}

// hitTimes are how long the hits took that share a probe, a thread, a CPU and an address
// space.
type hitTimes struct {
	hitKey
	comm     string
	resolve  dist.Sketch // of each hit
	lockWait dist.Sketch // of each that took the lock
}

type hitKey struct {
	probe    string
	pid, tid int32
	cpu      int
	mm       int32
}

// twice is how the two lookups of an optimised hit ended.
type twice struct {
	optimised     bool
	check, lookup sim.Outcome
}

func newGatherer(c *PlayerConfig) *gatherer {
	return &gatherer{
		run: &Run{Resolver: c.Resolver}, writerWait: dist.NewSketch(), timesOf: map[hitKey]*hitTimes{},
		probes: map[string]*ProbeRow{}, when: newChronicle(c.Options.Window), each: c.Each, section: c.EachSection,
	}
}

// Hit is part of sim.Observer.
func (g *gatherer) Hit(h *sim.HitRecord) {
	o := h.Op.Tag.(*timeline.Origin)
	r := g.run
	g.end = max(g.end, h.End)
	r.Hits++
	r.Lookups++
	if h.Optimised() {
		r.Lookups++
		r.Optimised++
	}
	r.Outcomes[h.Outcome]++
	r.Parts.Add(h.Parts)
	r.LineTransfers += h.Transfers
	switch {
	case o.Undecided:
		r.Undecided++
	case h.Outcome != sim.Lockless:
		r.Low++
	}
	if h.Inferred {
		g.inferred++
	}
	g.addSample(h, o.Class)
	g.addRows(h, o.Class)
	if g.when != nil {
		g.when.hit(h, o)
	}
	if f := r.Fault; f != nil {
		f.add(h, o)
	}
	g.addLookup(h, &h.Check)
	g.addLookup(h, &h.Lookup)
	if g.each != nil {
		g.each(h)
	}
}

// add notes the wrong answers of a hit.
func (f *Fault) add(h *sim.HitRecord, o *timeline.Origin) {
	for _, l := range []*sim.Lookup{&h.Check, &h.Lookup} {
		if !l.Wrong {
			continue
		}
		if f.Wrong++; f.First == nil {
			f.First = &WrongAnswer{Row: o.Seq, TID: o.TID, Comm: o.Comm, Probe: o.Probe, At: l.Answered}
		}
	}
}

// addLookup counts one lookup of a hit, and what the section to blame cost it.
func (g *gatherer) addLookup(h *sim.HitRecord, l *sim.Lookup) {
	if l.Outcome != sim.Lockless {
		g.run.LookupFallbacks++
	}
	blamed, ok := l.Blame.(*timeline.Origin)
	if !ok {
		return
	}
	b := g.blameOf(blamed.Class)
	if l == h.Deciding() && l.Outcome != sim.Unconfigured {
		b.Fallbacks++
	}
	b.Wait += l.Parts.LockWait
	b.Wasted += l.Parts.Wasted
}

func (g *gatherer) addSample(h *sim.HitRecord, c *timeline.Class) {
	cell := g.cell(h, c)
	cell.times.resolve.Add(h.Parts.Resolve())
	if h.Check.Acquired != 0 || h.Lookup.Acquired != 0 {
		cell.times.lockWait.Add(h.Parts.LockWait)
	}
	s := cell.row
	s.Hits++
	s.Parts.Add(h.Parts)
	if s.Check != nil {
		s.Check.Parts.Add(h.Check.Parts)
	}
	s.LineTransfers += h.Transfers
}

// cell is where a hit is counted.
func (g *gatherer) cell(h *sim.HitRecord, c *timeline.Class) *sampleCell {
	cells := slot(&slot(&g.classes, c.ID).samples, int(h.CPU))
	how := twice{h.Optimised(), h.Check.Outcome, h.Lookup.Outcome}
	var row *Sample
	for i := range *cells {
		if cell := &(*cells)[i]; cell.outcome == h.Outcome && cell.twice == how {
			if cell.mm == h.Op.MM.ID {
				return cell
			}
			row = cell.row
		}
	}
	if row == nil {
		row = &Sample{Stack: c.Stack, Probe: c.Probe, Comm: c.Comm, PID: c.PID, TID: c.TID, CPU: int(h.CPU), Outcome: h.Outcome}
		if h.Optimised() {
			row.Check = &SampleCheck{Outcome: h.Check.Outcome, Lookup: h.Lookup.Outcome}
		}
		g.samples = append(g.samples, row)
	}
	key := hitKey{c.Probe, c.PID, c.TID, int(h.CPU), h.Op.MM.ID}
	times := g.timesOf[key]
	if times == nil {
		times = &hitTimes{hitKey: key, comm: c.Comm}
		g.timesOf[key] = times
		g.times = append(g.times, times)
	}
	*cells = append(*cells, sampleCell{h.Outcome, how, h.Op.MM.ID, row, times})
	return &(*cells)[len(*cells)-1]
}

func (g *gatherer) addRows(h *sim.HitRecord, c *timeline.Class) {
	rows := slot(&g.classes, c.ID)
	if rows.probe == nil {
		if rows.probe = g.probes[c.Probe]; rows.probe == nil {
			rows.probe = &ProbeRow{Probe: c.Probe}
			g.probes[c.Probe] = rows.probe
		}
	}
	p := rows.probe
	p.Hits++
	p.Outcomes[h.Outcome]++
	p.Parts.Add(h.Parts)
	m := g.mm(h.Op.MM.ID, c)
	m.Hits++
	m.Outcomes[h.Outcome]++
	m.Wait += h.Parts.LockWait
}

func (g *gatherer) mm(id int32, c *timeline.Class) *MmRow {
	m := slot(&g.mms, int(id))
	if *m == nil {
		*m = &MmRow{PID: c.PID, Comm: c.Comm}
	}
	return *m
}

// Section is part of sim.Observer.
func (g *gatherer) Section(s *sim.Section) {
	g.end = max(g.end, s.Released)
	if g.section != nil {
		g.section(s)
	}
	if s.Op.Kind != sim.OpWrite {
		return
	}
	o := s.Op.Tag.(*timeline.Origin)
	g.writerWait.Add(s.Acquired - s.Requested)
	b := g.blameOf(o.Class)
	b.Sections++
	b.Hold += s.Even - s.Acquired
	if g.when != nil {
		g.when.section(s, o)
	}
	g.mm(s.Op.MM.ID, o.Class).Writers++
}

func (g *gatherer) blameOf(c *timeline.Class) *Blame {
	b := &slot(&g.classes, c.ID).blame
	if *b == nil {
		*b = &Blame{Comm: c.Comm, PID: c.PID, TID: c.TID, Kind: c.Kind, Stack: c.Stack}
	}
	return *b
}

// finish returns the run, but its lines, with every list in its canonical order.
func (g *gatherer) finish(sys *sim.System) Run {
	r := g.run
	r.Digest = sys.Digest()
	if r.Fault != nil {
		r.Fault.Judged = sys.Checked()
	}
	r.Makespan = g.end
	r.WriterWait = g.writerWait.Dist()
	if g.when != nil {
		g.when.finish(r)
	}
	var blame []*Blame
	for i := range g.classes {
		if b := g.classes[i].blame; b != nil {
			blame = append(blame, b)
		}
	}
	r.Samples = sorted(g.samples, compareSamples)
	g.finishTimes()
	r.Blame = sorted(blame, compareBlame)
	r.Probes = sorted(slices.Collect(maps.Values(g.probes)), func(a, b *ProbeRow) int { return cmp.Or(-cmp.Compare(a.Hits, b.Hits), cmp.Compare(a.Probe, b.Probe)) })
	r.Mms = sorted(slices.DeleteFunc(g.mms, func(m *MmRow) bool { return m == nil }), func(a, b *MmRow) int {
		return cmp.Or(
			-cmp.Compare(a.Hits, b.Hits), -cmp.Compare(a.Writers, b.Writers), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Comm, b.Comm),
			cmp.Compare(a.Wait, b.Wait), slices.Compare(a.Outcomes[:], b.Outcomes[:]),
		)
	})
	return *r
}

func compareSamples(a, b *Sample) int {
	return cmp.Or(
		cmp.Compare(a.PID, b.PID), cmp.Compare(a.TID, b.TID), cmp.Compare(a.CPU, b.CPU), cmp.Compare(a.Probe, b.Probe),
		cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Comm, b.Comm), slices.Compare(a.Stack, b.Stack), a.Check.compare(b.Check),
	)
}

func compareBlame(a, b *Blame) int {
	return cmp.Or(
		-cmp.Compare(a.Wait, b.Wait), -cmp.Compare(a.Fallbacks, b.Fallbacks), -cmp.Compare(a.Hold, b.Hold),
		cmp.Compare(a.PID, b.PID), cmp.Compare(a.TID, b.TID), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Comm, b.Comm),
		slices.Compare(a.Stack, b.Stack),
	)
}

// sorted returns rows in a total order.
func sorted[V any](rows []*V, compare func(a, b *V) int) []V {
	slices.SortFunc(rows, compare)
	values := make([]V, len(rows))
	for i, v := range rows {
		values[i] = *v
	}
	return values
}
