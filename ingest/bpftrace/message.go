package bpftrace

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/traces"
)

// Lines that bpftrace prints itself, by version on standard error or among the events
// (src/output/text.cpp, src/log.cpp and, at the end, src/bpftrace.cpp).
var (
	lostLine     = lines.Pattern(`Lost ([0-9]{1,18}) events$`)
	totalLine    = lines.Pattern(`^(WARNING: )?Total lost event count: ([0-9]{1,18})$`)
	attachedLine = lines.Pattern(`^Attach(ed|ing) [0-9]+ probes?(\.\.\.)?$`)
	// loggedLine may say where in the script it is, and quotes it then: FILE:LINE,
	// LINE-LINE, LINE:COLUMN or LINE:COLUMN-COLUMN.
	loggedLine = lines.Pattern(`^(.*:[0-9]+(-[0-9]+|:[0-9]+(-[0-9]+)?)?: )?(ERROR|WARNING|HINT|INFO|DEBUG|FATAL|BUG): |^libbpf: `)
	moreLine   = lines.Pattern(`^Additional Info - helper: `)
	markerLine = lines.Pattern(`^\s*[~^]+\s*$`)
)

// quotedMax is how many lines of the script a message quotes at most.
const quotedMax = 8

// saidMax is how many messages of bpftrace are kept, saidBytes how much of each.
const (
	saidMax   = 5
	saidBytes = 200
)

// message reads a line that is no event, with those that belong to it; false for one
// that bpftrace does not print and the format does not skip.
func (p *Parser) message(l textLine) bool {
	line := l.text
	switch {
	case attachedLine().Match(line):
		p.LossesHere = true
	case string(line) == "^C": // which the terminal shows when bpftrace is ended
	case p.total(line):
	case line[0] == '{' && p.turnJSON(line):
	case loggedLine().Match(line):
		p.say(line)
		p.quoted()
	case p.printedMap(line):
		p.stacked = false
	case p.stacked && line[0] == '\t':
		p.Unused["frames of stacks that a message was printed into"]++
	case p.format != nil && p.format.skips(line):
		p.Unused["lines that the format skips"]++
		p.stacked, p.within = false, nowhere
		p.FromStart = p.FromStart || !p.begun // a heading
	default:
		p.stacked, p.within = false, nowhere
		return false
	}
	return true
}

// turnJSON goes on with documents where the first one comes: what a capture puts in
// front of them, such as mappings, may be longer than what is looked at for the format.
func (p *Parser) turnJSON(line []byte) bool {
	in, text := p.in.(*lines.Reader)
	if !text || p.begun || len(p.ahead) > 0 || !documentBegin().Match(line) {
		return false
	}
	d := &documents{lines: in, format: p.format, unused: p.Unused}
	first, err := d.take(line)
	if first != nil || err != nil {
		p.unread(textLine{first, in.Line(), err})
	}
	p.in, p.LossesHere = d, true
	return true
}

func (p *Parser) say(line []byte) {
	p.Unused["messages of bpftrace"]++
	if text := string(line[:min(len(line), saidBytes)]); len(p.Said) < saidMax && !slices.Contains(p.Said, text) {
		p.Said = append(p.Said, text)
	}
}

// total reads how many events were lost in all, which is said at the end besides.
func (p *Parser) total(line []byte) bool {
	n, ok := totalLost(line)
	p.TotalLost = max(p.TotalLost, n)
	p.LossesHere = p.LossesHere || ok
	return ok
}

func totalLost(line []byte) (int64, bool) {
	m := totalLine().FindSubmatch(line)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.ParseInt(string(m[2]), 10, 64)
	return n, true
}

// quoted reads what follows a message: more of it, and the lines of the script that it
// is about, with a line that marks the place.
func (p *Parser) quoted() {
	if _, more := p.look(1, moreLine().Match); more {
		p.drop(1)
	}
	foreign := false
	seen, marked := p.look(quotedMax, func(line []byte) bool {
		foreign = foreign || p.known(line)
		return foreign || markerLine().Match(line)
	})
	if marked && !foreign {
		p.drop(len(seen))
	}
}

// known reports whether a line says by itself what it is.
func (p *Parser) known(line []byte) bool {
	if len(bytes.TrimSpace(line)) == 0 || p.isEvent(line) || attachedLine().Match(line) || loggedLine().Match(line) || totalLine().Match(line) {
		return true
	}
	m := lostLine().FindIndex(line)
	return m != nil && m[0] == 0 || mapBegin().Match(line) || p.format != nil && p.format.skips(line)
}

var lossEnd = []byte(" events")

// loss reads a line that tells of lost events. Where standard error is in the same
// file it may have been printed into a line that is no longer whole: what stands
// before it goes on in the next line.
func (p *Parser) loss(line []byte) (lost int64, is bool) {
	if !bytes.HasSuffix(line, lossEnd) {
		return 0, false // a quick look before the regular expression's
	}
	m := lostLine().FindSubmatchIndex(line)
	if m == nil {
		return 0, false
	}
	before := bytes.Clone(line[:m[0]])
	if lost, _ = strconv.ParseInt(string(line[m[2]:m[3]]), 10, 64); len(before) == 0 {
		return lost, !p.complete(line)
	}
	rest, any := p.rest()
	whole := any && p.complete(append(bytes.Clone(before), rest...))
	switch {
	case p.complete(line):
		// It is a line of the script, which may print a name like this, unless the
		// next one makes sense only with it.
		if !whole || p.known(rest) {
			return 0, false
		}
	case bytes.HasPrefix(line, prefixBytes), whole:
	default:
		return 0, false
	}
	p.cut = before
	return lost, true
}

// rest looks for what a line goes on with that messages were printed into.
func (p *Parser) rest() (rest []byte, any bool) {
	seen, any := p.look(quotedMax, func(line []byte) bool {
		m := lostLine().FindIndex(line)
		return m == nil || m[0] > 0
	})
	if !any {
		return nil, false
	}
	return seen[len(seen)-1].text, true
}

// complete reports whether a line is an event and has all of it, or one that the
// format skips.
func (p *Parser) complete(line []byte) bool {
	if rest, own := bytes.CutPrefix(line, prefixBytes); own {
		if _, fields, _ := bytes.Cut(rest, []byte{' '}); !p.whole(fields) {
			return false // what is behind it is not looked at
		}
		var r assemble.Record
		_, want := p.own(&r, rest)
		return want == "" && r.Got(traces.ColComm) && len(r.Comm) <= nameMax
	}
	return p.isEvent(line) || p.format != nil && p.format.skips(line)
}

// nameMax is how long a thread's name is, TASK_COMM_LEN without its end.
const nameMax = 15
