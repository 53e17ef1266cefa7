package main

import (
	"bufio"
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/replay/replay/traces"
)

// asProgram makes the test binary behave as the program itself.
const asProgram = "REPLAY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	// Those that run at once are live captures and browsers, which wait.
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(liveAtOnce)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// program is a process of its own, for what only shows there: signals, pipes and
// what the library takes from os.Args.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.WaitDelay = 10 * time.Second
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	return cmd, stderr
}

func TestCompletesInShell(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string // nothing: the shell completes file names
	}{
		{"", []string{"ingest", "info", "slice", "run", "machines", "check"}},
		{"info", nil},
		{"info app.parquet", nil},
		{"info --js", []string{"--json"}},
		{"run app.parquet --res", []string{"--resolver"}},
	} {
		cmd, stderr := program(t, append(strings.Fields(test.line), completionFlag)...)
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("completing %q: %v: %s", test.line, err, stderr)
		}
		got := strings.Fields(string(out))
		for _, word := range test.want {
			if !slices.Contains(got, word) {
				t.Errorf("completing %q offers %q, not %s", test.line, got, word)
			}
		}
		if test.want == nil && len(got) > 0 {
			t.Errorf("completing %q offers %q", test.line, got)
		}
	}
}

// TestInterruptedRead interrupts an ingest that waits for its standard input.
func TestInterruptedRead(t *testing.T) {
	inFolder(t)
	before := listing(t)
	cmd, stderr := program(t, "ingest", "-o", "out.parquet", "-")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.WriteString("PERFILE2"); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for { // until the program has read all there is and waits for more
		left, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if after := listing(t); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}

// TestInterruptedWork interrupts a run at work on a long trace.
func TestInterruptedWork(t *testing.T) {
	inFolder(t)
	events := smallTrace()
	long := slices.Grow([]traces.Event(nil), 400*len(events))
	for i := range 400 {
		for _, ev := range events {
			ev.Time += int64(i) * 5_000_000
			long = append(long, ev)
		}
	}
	writeTrace(t, "long.parquet", long, smallMeta)
	before := listing(t)
	cmd, _ := program(t, "run", "-v", "--clone", "64", "-o", "long.run", "long.parquet")
	cmd.Stderr = nil
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(pipe)
	if line, err := said.ReadString('\n'); !strings.HasPrefix(line, "replaying ") {
		t.Fatalf("it begins with %q, %v", line, err)
	}
	time.Sleep(100 * time.Millisecond) // anywhere in the work: it takes many seconds
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stderr, err := io.ReadAll(said)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if after := listing(t); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}

// TestClosedPipe closes the program's standard output before it writes, as head
// does when it has seen enough. The temporary trace has to go all the same.
func TestClosedPipe(t *testing.T) {
	inFolder(t)
	if err := os.WriteFile("app.txt", []byte(succeed(t, "dump", "app.parquet")), 0o644); err != nil {
		t.Fatal(err)
	}
	before := listing(t)
	for _, args := range [][]string{
		{"info", "app.parquet"}, {"info", "--json", "app.parquet"}, {"bench", "--cpus", "1"},
		{"dump", "app.parquet"}, {"info", "app.txt"}, {"dump", "app.txt"}, // the last through a temporary trace
	} {
		writeToNobody(t, args...)
	}
	if after := listing(t); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}

// writeToNobody runs the program with a standard output that nobody reads.
func writeToNobody(t *testing.T, args ...string) {
	t.Helper()
	cmd, stderr := program(t, args...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd.Stdout = w
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitUsage || stderr.Len() > 0 {
		t.Errorf("replay %s: exit %d (-1 is a signal): %s", strings.Join(args, " "), code, stderr)
	}
}

// TestCapture goes from a raw capture to reports, once through a temporary trace
// and once through a stored one, and expects the same figures.
func TestCapture(t *testing.T) {
	captures := os.Getenv("REPLAY_CAPTURES")
	if captures == "" {
		t.Skip("REPLAY_CAPTURES names no folder with perf.data files")
	}
	inFolder(t)
	capture := filepath.Join(captures, "stress-malloc-z.perf.data")
	raw := succeed(t, "info", "--json", capture)
	succeed(t, "ingest", "-q", "-o", "stored.parquet", capture)
	if stored := succeed(t, "info", "--json", "stored.parquet"); raw != stored {
		t.Errorf("info of the capture:\n%s\nand of the trace made from it:\n%s", raw, stored)
	}
	before := listing(t)
	writeToNobody(t, "info", capture)
	if after := listing(t); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}
