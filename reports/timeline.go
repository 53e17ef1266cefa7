package reports

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/klauspost/compress/gzip"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Timeline writes what was recorded and the spans of every run as gzipped trace events,
// which Perfetto and chrome://tracing open. The recording and each run are apart: each
// has a process for its CPUs, one for its locks, and one for each recorded process with a
// track for each thread. Waiting for mmap_lock is a bar of its own; an arrow leads from a
// hold to each recorded wait that it was in the way of, and from a section to each hit
// that it spoiled. There is at most what replay.MaxSpans and timeline.MaxLockSpans say,
// which makes about 30 MB of JSON: choose a stretch with replay.Options.Window where that
// is not all. Of a trace that cannot tell which hits took the lock there is no run.
func Timeline(w io.Writer, res *replay.Result) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // a tenth longer, in a third of the time
	if err != nil {
		return err
	}
	t := timelineWriter{events: eventWriter{w: z}, names: map[track]bool{}}
	t.events.buf = append(t.events.buf, `{"displayTimeUnit":"ns","traceEvents":[`+"\n"...)
	for i := range res.Runs {
		if !answered(res) {
			break
		}
		t.run(i, &res.Runs[i])
	}
	t.losses(int64(len(res.Runs))*runSpread, losses(res))
	if res.Recorded != nil {
		t.recorded(int64(len(res.Runs)+1)*runSpread, res.Recorded)
	}
	t.events.buf = append(t.events.buf, "]}\n"...)
	if err := t.events.flush(); err != nil {
		return err
	}
	return z.Close()
}

type timelineWriter struct {
	events eventWriter
	arrows int64
	lanes  []laneBar
	names  map[track]bool
}

// runSpread keeps the processes of different runs apart: recorded ids are below
// (PID_MAX_LIMIT), and so are the two of CPUs and locks.
const (
	runSpread = 1 << 23
	cpusPID   = runSpread - 2
	locksPID  = runSpread - 1
)

func (t *timelineWriter) run(index int, r *replay.Run) {
	base := int64(index) * runSpread
	t.lanes = slices.Grow(t.lanes, 2*len(r.Spans)) // a lock's and a CPU's
	for i := range r.Spans {
		s := &r.Spans[i]
		on := track{base + int64(s.PID), int64(s.TID)}
		t.name(on, r.Resolver, s.PID, s.Comm)
		e := traceEvent{name: s.Op, on: on, at: s.Start, dur: s.End - s.Start, cat: "section", cpu: s.CPU}
		if s.Kind == replay.FallbackSpan {
			e.name, e.cat, e.reason = s.Probe, "fallback", s.Outcome.String()
		}
		t.events.bar(&e)
		held := s.Start
		if wait := s.LockedAt - s.Start; s.LockedAt > 0 {
			held = s.LockedAt
			if wait > shownWait {
				t.events.bar(&traceEvent{name: "waits for mmap_lock", on: on, at: s.Start, dur: wait, cat: "wait", cpu: noCPU})
			}
		}
		if s.LockedAt > 0 { // it had the lock from then on
			mode := "write"
			if s.Kind == replay.FallbackSpan {
				mode = "read"
			}
			t.lock(base, int64(s.PID), lockName{pid: s.PID, owned: true}, s.Comm+": "+e.name+" ("+mode+")", held, s.End-held)
		}
		t.cpu(base, s.CPU, s.Comm+": "+e.name, held, s.End-held)
		if s.Kind == replay.FallbackSpan && s.Blame >= 0 {
			t.blame(base, &r.Spans[s.Blame], s)
		}
	}
	t.flushLanes(r.Resolver)
}

// recorded shows the single waits and holds of the recording.
func (t *timelineWriter) recorded(base int64, r *timeline.Recording) {
	owners := map[int]int32{} // of each lock: the process that was first seen with it, but for readers of /proc
	own := func(space int, pid int32, kind string) {
		if _, ok := owners[space]; !ok && kind != "/proc maps" && pid != timeline.NoPID {
			owners[space] = pid
		}
	}
	for _, h := range r.Holds {
		own(h.Space, h.PID, h.Kind)
	}
	for _, w := range r.Waits {
		own(w.Space, w.PID, w.Kind)
	}
	thread := func(comm string, pid, tid int32) track {
		if pid == timeline.NoPID {
			pid = tid
		}
		on := track{base + int64(pid), int64(tid)}
		t.name(on, "recorded", pid, comm)
		return on
	}
	for _, h := range r.Holds {
		on := thread(h.Comm, h.PID, h.TID)
		mode := accessMode(h.Write)
		dur := max(h.For, sim.Nanosecond)
		t.events.bar(&traceEvent{name: h.Kind, on: on, at: h.At, dur: dur, cat: "hold", cpu: int(h.CPU), reason: mode})
		pid, owned := owners[h.Space]
		t.lock(base, int64(h.Space), lockName{int32(h.Space), pid, owned}, h.Comm+": "+h.Kind+" ("+mode+")", h.At, dur)
		t.cpu(base, int(h.CPU), h.Comm+": "+h.Kind, h.At, dur)
	}
	for _, w := range r.Waits {
		on := thread(w.Comm, w.PID, w.TID)
		t.events.bar(&traceEvent{name: "waits for mmap_lock", on: on, at: w.At, dur: w.For, cat: "wait", cpu: int(w.CPU), reason: string(w.Access) + ": " + w.Kind})
		for _, b := range w.Behind {
			h := b.Hold
			t.arrow(thread(h.Comm, h.PID, h.TID), h.At, on, max(b.From, h.At))
		}
	}
	t.flushLanes("recorded")
}

// laneBar is a bar of a track on which others may overlap it: a lock that several readers
// have, a CPU.
type laneBar struct {
	on      track
	lock    lockName // of the track, unless it is a CPU's
	what    string
	at, dur sim.Time
}

// lockName is what a lock is called: by its process, where that is known.
type lockName struct {
	space, pid int32
	owned      bool
}

func (l lockName) String() string {
	if l.owned {
		return fmt.Sprintf("mmap_lock of %d", l.pid)
	}
	return fmt.Sprintf("mmap_lock %d", l.space+1)
}

// lock shows a hold on the track of a lock.
func (t *timelineWriter) lock(base int64, lock int64, name lockName, holder string, at, dur sim.Time) {
	t.lane(track{base + locksPID, lock}, name, holder, at, dur)
}

// cpu shows what ran on a CPU, as far as the lock's events tell.
func (t *timelineWriter) cpu(base int64, cpu int, what string, at, dur sim.Time) {
	if cpu >= 0 {
		t.lane(track{base + cpusPID, int64(cpu)}, lockName{}, what, at, dur)
	}
}

func (t *timelineWriter) lane(on track, lock lockName, what string, at, dur sim.Time) {
	t.lanes = append(t.lanes, laneBar{on, lock, what, at, dur})
}

// laneBits is how many lanes a track may have, as a power of two.
const laneBits = 20

// flushLanes writes the bars of such tracks, in as many lanes as it takes that none
// overlap: viewers take bars that do for a mistake.
func (t *timelineWriter) flushLanes(whose string) {
	order := make([]int32, len(t.lanes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int {
		a, b := &t.lanes[i], &t.lanes[j]
		return cmp.Or(cmp.Compare(a.on.pid, b.on.pid), cmp.Compare(a.on.tid, b.on.tid), cmp.Compare(a.at, b.at), cmp.Compare(i, j))
	})
	var on track
	var ends []sim.Time // of the latest bar of each lane of on
	for n, i := range order {
		b := &t.lanes[i]
		if n == 0 || b.on != on {
			on, ends = b.on, ends[:0]
		}
		lane := slices.IndexFunc(ends, func(end sim.Time) bool { return end <= b.at })
		if lane < 0 {
			lane = len(ends)
			ends = append(ends, 0)
		}
		ends[lane] = b.at + b.dur
		own := track{b.on.pid, b.on.tid<<laneBits + int64(lane) + 1}
		if !t.names[own] {
			t.nameLane(own, whose, b, lane)
		}
		t.events.bar(&traceEvent{name: b.what, on: own, at: b.at, dur: b.dur, cat: "lane", cpu: noCPU})
	}
	t.lanes = t.lanes[:0]
}

// nameLane names a lane of a lock or CPU, which is drawn on a track of its own.
func (t *timelineWriter) nameLane(own track, whose string, b *laneBar, lane int) {
	process, name := whose+": CPUs", cpuName(int(b.on.tid))
	if b.on.pid%runSpread == locksPID {
		process, name = whose+": locks", b.lock.String()
	}
	if lane > 0 {
		name = fmt.Sprintf("%s, %d", name, lane+1)
	}
	t.label(own, process, name)
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
	t.arrow(track{base + int64(from.PID), int64(from.TID)}, from.Start, track{base + int64(to.PID), int64(to.TID)}, to.Start)
}

func (t *timelineWriter) arrow(from track, at sim.Time, to track, then sim.Time) {
	t.arrows++
	t.events.arrow("s", from, at, t.arrows)
	t.events.arrow("f", to, then, t.arrows)
}

// name names the track of a thread, and its process, once.
func (t *timelineWriter) name(on track, whose string, pid int32, comm string) {
	if !t.names[on] {
		t.label(on, fmt.Sprintf("%s: %d", whose, pid), comm)
	}
}

// label names a track that has no name yet, and its process if that has none.
func (t *timelineWriter) label(on track, process, thread string) {
	if p := (track{on.pid, -1}); !t.names[p] {
		t.names[p] = true
		t.events.label("process_name", track{on.pid, 0}, process)
	}
	t.names[on] = true
	t.events.label("thread_name", on, thread)
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
