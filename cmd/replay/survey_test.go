package main

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/traces"
)

// attach writes a trace with a survey, or without one.
func attach(t *testing.T, name, survey string, events []traces.Event, meta traces.Meta) {
	t.Helper()
	w, err := traces.Create(name, traces.WriterOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for i := range events {
		ev := events[i]
		if err := w.Write(&ev); err != nil {
			t.Fatal(err)
		}
	}
	if survey != "" {
		w.Attach(timeline.SurveyKey, survey)
	}
	if err := w.Commit(meta); err != nil {
		t.Fatal(err)
	}
}

// attached is the survey that is kept with a trace, or "".
func attached(t *testing.T, name string) string {
	t.Helper()
	f, err := traces.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, _ := f.Attached(timeline.SurveyKey)
	return text
}

// TestKeptSurveyChangesNothing runs and validates the beginning of every recording with the
// survey that ingest keeps, without one, with that of another trace and with one that is
// damaged.
func TestKeptSurveyChangesNothing(t *testing.T) {
	inFolder(t)
	corpus, err := filepath.Glob(filepath.Join(testdata, "../../../traces/corpus/*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	captures, err := filepath.Glob(filepath.Join(testdata, "../../../ingest/testdata/*.perf.data"))
	if err != nil {
		t.Fatal(err)
	}
	if len(corpus) < 4 || len(captures) < 4 {
		t.Fatalf("vacuous: %d traces, %d captures", len(corpus), len(captures))
	}
	if testing.Short() {
		corpus = nil
	}
	other := ""
	for i, path := range append(corpus, captures...) {
		// So many have hits and waits in each recording; a survey is known as another's by it.
		enough := 5000 + i
		succeed(t, "ingest", "-q", "-f", "-o", "t.parquet", path)
		events, meta := readEvents(t, "t.parquet")
		if len(events) > enough {
			attach(t, "begin.parquet", "", events[:enough], meta)
			succeed(t, "ingest", "-q", "-f", "-o", "t.parquet", "begin.parquet")
			events, meta = readEvents(t, "t.parquet")
		}
		survey := attached(t, "t.parquet")
		if survey == "" {
			t.Fatalf("%s: no survey is kept", path)
		}
		damaged := survey[:len(survey)/2] + "#" + survey[len(survey)/2+1:]
		want := map[string]string{}
		for _, kept := range []string{"", survey, other, damaged} {
			attach(t, "t.parquet", kept, events, meta)
			sha := fmt.Sprintf("%x", sha256.Sum256(contents(t, "t.parquet")))
			for _, line := range []string{"run --json -f -o t.run t.parquet", "validate --json t.parquet", "validate --json --using syscalls t.parquet"} {
				r := call(t, strings.Fields(line)...)
				if warned := strings.Contains(r.stderr, "the survey that is kept with the trace is damaged"); warned != (kept == damaged) && r.code == exitOK {
					t.Errorf("%s: replay %s: %s", path, line, r.stderr)
				}
				got := fmt.Sprint(r.code, strings.ReplaceAll(r.stdout, sha, "SHA256"))
				if kept == "" && want[line] == "" {
					want[line] = got
				}
				if got != want[line] {
					t.Errorf("%s: replay %s gives another result with a survey (%v), of another trace (%v), damaged (%v)", path, line, kept == survey, kept == other, kept == damaged)
				}
			}
		}
		other = survey
	}
}

// TestSurveysOfOthersAreNotKept cuts and merges traces: what is made has a survey of its
// own, or none.
func TestSurveysOfOthersAreNotKept(t *testing.T) {
	inFolder(t)
	succeed(t, "ingest", "-o", "a.parquet", "app.parquet")
	if attached(t, "a.parquet") == "" || attached(t, "app.parquet") != "" {
		t.Fatal("vacuous")
	}
	succeed(t, "slice", "-o", "cut.parquet", "a.parquet")
	if text := attached(t, "cut.parquet"); text != "" {
		t.Errorf("a cut has the survey %s", text)
	}
	succeed(t, "ingest", "-o", "merged.parquet", "a.parquet", "lossy.parquet")
	text := attached(t, "merged.parquet")
	if text == attached(t, "a.parquet") {
		t.Error("a merged trace has the survey of the first")
	}
	events, meta := readEvents(t, "merged.parquet")
	s := timeline.NewSurveyor()
	for i := range events {
		s.Add(&events[i])
	}
	if made := s.Finish(meta).Keep(meta); made != text {
		t.Errorf("a merged trace has the survey %s, its rows have %s", text, made)
	}
}
