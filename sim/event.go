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

// event is one entry of the queue.
type event struct {
	when
	task *Task
	line *line  // evStore
	gen  uint32 // evRun, evSpin, evResched: stale unless equal to the task's
	kind eventKind
}

// when is the place of an event in the total order: by time, then CPU, thread, kind, and
// last its number. That what happens at one instant on one CPU is ordered by what it is,
// before it is ordered by when it was decided on, makes the order the same whether a
// lookup is one event or many.
type when struct {
	at    Time
	order uint64
}

// Bits of when.order, from the highest: CPU, thread, kind, number. The number goes round;
// of what it has to tell apart there are few at a time.
const (
	numberBits  = 25
	kindShift   = numberBits
	threadShift = kindShift + 3
	cpuShift    = threadShift + 26
)

// maxThreads is how many threads a machine may have.
const maxThreads = 1 << (cpuShift - threadShift)

// place is where an event of t at a time on a CPU belongs.
func (s *System) place(at Time, cpu int32, t *Task, kind eventKind) when {
	s.seq++
	return when{at, uint64(cpu)<<cpuShift | uint64(t.ID)<<threadShift | uint64(kind)<<kindShift | s.seq&(1<<numberBits-1)}
}

func (a when) before(b when) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// eventQueue is a 4-ary heap. It moves no events but their places: the four of a
// parent's children fill little more than a cache line, and with many busy CPUs most
// of the time goes into comparing them.
type eventQueue struct {
	heap   []slot
	events []event // by slot.event
	unused []int32 // of events
}

type slot struct {
	when
	event int32
}

func (q *eventQueue) empty() bool { return len(q.heap) == 0 }

// first is the place of the next event; there is one.
func (q *eventQueue) first() when { return q.heap[0].when }

func (q *eventQueue) push(e event) {
	var id int32
	if n := len(q.unused); n > 0 {
		id = q.unused[n-1]
		q.unused = q.unused[:n-1]
		q.events[id] = e
	} else {
		id = int32(len(q.events))
		q.events = append(q.events, e)
	}
	q.heap = append(q.heap, slot{})
	h := q.heap
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(h[parent].when) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = slot{e.when, id}
}

func (q *eventQueue) pop() event {
	h := q.heap
	id := h[0].event
	q.unused = append(q.unused, id)
	top := q.events[id]
	last := h[len(h)-1]
	h = h[:len(h)-1]
	q.heap = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least, at := first, h[first].when
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(at) {
				least, at = c, h[c].when
			}
		}
		if !at.before(last.when) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return top
}
