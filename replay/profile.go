package replay

import "github.com/replay/replay/sim"

// Profile is a machine with what is known of recording on it, and of its
// kernel's write sections.
type Profile struct {
	sim.Machine
	Recorder Recorder
	Sections SectionModel
}

// Recorder says how far the stamps of a recording lie from what they stand for,
// in ns. What recording an event costs is not here: it is measured on each trace.
type Recorder struct {
	// HitLag is from the end of a lookup to the stamp of its hit.
	HitLag int64
	// FailLag is from the end of a lookup that failed to the stamp of its
	// lock_start.
	FailLag int64
	// Window is how long a lookup may take, the spread of the lags included.
	Window int64
	// AcquireLead is from the sequence turning odd to the stamp of lock_acquired
	// (mmap_write_lock bumps first, then reports).
	AcquireLead int64
	// ExitLag, of a warm path, is from the sequence turning even to the stamp of the end of a
	// syscall that released mmap_lock last.
	ExitLag int64
	// CheckLead is from the end of an optimised probe's check of the trampoline to the
	// end of its lookup of the uprobe.
	CheckLead int64
	// SyscallHitLag and SyscallFailLag are HitLag and FailLag of the lookups of an
	// optimised probe.
	SyscallHitLag, SyscallFailLag int64
	// ContendedLead is AcquireLead of a writer that spun for the lock, where probes are
	// optimised.
	ContendedLead int64
	// WakeLatency is from the end of a section to the stamp of the lock_acquired of
	// a reader that slept: the mean, with nobody else on its CPU.
	WakeLatency int64
}
