package capture

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/replay/replay/ingest/bpftrace"
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
	Print   bool     // for another machine: nothing is run, and files have their names
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
	files       []*os.File
	// Remarks are what a user would not expect of the probes.
	Remarks []string
}

// Close closes what the plan keeps open.
func (p *Plan) Close() error {
	var errs []error
	for _, f := range p.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// plain makes sure that the tool can name the files. What it cannot name is opened
// and named by that.
func (p *Plan) plain(defs []Definition) error {
	names := map[string]string{}
	for i := range defs {
		d := &defs[i]
		if d.Remark != "" && !slices.Contains(p.Remarks, d.Remark) {
			p.Remarks = append(p.Remarks, d.Remark)
		}
		if nameable(p.options.Tool, d.File) {
			continue
		}
		if p.options.Print {
			return fmt.Errorf("%w: %s takes no such path: %q; give a link to the file instead", ErrUnsupported, p.options.Tool, d.File)
		}
		if names[d.File] == "" {
			f, err := os.Open(d.File)
			if err != nil {
				return err
			}
			p.files = append(p.files, f)
			names[d.File] = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
		}
		d.File = names[d.File]
	}
	return nil
}

// nameable reports whether a path can be given to the kernel or to bpftrace. A line of
// uprobe_events is split at white space (argv_split), and # begins a comment
// (trace_parse_run_command).
func nameable(tool Tool, path string) bool {
	if tool == BPFtrace {
		return bpftrace.Quotable(path)
	}
	return !strings.ContainsAny(path, " \t\n\v\f\r#")
}

// NewPlan resolves the probes and puts the recorder's command line together.
func NewPlan(o Options) (*Plan, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	program := Program{PID: o.PID, Ask: !o.Print}
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
	defs = withEntries(defs)
	nameApart(defs, o.Group)
	p := &Plan{options: &o}
	err := p.plain(defs)
	if err == nil && o.Tool == BPFtrace {
		err = p.planBPFtrace(defs)
	} else if err == nil {
		p.planPerf(defs)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// withEntries adds the entries of functions whose returns alone are asked for: a
// return probe traps there, too, and that trap has a lookup of its own.
func withEntries(defs []Definition) []Definition {
	for _, d := range defs[:len(defs):len(defs)] {
		entry := slices.ContainsFunc(defs, func(e Definition) bool {
			return !e.Return && e.File == d.File && e.Site.Offset == d.Site.Offset
		})
		if !d.Return || entry {
			continue
		}
		p := *d.probe
		p.Return = false
		d.Name, d.Return, d.probe = p.name(), false, &p
		d.Remark = fmt.Sprintf("the entry of %s is recorded, too: its return probe traps there", p.Function)
		defs = append(defs, d)
	}
	return defs
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
