package bpftrace

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// control lines have no time.
const (
	scriptLine   = "script"   // script clock=NAME comm=BYTES
	recordedLine = "recorded" // recorded KIND..., that the script prints when they come
	machineLine  = "machine"  // machine cpus=N arch=NAME kernel=RELEASE
	clockLine    = "clock"    // clock boottime=NS monotonic=NS
	mapsLine     = "maps"     // maps PID LINE, of /proc/PID/maps
	killedLine   = "killed"   // KilledLine
)

// KilledLine stands behind what a script printed whose bpftrace was killed before it
// had printed all.
const KilledLine = Prefix + " " + killedLine

// mappedLine is maps with a time: mapped TIME PID LINE.
const mappedLine = "mapped"

// own reads what follows the prefix in a line of Script, or says what it wanted.
func (p *Parser) own(r *assemble.Record, b []byte) (used bool, want string) {
	name, rest, _ := bytes.Cut(b, []byte{' '})
	switch string(name) {
	case scriptLine:
		return false, p.script(rest)
	case recordedLine:
		return false, p.recorded(rest)
	case killedLine:
		p.Killed = true
		return false, ""
	case machineLine:
		return false, p.machine(rest)
	case clockLine:
		return false, p.clocks(rest)
	case mapsLine:
		return p.mapping(r, rest)
	case mappedLine:
		time, rest, _ := bytes.Cut(rest, []byte{' '})
		n, ok := parseNumber(time)
		if !ok || n > timeMax {
			return false, "TIME and a mapping"
		}
		r.Time = int64(n)
		p.shift(r)
		return p.mapping(r, rest)
	}
	if !p.whole(rest) {
		var ok bool
		if rest, ok = p.join(rest); !ok {
			return false, fmt.Sprintf("a line that ends with%s and %d bytes", commField, p.commWidth)
		}
	}
	want = p.timed(r, name, rest)
	return want == "", want
}

// script reads how the events are printed. Until there were widths, names of threads
// were printed as long as they are.
func (p *Parser) script(b []byte) (want string) {
	clock, comm, padded := bytes.Cut(bytes.TrimPrefix(b, []byte("clock=")), []byte(commField))
	width, ok := parseNumber(comm)
	if p.clock = string(clock); p.clock != boottime && p.clock != monotonic || padded && (!ok || width == 0 || width > commMax) {
		return "clock=" + boottime + " or " + monotonic + ", and the bytes of names of threads"
	}
	p.commWidth, p.FromStart = int(width), true
	return ""
}

const (
	commField = " comm="
	commMax   = 1 << 10
)

// commAt is where the last field of a line begins, if names have a width.
func (p *Parser) commAt(b []byte) int { return len(b) - p.commWidth - len(commField) }

// whole reports whether an event's line has its end, which a new line in a name or a
// path may keep from it.
func (p *Parser) whole(b []byte) bool {
	at := p.commAt(b)
	return p.commWidth == 0 || at >= 0 && bytes.HasPrefix(b[at:], []byte(commField))
}

// linesMax is how many lines a name and a path make at most.
const linesMax = 128

// join adds lines to b until it is whole, or until an event begins that is.
func (p *Parser) join(b []byte) ([]byte, bool) {
	p.joined = append(p.joined[:0], b...)
	whole := false
	seen, _ := p.look(linesMax, func(line []byte) bool {
		if bytes.HasPrefix(line, prefixBytes) && p.complete(line) {
			return true
		}
		p.joined = append(append(p.joined, '\n'), line...)
		whole = p.whole(p.joined)
		return whole
	})
	if !whole {
		return nil, false
	}
	p.drop(len(seen))
	return p.joined, true
}

// machine reads what was recorded on.
func (p *Parser) machine(b []byte) (want string) {
	cpus, rest, ok := bytes.Cut(bytes.TrimPrefix(b, []byte("cpus=")), []byte(" arch="))
	arch, kernel, ok1 := bytes.Cut(rest, []byte(" kernel="))
	n, ok2 := parseNumber(cpus)
	if !ok || !ok1 || !ok2 || n > cpuMax {
		return "cpus=N arch=NAME kernel=RELEASE"
	}
	p.Machine = Machine{CPUs: int(n), Arch: string(arch), Kernel: string(kernel)}
	return ""
}

// clocks reads the two clocks at one moment.
func (p *Parser) clocks(b []byte) (want string) {
	boot, mono, ok := bytes.Cut(b, []byte{' '})
	x, ok1 := parseNumber(bytes.TrimPrefix(boot, []byte(boottime+"=")))
	y, ok2 := parseNumber(bytes.TrimPrefix(mono, []byte(monotonic+"=")))
	if !ok || !ok1 || !ok2 || x < y || y == 0 || x > timeMax {
		return "boottime=NS monotonic=NS, of which the first is not less"
	}
	p.boot, p.mono = int64(x), int64(y)
	return ""
}

// recorded reads which kinds of rows are recorded.
func (p *Parser) recorded(b []byte) (want string) {
	for name := range bytes.FieldsSeq(b) {
		kind, err := traces.ParseKind(string(name))
		if err != nil {
			return "kinds of rows: " + err.Error()
		}
		if name := kind.String(); !slices.Contains(p.Recorded, name) {
			p.Recorded = append(p.Recorded, name)
		}
	}
	return ""
}

// timed reads an event.
func (p *Parser) timed(r *assemble.Record, name, b []byte) (want string) {
	var head [4]uint64
	for i := range head {
		var number []byte
		number, b, _ = bytes.Cut(b, []byte{' '})
		var ok bool
		if head[i], ok = parseNumber(number); !ok {
			return "EVENT TIME CPU PID TID, four numbers after the event"
		}
	}
	if want := setHead(r, head[0], head[1], head[2], head[3]); want != "" {
		return want
	}
	p.shift(r)
	var tp *assemble.Tracepoint
	switch string(name) {
	case traces.Hit.String():
		r.Kind = traces.Hit
	case traces.Ret.String():
		r.Kind = traces.Ret
	default:
		var ok bool
		if tp, ok = assemble.Lookup(string(name), nil); !ok {
			return "hit, ret, or a tracepoint that a row is made of"
		}
		r.Kind, r.Phase = tp.Kind, tp.Phase
	}
	return p.fields(r, tp, b)
}

// fields reads NAME=VALUE... comm=THREAD.
func (p *Parser) fields(r *assemble.Record, tp *assemble.Tracepoint, b []byte) (want string) {
	set := 0
	for len(b) > 0 {
		name, value, ok := bytes.Cut(b, []byte{'='})
		if !ok {
			return "NAME=VALUE"
		}
		switch string(name) {
		case "comm":
			if p.commWidth > 0 {
				value = bytes.TrimRight(value, " ")
			}
			r.Comm = p.intern(value)
			r.Has |= traces.ColComm
			b = nil
			continue
		case "path":
			value, b = p.cutPath(r, value)
			r.Path = p.intern(value)
			r.Has |= traces.ColPath
			continue
		}
		value, b, _ = bytes.Cut(value, []byte{' '})
		if string(name) == "probe" {
			r.Probe = p.intern(value)
			r.Has |= traces.ColProbe
			continue
		}
		n, ok := parseNumber(value)
		if !ok {
			return "a number in " + string(name)
		}
		if tp != nil {
			if f := tp.Field(string(name)); f != nil {
				f.Set(r, n)
				set++
				continue
			}
		}
		switch {
		case tp == nil && string(name) == "addr":
			r.Addr = n
			r.Has |= traces.ColAddr
		case r.Kind == traces.Fork && string(name) == "flags":
			r.Flags = int32(n)
			r.Has |= traces.ColFlags
		}
	}
	switch {
	case tp == nil && !r.Got(traces.ColProbe):
		return "probe=GROUP:NAME"
	case tp != nil && set < len(tp.Fields()):
		return "all fields of the tracepoint"
	}
	return ""
}

// cutPath tells a path, which may have blanks, from what follows it: the thread's
// name, which may have them, too. If names have a width, that tells where. Else, where both readings are possible, a probe has the
// path that it had before, and a program that was just started has the name of its
// file; if nothing tells, the path is the shorter one.
func (p *Parser) cutPath(r *assemble.Record, b []byte) (path, rest []byte) {
	if p.commWidth > 0 {
		at := max(p.commAt(b), 0)
		return b[:at], b[min(at+1, len(b)):]
	}
	cut, ways := -1, 0
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(commField))
		if i < 0 {
			break
		}
		at += i
		ways++
		comm := b[at+len([]byte(commField)):]
		if p.isPath(r, b[:at], comm) {
			cut = at
			break
		}
		if cut < 0 && len(comm) <= nameMax {
			cut = at
		}
	}
	if ways == 0 {
		return b, nil
	}
	if cut < 0 {
		cut = bytes.LastIndex(b, []byte(commField))
	}
	path = b[:cut]
	if ways == 1 && r.Got(traces.ColProbe) && len(p.paths) < internedMax {
		p.paths[r.Probe] = p.intern(path)
	}
	return path, b[cut+1:]
}

// isPath reports whether a path is known to be the whole one.
func (p *Parser) isPath(r *assemble.Record, path, comm []byte) bool {
	if r.Kind == traces.Exec {
		name := path[bytes.LastIndexByte(path, '/')+1:]
		return bytes.Equal(name[:min(len(name), nameMax)], comm)
	}
	return r.Got(traces.ColProbe) && p.paths[r.Probe] == string(path)
}

// mapping reads "PID START-END PROT PGOFF MAJOR:MINOR INODE PATH", that is a line of
// /proc/PID/maps with the process in front. It has no time: it was so before the
// first event.
func (p *Parser) mapping(r *assemble.Record, b []byte) (used bool, want string) {
	const form = "PID START-END PROT PGOFF MAJOR:MINOR INODE PATH"
	var f [6][]byte
	for i := range f {
		b = bytes.TrimLeft(b, " ")
		f[i], b, _ = bytes.Cut(b, []byte{' '})
	}
	start, end, _ := bytes.Cut(f[1], []byte{'-'})
	major, minor, _ := bytes.Cut(f[4], []byte{':'})
	pid, ok := parseNumber(f[0])
	inode, ok1 := parseNumber(f[5])
	var n [5]uint64
	for i, digits := range [][]byte{start, end, f[3], major, minor} {
		var good bool
		n[i], good = parseNumber(append([]byte("0x"), digits...))
		ok = ok && good
	}
	if !ok || !ok1 || pid >= 1<<31 || n[1] <= n[0] || n[3] >= 1<<31 || n[4] >= 1<<31 || len(f[2]) != 4 {
		return false, form
	}
	r.Kind, r.PID, r.TID = traces.Map, int32(pid), int32(pid)
	r.Addr, r.Len, r.Pgoff = n[0], n[1]-n[0], n[2]
	r.Has |= traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColLen | traces.ColPgoff | traces.ColProt | traces.ColFlags
	for i, bit := range []int32{1, 2, 4} {
		if f[2][i] != '-' {
			r.Prot |= bit
		}
	}
	r.Flags = 2 // MAP_PRIVATE
	if f[2][3] == 's' {
		r.Flags = 1 // MAP_SHARED
	}
	if inode != 0 {
		r.DevMajor, r.DevMinor, r.Inode = int32(n[3]), int32(n[4]), inode
		r.Has |= traces.ColDevMajor | traces.ColDevMinor | traces.ColInode
	}
	if path := bytes.TrimLeft(b, " "); len(path) > 0 {
		r.Path = p.intern(path)
		r.Has |= traces.ColPath
	}
	return true, ""
}
