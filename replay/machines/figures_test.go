package machines

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/replay/replay/sim"
)

// TestEveryFieldHasAFigure changes each number of a profile in turn: a field that
// no figure writes would be lost in every file, without a word.
func TestEveryFieldHasAFigure(t *testing.T) {
	p, err := Load(Generic)
	if err != nil {
		t.Fatal(err)
	}
	before := string(p.YAML())
	numbers := 0
	eachNumber(reflect.ValueOf(p).Elem(), "", func(path string, v reflect.Value) {
		if path == ".Machine.Line.Transfer[0]" {
			return // a line in the own L1 does not travel
		}
		numbers++
		old := reflect.ValueOf(v.Interface())
		if v.CanInt() {
			v.SetInt(v.Int() + 1000)
		} else {
			v.SetUint(1 - v.Uint())
		}
		if string(p.YAML()) == before {
			t.Errorf("no figure writes %s: add it to figures and to profiles/generic.yaml", path)
		}
		v.Set(old)
	})
	if numbers < 30 {
		t.Errorf("only %d numbers found", numbers)
	}
	if string(p.YAML()) != before {
		t.Error("the profile did not come back")
	}
}

// eachNumber calls f for every number in v, except those in maps.
func eachNumber(v reflect.Value, path string, f func(string, reflect.Value)) {
	switch {
	case v.CanInt() || v.CanUint():
		f(path, v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			eachNumber(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case v.Kind() == reflect.Array || v.Kind() == reflect.Slice:
		for i := range v.Len() {
			eachNumber(v.Index(i), path+"["+string(rune('0'+i))+"]", f)
		}
	}
}

// TestFigureNames holds the paths unique, and each with a meaning.
func TestFigureNames(t *testing.T) {
	seen := make(map[string]bool)
	for i := range figures {
		f := &figures[i]
		if seen[f.path()] || f.about == "" || strings.Contains(f.key, ".") {
			t.Errorf("figure %s is there twice, or lacks a meaning", f.path())
		}
		seen[f.path()] = true
	}
}

// TestQuantities reads back what is written, exactly.
func TestQuantities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.Int64Range(0, 5000), rapid.Int64Range(0, 1<<62)).Draw(t, "n")
		for _, units := range [][]unit{timeUnits, frequencyUnits} {
			s := formatQuantity(n, units)
			if got, err := parseQuantity(s, units); err != nil || got != n {
				t.Fatalf("%d is written %q and read back as %d, %v", n, s, got, err)
			}
		}
	})
	for n, want := range map[int64]string{ // in the largest unit that gives at least 1
		0: "0 ps", 999: "999 ps", 1000: "1 ns", 7400: "7.4 ns", 999_999: "999.999 ns", 1_000_000: "1 us", int64(3 * sim.Millisecond): "3 ms",
		int64(sim.Second) - 1: "999.999999999 ms", int64(sim.Second): "1 s", 1 << 62: "4611686.018427387904 s",
	} {
		if got := formatQuantity(n, timeUnits); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
		if got, err := parseQuantity(want, timeUnits); err != nil || got != n {
			t.Errorf("%q is %d, %v, want %d", want, got, err, n)
		}
	}
	for text, want := range map[string]int64{
		"7.4 ns": 7400, "7.4ns": 7400, "2 us": 2_000_000, "0 ps": 0, "0.001 ns": 1, "3 ms": int64(3 * sim.Millisecond), "1.5 s": int64(3 * sim.Second / 2),
	} {
		if got, err := parseQuantity(text, timeUnits); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "7 m", "ns", "-1 ns", "1e3 ns", "0.0001 ns", "1. ns", ".5 ns", "1.2.3 ns", "+1 ns", "99999999999999999999 ns", "9999999999 s", "4611686.018427387905 s", "1 GHz"} {
		if got, err := parseQuantity(text, timeUnits); err == nil {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
}

// FuzzQuantity: an error or a value that reads back as itself.
func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"7.4 ns", "0 ps", "3 ms", "1.50 s", "9 ns ns", "0.1 ps"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseQuantity(s, timeUnits)
		if err != nil {
			return
		}
		if again, err := parseQuantity(formatQuantity(n, timeUnits), timeUnits); err != nil || again != n {
			t.Errorf("%q is %d, which is read back as %d, %v", s, n, again, err)
		}
	})
}

// TestBaseIsNotShared: a profile laid over another must not reach into it.
func TestBaseIsNotShared(t *testing.T) {
	read := func() *Profile {
		p, err := Load(Generic)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := read()
	a.Turbo[0].KHz = 1
	a.Sections["mmap"] = KindModel{}
	a.SetCite("line.rmw_cycles", Cite{Key: "x", Source: "y"})
	b := read()
	if b.Turbo[0].KHz == 1 || b.Sections["mmap"] == (KindModel{}) || b.Cite("line.rmw_cycles").Key == "x" {
		t.Error("two loads of a profile share memory")
	}
}

func TestJSONProfile(t *testing.T) {
	const text = `{"machine": "mine", "about": "as JSON", "based_on": "generic", "sources": {"mlc": "measured here"},
"line": {"transfer_remote": {"value": "120.5 ns", "source": "mlc", "note": "idle"}}}`
	p, err := Parse("mine.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Line.Transfer[sim.Remote]; got != 120_500 {
		t.Errorf("transfer is %d ps", got)
	}
	if c := p.Cite("line.transfer_remote"); c != (Cite{"mlc", "measured here", "idle"}) {
		t.Errorf("cited as %+v", c)
	}
	if p.Name != "mine" || p.Sockets != 2 {
		t.Errorf("%s has %d sockets", p.Name, p.Sockets)
	}
}

// TestPositions holds where each kind of mistake is said to be.
func TestPositions(t *testing.T) {
	const head = "machine: m\nabout: a\nbased_on: generic\nsources:\n  s: where\n"
	for _, test := range []struct{ name, content, want string }{
		{"tab", "machine: m\n\tabout: a\n", "f:2"},
		{"list", "- a\n", "f:1:1: a machine profile is a list: want a mapping"},
		{"two documents", head + "line:\n  rmw_cycles: {value: 1, source: s}\n---\nx: 1\n", "f: more than one document: want one machine profile"},
		{"unknown section", head + "lines: {}\n", `f:6:1: unknown key "lines": want machine, about, based_on, sources, topology`},
		{"unknown figure", head + "line:\n  rwm: {value: 1, source: s}\n", `f:7:3: unknown figure "line.rwm": want one of load_cycles`},
		{"unknown key", head + "line:\n  rmw_cycles: {val: 1, source: s}\n", `f:7:16: unknown key "val" in line.rmw_cycles: want value, source, note`},
		{"bare value", head + "line:\n  rmw_cycles: 18\n", `f:7:15: line.rmw_cycles is "18": want a mapping`},
		{"no source", head + "line:\n  rmw_cycles: {value: 18}\n", "f:7:15: line.rmw_cycles lacks a value or a source: want {value: ..., source: KEY}"},
		{"unknown source", head + "line:\n  rmw_cycles: {value: 18, source: z}\n", `f:7:15: line.rmw_cycles: source "z" is not among the sources of this file`},
		{"unused source", head, `f:5:3: source "s" is not used by any figure`},
		{"empty source", "machine: m\nabout: a\nbased_on: generic\nsources:\n  s:\n", `f:5:`},
		{"negative", head + "line:\n  rmw_cycles: {value: -1, source: s}\n", `f:7:23: line.rmw_cycles: "-1" is not a whole number of at least 0`},
		{"no unit", head + "line:\n  waiter: {value: 2.2, source: s}\n", `f:7:19: line.waiter: "2.2" has no unit: want a number with one of s, ms, us, ns, ps`},
		{"fraction of ns", head + "recorder:\n  window: {value: 1.5 ns, source: s}\n", `f:7:19: recorder.window: "1.5 ns" is not a whole number of nanoseconds`},
		{"numbering", head + "topology:\n  numbering: {value: odd, source: s}\n", `f:7:22: topology.numbering: unknown CPU numbering "odd"`},
		{"turbo", head + "clock:\n  turbo: {value: 3 GHz, source: s}\n", `f:7:18: clock.turbo: "3 GHz" is not a list of steps`},
		{"turbo step", head + "clock:\n  turbo: {value: [{cores: 1}], source: s}\n", `f:7:18: clock.turbo: a mapping is not {cores, frequency}`},
		{"twice", head + "line:\n  rmw_cycles: {value: 1, source: s}\n  rmw_cycles: {value: 2, source: s}\n", `f:8:3: "rmw_cycles" is given twice`},
		{"alias", head + "line: &x\n  rmw_cycles: {value: 1, source: s}\n", "f:6:1: anchors, aliases and keys that are not words are not supported"},
		{"base", "machine: m\nabout: a\nbased_on: mine\n", `f:3:11: based_on: unknown machine "mine": want one of epyc`},
		{"nothing given", "machine: m\nabout: a\n", "f:1:1: topology.sockets is missing: give it, or say based_on: generic"},
		{"no name", "about: a\nbased_on: generic\n", "f:1:1: the profile lacks machine or about"},
		{"ambiguous source", "machine: m\nabout: a\nbased_on: generic\nsources:\n  c2c: other\nline:\n  rmw_cycles: {value: 1, source: c2c}\n", `f:1:1: source "c2c" means another one in the profile that this is based on: choose another key`},
		{"does not fit", head + "topology:\n  smt: {value: 3, source: s}\n", "f:1:1: machine has smt 3: want 1 to 2"},
		{"too large", strings.Repeat("#", MaxFileBytes+1), "f: 1048577 bytes: a machine profile has at most 1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := Parse("f", []byte(test.content))
			if err == nil || p != nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%v\nwant %s...", err, test.want)
			}
		})
	}
}

// TestTables: every figure that is set is in each form of printing.
func TestTables(t *testing.T) {
	p, err := Load("xeon-6138x2")
	if err != nil {
		t.Fatal(err)
	}
	var table, list, json strings.Builder
	for _, err := range []error{p.WriteTable(&table), WriteList(&list, []*Profile{p}), WriteJSON(&json, []*Profile{p})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range figures {
		f := &figures[i]
		if f.codec.format(p) == nil {
			continue
		}
		c := p.Cite(f.path())
		if !strings.Contains(table.String(), f.path()) || !strings.Contains(json.String(), `"`+f.path()+`"`) {
			t.Errorf("%s is not printed", f.path())
		}
		if !strings.Contains(table.String(), c.Source) || !strings.Contains(list.String(), c.Source) {
			t.Errorf("the source of %s is not printed", f.path())
		}
	}
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(json.String()), &doc); err != nil || doc["schema"] != "machines/1" {
		t.Errorf("document %v, %v", doc["schema"], err)
	}
}

// What a calibration changed cites it, and nothing else does; notes come in a table of their
// own, which is left out where there is none.
func TestCiteFitted(t *testing.T) {
	before, err := Load("xeon-6138x2")
	if err != nil {
		t.Fatal(err)
	}
	p := before.Clone()
	p.Line.RMWCycles++
	p.Line.Transfer[sim.Remote] += 7
	p.CiteFitted(before, "a benchmark")
	var fitted []string
	for i := range figures {
		f := &figures[i]
		switch c := p.Cite(f.path()); {
		case c.Key == "fitted" && c.Source == "a benchmark":
			fitted = append(fitted, f.path())
		case c != before.Cite(f.path()):
			t.Errorf("%s cites %+v", f.path(), c)
		}
	}
	if want := []string{"line.rmw_cycles", "line.transfer_remote"}; !slices.Equal(fitted, want) {
		t.Errorf("%q cite the calibration, want %q", fitted, want)
	}

	table := func() string {
		var b strings.Builder
		if err := p.WriteTable(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for i := range figures {
		c := p.Cite(figures[i].path())
		c.Note = ""
		p.SetCite(figures[i].path(), c)
	}
	if got := table(); strings.Contains(got, "Notes") {
		t.Errorf("without notes:\n%s", got)
	}
	c := p.Cite("line.rmw_cycles")
	c.Note = "as if"
	p.SetCite("line.rmw_cycles", c)
	if got := table(); !strings.Contains(got, "\n\nNotes\n  line.rmw_cycles: as if\n\nSources\n") {
		t.Errorf("with a note:\n%s", got)
	}
}

// A machine on a line of its own, worked out by hand: two sockets of twenty cores of two threads.
func TestList(t *testing.T) {
	p, err := Load("xeon-6138x2")
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	if err := WriteList(&list, []*Profile{p}); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(list.String(), "\n")
	line, _, _ := strings.Cut(rest, "\n")
	if got, want := strings.Fields(line)[:5], []string{"xeon-6138x2", "80", "2", "40", "2"}; !slices.Equal(got, want) {
		t.Errorf("listed as %q, want %q", got, want)
	}
}

// A profile may be of a megabyte, from a file as well, and not of a byte more.
func TestLargestProfile(t *testing.T) {
	generic, err := profiles.ReadFile("profiles/generic.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for more, ok := range map[int]bool{0: true, 1: false} {
		path := filepath.Join(t.TempDir(), "large.yaml")
		data := string(generic) + strings.Repeat("#", MaxFileBytes+more-len(generic))
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); (err == nil) != ok {
			t.Errorf("%d bytes more: %v", more, err)
		}
	}
}
