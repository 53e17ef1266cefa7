package reports

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
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
	for _, part := range []string{uplotJS, uplotCSS, pageJS, pageCSS} {
		page = strings.Replace(page, part, "", 1)
	}
	return page
}

func TestHTML(t *testing.T) {
	golden(t, "report.html.part", []byte(withoutLibraries(htmlOf(t, fixture()))))
	for _, res := range []*replay.Result{emptyResult(), wideResult(), {}} {
		if page := htmlOf(t, res); !strings.HasSuffix(page, "</html>\n") {
			t.Error("a page without an end")
		}
	}
	if dir := os.Getenv("REPLAY_PAGES"); dir != "" { // to look at
		for name, res := range map[string]*replay.Result{"fixture": fixture(), "empty": emptyResult(), "wide": wideResult()} {
			if err := os.WriteFile(dir+"/"+name+".html", []byte(htmlOf(t, res)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestHTMLIsOffline holds that the page refers to nothing outside itself.
func TestHTMLIsOffline(t *testing.T) {
	page := withoutLibraries(htmlOf(t, fixture()))
	if found := regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import|https?://`).FindString(page + pageJS + pageCSS + uplotCSS); found != "" {
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
