package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Guard removes events however the process that added them ends. It is a process
// of its own, in its own session so that Ctrl-C does not reach it, and holds one
// end of a pipe. It reads there which events there will be; when the pipe closes,
// because [Guard.Close] was called or because the other process is no more, it
// removes them and ends.
type Guard struct {
	tracefs Tracefs
	process *exec.Cmd
	pipe    io.WriteCloser
}

// StartGuard starts a guard: this program again, with arguments that make it call
// [Watch]. What it has to say goes to stderr.
func StartGuard(t Tracefs, stderr io.Writer, args ...string) (*Guard, error) {
	// Not os.Executable: that name is gone when the file was replaced.
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guard of the probes: %w", err)
	}
	return &Guard{t, cmd, pipe}, nil
}

// Add defines events, until one fails. The guard knows of each before it is there.
func (g *Guard) Add(defs []Definition) error {
	for i := range defs {
		d := &defs[i]
		if _, err := fmt.Fprintf(g.pipe, "%s %s\n", d.file(), d.removal()); err != nil {
			return fmt.Errorf("the guard of the probes has ended: %w", err)
		}
		if err := g.tracefs.write(d.file(), d.String()); err != nil {
			return fmt.Errorf("add the probe %q: %w", d, err)
		}
	}
	return nil
}

// Close has the events removed.
func (g *Guard) Close() error {
	err := g.pipe.Close()
	if waitErr := g.process.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("the guard of the probes: %w", waitErr))
	}
	return err
}

// Watch is what a guard does: it reads the events from the pipe until that closes,
// and removes them, the last one first.
func Watch(pipe io.Reader, t Tracefs) error {
	var added []string
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		added = append(added, lines.Text())
	}
	errs := []error{lines.Err()}
	for i := len(added) - 1; i >= 0; i-- {
		if file, line, ok := strings.Cut(added[i], " "); ok {
			errs = append(errs, t.remove(file, line))
		}
	}
	return errors.Join(errs...)
}
