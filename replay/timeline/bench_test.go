package timeline

import (
	"testing"

	"github.com/replay/replay/replay/replaytest"
)

// BenchmarkReconstruct times the reconstruction of rows that are in memory: lock events and
// callchains with each hit (churn), few of both (malloc), and many threads and writers
// (javac).
func BenchmarkReconstruct(b *testing.B) {
	for _, name := range []string{"churn-1x1", "stress-malloc-z", "javac"} {
		b.Run(name, func(b *testing.B) {
			trace := replaytest.Made(replaytest.Corpus(b, name).Rows(b))
			profile := replaytest.Machine(b)
			s, err := TakeSurvey(b.Context(), trace)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			rows := int64(0)
			for b.Loop() {
				r, err := Reconstruct(b.Context(), trace, s, Config{Using: Everything, Profile: profile})
				if err != nil {
					b.Fatal(err)
				}
				shared := Share(b.Context(), r, 1)
				go shared.Feed()
				reader := shared.Reader(0)
				for op, ok := reader.Next(); ok; op, ok = reader.Next() {
					reader.Done(op)
				}
				if reader.Err() != nil {
					b.Fatal(reader.Err())
				}
				r.Close()
				rows += s.Events
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkSurvey times the pass before it.
func BenchmarkSurvey(b *testing.B) {
	for _, name := range []string{"churn-1x1", "stress-malloc-z", "javac"} {
		b.Run(name, func(b *testing.B) {
			trace := replaytest.Made(replaytest.Corpus(b, name).Rows(b))
			b.ReportAllocs()
			rows := int64(0)
			for b.Loop() {
				s, err := TakeSurvey(b.Context(), trace)
				if err != nil {
					b.Fatal(err)
				}
				rows += s.Events
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
		})
	}
}
