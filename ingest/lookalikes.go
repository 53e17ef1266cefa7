package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/replay/replay/ingest/lines"
)

// lookalike is something that is taken for an input, and is none.
type lookalike struct {
	name string                   // "it looks like ..."
	is   func(prefix []byte) bool // the input's beginning, at most sniffed bytes
	then string                   // what to do
}

// What to do, where several things want the same.
const (
	recordIt  = "record with replay capture --probe PROGRAM:FUNCTION -- PROGRAM, or with perf probe and perf record"
	tellLines = "say what its lines mean with --bpftrace-format, or " + recordIt
)

// lookalikes are tried in this order, where no format is known.
var lookalikes = []lookalike{
	{"zeros", isZeros, "the disk was full, or the copy was cut short: copy it again"},
	{"a file compressed with zstd", magic("\x28\xb5\x2f\xfd"), "zstd -d FILE, and give what comes out"},
	{"a file compressed with xz", magic("\xfd7zXZ\x00"), "unxz FILE, and give what comes out"},
	{"a file compressed with bzip2", line(`^BZh[1-9]1AY&SY`), "bunzip2 FILE, and give what comes out"},
	{"a file compressed with lz4", magic("\x04\x22\x4d\x18"), "lz4 -d FILE, and give what comes out"},
	{"a zip archive", magic("PK\x03\x04"), "unzip FILE, and give what is in it"},
	{"a tar archive", at(257, "ustar"), "tar xf FILE, and give what is in it"},
	{"text in UTF-16", either(magic("\xff\xfe"), magic("\xfe\xff")), "iconv -f UTF-16 -t UTF-8 FILE, and give what comes out"},

	{"a perf.data of a perf older than 2010", magic("PERFFILE"), "record again, with a perf of today"},
	{"records of perf without a header, one file of what perf record --threads wrote", isRecords, "give the folder that it is in"},
	{"the binary trace of trace-cmd (trace.dat)", magic("\x17\x08\x44tracing"), recordIt},
	{"a trace of LTTng (CTF)", either(magic("\xc1\x1f\xfc\xc1"), magic("\xc1\xfc\x1f\xc1"), magic("/* CTF"), magic("\x75\xd1\x1d\x57"), magic("\x57\x1d\xd1\x75")), recordIt},
	{"a core dump", isELF(4), "give a recording: " + recordIt},
	{"a program or library", magic("\x7fELF"), "give a recording of it: " + recordIt},
	{"a profile of pprof", isPprof, "it has sums and no times: " + recordIt},
	{"a database of SQLite", magic("SQLite format 3\x00"), "give the perf.data that it was made of"},
	{"a trace of Perfetto", isPerfetto, recordIt},

	{"a JSON document of replay", line(`^\s*\{\s*"schema"\s*:\s*"replay\.`), "give the trace that it tells of"},
	{"a trace of Chrome (JSON)", has(`"traceEvents"`), recordIt},
	{"the JSON of perf data convert", has(`"linux-perf-json-version"`), "give the perf.data that it was made of"},
	{"a page of HTML", line(`(?i)^\s*(<!--.*-->\s*)?(<!doctype html|<html)`), "give the trace that it tells of"},
	{"a picture, as of a flame graph", line(`^\s*(<\?xml|<svg)`), "give the recording that it was made of"},
	{"JSON of another tool", line(`^\s*[{\[]\s*("|[{\[]|\})`), "of bpftrace, -f json is read; " + recordIt},

	{"the text of ftrace", either(has("# tracer: "), line(`^ *\S.{0,15}-\d+ +(\([ \d-]+\) +)?\[\d{3,}\] +[.a-zA-Z0-9#]{4,6} +\d+\.\d+: `)), "its clock and its losses are not known; " + recordIt},
	{"the text of trace-cmd report", either(line(`^(version = \d+\s+)?cpus=\d+\n`), line(`^ *\S.{0,15}-\d+ +\[\d{3,}\] +\d+\.\d+: `)), recordIt},
	{"the text of perf trace", line(`^ *\d+\.\d+ \( *(\d+\.\d+ ms)? *\): `), "it has no addresses of mappings: " + recordIt},
	{"the text of perf script without times", line(`(?m)^ *\S.{0,15} +(\d+/)?\d+ +(\[\d+\] +)?(\d+ +)?[\w-]+:[\w-]+: `), "print with perf script --ns -F +time"},
	{"the text of perf script without the names of events", line(`(?m)^ *\S.{0,15} +(\d+/)?\d+ +(\[\d+\] +)?\d+\.\d+: +(\(|\w+[=:])`), "print with perf script --ns -F +event"},
	{"the text of perf report", either(has("# To display the perf.data header info"), line(`^# Overhead`)), "give the perf.data that it was made of"},
	{"a dump of perf (-D)", line(`^\s*(0x[0-9a-f]+@\S+|\d+ \d+ 0x[0-9a-f]+) \[0x[0-9a-f]+\]: `), "give the perf.data that it was made of"},
	{"the text of perf stat", has("Performance counter stats for"), "it has sums and no times: " + recordIt},
	{"the text of strace", line(`^(\[pid +\d+\] |\d+ +)?([\d:]+(\.\d+)? +)?(\w+\(.*(\) += (-?\d|0x|\?)|<unfinished)|\+\+\+ exited|--- SIG)`), recordIt},
	{"the text of babeltrace", line(`^\[[\d:.]+\] \([+?][\d.?]+\) `), recordIt},
	{"stacks folded for a flame graph", line(`^[^\s;][^;\n]*(;[^;\n]+)+ \d+\n`), "they have sums and no times: give the recording that they were made of"},
	{"a list of probes (uprobe_events)", line(`^[pr]\d*:\S+/\S+ /\S+:0x[0-9a-f]+`), "record them with perf record -e GROUP:NAME"},
	{"mappings of a process (/proc/PID/maps)", line(`^[0-9a-f]+-[0-9a-f]+ [r-][w-][x-][ps] `), recordIt},
	{"the output of a tool of bcc or bpftrace", either(line(`^(.*\n)?(TIME\S*|[A-Z_()]+) .*\bPID\b`), has("Hit Ctrl-C to end")), tellLines},
	{"the output of a bpftrace script", line(`^Attach(ing \d+ probes?\.\.\.|ed \d+ probes?)\n`), tellLines},
}

func magic(m string) func([]byte) bool { return at(0, m) }

func at(offset int, m string) func([]byte) bool {
	return func(b []byte) bool { return len(b) > offset && bytes.HasPrefix(b[offset:], []byte(m)) }
}

func has(part string) func([]byte) bool {
	return func(b []byte) bool { return bytes.Contains(b, []byte(part)) }
}

// line matches the beginning of text, with one line's break at its end even where the
// file has none.
func line(pattern string) func([]byte) bool {
	re := lines.Pattern(pattern)
	return func(b []byte) bool {
		b = bytes.TrimPrefix(b[:min(len(b), 4096)], []byte("\xef\xbb\xbf"))
		return re().Match(b) || re().Match(append(bytes.Clone(b), '\n'))
	}
}

func either(any ...func([]byte) bool) func([]byte) bool {
	return func(b []byte) bool {
		for _, is := range any {
			if is(b) {
				return true
			}
		}
		return false
	}
}

func isZeros(b []byte) bool { return len(b) >= 8 && len(bytes.Trim(b, "\x00")) == 0 }

// isELF is for a type of ELF file (e_type, of the usual byte order).
func isELF(kind byte) func([]byte) bool {
	return func(b []byte) bool { return bytes.HasPrefix(b, []byte("\x7fELF")) && len(b) > 16 && b[16] == kind }
}

// isRecords is for records of the kernel one behind the other: each has a known type
// and a size (struct perf_event_header).
func isRecords(b []byte) bool {
	n := 0
	for ; len(b) >= 8 && n < 4; n++ {
		kind, size := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[6:]))
		if kind == 0 || kind > 100 || size < 8 || size%8 != 0 {
			return false
		}
		b = b[min(size, len(b)):]
	}
	return n > 1
}

// isPprof is for the message Profile of profile.proto, which begins with a sample_type
// {type, unit}, and for its compressed form.
func isPprof(b []byte) bool {
	return len(b) > 6 && b[0] == 0x0a && b[1] >= 2 && b[1] <= 12 && (b[2] == 0x08 || b[2] == 0x10)
}

func isPerfetto(b []byte) bool {
	return len(b) > 0 && b[0] == 0x0a && (bytes.Contains(b, []byte("perfetto")) || bytes.Contains(b, []byte("linux.ftrace")))
}

// unknownFormat is the error for an input of no known format: what it looks like, and
// what to do.
func unknownFormat(path string, prefix []byte) error {
	for _, l := range lookalikes {
		if l.is(prefix) {
			then := strings.Replace(l.then, "FILE", filepath.Base(path), 1)
			return fmt.Errorf("%s: %w: it looks like %s; %s", path, ErrFormat, l.name, then)
		}
	}
	shown := prefix[:min(16, len(prefix))]
	return fmt.Errorf("%s:@0: %w: it begins with %q; want perf.data, the text of perf script, what bpftrace printed, or a trace of replay (name it with --format, or say what the lines of a bpftrace script mean with --bpftrace-format)", path, ErrFormat, shown)
}
