package bpftrace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func parseFormat(t *testing.T, name string) *Format {
	t.Helper()
	spec, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFormat(spec, name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What tools of bpftrace printed.
func TestTools(t *testing.T) {
	for _, test := range []struct {
		text, format, clock string
		step                int64
	}{
		{"threadsnoop", "threadsnoop", elapsed, 1e6},
		{"threadsnoop-0.20", "threadsnoop", timeOfDay, 1e3},
		{"sslsnoop", "sslsnoop", elapsed, 1e3},
	} {
		f := parseFormat(t, "testdata/"+test.format+".yaml")
		text, err := os.ReadFile("testdata/" + test.text + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		p, rows, bad := parseText(string(text), f)
		if len(bad) > 0 || p.Clock() != test.clock || p.Step() != test.step {
			t.Errorf("%s: clock %s, steps of %d ns, %v", test.text, p.Clock(), p.Step(), bad)
		}
		golden(t, test.text+".rows", strings.Join(rows, "\n")+"\n")
	}
}

// README shows the formats that are tested.
func TestFormatsOfREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"threadsnoop", "sslsnoop"} {
		spec, err := os.ReadFile("testdata/" + tool + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(readme), "```yaml\n"+string(spec)+"```\n") {
			t.Errorf("README has not testdata/%s.yaml as it is", tool)
		}
	}
	for _, name := range setterNames() {
		if !strings.Contains(string(readme), "`"+name+"`") && !strings.HasPrefix(name, "time_") && !strings.HasPrefix(name, "dur_") {
			t.Errorf("README does not name the group %s", name)
		}
	}
}

// A tool as it is runs here, and what it prints is read.
func TestToolLive(t *testing.T) {
	const tool = "/usr/sbin/threadsnoop.bt"
	script, err := os.ReadFile(tool)
	if err != nil {
		t.Skipf("the tools of bpftrace are not installed: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("not root: cannot record")
	}
	bin := compile(t, "testdata/counts.c", "-lpthread")
	dir := t.TempDir()
	// Since glibc 2.34 the function is in libc.
	program := strings.ReplaceAll(string(script), "uprobe:libpthread:", "uprobe:libc:")
	out := filepath.Join(dir, "out.txt")
	cmd := exec.Command("bpftrace", "-o", out, "-c", bin+" 1", "-e", program)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("bpftrace does not work here: %v\n%s", err, said)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	_, rows, bad := parseText(string(text), parseFormat(t, "testdata/threadsnoop.yaml"))
	hits := 0 // other programs start threads, too
	for _, row := range rows {
		if strings.Contains(row, "comm=program") && strings.Contains(row, "probe=libc:pthread_create") {
			hits++
		}
	}
	if hits != 4 || len(bad) > 0 {
		t.Errorf("%d hits, want those of 4 threads; %v\n%s", hits, bad, text)
	}
}

func TestFormats(t *testing.T) {
	tests := []struct{ spec, line, want string }{
		{`{kind: hit, probe: 'a:b', line: '^(?P<time_s>\S+) (?P<tid>\d+) (?P<addr_hex>\w+)$'}`, "1.000000005 7 ff", "0 1000000005 hit seq=0 tid=7 addr=0xff probe=a:b"},
		{`[{kind: mmap, part: enter, line: '(?P<time_us>\d+) (?P<cpu>\d+) (?P<pid>\d+) (?P<tid>\d+) (?P<len>\S+) (?P<comm>.*)'}]`, "5 1 7 8 0x2000 a b", `1 5000 mmap seq=0 cpu=1 pid=7 tid=8 comm="a b" len=0x2000`},
		{`[{kind: mmap, part: exit, line: '(?P<time_ns>\d+) (?P<tid>\d+) (?P<ret>-?\d+)'}]`, "5 7 -12", "2 5 mmap seq=0 tid=7 ret=-12"},
		{"lines:\n- kind: munmap\n  line: '(?P<time_ms>\\d+) (?P<tid>\\d+) (?P<dur_us>\\d+) (?P<ret>\\d+)'", "5 7 100 0", "0 4900000 munmap seq=0 tid=7 dur_ns=100000 ret=0"},
		{`{kind: fork, line: '(?P<time_ns>\d+) (?P<pid>\d+) (?P<ret>\d+)'}`, "5 7 8", "0 5 fork seq=0 pid=7 tid=7 ret=8"},
		{`{kind: lock_start, line: '(?P<time_ns>\d+) (?P<tid>\d+) (?P<mm_hex>\w+) (?P<write>[01])'}`, "5 7 ffff888199d45dc0 1", "0 5 lock_start seq=0 tid=7 mm=0xffff888199d45dc0 write=true"},
		{`{kind: hit, probe: 'a:b', line: '^\s*(?P<time_ns>\d+) (?P<tid>\d+)$'}`, "\t5 7", "0 5 hit seq=0 tid=7 probe=a:b"},
		{`{kind: hit, probe: 'a:b', line: '^(?P<time_hms>\S+) (?P<tid>\d+)$'}`, "00:01:02.5 7", "0 62500000000 hit seq=0 tid=7 probe=a:b"},
		{`{kind: ret, probe: 'a:b', line: '(?P<time_ns>\d+) (?P<tid>\d+) (?P<dur_ns>\d+)'}`, "5 7 2", "0 5 ret seq=0 tid=7 probe=a:b"},
	}
	for _, test := range tests {
		f, err := ParseFormat([]byte(test.spec), "spec")
		if err != nil {
			t.Errorf("%s: %v", test.spec, err)
			continue
		}
		_, rows, bad := parseText("Attaching 1 probe...\n"+test.line+"\n", f)
		if len(bad) > 0 || len(rows) != 1 || strings.TrimSuffix(rows[0], " src_pos=2") != test.want {
			t.Errorf("%s\ngot  %q %v\nwant %s", test.spec, rows, bad, test.want)
		}
	}
}

func TestFormatMismatch(t *testing.T) {
	f, err := ParseFormat([]byte(`{kind: hit, probe: 'a:b', line: '^(?P<time_ns>\S+) (?P<cpu>\d+) (?P<tid>\d+)$'}`), "spec")
	if err != nil {
		t.Fatal(err)
	}
	for line, says := range map[string]string{
		"hello":                        "a line of one of the 1 kinds",
		"12:34:56.7 x":                 "time_hms",
		"x 1 2":                        "a value in the group time_ns",
		"99999999999999 1 99999999999": "a value in the group tid",
		"12:34:56 1 2":                 "a value in the group time_ns",
		"1 70000 2":                    "a value in the group cpu",
	} {
		_, rows, bad := parseText("1 2 3\n"+line+"\n1 2 3\n", f)
		if len(rows) != 2 || len(bad) != 1 || !strings.Contains(bad[0].Error(), says) {
			t.Errorf("%s: %q, %v; want %q", line, rows, bad, says)
		}
	}
}

func TestBadFormats(t *testing.T) {
	const good = `line: '(?P<time_ns>\d+) (?P<tid>\d+)'`
	for spec, says := range map[string]string{
		"":                                     "0 kinds of lines",
		"[":                                    "yaml",
		"kind: hit\nwhat: x\n" + good:          "what",
		"{kind: hop, " + good + "}":            "hop",
		"{kind: hit, " + good + "}":            "want a probe",
		"{kind: hit, probe: 'a:b', line: '('}": "missing closing",
		"{kind: hit, probe: 'a:b', line: '(?P<tid>\\d+)'}":                                  "the time",
		"{kind: hit, probe: 'a:b', line: '(?P<time_ns>\\d+)'}":                              "the thread",
		"{kind: hit, probe: 'a:b', line: '(?P<time_ns>1)(?P<tid>1)(?P<x>1)'}":               `group "x" is none of addr, advice`,
		"{kind: hit, part: enter, probe: 'a:b', " + good + "}":                              "want enter or exit, of a syscall",
		"{kind: mmap, part: in, " + good + "}":                                              "want enter or exit",
		"{kind: mmap, part: exit, " + good + "}":                                            "with the result",
		"{kind: fork, " + good + "}":                                                        "the id of the child",
		"clock: wall\nlines: [{kind: exit, " + good + "}]":                                  "want boottime",
		"clock: monotonic\nlines: [{kind: exit, line: '(?P<time_hms>\\S+) (?P<tid>\\d+)'}]": "a time of day is of no such clock",
		"skip: ['(']\nlines: [{kind: exit, " + good + "}]":                                  "skip:",
		"{kind: exit, " + good + "}\n---\nx: 1":                                             "one document",
	} {
		f, err := ParseFormat([]byte(spec), "spec")
		if f != nil || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", spec, err, says)
		}
	}
}

// Times of day go on over midnight, lines that are out of order included; what is no
// time of day is refused, and so are times of two kinds in one text.
func TestTimeOfDay(t *testing.T) {
	f, err := ParseFormat([]byte(`[{kind: hit, probe: 'a:b', line: '^(?P<time_hms>[\d:.]+) (?P<tid>\d+)$'}, {kind: hit, probe: 'a:b', line: '^(?P<time_ns>\d+)ns (?P<tid>\d+)$'}]`), "spec")
	if err != nil {
		t.Fatal(err)
	}
	const day = int64(24 * 3600 * second)
	for text, want := range map[string][]int64{
		"12:00:00 12:00:01.25":                         {day / 2, day/2 + 1_250_000_000},
		"23:59:59 00:00:01 23:59:58 00:00:02":          {day - second, day + second, day - 2*second, day + 2*second},
		"00:00:00.5 23:59:59.75 00:00:01":              {500_000_000, -250_000_000, second},
		"10:00:00 08:59:59 10:00:00 09:00:00":          {10 * day / 24, day + 9*day/24 - second, day + 10*day/24, day + 9*day/24},
		"23:00:00 22:00:00 21:00:00 20:00:00 19:00:00": {23 * day / 24, 22 * day / 24, 45 * day / 24, 44 * day / 24, 67 * day / 24},
	} {
		_, rows, bad := parseText(strings.ReplaceAll(text, " ", " 7\n")+" 7\n", f)
		if len(bad) > 0 || len(rows) != len(want) {
			t.Errorf("%s: %q, %v", text, rows, bad)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(rows[i], fmt.Sprintf("0 %d hit", want[i])) {
				t.Errorf("%s: row %d is %s, want time %d", text, i, rows[i], want[i])
			}
		}
	}
	for _, text := range []string{"24:00:00", "12:60:00", "12:00:61", "1:00:00", "12:00", "12:00:00.", "12:00:00:00", "12:0.:00", "5:00:00.5", "12:00:00 7\n5ns"} {
		if _, rows, bad := parseText(text+" 7\n", f); len(bad) != 1 || len(rows) != strings.Count(text, "\n") {
			t.Errorf("%s: %q, %v", text, rows, bad)
		}
	}
	if _, rows, bad := parseText("5ns 7\n12:00:00 7\n", f); len(bad) != 1 || len(rows) != 1 {
		t.Errorf("two kinds of times: %q, %v", rows, bad)
	}
}

// The finest time of each kind of lines tells how fine they are; the coarsest kind
// counts.
func TestSteps(t *testing.T) {
	f, err := ParseFormat([]byte(`[{kind: hit, probe: 'a:b', line: '^(?P<time_s>[\d.]+) (?P<tid>\d+)$'}, {kind: exit, line: '^X (?P<time_ns>\d+) (?P<tid>\d+)$'}]`), "spec")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int64{
		"12 7\n13 7\n":                  1e9,
		"12 7\n13.5 7\nX 5 7\n":         1e8,
		"12.25 7\n13.125 7\n14 7\n":     1e6,
		"12.000000001 7\n":              1,
		"12.0000000000000000000005 7\n": 1,
		"X 5 7\n":                       1,
		"":                              0,
	} {
		if p, _, bad := parseText(text, f); len(bad) > 0 || p.Step() != want {
			t.Errorf("%q: steps of %d ns, want %d; %v", text, p.Step(), want, bad)
		}
	}
}
