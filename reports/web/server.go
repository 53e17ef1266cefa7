package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/replay/replay/reports"
)

// Run is a folder that is served.
type Run struct {
	Name string // in URLs
	Dir  string
}

// Runs names folders of runs by their last element, those of one name with a number
// behind. It is an error if one holds no run.
func Runs(dirs []string) ([]Run, error) {
	var runs []Run
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if err := holdsRun(abs); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		name := filepath.Base(abs)
		for n := 2; slices.ContainsFunc(runs, func(r Run) bool { return r.Name == name }); n++ {
			name = fmt.Sprintf("%s-%d", filepath.Base(abs), n)
		}
		runs = append(runs, Run{name, abs})
	}
	return runs, nil
}

// ErrNoRun is returned for a folder without a report.
var ErrNoRun = errors.New("holds no run: want a folder that replay run wrote, with a report.json in it")

func holdsRun(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such folder")
	case err != nil:
		return err
	case !info.IsDir():
		return ErrNoRun
	}
	if _, err := os.Stat(filepath.Join(dir, "report.json")); errors.Is(err, fs.ErrNotExist) {
		return ErrNoRun
	} else if err != nil {
		return err
	}
	return nil
}

// Server answers requests for runs.
type Server struct {
	runs     []Run
	profiles profiles
	listener net.Listener
	host     string // that was asked for
}

// CheckAddr reports what is wrong with an address for Listen.
func CheckAddr(addr string) error {
	_, _, err := splitAddr(addr)
	return err
}

func splitAddr(addr string) (host, port string, err error) {
	if host, port, err = net.SplitHostPort(addr); err != nil {
		return "", "", fmt.Errorf("%w; want HOST:PORT, such as 127.0.0.1:8080 or :8080", err)
	}
	if n, err := strconv.Atoi(cmp.Or(port, "0")); err != nil || n < 0 || n > 65535 {
		return "", "", fmt.Errorf("port %q; want 0 to 65535", port)
	}
	return cmp.Or(host, "127.0.0.1"), cmp.Or(port, "0"), nil
}

// Listen takes an address, HOST:PORT; without a host it is 127.0.0.1, without a port, or
// with 0, any that is free.
func Listen(addr string, runs []Run) (*Server, error) {
	host, port, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	return &Server{runs: runs, listener: l, host: host}, nil
}

// URL is where a browser finds it.
func (s *Server) URL() string {
	at := s.listener.Addr().(*net.TCPAddr)
	host := s.host
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return fmt.Sprintf("http://%s/", net.JoinHostPort(host, fmt.Sprint(at.Port)))
}

// Local reports whether none but this machine can reach it.
func (s *Server) Local() bool { return s.listener.Addr().(*net.TCPAddr).IP.IsLoopback() }

// Runs are those that are served.
func (s *Server) Runs() []Run { return s.runs }

// Limits on a request, and on those that are not done when it stops.
const (
	headerTimeout  = 10 * time.Second
	headerBytesMax = 64 << 10
	stopTimeout    = 2 * time.Second
)

// Serve answers until ctx is done.
func (s *Server) Serve(ctx context.Context) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: headerBytesMax}
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if server.Shutdown(stop) != nil {
		return server.Close()
	}
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	if err := s.foreign(r); err != nil {
		http.Error(w, "replay: "+err.Error(), http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "replay: there is nothing to change here", http.StatusMethodNotAllowed)
		return
	}
	name, rest, inside := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name == "" && !inside {
		s.index(w)
		return
	}
	if name == "favicon.ico" && !inside { // browsers ask for it on pages that name no icon
		w.WriteHeader(http.StatusNoContent)
		return
	}
	run := s.run(name)
	switch {
	case run == nil:
		http.Error(w, "replay: there is no such run here", http.StatusNotFound)
	case !inside:
		redirect(w, url.PathEscape(name)+"/")
	case rest == "":
		s.file(w, r, run, "report.html")
	default:
		s.part(w, r, run, rest)
	}
}

// redirect goes to a path relative to the one asked for.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", "./"+to)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// part serves what is in a run: a file, or the views of a profile.
func (s *Server) part(w http.ResponseWriter, r *http.Request, run *Run, rest string) {
	name, view, inside := strings.Cut(rest, "/")
	if !inside {
		s.file(w, r, run, name)
		return
	}
	key := profileKey{of: profileFile{run, name}}
	if rest, ok := strings.CutPrefix(view, "vs/"); ok {
		parts := strings.SplitN(rest, "/", 3)
		if len(parts) == 3 {
			key.base, view = profileFile{s.run(parts[0]), parts[1]}, parts[2]
		}
	}
	s.profiles.serve(w, r, key, view)
}

func (s *Server) run(name string) *Run {
	i := slices.IndexFunc(s.runs, func(r Run) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &s.runs[i]
}

// contentTypes are those of the files that a run has.
var contentTypes = []struct{ suffix, is string }{
	{".html", "text/html; charset=utf-8"}, {".json", "application/json"}, {".txt", "text/plain; charset=utf-8"}, {".gz", "application/gzip"}, {".parquet", "application/vnd.apache.parquet"},
}

func (s *Server) file(w http.ResponseWriter, r *http.Request, run *Run, name string) {
	i := slices.IndexFunc(contentTypes, func(c struct{ suffix, is string }) bool { return strings.HasSuffix(name, c.suffix) })
	if i < 0 {
		http.Error(w, "replay: there is no such file of a run", http.StatusNotFound)
		return
	}
	f, info, err := run.open(name)
	if err != nil {
		notThere(w, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", contentTypes[i].is)
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// notThere says why a file is not served, without where it would be.
func notThere(w http.ResponseWriter, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "replay: there is no such file", http.StatusNotFound)
		return
	}
	http.Error(w, "replay: the file is not served: it cannot be read, or is not of this folder", http.StatusForbidden)
}

// open opens a regular file of the run's folder.
func (r *Run) open(name string) (*os.File, fs.FileInfo, error) {
	if strings.ContainsAny(name, `/\`) || !fs.ValidPath(name) {
		return nil, nil, fs.ErrNotExist
	}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	info, err := root.Stat(name) // before it is opened: a pipe would block
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fs.ErrNotExist
	}
	f, err := root.Open(name)
	return f, info, err
}

// index shows all runs.
func (s *Server) index(w http.ResponseWriter) {
	var all []reports.IndexRun
	for i := range s.runs {
		all = append(all, s.runs[i].indexed())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	reports.Index(w, all) // an error is the connection's
}

func (r *Run) indexed() reports.IndexRun {
	entry := reports.IndexRun{Name: r.Name}
	f, _, err := r.open("report.json")
	if err == nil {
		defer f.Close()
		entry.Report, err = reports.ReadJSON(f, "report.json")
	}
	if err != nil {
		entry.Problem = err.Error()
		return entry
	}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		entry.Problem = err.Error()
		return entry
	}
	defer root.Close()
	names, _ := fs.Glob(root.FS(), "*") // no bad pattern
	for _, name := range names {
		if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
			entry.Files = append(entry.Files, name)
		}
	}
	return entry
}
