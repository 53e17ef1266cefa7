package capture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// running starts a program that waits for its input, and gives its id.
func running(t *testing.T, bin string) int {
	t.Helper()
	cmd := exec.Command(bin)
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return cmd.Process.Pid
}

// With a process, the file that it runs is meant, whatever has its name by now.
func TestMappedFile(t *testing.T) {
	source := filepath.Join(t.TempDir(), "wait.c")
	if err := os.WriteFile(source, []byte("#include <unistd.h>\nint main(void) { char c; return read(0, &c, 1); }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bin := compile(t, source)
	pid := running(t, bin)
	f, err := mappedFile(bin, pid)
	if err != nil || f != (file{name: bin, path: bin}) {
		t.Errorf("as it is: %+v, %v", f, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(bin, link); err != nil {
		t.Fatal(err)
	}
	if f, err = mappedFile(link, pid); err != nil || f.name != link || f.path != bin || f.remark != "" {
		t.Errorf("by another name: %+v, %v", f, err)
	}
	if f, err = mappedFile("program", pid); err != nil || f.name != bin {
		t.Errorf("without its folder: %+v, %v", f, err)
	}
	if f, err = mappedFile(source, pid); err != nil || f.name != source || !strings.Contains(f.remark, "has not mapped") {
		t.Errorf("not mapped: %+v, %v", f, err)
	}
	other := compile(t, source, "-DOTHER")
	if err := os.Rename(other, bin); err != nil {
		t.Fatal(err)
	}
	f, err = mappedFile(bin, pid)
	if want := fmt.Sprintf("/proc/%d/exe", pid); err != nil || f.name != want || f.path != bin || !strings.Contains(f.remark, "replaced or deleted") {
		t.Errorf("replaced: %+v, %v; want %s", f, err, want)
	}
	if _, err := mappedFile(bin, 1<<22+1); !errors.Is(err, ErrNotFound) {
		t.Errorf("no process: %v", err)
	}
}

// With a program, the library is meant that its dynamic linker finds.
func TestLibraries(t *testing.T) {
	dir := t.TempDir()
	if err := os.Rename(compile(t, "-shared", "-fPIC", "-Wl,-soname,libother.so.1", otherC), filepath.Join(dir, "libother.so.1")); err != nil {
		t.Fatal(err)
	}
	app := compile(t, symbolsC, filepath.Join(dir, "libother.so.1"), "-Wl,-rpath,"+dir)
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!"+app+" -x\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "libother.so.1")
	for _, program := range []string{app, script} {
		f, err := commandFile("libother.so.1", Program{Command: program, Ask: true})
		if err != nil || f.name != want || f.path != want {
			t.Errorf("%s: %+v, %v; want %s", program, f, err, want)
		}
	}
	if _, err := commandFile("libother.so.1", Program{Command: app}); !errors.Is(err, ErrNotFound) {
		t.Errorf("without asking: %v", err)
	}
	if f, err := commandFile(filepath.Base(app), Program{Command: app}); err != nil || f.name != app {
		t.Errorf("the program itself: %+v, %v", f, err)
	}
}

// A path that a tool cannot name is opened and named by that, but not for another
// machine.
func TestPlain(t *testing.T) {
	odd := filepath.Join(t.TempDir(), `a "b" #c`)
	if err := os.WriteFile(odd, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []Tool{Perf, BPFtrace} {
		p := &Plan{options: &Options{Tool: tool}}
		defs := []Definition{{File: odd, Path: odd, Remark: "odd"}, {File: odd, Path: odd, Remark: "odd"}, {File: "/bin/a:b,c++", Path: "/bin/a"}}
		if err := p.plain(defs); err != nil {
			t.Fatal(err)
		}
		if !same(defs[0].File, odd) || defs[0].File == odd || defs[1].File != defs[0].File || defs[0].Path != odd || defs[2].File != "/bin/a:b,c++" {
			t.Errorf("%s: %+v", tool, defs)
		}
		if len(p.files) != 1 || !slices.Equal(p.Remarks, []string{"odd"}) {
			t.Errorf("%s: %d files, %q", tool, len(p.files), p.Remarks)
		}
		if err := p.Close(); err != nil || same(defs[0].File, odd) {
			t.Errorf("%s: it is still open: %v", tool, err)
		}
		p = &Plan{options: &Options{Tool: tool, Print: true}}
		if err := p.plain([]Definition{{File: odd}}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", tool, err)
		}
	}
}

// What separates words, or begins a comment, in a line of uprobe_events.
func TestNameable(t *testing.T) {
	for _, c := range " \t\n\v\f\r#" {
		if nameable(Perf, "/bin/a"+string(c)+"b") {
			t.Errorf("the kernel takes a path with %q", c)
		}
	}
	if !nameable(Perf, `/bin/a"b\'$c:d`) {
		t.Error("a path without blanks is not taken")
	}
}

// The entry of a function goes with its return, once.
func TestWithEntries(t *testing.T) {
	f := &Probe{Function: "f"}
	r := &Probe{Function: "f", Return: true}
	entry := Definition{Name: "f", File: "/a", Site: Site{Offset: 1}, probe: f}
	ret := Definition{Name: "f_return", File: "/a", Site: Site{Offset: 1}, Return: true, probe: r}
	for _, test := range []struct{ in, want []Definition }{
		{[]Definition{entry}, []Definition{entry}},
		{[]Definition{ret}, []Definition{ret, entry}},
		{[]Definition{ret, entry}, []Definition{ret, entry}},
		{[]Definition{ret, ret}, []Definition{ret, ret, entry}},
	} {
		got := withEntries(slices.Clone(test.in))
		if len(got) != len(test.want) {
			t.Errorf("%d of %d", len(got), len(test.in))
			continue
		}
		for i := range got {
			if got[i].Name != test.want[i].Name || got[i].Return != test.want[i].Return || got[i].probe.Return != got[i].Return {
				t.Errorf("%d: %+v, want %+v", i, got[i], test.want[i])
			}
		}
	}
}

// Ranges are written in two ways in /proc.
func TestUnpadded(t *testing.T) {
	for in, want := range map[string]string{"00400000-00401000": "400000-401000", "7f00-7f10": "7f00-7f10"} {
		if got := unpadded(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
