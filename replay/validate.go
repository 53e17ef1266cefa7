package replay

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/replay/replay/sim"
)

// Validation compares what the model predicts with what the recorded kernel did,
// hit by hit.
type Validation struct {
	Using     Using
	Events    int64
	Lost      int64
	Hits      int64
	Lookups   int64 // of these hits: one each, those of optimised probes two; all below counts them
	Observed  int64 // fallbacks that the kernel made
	Predicted int64 // fallbacks that the model made
	// Expected is the expectation of their number, and Spread its two standard
	// deviations, where arrivals are inferred and so uncertain; else Predicted and 0.
	Expected, Spread float64
	TP               int64 // both
	FP, FN           int64 // only the model; only the kernel
	Waits            struct{ Observed, Predicted Dist }
	// ArrivalError is how far inferred arrivals lie from those that lock events show,
	// of the lookups that failed.
	ArrivalError Dist
	Misses       []Miss // the worst first
	// Unknown is what the trace cannot tell, and Undecided of how many of all Lookups it
	// is unknown whether the kernel took the lock.
	Unknown   []Unknown
	Undecided int64
}

// Predicts reports whether the trace has what a prediction rests on.
func (v *Validation) Predicts() bool { return len(Unanswered(v.Unknown)) == 0 }

// Observes reports whether it tells what the kernel did with each hit.
func (v *Validation) Observes() bool {
	return len(Unknowns(v.Unknown, UnknownOutcomes, UnknownHits)) == 0
}

// Scores reports whether both can be compared.
func (v *Validation) Scores() bool { return v.Predicts() && v.Observes() }

// Miss is a hit whose outcome was predicted wrongly.
type Miss struct {
	Time     int64 // ns on the capture's clock
	PID, TID int32
	Comm     string
	FellBack bool   // what the kernel did; the model did the opposite
	Arrival  string // observed or inferred
	Start    int64  // ns: the lookup window that was assumed
	End      int64
	WaitNs   int64 // that the kernel, or the model, waited
	Blame    *Origin
}

// resolverOfKernel is what the kernels that can be recorded run (since 6.14).
const resolverOfKernel = "speculative-merged"

// Validate replays the trace as the recorded kernel ran it, with the outcomes
// hidden, and compares.
func Validate(ctx context.Context, trace Trace, profile *Profile, using Using, misses int) (*Validation, error) {
	s, err := takeSurvey(ctx, trace)
	if err != nil {
		return nil, err
	}
	if s.none() {
		return nil, ErrNoHits
	}
	recorded := lookupOnly(profile)
	options := DefaultOptions()
	topo, err := topology(recorded, &options, s)
	if err != nil {
		return nil, err
	}
	stamped := fitWindow(recorded, topo)
	in, err := inferenceFor(ctx, trace, recorded, s, using)
	if err != nil {
		return nil, err
	}
	rec, err := reconstruct(trace, using, recorded, s, in)
	if err != nil {
		return nil, err
	}
	defer closeStream(rec.stream)
	p, err := newPlayer(rec, topo, &options, s, resolverOfKernel, 0)
	if err != nil {
		return nil, err
	}
	p.src.lockDelay = lockDelay(s, in)
	p.src.stamped = stamped
	p.src.stealable = rec.using != Syscalls
	rec.occupancy = newOccupancy(recorded, s, rec.using)
	p.src.occupancy = rec.occupancy
	v := &validator{start: s.start, keep: misses, v: Validation{Using: using, Events: s.events, Lost: s.lost, Unknown: s.unknown, Undecided: s.coverage.Undecided()}, observed: newSketch(), predicted: newSketch(), arrival: newSketch(), recorder: &recorded.Recorder, src: p.src}
	p.gather.each = v.hit
	if _, err := p.play(ctx); err != nil {
		return nil, err
	}
	v.expect(&rec.notes, in)
	return v.finish(), nil
}

// lockDelay is what the recorder spent between a refused speculation and the
// lock, where it recorded that.
func lockDelay(s *survey, in *inference) sim.Time {
	ns := s.gaps.start[1].quarter // others found the lock taken, or the code cold
	if in != nil {
		ns = in.recording
	}
	return sim.Time(ns) * sim.Nanosecond
}

// lookupOnly is the profile of the machine that was recorded: hits take the CPU
// for no longer than their lookup, since the recorded times say the rest.
func lookupOnly(profile *Profile) *Profile {
	p := *profile
	p.Hit.ExitCycles, p.Hit.EntryCycles = 0, 0
	p.Lock.WakeLatency = 0 // see validator.wait
	return &p
}

// stampedLookups are the private cycles of the two lookups of an optimised hit.
type stampedLookups struct{ check, lookup int64 }

func (s *stampedLookups) place(op *sim.Op, lookupAt sim.Time) {
	op.LookupAt, op.CheckCycles, op.LookupCycles = lookupAt, s.check, s.lookup
}

// fitWindow makes a lookup as long as the window of the recorder's stamps, and the
// second one of an optimised hit as long as it is behind the first.
func fitWindow(p *Profile, topo *sim.Topology) *stampedLookups {
	perThousand := topo.Cycles(0, 1000)
	private := func(ns, loads int64) int64 {
		cycles := int64(sim.Time(ns) * sim.Nanosecond * 1000 / perThousand)
		return max(cycles-loads*p.Line.LoadCycles, 0)
	}
	resolver, err := sim.FindResolver(resolverOfKernel)
	if err != nil {
		panic(err) // it is in the program
	}
	p.Hit.LookupCycles = private(p.Recorder.Window, resolver.Loads())
	return &stampedLookups{
		check:  max(private(p.Recorder.Window, sim.CheckLoads()), 1),
		lookup: max(private(p.Recorder.CheckLead, resolver.Loads()), 1),
	}
}

// validator compares hit by hit.
type validator struct {
	start               int64 // ns: virtual time 0
	keep                int
	v                   Validation
	observed, predicted *sketch
	arrival             *sketch
	recorder            *Recorder
	src                 *source
}

func (v *validator) hit(h *sim.HitRecord) {
	o := h.Op.Tag.(*Origin)
	v.v.Hits++
	if h.Optimised() || o.CheckTruth != nil {
		v.lookup(h, &h.Check, o, o.CheckTruth)
	}
	v.lookup(h, &h.Lookup, o, o.Truth)
}

// lookup compares one lookup of a hit. One that the model does not make, since it
// may not know of it, is lockless there.
func (v *validator) lookup(h *sim.HitRecord, l *sim.Lookup, o *Origin, truth *Truth) {
	fell := l.Outcome != sim.Lockless
	wait := v.wait(h, l, o)
	v.v.Lookups++
	if truth != nil {
		v.v.Observed++
		v.observed.add(sim.Time(truth.WaitNs) * sim.Nanosecond)
		v.addArrival(h, l, truth)
	}
	if fell {
		v.v.Predicted++
		v.predicted.add(wait)
	}
	switch {
	case fell && truth != nil:
		v.v.TP++
	case fell:
		v.v.FP++
		v.miss(l, o, wait.Nanos())
	case truth != nil:
		v.v.FN++
		v.miss(l, o, truth.WaitNs)
	}
}

// wait is the predicted wait of a lookup, 0 without one. Waking up is added here,
// where it holds up nobody: the recorded kernel's rows say when the thread went on,
// and when the next writer got the lock that a woken reader has already.
func (v *validator) wait(h *sim.HitRecord, l *sim.Lookup, o *Origin) sim.Time {
	if l.LockAt == 0 {
		return 0
	}
	occupancy, woken := v.src.occupancy, l.Woken
	wait := l.Acquired - l.LockAt + v.src.stolen(o.TID)
	if end := occupancy.behind(o.PID, v.start+(l.LockAt+v.src.lockDelay).Nanos()); end > 0 {
		if at := sim.Time(end-v.start) * sim.Nanosecond; at > l.Acquired {
			woken = at
			wait += at - l.Acquired
		}
	}
	if woken > 0 {
		wait += occupancy.wake(o, h.CPU, woken)
	}
	return wait
}

// addArrival compares where a lookup was placed with where its lock_start shows it.
func (v *validator) addArrival(h *sim.HitRecord, l *sim.Lookup, truth *Truth) {
	lag := v.recorder.FailLag
	if h.Optimised() {
		lag = v.recorder.SyscallFailLag
	}
	shown := truth.LockStart - lag - v.recorder.Window
	placed := h.Op.At
	if h.Op.LookupAt > 0 && l == &h.Lookup {
		placed = h.Op.LookupAt + sim.Time(v.recorder.CheckLead-v.recorder.Window)*sim.Nanosecond
	}
	off := v.start + placed.Nanos() - shown
	v.arrival.add(sim.Time(max(off, -off)) * sim.Nanosecond)
}

func (v *validator) miss(l *sim.Lookup, o *Origin, wait int64) {
	m := Miss{
		Time: o.Time, PID: o.PID, TID: o.TID, Comm: o.Comm, FellBack: l.Outcome == sim.Lockless, WaitNs: wait,
		Start: v.start + l.Start.Nanos(), End: v.start + l.Answered.Nanos(), Arrival: "inferred",
	}
	if o.Observed {
		m.Arrival = "observed"
	}
	m.Blame, _ = l.Blame.(*Origin)
	v.v.Misses = append(v.v.Misses, m)
	if len(v.v.Misses) > 4*v.keep+1024 {
		v.trim()
	}
}

// trim keeps the misses that cost most.
func (v *validator) trim() {
	slices.SortFunc(v.v.Misses, func(a, b Miss) int {
		return cmp.Or(-cmp.Compare(a.WaitNs, b.WaitNs), cmp.Compare(a.Time, b.Time), cmp.Compare(a.TID, b.TID))
	})
	v.v.Misses = v.v.Misses[:min(v.keep, len(v.v.Misses))]
}

// expect takes over what is expected where arrivals are uncertain.
func (v *validator) expect(n *notes, in *inference) {
	v.v.Expected = float64(v.v.Predicted)
	if in != nil {
		v.v.Expected = float64(n.expected) / 1e6
		v.v.Spread = 2 * math.Sqrt(float64(n.variance)/1e6)
	}
}

func (v *validator) finish() *Validation {
	v.trim()
	v.v.ArrivalError = v.arrival.dist()
	v.v.Waits.Observed, v.v.Waits.Predicted = v.observed.dist(), v.predicted.dist()
	return &v.v
}

// WaitError is the relative error of the predicted total of lock waits, 0 when none
// was observed.
func (v *Validation) WaitError() float64 {
	if v.Waits.Observed.Total == 0 {
		return 0
	}
	return float64(v.Waits.Predicted.Total)/float64(v.Waits.Observed.Total) - 1
}

// Precision is the share of the predicted fallbacks that the kernel made; 1 when
// none was predicted.
func (v *Validation) Precision() float64 { return share(v.TP, v.TP+v.FP) }

// Recall is the share of the kernel's fallbacks that were predicted; 1 when there
// was none.
func (v *Validation) Recall() float64 { return share(v.TP, v.TP+v.FN) }

// F1 is the harmonic mean of precision and recall.
func (v *Validation) F1() float64 { return share(2*v.TP, 2*v.TP+v.FP+v.FN) }

func share(part, whole int64) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}

var usingNames = []string{"everything", "locks", "syscalls"}

func (u Using) String() string { return usingNames[u] }

// ParseUsing reads locks or syscalls.
func ParseUsing(s string) (Using, error) {
	switch s {
	case "locks":
		return Locks, nil
	case "syscalls":
		return Syscalls, nil
	}
	return 0, fmt.Errorf("%q: want locks or syscalls", s)
}
