package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// A recording is named alike whether its kernel still runs or was started anew, elsewhere.
func TestKernelElsewhere(t *testing.T) {
	const text = 0xffffffff81000000 // where perf says that it was
	frames := func(shift uint64) (all []string, named int) {
		var symbols strings.Builder
		fmt.Fprintf(&symbols, "%x T _text\n", text+shift)
		for at := uint64(0x1000); at < 0x1276f48; at += 0x1000 {
			fmt.Fprintf(&symbols, "%x t f%x\n", text+shift+at, at)
		}
		path := filepath.Join(t.TempDir(), "kallsyms")
		if err := os.WriteFile(path, []byte(symbols.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(context.Background(), []string{"testdata/churn.perf.data"}, Options{Kallsyms: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for {
			var ev traces.Event
			if err := s.Next(&ev); errors.Is(err, io.EOF) {
				return all, named
			} else if err != nil {
				t.Fatal(err)
			}
			for _, f := range ev.Stack {
				if strings.HasPrefix(f, "f") && strings.HasSuffix(f, "([kernel.kallsyms])") {
					named++
				}
				all = append(all, f)
			}
		}
	}
	want, named := frames(0)
	if named == 0 {
		t.Fatal("vacuous: no frame of the kernel")
	}
	for _, shift := range []uint64{0x1000, 0x2a000000} {
		if got, _ := frames(shift); !slices.Equal(got, want) {
			t.Errorf("symbols %#x further: other frames", shift)
		}
	}
}
