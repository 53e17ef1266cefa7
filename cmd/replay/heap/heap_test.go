package heap

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/replay/replay/cmd/replay/heap/pages"
)

var kept []byte

// What Reuse collects is no sign that the memory of the start is full; what the runtime
// collects is.
func TestReuse(t *testing.T) {
	percent := func() int {
		p := debug.SetGCPercent(-1)
		debug.SetGCPercent(p)
		return p
	}
	collections := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumGC
	}
	if full.Load() {
		t.Skip("it can be seen once in a process")
	}
	const start = pages.Bytes / minimum * 100
	if p := percent(); p != start {
		t.Fatalf("%d percent at the start, want %d", p, start)
	}
	before := collections()
	for range 3 {
		Reuse()
		time.Sleep(10 * time.Millisecond) // cleanups run in a goroutine of the runtime
	}
	if n := collections() - before; n != 3 || percent() != start || full.Load() {
		t.Fatalf("%d collections of 3, then %d percent", n, percent())
	}
	for !full.Load() {
		kept = make([]byte, minimum)
	}
	for range 100 {
		if percent() == gcPercent {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if p := percent(); p != gcPercent {
		t.Errorf("%d percent once the memory was full, want %d", p, gcPercent)
	}
	debug.SetGCPercent(-1)
	before = collections()
	if Reuse(); collections() != before {
		t.Error("it collects where the runtime does")
	}
}
