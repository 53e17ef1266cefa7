package perfdata

import (
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
// at a block but not at a record. It is inflated block by block, as records are
// asked for.
type inflater struct {
	in      []byte // of the current compressed record
	taken   int    // bytes of in that the decoder has
	starved bool   // the decoder has all of in and wants more
	offset  int64  // of the compressed record
	kind    Type   // of the compressed record
	out     []byte // inflated
	used    int    // bytes of out that are given out
	read    int64
	written int64
	resume  func() ([]byte, bool)
	stop    func()
	err     error
}

// pieces is what the decoder reads from and writes to. Called with nothing left,
// it hands control back until there is another compressed record.
type pieces struct {
	f     *inflater
	yield func([]byte) bool
}

// Read is part of io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	for p.f.taken == len(p.f.in) {
		if !p.yield(nil) {
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(b, p.f.in[p.f.taken:])
	p.f.taken += n
	return n, nil
}

// Write takes one block from the decoder.
func (p *pieces) Write(b []byte) (int, error) {
	if len(b) > 0 && !p.yield(b) {
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
		if err == nil {
			err = errors.New("the stream ended")
		}
		f.err = err
	}))
	return f
}

// inflate takes a compressed record in, and the data is used until it is inflated.
func (r *Reader) inflate(rec *Record, body []byte) error {
	if r.inflated {
		return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "a compressed record cannot be inside another; the file is damaged")
	}
	if rec.Type == compressed2 { // padded, so its length stands before it
		c := cursor{b: body}
		n := c.u64()
		if body = c.take(n); c.short {
			return r.fail(rec.Offset, rec.Type.String(), ErrCorrupt, "it claims %d bytes of data, more than it has; the file is damaged", n)
		}
	}
	if r.inflater == nil {
		r.inflater = newInflater()
	}
	f := r.inflater
	f.in, f.taken, f.starved = body, 0, false
	f.offset, f.kind = rec.Offset, rec.Type
	f.read += int64(len(body))
	return nil
}

// rest is how many bytes are inflated but not given out.
func (f *inflater) rest() int { return len(f.out) - f.used }

// next returns the body of the next record of what is inflated; nil when another
// compressed record has to be read first.
func (f *inflater) next(r *Reader, rec *Record) ([]byte, error) {
	want := recordHeaderSize
	for {
		out := f.out[f.used:]
		if len(out) >= recordHeaderSize {
			if want = sizeOf(out); want < recordHeaderSize {
				rec.start(typeOf(out), miscOf(out), f.offset)
				return nil, r.badSize(rec, want)
			}
		}
		if len(out) >= want {
			rec.start(typeOf(out), miscOf(out), f.offset)
			r.inflated = true
			f.used += want
			return out[recordHeaderSize:want], nil
		}
		if f.starved {
			return nil, nil
		}
		if err := f.block(r); err != nil {
			return nil, err
		}
	}
}

// block inflates the next block, if there is one in what is read.
func (f *inflater) block(r *Reader) error {
	block, ok := f.resume()
	switch {
	case !ok && errors.Is(f.err, zstd.ErrWindowSizeExceeded):
		return r.fail(f.offset, f.kind.String(), ErrLimit, "it needs a window of more than %d bytes (inflateWindowMax) to inflate; the file is damaged", inflateWindowMax)
	case !ok:
		return r.fail(f.offset, f.kind.String(), ErrCorrupt, "inflate it: %v; the file is damaged", f.err)
	case block == nil:
		f.starved, f.in = true, nil
		f.taken = 0
		return nil
	}
	f.out = append(f.out[:copy(f.out, f.out[f.used:])], block...)
	f.used = 0
	f.written += int64(len(block))
	if f.written > f.read*inflateRatioMax+inflateSlack {
		return r.fail(f.offset, f.kind.String(), ErrLimit, "%d bytes inflate to more than %d times as much (inflateRatioMax), as no recording does; the file is damaged", f.read, inflateRatioMax)
	}
	return nil
}

// Close frees what reading took.
func (r *Reader) Close() {
	if r.inflater != nil {
		r.inflater.stop()
	}
	r.in.close()
}
