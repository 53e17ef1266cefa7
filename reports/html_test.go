package reports

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

func htmlOf(t *testing.T, res *replay.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, res); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// withoutLibraries is the page less what does not depend on the Result.
func withoutLibraries(page string) string {
	for _, part := range []string{uplotJS, uplotCSS, chartsJS, pageJS, tableJS, pageCSS} {
		page = strings.Replace(page, part, "", 1)
	}
	return page
}

func TestHTML(t *testing.T) {
	tracetest.Golden(t, "report.html.part", withoutLibraries(htmlOf(t, fixture())))
	for _, res := range []*replay.Result{emptyResult(), wideResult(), {}} {
		if page := htmlOf(t, res); !strings.HasSuffix(page, "</html>\n") {
			t.Error("a page without an end")
		}
	}
	if dir := os.Getenv("REPLAY_PAGES"); dir != "" { // to look at
		for name, res := range map[string]*replay.Result{"fixture": fixture(), "empty": emptyResult(), "wide": wideResult(), "untold": untoldResult()} {
			if err := os.WriteFile(dir+"/"+name+".html", []byte(htmlOf(t, res)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestHTMLDraws opens pages in a browser: each chart is drawn, no script fails.
func TestHTMLDraws(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium to draw the page")
	}
	quiet := fixture() // no hit of its speculative runs fell back
	for i := range quiet.Runs {
		if r := &quiet.Runs[i]; speculates(r) {
			r.Outcomes = [sim.NumOutcomes]int64{sim.Lockless: r.Hits}
		}
	}
	for name, res := range map[string]*replay.Result{"fixture": fixture(), "no fallback": quiet} {
		t.Run(name, func(t *testing.T) {
			page := filepath.Join(t.TempDir(), "page.html")
			if err := os.WriteFile(page, []byte(htmlOf(t, res)), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+page)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			dom, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			if failure := regexp.MustCompile(`CONSOLE.*`).FindString(stderr.String()); failure != "" {
				t.Error(failure)
			}
			if got, want := strings.Count(string(dom), `class="uplot`), len(charts(res)); got != want {
				t.Errorf("%d of %d charts are drawn", got, want)
			}
		})
	}
}

// TestHTMLIsOffline holds that the page refers to nothing outside itself.
func TestHTMLIsOffline(t *testing.T) {
	page := withoutLibraries(htmlOf(t, fixture()))
	if found := regexp.MustCompile(`(?i)src\s*=|href="[^"]*[/:]|url\(|@import|https?://`).FindString(strings.ReplaceAll(page, `href="data:,"`, "") + chartsJS + pageJS + tableJS + pageCSS + uplotCSS); found != "" {
		t.Errorf("the page refers elsewhere: %s", found)
	}
	for _, policy := range []string{"default-src 'none'", "script-src 'unsafe-inline'"} {
		if !strings.Contains(page, policy) {
			t.Errorf("no %s", policy)
		}
	}
}

// TestHTMLEscapes holds that names out of a trace stay text.
func TestHTMLEscapes(t *testing.T) {
	evil := `</script><script>alert("x")</script>`
	res := fixture()
	res.Trace.Path, res.Machine.Name, res.Warnings = evil, evil, []string{evil}
	for i := range res.Runs {
		r := &res.Runs[i]
		r.Resolver, r.Blame[0].Comm, r.Blame[0].Stack, r.Probes[0].Probe, r.Mms[0].Comm = evil, evil, []string{evil}, evil, evil
	}
	if page := withoutLibraries(htmlOf(t, res)); strings.Contains(page, "<script>alert") {
		t.Error("a name became a script")
	}
}
