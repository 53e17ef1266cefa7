package traces

import (
	"fmt"
	"path"
	"regexp"
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
	lookups map[int32]*lookupRows // by thread
	others  map[int64]bool        // rows of lock_starts of lookups of what is left out,
	readers int64                 // and how many of them were kept
	met     map[string]bool       // those of Probes that Look saw
}

// lookupRows are those of the lock_starts of a thread's lookups.
type lookupRows struct {
	next   []int64 // of its next hit
	latest []int64 // of its latest
	keeps  bool    // which is kept
}

// LookColumns are those that Look looks at.
const LookColumns = ColTID | ColWrite | ColInUprobe | ColStack | ColProbe | ColTrap

// Looks reports whether Look wants to see the rows.
func (c *Cut) Looks() bool { return len(c.Probes) > 0 }

// Look takes in the next row of the trace, all of them before the first is given to Keep,
// where only hits of some probes are kept: lookups of the others had mmap_lock, too, and
// are nobody's lookups any more.
func (c *Cut) Look(ev *Event) {
	if !ev.Got(ColTID) {
		return
	}
	if (ev.Kind == Hit || ev.Kind == Ret) && c.probes(ev) && !c.met[ev.Probe] {
		if c.met == nil {
			c.met = map[string]bool{}
		}
		c.met[ev.Probe] = true
	}
	l := c.lookups[ev.TID]
	switch lookup := ev.Lookup(); {
	case l == nil && lookup == NoLookup:
	case l == nil:
		if c.lookups == nil {
			c.lookups, c.others = map[int32]*lookupRows{}, map[int64]bool{}
		}
		c.lookups[ev.TID] = &lookupRows{next: []int64{ev.Seq}}
	case lookup != NoLookup:
		l.next = append(l.next, ev.Seq)
	case ev.Kind.IsLock():
	case ev.Kind == Hit && ev.Joined():
		l.keeps = l.keeps || c.probes(ev)
	default: // a hit, a return, or what ends the wait for either
		c.looked(l)
		l.latest, l.next = l.next, l.latest[:0]
		l.keeps = c.probes(ev)
	}
}

// Unmet are the probes of which Look saw no hit and no return.
func (c *Cut) Unmet() []string {
	return slices.DeleteFunc(slices.Clone(c.Probes), func(probe string) bool { return c.met[probe] })
}

// looked decides of the lookups of a thread's latest hit.
func (c *Cut) looked(l *lookupRows) {
	for _, seq := range l.latest {
		if !l.keeps {
			c.others[seq] = true
		}
	}
	l.latest = l.latest[:0]
}

// probes reports whether a row is of a probe that is kept, or of none.
func (c *Cut) probes(ev *Event) bool {
	return len(c.Probes) == 0 || ev.Kind != Hit && ev.Kind != Ret || slices.Contains(c.Probes, ev.Probe)
}

// Looked says that Look has seen all rows.
func (c *Cut) Looked() {
	for _, l := range c.lookups { // each for itself: the order does not matter
		c.looked(l)
	}
	c.lookups = nil
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
	if c.others[ev.Seq] {
		c.readers++
		ev.InUprobe = false
		if ev.Lookup() != NoLookup { // by its stack, which names the trampoline
			ev.Stack = nil
			ev.Has &^= ColStack
		}
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
	return c.probes(ev)
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
	ev.Path = c.file(ev.Path)
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

// kernelModule is what perf calls the kernel itself.
const kernelModule = "[kernel.kallsyms]"

// publicModules are the modules and mappings whose names are the kernel's or perf's
// own. Any other may have been chosen by somebody: kernel modules, "[anon:NAME]"
// (prctl), memfd and JIT maps among them.
var publicModules = map[string]bool{
	"": true, kernelModule: true, "[guest.kernel.kallsyms]": true, "[unknown]": true, "inlined": true, "deleted": true,
	"[vdso]": true, "[vvar]": true, "[vsyscall]": true, "[heap]": true, "[stack]": true, "[anon]": true, "//anon": true,
	"[uprobes]": true, "[uprobes-trampoline]": true,
}

// frame strips one frame. The names of the kernel's functions are public, and what a
// reader of the trace needs; those of BPF programs are not.
func (c *Cut) frame(frame string) string {
	symbol, module := frame, ""
	if i := strings.LastIndex(frame, " ("); i >= 0 {
		symbol, module = frame[:i], strings.TrimSuffix(frame[i+2:], ")")
	}
	name, offset := symbol, ""
	if j := strings.LastIndex(symbol, "+0x"); j >= 0 && isAddress(symbol[j+1:]) {
		name, offset = symbol[:j], symbol[j:]
	}
	public := module == kernelModule && !strings.HasPrefix(name, "bpf_prog_") || isAddress(name)
	if !public {
		name = c.name("function", name)
	}
	if module == "" && !strings.Contains(frame, " (") {
		return name + offset
	}
	return name + offset + " (" + c.file(module) + ")"
}

// isAddress reports whether s is a number as frames have it, 0x and hexadecimal digits.
func isAddress(s string) bool {
	digits, ok := strings.CutPrefix(s, "0x")
	return ok && digits != "" && strings.Trim(digits, "0123456789abcdef") == ""
}

// file strips the name of a file or mapping, but for what tells a library from a
// program.
func (c *Cut) file(p string) string {
	switch {
	case publicModules[p]:
		return p
	case strings.Contains(path.Base(p), ".so"):
		return c.name("/library.so", p)
	}
	return c.name("/file", p)
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

// Meta is that of the cut. What an anonymous one says of its sources is that they
// were there: warnings name files, probes and programs, and so may the kernel's
// release behind its numbers.
func (c *Cut) Meta(m Meta) Meta {
	cut := "this trace was cut out of a longer one"
	if c.readers > 0 {
		cut += fmt.Sprintf(", in which %d lookups of other probes' hits took mmap_lock: here they are other readers of it", c.readers)
	}
	if !c.Anonymise {
		m.Warnings = append(slices.Clone(m.Warnings), cut)
		return m
	}
	sources := make([]Source, len(m.Sources))
	for i, s := range m.Sources {
		sources[i] = Source{Path: fmt.Sprintf("source%d", i+1), Format: s.Format}
	}
	m.Sources = sources
	m.Kernel = releaseNumber.FindString(m.Kernel)
	m.Unknown = slices.Clone(m.Unknown)
	for i := range m.Unknown {
		m.Unknown[i].Why, m.Unknown[i].Remedy = "the trace that this one was cut out of says why; names were left out", "ask who cut it"
	}
	if n := len(m.Warnings); n > 0 {
		cut += fmt.Sprintf(", whose %d warnings were left out since they may name files and programs", n)
	}
	m.Warnings = []string{cut}
	return m
}

// releaseNumber is the numeric beginning of a kernel's release.
var releaseNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*`)
