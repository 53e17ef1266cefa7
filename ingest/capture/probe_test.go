package capture

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func noFile(string) bool { return false }

func knowsMalloc(event string) bool { return event == "probe_libc:malloc" }

func TestParse(t *testing.T) {
	for _, want := range []Probe{
		{Text: "libc.so.6:malloc", Path: "libc.so.6", Function: "malloc"},
		{Text: "/a:b/c:f", Path: "/a:b/c", Function: "f"},
		{Text: "app:f%return", Path: "app", Function: "f", Return: true},
		{Text: "libc.so.6:memcpy@GLIBC_2.14", Path: "libc.so.6", Function: "memcpy@GLIBC_2.14"},
		{Text: "app:0x1F", Path: "app", Offset: 0x1f, HasOffset: true},
		{Text: "app:0x0", Path: "app", HasOffset: true},
		{Text: "sdt:python:gc__start", Provider: "python", Marker: "gc__start"},
		{Text: "/a:b:sdt:python:gc__start", Path: "/a:b", Provider: "python", Marker: "gc__start"},
		{Text: "probe_libc:malloc", Event: "probe_libc:malloc"},
		{Text: "probe_libc:free", Path: "probe_libc", Function: "free"}, // no event of that name
	} {
		got, err := Parse(want.Text, knowsMalloc, noFile)
		if err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", want.Text, d)
		}
	}
}

// Names of functions may have colons, and so may paths: the file that is there tells.
func TestParseColons(t *testing.T) {
	files := map[string]bool{"app": true, "/a:b/c": true, "/a": true, "app:ns": true}
	for text, want := range map[string][2]string{
		"app:ns::A::f(int)":                   {"app", "ns::A::f(int)"},
		"app:ns::A::f":                        {"app", "ns::A::f"},
		"app:ns:f":                            {"app:ns", "f"},
		"app:type:.eq.main.T":                 {"app", "type:.eq.main.T"},
		"/a:b/c:f":                            {"/a:b/c", "f"},
		"app:main.Two[go.shape.int,go.str]":   {"app", "main.Two[go.shape.int,go.str]"},
		"app:main.Two[go.shape.struct { A }]": {"app", "main.Two[go.shape.struct { A }]"},
		"nowhere:ns::A::f(int)":               {"nowhere", "ns::A::f(int)"},
		"/x:y/nowhere:f":                      {"/x:y/nowhere", "f"},
		"libx.so.1:std::f(std::string)":       {"libx.so.1", "std::f(std::string)"},
	} {
		p, err := Parse(text, knowsMalloc, func(s string) bool { return files[s] })
		if err != nil || p.Path != want[0] || p.Function != want[1] {
			t.Errorf("%s: %q %q, %v; want %q", text, p.Path, p.Function, err, want)
		}
	}
}

func TestNoProbe(t *testing.T) {
	for _, s := range []string{"", ":", "malloc", ":malloc", "libc:", "app:%return", "app:0x", "app:0xg", "app:0x10000000000000000", "sdt:python", "sdt:python:", "sdt::gc", "app:sdt:python"} {
		p, err := Parse(s, knowsMalloc, noFile)
		if !errors.Is(err, ErrSyntax) || p != (Probe{}) {
			t.Errorf("%q: %+v, %v", s, p, err)
		}
		if err != nil && !strings.Contains(err.Error(), "want path:function") && !strings.Contains(err.Error(), "hexadecimal") {
			t.Errorf("%q: %v does not say what is wanted", s, err)
		}
	}
}

// Events get names that the kernel takes (is_good_name), whatever functions are
// called, and each its own.
func TestEventNames(t *testing.T) {
	long := strings.Repeat("x", 200)
	for s, want := range map[string]string{
		"app:f":                 "f",
		"app:f%return":          "f_return",
		"app:0x1f":              "at_1f",
		"sdt:a:b":               "a_b",
		"app:memcpy@GLIBC_2.14": "memcpy_GLIBC_2_14",
		"app:main.(*T).f":       "main___T__f",
		"app:ünder":             "__nder",
		"app:7zip":              "_7zip",
		"app:" + long:           long[:nameMax],
	} {
		p, err := Parse(s, knowsMalloc, noFile)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.name(); got != want {
			t.Errorf("%s is called %s, want %s", s, got, want)
		}
	}
	defs := []Definition{{Name: "f"}, {Name: "f"}, {Name: "f_1"}, {Name: "f"}}
	nameApart(defs, "g")
	seen := map[string]bool{}
	for i := range defs {
		seen[defs[i].Event()] = true
	}
	if len(seen) != len(defs) {
		t.Errorf("names are shared: %v", seen)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"libc.so.6:malloc", "a:b%return", "a:0x1f", "sdt:a:b", "x:sdt:a:b", "probe_libc:malloc", "::", "a:\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s, knowsMalloc, noFile)
		if err != nil {
			if p != (Probe{}) || !errors.Is(err, ErrSyntax) {
				t.Fatalf("%+v and %v", p, err)
			}
			return
		}
		kinds := 0
		for _, is := range []bool{p.Event != "", p.Function != "", p.HasOffset, p.Provider != ""} {
			if is {
				kinds++
			}
		}
		if kinds != 1 || p.Text != s {
			t.Fatalf("%d kinds: %+v", kinds, p)
		}
		if p.Event != "" {
			return
		}
		name := p.name()
		if name == "" || len(name) > nameMax || name[0] >= '0' && name[0] <= '9' {
			t.Fatalf("the kernel takes no event named %q", name)
		}
		for i := range name {
			if !isWord(name[i]) {
				t.Fatalf("the kernel takes no event named %q", name)
			}
		}
	})
}
