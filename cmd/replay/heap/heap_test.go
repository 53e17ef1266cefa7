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
	current := func() int {
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
	if p := current(); p != start {
		t.Fatalf("%d percent at the start, want %d", p, start)
	}
	before := collections()
	for range 3 {
		Reuse()
		time.Sleep(10 * time.Millisecond) // cleanups run in a goroutine of the runtime
	}
	if n := collections() - before; n != 3 || current() != start || full.Load() {
		t.Fatalf("%d collections of 3, then %d percent", n, current())
	}
	for !full.Load() {
		kept = make([]byte, minimum)
	}
	kept = make([]byte, 2*pages.Bytes)
	runtime.GC()
	for range 100 {
		if current() == gcPercent {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if p := current(); p != gcPercent {
		t.Errorf("%d percent with twice the memory of the start alive, want %d", p, gcPercent)
	}
	kept = nil
	runtime.GC()
	for range 100 {
		if current() > gcPercent {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if p := current(); p <= gcPercent {
		t.Errorf("%d percent with next to nothing alive, want the memory of the start to be filled", p)
	}
	debug.SetGCPercent(-1)
	before = collections()
	if Reuse(); collections() != before {
		t.Error("it collects where the runtime does")
	}
}

func TestPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 1100, minimum: 1100, pages.Bytes / 4: 300, pages.Bytes / 2: 100, pages.Bytes * 3 / 4: gcPercent, pages.Bytes: gcPercent, 1 << 40: gcPercent} {
		if got := percent(live); got != want {
			t.Errorf("%d bytes alive: %d percent, want %d", live, got, want)
		}
	}
}
