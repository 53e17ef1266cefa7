package replaytest

import (
	"testing"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// Loop is a loop that hits every 2 µs beside one that maps, on a recorder
// that spends so much on a writer's lock_start, and by which hits are so late that
// fell back. It returns the number of those.
func Loop(t testing.TB, recording, cost int64) (rows []traces.Event, late int64) {
	rand := sim.NewPRNG(3)
	upTo := func(n int64) int64 { return int64(rand.Uint64()>>1) % n }
	const hitter, mapper = 11, 12
	p := Machine(t)
	row := func(at int64, kind traces.Kind, tid int32) *traces.Event {
		rows = append(rows, traces.Event{Time: at, Seq: int64(len(rows)), CPU: tid - hitter, PID: 10, TID: tid, Kind: kind, Has: traces.ColCPU | traces.ColPID | traces.ColTID})
		return &rows[len(rows)-1]
	}
	lookup := int64(1_000_000) // end of the next one
	for entry := int64(1_010_000); entry < 60_000_000; entry += 30_000 + upTo(9000) {
		from := entry + p.Sections["mmap"].Start + recording
		to := from + 2000
		hit := func(before int64) {
			for lookup < before {
				if lookup >= from && lookup-p.Recorder.Window <= to {
					ev := row(lookup+p.Recorder.FailLag, traces.LockStart, hitter)
					ev.InUprobe, ev.Has = true, ev.Has|traces.ColInUprobe|traces.ColWrite
					lookup += cost + upTo(200)
					late++
				}
				ev := row(lookup+p.Recorder.HitLag, traces.Hit, hitter)
				ev.Addr, ev.Probe, ev.Has = 0x1000, "a:b", ev.Has|traces.ColAddr|traces.ColProbe
				lookup += 1900 + upTo(200)
			}
		}
		hit(entry - p.Recorder.HitLag)
		ev := row(entry, traces.Mmap, mapper)
		ev.Addr, ev.Len, ev.Ret, ev.Dur = 0x70000000, 4096, 0x70000000, to-entry+p.Recorder.ExitLag
		ev.Has |= traces.ColAddr | traces.ColLen | traces.ColRet | traces.ColDur
		hit(entry + 25_000)
	}
	return rows, late
}
