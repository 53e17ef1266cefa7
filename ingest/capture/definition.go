package capture

import (
	"fmt"
	"strconv"
	"strings"
)

// Definition is a dynamic event, as a line of uprobe_events or kprobe_events
// defines it.
type Definition struct {
	Group, Name string
	Return      bool
	File        string // what to open the file by; empty: a kprobe at the function Name
	Path        string // the file as the probed process names it
	Remark      string // what a user would not expect of the file
	Site        Site
	probe       *Probe // what it was made of
}

// Event is the name that perf knows the event by.
func (d *Definition) Event() string { return d.Group + ":" + d.Name }

// String is the definition in the kernel's syntax (uprobetracer.rst).
func (d *Definition) String() string {
	kind := "p"
	if d.Return {
		kind = "r"
	}
	if d.File == "" {
		return fmt.Sprintf("%s:%s/%s %s", kind, d.Group, d.Name, d.Name)
	}
	s := fmt.Sprintf("%s:%s/%s %s:%#x", kind, d.Group, d.Name, d.File, d.Site.Offset)
	if d.Site.Semaphore != 0 {
		s += fmt.Sprintf("(%#x)", d.Site.Semaphore)
	}
	return s
}

// removal is the line that takes the event away again.
func (d *Definition) removal() string { return "-:" + d.Group + "/" + d.Name }

// file is the control file that the event is defined in.
func (d *Definition) file() string {
	if d.File == "" {
		return kprobeEvents
	}
	return uprobeEvents
}

const (
	uprobeEvents = "uprobe_events"
	kprobeEvents = "kprobe_events"
)

// groupPrefix begins the group of the events that a capture adds; the id of its
// process follows, so that those of a process that died are told from others.
// Traces leave it out of the names of probes.
const groupPrefix = "replay_"

// Group is the group of events that process pid adds.
func Group(pid int) string { return groupPrefix + strconv.Itoa(pid) }

// eventOf reads "p:group/name ...", where the kernel may add to the p.
func eventOf(line string) (group, name string, ok bool) {
	first, _, _ := strings.Cut(line, " ")
	_, event, ok := strings.Cut(first, ":")
	if !ok {
		return "", "", false
	}
	return strings.Cut(event, "/")
}

// owner is the process that a group is of.
func owner(group string) (pid int, ok bool) {
	digits, ok := strings.CutPrefix(group, groupPrefix)
	if !ok {
		return 0, false
	}
	pid, err := strconv.Atoi(digits)
	return pid, err == nil && pid > 0 && Group(pid) == group
}
