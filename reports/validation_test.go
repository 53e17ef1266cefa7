package reports

import (
	"bytes"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

// validated1000 is a validation of 1000 hits, of which 100 are of optimised probes.
func validated1000() *fit.Validation {
	v := &fit.Validation{
		Using: timeline.Locks, Events: 5000, Lost: 20, Hits: 1000, Lookups: 1100, Observed: 50, Predicted: 47, Inferred: true, Waited: true, Recording: 3700 * sim.Nanosecond, Unseen: dist.Dist{Count: 2, Total: 41 * sim.Microsecond}, Expected: 47.6, Low: 30, High: 75,
		TP: 40, FP: 7, FN: 10, ArrivalError: distOf([]sim.Time{100 * sim.Nanosecond, 200 * sim.Nanosecond, 4 * sim.Microsecond}),
	}
	v.Waits.Observed = distOf([]sim.Time{sim.Microsecond, 2 * sim.Microsecond, 40 * sim.Microsecond})
	v.Waits.Predicted = distOf([]sim.Time{sim.Microsecond, 3 * sim.Microsecond})
	v.Misses = []fit.Miss{
		{
			Time: 5_000_000_123, PID: 700, TID: 701, Comm: "worker", FellBack: true, Arrival: "inferred", Start: 5_000_000_000, End: 5_000_000_100, WaitNs: 40_000,
		},
		{
			Time: 6_500_000_000, PID: 700, TID: 702, Comm: "worker", Arrival: "observed", Start: 6_499_999_990, End: 6_500_000_250, WaitNs: 3000,
			Blame: &timeline.Origin{Class: &timeline.Class{TID: 720, Comm: "gc", Kind: "munmap"}, Seq: 321, Time: 6_500_000_200},
		},
	}
	return v
}

func TestValidation(t *testing.T) {
	quiet := validated1000() // a trace with nothing to say beyond the score
	quiet.Lost, quiet.Inferred, quiet.Misses, quiet.ArrivalError, quiet.Lookups = 0, false, nil, dist.Dist{}, quiet.Hits
	light := validated1000() // lock_starts alone, of some threads that fault
	light.Using, light.Waited, light.Undecided = timeline.Syscalls, false, 40
	untold := validated1000()
	untold.Undecided = 30
	untold.Unknown = []replay.Unknown{
		{What: replay.UnknownOutcomes, Why: "the lock events have no callchain", Remedy: "record one, as replay capture does"},
		{What: replay.UnknownLosses, Why: "the text does not show them", Remedy: "print with perf script --show-lost-events"},
	}
	nothing := validated1000()
	nothing.Lost = 0
	nothing.Unknown = []replay.Unknown{
		{What: replay.UnknownWriters, Why: "nothing that changes address spaces was recorded", Remedy: "record it"},
		{What: replay.UnknownOutcomes, Why: "no lock events were recorded", Remedy: "record mmap_lock events"},
		{What: replay.UnknownHits, Why: "they were sampled", Remedy: "record all"},
	}
	for name, v := range map[string]*fit.Validation{"scored": validated1000(), "quiet": quiet, "light": light, "untold": untold, "nothing": nothing} {
		var text, doc bytes.Buffer
		if err := ValidationText(&text, v); err != nil {
			t.Fatal(err)
		}
		tracetest.Golden(t, "validation/"+name+".txt", text.String())
		if err := ValidationJSON(&doc, v); err != nil {
			t.Fatal(err)
		}
		tracetest.Golden(t, "validation/"+name+".json", doc.String())
	}
}

// A full disk is an error of the text, too.
func TestValidationFails(t *testing.T) {
	for _, room := range []int{70, 200} {
		if err := ValidationText(&small{room, errFull}, validated1000()); err == nil {
			t.Errorf("no error after %d bytes", room)
		}
	}
}
