// Package heap makes the start of the command cheap. It does so while packages are
// initialised, before most of those that allocate anything.
package heap

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
)

const (
	// startBytes is what most commands get by with.
	startBytes = 48 << 20

	// gcPercent trades memory for time: what a command holds is bounded anyway, and
	// most of it lives as long as the command.
	gcPercent = 70

	// minimum is the least heap that the runtime collects, for each 100 percent.
	minimum = 4 << 20
)

// init asks for huge pages for the memory that the heap begins with: a short command
// spends a third of its time in page faults, of which 512 become one. The runtime never
// asks (transparent_hugepage is usually set to madvise), and uses again what is freed.
// What nothing touches is not taken either way. There is nothing to collect before that
// memory is full; from then on gcPercent counts.
func init() {
	debug.SetGCPercent(-1)
	heap := make([]byte, startBytes)
	syscall.Madvise(heap, syscall.MADV_HUGEPAGE) // no more than a hint
	cpus := runtime.GOMAXPROCS(1)                // the collector wakes idle ones for each piece of memory
	runtime.GC()                                 // heap is free by now
	runtime.GOMAXPROCS(cpus)
	debug.SetGCPercent(startBytes / minimum * 100)
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
