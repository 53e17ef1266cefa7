package replay

import (
	"cmp"
	"slices"
	"strings"

	"github.com/replay/replay/sim"
)

// gatherer is the observer of a run: it adds up what reports show.
type gatherer struct {
	run        *Run
	resolve    *sketch
	lockWait   *sketch
	writerWait *sketch

	samples map[sampleKey]*Sample
	blame   map[blameKey]*Blame
	probes  map[string]*ProbeRow
	mms     map[int32]*MmRow
	stacks  map[string]int
	times   *chronicle
	each    func(*sim.HitRecord) // told of every hit, where somebody wants to know
	end     sim.Time

	inferred int64 // hits with no mapping known
}

type sampleKey struct {
	stack    int
	pid, tid int32
	cpu      int32
	outcome  sim.Outcome
	twice    twice
	probe    string
	comm     string
}

// twice is how the two lookups of an optimised hit ended.
type twice struct {
	optimised     bool
	check, lookup sim.Outcome
}

type blameKey struct {
	pid, tid int32
	comm     string
	kind     string
	stack    int
}

func newGatherer(resolver string) *gatherer {
	return &gatherer{
		run: &Run{Resolver: resolver}, resolve: newSketch(), lockWait: newSketch(), writerWait: newSketch(),
		samples: map[sampleKey]*Sample{}, blame: map[blameKey]*Blame{}, probes: map[string]*ProbeRow{},
		mms: map[int32]*MmRow{}, stacks: map[string]int{"": 0}, times: newChronicle(),
	}
}

// stack numbers a stack; equal stacks have equal numbers.
func (g *gatherer) stack(frames []string) int {
	if len(frames) == 0 {
		return 0
	}
	key := strings.Join(frames, "\n")
	n, ok := g.stacks[key]
	if !ok {
		n = len(g.stacks)
		g.stacks[key] = n
	}
	return n
}

// Hit is part of sim.Observer.
func (g *gatherer) Hit(h *sim.HitRecord) {
	o := h.Op.Tag.(*Origin)
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
	g.resolve.add(h.Parts.Resolve())
	if h.Check.Acquired != 0 || h.Lookup.Acquired != 0 {
		g.lockWait.add(h.Parts.LockWait)
	}
	g.addSample(h, o)
	g.addRows(h, o)
	g.times.hit(h, o)
	g.addLookup(h, &h.Check)
	g.addLookup(h, &h.Lookup)
	if g.each != nil {
		g.each(h)
	}
}

// addLookup counts one lookup of a hit, and what the section to blame cost it.
func (g *gatherer) addLookup(h *sim.HitRecord, l *sim.Lookup) {
	if l.Outcome != sim.Lockless {
		g.run.LookupFallbacks++
	}
	blamed, ok := l.Blame.(*Origin)
	if !ok {
		return
	}
	b := g.blameOf(blamed)
	if l == h.Deciding() && l.Outcome != sim.Unconfigured {
		b.Fallbacks++
	}
	b.Wait += l.Parts.LockWait
	b.Wasted += l.Parts.Wasted
}

func (g *gatherer) addSample(h *sim.HitRecord, o *Origin) {
	key := sampleKey{g.stack(o.Stack), o.PID, o.TID, h.CPU, h.Outcome, twice{h.Optimised(), h.Check.Outcome, h.Lookup.Outcome}, o.Probe, o.Comm}
	s := g.samples[key]
	if s == nil {
		s = &Sample{Stack: o.Stack, Probe: o.Probe, Comm: o.Comm, PID: o.PID, TID: o.TID, CPU: int(h.CPU), Outcome: h.Outcome}
		if h.Optimised() {
			s.Check = &SampleCheck{Outcome: h.Check.Outcome, Lookup: h.Lookup.Outcome}
		}
		g.samples[key] = s
	}
	s.Hits++
	s.Parts.Add(h.Parts)
	if s.Check != nil {
		s.Check.Parts.Add(h.Check.Parts)
	}
	s.LineTransfers += h.Transfers
}

func (g *gatherer) addRows(h *sim.HitRecord, o *Origin) {
	p := g.probes[o.Probe]
	if p == nil {
		p = &ProbeRow{Probe: o.Probe}
		g.probes[o.Probe] = p
	}
	p.Hits++
	p.Outcomes[h.Outcome]++
	p.Parts.Add(h.Parts)
	m := g.mm(h.Op.MM.ID, o)
	m.Hits++
	m.Outcomes[h.Outcome]++
	m.Wait += h.Parts.LockWait
}

func (g *gatherer) mm(id int32, o *Origin) *MmRow {
	m := g.mms[id]
	if m == nil {
		m = &MmRow{PID: o.PID, Comm: o.Comm}
		g.mms[id] = m
	}
	return m
}

// Section is part of sim.Observer.
func (g *gatherer) Section(s *sim.Section) {
	g.end = max(g.end, s.Released)
	if s.Op.Kind != sim.OpWrite {
		return
	}
	o := s.Op.Tag.(*Origin)
	g.writerWait.add(s.Acquired - s.Requested)
	b := g.blameOf(o)
	b.Sections++
	b.Hold += s.Even - s.Acquired
	g.times.section(s, o)
	g.mm(s.Op.MM.ID, o).Writers++
}

func (g *gatherer) blameOf(o *Origin) *Blame {
	key := blameKey{o.PID, o.TID, o.Comm, o.Kind, g.stack(o.Stack)}
	b := g.blame[key]
	if b == nil {
		b = &Blame{Comm: o.Comm, PID: o.PID, TID: o.TID, Kind: o.Kind, Stack: o.Stack}
		g.blame[key] = b
	}
	return b
}

// finish returns the run, with every list in its canonical order.
func (g *gatherer) finish(sys *sim.System) Run {
	r := g.run
	r.Digest = sys.Digest()
	r.Makespan = g.end
	r.Resolve, r.LockWait, r.WriterWait = g.resolve.dist(), g.lockWait.dist(), g.writerWait.dist()
	r.ResolveHist = g.resolve.bins()
	g.times.finish(r)
	r.Samples = sorted(g.samples, compareSamples)
	r.Blame = sorted(g.blame, compareBlame)
	r.Probes = sorted(g.probes, func(a, b *ProbeRow) int { return cmp.Or(-cmp.Compare(a.Hits, b.Hits), cmp.Compare(a.Probe, b.Probe)) })
	r.Mms = sorted(g.mms, func(a, b *MmRow) int {
		return cmp.Or(
			-cmp.Compare(a.Hits, b.Hits), -cmp.Compare(a.Writers, b.Writers), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Comm, b.Comm),
			cmp.Compare(a.Wait, b.Wait), slices.Compare(a.Outcomes[:], b.Outcomes[:]),
		)
	})
	for role, l := range sys.Lines() {
		if l.Accesses > 0 {
			r.Lines = append(r.Lines, LineRow{Line: sim.Role(role).String(), Accesses: l.Accesses, Transfers: l.Transfers, Stall: l.Stall})
		}
	}
	slices.SortStableFunc(r.Lines, func(a, b LineRow) int { return -cmp.Compare(a.Transfers, b.Transfers) })
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

// sorted returns a map's values in a total order, so that the map's own order
// never shows.
func sorted[K comparable, V any](m map[K]*V, compare func(a, b *V) int) []V {
	rows := make([]*V, 0, len(m))
	for _, v := range m {
		rows = append(rows, v)
	}
	slices.SortFunc(rows, compare)
	values := make([]V, len(rows))
	for i, v := range rows {
		values[i] = *v
	}
	return values
}
