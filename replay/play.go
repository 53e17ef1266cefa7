package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
)

// ErrNoHits is returned for a trace without a single uprobe hit.
var ErrNoHits = errors.New("the trace has no uprobe hit")

// DefaultOptions replays a trace as it was recorded, before and after the series.
func DefaultOptions() Options {
	return Options{Resolvers: []string{"locked", "speculative"}, SpeedPPM: 1_000_000, Clone: 1, Seed: 1}
}

// Play replays the trace on the machine, once for each resolver. progress, which
// may be nil, is told how many of the trace's rows the first of them has behind it.
func Play(ctx context.Context, trace timeline.Trace, profile *machines.Profile, options Options, progress func(done, total int64)) (*Result, error) {
	cells := make([]Cell, len(options.Resolvers))
	for i, resolver := range options.Resolvers {
		cells[i] = Cell{Profile: profile, Options: options}
		cells[i].Options.Resolvers = []string{resolver}
	}
	if len(cells) == 0 {
		cells = []Cell{{Profile: profile, Options: options}}
	}
	outcomes, err := playCells(ctx, trace, cells, options.Resolvers, progress)
	if err != nil {
		return nil, err
	}
	res := outcomes[0].Result
	for i := range outcomes {
		if err := outcomes[i].Err; err != nil {
			return nil, err
		}
		if i > 0 {
			res.Runs = append(res.Runs, outcomes[i].Result.Runs...)
		}
	}
	res.Options = options
	return res, nil
}

// alike tells of resolvers whose equal figures are no measurement.
func alike(resolvers []string) []string {
	var w []string
	for _, name := range resolvers {
		if r, err := sim.FindResolver(name); err == nil && slices.Contains(resolvers, r.Alike) {
			w = append(w, fmt.Sprintf("%s reads the same lines as %s, in another order, and is timed nearly alike: no figure is known for the barriers in which they differ", name, r.Alike))
		}
	}
	return w
}

func summaryOfMachine(p *machines.Profile, topo *sim.Topology) MachineSummary {
	return MachineSummary{p.Name, p.Digest(), topo.CPUs(), topo.Sockets(), p.SMT}
}

// Topology puts as many CPUs to use as asked for, or as the recording had.
func Topology(profile *machines.Profile, options *Options, s *timeline.Survey) (*sim.Topology, error) {
	n := options.CPUs
	if n == 0 {
		n = s.CPUs
		if n > profile.CPUs() {
			return nil, fmt.Errorf("the trace was recorded on %d CPUs and machine %s has %d: choose --cpus or another --machine", n, profile.Name, profile.CPUs())
		}
	}
	if options.Layout == "" {
		return sim.NewTopology(&profile.Machine, n)
	}
	layout, err := sim.ParseLayout(options.Layout)
	if err != nil {
		return nil, err
	}
	machine := profile.Machine
	machine.Layout = layout
	return sim.NewTopology(&machine, n)
}

// PlayerConfig is what one replay of a trace is like.
type PlayerConfig struct {
	Resolver string
	Nth      int // of the replays that share operations, from 0
	Options  *Options
	Repeat   []string // the command that does it again, for a Failure
	Timeless bool     // the run has no Series, no Spans and no HitTimes but its own, which take most of its memory
	// The rest is for a replay as it was recorded. Each is told of every hit; LockDelay
	// is what the recorder spent on each lock_start of a lookup; Stamped has both lookups
	// of an optimised hit where the stamps show them.
	Each func(*sim.HitRecord)
	// EachSection is told of every section of mmap_lock. It may be nil, as Each.
	EachSection func(*sim.Section)
	LockDelay   sim.Time
	Stamped     *Stamped
}

// Stamped are the private cycles of the two lookups of an optimised hit, which lie where
// they were recorded and not where the simulated check ends.
type Stamped struct{ Check, Lookup int64 }

func (s *Stamped) place(op *sim.Op, lookupAt sim.Time) {
	op.LookupAt, op.CheckCycles, op.LookupCycles = lookupAt, s.Check, s.Lookup
}

// Player is one replay of a trace through one resolver.
type Player struct {
	src    *source
	sys    *sim.System
	gather *gatherer
	stages *whatif.Stages // nil where nothing is otherwise
	closed bool
	survey *timeline.Survey
	repeat []string
}

// NewPlayer returns a replay of the operations.
func NewPlayer(from timeline.Operations, topo *sim.Topology, s *timeline.Survey, c PlayerConfig) (*Player, error) {
	r, err := sim.FindResolver(c.Resolver)
	if err != nil {
		return nil, err
	}
	g, options := newGatherer(&c), c.Options
	if len(options.Fault) > 0 {
		switch broken, err := r.Without(options.Fault...); {
		case err == nil:
			r, g.run.Fault = broken, &Fault{Rules: options.Fault}
		case !errors.Is(err, sim.ErrUntimed):
			return nil, err
		}
	}
	if c.Timeless {
		g.when = nil
	}
	var stages *whatif.Stages
	if len(options.WhatIf) > 0 {
		stages = whatif.Apply(from, options.WhatIf)
		from = stages
	}
	sys := sim.NewSystem(sim.Config{Topology: topo, Resolver: r, Seed: options.Seed, Probes: &mm.Uprobes{}, Observer: g, AsRecorded: asRecorded(options, topo, s), Stepwise: options.stepwise})
	return &Player{
		src: newSource(from, sys, topo, s, &c), sys: sys, gather: g, stages: stages,
		closed: options.Timing != Original, survey: s, repeat: c.Repeat,
	}, nil
}

// asRecorded reports whether every operation runs when and where it did.
func asRecorded(o *Options, topo *sim.Topology, s *timeline.Survey) bool {
	return o.Timing == Original && o.Placement == Recorded && o.Clone <= 1 && topo.CPUs() >= s.CPUs
}

// Play replays all operations. When the machine fails, the error is a [Failure].
func (p *Player) Play(ctx context.Context) (Run, error) {
	if err := p.sys.Run(ctx, p.src, p.closed); err != nil {
		return Run{}, p.failed(err)
	}
	run := p.gather.finish(p.sys)
	run.Lines = lineRows(p.sys, p.src.labels.names)
	run.Probes = eventsOf(run.Probes, p.survey.ProbeEvents(), int64(max(p.src.options.Clone, 1)))
	run.High = run.Low + run.Undecided + p.survey.Lost*int64(max(p.src.options.Clone, 1))
	return run, nil
}

// summaryOf says what the survey alone knows of the trace.
func summaryOf(trace timeline.Trace, s *timeline.Survey) TraceSummary {
	return TraceSummary{
		Path: trace.Path(), SHA256: trace.SHA256(), Events: s.Events, Hits: s.Hits, HitEvents: s.HitEvents(), DurationNs: s.End - s.Start,
		Lost: s.Lost, Losses: s.WorstLosses(), LossyNs: s.LossyNs(), Kernel: trace.Meta().Kernel, TakesLock: s.TakesLock(trace.Meta()),
	}
}

// summary says what was replayed. Clones are not counted.
func (p *Player) summary(trace timeline.Trace, run *Run, n *timeline.Found) TraceSummary {
	t := summaryOf(trace, p.survey)
	t.Writers, t.Undecided = n.ObservedSections+n.ModelledSections, n.UndecidedSections
	t.Arrivals, t.Sections = Split{n.ObservedArrivals, n.InferredArrivals}, Split{n.ObservedSections, n.ModelledSections}
	t.Mms = int64(len(run.Mms))
	seen := map[int32]bool{}
	for _, thread := range p.src.tasks {
		if thread.clone == 0 && thread.tid != timeline.Mapper && !seen[thread.tid] {
			seen[thread.tid] = true
			t.Threads++
		}
	}
	return t
}

// unseenWarnings tell of lookups that no replay can have.
func unseenWarnings(s *timeline.Survey) []string {
	n := s.Unseen()
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d lookups are not among the hits: of functions whose return was recorded but not their entry, where a return probe traps too, at a time that nobody knows; record the probe without %%return, too", n)}
}

// shorterWaits tells of waits that are much shorter than they were recorded because the
// replay is not placed as the recording was. One that is repeats when threads woke up, so
// that more threads would seem to wait less.
func (p *Player) shorterWaits(run *Run) []string {
	waited := time.Duration(p.src.unwaited / int64(max(p.src.options.Clone, 1)))
	if waited < time.Millisecond || int64(run.WriterWait.Total/sim.Nanosecond)*2 > p.src.unwaited {
		return nil
	}
	return []string{fmt.Sprintf("writers waited %v for mmap_lock in the recording, waking up among others' work included; that is repeated only where all runs when and where it was recorded: compare this replay's waits with those of others that have other CPUs, times or clones, too", waited)}
}

// eventsOf says of each probe how many events it had. One whose events all share a trap
// with an earlier one has no other figure.
func eventsOf(rows []ProbeRow, events map[string]int64, clones int64) []ProbeRow {
	left := maps.Clone(events)
	for i := range rows {
		rows[i].Events = events[rows[i].Probe] * clones
		delete(left, rows[i].Probe)
	}
	for _, probe := range slices.Sorted(maps.Keys(left)) {
		rows = append(rows, ProbeRow{Probe: probe, Events: left[probe] * clones})
	}
	return rows
}

// warnings are what bounds the conclusions.
func (p *Player) warnings(n *timeline.Found) []string {
	var w []string
	add := func(count int64, format string, args ...any) {
		if count > 0 {
			w = append(w, fmt.Sprintf(format, append([]any{count}, args...)...))
		}
	}
	add(p.gather.inferred, "%d hits lay outside every known mapping: one was inferred from the probe's file")
	add(p.src.refused, "%d changes of an address space were refused (the first: %v): earlier ones may be missing", p.src.firstRefusal)
	add(n.Unended, "%d holds of mmap_lock had no end in the trace and were left out")
	add(n.Untold, "%d hits are of a process with optimised probes, and whether theirs is one is not recorded: they count as one lookup each, and would be two; mmap_lock events with callchains, from before its first hit, tell")
	if p.src.survey.Lost == 0 {
		add(n.Unlocked, "%d mmaps and munmaps have no mmap_lock events, the last of them %v from the start, though others have: the recorder had not enabled all events on all CPUs by then, and what these calls were in the way of is not simulated; slice what came later with replay slice --time", time.Duration(n.UnlockedUntil))
	}
	add(n.Sharing, "%d processes were in one address space with another (vfork, or clone with CLONE_VM), as their locks tell: each is simulated in one of its own, where the others' changes spoil no lookup of it")
	if p.stages != nil {
		for _, r := range p.stages.Unmatched() {
			w = append(w, fmt.Sprintf("what if %s: nothing in the trace is a case of that", r))
		}
	}
	add(n.Late, "%d operations were reconstructed too late to be placed in time")
	return w
}
