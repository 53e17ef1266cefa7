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
)

// outputDelay is how long what the program left behind may keep its output open
// after the recording.
const outputDelay = 2 * time.Second

// ErrRecorder is returned when the recorder has made no recording.
var ErrRecorder = errors.New("nothing was recorded")

// Record runs the plan's recorder until it ends. What arrives on stop makes it
// finish the recording first. The returned state may be that of the recorded
// program, which the recorder passes on.
func (p *Plan) Record(stdin io.Reader, stdout, stderr io.Writer, stop <-chan os.Signal) (*os.ProcessState, error) {
	// The kernel sends Pdeathsig when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = outputDelay
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Args[0], err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-stop:
				// perf record ends at SIGINT as it does at the end of its program.
				_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("%s: %w", p.Args[0], err)
	}
	if info, statErr := os.Stat(p.output); statErr != nil || info.Size() == 0 {
		_ = os.Remove(p.output) // perf makes the file before it knows that it can record
		return nil, fmt.Errorf("%w: %s ended with %v; it says why, unless it is to be quiet", ErrRecorder, p.Args[0], cmd.ProcessState)
	}
	return cmd.ProcessState, nil
}
