package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/ingest/capture"
	"github.com/replay/replay/traces"
)

// A kprobe where hits enter the kernel, as captures have it on kernels with
// kprobes, gives arrive rows, and the replay takes each as its hit's arrival. The
// last hit of the fixture has none.
func TestArrivals(t *testing.T) {
	inFolder(t)
	fixture := filepath.Join(testdata, "arrive.txt")
	succeed(t, "ingest", "-q", "-o", "arrive.parquet", fixture)
	events, _ := readEvents(t, "arrive.parquet")
	arrived := map[int32][]int64{}
	for i := range events {
		if ev := &events[i]; ev.Kind == traces.Arrive {
			arrived[ev.TID] = append(arrived[ev.TID], ev.Time%1_000_000)
		}
	}
	if a, b := arrived[100], arrived[101]; len(a) != 2 || a[0] != 10_000 || a[1] != 30_000 || len(b) != 1 || b[0] != 20_000 {
		t.Errorf("arrivals of each thread: %v", arrived)
	}
	var report struct {
		Trace struct {
			Hits     int64
			Arrivals struct{ Observed, Inferred int64 }
		}
	}
	if err := json.Unmarshal([]byte(succeed(t, "run", "-q", "--json", "-o", "a.run", "arrive.parquet")), &report); err != nil {
		t.Fatal(err)
	}
	if got := report.Trace; got.Hits != 4 || got.Arrivals.Observed != 3 || got.Arrivals.Inferred != 1 {
		t.Errorf("%+v: want 3 arrivals observed, 1 inferred", got)
	}
}

// A process that is not there shows before a probe is added.
func TestCaptureNoProcess(t *testing.T) {
	inFolder(t)
	const gone = "2147483647" // above PID_MAX_LIMIT
	r := call(t, "capture", "--probe", "app:f", "-p", gone)
	if r.code != exitUsage || r.stdout != "" {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if len(capture.ThisMachine().Missing(capture.Options{Tool: capture.Perf})) > 0 {
		t.Skip("this machine lacks what a capture needs")
	}
	if !strings.Contains(r.stderr, "-p "+gone+": there is no such process") {
		t.Error(r.stderr)
	}
}
