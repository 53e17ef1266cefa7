package replay

import (
	"context"
	"errors"
	"io"
	"math"
	"math/bits"

	"github.com/replay/replay/traces"
)

// inference is what a trace tells of its lookups when no lock event may be used.
// A lookup that fell back makes its hit late: by the wait for the section, and by
// what recording its lock events cost if the recorder did that. So each hit has
// two explanations, and each is as likely as the gap to the thread's hit before
// that it implies:
//
//   - it came when its stamp says, after a gap as long as the recorded one;
//   - it came while a modelled section of another thread was odd, after a shorter
//     gap, and was late by a delay of the distribution lateness.
//
// The recorder's cost is found on the trace: it is the delay that explains most
// hits after sections.
type inference struct {
	locks     bool                // the recorder recorded lock events
	cost      int64               // ns by which a hit is late that fell back without waiting
	recording int64               // ns of it that lie between a writer's entry and its lock
	trimmed   map[int64]span      // sections that lookups on time cut short, by row
	threads   map[int32]*gapTable // of gaps between hits
	all       gapTable
}

// Delays in ns. They were fitted on recordings of a loop with a mapping thread and
// of javac, against their lock events.
const (
	// afterLock is what a fallback takes beyond the recording of its lock_start:
	// two more records and the lookup itself. A writer's lock_start takes
	// writerMore longer than a lookup's.
	afterLock  = 1050
	writerMore = 350
	// unrecordedCost is how late a fallback is without lock events: a wake-up.
	unrecordedCost = 3000
	// costSearch bounds the search for the cost, around what the durations of
	// syscalls suggest, in steps of costStep.
	costBelow, costAbove, costStep = 1500, 3500, 50
	// recentSections is how many sections of a process are remembered.
	recentSections = 32
	// nearby is how long before a hit a section may end that made it late, in ns.
	nearby = 70_000
)

// lateness is the distribution of what a fallback takes beyond its cost: ns, and
// weight in millionths. More than half are within the noise of the recorder, a
// quarter have to wait for microseconds more (inter-processor interrupts of the
// same unmapping), the rest for tens of them (a wake-up on a busy machine):
// 0.55 N(0, 250 ns) + 0.25 Exp(1.5 µs) + 0.2 Exp(20 µs).
var lateness = []struct{ ns, weight int64 }{
	{-350, 33149}, {-250, 53233}, {-150, 72999}, {-50, 85484}, {50, 102605}, {150, 89075}, {250, 68331}, {350, 47332},
	{450, 30954}, {550, 20529}, {650, 14879}, {750, 12101}, {850, 10707}, {950, 9872}, {1125, 22085}, {1375, 19014},
	{1625, 16424}, {1875, 14228}, {2125, 12365}, {2375, 10784}, {2625, 9441}, {2875, 8301}, {3125, 7332}, {3375, 6509},
	{3625, 5807}, {3875, 5210}, {4125, 4701}, {4375, 4266}, {4625, 3895}, {4875, 3577}, {5500, 11936}, {6500, 9454},
	{7500, 8017}, {8500, 7126}, {9500, 6521}, {10500, 6071}, {11500, 5707}, {12500, 5394}, {13500, 5113}, {14500, 4855},
	{15500, 4613}, {16500, 4386}, {17500, 4171}, {18500, 3966}, {19500, 3773}, {20500, 3589}, {21500, 3413}, {22500, 3247},
	{23500, 3089}, {24500, 2938}, {25500, 2795}, {26500, 2658}, {27500, 2529}, {28500, 2405}, {29500, 2288}, {30500, 2176},
	{31500, 2070}, {32500, 1969}, {33500, 1873}, {34500, 1782}, {35500, 1695}, {36500, 1612}, {37500, 1534}, {38500, 1459},
	{39500, 1388}, {40500, 1320}, {41500, 1256}, {42500, 1194}, {43500, 1136}, {44500, 1081}, {45500, 1028}, {46500, 978},
	{47500, 930}, {48500, 885}, {49500, 842}, {50500, 801}, {51500, 762}, {52500, 724}, {53500, 689}, {54500, 656},
	{55500, 624}, {56500, 593}, {57500, 564}, {58500, 537}, {59500, 511},
}

// floors are the shortest durations of syscalls in ns, recorded without lock
// events. Only where a search begins depends on them.
var floors = map[traces.Kind]int64{traces.Mmap: 3166, traces.Mprotect: 1483, traces.Brk: 800}

// gapTable is a histogram of gaps, with gapSplit bins to an octave.
type gapTable struct {
	counts [64 * gapSplit]float64
	n      int64
}

const (
	gapBits  = 4
	gapSplit = 1 << gapBits
)

func gapBin(ns int64) int {
	v := uint64(max(ns, gapSplit))
	octave := bits.Len64(v) - 1
	return octave*gapSplit + int(v>>(octave-gapBits)&(gapSplit-1))
}

func (g *gapTable) add(ns int64) {
	g.counts[gapBin(ns)]++
	g.n++
}

// density is the share of gaps per ns around a gap.
func (g *gapTable) density(ns int64) float64 {
	bin := gapBin(ns)
	width := math.Ldexp(1.0/gapSplit, bin/gapSplit)
	return (max(g.counts[bin], 0) + 0.5) / float64(g.n+1) / width
}

// gapsMin is how many gaps a thread needs for a table of its own.
const gapsMin = 200

func (in *inference) table(tid int32) *gapTable {
	if t := in.threads[tid]; t != nil && t.n >= gapsMin {
		return t
	}
	return &in.all
}

// odd is a modelled section: when, and whose.
type odd struct {
	from, to int64
	tid      int32
	seq      int64 // of the syscall's row
}

// inside moves a time into the section, clear of its edges: a lookup that it made
// fall back began there, and the noise of stamps is not the section's.
func (o *odd) inside(at int64) int64 {
	edge := min(sectionEdge, (o.to-o.from)/2)
	return min(max(at, o.from+edge), o.to-edge)
}

// recent are the latest sections of a process.
type recent struct {
	ring [recentSections]odd
	next int
}

func (r *recent) add(o odd) {
	r.ring[r.next%recentSections] = o
	r.next++
}

// near calls f for the sections of other threads that ended after the time.
func (r *recent) near(tid int32, after int64, f func(o *odd)) {
	for i := range min(r.next, recentSections) {
		if o := &r.ring[i]; o.tid != tid && o.to > after {
			f(o)
		}
	}
}

// sectionEdge is how far a lookup is kept from the edges of a section, in ns: what
// the simulated lock takes to be got and dropped.
const sectionEdge = 100

// trim takes out of a section what a lookup that was on time shows not to have
// been odd: the side of the lookup that is shorter.
func (o *odd) trim(begin, end int64) bool {
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

// explain weighs the explanations of a hit of the thread at the stamp, whose hit
// before was at prev. It returns the likelihood in millionths that the lookup fell
// back, and then when it began.
func (in *inference) explain(rec *Recorder, sections *recent, tid int32, prev, stamp int64) (ppm, begin int64) {
	if sections == nil || sections.next == 0 {
		return 0, 0
	}
	table := in.table(tid)
	var late, most float64
	sections.near(tid, max(prev, stamp-nearby), func(o *odd) {
		if o.to > stamp-rec.HitLag {
			return // the lock was not to be had before the hit
		}
		for _, l := range lateness {
			end := stamp - rec.HitLag - in.cost - l.ns
			gap := end + rec.HitLag - prev
			if gap <= 0 {
				break
			}
			if o.from <= end && end-rec.Window <= o.to {
				w := float64(l.weight) * table.density(gap)
				late = late + float64(w)
				if w > most {
					most, begin = w, o.inside(end-rec.Window)
				}
			}
		}
	})
	if late == 0 {
		return 0, 0
	}
	onTime := float64(1e6 * table.density(stamp-prev))
	return int64(1e6 * late / (late + onTime)), begin
}

// newInference reads the trace for what it tells of the recorder. Lock events are
// skipped; whether there are any is all that is known of them.
func newInference(ctx context.Context, trace Trace, profile *Profile, s *survey) (*inference, error) {
	in := &inference{locks: s.lockRows, cost: unrecordedCost, trimmed: map[int64]span{}, threads: s.rhythms, all: s.rhythm}
	if !in.locks {
		return in, in.disentangle(ctx, trace, profile)
	}
	guess := s.recordingGuess()
	f := &costFit{in: in, lag: profile.Recorder.HitLag, first: max(guess-costBelow, 0), scores: make([]float64, (costBelow+costAbove)/costStep)}
	if err := in.eachHit(ctx, trace, profile, guess, f.score); err != nil {
		return nil, err
	}
	in.cost = guess + afterLock
	if best, ok := f.best(); ok {
		in.cost = best
	}
	in.recording = max(in.cost-afterLock+writerMore, 0)
	return in, in.disentangle(ctx, trace, profile)
}

// disentangle takes the gaps out of the tables that are long because of a
// fallback, and puts in what they would have been: one step of expectation and
// maximisation.
func (in *inference) disentangle(ctx context.Context, trace Trace, profile *Profile) error {
	type move struct {
		table    *gapTable
		from, to int
		share    float64
	}
	var moves []move
	lead := profile.Recorder.HitLag + profile.Recorder.Window
	err := in.eachHit(ctx, trace, profile, in.recording, func(sections *recent, tid int32, prev, stamp int64) {
		ppm, begin := in.explain(&profile.Recorder, sections, tid, prev, stamp)
		if ppm > 0 && len(moves) < movesMax {
			moves = append(moves, move{in.table(tid), gapBin(stamp - prev), gapBin(begin + lead - prev), float64(ppm) / 1e6})
		}
		if ppm < 500_000 && len(in.trimmed) < movesMax {
			in.trim(sections, tid, stamp-lead, stamp-profile.Recorder.HitLag)
		}
	})
	for _, m := range moves {
		m.table.counts[m.from] -= m.share
		m.table.counts[m.to] += m.share
	}
	return err
}

// trim cuts the sections that a lookup on time met.
func (in *inference) trim(sections *recent, tid int32, begin, end int64) {
	sections.near(tid, begin-sectionEdge, func(o *odd) {
		if o.trim(begin, end) {
			in.trimmed[o.seq] = span{o.from, o.to}
		}
	})
}

// section places the write section of a syscall, as far as hits agree.
func (in *inference) section(m SectionModel, ev *traces.Event, kind string, exitLag int64) (modelledSection, bool) {
	s, ok := m.of(ev, kind, exitLag, in.recording)
	if cut, trimmed := in.trimmed[ev.Seq]; ok && trimmed {
		s.start, s.hold = cut.from, max(cut.to-cut.from, 1)
	}
	return s, ok
}

// movesMax bounds the memory of disentangle.
const movesMax = 1 << 20

// costFit finds the cost that explains most hits after sections.
type costFit struct {
	in     *inference
	lag    int64
	first  int64
	scores []float64 // by cost, from first in steps of costStep
}

// eachHit reads the trace and calls f for every hit but a thread's first, with
// the sections before it.
func (in *inference) eachHit(ctx context.Context, trace Trace, profile *Profile, recording int64, f func(sections *recent, tid int32, prev, stamp int64)) error {
	stream, err := trace.Stream(replayColumns &^ (traces.ColStack | traces.ColComm | traces.ColPath))
	if err != nil {
		return err
	}
	defer closeStream(stream)
	sections := map[int32]*recent{}
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
			kind := callKind(&ev, breaks)
			if s, ok := profile.Sections.of(&ev, kind, profile.Recorder.ExitLag, recording); ok {
				recentOf(sections, ev.PID).add(odd{s.start, s.end(), ev.TID, ev.Seq})
			}
		case ev.Kind == traces.Hit:
			if prev, ok := last[ev.TID]; ok && sections[ev.PID] != nil {
				f(sections[ev.PID], ev.TID, prev, ev.Time)
			}
			last[ev.TID] = ev.Time
		}
		if n%65536 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func recentOf(m map[int32]*recent, pid int32) *recent {
	r := m[pid]
	if r == nil {
		r = &recent{}
		m[pid] = r
	}
	return r
}

// score adds, for each cost, the likelihood that this hit fell back.
func (f *costFit) score(sections *recent, tid int32, prev, stamp int64) {
	table := f.in.table(tid)
	onTime := table.density(stamp - prev)
	sections.near(tid, max(prev, stamp-nearby), func(o *odd) {
		for i := range f.scores {
			cost := f.first + int64(i)*costStep
			if end := stamp - f.lag - cost; o.from <= end && end <= o.to && end > prev {
				w := 0.8 * table.density(stamp-cost-prev)
				f.scores[i] = f.scores[i] + float64(w/(w+onTime))
			}
		}
	})
}

// best is the middle of the costs that are nearly as good as the best one.
func (f *costFit) best() (int64, bool) {
	most := 0.0
	for _, s := range f.scores {
		most = max(most, s)
	}
	if most < 1 {
		return 0, false // no hit that would tell
	}
	var sum, n int64
	for i, s := range f.scores {
		if s >= 0.97*most {
			sum += f.first + int64(i)*costStep
			n++
		}
	}
	return sum / n, true
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
		return brkShrink
	}
	return ev.Kind.String()
}
