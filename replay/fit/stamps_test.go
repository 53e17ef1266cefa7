package fit

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// lookupPlaces are where lookups of a trace were placed: ns from the row that shows it to
// the begin, of those that the kernel answered without the lock and of those that fell
// back. Rows are hits and lock_starts, or arrive rows.
func lookupPlaces(t *testing.T, name string, using timeline.Using) (lockless, failed map[int64]int) {
	t.Helper()
	ctx := context.Background()
	trace := replaytest.Corpus(t, name)
	arrived, last := map[int64]int64{}, map[int32]int64{} // by row of the hit; by thread
	stream, err := trace.Stream(traces.AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	var ev traces.Event
	for stream.Next(&ev) == nil {
		switch ev.Kind {
		case traces.Arrive:
			last[ev.TID] = ev.Time
		case traces.Hit:
			arrived[ev.Seq] = last[ev.TID]
		}
	}
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := timeline.Reconstruct(ctx, trace, s, timeline.Config{Using: using, Profile: replaytest.Machine(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	lockless, failed = map[int64]int{}, map[int64]int{}
	for {
		op, more := rec.Next()
		if !more {
			return lockless, failed
		}
		if op.Kind != sim.OpHit {
			continue
		}
		if using == timeline.Stamps && arrived[op.Origin.Seq] == 0 {
			continue // it arrived before the slice begins
		}
		from, of := op.Origin.Time, lockless
		if op.Origin.Truth != nil {
			from, of = op.Origin.Truth.LockStart, failed
		}
		if using == timeline.Stamps {
			from = arrived[op.Origin.Seq]
		}
		of[op.At-from]++
	}
}

// With arrivals of their own, lookups that fell back are placed as those that did not: the
// same time after the arrival, and all of them take as long as the machine says.
func TestArrivalsAreTheSameForBothOutcomes(t *testing.T) {
	lockless, failed := lookupPlaces(t, "stamped-1x1", timeline.Stamps)
	if len(lockless) != 1 || len(failed) != 1 {
		t.Fatalf("lookups begin %v after their arrivals, those that fell back %v", lockless, failed)
	}
	for after, n := range failed {
		if n < 1000 || lockless[after] < 5000 {
			t.Errorf("%d fell back and begin %d ns after their arrival, %d did not", n, after, lockless[after])
		}
	}
}

// By lock events, what decides is one width for both outcomes; only the rows that show them
// are displaced differently, by what the pace of the threads tells.
func TestWidthsAreTheSameForBothOutcomes(t *testing.T) {
	lockless, failed := lookupPlaces(t, "stamped-1x1", timeline.Locks)
	if len(lockless) != 1 || len(failed) == 0 {
		t.Fatalf("lookups begin %v from their hits, those that fell back %v from their lock_starts", lockless, failed)
	}
	trace := replaytest.Corpus(t, "stamped-1x1")
	for _, using := range []timeline.Using{timeline.Locks, timeline.Stamps} {
		widths := map[sim.Time]int{}
		v := &validatorProbe{each: func(h *sim.HitRecord) {
			if h.Op.LookupCycles != 0 || h.Op.CheckCycles != 0 {
				t.Fatalf("using %v: a lookup has a length of its own", using)
			}
			if h.Lookup.Outcome == sim.Lockless {
				widths[h.Lookup.Answered-h.Lookup.Start]++
			}
		}}
		v.play(t, trace, using)
		most, all := 0, 0
		for _, n := range widths {
			most, all = max(most, n), all+n
		}
		if all == 0 || most*10 < all*7 {
			t.Errorf("using %v: lookups take %v", using, widths)
		}
	}
}

// With arrivals, nothing of a lookup's lock events is read: without them each lookup is
// predicted alike.
func TestStampsHideAllOfALookup(t *testing.T) {
	inLookup := map[int32]bool{}
	hidden := 0
	hide := func(ev *traces.Event) bool {
		switch {
		case ev.Kind == traces.LockStart:
			inLookup[ev.TID] = ev.InUprobe
			hidden += index(ev.InUprobe)
			return !ev.InUprobe
		case ev.Kind.IsLock() && inLookup[ev.TID]:
			return false
		case ev.Kind == traces.Hit:
			inLookup[ev.TID] = false
		}
		return true
	}
	trace := replaytest.Corpus(t, "stamped-1x1")
	want := decisions(t, trace, timeline.Stamps)
	trace.Change = hide
	got := decisions(t, trace, timeline.Stamps)
	fell := 0
	for _, f := range want {
		fell += index(f)
	}
	if hidden == 0 || fell == 0 {
		t.Fatalf("%d lookups were hidden, %d are predicted to fall back", hidden, fell)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("without the lock events of lookups (+), %d of which are predicted to fall back:\n%s", fell, diff)
	}
}

func TestStampsByThemselves(t *testing.T) {
	for name, want := range map[string]timeline.Using{"stamped-1x1": timeline.Stamps, "churn-1x1": timeline.Locks, "light-1x1": timeline.Syscalls} {
		v, err := Validate(context.Background(), replaytest.Corpus(t, name), replaytest.Machine(t), Comparison{})
		if err != nil || v.Using != want {
			t.Errorf("%s is compared using %v, %v; want %v", name, v.Using, err, want)
		}
	}
	if _, err := Validate(context.Background(), replaytest.Corpus(t, "churn-1x1"), replaytest.Machine(t), Comparison{Using: timeline.Stamps}); !errors.Is(err, ErrNoStamps) {
		t.Errorf("stamps of a trace without: %v", err)
	}
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Of a light recording the truth is in the lock_starts of threads that do not fault; it is
// never of those that do.
func TestLightTruth(t *testing.T) {
	const steady, faulting = 10, 20
	var rows []traces.Event
	at := int64(1_000_000)
	row := func(tid int32, kind traces.Kind) *traces.Event {
		at += 2000
		rows = append(rows, traces.Event{Time: at, Seq: int64(len(rows)), Kind: kind, CPU: tid / 20, PID: 10, TID: tid, Has: traces.ColCPU | traces.ColPID | traces.ColTID})
		ev := &rows[len(rows)-1]
		switch kind {
		case traces.Hit:
			ev.Addr, ev.Probe, ev.Path, ev.Inode = 0x401000, "app:f", "/app", 5
			ev.Has |= traces.ColAddr | traces.ColProbe | traces.ColPath | traces.ColInode
		case traces.LockStart:
			ev.Has |= traces.ColWrite
		case traces.Munmap:
			ev.Dur, ev.Addr, ev.Len = 1500, 0x7000_0000, 4096
			ev.Has |= traces.ColDur | traces.ColRet | traces.ColAddr | traces.ColLen
		}
		return ev
	}
	for n := range 100 {
		for _, tid := range []int32{steady, faulting} {
			row(tid, traces.Hit)
			if n%10 == 0 {
				row(tid, traces.LockStart)
			}
			if tid == faulting && n%20 == 0 { // two faults before the next hit
				row(tid, traces.LockStart)
			}
		}
		row(30, traces.Munmap)
	}
	v, err := Validate(context.Background(), replaytest.Made(rows), replaytest.Machine(t), Comparison{Light: true})
	if err != nil {
		t.Fatal(err)
	}
	if v.Observed != 10 || v.Undecided != 100 || v.Lookups != 100 || v.Hits != 200 || !v.Scores() || v.Waited {
		t.Errorf("%d fallbacks of %d lookups, %d of %d hits undecided, scores %v, waits %v", v.Observed, v.Lookups, v.Undecided, v.Hits, v.Scores(), v.Waited)
	}
	v, err = Validate(context.Background(), replaytest.Made(rows), replaytest.Machine(t), Comparison{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Scores() {
		t.Error("lock_starts that do not say what for make a score unasked")
	}
}
