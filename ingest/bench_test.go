package ingest

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/replay/replay/traces"
)

// BenchmarkIngest makes rows of recordings, of which REPLAY_CAPTURE may name one more.
func BenchmarkIngest(b *testing.B) {
	paths := []string{"testdata/churn.perf.data", "testdata/churn-z.perf.data", "testdata/churn.bpftrace.txt", "testdata/script/strings.txt"}
	if more := os.Getenv("REPLAY_CAPTURE"); more != "" {
		paths = append(paths, more)
	}
	for _, path := range paths {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				s, err := Open(context.Background(), []string{path}, Options{})
				if err != nil {
					b.Fatal(err)
				}
				var ev traces.Event
				for err = s.Next(&ev); err == nil; err = s.Next(&ev) {
					rows++
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				s.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
		})
	}
}
