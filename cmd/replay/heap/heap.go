// Package heap makes the memory of the command cheap: it begins with huge pages (package
// pages), and is collected when these are full.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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
// gcPercent counts, but for heaps that have room in that memory.
func init() {
	debug.SetGCPercent(pages.Bytes / minimum * 100)
	begin()
}

var (
	full atomic.Bool     // the memory that the heap begins with is
	next runtime.Cleanup // comes with the next collection
)

// begin waits for the next collection.
func begin() {
	next = runtime.AddCleanup(new([64]byte), func(struct{}) {
		full.Store(true)
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		debug.SetGCPercent(percent(live[0].Value.Uint64()))
		begin()
	}, struct{}{})
}

// percent has the heap grow by gcPercent, or up to the memory of the start: that is paid
// for, and what the runtime gives back to the kernel it soon asks for again.
func percent(live uint64) int {
	return max(gcPercent, int(pages.Bytes*100/max(live, minimum))-100)
}

// Reuse is for between two jobs of a command, where little is held: the memory that the
// heap begins with is used again, in place of more that the kernel would have to clear. It
// does nothing once the runtime collects by itself.
func Reuse() {
	if full.Load() {
		return
	}
	next.Stop()
	runtime.GC()
	begin()
}
