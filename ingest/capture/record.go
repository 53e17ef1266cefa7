package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/replay/replay/ingest/bpftrace"
)

// outputDelay is how long what the program left behind may keep its output open
// after the recording.
const outputDelay = 2 * time.Second

// grace is how long a recorder that was asked to end may do nothing, and bpftrace
// may take: it empties all its buffers first.
const grace = 4 * time.Second

// ErrRecorder is returned when the recorder has made no recording.
var ErrRecorder = errors.New("nothing was recorded")

// Streams are what the recorded program reads and writes. The recorder writes to
// Stderr, too.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Record runs the plan's recorder until it ends. What arrives on stop makes it
// finish the recording first; what arrives again kills it. held are arguments of this
// program that make it call [Become]. The returned state is that of the recorded
// program, nil if there was none or it runs on.
func (p *Plan) Record(s Streams, held []string, stop <-chan os.Signal) (state *os.ProcessState, err error) {
	if p.options.Tool == BPFtrace {
		state, err = p.recordBPFtrace(s, held, stop)
	} else {
		state, err = p.recordPerf(s, stop)
	}
	if err != nil {
		_ = os.Remove(p.options.Output) // it may be there before the tool knows that it can record
	}
	return state, err
}

// failed says that a recorder made no recording.
func (r *recorder) failed() error {
	return fmt.Errorf("%w: %s ended with %v; it says why, unless it is to be quiet", ErrRecorder, r.cmd.Args[0], r.cmd.ProcessState)
}

// recordPerf records with perf, which starts the program itself and passes on how
// that ended.
func (p *Plan) recordPerf(s Streams, stop <-chan os.Signal) (*os.ProcessState, error) {
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Stdin, s.Stdout, s.Stderr
	r, err := start(cmd)
	if err != nil {
		return nil, err
	}
	for r.running {
		select {
		case <-stop:
			r.stop()
		case <-r.late:
			r.killIdle()
		case r.err = <-r.ended:
			r.running = false
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	info, err := os.Stat(p.options.Output)
	if err != nil || info.Size() == 0 || r.broken() {
		return nil, r.failed()
	}
	return cmd.ProcessState, nil
}

// broken reports whether a signal kept perf from finishing its file. Those that ask
// it to end it sends to itself when it has (record__sig_exit in builtin-record.c).
func (r *recorder) broken() bool {
	status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD:
		return false
	}
	return true
}

// recordBPFtrace records with bpftrace, which has no room for what no event tells:
// it prints into a pipe, whose content goes behind that into the recording. Nobody
// else has the pipe, and it is read until bpftrace has ended, so that neither waits
// for the other for ever.
func (p *Plan) recordBPFtrace(s Streams, args []string, stop <-chan os.Signal) (_ *os.ProcessState, err error) {
	out, err := os.OpenFile(p.options.Output, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := bpftrace.Snapshot(out, p.options.processes()...); err != nil {
		return nil, err
	}
	program := &held{}
	var parameters []string
	if len(p.options.Command) > 0 {
		if program, err = hold(args, p.options.Command, s.Stdin, s.Stdout, s.Stderr); err != nil {
			return nil, err
		}
		defer program.close()
		parameters = []string{strconv.Itoa(program.cmd.Process.Pid)}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(p.args[0], append(append(p.args[1:len(p.args):len(p.args)], "-o", "/dev/fd/3", "-e", p.program), parameters...)...)
	cmd.Stdout, cmd.Stderr = s.Stderr, s.Stderr
	cmd.ExtraFiles = []*os.File{w}
	cmd.Env = append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process to pass on
	rec, err := start(cmd)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	f := followed{begun: make(chan struct{}, 1), failed: make(chan error, 1), copied: make(chan error, 1)}
	go func() {
		f.copied <- bpftrace.Follow(out, r, func() { f.begun <- struct{}{} }, func(err error) { f.failed <- err })
	}()
	return p.superviseBPFtrace(rec, program, out, stop, f)
}

// followed is what is known of bpftrace by what it prints.
type followed struct {
	begun  chan struct{} // all probes are there
	failed chan error    // its output cannot be written
	copied chan error    // it has closed its output
}

// lookEvery is how often it is looked whether bpftrace has emptied its buffers.
const lookEvery = 20 * time.Millisecond

// stopping is how long bpftrace has to print what is in its buffers when it was asked
// to end while events still come, ending how long to end then. With what the kernel
// takes to remove its probes, that is within 5 s.
const (
	stopping = 2 * time.Second
	ending   = time.Second
)

// superviseBPFtrace starts the program when all probes are there, and ends bpftrace
// when the program has ended, when it is asked to, or when its output fails. bpftrace
// drops what is in its buffers when it is interrupted (perf_event_printer in
// bpftrace.cpp): before, it gets the time to empty them.
func (p *Plan) superviseBPFtrace(r *recorder, program *held, out *os.File, stop <-chan os.Signal, f followed) (*os.ProcessState, error) {
	var recording, asked, cut bool
	var state *os.ProcessState
	var cause error
	gone := processEnd(p.options.PID)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	draining := false
	whole := int64(-1) // where the recording was when nothing was left to print
	var deadline <-chan time.Time
	for r.running {
		select {
		case <-f.begun:
			recording = true
			if program.cmd != nil && !asked {
				if cause = program.start(); cause != nil {
					r.kill()
				}
			}
		case cause = <-f.failed:
			r.kill()
		case state = <-program.ended:
			program.ended, draining = nil, true
		case <-gone:
			gone, draining = nil, true
		case <-stop:
			if asked {
				r.kill()
				continue
			}
			asked, draining, deadline = true, true, time.After(stopping)
			program.terminate()
		case <-look.C:
			if draining && (r.waits() || !recording) {
				draining = false
				whole = size(out)
				r.ask()
			}
		case <-deadline:
			deadline = nil
			if draining {
				draining, cut = false, true
				r.ask()
			}
			r.late = time.After(ending)
		case <-r.late:
			if asked {
				r.kill()
			} else {
				r.killIdle()
			}
		case r.err = <-r.ended:
			r.running = false
		}
	}
	copyErr := <-f.copied
	switch {
	case cause == nil && copyErr != nil:
		cause = copyErr
	case cause == nil && r.err != nil:
		cause = r.err
	case cause == nil && (!recording || !r.killed && !r.cmd.ProcessState.Success()):
		cause = r.failed()
	case cause == nil && r.killed && whole >= 0:
		cause = truncate(out, whole)
	case cause == nil && (cut || r.killed):
		if cause = truncate(out, size(out)); cause == nil {
			_, cause = out.WriteAt([]byte(bpftrace.KilledLine+"\n"), size(out))
		}
	}
	if cause != nil && !errors.Is(cause, ErrRecorder) {
		cause = fmt.Errorf("%w: %w", ErrRecorder, cause)
	}
	return program.after(state, cause, asked)
}

// processEnd is closed when a process ends, if there is one.
func processEnd(pid int) <-chan struct{} {
	if pid == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // there was one when it was looked up; a stop ends the recording
	}
	ended := make(chan struct{})
	go func() {
		defer unix.Close(fd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
				close(ended)
				return
			}
		}
	}()
	return ended
}

// waits reports whether the recorder waits for events, with none in its buffers: it
// sleeps in epoll_wait. Where the kernel does not tell, it gets a second.
func (r *recorder) waits() bool {
	where, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", r.cmd.Process.Pid))
	r.looks++
	untold := err != nil || len(where) == 0
	return bytes.Contains(where, []byte("epoll")) || bytes.Contains(where, []byte("ep_poll")) ||
		untold && r.looks > int(time.Second/lookEvery)
}

// terminate asks a program that was started to end, as perf does.
func (h *held) terminate() {
	if h.started {
		_ = h.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
}

// after deals with the program when the recording has ended: one that was to be
// stopped is asked to end, as perf does; otherwise it is not for a failing recorder to
// end it.
func (h *held) after(state *os.ProcessState, cause error, asked bool) (*os.ProcessState, error) {
	if !h.started || state != nil {
		return state, cause
	}
	pid := h.cmd.Process.Pid
	if asked {
		select {
		case state := <-h.ended:
			return state, cause
		case <-time.After(outputDelay / 2):
		}
	}
	if cause != nil {
		cause = fmt.Errorf("%w; the program, process %d, runs on", cause, pid)
	}
	return nil, cause
}

// size is how long a file is, 0 if that cannot be told.
func size(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// truncate ends a recording behind the last whole line before end.
func truncate(f *os.File, end int64) error {
	tail := make([]byte, min(end, lineMax))
	if _, err := f.ReadAt(tail, end-int64(len(tail))); err != nil {
		return err
	}
	return f.Truncate(end - int64(len(tail)-(bytes.LastIndexByte(tail, '\n')+1)))
}

// lineMax is longer than what bpftrace prints for one event.
const lineMax = 1 << 20

// recorder is a recorder that runs.
type recorder struct {
	cmd     *exec.Cmd
	ended   chan error
	running bool
	err     error // why it could not be waited for
	asked   bool
	killed  bool
	late    <-chan time.Time
	looks   int
	used    string // the time on CPUs when it was last looked at
}

// start starts a recorder.
func start(cmd *exec.Cmd) (*recorder, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	cmd.WaitDelay = outputDelay
	r := &recorder{cmd: cmd, ended: make(chan error, 1), running: true}
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			r.ended <- wait(cmd)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	return r, nil
}

// wait waits for the end of a command, whatever that is.
func wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w", cmd.Args[0], err)
	}
	return nil
}

// stop asks a recorder to end, the second time without asking.
func (r *recorder) stop() {
	if r.asked {
		r.kill()
		return
	}
	r.ask()
}

// ask interrupts a recorder: then it ends as it does at the end of its program.
func (r *recorder) ask() {
	r.asked = true
	_ = r.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	r.used = r.runtime()
	r.late = time.After(grace)
}

func (r *recorder) kill() {
	r.killed, r.late = true, nil
	_ = r.cmd.Process.Kill()
}

// killIdle kills a recorder that was asked to end and does nothing about it.
func (r *recorder) killIdle() {
	used := r.runtime()
	if used == r.used {
		r.kill()
		return
	}
	r.used, r.late = used, time.After(grace)
}

// runtime is how long the recorder was on a CPU.
func (r *recorder) runtime() string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", r.cmd.Process.Pid))
	used, _, _ := bytes.Cut(data, []byte{' '})
	return string(used)
}
