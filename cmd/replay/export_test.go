package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestExport(t *testing.T) {
	inFolder(t)
	succeed(t, "run", "-q", "app.parquet")
	const dir = "app.parquet.run"
	for _, test := range []struct{ args, want string }{
		{"--to folded", "probe_app:alloc;asm_exc_int3;"},
		{"--to folded --profile locked.blame --sample_index sections", "__x64_sys_mmap;vm_mmap_pgoff;do_mmap 10"},
		{"--to folded --profile locked.blame.pb.gz", ""}, // nobody waited
		{"--to benchfmt", "BenchmarkReplay/trace=app/resolver=speculative-2 201 "},
		{"--to openmetrics", "# EOF\n"},
		{"--to csv", "resolver,digest,hits,"},
		{"--to csv --table blame", "resolver,comm,pid,tid,kind,stack,"},
		{"--mail", "Simulated: generic"},
		{"--to mail", "Recorded waits for mmap_lock"},
		{"--to perfetto --time 0s,200us", `"ph":"M"`},
		{"--to perfetto", `{"displayTimeUnit":"ns","traceEvents":[`},
	} {
		args := append([]string{"export"}, strings.Fields(test.args)...)
		got := succeed(t, append(args, dir)...)
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: no %q in\n%.400s", test.args, test.want, got)
		}
		if other := succeed(t, append(args, dir+"/report.json")...); other != got {
			t.Errorf("%s: another export of its report.json", test.args)
		}
		succeed(t, append(args, "-o", "out", "-f", dir)...)
		if file, err := os.ReadFile("out"); err != nil || string(file) != got {
			t.Errorf("%s: another export into a file: %v", test.args, err)
		}
	}
	if r := call(t, "export", "--to", "folded", "--profile", "locked.blame", dir); r.code != exitOK || !strings.Contains(r.stderr, "lock_wait is 0 throughout") {
		t.Errorf("nothing to export: exit %d, %s", r.code, r.stderr)
	}
	whole, cut := succeed(t, "export", "--to", "perfetto", dir), succeed(t, "export", "--to", "perfetto", "--time", "250us,350us", dir)
	if n, m := strings.Count(whole, `"name":"waits for mmap_lock"`), strings.Count(cut, `"name":"waits for mmap_lock"`); n != 10 || m != 1 {
		t.Errorf("%d waits, and %d between 250 and 350 us", n, m)
	}
	succeed(t, "run", "-q", "--timeline", "250us,350us", "-o", "cut.run", "app.parquet")
	if n := strings.Count(succeed(t, "export", "--to", "perfetto", "cut.run"), `"name":"waits for mmap_lock"`); n != 1 {
		t.Errorf("%d waits in a timeline from 250 to 350 us", n)
	}
	said := succeed(t, "export", "--to", "perfetto", "-o", "t.json.gz", "--json", dir)
	var doc struct {
		Schema, Output string
		Bytes          int64
	}
	data, err := os.ReadFile("t.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(said), &doc); err != nil || doc.Output != "t.json.gz" || doc.Bytes != int64(len(data)) {
		t.Errorf("%v: %s", err, said)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil || string(plain) != succeed(t, "export", "--to", "perfetto", dir) {
		t.Errorf("gzipped, it is another: %v", err)
	}
}

func TestExportRefuses(t *testing.T) {
	inFolder(t)
	succeed(t, "run", "-q", "app.parquet")
	const dir = "app.parquet.run"
	if err := os.WriteFile("there", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	timeline, err := os.ReadFile(dir + "/timeline.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"/timeline.json.gz": timeline[:len(timeline)/2], "/bad.pb.gz": []byte("x")} {
		if err := os.WriteFile(dir+name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t)
	for _, test := range []struct {
		args, want string
		code       int
	}{
		{"export --to csv", "no folder of a run given", exitUsage},
		{"export app.parquet.run", "no --to FORMAT given", exitUsage},
		{"export --to pdf app.parquet.run", `--to "pdf": want one of perfetto`, exitUsage},
		{"export --to csv --mail app.parquet.run", "are two formats", exitUsage},
		{"export --to csv --table x app.parquet.run", "want one of runs", exitUsage},
		{"export --to csv --time 0s,1s app.parquet.run", "--time is of --to perfetto", exitUsage},
		{"export --to perfetto --time 1s app.parquet.run", "want A,B", exitUsage},
		{"export --to perfetto --time 0s,1s app.parquet.run", "cut short or damaged", exitInput},
		{"run --timeline 5 app.parquet", "want A,B", exitUsage},
		{"export --to csv --profile x app.parquet.run", "--profile is of --to folded", exitUsage},
		{"export --to folded --profile x app.parquet.run", "want one of bad, locked", exitUsage},
		{"export --to folded --profile ../x app.parquet.run", "there is no profile", exitUsage},
		{"export --to folded --profile bad app.parquet.run", "bad.pb.gz", exitInput},
		{"export --to folded --sample_index x app.parquet.run", "--sample_index", exitUsage},
		{"export --to perfetto -o new app.parquet.run", "cut short or damaged", exitInput},
		{"export --to mail -o there app.parquet.run", "exists already", exitUsage},
		{"export --to mail --json app.parquet.run", "is of -o FILE", exitUsage},
		{"export --to mail nowhere", "no such file", exitUsage},
		{"export --to mail app.parquet", "app.parquet", exitInput},
	} {
		if r := call(t, strings.Fields(test.args)...); r.code != test.code || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%s: exit %d, want %d with %q: %s", test.args, r.code, test.code, test.want, r.stderr)
		}
	}
	if after := listing(t); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}
