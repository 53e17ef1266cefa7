package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// viewer is a trace viewer that is no part of this program, at a version that is known.
const viewer = "speedscope@1.25.0"

// A viewer that others wrote reads a timeline, and has as many tracks as it has threads.
func TestTimelineInSpeedscope(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	dir := fetchViewer(t)
	timeline := succeed(t, "export", "--to", "perfetto", corpusRunDir(t, "churn-1x1"))
	var doc struct {
		TraceEvents []struct {
			Phase    string `json:"ph"`
			PID, TID int64
		}
	}
	if err := json.Unmarshal([]byte(timeline), &doc); err != nil {
		t.Fatal(err)
	}
	tracks := map[[2]int64]bool{}
	for _, e := range doc.TraceEvents {
		if e.Phase == "X" {
			tracks[[2]int64{e.PID, e.TID}] = true
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/timeline.json", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, timeline) })
	server := httptest.NewServer(mux)
	defer server.Close()

	w := openWindow(t, server.URL)
	w.do(t, chromedp.Navigate(server.URL+"/index.html#profileURL="+server.URL+"/timeline.json"), chromedp.WaitReady(chromedp.CSS("canvas")))
	// Its head names the track that is shown, and how many there are.
	want := fmt.Sprintf("/%d)", len(tracks))
	head := ""
	for range 50 {
		if head = eval[string](t, w, `document.body.innerText`); strings.Contains(head, want) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(tracks) < 10 || !strings.Contains(head, want) {
		t.Errorf("of %d tracks the viewer shows %q", len(tracks), head)
	}
	for _, bad := range w.bad {
		if strings.HasPrefix(bad, "exception") || strings.HasPrefix(bad, "a request") {
			t.Error(bad)
		}
	}
}

// corpusRunDir replays a recording of the corpus.
func corpusRunDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name+".run")
	succeed(t, "run", "-q", "-o", dir, filepath.Join(testdata, "../../../traces/corpus", name+".parquet"))
	return dir
}

// fetchViewer has npm fetch the viewer, and unpacks it; without npm or its registry the test
// is skipped.
func fetchViewer(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("no npm to get a viewer with")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pack := exec.CommandContext(ctx, npm, "pack", "--silent", viewer)
	pack.Dir = dir
	name, err := pack.Output()
	if err != nil {
		t.Skipf("npm pack %s: %v", viewer, err)
	}
	f, err := os.Open(filepath.Join(dir, strings.TrimSpace(string(name))))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	const release = "package/dist/release/"
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		file, ok := strings.CutPrefix(h.Name, release)
		if !ok || h.Typeflag != tar.TypeReg || strings.Contains(file, "/") {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
