package capture

import (
	"os"
	"os/exec"
	"strconv"
)

// Machine is what a capture needs to know of the machine.
type Machine struct {
	Root       bool
	Tracefs    Tracefs
	HasTracefs bool
	Tools      map[Tool]bool // those in PATH
}

// ThisMachine looks at this machine.
func ThisMachine() Machine {
	m := Machine{Root: os.Geteuid() == 0, Tools: map[Tool]bool{}}
	m.Tracefs, m.HasTracefs = FindTracefs()
	for tool := range packages {
		_, err := exec.LookPath(string(tool))
		m.Tools[tool] = err == nil
	}
	return m
}

// packages is how a tool is installed.
var packages = map[Tool]string{
	Perf:     "apt-get install linux-perf, or dnf install perf",
	BPFtrace: "apt-get install bpftrace, or dnf install bpftrace",
}

// Missing lists what keeps the machine from recording, each with how to get it.
func (m Machine) Missing(o Options) []string {
	var lines []string
	if !m.Tools[o.Tool] {
		lines = append(lines, "there is no "+string(o.Tool)+": install it with "+packages[o.Tool])
	}
	switch {
	case !m.Root:
		// Only root may see whether the rest is there.
		return append(lines, "recording probes needs root: run it with sudo")
	case !m.HasTracefs:
		return append(lines, "the tracing file system is not mounted: mount -t tracefs nodev "+mounts[0])
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

// HasKprobes reports whether the kernel takes kprobes, as [Options.Arrive] wants.
func (m Machine) HasKprobes() bool { return m.HasTracefs && m.Tracefs.has(kprobeEvents) }

// Limits of the buffers that are chosen when no size is given.
const (
	bufferMax = 32 << 10   // KiB, for each CPU
	bufferAll = 2048 << 10 // KiB, for all CPUs
	bufferMin = 512        // KiB, for each CPU
)

// DefaultBuffer is a size for the buffer of each CPU: large enough for bursts of
// hits, small enough that a machine with many CPUs has the memory. bpftrace gets
// half: it empties its buffers one after the other, each of them whole, so that
// their size is how far its events are out of order.
func DefaultBuffer(tool Tool, cpus int) string {
	size := bufferMax
	if tool == BPFtrace {
		size /= 2
	}
	for size > bufferMin && size*cpus > bufferAll {
		size /= 2
	}
	return strconv.Itoa(size) + "K"
}
