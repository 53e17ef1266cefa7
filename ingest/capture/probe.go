package capture

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors of probes. They are wrapped with the probe as it was given.
var (
	// ErrSyntax is returned for what is no PROBE.
	ErrSyntax = errors.New("not a probe")
	// ErrNotFound is returned for a function, marker or event that is not there.
	ErrNotFound = errors.New("not found")
	// ErrUnsupported is returned for what cannot be probed.
	ErrUnsupported = errors.New("cannot be probed")
)

// Probe is a PROBE as users write it. Exactly one of Event, Function, Provider and
// HasOffset is set.
type Probe struct {
	Text string // as it was given
	Path string // the file; empty for an event, and for a marker of the program itself
	// Event is an event that the kernel has already, such as probe_libc:malloc.
	Event string
	// Function is the name of a symbol.
	Function string
	// Return asks for the function's return instead of its entry.
	Return bool
	// Offset is an offset in the file, in bytes, if HasOffset.
	Offset    uint64
	HasOffset bool
	// Provider and Marker name a statically defined tracepoint (USDT).
	Provider, Marker string
}

// returns marks the return of a function, as in perf probe.
const returns = "%return"

// Parse reads a probe:
//
//	path:function           the entry of a function
//	path:function%return    its return
//	path:0xoffset           an instruction, by its offset in the file
//	sdt:provider:name       a marker of the program that is recorded
//	path:sdt:provider:name  a marker of another file
//	group:event             an event that exists
//
// known tells which events exist. Where it knows a name, that is meant. isFile tells
// what is a file: paths may have colons, and names of functions, too.
func Parse(s string, known, isFile func(name string) bool) (Probe, error) {
	p := Probe{Text: s}
	if known(s) {
		p.Event = s
		return p, nil
	}
	path, marker, ok := strings.Cut(":"+s, ":sdt:")
	if ok {
		p.Path = strings.TrimPrefix(path, ":")
		p.Provider, p.Marker, ok = strings.Cut(marker, ":")
		if !ok || p.Provider == "" || p.Marker == "" {
			return Probe{}, syntax(s)
		}
		return p, nil
	}
	i := splitProbe(s, isFile)
	if i <= 0 || i == len(s)-1 {
		return Probe{}, syntax(s)
	}
	p.Path = s[:i]
	name := s[i+1:]
	if digits, ok := strings.CutPrefix(name, "0x"); ok {
		offset, err := strconv.ParseUint(digits, 16, 63)
		if err != nil {
			return Probe{}, fmt.Errorf("probe %q: %w: the offset %s is no hexadecimal number", s, ErrSyntax, name)
		}
		p.Offset, p.HasOffset = offset, true
		return p, nil
	}
	p.Function, p.Return = strings.CutSuffix(name, returns)
	if p.Function == "" {
		return Probe{}, syntax(s)
	}
	return p, nil
}

// splitProbe finds the colon between a file and what is meant in it: the last one
// after the name of a file. Where there is no such file, it is the last one that is
// not part of a name in C++ such as ns::f.
func splitProbe(s string, isFile func(string) bool) int {
	single := -1
	for i := len(s) - 1; i > 0; i-- {
		if s[i] != ':' || strings.HasPrefix(s[i+1:], ":") {
			continue
		}
		if isFile(s[:i]) {
			return i
		}
		if single < 0 && s[i-1] != ':' {
			single = i
		}
	}
	return single
}

func syntax(s string) error {
	return fmt.Errorf("probe %q: %w: want path:function, path:0xoffset, sdt:provider:name or the group:event of an event that exists", s, ErrSyntax)
}

// name is what the probe's event is called, before it is made unique: what trace
// events may be named (is_good_name in kernel/trace/trace_probe.h).
func (p *Probe) name() string {
	s := p.Function
	switch {
	case p.HasOffset:
		s = fmt.Sprintf("at_%x", p.Offset)
	case p.Provider != "":
		s = p.Provider + "_" + p.Marker
	case p.Return:
		s += "_return"
	}
	b := []byte(s)
	for i, c := range b {
		if !isWord(c) {
			b[i] = '_'
		}
	}
	if b[0] >= '0' && b[0] <= '9' {
		b = append([]byte{'_'}, b...)
	}
	return string(b[:min(len(b), nameMax)])
}

// nameMax leaves room for a number within MAX_EVENT_NAME_LEN, 64 with the
// terminating zero.
const nameMax = 56

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
