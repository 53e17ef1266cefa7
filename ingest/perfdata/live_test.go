package perfdata

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Recordings made now, in every form that perf knows, hold what perf says they
// hold. They need root and tracepoints.
func TestLive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("perf record of tracepoints needs root")
	}
	if _, err := exec.LookPath("perf"); err != nil {
		t.Skip("perf is not installed")
	}
	if _, err := recordLive(t, false); err != nil {
		t.Skip("perf record of tracepoints does not work here:", err)
	}
	forms := map[string][]string{
		"plain":       nil,
		"best":        {"-z22", "-g"},
		"all at once": {"-a", "-z", "-g", "-k", "monotonic_raw", "--namespaces", "--switch-events", "--data", "--buildid-mmap"},
	}
	for name, args := range forms {
		t.Run(name, func(t *testing.T) {
			for _, pipe := range []bool{false, true} {
				path, err := recordLive(t, pipe, args...)
				if err != nil {
					t.Fatal(err)
				}
				want := perfPipeCounts(t, path)
				if want["SAMPLE"] == 0 {
					t.Fatal("vacuous: no samples")
				}
				got := counts(t, path)
				for kind, n := range want {
					if got[kind] != n {
						t.Errorf("pipe %v: %d of %s, perf says %d", pipe, got[kind], kind, n)
					}
				}
			}
		})
	}
}

// recordLive records a shell that starts a few programs.
func recordLive(t *testing.T, pipe bool, args ...string) (path string, err error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "live.perf.data")
	out := path
	if pipe {
		out = "-"
	}
	args = append([]string{"record", "-q", "-m", "256", "-o", out, "-e", "syscalls:sys_enter_mmap,syscalls:sys_exit_mmap", "-e", "sched:sched_process_exec"}, args...)
	cmd := exec.Command("perf", append(args, "--", "sh", "-c", "/bin/true; /bin/true; /bin/true")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	if pipe {
		if err := os.WriteFile(path, stdout.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path, nil
}
