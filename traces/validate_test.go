package traces

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/replay/replay/traces/tracetest"
)

// slice streams events from memory.
type slice struct {
	events []Event
	meta   Meta
	err    error // after the events; nil for io.EOF
}

func (s *slice) Meta() Meta { return s.meta }

func (s *slice) Next(ev *Event) error {
	if len(s.events) == 0 {
		if s.err != nil {
			return s.err
		}
		return io.EOF
	}
	*ev, s.events = s.events[0], s.events[1:]
	return nil
}

// parseLines parses lines of the text twin without the checks of a reader; seq
// counts from 0 where a line does not tell.
func parseLines(t *testing.T, lines string) []Event {
	t.Helper()
	var events []Event
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		var e Event
		if err := parseText([]byte(line), &e, int64(len(events)), newPool()); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

const valid = `
1 map pid=7 addr=0x400000 len=0x1000 pgoff=0x0 path=/bin/x build_id=00ff prot=5
2 hit cpu=0 tid=7 addr=0x400010 probe=g:n stack=["main+0x1 (x)"]
2 hit cpu=1 tid=8 probe=g:n
2 hit cpu=1 tid=8 probe=g:m trap=2
3 mmap cpu=0 tid=7 dur_ns=10 addr=0x7000 len=0x1000 prot=3 flags=34 ret=0x7000
4 ret cpu=1 tid=8 probe=g:n
4 mmap cpu=1 tid=8 dur_ns=1 addr=0xffffffffffffffff len=0x1000 prot=3 flags=34 ret=-12
13 munmap cpu=0 tid=7 dur_ns=1 addr=0x7000 len=0x1000 ret=0
14 mremap tid=7 dur_ns=1 addr=0x7000 len=0x1000 new_addr=0x9000 new_len=0x2000 ret=0x9000
15 mprotect tid=7 addr=0x7000 len=0x1000 prot=1
16 madvise tid=7 ret=0
17 brk tid=7 dur_ns=5 ret=0x5000
22 lock_start tid=7 write=false in_uprobe=true mm=0xff
22 lock_acquired tid=7 write=false
23 lock_released tid=7 write=false
24 arrive tid=7 addr=0x400010
25 fork tid=7 ret=9
26 exec tid=9 path=/bin/y
27 exit tid=9
28 lost cpu=0 ret=5 dur_ns=3 src=1
`

func TestValidTraceHasNoFindings(t *testing.T) {
	events := parseLines(t, valid)
	seen := map[Kind]bool{}
	for _, e := range events {
		seen[e.Kind] = true
	}
	for _, k := range Kinds() {
		if !seen[k] {
			t.Errorf("no %s among the rows", k)
		}
	}
	if err := Validate(&slice{events: events, meta: someMeta}); err != nil {
		t.Error(err)
	}
}

func TestEveryRuleHasABreach(t *testing.T) {
	var all strings.Builder
	for _, lines := range []string{
		"2 hit tid=1 addr=0\n1 hit tid=1 addr=0",
		"2 hit cpu=0 tid=1 addr=0\n2 hit tid=1 addr=0",
		"2 hit tid=1 addr=0\n2 hit seq=5 tid=1 addr=0",
		"2 hit tid=1 addr=0\n2 hit seq=0 tid=1 addr=0",
		"-1 hit tid=1 addr=0",
		"1 hit tid=1",
		"1 hit addr=0",
		"1 hit tid=-1 addr=0 cpu=-2",
		"1 hit tid=1 probe=nogroup",
		"1 hit tid=1 addr=0 build_id=XYZ",
		`1 hit tid=1 addr=0 stack=["a",""]`,
		"1 hit tid=1 addr=0 src_pos=-1",
		"1 hit tid=1 addr=0 src=2",
		"1 hit tid=1 addr=0 write=true advice=1",
		"1 munmap tid=1 addr=0 len=1 trap=0",
		"1 hit tid=1 addr=0 trap=0",
		"1 hit tid=1 addr=0\n2 hit tid=1 addr=0\n3 hit tid=1 addr=0 trap=0",
		"1 hit tid=1 addr=0\n2 hit tid=2 addr=0 trap=0",
		"1 hit tid=1 addr=0\n2 hit tid=1 addr=1 trap=0",
		"1 lock_start tid=1",
		"1 lock_acquired tid=1 write=true in_uprobe=false",
		"1 map pid=1 addr=0x1000",
		"1 map pid=1 addr=0xfffffffffffff000 len=0x2000",
		"1 fork tid=1 ret=-11",
		"1 mmap tid=1 dur_ns=5",
		"1 mmap tid=1 dur_ns=-5 len=1 prot=1 flags=1 ret=-12",
		"1 mmap tid=1 dur_ns=5 len=1 prot=1 flags=1 addr=0x1000 ret=0x2000",
		"1 mremap tid=1 dur_ns=5 addr=0x1000 len=1 ret=0x2000",
		"1 munmap tid=1 dur_ns=5 addr=0x1000 len=1 ret=7",
		"1 munmap tid=1 addr=0xfffffffffffff000 len=0x2000",
		"1 madvise tid=1 dur_ns=5 addr=0x1000 len=1 ret=0",
		"1 brk tid=1 dur_ns=5 ret=0\n3 brk tid=1 dur_ns=5 ret=0",
	} {
		err := Validate(&slice{events: parseLines(t, lines), meta: someMeta})
		var invalid *InvalidError
		if !errors.As(err, &invalid) || int64(len(invalid.Findings)) != invalid.Total {
			t.Errorf("%s: %v", lines, err)
		}
		fmt.Fprintf(&all, "%s\n    %v\n", strings.ReplaceAll(lines, "\n", " ⏎ "), strings.ReplaceAll(fmt.Sprint(err), "\n", "\n    "))
	}
	tracetest.Golden(t, "findings.golden", all.String())
}

func TestValidateBeyondText(t *testing.T) {
	for name, s := range map[string]*slice{
		"kind":   {events: []Event{{Kind: numKinds}}, meta: someMeta},
		"column": {events: []Event{{Kind: Lost, Has: colEnd}}, meta: someMeta},
		"schema": {events: []Event{{Kind: Lost}}},
	} {
		var invalid *InvalidError
		if err := Validate(s); !errors.As(err, &invalid) || invalid.Total != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("cut")
	if err := Validate(&slice{err: broken, meta: someMeta}); err != broken {
		t.Errorf("the stream's error: %v", err)
	}
}

func TestFindingsAreCounted(t *testing.T) {
	events := make([]Event, 3*FindingsMax)
	for i := range events {
		events[i] = Event{Kind: Lost, Seq: 7}
	}
	var invalid *InvalidError
	err := Validate(&slice{events: events, meta: someMeta})
	if !errors.As(err, &invalid) || len(invalid.Findings) != FindingsMax || invalid.Total != int64(len(events)-1) {
		t.Fatal(err)
	}
	if !strings.HasSuffix(err.Error(), fmt.Sprintf("and %d more", invalid.Total-FindingsMax)) {
		t.Error(err)
	}
}
