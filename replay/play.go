package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
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
	res.Runs = make([]Run, len(options.Resolvers))
	in, err := inferenceFor(ctx, trace, profile, s, Everything)
	if err != nil {
		return nil, err
	}
	players := make([]*player, len(options.Resolvers))
	errs := make([]error, len(options.Resolvers))
	var wg sync.WaitGroup
	for i, name := range options.Resolvers {
		p, err := newPlayer(trace, profile, topo, &res.Options, s, name, Everything, in)
		if err != nil {
			return nil, err
		}
		players[i] = p
		if i == 0 && progress != nil {
			p.rec.progress = func(rows int64) { progress(rows, s.events) }
		}
		wg.Go(func() { res.Runs[i], errs[i] = p.play(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	res.Trace = players[0].summary(trace)
	if recorded != nil {
		recorded.Lookups = res.Runs[0].Lookups / int64(max(options.Clone, 1))
	}
	res.Warnings = append(append(res.Warnings, trace.Meta().Warnings...), s.warnings()...)
	res.Warnings = append(res.Warnings, players[0].warnings()...)
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
	rec    *reconstructor
	src    *source
	sys    *sim.System
	gather *gatherer
	closed bool
	stream traces.Stream
	survey *survey
}

func newPlayer(trace Trace, profile *Profile, topo *sim.Topology, options *Options, s *survey, resolver string, using Using, in *inference) (*player, error) {
	r, err := sim.FindResolver(resolver)
	if err != nil {
		return nil, err
	}
	stream, err := trace.Stream(replayColumns)
	if err != nil {
		return nil, err
	}
	g := newGatherer(resolver)
	sys := sim.NewSystem(sim.Config{Topology: topo, Resolver: r, Seed: options.Seed, Probes: &mm.Uprobes{}, Observer: g, AsRecorded: asRecorded(options, topo, s), Stepwise: options.stepwise})
	rec := newReconstructor(stream, using, profile, s, in)
	return &player{
		rec: rec, src: newSource(rec, sys, topo, options, s), sys: sys, gather: g,
		closed: options.Timing != Original, stream: stream, survey: s,
	}, nil
}

// asRecorded reports whether every operation runs when and where it did.
func asRecorded(o *Options, topo *sim.Topology, s *survey) bool {
	return o.Timing == Original && o.Placement == Recorded && o.Clone <= 1 && topo.CPUs() >= s.cpus
}

func (p *player) play(ctx context.Context) (Run, error) {
	defer closeStream(p.stream)
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
func (p *player) summary(trace Trace) TraceSummary {
	n := &p.rec.notes
	t := p.survey.summary(trace)
	t.Writers, t.Undecided = n.observedSections+n.modelledSections, n.undecidedSections
	t.Arrivals, t.Sections = Split{n.observedArrivals, n.inferredArrivals}, Split{n.observedSections, n.modelledSections}
	for _, m := range p.gather.mms {
		if m.Hits > 0 || m.Writers > 0 {
			t.Mms++
		}
	}
	seen := map[int32]bool{}
	for key := range p.src.tasks {
		if key.tid != mapper && !seen[key.tid] {
			seen[key.tid] = true
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
func (p *player) warnings() []string {
	var w []string
	n := &p.rec.notes
	add := func(count int64, format string, args ...any) {
		if count > 0 {
			w = append(w, fmt.Sprintf(format, append([]any{count}, args...)...))
		}
	}
	add(p.gather.inferred, "%d hits lay outside every known mapping: one was inferred from the probe's file")
	add(n.refused, "%d changes of an address space were refused (the first: %v): earlier ones may be missing", n.firstRefusal)
	add(n.unended, "%d holds of mmap_lock had no end in the trace and were left out")
	add(n.untold, "%d hits are of a process with optimised probes, and whether theirs is one is not recorded: they count as one lookup each, and would be two; mmap_lock events with callchains, from before its first hit, tell")
	add(n.late, "%d operations were reconstructed too late to be placed in time")
	return w
}
