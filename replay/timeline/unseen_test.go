package timeline

import (
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

type nobody struct{}

func (nobody) Row(*traces.Event, bool) {}
func (nobody) Section(*Section)        {}

// Of a lookup's wait, the time after it was let in is put down to what no row shows, unless
// rows show who was on its CPU until then, or it is what a wake-up takes.
func TestUnseenWaits(t *testing.T) {
	const us = 1000
	for _, c := range []struct {
		what         string
		got          int64 // ns: the lookup's lock_acquired; the writer lets go at 100 µs
		other, onCPU int64 // ns: a row of another thread, on that CPU
		least, most  int64
	}{
		{"nobody is seen", 900 * us, 0, 1, 780 * us, 800 * us},
		{"another is seen to the end", 900 * us, 890 * us, 1, 0, 0},
		{"another is seen for a while", 900 * us, 500 * us, 1, 400 * us, 400 * us},
		{"another is seen elsewhere", 900 * us, 890 * us, 0, 780 * us, 800 * us},
		{"another is seen until a wake-up before it", 900 * us, 830 * us, 1, 0, 0},
		{"it wakes up", 150 * us, 0, 1, 0, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			var rows []traces.Event
			add := func(kind traces.Kind, at int64, cpu, tid int32, write, lookup bool) {
				rows = append(rows, traces.Event{
					Seq: int64(len(rows)), Kind: kind, Time: 1_000_000 + at, CPU: cpu, PID: 1, TID: tid, Mm: 7, Write: write, InUprobe: lookup, Addr: 0x1000, Probe: "app:f",
					Has: traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColMm | traces.ColWrite | traces.ColInUprobe | traces.ColAddr | traces.ColProbe,
				})
			}
			add(traces.LockStart, 0, 0, 2, true, false)
			add(traces.LockAcquired, 500, 0, 2, true, false)
			add(traces.LockStart, 20*us, 1, 3, false, true)
			add(traces.LockReleased, 100*us, 0, 2, true, false)
			if c.other > 0 {
				add(traces.Hit, c.other, int32(c.onCPU), 4, false, false)
			}
			add(traces.LockAcquired, c.got, 1, 3, false, true)
			add(traces.LockReleased, c.got+us, 1, 3, false, true)
			add(traces.Hit, c.got+2*us, 1, 3, false, false)
			trace := replaytest.Made(rows)
			s, err := TakeSurvey(t.Context(), trace)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Reconstruct(t.Context(), trace, s, Config{Using: Locks, Profile: replaytest.Machine(t), Observer: nobody{}})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			seen := false
			for op, ok := r.Next(); ok; op, ok = r.Next() {
				if truth := op.Origin.Truth; truth != nil {
					seen = true
					if truth.UnseenNs < c.least || truth.UnseenNs > c.most {
						t.Errorf("%d ns of %d, want %d to %d", truth.UnseenNs, truth.WaitNs, c.least, c.most)
					}
				}
			}
			if !seen {
				t.Error("no lookup that fell back")
			}
		})
	}
}
