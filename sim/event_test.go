package sim

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestQueueAgainstSorting puts events in and takes them out in any order, few times and
// CPUs apart, and compares each with the least of a sorted list: by time, then CPU, then
// which came first.
func TestQueueAgainstSorting(t *testing.T) {
	type entry struct {
		at     Time
		cpu    int32
		thread int32
		kind   eventKind
		nth    int
	}
	rapid.Check(t, func(t *rapid.T) {
		s := &System{}
		var model []entry
		pushed, popped := 0, 0
		n := rapid.IntRange(1, 200).Draw(t, "steps")
		in := rapid.IntRange(1, 3).Draw(t, "pushes out of four")
		take := func() {
			slices.SortFunc(model, func(a, b entry) int {
				return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.cpu, b.cpu), cmp.Compare(a.thread, b.thread), cmp.Compare(a.kind, b.kind), cmp.Compare(a.nth, b.nth))
			})
			if first := s.events.first(); first.at != model[0].at {
				t.Fatalf("the first is at %d, want %d", first.at, model[0].at)
			}
			e := s.events.pop()
			if e.at != model[0].at || int(e.gen) != model[0].nth {
				t.Fatalf("event %d at %d, want %+v", e.gen, e.at, model[0])
			}
			model = model[1:]
			popped++
		}
		for range n {
			if rapid.IntRange(0, 3).Draw(t, "what") < in {
				e := entry{
					Time(rapid.IntRange(0, 12).Draw(t, "at")), rapid.Int32Range(0, MaxCPUs-1).Draw(t, "cpu") % 3,
					rapid.SampledFrom([]int32{0, 1, maxThreads - 1}).Draw(t, "thread"), rapid.SampledFrom([]eventKind{evRun, evStore}).Draw(t, "kind"), pushed,
				}
				s.push(e.at, e.cpu, event{task: &Task{ID: e.thread}, kind: e.kind, gen: uint32(e.nth)})
				model = append(model, e)
				pushed++
			} else if len(model) > 0 {
				take()
			}
			if s.events.empty() != (len(model) == 0) {
				t.Fatalf("empty: %v with %d events", s.events.empty(), len(model))
			}
		}
		for len(model) > 0 {
			take()
		}
		if pushed != popped || !s.events.empty() {
			t.Fatalf("%d events in, %d out", pushed, popped)
		}
	})
}
