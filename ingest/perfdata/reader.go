package perfdata

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"

	"github.com/replay/replay/traces/recent"
)

// Reader reads one file.
type Reader struct {
	name string
	at   io.ReaderAt // nil for a pipe
	size int64       // of a file
	in   source
	end  int64 // of the records of a file; a pipe has none

	info    Info
	events  []*Event
	byID    *recent.Map[uint64, Event]
	formats map[uint64]*Format
	names   map[string]string
	plan    *plan

	body     []byte // of the record that Next returned last
	chain    []uint64
	inflater *inflater
	inflated bool // the current record came out of a compressed one
	skipped  map[Type]int64
	err      error // what ended the records
}

func newReader(name string) *Reader {
	return &Reader{
		name: name, byID: &recent.Map[uint64, Event]{}, formats: map[uint64]*Format{}, names: map[string]string{},
		skipped: map[Type]int64{}, info: Info{BuildIDs: map[string]string{}},
	}
}

// New reads a perf.data file of the size from at. The name is for messages. A file of the
// operating system is mapped: one that becomes shorter meanwhile is a fault of memory,
// see debug.SetPanicOnFault.
func New(at io.ReaderAt, size int64, name string) (*Reader, error) {
	r := newReader(name)
	r.at, r.size = at, size
	records, err := r.readHeader()
	if err != nil {
		return nil, err
	}
	r.joinFormats()
	start := int64(records.offset)
	r.end = start + int64(records.size)
	there := min(r.end, size) - start
	r.in = newFileSource(at, start, there)
	return r, nil
}

// NewPipe reads what perf record -o - writes. Events and formats are told by
// records, before the first sample.
func NewPipe(in io.Reader, name string) (*Reader, error) {
	r := newReader(name)
	r.in = newSource(in, 0, bufferSize)
	b := r.in.peek(pipeHeaderSize)
	if !bytes.HasPrefix(pipeMagic, b) {
		r.takeText(PipeAfterText(r.in.peek(recordSizeMax)))
		b = r.in.peek(pipeHeaderSize)
	}
	if err := r.in.failure(); err != nil {
		return nil, r.readError(0, "header", err)
	}
	if err := r.checkMagic(b); err != nil {
		return nil, err
	}
	if len(b) < pipeHeaderSize {
		return nil, r.fail(0, "header", ErrTruncated, "a pipe's header has %d bytes, there are %d", pipeHeaderSize, len(b))
	}
	if n := binary.LittleEndian.Uint64(b[8:]); n != pipeHeaderSize {
		return nil, r.fail(8, "header", ErrUnsupported, "its size is %d, not the %d of perf record -o -; a regular perf.data cannot be read from a pipe, give the file", n, pipeHeaderSize)
	}
	r.in.take(pipeHeaderSize)
	return r, nil
}

// Info returns what the file says of the recording; in pipe mode it is complete
// once the last record was read.
func (r *Reader) Info() *Info { return &r.info }

// Events returns the recorded events.
func (r *Reader) Events() []*Event { return r.events }

// Mapped returns the file as far as its records go, nil where it is not mapped. It is
// valid until Close.
func (r *Reader) Mapped() []byte {
	if !r.in.mapped {
		return nil
	}
	return r.in.buf
}

// Check returns an error where the mapped file is shorter than it was: what was read of it
// may have been zeros.
func (r *Reader) Check() error {
	f, ok := r.at.(interface{ Stat() (os.FileInfo, error) })
	if !ok || !r.in.mapped {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return r.readError(r.in.pos, "file", err)
	}
	if info.Size() < r.size {
		return r.Shorter(info.Size())
	}
	return nil
}

// Shorter is the error of a mapped file in which there is nothing at an offset any more.
func (r *Reader) Shorter(offset int64) error {
	return r.fail(offset, "file", ErrTruncated, "it had %d bytes when it was opened, and became shorter while it was read; ingest a file that nothing writes to", r.size)
}

// InFile reports whether the body of the record that Next returned last is in the file as
// it is, behind the record's header: it did not come out of a compressed record.
func (r *Reader) InFile() bool { return !r.inflated }

// Position is how many bytes of the file are read.
func (r *Reader) Position() int64 { return r.in.pos }

// Skipped counts the records of types that are not decoded.
func (r *Reader) Skipped() map[Type]int64 { return r.skipped }

// Next reads the next record into rec and returns io.EOF after the last one. A
// file that ends in the middle of a record gives ErrTruncated after all before.
// After an error, the next call returns it again, unless it is Error.Skippable.
func (r *Reader) Next(rec *Record) error { return r.next(rec, false) }

// Skim is Next for who keeps the body of the record, to Decode it in its turn. It finds
// all that is wrong with it, but of what a sample holds it tells the event, the time
// and the CPU alone.
func (r *Reader) Skim(rec *Record) error { return r.next(rec, true) }

func (r *Reader) next(rec *Record, skim bool) error {
	for r.err == nil {
		body, err := r.nextBody(rec)
		if err == nil {
			if rec.Type.decoded() {
				if err = r.decode(rec, body, skim); err == nil {
					r.body = body
					return nil
				}
			} else {
				err = r.takeIn(rec, body)
			}
		}
		if err != nil {
			if Skippable(err) {
				return err
			}
			r.err = err
		}
	}
	return r.err
}

// takeIn takes in a record that is not returned.
func (r *Reader) takeIn(rec *Record, body []byte) error {
	switch rec.Type {
	case compressed, compressed2:
		return r.inflate(rec, body)
	case headerAttr:
		return r.pipeAttr(rec, body)
	case tracingData:
		return r.pipeTracingData(rec, body)
	case eventUpdate:
		r.pipeName(body)
	case headerFeature:
		return r.pipeFeature(rec, body)
	case buildIDRecord:
		r.pipeBuildID(rec, body)
	case auxTrace:
		return r.skipAux(rec, body)
	default:
		r.skipped[rec.Type]++
	}
	return nil
}

// nextBody finds the next record, in the file or in what is inflated of it, and
// returns the bytes behind its header. They are valid until the next call.
func (r *Reader) nextBody(rec *Record) ([]byte, error) {
	if r.inflater != nil {
		if body, err := r.inflater.next(r, rec); body != nil || err != nil {
			return body, err
		}
	}
	r.inflated = false
	if r.at == nil {
		r.skipText()
	}
	offset := r.in.pos
	head := r.in.peek(recordHeaderSize)
	if len(head) < recordHeaderSize {
		return nil, r.ending(len(head), "record header", recordHeaderSize)
	}
	rec.start(typeOf(head), miscOf(head), offset)
	size := sizeOf(head)
	switch {
	case size < recordHeaderSize:
		return nil, r.badSize(rec, size)
	case rec.Type > typeMax:
		return nil, r.fail(offset, "record header", ErrCorrupt, "there is no record of type %d; the file is damaged, or something else wrote into it. Of a pipe, print nothing into it but the recording: perf record -o - PROGRAM > FILE also takes what PROGRAM prints", rec.Type)
	}
	b := r.in.peek(size)
	if len(b) < size {
		return nil, r.ending(len(b), rec.Type.String(), size)
	}
	r.in.take(size)
	return b[recordHeaderSize:], nil
}

// ending is what the records end with: io.EOF, or why they are not complete. Of
// want bytes there are got.
func (r *Reader) ending(got int, what string, want int) error {
	r.joinFormats()
	if err := r.in.failure(); err != nil {
		return r.readError(r.in.pos, what, err)
	}
	switch {
	case got > 0 && r.at != nil && r.size > r.end:
		return r.fail(r.in.pos, what, ErrCorrupt, "it has %d bytes, but the records end %d from here; the file is damaged", want, got)
	case got > 0 || r.at != nil && r.in.pos < r.end:
		return r.fail(r.in.pos, what, ErrTruncated, "want %d bytes from here, there are %d; the records before it were read. Was the recording killed, or the copy cut short?", want, got)
	case r.inflater != nil && r.inflater.rest() > 0:
		return r.fail(r.in.pos, "compressed records", ErrTruncated, "the last one ends in the middle of a record, of which it has %d bytes", r.inflater.rest())
	case r.info.Incomplete != nil && !r.info.Unfinished:
		return r.info.Incomplete
	}
	return io.EOF
}

func (r *Reader) badSize(rec *Record, size int) error {
	return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "a record has at least %d bytes, this claims %d; the file is damaged", recordHeaderSize, size)
}

// auxSizeMax bounds what an AUXTRACE record says follows it, so that sums of
// positions do not overflow.
const auxSizeMax = 1 << 62

// skipAux skips a hardware trace, whose data follows its record
// (perf_session__process_auxtrace_info and tools/perf/util/session.c skipn).
func (r *Reader) skipAux(rec *Record, body []byte) error {
	c := cursor{b: body}
	r.skipped[rec.Type]++
	n := c.u64()
	switch {
	case r.inflated:
		return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "a record with data behind it cannot be inside a compressed one; the file is damaged")
	case n > auxSizeMax:
		return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "it claims %d bytes of data; the file is damaged", n)
	}
	if done := r.in.skip(n); done < n {
		if err := r.in.failure(); err != nil {
			return r.readError(r.in.pos, rec.Type.String(), err)
		}
		return r.fail(rec.Offset, rec.Type.String(), ErrTruncated, "%d bytes of data should follow it, there are %d", n, done)
	}
	return nil
}
