package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/replay/replay/reports/web"
)

// window is a tab of a browser, which notes what it must not do.
type window struct {
	ctx context.Context
	mu  sync.Mutex
	bad []string // requests to elsewhere, errors of scripts
	own string   // what addresses may begin with
}

// openWindow starts a browser; it skips the test where there is none.
func openWindow(t testing.TB, own string) *window {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium to look with")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("enable-unsafe-swiftshader", true)) // WebGL where there is no GPU
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	w := &window{ctx: ctx, own: own}
	w.do(t, ask(network.Enable, network.EnableParams{}), ask(log.Enable, cdp.Empty{}), ask(runtime.Enable, cdp.Empty{}))
	if err := chromedp.Listen(ctx, w.note); err != nil {
		t.Fatal(err)
	}
	return w
}

// ask is a command of the browser's protocol as a step.
func ask[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func (w *window) note(ev any) {
	bad := ""
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		if url := ev.Request.URL; !strings.HasPrefix(url, w.own) && !strings.HasPrefix(url, "data:") && url != "about:blank" {
			bad = "a request to " + url
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			bad = "log: " + ev.Entry.Text + " " + ev.Entry.URL
		}
	case *runtime.EventExceptionThrown:
		bad = fmt.Sprintf("exception: %+v", *ev.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			bad = fmt.Sprintf("console: %v", ev.Args)
		}
	}
	if bad != "" {
		w.mu.Lock()
		w.bad = append(w.bad, bad)
		w.mu.Unlock()
	}
}

// patience is how long a step may take: what is waited for may never come.
const patience = 30 * time.Second

func (w *window) do(t testing.TB, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for i, step := range steps {
		ctx := w.ctx
		if chromedp.FromContext(ctx).Target != nil { // else the first step's end would be the browser's
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			ctx = limited
		}
		if err := chromedp.Do(ctx, step); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

// eval is what a script comes to.
func eval[T any](t testing.TB, w *window, script string) T {
	t.Helper()
	value, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatalf("%v in %s", err, script)
	}
	return value
}

// check reports what the window must not have done.
func (w *window) check(t *testing.T, where string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, bad := range w.bad {
		t.Errorf("%s: %s", where, bad)
	}
	w.bad = nil
}

// shoot takes pictures of the whole page, wide and narrow, light and dark, where
// somebody wants to look at them.
func (w *window) shoot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("REPLAY_PICTURES")
	if dir == "" {
		return
	}
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			w.do(t,
				ask(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
				chromedp.EmulateViewport(width, 900),
				chromedp.Sleep(300*time.Millisecond), // it draws anew a moment after it got another width
			)
			png, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.do(t, ask(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}), chromedp.EmulateViewport(1280, 900))
}

// corpusRun replays a recording of the corpus, and serves the run.
func corpusRun(t testing.TB, names ...string) *web.Server {
	t.Helper()
	dir := t.TempDir()
	var dirs []string
	for _, name := range names {
		dirs = append(dirs, filepath.Join(dir, name+".run"))
		succeed(t, "run", "-q", "-o", dirs[len(dirs)-1], filepath.Join(testdata, "../../../traces/corpus", name+".parquet"))
	}
	runs, err := web.Runs(dirs)
	if err != nil {
		t.Fatal(err)
	}
	s, err := web.Listen("127.0.0.1:0", runs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return s
}

// The page of a real recording draws its charts, sorts, filters, opens what it cut and
// its stacks, and asks nobody else for anything.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	s := corpusRun(t, "javac")
	w := openWindow(t, s.URL())
	w.do(t, chromedp.Navigate(s.URL()+"javac.run/"), chromedp.WaitReady(chromedp.CSS(".uplot canvas")))
	blank := eval[[]string](t, w, `[...document.querySelectorAll(".chart")].filter(place => {
		const canvas = place.querySelector("canvas");
		if (!canvas) return true;
		return !canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(x => x);
	}).map(place => place.id)`)
	if charts := eval[int](t, w, `document.querySelectorAll(".chart").length`); charts < 3 || len(blank) > 0 {
		t.Errorf("%d charts, of which %q are blank", charts, blank)
	}
	w.shoot(t, "page")

	if more := eval[int](t, w, `(() => { const b = document.querySelector(".more button"); const t = b.closest("section").querySelector("table"); const shown = () => [...t.rows].filter(r => r.offsetParent).length; const n = shown(); b.click(); return shown() - n; })()`); more < 1 {
		t.Errorf("%d more rows", more)
	}

	const table = `[...document.querySelectorAll("section")].find(s => s.querySelector("h2")?.textContent === "Who is to blame, speculative")`
	column := func(n int) []string {
		return eval[[]string](t, w, fmt.Sprintf(`[...(%s).querySelectorAll("tbody > tr:not(.stack)")].filter(tr => tr.offsetParent).map(tr => tr.cells[%d].textContent)`, table, n))
	}
	before := column(3) // sections
	if len(before) < 5 || slices.IsSortedFunc(before, byNumber) {
		t.Fatalf("vacuous: sections are sorted: %q", before)
	}
	click := func(script string) { eval[bool](t, w, "("+script+").click(), true") }
	click(table + `.querySelectorAll("th button")[3]`)
	if down := column(3); !slices.IsSortedFunc(down, func(a, b string) int { return byNumber(b, a) }) || len(down) < len(before) {
		t.Errorf("sorted by sections: %q", down)
	}
	click(table + `.querySelectorAll("th button")[3]`)
	if up := column(3); !slices.IsSortedFunc(up, byNumber) {
		t.Errorf("sorted by sections the other way: %q", up)
	}
	if got := eval[string](t, w, table+`.querySelectorAll("th")[3].getAttribute("aria-sort")`); got != "ascending" {
		t.Errorf("aria-sort is %q", got)
	}
	const waiters = `[...document.querySelectorAll("section")].find(s => s.querySelector("h2")?.textContent === "Who waited for mmap_lock")`
	shown := func(n int) []string {
		return eval[[]string](t, w, fmt.Sprintf(`[...(%s).querySelectorAll("tbody > tr:not(.stack)")].filter(tr => tr.offsetParent).map(tr => tr.cells[%d].textContent)`, waiters, n))
	}
	filter := func(words string) {
		eval[bool](t, w, fmt.Sprintf(`(() => { const i = document.querySelector('input[aria-label="Filter Who waited for mmap_lock"]'); i.value = %q; return i.dispatchEvent(new Event("input")); })()`, words))
	}
	all := len(shown(0))
	filter("Compiler LOOKUP")
	if got := shown(2); len(got) == 0 || slices.ContainsFunc(got, func(access string) bool { return access != "lookup" }) {
		t.Errorf("filtered by lookup: %q", got)
	}
	filter("")
	if got := len(shown(0)); got < all {
		t.Errorf("%d rows after the filter, %d before", got, all)
	}
	if open := eval[bool](t, w, `(() => { const d = document.querySelector("details"); d.querySelector("summary").click(); return d.open && d.querySelector("li").offsetHeight > 0; })()`); !open {
		t.Error("a stack does not open")
	}
	for _, width := range []int64{1280, 390} { // nothing but what scrolls is wider than the window
		w.do(t, chromedp.EmulateViewport(width, 900), chromedp.Sleep(200*time.Millisecond))
		if wide := eval[int64](t, w, `document.documentElement.scrollWidth`); wide > width {
			t.Errorf("the page is %d wide in a window of %d", wide, width)
		}
	}
	w.check(t, "the page")
}

// byNumber compares what cells show by the number that they begin with.
func byNumber(a, b string) int {
	number := func(s string) int {
		n, _ := strconv.Atoi(strings.ReplaceAll(strings.Fields(s)[0], ",", ""))
		return n
	}
	return number(a) - number(b)
}

// The index, and pprof's flame graph, graph and top, work under the server.
func TestServedInBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	s := corpusRun(t, "churn-1x1", "nop5")
	w := openWindow(t, s.URL())
	w.do(t, chromedp.Navigate(s.URL()), chromedp.WaitReady(chromedp.CSS("table")))
	if n := eval[int](t, w, `document.querySelectorAll(".run").length`); n != 2 {
		t.Errorf("%d runs on the index", n)
	}
	w.shoot(t, "index")
	w.check(t, "the index")
	type view struct{ path, ready, count string }
	views := []view{
		{"flamegraph", ".boxtext", `[...document.querySelectorAll(".boxtext")].filter(e => e.textContent.includes("find_active_uprobe")).length`},
		{"top", "table tbody tr", `[...document.querySelectorAll("table tbody tr")].filter(e => e.textContent.includes("down_read")).length`},
		{"peek?f=down_read", "#content pre, .content pre, pre", `document.body.textContent.split("down_read").length - 1`},
	}
	if _, err := exec.LookPath("dot"); err == nil {
		views = append(views, view{"graph", "svg .node", `document.querySelectorAll("svg .node").length`})
	}
	for _, profile := range []string{"churn-1x1.run/speculative.pb.gz/", "nop5.run/speculative.pb.gz/vs/nop5.run/locked.pb.gz/"} {
		for _, v := range views {
			w.do(t, chromedp.Navigate(s.URL()+profile+v.path), chromedp.WaitReady(chromedp.CSS(v.ready)))
			if n := eval[int](t, w, v.count); n == 0 {
				t.Errorf("%s%s shows nothing", profile, v.path)
			}
			w.check(t, profile+v.path)
		}
	}
	w.do(t, chromedp.Navigate(s.URL()+"churn-1x1.run/recorded.blame.pb.gz/flamegraph?si=wait"), chromedp.WaitReady(chromedp.CSS(".boxtext")))
	w.shoot(t, "pprof")
	w.do(t, chromedp.Navigate(s.URL()+"churn-1x1.run/"), chromedp.WaitReady(chromedp.CSS(".files a")))
	if to := eval[string](t, w, `document.querySelector('.files a[href*="speculative.pb.gz"]').href`); to != s.URL()+"churn-1x1.run/speculative.pb.gz/" {
		t.Errorf("the page leads to %s", to)
	}
	w.check(t, "all of it")
}

// BenchmarkPage is how long the page of a real recording takes until its charts are drawn.
func BenchmarkPage(b *testing.B) {
	s := corpusRun(b, "javac")
	w := openWindow(b, s.URL())
	for b.Loop() {
		w.do(b, chromedp.Navigate(s.URL()+"javac.run/"), chromedp.WaitReady(chromedp.CSS(".uplot canvas")))
	}
}
