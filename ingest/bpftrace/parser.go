package bpftrace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
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
	begun  bool // bpftrace attached its probes, or an event was read

	held    []byte // a line that is read and not used
	hasHeld bool
	failed  error  // of a line that a stack was looked for in, for the next Next
	cut     []byte // the beginning of a line that a message was printed into

	commWidth int    // of names of threads, 0: they are as long as they are
	joined    []byte // the lines of an event whose name has new lines

	boot, mono int64  // ns: the two clocks at one moment
	clock      string // of the events, as the script names it
	interned   map[string]string
	stacks     map[string][]string
	frames     []string
	key        []byte

	// Unused counts lines that make no rows, by what they are. Said are messages of
	// bpftrace itself, the first few.
	Unused map[string]int64
	Said   []string
	// Recorded is the kinds of rows that the script prints events of, if it tells.
	Recorded []string
	// Killed tells that the recorder had no time to print all that it had.
	Killed bool
	// Machine is what a capture says of the machine, if it does.
	Machine Machine
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
	d := &documents{lines: lines.New(in, name)}
	p := newParser(d, format)
	d.unused = p.Unused
	return p
}

func newParser(in source, format *Format) *Parser {
	p := &Parser{in: in, format: format, interned: map[string]string{}, stacks: map[string][]string{}, Unused: map[string]int64{}}
	if format != nil {
		p.clock = format.Clock
	}
	return p
}

// Is reports whether a text that begins so holds events of Script.
func Is(prefix []byte) bool {
	return bytes.HasPrefix(prefix, prefixBytes) || bytes.Contains(prefix, []byte("\n"+Prefix+" "))
}

// IsJSON reports whether a text that begins so is of bpftrace -f json.
func IsJSON(prefix []byte) bool { return documentBegin.Match(prefix) }

// documentBegin is the first document, after lines that a capture put in front.
var documentBegin = regexp.MustCompile(`^(\s*\n|` + Prefix + ` .*\n)*\{"type": ?"[a-z_]+", ?"(data|count|msg)"`)

// Clock names the clock of the events, "" as long as nothing told.
func (p *Parser) Clock() string {
	if p.clock == boottime && p.boot != 0 {
		return monotonic
	}
	return p.clock
}

// Names of clocks, as in traces.Meta.
const (
	boottime  = "boottime"
	monotonic = "monotonic"
	elapsed   = "elapsed" // since this recording began: like no other's
)

// Cut reports whether the text ended within its last line.
func (p *Parser) Cut() bool { return p.in.Cut() }

// Position is how many bytes are read.
func (p *Parser) Position() int64 { return p.in.Position() }

// readLine returns the next line, with what a message had cut off before it.
func (p *Parser) readLine() ([]byte, error) {
	if err := p.failed; err != nil {
		p.failed = nil
		return nil, err
	}
	if p.hasHeld {
		p.hasHeld = false
		return p.held, nil
	}
	line, err := p.in.Next()
	if err != nil || len(p.cut) == 0 {
		return line, err
	}
	line = append(p.cut, line...)
	p.cut = p.cut[:0]
	return line, nil
}

// Next fills r with the next record and returns io.EOF after the last one. False
// means that a line makes no row. A loss and a mapping of a snapshot have no time:
// it is for the reader to say when that may have been. After an [lines.Error] it goes on behind the bad line
// and the stack that belongs to it.
func (p *Parser) Next(r *assemble.Record) (bool, error) {
	line, err := p.readLine()
	if errors.Is(err, io.EOF) && len(p.cut) > 0 {
		line, p.cut, err = p.cut, nil, nil // a message cut the last line
	}
	if err != nil {
		return false, err
	}
	r.SrcPos = p.in.Line()
	r.Has |= traces.ColSrcPos
	if len(bytes.TrimSpace(line)) == 0 {
		return false, nil
	}
	if used, is := p.message(r, line); is {
		return used, nil
	}
	used, bad := p.event(r, line)
	p.stack(r)
	return used, bad
}

// Lines that bpftrace prints itself (src/output/text.cpp), on standard error or, with
// -o or of late, among the events.
var (
	lostLine     = regexp.MustCompile(`Lost ([0-9]{1,18}) events$`)
	attachedLine = regexp.MustCompile(`^Attach(ed|ing) [0-9]+ probes?(\.\.\.)?$`)
	mapLine      = regexp.MustCompile(`^@[A-Za-z0-9_]*(\[.*\])?:`)
)

// saidMax is how many messages of bpftrace are kept, saidBytes how much of each.
const (
	saidMax   = 5
	saidBytes = 200
)

// message reads a line that is no event.
func (p *Parser) message(r *assemble.Record, line []byte) (used, is bool) {
	if m := lostLine.FindSubmatchIndex(line); m != nil && lossEnds(line) {
		p.cut = append(p.cut[:0], line[:m[0]]...)
		n, _ := strconv.ParseInt(string(line[m[2]:m[3]]), 10, 64)
		r.Kind, r.Ret = traces.Lost, n
		r.Has |= traces.ColRet
		return true, true
	}
	switch {
	case attachedLine.Match(line):
		p.begun = true
	case line[0] == '@' && mapLine.Match(line):
		p.Unused["maps that bpftrace printed"]++
	case line[0] == '\t':
		p.Unused["frames of stacks that a message was printed into"]++
	case bytes.HasPrefix(line, []byte("ERROR: ")) || bytes.HasPrefix(line, []byte("WARNING: ")):
		p.say(line)
	case !p.begun && !p.isEvent(line):
		// Messages of the compiler quote the script in lines of their own.
		p.say(line)
	default:
		return false, false
	}
	return false, true
}

// lossEnds is a quick look before the regular expression's.
func lossEnds(line []byte) bool { return bytes.HasSuffix(line, []byte(" events")) }

func (p *Parser) say(line []byte) {
	p.Unused["messages of bpftrace"]++
	if len(p.Said) < saidMax {
		p.Said = append(p.Said, string(line[:min(len(line), saidBytes)]))
	}
}

// isEvent reports whether a line is meant to be an event.
func (p *Parser) isEvent(line []byte) bool {
	return bytes.HasPrefix(line, prefixBytes) || p.format != nil && p.format.match(line) != nil
}

var prefixBytes = []byte(Prefix + " ")

// event makes a record of a line.
func (p *Parser) event(r *assemble.Record, line []byte) (bool, error) {
	rest, own := bytes.CutPrefix(line, prefixBytes)
	var used bool
	var want string
	switch {
	case own:
		used, want = p.own(r, rest)
	case p.format != nil:
		used, want = p.format.fill(r, line, p)
	default:
		want = "a line of replay's script, which begins with " + Prefix +
			"; give the format of another script with --bpftrace-format, and keep a program's own output apart with bpftrace -o FILE"
	}
	if want != "" {
		return false, p.in.Bad(line, want)
	}
	p.begun = true
	return used, nil
}

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
