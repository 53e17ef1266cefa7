package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// held is the recorded program, in a process that waits before it becomes the
// program: its id is known and nothing has happened when the recorder starts.
type held struct {
	cmd     *exec.Cmd
	ahead   *os.File // closed: it ends; a byte: it becomes the program
	failure *os.File // why it could not; nothing if it could
	ended   chan *os.ProcessState
	started bool
}

// hold starts the process: this program again, with arguments that make it call
// [Become].
func hold(args, command []string, stdin io.Reader, stdout, stderr io.Writer) (*held, error) {
	ahead, aheadW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ahead.Close()
	failure, failureW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, aheadW.Close())
	}
	defer failureW.Close()
	cmd := exec.Command("/proc/self/exe", append(args, command...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.ExtraFiles = []*os.File{ahead, failureW} // aheadFD, failureFD
	cmd.WaitDelay = outputDelay
	h := &held{cmd: cmd, ahead: aheadW, failure: failure, ended: make(chan *os.ProcessState, 1)}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the program: %w", err), aheadW.Close(), failure.Close())
	}
	go func() {
		_ = cmd.Wait() // how it ended is in the state
		h.ended <- cmd.ProcessState
	}()
	return h, nil
}

// The files of a held process.
const (
	aheadFD   = 3
	failureFD = 4
)

// Become is what a held process does: it waits for the go-ahead and becomes the
// program. It returns only if it does not, with no error if it was not to.
func Become(command []string) error {
	ahead, failure := os.NewFile(aheadFD, "go-ahead"), os.NewFile(failureFD, "failure")
	if n, _ := ahead.Read(make([]byte, 1)); n == 0 {
		return nil
	}
	syscall.CloseOnExec(aheadFD)
	syscall.CloseOnExec(failureFD)
	file, err := exec.LookPath(command[0])
	if err == nil {
		err = syscall.Exec(file, command, os.Environ())
	}
	fmt.Fprint(failure, err)
	return err
}

// start lets the process become the program.
func (h *held) start() error {
	if _, err := h.ahead.Write([]byte{1}); err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	why, err := io.ReadAll(h.failure)
	if err == nil && len(why) > 0 {
		err = fmt.Errorf("%w: the program cannot be started: %s", ErrRecorder, why)
	}
	h.started = err == nil
	return err
}

// close ends a process that has not become the program.
func (h *held) close() {
	_ = h.ahead.Close()
	_ = h.failure.Close()
}
