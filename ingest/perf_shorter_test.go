package ingest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/traces"
)

// A file that becomes shorter while it is read is an error, whether its records are gone,
// or only what stands behind them.
func TestFileBecomesShorter(t *testing.T) {
	whole, err := os.ReadFile("testdata/churn.perf.data")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, int64(len(whole)) - 1} {
		path := filepath.Join(t.TempDir(), "perf.data")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(context.Background(), []string{path}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var ev traces.Event
		if err := s.Next(&ev); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = s.Next(&ev)
		}
		if errors.Is(err, io.EOF) || !errors.Is(err, perfdata.ErrTruncated) {
			t.Errorf("cut to %d bytes of %d: %v", size, len(whole), err)
		}
		if again := s.Next(&ev); again != err {
			t.Errorf("then %v", again)
		}
		s.Close()
	}
}
