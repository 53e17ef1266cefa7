package bpftrace

import (
	"bufio"
	"strings"
	"testing"
)

// printed is what bpftrace 0.17 and later print at their end, or for print(@).
const printed = `@a: 3
@b: abc
@h[bpftrace]: 
[2, 4)                 1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|

@hh:
(..., 0)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
[0]                    0 |                                                    |
[1K, 2K)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
[2K, ...)              1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|

@k[
    _einittext+1015207853
    __bpf_prog_test_run_raw_tp+106
]: 1
@kk[1]: 
        _einittext+1015208278
        __bpf_prog_test_run_raw_tp+106

@kp[
	ffffffffc002613d _einittext+1015207981
	ffffffff81f0602a __bpf_prog_test_run_raw_tp+106
]: 1
@lh[
    0x55bcfb713169
, 3]: 
[5, 6)                 1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|

@multi[x
y]: 1
@s[bpftrace]: count 1, average 5, total 5

@st: count 1, average 4, total 4

@str: a
b
@t: (1, x)
@r: { .a = 1, .b = [1,2] }
@: 7
@ts:
         0                                                   10
hh:mm:ss |___________________________________________________|
08:48:20 *                                                   | 0
08:48:21 |                         *                         | 5
08:48:22 |                                                   | -
         v___________________________________________________v
         0                                                   10

@y[1, a]: 3
`

func TestMaps(t *testing.T) {
	f, err := ParseFormat([]byte(`{kind: hit, probe: 'a:b', line: '^HIT (?P<time_ns>\d+) (?P<tid>\d+)$'}`), "spec")
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	for line := range strings.Lines(printed) {
		if line != "\n" {
			want++
		}
	}
	for event, format := range map[string]*Format{hit: nil, "HIT 1 7\n": f} {
		for _, text := range []string{event + printed + event, event + "\n" + printed, printed + event} {
			p, rows, bad := parseText(text, format)
			if len(bad) > 0 || len(rows) != strings.Count(text, event) || p.Unused[mapLines] != want || len(p.Unused) != 1 {
				t.Errorf("%d rows; %v, want %d; %v", len(rows), p.Unused, want, bad)
			}
		}
	}
	// What is no part of a map is refused, whatever is printed before it.
	for _, text := range []string{
		"@a: 3\nhello\n", "@h:\n[2, 4)  1 |@@|\nhello\n", "@h:\n\n[2, 4)  1 |@@|\n", "[2, 4)  1 |@@|\n", "@k[\n   a+1\n" + hit, "@k[\n", "@ hello\n", "@a: hello\n\nhello\n",
	} {
		_, _, bad := parseText(hit+text, nil)
		if len(bad) == 0 {
			t.Errorf("%q is taken", text)
		}
	}
}

// Messages, with what they quote, are told; what only looks like a part of one is not.
func TestLogged(t *testing.T) {
	const source = "uprobe:/tmp/a:f { delete(@x[tid]); }\n"
	for text, rows := range map[string]int{
		"k.bt:1:20-30: WARNING: Failed to map_delete_elem: No such file or directory (-2)\n" + source + "                  ~~~~~~~~~~\n" + hit:        2,
		"/a b/k.bt:24:5-31: WARNING: Can't delete map element.\nAdditional Info - helper: map_delete_elem, retcode: -2\n" + source + "    ~~~~~~~~\n": 1,
		"WARNING: Map full; can't update element\nAdditional Info - helper: map_update_elem, retcode: -7\n" + hit:                                     2,
		"stdin:1:1-8: ERROR: odd\nBEGIN { x }\n~~~~~~~\nHINT: do not\nlibbpf: odd\n":                                                                  1,
		"k.bt:1-3: WARNING: of several lines\nINFO: x\nBUG: [a.cpp:1] x\n":                                                                            1,
		"stdin:1:9-22: WARNING: no source\n" + hit + "  ~~~\n":                                                                                        -1,
		"stdin:1:9-22: WARNING: no source\nhello\n" + hit:                                                                                             -1,
		"Additional Info - helper: map_update_elem, retcode: -7\n":                                                                                    -1,
		"~~~~\n":                                 -1,
		"WARNING: Total lost event count: 512\n": 1,
	} {
		for _, all := range []string{hit + text, text + hit} {
			p, got, bad := parseText(all, nil)
			if rows < 0 {
				if len(bad) != 1 {
					t.Errorf("%q: %v, want one bad line", all, bad)
				}
				continue
			}
			if len(bad) > 0 || len(got) != rows {
				t.Errorf("%q: %d rows, want %d; %v", all, len(got), rows, bad)
			}
			if total := strings.Contains(text, "Total"); total != (p.TotalLost == 512) || total != (len(p.Said) == 0) {
				t.Errorf("%q: %d lost in all, %q", all, p.TotalLost, p.Said)
			}
		}
	}
}

// A line that the format matches is an event, and the same line is treated alike
// wherever it stands.
func TestFormatBeforeMessages(t *testing.T) {
	f, err := ParseFormat([]byte("skip: ['^SKIP']\nlines:\n- {kind: hit, probe: 'a:b', line: '^[@\\t]?(?P<time_ns>\\d+) (?P<tid>\\d+) (?P<comm>.*)$'}"), "spec")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"5 7 app Lost 1 events", "5 7 Lost 1 events", "\t5 7 app", "@5 7 a: b", "5 7 x ERROR: y"} {
		for _, text := range []string{line + "\n", line + "\n" + line + "\n", "4 7 a\n" + line + "\n5 7 b\n", line + "\n\n4 7 a\n"} {
			_, rows, bad := parseText(text, f)
			if want := len(strings.Fields(strings.ReplaceAll(strings.ReplaceAll(text, " ", "_"), "\t", ""))); len(bad) > 0 || len(rows) != want || strings.Contains(strings.Join(rows, ""), " lost ") {
				t.Errorf("%q: %q, %v; want %d hits", text, rows, bad, want)
			}
		}
	}
	for line, want := range map[string][3]int{ // rows, bad, and skipped lines
		"hello":                  {0, 1, 0},
		"hello Lost 5 events":    {0, 1, 0},
		"SKIP":                   {0, 0, 1},
		"SKIP Lost 5 events":     {0, 0, 1},
		"Lost 5 events":          {1, 0, 0},
		"5Lost 5 events\n 7 app": {2, 0, 0},
		"\tffffffff815de08b a+1": {0, 1, 0},
	} {
		for _, text := range []string{line + "\n4 7 a\n", line + "\n", "4 7 a\n\n@x: 1\n" + line + "\n", "4 7 a\nSKIP\n" + line + "\n4 7 b\n"} {
			p, rows, bad := parseText(text, f)
			if len(rows) != want[0]+strings.Count(text, "4 7") || len(bad) != want[1] || p.Unused["lines that the format skips"] != int64(want[2]+strings.Count(text, "a\nSKIP")) {
				t.Errorf("%q: %q, %v, %v; want %v", text, rows, bad, p.Unused, want)
			}
		}
	}
}

// A text in UTF-8 may begin with a mark.
func TestBOM(t *testing.T) {
	for _, text := range []string{hit, asJSON(hit)} {
		if marked := "\ufeff" + text; Is([]byte(marked)) != (text == hit) || IsJSON([]byte(marked)) != (text != hit) {
			t.Errorf("%q is not told", marked)
		}
	}
	if _, rows, bad := parseText("\ufeff"+hit+hit, nil); len(rows) != 2 || len(bad) > 0 {
		t.Errorf("%q, %v", rows, bad)
	}
	if _, rows, bad := parseText(hit+"\ufeff"+hit, nil); len(rows) != 1 || len(bad) != 1 {
		t.Errorf("a mark within: %q, %v", rows, bad)
	}
	rows, bad := parse(NewJSON(bufio.NewReader(strings.NewReader("\ufeff"+asJSON(hit)+asJSON(hit))), "out.json", nil))
	if len(rows) != 2 || len(bad) > 0 {
		t.Errorf("%q, %v", rows, bad)
	}
}

// Names that have no width may have in them what comes before or after them.
func TestNamesAsLongAsTheyAre(t *testing.T) {
	const head, other = "replay1 hit 130 0 10 11 addr=0x1139 probe=", "path=/bin/app comm=app\n"
	for line, want := range map[string]string{
		head + "a:f path=/bin/app comm=a comm=z\n":                                             `comm="a comm=z" addr=0x1139 path=/bin/app`,
		head + "a:f path=/bin/a b comm= comm=\n":                                               `comm=" comm=" addr=0x1139 path="/bin/a b"`,
		head + "a:f path=/bin/app comm=\n":                                                     `comm="" addr=0x1139 path=/bin/app`,
		head + "b:f path=/opt/x comm=y/app " + "comm=longer than that\n":                       `comm="longer than that" addr=0x1139 path="/opt/x comm=y/app"`,
		"replay1 sched:sched_process_exec 210 1 13 13 path=/bin/a comm=b comm=a comm=b\n":      `comm="a comm=b" path="/bin/a comm=b"`,
		"replay1 syscalls:sys_enter_munmap 170 1 10 12 addr=0x1 len=0x2 comm=a comm=b path=\n": `comm="a comm=b path=" addr=0x1 len=0x2`,
	} {
		_, rows, bad := parseText(head+"a:f "+other+line, nil)
		if len(bad) > 0 || len(rows) != 2 || !strings.Contains(rows[1], want) {
			t.Errorf("%s\ngot  %q %v\nwant %s", line, rows, bad, want)
		}
	}
}

// A line that was cut does not take those after it along.
func TestBrokenLineOfWidth(t *testing.T) {
	const line = "replay1 hit 10 1 20 21 addr=0x401136 probe=app:f path=/bin/app comm=app            \n"
	_, rows, bad := parseText("replay1 script clock=boottime comm=15\n"+line+line[:40]+"\n"+line+line, nil)
	if len(rows) != 3 || len(bad) != 1 || !strings.Contains(bad[0].Error(), "out.txt:3: ") || !strings.Contains(bad[0].Error(), line[:40]) {
		t.Errorf("%q, %v", rows, bad)
	}
}
