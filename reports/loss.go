package reports

import (
	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// loss is a stretch with lost events in the time of a run.
type loss struct {
	from, to sim.Time
	cpu      int // -1: unknown
	events   int64
}

// losses are those of a run whose time goes with the recording's; none otherwise.
func losses(res *replay.Result) []loss {
	if res.Options.Timing != replay.Original || res.Options.SpeedPPM <= 0 {
		return nil
	}
	at := func(ns int64) sim.Time {
		ns = min(max(ns, 0), res.Trace.DurationNs)
		ppm := res.Options.SpeedPPM
		return sim.Time(ns/ppm*1_000_000+ns%ppm*1_000_000/ppm) * sim.Nanosecond
	}
	var all []loss
	for _, l := range res.Trace.Losses {
		all = append(all, loss{at(l.From), at(l.To), l.CPU, l.Events})
	}
	return all
}
