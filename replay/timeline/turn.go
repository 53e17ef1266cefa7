package timeline

import (
	"slices"
)

// lockQueue is who waits for an address space's mmap_lock and who has it, as far as rows
// have told: enough of a rw_semaphore to know when a thread that slept for it was woken.
type lockQueue struct {
	waits []*openSection // in the order of their rows
	holds int            // by rows, or since their threads were woken
	wrote int64          // ns: the latest end of a hold for write, by a downgrade too
}

// ask has a section wait for the lock.
func (q *lockQueue) ask(l *openSection) {
	l.queue = q
	q.waits = append(q.waits, l)
}

// take gives the lock to a section that waited for it, or tried.
func (q *lockQueue) take(l *openSection) {
	q.leave(l)
	if l.queue = q; !l.granted {
		q.holds++
	}
	l.granted = true
	if !l.write {
		l.let = q.wrote // no writer had it since
	}
}

// drop takes a section out of the queue of its lock: it let go of that, did not get it, or
// rows of it were lost.
func (l *openSection) drop() {
	if l.queue == nil {
		return
	}
	l.queue.leave(l)
	if l.granted {
		l.queue.holds--
	}
	l.queue, l.granted = nil, false
}

func (q *lockQueue) leave(l *openSection) {
	if i := slices.Index(q.waits, l); i >= 0 {
		q.waits = slices.Delete(q.waits, i, i+1)
	}
}

// wake wakes who may go on when a hold ended at a time in ns. A writer is woken when nobody
// has the lock, and may see others take it before it runs. Readers have it from then on, all
// that wait (rwsem_mark_wake), if one is first.
func (q *lockQueue) wake(at int64) {
	if len(q.waits) == 0 || q.holds > 0 {
		return
	}
	if l := q.waits[0]; l.write {
		if l.let == 0 && l.asked < at {
			l.let = at
		}
		return
	}
	for _, l := range q.waits {
		if !l.write && !l.granted && l.asked < at {
			l.granted = true
			q.holds++
		}
	}
}

// sleptAtLeast is how long after the lock was let go of a writer has it that had slept, in
// ns. One that spins has it at once, and what is between is too little to wake up.
const sleptAtLeast = 5_000

// woken is how long after it was let in a thread that had slept went on, which had the lock
// at a time in ns: no longer than a wake-up takes, beyond which others had its CPU. 0 is for
// one that did not sleep.
func (l *openSection) woken(at int64) int64 {
	latency := max(at-l.let, 1)
	if l.let <= l.asked || l.write && latency < sleptAtLeast {
		return 0
	}
	if l.write { // beyond that others have its CPU, and may have the lock
		latency = min(latency, wokenMost)
	}
	return latency
}

// inTurn has a section begin when its thread asked for the lock, which had it at op.At.
func (l *openSection) inTurn(op *Operation) {
	if l.let <= l.asked || l.asked >= op.At {
		return // nobody was seen with it
	}
	op.Woken = l.woken(op.At)
	op.At, op.Wait = l.asked, op.At-l.asked
}
