package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/perfscript"
	"github.com/replay/replay/traces"
)

// textSlack is how far out of order lines may be, in ns. perf script sorts, but
// only within what it has seen.
const textSlack = 100_000_000

// scriptStream makes rows of the text of perf script.
type scriptStream struct {
	in       *input
	ctx      context.Context
	p        *perfscript.Parser
	asm      *assemble.Assembler
	newest   int64
	records  int64
	ended    bool
	bad      int64
	firstBad error
	losses   losses
}

func isPerfScript(prefix []byte) bool { return perfscript.Is(prefix) }

func openPerfScript(ctx context.Context, in *input) (Stream, error) {
	return &scriptStream{
		in: in, ctx: ctx, p: perfscript.New(in.reader, in.path),
		asm: assemble.New(assemble.Options{Fork: true, Exec: true}),
	}, nil
}

// Next is part of traces.Stream.
func (s *scriptStream) Next(ev *traces.Event) error {
	for !s.asm.Next(ev) {
		if s.ended && s.asm.Hits() == 0 {
			return fmt.Errorf("%s: %w: print it with perf script --ns of a recording that has one", s.in.path, ErrNoProbe)
		}
		if s.ended {
			return io.EOF
		}
		if err := s.read(); err != nil {
			return err
		}
	}
	ev.Src = s.in.index
	ev.Has |= traces.ColSrc
	return nil
}

// advanceEvery is how many lines pass between two advances of the assembler.
const advanceEvery = 4096

func (s *scriptStream) read() error {
	r := s.asm.Record()
	used, err := s.p.Next(r)
	var bad *perfscript.Error
	switch {
	case errors.Is(err, io.EOF):
		return s.end()
	case errors.As(err, &bad) && s.in.opts.SkipBad:
		if s.bad++; s.firstBad == nil {
			s.firstBad = err
		}
	case err != nil:
		return err
	}
	s.take(r, used && err == nil)
	if s.records++; s.records%advanceEvery == 0 {
		s.asm.Advance(s.newest - textSlack)
		s.in.progress(s.p.Position())
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
	}
	return nil
}

// take notes the time of a line and adds what makes a row.
func (s *scriptStream) take(r *assemble.Record, used bool) {
	cpu, hasCPU, time := r.CPU, r.Got(traces.ColCPU), r.Time
	if used && r.Kind == traces.Lost {
		s.losses.span(r)
	}
	if used {
		s.newest = max(s.newest, r.Time)
		s.asm.Add(r)
	} else {
		s.asm.Release(r)
	}
	if hasCPU && time > 0 {
		s.losses.heard(cpu, time)
	}
}

func (s *scriptStream) end() error {
	s.ended = true
	s.losses.seen, s.losses.total = s.p.Lost, s.p.LostTotal
	if r := s.asm.Record(); s.losses.rest(r) {
		s.asm.Add(r)
	}
	s.asm.Flush()
	s.in.progress(s.p.Position())
	return nil
}

// Meta is part of traces.Stream.
func (s *scriptStream) Meta() traces.Meta {
	c := s.asm.Counts()
	m := traces.Meta{
		Schema: traces.Schema, Clock: "perf", Lost: c.Lost, Warnings: c.Warnings(),
		Sources: []traces.Source{{Path: s.in.path, Format: "perf-script"}},
	}
	if s.p.Micro {
		m.Warnings = append(m.Warnings, "times have microseconds only, too coarse to tell who met whom: print with perf script --ns")
	}
	if n := s.p.NoThread; n > 0 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("%d lines do not say which thread they are of, so that syscalls have no result: print with perf script -F +tid", n))
	}
	if s.bad > 0 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("%d bad lines were skipped, the first: %v", s.bad, s.firstBad))
	}
	var names []string
	for name := range s.p.Unused {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m.Warnings = append(m.Warnings, fmt.Sprintf("%d lines of %s make no rows", s.p.Unused[name], name))
	}
	return m
}

// Close is part of Stream.
func (s *scriptStream) Close() error {
	s.in.close()
	return nil
}
