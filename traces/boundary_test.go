package traces

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// TestErrorNumbers holds which results of a syscall are failures: -1 to -4095
// (IS_ERR_VALUE); the addresses below those are results.
func TestErrorNumbers(t *testing.T) {
	for ret, want := range map[int64]bool{0: false, 1: false, -1: true, -12: true, -4095: true, -4096: false, -1 << 62: false} {
		if failed(ret) != want {
			t.Errorf("%d: failed is %v", ret, !want)
		}
	}
}

// TestRulesAtTheirEdges has rows that just keep a rule beside those that just break it.
func TestRulesAtTheirEdges(t *testing.T) {
	for lines, want := range map[string]string{
		"1 map pid=1 addr=0xfffffffffffff000 len=0xfff":                                                  "",
		"1 map pid=1 addr=0xfffffffffffff000 len=0x1000":                                                 "beyond the address space",
		"1 munmap tid=1 dur_ns=1 addr=0xfffffffffffff000 len=0x1000 ret=-22":                             "",
		"1 munmap tid=1 dur_ns=1 addr=0xfffffffffffff000 len=0x1000 ret=-4096":                           "neither success nor an error",
		"1 munmap tid=1 dur_ns=1 addr=0x1000 len=0x1000 ret=-4095":                                       "",
		"1 brk tid=1 dur_ns=5 ret=1\n6 brk tid=1 dur_ns=5 ret=1":                                         "",
		"1 brk tid=1 dur_ns=5 ret=1\n5 brk tid=1 dur_ns=5 ret=1":                                         "thread 1 is still in a syscall until 6",
		"1 brk tid=1 dur_ns=5 ret=1\n5 brk tid=2 dur_ns=5 ret=1":                                         "",
		"1 brk tid=1 dur_ns=5 ret=1\n5 brk tid=1 ret=1":                                                  "", // of a call whose entry was lost
		"1 brk tid=1 dur_ns=0 ret=1":                                                                     "",
		"1 brk tid=1 dur_ns=-1 ret=1":                                                                    "dur_ns is -1",
		"0 hit tid=0 cpu=0 addr=0":                                                                       "",
		"0 hit tid=0 cpu=-1 addr=0":                                                                      "cpu is -1",
		"-1 hit tid=0 addr=0":                                                                            "time_ns is -1",
		"1 fork tid=1 ret=1":                                                                             "",
		"1 fork tid=1 ret=0":                                                                             "ret is 0; it is the child's id",
		"1 hit tid=1 addr=0 src=0 src_pos=0":                                                             "",
		"1 hit tid=1 addr=0 src=1":                                                                       "",
		"1 hit tid=1 addr=0 src=2":                                                                       "src is 2, and the metadata has 2 sources",
		"1 hit tid=1 addr=0 src=2\n2 hit tid=1 addr=0 src=5\n3 hit tid=1 addr=0 src=5":                   "row 1 (hit): src is 5, and",
		"1 hit tid=1 addr=0\n1 hit tid=1 addr=0":                                                         "",
		"1 hit cpu=1 tid=1 addr=0\n1 hit cpu=1 tid=1 addr=0":                                             "",
		"1 hit cpu=1 tid=1 addr=0\n1 hit cpu=0 tid=1 addr=0":                                             "(time_ns, cpu) is (1, 0) after (1, 1)",
		"1 hit cpu=1 tid=1 addr=0\n2 hit cpu=0 tid=1 addr=0":                                             "",
		"1 hit cpu=0 tid=1 addr=0\n1 hit tid=1 addr=0":                                                   "(time_ns, cpu) is (1, -1) after (1, 0)",
		"1 hit tid=1 addr=0\n2 hit tid=1 addr=0 trap=1":                                                  "trap is 1, which is no earlier row",
		"1 hit tid=1 addr=0\n2 hit tid=1 addr=0 trap=-1":                                                 "trap is -1, which is no earlier row",
		"1 hit tid=1 addr=0\n2 hit tid=1 addr=0 trap=0":                                                  "",
		"1 hit tid=1 probe=a:b":                                                                          "",
		"1 hit tid=1 probe=:b":                                                                           "not of the form",
		"1 hit tid=1 probe=a:":                                                                           "not of the form",
		"1 hit tid=1 addr=0 build_id=00ff":                                                               "",
		`1 hit tid=1 addr=0 build_id=""`:                                                                 "not in hexadecimal",
		"1 mremap tid=1 dur_ns=1 addr=0x1000 len=1 new_addr=0x2000 new_len=0x1 ret=0x3000":               "new_addr is 0x2000 and ret 0x3000",
		"1 mremap tid=1 dur_ns=1 addr=0x1000 len=1 new_addr=0xfffffffffffff000 new_len=0x1000 ret=-4096": "new_addr 0xfffffffffffff000 and 0x1000 bytes go beyond",
	} {
		err := Validate(&slice{events: parseLines(t, lines), meta: someMeta})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", lines, err, want)
		}
	}
}

// TestAllFindingsAreTold: as many as are told are not "and 0 more".
func TestAllFindingsAreTold(t *testing.T) {
	events := make([]Event, FindingsMax+1)
	for i := range events {
		events[i] = Event{Kind: Lost, Seq: -1}
	}
	for n := FindingsMax; n <= FindingsMax+1; n++ {
		err := Validate(&slice{events: events[:n], meta: someMeta})
		if more := strings.Contains(fmt.Sprint(err), "more"); more != (n > FindingsMax) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("%d findings", n)) {
			t.Errorf("%d findings: %v", n, err)
		}
	}
}

// TestWordsOfTheText quotes each byte alone and in a word, and reads it back. Words are
// letters, digits and _-./:+@%~ alone.
func TestWordsOfTheText(t *testing.T) {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+@%~"
	for b := range 256 {
		for _, s := range []string{string([]byte{byte(b)}), "a" + string([]byte{byte(b)}) + "b"} {
			ev := Event{Kind: Exec, Has: ColComm | ColStack | ColTID, Comm: s, Stack: []string{s, "x", s}, TID: 1}
			line := FormatText(&ev)
			want := strconv.Quote(s)
			if strings.IndexByte(plain, byte(b)) >= 0 {
				want = s
			}
			if !strings.Contains(line, " comm="+want+" ") {
				t.Errorf("byte %#x is in %s, want %s", b, line, want)
			}
			var got Event
			if err := ParseText(line, &got); err != nil || got.Comm != s || len(got.Stack) != 3 || got.Stack[0] != s || got.Stack[2] != s {
				t.Errorf("%s is read as %+v, %v", line, got, err)
			}
		}
	}
}

// readText reads all of a text.
func readText(r io.Reader) (events []Event, m Meta, err error) {
	reader := NewTextReader(r, "t.txt")
	for {
		var ev Event
		if err := reader.Next(&ev); err != nil {
			if err == io.EOF {
				err = nil
			}
			return events, reader.Meta(), err
		}
		events = append(events, ev)
	}
}

// TestLongLines has lines around the size of the reader's buffer and of the longest.
func TestLongLines(t *testing.T) {
	const head, tail = "1 exec tid=1 path=", "\n"
	for _, size := range []int{100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 300_001, TextLineMax - 1, TextLineMax, TextLineMax + 1} {
		path := strings.Repeat("x", size-len(head)-len(tail))
		text := "# replay-trace 1\n" + head + path + tail + "2 exec tid=1 path=y\n"
		events, _, err := readText(strings.NewReader(text))
		if size > TextLineMax {
			if !errors.Is(err, ErrCorrupt) || !strings.HasPrefix(err.Error(), "t.txt:2: ") {
				t.Errorf("a line of %d bytes: %v", size, err)
			}
			continue
		}
		if err != nil || len(events) != 2 || events[0].Path != path || events[1].Path != "y" || events[1].Seq != 1 {
			t.Errorf("a line of %d bytes: %d rows, %v", size, len(events), err)
		}
	}
}

// TestMetadataOfTheText reads back what is written, whatever is in names.
func TestMetadataOfTheText(t *testing.T) {
	want := Meta{Schema: Schema, Clock: "mono tonic", Kernel: `6.18 "x"`, Arch: "x86_64", CPUs: 1<<31 - 1, Lost: 1<<63 - 1,
		Sources:  []Source{{Path: "a b", Format: "perf-data"}, {Path: "c", Format: "d"}},
		Warnings: []string{"one\ntwo", ""}, Recorded: []string{"hit", "a b"}, Unknown: []Unknown{{"losses", "why", "remedy"}}}
	var b bytes.Buffer
	w := NewTextWriter(&b)
	if err := w.WriteMeta(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_, got, err := readText(&b)
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for _, bad := range []string{"cpus 2147483648", "cpus -1", "lost 9223372036854775808", "lost x", "clock \"a", "source {", "warning a", "unknown 1", "colour red"} {
		if _, _, err := readText(strings.NewReader("# replay-trace 1\n# " + bad + "\n")); !errors.Is(err, ErrCorrupt) || !strings.HasPrefix(err.Error(), "t.txt:2: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestClip holds how much of the input an error quotes.
func TestClip(t *testing.T) {
	sixty := strings.Repeat("é", 30)
	if got := clip(sixty); got != sixty {
		t.Errorf("%q", got)
	}
	if got := clip([]byte(sixty + "x")); got != sixty+"..." {
		t.Errorf("%q", got)
	}
}

// TestWhereAFrameIs tells the kernel's frames from others.
func TestWhereAFrameIs(t *testing.T) {
	for frame, kernel := range map[string]bool{
		"do_syscall_64+0x5 ([kernel.kallsyms])": true, "ext4_map+0x1 ([ext4])": true, "x+0x1 (/lib/modules/6.1/net.ko)": true,
		"down_read+0x9": true, "__mmap_lock+0x1": true, // bpftrace says no more
		"0xffffffff81000000 ([kernel.kallsyms])": false, "0xffffffff81000000": false, // not named
		"main+0x4 (/bin/app)": false, "x ([vdso])": false, "x ([vsyscall])": false, "x ([heap])": false, "x ([stack])": false,
		"x ([uprobes-trampo)": false, "x (app.ko.so)": false,
	} {
		if got := NamesKernel([]string{"main+0x1 (/bin/app)", frame}); got != kernel {
			t.Errorf("%s: of the kernel %v", frame, got)
		}
	}
	if NamesKernel(nil) {
		t.Error("an empty callchain names the kernel")
	}
	for name, c := range map[string]struct {
		stack []string
		want  bool
	}{
		"nothing":                    {nil, false},
		"kernel, then trampoline":    {[]string{"a ([kernel.kallsyms])", "b", "0x1 ([uprobes-trampoline])"}, true},
		"unknown, then trampoline":   {[]string{"0x1 ([unknown])", "0x2 ([uprobes-trampo)"}, true},
		"a file, then trampoline":    {[]string{"0x1 (/bin/app)", "0x2 ([uprobes-trampo)"}, false},
		"nothing but the kernel":     {[]string{"a ([kernel.kallsyms])"}, false},
		"a name that begins with it": {[]string{"(x) (y"}, false},
		"at the very beginning":      {[]string{" ([uprobes-trampo)"}, true},
	} {
		if got := FromTrampoline(c.stack); got != c.want {
			t.Errorf("%s: from the trampoline %v", name, got)
		}
	}
	for frame, want := range map[string]bool{"f": true, "f+0x1": true, "f (m)": true, "f.isra.0": true, "fg": false, "g": false, "": false, "_f": false} {
		if in(frame, "f") != want {
			t.Errorf("%q is of f: %v", frame, !want)
		}
	}
}

// TestCounts holds what Coverage counts, and Unknowns picks.
func TestCounts(t *testing.T) {
	var c Coverage
	for _, row := range []string{
		"1 hit tid=1 addr=0x1 probe=a:f", "2 hit tid=1 addr=0x1 probe=a:g trap=0",
		"3 lock_start tid=1 write=false", "4 lock_acquired tid=1 write=false", "5 lock_released tid=1 write=false", "6 hit tid=1 addr=0x1 probe=a:f",
		"7 lock_start tid=2 write=false", "8 hit tid=1 addr=0x1 probe=a:f", "9 hit tid=2 addr=0x1 probe=a:f", "10 hit tid=2 addr=0x1 probe=a:f",
		"11 lock_start tid=2 write=false in_uprobe=false", "12 hit tid=2 addr=0x1 probe=a:f",
	} {
		var ev Event
		if err := ParseText(row, &ev); err != nil {
			t.Fatal(err)
		}
		c.Add(&ev)
	}
	if c.Lookups() != 6 || c.Undecided() != 2 {
		t.Errorf("%d lookups, of which %d undecided; want 6, 2", c.Lookups(), c.Undecided())
	}
	list := []Unknown{{What: "a"}, {What: "b"}, {What: "c"}, {What: "a"}}
	if got := Unknowns(list, "a", "c"); len(got) != 3 || got[0].What != "a" || got[1].What != "c" || got[2].What != "a" {
		t.Errorf("%v", got)
	}
	if got := Unknowns(list); got != nil {
		t.Errorf("%v", got)
	}
}

// TestMetaOfACut numbers sources, and tells of warnings that were left out where there
// were some.
func TestMetaOfACut(t *testing.T) {
	m := Meta{Sources: []Source{{Path: "a", Format: "x"}, {Path: "b", Format: "y"}}}
	cut := Cut{Anonymise: true}
	got := cut.Meta(m)
	if len(got.Sources) != 2 || got.Sources[0] != (Source{Path: "source1", Format: "x"}) || got.Sources[1] != (Source{Path: "source2", Format: "y"}) {
		t.Errorf("sources %+v", got.Sources)
	}
	if len(got.Warnings) != 1 || strings.Contains(got.Warnings[0], "warnings") {
		t.Errorf("no warnings became %q", got.Warnings)
	}
	m.Warnings = []string{"one"}
	if got := cut.Meta(m); len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "1 warnings were left out") {
		t.Errorf("one warning became %q", got.Warnings)
	}
	if got := (&Cut{}).Meta(m); len(got.Warnings) != 2 || got.Warnings[0] != "one" || len(m.Warnings) != 1 || got.Sources[0].Path != "a" {
		t.Errorf("not anonymous: %+v", got)
	}
}

// TestJSONOfAStack separates frames.
func TestJSONOfAStack(t *testing.T) {
	var b bytes.Buffer
	w := NewJSONWriter(&b)
	if err := w.Write(&Event{Kind: Hit, Has: ColStack, Stack: []string{"a", "b", "c"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"stack":["a","b","c"]`) {
		t.Error(b.String())
	}
}
