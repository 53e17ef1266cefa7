package replay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Explanation is why single waits for mmap_lock were as long as they were: those that
// were recorded, and those of a simulated run.
type Explanation struct {
	Path     string
	Start    int64            // ns on the capture clock: when both begin
	Locks    bool             // the trace has lock events
	Recorded []*timeline.Wait // in the order of the watch
	// CPUs says of a wait in which the thread was put on no CPU, or another, who was seen
	// on the one where it went on.
	CPUs map[*timeline.Wait]*timeline.Window

	Machine   MachineSummary
	Resolver  string
	Simulated []*SlowHit // in the order of the watch; none without hits

	Scenes  map[int64]*timeline.Scene // by seq of waits, holds, hits and sections
	Unknown []Unknown
}

// SlowHit is a simulated hit that waited for mmap_lock. Times are since the start of the
// run, which is the recording's with its own timing.
type SlowHit struct {
	Comm     string
	PID, TID int32
	CPU      int
	Probe    string
	Stack    []string // leaf first
	Seq      int64    // of its row
	Outcome  sim.Outcome
	At       sim.Time // its lookup began
	LockAt   sim.Time // it asked for mmap_lock
	Wait     sim.Time // for it
	Answered sim.Time
	Blame    *BlamedSection // nil where none is
}

// BlamedSection is the section that a SlowHit waited for, or that spoiled its
// speculation.
type BlamedSection struct {
	Comm     string
	PID, TID int32
	Kind     string
	Stack    []string // leaf first
	Seq      int64    // of its row
	Known    bool     // the times are
	Asked    sim.Time
	Acquired sim.Time
	Released sim.Time
}

// Explain finds the waits that a watch is for, in the recording and in a replay through
// the first of the resolvers, and what they were part of.
func Explain(ctx context.Context, trace timeline.Trace, profile *machines.Profile, options Options, watch timeline.Watch) (*Explanation, error) {
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Path: trace.Path(), Start: s.Start, Resolver: options.Resolvers[0], Unknown: s.Unknown, CPUs: map[*timeline.Wait]*timeline.Window{}}
	recorded, err := timeline.Watched(ctx, trace, s, watch)
	if err != nil {
		return nil, err
	}
	if recorded == nil && s.None() {
		return nil, ErrNoHits
	}
	if recorded != nil {
		e.Locks, e.Recorded = true, recorded.Worst
		if watch.At >= 0 {
			e.Recorded = under(recorded.Near, watch.At, func(w *timeline.Wait) (at, end sim.Time) { return w.At, w.At + w.For })
		}
	}
	if s.Hits > 0 && len(Unanswered(s.Unknown)) == 0 {
		if err := e.simulate(ctx, trace, s, profile, options, watch); err != nil {
			return nil, err
		}
	}
	var seqs []int64
	var windows []*timeline.Window
	for _, w := range e.Recorded {
		for _, w := range append([]*timeline.Wait{w}, w.Ahead...) {
			seqs = append(seqs, w.Seq)
			for _, b := range w.Behind {
				seqs = append(seqs, b.Hold.Seq)
			}
			if w.WokeOn >= 0 {
				start := s.Start + w.At.Nanos()
				on := &timeline.Window{CPU: w.WokeOn, TID: w.TID, From: start, To: start + w.For.Nanos()}
				e.CPUs[w] = on
				windows = append(windows, on)
			}
		}
	}
	for _, h := range e.Simulated {
		seqs = append(seqs, h.Seq)
		if h.Blame != nil {
			seqs = append(seqs, h.Blame.Seq)
		}
	}
	e.Scenes, err = timeline.Scenes(ctx, trace, seqs, windows)
	return e, err
}

// under are those that were under way at a time, or else the nearest.
func under[T any](near []T, at sim.Time, span func(T) (from, to sim.Time)) []T {
	during := slices.DeleteFunc(slices.Clone(near), func(x T) bool {
		from, to := span(x)
		return at < from || at > to
	})
	if len(during) == 0 {
		return near[:min(1, len(near))]
	}
	return during
}

// simulate runs the trace through the resolver and keeps the hits that waited.
func (e *Explanation) simulate(ctx context.Context, trace timeline.Trace, s *timeline.Survey, profile *machines.Profile, options Options, watch timeline.Watch) error {
	topo, err := Topology(profile, &options, s)
	if err != nil {
		return err
	}
	e.Machine = summaryOfMachine(profile, topo)
	rec, err := timeline.Reconstruct(ctx, trace, s, timeline.Config{Using: timeline.Everything, Profile: profile, Queue: true})
	if err != nil {
		return err
	}
	defer rec.Close()
	slow := slowHits{watch: watch, sections: map[*timeline.Origin]sim.Section{}}
	config := PlayerConfig{Resolver: e.Resolver, Options: &options, Each: slow.hit, EachSection: slow.section}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shared := timeline.Share(ctx, rec, 1)
	p, err := NewPlayer(shared.Reader(0), topo, s, config)
	if err != nil {
		return err
	}
	var feed sync.WaitGroup
	feed.Go(shared.Feed)
	_, err = p.Play(ctx)
	cancel(nil)
	feed.Wait()
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	e.Simulated = slow.kept
	if watch.At >= 0 {
		e.Simulated = under(slow.kept, watch.At, func(h *SlowHit) (from, to sim.Time) { return h.At, h.Answered })
	}
	return nil
}

// slowHits keeps the hits that a watch is for.
type slowHits struct {
	watch    timeline.Watch
	kept     []*SlowHit
	sections map[*timeline.Origin]sim.Section // the latest
	order    []*timeline.Origin               // of sections, the oldest first
}

// recentSections is how many sections are remembered for hits that wait for one: more
// than can be under way at a time.
const recentSections = 1 << 14

func (s *slowHits) section(x *sim.Section) {
	o, ok := x.Op.Tag.(*timeline.Origin)
	if !ok {
		return
	}
	if len(s.order) == recentSections {
		delete(s.sections, s.order[0])
		s.order = s.order[1:]
	}
	s.sections[o] = *x
	s.order = append(s.order, o)
}

// order is how the kept ones are sorted.
func (s *slowHits) compare(a, b *SlowHit) int {
	worse := cmp.Or(-cmp.Compare(a.Wait, b.Wait), cmp.Compare(a.At, b.At), cmp.Compare(a.Seq, b.Seq))
	if s.watch.At < 0 {
		return worse
	}
	away := func(h *SlowHit) sim.Time { return max(h.At-s.watch.At, s.watch.At-h.Answered, 0) }
	return cmp.Or(cmp.Compare(away(a), away(b)), worse)
}

func (s *slowHits) hit(h *sim.HitRecord) {
	if h.Parts.LockWait == 0 {
		return
	}
	most := s.watch.Worst
	if s.watch.At >= 0 {
		most = s.watch.Nearby
	}
	l := h.Deciding()
	o := h.Op.Tag.(*timeline.Origin)
	slow := &SlowHit{
		Comm: o.Comm, PID: o.PID, TID: o.TID, CPU: int(h.CPU), Probe: o.Probe, Stack: o.Stack, Seq: o.Seq, Outcome: h.Outcome,
		At: h.Trap, LockAt: l.LockAt, Wait: h.Parts.LockWait, Answered: h.End,
	}
	i, _ := slices.BinarySearchFunc(s.kept, slow, s.compare)
	if i >= most {
		return
	}
	if blamed, ok := l.Blame.(*timeline.Origin); ok {
		slow.Blame = s.blame(blamed)
	}
	s.kept = slices.Insert(s.kept, i, slow)
	s.kept = s.kept[:min(len(s.kept), most)]
}

func (s *slowHits) blame(o *timeline.Origin) *BlamedSection {
	b := &BlamedSection{Comm: o.Comm, PID: o.PID, TID: o.TID, Kind: o.Kind, Stack: o.Stack, Seq: o.Seq}
	if x, ok := s.sections[o]; ok {
		b.Known, b.Asked, b.Acquired, b.Released = true, x.Requested, x.Acquired, x.Released
	}
	return b
}
