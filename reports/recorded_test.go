package reports

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/traces/tracetest"
)

// TestRecorded holds how what was recorded looks, also where the outcomes are
// unknown, or there is no hit and so nothing else.
func TestRecorded(t *testing.T) {
	for name, res := range map[string]*replay.Result{"recorded": recordedResult(), "recorded-unknown": unknownResult(), "recorded-hitless": hitlessResult()} {
		text := textOf(t, res, TextOptions{})
		first, _, _ := strings.Cut(text, "\nSide by side")
		tracetest.Golden(t, name+".txt", first)
		for line := range strings.Lines(text) {
			if columns(strings.TrimSuffix(line, "\n")) > defaultWidth {
				t.Errorf("%s: wider than %d: %s", name, defaultWidth, line)
			}
		}
		var b bytes.Buffer
		if err := JSON(&b, res); err != nil {
			t.Fatal(err)
		}
		doc, err := ReadJSON(bytes.NewReader(b.Bytes()), name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(newRecorded(res.Recorded), doc.Recorded); d != "" {
			t.Errorf("%s is not read as it was written:\n%s", name, d)
		}
		shown, err := json.MarshalIndent(doc.Recorded, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if name != "recorded-hitless" {
			tracetest.Golden(t, name+".json", string(shown)+"\n")
		}
	}
}

// TestRecordedOnPage holds that the page says the same, first.
func TestRecordedOnPage(t *testing.T) {
	page := htmlOf(t, recordedResult())
	from, to := strings.Index(page, recordedTitle), strings.Index(page, simulatedTitle)
	if from < 0 || to < from {
		t.Fatalf("recorded at %d, simulated at %d", from, to)
	}
	for _, want := range []string{"70 of 2,000 lookups took mmap_lock (3.50 %)", "a hold of 11.0 ms", "<td>/proc maps</td>", "m_start&#43;0x1d5"} {
		if !strings.Contains(page[from:to], want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if page := htmlOf(t, hitlessResult()); !strings.Contains(page, "No hit of a uprobe was recorded.") {
		t.Error("a page without a hit does not say so")
	}
}
