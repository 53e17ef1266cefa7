package sweep

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/replay/replay/replay/timeline"
)

// Source opens traces.
type Source interface {
	// SHA256 is that of the file as given, in hex.
	SHA256(ctx context.Context, name string) (string, error)
	// Open opens the trace; release lets go of it. rows is how many it has.
	Open(ctx context.Context, name string) (trace timeline.Trace, rows int64, release func(), err error)
}

// Runner replays what a store lacks.
type Runner struct {
	Source Source
	Store  *Store
	// Progress, which may be nil, is told how much is done of the work that is known: rows
	// of traces, times cells, times clones. It is called by one goroutine at a time.
	Progress func(done, total int64)
	// Kept is told of each trace whose cells are all in the store. It may be nil.
	Kept func(trace string, cells int)
}

// Run replays all traces in all cells, but for what the store has, and returns the records,
// trace by trace in the order of the cells. Traces that cannot be read have records that
// say so. It is cut at any time by ctx: what is replayed by then is in the store. A cell
// that failed is tried again by the next Run.
func (r *Runner) Run(ctx context.Context, traces []string, cells []Cell) ([]*Record, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make([]*traceWork, len(traces))
	err := each(len(traces), func(i int) error {
		work[i] = &traceWork{name: traces[i], records: make([]*Record, len(cells))}
		return r.look(ctx, work[i], cells)
	})
	if err != nil {
		return nil, err
	}
	p := &sharedProgress{to: r.Progress}
	for _, w := range work {
		p.expect(w.weight)
	}
	// A trace with as many cells as there are cores keeps them busy, but while it is
	// surveyed, on one: meanwhile the cells of another are replayed. Of traces with few cells
	// more are replayed at a time.
	cores := runtime.GOMAXPROCS(0)
	free := make(chan struct{}, cores)
	var wg sync.WaitGroup
	for _, w := range work {
		if len(w.missing) == 0 {
			continue
		}
		slots := min(len(w.missing), max(cores/2, 1))
		if !take(ctx, free, slots) {
			break
		}
		wg.Go(func() {
			defer give(free, slots)
			if err := r.play(ctx, w, cells, p); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var all []*Record
	for _, w := range work {
		all = append(all, w.records...)
	}
	return all, nil
}

// take waits for so many slots; false when the context ends first.
func take(ctx context.Context, free chan struct{}, slots int) bool {
	for range slots {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func give(free chan struct{}, slots int) {
	for range slots {
		<-free
	}
}

// traceWork is what is to be done on a trace.
type traceWork struct {
	name, sha string
	records   []*Record // by cell; nil where it is missing
	missing   []int     // cells
	weight    int64     // of them: the sum of their clones
	problem   error     // it cannot be read
}

// look finds what the store has of a trace.
func (r *Runner) look(ctx context.Context, w *traceWork, cells []Cell) error {
	if w.sha, w.problem = r.Source.SHA256(ctx, w.name); w.problem != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.records = Failed(w.name, "", cells, w.problem)
		return nil
	}
	for i := range cells {
		rec, err := r.Store.Get(cells[i].Key(w.sha))
		if err != nil {
			return err
		}
		if rec != nil && rec.Error == "" {
			rec.Of(w.name)
			w.records[i] = rec
			continue
		}
		w.missing = append(w.missing, i)
		w.weight += int64(max(cells[i].Options.Clone, 1))
	}
	if len(w.missing) == 0 && r.Kept != nil {
		r.Kept(w.name, len(cells))
	}
	return nil
}

// play replays the missing cells of a trace and puts them into the store, as they are done.
func (r *Runner) play(ctx context.Context, w *traceWork, cells []Cell, p *sharedProgress) error {
	todo := make([]Cell, len(w.missing))
	for n, i := range w.missing {
		todo[n] = cells[i]
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	keep := func(n int, rec *Record) error {
		if err := r.Store.Put(rec); err != nil {
			cancel(err) // no failure of the trace
			return err
		}
		w.records[w.missing[n]] = rec
		return nil
	}
	err := r.playTrace(ctx, w, todo, keep, p)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return each(len(todo), func(n int) error {
		if w.records[w.missing[n]] != nil {
			return nil // done before the others failed
		}
		return keep(n, Failed(w.name, w.sha, todo[n:n+1], err)[0])
	})
}

func (r *Runner) playTrace(ctx context.Context, w *traceWork, todo []Cell, keep func(n int, rec *Record) error, p *sharedProgress) error {
	trace, rows, release, err := r.Source.Open(ctx, w.name)
	if err != nil {
		p.done(w.weight)
		return err
	}
	defer release()
	task := p.begin(w.weight, rows)
	err = Play(ctx, trace, todo, keep, task.at)
	task.end()
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	return nil
}

// sharedProgress adds up what is done of several traces. Until a trace is open nobody knows
// how long it is: it counts as long as those that are known on average.
type sharedProgress struct {
	mu       sync.Mutex
	to       func(done, total int64)
	unopened int64 // weight of traces that are not open yet
	opened   int64 // of those that are, or were
	total    int64 // rows times weight, of these
	behind   int64 // of total
}

func (p *sharedProgress) expect(weight int64) { p.unopened += weight }

// done takes a trace off that will not be replayed.
func (p *sharedProgress) done(weight int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unopened -= weight
}

// progressTask is one trace.
type progressTask struct {
	of          *sharedProgress
	total, told int64
}

func (p *sharedProgress) begin(weight, rows int64) *progressTask {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unopened -= weight
	p.opened += weight
	p.total += rows * weight
	return &progressTask{of: p, total: rows * weight}
}

// at is told how much of the trace is done.
func (t *progressTask) at(done, total int64) {
	if total <= 0 {
		return
	}
	p := t.of
	p.mu.Lock()
	defer p.mu.Unlock()
	now := int64(float64(t.total) * (float64(done) / float64(total)))
	p.behind += now - t.told
	t.told = now
	if p.to != nil && p.opened > 0 {
		p.to(p.behind, p.total+int64(float64(p.total)/float64(p.opened)*float64(p.unopened)))
	}
}

func (t *progressTask) end() { t.at(1, 1) }
