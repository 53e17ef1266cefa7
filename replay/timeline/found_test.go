package timeline_test

import (
	"fmt"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/traces"
)

// all reconstructs a trace to its end.
func all(t *testing.T, text string) ([]*timeline.Operation, *timeline.Reconstruction) {
	t.Helper()
	trace := replaytest.Made(parse(t, text))
	r, err := timeline.Reconstruct(t.Context(), trace, surveyOf(t, trace), timeline.Config{Using: timeline.Everything, Profile: handProfile(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var ops []*timeline.Operation
	for op, ok := r.Next(); ok; op, ok = r.Next() {
		ops = append(ops, op)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return ops, r
}

// The build ids of files are those of the rows that have one, whatever the rows are; of a
// file that was replaced, the last.
func TestBuildIDsOfFiles(t *testing.T) {
	_, r := all(t, `
		100 map tid=10 addr=0x1000 len=0x1000 prot=5 path=/a build_id=01
		110 map tid=10 addr=0x2000 len=0x1000 prot=5 path=/b build_id=02
		120 map tid=10 addr=0x3000 len=0x1000 prot=5 path=/c // which has none
		130 hit tid=10 addr=0x1000 path=/a build_id=01 probe=p:a
		131 hit tid=10 addr=0x1000 path=/a build_id=01 probe=p:b trap=3
		140 hit tid=10 addr=0x2000 path=/b build_id=06 probe=p:b
		141 hit tid=10 addr=0x2000 path=/b build_id=03 probe=p:b
		150 hit tid=10 addr=0x1000 path=/a build_id=01 probe=p:a
		160 hit tid=10 addr=0x4000 path=/d build_id=04 probe=p:d
		161 hit tid=10 addr=0x4000 path=/e build_id=05 probe=p:e trap=7 // another row of that trap
		170 map tid=10 addr=0x5000 len=0x1000 prot=5 path=/f build_id=05 // a copy`)
	if got := fmt.Sprint(r.BuildIDs()); got != "map[/a:01 /b:03 /d:04 /e:05 /f:05]" {
		t.Errorf("%s", got)
	}
}

// What later operations rest on: a child's address space, and files that are mapped.
func TestWhatIsNeeded(t *testing.T) {
	ops, _ := all(t, `
		100 mmap tid=10 dur_ns=10 addr=0x1000 len=0x1000 prot=5 flags=2 ret=0x1000 path=/a
		200 mmap tid=10 dur_ns=10 addr=0x2000 len=0x1000 prot=3 flags=34 ret=0x2000
		300 map tid=11 addr=0x3000 len=0x1000 prot=5 path=/b
		400 map tid=11 addr=0x4000 len=0x1000 prot=3
		500 munmap tid=10 dur_ns=10 addr=0x2000 len=0x1000 ret=0
		60000 fork tid=10 ret=20 flags=0
		70000 hit tid=10 addr=0x1000 path=/a probe=p:a`)
	var got string
	for _, op := range ops {
		if c := op.Change; c != nil {
			got += fmt.Sprint(c.Kind, " ", c.Needed(), "; ")
		}
	}
	if want := fmt.Sprint(traces.Mmap, " true; ", traces.Mmap, " false; ", traces.Map, " true; ", traces.Map, " false; ", traces.Munmap, " false; ", traces.Fork, " true; "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A call is undecided when a loss overlaps it anywhere, and not its entry alone.
func TestUndecidedCallsByHand(t *testing.T) {
	ops, r := all(t, `
		100000 munmap tid=10 dur_ns=1000 addr=0x1000 len=0x1000 ret=0
		1000000 munmap tid=10 dur_ns=2000000 addr=0x2000 len=0x1000 ret=0
		2600000 lost cpu=1 dur_ns=100000 ret=5
		9000000 munmap tid=10 dur_ns=1000 addr=0x3000 len=0x1000 ret=0
		9500000 hit tid=10 addr=0x401000 path=/a probe=p:a`)
	var got []bool
	for _, op := range ops {
		if op.Change != nil {
			got = append(got, op.Origin.Undecided)
		}
	}
	if fmt.Sprint(got) != "[false true false]" || r.Found().UndecidedSections != 1 {
		t.Errorf("undecided %v, %d sections", got, r.Found().UndecidedSections)
	}
}

// Processes that are in one address space are told from those that get the same mm one after
// the other.
func TestProcessesInOneAddressSpace(t *testing.T) {
	writesFrom := func(at, asked, tid int, mm string) string {
		return fmt.Sprintf(`
			%d munmap pid=%d tid=%d dur_ns=9000 addr=0x1000 len=0x1000 ret=0
			%d lock_start pid=%[2]d tid=%[2]d mm=%[5]s write=true in_uprobe=false
			%[6]d lock_acquired pid=%[2]d tid=%[2]d mm=%[5]s write=true
			%[7]d lock_released pid=%[2]d tid=%[2]d mm=%[5]s write=true`, at, tid, tid, at+asked, mm, at+asked+100, at+asked+200)
	}
	writes := func(at, tid int, mm string) string { return writesFrom(at, 1000, tid, mm) }
	fallsBack := func(at, tid int, mm string) string {
		return fmt.Sprintf(`
			%d lock_start pid=%d tid=%d mm=%s write=false in_uprobe=true
			%[5]d lock_acquired pid=%[2]d tid=%[2]d mm=%[4]s write=false
			%[6]d lock_released pid=%[2]d tid=%[2]d mm=%[4]s write=false
			%[7]d hit pid=%[2]d tid=%[2]d addr=0x401000 path=/a probe=p:a`, at, tid, tid, mm, at+1000, at+2000, at+3000)
	}
	reads := func(at, tid int, mm string) string { // of somebody's maps
		return fmt.Sprintf(`
			%d lock_start pid=%d tid=%d mm=%s write=false in_uprobe=false
			%[5]d lock_acquired pid=%[2]d tid=%[2]d mm=%[4]s write=false
			%[6]d lock_released pid=%[2]d tid=%[2]d mm=%[4]s write=false`, at, tid, tid, mm, at+1000, at+2000)
	}
	for _, c := range []struct {
		name, trace string
		want        int64
	}{
		{"each its own", writes(10000, 10, "0xa") + fallsBack(20000, 20, "0xb") + writes(30000, 10, "0xa"), 0},
		{"a child of vfork hits", writes(10000, 10, "0xa") + fallsBack(20000, 20, "0xa") + writes(30000, 10, "0xa"), 2},
		{"two children", writes(10000, 10, "0xa") + fallsBack(20000, 20, "0xa") + writes(30000, 10, "0xa") + fallsBack(40000, 30, "0xa") + writes(50000, 10, "0xa"), 3},
		{"one after the other", writes(10000, 10, "0xa") + writes(20000, 10, "0xa") + fallsBack(30000, 20, "0xa"), 0},
		{"again after an exec", writes(10000, 10, "0xa") + "\n15000 exec pid=10 tid=10 path=/b" + fallsBack(20000, 20, "0xa") + writes(30000, 10, "0xa"), 0},
		{"from the begin of its call to the end of it", writesFrom(10000, 0, 10, "0xa") + fallsBack(20000, 20, "0xa") + writesFrom(30000, 9000, 10, "0xa"), 2},
		{"not for its call", writes(10000, 10, "0xa") + fallsBack(20000, 20, "0xa") + writesFrom(30000, 9001, 10, "0xa"), 0},
		{"a reader of /proc", writes(10000, 10, "0xa") + reads(20000, 20, "0xa") + writes(30000, 10, "0xa"), 0},
	} {
		_, r := all(t, c.trace)
		if got := r.Found().Sharing; got != c.want {
			t.Errorf("%s: %d processes share, want %d", c.name, got, c.want)
		}
	}
}

// Calls that took mmap_lock and have no lock event are told, where events of it are recorded:
// those on a CPU where perf had not enabled them yet. Those that a cut keeps from before its
// begin are none, nor are calls that failed.
func TestCallsWithoutLocks(t *testing.T) {
	const locked = `
		2000000 munmap cpu=0 tid=11 dur_ns=9000 addr=0x1000 len=0x1000 ret=0
		2001000 lock_start cpu=0 tid=11 write=true in_uprobe=false
		2002000 lock_acquired cpu=0 tid=11 write=true
		2003000 lock_released cpu=0 tid=11 write=true`
	for _, c := range []struct {
		name, trace string
		want, until int64
	}{
		{"each has", locked + "\n2020000 hit cpu=0 tid=11 addr=0x401000 path=/a probe=p:f", 0, 0},
		{"other CPUs' have none yet", locked + `
			2004000 mmap cpu=1 tid=12 addr=0x0 len=0x1000
			2005000 munmap cpu=1 tid=12 dur_ns=9000 addr=0x1000 len=0x1000 ret=0
			2015000 hit cpu=1 tid=12 addr=0x401000 path=/a probe=p:f`, 2, 5000},
		{"mappings that perf tells of in between", locked + `
			2020000 mmap cpu=1 tid=12 dur_ns=9000 addr=0x2000 len=0x1000 ret=0x2000
			2021000 lock_start cpu=1 tid=12 write=true in_uprobe=false
			2022000 lock_acquired cpu=1 tid=12 write=true
			2023000 map cpu=1 tid=12 addr=0x2000 len=0x1000 prot=3
			2024000 lock_released cpu=1 tid=12 write=true`, 0, 0},
		{"one that failed", locked + `
			2020000 munmap cpu=1 tid=12 dur_ns=900 addr=0x1 len=0x1000 ret=-22
			2025000 hit cpu=1 tid=12 addr=0x401000 path=/a probe=p:f`, 0, 0},
		{"kept by a cut", `
			1000000 munmap cpu=0 tid=11 dur_ns=9000 addr=0x1000 len=0x1000 ret=0
			1500000 munmap cpu=0 tid=12 dur_ns=9000 addr=0x3000 len=0x1000 ret=0` + locked + `
			2020000 hit cpu=0 tid=12 addr=0x401000 path=/a probe=p:f`, 0, 0},
		{"no locks are recorded", `
			2000000 munmap cpu=0 tid=11 dur_ns=9000 addr=0x1000 len=0x1000 ret=0
			2020000 hit cpu=0 tid=11 addr=0x401000 path=/a probe=p:f`, 0, 0},
	} {
		_, r := all(t, c.trace)
		if f := r.Found(); f.Unlocked != c.want || f.UnlockedUntil != c.until {
			t.Errorf("%s: %d calls until %d, want %d until %d", c.name, f.Unlocked, f.UnlockedUntil, c.want, c.until)
		}
	}
}
