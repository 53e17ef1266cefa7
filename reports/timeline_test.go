package reports

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"testing"

	"github.com/replay/replay/replay"
)

// The timeline is valid JSON with a bar for each span, and an arrow from each
// section that is there to each hit that it spoiled.
func TestTimeline(t *testing.T) {
	res := fixture()
	var out bytes.Buffer
	if err := Timeline(&out, res); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ TraceEvents []traceEvent }
	if err := json.NewDecoder(z).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, e := range doc.TraceEvents {
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
