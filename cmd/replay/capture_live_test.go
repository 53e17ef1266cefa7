package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replay/replay/ingest/capture"
	"github.com/replay/replay/traces"
)

// needLive skips where nothing can be recorded with a tool.
func needLive(t *testing.T, tool capture.Tool) {
	t.Helper()
	if missing := capture.ThisMachine().Missing(capture.Options{Tool: tool}); missing != nil {
		t.Skip("recording: " + strings.Join(missing, "; "))
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	t.Setenv(asProgram, "1") // for the guard
}

// inCountsFolder makes a folder with the program counts the current one.
func inCountsFolder(t *testing.T, flags ...string) {
	t.Helper()
	inFolder(t)
	compileCounts(t, flags...)
}

func compileCounts(t testing.TB, flags ...string) {
	t.Helper()
	args := append(flags, "-O2", "-o", "counts", filepath.Join(testdata, "counts.c"), "-lpthread")
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
}

// counted is what counts says that it did.
type counted struct{ pid, hits, maps, marks int }

func parseCounts(t *testing.T, output string) counted {
	t.Helper()
	var c counted
	for line := range strings.Lines(output) {
		if n, _ := fmt.Sscanf(line, "pid %d hits %d maps %d marks %d", &c.pid, &c.hits, &c.maps, &c.marks); n == 4 {
			return c
		}
	}
	t.Fatalf("the program printed no counts:\n%s", output)
	return c
}

// countsLength tells the mmaps of counts from those of the C library.
const countsLength = 0x5000

// recorded is what a trace has of a process.
type recorded struct{ hits, rets, mmaps, munmaps, locks, stacks int }

func inTrace(t *testing.T, name string, pid int) recorded {
	t.Helper()
	events, _ := readEvents(t, name)
	var r recorded
	for i := range events {
		ev := &events[i]
		if int(ev.PID) != pid {
			continue
		}
		switch {
		case ev.Kind == traces.Hit:
			r.hits++
			if len(ev.Stack) > 0 && strings.HasPrefix(ev.Stack[0], "probed") {
				r.stacks++
			}
		case ev.Kind == traces.Ret:
			r.rets++
		case ev.Kind == traces.Mmap && ev.Len == countsLength:
			r.mmaps++
		case ev.Kind == traces.Munmap && ev.Len == countsLength:
			r.munmaps++
		case ev.Kind == traces.LockReleased:
			r.locks++
		}
	}
	return r
}

// expect compares a trace with what its program counted; hits may be of markers.
func expect(t *testing.T, trace string, c counted, hits int) recorded {
	t.Helper()
	r := inTrace(t, trace, c.pid)
	if hits == 0 || r.hits+r.rets != hits || r.mmaps != c.maps || r.munmaps != c.maps {
		t.Errorf("%d hits, %d returns, %d mmaps, %d munmaps in the trace; the program counted %d hits and %d of each", r.hits, r.rets, r.mmaps, r.munmaps, hits, c.maps)
	}
	return r
}

// noProbes fails if probes of a capture by process pid are left.
func noProbes(t *testing.T, pid int) {
	t.Helper()
	tracefs, _ := capture.FindTracefs()
	data, err := os.ReadFile(filepath.Join(tracefs.Dir, "uprobe_events"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), capture.Group(pid)+"/") {
		t.Errorf("probes are left:\n%s", data)
	}
}

// noProcesses fails if something that the test started is still there after a while.
func noProcesses(t *testing.T) {
	t.Helper()
	var left map[int]string
	for range 100 {
		if left = processes(); len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("processes are left: %v", left)
}

// processes are the command lines of what the test started: all have its folder in
// their environment.
func processes() map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range files {
		dir := filepath.Dir(name)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		environ, _ := os.ReadFile(name)
		if strings.Contains(string(environ), "TMPDIR="+os.Getenv("TMPDIR")) && pid != os.Getpid() {
			cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			found[pid] = strings.ReplaceAll(string(cmdline), "\x00", " ")
		}
	}
	return found
}

// TestCaptureCounts records a program in every way that perf can, and expects to
// the last one what the program counted.
func TestCaptureCounts(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t)
	for _, test := range []struct {
		name, flags string
		hits        func(counted) int
		check       func(recorded) bool
	}{
		{"function", "--probe ./counts:probed", nil, func(r recorded) bool { return r.locks > 0 && r.stacks == 0 }},
		{"no locks", "--probe ./counts:probed --no-locks", nil, func(r recorded) bool { return r.locks == 0 }},
		{"stacks", "--probe ./counts:probed --stacks", nil, func(r recorded) bool { return r.stacks == r.hits }},
		{"return", "--probe ./counts:probed%return", func(c counted) int { return 2 * c.hits }, func(r recorded) bool { return r.hits == r.rets }},
		{"offset", "--probe ./counts:" + probedOffset(t), nil, nil},
		{"twice", "--probe ./counts:probed --probe ./counts:probed%return", func(c counted) int { return 2 * c.hits }, nil},
		{"all", "-a --probe ./counts:probed", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := strings.Fields("capture -f -o t.parquet " + test.flags + " -- ./counts 200")
			out := succeed(t, args...)
			c := parseCounts(t, out)
			hits := c.hits
			if test.hits != nil {
				hits = test.hits(c)
			}
			r := expect(t, "t.parquet", c, hits)
			if test.check != nil && !test.check(r) {
				t.Errorf("%+v", r)
			}
			if !strings.Contains(out, "replay run t.parquet") {
				t.Errorf("it does not say what comes next: %s", out)
			}
			noProbes(t, os.Getpid())
			if _, err := os.Stat("t.perf.data"); err == nil {
				t.Error("the recording is left")
			}
		})
	}
	noProcesses(t)
}

// probedOffset is where --print says that the function is.
func probedOffset(t *testing.T) string {
	t.Helper()
	script := succeed(t, "capture", "--print", "--probe", "./counts:probed", "--", "./counts")
	m := regexp.MustCompile(`/counts:(0x[0-9a-f]+)'`).FindStringSubmatch(script)
	if m == nil {
		t.Fatalf("no offset in\n%s", script)
	}
	return m[1]
}

// A marker counts only once its semaphore is raised, in the program itself.
func TestCaptureMarker(t *testing.T) {
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		t.Run(string(tool), func(t *testing.T) { captureMarker(t, tool) })
	}
}

func captureMarker(t *testing.T, tool capture.Tool) {
	needLive(t, tool)
	inCountsFolder(t)
	for _, probe := range []string{"sdt:counts:round", "./counts:sdt:counts:round"} {
		r := call(t, "capture", "--tool", string(tool), "-f", "-o", "t.parquet", "--probe", probe, "--", "./counts", "200")
		if strings.Contains(r.stderr, ".note.stapsdt") {
			t.Skip("no sys/sdt.h; install systemtap-sdt-dev")
		}
		if r.code != exitOK {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		c := parseCounts(t, r.stdout)
		expect(t, "t.parquet", c, c.marks)
	}
	noProbes(t, os.Getpid())
}

// The dynamic symbols of a stripped file are enough.
func TestCaptureStripped(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t, "-s", "-rdynamic")
	c := parseCounts(t, succeed(t, "capture", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "200"))
	expect(t, "t.parquet", c, c.hits)
}

// An event that is there already is recorded, and stays.
func TestCaptureEvent(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t)
	machine := capture.ThisMachine()
	events := filepath.Join(machine.Tracefs.Dir, "uprobe_events")
	write := func(line string) {
		f, err := os.OpenFile(events, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	path, err := filepath.Abs("counts")
	if err != nil {
		t.Fatal(err)
	}
	group := fmt.Sprintf("captured%d", os.Getpid())
	write(fmt.Sprintf("p:%s/probed %s:%s", group, path, probedOffset(t)))
	defer write("-:" + group + "/probed")
	c := parseCounts(t, succeed(t, "capture", "-o", "t.parquet", "--probe", group+":probed", "--", "./counts", "200"))
	expect(t, "t.parquet", c, c.hits)
	if !machine.Tracefs.HasEvent(group + ":probed") {
		t.Error("it removed a probe that it did not add")
	}
}

// A process that runs already is recorded until it ends.
func TestCaptureProcess(t *testing.T) {
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		t.Run(string(tool), func(t *testing.T) { captureProcess(t, tool) })
	}
}

func captureProcess(t *testing.T, tool capture.Tool) {
	needLive(t, tool)
	inCountsFolder(t)
	app := exec.Command("./counts", "200", "w")
	var out strings.Builder
	app.Stdout = &out
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	defer app.Process.Kill()
	waited := make(chan error, 1)
	go func() { waited <- app.Wait() }() // or it stays a process for perf
	succeed(t, "capture", "--tool", string(tool), "-p", fmt.Sprint(app.Process.Pid), "--probe", "./counts:probed")
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	c := parseCounts(t, out.String())
	expect(t, fmt.Sprintf("pid-%d.parquet", c.pid), c, c.hits)
	noProbes(t, os.Getpid())
}

// The printed commands record the same without the program, but for the ingest.
func TestCapturePrinted(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t)
	script := succeed(t, "capture", "--print", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "200")
	group := fmt.Sprintf("captured%d", os.Getpid()) // others may run this test
	script = strings.NewReplacer("replay/", group+"/", "replay:", group+":", "replay ingest", "true").Replace(script)
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	succeed(t, "ingest", "-q", "-o", "t.parquet", "t.perf.data")
	c := parseCounts(t, string(out))
	expect(t, "t.parquet", c, c.hits)
	if capture.ThisMachine().Tracefs.HasEvent(group + ":probed") {
		t.Error("the script left its probe")
	}
}

// bpftrace counts the same as perf, and as the program.
func TestCaptureBpftrace(t *testing.T) {
	needLive(t, capture.BPFtrace)
	inCountsFolder(t)
	for _, test := range []struct {
		name, flags, args string
		check             func(recorded) bool
	}{
		{"function", "--probe ./counts:probed", "200", func(r recorded) bool { return r.locks > 0 && r.stacks == 0 }},
		// Long enough for a look at its mappings while it lives.
		{"stacks", "--probe ./counts:probed --stacks --no-locks", "4000", func(r recorded) bool { return r.locks == 0 && r.stacks == r.hits }},
		{"return", "--probe ./counts:probed%return", "200", func(r recorded) bool { return r.hits == r.rets }},
		{"offset", "--probe ./counts:" + probedOffset(t), "200", nil},
		{"all", "-a --probe ./counts:probed", "200", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := strings.Fields("capture --tool bpftrace -f -o t.parquet " + test.flags + " -- ./counts " + test.args)
			c := parseCounts(t, succeed(t, args...))
			hits := c.hits
			if test.name == "return" {
				hits *= 2 // its entries, too
			}
			if r := expect(t, "t.parquet", c, hits); test.check != nil && !test.check(r) {
				t.Errorf("%+v", r)
			}
		})
	}
	noProcesses(t)
}

// The file that is probed is the one that the process has mapped.
func TestCaptureMappedFile(t *testing.T) {
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		for name, start := range map[string]string{
			"replaced":  "cp counts new; mkdir -p a; cp counts a/app; exec_app() { ./a/app 0 & }; exec_app; sleep 0.2; mv new a/app; echo $!",
			"namespace": "mkdir -p a; cp counts a/app; unshare -m sh -c 'mount -t tmpfs tmpfs a && cp counts a/app && exec ./a/app 0' >/dev/null 2>&1 & sleep 0.5; echo $!",
		} {
			t.Run(string(tool)+" "+name, func(t *testing.T) {
				needLive(t, tool)
				inCountsFolder(t)
				out, err := exec.Command("sh", "-c", "exec 2>/dev/null; "+strings.Replace(start, "./a/app 0 &", "./a/app 0 >/dev/null &", 1)).Output()
				pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
				if err != nil || pid == 0 {
					t.Fatalf("%s: %v", out, err)
				}
				defer syscall.Kill(pid, syscall.SIGKILL)
				if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/", pid)); err != nil {
					t.Skip("no mount namespaces here")
				}
				cmd, stderr := program(t, "capture", "--tool", string(tool), "--probe", "./a/app:probed", "-p", strconv.Itoa(pid), "-o", "t.parquet")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "a recording", func() bool {
					return size("t.perf.data") > 1<<18 || size("t.bpftrace.json") > 1<<18
				})
				cmd.Process.Signal(os.Interrupt)
				cmd.Wait()
				if r := inTrace(t, "t.parquet", pid); r.hits == 0 || !strings.Contains(stderr.String(), "that is probed") {
					t.Errorf("%+v: %s", r, stderr)
				}
			})
		}
	}
}

// Arguments with blanks reach the program that bpftrace starts.
func TestCaptureBpftraceArguments(t *testing.T) {
	needLive(t, capture.BPFtrace)
	inCountsFolder(t)
	out := succeed(t, "capture", "--tool", "bpftrace", "-o", "t.parquet", "--probe", "./counts:probed", "--", "sh", "-c", `./counts "$0"; echo "$1"`, "100", `it's "$HOME"`)
	c := parseCounts(t, out)
	expect(t, "t.parquet", c, c.hits)
	if !strings.Contains(out, `it's "$HOME"`+"\n") {
		t.Errorf("the arguments came as %s", out)
	}
}

// The printed script records the same, and leaves nothing but the recording.
func TestCaptureBpftracePrinted(t *testing.T) {
	needLive(t, capture.BPFtrace)
	inCountsFolder(t)
	script := succeed(t, "capture", "--tool", "bpftrace", "--print", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "200")
	script = strings.ReplaceAll(script, "replay ingest", "true")
	cmd := exec.Command("timeout", "60", "sh", "-c", script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	succeed(t, "ingest", "-q", "-o", "t.parquet", "t.bpftrace.json")
	c := parseCounts(t, string(out))
	expect(t, "t.parquet", c, c.hits)
	if files := listing(t); strings.Contains(files, "ahead") {
		t.Errorf("files are left:\n%s", files)
	}
}

// TestCaptureOverflow records a hot loop into a buffer of one page.
func TestCaptureOverflow(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t)
	r := call(t, "capture", "--max-loss", "0", "-m", "1", "--stacks", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "20000")
	if r.code != exitLossy || !strings.Contains(r.stderr, "overflowed: give more with -m") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	c := parseCounts(t, r.stdout)
	_, meta := readEvents(t, "t.parquet")
	if got := inTrace(t, "t.parquet", c.pid); meta.Lost == 0 || got.hits == 0 || got.hits >= c.hits {
		t.Errorf("%d lost, %d of %d hits", meta.Lost, got.hits, c.hits)
	}
	noProbes(t, os.Getpid())
}

// What fails leaves no probe and no file.
func TestCaptureFails(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t)
	before := listing(t)
	for says, line := range map[string]string{
		"there is no such process":  "-p 4194304 --probe ./counts:probed",
		"not found":                 "--probe ./counts:nothing -- ./counts 1",
		"cannot be started":         "--probe ./counts:probed -- ./nothing",
		"there is no folder":        "--probe ./counts:probed -o nowhere/t.parquet -- ./counts 1",
		"overwrite with --force":    "--probe ./counts:probed -o app.parquet -- ./counts 1",
		"no such file or directory": "--probe ./nothing:probed -- ./counts 1",
		"/proc/t.perf.data":         "--probe ./counts:probed -o /proc/t.parquet -- ./counts 1",
		"not a probe":               "--probe probed -- ./counts 1",
		"no probe given":            "-- ./counts 1",
		"nothing to record":         "--probe ./counts:probed",
		"want a number of events":   "--probe ./counts:probed --max-loss x -- ./counts 1",
	} {
		args := append([]string{"capture"}, strings.Fields(line)...)
		r := stderrOf(t, args...)
		if r.code != exitUsage || !strings.Contains(r.stderr, says) {
			t.Errorf("replay %s: exit %d: %s; want %q", strings.Join(args, " "), r.code, r.stderr, says)
		}
		noProbes(t, r.pid)
	}
	if after := listing(t); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
	noProcesses(t)
}

// ended is a process of the program that ended.
type ended struct {
	code   int
	pid    int
	stderr string
}

// stderrOf runs the program as a process, which has what perf says in its stderr.
func stderrOf(t *testing.T, args ...string) ended {
	t.Helper()
	cmd, stderr := program(t, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return ended{cmd.ProcessState.ExitCode(), cmd.Process.Pid, stderr.String()}
}

// waitFor waits until something is so, for a minute: recording takes long where others
// want the CPUs.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 12_000 {
		if so() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("in vain: %s", what)
}

func size(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// However a capture ends, its probes go, and its processes. When it was asked to
// end, the trace has what happened before.
func TestCaptureEnds(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t)
	for _, test := range []struct {
		tool   capture.Tool
		raw    string
		signal syscall.Signal
		code   int
	}{
		{capture.Perf, "t.perf.data", syscall.SIGINT, exitOK},
		{capture.Perf, "t.perf.data", syscall.SIGTERM, exitOK},
		{capture.Perf, "t.perf.data", syscall.SIGKILL, -1},
		{capture.BPFtrace, "t.bpftrace.json", syscall.SIGINT, exitOK},
		{capture.BPFtrace, "t.bpftrace.json", syscall.SIGTERM, exitOK},
		{capture.BPFtrace, "t.bpftrace.json", syscall.SIGKILL, -1},
	} {
		t.Run(string(test.tool)+" "+test.signal.String(), func(t *testing.T) {
			needLive(t, test.tool)
			cmd, stderr := program(t, "capture", "--tool", string(test.tool), "-f", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "0")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "a recording", func() bool { return size(test.raw) > 1<<20 })
			cmd.Process.Signal(test.signal)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit %d: %s", code, stderr)
			}
			if test.code != exitOK && test.tool == capture.BPFtrace {
				// The program is nobody's then, and runs on.
				for pid, cmdline := range processes() {
					if strings.HasPrefix(cmdline, "./counts ") {
						syscall.Kill(pid, syscall.SIGKILL)
					}
				}
			}
			noProcesses(t)
			noProbes(t, cmd.Process.Pid)
			if test.code != exitOK {
				return
			}
			if events, _ := readEvents(t, "t.parquet"); len(events) < 1000 {
				t.Errorf("%d events", len(events))
			}
		})
	}
}

// A recorder whose output fails ends with the cause, and leaves nothing but the
// program, which runs on.
func TestCaptureOutputFails(t *testing.T) {
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		t.Run(string(tool), func(t *testing.T) {
			needLive(t, tool)
			inCountsFolder(t)
			before := listing(t)
			limited, stderr := program(t, "capture", "--tool", string(tool), "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "0")
			cmd := exec.Command("sh", append([]string{"-c", `ulimit -f 400; exec "$0" "$@"`, limited.Path}, limited.Args[1:]...)...)
			cmd.Env, cmd.Stderr, cmd.WaitDelay = limited.Env, limited.Stderr, time.Second // the program keeps it open
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), "nothing was recorded") || !strings.Contains(strings.ToLower(stderr.String()), "file") {
				t.Errorf("exit %d: %s", code, stderr)
			}
			runs := false
			for pid, cmdline := range processes() {
				if strings.HasPrefix(cmdline, "./counts ") {
					runs = true
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			if !runs {
				t.Error("the program was ended")
			}
			noProcesses(t)
			noProbes(t, cmd.Process.Pid)
			if after := listing(t); after != before {
				t.Errorf("files before:\n%s\nand after:\n%s", before, after)
			}
		})
	}
}

// Ctrl-C while the trace is made leaves the recording, which can be ingested.
func TestCaptureInterruptedIngest(t *testing.T) {
	needLive(t, capture.Perf)
	inCountsFolder(t)
	before := listing(t)
	cmd, stderr := program(t, "capture", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "10000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a trace", func() bool {
		files, _ := filepath.Glob("*t.parquet*")
		return len(files) > 0
	})
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stderr.String(), "the recording is left as t.perf.data") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if want := before + "\nt.perf.data"; listing(t) != want && !strings.Contains(listing(t), "t.perf.data") {
		t.Errorf("files:\n%s", listing(t))
	}
	succeed(t, "ingest", "-q", "t.perf.data")
	noProbes(t, cmd.Process.Pid)
}
