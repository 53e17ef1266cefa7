package symbols

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/traces"
)

const kallsyms = `ffffffff81000000 T _stext
ffffffff81000040 t first
ffffffff81000040 T alias_of_first
ffffffff81000080 D data
ffffffff81000100 T last
ffffffffc0000000 t in_module	[ext4]
`

func TestKernel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kallsyms")
	if err := os.WriteFile(path, []byte(kallsyms), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Kallsyms: path})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[uint64]string{
		0xffffffff80ffffff: "",
		0xffffffff81000000: "_stext+0x0 ([kernel.kallsyms])",
		0xffffffff81000041: "first+0x1 ([kernel.kallsyms])",  // the first of two at one address
		0xffffffff81000090: "first+0x50 ([kernel.kallsyms])", // data is no function
		0xffffffff81000110: "last+0x10 ([kernel.kallsyms])",
	} {
		if got := r.Kernel(addr); got != want {
			t.Errorf("%x is %q, want %q", addr, got, want)
		}
	}
}

// The same kernel lies elsewhere after it was started anew; what is not its own code lies
// anywhere.
func TestKernelStartedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kallsyms")
	if err := os.WriteFile(path, []byte(kallsyms), 0o600); err != nil {
		t.Fatal(err)
	}
	const from, to = 0xffffffff81000000, 0xffffffff81000200
	for _, shift := range []uint64{0, 0x3a000000, 1<<64 - 0x1000000} {
		r, err := New(Options{Kallsyms: path})
		if err != nil {
			t.Fatal(err)
		}
		r.KernelText(from+shift, to+shift, "_stext", from+shift)
		module, beyond := "in_module+0x4 ([kernel.kallsyms])", "last+0x100 ([kernel.kallsyms])"
		if shift != 0 {
			module, beyond = "", ""
		}
		for addr, want := range map[uint64]string{
			from + shift:        "_stext+0x0 ([kernel.kallsyms])",
			from + shift + 0x41: "first+0x1 ([kernel.kallsyms])",
			to + shift - 1:      "last+0xff ([kernel.kallsyms])",
			from + shift - 1:    "",
			to + shift:          beyond,
			0xffffffffc0000004:  module,
		} {
			if got := r.Kernel(addr); got != want {
				t.Errorf("shifted by %#x: %x is %q, want %q", shift, addr, got, want)
			}
		}
	}
	// Without the symbol nothing says that it is another start.
	r, err := New(Options{Kallsyms: path})
	if err != nil {
		t.Fatal(err)
	}
	r.KernelText(from, to, "_text", from+0x1000)
	if got := r.Kernel(0xffffffff81000041); got != "first+0x1 ([kernel.kallsyms])" {
		t.Errorf("without the symbol: %q", got)
	}
}

func TestBadKallsyms(t *testing.T) {
	for _, content := range []string{"x\n", "zz T name\n", "ffff T\n"} {
		if _, err := parseKallsyms([]byte(content), "file"); err == nil || !strings.Contains(err.Error(), "file:1") {
			t.Errorf("%q: %v", content, err)
		}
	}
	if table, err := parseKallsyms([]byte("0000000000000000 T hidden\n"), "file"); table != nil || err != nil {
		t.Errorf("hidden addresses: %v, %v", table, err)
	}
	if _, err := New(Options{Kallsyms: "/no/such/file"}); err == nil {
		t.Error("a missing file that was asked for is no error")
	}
}

// symbolised is a Go program with symbols; go test strips its own.
func symbolised(t *testing.T) (string, *elf.File, []elf.Symbol) {
	t.Helper()
	exe, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no program with symbols: ", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(exe)
	if err != nil {
		t.Skipf("the go command is no ELF file: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	syms, err := f.Symbols()
	if err != nil {
		t.Skipf("the go command is stripped: %v", err)
	}
	return exe, f, syms
}

// The functions of a program, found through its program headers.
func TestUser(t *testing.T) {
	exe, f, syms := symbolised(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := &traces.Event{Path: exe}
	found := 0
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size < 8 || !strings.HasPrefix(s.Name, "strings.") {
			continue
		}
		offset, ok := fileOffset(f, s.Value)
		if !ok {
			continue
		}
		found++
		if got := r.User(1, 0, file, offset+4); got != s.Name+"+0x4 ("+exe+")" {
			t.Fatalf("%s+4 is %q", s.Name, got)
		}
	}
	if found == 0 {
		t.Error("vacuous: no function of package strings in this program")
	}
	if link := f.SectionByType(elf.SHT_SYMTAB).Link; f.Sections[link].Size >= namesInFile && openObject(exe, "", false).table.file == nil {
		t.Error("its names were all read")
	}
	if got := r.User(1, 0, &traces.Event{Path: exe, BuildID: "00ff"}, 0x1000); elfBuildID(f) != "" && got != "" {
		t.Errorf("a file with another build id names %q", got)
	}
}

// A path that leads to another file than the mapped one names nothing.
func TestOtherFile(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Skip("files have no inodes here")
	}
	for inode, want := range map[uint64]bool{stat.Ino: true, stat.Ino + 1: false} {
		if got := isSame(&traces.Event{Path: exe, Inode: inode, Has: traces.ColInode}); got != want {
			t.Errorf("inode %d for %d: %v", inode, stat.Ino, got)
		}
	}
	if isSame(&traces.Event{Path: t.TempDir()}) {
		t.Error("a folder is taken for a program")
	}
}

func fileOffset(f *elf.File, addr uint64) (uint64, bool) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr < p.Vaddr+p.Filesz {
			return addr - p.Vaddr + p.Off, true
		}
	}
	return 0, false
}

func TestPerfMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "perf-1.map")
	content := "7f00 20 Interpreter\n7f20 10 Lcom/foo;::bar with spaces\nhalf a lin"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	m := readPerfMap(path)
	for addr, want := range map[uint64]string{0x7f00: "Interpreter", 0x7f1f: "Interpreter", 0x7f2f: "Lcom/foo;::bar with spaces"} {
		if got, _, ok := m.find(addr); !ok || got != want {
			t.Errorf("%x is %q", addr, got)
		}
	}
	if _, _, ok := m.find(0x7f30); ok {
		t.Error("found something beyond the last")
	}
}

func FuzzKallsyms(f *testing.F) {
	f.Add([]byte(kallsyms))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := parseKallsyms(bytes.Clone(data), "fuzz")
		if table != nil && err != nil {
			t.Fatal("a table and an error")
		}
	})
}

func FuzzNotes(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00GNU\x00\xab\xcd"))
	f.Fuzz(func(t *testing.T, data []byte) { buildIDNote(data) })
}

// BenchmarkKallsyms reads the symbols of the running kernel, hidden or not.
func BenchmarkKallsyms(b *testing.B) {
	data, err := os.ReadFile(runningKallsyms)
	if err != nil {
		b.Skip(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseKallsyms(bytes.Clone(data), "kallsyms"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFind compares with a search through all symbols, in buckets and sorted.
func TestFind(t *testing.T) {
	divided, sorted := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		table := &table{}
		addr := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0x1000, 0x1100), rapid.Uint64Range(0xffffffff81000000, 0xffffffff81020000))
		if rapid.Bool().Draw(t, "dense") {
			addr = rapid.Uint64Range(0x1000, 0x2000)
		}
		for range rapid.IntRange(0, 300).Draw(t, "symbols") {
			table.addNamed(addr.Draw(t, "addr"), rapid.Uint64Range(0, 20).Draw(t, "size"), []byte(strconv.Itoa(len(table.syms))))
		}
		if rapid.IntRange(0, 9).Draw(t, "crowd") == 0 {
			crowd := addr.Draw(t, "crowded")
			for i := range uint64(bucketMax + 1) {
				table.addNamed(crowd+i%16, 1, []byte(strconv.Itoa(len(table.syms))))
			}
			table.addNamed(crowd+1<<32, 1, []byte("far"))
		}
		all := slices.Clone(table.syms)
		table.settle()
		if table.buckets != nil {
			divided++
		} else if len(all) > 0 {
			sorted++
		}
		for range 50 {
			at := addr.Draw(t, "at")
			if len(all) > 0 && rapid.Bool().Draw(t, "near") {
				at = all[rapid.IntRange(0, len(all)-1).Draw(t, "symbol")].addr + rapid.Uint64Range(0, 2).Draw(t, "beyond") - 1
			}
			var want *sym
			for i := range all {
				if s := &all[i]; s.addr <= at && (want == nil || s.addr > want.addr) {
					want = s
				}
			}
			name, offset, ok := table.find(at)
			switch {
			case want == nil || want.size > 0 && at-want.addr >= want.size && want.addr+want.size > want.addr:
				if ok {
					t.Fatalf("%#x is in %s, want none", at, name)
				}
			case want.addr+want.size < want.addr: // it would reach beyond all addresses
			case !ok || name != table.name(want) || offset != at-want.addr:
				t.Fatalf("%#x is in %s+%#x (%v), want %s+%#x", at, name, offset, ok, table.name(want), at-want.addr)
			}
		}
	})
	if divided == 0 || sorted == 0 {
		t.Errorf("vacuous: %d tables in buckets, %d sorted", divided, sorted)
	}
}

// The symbols of a file whose build id is not the recorded one are of other code.
func TestAnotherBuild(t *testing.T) {
	var library string
	for _, pattern := range []string{"/lib/*-linux-gnu*/libc.so.6", "/usr/lib/*-linux-gnu*/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"} {
		if found, _ := filepath.Glob(pattern); library == "" && len(found) > 0 {
			library = found[0]
		}
	}
	f, err := elf.Open(library)
	if err != nil {
		t.Skipf("no C library: %v", err)
	}
	defer f.Close()
	id := elfBuildID(f)
	if id == "" {
		t.Skipf("%s has no build id", library)
	}
	if o := openObject(library, id, false); o == nil || o.table == nil {
		t.Errorf("%s of the build that was recorded has no symbols", library)
	}
	if o := openObject(library, "00"+id[2:], false); o != nil {
		t.Errorf("%s of build %s has symbols of build 00%s", library, id, id[2:])
	}
	if got := BuildID(library); got != id {
		t.Errorf("%s has the build id %q, want %s", library, got, id)
	}
	data, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, append([]byte("GNU\x00"), raw...))
	if at < 4 {
		t.Fatal("the file does not have its own id")
	}
	data[at-4] = 99 // the type of the note: there is no id any more
	unnamed := filepath.Join(t.TempDir(), "unnamed.so")
	if err := os.WriteFile(unnamed, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if o := openObject(unnamed, "", false); o == nil || o.table == nil || BuildID(unnamed) != "" {
		t.Error("without an id there are no symbols, or there is one")
	}
	if o := openObject(unnamed, "00"+id[2:], false); o != nil {
		t.Error("a file without an id has symbols of the build that was recorded")
	}
}

// The running kernel names its own addresses alone.
func TestAnotherKernel(t *testing.T) {
	data, err := os.ReadFile(runningKallsyms)
	running := runningBuildID()
	if err != nil || running == "" {
		t.Skipf("no symbols of this kernel: %v, build %q", err, running)
	}
	all, err := parseKallsyms(data, runningKallsyms)
	if err != nil || all == nil {
		t.Skipf("the symbols of this kernel are hidden: %v", err)
	}
	for id, named := range map[string]bool{running: true, "00" + running[2:]: false, "": false} {
		r, err := New(Options{KernelID: id})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Kernel(all.syms[len(all.syms)/2].addr); (got != "") != named {
			t.Errorf("kernel %q on %s: %q", id, running, got)
		}
	}
}

// Code of a just-in-time compiler is its process's.
func TestPerfMapOfAnother(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for pid, name := range map[int32]string{1: "mine", 2: "yours"} {
		r.jits[pid] = &table{}
		r.jits[pid].addNamed(0x7f00, 0x10, []byte(name))
	}
	r.jits[3] = nil
	for pid, want := range map[int32]string{1: "mine+0x4 (//anon)", 2: "yours+0x4 (//anon)", 3: ""} {
		if got := r.User(pid, 0x7f04, &traces.Event{Path: "//anon"}, 0); got != want {
			t.Errorf("process %d: %q, want %q", pid, got, want)
		}
	}
}

// Of calls that were inlined into each other, the innermost comes first.
func TestInlinesInnermostFirst(t *testing.T) {
	in := &inlines{longest: 0x100, calls: []inlined{
		{0x1000, 0x1100, 1, "outer"}, {0x1010, 0x1080, 2, "middle"}, {0x1010, 0x1020, 3, "inner"}, {0x1040, 0x1050, 3, "later"},
	}}
	for addr, want := range map[uint64]string{0xfff: "", 0x1000: "outer", 0x1018: "inner middle outer", 0x1048: "later middle outer", 0x1080: "outer", 0x1100: ""} {
		if got := strings.Join(in.at(addr), " "); got != want {
			t.Errorf("%#x: %q, want %q", addr, got, want)
		}
	}
}
