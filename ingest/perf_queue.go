package ingest

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"

	"github.com/replay/replay/ingest/perfdata"
)

// perfQueue puts the records of a perf.data file in order. perf record writes the
// buffers of its CPUs one after the other, each in order, so that records wait in
// their thousands for one of another CPU. They wait as the bytes that they are, an
// eighth of a decoded row, or in the mapped file itself, in runs that are in order
// already; what comes out is the merge of the runs.
type perfQueue struct {
	runs []run // a heap, the first in order at its root
	open run   // that records are added to; empty when left is 0
	nr   int   // of runs begun

	lastTime int64 // ns, of the record that was added last
	lastCPU  int32

	complete int64 // ns: no record before it will come any more
	drain    bool  // what waits is too much: take the first half for complete

	slabs []slab
	slab  int32   // that is filled
	free  []int32 // slabs
	spare []byte  // memory for more
	size  int     // bytes held, here and in files

	files [][]byte // mapped, in which records wait
}

// run is where a run of records goes on, which is at its first record that waits.
type run struct {
	time int64 // ns, of that record
	cpu  int32 // of that record
	slab int32
	at   int // in the slab
	nr   int // of the run
	left int // records
}

// before is the order of records; of equal ones the first in the file comes first.
func (r *run) before(o *run) bool {
	if r.time != o.time {
		return r.time < o.time
	}
	if r.cpu != o.cpu {
		return r.cpu < o.cpu
	}
	return r.nr < o.nr
}

// slab is memory for records, used again when all of them are gone. A record goes on
// in the next slab when it does not fit.
type slab struct {
	bytes []byte
	users int
	next  int32
}

const (
	slabBytes = 1 << 20 // no record is longer
	// slabsAtOnce are allocated together at most. Where the buffers of the recording
	// were large, they wait in their hundreds, and huge pages take a tenth of the time.
	slabsAtOnce = 16
	// queueMax is how many bytes may wait. Then the older half is taken for
	// complete, for files without rounds.
	queueMax = 192 << 20
)

// heldRecord is a record that waits.
type heldRecord struct {
	time   int64 // ns: where it is in the order
	typ    perfdata.Type
	misc   uint16
	offset int64 // in the file
	body   []byte
}

// heldHeader is the size of what a slab has in front of a record's body: time, CPU,
// type, offset, misc, length of the body, and from 1 the number of the file that the body
// is in, 0 where it follows.
const heldHeader = 8 + 4 + 4 + 8 + 2 + 2 + 4

// perfHeader is the size of a perf_event_header, between a record's offset and its body.
const perfHeader = 8

func newPerfQueue() perfQueue { return perfQueue{complete: math.MinInt64} }

// add keeps a record with its body, which is in a file of files where number is not 0.
func (q *perfQueue) add(rec *perfdata.Record, body []byte, number int) {
	n := heldHeader
	if number == 0 {
		n += len(body)
	}
	s := q.room(n)
	at := len(s.bytes)
	s.bytes = s.bytes[:at+n]
	b, le := s.bytes[at:], binary.LittleEndian
	head := b[:heldHeader]
	le.PutUint64(head, rec.Time)
	le.PutUint32(head[8:], uint32(rec.CPU))
	le.PutUint32(head[12:], uint32(rec.Type))
	le.PutUint64(head[16:], uint64(rec.Offset))
	le.PutUint16(head[24:], rec.Misc)
	le.PutUint16(head[26:], uint16(len(body)))
	le.PutUint32(head[28:], uint32(number))
	if number == 0 {
		copy(b[heldHeader:], body)
	}
	s.users++
	q.size += heldHeader + len(body)

	time := int64(rec.Time)
	if time < q.lastTime || time == q.lastTime && rec.CPU < q.lastCPU {
		q.close()
	}
	q.lastTime, q.lastCPU = time, rec.CPU
	if q.open.left == 0 {
		q.open = run{time: time, cpu: rec.CPU, slab: q.slab, at: at, nr: q.nr}
	}
	q.open.left++
}

// room is the slab that takes n more bytes.
func (q *perfQueue) room(n int) *slab {
	if len(q.slabs) > 0 {
		s := &q.slabs[q.slab]
		if s.users == 0 {
			s.bytes = s.bytes[:0]
		}
		if cap(s.bytes)-len(s.bytes) >= n {
			return s
		}
	}
	next := int32(len(q.slabs))
	if last := len(q.free) - 1; last >= 0 {
		next, q.free = q.free[last], q.free[:last]
	} else {
		q.slabs = append(q.slabs, slab{bytes: q.memory()})
	}
	q.slabs[q.slab].next = next
	q.slab = next
	return &q.slabs[next]
}

// memory is that of one more slab.
func (q *perfQueue) memory() []byte {
	if len(q.spare) == 0 {
		q.spare = make([]byte, min(1+len(q.slabs)/4, slabsAtOnce)*slabBytes)
		unix.Madvise(q.spare, unix.MADV_HUGEPAGE) // no more than a hint
	}
	m := q.spare[:0:slabBytes]
	q.spare = q.spare[slabBytes:]
	return m
}

// close ends the run that is open.
func (q *perfQueue) close() {
	if q.open.left == 0 {
		return
	}
	i := len(q.runs)
	q.runs = append(q.runs, q.open)
	for ; i > 0 && q.open.before(&q.runs[(i-1)/2]); i = (i - 1) / 2 {
		q.runs[i] = q.runs[(i-1)/2]
	}
	q.runs[i] = q.open
	q.open = run{}
	q.nr++
}

// full reports whether more wait than may.
func (q *perfQueue) full() bool { return q.size > queueMax }

// advance says that no record earlier than t will come any more.
func (q *perfQueue) advance(t int64) {
	q.close()
	q.complete = max(q.complete, t)
}

// half takes the older half for complete.
func (q *perfQueue) half() {
	q.close()
	q.drain = true
}

// all says that the input is at its end.
func (q *perfQueue) all() { q.advance(math.MaxInt64) }

// pop takes the next record in order out, and returns false when none is complete.
// Its bytes are valid until the next call of add.
func (q *perfQueue) pop(h *heldRecord) bool {
	if len(q.runs) == 0 {
		return false
	}
	r := &q.runs[0]
	if q.drain = q.drain && q.size > queueMax/2; !q.drain && r.time >= q.complete {
		return false
	}
	s := &q.slabs[r.slab]
	b := s.bytes[r.at:]
	le := binary.LittleEndian
	h.time = r.time
	h.typ, h.offset, h.misc = perfdata.Type(le.Uint32(b[12:])), int64(le.Uint64(b[16:])), le.Uint16(b[24:])
	n, size := heldHeader, int(le.Uint16(b[26:]))
	if number := le.Uint32(b[28:]); number == 0 {
		n += size
		h.body = b[heldHeader:n:n]
	} else {
		at := h.offset + perfHeader
		h.body = q.files[number-1][at : at+int64(size)]
	}

	q.size -= heldHeader + size
	r.at += n
	r.left--
	at := r.slab
	if r.left == 0 {
		last := len(q.runs) - 1
		q.runs[0] = q.runs[last]
		q.runs = q.runs[:last]
	} else {
		q.next(r)
	}
	q.sink()
	if s.users--; s.users == 0 && at != q.slab {
		s.bytes = s.bytes[:0]
		q.free = append(q.free, at)
	}
	return true
}

// next reads time and CPU of the record that r is at now.
func (q *perfQueue) next(r *run) {
	s := &q.slabs[r.slab]
	if r.at == len(s.bytes) {
		r.slab, r.at = s.next, 0
		s = &q.slabs[r.slab]
	}
	b := s.bytes[r.at:]
	r.time, r.cpu = int64(binary.LittleEndian.Uint64(b)), int32(binary.LittleEndian.Uint32(b[8:]))
}

// sink puts the root of the heap where it belongs.
func (q *perfQueue) sink() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(q.runs) {
			return
		}
		if child+1 < len(q.runs) && q.runs[child+1].before(&q.runs[child]) {
			child++
		}
		if !q.runs[child].before(&q.runs[i]) {
			return
		}
		q.runs[i], q.runs[child] = q.runs[child], q.runs[i]
		i = child
	}
}
