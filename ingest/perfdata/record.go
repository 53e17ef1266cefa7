package perfdata

import (
	"encoding/binary"
	"encoding/hex"
)

// Context markers in a callchain (enum perf_callchain_context).
const (
	contextKernel = ^uint64(128) + 1
	contextUser   = ^uint64(512) + 1
	contextMax    = ^uint64(4095) + 1
	// contextUserDeferred says that the user's part comes later, in a record with the
	// cookie that follows the marker.
	contextUserDeferred = ^uint64(640) + 1
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

	// Of samples, where the attribute asks for them.
	IP, Addr  uint64
	Period    uint64
	Callchain []uint64 // with context markers
	Raw       []byte
	UserIP    uint64 // from the registers; 0: not sampled, or of no user
	// Cookie names the user's part of the callchain that is missing here, and in
	// CallchainDeferred the one that Callchain is; 0: none.
	Cookie uint64

	Mapping Mapping // Mmap, Mmap2
	Name    string  // Comm
	Exec    bool    // Comm: because of an exec
	Task    Task    // Fork, Exit
	Count   uint64  // Lost, LostSamples
	LostID  uint64  // Lost: id of the event whose buffer overflowed
}

// start begins a record from its header. It clears what the record before may have
// set, which for a sample is the first half: most records are samples.
func (rec *Record) start(typ Type, misc uint16, offset int64) {
	if rec.Type != Sample {
		*rec = Record{}
	}
	rec.Type, rec.Misc, rec.Offset = typ, misc, offset
	rec.HasID, rec.Event, rec.Time, rec.CPU, rec.PID, rec.TID = false, nil, 0, -1, -1, -1
	rec.IP, rec.Addr, rec.Period, rec.Callchain, rec.Raw, rec.UserIP, rec.Cookie = 0, 0, 0, nil, nil, 0, 0
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

// Filtered reports whether LostSamples counts what a filter of the recording dropped
// on purpose (PERF_RECORD_MISC_LOST_SAMPLES_BPF).
func (r *Record) Filtered() bool { return r.Type == LostSamples && r.Misc&miscLostByFilter != 0 }

// Chain appends the callchain without its markers to buf, and returns it with the
// index at which the user's part begins.
func (r *Record) Chain(buf []uint64) (chain []uint64, user int) {
	user = -1
	for _, ip := range r.Callchain {
		switch {
		case ip == contextUser:
			user = len(buf)
		case ip == contextUserDeferred:
			return buf, len(buf) // a cookie follows
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

// Body is what Decode takes to make the record again that Next returned last.
func (r *Reader) Body() []byte { return r.body }

// Decode makes a record again of its body, kept since Next returned it, and of its
// type, misc and offset.
func (r *Reader) Decode(rec *Record, typ Type, misc uint16, offset int64, body []byte) error {
	rec.start(typ, misc, offset)
	return r.decode(rec, body, false)
}

// decode fills rec from a record's body.
func (r *Reader) decode(rec *Record, body []byte, skim bool) error {
	if r.plan == nil {
		r.joinFormats()
		var err error
		if r.plan, err = r.makePlan(); err != nil {
			return err
		}
	}
	if rec.Type == Sample {
		return r.decodeSample(rec, body, skim)
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
	case CallchainDeferred:
		r.takeDeferred(rec, &c)
	}
	if c.short {
		return r.damaged(rec, "its fields need more than its %d bytes; the file is damaged", len(body))
	}
	r.decodeTrailer(rec, body)
	return nil
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
		if e := r.byID.Get(binary.LittleEndian.Uint64(body[len(body)-p.trailer:])); e != nil {
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
