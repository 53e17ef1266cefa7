package reports

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/replay/replay/replay/timeline"
)

// Of lock_starts alone nothing is told but how many lookups fell back: no wait of 0 ns, and no
// holder that nobody was.
func TestLockStartsAlone(t *testing.T) {
	res := recordedResult()
	res.Recorded = &timeline.Recording{Hits: 2000, Lookups: 2000, Outcomes: true, Fallbacks: 3, Unended: 7, Untimed: true}
	text := strings.Join(strings.Fields(textOf(t, res, TextOptions{})), " ")
	for _, want := range []string{
		"3 of 2,000 lookups took mmap_lock (0.15 %).", "How long anybody waited, and who had the lock, is unknown: mmap_lock_acquire_returned and mmap_lock_released were not recorded.",
		modelledSections,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}
	for _, wrong := range []string{"waited 0 ns", "Nobody was seen with the lock", "Nobody else asked", "left out: 7"} {
		if strings.Contains(text, wrong) {
			t.Errorf("the text says %q", wrong)
		}
	}
	var page bytes.Buffer
	if err := HTML(&page, res); err != nil {
		t.Fatal(err)
	}
	if s := page.String(); strings.Contains(s, "Who waited for mmap_lock") || strings.Contains(s, "Who waited and who held") || !strings.Contains(s, "is unknown: mmap_lock_acquire_returned") {
		t.Error("the page shows waits that nobody recorded")
	}

	data, err := json.Marshal(NewDocument(res))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Recorded map[string]any `json:"recorded"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lock_wait_ns", "reader_wait_ns", "writer_wait_ns", "unblocked_wait_ns", "in_way_ns", "over_time", "worst", "longest_wait"} {
		if v, ok := doc.Recorded[name]; !ok || v != nil {
			t.Errorf("%s is %v, want null", name, v)
		}
	}
	if doc.Recorded["fallbacks"] != 3.0 {
		t.Errorf("%v fallbacks, want 3", doc.Recorded["fallbacks"])
	}
}

// Where no row tells which lookups fell back, a report says what their lateness tells, and how
// far the simulation is to be believed beside it; where rows tell, it does not.
func TestInferredFallbacks(t *testing.T) {
	res := fixture()
	res.Trace.Guess = &timeline.Guess{Decided: 84, Expected: 90.4, Low: 52, High: 137}
	text := strings.Join(strings.Fields(textOf(t, res, TextOptions{})), " ")
	if want := "On the recorded kernel about 90 fell back, if it looks up without the lock: 52 to 137 in eight recordings of ten like this."; !strings.Contains(text, want) || !strings.Contains(text, modelledSections) {
		t.Errorf("the text does not say %q:\n%s", want, text)
	}
	if got := NewDocument(res).Trace.InferredFallbacks; got == nil || *got != (InferredFallbacks{84, 90.4, [2]float64{52, 137}}) {
		t.Errorf("the document says %+v", got)
	}
	res.Recorded = recordedResult().Recorded
	if text := textOf(t, res, TextOptions{}); strings.Contains(text, "if it looks up without") {
		t.Error("what rows tell is guessed at")
	}
	res.Trace.Guess = nil
	if got := NewDocument(res).Trace.InferredFallbacks; got != nil {
		t.Errorf("the document says %+v of nothing", got)
	}
}
