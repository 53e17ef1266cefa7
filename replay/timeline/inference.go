package timeline

import (
	"sort"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/traces"
)

// inference is what a trace tells of its lookups when no lock event may be used.
// A lookup that fell back makes its hit late: by the wait for the section, and by
// what recording its lock events cost if the recorder did that. So each hit has
// two explanations, and each is as likely as the gap to the thread's hit before
// that it implies:
//
//   - it came when its stamp says, after a gap as long as the recorded one, and no
//     section of another thread was odd then;
//   - it came while a modelled section of another thread was odd, after a shorter
//     gap, and was late by cost and a delay of the distribution late.
//
// All of that is found on the trace itself, by making its stamps as likely as can
// be: see inference_fit.go.
type inference struct {
	rec machines.Recorder
	// cost is by how many ns a hit is late that fell back without waiting,
	// recording is what recording its events adds to a writer before its lock.
	cost, recording int64
	// chains says that the recorder took a callchain with every event, those of locks
	// among them, not only with lock_start.
	chains  bool
	reach   int64                    // nearby, with those
	offsets map[string]sectionOffset // of the kinds whose own places are known
	// whole is how long calls of each kind mostly have the lock that need not wait for
	// another, ns.
	whole     map[string]int64
	edgeError int64               // ns by which the edges of sections are unknown
	late      [delayBins]float64  // share of fallbacks, by what they take beyond cost
	threads   map[int32]*gapTable // of gaps between hits
	all       *gapTable
	trimmed   map[int64]span // sections that lookups on time cut short, by row
	order     *callOrder     // nil where calls do not queue, see Config.Queue
	// unasked has the calls, by row, that a lookup which fell back overtook. It would have
	// queued behind one that waited for the lock: so that was held up by something else.
	unasked map[int64]bool
}

// Figures of the explanations.
const (
	// falselyInside is how likely a lookup on time seems to be inside a modelled section:
	// the section was not quite there.
	falselyInside = 0.1
	// recentSections is how many sections are looked at: so many before a hit, and so many
	// before it was due. Of a process sectionsKept are remembered.
	recentSections = 32
	sectionsKept   = 4096
	// dueGaps is by how many of its usual gaps a steady thread's hit is due.
	dueGaps = 8
	// nearby is how long before a hit a section may end that made it late, in ns,
	// where no more callchains are taken meanwhile.
	nearby = 70_000
	// nearbySteady is that of threads that hit at a steady pace, whose gaps tell more.
	nearbySteady = 16_000_000
	// sectionEdge is how far a lookup is kept from the edges of a section, in ns: what
	// the simulated lock takes to be got and dropped.
	sectionEdge = 100
)

// gapsMin is how many gaps a thread needs for a table of its own.
const gapsMin = 200

func (in *inference) table(tid int32) *gapTable {
	if t := in.threads[tid]; t != nil {
		return t
	}
	return in.all
}

// reachOf is how long before a hit a section may end that made it late, in ns.
func (in *inference) reachOf(t *gapTable) int64 {
	if t.pacing() {
		return nearbySteady
	}
	return in.reach
}

// due is by when a hit was due whose thread's hit before was at prev: a steady thread's
// comes after a few usual gaps, whatever comes after that.
func (in *inference) due(t *gapTable, prev, stamp int64) int64 {
	if t.pacing() {
		return min(prev+dueGaps*t.usual, stamp)
	}
	return stamp
}

// sectionSpan is while a modelled section keeps the sequence odd, and whose it is.
type sectionSpan struct {
	from, to int64
	tid      int32
	seq      int64 // of the syscall's row
	entry    int64 // ns: its time
}

// near reports whether the section may have made a hit at the stamp late, by up to
// reach, whose thread's hit before was at prev.
func (o *sectionSpan) near(prev, stamp, reach int64) bool {
	return o.to > max(prev, stamp-reach) && o.from < stamp
}

// inside moves a time into the section, clear of its edges: a lookup that it made
// fall back began there, and the noise of stamps is not the section's.
func (o *sectionSpan) inside(at int64) int64 {
	edge := min(sectionEdge, (o.to-o.from)/2)
	return min(max(at, o.from+edge), o.to-edge)
}

// trim takes out of a section what a lookup that was on time shows not to have
// been odd: the side of the lookup that is shorter.
func (o *sectionSpan) trim(begin, end int64) bool {
	if end+sectionEdge < o.from || begin-sectionEdge > o.to {
		return false
	}
	if end-o.from < o.to-begin {
		o.from = min(end+sectionEdge, o.to)
	} else {
		o.to = max(begin-sectionEdge, o.from)
	}
	return true
}

// recentSpans are the latest sections of a process, in order of their calls' entries.
type recentSpans struct{ list []sectionSpan }

func (r *recentSpans) add(o sectionSpan) {
	if len(r.list) == sectionsKept {
		r.list = append(r.list[:0], r.list[len(r.list)-sectionsKept/2:]...)
	}
	r.list = append(r.list, o)
}

// near appends the sections of threads other than tid that are near a hit of it, which was
// due by a time.
func (r *recentSpans) near(to []*sectionSpan, tid int32, prev, stamp, due, reach int64) []*sectionSpan {
	if r == nil {
		return to
	}
	first, last := twice(len(r.list), func(i int) int64 { return r.list[i].entry }, due)
	for _, w := range [...]span{first, last} {
		for i := w.from; i < w.to; i++ {
			if o := &r.list[i]; o.tid != tid && o.near(prev, stamp, reach) {
				to = append(to, o)
			}
		}
	}
	return to
}

// waiting appends the sections of threads other than tid whose calls were begun by a time,
// and which had the lock only after another.
func (r *recentSpans) waiting(to []*sectionSpan, tid int32, begun, had int64) []*sectionSpan {
	for i := max(len(r.list)-recentSections, 0); i < len(r.list); i++ {
		if o := &r.list[i]; o.tid != tid && o.entry < begun && o.from > had {
			to = append(to, o)
		}
	}
	return to
}

// twice are the indices of the latest recentSections of n, and before them of as many that
// were begun by a time: entry tells when.
func twice(n int, entry func(int) int64, by int64) (first, last span) {
	last = span{int64(max(n-recentSections, 0)), int64(n)}
	if last.from == 0 || entry(int(last.from)) <= by {
		return span{}, last
	}
	i := sort.Search(int(last.from), func(i int) bool { return entry(i) > by })
	return span{int64(max(i-recentSections, 0)), int64(i)}, last
}

// explanation is how a hit came to its stamp.
type explanation struct {
	onTime float64 // density of the stamp if the lookup was on time
	late   float64 // and if it fell back
	begin  int64   // of the lookup that fell back, most likely
	delay  int64   // ns that it took beyond the cost then
}

// share is how likely the lookup fell back.
func (e explanation) share() float64 {
	if e.late == 0 {
		return 0
	}
	return e.late / (e.late + e.onTime)
}

// covers is how likely the section is odd at a time.
func (o *sectionSpan) covers(at, edge int64) float64 {
	in, out := at-o.from+edge, o.to+edge-at
	if in <= 0 || out <= 0 {
		return 0
	}
	c := 1.0
	if in < 2*edge {
		c = float64(in) / float64(2*edge)
	}
	if out < 2*edge {
		c = c * (float64(out) / float64(2*edge))
	}
	return c
}

// Steps over the times at which a lookup may have failed: in ns at least, and that part of
// the gap and of the delay.
const (
	explainStep  = 100
	explainGap   = gapSplit
	explainDelay = 1 << delayBits
)

// lateness is one way to be late: by a delay beyond the cost, after a gap, in ns.
type lateness struct {
	delay, gap int64
	density    float64
}

// explain weighs the explanations of a hit at the stamp whose thread's hit before
// was at prev. each, where given, is told of every way to be late.
func (in *inference) explain(table *gapTable, sections []*sectionSpan, prev, stamp int64, each func(lateness)) explanation {
	arrived := stamp - in.rec.HitLag // the lookup's end, if on time
	e := explanation{onTime: table.density(stamp - prev)}
	most := 0.0
	for _, o := range sections {
		e.onTime = e.onTime * (1 - float64((1-falselyInside)*o.covers(arrived-in.rec.Window/2, in.edgeError)))
		lo, hi := max(o.from-in.edgeError, prev-in.rec.HitLag), min(o.to+in.edgeError, arrived-in.cost-delayMin)
		if hi <= lo || o.to > arrived {
			continue // the lock was not to be had before the hit
		}
		for at, step := lo, int64(0); at < hi; at += step {
			// As fine as gaps and delays are told apart there.
			step = max((at+in.rec.HitLag-prev)/explainGap, explainStep)
			step = min(max(min(step, (arrived-in.cost-at)/explainDelay), explainStep), hi-at)
			end := at + step/2
			gap, delay := end+in.rec.HitLag-prev, arrived-in.cost-end
			w := float64(float64(table.density(gap)*in.delayDensity(delay)) * float64(o.covers(end, in.edgeError)*float64(step)))
			if w == 0 {
				continue
			}
			e.late = e.late + w
			if each != nil {
				each(lateness{delay, gap, w})
			}
			if w > most {
				most, e.begin, e.delay = w, o.inside(end-in.rec.Window), delay
			}
		}
	}
	return e
}

// offset is where sections of the kind lie in their calls.
func (in *inference) offset(kind string) sectionOffset {
	p, ok := in.offsets[kind]
	if !ok {
		p = sectionOffset{recording: in.recording, inside: in.inside(in.recording)}
	}
	p.whole = in.whole[kind]
	return p
}

// chain is what the callchain of an event takes, in ns, where all events have one:
// recording is then of two, of the call's entry and of lock_start.
func (in *inference) chain(recording int64) int64 {
	if !in.chains {
		return 0
	}
	return recording / 2
}

// inside is what callchains take within a section that is downgraded: those of its
// lock_acquired for write and, before the sequence is bumped, for read.
func (in *inference) inside(recording int64) int64 { return 2 * in.chain(recording) }

// span is the section of a call, where it is taken to lie.
func (in *inference) span(c *callSection) sectionSpan {
	s := c.at(in.offset(c.kind))
	return sectionSpan{s.start, s.end(), c.tid, c.seq, c.entry}
}

// place tells a call, the next one, what others of its process tell of it.
func (in *inference) place(pid int32, c *callSection, order turns) {
	if in.order != nil {
		in.order.place(c)
	} else {
		order.take(pid, c)
	}
}

// section places the write section of a syscall, as far as hits agree.
func (in *inference) section(m machines.SectionModel, ev *traces.Event, kind string, exitLag int64, order turns) (modelSection, bool) {
	c, ok := callOf(m, ev, kind, exitLag)
	if !ok {
		return modelSection{}, false
	}
	in.place(ev.PID, &c, order)
	s := c.at(in.offset(kind))
	if in.unasked[ev.Seq] {
		s.wait, s.woken = 0, 0
	}
	if cut, trimmed := in.trimmed[ev.Seq]; trimmed {
		if s.wait > 0 {
			s.wait += cut.from - s.start
		}
		s.start, s.hold = cut.from, max(cut.to-cut.from, 1)
	}
	return s, true
}

// callKind is the kind of a syscall in the section model: a brk that shrinks has
// its own. breaks holds where the heap of each process ends.
func callKind(ev *traces.Event, breaks map[int32]uint64) string {
	if ev.Kind != traces.Brk || !ev.Got(traces.ColRet) {
		return ev.Kind.String()
	}
	before, now := breaks[ev.PID], uint64(ev.Ret)
	breaks[ev.PID] = now
	if now < before {
		return machines.BrkShrink
	}
	return ev.Kind.String()
}

func spansOf(m map[int32]*recentSpans, pid int32) *recentSpans {
	r := m[pid]
	if r == nil {
		r = &recentSpans{}
		m[pid] = r
	}
	return r
}
