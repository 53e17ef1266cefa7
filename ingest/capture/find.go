package capture

import (
	"bufio"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Program is what is recorded, as far as it says where to look for files.
type Program struct {
	Command string // its first word; empty for none
	PID     int    // a process that runs already; 0 for none
	// Ask has the program's dynamic linker say which libraries it would map.
	Ask bool
}

// file is a file that a probe may be in.
type file struct {
	name   string // to open it by
	path   string // as the process that maps it names it
	called string // by those that need it
	remark string // what a user would not expect of it
}

// Resolve turns a probe into definitions of uprobes, which are in no group yet.
// There are several where a marker is in the code several times, and none for an
// event that exists.
func Resolve(p *Probe, program Program) ([]Definition, error) {
	if p.Event != "" {
		return nil, nil
	}
	files, err := candidates(p, program)
	if err != nil {
		return nil, fmt.Errorf("probe %q: %w", p.Text, err)
	}
	var first error
	for _, f := range files {
		sites, err := sitesOf(p, f.name)
		if err == nil {
			return define(p, f, sites), nil
		}
		if first == nil {
			first = err
		}
	}
	if len(files) > 1 {
		return nil, fmt.Errorf("%w; nor is it in the %d libraries that were looked at; give the file as path:%s", first, len(files)-1, p.Text)
	}
	return nil, first
}

func define(p *Probe, f file, sites []Site) []Definition {
	var defs []Definition
	for _, s := range sites {
		defs = append(defs, Definition{Name: p.name(), Return: p.Return, File: f.name, Path: f.path, Remark: f.remark, Site: s, probe: p})
	}
	return defs
}

func sitesOf(p *Probe, file string) ([]Site, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("probe %q: %w", p.Text, err)
	}
	defer f.Close()
	return Sites(p, f, file)
}

// candidates are the files that a probe may be in.
func candidates(p *Probe, program Program) ([]file, error) {
	switch {
	case p.Path != "" && program.PID != 0:
		f, err := mappedFile(p.Path, program.PID)
		return []file{f}, err
	case p.Path != "":
		f, err := commandFile(p.Path, program)
		return []file{f}, err
	case program.PID != 0:
		return mappedFiles(program.PID)
	case program.Command != "":
		name, err := exec.LookPath(program.Command)
		if err == nil {
			name, err = filepath.Abs(name)
		}
		if err != nil {
			return nil, err
		}
		return append([]file{{name: name, path: name}}, libraries(name, program.Ask)...), nil
	}
	return nil, fmt.Errorf("%w: no program is given to look for the marker in; give the file as path:%s", ErrNotFound, p.Text)
}

// commandFile finds a file for a program that is to be started: without a slash,
// first among what the program itself would map.
func commandFile(name string, program Program) (file, error) {
	if command, err := exec.LookPath(program.Command); err == nil && !strings.Contains(name, "/") {
		if command, err = filepath.Abs(command); err != nil {
			return file{}, err
		}
		if filepath.Base(command) == name {
			return file{name: command, path: command}, nil
		}
		for _, f := range libraries(command, program.Ask) {
			if f.called == name || filepath.Base(f.path) == name {
				return f, nil
			}
		}
	}
	path, err := findFile(name)
	return file{name: path, path: path}, err
}

// libraryDirs is where libraries are looked for, as the dynamic linker would
// without its cache.
var libraryDirs = []string{"/lib64", "/usr/lib64", "/usr/lib/*-linux-gnu*", "/lib", "/usr/lib", "/usr/local/lib"}

// IsFile reports whether a name is that of a file that may be probed.
func IsFile(name string) bool {
	path, err := findFile(name)
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// findFile finds a file by its path, as a program, or as a library.
func findFile(name string) (string, error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		return filepath.Abs(name)
	} else if strings.Contains(name, "/") {
		return filepath.Abs(name) // opening it tells what is wrong
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	if path := findLibrary(name); path != "" {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("file %s %w: neither here, nor in PATH, nor among the libraries", name, ErrNotFound)
}

func findLibrary(name string) string {
	for _, pattern := range libraryDirs {
		found, _ := filepath.Glob(filepath.Join(pattern, escapeGlob(name)))
		if len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// libraries are those that a program maps when it starts, as far as they are found.
func libraries(program string, ask bool) []file {
	f, err := elf.Open(program)
	if err != nil {
		return interpreted(program, ask)
	}
	defer f.Close()
	if linker := interpreter(f); ask && linker != "" {
		if found := askLinker(linker, program); found != nil {
			return found
		}
	}
	names, _ := f.ImportedLibraries()
	var found []file
	for _, name := range names {
		if path, err := findFile(name); err == nil {
			found = append(found, file{name: path, path: path, called: name})
		}
	}
	return found
}

// interpreted returns the interpreter of a script, with its libraries.
func interpreted(script string, ask bool) []file {
	f, err := os.Open(script)
	if err != nil {
		return nil
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n') // BINPRM_BUF_SIZE
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(words) == 0 || !isELF(words[0]) {
		return nil
	}
	return append([]file{{name: words[0], path: words[0]}}, libraries(words[0], ask)...)
}

func isELF(name string) bool {
	f, err := elf.Open(name)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// interpreter is the dynamic linker of a program, "" if it has none.
func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 1<<12 {
			name := make([]byte, p.Filesz)
			if _, err := p.ReadAt(name, 0); err == nil {
				return strings.TrimRight(string(name), "\x00")
			}
		}
	}
	return ""
}

// linkerTime is how long a dynamic linker may take to list libraries.
const linkerTime = 10 * time.Second

// askLinker has the dynamic linker list a program's libraries, as ldd does. It heeds
// LD_LIBRARY_PATH, the program's own path and the system's cache, and runs nothing of
// the program.
func askLinker(linker, program string) []file {
	ctx, cancel := context.WithTimeout(context.Background(), linkerTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, linker, "--list", program).Output()
	if err != nil {
		return nil
	}
	var found []file
	for line := range strings.Lines(string(out)) {
		// NAME => PATH (ADDRESS)
		called, path, ok := strings.Cut(strings.TrimSpace(line), " => ")
		if i := strings.LastIndex(path, " (0x"); ok && i > 0 {
			if abs, err := filepath.Abs(path[:i]); err == nil {
				found = append(found, file{name: abs, path: abs, called: called})
			}
		}
	}
	return found
}

// mapping is a file with code in a process.
type mapping struct {
	path, link string // its name there; a link of /proc to the file itself
}

// deleted is behind the path of a file that has no name any more.
const deleted = " (deleted)"

// mappings are the files with code in a process, its program first.
func mappings(pid int) ([]mapping, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	if err != nil {
		return nil, noProcess(pid, err)
	}
	f, err := os.Open(filepath.Join(dir, "maps"))
	if err != nil {
		return nil, noProcess(pid, err)
	}
	defer f.Close()
	found := []mapping{{exe, filepath.Join(dir, "exe")}}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// start-end rights offset device inode path
		fields := strings.Fields(lines.Text())
		at := strings.IndexByte(lines.Text(), '/')
		if len(fields) < 6 || !strings.Contains(fields[1], "x") || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		m := mapping{unescape(lines.Text()[at:]), filepath.Join(dir, "map_files", unpadded(fields[0]))}
		if !slices.ContainsFunc(found, func(other mapping) bool { return other.path == m.path }) {
			found = append(found, m)
		}
	}
	return found, lines.Err()
}

// unpadded is a range of /proc/PID/maps as map_files names it, without leading zeros.
func unpadded(addresses string) string {
	start, end, _ := strings.Cut(addresses, "-")
	return strings.TrimLeft(start, "0") + "-" + strings.TrimLeft(end, "0")
}

// unescape puts back the new lines of a path in /proc/PID/maps (seq_file_path).
func unescape(path string) string { return strings.ReplaceAll(path, `\012`, "\n") }

// file is how to reach what is mapped from here: by its path, where that is the same
// file in this mount namespace, or through the process.
func (m mapping) file(pid int) file {
	path := strings.TrimSuffix(m.path, deleted)
	if same(path, m.link) {
		return file{name: path, path: path}
	}
	if root := filepath.Join("/proc", strconv.Itoa(pid), "root", path); same(root, m.link) {
		return file{name: root, path: path, remark: fmt.Sprintf("process %d has a %s of its own, in another mount namespace: that is probed", pid, path)}
	}
	return file{name: m.link, path: path, remark: fmt.Sprintf("process %d runs a file %s that was replaced or deleted since: that is probed", pid, path)}
}

// same reports whether both names are of one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// mappedFile finds the file that a process has mapped: the very file that the name is
// of here, or another that the process knows by that name.
func mappedFile(name string, pid int) (file, error) {
	here, err := findFile(name)
	maps, mapsErr := mappings(pid)
	if mapsErr != nil {
		return file{}, mapsErr
	}
	var named []mapping
	for _, m := range maps {
		path := strings.TrimSuffix(m.path, deleted)
		switch {
		case err == nil && strings.Contains(name, "/") && same(here, m.link):
			return file{name: here, path: path}, nil
		case filepath.IsAbs(name) && same(filepath.Join("/proc", strconv.Itoa(pid), "root", name), m.link):
			named = append(named, m) // the process has another root
		case !strings.Contains(name, "/") && filepath.Base(path) == name, path == here:
			named = append(named, m)
		}
	}
	switch len(named) {
	case 0:
		if err != nil {
			return file{}, err
		}
		remark := fmt.Sprintf("process %d has not mapped %s: it has hits if the process maps it, or starts a program that does", pid, here)
		return file{name: here, path: here, remark: remark}, nil
	case 1:
		return named[0].file(pid), nil
	}
	var paths []string
	for _, m := range named {
		paths = append(paths, m.path)
	}
	return file{}, fmt.Errorf("%w: process %d has mapped %d files called %s: %s; give one by its path", ErrUnsupported, pid, len(named), name, strings.Join(paths, ", "))
}

// mappedFiles are the files with code in a process, its program first.
func mappedFiles(pid int) ([]file, error) {
	maps, err := mappings(pid)
	var files []file
	for _, m := range maps {
		files = append(files, m.file(pid))
	}
	return files, err
}

func noProcess(pid int, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("process %d %w", pid, ErrNotFound)
	}
	return err
}
