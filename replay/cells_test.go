package replay

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
)

// cellsOf are 36 cells of a machine: more than Change.made has bits for.
func cellsOf(profile *machines.Profile) []Cell {
	var cells []Cell
	for _, cpus := range []int{0, 2, 1} {
		for seed := range uint64(2) {
			for _, clone := range []int{1, 2} {
				for _, resolver := range []string{"locked", "speculative", "pervma"} {
					o := DefaultOptions()
					o.Resolvers, o.CPUs, o.Clone, o.Seed = []string{resolver}, cpus, clone, seed+1
					cells = append(cells, Cell{profile, o})
				}
			}
		}
	}
	return cells
}

// A cell among many, of two machines, is what it is alone, but for when things happened.
// The 36th makes each change of an address space as the first does.
func TestPlayCells(t *testing.T) {
	trace := replaytest.Begin(t, "churn-1x1", 10_000)
	other := replaytest.Machine(t).Clone()
	other.Name, other.Recorder.HitLag = "other", other.Recorder.HitLag+40
	cells := append(cellsOf(replaytest.Machine(t)), cellsOf(other)[:2]...)
	var last, total int64
	got, err := PlayCells(context.Background(), trace, cells, func(done, of int64) {
		if done < last || done > of {
			t.Errorf("progress went from %d to %d of %d", last, done, of)
		}
		last, total = done, of
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total == 0 {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	for _, i := range []int{0, 1, 11, 31, 32, 35, 36, 37} {
		want, err := Play(context.Background(), trace, cells[i].Profile, cells[i].Options, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(want.Runs[0].Spans); cells[i].Options.Resolvers[0] == "speculative" && n == 0 {
			t.Error("vacuous: a run has no spans")
		}
		r := &want.Runs[0]
		if len(r.CPUs) == 0 || len(r.Threads) == 0 || r.Probes[0].Times.Resolve.Count == 0 {
			t.Error("vacuous: a run does not say how long the hits of its rows took")
		}
		r.Series, r.Spans, r.SpansDropped, r.CPUs, r.Threads = Series{}, nil, 0, nil, nil
		for i := range r.Probes {
			r.Probes[i].Times = HitTimes{}
		}
		for i := range r.Mms {
			r.Mms[i].Times = HitTimes{}
		}
		if !reflect.DeepEqual(got[i].Result, want) || got[i].Err != nil {
			t.Errorf("cell %d (%+v) is another one among many: %v", i, cells[i].Options, got[i].Err)
		}
	}
}

// A cell that cannot be replayed does not disturb the others, and neither does one in
// which the simulator is at fault.
func TestCellFails(t *testing.T) {
	trace := replaytest.Begin(t, "churn-1x1", 10_000)
	cells := cellsOf(replaytest.Machine(t))[:6]
	cells[1].Options.CPUs = sim.MaxCPUs + 1
	cells[3].Options.Resolvers = []string{"nosuch"}
	cells[4].Options.SpeedPPM = 0 // a division by it
	got, err := PlayCells(context.Background(), trace, cells, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{1: "CPUs", 3: "nosuch", 4: "a fault of the simulator: runtime error: integer divide by zero"} {
		if got[i].Err == nil || got[i].Result != nil || !strings.Contains(got[i].Err.Error(), want) {
			t.Errorf("cell %d: %v; want an error with %q", i, got[i].Err, want)
		}
	}
	alone, err := Play(context.Background(), trace, cells[5].Profile, cells[5].Options, nil)
	if err != nil || got[5].Err != nil || got[5].Result.Runs[0].Digest != alone.Runs[0].Digest {
		t.Errorf("a cell beside those that fail: %v, %v", got[5].Err, err)
	}
}

func TestCellsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	trace := replaytest.Corpus(t, "churn-1x1")
	if _, err := PlayCells(ctx, trace, cellsOf(replaytest.Machine(t)), func(int64, int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
