package ingest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// What perf record left out, by its command line.
func TestRecordOptions(t *testing.T) {
	events := []recordedEvent{
		{"probe_a:f", traces.UnknownHits}, {"probe_a:g", traces.UnknownHits}, {"syscalls:sys_enter_mmap", traces.UnknownWriters},
		{"mmap_lock:mmap_lock_released", traces.UnknownOutcomes}, {"sched:sched_process_fork", ""},
	}
	for _, test := range []struct {
		line   string
		alone  bool // nothing was forked
		online int
		want   string // What of each, and a part of its Why
	}{
		{line: "perf record -e probe_a:f ./app -t 1 -C 0"},
		{line: "perf record -a -- ./app -i"},
		{line: "perf record -gt 12 -p 11"},
		{line: "perf record -t 12,13 ./app", want: "writers -t 12,13"},
		{line: "/usr/bin/perf record -gt12", want: "writers -t 12"},
		{line: "perf record --tid=12", want: "writers -t 12"},
		{line: "perf record -t 12 -C 0", want: "writers -t 12"},
		{line: "perf record -p 11 -C 0"},
		{line: "perf record -C 0-1"},
		{line: "perf record -C 0,1"},
		{line: "perf record -C 1", want: "writers -C 1"},
		{line: "perf record -aC 0-1", online: 3, want: "writers -C 0-1"},
		{line: "perf record -C 0-x"},
		{line: "perf record -i ./app", want: "writers --no-inherit"},
		{line: "perf record -i ./app", alone: true},
		{line: "perf record -i -a ./app"},
		{line: "perf record --per-thread -p 11", want: "writers --no-inherit"},
		{line: "perf record -o -t -e probe_a:f"},
		{line: "perf record -I -zi -S -k mono -o x ./app"},
		{line: "perf record --call-graph fp -i ./app", want: "writers --no-inherit"},
		{line: "perf record -e probe_a:f,probe_a:g --filter x>1 ./app", want: `hits "x>1" left some of probe_a:g out`},
		{line: "perf record -e {probe_a:f,probe_a:g}:S --filter=x>1", want: `hits "x>1" left some of probe_a:g out`},
		{line: "perf record -e probe_a:* --filter x", want: `hits "x" left some of probe_a:* out`},
		{line: "perf record -e mmap_lock:mmap_lock_released/call-graph=fp,max-stack=16/ --filter x -e probe_a:f", want: `outcomes "x" left`},
		{line: "perf record -e syscalls:sys_enter_mmap --filter len>1 -e probe_a:f", want: `writers "len>1" left`},
		{line: "perf record -e sched:sched_process_fork --filter x"},
		{line: "perf record --filter"},
		{line: "perf stat -t 1"},
		{line: ""},
	} {
		o := parseRecord(strings.Fields(test.line))
		if test.online == 0 {
			test.online = 2
		}
		list := o.unknown(test.online, !test.alone, events)
		what, why, _ := strings.Cut(test.want, " ")
		switch {
		case test.want == "" && len(list) > 0:
			t.Errorf("%q: %v; want nothing", test.line, list)
		case test.want != "" && (len(list) != 1 || list[0].What != what || !strings.Contains(list[0].Why, why)):
			t.Errorf("%q: %v; want %s", test.line, list, test.want)
		}
	}
}

// A recording of a pipe whose events have more flags, and whose command line is known.
func TestPartlyRecorded(t *testing.T) {
	const userOnly, keepsLast = 1 << 5, 1 << 27
	file, err := os.ReadFile("testdata/perf/mixed-formats.perf.data")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		flags   uint64
		cmdline []string
		unknown []string
		locks   bool // lock events were recorded
	}{
		{name: "as it is", locks: true},
		{"user only", userOnly, nil, nil, false},
		{"overwritten", keepsLast, nil, []string{traces.UnknownLosses}, true},
		{"thread", 0, []string{"perf", "record", "-t", "7"}, []string{traces.UnknownWriters}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "perf.data")
			if err := os.WriteFile(path, withOptions(file, test.flags, test.cmdline), 0o644); err != nil {
				t.Fatal(err)
			}
			_, meta := read(t, path, Options{})
			var unknown []string
			for _, u := range meta.Unknown {
				unknown = append(unknown, u.What)
			}
			locks := slices.Contains(meta.Recorded, traces.LockStart.String())
			if !slices.Equal(unknown, test.unknown) || locks != test.locks {
				t.Errorf("unknown %v, lock events %v; want %v, %v", unknown, locks, test.unknown, test.locks)
			}
		})
	}
}

// withOptions adds flags to the attributes in a pipe's file, and a command line.
func withOptions(file []byte, flags uint64, cmdline []string) []byte {
	const headerAttr, headerFeature, featCmdline = 64, 80, 11
	le := binary.LittleEndian
	out := slices.Clone(file)
	at := 16
	for at+8 <= len(out) && le.Uint32(out[at:]) == headerAttr {
		attr := out[at+8:]
		le.PutUint64(attr[40:], le.Uint64(attr[40:])|flags)
		at += int(le.Uint16(out[at+6:]))
	}
	if cmdline == nil {
		return out
	}
	body := le.AppendUint32(le.AppendUint64(nil, featCmdline), uint32(len(cmdline)))
	for _, arg := range cmdline {
		body = append(le.AppendUint32(body, 8), append([]byte(arg), make([]byte, 8-len(arg))...)...)
	}
	record := le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, headerFeature), 0), uint16(8+len(body)))
	return slices.Insert(out, at, append(record, body...)...)
}
