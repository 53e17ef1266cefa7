package perfscript

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// CPUMax is one more than the highest CPU that a line may name, far above
// Linux's NR_CPUS.
const CPUMax = 1 << 16

// ErrLine is returned for a line that makes no sense.
var ErrLine = errors.New("bad line")

// Error is a bad line.
type Error struct {
	File string
	Line int64
	Text string
	Want string
}

// maxShown is how many bytes of a bad line a message shows.
const maxShown = 120

func (e *Error) Error() string {
	text := e.Text
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return fmt.Sprintf("%s:%d: %v: want %s, not %q", e.File, e.Line, ErrLine, e.Want, text)
}

func (e *Error) Unwrap() error { return ErrLine }

// Parser reads one text.
type Parser struct {
	name string
	in   *bufio.Reader
	line int64
	read int64

	next    []byte // a line that is read and not used
	has     bool
	failed  error // of a line that a callchain was looked for in, for the next Next
	points  map[string]*point
	strings map[string]string
	stacks  map[string][]string
	frames  []string
	key     []byte

	// Unused counts events that make no rows, Micro is set when times have
	// microseconds only.
	Unused map[string]int64
	Micro  bool
	// Lost and LostTotal count lost events, by the records in place and by the
	// totals at the end.
	Lost, LostTotal int64
}

// point is an event by name.
type point struct {
	tp    *assemble.Tracepoint // nil: not known before its fields, or of no use
	probe bool                 // a dynamic event, if its fields say so
	name  string               // of a probe, as rows have it
}

// New returns a Parser of the text from in. The name is for messages.
func New(in *bufio.Reader, name string) *Parser {
	return &Parser{name: name, in: in, points: map[string]*point{}, strings: map[string]string{}, stacks: map[string][]string{}, Unused: map[string]int64{}}
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
func (p *Parser) Position() int64 { return p.read }

// Line is the number of the line last read.
func (p *Parser) Line() int64 { return p.line }

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
	line, err := p.in.ReadSlice('\n')
	p.line++
	p.read += int64(len(line))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		bad := p.bad(line[:maxShown], fmt.Sprintf("a line of at most %d bytes", p.in.Size()))
		return nil, p.skipLine(bad)
	case err != nil && len(line) == 0:
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// skipLine reads up to the end of a line that is too long, and returns bad.
func (p *Parser) skipLine(bad error) error {
	for {
		part, err := p.in.ReadSlice('\n')
		p.read += int64(len(part))
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return bad
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// Next fills r with the next event and returns io.EOF after the last one. False
// means that the event makes no row. After an [Error] it goes on behind the bad
// line and the callchain that belongs to it.
func (p *Parser) Next(r *assemble.Record) (bool, error) {
	line, err := p.readLine()
	if err != nil {
		return false, err
	}
	if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
		return false, nil
	}
	r.SrcPos = p.line
	r.Has |= traces.ColSrcPos
	used, bad := p.event(r, line)
	p.chain(r)
	return used, bad
}

// event makes a record of an event's line.
func (p *Parser) event(r *assemble.Record, line []byte) (bool, error) {
	h, ok := splitHeader(line)
	if !ok {
		return false, p.bad(line, "an event of perf script: name, ids, [cpu], time: event: fields")
	}
	p.Micro = p.Micro || h.digits <= 6
	used, want := p.fill(r, &h)
	if want != "" {
		return false, p.bad(line, want)
	}
	return used, nil
}

func (p *Parser) bad(line []byte, want string) error {
	return &Error{File: p.name, Line: p.line, Text: string(line), Want: want}
}

// header is the part of a line before the event's fields.
type header struct {
	comm     []byte
	pid, tid int64 // -1: not shown
	cpu      int64
	time     int64
	digits   int
	event    []byte
	rest     []byte
}

// splitHeader takes a line apart around its time stamp, which is the first number
// with a point that ends in a colon, after the ids.
func splitHeader(line []byte) (header, bool) {
	h := header{pid: -1, tid: -1, cpu: -1}
	for at := 0; at < len(line); {
		i := bytes.IndexByte(line[at:], ':')
		if i < 0 {
			return h, false
		}
		end := at + i
		at = end + 1
		start := bytes.LastIndexByte(line[:end], ' ') + 1
		ns, digits, ok := parseTime(line[start:end])
		if !ok || end+1 < len(line) && line[end+1] != ' ' {
			continue
		}
		before := bytes.TrimRight(line[:start], " ")
		if !h.ids(before) {
			continue
		}
		h.time, h.digits = ns, digits
		return h, h.eventOf(bytes.TrimLeft(line[end+1:], " "))
	}
	return h, false
}

// parseTime reads seconds with a fraction as ns.
func parseTime(b []byte) (ns int64, digits int, ok bool) {
	sec, frac, ok := bytes.Cut(b, []byte{'.'})
	s, ok1 := parseDec(sec)
	f, ok2 := parseDec(frac)
	if !ok || !ok1 || !ok2 || len(frac) > 9 || s > 1<<33 {
		return 0, 0, false
	}
	for range 9 - len(frac) {
		f *= 10
	}
	return s*1e9 + f, len(frac), true
}

func parseDec(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func parseHex(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// parseNumber reads a decimal number, negative too, or one in hexadecimal with 0x.
func parseNumber(b []byte) (uint64, bool) {
	if rest, ok := bytes.CutPrefix(b, []byte("0x")); ok {
		return parseHex(rest)
	}
	if rest, ok := bytes.CutPrefix(b, []byte("-")); ok {
		n, ok := parseDec(rest)
		return uint64(-n), ok
	}
	n, ok := parseDec(b)
	return uint64(n), ok
}

// ids reads what stands before the time: name, pid/tid and [cpu].
func (h *header) ids(b []byte) bool {
	if bytes.HasSuffix(b, []byte{']'}) {
		open := bytes.LastIndexByte(b, '[')
		if open < 0 {
			return false
		}
		cpu, ok := parseDec(b[open+1 : len(b)-1])
		if !ok || cpu >= CPUMax {
			return false
		}
		h.cpu = cpu
		b = bytes.TrimRight(b[:open], " ")
	}
	space := bytes.LastIndexByte(b, ' ')
	pid, tid, both := bytes.Cut(b[space+1:], []byte{'/'})
	first, ok := parseID(pid)
	if !ok {
		return false
	}
	h.tid = first
	if both {
		h.pid = first
		if h.tid, ok = parseID(tid); !ok {
			return false
		}
	}
	h.comm = bytes.TrimSpace(b[:space+1])
	return true
}

// parseID reads a process or thread, which is -1 for the kernel itself.
func parseID(b []byte) (int64, bool) {
	if bytes.Equal(b, []byte("-1")) {
		return -1, true
	}
	n, ok := parseDec(b)
	return n, ok && n < 1<<31
}

// eventOf splits what stands after the time: perhaps a period, the event, fields.
func (h *header) eventOf(b []byte) bool {
	if period, rest, ok := bytes.Cut(b, []byte{' '}); ok {
		if _, number := parseDec(period); number {
			b = bytes.TrimLeft(rest, " ")
		}
	}
	if bytes.HasPrefix(b, []byte("PERF_RECORD_")) {
		h.event, h.rest = b, b
		return true
	}
	i := bytes.IndexByte(b, ':')
	if i <= 0 {
		return false
	}
	j := bytes.IndexByte(b[i+1:], ':')
	if j < 0 {
		return false
	}
	h.event, h.rest = b[:i+1+j], bytes.TrimLeft(b[i+j+2:], " ")
	return !bytes.ContainsAny(h.event, " \t")
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
	if h.pid >= 0 {
		r.PID = int32(h.pid)
		r.Has |= traces.ColPID
	}
	if bytes.HasPrefix(h.event, []byte("PERF_RECORD_")) {
		return p.sideBand(r, h.rest)
	}
	if len(h.comm) > 0 {
		r.Comm = p.intern(h.comm)
		r.Has |= traces.ColComm
	}
	pt := p.point(h)
	switch {
	case pt.probe:
		return p.probeHit(r, h)
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
	pt := &point{}
	name := string(h.event)
	if tp, ok := assemble.Lookup(name, nil); ok {
		pt.tp = tp
	} else {
		pt.probe, pt.name = len(h.rest) > 0 && h.rest[0] == '(', assemble.ProbeName(name)
	}
	p.points[name] = pt
	return pt
}

// probeHit reads a probe's address: (addr), or (return <- function).
func (p *Parser) probeHit(r *assemble.Record, h *header) (used bool, want string) {
	inside, _, ok := bytes.Cut(bytes.TrimPrefix(h.rest, []byte{'('}), []byte{')'})
	fields := []string{assemble.FieldIP}
	if _, function, isReturn := bytes.Cut(inside, []byte(" <- ")); isReturn {
		inside, fields[0] = function, assemble.FieldFunc
	}
	addr, number := parseHex(bytes.TrimPrefix(inside, []byte("0x")))
	if !ok || !number {
		return false, "a probe's (address), or (return <- function)"
	}
	tp, _ := assemble.Lookup(string(h.event), fields)
	switch {
	case tp.Kind == traces.Arrive:
		r.Kind = tp.Kind
		return true, ""
	case assemble.KernelAddress(addr):
		p.Unused[string(h.event)]++ // a kprobe
		return false, ""
	}
	r.Kind, r.Addr, r.Probe = tp.Kind, addr, p.point(h).name
	r.Has |= traces.ColAddr | traces.ColProbe
	return true, ""
}

// fields reads "name: value, ..." and "name=value ..." as far as columns take it,
// or says what it wanted.
func (p *Parser) fields(r *assemble.Record, tp *assemble.Tracepoint, b []byte) (want string) {
	if tp.Phase == assemble.Leave {
		value, _, _ := bytes.Cut(b, []byte{' '})
		n, ok := parseNumber(value)
		if !ok {
			return "the result of a syscall, a number"
		}
		tp.Field("ret").Set(r, n)
		return ""
	}
	if tp.Kind == traces.Exec {
		if path, ok := between(b, "filename=", " pid="); ok {
			r.Path = p.intern(path)
			r.Has |= traces.ColPath
		}
		return ""
	}
	for _, f := range tp.Fields() {
		value, ok := fieldValue(b, f.Name)
		if !ok {
			continue // this kernel, or this perf, has no such field
		}
		n, ok := parseValue(value)
		if !ok {
			return "a number in the field " + f.Name
		}
		f.Set(r, n)
	}
	return ""
}

// parseValue reads a number, or one of the names that mmap_lock events print for
// a bool.
func parseValue(b []byte) (uint64, bool) {
	switch string(b) {
	case "true":
		return 1, true
	case "false":
		return 0, true
	}
	return parseNumber(b)
}

func between(b []byte, from, to string) ([]byte, bool) {
	_, b, ok := bytes.Cut(b, []byte(from))
	if !ok {
		return nil, false
	}
	if i := bytes.LastIndex(b, []byte(to)); i >= 0 {
		return b[:i], true
	}
	return b, true
}

// fieldValue finds a field by name: at the start or after a blank, and followed by
// ": " or "=".
func fieldValue(b []byte, name string) ([]byte, bool) {
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(name))
		if i < 0 {
			return nil, false
		}
		start, end := at+i, at+i+len(name)
		at = end
		if start > 0 && b[start-1] != ' ' || end >= len(b) {
			continue
		}
		var value []byte
		switch {
		case b[end] == '=':
			value = b[end+1:]
		case b[end] == ':' && end+1 < len(b) && b[end+1] == ' ':
			value = b[end+2:]
		default:
			continue
		}
		if j := bytes.IndexAny(value, ", "); j >= 0 {
			value = value[:j]
		}
		return value, true
	}
}

// chain reads the callchain that follows an event, up to an empty line.
func (p *Parser) chain(r *assemble.Record) {
	p.frames, p.key = p.frames[:0], p.key[:0]
	user := false
	for {
		line, err := p.readLine()
		if err != nil {
			p.failed = err
			break
		}
		if len(line) == 0 || line[0] != '\t' && !bytes.HasPrefix(line, []byte("        ")) {
			if len(line) > 0 {
				p.next, p.has = line, true
			}
			break
		}
		frame := bytes.TrimLeft(line, " \t")
		ipText, rest, _ := bytes.Cut(frame, []byte{' '})
		ip, ok := parseHex(ipText)
		if !ok {
			// A name in front of an event may be padded like a frame.
			p.next, p.has = line, true
			break
		}
		if !user && !assemble.KernelAddress(ip) {
			user = true
			r.UserIP, r.UserIPPage = ip, true
		}
		p.frames = append(p.frames, p.frame(ipText, rest))
		p.key = append(append(p.key, frame...), '\n')
	}
	if len(p.frames) == 0 {
		return
	}
	stack, ok := p.stacks[string(p.key)]
	if !ok {
		if len(p.stacks) > 1<<17 {
			clear(p.stacks)
		}
		stack = append([]string(nil), p.frames...)
		p.stacks[string(p.key)] = stack
	}
	r.Stack = stack
	r.Has |= traces.ColStack
}

// frame is a line of a callchain as the store has it.
func (p *Parser) frame(ip, rest []byte) string {
	open := bytes.LastIndex(rest, []byte(" ("))
	symbol, module := rest, []byte("([unknown])")
	if open >= 0 {
		symbol, module = rest[:open], rest[open+1:]
	}
	if bytes.HasPrefix(symbol, []byte("[unknown]")) || len(symbol) == 0 {
		return p.intern([]byte("0x" + string(ip) + " " + string(module)))
	}
	return p.intern([]byte(string(symbol) + " " + string(module)))
}

func (p *Parser) intern(b []byte) string {
	if s, ok := p.strings[string(b)]; ok {
		return s
	}
	if len(p.strings) > 1<<18 {
		clear(p.strings)
	}
	s := string(b)
	p.strings[s] = s
	return s
}
