package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/klauspost/compress/gzip"

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
	t := timelineWriter{events: eventWriter{w: z}, names: map[track]bool{}}
	t.events.buf = append(t.events.buf, `{"displayTimeUnit":"ns","traceEvents":[`+"\n"...)
	for i := range res.Runs {
		if !answered(res) {
			break
		}
		t.run(i, &res.Runs[i])
	}
	t.losses(int64(len(res.Runs))*runSpread, losses(res))
	t.events.buf = append(t.events.buf, "]}\n"...)
	if err := t.events.flush(); err != nil {
		return err
	}
	return z.Close()
}

type timelineWriter struct {
	events eventWriter
	arrows int64
	names  map[track]bool
}

// runSpread keeps the processes of different runs apart: recorded ids are below (PID_MAX_LIMIT).
const runSpread = 1 << 23

func (t *timelineWriter) run(index int, r *replay.Run) {
	base := int64(index) * runSpread
	for i := range r.Spans {
		s := &r.Spans[i]
		on := track{base + int64(s.PID), int64(s.TID)}
		t.name(on, r.Resolver, s)
		e := traceEvent{name: s.Op, on: on, at: s.Start, dur: s.End - s.Start, cat: "section", cpu: s.CPU}
		if s.Kind == replay.FallbackSpan {
			e.name, e.cat, e.reason = s.Probe, "fallback", s.Outcome.String()
		}
		t.events.bar(&e)
		if wait := s.LockedAt - s.Start; wait > shownWait && s.LockedAt > 0 {
			t.events.bar(&traceEvent{name: "waits for mmap_lock", on: on, at: s.Start, dur: wait, cat: "wait", cpu: noCPU})
		}
		if s.Kind == replay.FallbackSpan && s.Blame >= 0 {
			t.blame(base, &r.Spans[s.Blame], s)
		}
	}
}

// losses shows where events were lost, on a track for each CPU.
func (t *timelineWriter) losses(pid int64, all []loss) {
	for i, l := range all {
		if i == 0 {
			t.events.label("process_name", track{pid, 0}, "lost events")
		}
		on := track{pid, int64(l.cpu) + 1}
		if !t.names[on] {
			t.names[on] = true
			t.events.label("thread_name", on, cpuName(l.cpu))
		}
		t.events.bar(&traceEvent{name: plural(l.events, "event") + " lost", on: on, at: l.from, dur: l.to - l.from, cat: "lost", cpu: noCPU})
	}
}

func cpuName(cpu int) string {
	if cpu < 0 {
		return "unknown CPU"
	}
	return fmt.Sprintf("CPU %d", cpu)
}

// blame draws an arrow from a section to a hit.
func (t *timelineWriter) blame(base int64, from, to *replay.Span) {
	t.arrows++
	t.events.arrow("s", track{base + int64(from.PID), int64(from.TID)}, from.Start, t.arrows)
	t.events.arrow("f", track{base + int64(to.PID), int64(to.TID)}, to.Start, t.arrows)
}

// name names a track and its process, once.
func (t *timelineWriter) name(on track, resolver string, s *replay.Span) {
	if t.names[on] {
		return
	}
	if process := (track{on.pid, -1}); !t.names[process] {
		t.names[process] = true
		t.events.label("process_name", track{on.pid, 0}, fmt.Sprintf("%s: %d", resolver, s.PID))
	}
	t.names[on] = true
	t.events.label("thread_name", on, s.Comm)
}

// shownWait is the shortest wait that gets a bar of its own.
const shownWait = 100 * sim.Nanosecond

// track is what an event is drawn on: a thread.
type track struct{ pid, tid int64 }

// traceEvent is a bar.
type traceEvent struct {
	name   string
	on     track
	at     sim.Time
	dur    sim.Time
	cat    string
	cpu    int // or noCPU
	reason string
}

const noCPU = -1

// eventWriter writes events of the Trace Event Format, one a line. It appends them to a
// buffer: through encoding/json they cost more than all other reports together.
type eventWriter struct {
	w     io.Writer
	buf   []byte
	count int
	err   error
}

// flushBytes is how full the buffer gets, a line aside.
const flushBytes = 64 << 10

func (w *eventWriter) flush() error {
	if w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
	return w.err
}

// bar writes a complete event.
func (w *eventWriter) bar(e *traceEvent) {
	w.begin(e.name, "X", e.on)
	w.time(`,"ts":`, e.at)
	w.time(`,"dur":`, e.dur)
	w.text(`,"cat":`, e.cat)
	if e.cpu != noCPU {
		w.number(`,"args":{"cpu":`, int64(e.cpu))
		if e.reason != "" {
			w.text(`,"reason":`, e.reason)
		}
		w.buf = append(w.buf, '}')
	}
	w.end()
}

// arrow writes one end of a flow: its start is "s", its end "f", which binds to the bar
// that it is in.
func (w *eventWriter) arrow(phase string, on track, at sim.Time, id int64) {
	w.begin("spoiled", phase, on)
	w.time(`,"ts":`, at)
	w.text(`,"cat":`, "blame")
	w.number(`,"id":`, id)
	if phase == "f" {
		w.text(`,"bp":`, "e")
	}
	w.end()
}

// label writes a metadata event, which names a thread or its process.
func (w *eventWriter) label(what string, on track, name string) {
	w.begin(what, "M", on)
	w.text(`,"ts":0,"args":{"name":`, name)
	w.buf = append(w.buf, '}')
	w.end()
}

func (w *eventWriter) begin(name, phase string, on track) {
	if w.count > 0 {
		w.buf = append(w.buf, ',')
	}
	w.count++
	w.text(`{"name":`, name)
	w.text(`,"ph":`, phase)
	w.number(`,"pid":`, on.pid)
	w.number(`,"tid":`, on.tid)
}

func (w *eventWriter) end() {
	w.buf = append(w.buf, "}\n"...)
	if len(w.buf) >= flushBytes {
		w.flush() // which keeps the error
	}
}

func (w *eventWriter) text(key, value string) {
	w.buf = append(w.buf, key...)
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(value) // of a string it does not fail
			w.buf = append(w.buf, quoted...)
			return
		}
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, value...)
	w.buf = append(w.buf, '"')
}

func (w *eventWriter) number(key string, value int64) {
	w.buf = strconv.AppendInt(append(w.buf, key...), value, 10)
}

// time writes a time in µs, exact to the ns.
func (w *eventWriter) time(key string, t sim.Time) {
	ns := t.Nanos()
	w.number(key, ns/1000)
	ns %= 1000
	w.buf = append(w.buf, '.', byte('0'+ns/100), byte('0'+ns/10%10), byte('0'+ns%10))
}
