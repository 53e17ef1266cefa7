package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Machine is what a capture needs to know of the machine.
type Machine struct {
	Root       bool
	Tracefs    Tracefs
	HasTracefs bool
	Recorder   bool // it is in PATH
}

// ThisMachine looks at this machine.
func ThisMachine() Machine {
	m := Machine{Root: os.Geteuid() == 0}
	m.Tracefs, m.HasTracefs = FindTracefs()
	_, err := exec.LookPath("perf")
	m.Recorder = err == nil
	return m
}

// Missing lists what keeps the machine from recording, each with how to get it.
func (m Machine) Missing(o Options) []string {
	var lines []string
	if !m.Recorder {
		lines = append(lines, "there is no perf: install it with apt-get install linux-perf, or dnf install perf")
	}
	switch {
	case !m.Root:
		// Only root may see whether the rest is there.
		return append(lines, "recording probes needs root: run it with sudo")
	case !m.HasTracefs:
		return append(lines, "the tracing file system is not mounted: mount -t tracefs nodev /sys/kernel/tracing")
	case !m.Tracefs.has(uprobeEvents):
		lines = append(lines, "this kernel has no uprobes: boot one that is built with CONFIG_UPROBE_EVENTS")
	}
	if !m.Tracefs.HasEvent("syscalls:sys_enter_mmap") {
		lines = append(lines, "this kernel has no events of system calls: boot one that is built with CONFIG_FTRACE_SYSCALLS")
	}
	if !o.NoLocks && !m.Tracefs.HasEvent("mmap_lock:mmap_lock_released") {
		lines = append(lines, "this kernel has no mmap_lock events, which came with 5.11: record with --no-locks")
	}
	return lines
}

// HasKprobes reports whether the kernel takes kprobes at the function that hits
// pass.
func (m Machine) HasKprobes() bool { return m.HasTracefs && m.Tracefs.has(kprobeEvents) }

// Limits of the buffers that are chosen when no size is given.
const (
	bufferMax = 32 << 10   // KiB, for each CPU
	bufferAll = 2048 << 10 // KiB, for all CPUs
	bufferMin = 512        // KiB, for each CPU
)

// DefaultBuffer is a size for the buffer of each CPU: large enough for bursts of
// hits, small enough that a machine with many CPUs has the memory.
func DefaultBuffer(cpus int) string {
	size := bufferMax
	for size > bufferMin && size*cpus > bufferAll {
		size /= 2
	}
	return strconv.Itoa(size) + "K"
}

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
		return nil, fmt.Errorf("%w: %s record ended with %v; its message is above", ErrRecorder, p.Args[0], cmd.ProcessState)
	}
	return cmd.ProcessState, nil
}
