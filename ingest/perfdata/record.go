package perfdata

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
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

	userTypes     Type = 64 // from here they are perf's own, not the kernel's
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

// decoded reports whether Next returns records of the type.
func (t Type) decoded() bool {
	switch t {
	case Sample, Mmap, Mmap2, Comm, Fork, Exit, Lost, LostSamples, FinishedRound:
		return true
	}
	return false
}

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

	// Of samples, where the attribute asks for them.
	IP, Addr  uint64
	Period    uint64
	Callchain []uint64 // with context markers
	Raw       []byte

	Mapping Mapping // Mmap, Mmap2
	Name    string  // Comm
	Exec    bool    // Comm: because of an exec
	Task    Task    // Fork, Exit
	Count   uint64  // Lost, LostSamples
	LostID  uint64  // Lost: id of the event whose buffer overflowed
}

// start begins a record from its header. It clears what the record before may have
// set, which for a sample is the first half: most records are samples.
func (rec *Record) start(head []byte, offset int64) {
	if rec.Type != Sample {
		*rec = Record{}
	}
	rec.Type, rec.Misc = Type(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint16(head[4:])
	rec.Offset = offset
	rec.HasID, rec.Event, rec.Time, rec.CPU, rec.PID, rec.TID = false, nil, 0, -1, -1, -1
	rec.IP, rec.Addr, rec.Period, rec.Callchain, rec.Raw = 0, 0, 0, nil, nil
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

// plan says how to find a record's event.
type plan struct {
	id, trailer int  // offsets, see idAt and trailerID
	all         bool // other records than samples have an id too
}

// decode fills rec from a record's body.
func (r *Reader) decode(rec *Record, body []byte) error {
	if r.plan == nil {
		var err error
		if r.plan, err = r.makePlan(); err != nil {
			return err
		}
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
		rec.Name, rec.Exec = r.intern(untilNUL(c.b)), rec.Misc&miscCommExec != 0
	case Fork, Exit:
		rec.Task = Task{int32(c.u32()), int32(c.u32()), int32(c.u32()), int32(c.u32())}
		rec.Time = c.u64()
	case Lost:
		rec.LostID, rec.Count = c.u64(), c.u64()
	case LostSamples:
		rec.Count = c.u64()
	}
	if c.short {
		return r.damaged(rec, "its fields need more than its %d bytes; the file is damaged", len(body))
	}
	r.decodeTrailer(rec, body)
	return nil
}

// makePlan finds where all events have their id; where they differ, a record's
// event cannot be told (evlist__valid_sample_type, evlist__valid_sample_id_all).
func (r *Reader) makePlan() (*plan, error) {
	if len(r.events) == 0 {
		return &plan{id: -1, trailer: -1}, nil
	}
	var p *plan
	for _, ev := range r.events {
		q := plan{id: idAt(ev.Attr.SampleType), trailer: trailerID(ev.Attr.SampleType), all: ev.Attr.Flags&flagSampleIDAll != 0}
		switch {
		case p == nil:
			p = &q
		case q != *p:
			return nil, r.fail(r.in.pos, "event "+ev.Name, ErrUnsupported, "its samples have their id elsewhere than those of %s; record with perf record, which makes them agree", r.events[0].Name)
		}
	}
	return p, nil
}

// recentID remembers an id that was looked up.
type recentID struct {
	id    uint64
	event *Event
}

// eventOf returns the event that an id belongs to, or nil.
func (r *Reader) eventOf(id uint64) *Event {
	slot := &r.recent[id%uint64(len(r.recent))]
	if slot.id == id && slot.event != nil {
		return slot.event
	}
	ev := r.byID[id]
	*slot = recentID{id, ev}
	return ev
}

// decodeSample follows evsel__parse_sample: first the fields of fixed size, whose
// places are known, then the others in turn.
func (r *Reader) decodeSample(rec *Record, body []byte) error {
	ev, err := r.sampleEvent(rec, body)
	if err != nil {
		return err
	}
	rec.Event, rec.HasID = ev, true
	l := &ev.layout
	if len(body) < l.size {
		return r.damaged(rec, "the fields of %s need %d bytes, it has %d; the file is damaged", ev.Name, l.size, len(body))
	}
	le := binary.LittleEndian
	if l.ip >= 0 {
		rec.IP = le.Uint64(body[l.ip:])
	}
	if l.tid >= 0 {
		rec.PID, rec.TID = int32(le.Uint32(body[l.tid:])), int32(le.Uint32(body[l.tid+4:]))
	}
	if l.time >= 0 {
		rec.Time = le.Uint64(body[l.time:])
	}
	if l.addr >= 0 {
		rec.Addr = le.Uint64(body[l.addr:])
	}
	if l.cpu >= 0 {
		rec.CPU = int32(le.Uint32(body[l.cpu:]))
	}
	if l.period >= 0 {
		rec.Period = le.Uint64(body[l.period:])
	}
	c := cursor{b: body[l.size:]}
	t := ev.Attr.SampleType
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
		return r.damaged(rec, "the fields of %s need more than its %d bytes; the file is damaged", ev.Name, len(body))
	}
	return nil
}

// sampleEvent is evlist__event2evsel for samples.
func (r *Reader) sampleEvent(rec *Record, body []byte) (*Event, error) {
	at := r.plan.id
	switch {
	case len(r.events) == 0:
		return nil, r.damaged(rec, "the file describes no event before it; the file is damaged")
	case len(r.events) == 1 || at < 0:
		return r.events[0], nil
	case at+8 > len(body):
		return nil, r.damaged(rec, "its id would be at byte %d of %d; the file is damaged", at, len(body))
	}
	id := binary.LittleEndian.Uint64(body[at:])
	if ev := r.eventOf(id); ev != nil {
		return ev, nil
	}
	return nil, r.damaged(rec, "no event has its id %d; the file is damaged", id)
}

// takeChain decodes a callchain into the reader's buffer.
func (r *Reader) takeChain(rec *Record, c *cursor) {
	n := c.u64()
	if n > uint64(len(c.b)/8) {
		c.short = true
		return
	}
	r.chain = r.chain[:0]
	for b := c.take(n * 8); len(b) >= 8; b = b[8:] {
		r.chain = append(r.chain, binary.LittleEndian.Uint64(b))
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

// namesMax bounds the strings that intern keeps.
const namesMax = 1 << 16

// intern returns b as a string that is shared with equal ones.
func (r *Reader) intern(b []byte) string {
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	if len(r.names) == namesMax {
		clear(r.names)
	}
	s := string(b)
	r.names[s] = s
	return s
}

// decodeTrailer takes time, CPU and thread from the end of a record that is no
// sample (perf_evsel__parse_id_sample). Records that perf itself made up have no
// id, and are of the first event (evlist__event2evsel).
func (r *Reader) decodeTrailer(rec *Record, body []byte) {
	p := r.plan
	if !p.all || rec.Type >= userTypes {
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

var typeNames = map[Type]string{
	Mmap: "MMAP", Lost: "LOST", Comm: "COMM", Exit: "EXIT", Fork: "FORK", Sample: "SAMPLE", Mmap2: "MMAP2",
	LostSamples: "LOST_SAMPLES", FinishedRound: "FINISHED_ROUND", headerAttr: "HEADER_ATTR", tracingData: "HEADER_TRACING_DATA",
	compressed: "COMPRESSED", compressed2: "COMPRESSED2", 5: "THROTTLE", 6: "UNTHROTTLE", 8: "READ", 11: "AUX", 12: "ITRACE_START",
	14: "SWITCH", 15: "SWITCH_CPU_WIDE", 16: "NAMESPACES", 17: "KSYMBOL", 18: "BPF_EVENT", 19: "CGROUP", 20: "TEXT_POKE",
	21: "AUX_OUTPUT_HW_ID", 22: "CALLCHAIN_DEFERRED", 65: "HEADER_EVENT_TYPE", buildIDRecord: "HEADER_BUILD_ID", 69: "ID_INDEX",
	70: "AUXTRACE_INFO", auxTrace: "AUXTRACE", 72: "AUXTRACE_ERROR", 73: "THREAD_MAP", 74: "CPU_MAP", 75: "STAT_CONFIG", 76: "STAT",
	77: "STAT_ROUND", eventUpdate: "EVENT_UPDATE", 79: "TIME_CONV", headerFeature: "HEADER_FEATURE", 82: "FINISHED_INIT",
}

// String is the name in perf's source.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return "PERF_RECORD_" + s
	}
	return "record of type " + strconv.FormatUint(uint64(t), 10)
}
