package replay

import (
	"context"
	"errors"
	"sync"
)

// timeline reconstructs a trace once, for any number of replays at the same time. They
// get the same actions, in chunks, each at its own pace but for a few chunks: memory
// does not grow with the trace.
type timeline struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	rec    *reconstructor
	out    []chan []action // by replay
}

const (
	chunkActions = 1024
	chunksAhead  = 8 // that the fastest replay may be ahead of the slowest
)

func newTimeline(ctx context.Context, rec *reconstructor, replays int) *timeline {
	l := &timeline{rec: rec}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	for range replays {
		l.out = append(l.out, make(chan []action, chunksAhead))
	}
	return l
}

// play runs the players beside the reconstruction, and returns what each of them found.
// When one fails, all end.
func (l *timeline) play(players []*player) ([]Run, error) {
	runs, errs := make([]Run, len(players)), make([]error, len(players))
	var wg sync.WaitGroup
	wg.Go(l.feed)
	for i, p := range players {
		wg.Go(func() {
			if runs[i], errs[i] = p.play(l.ctx); errs[i] != nil {
				l.cancel(errs[i])
			}
		})
	}
	wg.Wait()
	l.cancel(nil)
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err // the others were cancelled for it
		}
	}
	return runs, errors.Join(errs...)
}

// feed gives out the actions. A chunk is not used again: who reads it may be far behind.
func (l *timeline) feed() {
	defer func() {
		for _, out := range l.out {
			close(out)
		}
	}()
	for more := true; more; {
		chunk := make([]action, 0, chunkActions)
		for len(chunk) < chunkActions {
			a, ok := l.rec.next()
			if !ok {
				more = false
				break
			}
			chunk = append(chunk, a)
		}
		for _, out := range l.out {
			select {
			case out <- chunk:
			case <-l.ctx.Done():
				return
			}
		}
	}
}

// reader is the actions as one replay reads them.
func (l *timeline) reader(replay int) *reader { return &reader{line: l, from: l.out[replay]} }

type reader struct {
	line  *timeline
	from  <-chan []action
	chunk []action
	ended bool
}

// next is part of actions.
func (r *reader) next() (action, bool) {
	for len(r.chunk) == 0 {
		chunk, ok := <-r.from
		if !ok {
			r.ended = true
			return action{}, false
		}
		r.chunk = chunk
	}
	a := r.chunk[0]
	r.chunk = r.chunk[1:]
	return a, true
}

// failed is part of actions. The reconstruction has ended when the actions have.
func (r *reader) failed() error {
	if !r.ended {
		return nil
	}
	if r.line.ctx.Err() != nil {
		return context.Cause(r.line.ctx)
	}
	return r.line.rec.err
}
