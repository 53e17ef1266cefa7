package perfdata

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func openFile(t testing.TB, path string) *Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var r *Reader
	if isPipe(t, path) {
		r, err = NewPipe(f, path)
	} else if info, serr := f.Stat(); serr != nil {
		t.Fatal(serr)
	} else {
		r, err = New(f, info.Size(), path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// counts are the records of a file by type, and its samples by event.
func counts(t testing.TB, path string) map[string]int64 {
	t.Helper()
	r := openFile(t, path)
	all, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int64{}
	for i := range all {
		n[strings.TrimPrefix(all[i].Type.String(), "PERF_RECORD_")]++
		if all[i].Type == Sample {
			n[all[i].Event.Name]++
		}
	}
	for kind, count := range r.Skipped() {
		n[strings.TrimPrefix(kind.String(), "PERF_RECORD_")] += count
	}
	return n
}

// takenIn are records that describe the file; the reader returns and counts none
// of them.
var takenIn = regexp.MustCompile(`^(TOTAL|ATTR|FEATURE|TRACING_DATA|BUILD_ID|EVENT_UPDATE|COMPRESSED2?)$`)

// perf runs perf on a file, or on a pipe's content.
func perf(t testing.TB, path string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("perf"); err != nil {
		t.Skip("perf is not installed")
	}
	cmd := exec.Command("perf", append(args, "-i", path)...)
	var said strings.Builder // apart: its warnings come in the middle of lines
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("perf %s does not work here: %v\n%s", args[0], err, said.String())
	}
	return string(out)
}

var (
	statLine  = regexp.MustCompile(`(?m)^ +(\S+) events: +(\d+)|^(\S+:\S+) stats:$`)
	dumpLine  = regexp.MustCompile(`(?m)^.*: PERF_RECORD_(\w+)`)
	eventLine = regexp.MustCompile(`(?m)^\s*(\S+:\S+): *$`)
)

// perfCounts are what perf says they are.
func perfCounts(t testing.TB, path string) map[string]int64 {
	t.Helper()
	n, event := map[string]int64{}, ""
	for _, m := range statLine.FindAllStringSubmatch(perf(t, path, "report", "--stats"), -1) {
		count, _ := strconv.ParseInt(m[2], 10, 64)
		switch {
		case m[3] != "":
			event = m[3]
		case event != "":
			n[event] += count
		case !takenIn.MatchString(m[1]):
			n[m[1]] += count
		}
	}
	return n
}

// perfPipeCounts are the same for a pipe, of which perf 6.1's report --stats reads
// only the beginning.
func perfPipeCounts(t testing.TB, path string) map[string]int64 {
	t.Helper()
	n := map[string]int64{}
	for _, m := range dumpLine.FindAllStringSubmatch(perf(t, path, "report", "-D"), -1) {
		if !takenIn.MatchString(m[1]) {
			n[m[1]]++
		}
	}
	for _, m := range eventLine.FindAllStringSubmatch(perf(t, path, "script", "-F", "event"), -1) {
		n[m[1]]++
	}
	return n
}

func isPipe(t testing.TB, path string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data[8] == pipeHeaderSize
}

// perf counts the same records and the same samples per event.
func TestAgainstPerf(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.perf.data")
	if err != nil || len(paths) == 0 {
		t.Fatal("vacuous:", err)
	}
	if folder := os.Getenv("REPLAY_CAPTURES"); folder != "" {
		paths = append(paths, captures(t)...)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var want map[string]int64
			if isPipe(t, path) {
				want = perfPipeCounts(t, path)
			} else {
				want = perfCounts(t, path)
			}
			if want["SAMPLE"] == 0 {
				t.Fatal("vacuous: perf counts no samples")
			}
			if diff := cmp.Diff(want, counts(t, path)); diff != "" {
				t.Error("(-perf +ours)\n", diff)
			}
		})
	}
}

// perf script shows the same samples: thread, CPU, time, event, and where there are
// callchains their kernel part and depth. Of the user part, perf shows addresses
// within the file.
func TestSamplesAgainstPerf(t *testing.T) {
	cases := []struct {
		path   string
		chains bool
	}{
		{"testdata/true.perf.data", true},
		{"testdata/true-z.perf.data", false},
		{"testdata/true-pipe.perf.data", false}, // of pipes, perf 6.1 shows no stacks
		{"testdata/true-zpipe.perf.data", false},
	}
	if folder := os.Getenv("REPLAY_CAPTURES"); folder != "" {
		for _, path := range captures(t) {
			cases = append(cases, struct {
				path   string
				chains bool
			}{path, strings.Contains(path, "callgraph")})
		}
	}
	for _, c := range cases {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			fields := "pid,tid,cpu,time,event"
			if c.chains {
				fields += ",ip"
			}
			want := scripted(perf(t, c.path, "script", "--ns", "--no-inline", "--max-stack", "1024", "-F", fields))
			got := ours(t, c.path, c.chains)
			if len(want) == 0 {
				t.Fatal("vacuous: perf script shows nothing")
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error("(-perf +ours)\n", diff)
			}
		})
	}
}

// scripted are the samples of perf script, with their stacks on the same line.
func scripted(text string) (samples []string) {
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 4:
			samples = append(samples, strings.Join(f, " "))
		case len(f) == 1 && len(f[0]) == 16 && f[0] >= "ffffffff8":
			samples[len(samples)-1] += " " + f[0]
		case len(f) == 1:
			samples[len(samples)-1] += " user"
		}
	}
	return samples
}

// ours are the samples in the same form.
func ours(t testing.TB, path string, chains bool) (samples []string) {
	t.Helper()
	all, err := readAll(openFile(t, path))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		rec := &all[i]
		if rec.Type != Sample {
			continue
		}
		s := fmt.Sprintf("%d/%d [%03d] %d.%09d: %s:", rec.PID, rec.TID, rec.CPU, rec.Time/1e9, rec.Time%1e9, rec.Event.Name)
		if chains {
			chain, user := rec.Chain(nil)
			for _, ip := range chain[:user] {
				s += fmt.Sprintf(" %x", ip)
			}
			s += strings.Repeat(" user", len(chain)-user)
		}
		samples = append(samples, s)
	}
	return samples
}
