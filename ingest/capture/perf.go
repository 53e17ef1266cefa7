package capture

import "strconv"

// arriveFunction is what a hit passes before its uprobe is looked up.
const arriveFunction = "uprobe_notify_resume"

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
