package perfdata

import (
	"encoding/binary"
	"errors"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
)

// Limits of compressed records.
const (
	// inflateWindowMax is the largest window that zstd's highest level uses.
	inflateWindowMax = 128 << 20
	// inflateRatioMax is how much more there may come out than goes in: recordings
	// shrink to a tenth or a hundredth, a bomb to a millionth.
	inflateRatioMax = 2048
	// inflateSlack may come out of any file.
	inflateSlack = 16 << 20
)

// inflater is the zstd stream that runs through the compressed records of a file
// (perf_session__process_compressed_event): each holds the next piece of it, cut
// at a block but not at a record.
type inflater struct {
	in      []byte // of the current compressed record
	taken   int    // bytes of in that the decoder has
	out     []byte // inflated
	used    int    // bytes of out that are given out
	read    int64
	written int64
	resume  func() ([]byte, bool)
	stop    func()
	err     error
}

// pieces is what the decoder reads from and writes to. Called with nothing left, it hands control
// back until there is another compressed record.
type pieces struct {
	f     *inflater
	yield func([]byte) bool
}

// Read is part of io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	for p.f.taken == len(p.f.in) {
		if !p.yield(nil) {
			return 0, io.EOF
		}
	}
	n := copy(b, p.f.in[p.f.taken:])
	p.f.taken += n
	return n, nil
}

// Write takes one block from the decoder.
func (p *pieces) Write(b []byte) (int, error) {
	if !p.yield(b) {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func newInflater() *inflater {
	f := &inflater{}
	// A coroutine, since the decoder wants to pull and records are pushed. With a
	// concurrency of 1 it works in this goroutine alone.
	f.resume, f.stop = iter.Pull(iter.Seq[[]byte](func(yield func([]byte) bool) {
		p := &pieces{f, yield}
		d, err := zstd.NewReader(p, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(inflateWindowMax), zstd.WithDecoderLowmem(true))
		if err == nil {
			defer d.Close()
			_, err = d.WriteTo(p)
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			f.err = err
		}
	}))
	return f
}

// inflate takes a compressed record in.
func (r *Reader) inflate(rec *Record, body []byte) error {
	if r.inflated {
		return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "a compressed record cannot be inside another")
	}
	if rec.Type == compressed2 {
		c := cursor{b: body}
		n := c.u64()
		if n > uint64(len(c.b)) {
			return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "it claims %d bytes of %d", n, len(c.b))
		}
		body = c.b[:n]
	}
	if r.inflater == nil {
		r.inflater = newInflater()
	}
	f := r.inflater
	f.in = append(f.in[:0], body...) // copied: the buffer moves on
	f.out = append(f.out[:0], f.out[f.used:]...)
	f.used, f.taken = 0, 0
	f.read += int64(len(body))
	for {
		block, ok := f.resume()
		if !ok {
			err := f.err
			if err == nil {
				err = errors.New("the stream ended")
			}
			return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "inflate: %v", err)
		}
		if block == nil {
			return nil
		}
		f.out = append(f.out, block...)
		f.written += int64(len(block))
		if f.written > f.read*inflateRatioMax+inflateSlack {
			return r.fail(rec.Offset, rec.Type.String(), ErrLimit, "%d bytes inflate to more than %d times as much; no recording does", f.read, inflateRatioMax)
		}
	}
}

// next returns the next whole record of what is inflated; false when more has to
// be read first.
func (f *inflater) next(r *Reader, rec *Record) ([]byte, bool, error) {
	r.inflated = false
	out := f.out[f.used:]
	if len(out) < recordHeaderSize {
		return nil, false, nil
	}
	size := int(binary.LittleEndian.Uint16(out[6:]))
	if size > len(out) {
		return nil, false, nil
	}
	if _, err := r.startRecord(rec, out, r.pos); err != nil {
		return nil, false, err
	}
	f.used += size
	r.inflated = true
	return out[recordHeaderSize:size], true, nil
}

// Close frees what reading compressed records took.
func (r *Reader) Close() {
	if r.inflater != nil {
		r.inflater.stop()
	}
}
