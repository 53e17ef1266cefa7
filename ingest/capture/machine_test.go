package capture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeTracefs is a folder with files of the tracing file system.
func fakeTracefs(t *testing.T, files map[string]string) Tracefs {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Tracefs{dir}
}

// Each thing that a machine lacks is said in one line, with how to get it.
func TestMissing(t *testing.T) {
	const (
		uprobes  = "uprobe_events"
		syscalls = "events/syscalls/sys_enter_mmap/format"
		locks    = "events/mmap_lock/mmap_lock_released/format"
	)
	all := map[Tool]bool{Perf: true, BPFtrace: true}
	for _, test := range []struct {
		what    string
		root    bool
		mounted bool
		tools   map[Tool]bool
		files   []string
		options Options
		want    []string // what each line says
	}{
		{"nothing", true, true, all, []string{uprobes, syscalls, locks}, Options{Tool: Perf}, nil},
		{"root", false, true, all, nil, Options{Tool: Perf}, []string{"sudo"}},
		{"the mount", true, false, all, nil, Options{Tool: Perf}, []string{"mount -t tracefs nodev /sys/kernel/tracing"}},
		{"uprobes", true, true, all, []string{syscalls, locks}, Options{Tool: Perf}, []string{"CONFIG_UPROBE_EVENTS"}},
		{"syscalls", true, true, all, []string{uprobes, locks}, Options{Tool: Perf}, []string{"CONFIG_FTRACE_SYSCALLS"}},
		{"lock events", true, true, all, []string{uprobes, syscalls}, Options{Tool: Perf}, []string{"--no-locks"}},
		{"lock events that nobody wants", true, true, all, []string{uprobes, syscalls}, Options{Tool: Perf, NoLocks: true}, nil},
		{"perf", true, true, map[Tool]bool{BPFtrace: true}, []string{uprobes, syscalls, locks}, Options{Tool: Perf}, []string{"apt-get install linux-perf"}},
		{"bpftrace", true, true, map[Tool]bool{Perf: true}, []string{uprobes, syscalls, locks}, Options{Tool: BPFtrace}, []string{"apt-get install bpftrace"}},
		{"perf and root", false, true, nil, nil, Options{Tool: Perf}, []string{"install linux-perf", "sudo"}},
	} {
		files := map[string]string{}
		for _, name := range test.files {
			files[name] = ""
		}
		m := Machine{Root: test.root, Tracefs: fakeTracefs(t, files), HasTracefs: test.mounted, Tools: test.tools}
		lines := m.Missing(test.options)
		ok := len(lines) == len(test.want)
		for i := range min(len(lines), len(test.want)) {
			ok = ok && strings.Contains(lines[i], test.want[i]) && !strings.Contains(lines[i], "\n")
		}
		if !ok {
			t.Errorf("without %s: %q, want lines with %q", test.what, lines, test.want)
		}
	}
}

func TestBuffers(t *testing.T) {
	for cpus, want := range map[int]string{1: "32768K", 64: "32768K", 65: "16384K", 512: "4096K", 1 << 20: "512K"} {
		if got := DefaultBuffer(Perf, cpus); got != want || !validBuffer(got) {
			t.Errorf("%d CPUs: %s, want %s", cpus, got, want)
		}
	}
	if got := DefaultBuffer(BPFtrace, 2); got != "16384K" {
		t.Errorf("bpftrace gets %s", got)
	}
	for s, want := range map[string]uint64{"64": 64, "4K": 1, "1B": 1, "5K": 2, "32M": 8192, "32768K": 8192, "1G": 1 << 18, "2047G": 1 << 29} {
		if got := pages(s); got != want && os.Getpagesize() == 4096 {
			t.Errorf("%s are %d pages, want %d", s, got, want)
		}
	}
	for s, want := range map[string]bool{
		"1": true, "64": true, "63": false, "0": false, "": false, "-1": false, "32M": true, "33K": true, "8B": true, "1G": true,
		"M": false, "32m": false, "32MB": false, "1T": false, "3.5M": false, "99999999999": false,
	} {
		if got := validBuffer(s); got != want {
			t.Errorf("a buffer of %q: %v, want %v", s, got, want)
		}
	}
}
