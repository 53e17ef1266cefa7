package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"github.com/urfave/cli/v2"
	"pgregory.net/rapid"

	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/tracetest"
)

// readEvents is every event of a trace.
func readEvents(t testing.TB, name string) ([]traces.Event, traces.Meta) {
	t.Helper()
	f, err := traces.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stream, err := f.Events(traces.AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	var events []traces.Event
	err = each(t.Context(), stream, func(ev *traces.Event) error {
		events = append(events, *ev)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, f.Meta()
}

func TestInfo(t *testing.T) {
	inFolder(t)
	var b strings.Builder
	for _, line := range []string{"info app.parquet", "info --json app.parquet", "info lossy.parquet"} {
		args := strings.Fields(line)
		b.WriteString(transcript(call(t, args...), args...))
	}
	tracetest.Golden(t, filepath.Join(testdata, "info.golden"), b.String())
}

// TestOneJSONDocument holds that --json prints one document of the right schema,
// with exactly the contract's keys at its top, and nothing else.
func TestOneJSONDocument(t *testing.T) {
	inFolder(t)
	const (
		info   = "schema events kinds probes processes duration_ns traps lost losses unknown warnings"
		report = "schema trace machine timing speed clone placement seed model_version answer recorded runs blame probes mms lines pairs cpus threads warnings unknown"
	)
	for _, test := range []struct{ line, keys string }{
		{"info --json app.parquet", info},
		{"ingest --json -o a.parquet app.parquet", info},
		{"slice --json -o b.parquet app.parquet", info},
		{"run --json -o a.run app.parquet", report},
		{"run --json -f -o a.run --max-loss 1% app.parquet", report},
		{"run --json --resolver ideal -o b.run -v app.parquet", report},
		{"bench --json --cpus 1,2", "schema machine rows"},
		{"whatif --json app.parquet", "schema trace machine cpus resolver base effects warnings"},
		{"sweep --json --cpus 2,3 -o s.sweep app.parquet", "schema model_version grid cells merged failed"},
		{"dump --json app.parquet", "schema meta events"},
		{"dump --json lossy.parquet", "schema meta events"},
		{"validate --json app.parquet", "schema using hits lookups events lost observed_fallbacks predicted_fallbacks expected_fallbacks " +
			"expected_fallbacks_80 tp fp fn precision recall f1 undecided_lookups unknown wait_ns arrival_error_ns"},
		{"prove --json range", "schema cases"},
		{"machines --json", "schema machines"},
		{"check --json --baseline base.json --update a.run", "schema limits entries"},
		{"check --json --baseline base.json a.run", "schema passed open compared findings figures captures"},
		{"diff --json a.run a.run", "schema headline trace model per base_unknown new_unknown changes rows blame only_in"},
		{"explain --json app.parquet", "schema trace at_ns recorded simulated unknown"},
		{"export --json --to csv -o c.csv a.run", "schema format output bytes"},
		{"capture --json --print --probe app:f -- true", "schema tool trace script"},
	} {
		line := test.line
		r := call(t, strings.Fields(line)...)
		if r.code != exitOK {
			t.Errorf("replay %s: exit %d: %s", line, r.code, r.stderr)
			continue
		}
		d := json.NewDecoder(strings.NewReader(r.stdout))
		var doc map[string]json.RawMessage
		if err := d.Decode(&doc); err != nil {
			t.Errorf("replay %s: %v", line, err)
			continue
		}
		if d.More() {
			t.Errorf("replay %s: more than one document", line)
		}
		want := strings.Fields(test.keys)
		for _, key := range want {
			if _, ok := doc[key]; !ok {
				t.Errorf("replay %s: no %q in the document", line, key)
			}
		}
		if len(doc) != len(want) {
			t.Errorf("replay %s: %d keys, want %d", line, len(doc), len(want))
		}
	}
}

func TestIngestMerges(t *testing.T) {
	inFolder(t)
	succeed(t, "ingest", "-q", "app.parquet", "lossy.parquet", "-o", "both.parquet")
	app, _ := readEvents(t, "app.parquet")
	lossy, _ := readEvents(t, "lossy.parquet")
	both, meta := readEvents(t, "both.parquet")
	if len(both) != len(app)+len(lossy) {
		t.Errorf("%d events of %d and %d", len(both), len(app), len(lossy))
	}
	if meta.Lost != 3 || len(meta.Sources) != 2 {
		t.Errorf("lost %d events in %d sources, want 3 and 2", meta.Lost, len(meta.Sources))
	}
}

func TestDefaultNames(t *testing.T) {
	for input, want := range map[string]string{
		"perf.data": "perf.parquet", "/x/app.perf.data": "app.perf.parquet", "a.txt": "a.parquet", "-": "stdin.parquet", "capture": "capture.parquet",
	} {
		if got := traceName(input); got != want {
			t.Errorf("ingest %s makes %s, want %s", input, got, want)
		}
	}
	inFolder(t)
	succeed(t, "run", "-q", "app.parquet")
	if _, err := os.Stat("app.parquet.run/report.json"); err != nil {
		t.Error(err)
	}
}

func TestMaxLoss(t *testing.T) {
	inFolder(t)
	for _, test := range []struct {
		limit string
		code  int
	}{ // 3 of 100 events are lost
		{"0", exitLossy}, {"2", exitLossy}, {"3", exitOK}, {"100", exitOK},
		{"2.9%", exitLossy}, {"3%", exitOK}, {"0.029", exitLossy}, {"0.03", exitOK}, {"0%", exitLossy}, {"0.0", exitLossy}, {"1.0", exitOK},
		{"", exitOK}, {"-1", exitUsage}, {"101%", exitUsage}, {"NaN", exitUsage}, {"1.5", exitUsage},
	} {
		if r := call(t, "info", "--max-loss="+test.limit, "lossy.parquet"); r.code != test.code {
			t.Errorf("--max-loss %q: exit %d, want %d: %s", test.limit, r.code, test.code, r.stderr)
		}
	}
	for _, args := range [][]string{
		{"ingest", "-o", "out.parquet", "--max-loss", "0", "lossy.parquet"},
		{"run", "-o", "out.run", "--max-loss", "0", "lossy.parquet"},
		{"slice", "-o", "part.parquet", "--max-loss", "0", "lossy.parquet"},
	} {
		if r := call(t, args...); r.code != exitLossy || !strings.Contains(r.stderr, "3 of 100 events were lost") {
			t.Errorf("replay %s: exit %d: %s", strings.Join(args, " "), r.code, r.stderr)
		}
		if r := call(t, args[0], "-f", args[1], args[2], "lossy.parquet"); r.code != exitOK {
			t.Errorf("replay %s without --max-loss: exit %d: %s", args[0], r.code, r.stderr)
		}
	}
}

// A recording with losses is no ground for a verdict on a figure that they could
// turn, unless the user accepts them.
func TestCheckLossy(t *testing.T) {
	inFolder(t)
	succeed(t, "run", "-o", "a.run", "app.parquet")
	succeed(t, "check", "--baseline", "base.json", "--update", "a.run")
	if err := os.MkdirAll("new", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("lossy.parquet", "new/app.parquet"); err != nil {
		t.Fatal(err)
	}
	succeed(t, "run", "-o", "b.run", "new/app.parquet")
	if r := call(t, "check", "--baseline", "base.json", "b.run"); r.code != exitLossy || !strings.Contains(r.stdout, "UNDECIDED") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := call(t, "check", "--baseline", "base.json", "--max-loss", "3", "b.run"); r.code == exitLossy || strings.Contains(r.stdout, "UNDECIDED") {
		t.Errorf("a loss that was accepted: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := call(t, "check", "--baseline", "base.json", "--max-loss", "2", "b.run"); r.code != exitLossy || !strings.Contains(r.stderr, "3 of 100") {
		t.Errorf("a loss beyond the limit: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestSlice(t *testing.T) {
	inFolder(t)
	whole, _ := readEvents(t, "app.parquet")
	count := func(events []traces.Event, keep func(*traces.Event) bool) (n int) {
		for i := range events {
			if keep(&events[i]) {
				n++
			}
		}
		return n
	}
	hits := func(ev *traces.Event) bool { return ev.Kind == traces.Hit }

	succeed(t, "slice", "--pid", "200", "-o", "pid.parquet", "app.parquet")
	if got, _ := readEvents(t, "pid.parquet"); len(got) != 1 || got[0].Comm != "other" {
		t.Errorf("--pid 200 keeps %d events, want the one hit", len(got))
	}
	succeed(t, "slice", "--probe", "probe_other:f", "-o", "probe.parquet", "app.parquet")
	got, _ := readEvents(t, "probe.parquet")
	if n, want := len(got), count(whole, func(ev *traces.Event) bool { return !hits(ev) || ev.Probe == "probe_other:f" }); n != want {
		t.Errorf("--probe keeps %d events, want %d", n, want)
	}
	succeed(t, "slice", "--time", "1ms,1.5ms", "-o", "time.parquet", "app.parquet")
	got, meta := readEvents(t, "time.parquet")
	within := func(ev *traces.Event) bool { return hits(ev) && ev.Time >= 2_000_000 && ev.Time <= 2_500_000 }
	if n, want := count(got, hits), count(whole, within); n != want || want == 0 {
		t.Errorf("--time keeps %d hits, want %d", n, want)
	}
	if count(got, func(ev *traces.Event) bool { return ev.Kind == traces.Map }) != 1 {
		t.Error("--time lost the mapping that the hits need")
	}
	if len(meta.Warnings) == 0 {
		t.Error("a cut does not warn that it is one")
	}
}

func TestAnonymise(t *testing.T) {
	inFolder(t)
	succeed(t, "slice", "--anonymise", "-o", "anonymous.parquet", "app.parquet")
	whole, _ := readEvents(t, "app.parquet")
	got, meta := readEvents(t, "anonymous.parquet")
	if len(got) != len(whole) {
		t.Fatalf("%d events of %d", len(got), len(whole))
	}
	names := map[string]string{}
	for i := range got {
		for _, pair := range [][2]string{{whole[i].Comm, got[i].Comm}, {whole[i].Path, got[i].Path}, {whole[i].Probe, got[i].Probe}} {
			if pair[0] == "" {
				continue
			}
			if old, ok := names[pair[0]]; ok && old != pair[1] || pair[0] == pair[1] {
				t.Fatalf("event %d: %q became %q, before it was %q", i, pair[0], pair[1], old)
			}
			names[pair[0]] = pair[1]
		}
	}
	if meta.Sources[0].Path == "app.data" {
		t.Error("the name of the source is left")
	}
	file, err := os.ReadFile("anonymous.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"worker", "/usr/bin/app", "probe_app", "app.data"} {
		if bytes.Contains(file, []byte(secret)) {
			t.Errorf("%q is left in the file", secret)
		}
	}
}

// TestCheck is the CI gate: the same run passes, another one does not.
func TestCheck(t *testing.T) {
	inFolder(t)
	succeed(t, "run", "-q", "-o", "base.run", "app.parquet")
	succeed(t, "run", "-q", "-o", "same.run", "app.parquet")
	succeed(t, "check", "-q", "--baseline", "base.json", "--update", "base.run")
	succeed(t, "check", "--baseline", "base.json", "same.run")
	succeed(t, "run", "-q", "-f", "-o", "four.run", "--clone", "4", "app.parquet")
	r := call(t, "check", "--baseline", "base.json", "four.run")
	if r.code != exitRegression || !strings.Contains(r.stdout, "hits") {
		t.Errorf("four clones against one: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := call(t, "check", "--json", "--baseline", "base.json", "four.run"); r.code != exitRegression || !json.Valid([]byte(r.stdout)) {
		t.Errorf("--json: exit %d\n%s", r.code, r.stdout)
	}
}

// Limits come from a file, which names probes, too, and the verdict goes to where CI
// systems look for it.
func TestCheckForCI(t *testing.T) {
	inFolder(t)
	succeed(t, "run", "-q", "-o", "base.run", "app.parquet")
	succeed(t, "run", "-q", "-o", "four.run", "--clone", "4", "app.parquet")
	if err := os.WriteFile("limits", []byte("# ours\nhits of probe probe_app:alloc = +0\nfallbacks = any\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	succeed(t, "check", "-q", "--baseline", "base.json", "--limits", "limits", "--update", "base.run")
	to := []string{"check", "--baseline", "base.json", "--limits", "limits", "--to", "junit=j.xml", "--to", "sarif=s.json", "--to", "markdown=m.md", "--to", "benchfmt=b.txt", "--to", "github=-"}
	if out := succeed(t, append(to, "base.run")...); out != "" {
		t.Errorf("annotations of nothing: %s", out)
	}
	r := call(t, append(to, "four.run")...)
	if r.code != exitRegression || !strings.HasPrefix(r.stdout, "::") || !strings.Contains(r.stdout, "::error file=limits,line=2,") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for name, want := range map[string]string{"j.xml": "<testsuites", "s.json": `"ruleId": "replay/limit-exceeded"`, "m.md": "## replay: FAILED", "b.txt": "Unit fallbacks assume=exact"} {
		if b, err := os.ReadFile(name); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %q: %v\n%s", name, want, err, b)
		}
	}
}

// Captures of one program are compared as samples, beside traces of themselves alone.
func TestCheckCaptures(t *testing.T) {
	inFolder(t)
	succeed(t, "run", "-q", "-o", "base.run", "app.parquet")
	succeed(t, "check", "-q", "--baseline", "base.json", "--update", "base.run")
	var base, now []string
	for i := range 8 {
		part := fmt.Sprintf("part-%d.parquet", i)
		succeed(t, "slice", "-q", "--time", fmt.Sprintf("%dus,2s", 1100+50*i), "-o", part, "app.parquet")
		succeed(t, "run", "-q", "-o", fmt.Sprintf("part-%d.run", i), part)
		if i%2 == 0 {
			base = append(base, fmt.Sprintf("part-%d.run", i))
		} else {
			now = append(now, fmt.Sprintf("part-%d.run", i))
		}
	}
	set := []string{"check", "-q", "--baseline", "base.json", "--as", "app"}
	succeed(t, append(append(set, "--update"), base...)...)
	if out := succeed(t, append(append(set, "--limit", "hits=+-50%"), base...)...); strings.Contains(out, "captures") {
		t.Errorf("the same traces are compared as samples:\n%s", out)
	}
	if r := call(t, append(append(set, "--limit", "hits=+-50%"), now...)...); !strings.Contains(r.stdout, "4 captures against 4 of the baseline") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	succeed(t, "check", "--baseline", "base.json", "base.run")
}

// Two traces are replayed and compared, as their runs are; the profiles in the folder
// are the difference.
func TestDiffOfTraces(t *testing.T) {
	inFolder(t)
	succeed(t, "slice", "-q", "--time", "1100us,2s", "-o", "late.parquet", "app.parquet")
	succeed(t, "run", "-q", "-o", "app.run", "app.parquet")
	succeed(t, "run", "-q", "-o", "late.run", "late.parquet")
	runs := succeed(t, "diff", "-q", "-o", "d.diff", "app.run", "late.run")
	if traces := succeed(t, "diff", "-q", "app.parquet", "late.parquet"); traces != runs {
		t.Errorf("of the runs:\n%s\nof the traces:\n%s", runs, traces)
	}
	if mixed := succeed(t, "diff", "-q", "app.run/report.json", "late.parquet"); mixed != runs {
		t.Errorf("of a run and a trace:\n%s", mixed)
	}
	// What became of the first, and the profile of the second less that of the first.
	var d struct {
		Changes []struct {
			Resolver, Metric string
			Base, New        float64
		}
	}
	succeed(t, "diff", "-q", "--per", "run", "-o", "e.diff", "app.run", "late.run")
	decode(t, string(contents(t, "e.diff/diff.json")), &d)
	if c := d.Changes[0]; c.Metric != "hits" || c.Base != 201 || c.New >= c.Base || c.New < 50 {
		t.Errorf("%+v; want hits from 201 to less", c)
	}
	p, err := profile.ParseData(contents(t, "e.diff/speculative.pb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	more := int64(0)
	for _, s := range p.Sample {
		more += s.Value[0]
	}
	if want := d.Changes[0].New - d.Changes[0].Base; float64(more) != want {
		t.Errorf("the profile has %d hits, want %v", more, want)
	}
	for _, name := range []string{"diff.json", "diff.txt", "locked.pb.gz", "locked.blame.pb.gz", "speculative.pb.gz", "speculative.blame.pb.gz"} {
		if b, err := os.ReadFile("d.diff/" + name); err != nil || len(b) < 20 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := call(t, "diff", "-o", "d.diff", "app.run", "late.run"); r.code != exitUsage || !strings.Contains(r.stderr, "exists already") {
		t.Errorf("an old difference is overwritten: exit %d\n%s", r.code, r.stderr)
	}
	if r := call(t, "diff", "-f", "-o", "app.run", "app.run", "late.run"); r.code != exitUsage || !strings.Contains(r.stderr, "no difference") {
		t.Errorf("a run is overwritten: exit %d\n%s", r.code, r.stderr)
	}
	if err := os.Remove("app.run/locked.pb.gz"); err != nil {
		t.Fatal(err)
	}
	if r := call(t, "diff", "-f", "-o", "d.diff", "app.run", "late.run"); r.code != exitUsage || !strings.Contains(r.stderr, "locked.pb.gz") {
		t.Errorf("a profile is missing: exit %d\n%s", r.code, r.stderr)
	}
}

// An injected regression fails the gate with a message that names probe and writer, and
// says that it was asked for; and without it the run passes.
func TestInjectedRegression(t *testing.T) {
	trace, err := filepath.Abs("../../traces/corpus/churn-1x1.parquet")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	succeed(t, "run", "-q", "-o", "base.run", trace)
	succeed(t, "check", "-q", "--baseline", "base.json", "--update", "base.run")
	succeed(t, "run", "-q", "-o", "same.run", trace)
	succeed(t, "check", "--baseline", "base.json", "same.run")
	succeed(t, "run", "-q", "-o", "worse.run", "--what-if", "munmap: repeat 2", trace)
	r := call(t, "check", "--baseline", "base.json", "worse.run")
	text := strings.Join(strings.Fields(r.stdout), " ")
	for _, want := range []string{
		"the model changed: what if nothing became munmap: repeat 2", "speculative: fallbacks rose from ",
		"most at probe probe_churn:probe_nop (fallbacks ", "from munmap by churn (fallbacks ",
	} {
		if r.code != exitRegression || !strings.Contains(text, want) {
			t.Errorf("exit %d, %q is not in\n%s%s", r.code, want, r.stdout, r.stderr)
		}
	}
	succeed(t, "run", "-q", "-o", "broken.run", "--fault", "even+compare", trace)
	r = call(t, "check", "--baseline", "base.json", "broken.run")
	if want := "the model changed: rules left out none became even+compare"; !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), want) {
		t.Errorf("%q is not in\n%s%s", want, r.stdout, r.stderr)
	}
	if r := call(t, "run", "-q", "-o", "x.run", "--what-if", "unmap: drop", trace); r.code != exitUsage || !strings.Contains(r.stderr, `"unmap" is no operation`) {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if out := succeed(t, "run", "-q", "-o", "x.run", "--what-if", "munmap by comm=nosuch: drop", trace); !strings.Contains(strings.Join(strings.Fields(out), " "), "nothing in the trace is a case of that") {
		t.Errorf("a rule that nothing matches goes unsaid:\n%s", out)
	}
}

// TestSameBytes runs everything twice, on one and on more processors.
func TestSameBytes(t *testing.T) {
	inFolder(t)
	outputs := func(procs int) map[string]string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		all := map[string]string{
			"stdout": succeed(t, "run", "-f", "-q", "-o", "x.run", "app.parquet"),
			"info":   succeed(t, "info", "app.parquet"),
		}
		succeed(t, "ingest", "-f", "-q", "-o", "x.parquet", "app.parquet")
		files, err := filepath.Glob("x.run/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append(files, "x.parquet") {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(b)
		}
		return all
	}
	first := outputs(1)
	if len(first) < 8 {
		t.Fatalf("only %d outputs", len(first))
	}
	second := outputs(2)
	for name, want := range first {
		if second[name] != want {
			t.Errorf("%s differs between one processor and two", name)
		}
	}
}

func TestHelp(t *testing.T) {
	inFolder(t)
	app := newApp(&env{})
	for _, c := range app.VisibleCommands() {
		for _, args := range [][]string{{c.Name, "--help"}, {"help", c.Name}, {c.Name, "-h"}} {
			out := succeed(t, args...)
			if !strings.Contains(out, "Example") {
				t.Errorf("replay %s shows no example", strings.Join(args, " "))
			}
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "   ") && !strings.HasPrefix(line, "   --") && len(line) > 100 {
					t.Errorf("replay %s: a line of %d columns: %s", strings.Join(args, " "), len(line), line)
				}
			}
		}
		if c.ArgsUsage == "" && c.Name != "bench" {
			t.Errorf("%s: help does not name its arguments", c.Name)
		}
	}
	if out := succeed(t, "--help"); !strings.Contains(out, "Exit codes") {
		t.Error("replay --help does not list the exit codes")
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh"} {
		if out := succeed(t, "completion", shell); !strings.Contains(out, completionFlag) {
			t.Errorf("the script for %s does not ask the program", shell)
		}
	}
}

// TestCommonFlags holds that a script may give them to every command, and that help
// shows those that change something.
func TestCommonFlags(t *testing.T) {
	inFolder(t)
	for _, line := range []string{"info app.parquet", "dump app.parquet", "machines", "completion bash", "validate app.parquet", "slice -o a.parquet app.parquet"} {
		succeed(t, append(strings.Fields(line), "--seed", "7", "-f", "-q", "-v", "--color", "never")...)
	}
	for _, test := range []struct {
		command     string
		force, seed bool
	}{{"run", true, true}, {"bench", false, true}, {"calibrate", true, true}, {"ingest", true, false}, {"info", false, false}, {"check", false, false}} {
		help := succeed(t, test.command, "--help")
		if strings.Contains(help, "--force") != test.force || strings.Contains(help, "--seed") != test.seed {
			t.Errorf("%s: the wrong common flags:\n%s", test.command, help)
		}
	}
}

// TestVerbose holds that -v tells more, on standard error alone, and -q wins.
func TestVerbose(t *testing.T) {
	inFolder(t)
	if err := os.WriteFile("app.txt", []byte(succeed(t, "dump", "app.parquet")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"run -f -o a.run app.txt", "validate app.txt", "ingest -f -o a.parquet app.txt", "info app.txt"} {
		args := strings.Fields(line)
		plain, verbose, quiet := call(t, args...), call(t, append(args, "-v")...), call(t, append(args, "-v", "-q")...)
		if len(verbose.stderr) <= len(plain.stderr) || verbose.stdout != plain.stdout {
			t.Errorf("%s: -v says\n%s%s\nand without it\n%s%s", line, verbose.stderr, verbose.stdout, plain.stderr, plain.stdout)
		}
		if quiet.stderr != "" || quiet.stdout != plain.stdout {
			t.Errorf("%s: -q says\n%s", line, quiet.stderr)
		}
	}
}

// TestFlagsAnywhere holds that the order of flags and other arguments does not
// matter to the command.
func TestFlagsAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.Permutation([][]string{
			{"-q"}, {"--force"}, {"--seed", "7"}, {"--seed=7"}, {"-o", "x.run"}, {"--cpus", "2"}, {"a"}, {"b"}, {"-"},
		}).Draw(t, "parts")
		args := []string{"run"}
		var rest []string
		for _, p := range parts {
			args = append(args, p...)
			if p[0] == "-" || !strings.HasPrefix(p[0], "-") {
				rest = append(rest, p[0])
			}
		}
		if rapid.Bool().Draw(t, "tail") {
			args = append(args, "--", "--force", "--")
			rest = append(rest, "--force", "--")
		}
		if rapid.Bool().Draw(t, "leading") {
			args = append([]string{"--seed", "9", "-v"}, args...)
		}
		seen := parse(t, args)
		if !slices.Equal(seen.Args().Slice(), rest) {
			t.Fatalf("%v: arguments %v, want %v", args, seen.Args().Slice(), rest)
		}
		if !seen.Bool("quiet") || !seen.Bool("force") || seen.Uint64("seed") != 7 || seen.String("output") != "x.run" || seen.String("cpus") != "2" {
			t.Fatalf("%v: a flag is lost", args)
		}
	})
}

// parse returns what the command run would see.
func parse(t *rapid.T, args []string) (seen *cli.Context) {
	app := newApp(&env{})
	for _, c := range app.Commands {
		if c.Name == "run" {
			c.Action = func(c *cli.Context) error {
				seen = c
				return nil
			}
		}
	}
	if err := app.Run(append([]string{"replay"}, permute(app.Commands, args)...)); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	if seen == nil {
		t.Fatalf("%v: the command did not run", args)
	}
	return seen
}

// full is a disk without space: every write to it fails.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestOutputErrors(t *testing.T) {
	inFolder(t)
	for _, line := range []string{"info app.parquet", "info --json app.parquet", "run -o x.run app.parquet", "run -f --json -o x.run app.parquet", "bench --cpus 1", "bench --json --cpus 1", "completion bash"} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(line), strings.NewReader(""), full{}, &stderr); code != exitUsage || !strings.Contains(stderr.String(), errFull.Error()) {
			t.Errorf("replay %s on a full disk: exit %d: %s", line, code, stderr.String())
		}
	}
}

// TestDumpParsesBack goes to text and back, by a file and by standard input.
func TestDumpParsesBack(t *testing.T) {
	inFolder(t)
	text := succeed(t, "dump", "lossy.parquet")
	if err := os.WriteFile("lossy.txt", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	succeed(t, "ingest", "-q", "-o", "file.parquet", "lossy.txt")
	if r := callWith(t.Context(), t, text, "ingest", "-q", "-o", "stdin.parquet", "-"); r.code != exitOK {
		t.Fatalf("ingest -: exit %d: %s", r.code, r.stderr)
	}
	if r := callWith(t.Context(), t, text, "ingest", "-q", "-o", "-", "-"); r.code != exitUsage || !strings.Contains(r.stderr, "not written to standard output") || r.stdout != "" {
		t.Errorf("ingest -o -: exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	want, meta := readEvents(t, "lossy.parquet")
	for _, name := range []string{"file.parquet", "stdin.parquet"} {
		got, back := readEvents(t, name)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-dumped +back):\n%s", name, d)
		}
		if back.Lost != meta.Lost || back.Clock != meta.Clock || back.CPUs != meta.CPUs || back.Kernel != meta.Kernel || !slices.Equal(back.Warnings, meta.Warnings) {
			t.Errorf("%s: metadata %+v, want %+v", name, back, meta)
		}
	}
	if direct := succeed(t, "dump", "lossy.txt"); direct != succeed(t, "dump", "file.parquet") {
		t.Error("dump of a text is not the dump of the trace made from it")
	}
}
