package web

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
)

// profileSuffix is what names of profiles end with.
const profileSuffix = ".pb.gz"

// views are what pprof's UI has here. Its views of sources and of machine code open the
// files that a profile names.
var views = map[string]bool{
	"": true, "flamegraph": true, "graph": true, "top": true, "peek": true, "download": true, "saveconfig": true, "deleteconfig": true,
}

// saves reports whether a path is of a request that changes pprof's settings.
func saves(path string) bool {
	return strings.HasSuffix(path, "/saveconfig") || strings.HasSuffix(path, "/deleteconfig")
}

// profileFile is a profile of a run; run is nil for none.
type profileFile struct {
	run  *Run
	name string
}

// profileKey names a profile, or a difference of two.
type profileKey struct{ of, base profileFile }

// profileUI is pprof's web UI on one profile.
type profileUI struct {
	handlers map[string]http.Handler
	made     [2]stamp // of the files that it was made from
}

// stamp tells whether a file is another one.
type stamp struct {
	at   time.Time
	size int64
}

// profiles makes UIs as they are asked for. pprof keeps its flags and settings in global
// variables, so one is made at a time.
type profiles struct {
	mu  sync.Mutex
	all map[profileKey]*profileUI
}

// profilesMax bounds how many profiles are kept in memory; beyond, all are read anew.
const profilesMax = 64

func (p *profiles) serve(w http.ResponseWriter, r *http.Request, key profileKey, view string) {
	if !strings.HasSuffix(key.of.name, profileSuffix) {
		http.Error(w, "replay: there is no such profile", http.StatusNotFound)
		return
	}
	if !views[view] {
		http.Error(w, "replay: this view is left out: it would read files outside of the run", http.StatusNotFound)
		return
	}
	ui, err := p.ui(key)
	var path *fs.PathError
	switch {
	case errors.As(err, &path) || errors.Is(err, fs.ErrNotExist):
		notThere(w, err)
		return
	case err != nil:
		http.Error(w, "replay: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	h := ui.handlers["/"+view]
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h.ServeHTTP(w, r)
}

// ui is the UI of a profile, made anew when a file of it has changed.
func (p *profiles) ui(key profileKey) (*profileUI, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	made := &profileUI{}
	names := []string{key.of.name}
	f := fetcher{}
	for i, file := range []profileFile{key.of, key.base} {
		if file == (profileFile{}) {
			continue
		}
		var err error
		if made.made[i], err = file.stamp(); err != nil {
			return nil, err
		}
		f[fmt.Sprint(i)] = file
	}
	if old := p.all[key]; old != nil && old.made == made.made {
		return old, nil
	}
	args := []string{"-http=127.0.0.1:0", "-no_browser", "-symbolize=none"}
	if len(f) > 1 {
		args = append(args, "-diff_base=1")
		names = append(names, key.base.name)
	}
	said := &messages{}
	err := driver.PProf(&driver.Options{
		Flagset: &flags{FlagSet: flag.NewFlagSet("pprof", flag.ContinueOnError), args: append(args, "0")},
		Fetch:   f, Sym: noSymbols{}, Obj: noObjects{}, UI: said,
		HTTPServer: func(a *driver.HTTPServerArgs) error {
			made.handlers = a.Handlers
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("pprof cannot show %s: %w", strings.Join(names, " against "), errors.Join(append(said.errors, err)...))
	}
	if p.all == nil || len(p.all) >= profilesMax {
		p.all = map[profileKey]*profileUI{}
	}
	p.all[key] = made
	return made, nil
}

func (f profileFile) stamp() (stamp, error) {
	if f.run == nil || !strings.HasSuffix(f.name, profileSuffix) {
		return stamp{}, fs.ErrNotExist
	}
	file, info, err := f.run.open(f.name)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, file.Close()
}

// fetcher gives pprof the profiles, so that it opens no file and no address itself.
type fetcher map[string]profileFile

// Fetch reads a profile. That it names no source keeps pprof from storing a copy.
func (f fetcher) Fetch(src string, _, _ time.Duration) (*profile.Profile, string, error) {
	from, ok := f[src]
	if !ok {
		return nil, "", fs.ErrNotExist
	}
	file, _, err := from.run.open(from.name)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	p, err := profile.Parse(io.LimitReader(file, profileBytesMax))
	if err != nil {
		return nil, "", err
	}
	return p, "", p.CheckValid()
}

// profileBytesMax bounds the file of a profile.
const profileBytesMax = 256 << 20

// flags is pprof's command line.
type flags struct {
	*flag.FlagSet
	args []string
}

func (f *flags) StringList(name, def, usage string) *[]*string {
	return &[]*string{f.String(name, def, usage)}
}

func (f *flags) ExtraUsage() string { return "" }

func (f *flags) AddExtraUsage(string) {}

func (f *flags) Parse(func()) []string {
	f.SetOutput(io.Discard)
	if f.FlagSet.Parse(f.args) != nil {
		return nil // which pprof reports
	}
	return f.Args()
}

// messages keeps what pprof says went wrong.
type messages struct {
	mu     sync.Mutex
	errors []error
}

func (m *messages) ReadLine(string) (string, error) { return "", io.EOF }

func (m *messages) Print(...any) {}

func (m *messages) PrintErr(args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.errors) < errorsMax {
		m.errors = append(m.errors, errors.New(strings.TrimSpace(fmt.Sprintln(args...))))
	}
}

// errorsMax bounds what is kept of errors.
const errorsMax = 8

func (m *messages) IsTerminal() bool { return false }

func (m *messages) WantBrowser() bool { return false }

func (m *messages) SetAutoComplete(func(string) string) {}

// noSymbols and noObjects keep pprof from looking at programs: frames have their names.
type noSymbols struct{}

func (noSymbols) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }

type noObjects struct{}

var errNoObjects = errors.New("programs are not opened")

func (noObjects) Open(string, uint64, uint64, uint64, string) (driver.ObjFile, error) {
	return nil, errNoObjects
}

func (noObjects) Disasm(string, uint64, uint64, bool) ([]driver.Inst, error) {
	return nil, errNoObjects
}
