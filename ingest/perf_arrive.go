package ingest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/traces"
)

// arriveReach is how long before its hit a stamp may lie, in ns. What waits longer for
// its lookup keeps its row, without an arrival.
const arriveReach = 1_000_000_000

// arrivalRecord is the type under which the arrival of a hit waits in the queue. No
// record of a file has it.
const arrivalRecord perfdata.Type = 1 << 31

// arrivals are rows that an argument of probes makes: the time at which the program was
// about to trap (Options.ArriveArg).
type arrivals struct {
	arg    string // "" for none
	made   int64
	beyond int64 // hits whose stamp is not within arriveReach before
}

// checkArrivals refuses a recording whose probes lack the argument, or whose clock is not
// the one that programs can read.
func (s *perfStream) checkArrivals() error {
	if s.arrivals.arg == "" {
		return nil
	}
	var probes, args []string
	for _, ev := range s.r.Events() {
		d := s.decoder(ev)
		if d.point == nil || d.point.Kind != traces.Hit {
			continue
		}
		if d.arrive != nil {
			return s.checkArrivalClock()
		}
		probes = append(probes, ev.Name)
		for i := range ev.Format.Fields {
			if f := ev.Format.Fields[i].Name; !strings.HasPrefix(f, "common_") && !strings.HasPrefix(f, "__probe_") {
				args = append(args, f)
			}
		}
	}
	if len(probes) == 0 && s.in.shared {
		return nil
	}
	slices.Sort(args)
	has := "no argument"
	if len(args) > 0 {
		has = shorten(slices.Compact(args))
	}
	return fmt.Errorf("%s: no probe has an argument %s: %s has %s; add it with perf probe -x PROGRAM 'FUNCTION %s=%%di:u64'", s.in.path, s.arrivals.arg, shorten(probes), has, s.arrivals.arg)
}

func (s *perfStream) checkArrivalClock() error {
	if clock := s.clock(); clock != "monotonic" {
		return fmt.Errorf("%s: %w: stamps in argument %s are of CLOCK_MONOTONIC, and the recording's clock is %s; record with perf record -k CLOCK_MONOTONIC", s.in.path, ErrClock, s.arrivals.arg, clock)
	}
	return nil
}

// arrival puts the arrival of the hit that was read last into the queue.
func (s *perfStream) arrival(part *perfPart) error {
	rec, body := &s.rec, part.r.Body()
	if s.arrivals.arg == "" || rec.Type != perfdata.Sample {
		return nil
	}
	if err := s.r.Decode(&s.taken, rec.Type, rec.Misc, rec.Offset, body); err != nil {
		return err
	}
	field := s.decoder(s.taken.Event).arrive
	if field == nil {
		return nil
	}
	at, ok := field.Uint(s.taken.Raw)
	if early := int64(rec.Time - at); !ok || early < 0 || early > arriveReach {
		if s.arrivals.made == 0 {
			return &perfdata.Error{File: s.in.path, Offset: rec.Offset, What: "argument " + s.arrivals.arg, Err: perfdata.ErrCorrupt,
				Want: fmt.Sprintf("it is %d and the hit's time %d: it has to be the time just before the trap, in ns of CLOCK_MONOTONIC", at, rec.Time)}
		}
		s.arrivals.beyond++
		return nil
	}
	s.arrivals.made++
	held := *rec
	held.Type, held.Time, held.CPU = arrivalRecord, at, -1 // the thread may have moved while it waited
	s.queue.add(&held, body, part.number())
	return nil
}

// arrived makes the row of an arrival that waited.
func (s *perfStream) arrived(h *heldRecord) error {
	if err := s.r.Decode(&s.taken, perfdata.Sample, h.misc, h.offset, h.body); err != nil {
		return err
	}
	d := s.decoder(s.taken.Event)
	r := s.record(&s.taken, traces.Arrive)
	r.Time, r.Probe = h.time, d.name
	r.Has = r.Has&^traces.ColCPU | traces.ColProbe
	r.CPU = 0
	if ip, ok := d.ip.Uint(s.taken.Raw); ok {
		r.Addr = ip
		r.Has |= traces.ColAddr
	}
	s.asm.Place(r)
	return nil
}

// warnings tells of hits that have no arrival.
func (a *arrivals) warnings() []string {
	if a.beyond == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d hits have no arrival: argument %s is no time within 1 s before them", a.beyond, a.arg)}
}
