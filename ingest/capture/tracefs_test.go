package capture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func contents(t *testing.T, fs Tracefs, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fs.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// deadPID is the id of a process that is no more.
func deadPID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Skip("no true:", err)
	}
	return cmd.Process.Pid
}

// Events of captures that died go, and nobody else's.
func TestClean(t *testing.T) {
	dead := deadPID(t)
	uprobes := strings.Join([]string{
		fmt.Sprintf("p:replay_%d/f /bin/app:0x10", os.Getppid()), // at work
		fmt.Sprintf("p:replay_%d/f /bin/app:0x10", dead),
		fmt.Sprintf("r4:replay_%d/g /bin/app:0x20", dead),
		fmt.Sprintf("p:replay_%d/h /bin/app:0x20", os.Getpid()), // of one before with this id
		fmt.Sprintf("p:replay_0%d/h /bin/app:0x20", dead),
		"p:replay/f /bin/app:0x10", "p:replay_/f /bin/app:0x10", "p:replay_x/f /bin/app:0x10", "p:replay_-1/f /bin/app:0x10",
		"p:probe_libc/malloc /lib/libc.so.6:0x10", "", "nonsense",
	}, "\n") + "\n"
	kprobes := fmt.Sprintf("p:replay_%d/uprobe_notify_resume uprobe_notify_resume\n", dead)
	fs := fakeTracefs(t, map[string]string{uprobeEvents: uprobes, kprobeEvents: kprobes})
	cleaned, err := fs.Clean()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprintf("replay_%d:h", os.Getpid()), fmt.Sprintf("replay_%d:g", dead), fmt.Sprintf("replay_%d:f", dead),
		fmt.Sprintf("replay_%d:uprobe_notify_resume", dead),
	}
	if !slices.Equal(cleaned, want) {
		t.Errorf("cleaned %q, want %q", cleaned, want)
	}
	// The file is appended to: to truncate it would remove everybody's probes.
	if got, want := contents(t, fs, uprobeEvents), uprobes+fmt.Sprintf("-:replay_%d/h\n-:replay_%d/g\n-:replay_%d/f\n", os.Getpid(), dead, dead); got != want {
		t.Errorf("uprobe_events:\n%swant\n%s", got, want)
	}
	if got, want := contents(t, fs, kprobeEvents), kprobes+fmt.Sprintf("-:replay_%d/uprobe_notify_resume\n", dead); got != want {
		t.Errorf("kprobe_events:\n%swant\n%s", got, want)
	}
}

func TestCleanWithoutFiles(t *testing.T) {
	if cleaned, err := fakeTracefs(t, nil).Clean(); err != nil || cleaned != nil {
		t.Errorf("%q, %v", cleaned, err)
	}
}

// A guard removes what it was told of, the last event first, and what it was told
// of in half a line does not keep it from the rest.
func TestWatch(t *testing.T) {
	fs := fakeTracefs(t, map[string]string{uprobeEvents: "", kprobeEvents: ""})
	told := "uprobe_events -:replay_1/f\nkprobe_events -:replay_1/k\nuprobe_events -:replay_1/g\nupro"
	if err := Watch(strings.NewReader(told), fs); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, fs, uprobeEvents); got != "-:replay_1/g\n-:replay_1/f\n" {
		t.Errorf("uprobe_events: %q", got)
	}
	if got := contents(t, fs, kprobeEvents); got != "-:replay_1/k\n" {
		t.Errorf("kprobe_events: %q", got)
	}
}

func TestDefinitions(t *testing.T) {
	for want, d := range map[string]Definition{
		"p:g/f /bin/app:0x10":       {Group: "g", Name: "f", File: "/bin/app", Site: Site{Offset: 0x10}},
		"r:g/f /bin/app:0x10":       {Group: "g", Name: "f", File: "/bin/app", Site: Site{Offset: 0x10}, Return: true},
		"p:g/m /bin/app:0x10(0x20)": {Group: "g", Name: "m", File: "/bin/app", Site: Site{Offset: 0x10, Semaphore: 0x20}},
		"p:g/k k":                   {Group: "g", Name: "k"},
	} {
		if got := d.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if group, name, ok := eventOf(want); !ok || group != d.Group || name != d.Name {
			t.Errorf("%q is of %s:%s, %v", want, group, name, ok)
		}
	}
}

func FuzzEventLine(f *testing.F) {
	for _, s := range []string{"p:replay_12/f /bin/app:0x10", "r4:replay_12/f /bin/app:0x10(0x20)", "p:replay_012/f x", "p:a", "-:a/b", ":/", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		group, name, ok := eventOf(line)
		if !ok {
			return
		}
		if !strings.Contains(line, ":"+group+"/"+name) {
			t.Fatalf("%q is of %s:%s", line, group, name)
		}
		if pid, ok := owner(group); ok && (pid <= 0 || Group(pid) != group) {
			t.Fatalf("%s is of %d", group, pid)
		}
	})
}
