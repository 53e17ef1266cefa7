package perfscript

import (
	"bufio"
	"bytes"

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
	strings  map[string]string
	lastComm string // of the last line
	stacks   map[string]*callchain
	text     []byte // of a callchain

	// Unused counts events that make no rows, Micro is set when times have
	// microseconds only.
	Unused map[string]int64
	Micro  bool
	// NoThread counts lines that do not say which thread they are of.
	NoThread int64
	// Lost and LostTotal count lost events, by the records in place and by the
	// totals at the end.
	Lost, LostTotal int64
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

// Is reports whether text looks like that of perf script: one of its first lines
// is an event.
func Is(prefix []byte) bool {
	for range 50 {
		line, rest, ok := bytes.Cut(prefix, []byte{'\n'})
		if h, good := splitHeader(line); good && len(h.rest) > 0 {
			return true
		}
		if !ok {
			return false
		}
		prefix = rest
	}
	return false
}

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
	if start := skipBlanks(line, 0); start == len(line) || line[0] == '#' {
		return false, nil
	}
	r.SrcPos = p.in.Line()
	r.Has |= traces.ColSrcPos
	more := bytes.Contains(line, []byte(" PERF_RECORD_NAMESPACES"))
	used, bad := p.event(r, line)
	p.chain(r, more)
	return used, bad
}

// event makes a record of an event's line.
func (p *Parser) event(r *assemble.Record, line []byte) (bool, error) {
	h, ok := splitHeader(line)
	if !ok {
		return false, p.in.Bad(line, "an event of perf script: name, ids, [cpu], time: event: fields")
	}
	p.Micro = p.Micro || h.digits <= 6
	used, want := p.fill(r, &h)
	if want != "" {
		return false, p.in.Bad(line, want)
	}
	return used, nil
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
		p.Unused[string(h.event)]++
		return false, ""
	}
	r.Kind, r.Phase = pt.tp.Kind, pt.tp.Phase
	want = p.fields(r, pt.tp, h.rest)
	return want == "", want
}

// point looks an event up by its name. One that is no known tracepoint may be a
// probe: those print an address in brackets first.
func (p *Parser) point(h *header) *point {
	if pt := p.points[string(h.event)]; pt != nil {
		return pt
	}
	name := string(h.event)
	pt := &point{name: name, row: assemble.ProbeName(name)}
	if tp, ok := assemble.Lookup(name, nil); ok {
		pt.tp = tp
	} else if len(h.rest) > 0 && h.rest[0] == '(' {
		pt.probe = true
		pt.hit, _ = assemble.Lookup(name, []string{assemble.FieldIP})
		pt.ret, _ = assemble.Lookup(name, []string{assemble.FieldFunc})
	}
	p.points[name] = pt
	return pt
}

// probeHit reads a probe's address: (addr), or (return <- function).
func (p *Parser) probeHit(r *assemble.Record, pt *point, b []byte) (used bool, want string) {
	tp := pt.hit
	end := bytes.IndexByte(b, ')')
	if end < 1 || b[0] != '(' {
		return false, wantProbe
	}
	inside := b[1:end]
	if i := bytes.IndexByte(inside, ' '); i >= 0 {
		function, isReturn := bytes.CutPrefix(inside[i:], []byte(" <- "))
		if !isReturn {
			return false, wantProbe
		}
		inside, tp = function, pt.ret
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

const wantProbe = "a probe's (address), or (return <- function)"

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
