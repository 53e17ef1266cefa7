package perfdata

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkNext reads whole files from memory, so that it is the decoder that is
// measured.
func BenchmarkNext(b *testing.B) {
	for _, path := range captures(b) {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(filepath.Base(path), func(b *testing.B) { benchmarkNext(b, data) })
	}
}

func benchmarkNext(b *testing.B, data []byte) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var records int64
	var rec Record
	for b.Loop() {
		r, err := New(bytes.NewReader(data), int64(len(data)), "bench")
		if err != nil {
			b.Fatal(err)
		}
		for {
			err := r.Next(&rec)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			records++
		}
		r.Close()
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
}

// captures are recordings to test with beyond those in testdata.
func captures(t testing.TB) []string {
	folder := os.Getenv("REPLAY_CAPTURES")
	if folder == "" {
		t.Skip("REPLAY_CAPTURES names no folder of recordings")
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.perf.data"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no *.perf.data in %s: %v", folder, err)
	}
	return paths
}
