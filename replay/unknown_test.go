package replay

import (
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

// Without process ids threads are in one address space, not in one each, and the
// result says that nobody knows.
func TestUnknownProcesses(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	trace.Change = func(ev *traces.Event) bool {
		ev.Has &^= traces.ColPID
		return true
	}
	res := play(t, trace, func(o *Options) { o.Resolvers = []string{"speculative"} })
	if res.Knows(UnknownProcesses) || res.Trace.Mms != 1 || res.Trace.Threads < 2 {
		t.Errorf("%d threads of %d address spaces, unknown %v", res.Trace.Threads, res.Trace.Mms, res.Unknown)
	}
	if res.Runs[0].Fallbacks() == 0 {
		t.Error("no writer is in the way of another thread's hit")
	}
}

// Lock events that do not tell which are of lookups leave hits where a trace without
// lock events has them: those that were late are not taken for on time.
func TestUnknownOutcomes(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	trace.Change = func(ev *traces.Event) bool {
		if ev.Kind == traces.LockStart && ev.InUprobe {
			ev.InUprobe = false
			ev.Has &^= traces.ColInUprobe | traces.ColStack
			ev.Stack = nil
		}
		return true
	}
	res := play(t, trace, func(o *Options) { o.Resolvers = []string{"speculative"} })
	if res.Knows(UnknownOutcomes) || res.Trace.Arrivals.Observed != 0 {
		t.Errorf("arrivals %+v, unknown %v", res.Trace.Arrivals, res.Unknown)
	}
	const known = 516
	if n := res.Runs[0].Fallbacks(); n < known*8/10 || n > known*12/10 {
		t.Errorf("%d hits fell back, and %d where the trace tells", n, known)
	}
}
