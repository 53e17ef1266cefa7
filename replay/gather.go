package replay

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
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
	blame   *Blame
}

// sampleCell counts hits of a class on a CPU that ended alike, in one address space. All
// sums of a run are made of cells at its end.
type sampleCell struct {
	outcome sim.Outcome
	twice   twice
	mm      int32

	hits, transfers int64
	parts, check    sim.Parts

	row   *Sample
	times *hitTimes
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
	switch {
	case o.Undecided:
		r.Undecided++
	case h.Outcome != sim.Lockless:
		r.Low++
	}
	if h.Inferred {
		g.inferred++
	}
	cell := g.cell(h, o.Class)
	cell.hits++
	cell.transfers += h.Transfers
	cell.parts.Add(&h.Parts)
	cell.times.resolve.Add(h.Parts.Resolve())
	if h.Optimised() {
		cell.check.Add(&h.Check.Parts)
	}
	if h.Check.Acquired != 0 || h.Lookup.Acquired != 0 {
		cell.times.lockWait.Add(h.Parts.LockWait)
	}
	if g.when != nil {
		g.when.hit(h, o)
	}
	if f := r.Fault; f != nil {
		f.add(h, o)
	}
	for _, l := range []*sim.Lookup{&h.Check, &h.Lookup} {
		if l.Blame != nil {
			g.blame(h, l)
		}
	}
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

// blame counts what the section to blame cost a lookup.
func (g *gatherer) blame(h *sim.HitRecord, l *sim.Lookup) {
	b := g.blameOf(l.Blame.(*timeline.Origin).Class)
	if l == h.Deciding() && l.Outcome != sim.Unconfigured {
		b.Fallbacks++
	}
	b.Wait += l.Parts.LockWait
	b.Wasted += l.Parts.Wasted
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
	g.mm(h.Op.MM.ID, c)
	*cells = append(*cells, sampleCell{outcome: h.Outcome, twice: how, mm: h.Op.MM.ID, row: row, times: times})
	return &(*cells)[len(*cells)-1]
}

// sum adds up the cells.
func (g *gatherer) sum() {
	for i := range g.classes {
		for _, cells := range g.classes[i].samples {
			for j := range cells {
				g.add(&cells[j])
			}
		}
	}
}

func (g *gatherer) add(c *sampleCell) {
	r, s := g.run, c.row
	r.Hits += c.hits
	r.Lookups += c.hits
	r.Outcomes[c.outcome] += c.hits
	r.Parts.Add(&c.parts)
	r.LineTransfers += c.transfers
	if c.twice.optimised {
		r.Lookups += c.hits
		r.Optimised += c.hits
		s.Check.Parts.Add(&c.check)
	}
	for _, how := range []sim.Outcome{c.twice.check, c.twice.lookup} {
		if how != sim.Lockless {
			r.LookupFallbacks += c.hits
		}
	}
	s.Hits += c.hits
	s.Parts.Add(&c.parts)
	s.LineTransfers += c.transfers

	p := g.probes[s.Probe]
	if p == nil {
		p = &ProbeRow{Probe: s.Probe}
		g.probes[s.Probe] = p
	}
	p.Hits += c.hits
	p.Outcomes[c.outcome] += c.hits
	p.Parts.Add(&c.parts)
	m := g.mms[c.mm]
	m.Hits += c.hits
	m.Outcomes[c.outcome] += c.hits
	m.Wait += c.parts.LockWait
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
		*b = &Blame{Comm: c.Comm, PID: c.PID, TID: c.TID, Kind: c.Kind, Stack: c.Stack, Writers: 1}
	}
	return *b
}

// finish returns the run, but its lines, with every list in its canonical order.
func (g *gatherer) finish(sys *sim.System) Run {
	g.sum()
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
	r.Blame = sorted(sumUp(blame, MaxBlame), compareBlame)
	r.Probes = sorted(slices.Collect(maps.Values(g.probes)), func(a, b *ProbeRow) int { return cmp.Or(-cmp.Compare(a.Hits, b.Hits), cmp.Compare(a.Probe, b.Probe)) })
	r.Mms = sorted(slices.DeleteFunc(g.mms, func(m *MmRow) bool { return m == nil }), compareMms)
	return *r
}

func compareMms(a, b *MmRow) int {
	return cmp.Or(
		-cmp.Compare(a.Hits, b.Hits), -cmp.Compare(a.Writers, b.Writers), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Comm, b.Comm),
		cmp.Compare(a.Wait, b.Wait), slices.Compare(a.Outcomes[:], b.Outcomes[:]),
	)
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

// sumUp makes one row of all writers of one name, operation and stack that cost nothing,
// where there are more rows than most.
func sumUp(rows []*Blame, most int) []*Blame {
	if len(rows) <= most {
		return rows
	}
	type key struct{ comm, kind, stack string }
	var sums []*Blame
	of := map[key]*Blame{}
	for _, b := range rows {
		if b.Fallbacks > 0 || b.Wait > 0 || b.Wasted > 0 {
			sums = append(sums, b)
			continue
		}
		stack := traces.WithoutAddresses(b.Stack)
		k := key{b.Comm, b.Kind, strings.Join(stack, "\n")}
		if s := of[k]; s != nil {
			s.PID, s.TID, s.Stack = timeline.NoPID, timeline.NoPID, stack
			s.Writers += b.Writers
			s.Sections += b.Sections
			s.Hold += b.Hold
			continue
		}
		of[k] = b
		sums = append(sums, b)
	}
	return sums
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
