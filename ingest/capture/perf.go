package capture

import (
	"strconv"

	"github.com/replay/replay/ingest/assemble"
)

// arriveFunction is what a hit passes before its uprobe is looked up.
const arriveFunction = "uprobe_notify_resume"

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

// planPerf makes the plan of a recording with perf.
func (p *Plan) planPerf(defs []Definition) {
	o := p.options
	p.Definitions = defs
	if o.Arrive {
		p.Definitions = append(p.Definitions, o.arrive())
	}
	var hits []string
	for i := range o.Probes {
		if e := o.Probes[i].Event; e != "" {
			hits = append(hits, e)
		}
	}
	for i := range p.Definitions {
		hits = append(hits, p.Definitions[i].Event())
	}
	p.args = perfArgs(o, hits)
}

// arrive is the kprobe that tells of each hit's arrival.
func (o *Options) arrive() Definition { return Definition{Group: o.Group, Name: arriveFunction} }

// perfArgs is the command line of perf record.
func perfArgs(o *Options, hits []string) []string {
	// One clock with other recorders; -d records mappings of data, too.
	args := []string{"perf", "record", "-k", "CLOCK_MONOTONIC", "-m", o.Buffer, "-d", "-o", o.Output}
	if o.Quiet {
		args = append(args, "-q") // which hides errors, too
	}
	for _, e := range hits {
		if o.Stacks {
			e += "/call-graph=fp/"
		}
		args = append(args, "-e", e)
	}
	for _, s := range assemble.Syscalls {
		args = append(args, "-e", s.Enter(), "-e", s.Leave())
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
