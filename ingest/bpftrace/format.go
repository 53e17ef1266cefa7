package bpftrace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// ErrFormat is returned for a description of lines that makes no sense.
var ErrFormat = errors.New("bad format of bpftrace lines")

// Format says what the lines of somebody's script mean.
type Format struct {
	Clock string // of their times
	lines []pattern
	skip  []*regexp.Regexp
}

// pattern is a kind of lines.
type pattern struct {
	kind        traces.Kind
	phase       assemble.Phase
	line        *regexp.Regexp
	setters     []setter // by group, nil where it has no name
	probe, path string
}

// formatFile is a Format as it is written.
type formatFile struct {
	Clock string        `yaml:"clock"`
	Skip  []string      `yaml:"skip"`
	Lines []formatLines `yaml:"lines"`
}

type formatLines struct {
	Kind  string `yaml:"kind"`
	Part  string `yaml:"part"`
	Line  string `yaml:"line"`
	Probe string `yaml:"probe"`
	Path  string `yaml:"path"`
}

// patternsMax bounds a Format.
const patternsMax = 100

// ParseFormat reads a Format in YAML: a list of kinds of lines, one of them alone,
// or a mapping with lines, clock and skip. The name is for messages.
func ParseFormat(text []byte, name string) (*Format, error) {
	file, err := decodeFormat(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %v", name, ErrFormat, err)
	}
	f := &Format{Clock: file.Clock}
	switch f.Clock {
	case "", boottime, monotonic, elapsed:
	default:
		return nil, fmt.Errorf("%s: %w: clock %q: want %s (nsecs), %s (nsecs(monotonic)) or %s (elapsed, or a time of day)", name, ErrFormat, f.Clock, boottime, monotonic, elapsed)
	}
	if len(file.Lines) == 0 || len(file.Lines)+len(file.Skip) > patternsMax {
		return nil, fmt.Errorf("%s: %w: %d kinds of lines; want 1 to %d", name, ErrFormat, len(file.Lines), patternsMax)
	}
	for _, s := range file.Skip {
		re, err := regexp.Compile(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: skip: %v", name, ErrFormat, err)
		}
		f.skip = append(f.skip, re)
	}
	for i := range file.Lines {
		p, err := file.Lines[i].pattern()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: lines, number %d: %v", name, ErrFormat, i+1, err)
		}
		f.lines = append(f.lines, p)
		if p.hasTimeOfDay() && f.Clock != "" && f.Clock != elapsed {
			return nil, fmt.Errorf("%s: %w: lines, number %d: clock %q: a time of day is of no such clock: want %s", name, ErrFormat, i+1, f.Clock, elapsed)
		}
	}
	if f.Clock == "" {
		f.Clock = boottime
	}
	return f, nil
}

// decodeFormat tells the three ways of writing apart.
func decodeFormat(text []byte) (*formatFile, error) {
	var top yaml.Node
	if err := yaml.Unmarshal(text, &top); err != nil {
		return nil, err
	}
	var file formatFile
	var into any = &file
	switch root := &top; {
	case len(root.Content) == 0:
		return &file, nil
	case root.Content[0].Kind == yaml.SequenceNode:
		into = &file.Lines
	case root.Content[0].Kind == yaml.MappingNode && hasKey(root.Content[0], "line"):
		file.Lines = make([]formatLines, 1)
		into = &file.Lines[0]
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return nil, err
	}
	if err := d.Decode(&top); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one document")
	}
	return &file, nil
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// pattern checks a kind of lines.
func (l *formatLines) pattern() (pattern, error) {
	p := pattern{probe: l.Probe, path: l.Path}
	var err error
	if p.kind, err = traces.ParseKind(l.Kind); err != nil {
		return p, err
	}
	switch {
	case l.Part == "":
	case !p.kind.IsSyscall() || l.Part != "enter" && l.Part != "exit":
		return p, fmt.Errorf("part %q of %s: want enter or exit, of a syscall", l.Part, l.Kind)
	case l.Part == "enter":
		p.phase = assemble.Enter
	default:
		p.phase = assemble.Leave
	}
	// A name may have line breaks, which JSON tells from the end of a line.
	if p.line, err = regexp.Compile("(?s)" + l.Line); err != nil {
		return p, err
	}
	names := p.line.SubexpNames()
	for _, name := range names {
		s, ok := setters[name]
		if !ok && name != "" {
			return p, fmt.Errorf("group %q is none of %s", name, strings.Join(setterNames(), ", "))
		}
		p.setters = append(p.setters, s)
	}
	return p, p.complete(names)
}

// complete checks that a row can be made of what the groups give.
func (p *pattern) complete(names []string) error {
	has := func(prefixes ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return n == p || strings.HasPrefix(n, p+"_") })
		})
	}
	switch {
	case !has("time"):
		return errors.New("want a group with the time, such as (?P<time_ns>[0-9]+)")
	case p.kind != traces.Lost && !has("tid", "pid"):
		return errors.New("want a group with the thread, (?P<tid>[0-9]+), or the process, pid")
	case (p.kind == traces.Hit || p.kind == traces.Ret) && p.probe == "" && !has("probe"):
		return errors.New("want a probe: group:name, or a group of that name")
	case p.phase == assemble.Leave && !has("ret"):
		return errors.New("want a group with the result, (?P<ret>-?[0-9]+)")
	case (p.kind == traces.Fork || p.kind == traces.Lost) && !has("ret"):
		return errors.New("want a group ret: the id of the child, or how many were lost")
	}
	return nil
}

// match returns the first kind of lines that a line is of, and where its groups are;
// -1 for none.
func (f *Format) match(line []byte) (kind int, groups []int) {
	for i := range f.lines {
		if at := f.lines[i].line.FindSubmatchIndex(line); at != nil {
			return i, at
		}
	}
	return -1, nil
}

// skips reports whether a line is to be skipped.
func (f *Format) skips(line []byte) bool {
	return slices.ContainsFunc(f.skip, func(re *regexp.Regexp) bool { return re.Match(line) })
}

// knows reports whether a line is of a kind of the format, or skipped.
func (f *Format) knows(line []byte) bool {
	kind, _ := f.match(line)
	return kind >= 0 || f.skips(line)
}

func (p *pattern) hasTimeOfDay() bool { return slices.Contains(p.line.SubexpNames(), "time_hms") }

func (l *pattern) fill(r *assemble.Record, line []byte, at []int, p *Parser) (want string) {
	r.Kind, r.Phase = l.kind, l.phase
	if l.probe != "" {
		r.Probe = l.probe
		r.Has |= traces.ColProbe
	}
	if l.path != "" {
		r.Path = l.path
		r.Has |= traces.ColPath
	}
	for i, set := range l.setters {
		if set == nil || at[2*i] < 0 {
			continue
		}
		if !set(p, r, line[at[2*i]:at[2*i+1]]) {
			return "a value in the group " + l.line.SubexpNames()[i]
		}
	}
	if l.probe != "" && r.Probe != l.probe {
		r.Probe = p.intern([]byte(l.probe + r.Probe))
	}
	p.shift(r)
	if !r.Got(traces.ColTID) && r.Got(traces.ColPID) {
		r.TID = r.PID
		r.Has |= traces.ColTID
	}
	if l.phase == assemble.Whole && r.Got(traces.ColDur) && r.Kind != traces.Ret && r.Kind != traces.Lost {
		r.Time -= r.Dur // such lines are printed when it is over
	}
	if !r.Kind.IsSyscall() && r.Kind != traces.Lost {
		r.Has &^= traces.ColDur
	}
	return ""
}
