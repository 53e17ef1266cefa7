package capture

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Definition is a dynamic event, as a line of uprobe_events or kprobe_events
// defines it.
type Definition struct {
	Group, Name string
	Return      bool
	File        string // empty: a kprobe at the function Name
	Site        Site
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
const groupPrefix = "replay_"

// Group is the group of events that process pid adds.
func Group(pid int) string { return groupPrefix + strconv.Itoa(pid) }

// Tracefs is the tracing file system.
type Tracefs struct {
	Dir string // where it is mounted
}

// mounts is where the tracing file system may be.
var mounts = []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}

// FindTracefs returns the mounted tracing file system, false if there is none.
func FindTracefs() (Tracefs, bool) {
	for _, dir := range mounts {
		if _, err := os.Stat(filepath.Join(dir, "trace_clock")); err == nil {
			return Tracefs{dir}, true
		}
	}
	return Tracefs{}, false
}

// HasEvent reports whether there is an event group:name.
func (t Tracefs) HasEvent(event string) bool {
	group, name, ok := strings.Cut(event, ":")
	if !ok || group == "" || name == "" || strings.ContainsAny(event, "/.") {
		return false
	}
	_, err := os.Stat(filepath.Join(t.Dir, "events", group, name, "format"))
	return err == nil
}

// has reports whether there is a control file.
func (t Tracefs) has(name string) bool {
	_, err := os.Stat(filepath.Join(t.Dir, name))
	return err == nil
}

// Add defines events. If one fails, it takes away those before it.
func (t Tracefs) Add(defs []Definition) error {
	for i := range defs {
		if err := t.write(defs[i].file(), defs[i].String()); err != nil {
			return errors.Join(fmt.Errorf("add the probe %q to %s: %w", defs[i].String(), defs[i].file(), err), t.Remove(defs[:i]))
		}
	}
	return nil
}

// A recorder that was killed lets go of its events a little later.
const (
	removeTries = 50
	removePause = 50 * time.Millisecond
)

// Remove takes events away. Those that are gone already are no error.
func (t Tracefs) Remove(defs []Definition) error {
	var errs []error
	for i := range defs {
		err := t.remove(&defs[i])
		for n := 1; n < removeTries && errors.Is(err, syscall.EBUSY); n++ {
			time.Sleep(removePause)
			err = t.remove(&defs[i])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove the probe %s: %w; do it with: echo %s >> %s",
				defs[i].Event(), err, defs[i].removal(), filepath.Join(t.Dir, defs[i].file())))
		}
	}
	return errors.Join(errs...)
}

func (t Tracefs) remove(d *Definition) error {
	err := t.write(d.file(), d.removal())
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

func (t Tracefs) write(file, line string) error {
	// Never truncating: that removes the probes of everybody.
	f, err := os.OpenFile(filepath.Join(t.Dir, file), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// Clean takes away the events of captures that were killed, and returns their
// names. Those in use stay.
func (t Tracefs) Clean() ([]string, error) {
	var cleaned []string
	for _, file := range []string{uprobeEvents, kprobeEvents} {
		defs, err := t.stale(file)
		if err != nil {
			return cleaned, err
		}
		for i := range defs {
			switch err := t.write(file, defs[i].removal()); {
			case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.ENOENT):
			case err != nil:
				return cleaned, fmt.Errorf("remove the probe %s of a capture that was killed: %w", defs[i].Event(), err)
			default:
				cleaned = append(cleaned, defs[i].Event())
			}
		}
	}
	return cleaned, nil
}

// stale lists events of processes that are no more. Those in the name of this
// process are of one before it that had the same id.
func (t Tracefs) stale(file string) ([]Definition, error) {
	f, err := os.Open(filepath.Join(t.Dir, file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var defs []Definition
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		group, name, ok := eventOf(lines.Text())
		if !ok {
			continue
		}
		pid, ok := owner(group)
		if ok && (pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)) {
			defs = append(defs, Definition{Group: group, Name: name})
		}
	}
	slices.Reverse(defs)
	return defs, lines.Err()
}

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
