package timeline

import (
	"math"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

// A guess against the arithmetic by hand.
func TestGuess(t *testing.T) {
	var s GuessSum
	for _, likely := range []int64{0, 200_000, 499_999, 500_000, 1_000_000} {
		s.Add(likely)
	}
	g := s.Guess()
	if g.Decided != 2 || math.Abs(g.Expected-2.199999) > 1e-9 {
		t.Errorf("%+v, want 2 decided of 2.2 expected", g)
	}
	deviation := 1.28 * math.Sqrt(0.16+0.25+0.25) // 0.2*0.8, twice a half
	if low, high := (2.2-deviation)/1.5, (2.2+deviation)*1.5; math.Abs(g.Low-low) > 1e-3 || math.Abs(g.High-high) > 1e-3 {
		t.Errorf("from %.4f to %.4f, want %.4f to %.4f", g.Low, g.High, low, high)
	}
}

// A reconstruction guesses only where no row tells, and lock_starts alone time nothing.
func TestWhatLockStartsTell(t *testing.T) {
	rows := replaytest.Corpus(t, "churn-1x1").Rows(t)
	var starts, none []traces.Event
	for _, ev := range rows {
		if !ev.Kind.IsLock() {
			none = append(none, ev)
			starts = append(starts, ev)
		} else if ev.Kind == traces.LockStart && !ev.Write {
			starts = append(starts, ev)
		}
	}
	for name, test := range map[string]struct {
		rows             []traces.Event
		guesses, untimed bool
	}{"all": {rows, false, false}, "lock_starts of readers": {starts, true, true}, "none": {none, true, false}} {
		trace := replaytest.Made(test.rows)
		s, err := TakeSurvey(t.Context(), trace)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Reconstruct(t.Context(), trace, s, Config{Using: Everything, Profile: replaytest.Machine(t), Record: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, ok := r.Next(); ok; _, ok = r.Next() {
		}
		r.Close()
		if g := r.Guess(); (g != nil) != test.guesses || g != nil && (g.Decided == 0 || g.Low >= g.Expected || g.High <= g.Expected) {
			t.Errorf("%s: guessed %+v", name, g)
		}
		if rec := r.Recording(); (rec == nil) != (name == "none") || rec != nil && rec.Untimed != test.untimed {
			t.Errorf("%s: recorded %+v", name, rec)
		}
	}
}
