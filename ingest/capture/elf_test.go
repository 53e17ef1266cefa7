package capture

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compile builds a C program, and skips where that cannot be done.
func compile(t testing.TB, args ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	bin := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command(cc, append([]string{"-O1", "-o", bin}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return bin
}

const (
	symbolsC = "testdata/symbols.c"
	otherC   = "testdata/other.c"
	markersC = "testdata/markers.c"
)

// sites are the offsets of a probe in a file.
func sites(t *testing.T, file, probe string) ([]Site, error) {
	t.Helper()
	p, err := Parse(file+":"+probe, noFile, noFile)
	if err != nil {
		t.Fatal(err)
	}
	return sitesOf(&p, file)
}

// codeAt reads the instructions at an offset in the file, past what compilers put
// before them for branch tracking.
func codeAt(t *testing.T, file string, offset uint64) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimPrefix(data[offset:offset+16], []byte{0xf3, 0x0f, 0x1e, 0xfa})
}

// returnsNumber reports whether the code at an offset is "mov $n, %eax; ret", as it
// is for functions of testdata/symbols.c.
func returnsNumber(t *testing.T, file string, offset uint64, n byte) bool {
	t.Helper()
	return bytes.HasPrefix(codeAt(t, file, offset), []byte{0xb8, n, 0, 0, 0})
}

func needX86(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("uname", "-m").Output(); err != nil || strings.TrimSpace(string(out)) != "x86_64" {
		t.Skip("the test reads the code of x86-64")
	}
}

// A function is found where its code is, in every kind of file.
func TestFunctions(t *testing.T) {
	needX86(t)
	for _, flags := range [][]string{
		{"-pie", "-fPIE"},
		{"-no-pie"},
		{"-no-pie", "-Wl,-Ttext-segment=0x10000000"},
		{"-static"},
		{"-pie", "-fPIE", "-rdynamic", "-s"}, // only dynamic symbols
		{"-shared", "-fPIC", "-DLIBRARY", "-s"},
	} {
		file := compile(t, append(flags, symbolsC, otherC)...)
		got, err := sites(t, file, "entry")
		if err != nil || len(got) != 1 || !returnsNumber(t, file, got[0].Offset, 1) {
			t.Errorf("%v: %#x, %v: the code there is another", flags, got, err)
			continue
		}
		at, err := sites(t, file, fmt.Sprintf("%#x", got[0].Offset))
		if err != nil || len(at) != 1 || at[0].Offset != got[0].Offset {
			t.Errorf("%v: the same place by its offset: %#x, %v", flags, at, err)
		}
	}
}

func TestVersions(t *testing.T) {
	needX86(t)
	script := filepath.Join(t.TempDir(), "versions")
	if err := os.WriteFile(script, []byte("V_1 { global: *; };\nV_2 { global: *; } V_1;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, strip := range []string{"-g", "-s"} {
		file := compile(t, "-shared", "-fPIC", "-DLIBRARY", "-DVERSIONS", "-Wl,--version-script="+script, strip, symbolsC)
		for name, want := range map[string]byte{"way": 3, "way@V_2": 3, "way@@V_2": 3, "way@V_1": 2, "gone": 6, "gone@V_1": 6} {
			got, err := sites(t, file, name)
			if err != nil || len(got) != 1 || !returnsNumber(t, file, got[0].Offset, want) {
				t.Errorf("%s %s: %#x, %v: want the function that returns %d", strip, name, got, err, want)
			}
		}
		if _, err := sites(t, file, "way@V_3"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", strip, err)
		}
	}
}

// What cannot be probed says why, and what to do instead.
func TestNoSite(t *testing.T) {
	app := compile(t, "-pie", "-fPIE", "-DINDIRECT", symbolsC, otherC)
	stripped := compile(t, "-no-pie", "-s", symbolsC, otherC)
	object := compile(t, "-c", symbolsC)
	markers := compile(t, markersC)
	for _, test := range []struct {
		file, probe string
		is          error
		says        string
	}{
		{app, "nothing", ErrNotFound, "function nothing not found"},
		{app, "entr", ErrNotFound, "there is entry"},
		{app, "data", ErrNotFound, "function data not found"}, // no function
		{app, "hidden", ErrUnsupported, "there are 2 functions named hidden"},
		{app, "chosen", ErrUnsupported, "IFUNC"},
		{app, "0x0", ErrUnsupported, "there is no code at offset 0x0"},
		{app, "0xffffffffffff", ErrUnsupported, "there is no code at offset"},
		{app, "sdt:app:plain", ErrNotFound, "no section .note.stapsdt"},
		{markers, "sdt:app:nothing", ErrNotFound, "there is app:plain, app:watched"},
		{stripped, "entry", ErrNotFound, "install its debug symbols, or give path:0xoffset"},
		{object, "entry", ErrUnsupported, "ET_REL"},
		{symbolsC, "entry", ErrUnsupported, "bad magic number"},
		{"testdata", "entry", nil, "is a directory"},
		{"/nowhere", "entry", os.ErrNotExist, "/nowhere"},
	} {
		got, err := sites(t, test.file, test.probe)
		if got != nil || err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s:%s: %#x, %v; want %q", test.file, test.probe, got, err, test.says)
		}
	}
}

// Programs of 32 bits can be probed as well. The test has no 32-bit libraries, but
// needs none.
func TestWordSize(t *testing.T) {
	needX86(t)
	file := compile(t, "-m32", "-nostdlib", "-static", "-Wl,-e,main", symbolsC, otherC)
	got, err := sites(t, file, "entry")
	if err != nil || len(got) != 1 || !returnsNumber(t, file, got[0].Offset, 1) {
		t.Errorf("%#x, %v", got, err)
	}
	file = compile(t, "-m32", "-nostdlib", "-static", "-Wl,-e,main", markersC)
	if got, err := sites(t, file, "sdt:app:plain"); err != nil || len(got) != 2 {
		t.Errorf("%#x, %v", got, err)
	}
}

// Markers are found at their nop, and their semaphores in the data, also when the
// program was moved after its notes were written.
func TestMarkers(t *testing.T) {
	needX86(t)
	for _, flags := range [][]string{{"-pie", "-fPIE"}, {"-no-pie"}, {"-no-pie", "-DMOVED=0x1000"}, {"-s"}} {
		file := compile(t, append(flags, markersC)...)
		plain, err := sites(t, file, "sdt:app:plain")
		if err != nil || len(plain) != 2 || plain[0].Semaphore != 0 || plain[0].Offset >= plain[1].Offset {
			t.Errorf("%v: %#x, %v", flags, plain, err)
			continue
		}
		watched, err := sites(t, file, "sdt:app:watched")
		if err != nil || len(watched) != 1 || watched[0].Semaphore == 0 {
			t.Errorf("%v: %#x, %v", flags, watched, err)
			continue
		}
		for _, s := range append(plain, watched...) {
			if code := codeAt(t, file, s.Offset); code[0] != 0x90 {
				t.Errorf("%v: no nop at %#x but % x", flags, s.Offset, code)
			}
		}
		f, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if probes := f.Section(".probes"); watched[0].Semaphore != probes.Offset {
			t.Errorf("%v: the semaphore is at %#x, not %#x", flags, watched[0].Semaphore, probes.Offset)
		}
	}
}
