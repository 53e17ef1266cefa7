package traces

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Cut says which events of a trace to keep, and whether to strip them of names.
// The zero value keeps nothing after time 0; From and To below 0 are no bounds.
type Cut struct {
	From, To  int64    // ns after the first event that is no mapping
	PIDs      []int32  // empty: all
	Probes    []string // empty: all
	Anonymise bool

	start   int64
	started bool
	names   map[string]string
	counts  map[string]int
}

// Keep reports whether the event belongs to the cut, and strips it. Mappings and
// tasks from before the cut are kept: what comes later needs them.
func (c *Cut) Keep(ev *Event) bool {
	if !c.started && ev.Kind != Map {
		c.start, c.started = ev.Time, true
	}
	if !c.keeps(ev) {
		return false
	}
	if c.Anonymise {
		c.strip(ev)
	}
	return true
}

func (c *Cut) keeps(ev *Event) bool {
	at := ev.Time - c.start
	if c.To >= 0 && c.started && at > c.To {
		return false
	}
	if c.From >= 0 && c.started && at < c.From && !ev.lasting() {
		return false
	}
	if len(c.PIDs) > 0 && ev.Got(ColPID) && !slices.Contains(c.PIDs, ev.PID) && !(ev.Kind == Fork && slices.Contains(c.PIDs, int32(ev.Ret))) {
		return false
	}
	return len(c.Probes) == 0 || ev.Kind != Hit && ev.Kind != Ret || slices.Contains(c.Probes, ev.Probe)
}

// lasting reports whether an event changes what later ones mean.
func (e *Event) lasting() bool {
	switch e.Kind {
	case Map, Fork, Exec, Exit, Mmap, Munmap, Mremap, Mprotect, Brk:
		return true
	}
	return false
}

// strip replaces names in ev.
func (c *Cut) strip(ev *Event) {
	if ev.Comm != "" {
		ev.Comm = c.name("comm", ev.Comm)
	}
	if strings.HasPrefix(ev.Path, "/") {
		ev.Path = c.file(ev.Path)
	}
	if ev.Probe != "" {
		ev.Probe = c.name("group:probe", ev.Probe)
	}
	ev.BuildID = ""
	ev.Has &^= ColBuildID
	if len(ev.Stack) == 0 {
		return
	}
	stack := make([]string, len(ev.Stack))
	for i, frame := range ev.Stack {
		stack[i] = c.frame(frame)
	}
	ev.Stack = stack
}

// frame strips one frame. The kernel's names are public, and what a reader of the
// trace needs.
func (c *Cut) frame(frame string) string {
	i := strings.LastIndex(frame, " (")
	if i < 0 || strings.HasSuffix(frame, "[kernel.kallsyms])") {
		return frame
	}
	symbol, module := frame[:i], strings.TrimSuffix(frame[i+2:], ")")
	name, offset := symbol, ""
	if j := strings.LastIndex(symbol, "+0x"); j >= 0 {
		name, offset = symbol[:j], symbol[j:]
	}
	if !strings.HasPrefix(name, "0x") {
		name = c.name("function", name)
	}
	if strings.HasPrefix(module, "/") {
		module = c.file(module)
	}
	return name + offset + " (" + module + ")"
}

// file strips a path, but for what tells a library from a program.
func (c *Cut) file(p string) string {
	kind := "/file"
	if strings.Contains(path.Base(p), ".so") {
		kind = "/library.so"
	}
	return c.name(kind, p)
}

// name returns the replacement for a name: the kind and a number, by first
// appearance.
func (c *Cut) name(kind, name string) string {
	key := kind + "\x00" + name
	if n, ok := c.names[key]; ok {
		return n
	}
	if c.names == nil {
		c.names, c.counts = map[string]string{}, map[string]int{}
	}
	c.counts[kind]++
	n := fmt.Sprintf("%s%d", kind, c.counts[kind])
	c.names[key] = n
	return n
}

// Meta is that of the cut.
func (c *Cut) Meta(m Meta) Meta {
	if c.Anonymise {
		sources := make([]Source, len(m.Sources))
		for i, s := range m.Sources {
			sources[i] = Source{Path: fmt.Sprintf("source%d", i+1), Format: s.Format}
		}
		m.Sources = sources
	}
	m.Warnings = append(slices.Clone(m.Warnings), "this trace was cut out of a longer one")
	return m
}
