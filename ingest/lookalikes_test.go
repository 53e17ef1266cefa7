package ingest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is no input is named, with what to do. Each lookalike has an example here.
func TestLookalikes(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range []struct{ content, name string }{
		{strings.Repeat("\x00", 4096), "zeros"},
		{"\x28\xb5\x2f\xfd\x04\x58", "zstd"},
		{"\xfd7zXZ\x00\x00\x04", "xz"},
		{"BZh91AY&SY\xd4\x03", "bzip2"},
		{"\x04\x22\x4d\x18\x64", "lz4"},
		{"PK\x03\x04\x14\x00", "a zip archive"},
		{"perf.data" + strings.Repeat("\x00", 248) + "ustar  \x00", "a tar archive"},
		{"\xff\xfea\x00p\x00p\x00", "UTF-16"},
		{"PERFFILE\x68\x00\x00\x00", "older than 2010"},
		{"\x03\x00\x00\x00\x02\x00\x10\x00\x05\x00\x00\x00\x05\x00\x00\x00\x09\x00\x00\x00\x02\x00\x08\x00", "records of perf without a header"},
		{"\x17\x08\x44tracing6\x00", "trace.dat"},
		{"/* CTF 1.8 */\n", "LTTng"},
		{"\xc1\x1f\xfc\xc1\x00\x00", "LTTng"},
		{"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00>\x00", "a core dump"},
		{"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00>\x00", "a program or library"},
		{"\x0a\x04\x08\x01\x10\x02\x0a\x04\x08\x03\x10\x04", "pprof"},
		{"SQLite format 3\x00", "SQLite"},
		{"\x0a\x30\x08\x01perfetto.traced", "Perfetto"},
		{`{"schema": "replay.run/1", "hits": 3}`, "a JSON document of replay"},
		{`{"traceEvents": [{"ph": "X"}]}`, "Chrome"},
		{"{\n\t\"linux-perf-json-version\": 1,", "perf data convert"},
		{"<!DOCTYPE html>\n<html>", "HTML"},
		{"<?xml version=\"1.0\"?>\n<svg>", "flame graph"},
		{`[{"a": 1}]`, "JSON of another tool"},
		{"# tracer: nop\n#\n", "the text of ftrace"},
		{"             app-4101    [000] ....1    50.000000100: f: (0x401136)\n", "the text of ftrace"},
		{"             app-4101    ( 4101) [000] d..1    50.000000100: f: (0x401136)\n", "the text of ftrace"},
		{"cpus=2\n             app-4101  [000]    50.000000100: f: (0x401136)\n", "trace-cmd report"},
		{"             app-4101  [000]    50.000000100: f: (0x401136)\n", "trace-cmd report"},
		{"     0.000 ( 0.037 ms): app/4102 munmap(addr: 0x7f0000001000, len: 8192) = 0\n", "perf trace"},
		{"     1.668 (         ): app/4101 probe_app:f(__probe_ip: 4198710)\n", "perf trace"},
		{"             app  4101/4101  [000]          1 probe_app:f: (401136)\n", "without times; print with perf script --ns -F +time"},
		{"             app  4101/4101  [000]    50.000000100: (401136)\n", "without the names of events; print with perf script --ns -F +event"},
		{"# To display the perf.data header info, please use --header/--header-only options.\n#\n", "perf report"},
		{"\n0x248@perf.data [0xd0]: event: 69\n.\n", "a dump of perf"},
		{"# started on Sun\n\n\n Performance counter stats for 'true':\n", "perf stat"},
		{"execve(\"/bin/ls\", [\"ls\"], 0x7ffc /* 9 vars */) = 0\n", "strace"},
		{"4101  09:12:41.123456 munmap(0x7f0000001000, 8192) = 0\n", "strace"},
		{"[pid  4101] mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3, 0 <unfinished ...>\n", "strace"},
		{"[09:12:41.123456789] (+?.?????????) host app:hit: { cpu_id = 0 }, { }\n", "babeltrace"},
		{"app;main;f 12\napp;main 3\n", "folded"},
		{"p:probe_app/f /srv/app:0x0000000000001136\n", "a list of probes"},
		{"00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/dbus\n", "/proc/PID/maps"},
		{"TIME(s)  PID    COMM\n1.0      4101   app\n", "a tool of bcc"},
		{"Tracing malloc()... Hit Ctrl-C to end.\n", "a tool of bcc"},
		{"Attaching 1 probe...\nhello\n", "a bpftrace script"},
		{"Attached 2 probes\nhello\n", "a bpftrace script"},
	} {
		path := filepath.Join(t.TempDir(), "input")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := tryRead(path, Options{})
		if !errors.Is(err, ErrFormat) || !contains(err.Error(), "it looks like ") || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%.30q: %v, want %q", test.content, err, test.name)
		}
		for _, l := range lookalikes {
			if err != nil && strings.Contains(err.Error(), "it looks like "+l.name+"; ") {
				seen[l.name] = true
			}
		}
	}
	for _, l := range lookalikes {
		if !seen[l.name] {
			t.Errorf("%q has no example", l.name)
		}
	}
}

// gzip is read through, but for what must be read in any order. A damaged file is told.
func TestGzip(t *testing.T) {
	squeeze := func(content []byte) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(content)
		z.Close()
		path := filepath.Join(t.TempDir(), "input.gz")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if events, _ := read(t, squeeze([]byte(hitsText)), Options{}); len(events) != 1 {
		t.Errorf("text: %d rows, want 1", len(events))
	}
	for name, says := range map[string]string{"churn-pipe": "", "churn": "gunzip it first"} {
		whole, err := os.ReadFile("testdata/" + name + ".perf.data")
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = tryRead(squeeze(whole), Options{})
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	for _, hits := range []int{100, 10_000} { // where what decides on the format is cut, and behind it
		path := squeeze([]byte(strings.Repeat(hitsText, hits)))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:len(b)-9], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tryRead(path, Options{}); err == nil || !contains(err.Error(), "input.gz") || !contains(err.Error(), "was the copy cut short?") {
			t.Errorf("cut: %v", err)
		}
	}
}
