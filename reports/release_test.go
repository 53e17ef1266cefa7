package reports

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/timeline"
)

// A kernel that takes the lock for each lookup is said to, in place of a number of fallbacks
// that was inferred, and of a score.
func TestKernelTakesLock(t *testing.T) {
	res := recordedResult()
	res.Trace.TakesLock, res.Trace.Kernel = true, "6.8.0-45-generic"
	res.Recorded.Outcomes, res.Recorded.Fallbacks = true, res.Recorded.Lookups
	const says = "The recorded kernel, 6.8.0-45-generic, takes mmap_lock for each lookup, as those before 6.14 do."
	text := strings.Join(strings.Fields(textOf(t, res, TextOptions{})), " ")
	for _, want := range []string{"2,000 of 2,000 lookups took mmap_lock (100 %)", says, "the recorded kernel takes mmap_lock for each lookup, as locked does here; of the "} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}

	res.Recorded = nil
	text = strings.Join(strings.Fields(textOf(t, res, TextOptions{})), " ")
	if want := says + " How late hits are tells nothing of fallbacks there."; !strings.Contains(text, want) {
		t.Errorf("without lock events the text does not say %q:\n%s", want, text)
	}
	if doc := NewDocument(res); !doc.Trace.KernelTakesLock || doc.Trace.InferredFallbacks != nil {
		t.Errorf("takes the lock: %v, inferred %v", doc.Trace.KernelTakesLock, doc.Trace.InferredFallbacks)
	}
	res.Trace.TakesLock, res.Trace.Guess = false, &timeline.Guess{Expected: 3}
	if text = textOf(t, res, TextOptions{}); strings.Contains(text, "6.14") {
		t.Errorf("of a kernel that looks up without the lock:\n%s", text)
	}

	v := &fit.Validation{Hits: 7, Lookups: 7, Observed: 7, FN: 7, TakesLock: true, Kernel: "6.8.0", Waited: true}
	var out bytes.Buffer
	if err := ValidationText(&out, v); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "F1") || !strings.Contains(s, "The recorded kernel, 6.8.0, takes mmap_lock for each lookup") {
		t.Errorf("validation:\n%s", s)
	}
	out.Reset()
	if err := ValidationJSON(&out, v); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc["kernel_takes_lock"] != true || doc["f1"] != nil || doc["tp"] != nil || doc["predicted_fallbacks"] != nil || doc["observed_fallbacks"] != 7.0 {
		t.Errorf("validation: %s", out.String())
	}
}
