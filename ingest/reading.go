package ingest

import (
	"context"
	"io"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// reading is what the streams share whose rows an Assembler makes of the records of
// one input: rows go out as they are complete, and more is read while there is none.
type reading struct {
	in      *input
	ctx     context.Context
	asm     *assemble.Assembler
	options assemble.Options // of asm
	records int64
	ended   bool // all of the input is taken in
	skipped skipped
}

// recordSource is where a reading gets its records from.
type recordSource interface {
	// row fills ev with the next row, or returns false when none is complete.
	row(ev *traces.Event) bool
	// read takes in some more, and sets ended where there is no more.
	read() error
	// inVain says why the input is none, where it ended without a hit.
	inVain() error
}

// next fills ev with the next row.
func (r *reading) next(ev *traces.Event, from recordSource) error {
	for !from.row(ev) {
		switch {
		case !r.ended:
			if err := from.read(); err != nil {
				return err
			}
		case !r.in.shared && r.asm.Hits() == 0:
			if err := from.inVain(); err != nil {
				return err
			}
			return io.EOF
		default:
			return io.EOF
		}
	}
	ev.Src = r.in.index
	ev.Has |= traces.ColSrc
	return nil
}

// counted counts a record or line, and reports whether it is time to look around.
func (r *reading) counted(every int64) bool {
	r.records++
	return r.records%every == 0
}

// look tells how many bytes are read, and returns why reading is to stop.
func (r *reading) look(position int64) error {
	r.in.progress(position)
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return nil
}

func (r *reading) assembler() (*assemble.Assembler, assemble.Options) { return r.asm, r.options }
