// Package pages asks for huge pages for the memory that the heap begins with: a short
// command spends a third of its time in page faults, of which 512 become one. The runtime
// never asks (transparent_hugepage is usually set to madvise), and uses again what is freed.
// What nothing touches is not taken either way.
//
// It imports next to nothing, and so is initialised before nearly every other package:
// those allocate the first megabyte.
package pages

import (
	"runtime"
	"syscall"
	"unsafe"
)

// Bytes is how much memory that is, what most commands get by with.
const Bytes = 48 << 20

const (
	hugePage = 2 << 20

	// populateWrite is MADV_POPULATE_WRITE of Linux 5.14, which package syscall lacks.
	populateWrite = 23
)

func init() {
	heap := make([]byte, Bytes)
	// Both are hints: what cannot be had so comes by page faults.
	syscall.Madvise(heap, syscall.MADV_HUGEPAGE)
	if before := -uintptr(unsafe.Pointer(unsafe.SliceData(heap))) % hugePage; before > 0 {
		syscall.Madvise(heap[:before], populateWrite) // no whole huge page, and the first to be used
	}
	cpus := runtime.GOMAXPROCS(1) // the collector wakes idle ones for each piece of memory
	runtime.GC()                  // heap is free by now
	runtime.GOMAXPROCS(cpus)
}
