package symbols

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/ianlancetaylor/demangle"

	"github.com/replay/replay/traces"
)

// Resolver names addresses. It is used by one goroutine.
type Resolver struct {
	inlines bool
	kernel  func() *table
	text    kernelText
	objects map[objectKey]*object
	jits    map[int32]*table
}

type objectKey struct{ path, buildID string }

// Options of a Resolver. The zero value is usable.
type Options struct {
	KernelID string // build id of the recorded kernel, hex; "" for unknown
	Kallsyms string // a file like /proc/kallsyms of that kernel, or ""
	// Inlines asks for inlined functions. It takes reading all DWARF of the files
	// on the way, which is seconds for large programs.
	Inlines bool
}

// New returns a Resolver.
func New(o Options) (*Resolver, error) {
	kernel, err := kernelTable(o.KernelID, o.Kallsyms)
	if err != nil {
		return nil, err
	}
	return &Resolver{inlines: o.Inlines, kernel: kernel, objects: map[objectKey]*object{}, jits: map[int32]*table{}}, nil
}

// Ahead reads the kernel's symbols while others work, for when they are asked for.
func (r *Resolver) Ahead() { go r.kernel() }

// KernelText says where the code of the recorded kernel was, from up to to, and in it a
// symbol at addr.
func (r *Resolver) KernelText(from, to uint64, symbol string, addr uint64) {
	r.text = kernelText{from: from, to: to, symbol: symbol, addr: addr}
}

// Kernel names a kernel address, "" when it cannot.
func (r *Resolver) Kernel(addr uint64) string {
	kernel := r.kernel()
	if kernel == nil {
		return ""
	}
	addr, ok := r.text.relocate(kernel, addr)
	if !ok {
		return ""
	}
	name, offset, ok := kernel.find(addr)
	if !ok {
		return ""
	}
	return frame(name, offset, "[kernel.kallsyms]")
}

// User names an address of a process, where the file is mapped at the offset, ""
// when it cannot. Functions inlined there come first, one to a line.
func (r *Resolver) User(pid int32, addr uint64, file *traces.Event, offset uint64) string {
	if file == nil {
		return ""
	}
	if !strings.HasPrefix(file.Path, "/") || strings.HasPrefix(file.Path, "//") {
		return r.jit(pid, addr, file.Path)
	}
	o := r.object(file)
	if o == nil || o.table == nil {
		return ""
	}
	at, ok := o.address(offset)
	if !ok {
		return ""
	}
	name, from, ok := o.table.find(at)
	if !ok {
		return ""
	}
	var lines []string
	for _, inlined := range o.inlines.at(at) {
		lines = append(lines, inlined+" (inlined) ("+file.Path+")")
	}
	return strings.Join(append(lines, frame(demangle.Filter(name, demangle.NoParams), from, file.Path)), "\n")
}

func frame(name string, offset uint64, module string) string {
	return name + "+0x" + strconv.FormatUint(offset, 16) + " (" + module + ")"
}

func (r *Resolver) object(file *traces.Event) *object {
	key := objectKey{file.Path, file.BuildID}
	o, ok := r.objects[key]
	if !ok {
		if file.BuildID != "" || isSame(file) {
			o = openObject(file.Path, file.BuildID, r.inlines)
		}
		r.objects[key] = o
	}
	return o
}

// isSame reports whether the path leads to the regular file that was mapped, as far
// as can be told without a build id.
func isSame(file *traces.Event) bool {
	info, err := os.Stat(file.Path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || !file.Got(traces.ColInode) || stat.Ino == file.Inode
}

// jit names code of a just-in-time compiler from /tmp/perf-PID.map.
func (r *Resolver) jit(pid int32, addr uint64, module string) string {
	t, ok := r.jits[pid]
	if !ok {
		t = readPerfMap(fmt.Sprintf("/tmp/perf-%d.map", pid))
		r.jits[pid] = t
	}
	if t == nil {
		return ""
	}
	name, offset, ok := t.find(addr)
	if !ok {
		return ""
	}
	return frame(name, offset, module)
}

// readPerfMap reads lines of address, size and name. A line that is none is left
// out: the compiler may have been writing it.
func readPerfMap(path string) *table {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	t := &table{}
	for in := bufio.NewScanner(f); in.Scan(); {
		addr, rest, _ := strings.Cut(in.Text(), " ")
		size, name, _ := strings.Cut(rest, " ")
		a, err1 := strconv.ParseUint(strings.TrimPrefix(addr, "0x"), 16, 64)
		n, err2 := strconv.ParseUint(strings.TrimPrefix(size, "0x"), 16, 64)
		if err1 != nil || err2 != nil || name == "" {
			continue
		}
		t.addNamed(a, n, []byte(name))
	}
	t.settle()
	return t
}
