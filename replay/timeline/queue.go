package timeline

import "container/heap"

// operationQueue yields operations by time, then CPU, then row. They come nearly in that
// order: most have their place among the last few, and the rest wait in a heap.
type operationQueue struct {
	list []Operation // sorted, from head on
	head int
	late lateOperations
}

// nearEnough is how far from its end an operation is put into the list.
const nearEnough = 48

func (q *operationQueue) empty() bool { return q.head == len(q.list) && len(q.late) == 0 }

// first is the next operation; there is one.
func (q *operationQueue) first() *Operation {
	if q.lateFirst() {
		return &q.late[0]
	}
	return &q.list[q.head]
}

// lateFirst reports whether the next operation is in the heap.
func (q *operationQueue) lateFirst() bool {
	return len(q.late) > 0 && (q.head == len(q.list) || q.late[0].before(&q.list[q.head]))
}

func (q *operationQueue) push(a *Operation) {
	i := len(q.list)
	for i > q.head && len(q.list)-i < nearEnough && a.before(&q.list[i-1]) {
		i--
	}
	if i > q.head && a.before(&q.list[i-1]) {
		heap.Push(&q.late, *a)
		return
	}
	q.list = append(q.list, Operation{})
	copy(q.list[i+1:], q.list[i:])
	q.list[i] = *a
}

func (q *operationQueue) pop() Operation {
	if q.lateFirst() {
		return heap.Pop(&q.late).(Operation)
	}
	a := q.list[q.head]
	q.head++
	if q.head >= 1024 && q.head*2 >= len(q.list) {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	return a
}

func (a *Operation) before(b *Operation) bool {
	if a.At != b.At {
		return a.At < b.At
	}
	if a.CPU != b.CPU {
		return a.CPU < b.CPU
	}
	return a.Seq < b.Seq
}

// lateOperations is for container/heap.
type lateOperations []Operation

func (h lateOperations) Len() int           { return len(h) }
func (h lateOperations) Less(i, j int) bool { return h[i].before(&h[j]) }
func (h lateOperations) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for container/heap.
func (h *lateOperations) Push(x any) { *h = append(*h, x.(Operation)) }

// Pop is for container/heap.
func (h *lateOperations) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = Operation{}
	*h = old[:len(old)-1]
	return last
}
