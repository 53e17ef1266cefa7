package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/traces"
)

// A pipe has the rows and the meta of a file, though the text has to be read twice, and
// leaves nothing behind.
func TestProcessesFromPipe(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const path = "testdata/script/nopid-default.txt"
	want, meta := read(t, path, Options{})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, piped, err := tryRead("-", Options{Stdin: strings.NewReader(string(text))})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 || want[0].PID != 4101 {
		t.Errorf("rows of the file (-) and of the pipe (+):\n%s", diff)
	}
	if diff := cmp.Diff(meta.Warnings, piped.Warnings); diff != "" {
		t.Errorf("warnings of the file (-) and of the pipe (+):\n%s", diff)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Where there is no room for what a pipe gave, the message says where room is wanted.
func TestProcessesNoRoom(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	t.Setenv("TMPDIR", missing)
	_, _, err := tryRead("-", Options{Stdin: strings.NewReader("app 4101 [000] 50.000000100: probe_app:f: (401136)\n")})
	if err == nil || !contains(err.Error(), "read twice", missing) {
		t.Errorf("error %v, want one that names %s", err, missing)
	}
}

// What tells processes may stand in several texts (perf script --per-event-dump).
func TestProcessesOfSeveralTexts(t *testing.T) {
	recorded, err := os.ReadFile("testdata/script/nopid-default.txt")
	if err != nil {
		t.Fatal(err)
	}
	// After each of its calls the mapper reads another process's smaps, once more than it
	// locks its own: which of both is its own, only the calls around the locks tell.
	var text strings.Builder
	parts := map[string]string{}
	add := func(line string) {
		text.WriteString(line)
		parts[strings.Fields(line)[4]] += line
	}
	for line := range strings.Lines(string(recorded)) {
		add(line)
		f := strings.Fields(line)
		if f[4] != "syscalls:sys_exit_munmap:" {
			continue
		}
		var s, ns int
		fmt.Sscanf(f[3], "%d.%d:", &s, &ns)
		for i, event := range []string{"start_locking", "acquire_returned", "released", "start_locking", "acquire_returned", "released"} {
			success := map[bool]string{true: " success=true"}[event == "acquire_returned"]
			add(fmt.Sprintf("mapper  %s %s    %d.%09d: mmap_lock:mmap_lock_%s: mm=0xffff888100069f00 memcg_id=1 write=false%s\n", f[1], f[2], s, ns+1+i, event, success))
		}
	}
	path := filepath.Join(t.TempDir(), "whole")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var files []string
	for event, lines := range parts {
		file := filepath.Join(t.TempDir(), event+"dump")
		if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	slices.Sort(files)
	want, _ := read(t, path, Options{})
	s, err := Open(t.Context(), files, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range want {
		var ev traces.Event
		if err := s.Next(&ev); err != nil {
			t.Fatal(err)
		}
		ev.Src, ev.SrcPos, want[i].Src, want[i].SrcPos = 0, 0, 0, 0
		if w, g := traces.FormatText(&want[i]), traces.FormatText(&ev); w != g || ev.PID != 4101 {
			t.Fatalf("row %d of one text and of several:\n%s\n%s", i, w, g)
		}
	}
}
