package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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
func Play(ctx context.Context, trace Trace, profile *Profile, options Options, progress func(done, total int64)) (*Result, error) {
	s, err := takeSurvey(ctx, trace)
	if err != nil {
		return nil, err
	}
	recorded := s.locks.recorded(s.unknown)
	if s.none() && recorded == nil {
		return nil, ErrNoHits
	}
	topo, err := topology(profile, &options, s)
	if err != nil {
		return nil, err
	}
	res := &Result{Options: options, Recorded: recorded, Unknown: s.unknown, Machine: MachineSummary{profile.Name, topo.CPUs(), topo.Sockets(), profile.SMT}}
	if s.hits == 0 {
		res.Trace, res.Warnings = s.summary(trace), trace.Meta().Warnings
		s.locks.summarise(&res.Trace)
		return res, nil
	}
	in, err := inferenceFor(ctx, trace, profile, s, Everything)
	if err != nil {
		return nil, err
	}
	rec, err := reconstruct(trace, Everything, profile, s, in)
	if err != nil {
		return nil, err
	}
	defer closeStream(rec.stream)
	if progress != nil {
		rec.progress = func(rows int64) { progress(rows, s.events) }
	}
	players := make([]*player, len(options.Resolvers))
	line := newTimeline(ctx, rec, len(players))
	for i, name := range options.Resolvers {
		if players[i], err = newPlayer(line.reader(i), topo, &res.Options, s, name, i); err != nil {
			return nil, err
		}
	}
	if res.Runs, err = line.play(players); err != nil {
		return nil, err
	}
	res.Trace = players[0].summary(trace, &res.Runs[0], &rec.notes)
	if recorded != nil {
		recorded.Lookups = res.Runs[0].Lookups / int64(max(options.Clone, 1))
	}
	res.Warnings = append(append(res.Warnings, trace.Meta().Warnings...), s.warnings()...)
	res.Warnings = append(res.Warnings, players[0].warnings(&rec.notes)...)
	if w := s.coverage.Partly(trace.Meta()); w != "" {
		res.Warnings = append(res.Warnings, w)
	}
	return res, nil
}

// inferenceFor is nil when lock events tell what it would infer.
func inferenceFor(ctx context.Context, trace Trace, profile *Profile, s *survey, using Using) (*inference, error) {
	if using == Locks || using == Everything && s.showsLookups() {
		return nil, nil
	}
	return newInference(ctx, trace, profile, s)
}

// topology puts as many CPUs to use as asked for, or as the recording had.
func topology(profile *Profile, options *Options, s *survey) (*sim.Topology, error) {
	n := options.CPUs
	if n == 0 {
		n = s.cpus
		if n > profile.CPUs() {
			return nil, fmt.Errorf("the trace was recorded on %d CPUs and machine %s has %d: choose --cpus or another --machine", n, profile.Name, profile.CPUs())
		}
	}
	return sim.NewTopology(&profile.Machine, n)
}

// player is one replay of a trace through one resolver.
type player struct {
	src    *source
	sys    *sim.System
	gather *gatherer
	closed bool
	survey *survey
}

// maxReplays is how many replays one reconstruction serves: each has a bit in
// change.made.
const maxReplays = 32

// newPlayer returns the nth replay of the actions.
func newPlayer(from actions, topo *sim.Topology, options *Options, s *survey, resolver string, nth int) (*player, error) {
	if nth >= maxReplays {
		return nil, fmt.Errorf("more than %d resolvers in one run", maxReplays)
	}
	r, err := sim.FindResolver(resolver)
	if err != nil {
		return nil, err
	}
	g := newGatherer(resolver)
	sys := sim.NewSystem(sim.Config{Topology: topo, Resolver: r, Seed: options.Seed, Probes: &mm.Uprobes{}, Observer: g, AsRecorded: asRecorded(options, topo, s), Stepwise: options.stepwise})
	return &player{
		src: newSource(from, sys, topo, options, s, nth), sys: sys, gather: g,
		closed: options.Timing != Original, survey: s,
	}, nil
}

// asRecorded reports whether every operation runs when and where it did.
func asRecorded(o *Options, topo *sim.Topology, s *survey) bool {
	return o.Timing == Original && o.Placement == Recorded && o.Clone <= 1 && topo.CPUs() >= s.cpus
}

func (p *player) play(ctx context.Context) (Run, error) {
	if err := p.sys.Run(ctx, p.src, p.closed); err != nil {
		return Run{}, fmt.Errorf("replay through %s: %w", p.gather.run.Resolver, err)
	}
	run := p.gather.finish(p.sys)
	run.Probes = eventsOf(run.Probes, p.survey.at.probes, int64(max(p.src.options.Clone, 1)))
	run.High = run.Low + run.Undecided + p.survey.lost*int64(max(p.src.options.Clone, 1))
	return run, nil
}

// summary says what the pass itself knows of the trace.
func (s *survey) summary(trace Trace) TraceSummary {
	return TraceSummary{
		Path: trace.Path(), SHA256: trace.SHA256(), Events: s.events, Hits: s.hits, HitEvents: s.at.hits, DurationNs: s.end - s.start,
		Lost: s.lost, Losses: s.losses.since(s.start), LossyNs: s.losses.length(s.start, s.end),
	}
}

// summary says what was replayed. Clones are not counted.
func (p *player) summary(trace Trace, run *Run, n *notes) TraceSummary {
	t := p.survey.summary(trace)
	t.Writers, t.Undecided = n.observedSections+n.modelledSections, n.undecidedSections
	t.Arrivals, t.Sections = Split{n.observedArrivals, n.inferredArrivals}, Split{n.observedSections, n.modelledSections}
	for i := range run.Mms {
		if m := &run.Mms[i]; m.Hits > 0 || m.Writers > 0 {
			t.Mms++
		}
	}
	seen := map[int32]bool{}
	for _, clones := range p.src.threads {
		if len(clones) > 0 && clones[0].tid != mapper && !seen[clones[0].tid] {
			seen[clones[0].tid] = true
			t.Threads++
		}
	}
	return t
}

// warnings tell of lookups that no replay can have.
func (s *survey) warnings() []string {
	n := s.at.unseen()
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d lookups are not among the hits: of functions whose return was recorded but not their entry, where a return probe traps too, at a time that nobody knows; record the probe without %%return, too", n)}
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
func (p *player) warnings(n *notes) []string {
	var w []string
	add := func(count int64, format string, args ...any) {
		if count > 0 {
			w = append(w, fmt.Sprintf(format, append([]any{count}, args...)...))
		}
	}
	add(p.gather.inferred, "%d hits lay outside every known mapping: one was inferred from the probe's file")
	add(p.src.refused, "%d changes of an address space were refused (the first: %v): earlier ones may be missing", p.src.firstRefusal)
	add(n.unended, "%d holds of mmap_lock had no end in the trace and were left out")
	add(n.untold, "%d hits are of a process with optimised probes, and whether theirs is one is not recorded: they count as one lookup each, and would be two; mmap_lock events with callchains, from before its first hit, tell")
	add(n.late, "%d operations were reconstructed too late to be placed in time")
	return w
}
