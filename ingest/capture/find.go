package capture

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Program is what is recorded, as far as it says where to look for files.
type Program struct {
	Command string // its first word; empty for none
	PID     int    // a process that runs already; 0 for none
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
	for _, file := range files {
		sites, err := sitesOf(p, file)
		if err == nil {
			return define(p, file, sites), nil
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

func define(p *Probe, file string, sites []Site) []Definition {
	var defs []Definition
	for _, s := range sites {
		defs = append(defs, Definition{Name: p.name(), Return: p.Return, File: file, Site: s, probe: p})
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
func candidates(p *Probe, program Program) ([]string, error) {
	if p.Path != "" {
		file, err := findFile(p.Path)
		return []string{file}, err
	}
	switch {
	case program.PID != 0:
		return mappedFiles(program.PID)
	case program.Command != "":
		file, err := exec.LookPath(program.Command)
		if err == nil {
			file, err = usable(file)
		}
		if err != nil {
			return nil, err
		}
		return append([]string{file}, libraries(file)...), nil
	}
	return nil, fmt.Errorf("%w: no program is given to look for the marker in; give the file as path:%s", ErrNotFound, p.Text)
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
		return usable(name)
	} else if strings.Contains(name, "/") {
		return usable(name) // opening it tells what is wrong
	}
	if path, err := exec.LookPath(name); err == nil {
		return usable(path)
	}
	if path := findLibrary(name); path != "" {
		return usable(path)
	}
	return "", fmt.Errorf("file %s %w: neither here, nor in PATH, nor among the libraries", name, ErrNotFound)
}

// unusable are the characters that uprobe_events takes for the end of a path: it
// splits its lines at white space (argv_split), and # begins a comment
// (trace_parse_run_command).
const unusable = " \t\n\v\f\r#"

// usable makes a path absolute, and checks that the kernel takes it.
func usable(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err == nil && strings.ContainsAny(path, unusable) {
		err = fmt.Errorf("%w: the kernel takes no blank and no # in a path: %q; give a link to the file instead", ErrUnsupported, path)
	}
	return path, err
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

// libraries are those that a program names, as far as they are found.
func libraries(file string) []string {
	f, err := elf.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.ImportedLibraries()
	var found []string
	for _, name := range names {
		if path, err := findFile(name); err == nil && !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	return found
}

// mappedFiles are the files with code in a process, its program first.
func mappedFiles(pid int) ([]string, error) {
	exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil {
		return nil, noProcess(pid, err)
	}
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "maps"))
	if err != nil {
		return nil, noProcess(pid, err)
	}
	defer f.Close()
	files := []string{exe}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// start-end rights offset device inode path
		fields := strings.Fields(lines.Text())
		if len(fields) == 6 && strings.Contains(fields[1], "x") && strings.HasPrefix(fields[5], "/") && !slices.Contains(files, fields[5]) {
			files = append(files, fields[5])
		}
	}
	return files, lines.Err()
}

func noProcess(pid int, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("process %d %w", pid, ErrNotFound)
	}
	return err
}
