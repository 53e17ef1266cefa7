package ingest

import "github.com/replay/replay/ingest/perfdata"

// perfQueue puts the records of a perf.data file in order. perf record writes the
// buffers of its CPUs one after the other, each in order, so that records wait in
// their thousands for one of another CPU: they wait as the bytes that they are, an
// eighth of a decoded row.
type perfQueue struct {
	held  []heldRecord // in the order of the file
	ready []heldRecord // in order of time
	next  int          // of ready
	other []heldRecord // memory to sort in; ready lies in it
	slabs []slab
	slab  int32   // that is filled
	free  []int32 // slabs
	size  int     // bytes held
}

// heldRecord is a record that waits. There is no pointer in it, since there are
// millions of them for the garbage collector to look at.
type heldRecord struct {
	time   int64 // ns
	offset int64 // in the file
	slab   int32
	at     uint32 // of its body in the slab
	cpu    int32
	typ    perfdata.Type
	size   uint16
	misc   uint16
}

func (q *perfQueue) body(h *heldRecord) []byte { return q.slabs[h.slab].bytes[h.at:][:h.size] }

// slab is memory for the bytes of records, used again when all of them are gone.
type slab struct {
	bytes []byte
	users int
}

const (
	slabBytes = 1 << 20
	// queueMax is how many bytes may wait. Then the older half is taken for
	// complete, for files without rounds.
	queueMax = 192 << 20
)

func (h *heldRecord) before(o *heldRecord) bool {
	if h.time != o.time {
		return h.time < o.time
	}
	return h.cpu < o.cpu
}

// recordBytes is what a record of a perf.data file takes at least, mostly.
const recordBytes = 80

// newPerfQueue makes a queue for a file of the size, 0 where that is unknown: memory
// that grows is memory that is touched twice.
func newPerfQueue(size int64) perfQueue {
	n := min(size/recordBytes, queueMax/recordBytes)
	return perfQueue{held: make([]heldRecord, 0, n), other: make([]heldRecord, 0, n)}
}

// add keeps a record with its body.
func (q *perfQueue) add(rec *perfdata.Record, body []byte) {
	s := q.room(len(body))
	at := len(s.bytes)
	s.bytes = append(s.bytes, body...)
	s.users++
	q.size += len(body)
	q.held = append(q.held, heldRecord{
		time: int64(rec.Time), offset: rec.Offset, slab: q.slab, at: uint32(at), cpu: rec.CPU, typ: rec.Type, size: uint16(len(body)), misc: rec.Misc,
	})
}

// room is the slab that takes n more bytes.
func (q *perfQueue) room(n int) *slab {
	if len(q.slabs) > 0 {
		if s := &q.slabs[q.slab]; cap(s.bytes)-len(s.bytes) >= n {
			return s
		}
	}
	if last := len(q.free) - 1; last >= 0 {
		q.slab, q.free = q.free[last], q.free[:last]
	} else {
		q.slab = int32(len(q.slabs))
		q.slabs = append(q.slabs, slab{bytes: make([]byte, 0, slabBytes)}) // no record is longer
	}
	return &q.slabs[q.slab]
}

// full reports whether more wait than may.
func (q *perfQueue) full() bool { return q.size > queueMax }

// advance says that no record earlier than t will come any more.
func (q *perfQueue) advance(t int64) {
	sorted := q.sort()
	n := 0
	for n < len(sorted) && sorted[n].time < t {
		n++
	}
	q.release(sorted, n)
}

// half takes the older half for complete.
func (q *perfQueue) half() {
	sorted := q.sort()
	q.release(sorted, len(sorted)/2)
}

// all says that the input is at its end.
func (q *perfQueue) all() {
	sorted := q.sort()
	q.release(sorted, len(sorted))
}

// release makes the first n of the sorted records complete. Those that were before
// are gone by then.
func (q *perfQueue) release(sorted []heldRecord, n int) {
	q.ready, q.next = sorted[:n], 0
	q.held = append(q.other[:0], sorted[n:]...)
	q.other = sorted
}

// pop returns the next record in order, nil when none is complete. done is to be
// called with it.
func (q *perfQueue) pop() *heldRecord {
	if q.next == len(q.ready) {
		return nil
	}
	h := &q.ready[q.next]
	q.next++
	return h
}

// done gives the bytes of a record back.
func (q *perfQueue) done(h *heldRecord) {
	q.size -= int(h.size)
	s := &q.slabs[h.slab]
	if s.users--; s.users == 0 && h.slab != q.slab {
		s.bytes = s.bytes[:0]
		q.free = append(q.free, h.slab)
	}
}

// sort returns what is held in order, by merging runs: what is left of the rounds
// before, and the buffer of each CPU.
func (q *perfQueue) sort() []heldRecord {
	from, to := q.held, q.other[:0]
	for {
		runs := 0
		for i := 0; i < len(from); runs++ {
			j := runEnd(from, i)
			k := runEnd(from, j)
			to = mergeRuns(to, from[i:j], from[j:k])
			i = k
		}
		from, to = to, from[:0]
		if runs <= 1 {
			q.other = to
			return from
		}
	}
}

func runEnd(rs []heldRecord, i int) int {
	if i >= len(rs) {
		return i
	}
	for i++; i < len(rs) && !rs[i].before(&rs[i-1]); i++ {
	}
	return i
}

func mergeRuns(out, x, y []heldRecord) []heldRecord {
	for len(x) > 0 && len(y) > 0 {
		if y[0].before(&x[0]) {
			out = append(out, y[0])
			y = y[1:]
		} else {
			out = append(out, x[0])
			x = x[1:]
		}
	}
	return append(append(out, x...), y...)
}
