package traces

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Which rows share a trap. Each line ends with where its trap begins, or nothing.
func TestTraps(t *testing.T) {
	for name, lines := range map[string]string{
		"aliases": `
			10 hit tid=1 addr=0x10 probe=g:open
			11 hit tid=1 addr=0x10 probe=g:open64 > 0
			12 hit tid=1 addr=0x10 probe=g:__open > 0`,
		"an event again": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 hit tid=1 addr=0x10 probe=g:g > 0
			12 hit tid=1 addr=0x10 probe=g:f
			13 hit tid=1 addr=0x10 probe=g:g > 2`,
		"quick traps of one event": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 hit tid=1 addr=0x10 probe=g:f
			12 hit tid=1 addr=0x10 probe=g:f`,
		"elsewhere": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 hit tid=1 addr=0x20 probe=g:g
			12 hit tid=1 addr=0x10 probe=g:g`,
		"another thread between": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 hit tid=2 addr=0x10 probe=g:f
			12 hit tid=1 addr=0x10 probe=g:g > 0
			13 hit tid=2 addr=0x10 probe=g:g > 1`,
		"another row between": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 ret tid=1 addr=0x10 probe=g:r
			12 hit tid=1 addr=0x10 probe=g:g`,
		"a fault of the handler between": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 lock_start tid=1 write=false in_uprobe=false
			12 lock_acquired tid=1 write=false
			13 lock_released tid=1 write=false
			14 hit tid=1 addr=0x10 probe=g:g > 0`,
		"another lookup between": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 lock_start tid=1 write=false in_uprobe=true
			12 hit tid=1 addr=0x10 probe=g:g`,
		"long after": `
			10 hit tid=1 addr=0x10 probe=g:f
			1000010 hit tid=1 addr=0x10 probe=g:g > 0
			2000011 hit tid=1 addr=0x10 probe=g:h`,
		"no address": `
			10 hit tid=1 probe=g:f
			11 hit tid=1 probe=g:g`,
		"told": `
			10 hit tid=1 addr=0x10 probe=g:f
			11 hit tid=1 addr=0x10 probe=g:f trap=0 > 0
			12 hit tid=1 addr=0x10 probe=g:g > 0`,
	} {
		t.Run(name, func(t *testing.T) {
			var rows, want []string
			for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
				row, trap, _ := strings.Cut(strings.TrimSpace(line), " > ")
				rows, want = append(rows, row), append(want, trap)
			}
			var traps Traps
			for i, ev := range parseLines(t, strings.Join(rows, "\n")) {
				traps.Join(&ev, 0, false)
				got := ""
				if ev.Joined() {
					got = fmt.Sprint(ev.Trap)
				}
				if got != want[i] {
					t.Errorf("row %d: trap %q, want %q", i, got, want[i])
				}
			}
		})
	}
}

// The recorder's numbers tell one event that is there twice from two traps, and where
// one was lost the next traps are whole again.
func TestTrapsByNumber(t *testing.T) {
	numbers := []int32{1, 2, 1, 2, 2, 1, 2, 1, 1}
	want := []int64{-1, 0, -1, 2, -1, -1, 5, -1, -1}
	var traps Traps
	for i, number := range numbers {
		ev := Event{Kind: Hit, Has: ColTID | ColAddr | ColProbe, Time: int64(i), Seq: int64(i), TID: 1, Addr: 16, Probe: "g:f"}
		traps.Join(&ev, number, false)
		if ev.Joined() != (want[i] >= 0) || ev.Joined() && ev.Trap != want[i] {
			t.Errorf("row %d: joined %v, trap %d, want %d", i, ev.Joined(), ev.Trap, want[i])
		}
	}
}

// manyTraps draws rows of a few threads, of which the hits share traps.
func manyTraps(t *rapid.T) []Event {
	var events []Event
	latest := map[int32]*Event{}
	for i := range rapid.IntRange(1, 80).Draw(t, "rows") {
		ev := Event{Kind: Hit, Has: ColTID | ColAddr | ColProbe, Time: int64(i), TID: int32(rapid.IntRange(1, 3).Draw(t, "tid")), Addr: 16, Probe: fmt.Sprint("g:p", i)}
		switch first := latest[ev.TID]; rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			ev = Event{Kind: Map, Has: ColPID | ColAddr | ColLen, Time: int64(i), PID: 1, Len: 1}
		case 1, 2:
			if first != nil {
				ev.Addr, ev.Trap, ev.Has = first.Addr, first.Seq, ev.Has|ColTrap
			}
		default:
			ev.Addr = uint64(i)
		}
		ev.Seq = int64(i) * 3
		events = append(events, ev)
		if ev.Kind == Hit && !ev.Joined() {
			latest[ev.TID] = &ev
		}
	}
	return events
}

// Whatever is left out and whatever numbers rows get, those of one trap stay of one.
func TestTrapsStayTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	moved, headless := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		var kept []Event
		trapOf := map[string]int64{} // by probe, which each row has its own of
		for _, ev := range manyTraps(rt) {
			if rapid.IntRange(0, 3).Draw(rt, "drop") == 0 {
				continue
			}
			trapOf[ev.Probe] = ev.Seq
			if ev.Joined() {
				trapOf[ev.Probe] = ev.Trap
				if !slices.ContainsFunc(kept, func(k Event) bool { return k.Seq == ev.Trap }) {
					headless++
				}
			}
			kept = append(kept, ev)
		}
		store(rt, path, kept, someMeta)
		got, _ := readAll(rt, path, AllColumns)
		if err := Validate(&slice{events: slices.Clone(got), meta: someMeta}); err != nil {
			rt.Fatal(err)
		}
		first := map[int64]int64{} // of the trap before: the row that begins it now
		for i, ev := range got {
			if ev.Kind != Hit {
				continue
			}
			trap := trapOf[ev.Probe]
			seq, seen := first[trap]
			if !seen {
				first[trap] = ev.Seq
			}
			if ev.Joined() != seen || seen && ev.Trap != seq {
				rt.Fatalf("row %d is joined %v to %d, want %v to %d", i, ev.Joined(), ev.Trap, seen, seq)
			}
			if seen && ev.Trap != kept[i].Trap {
				moved++
			}
		}
	})
	if moved == 0 || headless == 0 {
		t.Errorf("vacuous: %d links moved, %d without their first row", moved, headless)
	}
}

// A file of before the column has its traps found, whichever columns are asked for.
func TestFilesWithoutTraps(t *testing.T) {
	type old struct {
		TimeNs int64   `parquet:"time_ns"`
		Seq    int64   `parquet:"seq"`
		Kind   string  `parquet:"kind"`
		TID    int32   `parquet:"tid"`
		Addr   uint64  `parquet:"addr"`
		Probe  *string `parquet:"probe,optional"`
	}
	names := []string{"g:f", "g:alias"}
	var rows []old
	var want []Event
	for i := range int64(6) {
		rows = append(rows, old{i, i, "hit", 1, 16, &names[i%2]})
		want = append(want, Event{Kind: Hit, Time: i, Seq: i})
		if i%2 == 1 {
			want[i].Trap, want[i].Has = i-1, ColTrap
		}
	}
	file := foreign(t, rows)
	got, _, err := parse(file, ColTrap)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("trap alone (-want +got):\n%s", d)
	}
	for i := range want {
		want[i].Has |= ColTID | ColAddr | ColProbe
		want[i].TID, want[i].Addr, want[i].Probe = 1, 16, names[i%2]
	}
	if got, _, err = parse(file, AllColumns); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("all columns (-want +got):\n%s", d)
	}
}
