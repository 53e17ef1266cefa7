package perfdata

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Skim finds the records that Next finds, with their times and CPUs, and all that is
// wrong with them; Decode makes of their bodies what Next tells. The files are those
// of a recorder, and the same with bytes changed.
func TestSkimIsNext(t *testing.T) {
	paths, err := filepath.Glob("../testdata/*.perf.data")
	more, err2 := filepath.Glob("../testdata/perf/*.perf.data")
	if err = cmp.Or(err, err2); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	samples, chains, wrong := 0, 0, 0
	for _, path := range append(paths, more...) {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			data := bytes.Clone(whole)
			if n > 0 {
				for range 20 {
					data[len(data)/4+rng.IntN(len(data)*3/4)] = byte(rng.IntN(256))
				}
			}
			one, err := New(bytes.NewReader(data), int64(len(data)), "a")
			if err != nil {
				continue
			}
			other, _ := New(bytes.NewReader(data), int64(len(data)), "a")
			var want, got, decoded Record
			for {
				err, err2 := one.Next(&want), other.Skim(&got)
				if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
					t.Fatalf("%s, damage %d: Next says %v, Skim %v", path, n, err, err2)
				}
				if isEOF(err) {
					break
				}
				if err != nil {
					wrong++
					if !Skippable(err) {
						break
					}
					continue
				}
				if got.Type != want.Type || got.Misc != want.Misc || got.Offset != want.Offset || got.Time != want.Time || got.CPU != want.CPU || !bytes.Equal(one.Body(), other.Body()) {
					t.Fatalf("%s, damage %d: Next tells %+v, Skim %+v", path, n, want, got)
				}
				if err := other.Decode(&decoded, got.Type, got.Misc, got.Offset, other.Body()); err != nil {
					t.Fatalf("%s, damage %d: Decode: %v", path, n, err)
				}
				if decoded.PID != want.PID || decoded.TID != want.TID || decoded.UserIP != want.UserIP || len(decoded.Callchain) != len(want.Callchain) || !bytes.Equal(decoded.Raw, want.Raw) {
					t.Fatalf("%s, damage %d: Next tells %+v, Decode %+v", path, n, want, decoded)
				}
				if want.Type == Sample {
					samples++
					chains += min(len(want.Callchain), 1)
				}
			}
			one.Close()
			other.Close()
		}
	}
	if samples == 0 || chains == 0 || wrong == 0 {
		t.Errorf("vacuous: %d samples, %d with a callchain, %d errors", samples, chains, wrong)
	}
}
