package fit

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Validation compares what the model predicts with what the recorded kernel did,
// hit by hit.
type Validation struct {
	Using     timeline.Using
	Events    int64
	Lost      int64
	Hits      int64
	Lookups   int64 // of these hits: one each, those of optimised probes two; all below counts them
	Observed  int64 // fallbacks that the kernel made
	Predicted int64 // fallbacks that the model made
	Inferred  bool  // arrivals are, and so uncertain
	// TakesLock says that the recorded kernel takes the lock for each lookup, so that there
	// is nothing to predict. Kernel is its release, if known.
	TakesLock bool
	Kernel    string
	// Expected is the expectation of their number where arrivals are inferred, and Low to
	// High an interval that holds the true one in eight recordings of ten; else Predicted.
	Expected, Low, High float64
	TP                  int64 // both
	FP, FN              int64 // only the model; only the kernel
	Waits               struct{ Observed, Predicted dist.Dist }
	Waited              bool // the trace tells how long lookups waited
	// Unseen are those of the observed waits, and how long, in which a thread had been let in
	// while no row shows who had its CPU: that cannot be predicted.
	Unseen dist.Dist
	// Recording is what recording its lock_start takes of each wait, on either side: the
	// recorder has the CPU before the lock is asked for.
	Recording sim.Time
	// ArrivalError is how far inferred arrivals lie from those that lock events show,
	// of the lookups that failed.
	ArrivalError dist.Dist
	Misses       []Miss // the worst first
	// Unknown is what the trace cannot tell, and Undecided of how many of all Lookups it
	// is unknown whether the kernel took the lock.
	Unknown   []replay.Unknown
	Undecided int64
}

// Predicts reports whether the trace has what a prediction rests on.
func (v *Validation) Predicts() bool { return len(replay.Unanswered(v.Unknown)) == 0 && !v.TakesLock }

// Observes reports whether it tells what the kernel did with each hit.
func (v *Validation) Observes() bool {
	return len(replay.Unknowns(v.Unknown, replay.UnknownOutcomes, replay.UnknownHits)) == 0
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
	Blame    *timeline.Origin
}

// resolverOfKernel is what kernels run whose outcomes are a question (since 6.14).
const resolverOfKernel = "speculative-merged"

// Comparison is what Validate compares with what.
type Comparison struct {
	Using  timeline.Using // Everything: what Survey.Resolve says
	Light  bool           // the truth is in lock_starts without callchains, too
	Misses int            // that are kept, at most
}

// ErrNoStamps is returned where arrivals are asked for and there are none.
var ErrNoStamps = errors.New("the trace has no arrive rows: ingest it with --arrive-arg, where the program passes the time of its call to the probed function")

// ErrNoHolders is returned where write sections are to come from lock events and there are
// lock_starts alone.
var ErrNoHolders = errors.New("of lock events the trace has lock_starts alone, which do not tell who had the lock: --using syscalls goes by the calls, and mmap_lock_acquire_returned and mmap_lock_released have to be recorded for any other")

// Validate replays the trace as the recorded kernel ran it, with the outcomes
// hidden, and compares.
func Validate(ctx context.Context, trace timeline.Trace, profile *machines.Profile, c Comparison) (*Validation, error) {
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		return nil, err
	}
	using, misses := c.Using, c.Misses
	undecided := s.Undecided()
	if c.Light {
		s.TakeLight()
		undecided = 0 // what is, shows hit by hit
	}
	if s.None() {
		return nil, replay.ErrNoHits
	}
	if using = s.Resolve(using); using == timeline.Stamps && s.Stamped() == 0 {
		return nil, ErrNoStamps
	}
	if s.LockRows && s.LacksHolders() && using != timeline.Syscalls {
		return nil, ErrNoHolders
	}
	recorded := lookupOnly(profile)
	options := replay.DefaultOptions()
	topo, err := replay.Topology(recorded, &options, s)
	if err != nil {
		return nil, err
	}
	stamped := fitWindow(recorded, topo)
	v := &validator{
		start: s.Start, keep: misses, v: Validation{Using: using, Events: s.Events, Lost: s.Lost, Unknown: s.Unknown, Undecided: undecided, Waited: s.TellsWaits(), TakesLock: s.TakesLock(trace.Meta()), Kernel: trace.Meta().Kernel},
		observed: dist.NewSketch(), predicted: dist.NewSketch(), arrival: dist.NewSketch(), unseen: dist.NewSketch(), recorder: &recorded.Recorder,
		survey: s, occupancy: newOccupancy(recorded, s, using), inferred: s.Infers(using),
	}
	rec, err := timeline.Reconstruct(ctx, trace, s, timeline.Config{Using: using, Profile: recorded, Observer: v.occupancy})
	if err != nil {
		return nil, err
	}
	defer rec.Close()
	v.lockDelay = sim.Time(rec.LockDelay()) * sim.Nanosecond
	if !v.inferred {
		v.v.Recording = v.lockDelay
	}
	p, err := replay.NewPlayer(&reached{Operations: rec, occupancy: v.occupancy}, topo, s, replay.PlayerConfig{
		Resolver: resolverOfKernel, Options: &options,
		Repeat: []string{"replay", "validate", "--machine", profile.From(), "--using", using.String(), trace.Path()}, Each: v.hit, LockDelay: v.lockDelay, Stamped: stamped,
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.Play(ctx); err != nil {
		return nil, err
	}
	v.expect()
	return v.finish(), nil
}

// lookupOnly is the profile of the machine that was recorded: hits take the CPU
// for no longer than their lookup, since the recorded times say the rest.
func lookupOnly(profile *machines.Profile) *machines.Profile {
	p := *profile
	p.Hit.ExitCycles, p.Hit.EntryCycles = 0, 0
	p.Lock.WakeLatency = 0 // see validator.wait
	return &p
}

// fitWindow makes a lookup as long as the window of the recorder's stamps, and the
// second one of an optimised hit as long as it is behind the first.
func fitWindow(p *machines.Profile, topo *sim.Topology) *replay.Stamped {
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
	return &replay.Stamped{
		Check:  max(private(p.Recorder.Window, sim.CheckLoads()), 1),
		Lookup: max(private(p.Recorder.CheckLead, resolver.Loads()), 1),
	}
}

// validator compares hit by hit.
type validator struct {
	start               int64 // ns: virtual time 0
	keep                int
	v                   Validation
	observed, predicted *dist.Sketch
	arrival             *dist.Sketch
	unseen              *dist.Sketch
	recorder            *machines.Recorder
	survey              *timeline.Survey
	occupancy           *occupancy
	lockDelay           sim.Time          // what the recorder spent on each lock_start of a lookup
	guess               timeline.GuessSum // of the number of fallbacks, where arrivals are inferred
	inferred            bool              // outcomes are those that the stamps make likely
}

func (v *validator) hit(h *sim.HitRecord) {
	o := h.Op.Tag.(*timeline.Origin)
	v.v.Hits++
	if h.Optimised() || o.CheckTruth != nil {
		v.lookup(h, &h.Check, o, o.CheckTruth)
	}
	v.lookup(h, &h.Lookup, o, o.Truth)
}

// lookup compares one lookup of a hit. One that the model does not make, since it
// may not know of it, is lockless there.
func (v *validator) lookup(h *sim.HitRecord, l *sim.Lookup, o *timeline.Origin, truth *timeline.Truth) {
	if o.Untold {
		v.v.Undecided++
		return
	}
	if l == &h.Lookup {
		v.guess.Add(o.Likely)
	}
	fell := l.Outcome != sim.Lockless
	wait := v.wait(h, l, o)
	if v.inferred {
		check := h.Check.Outcome != sim.Lockless && h.Lookup.Outcome == sim.Lockless
		fell = o.Likely >= timeline.Decided && check == (l == &h.Check)
		wait = v.lockDelay + sim.Time(o.Delay)*sim.Nanosecond
	}
	v.v.Lookups++
	if truth != nil {
		v.v.Observed++
		v.observed.Add(sim.Time(truth.WaitNs) * sim.Nanosecond)
		if truth.UnseenNs > 0 {
			v.unseen.Add(sim.Time(truth.UnseenNs) * sim.Nanosecond)
		}
		v.addArrival(h, l, truth)
	}
	if fell {
		v.v.Predicted++
		v.predicted.Add(wait)
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
func (v *validator) wait(h *sim.HitRecord, l *sim.Lookup, o *timeline.Origin) sim.Time {
	if l.LockAt == 0 {
		return 0
	}
	woken := l.Woken
	wait := l.Acquired - l.LockAt + v.stolen(o.TID)
	if end := v.occupancy.behind(o.PID, v.start+(l.LockAt+v.lockDelay).Nanos()); end > 0 {
		if at := sim.Time(end-v.start) * sim.Nanosecond; at > l.Acquired {
			woken = at
			wait += at - l.Acquired
		}
	}
	if woken > 0 {
		wait += v.occupancy.wake(o, h.CPU, woken)
	}
	return wait
}

// stolen is the CPU time that a thread loses on average while it spends lockDelay:
// mostly none, but now and then a lot. It makes a wait longer, but does not decide
// whether the lock is free by then. The pace of threads is known from lock events;
// a delay that was found without them includes what was stolen.
func (v *validator) stolen(tid int32) sim.Time {
	if t := v.survey.Threads[tid]; t != nil && !v.survey.Infers(v.v.Using) {
		return v.lockDelay * sim.Time(t.StolenPermille()-1000) / 1000
	}
	return 0
}

// addArrival compares where a lookup was placed with where its lock_start shows it.
func (v *validator) addArrival(h *sim.HitRecord, l *sim.Lookup, truth *timeline.Truth) {
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
	v.arrival.Add(sim.Time(max(off, -off)) * sim.Nanosecond)
}

func (v *validator) miss(l *sim.Lookup, o *timeline.Origin, wait int64) {
	m := Miss{
		Time: o.Time, PID: o.PID, TID: o.TID, Comm: o.Comm, FellBack: l.Outcome == sim.Lockless, WaitNs: wait,
		Start: v.start + l.Start.Nanos(), End: v.start + l.Answered.Nanos(), Arrival: "inferred",
	}
	if o.Observed {
		m.Arrival = "observed"
	}
	m.Blame, _ = l.Blame.(*timeline.Origin)
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
func (v *validator) expect() {
	e := float64(v.v.Predicted)
	v.v.Expected, v.v.Low, v.v.High = e, e, e
	if v.v.Inferred = v.inferred; v.inferred {
		g := v.guess.Guess()
		v.v.Expected, v.v.Low, v.v.High = g.Expected, g.Low, g.High
	}
}

func (v *validator) finish() *Validation {
	v.trim()
	v.v.ArrivalError, v.v.Unseen = v.arrival.Dist(), v.unseen.Dist()
	v.v.Waits.Observed, v.v.Waits.Predicted = v.observed.Dist(), v.predicted.Dist()
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
