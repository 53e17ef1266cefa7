package perfscript

import (
	"bytes"
	"strings"

	"github.com/replay/replay/ingest/assemble"
)

// Declared is an event that was recorded, whether it came or not.
type Declared struct {
	Name    string
	Point   *assemble.Tracepoint // nil for one of no use
	Sampled bool                 // with -F: not each of it was recorded
}

// declared takes in a line of a header, "# event : name = a:b, , id = { 1 }, ..., freq = 1"
// (print_event_desc).
func (p *Parser) declared(line []byte) {
	rest, ok := bytes.CutPrefix(line, []byte("# event : name = "))
	if !ok {
		return
	}
	name, attr, _ := bytes.Cut(rest, []byte(", "))
	d := Declared{Name: string(name), Sampled: bytes.Contains(attr, []byte(", freq = 1"))}
	d.Point, ok = assemble.Lookup(d.Name, nil)
	switch {
	case ok || !perfProbe(d.Name) || strings.HasPrefix(d.Name, "probe:"): // perf's group of kprobes
	case strings.HasSuffix(d.Name, "__return"):
		d.Point, _ = assemble.Lookup(d.Name, []string{assemble.FieldFunc})
	default:
		d.Point, _ = assemble.Lookup(d.Name, []string{assemble.FieldIP})
	}
	p.Declared = append(p.Declared, d)
}
