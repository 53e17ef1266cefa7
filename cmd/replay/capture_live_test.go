package main

import (
	"bytes"
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

// live is a folder with the program counts, in which captures are recorded. Each is a
// process of its own: it waits for the kernel most of the time, and so several record at
// once.
type live struct{ dir string }

// liveAtOnce is how many record at once, at most; more would lose events on a machine
// with two CPUs.
const liveAtOnce = 6

// records makes a folder to record in with a tool, where that can be done, at the same
// time as others.
func records(t *testing.T, tool capture.Tool, flags ...string) *live {
	t.Helper()
	t.Parallel()
	return recordsAlone(t, tool, flags...)
}

// recordsAlone is records for captures of all processes, whose buffers the others would fill.
func recordsAlone(t *testing.T, tool capture.Tool, flags ...string) *live {
	t.Helper()
	if missing := capture.ThisMachine().Missing(capture.Options{Tool: tool}); missing != nil {
		t.Skip("recording: " + strings.Join(missing, "; "))
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	l := &live{t.TempDir()}
	if err := os.Mkdir(l.path("tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A file of its own: a probe is in all processes that map a file.
	args := append(flags, "-O2", "-o", l.path("counts"), filepath.Join(testdata, "counts.c"), "-lpthread")
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return l
}

func (l *live) path(name string) string { return filepath.Join(l.dir, name) }

// environ has what tells the processes of this folder from others.
func (l *live) environ() []string { return append(os.Environ(), "TMPDIR="+l.path("tmp")) }

// command is a program in the folder.
func (l *live) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = l.dir, l.environ()
	return cmd
}

// program is replay in the folder.
func (l *live) program(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd, stderr := program(t, args...)
	cmd.Dir, cmd.Env = l.dir, append(l.environ(), asProgram+"=1")
	return cmd, stderr
}

// ended is a process of the program that ended.
type ended struct {
	code           int
	pid            int
	stdout, stderr string
}

// call runs replay in the folder. Its output has what perf, bpftrace and what they record
// print, too.
func (l *live) call(t *testing.T, args ...string) ended {
	t.Helper()
	cmd, stderr := l.program(t, args...)
	var stdout strings.Builder
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return ended{cmd.ProcessState.ExitCode(), cmd.Process.Pid, stdout.String(), stderr.String()}
}

func (l *live) succeed(t *testing.T, args ...string) ended {
	t.Helper()
	e := l.call(t, args...)
	if e.code != exitOK {
		t.Fatalf("replay %s: exit %d\n%s", strings.Join(args, " "), e.code, e.stderr)
	}
	return e
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

func (l *live) inTrace(t *testing.T, name string, pid int) recorded {
	t.Helper()
	events, _ := readEvents(t, l.path(name))
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
func (l *live) expect(t *testing.T, trace string, c counted, hits int) recorded {
	t.Helper()
	r := l.inTrace(t, trace, c.pid)
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
func (l *live) noProcesses(t *testing.T) {
	t.Helper()
	var left map[int]string
	for range 100 {
		if left = l.processes(); len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("processes are left: %v", left)
}

// processes are the command lines of what the test started: all have its folder in
// their environment.
func (l *live) processes() map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range files {
		dir := filepath.Dir(name)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		environ, _ := os.ReadFile(name)
		if strings.Contains(string(environ), "TMPDIR="+l.path("tmp")) && pid != os.Getpid() {
			cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			found[pid] = strings.ReplaceAll(string(cmdline), "\x00", " ")
		}
	}
	return found
}

// TestCaptureCounts records a program in every way that perf can, and expects to
// the last one what the program counted.
func TestCaptureCounts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, flags string
		hits        func(counted) int
		check       func(recorded) bool
	}{
		{"function", "--probe ./counts:probed", nil, func(r recorded) bool { return r.locks > 0 && r.stacks == 0 }},
		{"no locks", "--probe ./counts:probed --no-locks", nil, func(r recorded) bool { return r.locks == 0 }},
		{"stacks", "--probe ./counts:probed --stacks", nil, func(r recorded) bool { return r.stacks == r.hits }},
		{"return", "--probe ./counts:probed%return", func(c counted) int { return 2 * c.hits }, func(r recorded) bool { return r.hits == r.rets }},
		{"offset", "--probe ./counts:OFFSET", nil, nil},
		{"twice", "--probe ./counts:probed --probe ./counts:probed%return", func(c counted) int { return 2 * c.hits }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := records(t, capture.Perf)
			args := strings.Fields("capture -f -o t.parquet " + l.withOffset(t, test.flags) + " -- ./counts 200")
			e := l.succeed(t, args...)
			c := parseCounts(t, e.stdout)
			hits := c.hits
			if test.hits != nil {
				hits = test.hits(c)
			}
			r := l.expect(t, "t.parquet", c, hits)
			if test.check != nil && !test.check(r) {
				t.Errorf("%+v", r)
			}
			if !strings.Contains(e.stdout, "replay run t.parquet") {
				t.Errorf("it does not say what comes next: %s", e.stdout)
			}
			noProbes(t, e.pid)
			if size(l.path("t.perf.data")) > 0 {
				t.Error("the recording is left")
			}
			l.noProcesses(t)
		})
	}
}

// Of all processes, those of the program are recorded to the last, too. Nothing else is
// recorded meanwhile: the buffers would be full of it.
func TestCaptureAll(t *testing.T) {
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		t.Run(string(tool), func(t *testing.T) {
			l := recordsAlone(t, tool)
			e := l.succeed(t, "capture", "--tool", string(tool), "-o", "t.parquet", "-a", "--probe", "./counts:probed", "--", "./counts", "200")
			c := parseCounts(t, e.stdout)
			l.expect(t, "t.parquet", c, c.hits)
			noProbes(t, e.pid)
			l.noProcesses(t)
		})
	}
}

// withOffset puts the offset of the probed function in for OFFSET.
func (l *live) withOffset(t *testing.T, flags string) string {
	t.Helper()
	if !strings.Contains(flags, "OFFSET") {
		return flags
	}
	return strings.Replace(flags, "OFFSET", l.probedOffset(t), 1)
}

// probedOffset is where --print says that the function is.
func (l *live) probedOffset(t *testing.T) string {
	t.Helper()
	script := l.succeed(t, "capture", "--print", "--probe", "./counts:probed", "--", "./counts").stdout
	m := regexp.MustCompile(`/counts:(0x[0-9a-f]+)'`).FindStringSubmatch(script)
	if m == nil {
		t.Fatalf("no offset in\n%s", script)
	}
	return m[1]
}

// A marker counts only once its semaphore is raised, in the program itself.
func TestCaptureMarker(t *testing.T) {
	t.Parallel()
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		for _, probe := range []string{"sdt:counts:round", "./counts:sdt:counts:round"} {
			t.Run(string(tool)+" "+probe, func(t *testing.T) {
				l := records(t, tool)
				e := l.call(t, "capture", "--tool", string(tool), "-f", "-o", "t.parquet", "--probe", probe, "--", "./counts", "200")
				if strings.Contains(e.stderr, ".note.stapsdt") {
					t.Skip("no sys/sdt.h; install systemtap-sdt-dev")
				}
				if e.code != exitOK {
					t.Fatalf("exit %d: %s", e.code, e.stderr)
				}
				c := parseCounts(t, e.stdout)
				l.expect(t, "t.parquet", c, c.marks)
				noProbes(t, e.pid)
			})
		}
	}
}

// The dynamic symbols of a stripped file are enough.
func TestCaptureStripped(t *testing.T) {
	l := records(t, capture.Perf, "-s", "-rdynamic")
	c := parseCounts(t, l.succeed(t, "capture", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "200").stdout)
	l.expect(t, "t.parquet", c, c.hits)
}

// An event that is there already is recorded, and stays.
func TestCaptureEvent(t *testing.T) {
	l := records(t, capture.Perf)
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
	group := fmt.Sprintf("captured%d", os.Getpid())
	write(fmt.Sprintf("p:%s/probed %s:%s", group, l.path("counts"), l.probedOffset(t)))
	defer write("-:" + group + "/probed")
	c := parseCounts(t, l.succeed(t, "capture", "-o", "t.parquet", "--probe", group+":probed", "--", "./counts", "200").stdout)
	l.expect(t, "t.parquet", c, c.hits)
	if !machine.Tracefs.HasEvent(group + ":probed") {
		t.Error("it removed a probe that it did not add")
	}
}

// A process that runs already is recorded until it ends.
func TestCaptureProcess(t *testing.T) {
	t.Parallel()
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		t.Run(string(tool), func(t *testing.T) {
			l := records(t, tool)
			app := l.command("./counts", "200", "w")
			var out strings.Builder
			app.Stdout = &out
			if err := app.Start(); err != nil {
				t.Fatal(err)
			}
			defer app.Process.Kill()
			waited := make(chan error, 1)
			go func() { waited <- app.Wait() }() // or it stays a process for perf
			e := l.succeed(t, "capture", "--tool", string(tool), "-p", fmt.Sprint(app.Process.Pid), "--probe", "./counts:probed")
			if err := <-waited; err != nil {
				t.Fatal(err)
			}
			c := parseCounts(t, out.String())
			l.expect(t, fmt.Sprintf("pid-%d.parquet", c.pid), c, c.hits)
			noProbes(t, e.pid)
		})
	}
}

// The printed commands record the same without the program, but for the ingest.
func TestCapturePrinted(t *testing.T) {
	l := records(t, capture.Perf)
	script := l.succeed(t, "capture", "--print", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "200").stdout
	group := fmt.Sprintf("printed%d", os.Getpid()) // others may run this test
	script = strings.NewReplacer("replay/", group+"/", "replay:", group+":", "replay ingest", "true").Replace(script)
	out, err := l.command("sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	l.succeed(t, "ingest", "-q", "-o", "t.parquet", "t.perf.data")
	c := parseCounts(t, string(out))
	l.expect(t, "t.parquet", c, c.hits)
	if capture.ThisMachine().Tracefs.HasEvent(group + ":probed") {
		t.Error("the script left its probe")
	}
}

// bpftrace counts the same as perf, and as the program.
func TestCaptureBpftrace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, flags, args string
		check             func(recorded) bool
	}{
		{"function", "--probe ./counts:probed", "200", func(r recorded) bool { return r.locks > 0 && r.stacks == 0 }},
		// Long enough for a look at its mappings while it lives.
		{"stacks", "--probe ./counts:probed --stacks --no-locks", "4000", func(r recorded) bool { return r.locks == 0 && r.stacks == r.hits }},
		{"return", "--probe ./counts:probed%return", "200", func(r recorded) bool { return r.hits == r.rets }},
		{"offset", "--probe ./counts:OFFSET", "200", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := records(t, capture.BPFtrace)
			args := strings.Fields("capture --tool bpftrace -f -o t.parquet " + l.withOffset(t, test.flags) + " -- ./counts " + test.args)
			c := parseCounts(t, l.succeed(t, args...).stdout)
			hits := c.hits
			if test.name == "return" {
				hits *= 2 // its entries, too
			}
			if r := l.expect(t, "t.parquet", c, hits); test.check != nil && !test.check(r) {
				t.Errorf("%+v", r)
			}
			l.noProcesses(t)
		})
	}
}

// The file that is probed is the one that the process has mapped.
func TestCaptureMappedFile(t *testing.T) {
	t.Parallel()
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		for name, start := range map[string]string{
			"replaced":  "cp counts new; mkdir -p a; cp counts a/app; exec_app() { ./a/app 0 >/dev/null & }; exec_app; sleep 0.2; mv new a/app; echo $!",
			"namespace": "mkdir -p a; cp counts a/app; unshare -m sh -c 'mount -t tmpfs tmpfs a && cp counts a/app && exec ./a/app 0' >/dev/null 2>&1 & sleep 0.5; echo $!",
		} {
			t.Run(string(tool)+" "+name, func(t *testing.T) {
				l := records(t, tool)
				out, err := l.command("sh", "-c", "exec 2>/dev/null; "+start).Output()
				pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
				if err != nil || pid == 0 {
					t.Fatalf("%s: %v", out, err)
				}
				defer syscall.Kill(pid, syscall.SIGKILL)
				if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/", pid)); err != nil {
					t.Skip("no mount namespaces here")
				}
				cmd, stderr := l.program(t, "capture", "--tool", string(tool), "--probe", "./a/app:probed", "-p", strconv.Itoa(pid), "-o", "t.parquet")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "a recording", func() bool {
					return size(l.path("t.perf.data")) > 1<<18 || size(l.path("t.bpftrace.json")) > 1<<18
				})
				cmd.Process.Signal(os.Interrupt)
				cmd.Wait()
				if r := l.inTrace(t, "t.parquet", pid); r.hits == 0 || !strings.Contains(stderr.String(), "that is probed") {
					t.Errorf("%+v: %s", r, stderr)
				}
			})
		}
	}
}

// Arguments with blanks reach the program that bpftrace starts.
func TestCaptureBpftraceArguments(t *testing.T) {
	l := records(t, capture.BPFtrace)
	out := l.succeed(t, "capture", "--tool", "bpftrace", "-o", "t.parquet", "--probe", "./counts:probed", "--", "sh", "-c", `./counts "$0"; echo "$1"`, "100", `it's "$HOME"`).stdout
	c := parseCounts(t, out)
	l.expect(t, "t.parquet", c, c.hits)
	if !strings.Contains(out, `it's "$HOME"`+"\n") {
		t.Errorf("the arguments came as %s", out)
	}
}

// The printed script records the same, and leaves nothing but the recording.
func TestCaptureBpftracePrinted(t *testing.T) {
	l := records(t, capture.BPFtrace)
	script := l.succeed(t, "capture", "--tool", "bpftrace", "--print", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "200").stdout
	script = strings.ReplaceAll(script, "replay ingest", "true")
	out, err := l.command("timeout", "60", "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	l.succeed(t, "ingest", "-q", "-o", "t.parquet", "t.bpftrace.json")
	c := parseCounts(t, string(out))
	l.expect(t, "t.parquet", c, c.hits)
	if files := below(t, l.dir); strings.Contains(files, "ahead") {
		t.Errorf("files are left:\n%s", files)
	}
}

// TestCaptureOverflow records a hot loop into a buffer of one page.
func TestCaptureOverflow(t *testing.T) {
	l := records(t, capture.Perf)
	e := l.call(t, "capture", "--max-loss", "0", "-m", "1", "--stacks", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "5000")
	if e.code != exitLossy || !strings.Contains(e.stderr, "overflowed: give more with -m") {
		t.Errorf("exit %d: %s", e.code, e.stderr)
	}
	c := parseCounts(t, e.stdout)
	_, meta := readEvents(t, l.path("t.parquet"))
	if got := l.inTrace(t, "t.parquet", c.pid); meta.Lost == 0 || got.hits == 0 || got.hits >= c.hits {
		t.Errorf("%d lost, %d of %d hits", meta.Lost, got.hits, c.hits)
	}
	noProbes(t, e.pid)
}

// What fails leaves no probe and no file.
func TestCaptureFails(t *testing.T) {
	l := records(t, capture.Perf)
	writeTrace(t, l.path("app.parquet"), smallTrace(), smallMeta)
	before := below(t, l.dir)
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
		e := l.call(t, args...)
		if e.code != exitUsage || !strings.Contains(e.stderr, says) {
			t.Errorf("replay %s: exit %d: %s; want %q", strings.Join(args, " "), e.code, e.stderr, says)
		}
		noProbes(t, e.pid)
	}
	if after := below(t, l.dir); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
	l.noProcesses(t)
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
	t.Parallel()
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
			l := records(t, test.tool)
			cmd, stderr := l.program(t, "capture", "--tool", string(test.tool), "-f", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "0")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "a recording", func() bool { return size(l.path(test.raw)) > 1<<20 })
			cmd.Process.Signal(test.signal)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit %d: %s", code, stderr)
			}
			if test.code != exitOK && test.tool == capture.BPFtrace {
				// The program is nobody's then, and runs on.
				for pid, cmdline := range l.processes() {
					if strings.HasPrefix(cmdline, "./counts ") {
						syscall.Kill(pid, syscall.SIGKILL)
					}
				}
			}
			l.noProcesses(t)
			noProbes(t, cmd.Process.Pid)
			if test.code != exitOK {
				return
			}
			if events, _ := readEvents(t, l.path("t.parquet")); len(events) < 1000 {
				t.Errorf("%d events", len(events))
			}
		})
	}
}

// A recorder whose output fails ends with the cause, and leaves nothing but the
// program, which runs on.
func TestCaptureOutputFails(t *testing.T) {
	t.Parallel()
	for _, tool := range []capture.Tool{capture.Perf, capture.BPFtrace} {
		t.Run(string(tool), func(t *testing.T) {
			l := records(t, tool)
			before := below(t, l.dir)
			limited, stderr := l.program(t, "capture", "--tool", string(tool), "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "0")
			cmd := exec.Command("sh", append([]string{"-c", `ulimit -f 400; exec "$0" "$@"`, limited.Path}, limited.Args[1:]...)...)
			cmd.Dir, cmd.Env, cmd.Stderr, cmd.WaitDelay = limited.Dir, limited.Env, limited.Stderr, time.Second // the program keeps it open
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), "nothing was recorded") || !strings.Contains(strings.ToLower(stderr.String()), "file") {
				t.Errorf("exit %d: %s", code, stderr)
			}
			runs := false
			for pid, cmdline := range l.processes() {
				if strings.HasPrefix(cmdline, "./counts ") {
					runs = true
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			if !runs {
				t.Error("the program was ended")
			}
			l.noProcesses(t)
			noProbes(t, cmd.Process.Pid)
			if after := below(t, l.dir); after != before {
				t.Errorf("files before:\n%s\nand after:\n%s", before, after)
			}
		})
	}
}

// Ctrl-C while the trace is made leaves the recording, which can be ingested.
func TestCaptureInterruptedIngest(t *testing.T) {
	l := records(t, capture.Perf)
	before := below(t, l.dir)
	cmd, stderr := l.program(t, "capture", "-o", "t.parquet", "--probe", "./counts:probed", "--", "./counts", "10000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a trace", func() bool {
		files, _ := filepath.Glob(l.path("*t.parquet*"))
		return len(files) > 0
	})
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stderr.String(), "the recording is left as t.perf.data") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if left := strings.ReplaceAll(below(t, l.dir), l.path("t.perf.data")+"\n", ""); left != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, below(t, l.dir))
	}
	l.succeed(t, "ingest", "-q", "t.perf.data")
	noProbes(t, cmd.Process.Pid)
}
