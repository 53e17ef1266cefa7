package web

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/sim"
)

// result is a replay of a hundred hits of which some waited behind a munmap.
func result(trace string, fallbacks int64) *replay.Result {
	res := &replay.Result{Trace: replay.TraceSummary{Path: trace, Hits: 100, Events: 300, Threads: 2, Mms: 1}, Options: replay.DefaultOptions()}
	for _, resolver := range []string{"locked", "speculative"} {
		r := replay.Run{Resolver: resolver, Hits: 100, Lookups: 100, Makespan: sim.Millisecond}
		r.Outcomes[sim.WriterActive], r.Outcomes[sim.Lockless] = fallbacks, 100-fallbacks
		parts := sim.Parts{Lookup: 5 * sim.Microsecond, LockWait: sim.Microsecond}
		r.Samples = []replay.Sample{
			{Stack: []string{"malloc+0x0 (/usr/lib/libc.so.6)", "main+0x12 (/bin/app)"}, Probe: "libc:malloc", Comm: "app", PID: 7, TID: 7, Outcome: sim.Lockless, Hits: 100 - fallbacks, Parts: parts},
			{Stack: []string{"malloc+0x0 (/usr/lib/libc.so.6)", "work+0x3 (/bin/app)"}, Probe: "libc:malloc", Comm: "app", PID: 7, TID: 8, Outcome: sim.WriterActive, Hits: fallbacks, Parts: parts},
		}
		r.Blame = []replay.Blame{{Comm: "app", PID: 7, TID: 8, Kind: "munmap", Sections: 3, Fallbacks: fallbacks, Wait: sim.Microsecond, Hold: sim.Microsecond}}
		res.Runs = append(res.Runs, r)
	}
	return res
}

// serve serves two runs until the test ends.
func serve(t *testing.T) (*Server, string) {
	t.Helper()
	dir := t.TempDir()
	var dirs []string
	for i, name := range []string{"before.run", "after.run"} {
		dirs = append(dirs, filepath.Join(dir, name))
		if err := reports.WriteDir(dirs[i], result(name, int64(20-10*i)), false); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := Runs(dirs)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen(":0", runs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

// get asks for a path, with headers NAME, VALUE...
func get(t *testing.T, s *Server, path string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServes(t *testing.T) {
	s, dir := serve(t)
	secret := filepath.Join(dir, "secret.json")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"out.json": secret, "up.json": "../secret.json", "in.json": "report.json"} {
		if err := os.Symlink(to, filepath.Join(dir, "before.run", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "before.run", "pipe.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "before.run", "folder.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "before.run", "bad.pb.gz"), []byte("no profile"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		code int
		want string
	}{
		{"", 200, "before.run"},
		{"", 200, `href="after.run/speculative.pb.gz/vs/before.run/speculative.pb.gz/"`},
		{"", 200, `href="before.run/speculative.blame.pb.gz/vs/before.run/locked.blame.pb.gz/"`},
		{"before.run", 307, ""},
		{"before.run/", 200, "<title>before.run"},
		{"before.run/report.json", 200, "replay.report/1"},
		{"before.run/report.txt", 200, "100 hits"},
		{"before.run/in.json", 200, "replay.report/1"},
		{"before.run/speculative.pb.gz", 200, ""},
		{"before.run/speculative.pb.gz/", 301, ""},
		{"before.run/speculative.pb.gz/flamegraph", 200, "libc:malloc"},
		{"before.run/speculative.pb.gz/top?si=hits", 200, "malloc"},
		{"before.run/speculative.pb.gz/peek?f=malloc", 200, "main"},
		{"before.run/speculative.blame.pb.gz/top", 200, "munmap"},
		{"before.run/speculative.pb.gz/vs/after.run/speculative.pb.gz/top?si=fallbacks", 200, "malloc"},
		{"before.run/speculative.pb.gz/download", 200, ""},

		{"before.run/speculative.pb.gz/source?f=malloc", 404, "left out"},
		{"before.run/speculative.pb.gz/disasm?f=malloc", 404, "left out"},
		{"before.run/speculative.pb.gz/vs/nowhere.run/speculative.pb.gz/top", 404, "no such file"},
		{"before.run/speculative.pb.gz/vs/after.run/report.json/top", 404, "no such file"},
		{"before.run/report.json/top", 404, "no such profile"},
		{"before.run/missing.pb.gz/top", 404, "no such file"},
		{"before.run/bad.pb.gz/top", 422, "pprof cannot show bad.pb.gz"},
		{"before.run/missing.json", 404, "no such file"},
		{"before.run/out.json", 403, "not served"},
		{"before.run/up.json", 403, "not served"},
		{"before.run/pipe.json", 404, "no such file"},
		{"before.run/folder.json", 404, "no such file"},
		{"before.run/%2e%2e%2fsecret.json", 404, ""},
		{"before.run/..%2fsecret.json", 404, ""},
		{"before.run//etc/passwd", 404, ""},
		{"secret.json", 404, "no such run"},
		{"..%2f..%2fetc/passwd", 404, "no such run"},
	} {
		code, body := get(t, s, test.path)
		if code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d, want %d with %q:\n%.300s", test.path, code, test.code, test.want, body)
		}
		if strings.Contains(body, "secret\n") || body == "secret" {
			t.Errorf("%s: what is outside of the run", test.path)
		}
	}
}

// Pages of other origins, and names that were bound to this address, get no answer.
func TestForeign(t *testing.T) {
	s, _ := serve(t)
	own := strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/")
	_, port, _ := strings.Cut(own, ":")
	const save = "before.run/speculative.pb.gz/saveconfig?config=x"
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, test := range []struct {
		path    string
		headers []string
		code    int
	}{
		{"", nil, 200},
		{"", []string{"Host", "localhost:" + port}, 200},
		{"", []string{"Host", "[::1]:" + port}, 200},
		{"", []string{"Origin", "http://" + own}, 200},
		{"", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200},
		{"", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},

		{"", []string{"Host", "evil.example:" + port}, 403},
		{"", []string{"Host", "127.0.0.1.evil.example:" + port}, 403},
		{"", []string{"Host", "192.168.1.1:" + port}, 403},
		{"", []string{"Host", "127.0.0.1:1"}, 403},
		{"", []string{"Host", "127.0.0.1"}, 403},
		{"", []string{"Host", "localhost"}, 403},
		{"", []string{"Origin", "http://evil.example"}, 403},
		{"", []string{"Origin", "null"}, 403},
		{"", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		{"", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403},
		{"", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		{save, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		{save, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, 200},
	} {
		if code, body := get(t, s, test.path, test.headers...); code != test.code {
			t.Errorf("%q %q: %d, want %d: %.100s", test.path, test.headers, code, test.code, body)
		}
	}
	resp, err := http.Post(s.URL(), "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %s", resp.Status)
	}
}

// A server that others may reach answers to addresses, and to the name it was given.
func TestOwnHost(t *testing.T) {
	s, err := Listen("0.0.0.0:0", nil)
	if err != nil {
		t.Skip(err)
	}
	defer s.listener.Close()
	s.host = "build.example"
	_, port, _ := strings.Cut(s.listener.Addr().String(), "]:")
	if port == "" {
		_, port, _ = strings.Cut(s.listener.Addr().String(), ":")
	}
	for host, want := range map[string]bool{"build.example": true, "BUILD.example": true, "10.0.0.7": true, "localhost": true, "evil.example": false, "": false} {
		if got := s.ownHost(host + ":" + port); got != want {
			t.Errorf("%s: %t", host, got)
		}
	}
	if s.Local() {
		t.Error("all addresses are local")
	}
}

// A run that is made anew shows, in its profiles as well.
func TestRunAnew(t *testing.T) {
	s, dir := serve(t)
	const top = "before.run/speculative.pb.gz/top?si=fallbacks"
	_, before := get(t, s, top)
	if _, again := get(t, s, top); again != before {
		t.Error("the same profile twice, and two answers")
	}
	if err := reports.WriteDir(filepath.Join(dir, "before.run"), result("anew", 77), true); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Minute) // clocks of file systems are coarse
	if err := os.Chtimes(filepath.Join(dir, "before.run", "speculative.pb.gz"), later, later); err != nil {
		t.Fatal(err)
	}
	if _, body := get(t, s, top); body == before || !strings.Contains(body, "77") {
		t.Errorf("the old profile:\n%.500s", body)
	}
	if _, body := get(t, s, "before.run/"); !strings.Contains(body, "<title>anew") {
		t.Error("the old page")
	}
	if err := os.WriteFile(filepath.Join(dir, "before.run", "report.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, s, ""); code != 200 || !strings.Contains(body, "not a replay.report/1 document") {
		t.Errorf("a report that cannot be read: %d\n%.500s", code, body)
	}
}

func TestRuns(t *testing.T) {
	dir := t.TempDir()
	if _, err := Runs([]string{dir}); err == nil || !strings.Contains(err.Error(), "holds no run") {
		t.Errorf("an empty folder: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Runs([]string{file}); err == nil || !strings.Contains(err.Error(), "holds no run") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Runs([]string{filepath.Join(dir, "none")}); err == nil || !strings.Contains(err.Error(), "no such folder") {
		t.Errorf("nothing: %v", err)
	}
	for _, name := range []string{"a/app.run", "b/app.run"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "report.json"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := Runs([]string{filepath.Join(dir, "a/app.run"), filepath.Join(dir, "b/app.run")})
	if err != nil || runs[0].Name != "app.run" || runs[1].Name != "app.run-2" {
		t.Errorf("%+v, %v", runs, err)
	}
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:x", ":70000", ":-1"} {
		if err := CheckAddr(addr); err == nil {
			t.Errorf("address %s is taken", addr)
		}
	}
}
