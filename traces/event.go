package traces

import (
	"cmp"
	"fmt"
)

// Kind says what an Event is. The zero value is no kind and never valid in a
// trace.
type Kind uint8

// The kinds of the schema, in the order of the documentation.
const (
	NoKind       Kind = iota
	Hit               // a uprobe fired; its handler ran at Time
	Ret               // a uretprobe fired
	Mmap              // mmap syscall; Addr is the result when it succeeded
	Munmap            // munmap syscall
	Mprotect          // mprotect syscall
	Mremap            // mremap syscall; NewAddr, NewLen are the result
	Brk               // brk syscall
	Madvise           // madvise syscall
	Fork              // a task was created; Ret is the child's id
	Exec              // a task replaced its image; Path is the new one
	Exit              // a task ended
	Map               // a mapping known without a syscall: synthesised or a snapshot
	LockStart         // a task began to take mmap_lock
	LockAcquired      // a task got mmap_lock
	LockReleased      // a task is about to release mmap_lock
	Arrive            // a hit reached the kernel, before its lookup
	Lost              // the recorder dropped events here
	numKinds
)

var kindNames = [numKinds]string{
	"", "hit", "ret", "mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "fork", "exec", "exit",
	"map", "lock_start", "lock_acquired", "lock_released", "arrive", "lost",
}

// Kinds lists every valid kind in schema order.
func Kinds() []Kind {
	kinds := make([]Kind, 0, numKinds-1)
	for k := Hit; k < numKinds; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// String returns the kind's name in the schema, such as "lock_start".
func (k Kind) String() string {
	if k == NoKind || k >= numKinds {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// ParseKind is the inverse of String.
func ParseKind(name string) (Kind, error) {
	for k := Hit; k < numKinds; k++ {
		if kindNames[k] == name {
			return k, nil
		}
	}
	return NoKind, fmt.Errorf("unknown event kind %q", name)
}

// IsSyscall reports whether k is one of the address-space syscalls, whose rows
// carry an entry time and a duration.
func (k Kind) IsSyscall() bool { return k >= Mmap && k <= Madvise }

// IsLock reports whether k is one of the mmap_lock events.
func (k Kind) IsLock() bool { return k >= LockStart && k <= LockReleased }

// Columns is a set of nullable columns. A column that is not in Event.Has is
// null in the store, whatever the field holds: absent is never written as zero.
type Columns uint64

// The nullable columns. time_ns, seq and kind are present in every row.
const (
	ColCPU Columns = 1 << iota
	ColPID
	ColTID
	ColComm
	ColDur
	ColAddr
	ColLen
	ColPgoff
	ColNewAddr
	ColNewLen
	ColProt
	ColFlags
	ColAdvice
	ColRet
	ColDevMajor
	ColDevMinor
	ColInode
	ColInodeGen
	ColPath
	ColBuildID
	ColProbe
	ColMm
	ColWrite
	ColInUprobe
	ColTrap
	ColStack
	ColSrc
	ColSrcPos
	colEnd

	AllColumns = colEnd - 1
)

// Event is one row of a trace. Fields are meaningful only when the column is in
// Has; Time, Seq and Kind always are. Strings and Stack are shared between
// events and must not be changed.
type Event struct {
	Has  Columns
	Kind Kind

	Write    bool // lock events: taken for write
	InUprobe bool // LockStart: taken by a lookup of a uprobe hit

	CPU, PID, TID      int32 // PID is the process (tgid), TID the thread
	Prot, Flags        int32 // as given to the syscall
	Advice             int32 // as given to madvise
	DevMajor, DevMinor int32
	Src                int32 // index into Meta.Sources

	Time int64 // ns on the capture clock; a syscall's entry
	Seq  int64 // position in the total order, unique in a trace
	Dur  int64 // ns; syscall exit minus entry
	Trap int64 // Hit: Seq of the first event of the same trap; null for the first
	Ret  int64 // syscall result, negative errno on failure; Fork: the child's id

	Addr, Len, Pgoff uint64 // user address, bytes, file offset in bytes; Hit: the probed instruction
	NewAddr, NewLen  uint64
	Inode, InodeGen  uint64
	Mm               uint64 // the kernel's mm identity
	SrcPos           int64  // byte offset or line number in the source

	Comm    string
	Path    string   // mapped or probed file
	BuildID string   // hex
	Probe   string   // group:name
	Stack   []string // leaf first: symbol+0xoff (module) or 0xaddr (module)
}

// Got reports whether every column of c holds a value.
func (e *Event) Got(c Columns) bool { return e.Has&c == c }

// Compare orders events as the store does: by time, then CPU, then seq. An
// unknown CPU sorts before CPU 0.
func Compare(a, b *Event) int {
	return cmp.Or(
		cmp.Compare(a.Time, b.Time),
		cmp.Compare(a.orderCPU(), b.orderCPU()),
		cmp.Compare(a.Seq, b.Seq),
	)
}

func (e *Event) orderCPU() int32 {
	if e.Has&ColCPU == 0 {
		return -1
	}
	return e.CPU
}

// sequence checks that events follow each other in the total order.
type sequence struct {
	last  Event // only what Compare looks at
	begun bool
}

// follow takes the next event, or says why it cannot be the next.
func (s *sequence) follow(e *Event) error {
	if s.begun && e.Time <= s.last.Time && Compare(&s.last, e) >= 0 {
		return fmt.Errorf("%w: (time, cpu, seq) is (%d, %d, %d) after (%d, %d, %d)", ErrOrder,
			e.Time, e.orderCPU(), e.Seq, s.last.Time, s.last.orderCPU(), s.last.Seq)
	}
	s.last.Has, s.last.Time, s.last.CPU, s.last.Seq = e.Has, e.Time, e.CPU, e.Seq
	s.begun = true
	return nil
}
