package timeline

import "context"

// Operations yields reconstructed operations in order of time.
type Operations interface {
	// Next returns the next operation, which stays as it is. (A Reader that is told that
	// one is not used any more may let it become another.)
	Next() (*Operation, bool)
	Err() error // why Next returned false early, nil at the end of the trace
}

// Shared hands one reconstruction to any number of readers at the same time. They get
// the same operations, in chunks, each at its own pace but for a few chunks: memory does
// not grow with the trace.
type Shared struct {
	ctx  context.Context
	rec  *Reconstruction
	out  []chan []*Operation // by reader
	left []chan struct{}     // closed when the reader wants no more
}

const (
	chunkSize   = 1024
	chunksAhead = 8 // that the fastest reader may be ahead of the slowest
)

// Share returns the operations of a reconstruction for so many readers. Feed has to run
// beside them.
func Share(ctx context.Context, rec *Reconstruction, readers int) *Shared {
	s := &Shared{ctx: ctx, rec: rec}
	rec.readers = int32(readers)
	for range readers {
		s.out = append(s.out, make(chan []*Operation, chunksAhead))
		s.left = append(s.left, make(chan struct{}))
	}
	return s
}

// Feed reconstructs and hands out until the end of the trace, or of the context. A chunk
// is not used again: who reads it may be far behind.
func (s *Shared) Feed() {
	defer func() {
		for _, out := range s.out {
			close(out)
		}
	}()
	for more := true; more; {
		chunk := make([]*Operation, 0, chunkSize)
		for len(chunk) < chunkSize {
			op, ok := s.rec.Next()
			if !ok {
				more = false
				break
			}
			if op.Change != nil {
				op.Change.readBy(len(s.out))
			}
			chunk = append(chunk, op)
		}
		for i, out := range s.out {
			select {
			case out <- chunk:
			case <-s.left[i]:
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// Reader is the nth reader's.
func (s *Shared) Reader(nth int) *Reader { return &Reader{of: s, from: s.out[nth], left: s.left[nth]} }

// Reader yields shared operations.
type Reader struct {
	of    *Shared
	from  <-chan []*Operation
	left  chan struct{}
	chunk []*Operation
	ended bool

	block *operationBlock // of the latest operation that is done with,
	done  int32           // and how many of it, not counted there yet
}

// Done says that an operation, and the Origin of a hit, are not looked at any more. When all
// readers have said so of all around it, its memory is used for a later one.
func (r *Reader) Done(op *Operation) {
	if op.block != r.block {
		if r.block != nil {
			r.block.done(r.done)
		}
		r.block, r.done = op.block, 0
	}
	r.done++
}

// Next is part of Operations.
func (r *Reader) Next() (*Operation, bool) {
	for len(r.chunk) == 0 {
		chunk, ok := <-r.from
		if !ok {
			r.ended = true
			return nil, false
		}
		r.chunk = chunk
	}
	op := r.chunk[0]
	r.chunk = r.chunk[1:]
	return op, true
}

// Err is part of Operations. The reconstruction has ended when the operations have.
func (r *Reader) Err() error {
	if !r.ended {
		return nil
	}
	if r.of.ctx.Err() != nil {
		return context.Cause(r.of.ctx)
	}
	return r.of.rec.err
}

// Close lets the others go on without this reader, once.
func (r *Reader) Close() { close(r.left) }

// Err is why the reconstruction ended early, once Feed has returned.
func (s *Shared) Err() error { return s.rec.err }
