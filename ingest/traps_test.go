package ingest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// countTraps is how many hits there are, and of how many traps. What is wrong with the
// order and the links of the rows is an error.
func countTraps(s traces.Stream) (hits, traps int, err error) {
	check := &checked{Stream: s, each: func(ev *traces.Event) {
		if ev.Kind == traces.Hit {
			hits++
		}
		if ev.Kind == traces.Hit && !ev.Joined() {
			traps++
		}
	}}
	return hits, traps, traces.Validate(check)
}

// checked shows the rows of a stream on their way.
type checked struct {
	traces.Stream
	each func(*traces.Event)
}

func (c *checked) Next(ev *traces.Event) error {
	err := c.Stream.Next(ev)
	if err == nil {
		c.each(ev)
	}
	return err
}

const twoProbes = `             app  4101/4101  [000]    50.000000000: probe_app:f: (401136)
             app  4101/4101  [000]    50.000001800: probe_app:f_again: (401136) n=0x1
             app  4101/4101  [000]    50.000010000: probe_app:f: (401136)
             app  4101/4101  [000]    50.000011800: probe_app:f_again: (401136) n=0x1
`

const eventTwice = `             app  4101/4101  [000]    50.000001000: probe_app:f: (401136)
             app  4101/4101  [000]    50.000001300: probe_app:f: (401136)
             app  4101/4101  [000]    50.000101000: probe_app:f: (401136)
             app  4101/4101  [000]    50.000101300: probe_app:f: (401136)
`

const quickTraps = `             app  4101/4101  [000]    50.000001000: probe_app:f: (401136)
             app  4101/4101  [000]    50.000002011: probe_app:f: (401136)
             app  4101/4101  [000]    50.000101000: probe_app:f: (401136)
             app  4101/4101  [000]    50.000102011: probe_app:f: (401136)
`

// later are the same hits a second later.
var later = strings.NewReplacer("  50.", "  51.")

const twinText = `# replay-trace 1
10 hit cpu=0 pid=7 tid=7 addr=0x10 probe=g:f src=0
11 hit cpu=0 pid=7 tid=7 addr=0x10 probe=g:alias src=0
12 hit cpu=0 pid=7 tid=7 addr=0x10 probe=g:f src=0
# replay-trace 1
# source {"path":"x","format":"text"}
`

// Several events of one trap, in each format.
func TestSeveralEventsOfOneTrap(t *testing.T) {
	for _, test := range []struct {
		name, path, text string
		hits, traps      int
	}{
		{"perf.data, one event twice", "testdata/event-twice-pipe.perf.data", "", 10, 5},
		{"perf script, two events", "", twoProbes, 4, 2},
		{"perf script, one event twice", "", eventTwice + later.Replace(eventTwice), 8, 4},
		{"perf script, quick traps", "", quickTraps + later.Replace(quickTraps), 8, 8},
		{"text", "", twinText, 3, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := test.path
			if path == "" {
				path = filepath.Join(t.TempDir(), "input")
				if err := os.WriteFile(path, []byte(test.text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open(context.Background(), []string{path}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			hits, traps, err := countTraps(s)
			if err != nil || hits != test.hits || traps != test.traps {
				t.Errorf("%d hits of %d traps, %v; want %d of %d", hits, traps, err, test.hits, test.traps)
			}
		})
	}
}

// A trap that two recordings show is one, too.
func TestTrapsOfTwoInputs(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i, text := range []string{twoProbes, strings.NewReplacer("50.0000000", "50.0000004", "50.0000100", "50.0000104", "_again", "_third", ":f:", ":f_other:").Replace(twoProbes)} {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(paths[i], []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(context.Background(), paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hits, traps, err := countTraps(s)
	if err != nil || hits != 8 || traps != 2 {
		t.Errorf("%d hits of %d traps, %v; want 8 of 2", hits, traps, err)
	}
}

// manyStream streams drawn rows.
type manyStream struct{ events []traces.Event }

func (s *manyStream) Meta() traces.Meta { return traces.Meta{Schema: traces.Schema} }
func (s *manyStream) Close() error      { return nil }

func (s *manyStream) Next(ev *traces.Event) error {
	if len(s.events) == 0 {
		return io.EOF
	}
	*ev, s.events = s.events[0], s.events[1:]
	return nil
}

// Merging leaves rows of one trap together, and of different ones apart.
func TestMergeKeepsTraps(t *testing.T) {
	moved := 0
	rapid.Check(t, func(rt *rapid.T) {
		var streams []Stream
		trapOf := map[string]int64{} // by probe, which each row has its own of
		for i := range rapid.IntRange(2, 3).Draw(rt, "inputs") {
			var events []traces.Event
			first := int64(-1)
			for n := range int64(rapid.IntRange(0, 20).Draw(rt, "rows")) {
				ev := traces.Event{
					Kind: traces.Hit, Has: traces.ColTID | traces.ColAddr | traces.ColProbe,
					Time: n, Seq: n, TID: int32(i + 1), Addr: 16, Probe: fmt.Sprintf("g:p%d_%d", i, n),
				}
				if first >= 0 && rapid.Bool().Draw(rt, "joined") {
					ev.Trap, ev.Has = first, ev.Has|traces.ColTrap
				} else {
					first = n
				}
				trapOf[ev.Probe] = int64(i)<<32 | first
				events = append(events, ev)
			}
			streams = append(streams, &manyStream{events})
		}
		m, err := merge([]string{"a", "b", "c"}[:len(streams)], streams)
		if err != nil {
			rt.Fatal(err)
		}
		now := map[int64]int64{} // of the trap: the row that begins it
		_, _, err = countTraps(&checked{m, func(ev *traces.Event) {
			trap := trapOf[ev.Probe]
			seq, seen := now[trap]
			if !seen {
				now[trap] = ev.Seq
			}
			if ev.Joined() != seen || seen && ev.Trap != seq {
				rt.Fatalf("row %d is joined %v to %d, want %v to %d", ev.Seq, ev.Joined(), ev.Trap, seen, seq)
			}
			if seen && seq != trap&0xffffffff {
				moved++
			}
		}})
		if err != nil && !strings.Contains(err.Error(), "src is") {
			rt.Fatal(err)
		}
	})
	if moved == 0 {
		t.Error("vacuous: no link had to change")
	}
}

// The rows that name files stand before hits, whose links go with them.
func TestNamedFilesKeepTraps(t *testing.T) {
	a := assemble.New(assemble.Options{})
	at := int64(0)
	add := func(kind traces.Kind, addr uint64, has traces.Columns, change func(*assemble.Record)) {
		r := a.Record()
		at++
		r.Kind, r.Time, r.PID, r.TID, r.Addr, r.Has = kind, at, 7, 7, addr, traces.ColPID|traces.ColTID|traces.ColAddr|has
		if change != nil {
			change(r)
		}
		a.Place(r)
	}
	for _, page := range []uint64{0x1000, 0x5000} {
		add(traces.Mmap, page, traces.ColLen|traces.ColProt|traces.ColFlags|traces.ColRet, func(r *assemble.Record) { r.Len, r.Prot, r.Ret = 0x1000, protExec, int64(page) })
		for _, probe := range []string{"g:f", "g:alias"} {
			add(traces.Hit, page+0x10, traces.ColProbe|traces.ColPath, func(r *assemble.Record) { r.Probe, r.Path = probe, "/bin/x" })
		}
	}
	a.Flush()
	var f files
	var got []string
	var ev traces.Event
	for f.next(a, &ev) {
		line := fmt.Sprint(ev.Seq, " ", ev.Kind)
		if ev.Joined() {
			line += fmt.Sprint(" of ", ev.Trap)
		}
		got = append(got, line)
	}
	if want := "0 mmap|1 map|2 hit|3 hit of 2|4 mmap|5 map|6 hit|7 hit of 6"; strings.Join(got, "|") != want {
		t.Errorf("rows %s, want %s", strings.Join(got, "|"), want)
	}
}
