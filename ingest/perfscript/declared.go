package perfscript

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/replay/replay/ingest/assemble"
)

// Declared is an event that was recorded, whether it came or not.
type Declared struct {
	Name    string
	Point   *assemble.Tracepoint // nil for one of no use
	Sampled bool                 // with -F: not each of it was recorded
	// UserOnly and KeepsLast are as of perfdata.Attr.
	UserOnly, KeepsLast bool
}

// declared takes in a line of a header, "# event : name = a:b, , id = { 1 }, ..., freq = 1"
// (print_event_desc), or another one that tells what was recorded.
func (p *Parser) declared(line []byte) {
	if args, ok := bytes.CutPrefix(line, []byte("# cmdline : ")); ok {
		p.Cmdline = strings.Fields(string(args))
	}
	if n, ok := bytes.CutPrefix(line, []byte("# nrcpus online : ")); ok {
		p.CPUs, _ = strconv.Atoi(string(bytes.TrimSpace(n)))
	}
	rest, ok := bytes.CutPrefix(line, []byte("# event : name = "))
	if !ok {
		return
	}
	name, attr, _ := bytes.Cut(rest, []byte(", "))
	is := func(flag string) bool { return bytes.Contains(attr, []byte(", "+flag+" = 1")) }
	d := Declared{Name: string(name), Sampled: is("freq"), UserOnly: is("exclude_kernel"), KeepsLast: is("write_backward")}
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
