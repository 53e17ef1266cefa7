package main

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/replay/replay/traces"
)

// countedStream is a stream of n events, numbered by their time, and what comes after them.
type countedStream struct {
	n      int64
	then   error
	read   int64
	inNext atomic.Int32
}

func (c *countedStream) Next(ev *traces.Event) error {
	c.inNext.Add(1)
	defer c.inNext.Add(-1)
	if c.read == c.n {
		return c.then
	}
	*ev = traces.Event{Time: c.read}
	c.read++
	return nil
}

func (c *countedStream) Meta() traces.Meta { return traces.Meta{} }

// TestEach: whatever the number of events and the end, each takes all before the end, in
// order, and nothing reads when it has returned.
func TestEach(t *testing.T) {
	broken, refused := errors.New("broken"), errors.New("refused")
	for _, n := range []int64{0, 1, blockEvents - 1, blockEvents, blockEvents + 1, blocks * blockEvents, 5*blockEvents + 7} {
		for _, then := range []error{io.EOF, broken} {
			s := &countedStream{n: n, then: then}
			var taken int64
			err := each(context.Background(), s, func(ev *traces.Event) error {
				if ev.Time != taken {
					t.Fatalf("event %d of %d is %d", taken, n, ev.Time)
				}
				taken++
				ev.Time = -1 // what is done to it is nobody else's
				return nil
			})
			if taken != n || then == io.EOF && err != nil || then == broken && !errors.Is(err, broken) {
				t.Errorf("%d events, then %v: took %d, %v", n, then, taken, err)
			}
		}
		for stop := int64(0); stop < n; stop += blockEvents/2 + 1 {
			s := &countedStream{n: 1 << 40, then: io.EOF}
			var taken int64
			err := each(context.Background(), s, func(*traces.Event) error {
				if taken == stop {
					return refused
				}
				taken++
				return nil
			})
			read := s.read
			if !errors.Is(err, refused) || taken != stop {
				t.Errorf("refused event %d: took %d, %v", stop, taken, err)
			}
			if s.inNext.Load() != 0 || read > stop+(blocks+1)*blockEvents {
				t.Errorf("refused event %d: %d were read, %d are being read", stop, read, s.inNext.Load())
			}
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &countedStream{n: 1 << 40}
	var taken int64
	err := each(ctx, s, func(*traces.Event) error {
		if taken++; taken == 3*blockEvents/2 {
			cancel(refused)
		}
		return nil
	})
	if !errors.Is(err, refused) || taken > 2*blockEvents {
		t.Errorf("interrupted: took %d, %v", taken, err)
	}
}
