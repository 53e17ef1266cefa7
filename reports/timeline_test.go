package reports

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xeipuuv/gojsonschema"
	"pgregory.net/rapid"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

// readEvent is an event of the format (Trace Event Format, JSON object form).
type readEvent struct {
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

// timelineOf is the JSON of a timeline.
func timelineOf(t *testing.T, res *replay.Result) string {
	t.Helper()
	var out bytes.Buffer
	if err := Timeline(&out, res); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func eventsOf(t *testing.T, res *replay.Result) []readEvent {
	t.Helper()
	var doc struct{ TraceEvents []readEvent }
	if err := json.Unmarshal([]byte(timelineOf(t, res)), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.TraceEvents
}

// The timeline is valid JSON with a bar for each span, and an arrow from each
// section that is there to each hit that it spoiled.
func TestTimeline(t *testing.T) {
	res := fixture()
	tracetest.Golden(t, "timeline.json", timelineOf(t, res))
	n := map[string]int{}
	for _, e := range eventsOf(t, res) {
		n[e.Phase+e.Cat]++
	}
	sections, fallbacks, blamed := 0, 0, 0
	for i := range res.Runs {
		for _, s := range res.Runs[i].Spans {
			switch {
			case s.Kind == replay.SectionSpan:
				sections++
			case s.Blame >= 0:
				blamed++
				fallbacks++
			default:
				fallbacks++
			}
		}
	}
	if sections == 0 || blamed == 0 || n["Xsection"] != sections || n["Xfallback"] != fallbacks || n["sblame"] != blamed || n["fblame"] != blamed {
		t.Errorf("events %v of %d sections and %d fallbacks, %d with someone to blame", n, sections, fallbacks, blamed)
	}
}

// Which hits took the lock is unknown: so are bars and arrows, but not the lost events.
func TestTimelineUntold(t *testing.T) {
	res := untoldResult()
	res.Trace.Losses = []timeline.Loss{{From: 1000, To: 2000, CPU: 0, Events: 1}}
	for _, e := range eventsOf(t, res) {
		if e.Phase != "M" && e.Cat != "lost" {
			t.Errorf("an event of a trace that cannot tell: %+v", e)
		}
	}
	if n := len(eventsOf(t, res)); n != 3 {
		t.Errorf("%d events, want the names of process and CPU, and the loss", n)
	}
}

// A wait gets a bar of its own when one can see it, and only where the lock was got.
func TestTimelineWaits(t *testing.T) {
	at := 5 * sim.Microsecond
	for _, c := range []struct {
		start, locked sim.Time
		bars          int
	}{
		{at, at + shownWait, 0}, {at, at + shownWait + 1, 1}, {at, 0, 0}, {-at, 0, 0},
	} {
		res := fixture()
		res.Runs = []replay.Run{{Resolver: "locked", Hits: 1, Spans: []replay.Span{
			{Kind: replay.SectionSpan, Comm: "gc", Op: "mmap", Start: c.start, LockedAt: c.locked, End: at + sim.Millisecond, Blame: -1},
		}}}
		bars := 0
		for _, e := range eventsOf(t, res) {
			if e.Cat == "wait" {
				bars++
			}
		}
		if bars != c.bars {
			t.Errorf("%d bars of the wait from %v to %v, want %d", bars, c.start, c.locked, c.bars)
		}
	}
}

// Runs of one process are told apart, and each thread is named once.
func TestTimelineTracks(t *testing.T) {
	res := fixture()
	last := res.Runs[1].Spans[0]
	last.TID, last.Comm = 1, "init"
	res.Runs[0].Spans = append(slices.Clone(res.Runs[1].Spans), last)
	res.Trace.Losses = append(res.Trace.Losses, timeline.Loss{From: 1_500_000, To: 1_600_000, CPU: 0, Events: 1})
	named := map[track]string{}
	for _, e := range eventsOf(t, res) {
		on := track{e.PID, e.TID}
		if e.PID%runSpread >= cpusPID {
			continue // CPUs and locks: see TestTimelineLanes
		}
		if e.Phase == "M" && e.Name == "thread_name" {
			if named[on] != "" {
				t.Errorf("%v is named twice", on)
			}
			named[on] = e.Args["name"].(string)
		} else if e.Phase != "M" && named[on] == "" {
			t.Errorf("nobody named %v before %+v", on, e)
		}
	}
	want := map[track]string{
		{700, 1}: "init", {2 * runSpread, 1}: "CPU 0",
		{700, 701}: "worker/0", {700, 720}: "gc", {runSpread + 700, 701}: "worker/0", {runSpread + 700, 720}: "gc",
		{2 * runSpread, 0}: "unknown CPU", {2 * runSpread, 2}: "CPU 1",
	}
	if diff := cmp.Diff(want, named); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What was recorded is there beside the runs, with an arrow from each hold to each wait
// that it was in the way of; no two bars of a track overlap in part, which viewers take
// for a mistake; and each end of an arrow is in a bar.
func TestTimelineRecorded(t *testing.T) {
	res := recordedResult()
	type span struct{ from, to float64 }
	bars := map[track][]span{}
	number := func(n json.Number) float64 {
		x, err := n.Float64()
		if n != "" && err != nil {
			t.Fatal(err)
		}
		return x
	}
	n := map[string]int{}
	named := map[string]bool{}
	events := eventsOf(t, res)
	for _, e := range events {
		on := track{e.PID, e.TID}
		recorded := e.PID >= 3*runSpread
		switch {
		case e.Phase == "X":
			bars[on] = append(bars[on], span{number(e.TS), number(e.TS) + number(e.Dur)})
			if recorded {
				n[e.Cat]++
			}
		case e.Phase == "M":
			named[fmt.Sprint(e.Args["name"])] = true
		case recorded:
			n[e.Phase]++
		}
	}
	if want := map[string]int{"hold": 3, "wait": 2, "s": 3, "f": 3, "lane": 5}; !cmp.Equal(n, want) {
		t.Errorf("events %v, want %v", n, want) // one hold has no CPU
	}
	for _, name := range []string{"recorded: 700", "recorded: CPUs", "recorded: locks", "mmap_lock of 700", "speculative: locks", "speculative: CPUs", "CPU 1"} {
		if !named[name] {
			t.Errorf("no track %q of %v", name, named)
		}
	}
	for on, all := range bars {
		for i, a := range all {
			for _, b := range all[:i] {
				apart, nested := a.to <= b.from || b.to <= a.from, a.from >= b.from && a.to <= b.to || b.from >= a.from && b.to <= a.to
				if !apart && !nested {
					t.Errorf("track %v: %v and %v", on, a, b)
				}
			}
		}
	}
	for _, e := range events {
		if e.Phase != "s" && e.Phase != "f" || e.PID < 3*runSpread {
			continue
		}
		at := number(e.TS)
		if !slices.ContainsFunc(bars[track{e.PID, e.TID}], func(b span) bool { return b.from <= at && at <= b.to }) {
			t.Errorf("an arrow is in no bar: %+v", e)
		}
	}
}

// Bars that overlap are put into lanes of their own.
func TestTimelineLanes(t *testing.T) {
	var out bytes.Buffer
	w := timelineWriter{events: eventWriter{w: &out}, names: map[track]bool{}}
	for _, at := range []int64{10, 0, 5, 20} { // each 12 long
		w.lane(track{locksPID, 7}, lockName{space: 6}, "x", sim.Time(at)*sim.Microsecond, 12*sim.Microsecond)
	}
	w.lane(track{locksPID, 8}, lockName{pid: 12, owned: true}, "x", 0, sim.Microsecond)
	w.flushLanes("run")
	if err := w.events.flush(); err != nil {
		t.Fatal(err)
	}
	var got []readEvent
	if err := json.Unmarshal([]byte("["+out.String()+"]"), &got); err != nil {
		t.Fatal(err)
	}
	var lanes []string
	for _, e := range got {
		if e.Phase == "X" {
			lanes = append(lanes, fmt.Sprintf("%s on %d", e.TS, e.TID&(1<<laneBits-1)))
		} else if e.Name == "thread_name" {
			lanes = append(lanes, e.Args["name"].(string))
		}
	}
	want := []string{"mmap_lock 7", "0.000 on 1", "mmap_lock 7, 2", "5.000 on 2", "mmap_lock 7, 3", "10.000 on 3", "20.000 on 1", "mmap_lock of 12", "0.000 on 1"}
	if diff := cmp.Diff(want, lanes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each line is what encoding/json makes of the event.
func TestEventWriter(t *testing.T) {
	micros := func(t sim.Time) json.Number {
		return json.Number(fmt.Sprintf("%d.%03d", t.Nanos()/1000, t.Nanos()%1000))
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,12}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		on := track{rapid.Int64().Draw(t, "pid"), rapid.Int64().Draw(t, "tid")}
		at, dur := sim.Time(rapid.Int64Range(0, 1<<62).Draw(t, "at")), sim.Time(rapid.Int64Range(0, 1<<62).Draw(t, "dur"))
		name := text.Draw(t, "name")
		var want []readEvent
		var got bytes.Buffer
		w := eventWriter{w: &got}

		bar := readEvent{Name: name, Phase: "X", PID: on.pid, TID: on.tid, TS: micros(at), Dur: micros(dur), Cat: "section"}
		w.bar(&traceEvent{name: name, on: on, at: at, dur: dur, cat: "section", cpu: noCPU})
		want = append(want, bar)
		cpu := rapid.IntRange(0, 600).Draw(t, "cpu")
		w.bar(&traceEvent{name: name, on: on, at: at, dur: dur, cat: "section", cpu: cpu})
		bar.Args = map[string]any{"cpu": cpu}
		want = append(want, bar)
		w.bar(&traceEvent{name: name, on: on, at: at, dur: dur, cat: "section", cpu: cpu, reason: "seq_changed"})
		bar.Args = map[string]any{"cpu": cpu, "reason": "seq_changed"}
		want = append(want, bar)
		w.label("thread_name", on, name)
		want = append(want, readEvent{Name: "thread_name", Phase: "M", PID: on.pid, TID: on.tid, TS: "0", Args: map[string]any{"name": name}})
		w.arrow("s", on, at, 1)
		want = append(want, readEvent{Name: "spoiled", Phase: "s", PID: on.pid, TID: on.tid, TS: micros(at), Cat: "blame", ID: 1})
		w.arrow("f", on, at, 1)
		want = append(want, readEvent{Name: "spoiled", Phase: "f", PID: on.pid, TID: on.tid, TS: micros(at), Cat: "blame", ID: 1, BP: "e"})
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		var expected bytes.Buffer
		enc := json.NewEncoder(&expected)
		for i := range want {
			if i > 0 {
				expected.WriteByte(',')
			}
			if err := enc.Encode(want[i]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(expected.String(), got.String()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// A disk that is full is an error, however late.
func TestTimelineFails(t *testing.T) {
	res := fixture()
	for len(res.Runs[1].Spans) < 50_000 {
		res.Runs[1].Spans = append(res.Runs[1].Spans, res.Runs[1].Spans...)
	}
	for _, room := range []int{0, 1000, 100_000} {
		if err := Timeline(&small{room, errFull}, res); !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: %v, want %v", room, err, errFull)
		}
	}
	if err := Timeline(&small{100_000, errFull}, fixture()); err != nil {
		t.Errorf("with room enough: %v", err)
	}
}

var errFull = errors.New("no space left on device")

// small takes only so many bytes.
type small struct {
	room int
	err  error
}

func (s *small) Write(p []byte) (int, error) {
	if s.room -= len(p); s.room < 0 {
		return 0, s.err
	}
	return len(p), nil
}

// A timeline is what the definition of the format asks for, and each arrow goes from a bar
// to a bar.
func TestTimelineIsOfTheFormat(t *testing.T) {
	schema, err := gojsonschema.NewSchema(gojsonschema.NewReferenceLoader("file://" + filepath.ToSlash(abs(t, "testdata/trace-events.schema.json"))))
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text []byte) []gojsonschema.ResultError {
		result, err := schema.Validate(gojsonschema.NewBytesLoader(text))
		if err != nil {
			t.Fatal(err)
		}
		return result.Errors()
	}
	for name, res := range map[string]*replay.Result{"simulated": fixture(), "recorded": recordedResult()} {
		text := []byte(timelineOf(t, res))
		if bad := valid(text); len(bad) > 0 {
			t.Errorf("%s: %d faults, the first: %v", name, len(bad), bad[0])
		}
		var doc struct{ TraceEvents []flowEvent }
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		ends := map[string]int{}
		for _, e := range doc.TraceEvents {
			if e.Phase != "s" && e.Phase != "f" {
				continue
			}
			key := fmt.Sprint(e.Cat, e.ID)
			if e.Phase == "s" {
				ends[key]++
			} else {
				ends[key]--
			}
			if !slices.ContainsFunc(doc.TraceEvents, func(x flowEvent) bool {
				return x.Phase == "X" && x.PID == e.PID && x.TID == e.TID && x.TS <= e.TS+0.0005 && e.TS <= x.TS+x.Dur+0.0005
			}) {
				t.Errorf("%s: an arrow %+v is at no bar", name, e)
			}
		}
		for key, n := range ends {
			if n != 0 {
				t.Errorf("%s: arrow %s has %d begins more than ends", name, key, n)
			}
		}
		if len(ends) == 0 {
			t.Errorf("vacuous: %s has no arrow", name)
		}
	}
	for _, bad := range []string{
		`{"traceEvents":[{"name":"x","ph":"X","pid":1,"tid":1,"ts":1}]}`,           // no length
		`{"traceEvents":[{"name":"x","ph":"X","pid":1,"tid":1,"ts":1,"dur":-1}]}`,  // a negative one
		`{"traceEvents":[{"name":"x","ph":"M","pid":1,"tid":1,"ts":1,"args":{}}]}`, // no such metadata
		`{"traceEvents":[{"name":"x","ph":"s","pid":1,"tid":1,"ts":1,"cat":"c"}]}`, // an arrow without id
		`{"traceEvents":[{"name":"x","ph":"q","pid":1,"tid":1,"ts":1,"dur":1}]}`,   // no such phase
		`{"traceEvents":[{"name":"x","ph":"X","pid":"1","tid":1,"ts":1,"dur":1}]}`, // a number as text
		`{"events":[]}`,
	} {
		if len(valid([]byte(bad))) == 0 {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

type flowEvent struct {
	Phase string  `json:"ph"`
	PID   int64   `json:"pid"`
	TID   int64   `json:"tid"`
	TS    float64 `json:"ts"`
	Dur   float64 `json:"dur"`
	Cat   string  `json:"cat"`
	ID    any     `json:"id"`
}

func abs(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
