package traces

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/replay/replay/traces/tracetest"
)

func text(t testing.TB, events []Event, meta Meta) string {
	t.Helper()
	var b bytes.Buffer
	w := NewTextWriter(&b)
	if err := w.WriteMeta(meta); err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if err := w.Write(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextParsesBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := anyEvent.Draw(rt, "event")
		e.Seq = rapid.Int64().Draw(rt, "seq")
		line := FormatText(&e)
		if strings.ContainsAny(line, "\n\r") {
			rt.Fatalf("more than one line: %q", line)
		}
		got := Event{Has: AllColumns, Comm: "dirty", Mm: 1}
		if err := ParseText(line, &got); err != nil {
			rt.Fatalf("%s: %v", line, err)
		}
		if d := cmp.Diff(e, got); d != "" {
			rt.Fatalf("%s (-formatted +parsed):\n%s", line, d)
		}
	})
}

func TestTextTraceParsesBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := anyTrace.Draw(rt, "trace")
		if gap := rapid.Bool().Draw(rt, "gap"); gap {
			for i := range events {
				events[i].Seq += int64(i)
			}
		}
		r := NewTextReader(strings.NewReader(text(t, events, someMeta)), "t.txt")
		got, err := collect(r)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(events, got); d != "" {
			rt.Fatalf("events (-written +read):\n%s", d)
		}
		if d := cmp.Diff(someMeta, r.Meta()); d != "" {
			rt.Fatalf("meta (-written +read):\n%s", d)
		}
	})
}

func TestTextLooksLikeThis(t *testing.T) {
	events := []Event{
		{Kind: Map, Has: ColPID | ColAddr | ColLen | ColPgoff | ColInode | ColPath | ColBuildID, Time: 10, Seq: 0, PID: 7, Addr: 0x400000, Len: 0x1000, Inode: 99, Path: "/usr/bin/my app", BuildID: "ab12"},
		{Kind: Mmap, Has: ColCPU | ColTID | ColComm | ColDur | ColAddr | ColLen | ColProt | ColFlags | ColRet | ColStack, Time: 20, Seq: 1, CPU: 1, TID: 8, Comm: "G1 Main", Dur: 900, Addr: 0x7f0000000000, Len: 0x2000, Prot: 3, Flags: 34, Ret: 0x7f0000000000, Stack: []string{"mmap+0x4 (libc.so.6)", "0x1234 ([unknown])"}},
		{Kind: Munmap, Has: ColTID | ColRet | ColStack, Time: 21, Seq: 2, TID: 8, Ret: -22},
		{Kind: LockStart, Has: ColCPU | ColMm | ColWrite | ColInUprobe, Time: 30, Seq: 3, Mm: 0xffff888100000000, InUprobe: true},
		{Kind: Hit, Has: ColCPU | ColProbe | ColComm | ColSrc | ColSrcPos, Time: 40, Seq: 9, CPU: 0, Probe: "probe_java:alloc", SrcPos: 4096},
	}
	tracetest.Golden(t, "text.golden", text(t, events, someMeta))
}

func TestTextErrorsNameTheLine(t *testing.T) {
	head := "# replay-trace 1\n"
	var all strings.Builder
	for _, in := range []string{
		"",
		"1 hit\n",
		"# replay-trace 2\n",
		head + "# clocks monotonic\n",
		head + "# cpus many\n",
		head + "# source {\n",
		head + "# warning no quotes\n",
		head + "\n  \n1 hit\n\nx hit\n",
		head + "1\n",
		head + "1 hti cpu=0\n",
		head + "1 hit cpu\n",
		head + "1 hit =1\n",
		head + "1 hit colour=red\n",
		head + "1 hit kind=ret\n",
		head + "1 hit cpu=0 cpu=0\n",
		head + "1 hit seq=0 seq=1\n",
		head + "1 hit seq=x\n",
		head + "1 hit cpu=2147483648\n",
		head + "1 hit addr=-1\n",
		head + "1 hit write=yes\n",
		head + "1 hit comm=\"a\n",
		head + "1 hit comm=\"a\"b\n",
		head + "1 hit stack=f\n",
		head + "1 hit stack=[f]\n",
		head + "1 hit stack=[\"f\" \"g\"]\n",
		head + "1 hit stack=[\"f\"\n",
		head + "2 hit cpu=1\n2 hit cpu=0\n",
		head + "2 hit seq=1\n2 hit seq=1\n",
		head + "1 hit comm=" + strings.Repeat("x", TextLineMax) + "\n",
	} {
		_, err := collect(NewTextReader(strings.NewReader(in), "t.txt"))
		if err == nil {
			t.Errorf("no error for %q", clip(in))
			continue
		}
		all.WriteString(clip(strings.ReplaceAll(strings.TrimPrefix(in, head), "\n", "⏎")) + "\n    " + err.Error() + "\n")
	}
	tracetest.Golden(t, "text_errors.golden", all.String())
}

func TestTextTakesTheLastMetadata(t *testing.T) {
	var b bytes.Buffer
	w := NewTextWriter(&b)
	first, last := someMeta, someMeta
	first.Warnings, first.Lost = nil, 0
	for _, m := range []Meta{first, last} {
		if err := w.WriteMeta(m); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&Event{Kind: Hit, Time: w.rows, Seq: w.rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if !IsText(b.Bytes()) || IsParquet(b.Bytes()) {
		t.Errorf("not told as text: %q", b.String()[:16])
	}
	r := NewTextReader(&b, "t.txt")
	if events, err := collect(r); err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if d := cmp.Diff(last, r.Meta()); d != "" {
		t.Errorf("meta (-last +read):\n%s", d)
	}
}

func TestTextEndsWithTheReader(t *testing.T) {
	broken := errors.New("disk on fire")
	in := io.MultiReader(strings.NewReader("# replay-trace 1\n1 hit\n"), iotestErr{broken})
	events, err := collect(NewTextReader(in, "t.txt"))
	if len(events) != 1 || !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "t.txt:3: ") {
		t.Errorf("%d events, %v", len(events), err)
	}
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

// A text whose last line has no end may have been cut short, even where that line
// makes sense.
func TestTextCut(t *testing.T) {
	whole := text(t, synthetic(3), Meta{Clock: "perf"})
	for _, test := range []struct {
		text string
		cut  bool
	}{{whole, false}, {strings.TrimSuffix(whole, "\n"), true}, {whole + "# lost 3", true}} {
		r := NewTextReader(strings.NewReader(test.text), "x.txt")
		if _, err := collect(r); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(r.Meta().Warnings, CutWarning); got != test.cut {
			t.Errorf("%q: warned %v, want %v", test.text[len(test.text)-10:], got, test.cut)
		}
	}
}

func FuzzParseText(f *testing.F) {
	for _, e := range synthetic(20) {
		f.Add(FormatText(&e))
	}
	f.Add(`5 mmap seq=1 comm="\x00\"" stack=["","é"] write=true ret=-0x8`)
	f.Fuzz(func(t *testing.T, line string) {
		var e, again Event
		if ParseText(line, &e) != nil {
			return
		}
		if err := ParseText(FormatText(&e), &again); err != nil {
			t.Fatalf("%s: %v", FormatText(&e), err)
		}
		if d := cmp.Diff(e, again); d != "" {
			t.Fatalf("(-parsed +parsed again):\n%s", d)
		}
	})
}

func FuzzTextReader(f *testing.F) {
	f.Add(text(f, synthetic(20), someMeta))
	f.Add("# replay-trace 1\r\n\r\n1 hit\r\n# replay-trace 1\n# cpus 3\n2 hit seq=7")
	position := regexp.MustCompile(`^t\.txt(:(\d+))?: `)
	f.Fuzz(func(t *testing.T, in string) {
		r := NewTextReader(strings.NewReader(in), "t.txt")
		events, err := collect(r)
		if err != nil {
			if m := position.FindStringSubmatch(err.Error()); m == nil || in != "" && m[2] == "" {
				t.Fatalf("no position in %q", err)
			}
			if r.line > strings.Count(in, "\n")+1 {
				t.Fatalf("line %d of %d: %v", r.line, strings.Count(in, "\n")+1, err)
			}
			return
		}
		again, err := collect(NewTextReader(strings.NewReader(text(t, events, r.Meta())), "t.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(events, again); d != "" {
			t.Fatalf("(-read +read again):\n%s", d)
		}
		if !slices.IsSortedFunc(events, func(a, b Event) int { return Compare(&a, &b) }) {
			t.Fatal("out of order")
		}
	})
}
