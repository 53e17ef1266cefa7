package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/replay/replay/ingest/bpftrace"
)

// outputDelay is how long what the program left behind may keep its output open
// after the recording.
const outputDelay = 2 * time.Second

// ErrRecorder is returned when the recorder has made no recording.
var ErrRecorder = errors.New("nothing was recorded")

// Record runs the plan's recorder until it ends. What arrives on stop makes it
// finish the recording first. The returned state may be that of the recorded
// program, which perf passes on.
func (p *Plan) Record(stdin io.Reader, stdout, stderr io.Writer, stop <-chan os.Signal) (*os.ProcessState, error) {
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = outputDelay
	var err error
	if p.options.Tool == BPFtrace {
		err = p.runBPFtrace(cmd, stop)
	} else {
		err = run(cmd, stop)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(p.options.Output)
	failed := err != nil || info.Size() == 0 // perf passes the program's failures on
	if p.options.Tool == BPFtrace {
		failed = !cmd.ProcessState.Success()
	}
	if failed {
		_ = os.Remove(p.options.Output) // it may be there before the tool knows that it can record
		return nil, fmt.Errorf("%w: %s ended with %v; it says why, unless it is to be quiet", ErrRecorder, p.options.Tool, cmd.ProcessState)
	}
	return cmd.ProcessState, nil
}

// run runs a recorder, and interrupts it when asked to: then it ends as it does at
// the end of its program.
func run(cmd *exec.Cmd, stop <-chan os.Signal) error {
	// The kernel sends Pdeathsig when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-stop:
				_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w", cmd.Args[0], err)
	}
	return nil
}

// runBPFtrace runs bpftrace, which has no room for what no event tells: it prints
// into a pipe, whose content goes behind that into the recording.
func (p *Plan) runBPFtrace(cmd *exec.Cmd, stop <-chan os.Signal) (err error) {
	out, err := os.OpenFile(p.options.Output, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := bpftrace.Snapshot(out, p.options.processes()...); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	cmd.Args = append(cmd.Args, "-o", "/dev/fd/3", "-e", p.program)
	cmd.Env = append(os.Environ(), p.env...)
	copied := make(chan error, 1)
	go func() { copied <- bpftrace.Follow(out, r) }()
	err = run(cmd, stop)
	// What the program left behind may have the pipe, too.
	err = errors.Join(err, w.Close(), r.SetReadDeadline(time.Now().Add(outputDelay)))
	if copyErr := <-copied; !errors.Is(copyErr, os.ErrDeadlineExceeded) {
		err = errors.Join(err, copyErr)
	}
	return err
}
