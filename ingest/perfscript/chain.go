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
}

// stacksMax and stringsMax bound what is remembered to be shared.
const (
	stacksMax  = 1 << 17
	stringsMax = 1 << 18
)

// chain reads the callchain that follows an event, up to an empty line. Padded lines
// that are no frames go with those before: source lines (perf script -F +srcline),
// or what a line of namespaces goes on with, as told by more.
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
		if ip, ok := frameAddress(line); ok {
			p.text = append(append(p.text, ip...), '\n')
			continue
		}
		if !more && len(p.text) == 0 || skipBlanks(line, 0) == 0 || isEvent(line) {
			p.next, p.has = line, true
			break
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
	r.Stack = c.frames
	r.Has |= traces.ColStack
	if c.userIP != 0 {
		r.UserIP, r.UserIPPage = c.userIP, true
	}
}

func isEvent(line []byte) bool {
	_, ok := splitHeader(line)
	return ok
}

// frameAddress returns a line of a callchain from its address on. The name in
// front of an event may be padded like a frame, but is followed by more than hexadecimal.
func frameAddress(line []byte) ([]byte, bool) {
	if line[0] != '\t' && !bytes.HasPrefix(line, []byte("        ")) {
		return nil, false
	}
	frame := line[skipBlanks(line, 0):]
	_, ok := parseHex(frame[:tokenEnd(frame)])
	return frame, ok
}

// callchain takes its text apart.
func (p *Parser) callchain(text []byte) *callchain {
	c := &callchain{}
	for frame := range bytes.Lines(text) {
		frame = frame[:len(frame)-1]
		end := tokenEnd(frame)
		ip, _ := parseHex(frame[:end])
		if c.userIP == 0 && !assemble.KernelAddress(ip) {
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
