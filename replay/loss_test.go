package replay

import (
	"slices"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// stretch is from one time to another, in ns.
type stretch struct{ from, to int64 }

// overflow is the trace as a recorder has it whose buffer of one CPU was full during
// the span: entries and exits of syscalls are events of their own, and the loss is
// told of at the CPU's next event, or at the end. It returns how many events were lost.
func overflow(full []traces.Event, cpu int32, lost stretch) ([]traces.Event, int64) {

	in := func(at int64, ev *traces.Event) bool {
		return ev.Kind != traces.Map && ev.Got(traces.ColCPU) && ev.CPU == cpu && lost.from <= at && at <= lost.to
	}
	var left []traces.Event
	var dropped, before int64
	told := false
	tell := func(at int64) {
		if told = dropped > 0; told {
			left = append(left, traces.Event{
				Time: at, CPU: cpu, Kind: traces.Lost, Ret: dropped, Dur: at - before, Has: traces.ColCPU | traces.ColRet | traces.ColDur,
			})
		}
	}
	for _, ev := range full {
		if ev.Got(traces.ColCPU) && ev.CPU == cpu && ev.Kind != traces.Map {
			if !told && ev.Time > lost.to {
				tell(ev.Time)
			}
			if ev.Time < lost.from {
				before = ev.Time
			}
		}
		entry, exit := in(ev.Time, &ev), ev.Got(traces.ColDur) && in(ev.Time+ev.Dur, &ev)
		if entry {
			dropped++
		}
		if exit {
			dropped++
		}
		switch {
		case !ev.Kind.IsSyscall() || !ev.Got(traces.ColDur):
			if entry {
				continue
			}
		case entry && exit:
			continue
		case entry: // the exit alone is left
			ev.Time += ev.Dur
			ev.Dur = 0
			ev.Has = ev.Has&^(traces.ColDur|traces.ColAddr|traces.ColLen) | traces.ColRet
		case exit:
			ev.Dur, ev.Ret = 0, 0
			ev.Has &^= traces.ColDur | traces.ColRet
		}
		left = append(left, ev)
	}
	if !told {
		tell(full[len(full)-1].Time)
	}
	slices.SortStableFunc(left, func(a, b traces.Event) int { return traces.Compare(&a, &b) })
	for i := range left {
		left[i].Seq = int64(i)
	}
	return left, dropped
}

// Whatever is lost, the fallbacks of the full trace lie within the bounds.
func TestLossBounds(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for _, name := range []string{"churn-1x1", "stress-malloc-z", "javac"} {
		full := replaytest.Corpus(t, name).Rows(t)
		res := speculative(t, replaytest.Made(full))
		truth := res.Runs[0].Fallbacks()
		if r := &res.Runs[0]; r.Low != truth || r.High != truth || r.Undecided != 0 {
			t.Errorf("%s: nothing lost, but %d to %d fallbacks of %d, %d hits undecided", name, r.Low, r.High, truth, r.Undecided)
		}
		rand := sim.NewPRNG(11)
		start, length := full[0].Time, full[len(full)-1].Time-full[0].Time
		var undecided, all, hits int64
		for range rounds {
			from := start + int64(rand.Uint64()>>1)%length
			lost := stretch{from, from + int64(rand.Uint64()>>1)%(length/20)}
			trace, n := overflow(full, int32(rand.Uint64()>>33%2), lost)
			res := speculative(t, replaytest.Made(trace))
			r := &res.Runs[0]
			if res.Trace.Lost != n || n == 0 && r.Undecided > 0 || n > 0 && len(res.Trace.Losses) != 1 {
				t.Errorf("%s: %d events lost, told of %d in %d stretches", name, n, res.Trace.Lost, len(res.Trace.Losses))
			}
			if truth < r.Low || truth > r.High {
				t.Errorf("%s: %d fallbacks, not from %d to %d; lost %d events in %+v", name, truth, r.Low, r.High, n, lost)
			}
			undecided, all, hits = undecided+r.Undecided, all+n, hits+r.Hits
		}
		if undecided == 0 {
			t.Errorf("%s: vacuous, no hit was undecided", name)
		}
		t.Logf("%s: %d events lost in %d runs, %d hits of %d undecided", name, all, rounds, undecided, hits)
	}
}

// A hold whose end was lost does not hold up the replay, nor does it spoil hits for
// ever.
func TestLostRelease(t *testing.T) {
	full := replaytest.Corpus(t, "churn-1x1").Rows(t)
	i := slices.IndexFunc(full, func(ev traces.Event) bool { return ev.Kind == traces.LockReleased && ev.Time > full[len(full)/2].Time })
	released := full[i]
	trace, n := overflow(full, released.CPU, stretch{released.Time, released.Time})
	if n == 0 {
		t.Fatal("vacuous: nothing was lost")
	}
	truth, res := speculative(t, replaytest.Made(full)).Runs[0], speculative(t, replaytest.Made(trace))
	r := &res.Runs[0]
	if r.Low > truth.Fallbacks() || r.High < truth.Fallbacks() || r.Undecided == 0 || r.Undecided > r.Hits/50 {
		t.Errorf("%d to %d fallbacks of %d, %d of %d hits undecided", r.Low, r.High, truth.Fallbacks(), r.Undecided, r.Hits)
	}
}
