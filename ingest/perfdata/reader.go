package perfdata

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Reader reads one file.
type Reader struct {
	name string
	at   io.ReaderAt // nil for a pipe
	size int64       // of a file
	in   *bufio.Reader
	pos  int64 // of in, in the file
	// start and end bound the records of a file; a pipe has no end.
	start, end int64

	info    Info
	events  []*Event
	byID    map[uint64]*Event
	formats map[uint64]*Format
	strings map[string]string
	plan    *plan

	lastID    uint64
	lastEvent *Event
	chain     []uint64
	inflater  *inflater
	inflated  bool // the current record came out of a compressed one
	skipped   map[Type]int64
	discard   int // bytes of the record returned last
}

// bufferSize is what is read of a file at once; a record has at most 64 KiB.
const bufferSize = 1 << 20

func newReader(name string) *Reader {
	return &Reader{
		name: name, byID: map[uint64]*Event{}, formats: map[uint64]*Format{}, strings: map[string]string{},
		skipped: map[Type]int64{}, info: Info{BuildIDs: map[string]string{}},
	}
}

// New reads a perf.data file of the size from at. The name is for messages.
func New(at io.ReaderAt, size int64, name string) (*Reader, error) {
	r := newReader(name)
	r.at, r.size = at, size
	if err := r.readHeader(); err != nil {
		return nil, err
	}
	r.pos = r.start
	r.in = bufio.NewReaderSize(io.NewSectionReader(at, r.start, r.size-r.start), bufferSize)
	return r, nil
}

// NewPipe reads what perf record -o - writes. Events and formats are told by
// records, before the first sample.
func NewPipe(in io.Reader, name string) (*Reader, error) {
	r := newReader(name)
	r.in = bufio.NewReaderSize(in, bufferSize)
	b, err := r.in.Peek(16)
	if err != nil {
		return nil, r.fail(0, "header", ErrTruncated, "a pipe's header has 16 bytes, there are %d", len(b))
	}
	if err := r.checkMagic(b); err != nil {
		return nil, err
	}
	if n := binary.LittleEndian.Uint64(b[8:]); n != 16 {
		return nil, r.fail(8, "header", ErrUnsupported, "its size is %d, not the 16 of perf record -o -; a regular perf.data cannot be read from a pipe, give the file", n)
	}
	r.in.Discard(16)
	r.pos, r.end = 16, 1<<62
	return r, nil
}

// Info returns what the file says of the recording; in pipe mode it is complete
// once the first sample was read.
func (r *Reader) Info() *Info { return &r.info }

// Events returns the recorded events.
func (r *Reader) Events() []*Event { return r.events }

// Position is how many bytes of the file are read.
func (r *Reader) Position() int64 { return r.pos }

// Skipped counts the records of types that are not decoded.
func (r *Reader) Skipped() map[Type]int64 { return r.skipped }

// Next reads the next record into rec and returns io.EOF after the last one. A
// file that ends in the middle of a record gives ErrTruncated after all before.
func (r *Reader) Next(rec *Record) error {
	for {
		body, err := r.nextBody(rec)
		if err != nil {
			return err
		}
		switch rec.Type {
		case Sample, Mmap, Mmap2, Comm, Fork, Exit, Lost, LostSamples, FinishedRound:
			return r.decode(rec, body)
		case compressed, compressed2:
			err = r.inflate(rec, body)
		case headerAttr:
			err = r.pipeAttr(rec, body)
		case tracingData:
			err = r.pipeTracingData(rec, body)
		case eventUpdate:
			r.pipeName(body)
		case headerFeature:
			err = r.pipeFeature(rec, body)
		case buildIDRecord:
			r.pipeBuildID(rec, body)
		case auxTrace:
			err = r.skipAux(rec, body)
		default:
			r.skipped[rec.Type]++
		}
		if err != nil {
			return err
		}
	}
}

const recordHeaderSize = 8

// nextBody finds the next record, in the file or in what is inflated of it.
func (r *Reader) nextBody(rec *Record) ([]byte, error) {
	if r.discard > 0 {
		r.in.Discard(r.discard)
		r.pos += int64(r.discard)
		r.discard = 0
	}
	if r.inflater != nil {
		if body, ok, err := r.inflater.next(r, rec); ok || err != nil {
			return body, err
		}
	}
	if r.pos >= r.end {
		return nil, r.atEnd(io.EOF)
	}
	head, err := r.in.Peek(recordHeaderSize)
	if err != nil {
		if len(head) == 0 && errors.Is(err, io.EOF) && (r.at == nil || r.info.Unfinished) {
			return nil, r.atEnd(io.EOF)
		}
		return nil, r.short(err, "record header", recordHeaderSize)
	}
	size, err := r.startRecord(rec, head, r.pos)
	if err != nil {
		return nil, err
	}
	b, err := r.in.Peek(size)
	if err != nil {
		return nil, r.short(err, rec.Type.String(), size)
	}
	r.discard = size
	return b[recordHeaderSize:], nil
}

// atEnd is the end of the records; what is inflated must be at its end too.
func (r *Reader) atEnd(err error) error {
	if r.inflater != nil && r.inflater.used < len(r.inflater.out) {
		return r.fail(r.pos, "compressed records", ErrTruncated, "the last one ends in the middle of a record of %d bytes or more", len(r.inflater.out)-r.inflater.used)
	}
	return err
}

// short is the error for a file that ends where more was promised.
func (r *Reader) short(err error, what string, want int) error {
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s:@%d: read %s: %w", r.name, r.pos, what, err)
	}
	return r.fail(r.pos, what, ErrTruncated, "want %d bytes from here; the records before it were read. Was the recording killed, or the copy cut short?", want)
}

// startRecord begins a record from its header and returns its size.
func (r *Reader) startRecord(rec *Record, head []byte, offset int64) (int, error) {
	*rec = Record{
		Type: Type(binary.LittleEndian.Uint32(head)), Misc: binary.LittleEndian.Uint16(head[4:]), Offset: offset,
		CPU: -1, PID: -1, TID: -1,
	}
	size := int(binary.LittleEndian.Uint16(head[6:]))
	if size < recordHeaderSize {
		return 0, r.fail(offset, rec.Type.String(), ErrCorrupt, "a record has at least %d bytes, this claims %d; the file is damaged", recordHeaderSize, size)
	}
	return size, nil
}

// skipAux skips a hardware trace, whose data follows its record.
func (r *Reader) skipAux(rec *Record, body []byte) error {
	c := cursor{b: body}
	r.skipped[rec.Type]++
	return r.skipAfter(rec, c.u64())
}

// skipAfter skips bytes that follow a record and are no part of its size.
func (r *Reader) skipAfter(rec *Record, n uint64) error {
	if r.inflated {
		return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "a record with data behind it cannot be inside a compressed one")
	}
	r.in.Discard(r.discard)
	r.pos += int64(r.discard)
	r.discard = 0
	if r.at != nil && n > uint64(max(r.size-r.pos, 0)) {
		return r.fail(rec.Offset, rec.Type.String(), ErrTruncated, "%d bytes of data should follow", n)
	}
	done, err := io.CopyN(io.Discard, r.in, int64(min(n, 1<<62)))
	r.pos += done
	if err != nil {
		return r.short(err, rec.Type.String(), int(n-uint64(done)))
	}
	return nil
}

// pipeAttr takes an event in (PERF_RECORD_HEADER_ATTR).
func (r *Reader) pipeAttr(rec *Record, body []byte) error {
	if len(body) < attrSizeMin {
		return r.fail(rec.Offset, "attribute", ErrCorrupt, "it has %d bytes, want at least %d", len(body), attrSizeMin)
	}
	size := int(binary.LittleEndian.Uint32(body[4:]))
	if size < attrSizeMin || size > len(body) {
		return r.fail(rec.Offset, "attribute", ErrCorrupt, "it claims %d bytes of %d", size, len(body))
	}
	ev := r.addEvent(parseAttr(body[:size]))
	for ids := body[size:]; len(ids) >= 8; ids = ids[8:] {
		r.addID(ev, binary.LittleEndian.Uint64(ids))
	}
	return r.nameEvents()
}

// pipeTracingData takes the formats in, which follow the record.
func (r *Reader) pipeTracingData(rec *Record, body []byte) error {
	c := cursor{b: body}
	n := uint64(c.u32())
	if n > featureSizeMax || r.inflated {
		return r.fail(rec.Offset, "tracing data", ErrLimit, "it claims %d bytes, more than the %d that are read", n, featureSizeMax)
	}
	r.in.Discard(r.discard)
	r.pos += int64(r.discard)
	r.discard = 0
	b, err := io.ReadAll(io.LimitReader(r.in, int64((n+7)&^7)))
	r.pos += int64(len(b))
	if err != nil || uint64(len(b)) < n {
		return r.short(errors.Join(err, io.EOF), "tracing data", int(n))
	}
	formats, err := parseTracingData(b)
	if err != nil {
		return r.fail(rec.Offset, "tracing data", err, "want the formats of the recorded tracepoints")
	}
	r.addFormats(formats)
	return r.nameEvents()
}

// eventUpdateName is PERF_EVENT_UPDATE__NAME.
const eventUpdateName = 2

func (r *Reader) pipeName(body []byte) {
	c := cursor{b: body}
	kind, id := c.u64(), c.u64()
	if ev := r.byID[id]; ev != nil && kind == eventUpdateName {
		ev.Name = string(untilNUL(c.b))
	}
}

// pipeFeature takes a header feature in (PERF_RECORD_HEADER_FEATURE).
func (r *Reader) pipeFeature(rec *Record, body []byte) error {
	c := cursor{b: body}
	bit := c.u64()
	if bit >= 256 || !r.wants(int(bit)) || int(bit) == featTracingData {
		return nil
	}
	if err := r.feature(int(bit), c.b, rec.Offset); err != nil {
		return err
	}
	return r.nameEvents()
}

// pipeBuildID takes a build id in: the record is an entry of the table.
func (r *Reader) pipeBuildID(rec *Record, body []byte) {
	b := make([]byte, recordHeaderSize, recordHeaderSize+len(body))
	binary.LittleEndian.PutUint32(b, uint32(rec.Type))
	binary.LittleEndian.PutUint16(b[4:], rec.Misc)
	binary.LittleEndian.PutUint16(b[6:], uint16(recordHeaderSize+len(body)))
	r.buildIDs(append(b, body...))
}

var typeNames = map[Type]string{
	Mmap: "MMAP", Lost: "LOST", Comm: "COMM", Exit: "EXIT", Fork: "FORK", Sample: "SAMPLE", Mmap2: "MMAP2",
	LostSamples: "LOST_SAMPLES", FinishedRound: "FINISHED_ROUND", headerAttr: "HEADER_ATTR", tracingData: "HEADER_TRACING_DATA",
	compressed: "COMPRESSED", compressed2: "COMPRESSED2", 5: "THROTTLE", 6: "UNTHROTTLE", 8: "READ", 11: "AUX", 14: "SWITCH",
	15: "SWITCH_CPU_WIDE", 16: "NAMESPACES", 17: "KSYMBOL", 18: "BPF_EVENT", 19: "CGROUP", 20: "TEXT_POKE", 69: "ID_INDEX",
	73: "THREAD_MAP", 74: "CPU_MAP", 79: "TIME_CONV", 82: "FINISHED_INIT", auxTrace: "AUXTRACE",
}

// String is the name in perf's source, without PERF_RECORD_.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return "PERF_RECORD_" + s
	}
	return "record of type " + strconv.FormatUint(uint64(t), 10)
}
