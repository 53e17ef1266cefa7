package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A sweep that is killed, wherever it is, goes on from there, and ends with the bytes of
// one that ran on one core at once.
func TestSweepKilled(t *testing.T) {
	corpus, err := filepath.Abs("../../traces/corpus")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	sweep := func(dir string, more ...string) []string {
		return append([]string{
			"sweep", "-q", "-o", dir, "--cpus", "2,3,4", "--resolver", "locked,speculative,pervma,ideal",
			corpus + "/churn-1x1.parquet", corpus + "/light-1x1.parquet",
		}, more...)
	}
	one, stderr := program(t, sweep("one")...)
	one.Env = append(one.Env, "GOMAXPROCS=1")
	if err := one.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	cut := 0
	for n := 0; ; n++ {
		cmd, stderr := program(t, sweep("cut")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		before := cells(t, "cut")
		deadline := time.After(time.Minute)
	wait:
		for {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("%v: %s", err, stderr)
				}
				break wait
			case <-time.After(time.Millisecond):
				if now := cells(t, "cut"); n < 2 && (now > before || n == 0) { // first early, then in the middle
					cmd.Process.Signal(syscall.SIGKILL)
					<-ended
					cut++
					break wait
				}
			case <-deadline:
				t.Fatal("does not end")
			}
		}
		if n >= 2 {
			break
		}
	}
	if cut != 2 {
		t.Errorf("vacuous: killed %d times", cut)
	}
	if diff := cmp.Diff(folder(t, "one"), folder(t, "cut")); diff != "" {
		t.Errorf("at once on one core (-), killed twice (+):\n%.2000s", diff)
	}
	if n := cells(t, "one"); n != 24 {
		t.Errorf("%d cells, want 24", n)
	}
}

// cells is how many there are in the folder of a sweep.
func cells(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(dir + "/cells/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// folder is the content of all files in a folder, but for what a killed program left
// beside them.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") || strings.Contains(e.Name(), ".tmp") {
			return err
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Ctrl-C ends a sweep in order, and what is done by then is used.
func TestSweepInterrupted(t *testing.T) {
	corpus, err := filepath.Abs("../../traces/corpus")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	args := []string{"sweep", "-o", "s", "--clone", "64", "--cpus", "2,3,4", corpus + "/churn-1x1.parquet"}
	cmd, stderr := program(t, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		if isFolder("s/cells") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stderr.String(), "the same command goes on from there") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if _, err := os.Stat("s/sweep.json"); err == nil {
		t.Error("a sweep that was cut has results")
	}
}

// A manifest is the grid, and nothing is replayed.
func TestSweepManifest(t *testing.T) {
	inFolder(t)
	succeed(t, "sweep", "--manifest", "m.json", "--what-if", "munmap: batch 2; mmap: drop", "--speed", "1,0.5", "app.parquet")
	b, err := os.ReadFile("m.json")
	if err != nil {
		t.Fatal(err)
	}
	var grid map[string]any
	decode(t, string(b), &grid)
	want := map[string]any{
		"schema": "replay.grid/1", "traces": []any{"app.parquet"}, "machines": []any{"generic"}, "cpus": []any{0.0}, "timings": []any{"original"},
		"speeds_ppm": []any{1e6, 5e5}, "clones": []any{1.0}, "placements": []any{"recorded"}, "layouts": []any{""}, "seeds": []any{1.0},
		"what_ifs": []any{[]any{}, []any{"munmap: batch 2", "mmap: drop"}}, "resolvers": []any{"locked", "speculative"},
	}
	if diff := cmp.Diff(want, grid); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if isFolder("sweep") {
		t.Error("something was replayed")
	}
}

// A trace that is damaged does not sink the others; the exit code and the message tell.
func TestSweepOfDamagedTrace(t *testing.T) {
	inFolder(t)
	whole, err := os.ReadFile("app.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("damaged.parquet", append(append([]byte{}, whole[:len(whole)/3]...), whole[len(whole)-2000:]...), 0o666); err != nil {
		t.Fatal(err)
	}
	r := call(t, "sweep", "-q", "-o", "s", "app.parquet", "damaged.parquet")
	if r.code != exitInput || !strings.Contains(r.stderr, "2 of 4 cells were not replayed; the first, damaged.parquet: ") || !strings.Contains(r.stderr, "to see it again: replay run --machine generic") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if !strings.Contains(r.stdout, "app.parquet") || cells(t, "s") != 4 {
		t.Errorf("the other trace is not there:\n%s", r.stdout)
	}
}
