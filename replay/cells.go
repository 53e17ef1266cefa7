package replay

import (
	"context"
	"maps"
	"sync"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Cell is one replay of a trace among several: a machine, and options with one resolver.
type Cell struct {
	Profile *machines.Profile
	Options Options
}

// Outcome is what became of a cell. Result has one Run, or none for a trace without a hit.
type Outcome struct {
	Result *Result
	Err    error // of this cell alone; Result is nil
}

// MaxTogether is how many cells are replayed at the same time, beside one reconstruction.
// A cell takes about a megabyte, and what its simulated threads cannot do in time.
const MaxTogether = 256

// PlayCells replays a trace in all cells; see EachCell.
func PlayCells(ctx context.Context, trace timeline.Trace, cells []Cell, progress func(done, total int64)) ([]Outcome, error) {
	return playCells(ctx, trace, cells, nil, progress)
}

// EachCell replays a trace in all cells. It is read once for a survey, and reconstructed
// once for all machines whose profiles say the same of recordings, and for MaxTogether
// cells at a time: when these are done, take is called with their numbers and what became
// of them, and nothing of them is held any longer. What take returns ends the replay.
//
// Runs have no Series, no Spans and no HitTimes but their own. A cell that fails does not disturb the others; the
// error is of what concerns all. progress, which may be nil, is told how many of the
// trace's rows are behind how many of the cells.
func EachCell(ctx context.Context, trace timeline.Trace, cells []Cell, take func(cells []int, outcomes []Outcome) error, progress func(done, total int64)) error {
	return eachCell(ctx, trace, cells, nil, take, progress)
}

// playAll replays a trace in cells of one resolver each, all of which have to come out.
func playAll(ctx context.Context, trace timeline.Trace, cells []Cell, progress func(done, total int64)) ([]*Result, error) {
	outcomes, err := PlayCells(ctx, trace, cells, progress)
	if err != nil {
		return nil, err
	}
	results := make([]*Result, len(outcomes))
	for i, o := range outcomes {
		switch {
		case o.Err != nil:
			return nil, o.Err
		case len(o.Result.Runs) == 0:
			return nil, ErrNoHits
		}
		results[i] = o.Result
	}
	return results, nil
}

// playCells replays the cells. Those of one run have its resolvers, and say when things
// happened.
func playCells(ctx context.Context, trace timeline.Trace, cells []Cell, resolvers []string, progress func(done, total int64)) ([]Outcome, error) {
	all := make([]Outcome, len(cells))
	take := func(numbers []int, outcomes []Outcome) error {
		for n, i := range numbers {
			all[i] = outcomes[n]
		}
		return nil
	}
	if err := eachCell(ctx, trace, cells, resolvers, take, progress); err != nil {
		return nil, err
	}
	return all, nil
}

func eachCell(ctx context.Context, trace timeline.Trace, cells []Cell, resolvers []string, take func(cells []int, outcomes []Outcome) error, progress func(done, total int64)) error {
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		return err
	}
	p := &cellPlayer{trace: trace, survey: s, resolvers: resolvers, cells: cells}
	if s.None() && !s.LockTIDs {
		return ErrNoHits
	}
	if s.Hits == 0 {
		if p.recorded, err = timeline.Record(ctx, trace, s, cells[0].Options.Window.From, cells[0].Options.Window.To); err != nil {
			return err
		}
	}
	if progress != nil {
		p.progress = func(rows int64, of int) { progress(p.behind+rows*int64(of), s.Events*int64(len(cells))) }
	}
	for _, together := range inGroups(cells) {
		outcomes, err := p.play(ctx, together)
		if err != nil {
			return err
		}
		if err := take(together, outcomes); err != nil {
			return err
		}
		if p.progress != nil {
			p.progress(s.Events, len(together))
		}
		p.behind += s.Events * int64(len(together))
	}
	return nil
}

// inGroups are the numbers of cells that share a reconstruction.
func inGroups(cells []Cell) [][]int {
	var groups [][]int
next:
	for i := range cells {
		for g := range groups {
			if first := cells[groups[g][0]].Profile; len(groups[g]) < MaxTogether && sameRecordings(first, cells[i].Profile) {
				groups[g] = append(groups[g], i)
				continue next
			}
		}
		groups = append(groups, []int{i})
	}
	return groups
}

// sameRecordings reports whether a trace is reconstructed alike for both.
func sameRecordings(a, b *machines.Profile) bool {
	return a == b || a.Recorder == b.Recorder && maps.Equal(a.Sections, b.Sections)
}

// cellPlayer replays one trace in its cells.
type cellPlayer struct {
	trace     timeline.Trace
	survey    *timeline.Survey
	recorded  *timeline.Recording
	resolvers []string // of the run that the cells are; nil where each is for itself
	cells     []Cell

	progress func(rows int64, of int)
	behind   int64 // rows of cells
}

// begin is the result of a cell, without its run.
func (p *cellPlayer) begin(c *Cell, topo *sim.Topology) *Result {
	return &Result{Model: ModelVersion, Options: c.Options, Unknown: p.survey.Unknown, Machine: summaryOfMachine(c.Profile, topo)}
}

// play replays the trace in those cells of which the numbers are given.
func (p *cellPlayer) play(ctx context.Context, together []int) ([]Outcome, error) {
	outcomes := make([]Outcome, len(together))
	var players []*Player
	var readers []*timeline.Reader
	var of []*Outcome // what becomes of each
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	window := p.cells[together[0]].Options.Window
	config := timeline.Config{Using: timeline.Everything, Profile: p.cells[together[0]].Profile, Queue: true, Record: true, From: window.From, To: window.To}
	if p.progress != nil {
		config.Progress = func(rows int64) { p.progress(rows, len(together)) }
	}
	s := p.survey
	var rec *timeline.Reconstruction
	var shared *timeline.Shared
	if s.Hits > 0 {
		var err error
		if rec, err = timeline.Reconstruct(ctx, p.trace, s, config); err != nil {
			return nil, err
		}
		defer rec.Close()
		shared = timeline.Share(ctx, rec, len(together))
	}
	for n, i := range together {
		c, out := &p.cells[i], &outcomes[n]
		topo, err := Topology(c.Profile, &c.Options, s)
		if err != nil {
			out.Err = err
			if shared != nil {
				shared.Reader(n).Close()
			}
			continue
		}
		out.Result = p.begin(c, topo)
		if s.Hits == 0 {
			p.hitless(out.Result)
			continue
		}
		reader := shared.Reader(n)
		player, err := NewPlayer(reader, topo, s, PlayerConfig{Resolver: c.Options.Resolvers[0], Nth: n, Options: &out.Result.Options, Timeless: p.resolvers == nil, Repeat: repeatRun(p.trace.Path(), c.Profile, &c.Options, c.Options.Resolvers[0])})
		if err != nil {
			out.Result, out.Err = nil, err
			reader.Close()
			continue
		}
		players, readers, of = append(players, player), append(readers, reader), append(of, out)
	}
	if len(players) == 0 {
		return outcomes, nil
	}
	if err := p.run(ctx, shared, players, readers, of); err != nil {
		return nil, err
	}
	for n, out := range of {
		if out.Err == nil {
			p.finish(out.Result, players[n], rec)
		}
	}
	return outcomes, nil
}

// run runs the players beside the reconstruction. What fails the reconstruction is an error
// of all.
func (p *cellPlayer) run(ctx context.Context, shared *timeline.Shared, players []*Player, readers []*timeline.Reader, of []*Outcome) error {
	var wg sync.WaitGroup
	wg.Go(shared.Feed)
	for n, player := range players {
		wg.Go(func() {
			out := of[n]
			run, err := player.Play(ctx)
			if err != nil {
				out.Result, out.Err = nil, err
			} else {
				out.Result.Runs = []Run{run}
			}
			readers[n].Close()
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if shared.Err() != nil {
		return of[0].Err // which says so, too
	}
	return nil
}

// hitless is the rest of the result of a trace with lock events alone.
func (p *cellPlayer) hitless(res *Result) {
	res.Trace, res.Warnings = summaryOf(p.trace, p.survey), p.trace.Meta().Warnings
	if res.Recorded = copied(p.recorded); res.Recorded != nil {
		res.Trace.Writers, res.Trace.Threads, res.Trace.Mms = res.Recorded.Sections, res.Recorded.Writers, res.Recorded.Spaces
	}
	res.Trace.Sections.Observed = res.Trace.Writers
}

// copied is a recording that a result may change.
func copied(r *timeline.Recording) *timeline.Recording {
	if r == nil {
		return nil
	}
	own := *r
	return &own
}

// finish is the rest of the result of a cell that was replayed.
func (p *cellPlayer) finish(res *Result, player *Player, rec *timeline.Reconstruction) {
	res.Trace = player.summary(p.trace, &res.Runs[0], rec.Found())
	res.Trace.BuildIDs = rec.BuildIDs()
	if !res.Trace.TakesLock { // else how late hits are tells how long they waited for it
		res.Trace.Guess = rec.Guess()
	}
	if res.Recorded = copied(rec.Recording()); res.Recorded != nil {
		res.Recorded.Unseen = p.survey.Unseen()
		res.Recorded.Lookups = rec.Found().Lookups + res.Recorded.Unseen
	}
	res.Warnings = append(append(res.Warnings, p.trace.Meta().Warnings...), unseenWarnings(p.survey)...)
	res.Warnings = append(res.Warnings, player.warnings(rec.Found())...)
	res.Warnings = append(res.Warnings, player.shorterWaits(&res.Runs[0])...)
	res.Warnings = append(res.Warnings, alike(p.resolvers)...)
	if w := p.survey.Partly(); w != "" {
		res.Warnings = append(res.Warnings, w)
	}
}
