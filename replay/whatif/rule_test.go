package whatif

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{ // as it prints
		"munmap by comm=jemalloc_bg: batch 10":     "",
		"  munmap   by comm = x : drop":            "-",
		"hit by probe=libc:malloc: sample 100":     "",
		"write: scale 0.5":                         "",
		"write: scale 2x":                          "write: scale 2",
		"mprotect by comm=C1, pid=71, tid=9: drop": "",
		"mmap by stack=je_arena: delay 50us":       "mmap by stack=je_arena: delay 50µs",
		`munmap by comm="a, b: c": move to "r 1"`:  "",
		"brk: move to tid=71":                      "",
		"munmap: move to reaper":                   "",
		"fault by pid=7: drop":                     "",
		"hit by probe=app:f*: also app:g":          "",
		"hit: repeat 2":                            "",
		"read: sample 2":                           "",
		"other: delay 1ms":                         "",
		`munmap by comm="\x00\"": drop`:            "",
		"munmap: move to \"tid=x\"":                "",
	} {
		r, err := Parse(in)
		if want == "-" {
			if err == nil {
				t.Errorf("%q reads as %q", in, r)
			}
			continue
		}
		if want == "" {
			want = in
		}
		if err != nil || r.String() != want {
			t.Errorf("%q reads as %q, %v", in, r, err)
		}
	}
	for in, want := range map[string]string{
		"":                           "no colon with a blank after it",
		"munmap":                     "no colon with a blank after it; want WHAT [by FIELD=VALUE, ...]: ACTION, such as munmap by comm=gc: batch 10",
		"munmap:drop":                "no colon with a blank after it",
		"unmap: drop":                `"unmap" is no operation: want hit, write, read, or one of mmap, munmap, mprotect,`,
		"munmap of x: drop":          "after munmap want: by FIELD=VALUE",
		"munmap by x: drop":          `"x" is no condition: want FIELD=VALUE with one of comm, probe, pid, tid, stack`,
		"munmap by name=x: drop":     `"name=x" is no condition`,
		"munmap by comm=a b=c: drop": `"comm=a b=c" has two =: want a comma between conditions`,
		"munmap by comm=: drop":      "no value after comm=",
		"munmap by pid=x: drop":      "pid=x: want a number",
		"munmap by pid=-1: drop":     "pid=-1: want a number",
		`munmap by comm="x: drop`:    `is no quoted string of Go`,
		"munmap by probe=x: drop":    "only hits have a probe, and munmap is none",
		"munmap: halve":              `"halve" is nothing that can be done: want one of drop, sample N, batch N, delay TIME, scale X, repeat N, move to NAME|tid=N, also PROBE`,
		"munmap: drop it":            `"drop it": there is something after it: want drop`,
		"munmap: batch":              `"batch": no whole number from 2 to 10000: want batch N`,
		"munmap: batch 1":            "no whole number from 2 to 10000",
		"munmap: batch 99999":        "no whole number from 2 to 10000",
		"munmap: delay 5":            "no time up to 1s, such as 50us: want delay TIME",
		"munmap: delay -5us":         "no time up to 1s",
		"munmap: delay 5s":           "no time up to 1s",
		"munmap: scale 0":            "no factor from 0.000001 to 1000",
		"munmap: scale NaN":          "no factor",
		"munmap: scale 0.0000001":    "no factor",
		"munmap: repeat 1000":        "no whole number from 2 to 100",
		"munmap: move reaper":        "no thread: want move to NAME|tid=N",
		"munmap: move to tid=0":      "no thread id",
		"munmap: move to ":           "no thread",
		"hit: also":                  "no name: want also PROBE",
		"hit: batch 2":               "batch cannot be done to hits",
		"munmap: also x":             "also cannot be done to sections of mmap_lock",
	} {
		r, err := Parse(in)
		if err == nil || r.What != "" || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "what-if ") {
			t.Errorf("%q: got %v, %v\nwant %s", in, r, err, want)
		}
	}
	for in, column := range map[string]int{ // where it makes no sense
		"munmap":                           7,
		" unmap: drop":                     2,
		"munmap of x: drop":                8,
		"munmap  by pid=1,  pid=x: drop":   20,
		"munmap by comm=a b=c: drop":       11,
		`munmap by comm="a, b", x=1: drop`: 24,
		"munmap by probe=x: drop":          11,
		"munmap by comm=x :  halve":        21,
		"munmap: batch 0 ":                 9,
		"hit: batch 2":                     6,
	} {
		_, err := Parse(in)
		if want := fmt.Sprintf(", column %d: ", column); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want%s", in, err, want)
		}
	}
	if rules, err := ParseAll([]string{"munmap: drop", "x"}); err == nil || rules != nil {
		t.Errorf("got %v, %v", rules, err)
	}
}

// What Parse takes prints as something that reads as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"munmap by comm=jemalloc_bg: batch 10", "hit by probe=libc:malloc, tid=7: sample 100", "write: scale 0.333333", "mmap by stack=je: delay 1.5us",
		`munmap by comm="a, b: c": move to "r 1"`, "brk: move to tid=71", "hit: also a:b", "read: repeat 3", "munmap: drop",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			if r.What != "" || r.By != nil || !strings.HasPrefix(err.Error(), "what-if ") {
				t.Fatalf("an error and a rule: %+v, %v", r, err)
			}
			return
		}
		again, err := Parse(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q prints as %q, which reads as %q, %v", s, r, again, err)
		}
		if r.What != again.What || r.Action != again.Action || r.N != again.N || r.Delay != again.Delay || r.Scale != again.Scale || r.Name != again.Name || r.TID != again.TID || len(r.By) != len(again.By) {
			t.Fatalf("%+v reads back as %+v", r, again)
		}
		for i := range r.By {
			if r.By[i] != again.By[i] {
				t.Fatalf("%+v reads back as %+v", r.By, again.By)
			}
		}
	})
}

// Numbers are taken up to their bounds, and none beyond.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		rule string
		ok   bool
	}{
		{"hit by pid=0: drop", true},
		{"hit by pid=-1: drop", false},
		{"hit by tid=2147483647: drop", true},
		{"hit by tid=2147483648: drop", false},
		{"hit: sample 1", false},
		{"hit: sample 2", true},
		{"hit: sample 1000000", true},
		{"hit: sample 1000001", false},
		{"munmap: batch 1", false},
		{"munmap: batch 2", true},
		{"munmap: batch 10000", true},
		{"munmap: batch 10001", false},
		{"munmap: repeat 1", false},
		{"munmap: repeat 2", true},
		{"munmap: repeat 100", true},
		{"munmap: repeat 101", false},
		{"munmap: delay 0s", false},
		{"munmap: delay -1ns", false},
		{"munmap: delay 1ns", true},
		{"munmap: delay 1s", true},
		{"munmap: delay 1000000001ns", false},
		{"munmap: scale 0", false},
		{"munmap: scale 0.0000004", false},
		{"munmap: scale 0.000001", true},
		{"munmap: scale 1000", true},
		{"munmap: scale 1000.000001", false},
		{"munmap: scale NaN", false},
		{"munmap: move to tid=0", false},
		{"munmap: move to tid=1", true},
		{"munmap: move to tid=2147483647", true},
		{"munmap: move to tid=2147483648", false},
	} {
		r, err := Parse(c.rule)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.rule, err)
		} else if again, err := Parse(r.String()); c.ok && (err != nil || again.String() != r.String()) {
			t.Errorf("%s becomes %s, which is %v, %v", c.rule, r, again, err)
		}
	}
}
