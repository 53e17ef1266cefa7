package main

import (
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	// startHeapBytes is what most commands get by with.
	startHeapBytes = 48 << 20

	// gcPercent trades memory for time: what a command holds is bounded anyway, and
	// most of it lives as long as the command.
	gcPercent = 70

	// heapMinimum is the least heap that the runtime collects, for each 100 percent.
	heapMinimum = 4 << 20
)

// startHeap makes the start cheap. It asks for huge pages for the memory that the
// heap begins with: a short command spends a third of its time in page faults, of
// which 512 become one. The runtime never asks (transparent_hugepage is usually set to
// madvise), and uses again what is freed. What nothing touches is not taken either
// way. There is nothing to collect before that memory is full; from then on gcPercent
// counts.
func startHeap() {
	debug.SetGCPercent(-1)
	heap := make([]byte, startHeapBytes)
	unix.Madvise(heap, unix.MADV_HUGEPAGE) // no more than a hint
	cpus := runtime.GOMAXPROCS(1)          // the collector wakes idle ones for each piece of memory
	runtime.GC()                           // heap is free by now
	runtime.GOMAXPROCS(cpus)
	debug.SetGCPercent(startHeapBytes / heapMinimum * 100)
	runtime.AddCleanup(new([64]byte), func(percent int) { debug.SetGCPercent(percent) }, gcPercent)
}
