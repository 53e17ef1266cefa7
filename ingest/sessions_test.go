package ingest

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/traces"
)

// splitRecording makes files of a perf.data file as perf record --switch-output does: each
// with the whole header and a part of the records.
func splitRecording(t *testing.T, path string, parts int) (paths []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	from, size := le.Uint64(b[40:]), le.Uint64(b[48:]) // perf_file_header.data
	features := 0
	for i := 72; i < 104; i += 8 {
		features += bits.OnesCount64(le.Uint64(b[i:]))
	}
	var starts []uint64
	for at := from; at < from+size; at += uint64(le.Uint16(b[at+6:])) {
		starts = append(starts, at)
	}
	starts = append(starts, from+size)
	dir := t.TempDir()
	for p := range parts {
		a, z := starts[(len(starts)-1)*p/parts], starts[(len(starts)-1)*(p+1)/parts]
		part := slices.Concat(b[:from], b[a:z], b[from+size:])
		le.PutUint64(part[48:], z-a)
		for i := range features { // the sections that follow lie earlier now
			at := from + z - a + 16*uint64(i)
			le.PutUint64(part[at:], le.Uint64(part[at:])-size+z-a)
		}
		paths = append(paths, filepath.Join(dir, fmt.Sprint("perf.data.", p)))
		if err := os.WriteFile(paths[p], part, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// The files of one perf record tell what one file would: of losses, which it counts once,
// and of hits, where the last of a file and the first of the next are of two traps.
func TestFilesOfOneRecorder(t *testing.T) {
	for _, path := range []string{"testdata/churn-lossy.perf.data", "testdata/churn.perf.data"} {
		tell := func(paths ...string) []string {
			events, meta, err := readMerged(paths...)
			if err != nil {
				t.Fatal(err)
			}
			traps, lost := 0, int64(0)
			for i := range events {
				if events[i].Kind == traces.Hit && !events[i].Joined() {
					traps++
				}
				if events[i].Kind == traces.Lost {
					lost += events[i].Ret
				}
			}
			return []string{fmt.Sprint(kinds(events)[traces.Hit.String()], " hits"), fmt.Sprint(traps, " traps"), fmt.Sprint(lost, " lost"), fmt.Sprint(meta.Lost, " lost in all")}
		}
		want := tell(path)
		for parts := 2; parts < 8; parts++ {
			paths := splitRecording(t, path, parts)
			if d := cmp.Diff(want, tell(paths...)); d != "" {
				t.Errorf("%s in %d files (-one +several):\n%s", path, parts, d)
			}
			slices.Reverse(paths)
			if d := cmp.Diff(want, tell(paths...)); d != "" {
				t.Errorf("%s in %d files, the last first (-one +several):\n%s", path, parts, d)
			}
		}
	}
}
