package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkRun is replay run as a whole, with both resolvers and all reports: of traces of
// the corpus, of a small capture, and of captures that REPLAY_BENCH lists, as PATH lists
// folders.
func BenchmarkRun(b *testing.B) {
	inputs := []string{
		"../../traces/corpus/javac.parquet", "../../traces/corpus/stress-malloc-z.parquet", "../../traces/corpus/light-node.parquet",
		"../../ingest/testdata/churn.perf.data",
	}
	for _, input := range append(inputs, filepath.SplitList(os.Getenv("REPLAY_BENCH"))...) {
		b.Run(filepath.Base(input), func(b *testing.B) {
			out := filepath.Join(b.TempDir(), "out")
			for b.Loop() {
				if code := run(b.Context(), []string{"run", "-q", "--force", "-o", out, input}, strings.NewReader(""), io.Discard, io.Discard); code != exitOK {
					b.Fatalf("exit code %d", code)
				}
			}
		})
	}
}
