package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/traces"
)

// What records of perf mean that are rare, or new: each file is made after one that a
// tool wrote, or that a report showed.
func TestPerfRecords(t *testing.T) {
	tests := []struct {
		name           string
		hits, fellBack int
		lost           int64
		unknown        string   // What of meta.Unknown, and how its Why begins
		warns          []string // each in one warning; no others
	}{
		// perf record -o - > FILE 2>&1.
		{name: "chatter-after", hits: 3, warns: []string{`95 bytes of text that stand between the records were left out, the first: "[ perf record: Woken up 1 times to write data ]"`}},
		{name: "deferred-callchain", hits: 1},
		// The kernel's frames have no names, and the user's IP is in the registers alone.
		{name: "dwarf-unnamed-kernel", hits: 5, fellBack: 5, warns: []string{"--call-graph dwarf"}},
		{name: "freq99", hits: 5, unknown: traces.UnknownHits + " perf sampled probe_app:f (-F 99)"},
		{name: "lost-dropped-by-filter", hits: 3, warns: []string{"123456 samples were dropped on purpose"}},
		{name: "lost-really", hits: 3, lost: 123456, warns: []string{"123456 events were lost"}},
		{name: "aux-and-new-records", hits: 4},
		{name: "guest-sample", hits: 3, warns: []string{"1 records of virtual machines' guests"}},
		{name: "odd-names", hits: 13},
		{name: "mixed-formats", hits: 3},
		{name: "kprobe-beside", hits: 2, warns: []string{"make no rows"}},
		{name: "probe-ip-4-bytes", hits: 3},
		{name: "rt-common-fields", hits: 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			events, meta := read(t, "testdata/perf/"+test.name+".perf.data", Options{})
			checkOrder(t, events)
			fellBack := 0
			for i := range events {
				if events[i].InUprobe {
					fellBack++
				}
			}
			if n := kinds(events)["hit"]; n != test.hits || fellBack != test.fellBack || meta.Lost != test.lost {
				t.Errorf("%d hits, %d fell back, %d lost; want %d, %d and %d", n, fellBack, meta.Lost, test.hits, test.fellBack, test.lost)
			}
			unknown := ""
			for _, u := range meta.Unknown {
				unknown += u.What + " " + u.Why
			}
			if !strings.HasPrefix(unknown, test.unknown) || test.unknown == "" && unknown != "" {
				t.Errorf("unknown: %+v, want %q", meta.Unknown, test.unknown)
			}
			if len(meta.Warnings) != len(test.warns) {
				t.Errorf("warnings %q, want %q", meta.Warnings, test.warns)
			}
			for _, want := range test.warns {
				if !contains(strings.Join(meta.Warnings, "\n"), want) {
					t.Errorf("warnings %q have no %q", meta.Warnings, want)
				}
			}
		})
	}
}

// The kernel tells the user's part of a callchain later. A cookie is no frame.
func TestDeferredCallchain(t *testing.T) {
	events, _ := read(t, "testdata/perf/deferred-callchain.perf.data", Options{})
	for i := range events {
		if events[i].Kind != traces.Hit {
			continue
		}
		if got, want := fmt.Sprint(events[i].Stack), "[0x401136 (/srv/app) 0x401180 (/srv/app)]"; got != want {
			t.Errorf("stack %s, want %s", got, want)
		}
	}
}

// What an event is recorded for is told, whether there were any or not; of syscalls,
// half is nothing.
func TestRecorded(t *testing.T) {
	for name, want := range map[string][]string{
		"perf/freq99":      {"hit", "fork", "exec", "exit", "map", "lost"},
		"churn":            {"hit", "mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "fork", "exec", "exit", "map", "lock_start", "lock_acquired", "lock_released", "lost"},
		"churn-pipe":       {"hit", "mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "fork", "exec", "exit", "map", "lock_start", "lock_acquired", "lock_released", "lost"},
		"perf/event-twice": {"hit", "fork", "exec", "exit", "map", "lost"},
	} {
		_, meta := read(t, "testdata/"+name+".perf.data", Options{})
		if !slices.Equal(meta.Recorded, want) {
			t.Errorf("%s: recorded %q, want %q", name, meta.Recorded, want)
		}
	}
}

// What perf record --threads writes into a folder is one recording, given as the folder
// or as the file with the header. One of its other files is not.
func TestPerfFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	recordLive(t, dir, []string{"--threads"}, "1", "1", "30")
	want := perfScriptKinds(t, dir)
	for _, path := range []string{dir, filepath.Join(dir, "data")} {
		events, meta := read(t, path, Options{})
		checkOrder(t, events)
		got := kinds(events)
		delete(got, "map")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (+) against perf script (-):\n%s", diff)
		}
		if want := filepath.Join(dir, "data"); meta.Sources[0].Path != want {
			t.Errorf("source %q, want %q", meta.Sources[0].Path, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "data.0")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tryRead(dir, Options{}); err == nil || !strings.Contains(err.Error(), "whole folder") {
		t.Errorf("without one of its files: %v", err)
	}
}

// A mapping is of the process that its record names, and its build id is what the kernel
// told with it (perf record --buildid-mmap), or else what perf found out afterwards.
func TestMappingRecords(t *testing.T) {
	f, err := os.Open("testdata/churn.perf.data")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := perfdata.New(f, info.Size(), f.Name())
	if err != nil {
		t.Fatal(err)
	}
	r.Info().BuildIDs["/both"], r.Info().BuildIDs["/table"] = "0b", "0c"
	s := &perfStream{r: r}
	s.asm = assemble.New(assemble.Options{})
	for i, m := range []perfdata.Mapping{
		{File: "/kernel", BuildID: "0a", V2: true, Prot: 5, Flags: 2}, {File: "/both", BuildID: "0a", V2: true, Prot: 5, Flags: 2},
		{File: "/table", Inode: 9, Major: 8, Minor: 7, InodeGen: 6, V2: true, Prot: 1, Flags: 2}, {File: "/none"}, {File: "/data", Data: true},
	} {
		m.PID, m.TID, m.Addr, m.Len = 10, 11, 0x1000, 0x1000
		s.mapping(&perfdata.Record{Type: perfdata.Mmap2, Time: uint64(i), CPU: -1, PID: 70, TID: 71, Mapping: m})
	}
	s.asm.Flush()
	var got []string
	for ev := (traces.Event{}); s.asm.Next(&ev); {
		got = append(got, strings.Join(strings.Fields(traces.FormatText(&ev))[3:], " "))
	}
	const head = "pid=10 tid=11 addr=0x1000 len=0x1000 pgoff=0x0 "
	want := []string{
		head + "prot=5 flags=2 path=/kernel build_id=0a src_pos=0", head + "prot=5 flags=2 path=/both build_id=0a src_pos=0",
		head + "prot=1 flags=2 dev_major=8 dev_minor=7 inode=9 inode_gen=6 path=/table build_id=0c src_pos=0",
		head + "prot=5 path=/none src_pos=0", head + "path=/data src_pos=0",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// How events were sampled is named as perf record's options name it.
func TestSampling(t *testing.T) {
	const byTime = 1 << 10 // attr.freq
	for _, c := range []struct {
		attr perfdata.Attr
		want string
	}{
		{perfdata.Attr{Period: 99, Flags: byTime}, "-F 99"},
		{perfdata.Attr{Period: 10}, "-c 10"},
		{perfdata.Attr{}, "it only counted them: --no-samples, or a group with :S"},
	} {
		if got := sampling(&c.attr); got != c.want {
			t.Errorf("%+v: %s, want %s", c.attr, got, c.want)
		}
	}
}
