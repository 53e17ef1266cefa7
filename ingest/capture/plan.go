package capture

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrOptions is returned for options that exclude each other.
var ErrOptions = errors.New("capture options")

// Tool is a recorder.
type Tool string

// The recorders.
const (
	Perf     Tool = "perf"
	BPFtrace Tool = "bpftrace"
)

// Options say what to record.
type Options struct {
	Tool    Tool
	Probes  []Probe
	Command []string // the program to run, or empty
	PID     int      // or a process that runs already; 0 for none
	All     bool     // or everything, while Command runs or until it is stopped
	Stacks  bool     // callchains of hits
	NoLocks bool     // without mmap_lock events
	Buffer  string   // of each CPU: a power of two of pages, or bytes with a unit of B, K, M or G
	Group   string   // for the events that are added
	Output  string   // the recording
	Quiet   bool     // the recorder says nothing, not even why it fails
	// Arrive adds a kprobe on the way of every hit; the kernel has to have kprobes.
	Arrive bool
}

// Plan is a recording: what to define before, and what to run.
type Plan struct {
	Definitions []Definition
	options     *Options
	args        []string // the recorder's command line, but for bpftrace's output and program
	env         []string // what the recorder needs in its environment, as NAME=VALUE
	program     string   // bpftrace's
}

// NewPlan resolves the probes and puts the recorder's command line together.
func NewPlan(o Options) (*Plan, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	program := Program{PID: o.PID}
	if len(o.Command) > 0 {
		program.Command = o.Command[0]
	}
	var defs []Definition
	for i := range o.Probes {
		more, err := Resolve(&o.Probes[i], program)
		if err != nil {
			return nil, err
		}
		defs = append(defs, more...)
	}
	nameApart(defs, o.Group)
	if o.Tool == BPFtrace {
		return bpftracePlan(&o, defs)
	}
	return perfPlan(&o, defs), nil
}

// Check returns ErrOptions for options that say too little or exclude each other.
func (o *Options) Check() error {
	switch {
	case len(o.Probes) == 0:
		return fmt.Errorf("%w: no probe given; name one with --probe path:function", ErrOptions)
	case o.PID != 0 && o.All:
		return fmt.Errorf("%w: want one of -p and -a, not both", ErrOptions)
	case o.PID == 0 && !o.All && len(o.Command) == 0:
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
