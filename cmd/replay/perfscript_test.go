package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/traces"
)

// headline is what a run says first.
type headline struct {
	Trace struct {
		Hits    int64 `json:"hits"`
		Writers int64 `json:"writers"`
		Mms     int64 `json:"mms"`
		Threads int64 `json:"threads"`
	} `json:"trace"`
	Runs []struct {
		Resolver  string `json:"resolver"`
		Lockless  int64  `json:"lockless"`
		Fallbacks int64  `json:"fallbacks"`
	} `json:"runs"`
}

func headlineOf(t *testing.T, path string) headline {
	t.Helper()
	var h headline
	if err := json.Unmarshal([]byte(succeed(t, "run", "--json", "-f", "-o", filepath.Join(t.TempDir(), "run"), path)), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// told reports whether a text tells whose threads are, which all but those of the
// smallest recordings here do.
func told(meta traces.Meta) bool {
	return !slices.ContainsFunc(meta.Unknown, func(u traces.Unknown) bool { return u.What == traces.UnknownProcesses })
}

// The text of perf script has the answers of the recording, though by default it names
// no process, or it says that they are unknown.
func TestTextHeadlines(t *testing.T) {
	if _, err := exec.LookPath("perf"); err != nil {
		t.Skip("perf is not installed, and the text is its")
	}
	files, _ := filepath.Glob("../../ingest/testdata/*.perf.data")
	if folder := os.Getenv("REPLAY_CAPTURES"); folder != "" {
		more, _ := filepath.Glob(filepath.Join(folder, "*.perf.data"))
		files = append(files, more...)
	}
	if len(files) == 0 {
		t.Fatal("vacuous: no recordings")
	}
	for _, path := range files {
		want := headlineOf(t, path)
		for form, args := range map[string][]string{
			"default":      {"--ns"},
			"with ids":     {"--ns", "--show-task-events", "--show-lost-events", "-F", "comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso"},
			"ids alone":    {"--ns", "-F", "comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso"},
			"tasks alone":  {"--ns", "--show-task-events"},
			"with headers": {"--ns", "--header"},
		} {
			t.Run(filepath.Base(path)+"/"+form, func(t *testing.T) {
				text, err := exec.Command("perf", append([]string{"script", "-i", path}, args...)...).Output()
				if err != nil {
					t.Fatal(err)
				}
				name := filepath.Join(t.TempDir(), "script.txt")
				if err := os.WriteFile(name, text, 0o600); err != nil {
					t.Fatal(err)
				}
				trace := filepath.Join(t.TempDir(), "trace.parquet")
				succeed(t, "ingest", "-o", trace, name)
				want, got := want, headlineOf(t, trace)
				if _, meta := readEvents(t, trace); !told(meta) {
					want.Trace.Mms, want.Runs = got.Trace.Mms, got.Runs // rest on what is unknown
				} else if strings.Contains(path, "pipe") && !slices.Contains(args, "-F") {
					t.Skip("perf prints no callchain of a pipe by default: the outcomes are unknown")
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("of the recording (-) and of its text (+):\n%s", diff)
				}
			})
		}
	}
}
