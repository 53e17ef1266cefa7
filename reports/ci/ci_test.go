package ci

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"go.yaml.in/yaml/v3"
	"golang.org/x/perf/benchfmt"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces/tracetest"
)

// report is that of one trace through one resolver, where hits fall back and wait.
func report(trace string, fallbacks int64) *reports.Document {
	hits, lockless := int64(1000), 1000-fallbacks
	wait := reports.Nanos(fallbacks * 1_000_000)
	dist := func(n reports.Nanos) *reports.Dist {
		return &reports.Dist{Total: n, Mean: &n, P50: &n, P90: &n, P99: &n, Max: &n}
	}
	reasons := &reports.Reasons{WriterActive: fallbacks}
	rate, lost := 1e6, int64(0)
	unknown, sha := []replay.Unknown{}, fmt.Sprintf("%064x", trace[0])
	return &reports.Document{
		Schema: reports.Schema, Speed: 1, Clone: 1, Machine: reports.Machine{Name: "generic", CPUs: 2, Sockets: 1, SMT: 1},
		Trace: reports.Trace{Path: "traces/" + trace, SHA256: &sha, Hits: &hits, Lost: &lost, Events: 2000},
		Runs: []reports.Run{{
			Resolver: "speculative", Digest: fmt.Sprintf("%016x", fallbacks), Hits: &hits, Lookups: &hits, Lockless: &lockless, Fallbacks: &fallbacks, Reasons: reasons,
			ResolveNs: dist(wait), LockWaitNs: dist(wait), WriterWaitNs: dist(0), WastedNs: new(reports.Nanos), LineTransfers: &hits, MakespanNs: new(reports.Nanos(1e12)), HitsPerS: &rate,
			PartsNs: &reports.Parts{LockWait: wait}, Undecided: &lost, FallbacksLow: &fallbacks, FallbacksHigh: &fallbacks,
		}},
		Probes:  []reports.Probe{{Resolver: "speculative", Probe: "libc:malloc", Hits: &hits, Lockless: &lockless, Fallbacks: &fallbacks, Reasons: reasons, ResolveNs: &wait, WaitNs: &wait, WastedNs: new(reports.Nanos)}},
		Blame:   &[]reports.Blame{{Resolver: "speculative", Comm: "a|b<i>]]>\x1b", Kind: "munmap", Fallbacks: fallbacks, WaitNs: wait}},
		Unknown: &unknown,
	}
}

// verdicts are what each kind of finding is in, and none.
func verdicts(t *testing.T) map[string]*reports.Verdict {
	t.Helper()
	limits, err := reports.ReadLimits(strings.NewReader("fallbacks = +5%\nfallbacks of probe libc:malloc = +0 # as it is\nhits_per_s >= 5\nmakespan_ns <= 1e3\n"), "ci/our limits")
	if err == nil {
		t.Fatal("1e3 is no number here")
	}
	limits, err = reports.ReadLimits(strings.NewReader("fallbacks = +5%\nfallbacks of probe libc:malloc = +0 # as it is\nhits_per_s >= 5\nreasons.writer_active = +0"), "ci/our limits")
	if err != nil {
		t.Fatal(err)
	}
	check := func(o reports.CheckOptions, base, now []*reports.Document) *reports.Verdict {
		t.Helper()
		b := &reports.Baseline{Schema: reports.BaselineSchema, Limits: []string{"lock_wait_ns.total=+0"}}
		if err := b.Replace(o.Set, base, limits); err != nil {
			t.Fatal(err)
		}
		o.Limits = limits
		v, err := reports.Check(b, now, o)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	list := func(docs ...*reports.Document) []*reports.Document { return docs }
	seed, other := report("a.parquet", 10), report("a.parquet", 8)
	seed.Seed = 7
	other.Trace.SHA256 = new(strings.Repeat("1", 64))
	set := func(from, n, step int64) []*reports.Document {
		var docs []*reports.Document
		for i := range n {
			d := report(fmt.Sprintf("c-%d.parquet", i), from+i*step)
			d.Trace.SHA256 = new(fmt.Sprintf("%064d", from+i))
			docs = append(docs, d)
		}
		return docs
	}
	return map[string]*reports.Verdict{
		"passed":  check(reports.CheckOptions{}, list(report("a.parquet", 10)), list(report("a.parquet", 10))),
		"failed":  check(reports.CheckOptions{}, list(report("a.parquet", 10), report("b.parquet", 3)), list(report("a.parquet", 20), report("c%,: d.parquet", 3))),
		"model":   check(reports.CheckOptions{}, list(report("a.parquet", 10)), list(seed)),
		"better":  check(reports.CheckOptions{}, list(report("a.parquet", 10)), list(other)),
		"nothing": check(reports.CheckOptions{}, nil, nil),
		"set":     check(reports.CheckOptions{Set: "app"}, set(10, 8, 1), set(60, 8, 1)),
		"few":     check(reports.CheckOptions{Set: "app"}, set(10, 2, 1), set(60, 2, 1)),
	}
}

// reporter is what of testing.T the validators use.
type reporter interface {
	Log(...any)
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

var validators = map[string]func(reporter, *reports.Verdict, []byte){
	"junit": validJUnit, "sarif": validSARIF, "github": validAnnotations, "markdown": validMarkdown, "benchfmt": validBenchfmt,
}

// faults counts what a validator reports. The first fatal one ends it.
type faults int

func (*faults) Log(...any)              {}
func (f *faults) Error(...any)          { *f++ }
func (f *faults) Errorf(string, ...any) { *f++ }
func (f *faults) Fatal(...any)          { *f++; panic(f) }
func (f *faults) Fatalf(string, ...any) { *f++; panic(f) }

// The validators see outputs that are broken.
func TestBroken(t *testing.T) {
	v := verdicts(t)["failed"]
	for _, c := range []struct{ format, was, is string }{
		{"junit", "<testcase ", "<testcases "},
		{"junit", `<testsuites `, `<testsuites colour="red" `},
		{"junit", "<failure ", "<failing "},
		{"sarif", `"version": "2.1.0"`, `"version": "2.1"`},
		{"sarif", `"level": "error"`, `"level": "fatal"`},
		{"sarif", `"ruleIndex": 0`, `"ruleIndex": 1`},
		{"sarif", `"startLine": 1`, `"startLine": "1"`},
		{"github", "::error ", ":: error "},
		{"github", ",line=1", ",line=one"},
		{"markdown", "|---|", "|--|-|"},
		{"markdown", "| speculative |", "| specu | lative |"},
		{"markdown", "- **", "**"},
		{"benchfmt", "assume=exact", "assume=noisy"},
		{"benchfmt", " 20 fallbacks", " 21 fallbacks"},
		{"benchfmt", "Benchmark", "benchmark"},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.format, v, []*reports.Document{report("a.parquet", 20)}, "ci/replay.json"); err != nil {
			t.Fatal(err)
		}
		broken := strings.Replace(b.String(), c.was, c.is, 1)
		if broken == b.String() {
			t.Errorf("vacuous: %s has no %q", c.format, c.was)
			continue
		}
		if _, err := exec.LookPath("xmllint"); err != nil && c.format == "junit" {
			continue
		}
		var found faults
		func() {
			defer func() {
				if r := recover(); r != nil && r != any(&found) {
					panic(r)
				}
			}()
			validators[c.format](&found, v, []byte(broken))
		}()
		if found == 0 {
			t.Errorf("%s: %q in place of %q goes unseen", c.format, c.is, c.was)
		}
	}
}

// Each format of each verdict is as its schema or its reader wants it.
func TestFormats(t *testing.T) {
	for name, v := range verdicts(t) {
		for _, format := range Formats() {
			t.Run(name+"/"+format, func(t *testing.T) {
				write := func() []byte {
					var b bytes.Buffer
					if err := Write(&b, format, v, []*reports.Document{report("a.parquet", 20)}, "ci/replay.json"); err != nil {
						t.Fatal(err)
					}
					return b.Bytes()
				}
				out := write()
				if !bytes.Equal(out, write()) {
					t.Error("two writes differ")
				}
				validators[format](t, v, out)
				if name == "failed" || name == "set" {
					tracetest.Golden(t, name+"."+format, string(out))
				}
			})
		}
	}
	if err := Write(io.Discard, "html", &reports.Verdict{}, nil, ""); err == nil {
		t.Error("an unknown format was written")
	}
}

// count is how many findings of a level a verdict has.
func count(v *reports.Verdict, l reports.Level) int {
	n := 0
	for _, f := range v.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// validJUnit holds the report against the schema of Jenkins.
func validJUnit(t reporter, v *reports.Verdict, out []byte) {
	if path, err := exec.LookPath("xmllint"); err != nil {
		t.Log("no xmllint (Debian: libxml2-utils): not held against its schema")
	} else {
		cmd := exec.Command(path, "--nonet", "--noout", "--schema", "testdata/junit.xsd", "-")
		cmd.Stdin = bytes.NewReader(out)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, said, out)
		}
	}
	for tag, want := range map[string]int{"failure": count(v, reports.Fail), "error": count(v, reports.Open)} {
		if got := bytes.Count(out, []byte("<"+tag+" ")); got != want {
			t.Errorf("%d of <%s>, want %d\n%s", got, tag, want, out)
		}
	}
	for i := range v.Findings { // what is of no figure is said beside the cases
		f := &v.Findings[i]
		if f.Level == reports.Note && f.Metric == "" && !bytes.Contains(out, []byte(f.Message)) {
			t.Errorf("does not say %q\n%s", f.Message, out)
		}
	}
	if cases := bytes.Count(out, []byte("<testcase ")); cases < v.Compared {
		t.Errorf("%d test cases of %d figures", cases, v.Compared)
	}
}

// validSARIF holds the log against the schema of version 2.1.0, which the library has.
func validSARIF(t reporter, v *reports.Verdict, out []byte) {
	log, err := sarif.FromBytes(out, sarif.WithStrictValidation())
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Validate(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	results := log.Runs[0].Results
	if len(results) != len(v.Findings) {
		t.Fatalf("%d results of %d findings", len(results), len(v.Findings))
	}
	seen := map[string]bool{}
	for _, r := range results {
		if log.Runs[0].GetRuleIndex(*r.RuleID) != r.RuleIndex {
			t.Errorf("rule %s is at %d, not %d", *r.RuleID, log.Runs[0].GetRuleIndex(*r.RuleID), r.RuleIndex)
		}
		print := r.PartialFingerprints["replayFigure/v1"]
		if seen[print] {
			t.Errorf("two findings share a fingerprint: %s", *r.Message.Text)
		}
		seen[print] = true
	}
}

// validAnnotations reads workflow commands as the runner does (ActionCommand.TryParseV2
// in actions/runner).
func validAnnotations(t reporter, v *reports.Verdict, out []byte) {
	command := regexp.MustCompile(`^::(error|warning|notice) file=([^,:\r\n]+),line=(\d+),title=([^,:\r\n]+)::([^\r\n]+)$`)
	unescape := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(v.Findings) == 0 {
		lines = nil
	}
	if len(lines) != len(v.Findings) {
		t.Fatalf("%d commands of %d findings", len(lines), len(v.Findings))
	}
	for i, line := range lines {
		m := command.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no command: %s", line)
			continue
		}
		if got := unescape.Replace(m[5]); got != v.Findings[i].Message {
			t.Errorf("the message reads %q, want %q", got, v.Findings[i].Message)
		}
		if !strings.Contains(unescape.Replace(m[4]), v.Findings[i].Trace) {
			t.Errorf("the title %q does not name %q", m[4], v.Findings[i].Trace)
		}
	}
}

// validMarkdown reads the page as GitHub does: its tables have all their cells, and no
// name has become markup.
func validMarkdown(t reporter, v *reports.Verdict, out []byte) {
	md := goldmark.New(goldmark.WithExtensions(extension.GFM))
	rows, items := 0, 0
	err := ast.Walk(md.Parser().Parse(text.NewReader(out)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *extast.TableRow:
			rows++
			if n.ChildCount() != 7 {
				t.Errorf("a row of %d cells", n.ChildCount())
			}
		case *ast.ListItem:
			items++
		case *ast.Emphasis, *ast.Text, *extast.Table, *extast.TableCell, *extast.TableHeader, *ast.Document, *ast.Heading, *ast.Paragraph, *ast.List, *ast.TextBlock, *ast.HTMLBlock, *ast.String:
		default:
			t.Errorf("%s became markup\n%s", n.Kind(), out)
		}
		return ast.WalkContinue, nil
	})
	if err != nil || rows != len(v.Figures) || items != len(v.Findings) {
		t.Errorf("%d rows of %d figures, %d items of %d findings, %v\n%s", rows, len(v.Figures), items, len(v.Findings), err, out)
	}
	for line := range strings.Lines(string(out)) { // a reader drops cells that are too many
		if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "|") && n != 8 {
			t.Errorf("%d bars in a row of seven cells: %s", n, line)
		}
	}
	if bytes.Contains(out, []byte("<i>")) {
		t.Error("a thread's name became HTML")
	}
}

func validBenchfmt(t reporter, v *reports.Verdict, out []byte) {
	r := benchfmt.NewReader(bytes.NewReader(out), "out")
	results := 0
	for r.Scan() {
		switch rec := r.Result().(type) {
		case *benchfmt.Result:
			results++
			for _, value := range rec.Values {
				if u := r.Units().Get(value.Unit, "assume"); u == nil || u.Value != "exact" {
					t.Errorf("unit %s is not exact", value.Unit)
				}
			}
			if n, ok := rec.Value("fallbacks"); !ok || n != 20 {
				t.Errorf("%g fallbacks, want 20", n)
			}
		case *benchfmt.SyntaxError:
			t.Error(rec)
		}
	}
	if err := r.Err(); err != nil || results != 1 {
		t.Errorf("%d results, %v", results, err)
	}
}

// The ids of rules are what others rely on.
func TestRuleIDs(t *testing.T) {
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.id)
	}
	const want = "replay/limit-exceeded replay/missing replay/undecided replay/not-recorded replay/trace-changed replay/model-changed replay/result-changed replay/improved"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	seen := map[string]bool{}
	for _, v := range verdicts(t) {
		for i := range v.Findings {
			seen[rule(&v.Findings[i]).id] = true
		}
	}
	for _, id := range []string{"replay/limit-exceeded", "replay/missing", "replay/undecided", "replay/trace-changed", "replay/model-changed", "replay/improved"} {
		if !seen[id] {
			t.Errorf("vacuous: nothing is of rule %s", id)
		}
	}
}

// The workflows that are documented are YAML, and the rules and formats are all there.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(doc, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d workflows", len(blocks))
	}
	for _, block := range blocks {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(block[1]), &v); err != nil || len(v) == 0 {
			t.Errorf("%v\n%s", err, block[1])
		}
	}
	for _, r := range rules {
		if !strings.Contains(doc, r.id) {
			t.Errorf("rule %s is not documented", r.id)
		}
	}
	for _, f := range Formats() {
		if !strings.Contains(doc, "`"+f+"=FILE`") {
			t.Errorf("format %s is not documented", f)
		}
	}
	limits := regexp.MustCompile(`(?m)^    (.* of .*|fallbacks = .*|.*p99 = .*|spec.*)$`).FindAllStringSubmatch(doc, -1)
	if len(limits) < 6 {
		t.Errorf("vacuous: %d limits", len(limits))
	}
	for _, l := range limits {
		if _, err := reports.ParseLimit(l[1]); err != nil {
			t.Error(err)
		}
	}
}
