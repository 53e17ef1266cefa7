package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"unsafe"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/ingest/symbols"
	"github.com/replay/replay/traces"
)

// perfStream makes rows of a perf.data file.
type perfStream struct {
	reading
	r        *perfdata.Reader
	parts    []perfPart // r's file, and those beside it
	rec      perfdata.Record
	decoders []*decoder // by Event.Index, nil until the event was met
	pipe     bool
	queue    perfQueue
	held     heldRecord      // one that comes out of it
	taken    perfdata.Record // the same, decoded
	drained  bool            // the files are read to their ends
	failed   error           // why no more is taken in, once the rows before are out

	newest, flush int64 // ns: of this round, and of the round before
	losses        losses
	session       bool // other inputs are of the same recorder, which counts losses for all
	arrivals      arrivals
	replaced      replacedFiles

	forked   bool // while it was recorded
	symbols  *symbols.Resolver
	guests   int64
	filtered int64            // samples that a filter dropped on purpose
	unused   map[string]int64 // samples of events that make no rows
}

func openPerfData(ctx context.Context, in *input) (Stream, error) {
	s := &perfStream{reading: reading{in: in, ctx: ctx}, queue: newPerfQueue(), arrivals: arrivals{arg: in.opts.ArriveArg}, unused: map[string]int64{}}
	var err error
	if in.file != nil && !isPipeHeader(in.prefix) {
		s.r, err = perfdata.New(in.file, in.size, in.path)
	} else {
		s.pipe = true
		s.r, err = perfdata.NewPipe(in.reader, in.path)
	}
	if err != nil {
		return nil, err
	}
	s.parts = []perfPart{{r: s.r, newest: math.MinInt64}}
	if s.r.Info().Parts {
		if err := s.openParts(); err != nil {
			s.closeParts()
			return nil, err
		}
	}
	for i := range s.parts {
		s.parts[i].share(&s.queue)
	}
	if !s.pipe {
		if err := s.start(); err != nil {
			s.closeParts()
			return nil, err
		}
	}
	return s, nil
}

// isPipeHeader tells perf record -o - from a regular file by the header's size.
func isPipeHeader(prefix []byte) bool {
	return len(prefix) >= 16 && prefix[8] == 16 || perfdata.PipeAfterText(prefix) > 0
}

// start checks the events once they are all known.
func (s *perfStream) start() error {
	o := assemble.Options{Relay: s.in.shared}
	for _, ev := range s.r.Events() {
		if ev.Attr.Type == perfdata.TypeTracepoint && ev.Format == nil {
			if err := s.r.Info().Incomplete; err != nil {
				return err
			}
			return &perfdata.Error{File: s.in.path, What: "event " + ev.Name, Err: perfdata.ErrCorrupt,
				Want: fmt.Sprintf("the file has no format for tracepoint %d; record with a perf that can read tracefs (mount -t tracefs nodev /sys/kernel/tracing)", ev.Attr.Config)}
		}
		switch d := s.decoder(ev); {
		case d.point == nil:
		case d.point.Kind == traces.Fork:
			o.Fork = true
		case d.point.Kind == traces.Exec:
			o.Exec = true
		}
	}
	if err := s.noProbe(); err != nil && !s.in.shared {
		return err
	}
	if err := s.checkArrivals(); err != nil {
		return err
	}
	names, err := symbols.New(symbols.Options{KernelID: s.r.Info().KernelID, Kallsyms: s.in.opts.Kallsyms, Inlines: s.in.opts.Inlines})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(s.r.Events(), func(ev *perfdata.Event) bool { return ev.Attr.Callchains() }) {
		names.Ahead()
	}
	s.symbols, o.Symbols = names, names
	s.asm, s.options = assemble.New(o), o
	return nil
}

// shorten lists names, not too many of them.
func shorten(names []string) string {
	if len(names) == 0 {
		return "no event"
	}
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}

// progressEvery is how many records pass between reports of progress.
const progressEvery = 1 << 14

// Next is part of traces.Stream.
func (s *perfStream) Next(ev *traces.Event) error { return s.next(ev, s) }

func (s *perfStream) row(ev *traces.Event) bool { return s.asm != nil && s.asm.Next(ev) }

// inVain is part of recordSource: kprobes look like uprobes until their addresses are
// seen.
func (s *perfStream) inVain() error { return s.noProbe() }

// recordsAtOnce are taken in before rows go out: what each is done with stays in the
// caches meanwhile.
const recordsAtOnce = 32

// read takes in some records. Rows before one that cannot be taken go out first.
func (s *perfStream) read() (err error) {
	if s.failed != nil {
		return s.failed
	}
	defer s.fault(&err, debug.SetPanicOnFault(true))
	for n := 0; n < recordsAtOnce && !s.ended && s.failed == nil; n++ {
		s.failed = s.step()
	}
	return nil
}

// fault makes an error of a fault of memory in a mapped file: it became shorter.
func (s *perfStream) fault(err *error, before bool) {
	debug.SetPanicOnFault(before)
	switch f := recover().(type) {
	case nil:
	case interface {
		error
		Addr() uintptr
	}:
		for i := range s.parts {
			m := s.parts[i].r.Mapped()
			if at := f.Addr() - uintptr(unsafe.Pointer(unsafe.SliceData(m))); at < uintptr(len(m)) {
				s.failed = s.parts[i].r.Shorter(int64(at))
				*err = s.failed
				return
			}
		}
		panic(f)
	default:
		panic(f)
	}
}

// step takes in the next record in order, or reads one more.
func (s *perfStream) step() error {
	if h := &s.held; s.queue.pop(h) {
		if h.typ == arrivalRecord {
			return s.arrived(h)
		}
		err := s.r.Decode(&s.taken, h.typ, h.misc, h.offset, h.body)
		if err == nil {
			s.take(&s.taken)
		}
		return err
	}
	if !s.drained {
		return s.enqueue()
	}
	for i := range s.parts {
		if err := s.parts[i].r.Check(); err != nil {
			return err
		}
	}
	s.ended = true
	if r := s.asm.Record(); !s.session && s.losses.rest(r) {
		s.asm.Place(r)
	}
	s.asm.Flush()
	return nil
}

// enqueue takes a record out of the file, to be put in order.
func (s *perfStream) enqueue() error {
	part := s.part()
	if part == nil {
		return s.end()
	}
	err := part.r.Skim(&s.rec)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		part.ended = true
		return nil
	case s.in.opts.SkipBad && errors.Is(err, perfdata.ErrTruncated):
		s.skipped.add(err)
		part.ended = true
		return nil
	case s.in.opts.SkipBad && perfdata.Skippable(err):
		s.skipped.add(err)
		return nil
	default:
		return err
	}
	if s.counted(progressEvery) {
		s.advanceParts()
		if err := s.look(s.position()); err != nil {
			return err
		}
	}
	if s.rec.Type == perfdata.FinishedRound {
		s.round()
		return nil
	}
	if s.asm == nil {
		// A pipe: what describes the events comes before all else.
		if err := s.start(); err != nil {
			return err
		}
	}
	s.newest = max(s.newest, int64(s.rec.Time))
	part.newest = max(part.newest, int64(s.rec.Time))
	s.queue.add(&s.rec, part.r.Body(), part.number())
	if err := s.arrival(part); err != nil {
		if !s.in.opts.SkipBad {
			return err
		}
		s.skipped.add(err)
	}
	if s.queue.full() {
		s.queue.half()
	}
	return nil
}

func (s *perfStream) end() error {
	s.drained = true
	if s.asm == nil {
		if err := s.start(); err != nil {
			return err
		}
	}
	s.queue.all()
	s.in.progress(s.position())
	return nil
}

// round is the end of a pass of perf record over its buffers: what is older than
// the newest record of the pass before is complete (ordered_events__flush,
// OE_FLUSH__ROUND).
func (s *perfStream) round() {
	if s.flush > 0 {
		s.complete(s.flush)
	}
	s.flush = s.newest
}

// complete says that no record earlier than t will be read any more. The arrival of one
// that is later may lie before.
func (s *perfStream) complete(t int64) {
	if s.arrivals.arg != "" {
		t -= arriveReach
	}
	s.queue.advance(t)
}

// take makes an assembler's record of rec.
func (s *perfStream) take(rec *perfdata.Record) {
	if rec.Guest() {
		s.guests++
		return
	}
	switch rec.Type {
	case perfdata.Sample:
		s.sample(rec)
	case perfdata.Mmap, perfdata.Mmap2:
		s.mapping(rec)
	case perfdata.Comm:
		s.comm(rec)
	case perfdata.Fork, perfdata.Exit:
		s.task(rec)
	case perfdata.Lost:
		s.losses.seen += int64(rec.Count)
		s.lost(rec)
	case perfdata.CallchainDeferred:
		s.unwound(rec)
	case perfdata.LostSamples:
		if rec.Filtered() {
			s.filtered += int64(rec.Count)
			return
		}
		if rec.Time == 0 {
			s.losses.total += int64(rec.Count)
			return
		}
		s.lost(rec)
	}
	if rec.CPU >= 0 && rec.Time > 0 {
		s.losses.heard(rec.CPU, int64(rec.Time))
	}
}

// record starts a record with what all have.
func (s *perfStream) record(rec *perfdata.Record, kind traces.Kind) *assemble.Record {
	r := s.asm.Record()
	r.Kind, r.Time, r.SrcPos = kind, int64(rec.Time), rec.Offset
	r.Has = traces.ColSrcPos
	if rec.CPU >= 0 {
		r.CPU = rec.CPU
		r.Has |= traces.ColCPU
	}
	if rec.PID >= 0 {
		r.PID, r.TID = rec.PID, rec.TID
		r.Has |= traces.ColPID | traces.ColTID
	}
	return r
}

// decoder is how the samples of one event become records.
type decoder struct {
	point  *assemble.Tracepoint // nil: they make no rows
	name   string
	fields []fieldDecoder
	path   *perfdata.Field // of sched_process_exec
	ip     *perfdata.Field // of dynamic events
	arrive *perfdata.Field // of a hit: the time before its trap
	kernel bool            // it is a kprobe, its samples say
}

type fieldDecoder struct {
	field *perfdata.Field
	set   func(*assemble.Record, uint64)
}

func newDecoder(ev *perfdata.Event) *decoder {
	d := &decoder{name: ev.Name}
	if ev.Format == nil {
		return d
	}
	var names []string
	for i := range ev.Format.Fields {
		names = append(names, ev.Format.Fields[i].Name)
	}
	point, ok := assemble.Lookup(ev.Format.System+":"+ev.Format.Name, names)
	if !ok {
		return d
	}
	d.point = point
	for _, f := range slices.Concat(point.Fields(), point.Spare()) {
		if field := ev.Format.Field(f.Name); field != nil {
			d.fields = append(d.fields, fieldDecoder{field, f.Set})
		}
	}
	switch point.Kind {
	case traces.Exec:
		d.path = ev.Format.Field("filename")
	case traces.Hit, traces.Ret, traces.Arrive:
		d.name = assemble.ProbeName(ev.Format.System + ":" + ev.Format.Name)
		if d.ip = ev.Format.Field(assemble.FieldIP); d.ip == nil {
			d.ip = ev.Format.Field(assemble.FieldFunc)
		}
	}
	return d
}

func (s *perfStream) decoder(ev *perfdata.Event) *decoder {
	for ev.Index >= len(s.decoders) {
		s.decoders = append(s.decoders, nil)
	}
	if s.decoders[ev.Index] == nil {
		d := newDecoder(ev)
		if arg := s.arrivals.arg; arg != "" && d.point != nil && d.point.Kind == traces.Hit {
			d.arrive = ev.Format.Field(arg)
		}
		s.decoders[ev.Index] = d
	}
	return s.decoders[ev.Index]
}

func (s *perfStream) sample(rec *perfdata.Record) {
	d := s.decoder(rec.Event)
	if d.point == nil {
		s.unused[rec.Event.Name]++
		return
	}
	if d.ip != nil && d.point.Kind != traces.Arrive {
		if ip, ok := d.ip.Uint(rec.Raw); ok && assemble.KernelAddress(ip) {
			s.unused[d.name]++
			d.kernel = true
			return
		}
	}
	r := s.record(rec, d.point.Kind)
	r.Phase, r.Emitter = d.point.Phase, int32(rec.Event.Index)+1
	for i := range d.fields {
		if v, ok := d.fields[i].field.Uint(rec.Raw); ok {
			d.fields[i].set(r, v)
		}
	}
	switch d.point.Kind {
	case traces.Hit, traces.Ret:
		r.Probe = d.name
		r.Has |= traces.ColProbe
	case traces.Exec:
		if d.path != nil {
			if path, ok := d.path.Text(rec.Raw); ok {
				r.Path = path
				r.Has |= traces.ColPath
			}
		}
	}
	if len(rec.Callchain) > 0 {
		r.Chain, r.ChainUser = rec.Chain(r.Chain)
		if r.ChainUser < len(r.Chain) {
			r.UserIP = r.Chain[r.ChainUser]
		}
		r.Cookie = rec.Cookie
	}
	if rec.UserIP != 0 {
		r.UserIP = rec.UserIP
	}
	s.asm.Place(r)
}

// unwound tells the user's part of callchains before.
func (s *perfStream) unwound(rec *perfdata.Record) {
	r := s.record(rec, traces.NoKind)
	r.Phase, r.Cookie = assemble.Unwound, rec.Cookie
	r.Chain, _ = rec.Chain(r.Chain)
	s.asm.Place(r)
}

// protCode is PROT_READ|PROT_EXEC: what a mapping record without rights is of.
const protCode = 5

// kernelMapping begins the name of the kernel's own code, which ends with a symbol that is
// at Pgoff (perf_event__synthesize_kernel_mmap).
const kernelMapping = "[kernel.kallsyms]"

func (s *perfStream) mapping(rec *perfdata.Record) {
	m := &rec.Mapping
	if m.PID < 0 { // the kernel's own
		if symbol, ok := strings.CutPrefix(m.File, kernelMapping); ok && symbol != "" {
			s.symbols.KernelText(m.Addr, m.Addr+m.Len, symbol, m.Pgoff)
		}
		return
	}
	r := s.record(rec, traces.Map)
	r.PID, r.TID = m.PID, m.TID
	r.Addr, r.Len, r.Pgoff, r.Path = m.Addr, m.Len, m.Pgoff, m.File
	r.Has |= traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColLen | traces.ColPgoff | traces.ColPath
	switch {
	case m.V2:
		r.Prot, r.Flags = int32(m.Prot), int32(m.Flags)
		r.Has |= traces.ColProt | traces.ColFlags
	case !m.Data:
		r.Prot = protCode
		r.Has |= traces.ColProt
	}
	if m.Inode != 0 {
		r.DevMajor, r.DevMinor, r.Inode, r.InodeGen = int32(m.Major), int32(m.Minor), m.Inode, m.InodeGen
		r.Has |= traces.ColDevMajor | traces.ColDevMinor | traces.ColInode | traces.ColInodeGen
	}
	if r.BuildID = m.BuildID; r.BuildID == "" {
		r.BuildID = s.replaced.foundID(s.r.Info(), m)
	}
	if r.BuildID != "" {
		r.Has |= traces.ColBuildID
	}
	s.asm.Place(r)
}

func (s *perfStream) comm(rec *perfdata.Record) {
	r := s.record(rec, traces.Exec)
	r.Comm = rec.Name
	r.Has |= traces.ColComm
	r.Task = true
	if !rec.Exec {
		r.Phase = assemble.Naming
	}
	s.asm.Place(r)
}

func (s *perfStream) task(rec *perfdata.Record) {
	kind := traces.Exit
	if rec.Type == perfdata.Fork {
		kind = traces.Fork
	}
	r := s.record(rec, kind)
	r.Task = true
	r.PID, r.TID = rec.Task.PID, rec.Task.TID
	if kind == traces.Fork {
		s.forked = s.forked || r.Time > 0 // else of a process that was there before
		r.PID, r.TID = rec.Task.PPID, rec.Task.PTID
		r.Ret = int64(rec.Task.TID)
		if rec.Task.PID == rec.Task.PPID {
			r.Flags = assemble.CloneThread
		}
		r.Has |= traces.ColRet | traces.ColFlags
	}
	r.Has |= traces.ColPID | traces.ColTID
	s.asm.Place(r)
}

// lost makes a row of a loss.
func (s *perfStream) lost(rec *perfdata.Record) {
	r := s.record(rec, traces.Lost)
	r.Has &^= traces.ColPID | traces.ColTID
	r.Ret = int64(rec.Count)
	r.Has |= traces.ColRet
	s.losses.span(r)
	s.asm.Place(r)
}

// clocks names what perf's time stamps may be of (enum in include/uapi/linux/time.h).
var clocks = map[int32]string{0: "realtime", 1: "monotonic", 4: "monotonic_raw", 7: "boottime", 11: "tai"}

// clock is that of the time stamps.
func (s *perfStream) clock() string {
	info := s.r.Info()
	switch {
	case !info.HasClockID:
		return "perf"
	case clocks[info.ClockID] == "":
		return fmt.Sprintf("clock %d", info.ClockID)
	}
	return clocks[info.ClockID]
}

// Meta is part of traces.Stream.
func (s *perfStream) Meta() traces.Meta {
	info := s.r.Info()
	m := traces.Meta{
		Schema: traces.Schema, Clock: s.clock(), CPUs: info.CPUs, Kernel: info.OSRelease, Arch: info.Arch,
		Sources: []traces.Source{{Path: s.in.path, Format: "perf-data"}},
	}
	if s.asm != nil {
		c := s.asm.Counts()
		m.Lost = c.Lost
		m.Warnings = append(c.Warnings(), s.warnings()...)
		m.Recorded, m.Unknown = s.recorded(), s.unknown()
	}
	return m
}

func (s *perfStream) warnings() []string {
	var w []string
	if s.r.Info().Unfinished {
		w = append(w, "perf record did not finish this file: what it had in its buffers is missing")
	}
	if info := s.r.Info(); info.Text > 0 {
		w = append(w, fmt.Sprintf("%d bytes of text that stand between the records were left out, the first: %q", info.Text, firstLine(info.TextBegin)))
	}
	w = append(w, s.skipped.warnings("records")...)
	w = append(w, s.arrivals.warnings()...)
	if s.filtered > 0 {
		w = append(w, fmt.Sprintf("%d samples were dropped on purpose by a filter of the recording (perf record --filter): what it dropped did happen", s.filtered))
	}
	if slices.ContainsFunc(s.r.Events(), func(ev *perfdata.Event) bool { return ev.Attr.CopiesStacks() }) {
		w = append(w, "stacks of user space were copied for unwinding (--call-graph dwarf), which is not done here, so that rows have the kernel's frames alone: record with --call-graph fp, or ingest the text of perf script")
	}
	if s.guests > 0 {
		w = append(w, fmt.Sprintf("%d records of virtual machines' guests were left out", s.guests))
	}
	var names []string
	for name := range s.unused {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w = append(w, fmt.Sprintf("%d samples of %s make no rows", s.unused[name], name))
	}
	return w
}

// firstLine is the first line of a text that is not blank.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// Close is part of Stream.
func (s *perfStream) Close() error {
	s.closeParts()
	s.in.close()
	return nil
}
