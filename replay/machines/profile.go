package machines

import (
	"cmp"
	"maps"
	"slices"

	"github.com/replay/replay/sim"
)

// Profile is a machine with what is known of recording on it, of its kernel's write
// sections, and of the origin of each figure.
type Profile struct {
	sim.Machine
	Recorder Recorder
	Sections SectionModel

	About string // one line for people
	cites map[string]Cite
	from  string // see From
}

// From is what Load has to be given for the profile: a name or a path.
func (p *Profile) From() string { return cmp.Or(p.from, p.Name) }

// Cite says where a figure comes from.
type Cite struct {
	Key    string // names the source within the profile
	Source string // a URL, a message-id, or how the figure was found
	Note   string // what to know about this figure, may be empty
}

// Cite returns where the figure comes from. The path is its section and key in
// files, such as "line.rmw_cycles".
func (p *Profile) Cite(path string) Cite { return p.cites[path] }

// SetCite replaces it. It panics when there is no such figure.
func (p *Profile) SetCite(path string, c Cite) {
	if findFigure(path) == nil {
		panic("machines: no figure " + path)
	}
	p.cites[path] = c
}

// Clone returns a copy that shares nothing with p.
func (p *Profile) Clone() *Profile {
	c := *p
	c.Turbo = slices.Clone(p.Turbo)
	c.Sections, c.cites = maps.Clone(p.Sections), maps.Clone(p.cites)
	return &c
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

// SectionModel says when a syscall holds mmap_lock for write, for traces without
// lock events. Kinds that are absent take no write lock.
type SectionModel map[string]KindModel

// KindModel is one kind of operation. All are times of the syscall alone; what a
// recorder of lock events adds to its start is found on the trace (package timeline).
type KindModel struct {
	Start int64 // ns from the syscall's entry to the sequence turning odd
	// Hold is ns until the sequence is even; 0: until shortly before the syscall
	// returns. What is left of the syscall after Hold has the lock for read: munmap
	// and a shrinking brk downgrade before they free pages.
	Hold int64
}

// BrkShrink is the kind of a brk that gives memory back: it downgrades.
const BrkShrink = "brk_shrink"
