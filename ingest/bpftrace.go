package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/bpftrace"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/ingest/symbols"
	"github.com/replay/replay/traces"
)

// bpftraceSlack is how far out of order events may be, in ns. bpftrace empties the
// buffers of the CPUs one after the other, each of them whole, so that it is as much
// as a buffer holds: 16 MB, the largest that it takes by itself, are about 2 s of
// 100,000 events a second. On a busy machine 1.4 s were seen.
const bpftraceSlack = 5_000_000_000

// bpftraceStream makes rows of what bpftrace printed.
type bpftraceStream struct {
	reading
	format string
	p      *bpftrace.Parser
	stderr *bpftrace.Stderr // nil where none was given
	clock  string

	begin  int64 // ns: the earliest time that was seen ahead, if it is before 0
	early  int64 // events that began even before that
	first  int64 // ns, -1 before the first event
	losses losses
	told   int64              // events lost, in their places
	lost   *assemble.Record   // a loss that waits for the next event
	maps   []*assemble.Record // mappings of before the first event
	files  files
}

func openBpftrace(ctx context.Context, in *input) (Stream, error) {
	return newBpftrace(ctx, in, "bpftrace", bpftrace.New)
}

func openBpftraceJSON(ctx context.Context, in *input) (Stream, error) {
	return newBpftrace(ctx, in, "bpftrace-json", bpftrace.NewJSON)
}

type bpftraceParser func(in *bufio.Reader, name string, format *bpftrace.Format) *bpftrace.Parser

func newBpftrace(ctx context.Context, in *input, format string, parser bpftraceParser) (Stream, error) {
	s := &bpftraceStream{
		reading: reading{in: in, ctx: ctx}, format: format, first: -1,
		p: parser(in.reader, in.path, in.opts.Bpftrace),
	}
	names, err := symbols.New(symbols.Options{Inlines: in.opts.Inlines})
	if err != nil {
		return nil, err
	}
	s.options = assemble.Options{Fork: true, Exec: true, Symbols: names, Relay: in.shared}
	s.asm = assemble.New(s.options)
	s.clock, s.begin = ahead(parser(bufio.NewReader(bytes.NewReader(in.prefix)), in.path, in.opts.Bpftrace), in.path)
	if in.opts.Stderr != "" {
		f, err := os.Open(in.opts.Stderr)
		if err != nil {
			return nil, fmt.Errorf("open what bpftrace said: %w", err)
		}
		defer f.Close()
		if s.stderr, err = bpftrace.ReadStderr(bufio.NewReaderSize(f, sniffed), in.opts.Stderr); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ahead looks at the first lines for what must be known before the rest is read: the
// clock of the events, which inputs must agree on, and the earliest time, where it is
// before 0. A call that is told when it is over may have begun before the recording.
func ahead(p *bpftrace.Parser, name string) (clock string, begin int64) {
	for {
		var r assemble.Record
		used, err := p.Next(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if used && err == nil {
			begin = min(begin, r.Time)
		}
	}
	switch c := p.Clock(); c {
	case "":
		return "boottime", begin // nsecs
	case "elapsed", "time of day":
		return c + " in " + name, begin // like no other's
	default:
		return c, begin
	}
}

// Next is part of traces.Stream.
func (s *bpftraceStream) Next(ev *traces.Event) error { return s.next(ev, s) }

// inVain is part of recordSource. A capture of a probe that was never hit is a trace;
// what is no capture may be the output of anything.
func (s *bpftraceStream) inVain() error {
	if s.p.Recorded != nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %sreplay capture --tool bpftrace --print shows the script that prints them", s.in.path, ErrNoProbe, s.unused())
}

// row fills ev with the next row. Of a shared input, rows are named elsewhere.
func (s *bpftraceStream) row(ev *traces.Event) bool {
	if s.in.shared {
		return s.asm.Next(ev)
	}
	return s.files.next(s.asm, ev)
}

// unused lists the lines that make no rows, for a message.
func (s *bpftraceStream) unused() string {
	var b strings.Builder
	for _, name := range sortedKeys(s.p.Unused) {
		fmt.Fprintf(&b, "%d %s; ", s.p.Unused[name], name)
	}
	return b.String()
}

func (s *bpftraceStream) read() error {
	r := s.asm.Record()
	used, err := s.p.Next(r)
	var bad *lines.Error
	switch {
	case errors.Is(err, io.EOF):
		s.asm.Release(r)
		s.end()
		return nil
	case errors.As(err, &bad) && s.in.opts.SkipBad:
		s.skipped.add(err)
	case err != nil:
		return err
	}
	if used && err == nil {
		s.take(r)
	} else {
		s.asm.Release(r)
	}
	if s.counted(advanceEvery) {
		s.asm.Advance(s.losses.newest - bpftraceSlack)
		return s.look(s.p.Position())
	}
	return nil
}

// mapsMax bounds the mappings that wait for the first event.
const mapsMax = 1 << 20

// take gives a record to the assembler, or keeps it until it has a time.
func (s *bpftraceStream) take(r *assemble.Record) {
	switch {
	case r.Kind == traces.Lost && r.Time == 0:
		s.told += r.Ret
		s.lose(r)
		return
	case r.Kind == traces.Map && r.Time == 0 && s.first < 0 && len(s.maps) < mapsMax:
		s.maps = append(s.maps, r)
		return
	case r.Kind == traces.Map && r.Time == 0:
		r.Time = s.losses.newest
	default:
		if r.Time -= s.begin; r.Time < 0 {
			r.Time = 0
			s.early++
		}
	}
	if s.first < 0 {
		s.first = r.Time
		s.placeMaps()
	}
	s.first, s.losses.newest = min(s.first, r.Time), max(s.losses.newest, r.Time)
	if r.Got(traces.ColCPU) {
		s.losses.heard(r.CPU, r.Time)
	}
	s.placeLoss()
	s.asm.Add(r)
}

// placeMaps gives the mappings of before the first event the time of it.
func (s *bpftraceStream) placeMaps() {
	for _, m := range s.maps {
		m.Time = max(s.first, 0)
		s.asm.Add(m)
	}
	s.maps = nil
}

// lose keeps a loss until the next event is known. bpftrace does not tell the CPU:
// it happened after the last event of any of them, and before the next, which is of
// the CPU whose buffer was full.
func (s *bpftraceStream) lose(r *assemble.Record) {
	if s.lost != nil {
		s.lost.Ret += r.Ret
		s.asm.Release(r)
		return
	}
	r.Dur = s.losses.since() // until it is placed
	if s.losses.lastOn.Len() == 0 {
		r.Dur = max(s.first, 0)
	}
	s.lost = r
}

// placeLoss gives the loss its span, which ends at its row's time.
func (s *bpftraceStream) placeLoss() {
	r := s.lost
	if r == nil {
		return
	}
	r.Time, r.Dur = s.losses.newest, s.losses.newest-r.Dur
	r.Has |= traces.ColDur
	s.asm.Add(r)
	s.lost = nil
}

// end adds what has no other place: losses on standard error may be anywhere.
func (s *bpftraceStream) end() {
	s.ended = true
	s.placeMaps()
	s.placeLoss()
	if n := s.lostAnywhere(); n > 0 {
		r := s.asm.Record()
		r.Kind, r.Time, r.Dur, r.Ret = traces.Lost, s.losses.newest, s.losses.newest-max(s.first, 0), n
		r.Has = traces.ColDur | traces.ColRet
		s.asm.Add(r)
	}
	s.asm.Flush()
	s.in.progress(s.p.Position())
}

// lostAnywhere is how many events were lost beyond those in their places: what
// standard error tells, or the total at the end.
func (s *bpftraceStream) lostAnywhere() int64 {
	total := s.p.TotalLost
	if s.stderr != nil {
		total = max(total, s.stderr.Total, s.told+s.stderr.Lost)
	}
	return max(total-s.told, 0)
}

// Meta is part of traces.Stream.
func (s *bpftraceStream) Meta() traces.Meta {
	c := s.asm.Counts()
	m := traces.Meta{
		Schema: traces.Schema, Clock: s.clock, Lost: c.Lost, Warnings: c.Warnings(),
		CPUs: s.p.Machine.CPUs, Kernel: s.p.Machine.Kernel, Arch: s.p.Machine.Arch,
		Sources: []traces.Source{{Path: s.in.path, Format: s.format}}, Recorded: s.p.Recorded,
	}
	if s.p.Killed {
		m.Unknown = append(m.Unknown, traces.Unknown{
			What: traces.UnknownLosses, Why: "bpftrace was ended before it had printed what was in its buffers",
			Remedy: "record with smaller buffers (replay capture -m) or a program that ends by itself",
		})
	}
	warn := func(format string, args ...any) { m.Warnings = append(m.Warnings, fmt.Sprintf(format, args...)) }
	if c.Unordered > 0 {
		warn("%d lines came out of order, by up to %v; they are put in order", c.Unordered, time.Duration(c.DisorderNs))
	}
	if n := s.lostAnywhere(); n > 0 {
		warn("where %d events were lost is unknown, since standard error and totals do not tell: nowhere is the trace known to be whole; record with bpftrace -f json -o FILE", n)
	}
	switch known := s.stderr != nil || s.p.LossesHere; {
	case !known && s.p.FromStart:
		m.Unknown = append(m.Unknown, traces.Unknown{
			What: traces.UnknownLosses, Why: "bpftrace printed how many probes it attached to some other place, and with it how many events it lost",
			Remedy: "give what it printed on standard error with --stderr FILE, or record with bpftrace -f json -o FILE",
		})
	case !known:
		warn("the beginning is missing, where bpftrace says that it attached its probes: if it printed that on standard error, it printed losses there, too; give it with --stderr FILE")
	}
	if step := s.p.Step(); step > 1 {
		warn("times have %s only, too coarse to tell who met whom: print nsecs", stepName(step))
	}
	if s.begin < 0 {
		warn("events began up to %v before time 0: all times are later by that", time.Duration(-s.begin))
	}
	if s.early > 0 {
		warn("%d events began before the trace does: they are put at its beginning", s.early)
	}
	m.Warnings = append(m.Warnings, s.skipped.warnings("lines")...)
	if s.ended && s.p.Cut() {
		m.Warnings = append(m.Warnings, traces.CutWarning)
	}
	for _, name := range sortedKeys(s.p.Unused) {
		warn("%d lines make no rows: %s", s.p.Unused[name], name)
	}
	said := s.p.Said
	if s.stderr != nil {
		said = append(slices.Clone(said), s.stderr.Said...)
	}
	for _, text := range said {
		warn("bpftrace said: %s", text)
	}
	return m
}

// stepName says what times are given in.
func stepName(ns int64) string {
	for unit, name := range map[int64]string{1e9: "s", 1e6: "ms", 1e3: "us"} {
		if ns == unit {
			return name
		}
	}
	return "steps of " + time.Duration(ns).String()
}

func sortedKeys(m map[string]int64) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Close is part of Stream.
func (s *bpftraceStream) Close() error {
	s.in.close()
	return nil
}
