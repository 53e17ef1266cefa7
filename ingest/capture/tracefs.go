package capture

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

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

// A recorder lets go of its events when it has ended. After it was asked to end,
// or on a machine with many CPUs, that takes a while.
const (
	removeTries = 600
	removePause = 50 * time.Millisecond
)

// remove writes the line that takes an event away, once nobody uses the event. One
// that is gone already is no error.
func (t Tracefs) remove(file, line string) error {
	err := t.write(file, line)
	for n := 1; n < removeTries && errors.Is(err, syscall.EBUSY); n++ {
		time.Sleep(removePause)
		err = t.write(file, line)
	}
	if err == nil || errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return fmt.Errorf("a probe is left: %w; remove it with: echo %s >> %s", err, line, filepath.Join(t.Dir, file))
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
