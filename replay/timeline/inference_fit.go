package timeline

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/traces"
)

// Bounds of the search for what recording costs, in ns. What it adds to a writer before its
// lock is at most recordingReach more than the durations of syscalls suggest; by what it makes
// a fallback late is searched for on its own, in steps of a fifth: a recording may have one
// without the other.
const (
	recordingReach = 2500
	recordingStep  = 500
	costMin        = 800
	costMax        = 12_000
	costStepMin    = 200
	// Where lock_start is the only lock event, and has no callchain.
	startCostMax = 500
	startLateMax = 3000
	kindReach    = 1500
	kindStep     = 150
	costReach    = 300
	costStep     = 50
)

// Limits of the fit.
const (
	sightingsMax = 1 << 18 // hits near sections that it looks at
	sightingsFew = 3000    // of which it weighs so many, evenly spread
	steadyMin    = 4000    // hits of steady threads that tell more than the costs
	fitRounds    = 4
	trimmedMax   = 1 << 20 // sections cut short
	// evidence is how many times likelier, as a power of two, a place has to be that
	// is taken instead of what was assumed.
	evidence = 4
	// firstWeight is how many late hits the first distribution of delays weighs.
	firstWeight = 50
	// unrecordedCost is how late a fallback is without lock events: a wake-up.
	unrecordedCost = 3000
	firstEdgeError = 150 // ns
)

// What the search tries, in ns.
var (
	edgeErrorsTried = []int64{50, 150, 300, 600, 1000}
	holdTried       = []int64{1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 6000, 7000}
)

// sighting is a hit near sections of other threads.
type sighting struct {
	table       *gapTable
	tid         int32
	prev, stamp int64
	calls       []callSection // of its process, the latest
}

// inferFit makes the stamps of a trace as likely as it can: it searches for what
// recording costs and where the sections of each kind lie, and separates the gaps of
// hits on time from those of late ones by expectation and maximisation.
type inferFit struct {
	in        *inference
	sightings []sighting
	tables    []*gapTable // of the sightings, in order of appearance
	raw       []gapTable  // the same as recorded
	kinds     []string    // of the calls, in order of appearance
	toTheEnd  map[string]bool
	alone     map[string]*dist.Durations // ns in calls that need not wait for another
	nth       int                        // one sighting of so many is weighed

	spans []sectionSpan // scratch
	near  []*sectionSpan
}

// newInference reads the trace for what it tells of the recorder. Lock events are
// skipped; whether there are any is all that is known of them.
func newInference(ctx context.Context, trace Trace, profile *machines.Profile, s *Survey, queue bool) (*inference, error) {
	in := &inference{
		rec: profile.Recorder, cost: unrecordedCost, late: firstDelays(), edgeError: firstEdgeError,
		offsets: map[string]sectionOffset{}, trimmed: map[int64]span{}, unasked: map[int64]bool{}, threads: s.rhythms, all: &s.rhythm, chains: s.LockRows && s.chains(),
	}
	in.reach = nearby + 3*in.chain(s.recordingGuess())
	if queue {
		order, err := orderCalls(ctx, trace, profile)
		if err != nil {
			return nil, err
		}
		in.order = &order
	}
	f := &inferFit{in: in, toTheEnd: map[string]bool{}, alone: map[string]*dist.Durations{}}
	if err := f.gather(ctx, trace, profile); err != nil {
		return nil, err
	}
	in.whole = f.wholes()
	if len(f.sightings) > 0 {
		f.fit(s.LockRows, s.holds, s.recordingGuess())
	}
	return in, in.trimAll(ctx, trace, profile)
}

// gather keeps the hits near sections.
func (f *inferFit) gather(ctx context.Context, trace Trace, profile *machines.Profile) error {
	calls := map[int32][]callSection{}
	order := turns{}
	err := eachCallAndHit(ctx, trace, inferColumns, profile, func(ev *traces.Event, c *callSection) {
		f.in.place(ev.PID, c, order)
		of := append(calls[ev.PID], *c)
		if len(of) >= sectionsKept {
			of = slices.Clone(of[len(of)-sectionsKept/2:]) // sightings keep the others
		}
		calls[ev.PID] = of
		if c.after == 0 {
			f.add1(c)
		}
		if !slices.Contains(f.kinds, c.kind) {
			f.kinds = append(f.kinds, c.kind)
			f.toTheEnd[c.kind] = c.hold == 0
		}
	}, func(ev *traces.Event, prev int64) {
		of := calls[ev.PID]
		table := f.in.table(ev.TID)
		first, last := twice(len(of), func(i int) int64 { return of[i].entry }, f.in.due(table, prev, ev.Time))
		near := of[last.from:last.to]
		if first.to > first.from {
			near = slices.Concat(of[first.from:first.to], near)
		}
		if len(f.sightings) < sightingsMax && slices.ContainsFunc(near, func(c callSection) bool {
			return c.tid != ev.TID && c.limit > max(prev, ev.Time-f.in.reachOf(table)) && c.base < ev.Time
		}) {
			f.add(sighting{table, ev.TID, prev, ev.Time, near})
		}
	})
	f.nth = len(f.sightings)/sightingsFew + 1
	return err
}

// add1 notes how long a call had the lock that need not wait for another.
func (f *inferFit) add1(c *callSection) {
	d := f.alone[c.kind]
	if d == nil {
		d = &dist.Durations{}
		f.alone[c.kind] = d
	}
	d.Add(c.limit - c.base)
}

// wholes are the medians of that.
func (f *inferFit) wholes() map[string]int64 {
	whole := map[string]int64{}
	for kind, d := range f.alone {
		if d.Summarise(); d.Count >= wholeMin {
			whole[kind] = d.Median
		}
	}
	return whole
}

// wholeMin is how many calls of a kind tell how long they have the lock.
const wholeMin = 20

func (f *inferFit) add(s sighting) {
	f.sightings = append(f.sightings, s)
	if !slices.Contains(f.tables, s.table) {
		f.tables = append(f.tables, s.table)
		f.raw = append(f.raw, *s.table)
	}
}

// sections are those near a sighting, where they are taken to lie.
func (f *inferFit) sections(s *sighting) []*sectionSpan {
	f.spans, f.near = f.spans[:0], f.near[:0]
	reach := f.in.reachOf(s.table)
	for i := range s.calls {
		c := &s.calls[i]
		if c.tid == s.tid || c.limit <= max(s.prev, s.stamp-reach) || c.base >= s.stamp {
			continue
		}
		if o := f.in.span(c); o.near(s.prev, s.stamp, reach) {
			f.spans = append(f.spans, o)
		}
	}
	for i := range f.spans {
		f.near = append(f.near, &f.spans[i])
	}
	return f.near
}

// fit finds the costs, then the places of sections, the gaps and the delays.
func (f *inferFit) fit(locks, holds bool, guess int64) {
	switch {
	case holds:
		f.findCosts(guess+recordingReach, costMax+3*f.in.chain(guess))
	case locks: // lock_start alone
		f.findCosts(startCostMax, startLateMax)
	}
	f.separate()
	f.separate()
	if !locks {
		return
	}
	known := f.steady() >= steadyMin
	for range fitRounds {
		if known {
			f.findOffsets()
		}
		f.findCost()
		f.separate()
		f.separate()
	}
}

// steady counts the sightings of threads that hit at a steady pace.
func (f *inferFit) steady() int {
	n := 0
	for i := range f.sightings {
		if f.sightings[i].table.steady() {
			n++
		}
	}
	return n
}

// likelihood is a product of densities: m times two to the power of e.
type likelihood struct {
	m float64
	e int
}

// unlikely is below every likelihood.
var unlikely = likelihood{e: math.MinInt}

func (l *likelihood) times(density float64) {
	m, e := math.Frexp(l.m * density)
	l.m, l.e = m, l.e+e
}

func (l likelihood) over(other likelihood) bool {
	return l.e > other.e || l.e == other.e && l.m > other.m
}

// weigh is how likely the stamps are as things are assumed.
func (f *inferFit) weigh() likelihood {
	l := likelihood{m: 1}
	for i := 0; i < len(f.sightings); i += f.nth {
		s := &f.sightings[i]
		e := f.in.explain(s.table, f.sections(s), s.prev, s.stamp, nil)
		l.times(e.onTime + e.late)
	}
	return l
}

// better weighs what is assumed now against the best so far.
func (f *inferFit) better(best *likelihood) bool {
	l := f.weigh()
	if l.over(*best) {
		*best = l
		return true
	}
	return false
}

// findCosts searches for both costs together.
func (f *inferFit) findCosts(recordingMost, costMost int64) {
	best := unlikely
	var recording, cost int64
	for r := int64(0); r <= recordingMost; r += recordingStep {
		for c := int64(costMin); c <= costMost; c += max(c/5, costStepMin) {
			f.in.recording, f.in.cost = r, c
			if f.better(&best) {
				recording, cost = f.in.recording, f.in.cost
			}
		}
	}
	f.in.recording, f.in.cost = recording, cost
}

// findCost searches for the cost of a fallback near what is known.
func (f *inferFit) findCost() {
	best := unlikely
	chosen, around := f.in.cost, f.in.cost
	for f.in.cost = around - costReach; f.in.cost <= around+costReach; f.in.cost += costStep {
		if f.better(&best) {
			chosen = f.in.cost
		}
	}
	f.in.cost = chosen
}

// findPlaces searches for the place of each kind of section, and for how well the
// edges are known.
func (f *inferFit) findOffsets() {
	for _, kind := range f.kinds {
		best := f.weigh()
		best.e += evidence
		chosen := f.in.offset(kind)
		try := func(p sectionOffset) {
			f.in.offsets[kind] = p
			if f.better(&best) {
				chosen = p
			}
		}
		around := chosen.recording
		for r := max(around-kindReach, 0); r <= around+kindReach; r += kindStep {
			try(sectionOffset{recording: r, hold: chosen.hold, inside: f.in.inside(r)})
		}
		if f.toTheEnd[kind] {
			recording := chosen.recording
			for _, hold := range holdTried {
				try(sectionOffset{recording: recording, hold: hold})
			}
		}
		f.in.offsets[kind] = chosen
	}
	best := unlikely
	chosen := f.in.edgeError
	for _, f.in.edgeError = range edgeErrorsTried {
		if f.better(&best) {
			chosen = f.in.edgeError
		}
	}
	f.in.edgeError = chosen
}

// separate is a step of expectation and maximisation: each hit is taken out of the
// gaps of its thread with its share of being late, and put back where it would have
// been on time; the delays are what the late hits show.
func (f *inferFit) separate() {
	late, sum := firstDelays(), float64(firstWeight)
	for i := range late {
		late[i] *= firstWeight
	}
	tables := slices.Clone(f.raw)
	var delays []lateness
	for i := range f.sightings {
		s := &f.sightings[i]
		delays = delays[:0]
		e := f.in.explain(s.table, f.sections(s), s.prev, s.stamp, func(w lateness) { delays = append(delays, w) })
		share := e.share()
		if share == 0 {
			continue
		}
		t := &tables[slices.Index(f.tables, s.table)]
		t.counts[gapBin(s.stamp-s.prev)] -= share
		for _, w := range delays {
			of := float64(share * w.density / e.late)
			late[delayBin(w.delay)] += of
			t.counts[gapBin(w.gap)] += of
		}
		sum += share
	}
	for i, t := range f.tables {
		*t = tables[i]
	}
	for i := range late {
		f.in.late[i] = late[i] / sum
	}
}

// inferColumns is what the inference reads.
const inferColumns = replayColumns &^ (traces.ColStack | traces.ColComm | traces.ColPath)

// trimAll cuts the sections that lookups on time met, and notes whom those that fell back
// overtook.
func (in *inference) trimAll(ctx context.Context, trace Trace, profile *machines.Profile) error {
	sections := map[int32]*recentSpans{}
	var near []*sectionSpan
	lead := in.rec.HitLag + in.rec.Window
	order := turns{}
	return eachCallAndHit(ctx, trace, inferColumns, profile, func(ev *traces.Event, c *callSection) {
		in.place(ev.PID, c, order)
		spansOf(sections, ev.PID).add(in.span(c))
	}, func(ev *traces.Event, prev int64) {
		near = sections[ev.PID].near(near[:0], ev.TID, prev, ev.Time, in.due(in.table(ev.TID), prev, ev.Time), in.reachOf(in.table(ev.TID)))
		if len(near) == 0 {
			return
		}
		if e := in.explain(in.table(ev.TID), near, prev, ev.Time, nil); e.share() >= 0.5 {
			for _, o := range sections[ev.PID].waiting(near[:0], ev.TID, e.begin, ev.Time) {
				if len(in.unasked) < trimmedMax {
					in.unasked[o.seq] = true
				}
			}
			return
		}
		for _, o := range near {
			if len(in.trimmed) < trimmedMax && o.trim(ev.Time-lead, ev.Time-in.rec.HitLag) {
				in.trimmed[o.seq] = span{o.from, o.to}
			}
		}
	})
}

// eachCallAndHit reads the trace and calls one function for every syscall that
// takes the lock for write, and one, where there is one, for every hit but a thread's first.
func eachCallAndHit(ctx context.Context, trace Trace, columns traces.Columns, profile *machines.Profile, call func(*traces.Event, *callSection), hit func(ev *traces.Event, prev int64)) error {
	stream, err := trace.Stream(columns)
	if err != nil {
		return err
	}
	defer closeStream(stream)
	last := map[int32]int64{}
	breaks := map[int32]uint64{}
	var ev traces.Event
	for n := 0; ; n++ {
		if err := stream.Next(&ev); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case ev.Kind.IsSyscall():
			if c, ok := callOf(profile.Sections, &ev, callKind(&ev, breaks), profile.Recorder.ExitLag); ok {
				call(&ev, &c)
			}
		case ev.Kind == traces.Hit && hit != nil && !ev.Joined():
			if prev, ok := last[ev.TID]; ok {
				hit(&ev, prev)
			}
			last[ev.TID] = ev.Time
		}
		if n%65536 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
