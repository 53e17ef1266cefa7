package perfscript

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/traces"
)

// CPUMax is one more than the highest CPU that a line may name, far above
// Linux's NR_CPUS.
const CPUMax = 1 << 16

// Parser reads one text.
type Parser struct {
	in       *lines.Reader
	next     []byte // a line that is read and not used
	has      bool
	failed   error // of a line that a callchain was looked for in, for the next Next
	points   map[string]*point
	last     *point // of the line before: mostly the next is of the same
	strings  map[string]string
	lastComm string // of the last line
	stacks   map[string]*callchain
	text     []byte // of a callchain
	times    times
	ids      ids
	traced   bool // an event was printed with its fields
	message  bool // the lines before are a message of perf itself

	// Unused counts events that make no rows, Micro is set when times have
	// microseconds only.
	Unused map[string]int64
	Micro  bool
	// NoThread counts lines that do not say which thread they are of.
	NoThread int64
	// Lost and LostTotal count lost events, by the records in place and by the
	// totals at the end. LostShown says that the text would tell of losses.
	Lost, LostTotal int64
	LostShown       bool
	// Writers is set when a syscall changes an address space.
	Writers bool
	// Declared are the events that a header (perf script --header) says were recorded.
	Declared []Declared
	// Cmdline is perf record's, cut at each blank, and CPUs how many were online, where
	// a header tells.
	Cmdline []string
	CPUs    int
	// Messages counts lines that are messages of perf itself, FirstMessage is the first
	// one, and LostMessage one that tells of losses.
	Messages                  int64
	FirstMessage, LostMessage string
}

// point is an event by name.
type point struct {
	name     string               // as the text has it
	row      string               // of a probe, as rows have it
	tp       *assemble.Tracepoint // nil: a probe, or of no use
	probe    bool                 // a dynamic event
	hit, ret *assemble.Tracepoint // of a probe: what it is with one address, and with two
}

// New returns a Parser of the text from in. The name is for messages.
func New(in *bufio.Reader, name string) *Parser {
	return &Parser{in: lines.New(in, name), points: map[string]*point{}, strings: map[string]string{}, stacks: map[string]*callchain{}, Unused: map[string]int64{}}
}

// Is reports whether text looks like that of perf script: one of its lines is an
// event, or it begins with the header that perf script --header prints.
func Is(prefix []byte) bool {
	if bytes.HasPrefix(prefix, []byte("# ========\n# captured on")) {
		return true
	}
	for line := range bytes.Lines(prefix) {
		line = bytes.TrimRight(line, "\r\n")
		if h, ok := splitHeader(line); ok && (h.thread || len(h.rest) > 0) {
			return true
		}
	}
	return false
}

// NamesThreadsAlone reports whether an event in text names its thread and not the
// process, or the text shows no event yet.
func NamesThreadsAlone(prefix []byte) bool {
	events := false
	for line := range bytes.Lines(prefix) {
		h, ok := splitHeader(bytes.TrimRight(line, "\r\n"))
		if ok && h.thread && h.pid < 0 && h.tid >= 0 {
			return true
		}
		events = events || ok
	}
	return !events
}

// ErrPrinted is returned for a text that was printed in a way that lacks what is
// needed.
var ErrPrinted = errors.New("perf script did not print what is needed")

func (p *Parser) printed(what string) error {
	return fmt.Errorf("%s:%d: %w: %s", p.in.Name(), p.in.Line(), ErrPrinted, what)
}

// Events lists the names of the events in the text.
func (p *Parser) Events() []string { return slices.Sorted(maps.Keys(p.points)) }

// Position is how many bytes of the text are read.
func (p *Parser) Position() int64 { return p.in.Position() }

// Line is the number of the line last read.
func (p *Parser) Line() int64 { return p.in.Line() }

// readLine returns the next line without its end.
func (p *Parser) readLine() ([]byte, error) {
	if err := p.failed; err != nil {
		p.failed = nil
		return nil, err
	}
	if p.has {
		p.has = false
		return p.next, nil
	}
	return p.in.Next()
}

// Cut reports whether the text ended within its last line.
func (p *Parser) Cut() bool { return p.in.Cut() }

// Next fills r with the next event and returns io.EOF after the last one. False
// means that the event makes no row. After a [lines.Error] it goes on behind the bad
// line and the callchain that belongs to it.
func (p *Parser) Next(r *assemble.Record) (bool, error) {
	line, err := p.readLine()
	if err != nil {
		return false, err
	}
	if skipBlanks(line, 0) == len(line) {
		return false, nil
	}
	r.SrcPos = p.in.Line()
	r.Has |= traces.ColSrcPos
	h, ok := splitHeader(line)
	if !ok && p.aside(line) {
		return false, nil
	}
	p.message = false
	more := bytes.HasPrefix(h.event, []byte("PERF_RECORD_NAMESPACES")) || bytes.HasPrefix(h.event, []byte("PERF_RECORD_TEXT_POKE"))
	used, bad := p.event(r, line, &h, ok)
	p.chain(r, more)
	return used, bad
}

// event makes a record of an event's line.
func (p *Parser) event(r *assemble.Record, line []byte, h *header, ok bool) (bool, error) {
	if !ok && h.nameless && !p.traced && !p.in.Cut() {
		return false, p.printed("the names of events: print with perf script -F +event")
	}
	if !ok {
		return false, p.in.Bad(line, "an event of perf script: name, ids, [cpu], time: event: fields (messages of perf itself go elsewhere: leave out 2>&1)")
	}
	p.Micro = p.Micro || h.digits <= 6
	used, want := p.fill(r, h)
	sample := !bytes.HasPrefix(h.event, []byte("PERF_RECORD_"))
	switch {
	case (want == wantFields || want == wantResult) && !p.traced && !p.in.Cut():
		return false, p.printed("the fields of events, such as a probe's address: print with perf script -F +trace")
	case want != "":
		return false, p.in.Bad(line, want)
	case sample && !p.times.add(h.time):
		return false, p.printed("times, but how much later an event is than the one before: print without --deltatime")
	case h.pid < 0 && !p.ids.add(r, h):
		return false, p.printed("threads, but the processes that they are of: print with perf script -F +tid")
	}
	if used && sample {
		p.traced = true
	}
	if text := h.rest; openString(text) {
		p.skipString()
	}
	return used, nil
}

// times tells whether the times of samples are times. perf script sorts them.
type times struct {
	first, last int64 // ns
	n, back     int64 // how many there were, and went back
}

// timesEnough is how many times show whether they are times, and backShare the part
// of them that may go back.
const (
	timesEnough = 64
	backShare   = 8
)

func (t *times) add(ns int64) bool {
	if t.n++; t.n == 1 {
		t.first = ns
	} else if ns < t.last {
		t.back++
	}
	t.last = ns
	return t.back == 0 || t.first != 0 && (t.n < timesEnough || t.back*backShare < t.n)
}

// FromZero reports whether times are counted from the first event.
func (p *Parser) FromZero() bool { return p.times.n > 1 && p.times.first == 0 }

// ids tells whether the one id of each line is its thread's. perf script -F with pid and
// without tid prints that of the process in the same columns (perf_sample__fprintf_start),
// which is another one where a thread that is not the first of its process forks or ends.
// In a container all of them are others than the kernel's own.
type ids struct{ same, other bool }

func (i *ids) add(r *assemble.Record, h *header) bool {
	if r.Kind != traces.Fork && r.Kind != traces.Exit || r.Task || h.tid < 0 {
		return true
	}
	if _, after, ok := bytes.Cut(h.rest, kernelID); ok && !bytes.Contains(after, kernelID) { // a thread may be named so
		value, _ := cutValue(after)
		id, ok := parseID(value)
		i.same = i.same || ok && id == h.tid
		i.other = i.other || ok && id != h.tid
	}
	return !i.same || !i.other
}

// kernelID stands in sched_process_fork and sched_process_exit before the thread's id.
var kernelID = []byte(" pid=")

// aside takes a line that is no event where it need not be one: a comment, the mark
// of a round (perf script --show-round-events), or a message of perf itself.
func (p *Parser) aside(line []byte) bool {
	switch {
	case line[0] == '#':
		// Where it was asked for, and no loss is shown, there was none.
		p.LostShown = p.LostShown || bytes.Contains(line, []byte("--show-lost-events"))
		p.declared(line)
		return true
	case bytes.HasPrefix(line, []byte("PERF_RECORD_FINISHED_ROUND")):
		return true
	case isMessage(line), p.message && line[0] != ' ' && line[0] != '\t':
		p.message = true
	default:
		return false
	}
	if p.Messages++; p.Messages == 1 {
		p.FirstMessage = string(line)
	}
	if p.LostMessage == "" && bytes.Contains(line, []byte(" lost ")) {
		p.LostMessage = string(line)
	}
	return true
}

// isMessage reports whether a line begins a message of perf, which it writes to
// standard error: ui__warning, and what it says of symbols.
func isMessage(line []byte) bool {
	for _, begin := range []string{"Warning:", "WARNING:", "[ perf ", "No kallsyms or vmlinux with build-id ", "Failed to open ", "corrupted callchain", "addr2line", "cmd__addr2line", "BFD: "} {
		if bytes.HasPrefix(line, []byte(begin)) {
			return true
		}
	}
	return bytes.HasSuffix(line, []byte(", continuing without symbols"))
}

// fill makes a record of what an event's line holds, or says what it wanted there.
func (p *Parser) fill(r *assemble.Record, h *header) (used bool, want string) {
	r.Time = h.time
	if h.cpu >= 0 {
		r.CPU = int32(h.cpu)
		r.Has |= traces.ColCPU
	}
	if h.tid >= 0 {
		r.TID = int32(h.tid)
		r.Has |= traces.ColTID
	}
	if !h.thread {
		p.NoThread++
	}
	if h.pid >= 0 {
		r.PID = int32(h.pid)
		r.Has |= traces.ColPID
	}
	if bytes.HasPrefix(h.event, []byte("PERF_RECORD_")) {
		return p.sideBand(r, h.rest)
	}
	if len(h.comm) > 0 {
		if p.lastComm != string(h.comm) {
			p.lastComm = p.intern(h.comm)
		}
		r.Comm = p.lastComm
		r.Has |= traces.ColComm
	}
	pt := p.point(h)
	switch {
	case pt.probe:
		return p.probeHit(r, pt, h.rest)
	case pt.tp == nil:
		p.Unused[pt.name]++
		return false, ""
	}
	r.Kind, r.Phase = pt.tp.Kind, pt.tp.Phase
	p.Writers = p.Writers || r.Kind.IsSyscall()
	want = p.fields(r, pt.tp, h.rest)
	return want == "", want
}

// point looks an event up by its name. One that is no known tracepoint may be a
// probe: those print an address in brackets first.
func (p *Parser) point(h *header) *point {
	if p.last != nil && p.last.name == string(h.event) {
		return p.last
	}
	if pt := p.points[string(h.event)]; pt != nil {
		p.last = pt
		return pt
	}
	name := string(h.event)
	pt := &point{name: name, row: assemble.ProbeName(name)}
	if tp, ok := assemble.Lookup(name, nil); ok {
		pt.tp = tp
	} else if len(h.rest) > 0 && h.rest[0] == '(' || perfProbe(name) {
		pt.probe = true
		pt.hit, _ = assemble.Lookup(name, []string{assemble.FieldIP})
		pt.ret, _ = assemble.Lookup(name, []string{assemble.FieldFunc})
	}
	p.points[name] = pt
	return pt
}

// perfProbe reports whether perf probe gave an event its name.
func perfProbe(name string) bool {
	return strings.HasPrefix(name, "probe_") || strings.HasPrefix(name, "probe:") || strings.HasPrefix(name, "sdt_")
}

// probeHit reads a probe's address: (addr), or (function <- return). That is how perf
// prints __probe_func and __probe_ret_ip, after the event's print fmt
// (__set_print_fmt of trace_probe.c). Lines of tracefs have them the other way round,
// with 0x (print_uprobe_event of trace_uprobe.c).
func (p *Parser) probeHit(r *assemble.Record, pt *point, b []byte) (used bool, want string) {
	if len(b) == 0 || b[0] != '(' {
		return false, wantFields
	}
	tp := pt.hit
	end := bytes.IndexByte(b, ')')
	if end < 1 {
		return false, wantProbe
	}
	inside := b[1:end]
	if i := bytes.IndexByte(inside, ' '); i >= 0 {
		from, isReturn := bytes.CutPrefix(inside[i:], []byte(" <- "))
		if !isReturn {
			return false, wantProbe
		}
		if inside, tp = inside[:i], pt.ret; bytes.HasPrefix(from, []byte("0x")) {
			inside = from
		}
	}
	addr, ok := parseHex(bytes.TrimPrefix(inside, []byte("0x")))
	switch {
	case !ok:
		return false, wantProbe
	case tp.Kind == traces.Arrive:
		r.Kind = tp.Kind
		return true, ""
	case assemble.KernelAddress(addr):
		p.Unused[pt.name]++ // a kprobe
		return false, ""
	}
	r.Kind, r.Addr, r.Probe = tp.Kind, addr, pt.row
	r.Has |= traces.ColAddr | traces.ColProbe
	return true, ""
}

const wantProbe = "a probe's (address), or (function <- return)"

func (p *Parser) intern(b []byte) string {
	if s, ok := p.strings[string(b)]; ok {
		return s
	}
	if len(p.strings) >= stringsMax {
		clear(p.strings)
	}
	s := string(b)
	p.strings[s] = s
	return s
}
