package bpftrace

import (
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/template"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// Options say what a script records.
type Options struct {
	Probes []Probe
	// Command records the process of the script's first parameter from its next exec
	// on, PID a process that runs already, both with the processes that they start.
	// With neither, everything is recorded.
	Command bool
	PID     int
	Locks   bool // mmap_lock events, with the kernel's stack where it is asked for
	Stacks  bool // user stacks of hits
	// Monotonic asks for CLOCK_MONOTONIC, which bpftrace knows since 0.18. Otherwise
	// times are of CLOCK_BOOTTIME, that is with the time that the machine slept.
	Monotonic bool
	Arch      string // as GOARCH; the machine's own if empty
}

// Probe is one probe of a script. Function or Address says where it is, or Provider
// and Marker do.
type Probe struct {
	Name     string // group:name, for the trace
	Path     string // the file as the probed process names it, absolute
	File     string // what to open it by, if that is another name
	Function string
	Address  uint64 // see Address
	Return   bool   // the return of the function
	// Provider and Marker name a statically defined tracepoint (USDT).
	Provider, Marker string
}

// ErrProbe is returned for a probe that cannot be written in a script.
var ErrProbe = errors.New("no probe for bpftrace")

// Unsafe reports whether bpftrace needs --unsafe: without it, it refuses an address
// whose instruction it cannot check.
func (o *Options) Unsafe() bool {
	for i := range o.Probes {
		if o.Probes[i].Function == "" && o.Probes[i].Provider == "" {
			return true
		}
	}
	return false
}

// Prefix begins each line, with the version of the format.
const Prefix = "replay1"

// lockFrames is how deep the kernel's stack is recorded. The function that took the
// lock is the second frame.
const lockFrames = 8

// commWidth is the longest name of a thread (TASK_COMM_LEN less its zero). Names are
// filled up to it with blanks, for they may hold anything, a new line too: how long
// they are says where they end.
const commWidth = 15

//go:embed record.bt
var recordText string

var record = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("record.bt").Funcs(template.FuncMap{"prefix": func() string { return Prefix }}).Parse(recordText))
})

// instructionPointers are the registers that hold the probed instruction.
var instructionPointers = map[string]string{"amd64": "ip", "arm64": "pc", "riscv64": "pc", "s390x": "pswaddr", "ppc64le": "nip", "loong64": "pc"}

// point is a probe as the script has it.
type point struct {
	Point, Kind, Name, Path string
}

// script is what the template is filled with.
type script struct {
	*Options
	Run, Clock, Head, Where, IP string
	StackFormat, UserStack      string
	Points                      []point
	Syscalls                    []assemble.Syscall
	LockFrames, CommWidth       int
}

// Recorded lists the kinds of rows that the script prints events of.
func (s *script) Recorded() string {
	var names []string
	add := func(kinds ...traces.Kind) {
		for _, k := range kinds {
			if !slices.Contains(names, k.String()) {
				names = append(names, k.String())
			}
		}
	}
	for _, p := range s.Points {
		if p.Kind == "ret" {
			add(traces.Ret)
		} else {
			add(traces.Hit)
		}
	}
	for _, c := range s.Syscalls {
		add(c.Kind)
	}
	add(traces.Fork, traces.Exec, traces.Exit)
	if s.Locks {
		add(traces.LockStart, traces.LockAcquired, traces.LockReleased)
	}
	return strings.Join(names, " ")
}

// Script is the program for bpftrace 0.17 and later.
func Script(o Options) (string, error) {
	s := script{Options: &o, Run: "bpftrace", Clock: "boottime", Head: "nsecs, cpu, pid, tid", StackFormat: `\n`, Syscalls: assemble.Syscalls, LockFrames: lockFrames, CommWidth: commWidth}
	if o.Unsafe() {
		s.Run += " --unsafe"
	}
	s.Run += " -o OUTPUT [-f json] THIS"
	if o.Command {
		s.Run += " PROCESS"
	}
	if o.Monotonic {
		s.Clock, s.Head = "monotonic", "nsecs(monotonic), cpu, pid, tid"
	}
	if o.Command || o.PID != 0 {
		s.Where = " /@in[(uint64)pid]/"
	}
	if o.Stacks {
		s.StackFormat, s.UserStack = "%s", ", ustack(perf, 32)"
	}
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	if s.IP = instructionPointers[o.Arch]; s.IP == "" {
		return "", fmt.Errorf("%w: which register holds the instruction is not known for %s", ErrProbe, o.Arch)
	}
	for i := range o.Probes {
		p, err := o.Probes[i].point()
		if err != nil {
			return "", err
		}
		s.Points = append(s.Points, p)
	}
	var b strings.Builder
	err := record().Execute(&b, &s)
	return b.String(), err
}

// unquotable are the characters that a string of a script does not hold.
const unquotable = "\"\\\n\r\x00"

// Quotable reports whether a script can name the file.
func Quotable(path string) bool { return !strings.ContainsAny(path, unquotable) }

// point writes a probe in bpftrace's language.
func (p *Probe) point() (point, error) {
	file := p.File
	if file == "" {
		file = p.Path
	}
	for _, part := range []string{p.Name, file, p.Function, p.Provider, p.Marker} {
		if strings.ContainsAny(part, unquotable) {
			return point{}, fmt.Errorf("probe %q: %w: it takes no quote, backslash or new line in %q", p.Name, ErrProbe, part)
		}
	}
	if p.Name == "" || strings.ContainsAny(p.Name, " %") {
		return point{}, fmt.Errorf("probe %q: %w: want a name without blanks", p.Name, ErrProbe)
	}
	out := point{Kind: "hit", Name: p.Name, Path: printable.Replace(p.Path)}
	kind := "uprobe"
	if p.Return {
		out.Kind, kind = "ret", "uretprobe"
	}
	path := quote(file)
	switch {
	case p.Provider != "":
		out.Point = fmt.Sprintf("usdt:%s:%s:%s", path, p.Provider, p.Marker)
	case p.Function != "":
		out.Point = fmt.Sprintf("%s:%s:%s", kind, path, quote(p.Function))
	default:
		out.Point = fmt.Sprintf("%s:%s:%#x", kind, path, p.Address)
	}
	return out, nil
}

// printable makes a format of printf of a path.
var printable = strings.NewReplacer("%", "%%", `\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`)

// quote makes one part of a probe of s; within quotes nothing is a wildcard.
func quote(s string) string {
	plain := func(r rune) bool {
		return r == '_' || r == '/' || r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return `"` + s + `"`
}

// Address is what bpftrace calls the instruction at an offset in a file: its
// address if a symbol covers it, else the offset itself (resolve_offset_uprobe in
// bpftrace's attached_probe.cpp).
func Address(path string, offset uint64) (uint64, error) {
	f, err := elf.Open(path)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %v", path, ErrProbe, err)
	}
	defer f.Close()
	addr, ok := uint64(0), false
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && offset >= p.Off && offset-p.Off < p.Filesz {
			addr, ok = offset-p.Off+p.Vaddr, true
		}
	}
	if !ok {
		return 0, fmt.Errorf("%s: %w: there is no code at offset %#x", path, ErrProbe, offset)
	}
	for _, table := range []func() ([]elf.Symbol, error){f.Symbols, f.DynamicSymbols} {
		symbols, err := table()
		if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
			return 0, fmt.Errorf("%s: %w: its symbols: %v", path, ErrProbe, err)
		}
		for _, s := range symbols {
			if s.Section != elf.SHN_UNDEF && addr >= s.Value && addr-s.Value < max(s.Size, 1) {
				return addr, nil
			}
		}
	}
	return offset, nil
}
