package sim

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestQueueAgainstSorting puts events in and takes them out in any order, at one instant,
// in one bucket, in others of the ring or beyond it, and compares each with the least of a
// sorted list: by time, then CPU, then which came first.
func TestQueueAgainstSorting(t *testing.T) {
	type entry struct {
		at     Time
		cpu    int32
		thread int32
		kind   eventKind
		nth    int
	}
	const bucket = 1 << bucketShift
	spans := [][2]int64{{0, 12}, {0, 3 * bucket}, {0, 200 * bucket}, {(nearBuckets - 66) * bucket, (nearBuckets + 2) * bucket}, {0, 3 * nearBuckets * bucket}, {2 * nearBuckets * bucket, 40 * nearBuckets * bucket}}
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
			s.now = e.at
			if rapid.IntRange(0, 9).Draw(t, "goes on by itself") == 0 && len(model) > 0 {
				s.now += (model[0].at - s.now) / 2 // as a task that continues directly
			}
		}
		for range n {
			if rapid.IntRange(0, 3).Draw(t, "what") < in {
				near := rapid.SampledFrom(spans).Draw(t, "within")
				e := entry{
					s.now + Time(rapid.Int64Range(near[0], near[1]).Draw(t, "from now")), rapid.Int32Range(0, MaxCPUs-1).Draw(t, "cpu") % 3,
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
