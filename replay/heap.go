package replay

import "container/heap"

// actionQueue yields actions by time, then CPU, then row. They come nearly in that
// order: most have their place among the last few, and the rest wait in a heap.
type actionQueue struct {
	list []action // sorted, from head on
	head int
	late actionHeap
}

// nearEnough is how far from its end an action is put into the list.
const nearEnough = 48

func (q *actionQueue) empty() bool { return q.head == len(q.list) && len(q.late) == 0 }

// first is the next action; there is one.
func (q *actionQueue) first() *action {
	if q.lateFirst() {
		return &q.late[0]
	}
	return &q.list[q.head]
}

// lateFirst reports whether the next action is in the heap.
func (q *actionQueue) lateFirst() bool {
	return len(q.late) > 0 && (q.head == len(q.list) || q.late[0].before(&q.list[q.head]))
}

func (q *actionQueue) push(a *action) {
	i := len(q.list)
	for i > q.head && len(q.list)-i < nearEnough && a.before(&q.list[i-1]) {
		i--
	}
	if i > q.head && a.before(&q.list[i-1]) {
		heap.Push(&q.late, *a)
		return
	}
	q.list = append(q.list, action{})
	copy(q.list[i+1:], q.list[i:])
	q.list[i] = *a
}

func (q *actionQueue) pop() action {
	if q.lateFirst() {
		return heap.Pop(&q.late).(action)
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

func (a *action) before(b *action) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.cpu != b.cpu {
		return a.cpu < b.cpu
	}
	return a.seq < b.seq
}

// actionHeap is for container/heap.
type actionHeap []action

func (h actionHeap) Len() int           { return len(h) }
func (h actionHeap) Less(i, j int) bool { return h[i].before(&h[j]) }
func (h actionHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for container/heap.
func (h *actionHeap) Push(x any) { *h = append(*h, x.(action)) }

// Pop is for container/heap.
func (h *actionHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = action{}
	*h = old[:len(old)-1]
	return last
}
