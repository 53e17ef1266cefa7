package sim

// eventKind says what happens at an event.
type eventKind uint8

const (
	evRun     eventKind = iota // task continues with its next step
	evIssue                    // task's next operation is due
	evWake                     // task, asleep on a lock, becomes runnable
	evStore                    // a buffered store of task to line completed
	evSpin                     // task's limit of spinning on a reader-owned lock is reached
	evResched                  // task's time slice ends while it spins and others want its CPU
)

// event is one entry of the queue. Ties in time are broken by CPU and then by
// the order of insertion, so that runs are reproducible.
type event struct {
	at   Time
	seq  uint64
	task *Task
	line *line // evStore
	cpu  int32
	gen  uint32 // evRun, evSpin, evResched: stale unless equal to the task's
	kind eventKind
}

func (a *event) before(b *event) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.cpu != b.cpu {
		return a.cpu < b.cpu
	}
	return a.seq < b.seq
}

// eventQueue is a 4-ary heap of values: no allocation per event, and shallower
// than a binary heap.
type eventQueue []event

func (q *eventQueue) push(e event) {
	*q = append(*q, e)
	h := *q
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (q *eventQueue) pop() event {
	h := *q
	top := h[0]
	last := h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if !h[least].before(&last) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return top
}
