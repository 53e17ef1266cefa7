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
	plain := manyHits(100_000)
	b.Run("built", func(b *testing.B) { benchmarkNext(b, newRecording(plain).file()) })
	packed := newRecording(deflate(b, plain, 1<<20)).file()
	b.Run("built-z", func(b *testing.B) { benchmarkNext(b, packed) })
	if os.Getenv("REPLAY_CAPTURES") == "" {
		return
	}
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

func manyHits(n int) (records []byte) {
	for i := range n {
		records = append(records, hit(uint64(i), uint32(i%2))...)
		if i%1000 == 999 {
			records = append(records, rec(Comm, 0, int32(1), int32(1), "same", trailer(1, 1, uint64(i), 0, 7))...)
		}
	}
	return records
}

// Records cost no memory each, compressed or not.
func TestAllocations(t *testing.T) {
	plain := manyHits(40_000)
	for name, records := range map[string][]byte{"plain": plain, "compressed": deflate(t, plain, 1<<20)} {
		r, err := open(newRecording(records).file())
		if err != nil {
			t.Fatal(err)
		}
		var rec Record
		next := func(n int) {
			for range n {
				if err := r.Next(&rec); err != nil {
					t.Fatal(err)
				}
			}
		}
		next(5000)                                                          // what is allocated once is allocated by now
		if n := testing.AllocsPerRun(2, func() { next(10_000) }); n > 500 { // the race detector adds some
			t.Errorf("%s: %v allocations for 10000 records", name, n)
		}
		r.Close()
	}
}
