package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/reports/sweep"
)

// asProgram makes the test binary behave as the program itself.
const asProgram = "REPLAY_BEAM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is the program, as a process of its own.
func process(t *testing.T, args ...string) (cmd *exec.Cmd, output *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.WaitDelay = 10 * time.Second
	output = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

// started is a server that goes away with the test.
func started(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd, _ := process(t, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func waitFor(t *testing.T, port string) {
	t.Helper()
	for range 600 {
		if c, err := net.Dial("tcp", "localhost:"+port); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("nobody listens on port %s", port)
}

// source opens traces here.
type source struct{}

func (source) SHA256(ctx context.Context, name string) (string, error) {
	t, err := fetch(ctx, name)
	if t == nil {
		return "", err
	}
	defer t.Close()
	return t.SHA, nil
}

func (source) Open(ctx context.Context, name string) (timeline.Trace, int64, func(), error) {
	t, err := fetch(ctx, name)
	if err != nil {
		return nil, 0, nil, err
	}
	return &t.Stored, t.NumRows(), t.Close, nil
}

// manifest writes a grid of the traces, and returns its file and what a local sweep makes
// of it.
func manifest(t *testing.T, traces ...string) (file string, want map[string]string) {
	t.Helper()
	g := &sweep.Grid{
		Schema: sweep.GridSchema, Traces: traces, Machines: []string{"generic"}, CPUs: []int{2, 4}, Timings: []string{"original"}, SpeedsPPM: []int64{1_000_000}, Clones: []int{1},
		Placements: []string{"recorded"}, Layouts: []string{""}, Seeds: []uint64{1}, WhatIfs: [][]string{{}, {"munmap: drop"}}, Resolvers: []string{"locked", "speculative"},
	}
	data, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "manifest.json")
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	cells, err := g.Cells(machines.Load)
	if err != nil {
		t.Fatal(err)
	}
	store, err := sweep.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	records, err := (&sweep.Runner{Source: source{}, Store: store}).Run(t.Context(), traces, cells)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := sweep.NewDocument(g, records)
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]string{}
	for _, o := range doc.Outputs() {
		var b bytes.Buffer
		if err := o.Write(&b); err != nil {
			t.Fatal(err)
		}
		want[o.Name] = b.String()
	}
	return file, want
}

// results are the files of an output, but for the cells.
func results(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Name() == "cells" {
				return fs.SkipDir
			}
			return nil
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func corpus(t *testing.T, names ...string) []string {
	t.Helper()
	var paths []string
	for _, name := range names {
		path, err := filepath.Abs("../../traces/corpus/" + name + ".parquet")
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// The embedded runner, in this process, gives the bytes of the local sweep, in whatever
// batches; and so does a second run, which finds all cells done.
func TestEmbedded(t *testing.T) {
	file, want := manifest(t, corpus(t, "churn-1x1", "nop5")...)
	out := t.TempDir()
	for _, cells := range []string{"--cells=0", "--cells=3"} {
		cmd, said := process(t, "--manifest="+file, "--output="+out, cells)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if diff := cmp.Diff(want, results(t, out)); diff != "" {
			t.Errorf("%s: local (-) and Beam (+):\n%.2000s", cells, diff)
		}
	}
}

// A cell that fails is tried again, then reported with its recipe, and does not sink the
// others.
func TestFailingCell(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.parquet")
	if err := os.WriteFile(bad, []byte("PAR1 nothing"), 0o666); err != nil {
		t.Fatal(err)
	}
	file, want := manifest(t, append(corpus(t, "churn-1x1"), bad)...)
	out := t.TempDir()
	cmd, said := process(t, "--manifest="+file, "--output="+out, "--tries=2")
	err := cmd.Run()
	if err == nil || !strings.Contains(said.String(), "8 of 16 cells were not replayed in 2 tries; the first, bad.parquet: ") || !strings.Contains(said.String(), "to see it again: replay run --machine generic --resolver locked") {
		t.Errorf("%v\n%s", err, said)
	}
	if n := strings.Count(said.String(), "bad.parquet, generic, "); n != 8 {
		t.Errorf("%d cells were tried again, want 8", n)
	}
	if diff := cmp.Diff(want, results(t, out)); diff != "" {
		t.Errorf("local (-) and Beam (+):\n%.2000s", diff)
	}
}

// A prism server of its own, through the portable API: two processes.
func TestServer(t *testing.T) {
	file, want := manifest(t, corpus(t, "churn-1x1", "nop5")...)
	port, out := freePort(t), t.TempDir()
	started(t, "prism", "--port", port)
	waitFor(t, port)
	cmd, said := process(t, "--manifest="+file, "--output="+out, "--runner=universal", "--endpoint=localhost:"+port, "--environment_type=LOOPBACK")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if diff := cmp.Diff(want, results(t, out)); diff != "" {
		t.Errorf("local (-) and Beam (+):\n%.2000s", diff)
	}
}

// A worker is a third process. When it is killed in the middle and another takes its
// place, the bytes are the same, and what was done is not done again.
func TestWorkerKilled(t *testing.T) {
	file, want := manifest(t, corpus(t, "churn-1x1", "nop5", "stress-malloc-z")...)
	server, pool, out := freePort(t), freePort(t), t.TempDir()
	started(t, "prism", "--port", server)
	waitFor(t, server)
	worker := started(t, "worker", "--port", pool)
	waitFor(t, pool)
	cmd, said := process(t, "--manifest="+file, "--output="+out, "--cells=2", "--tries=5", "--runner=universal", "--endpoint=localhost:"+server, "--environment_type=EXTERNAL", "--environment_config=localhost:"+pool)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	done := func() int {
		names, err := filepath.Glob(out + "/cells/*/*.json")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for done() == 0 {
		select {
		case err := <-ended:
			t.Fatalf("ended before it was done: %v\n%s", err, said)
		case <-time.After(time.Millisecond):
		}
	}
	worker.Process.Signal(syscall.SIGKILL)
	worker.Wait()
	if n := done(); n == 24 {
		t.Error("vacuous: all was done when the worker was killed")
	}
	started(t, "worker", "--port", pool)
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	case <-time.After(3 * time.Minute):
		t.Fatalf("does not end\n%s", said)
	}
	if diff := cmp.Diff(want, results(t, out)); diff != "" {
		t.Errorf("local (-) and Beam (+):\n%.2000s", diff)
	}
	if !strings.Contains(said.String(), "failed") {
		t.Logf("the engine gave the work to the other worker by itself")
	}
}
