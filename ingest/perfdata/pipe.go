package perfdata

import (
	"encoding/binary"
)

// pipeHeaderSize is the size of the header in pipe mode: magic and size.
const pipeHeaderSize = 16

// pipeAttr takes an event in (PERF_RECORD_HEADER_ATTR).
func (r *Reader) pipeAttr(rec *Record, body []byte) error {
	if len(body) < attrSizeMin {
		return r.fail(rec.Offset, "attribute", ErrCorrupt, "it has %d bytes, want at least %d; the file is damaged", len(body), attrSizeMin)
	}
	size := int(binary.LittleEndian.Uint32(body[4:]))
	if size < attrSizeMin || size > len(body) {
		return r.fail(rec.Offset, "attribute", ErrCorrupt, "it claims %d bytes of %d; the file is damaged", size, len(body))
	}
	return r.addEvent(parseAttr(body[:size]), body[size:], rec.Offset)
}

// pipeTracingData takes the formats in, which follow the record.
func (r *Reader) pipeTracingData(rec *Record, body []byte) error {
	c := cursor{b: body}
	n := uint64(c.u32())
	switch {
	case r.inflated:
		return r.fail(rec.Offset, "tracing data", ErrCorrupt, "a record with data behind it cannot be inside a compressed one; the file is damaged")
	case n > sectionSizeMax:
		return r.fail(rec.Offset, "tracing data", ErrLimit, "it claims %d bytes, more than the %d (sectionSizeMax) that are read; the file is damaged", n, sectionSizeMax)
	}
	at := r.in.pos
	b := r.in.read(n)
	if uint64(len(b)) < n {
		if err := r.in.failure(); err != nil {
			return r.readError(at, "tracing data", err)
		}
		return r.fail(at, "tracing data", ErrTruncated, "want %d bytes from here, there are %d; was the recording killed?", n, len(b))
	}
	r.in.skip(-n & 7) // padding (perf_event__synthesize_tracing_data)
	r.plan = nil
	return r.tracingData(b, at)
}

// eventUpdateName is PERF_EVENT_UPDATE__NAME.
const eventUpdateName = 2

// pipeName takes an event's name in (PERF_RECORD_EVENT_UPDATE).
func (r *Reader) pipeName(body []byte) {
	c := cursor{b: body}
	kind, id := c.u64(), c.u64()
	if ev := r.byID.Get(id); ev != nil && kind == eventUpdateName {
		ev.Name = string(untilNUL(c.b))
	}
}

// pipeFeature takes a header feature in (PERF_RECORD_HEADER_FEATURE).
func (r *Reader) pipeFeature(rec *Record, body []byte) error {
	c := cursor{b: body}
	bit := c.u64()
	switch {
	case bit >= featureBits || !known(int(bit)):
		r.info.SkippedFeatures++
		return nil
	case int(bit) == featTracingData: // has a record of its own
		return nil
	}
	return r.feature(int(bit), c.b, rec.Offset+recordHeaderSize+8)
}

// pipeBuildID takes a build id in: the record is an entry of the table.
func (r *Reader) pipeBuildID(rec *Record, body []byte) {
	b := make([]byte, recordHeaderSize, recordHeaderSize+len(body))
	binary.LittleEndian.PutUint32(b, uint32(rec.Type))
	binary.LittleEndian.PutUint16(b[4:], rec.Misc)
	binary.LittleEndian.PutUint16(b[6:], uint16(recordHeaderSize+len(body)))
	r.buildIDs(append(b, body...))
}
