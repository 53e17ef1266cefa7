package capture

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/traces/tracetest"
)

// definitions are of one probe of each kind.
func definitions(group string) []Definition {
	f := &Probe{Function: "f"}
	gc := &Probe{Provider: "python", Marker: "gc__start"}
	defs := []Definition{
		{Name: "f", File: "/bin/app", Site: Site{Offset: 0x1420, Symbol: "f"}, probe: f},
		{Name: "f_return", File: "/bin/app", Site: Site{Offset: 0x1420, Symbol: "f"}, Return: true, probe: f},
		{Name: "python_gc__start", File: "/bin/it's", Site: Site{Offset: 0x2000, Semaphore: 0x5000}, probe: gc},
		{Name: "python_gc__start", File: "/bin/it's", Site: Site{Offset: 0x2100, Semaphore: 0x5000}, probe: gc},
	}
	for i := range defs {
		defs[i].Path = defs[i].File
	}
	nameApart(defs, group)
	return defs
}

// script is what --print shows for the definitions.
func script(t *testing.T, o Options) string {
	t.Helper()
	plan := &Plan{options: &o}
	if o.Tool != BPFtrace {
		plan.planPerf(definitions(o.Group))
	} else if err := plan.planBPFtrace(definitions(o.Group)); err != nil {
		t.Fatal(err)
	}
	return plan.Script("app.parquet")
}

// The printed commands are reviewed as they are.
func TestScripts(t *testing.T) {
	for name, o := range map[string]Options{
		"command.sh":          {Tool: Perf, Command: []string{"./app", "a b", "it's"}},
		"process.sh":          {Tool: Perf, PID: 1234, Stacks: true, NoLocks: true, Probes: []Probe{{Event: "probe_libc:malloc"}}},
		"all.sh":              {Tool: Perf, All: true, Command: []string{"sleep", "5"}},
		"bpftrace-command.sh": {Tool: BPFtrace, Command: []string{"/bin/sh", "-c", "exit"}},
		"bpftrace-process.sh": {Tool: BPFtrace, PID: 1234, NoLocks: true},
	} {
		o.Group, o.Buffer, o.Output = "replay", "32M", "app.perf.data"
		if o.Tool == BPFtrace {
			o.Output = "app.bpftrace.json"
		}
		tracetest.Golden(t, name, script(t, o))
	}
}

// A plan of a return alone records the entry, too, and says so.
func TestReturnHasItsEntry(t *testing.T) {
	library, err := findFile("libc.so.6")
	if err != nil {
		t.Skip("no C library:", err)
	}
	p, err := NewPlan(Options{Tool: Perf, Group: "replay_1", Buffer: "32M", All: true, Print: true, Probes: []Probe{{Text: "malloc%return", Path: library, Function: "malloc", Return: true}}})
	if err != nil {
		t.Skip("no malloc in it:", err)
	}
	var kinds []string
	for i := range p.Definitions {
		kinds = append(kinds, p.Definitions[i].String()[:2]+p.Definitions[i].Event())
	}
	if want := []string{"r:replay_1:malloc_return", "p:replay_1:malloc"}; !slices.Equal(kinds, want) || len(p.Remarks) == 0 {
		t.Errorf("%q, remarks %q; want %q", kinds, p.Remarks, want)
	}
	for _, event := range []string{"replay_1:malloc_return", "replay_1:malloc"} {
		if !slices.Contains(p.args, event) {
			t.Errorf("%s is not recorded: %q", event, p.args)
		}
	}
}

// With kprobes, a plan has one that tells of each hit's arrival.
func TestArrive(t *testing.T) {
	o := Options{Tool: Perf, Group: "replay_1", Arrive: true, Command: []string{"app"}}
	p := &Plan{options: &o}
	p.planPerf(definitions(o.Group)[:1])
	last := p.Definitions[len(p.Definitions)-1]
	if last.String() != "p:replay_1/uprobe_notify_resume uprobe_notify_resume" || last.file() != kprobeEvents {
		t.Errorf("%q in %s", last.String(), last.file())
	}
	if !slices.Contains(p.args, "replay_1:uprobe_notify_resume") {
		t.Errorf("it is not recorded: %q", p.args)
	}
}

func TestBadOptions(t *testing.T) {
	probe := []Probe{{Event: "a:b"}}
	for says, o := range map[string]Options{
		"no probe given":     {PID: 1, Buffer: "1"},
		"not both":           {Probes: probe, PID: 1, All: true, Buffer: "1"},
		"nothing to record":  {Probes: probe, Buffer: "1"},
		"-p -1":              {Probes: probe, PID: -1, Buffer: "1"},
		"power of two":       {Probes: probe, PID: 1, Buffer: "3"},
		"no probe of perf's": {Probes: probe, PID: 1, Buffer: "1", Tool: BPFtrace},
	} {
		if o.Tool == "" {
			o.Tool = Perf
		}
		if p, err := NewPlan(o); p != nil || !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: want %q", err, says)
		}
	}
}

// The recipe of ingest/README.md records what a plan records.
func TestReadmeRecipe(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	start := strings.Index(string(readme), "    perf record ")
	recipe, _, _ := strings.Cut(string(readme)[max(start, 0):], " PROGRAM\n")
	events := func(text string) []string {
		var found []string
		for _, m := range regexp.MustCompile(`(?:-e |--event=)(\S+)`).FindAllStringSubmatch(text, -1) {
			found = append(found, expand(m[1])...)
		}
		slices.Sort(found)
		return found
	}
	o := Options{Tool: Perf, Command: []string{"app"}, Probes: []Probe{{Event: "probe_libc:malloc"}}}
	p := &Plan{options: &o}
	p.planPerf(nil)
	want := events(strings.Join(p.args, " "))
	if got := events(recipe); !slices.Equal(got, want) {
		t.Errorf("the README records\n%q, want\n%q", got, want)
	}
}

// expand does what a shell does with braces.
func expand(s string) []string {
	m := regexp.MustCompile(`^(.*?)\{([^}]*)\}(.*)$`).FindStringSubmatch(s)
	if m == nil {
		return []string{s}
	}
	var all []string
	for part := range strings.SplitSeq(m[2], ",") {
		all = append(all, expand(m[1]+part+m[3])...)
	}
	return all
}

// A quoted word is one word, of the same characters.
func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"": "''", "a": "a", "a b": "'a b'", "it's": `'it'\''s'`, "a/b-c.d:e=f,g@h%i+j_k": "a/b-c.d:e=f,g@h%i+j_k", "$x": "'$x'", "ü": "'ü'", "a\nb": "'a\nb'",
	} {
		if got := Quote(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}
