// Package heap makes the start of the command cheap. It does so while packages are
// initialised, before most of those that allocate anything.
package heap

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/replay/replay/cmd/replay/heap/pages"
)

const (
	// gcPercent trades memory for time: what a command holds is bounded anyway, and
	// most of it lives as long as the command.
	gcPercent = 70

	// minimum is the least heap that the runtime collects, for each 100 percent.
	minimum = 4 << 20
)

// There is nothing to collect before the memory of the start is full; from then on
// gcPercent counts.
func init() {
	debug.SetGCPercent(pages.Bytes / minimum * 100)
	begin()
}

var (
	full  atomic.Bool     // the memory that the heap begins with is
	first runtime.Cleanup // comes with the first collection
)

// begin waits for the first collection.
func begin() {
	first = runtime.AddCleanup(new([64]byte), func(percent int) {
		full.Store(true)
		debug.SetGCPercent(percent)
	}, gcPercent)
}

// Reuse is for between two jobs of a command, where little is held: the memory that the
// heap begins with is used again, in place of more that the kernel would have to clear. It
// does nothing once the runtime collects by itself.
func Reuse() {
	if full.Load() {
		return
	}
	first.Stop()
	runtime.GC()
	begin()
}
