package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/traces"
)

// Each hit gets an arrive row, of its thread and before it, and the rows are in order.
func TestArriveArg(t *testing.T) {
	events, meta := read(t, "testdata/churn-stamped.perf.data", Options{ArriveArg: "t"})
	checkOrder(t, events)
	n := kinds(events)
	if n["hit"] < 100 || n["arrive"] != n["hit"] || len(meta.Warnings) > 0 {
		t.Fatalf("%d arrivals of %d hits, warnings %q", n["arrive"], n["hit"], meta.Warnings)
	}
	if !strings.Contains(strings.Join(meta.Recorded, " "), "arrive") {
		t.Errorf("recorded %q, without arrive", meta.Recorded)
	}
	arrived := map[int32]*traces.Event{}
	for i := range events {
		switch ev := &events[i]; ev.Kind {
		case traces.Arrive:
			arrived[ev.TID] = ev
			if ev.Got(traces.ColCPU) {
				t.Fatalf("row %d says on which CPU the thread arrived", i)
			}
		case traces.Hit:
			a := arrived[ev.TID]
			if a == nil || ev.Time-a.Time < 300 || ev.Time-a.Time > 10_000_000 || a.Probe != ev.Probe || a.Addr != ev.Addr || a.PID != ev.PID || a.Comm != ev.Comm {
				t.Fatalf("hit %+v arrived as %+v", ev, a)
			}
			delete(arrived, ev.TID)
		}
	}
	without, _ := read(t, "testdata/churn-stamped.perf.data", Options{})
	if got := kinds(without); got["arrive"] != 0 || got["hit"] != n["hit"] || len(without)+n["arrive"] != len(events) {
		t.Errorf("without the argument: %v", got)
	}
}

// The stamps are those that perf script prints.
func TestArriveArgIsTheArgument(t *testing.T) {
	events, _ := read(t, "testdata/churn-stamped.perf.data", Options{ArriveArg: "t"})
	needPerf(t)
	text, err := exec.Command("perf", "script", "-F", "trace", "-i", "testdata/churn-stamped.perf.data").Output()
	if err != nil {
		t.Fatalf("perf script: %v", err)
	}
	for i := range events {
		if ev := &events[i]; ev.Kind == traces.Arrive && !bytes.Contains(text, []byte(fmt.Sprintf(" t=%d\n", ev.Time))) {
			t.Fatalf("perf script knows no t=%d", ev.Time)
		}
	}
}

func TestArriveArgRefused(t *testing.T) {
	for _, c := range []struct{ file, arg, want string }{
		{"churn-stamped.perf.data", "when", "no probe has an argument when: probe_churn_stamped:stamped_nop has t; add it"},
		{"churn.perf.data", "t", "has no argument; add it with perf probe"},
		{"churn-stamped-perf-clock.perf.data", "t", "the clocks differ: stamps in argument t are of CLOCK_MONOTONIC, and the recording's clock is perf; record with perf record -k CLOCK_MONOTONIC"},
		{"churn.bpftrace.txt", "t", "read from perf.data alone"},
	} {
		_, _, err := tryRead(filepath.Join("testdata", c.file), Options{ArriveArg: c.arg})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v, want %q", c.file, c.arg, err, c.want)
		}
	}
}

// A stamp that is no time before its hit is refused where it is the first, and else
// counted. Either way no row is made up.
func TestArriveArgOutOfReach(t *testing.T) {
	data, err := os.ReadFile("testdata/churn-stamped.perf.data")
	if err != nil {
		t.Fatal(err)
	}
	events, _ := read(t, "testdata/churn-stamped.perf.data", Options{ArriveArg: "t"})
	var stamps []int64
	for i := range events {
		if events[i].Kind == traces.Arrive {
			stamps = append(stamps, events[i].Time)
		}
	}
	with := func(nth int, value uint64) string {
		old := binary.LittleEndian.AppendUint64(nil, uint64(stamps[nth]))
		at := strings.Index(string(data), string(old))
		if at < 0 {
			t.Fatal("the stamp is not in the file")
		}
		changed := append([]byte{}, data...)
		binary.LittleEndian.PutUint64(changed[at:], value)
		path := filepath.Join(t.TempDir(), "changed.perf.data")
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, value := range []uint64{0, 1, uint64(stamps[0]) + 1e9, 1 << 63} {
		var bad *perfdata.Error
		if _, _, err := tryRead(with(0, value), Options{ArriveArg: "t"}); !errors.As(err, &bad) || bad.Offset == 0 {
			t.Errorf("first stamp %d: %v", value, err)
		}
		rows, meta := read(t, with(50, value), Options{ArriveArg: "t"})
		if n := kinds(rows); n["arrive"] != len(stamps)-1 || n["hit"] != len(stamps) {
			t.Errorf("stamp %d: %v", value, n)
		}
		if want := "1 hits have no arrival"; !strings.Contains(strings.Join(meta.Warnings, "\n"), want) {
			t.Errorf("stamp %d: warnings %q", value, meta.Warnings)
		}
	}
}
