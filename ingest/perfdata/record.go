package perfdata

import (
	"encoding/binary"
	"encoding/hex"
)

// Type is the type of a record (enum perf_event_type and perf_user_event_type).
type Type uint32

// The record types that are decoded.
const (
	Mmap          Type = 1
	Lost          Type = 2
	Comm          Type = 3
	Exit          Type = 4
	Fork          Type = 7
	Sample        Type = 9
	Mmap2         Type = 10
	LostSamples   Type = 13
	FinishedRound Type = 68

	headerAttr    Type = 64
	tracingData   Type = 66
	buildIDRecord Type = 67
	auxTrace      Type = 71
	eventUpdate   Type = 78
	headerFeature Type = 80
	compressed    Type = 81
	compressed2   Type = 83
)

// Bits of a record's misc field.
const (
	miscCPUModeMask = 7
	miscGuestKernel = 4
	miscGuestUser   = 5
	miscMmapData    = 1 << 13
	miscCommExec    = 1 << 13
	miscMmapBuildID = 1 << 14
)

// Context markers in a callchain (enum perf_callchain_context).
const (
	contextKernel = ^uint64(128) + 1
	contextUser   = ^uint64(512) + 1
	contextMax    = ^uint64(4095) + 1
)

// Record is one record. Its slices are valid until the next call of Next.
type Record struct {
	Type   Type
	Misc   uint16
	Offset int64 // in the file, for messages

	// Of samples, and of others where the file has sample_id_all; HasID says so.
	HasID    bool
	Event    *Event
	Time     uint64 // ns
	CPU      int32
	PID, TID int32

	IP        uint64
	Callchain []uint64 // with context markers
	Raw       []byte

	Mapping Mapping // Mmap, Mmap2
	Name    string  // Comm
	Exec    bool    // Comm: because of an exec
	Task    Task    // Fork, Exit
	Count   uint64  // Lost, LostSamples
}

// Mapping is what Mmap and Mmap2 tell.
type Mapping struct {
	PID, TID         int32
	Addr, Len, Pgoff uint64
	Major, Minor     uint32
	Inode, InodeGen  uint64
	BuildID          string // hex; then there is no inode
	Prot, Flags      uint32 // Mmap2 only
	Data             bool   // not executable
	File             string
	V2               bool
}

// Task is what Fork and Exit tell.
type Task struct {
	PID, PPID, TID, PTID int32
}

// Guest reports whether the record is of a virtual machine's guest.
func (r *Record) Guest() bool {
	mode := r.Misc & miscCPUModeMask
	return mode == miscGuestKernel || mode == miscGuestUser
}

// Chain appends the callchain without its markers to buf, and returns it with the
// index at which the user's part begins.
func (r *Record) Chain(buf []uint64) (chain []uint64, user int) {
	user = -1
	for _, ip := range r.Callchain {
		switch {
		case ip == contextUser:
			user = len(buf)
		case ip >= contextMax:
		default:
			buf = append(buf, ip)
		}
	}
	if user < 0 {
		user = len(buf)
	}
	return buf, user
}

// plan says how to find a sample's event.
type plan struct {
	id, trailer int // offsets, see idAt and trailerID
	size        int // of the trailer
	all         bool
}

// decode fills rec from a record's body, the bytes after its header.
func (r *Reader) decode(rec *Record, body []byte) error {
	if r.plan == nil {
		r.plan = r.makePlan()
	}
	if rec.Type == Sample {
		return r.decodeSample(rec, body)
	}
	c := cursor{b: body}
	switch rec.Type {
	case Mmap, Mmap2:
		r.decodeMmap(rec, &c)
	case Comm:
		rec.PID, rec.TID = int32(c.u32()), int32(c.u32())
		rec.Name, rec.Exec = string(untilNUL(c.b)), rec.Misc&miscCommExec != 0
	case Fork, Exit:
		rec.Task = Task{int32(c.u32()), int32(c.u32()), int32(c.u32()), int32(c.u32())}
		rec.Time = c.u64()
	case Lost:
		c.u64() // id
		rec.Count = c.u64()
	case LostSamples:
		rec.Count = c.u64()
	}
	if c.short {
		return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "it has only %d bytes; the file is damaged", len(body))
	}
	r.decodeTrailer(rec, body)
	return nil
}

func (r *Reader) makePlan() *plan {
	if len(r.events) == 0 {
		return &plan{id: -1, trailer: -1}
	}
	// perf_evlist__id_pos: all attributes agree on the position, since the kernel
	// does on PERF_SAMPLE_IDENTIFIER.
	a := &r.events[0].Attr
	return &plan{
		id: idAt(a.SampleType), trailer: trailerID(a.SampleType), size: trailerSize(a.SampleType),
		all: a.Flags&flagSampleIDAll != 0,
	}
}

// eventOf returns the event that an id belongs to.
func (r *Reader) eventOf(id uint64) *Event {
	if id == r.lastID && r.lastEvent != nil {
		return r.lastEvent
	}
	ev := r.byID[id]
	r.lastID, r.lastEvent = id, ev
	return ev
}

// decodeSample follows evsel__parse_sample.
func (r *Reader) decodeSample(rec *Record, body []byte) error {
	ev, err := r.sampleEvent(rec, body)
	if err != nil {
		return err
	}
	rec.Event, rec.HasID = ev, true
	c := cursor{b: body}
	t := ev.Attr.SampleType
	if t&sampleIdentifier != 0 {
		c.u64()
	}
	if t&sampleIP != 0 {
		rec.IP = c.u64()
	}
	if t&sampleTID != 0 {
		rec.PID, rec.TID = int32(c.u32()), int32(c.u32())
	}
	if t&sampleTime != 0 {
		rec.Time = c.u64()
	}
	if t&sampleAddr != 0 {
		c.u64()
	}
	if t&sampleID != 0 {
		c.u64()
	}
	if t&sampleStreamID != 0 {
		c.u64()
	}
	if t&sampleCPU != 0 {
		rec.CPU = int32(c.u32())
		c.u32()
	}
	if t&samplePeriod != 0 {
		c.u64()
	}
	if t&sampleRead != 0 {
		skipRead(&c, ev.Attr.ReadFormat)
	}
	if t&sampleCallchain != 0 {
		r.takeChain(rec, &c)
	}
	if t&sampleRaw != 0 {
		rec.Raw = c.take(uint64(c.u32()))
	}
	if c.short {
		return r.fail(rec.Offset, "sample of "+ev.Name, ErrCorrupt, "its fields need more than its %d bytes; the file is damaged", len(body))
	}
	return nil
}

func (r *Reader) sampleEvent(rec *Record, body []byte) (*Event, error) {
	at := r.plan.id
	if at < 0 || len(r.events) == 1 {
		if len(r.events) == 0 {
			return nil, r.fail(rec.Offset, "sample", ErrCorrupt, "the file describes no event")
		}
		return r.events[0], nil
	}
	if at+8 > len(body) {
		return nil, r.fail(rec.Offset, "sample", ErrCorrupt, "it has only %d bytes; the file is damaged", len(body))
	}
	id := binary.LittleEndian.Uint64(body[at:])
	if ev := r.eventOf(id); ev != nil {
		return ev, nil
	}
	return nil, r.fail(rec.Offset, "sample", ErrCorrupt, "no event has its id %d; the file is damaged", id)
}

// takeChain decodes a callchain into the reader's buffer.
func (r *Reader) takeChain(rec *Record, c *cursor) {
	n := c.u64()
	if n > uint64(len(c.b)/8) {
		c.short = true
		return
	}
	r.chain = r.chain[:0]
	for range n {
		r.chain = append(r.chain, c.u64())
	}
	rec.Callchain = r.chain
}

func skipRead(c *cursor, format uint64) {
	n := uint64(1)
	if format&readGroup != 0 {
		n = c.u64()
	}
	each := uint64(8)
	for _, bit := range []uint64{readID, readLost} {
		if format&bit != 0 {
			each += 8
		}
	}
	for _, bit := range []uint64{readEnabled, readRunning} {
		if format&bit != 0 {
			c.u64()
		}
	}
	if n > uint64(len(c.b)) {
		c.short = true
		return
	}
	c.take(n * each)
}

func (r *Reader) decodeMmap(rec *Record, c *cursor) {
	m := Mapping{PID: int32(c.u32()), TID: int32(c.u32()), Addr: c.u64(), Len: c.u64(), Pgoff: c.u64(), Data: rec.Misc&miscMmapData != 0}
	if rec.Type == Mmap2 {
		m.V2 = true
		if rec.Misc&miscMmapBuildID != 0 {
			n := min(int(c.u8()), 20)
			c.take(3)
			if id := c.take(20); id != nil {
				m.BuildID = hex.EncodeToString(id[:n])
			}
		} else {
			m.Major, m.Minor, m.Inode, m.InodeGen = c.u32(), c.u32(), c.u64(), c.u64()
		}
		m.Prot, m.Flags = c.u32(), c.u32()
	}
	m.File = r.intern(untilNUL(c.b))
	rec.Mapping = m
	rec.PID, rec.TID = m.PID, m.TID
}

// intern returns b as a string that is shared with equal ones.
func (r *Reader) intern(b []byte) string {
	if s, ok := r.strings[string(b)]; ok {
		return s
	}
	s := string(b)
	r.strings[s] = s
	return s
}

// decodeTrailer takes time, CPU and thread from the end of a record that is no
// sample (perf_evsel__parse_id_sample).
func (r *Reader) decodeTrailer(rec *Record, body []byte) {
	p := r.plan
	if !p.all || len(body) < p.size || rec.Type >= 64 {
		return
	}
	ev := r.events[0]
	if p.trailer > 0 && p.trailer <= len(body) {
		if e := r.eventOf(binary.LittleEndian.Uint64(body[len(body)-p.trailer:])); e != nil {
			ev = e
		}
	}
	t := ev.Attr.SampleType
	n := trailerSize(t)
	if n > len(body) {
		return
	}
	c := cursor{b: body[len(body)-n:]}
	rec.Event, rec.HasID = ev, true
	if t&sampleTID != 0 {
		pid, tid := int32(c.u32()), int32(c.u32())
		if rec.Type != Mmap && rec.Type != Mmap2 && rec.Type != Comm {
			rec.PID, rec.TID = pid, tid
		}
	}
	if t&sampleTime != 0 {
		rec.Time = c.u64()
	}
	if t&sampleID != 0 {
		c.u64()
	}
	if t&sampleStreamID != 0 {
		c.u64()
	}
	if t&sampleCPU != 0 {
		rec.CPU = int32(c.u32())
	}
}
