package perfdata

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// seeds are files that a fuzz target starts from: those of testdata, and built ones
// of every kind of record and of every error.
func seeds(f *testing.F, pipe bool) {
	f.Helper()
	paths, err := filepath.Glob("testdata/*.perf.data")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds:", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if pipe == (data[8] == pipeHeaderSize) {
			f.Add(data)
		}
	}
	plain := newRecording(everyRecord...)
	packed := newRecording(deflate(f, bytes.Join(everyRecord[:10], nil), 300))
	for _, r := range []*recording{plain, packed} {
		if pipe {
			f.Add(r.pipe())
		} else {
			f.Add(r.file())
		}
	}
	for _, bad := range badFiles(f) {
		if len(bad.data) > 8 && pipe == (bad.data[8] == pipeHeaderSize) {
			f.Add(bad.data)
		}
	}
}

// Whatever the bytes: a reader or an error, each error with a position, the same
// error when asked again, and an end.
func FuzzReader(f *testing.F) {
	seeds(f, false)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8 && data[8] == pipeHeaderSize {
			return // FuzzPipe's
		}
		readBad(t, data)
	})
}

// The same of a pipe.
func FuzzPipe(f *testing.F) {
	seeds(f, true)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8 && data[8] != pipeHeaderSize {
			return // FuzzReader's
		}
		readBad(t, data)
	})
}

// A format or an error, and no field reads beyond the data.
func FuzzFormat(f *testing.F) {
	f.Add(hitFormat, []byte("0123456789abcdef"))
	f.Add(manyFormat, bytes.Repeat([]byte{1}, 80))
	f.Add("name: x\nfield:int x;offset:65536;size:65536;signed:1;", []byte{1})
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		format, err := ParseFormat("fuzz", text)
		if (err == nil) == (format == nil) {
			t.Fatalf("error %v and format %v", err, format)
		}
		if err != nil {
			return
		}
		for i := range format.Fields {
			field := &format.Fields[i]
			field.Uint(raw)
			field.Text(raw)
			if format.Field(field.Name) == nil {
				t.Fatalf("field %q is not found", field.Name)
			}
		}
	})
}
