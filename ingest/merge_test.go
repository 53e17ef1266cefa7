package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

const (
	onMono     = "testdata/churn-mono.perf.data"
	onMonoPipe = "testdata/churn-mono-pipe.perf.data"
	onPerf     = "testdata/churn.perf.data"
)

// readMerged ingests several files.
func readMerged(paths ...string) ([]traces.Event, traces.Meta, error) {
	s, err := Open(context.Background(), paths, Options{})
	if err != nil {
		return nil, traces.Meta{}, err
	}
	defer s.Close()
	var events []traces.Event
	for {
		var ev traces.Event
		if err := s.Next(&ev); errors.Is(err, io.EOF) {
			return events, s.Meta(), nil
		} else if err != nil {
			return nil, traces.Meta{}, err
		}
		events = append(events, ev)
	}
}

// Inputs on one clock become one total order, in which each row knows its input.
// A pipe tells its clock after its header.
func TestMerge(t *testing.T) {
	for _, paths := range [][]string{{onMono, onMonoPipe}, {onMonoPipe, onMono}} {
		events, meta, err := readMerged(paths...)
		if err != nil {
			t.Fatal(err)
		}
		checkOrder(t, events)
		if meta.Clock != "monotonic" || len(meta.Sources) != 2 {
			t.Errorf("meta %+v", meta)
		}
		next := []int{0, 0}
		alone := [][]traces.Event{nil, nil}
		for i, path := range paths {
			alone[i], _ = read(t, path, Options{})
		}
		for i := range events {
			ev := events[i]
			want := alone[ev.Src][next[ev.Src]]
			next[ev.Src]++
			want.Seq, want.Src = ev.Seq, ev.Src
			if traces.FormatText(&ev) != traces.FormatText(&want) {
				t.Fatalf("row %d of %s:\n got %s\nwant %s", next[ev.Src], paths[ev.Src], traces.FormatText(&ev), traces.FormatText(&want))
			}
		}
		if next[0] != len(alone[0]) || next[1] != len(alone[1]) {
			t.Errorf("%d rows of inputs with %d and %d", next, len(alone[0]), len(alone[1]))
		}
	}
}

// Inputs on different clocks are refused before anything is written.
func TestMergeClocksDiffer(t *testing.T) {
	for _, paths := range [][]string{{onMono, onPerf}, {onPerf, onMono}, {onMonoPipe, onPerf}, {onPerf, onMonoPipe}} {
		s, err := Open(context.Background(), paths, Options{})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, ErrClock) || !contains(err.Error(), "-k mono", paths[0], paths[1]) {
			t.Errorf("%s: %v", paths, err)
		}
	}
}

// Text does not tell its clock and is merged with what does, with a warning.
func TestMergeText(t *testing.T) {
	events, _ := read(t, onMono, Options{})
	middle := events[len(events)/2].Time
	text := filepath.Join(t.TempDir(), "script.txt")
	line := fmt.Sprintf("other 7/8 [001] %d.%09d: probe_x:y: (401000)\n", middle/1e9, middle%1e9)
	if err := os.WriteFile(text, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	for src, paths := range [][]string{{text, onMono}, {onMono, text}} {
		got, meta, err := readMerged(paths...)
		if err != nil {
			t.Fatal(err)
		}
		checkOrder(t, got)
		found := 0
		for i := range got {
			if got[i].Probe == "probe_x:y" && got[i].Time == middle && int(got[i].Src) == src {
				found++
			}
		}
		if found != 1 || len(got) != len(events)+1 || meta.Clock != "monotonic" || meta.CPUs == 0 ||
			!contains(strings.Join(meta.Warnings, "\n"), "does not tell its clock") {
			t.Errorf("%d of the text in %d rows, meta %+v", found, len(got), meta)
		}
	}
}
