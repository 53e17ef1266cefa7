package capture

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrOptions is returned for options that exclude each other.
var ErrOptions = errors.New("options")

// Options say what to record.
type Options struct {
	Probes  []Probe
	Command []string // the program to run, or empty
	PID     int      // or a process that runs already; 0 for none
	All     bool     // or everything, while Command runs or until it is stopped
	Stacks  bool     // callchains of hits
	NoLocks bool     // without mmap_lock events
	Buffer  string   // of each CPU, in pages or with a unit, as perf record -m takes it
	Group   string   // for the events that are added
	Output  string   // the recording
	// Arrive adds a kprobe on the way of every hit; the kernel has to have kprobes.
	Arrive bool
}

// Plan is a recording: what to define before, and what to run.
type Plan struct {
	Definitions []Definition
	Args        []string // the recorder's command line
	output      string
}

// arriveFunction is what a hit passes before its uprobe is looked up.
const arriveFunction = "uprobe_notify_resume"

// syscallsTraced are those that change address spaces.
var syscallsTraced = []string{"mmap", "munmap", "mprotect", "mremap", "brk", "madvise"}

// Tracepoints that a trace is made of, besides its probes.
var (
	tasks = []string{"sched:sched_process_fork", "sched:sched_process_exec", "sched:sched_process_exit"}
	locks = []string{
		// The stack tells which of them are of uprobe lookups.
		"mmap_lock:mmap_lock_start_locking/call-graph=fp,max-stack=16/",
		"mmap_lock:mmap_lock_acquire_returned",
		"mmap_lock:mmap_lock_released",
	}
)

// NewPlan resolves the probes and puts the recorder's command line together.
func NewPlan(o Options) (*Plan, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Plan{output: o.Output}
	program := Program{PID: o.PID}
	if len(o.Command) > 0 {
		program.Command = o.Command[0]
	}
	var hits []string
	for i := range o.Probes {
		if e := o.Probes[i].Event; e != "" {
			hits = append(hits, e)
			continue
		}
		defs, err := Resolve(&o.Probes[i], program)
		if err != nil {
			return nil, err
		}
		p.Definitions = append(p.Definitions, defs...)
	}
	if o.Arrive {
		p.Definitions = append(p.Definitions, Definition{Name: arriveFunction})
	}
	nameApart(p.Definitions, o.Group)
	for i := range p.Definitions {
		hits = append(hits, p.Definitions[i].Event())
	}
	p.Args = perfArgs(&o, hits)
	return p, nil
}

func (o *Options) check() error {
	targets := 0
	for _, given := range []bool{o.PID != 0, o.All} {
		if given {
			targets++
		}
	}
	switch {
	case len(o.Probes) == 0:
		return fmt.Errorf("%w: no probe given; name one with --probe path:function", ErrOptions)
	case targets > 1:
		return fmt.Errorf("%w: want one of -p and -a, not both", ErrOptions)
	case targets == 0 && len(o.Command) == 0:
		return fmt.Errorf("%w: nothing to record: give -p PID, -a, or a program after --", ErrOptions)
	case o.PID < 0:
		return fmt.Errorf("%w: -p %d is no process", ErrOptions, o.PID)
	case !validBuffer(o.Buffer):
		return fmt.Errorf("%w: buffer size %q: want a power of two of pages, or a size such as 32M", ErrOptions, o.Buffer)
	}
	return nil
}

// validBuffer accepts what perf record -m does: pages, or B, K, M or G.
func validBuffer(s string) bool {
	digits := s
	if s != "" && strings.ContainsRune("BKMG", rune(s[len(s)-1])) {
		digits = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	return err == nil && n > 0 && (digits != s || n&(n-1) == 0)
}

// nameApart puts the events into their group and numbers those of one name.
func nameApart(defs []Definition, group string) {
	used := map[string]bool{}
	for i := range defs {
		d := &defs[i]
		d.Group = group
		name := d.Name
		for n := 1; used[d.Name]; n++ {
			d.Name = fmt.Sprintf("%s_%d", name, n)
		}
		used[d.Name] = true
	}
}

// perfArgs is the command line of perf record.
func perfArgs(o *Options, hits []string) []string {
	// One clock with other recorders; -d records mappings of data, too.
	args := []string{"perf", "record", "-q", "-k", "CLOCK_MONOTONIC", "-m", o.Buffer, "-d", "-o", o.Output}
	for _, e := range hits {
		if o.Stacks {
			e += "/call-graph=fp/"
		}
		args = append(args, "-e", e)
	}
	for _, name := range syscallsTraced {
		args = append(args, "-e", "syscalls:sys_enter_"+name, "-e", "syscalls:sys_exit_"+name)
	}
	events := tasks
	if !o.NoLocks {
		events = append(events[:len(events):len(events)], locks...)
	}
	for _, e := range events {
		args = append(args, "-e", e)
	}
	switch {
	case o.PID != 0:
		args = append(args, "-p", strconv.Itoa(o.PID))
	case o.All:
		args = append(args, "-a")
	}
	if len(o.Command) > 0 {
		args = append(append(args, "--"), o.Command...)
	}
	return args
}

// Script is the plan as commands of a shell, for a machine without this program.
// trace is what the recording is to be made into.
func (p *Plan) Script(trace string) string {
	var b strings.Builder
	for i := range p.Definitions {
		d := &p.Definitions[i]
		fmt.Fprintf(&b, "echo %s >> %s/%s\n", Quote(d.String()), mounts[0], d.file())
	}
	fmt.Fprintln(&b, quoteAll(p.Args))
	for i := range p.Definitions {
		d := &p.Definitions[i]
		fmt.Fprintf(&b, "echo %s >> %s/%s\n", Quote(d.removal()), mounts[0], d.file())
	}
	fmt.Fprintf(&b, "replay ingest -o %s %s\n", Quote(trace), Quote(p.output))
	return b.String()
}

func quoteAll(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = Quote(a)
	}
	return strings.Join(quoted, " ")
}

// Quote makes one word of a shell of s.
func Quote(s string) string {
	plain := func(r rune) bool { return r < 0x80 && isWord(byte(r)) || strings.ContainsRune("@%+=:,./-", r) }
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
