package reports

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/traces/tracetest"
)

func TestUnknownText(t *testing.T) {
	tracetest.Golden(t, "untold.txt", textOf(t, untoldResult(), TextOptions{}))
}

// No form of the report says what the trace cannot tell.
func TestUnknownEverywhere(t *testing.T) {
	res := untoldResult()
	var bench, timeline bytes.Buffer
	if err := Benchfmt(&bench, res); err != nil {
		t.Fatal(err)
	}
	if s := bench.String(); strings.Contains(s, "Replay/") {
		t.Errorf("figures in\n%s", s)
	}
	if err := Timeline(&timeline, res); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&timeline)
	if err != nil {
		t.Fatal(err)
	}
	if events, _ := io.ReadAll(z); bytes.Contains(events, []byte("fallback")) {
		t.Errorf("fallbacks in %s", events)
	}
	r := &res.Runs[1]
	hits := written(t, HitProfile(res, r))
	if len(hits.SampleType) != 1 || sum(hits)["hits"] != r.Hits || !strings.Contains(strings.Join(hits.Comments, "\n"), "writers unknown: nothing") {
		t.Errorf("%v", hits)
	}
	if b := written(t, BlameProfile(res, r)); len(b.Sample) != 0 {
		t.Errorf("%v", b)
	}
	page := withoutLibraries(htmlOf(t, res))
	for _, not := range []string{"100 %", "96.45 %", `class="card"`, "none of"} {
		if strings.Contains(page, not) {
			t.Errorf("%q on the page", not)
		}
	}
	for _, want := range []string{"how many resolve without mmap_lock is unknown", "write sections unknown", "losses unknown", "processes unknown"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

// Unknown losses leave open what a run without losses is sure of, and nothing else.
func TestUnknownLosses(t *testing.T) {
	res := fixture()
	res.Unknown = replay.Unknowns(untoldResult().Unknown, replay.UnknownLosses)
	var bench bytes.Buffer
	if err := Benchfmt(&bench, res); err != nil {
		t.Fatal(err)
	}
	if s := bench.String(); !strings.Contains(s, " 71 fallbacks ") || strings.Contains(s, "fallbacks-high 0") || strings.Contains(s, " fallbacks-low ") && strings.Contains(s, "69 fallbacks-low") {
		t.Errorf("%s", s)
	}
	d := NewDocument(res)
	r := &d.Runs[1]
	if d.Trace.Lost != nil || d.Trace.Losses != nil || r.FallbacksHigh != nil || r.Undecided != nil || r.Fallbacks == nil || d.Blame == nil {
		t.Errorf("%+v", d.Trace)
	}
	if e := NewEntry(d); e.Runs[1].Bounds != nil {
		t.Errorf("bounds %+v", e.Runs[1].Bounds)
	}
}
