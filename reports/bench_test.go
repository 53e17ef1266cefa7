package reports

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/traces"
)

// storedTrace is a trace of the corpus for replay.
type storedTrace struct {
	*traces.File
	path string
}

func (s storedTrace) Path() string   { return s.path }
func (s storedTrace) SHA256() string { return strings.Repeat("0", 64) }

func (s storedTrace) Stream(c traces.Columns) (traces.Stream, error) { return s.Events(c) }

// played is what a replay of a trace of the corpus found.
func played(tb testing.TB, name string) *replay.Result {
	tb.Helper()
	path := "../traces/corpus/" + name + ".parquet"
	f, err := traces.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	machine, err := machines.Load(machines.Generic)
	if err != nil {
		tb.Fatal(err)
	}
	res, err := replay.Play(tb.Context(), storedTrace{f, path}, machine, replay.DefaultOptions(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return res
}

func BenchmarkDir(b *testing.B) {
	for _, name := range []string{"churn-1x1", "javac"} {
		b.Run(name, func(b *testing.B) {
			res := played(b, name)
			dir := filepath.Join(b.TempDir(), "run")
			for b.Loop() {
				if err := WriteDir(dir, res, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFile is what each report of a run costs.
func BenchmarkFile(b *testing.B) {
	res := played(b, "churn-1x1")
	for _, f := range files(res) {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				if err := f.write(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
