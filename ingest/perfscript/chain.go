package perfscript

import (
	"bytes"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// callchain is what the text of one says. Equal texts share one.
type callchain struct {
	frames []string // as the store has them
	userIP uint64   // the first address outside the kernel
	entry  uint64   // the last one in it
}

// stacksMax and stringsMax bound what is remembered to be shared.
const (
	stacksMax  = 1 << 17
	stringsMax = 1 << 18
)

// chain reads the callchain that follows an event, up to an empty line. An event's
// line ends it, too, whatever the thread is called. Other lines that belong to the
// event are left out: source lines (perf script -F +srcline), and with more the
// padded lines that some events go on with.
func (p *Parser) chain(r *assemble.Record, more bool) {
	p.text = p.text[:0]
	for {
		line, err := p.readLine()
		if err != nil {
			p.failed = err
			break
		}
		if len(line) == 0 {
			break
		}
		ip, frame := frameAddress(line)
		if !frame && !isSource(line) && !(more && skipBlanks(line, 0) > 0) || isEvent(line) {
			p.next, p.has = line, true
			break
		}
		if frame {
			p.text = append(append(p.text, ip...), '\n')
		}
	}
	if len(p.text) == 0 {
		return
	}
	c := p.stacks[string(p.text)]
	if c == nil {
		if len(p.stacks) >= stacksMax {
			clear(p.stacks)
		}
		c = p.callchain(p.text)
		p.stacks[string(p.text)] = c
	}
	r.Stack, r.Entry = c.frames, c.entry
	r.Has |= traces.ColStack
	if c.userIP != 0 {
		r.UserIP, r.UserIPPage = c.userIP, true
	}
}

func isEvent(line []byte) bool {
	if bytes.IndexByte(line, ':') < 0 {
		return false // most frames
	}
	_, ok := splitHeader(line)
	return ok
}

// nameWidth is how far perf script pads the names of threads.
const nameWidth = 16

// frameAddress returns a line of a callchain from its address on, which follows a
// tab, or the blanks for one. A name is padded too, but less.
func frameAddress(line []byte) ([]byte, bool) {
	start := skipBlanks(line, 0)
	if line[0] != '\t' && start < 8 {
		return nil, false
	}
	frame := line[start:]
	end := tokenEnd(frame)
	if line[0] != '\t' && start+end <= nameWidth {
		return nil, false
	}
	_, ok := parseHex(frame[:end])
	return frame, ok
}

// isSource reports whether a line is what perf script prints of an address for -F
// +srcline, "  file:12" (map__fprintf_srcline), where it does not find it "  file[1a]"
// or "  symbol+12", or for -F +srccode, "|12   text" (map__fprintf_srccode).
func isSource(line []byte) bool {
	if line[0] == '|' {
		return len(line) > 1 && isDigit(line[1])
	}
	if skipBlanks(line, 0) != 2 || line[0] == '\t' {
		return false
	}
	end := bytes.TrimSuffix(line, []byte{']'})
	digits := len(end)
	for digits > 0 && (isDigit(end[digits-1]) || len(end) < len(line) && isHex(end[digits-1])) {
		digits--
	}
	if digits == len(end) || digits == 0 {
		return false
	}
	c := end[digits-1]
	return len(end) == len(line) && (c == ':' || c == '+') || len(end) < len(line) && c == '['
}

// callchain takes its text apart.
func (p *Parser) callchain(text []byte) *callchain {
	c := &callchain{}
	for frame := range bytes.Lines(text) {
		frame = frame[:len(frame)-1]
		end := tokenEnd(frame)
		ip, _ := parseHex(frame[:end])
		switch {
		case assemble.KernelAddress(ip):
			c.entry = ip
		case c.userIP == 0:
			c.userIP = ip
		}
		c.frames = append(c.frames, p.frame(frame[:end], frame[skipBlanks(frame, end):]))
	}
	return c
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
