package replay

import "container/heap"

// actionHeap yields actions by time, then CPU, then row.
type actionHeap []action

func (h actionHeap) Len() int { return len(h) }

func (h actionHeap) Less(i, j int) bool {
	a, b := &h[i], &h[j]
	if a.at != b.at {
		return a.at < b.at
	}
	if a.cpu != b.cpu {
		return a.cpu < b.cpu
	}
	return a.seq < b.seq
}

func (h actionHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

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

func (h *actionHeap) push(a action) { heap.Push(h, a) }

func (h *actionHeap) pop() action { return heap.Pop(h).(action) }
