package timeline

import (
	"sync"
	"testing"

	"github.com/replay/replay/replay/replaytest"
)

// TestOperationsAreUsedAgain reads a trace by two readers of which one is far behind the
// other, and holds that an operation stays as it is until both are done with it, that it is
// what an own reconstruction yields, and that memory is used again at all.
func TestOperationsAreUsedAgain(t *testing.T) {
	trace := replaytest.Made(replaytest.Corpus(t, "churn-1x1").Rows(t))
	s, err := TakeSurvey(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	reconstruct := func() *Reconstruction {
		r, err := Reconstruct(t.Context(), trace, s, Config{Using: Everything, Profile: replaytest.Machine(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	type shown struct {
		at, seq, hold int64
		thread, cpu   int32
		class         string
	}
	show := func(op *Operation) shown {
		return shown{op.At, op.Origin.Seq, op.Hold, op.Thread, op.CPU, op.Origin.Comm + op.Origin.Kind + op.Origin.Probe}
	}
	var want []shown
	for alone := reconstruct(); ; {
		op, ok := alone.Next()
		if !ok {
			break
		}
		want = append(want, show(op))
	}

	shared := Share(t.Context(), reconstruct(), 2)
	places := map[*Operation]bool{}
	read := func(r *Reader, behind int) {
		var kept []*Operation
		n, over := 0, 0
		done := func() {
			if got := show(kept[0]); got != want[over] {
				t.Errorf("operation %d of %d became %v before it was done with", over, n, got)
			}
			r.Done(kept[0])
			kept = kept[1:]
			over++
		}
		for op, ok := r.Next(); ok; op, ok = r.Next() {
			if behind == 0 {
				places[op] = true
			}
			kept = append(kept, op)
			n++
			if len(kept) > behind {
				done()
			}
		}
		for len(kept) > 0 {
			done()
		}
		if n != len(want) {
			t.Errorf("%d operations, want %d", n, len(want))
		}
	}
	var wg sync.WaitGroup
	wg.Go(shared.Feed)
	wg.Go(func() { read(shared.Reader(0), 0) })
	wg.Go(func() { read(shared.Reader(1), 3000) })
	wg.Wait()
	if shared.Err() != nil {
		t.Fatal(shared.Err())
	}
	if len(places) > len(want)*3/4 {
		t.Errorf("%d operations are in %d places: hardly any memory was used again", len(want), len(places))
	}
}
