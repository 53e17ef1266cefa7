package perfdata

import "encoding/binary"

// plan says how to find a record's event.
type plan struct {
	id, trailer int  // offsets, see idAt and trailerID
	all         bool // other records than samples have an id too
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

// decodeSample follows evsel__parse_sample: first the fields of fixed size, whose
// places are known, then the others in turn.
func (r *Reader) decodeSample(rec *Record, body []byte, skim bool) error {
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
	if l.time >= 0 {
		rec.Time = le.Uint64(body[l.time:])
	}
	if l.cpu >= 0 {
		rec.CPU = int32(le.Uint32(body[l.cpu:]))
	}
	if !skim {
		if l.ip >= 0 {
			rec.IP = le.Uint64(body[l.ip:])
		}
		if l.tid >= 0 {
			rec.PID, rec.TID = int32(le.Uint32(body[l.tid:])), int32(le.Uint32(body[l.tid+4:]))
		}
		if l.addr >= 0 {
			rec.Addr = le.Uint64(body[l.addr:])
		}
		if l.period >= 0 {
			rec.Period = le.Uint64(body[l.period:])
		}
	}
	c := cursor{b: body[l.size:]}
	t := ev.Attr.SampleType
	if t&sampleRead != 0 {
		skipRead(&c, ev.Attr.ReadFormat)
	}
	switch {
	case t&sampleCallchain == 0:
	case skim:
		c.take(8 * c.countLong())
	default:
		r.takeChain(rec, &c)
	}
	if t&sampleRaw != 0 {
		rec.Raw = c.take(uint64(c.u32()))
	}
	if ev.userIP >= 0 {
		rec.UserIP = c.takeUserIP(ev)
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
	if ev := r.byID.Get(id); ev != nil {
		return ev, nil
	}
	return nil, r.damaged(rec, "no event has its id %d; the file is damaged", id)
}

// takeChain decodes a callchain into the reader's buffer.
func (r *Reader) takeChain(rec *Record, c *cursor) {
	r.chain = r.chain[:0]
	for b := c.take(8 * c.countLong()); len(b) >= 8; b = b[8:] {
		r.chain = append(r.chain, binary.LittleEndian.Uint64(b))
	}
	rec.Callchain = r.chain
	// The marker and the cookie are the last two (sample__merge_deferred_callchain).
	if n := len(r.chain); n >= 2 && r.chain[n-2] == contextUserDeferred {
		rec.Cookie = r.chain[n-1]
	}
}

// takeDeferred decodes PERF_RECORD_CALLCHAIN_DEFERRED.
func (r *Reader) takeDeferred(rec *Record, c *cursor) {
	cookie := c.u64()
	r.takeChain(rec, c)
	rec.Cookie = cookie
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
