package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/ingest/perfscript"
	"github.com/replay/replay/traces"
)

// textSlack is how far out of order lines may be, in ns. perf script sorts, but
// only within what it has seen.
const textSlack = 100_000_000

// scriptStream makes rows of the text of perf script.
type scriptStream struct {
	reading
	ahead  *lineReader
	newest int64
	losses losses
	// processes are of a text that does not name them, nil of one that does. Where
	// several inputs are such, the first tells of them.
	processes *assemble.Processes
	silent    bool
	seen      [256]bool // kinds of rows that came
	forked    bool      // while it was recorded
	again     *again
}

func isPerfScript(prefix []byte) bool { return perfscript.Is(prefix) }

func openPerfScript(ctx context.Context, in *input) (Stream, error) {
	s := &scriptStream{reading: reading{in: in, ctx: ctx}, again: lookAgain(in)}
	if perfscript.NamesThreadsAlone(in.prefix) {
		if err := in.spool(ctx); err != nil {
			return nil, err
		}
		s.processes = assemble.NewProcesses()
		if !in.shared {
			if err := findProcesses(ctx, []*scriptStream{s}); err != nil {
				return nil, err
			}
		}
	}
	s.options = assemble.Options{Fork: true, Exec: true, Relay: in.shared, Processes: s.processes}
	if s.processes == nil {
		s.options.Processes = firstExec(in)
	}
	s.asm = assemble.New(s.options)
	s.ahead = newLineReader(perfscript.New(in.reader, in.path), s.asm)
	return s, nil
}

// Next is part of traces.Stream.
func (s *scriptStream) Next(ev *traces.Event) error { return s.next(ev, s) }

func (s *scriptStream) row(ev *traces.Event) bool { return s.asm.Next(ev) }

// inVain is part of recordSource.
func (s *scriptStream) inVain() error {
	events := s.ahead.parser.Events()
	if lockEvents(events) {
		return nil
	}
	return fmt.Errorf("%s: %w: it has %s; add one with perf probe -x PROGRAM FUNCTION, record it with perf record -e, and print it with perf script --ns", s.in.path, ErrNoProbe, shorten(events))
}

// advanceEvery is how many lines pass between two advances of the assembler.
const advanceEvery = 4096

func (s *scriptStream) read() error {
	r, used, err := s.ahead.next()
	var bad *lines.Error
	switch {
	case errors.Is(err, io.EOF):
		return s.end()
	case errors.As(err, &bad) && s.in.opts.SkipBad:
		s.skipped.add(err)
	case err != nil:
		return err
	}
	s.take(r, used && err == nil)
	if s.counted(advanceEvery) {
		s.asm.Advance(s.newest - textSlack)
		return s.look(s.ahead.position)
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
		s.seen[r.Kind] = true
		s.forked = s.forked || r.Kind == traces.Fork && r.Time > 0
		r.Again = s.again.second(r)
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
	p := s.ahead.parser
	s.losses.seen, s.losses.total = p.Lost, p.LostTotal
	if r := s.asm.Record(); s.losses.rest(r) {
		s.asm.Add(r)
	}
	s.asm.Flush()
	s.in.progress(s.ahead.position)
	return nil
}

// Meta is part of traces.Stream.
func (s *scriptStream) Meta() traces.Meta {
	c := s.asm.Counts()
	m := traces.Meta{
		Schema: traces.Schema, Clock: "perf", Lost: c.Lost, Warnings: c.Warnings(),
		Sources: []traces.Source{{Path: s.in.path, Format: "perf-script"}},
	}
	m.Warnings = append(m.Warnings, s.skipped.warnings("lines")...)
	if s.ended {
		m.Warnings = append(m.Warnings, scriptWarnings(s.ahead.parser)...)
		m.Warnings = append(m.Warnings, s.again.warnings()...)
		m.Recorded = scriptRecorded(s.ahead.parser, &s.seen)
		m.Unknown = append(scriptPartly(s.ahead.parser, s.forked), scriptUnknown(s.ahead.parser)...)
		if s.processes != nil && !s.silent {
			told := processesTold(s.processes)
			m.Warnings, m.Unknown = append(m.Warnings, told.warnings...), append(m.Unknown, told.unknown...)
		}
	}
	return m
}

// scriptUnknown is what the text cannot tell.
func scriptUnknown(p *perfscript.Parser) []traces.Unknown {
	var u []traces.Unknown
	if n := p.Unused["raw_syscalls:sys_enter"] + p.Unused["raw_syscalls:sys_exit"]; n > 0 && !p.Writers {
		u = append(u, traces.Unknown{
			What: traces.UnknownWriters, Why: fmt.Sprintf("%d lines of raw_syscalls name syscalls by number, which are not read", n),
			Remedy: "perf record --event=syscalls:sys_{enter,exit}_{mmap,munmap,mprotect,mremap,brk,madvise} in place of raw_syscalls",
		})
	}
	if p.NoThread > 0 {
		u = append(u, noThreads(p.NoThread))
	}
	if !p.LostShown {
		why := "perf script does not print losses unless asked to"
		if p.LostMessage != "" {
			why = fmt.Sprintf("perf says %q, and not which", p.LostMessage)
		}
		u = append(u, traces.Unknown{
			What: traces.UnknownLosses, Why: why,
			Remedy: "perf script --show-lost-events, with a line \"# perf script --show-lost-events\" in front that says so where none was lost; or give perf.data itself",
		})
	}
	return u
}

// scriptWarnings tells what the whole text lacked.
func scriptWarnings(p *perfscript.Parser) []string {
	var w []string
	if p.Cut() {
		w = append(w, traces.CutWarning)
	}
	if p.Micro {
		w = append(w, "times have microseconds only, too coarse to tell who met whom: print with perf script --ns")
	}
	if n := p.NoThread; n > 0 {
		w = append(w, fmt.Sprintf("%d lines do not say which thread they are of, so that syscalls have no result", n))
	}
	if p.FromZero() {
		w = append(w, "times begin at 0: with perf script --reltime they are not on the clock of any other recording")
	}
	if n := p.Messages; n > 0 {
		w = append(w, fmt.Sprintf("%d lines are messages of perf itself, the first %q: leave out 2>&1", n, p.FirstMessage))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Unused)) {
		w = append(w, fmt.Sprintf("%d lines of %s make no rows", p.Unused[name], name))
	}
	return w
}

// clockUntold is part of untold: text has stamps alone.
func (s *scriptStream) clockUntold() {}

// Close is part of Stream.
func (s *scriptStream) Close() error {
	s.ahead.stop()
	s.in.close()
	return nil
}

// lockEvents reports whether events of mmap_lock are among those named, which are
// worth a report without a hit, too.
func lockEvents(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "mmap_lock:") })
}
