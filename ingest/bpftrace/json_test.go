package bpftrace

import (
	"bufio"
	"strings"
	"testing"
)

func parseJSON(t *testing.T, text string, spec string) (*Parser, []string, []error) {
	t.Helper()
	var f *Format
	if spec != "" {
		var err error
		if f, err = ParseFormat([]byte(spec), "spec"); err != nil {
			t.Fatal(err)
		}
	}
	p := NewJSON(bufio.NewReaderSize(strings.NewReader(text), bufferBytes), "out.json", f)
	rows, bad := parse(p)
	return p, rows, bad
}

// Names that have line breaks, or bytes that bpftrace escapes in its own way.
func TestNamesInJSON(t *testing.T) {
	const head = `replay1 hit 1000 0 5 5 addr=0x401000 probe=app:f path=/tmp/`
	doc := func(text string) string { return `{"type": "printf", "data": "` + text + `"}` + "\n" }
	for text, want := range map[string]string{
		doc(head + `a\uffffffc3\uffffffa9 comm=x\uffffffc3\uffffffa9\n`):               `comm="xé" addr=0x401000 path="/tmp/aé"`,
		doc(head + `a comm=\uffffffff\n`):                                              `comm="\xff" addr=0x401000`,
		doc(head + `a comm=\uffff\n`):                                                  `comm="\uffff" addr=0x401000`,
		doc(head + `a comm=\ud83d\ude00\u001b\n`):                                      `comm="😀\x1b" addr=0x401000`,
		doc(head + `a comm=a\nb\n`):                                                    `comm="a\nb" addr=0x401000 path=/tmp/a`,
		doc(head + `a comm=\n\t \n`):                                                   `comm="\n\t " addr=0x401000`,
		doc(head + `a comm=\n\n\n`):                                                    `comm="\n\n" addr=0x401000`,
		doc(head + `a\nb comm=c\nd\n\t401000 f+4 (/tmp/a)\n`):                          `comm="c\nd" addr=0x401000 path="/tmp/a\nb" probe=app:f stack=["f+0x4 (/tmp/a)"]`,
		doc(head + `a comm=a\nreplay1 hit\n`):                                          `comm="a\nreplay1 hit" addr=0x401000`,
		doc(head + `a comm=a\nERROR: b\n`):                                             `comm="a\nERROR: b" addr=0x401000`,
		doc(head + `a comm=Lost 5 events\n`):                                           `comm="Lost 5 events" addr=0x401000`,
		doc(head+`a com`) + doc(`m=a\n`):                                               `comm=a addr=0x401000`,
		doc(`replay1 sched:sched_process_exec 210 1 13 13 path=/bin/a\nb comm=a\nb\n`): `comm="a\nb" path="/bin/a\nb"`,
	} {
		_, rows, bad := parseJSON(t, doc(head+`a comm=x\n`)+text+doc(head+`a comm=y\n`), "")
		if len(bad) > 0 || len(rows) != 3 || !strings.Contains(rows[1], want) {
			t.Errorf("%s\ngot  %q %v\nwant %s", text, rows, bad, want)
		}
	}
	_, rows, bad := parseJSON(t, doc(head+`a comm=a\n`+head+`a comm=b\n`), "")
	if len(bad) > 0 || len(rows) != 2 {
		t.Errorf("two lines in one document: %q, %v", rows, bad)
	}
	_, rows, bad = parseJSON(t, doc(`5 7 a\nb\n`)+doc(`5 7 a\n5 7 b\n`), `{kind: hit, probe: 'a:b', line: '^(?P<time_ns>\d+) (?P<tid>\d+) (?P<comm>[^7]*)$'}`)
	if len(bad) > 0 || len(rows) != 3 || !strings.Contains(rows[0], `comm="a\nb"`) {
		t.Errorf("of a format: %q, %v", rows, bad)
	}
}

// What print((...)) printed, as it is in text and as it is in JSON.
func TestValues(t *testing.T) {
	const text = `{kind: hit, probe: 'a:f', line: '^\((?P<time_ns>\d+), (?P<tid>\d+), (?P<comm>.*)\)$'}`
	const inJSON = `{kind: hit, probe: 'a:f', line: '^\[(?P<time_ns>\d+), ?(?P<tid>\d+), ?"?(?P<comm>.*?)"?\]$'}`
	value := func(data string) string { return `{"type": "value", "data": ` + data + "}\n" }
	for _, test := range []struct{ spec, data, comm string }{
		{text, `[1000,5,"x"]`, "x"},
		{text, `[1000, 5, "x, \"y\""]`, `"x, \"y\""`},
		{text, `[1000,5,"x\uffffffc3\uffffffa9"]`, `"xé"`},
		{text, `["1000",5,"a\nb"]`, `"a\nb"`},
		{text, `[1000,5,x,y]`, `"x,y"`},
		{inJSON, `[1000,5,"x"]`, "x"},
		{inJSON, `[1000,5,x y]`, `"x y"`},
		{`{kind: hit, probe: 'a:f', line: '^\{ .t = (?P<time_ns>\d+), .id = \((?P<tid>\d+)\), .comm = (?P<comm>.*) \}$'}`, `{"t": 1000, "id": [5], "comm": "x"}`, "x"},
	} {
		_, rows, bad := parseJSON(t, value(test.data), test.spec)
		if len(bad) > 0 || len(rows) != 1 || !strings.Contains(rows[0], "0 1000 hit seq=0 tid=5 comm="+test.comm+" probe=a:f") {
			t.Errorf("%s, %s: %q, %v", test.spec, test.data, rows, bad)
		}
	}
	for _, data := range []string{`[1000,5]`, `5`, `"x"`, `[[[1]]]`, `{}`, `[]`} {
		if _, rows, bad := parseJSON(t, value(data), text); len(rows) > 0 || len(bad) != 1 {
			t.Errorf("%s: %q, %v; want it refused as in text", data, rows, bad)
		}
		p, rows, bad := parseJSON(t, asJSON(hit)+value(data), "")
		if len(rows) != 1 || len(bad) > 0 || len(p.Unused) != 1 {
			t.Errorf("%s without a format: %q, %v, %v", data, rows, bad, p.Unused)
		}
	}
	if _, rows, bad := parseJSON(t, value(`"`+strings.TrimSpace(hit)+`"`), ""); len(rows) != 1 || len(bad) > 0 {
		t.Errorf("print of a line of the script: %q, %v", rows, bad)
	}
}

// Once it has escaped a character, bpftrace prints counts in hexadecimal.
func TestCountsInJSON(t *testing.T) {
	escaped := strings.ReplaceAll(asJSON(hit), "comm=a", `comm=\uffffffc3`)
	for text, want := range map[string]string{
		asJSON(hit) + `{"type":"lost_events", "count":10}`:                       "ret=10 ",
		escaped + `{"type":"lost_events", "count":10}`:                           "ret=16 ",
		escaped + `{"type":"lost_events", "count":1f}`:                           "ret=31 ",
		escaped + `{"type": "lost_events", "data": {"events": 10}}`:              "ret=10 ",
		escaped + `{"type": "lost_events", "data": {"events": 10}, "count": 10}`: "ret=10 ",
	} {
		_, rows, bad := parseJSON(t, text+"\n", "")
		if len(bad) > 0 || len(rows) != 2 || !strings.Contains(rows[1], "lost seq=0 "+want) {
			t.Errorf("%s: %q, %v; want %s", text, rows, bad, want)
		}
	}
	failed := `{"type": "helper_error", "helper": "map_delete_elem", "retcode": -2, "line": 1, "col": 9}` + "\n"
	p, _, bad := parseJSON(t, asJSON(hit)+failed+failed, "")
	if len(bad) > 0 || len(p.Said) != 1 || p.Said[0] != "ERROR: 1:9: map_delete_elem failed: -2" {
		t.Errorf("%q, %v", p.Said, bad)
	}
}

// What is in front of the documents may be longer than what the format is told by.
func TestDocumentsBehindText(t *testing.T) {
	const mapping = "replay1 maps 7 7f0000001000-7f0000003000 r-xs 00002000 fe:01 326269 /usr/lib/a.so\n"
	for _, first := range []string{`{"type": "attached_probes", "data": {"probes": 1}}` + "\n", ""} {
		text := strings.Repeat(mapping, 1000) + first + asJSON(hit) + `{"type":"lost_events", "count":5}` + "\n" + asJSON(hit)
		p, rows, bad := parseText(text, nil)
		if len(bad) > 0 || len(rows) != 1003 || !strings.Contains(rows[1001], "lost seq=0 ret=5") || !p.LossesHere || p.Position() != int64(len(text)) {
			t.Errorf("%d rows, %v", len(rows), bad)
		}
	}
	if _, rows, bad := parseText(hit+asJSON(hit)+hit, nil); len(bad) != 1 || len(rows) != 2 {
		t.Errorf("a document among lines: %q, %v", rows, bad)
	}
}
