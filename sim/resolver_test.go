package sim

import (
	"testing"

	"github.com/replay/replay/sim/mm"
)

// TestFrames: the kernel's functions that look up, speculate and give up, as they are in
// kernel/events/uprobes.c and include/linux/mmap_lock.h of each version.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		resolver, finder, speculator     string
		active, changed, noVMA, noUprobe string
	}{
		{"refcount", "find_active_uprobe", "", "", "", "", ""},
		{"srcu", "find_active_uprobe_rcu", "", "", "", "", ""},
		{"locked", "find_active_uprobe_rcu", "", "", "", "", ""},
		{"pervma", "find_active_uprobe_rcu", "lock_vma_under_rcu", "vma_start_read", "lock_vma_under_rcu", "mtree_load", "find_uprobe_rcu"},
		{"speculative", "find_active_uprobe_rcu", "find_active_uprobe_speculative", "mmap_lock_speculation_start", "mmap_lock_speculation_end", "mtree_load", "find_uprobe_rcu"},
		{"speculative-merged", "find_active_uprobe_rcu", "find_active_uprobe_speculative", "mmap_lock_speculate_try_begin", "mmap_lock_speculate_retry", "mtree_load", "find_uprobe_rcu"},
		{"ideal", "find_active_uprobe_rcu", "find_active_uprobe_rcu", "", "", "mtree_load", "find_uprobe_rcu"},
	} {
		r, err := FindResolver(c.resolver)
		if err != nil {
			t.Fatal(err)
		}
		if r.Finder() != c.finder || r.Speculator() != c.speculator {
			t.Errorf("%s: %q looks up, %q speculates; want %q, %q", c.resolver, r.Finder(), r.Speculator(), c.finder, c.speculator)
		}
		for o, want := range map[Outcome]string{Lockless: "", WriterActive: c.active, SeqChanged: c.changed, NoVMA: c.noVMA, NoUprobe: c.noUprobe, Unconfigured: ""} {
			if got := r.Refuser(o); got != want {
				t.Errorf("%s: %v is found in %q, want %q", c.resolver, o, got, want)
			}
		}
	}
}

// TestWithoutARuleThatNothingShows: of a lookup that takes the lock the rules of the writer's
// side change nothing that is timed.
func TestWithoutARuleThatNothingShows(t *testing.T) {
	for resolver, shown := range map[string]bool{"locked": false, "speculative": true} {
		r, err := FindResolver(resolver)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Without("even"); (err == nil) != shown {
			t.Errorf("%s without the store that makes the sequence even: %v", resolver, err)
		}
	}
}

// TestIdle: a thread is idle but while it has an operation, from when that is issued to its
// end, or a store of it is on its way.
func TestIdle(t *testing.T) {
	r := newRig(t, testMachine(), "locked")
	task := r.NewTask(1, 0)
	r.add(task, OpHit, Microsecond, 0, 0)
	r.add(task, OpHit, 1100*Nanosecond, 0, 0) // issued while the first is under way
	idle := func(at Time) bool {
		if err := r.RunFor(t.Context(), &r.ops, false, at); err != nil {
			t.Fatal(err)
		}
		return task.Idle()
	}
	if !task.Idle() || idle(1050*Nanosecond) || idle(1500*Nanosecond) || !idle(Millisecond) {
		t.Errorf("idle in the midst of hits, or not before and after")
	}
	task.stores = 1
	if task.Idle() {
		t.Error("idle with a store under way")
	}
}

// TestWhoIsFirst: of two threads at one instant, that of the lower CPU, then the lower one.
func TestWhoIsFirst(t *testing.T) {
	order := []*Task{{cpu: 0, ID: 7}, {cpu: 1, ID: 2}, {cpu: 1, ID: 5}, {cpu: 2, ID: 1}}
	for i, a := range order {
		for j, b := range order {
			if a.before(b) != (i < j) {
				t.Errorf("thread %d of CPU %d before %d of %d: %t", a.ID, a.cpu, b.ID, b.cpu, a.before(b))
			}
		}
	}
}

// TestWhatTells: a mapping of a file, or of code, can be what a lookup finds.
func TestWhatTells(t *testing.T) {
	for _, c := range []struct {
		file mm.FileID
		prot mm.Prot
		want bool
	}{{mm.NoFile, mm.Read, false}, {mm.NoFile, mm.Read | mm.Exec, true}, {textFile, mm.Read, true}, {textFile, mm.Read | mm.Exec, true}} {
		if got := tells(&mm.VMA{File: c.file, Prot: c.prot}); got != c.want {
			t.Errorf("file %d, protection %v: %t", c.file, c.prot, got)
		}
	}
}

// TestThreadIDs: those that have a place in the order of events.
func TestThreadIDs(t *testing.T) {
	s := newSystem(t, testMachine(), 0, "locked", Config{})
	for id, fits := range map[int32]bool{0: true, maxThreads - 1: true, maxThreads: false, -1: false} {
		func() {
			defer func() {
				if refused := recover() != nil; refused == fits {
					t.Errorf("thread %d: refused %t", id, refused)
				}
			}()
			s.NewTask(id, 0)
		}()
	}
}
