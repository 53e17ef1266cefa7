package reports

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// Timeline writes the first spans of every run as gzipped trace events, which
// Perfetto and chrome://tracing open: a track for each thread, a process for each
// run and recorded process. Waiting for mmap_lock is a bar inside its span, and an
// arrow leads from a section to each hit that it spoiled. It has none of a trace that
// cannot tell which hits took the lock.
func Timeline(w io.Writer, res *replay.Result) error {
	z := gzip.NewWriter(w)
	t := timeline{enc: json.NewEncoder(z), names: map[[2]int64]bool{}}
	if _, err := io.WriteString(z, `{"displayTimeUnit":"ns","traceEvents":[`+"\n"); err != nil {
		return err
	}
	for i := range res.Runs {
		if !answered(res) {
			break
		}
		t.run(z, i, &res.Runs[i])
	}
	t.losses(z, int64(len(res.Runs))*runSpread, losses(res))
	if t.err != nil {
		return t.err
	}
	if _, err := io.WriteString(z, "]}\n"); err != nil {
		return err
	}
	return z.Close()
}

// traceEvent is one event of the format (Trace Event Format, JSON object form).
type traceEvent struct {
	Name  string         `json:"name"`
	Phase string         `json:"ph"`
	PID   int64          `json:"pid"`
	TID   int64          `json:"tid"`
	TS    json.Number    `json:"ts"` // µs
	Dur   json.Number    `json:"dur,omitempty"`
	Cat   string         `json:"cat,omitempty"`
	ID    int64          `json:"id,omitempty"`
	BP    string         `json:"bp,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

type timeline struct {
	enc   *json.Encoder
	count int
	arrow int64
	names map[[2]int64]bool
	err   error
}

// runSpread keeps the processes of different runs apart: recorded ids are below (PID_MAX_LIMIT).
const runSpread = 1 << 23

func (t *timeline) emit(w io.Writer, e traceEvent) {
	if t.err != nil {
		return
	}
	if t.count > 0 {
		_, t.err = io.WriteString(w, ",")
	}
	t.count++
	if t.err == nil {
		t.err = t.enc.Encode(e)
	}
}

func (t *timeline) run(w io.Writer, index int, r *replay.Run) {
	base := int64(index) * runSpread
	for i := range r.Spans {
		s := &r.Spans[i]
		t.name(w, base, r.Resolver, s)
		e := traceEvent{
			Name: s.Op, Phase: "X", PID: base + int64(s.PID), TID: int64(s.TID), TS: micros(s.Start), Dur: micros(s.End - s.Start),
			Cat: "section", Args: map[string]any{"cpu": s.CPU},
		}
		if s.Kind == replay.FallbackSpan {
			e.Name, e.Cat = s.Probe, "fallback"
			e.Args["reason"] = s.Outcome.String()
		}
		t.emit(w, e)
		if wait := s.LockedAt - s.Start; wait > shownWait && s.LockedAt > 0 {
			t.emit(w, traceEvent{Name: "waits for mmap_lock", Phase: "X", PID: e.PID, TID: e.TID, TS: e.TS, Dur: micros(wait), Cat: "wait"})
		}
		if s.Kind == replay.FallbackSpan && s.Blame >= 0 {
			t.blame(w, base, &r.Spans[s.Blame], s)
		}
	}
}

// losses shows where events were lost, on a track for each CPU.
func (t *timeline) losses(w io.Writer, pid int64, all []loss) {
	for i, l := range all {
		if i == 0 {
			t.emit(w, traceEvent{Name: "process_name", Phase: "M", PID: pid, TS: "0", Args: map[string]any{"name": "lost events"}})
		}
		if key := [2]int64{pid, int64(l.cpu)}; !t.names[key] {
			t.names[key] = true
			t.emit(w, traceEvent{Name: "thread_name", Phase: "M", PID: pid, TID: int64(l.cpu) + 1, TS: "0", Args: map[string]any{"name": cpuName(l.cpu)}})
		}
		t.emit(w, traceEvent{
			Name: plural(l.events, "event") + " lost", Phase: "X", PID: pid, TID: int64(l.cpu) + 1, TS: micros(l.from), Dur: micros(l.to - l.from), Cat: "lost",
		})
	}
}

func cpuName(cpu int) string {
	if cpu < 0 {
		return "unknown CPU"
	}
	return fmt.Sprintf("CPU %d", cpu)
}

// blame draws an arrow from a section to a hit.
func (t *timeline) blame(w io.Writer, base int64, from, to *replay.Span) {
	t.arrow++
	e := traceEvent{Name: "spoiled", Cat: "blame", ID: t.arrow, PID: base + int64(from.PID), TID: int64(from.TID), Phase: "s", TS: micros(from.Start)}
	t.emit(w, e)
	e.PID, e.TID, e.Phase, e.TS, e.BP = base+int64(to.PID), int64(to.TID), "f", micros(to.Start), "e"
	t.emit(w, e)
}

// name names a thread and its process, once.
func (t *timeline) name(w io.Writer, base int64, resolver string, s *replay.Span) {
	pid := base + int64(s.PID)
	if key := [2]int64{pid, -1}; !t.names[key] {
		t.names[key] = true
		t.emit(w, traceEvent{Name: "process_name", Phase: "M", PID: pid, TS: "0", Args: map[string]any{"name": fmt.Sprintf("%s: %d", resolver, s.PID)}})
	}
	if key := [2]int64{pid, int64(s.TID)}; !t.names[key] {
		t.names[key] = true
		t.emit(w, traceEvent{Name: "thread_name", Phase: "M", PID: pid, TID: int64(s.TID), TS: "0", Args: map[string]any{"name": s.Comm}})
	}
}

// micros is a time in µs, exact to the ns.
func micros(t sim.Time) json.Number {
	return json.Number(fmt.Sprintf("%d.%03d", t.Nanos()/1000, t.Nanos()%1000))
}

// shownWait is the shortest wait that gets a bar of its own.
const shownWait = 100 * sim.Nanosecond
