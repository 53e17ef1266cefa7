package timeline

import (
	"container/heap"

	"github.com/replay/replay/sim"
)

// operationQueue yields operations by time, then CPU, then row. They come nearly in that
// order: most have their place among the last few, and the rest wait in a heap.
type operationQueue struct {
	list []queued // sorted, from head on
	head int
	late queuedHeap
}

// queued is an operation with what decides its place.
type queued struct {
	at, seq int64
	cpu     int32
	kind    sim.OpKind
	op      *Operation
}

// nearEnough is how far from its end an operation is put into the list.
const nearEnough = 48

func (q *operationQueue) empty() bool { return q.head == len(q.list) && len(q.late) == 0 }

// first is the next operation; there is one.
func (q *operationQueue) first() *queued {
	if q.lateFirst() {
		return &q.late[0]
	}
	return &q.list[q.head]
}

// lateFirst reports whether the next operation is in the heap.
func (q *operationQueue) lateFirst() bool {
	return len(q.late) > 0 && (q.head == len(q.list) || q.late[0].before(&q.list[q.head]))
}

func (q *operationQueue) push(op *Operation) {
	e := queued{op.At, op.Origin.Seq, op.CPU, op.Kind, op}
	i := len(q.list)
	for i > q.head && len(q.list)-i < nearEnough && e.before(&q.list[i-1]) {
		i--
	}
	if i > q.head && e.before(&q.list[i-1]) {
		heap.Push(&q.late, e)
		return
	}
	q.list = append(q.list, queued{})
	copy(q.list[i+1:], q.list[i:])
	q.list[i] = e
}

// pop takes the next operation out. What decided its place is told with it, since it may
// be out of the caches by now.
func (q *operationQueue) pop() queued {
	if q.lateFirst() {
		return heap.Pop(&q.late).(queued)
	}
	e := q.list[q.head]
	q.head++
	if q.head >= 1024 && q.head*2 >= len(q.list) {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	return e
}

func (a *queued) before(b *queued) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.cpu != b.cpu {
		return a.cpu < b.cpu
	}
	return a.seq < b.seq
}

// queuedHeap is for container/heap.
type queuedHeap []queued

func (h queuedHeap) Len() int           { return len(h) }
func (h queuedHeap) Less(i, j int) bool { return h[i].before(&h[j]) }
func (h queuedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for container/heap.
func (h *queuedHeap) Push(x any) { *h = append(*h, x.(queued)) }

// Pop is for container/heap.
func (h *queuedHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = queued{}
	*h = old[:len(old)-1]
	return last
}
