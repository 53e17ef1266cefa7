package bpftrace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/traces"
)

// source yields lines of text: those of a file, or those in JSON documents.
type source interface {
	Next() ([]byte, error)
	Bad(line []byte, want string) error
	Line() int64
	Position() int64
	Cut() bool
}

// Parser reads what bpftrace printed.
type Parser struct {
	in     source
	format *Format

	ahead []textLine // lines that are read and not used, the next one last
	cut   []byte     // the beginning of a line that a message was printed into
	// stacked says that frames may go on: after an event came nothing but messages.
	stacked bool
	within  within
	begun   bool // an event was read

	commWidth int    // of names of threads, 0: they are as long as they are
	joined    []byte // the lines of an event whose name has new lines

	boot, mono int64  // ns: the two clocks at one moment
	clock      string // of the events, as the script names it
	day        day
	step       int64   // ns: what the last time of a format was given in
	steps      []int64 // by kind of lines of the format, the finest
	interned   map[string]string
	paths      map[string]string // of probes, by name
	stacks     map[string][]string
	frames     []string
	key        []byte

	// Unused counts lines that make no rows, by what they are. Said are messages of
	// bpftrace itself, the first few.
	Unused map[string]int64
	Said   []string
	// Killed tells that the recorder had no time to print all that it had.
	Killed bool
	// Machine is what a capture says of the machine, if it does.
	Machine Machine
	// Recorded are the kinds of rows that the script is set to print, if it says so.
	Recorded []string
	// LossesHere says that losses, if any, stand in this input: bpftrace prints them
	// to where it prints how many probes it attached. FromStart says that the script's
	// first lines are here, which come after that.
	LossesHere, FromStart bool
	// TotalLost is how many events bpftrace said at its end that it had lost in all.
	TotalLost int64
}

// textLine is a line and where it is, or why there is none.
type textLine struct {
	text []byte
	pos  int64
	err  error
}

// Machine is what was recorded on.
type Machine struct {
	CPUs         int
	Arch, Kernel string
}

// New returns a Parser of text. Lines of another script than that of this package
// need a format; without one it is nil. The name is for messages.
func New(in *bufio.Reader, name string, format *Format) *Parser {
	return newParser(lines.New(in, name), format)
}

// NewJSON returns a Parser of what bpftrace -f json prints.
func NewJSON(in *bufio.Reader, name string, format *Format) *Parser {
	d := &documents{lines: lines.New(in, name), format: format}
	p := newParser(d, format)
	d.unused = p.Unused
	p.LossesHere = true // in documents of their own
	return p
}

func newParser(in source, format *Format) *Parser {
	p := &Parser{in: in, format: format, interned: map[string]string{}, paths: map[string]string{}, stacks: map[string][]string{}, Unused: map[string]int64{}}
	if format != nil {
		p.clock = format.Clock
		p.steps = make([]int64, len(format.lines))
	}
	return p
}

// Is reports whether a text that begins so holds events of Script.
func Is(prefix []byte) bool {
	prefix = bytes.TrimPrefix(prefix, lines.BOM)
	return bytes.HasPrefix(prefix, prefixBytes) || bytes.Contains(prefix, []byte("\n"+Prefix+" "))
}

// IsJSON reports whether a text that begins so is of bpftrace -f json.
func IsJSON(prefix []byte) bool {
	// Most texts have no document, which takes a hundredth of the time to see.
	return bytes.Contains(prefix, []byte(`{"type":`)) && documentBegin().Match(bytes.TrimPrefix(prefix, lines.BOM))
}

// documentBegin is the first document, after lines that a capture put in front, or
// messages.
var documentBegin = lines.Pattern(`^(\s*\n|[^{\n].*\n)*\{"type": ?"[a-z_]+", ?"(data|count|msg|helper)"`)

// Clock names the clock of the events, "" as long as nothing told.
func (p *Parser) Clock() string {
	switch {
	case p.clock == boottime && p.boot != 0:
		return monotonic
	case p.day.begun:
		return timeOfDay
	}
	return p.clock
}

// Names of clocks, as in traces.Meta.
const (
	boottime  = "boottime"
	monotonic = "monotonic"
	// Of these each recording has its own: since it began, and since the midnight
	// before.
	elapsed   = "elapsed"
	timeOfDay = "time of day"
)

// Step is what the times are given in, in ns: 1 where they are whole, more where
// they have no more digits. It is 0 before the first of them.
func (p *Parser) Step() int64 {
	if p.format == nil {
		return 1
	}
	return slices.Max(p.steps)
}

// Cut reports whether the text ended within its last line.
func (p *Parser) Cut() bool { return p.in.Cut() }

// Position is how many bytes are read.
func (p *Parser) Position() int64 { return p.in.Position() }

// read returns the next line, with what a message had cut off before it.
func (p *Parser) read() textLine {
	if n := len(p.ahead); n > 0 {
		l := p.ahead[n-1]
		p.ahead = p.ahead[:n-1]
		return l
	}
	text, err := p.in.Next()
	return textLine{text, p.in.Line(), err}
}

// unread gives lines back, the next one first. Those of which another was read after
// them must be copies.
func (p *Parser) unread(read ...textLine) {
	for _, l := range slices.Backward(read) {
		p.ahead = append(p.ahead, l)
	}
}

// look returns up to n of the next lines, up to and with the first that is the last
// one wanted, and reports whether that came. All of them are still to be read.
func (p *Parser) look(n int, last func(text []byte) bool) (seen []textLine, found bool) {
	for len(seen) < n && !found {
		l := p.read()
		l.text = bytes.Clone(l.text)
		seen = append(seen, l)
		if l.err != nil {
			break
		}
		found = last(l.text)
	}
	p.unread(seen...)
	return seen, found
}

// drop reads lines that were looked at.
func (p *Parser) drop(n int) { p.ahead = p.ahead[:len(p.ahead)-n] }

// Next fills r with the next record and returns io.EOF after the last one. False
// means that a line makes no row. A loss and a mapping of a snapshot have no time:
// it is for the reader to say when that may have been. After an [lines.Error] it goes on behind the bad line
// and the stack that belongs to it.
func (p *Parser) Next(r *assemble.Record) (bool, error) {
	l := p.read()
	if len(p.cut) > 0 && (l.err == nil || errors.Is(l.err, io.EOF)) {
		l.text, l.err = append(p.cut, l.text...), nil
		p.cut = nil
	}
	if l.err != nil {
		return false, l.err
	}
	r.SrcPos = l.pos
	r.Has |= traces.ColSrcPos
	line := l.text
	if len(bytes.TrimSpace(line)) == 0 {
		p.within = nowhere
		return false, nil
	}
	if bytes.HasSuffix(line, lossEnd) || line[0] == '@' || !p.whole(line) {
		line = bytes.Clone(line) // what it is may depend on the next ones
		l.text = line
	}
	if lost, is := p.loss(line); is {
		r.Kind, r.Ret = traces.Lost, lost
		r.Has |= traces.ColRet
		p.LossesHere = true
		return true, nil
	}
	used, want, is := p.event(r, line)
	switch {
	case is:
		p.stacked, p.within = true, nowhere
		p.begun = p.begun || used && r.Kind != traces.Map
	case p.message(l):
		return false, nil
	}
	var bad error
	if want != "" {
		bad = p.bad(l, want)
	}
	p.stack(r)
	return used && want == "", bad
}

// bad is the error for a line, which need not be the one last read.
func (p *Parser) bad(l textLine, want string) error {
	err := p.in.Bad(l.text, want)
	var bad *lines.Error
	if errors.As(err, &bad) {
		bad.Line = l.pos
	}
	return err
}

// isEvent reports whether a line is meant to be an event.
func (p *Parser) isEvent(line []byte) bool {
	if bytes.HasPrefix(line, prefixBytes) {
		return true
	}
	if p.format == nil {
		return false
	}
	l, _ := p.format.match(line)
	return l >= 0
}

var prefixBytes = []byte(Prefix + " ")

// event makes a record of a line, or says what it wanted; false for a line that is
// no event. What the script or the format says is an event is one, whatever else it
// looks like.
func (p *Parser) event(r *assemble.Record, line []byte) (used bool, want string, is bool) {
	if rest, own := bytes.CutPrefix(line, prefixBytes); own {
		used, want = p.own(r, rest)
		return used, want, true
	}
	if p.format == nil {
		return false, "a line of replay's script, which begins with " + Prefix +
			"; give the format of another script with --bpftrace-format, keep a program's own output apart with bpftrace -o FILE, and record with -f json where names have line breaks", false
	}
	if i, at := p.format.match(line); i >= 0 {
		want = p.format.lines[i].fill(r, line, at, p)
		if p.steps[i] == 0 || p.step < p.steps[i] {
			p.steps[i] = p.step
		}
		return true, want, true
	}
	want = fmt.Sprintf("a line of one of the %d kinds of the format, or one that it skips", len(p.format.lines))
	if !p.day.begun && clockBegin().Match(line) {
		want += "; a time of day is the group time_hms"
	}
	return false, want, false
}

// clockBegin begins a line with a time of day, as tools of bpftrace print it of late.
var clockBegin = lines.Pattern(`^\s*[0-9]{2}:[0-9]{2}:[0-9]{2}\b`)

// shift puts a time on the clock that perf can be told to use as well.
func (p *Parser) shift(r *assemble.Record) {
	if p.clock == boottime {
		r.Time -= p.boot - p.mono
	}
}

func (p *Parser) intern(b []byte) string {
	if s, ok := p.interned[string(b)]; ok {
		return s
	}
	if len(p.interned) > internedMax {
		clear(p.interned)
	}
	s := string(b)
	p.interned[s] = s
	return s
}

// internedMax and stacksMax bound the memory for strings and stacks that are shared.
const (
	internedMax = 1 << 18
	stacksMax   = 1 << 17
)

// parseNumber reads a decimal number, negative too, or one in hexadecimal with 0x.
func parseNumber(b []byte) (uint64, bool) {
	if hex, ok := bytes.CutPrefix(b, []byte("0x")); ok {
		n, err := strconv.ParseUint(string(hex), 16, 64)
		return n, err == nil
	}
	if len(b) > 0 && b[0] == '-' {
		n, err := strconv.ParseInt(string(b), 10, 64)
		return uint64(n), err == nil
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}

// cpuMax is one more than the highest CPU, far above Linux's NR_CPUS.
const cpuMax = 1 << 16

// timeMax is the latest time, 2^62 ns or 146 years.
const timeMax = 1 << 62

// setHead sets the columns that all lines have, or says what it wanted.
func setHead(r *assemble.Record, time, cpu, pid, tid uint64) (want string) {
	switch {
	case time > timeMax:
		return "a time in ns"
	case cpu >= cpuMax:
		return fmt.Sprintf("a CPU below %d", cpuMax)
	case pid >= 1<<31 || tid >= 1<<31:
		return "ids of a process and a thread"
	}
	r.Time, r.CPU, r.PID, r.TID = int64(time), int32(cpu), int32(pid), int32(tid)
	r.Has |= traces.ColCPU | traces.ColPID | traces.ColTID
	return ""
}
