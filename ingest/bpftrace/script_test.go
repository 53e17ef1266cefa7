package bpftrace

import (
	"debug/elf"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; review it with -update:\n%s", name, got)
	}
}

var scripts = map[string]Options{
	"command.bt": {
		Command: true, Locks: true, Arch: "amd64",
		Probes: []Probe{
			{Name: "app:f", Path: "/bin/a 100% app", Function: "f"},
			{Name: "app:f_return", Path: "/bin/app", Function: "f", Return: true},
			{Name: "app:at_1234", Path: "/bin/app", Address: 0x1234},
			{Name: "app:gc", Path: "/bin/app", Provider: "python", Marker: "gc__start"},
		},
	},
	"all.bt":     {Stacks: true, Monotonic: true, Arch: "arm64", Probes: []Probe{{Name: "app:f", Path: "/bin/app", Function: "f"}}},
	"process.bt": {PID: 1234, Locks: true, Stacks: true, Arch: "amd64", Probes: []Probe{{Name: "app:f", Path: "/bin/app", Function: "f"}}},
}

func TestScripts(t *testing.T) {
	for name, o := range scripts {
		s, err := Script(o)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, s)
	}
}

func TestUnsafe(t *testing.T) {
	for name, want := range map[string]bool{"command.bt": true, "all.bt": false} {
		o := scripts[name]
		if got := o.Unsafe(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNoScript(t *testing.T) {
	for says, o := range map[string]Options{
		"not known for mips":    {Arch: "mips"},
		"no quote":              {Probes: []Probe{{Name: "a:b", Path: "/bin/\"; system(\"id\")"}}},
		"want a name":           {Probes: []Probe{{Name: "a b", Path: "/bin/app"}}},
		`backslash or new line`: {Probes: []Probe{{Name: "a:b", Path: "/bin/app", Function: "f\n"}}},
	} {
		if o.Arch == "" {
			o.Arch = "amd64"
		}
		if s, err := Script(o); s != "" || !errors.Is(err, ErrProbe) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: want %q", err, says)
		}
	}
}

// compile builds a C program, and skips where that cannot be done.
func compile(t *testing.T, args ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	bin := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command(cc, append([]string{"-o", bin}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return bin
}

func TestAddress(t *testing.T) {
	// The text of a program of a fixed place is not at its offset.
	for _, test := range []struct {
		flag  string
		named bool
	}{{"-g", true}, {"-s", false}} {
		bin := compile(t, "-no-pie", test.flag, "testdata/counts.c", "-lpthread")
		f, err := elf.Open(bin)
		if err != nil {
			t.Fatal(err)
		}
		text := f.Section(".text")
		f.Close()
		want := text.Offset
		if test.named {
			want = text.Addr // of _start
		}
		if addr, err := Address(bin, text.Offset); err != nil || addr != want || text.Addr == text.Offset {
			t.Errorf("%s: %#x, %v; want %#x", test.flag, addr, err, want)
		}
		if _, err := Address(bin, 1<<40); !errors.Is(err, ErrProbe) {
			t.Errorf("%v", err)
		}
	}
	if _, err := Address("script.go", 0); !errors.Is(err, ErrProbe) {
		t.Errorf("%v", err)
	}
}
