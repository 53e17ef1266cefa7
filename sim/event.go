package sim

import "math/bits"

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
	next int32  // the queue's own
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

// eventQueue is the events to come. Most are within microseconds: those are in a ring of
// buckets by time, each a list in order, so that with hundreds of busy CPUs an event costs
// what it does with two. Later ones are in a heap, and stay there when their time is near.
type eventQueue struct {
	near   [nearBuckets]int32 // the first event of each bucket, 0 for none
	filled [nearBuckets / 64]uint64
	words  uint64  // of filled that are not 0
	base   int64   // number of the bucket that is now
	events []event // but the first; by near, next and slot.event
	unused int32   // chained by next
	soon   int32   // the first in the ring, 0 for none
	far    []slot
}

// A bucket is 2 ns: the events of some hundred CPUs in it are a few. The ring is 8.4 µs.
const (
	bucketShift = 11
	nearBuckets = 1 << 12
)

// slot is an event of the heap, which moves no events but their places: the four of a
// parent's children fill little more than a cache line.
type slot struct {
	when
	event int32
}

func (q *eventQueue) empty() bool { return q.soon == 0 && len(q.far) == 0 }

// first is the place of the next event; there is one.
func (q *eventQueue) first() when {
	if q.soon != 0 && (len(q.far) == 0 || q.events[q.soon].before(q.far[0].when)) {
		return q.events[q.soon].when
	}
	return q.far[0].when
}

// push adds an event, which is not before now.
func (q *eventQueue) push(e event, now Time) {
	q.base = max(q.base, int64(now)>>bucketShift)
	id := q.unused
	if id == 0 {
		if len(q.events) == 0 {
			q.events = append(q.events, event{})
		}
		id = int32(len(q.events))
		q.events = append(q.events, event{})
	}
	q.unused = q.events[id].next
	q.events[id] = e
	bucket := int64(e.at) >> bucketShift
	if bucket-q.base >= nearBuckets {
		q.pushFar(slot{e.when, id})
		return
	}
	i := bucket % nearBuckets
	link := &q.near[i]
	if *link == 0 {
		q.filled[i/64] |= 1 << (i % 64)
		q.words |= 1 << (i / 64)
	}
	for *link != 0 && !e.before(q.events[*link].when) {
		link = &q.events[*link].next
	}
	q.events[id].next, *link = *link, id
	if q.soon == 0 || e.before(q.events[q.soon].when) {
		q.soon = id
	}
}

// pop takes the first event; none before it is pushed from then on.
func (q *eventQueue) pop() event {
	id := q.soon
	if id == 0 || len(q.far) > 0 && q.far[0].before(q.events[id].when) {
		id = q.popFar()
		q.base = int64(q.events[id].at) >> bucketShift
		return q.take(id)
	}
	q.base = int64(q.events[id].at) >> bucketShift
	i := q.base % nearBuckets
	if q.near[i] = q.events[id].next; q.near[i] == 0 {
		if q.filled[i/64] &^= 1 << (i % 64); q.filled[i/64] == 0 {
			q.words &^= 1 << (i / 64)
		}
	}
	q.soon = q.nearest(i)
	return q.take(id)
}

// take returns an event and lets another have its place.
func (q *eventQueue) take(id int32) event {
	e := q.events[id]
	q.events[id] = event{next: q.unused}
	q.unused = id
	return e
}

// nearest is the first event at or after bucket i, round the ring; 0 for none.
func (q *eventQueue) nearest(i int64) int32 {
	if q.words == 0 {
		return 0
	}
	word, bit := i/64, i%64
	if rest := q.filled[word] >> bit; rest != 0 {
		return q.near[i+int64(bits.TrailingZeros64(rest))]
	}
	// The words after it, and last the lower part of its own.
	after := int64(bits.TrailingZeros64(bits.RotateLeft64(q.words, -int(word+1))))
	word = (word + 1 + after) % int64(len(q.filled))
	return q.near[word*64+int64(bits.TrailingZeros64(q.filled[word]))]
}

// pushFar and popFar are those of a 4-ary heap.
func (q *eventQueue) pushFar(new slot) {
	q.far = append(q.far, new)
	h := q.far
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !new.before(h[parent].when) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = new
}

func (q *eventQueue) popFar() int32 {
	h := q.far
	top := h[0].event
	last := h[len(h)-1]
	h = h[:len(h)-1]
	q.far = h
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
