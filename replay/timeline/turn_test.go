package timeline_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// turnRows writes rows of threads of one process. Times are ns after the first; what nobody
// waits for comes before, and tells that recording a lock_start takes 500.
type turnRows struct{ rows []string }

func (l *turnRows) at(ns int64, row string) *turnRows {
	l.rows = append(l.rows, fmt.Sprintf("%d %s", 2_000_000+ns, row))
	return l
}

func (l *turnRows) ask(ns int64, tid int, write bool) *turnRows {
	return l.at(ns, fmt.Sprintf("lock_start cpu=0 tid=%d write=%v in_uprobe=false", tid, write))
}

func (l *turnRows) get(ns int64, tid int, write bool) *turnRows {
	return l.at(ns, fmt.Sprintf("lock_acquired cpu=0 tid=%d write=%v", tid, write))
}

func (l *turnRows) free(ns int64, tid int) *turnRows {
	return l.at(ns, fmt.Sprintf("lock_released cpu=0 tid=%d write=false", tid))
}

// turns are the operations of threads but the one before all, with their waits.
func (l *turnRows) turns(t *testing.T, using timeline.Using) []string {
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "%d lock_start cpu=0 tid=9 write=true in_uprobe=false\n%d lock_acquired cpu=0 tid=9 write=true\n%d lock_released cpu=0 tid=9 write=true\n", 10_000*i, 10_000*i+500, 10_000*i+600)
	}
	text.WriteString(strings.Join(l.rows, "\n"))
	list, _ := operations(t, parse(t, text.String()), timeline.Config{Using: using, Queue: true})
	return told(list)
}

func told(list []*timeline.Operation) []string {
	var got []string
	for _, op := range list {
		if op.Origin.TID == 9 {
			continue
		}
		kind := map[sim.OpKind]string{sim.OpHit: "hits", sim.OpRead: "reads", sim.OpWrite: "writes", sim.OpApply: "applies"}[op.Kind]
		got = append(got, fmt.Sprintf("%d %s at %d, waits %d, woken %d", op.Origin.TID, kind, op.At-2_000_000, op.Wait, op.Woken))
	}
	return got
}

// Who waits for mmap_lock asks for it when its lock_start is recorded, and is let in when the
// one before lets go of it: as rwsem.c does.
func TestTurnsByHand(t *testing.T) {
	rows := func() *turnRows { return &turnRows{} }
	// One that writes from the beginning on, and is done at 30280: 330 after its lock_released,
	// less 50.
	first := func() *turnRows { return rows().ask(0, 11, true).get(500, 11, true) }
	const firstSays = "11 writes at 460, waits 0, woken 0"
	for _, c := range []struct {
		name string
		*turnRows
		want []string
	}{
		// A writer turned the sequence odd 40 before it tells, one that waited 310.
		{"a writer sleeps", first().ask(10_000, 12, true).free(30_000, 11).get(38_000, 12, true).free(40_000, 12),
			[]string{firstSays, "12 writes at 10500, waits 27190, woken 7410"}},
		{"a writer wakes up", first().ask(10_000, 12, true).free(30_000, 11).get(35_590, 12, true).free(40_000, 12),
			[]string{firstSays, "12 writes at 10500, waits 24780, woken 5000"}},
		{"a writer spins", first().ask(10_000, 12, true).free(30_000, 11).get(35_589, 12, true).free(40_000, 12),
			[]string{firstSays, "12 writes at 10500, waits 24779, woken 0"}},
		{"a writer loses its CPU", first().ask(10_000, 12, true).free(30_000, 11).get(200_000, 12, true).free(201_000, 12),
			[]string{firstSays, "12 writes at 10500, waits 189190, woken 70000"}},
		{"a writer that asks when the lock is free", first().ask(29_780, 12, true).free(30_000, 11).get(31_000, 12, true).free(32_000, 12),
			[]string{firstSays, "12 writes at 30960, waits 0, woken 0"}},
		{"a writer that asks just before", first().ask(29_779, 12, true).free(30_000, 11).get(31_000, 12, true).free(32_000, 12),
			[]string{firstSays, "12 writes at 30279, waits 681, woken 0"}},
		{"and has it at once", first().ask(29_779, 12, true).free(30_000, 11).get(30_320, 12, true).free(32_000, 12),
			[]string{firstSays, "12 writes at 30279, waits 1, woken 0"}},
		{"and had it when it asked", first().ask(29_779, 12, true).free(30_000, 11).get(30_319, 12, true).free(32_000, 12),
			[]string{firstSays, "12 writes at 30279, waits 0, woken 0"}},

		{"a reader sleeps", first().ask(10_000, 12, false).free(30_000, 11).get(145_000, 12, false).free(146_000, 12),
			[]string{firstSays, "12 reads at 10500, waits 134500, woken 114720"}},
		{"a reader has it at once", first().ask(10_000, 12, false).free(30_000, 11).get(30_200, 12, false).free(31_000, 12),
			[]string{firstSays, "12 reads at 10500, waits 19700, woken 1"}},
		{"a reader that had it when it asked", first().ask(29_700, 12, false).free(30_000, 11).get(30_200, 12, false).free(31_000, 12),
			[]string{firstSays, "12 reads at 30200, waits 0, woken 0"}},
		{"a reader that asks when the lock is free", first().ask(29_780, 12, false).free(30_000, 11).get(31_000, 12, false).free(32_000, 12),
			[]string{firstSays, "12 reads at 31000, waits 0, woken 0"}},
		{"a reader after a downgrade, and a writer after both",
			first().ask(10_000, 12, false).ask(11_000, 13, true).get(20_000, 11, false).get(21_000, 12, false).free(25_000, 12).free(40_000, 11).get(50_000, 13, true).free(51_000, 13),
			[]string{firstSays, "12 reads at 10500, waits 10500, woken 720", "13 writes at 11500, waits 38190, woken 9690"}},

		{"a writer after two readers, and a reader behind it",
			rows().ask(0, 11, false).get(500, 11, false).ask(1000, 12, false).get(1500, 12, false).ask(10_000, 13, true).ask(11_000, 14, false).
				free(20_000, 11).free(30_000, 12).get(40_000, 13, true).free(50_000, 13).get(60_000, 14, false).free(61_000, 14),
			[]string{"11 reads at 500, waits 0, woken 0", "12 reads at 1500, waits 0, woken 0", "13 writes at 10500, waits 29190, woken 9690", "14 reads at 11500, waits 48500, woken 9720"}},
		{"readers are let in together, past a writer",
			first().ask(10_000, 12, false).ask(11_000, 13, true).ask(12_000, 14, false).free(30_000, 11).get(31_000, 12, false).free(32_000, 12).
				get(40_000, 14, false).free(41_000, 14).get(50_000, 13, true).free(51_000, 13),
			[]string{firstSays, "12 reads at 10500, waits 20500, woken 720", "13 writes at 11500, waits 38190, woken 8690", "14 reads at 12500, waits 27500, woken 9720"}},
		{"but not one that asks when the lock is free",
			first().ask(10_000, 12, false).ask(11_000, 13, true).ask(29_780, 14, false).free(30_000, 11).get(31_000, 12, false).free(32_000, 12).
				get(40_000, 13, true).free(41_000, 13).get(50_000, 14, false).free(51_000, 14),
			[]string{firstSays, "12 reads at 10500, waits 20500, woken 720", "13 writes at 11500, waits 28190, woken 7690", "14 reads at 30280, waits 19720, woken 8720"}},

		{"one that is killed in the queue", first().ask(10_000, 12, true).ask(11_000, 13, true).at(20_000, "lock_acquired cpu=0 tid=12 write=true ret=-4").
			free(30_000, 11).get(40_000, 13, true).free(41_000, 13), []string{firstSays, "13 writes at 11500, waits 28190, woken 9410"}},
		{"one that is killed when it was let in",
			first().ask(10_000, 12, false).ask(11_000, 13, true).ask(12_000, 14, false).free(30_000, 11).at(35_000, "lock_acquired cpu=0 tid=12 write=false ret=-4").
				get(40_000, 14, false).free(50_000, 14).get(60_000, 13, true).free(61_000, 13),
			[]string{firstSays, "13 writes at 11500, waits 48190, woken 9690", "14 reads at 12500, waits 27500, woken 9720"}},
		{"one whose rows were lost asks again", first().ask(10_000, 12, true).ask(11_000, 13, true).ask(12_000, 12, true).free(30_000, 11).get(40_000, 13, true).free(41_000, 13),
			[]string{firstSays, "13 writes at 11500, waits 28190, woken 9410"}},
		{"one that exits in the queue", first().ask(10_000, 12, true).ask(11_000, 13, true).at(20_000, "exit cpu=0 tid=12").free(30_000, 11).get(40_000, 13, true).free(41_000, 13),
			[]string{firstSays, "13 writes at 11500, waits 28190, woken 9410"}},
		{"a trylock takes it from who was woken", first().ask(10_000, 12, true).free(30_000, 11).get(31_000, 13, true).free(35_000, 13).get(40_000, 12, true).free(41_000, 12),
			[]string{firstSays, "12 writes at 10500, waits 29190, woken 9410", "13 writes at 30960, waits 0, woken 0"}},

		{"a lookup sleeps, and a writer behind it",
			first().at(10_000, "lock_start cpu=0 tid=12 write=false in_uprobe=true").ask(11_000, 13, true).free(30_000, 11).get(45_000, 12, false).free(45_500, 12).
				at(47_000, "hit cpu=0 tid=12 addr=0x1000 probe=p:f").get(55_000, 13, true).free(56_000, 13),
			[]string{firstSays, "12 hits at 7700, waits 0, woken 14720", "13 writes at 11500, waits 43190, woken 9190"}},
		{"a lookup that asks when the lock is free",
			first().at(29_780, "lock_start cpu=0 tid=12 write=false in_uprobe=true").free(30_000, 11).get(31_000, 12, false).free(31_500, 12).at(32_000, "hit cpu=0 tid=12 addr=0x1000 probe=p:f"),
			[]string{firstSays, "12 hits at 27480, waits 0, woken 0"}},
	} {
		if got, want := strings.Join(c.turns(t, timeline.Locks), "\n"), strings.Join(c.want, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// Without lock events calls queue that are in the kernel together: each has the lock at its
// end, for as long as calls have it that are alone.
func TestTurnsOfCallsByHand(t *testing.T) {
	var text strings.Builder
	for i := range 40 { // of 4000 from where it gets to the lock
		fmt.Fprintf(&text, "%d mmap cpu=0 tid=9 dur_ns=4150 ret=28672 addr=0x7000 len=4096 prot=3 flags=34\n", 10_000*i)
	}
	call := func(at int64, kind string, tid, dur int) {
		fmt.Fprintf(&text, "%d %s cpu=0 tid=%d dur_ns=%d ret=0 addr=0x7000 len=4096\n", 2_000_000+at, kind, tid, dur)
	}
	call(0, "mmap", 11, 20_000)          // has it until 19950
	call(5000, "mmap", 12, 45_000)       // until 49950
	call(100_000, "mmap", 11, 20_000)    // until 119950
	call(105_000, "mmap", 12, 200_000)   // until 304950
	call(400_000, "munmap", 13, 20_000)  // until 419950, of that 3000 for write: as long as it may
	call(405_000, "munmap", 14, 100_000) // until 504950, after that
	rows := parse(t, text.String())
	list, _ := operations(t, rows, timeline.Config{Using: timeline.Syscalls, Queue: true})
	want := []string{
		"12 writes at 5100, waits 40850, woken 26000", "11 writes at 15950, waits 0, woken 0",
		"12 writes at 105100, waits 195850, woken 70000", "11 writes at 115950, waits 0, woken 0",
		"13 writes at 400200, waits 0, woken 0", "14 writes at 405200, waits 14750, woken 0",
	}
	if got := strings.Join(told(list), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	for i, hold := range []sim.Time{4000, 4000, 4000, 4000, 3000, 3000} {
		if op := list[len(list)-6+i]; op.Hold != int64(hold) {
			t.Errorf("%d has it for %d, want %d", op.Origin.TID, op.Hold, hold)
		}
	}
	list, _ = operations(t, rows, timeline.Config{Using: timeline.Syscalls})
	for _, op := range list {
		if op.Wait != 0 || op.Woken != 0 {
			t.Errorf("nobody asked, and %d waits for %d", op.Origin.TID, op.Wait)
		}
	}
}
