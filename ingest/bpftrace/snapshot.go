package bpftrace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Snapshot writes lines to put in front of those of Script, of what an event cannot
// tell: the machine, how far apart the clocks are, and the mappings of processes
// that run already. Of several processes, those that have ended, or
// that may not be read, are left out: hits in them get a mapping when they come.
func Snapshot(w io.Writer, pids ...int) error {
	var u unix.Utsname
	boot, mono, err := bothClocks()
	if err := errors.Join(err, unix.Uname(&u)); err != nil {
		return fmt.Errorf("ask for the clocks: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s machine cpus=%d arch=%s kernel=%s\n", Prefix, runtime.NumCPU(), unix.ByteSliceToString(u.Machine[:]), unix.ByteSliceToString(u.Release[:]))
	fmt.Fprintf(&b, "%s clock boottime=%d monotonic=%d\n", Prefix, boot, mono)
	for _, pid := range pids {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if len(pids) > 1 && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrPermission)) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the mappings of process %d: %w", pid, err)
		}
		for line := range bytes.Lines(maps) {
			fmt.Fprintf(&b, "%s maps %d %s", Prefix, pid, line)
		}
	}
	_, err = w.Write(b.Bytes())
	return err
}

// bothClocks returns CLOCK_BOOTTIME and CLOCK_MONOTONIC at one moment, in ns. They
// are the same until the machine sleeps for the first time.
func bothClocks() (boot, mono int64, err error) {
	narrowest := int64(1 << 62)
	for range 10 {
		var before, b, after unix.Timespec
		err := errors.Join(unix.ClockGettime(unix.CLOCK_MONOTONIC, &before), unix.ClockGettime(unix.CLOCK_BOOTTIME, &b), unix.ClockGettime(unix.CLOCK_MONOTONIC, &after))
		if err != nil {
			return 0, 0, err
		}
		if before.Nano() <= b.Nano() && b.Nano() <= after.Nano() {
			return b.Nano(), b.Nano(), nil
		}
		if width := after.Nano() - before.Nano(); width < narrowest {
			narrowest, boot, mono = width, b.Nano(), before.Nano()+width/2
		}
	}
	return boot, mono, nil
}

// SnapshotCommand is the part of Snapshot that a shell can do: the mappings of a
// process, or with 0 of all.
func SnapshotCommand(pid int) string {
	if pid != 0 {
		return fmt.Sprintf("sed 's/^/%s maps %d /' /proc/%d/maps", Prefix, pid, pid)
	}
	return fmt.Sprintf(`for p in /proc/[0-9]*; do sed "s/^/%s maps ${p#/proc/} /" $p/maps 2>/dev/null; done`, Prefix)
}
