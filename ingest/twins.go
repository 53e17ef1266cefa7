package ingest

import (
	"fmt"
	"slices"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// twins finds records of one event of the kernel that two inputs have: two recorders
// that ran at once both hear of forks, mappings and whatever both were set to record.
// Hits are not among them: they are joined to one trap, and stay.
type twins struct {
	fresh, stale map[twinKey][]*twin // of the present span of twinsMax, and of that before
	since        int64               // ns, when the present one began
	begun        map[int32]int64     // ns, when each input's first record was
	n            int64
}

// twinsMax is how far apart two recorders see one event, in ns: those of a tracepoint
// are called one after the other.
const twinsMax = 50_000

// twinKey is what all records of one event have in common. Text may lack the rest.
type twinKey struct {
	kind      traces.Kind
	phase     assemble.Phase
	task      bool
	tid       int32
	addr, len uint64
	ret       int64
	mm        uint64
}

// twin is a record, and the inputs that have it.
type twin struct {
	time int64
	has  []int32
}

// second reports whether another input had the event before, of which goesOn says
// whether it has more. Records come in order. Inputs that follow each other (perf record
// --switch-output) have no event in common, however close the last of one and the first
// of the next are.
func (t *twins) second(r *assemble.Record, goesOn func(input int32) bool) bool {
	begun, known := t.begun[r.Src]
	if !known {
		if t.begun == nil {
			t.begun = map[int32]int64{}
		}
		begun = r.Time
		t.begun[r.Src] = begun
	}
	switch {
	case r.Kind == traces.Hit, r.Kind == traces.Ret, r.Kind == traces.Arrive, r.Kind == traces.Lost:
		return false
	case r.Phase == assemble.Naming, r.Phase == assemble.Unwound:
		return false
	}
	if t.fresh == nil || r.Time-t.since > twinsMax {
		t.stale, t.fresh, t.since = t.fresh, map[twinKey][]*twin{}, r.Time
	}
	k := twinKey{kind: r.Kind, phase: r.Phase, task: r.Task, tid: r.TID, addr: r.Addr, len: r.Len, ret: r.Ret, mm: r.Mm}
	for _, list := range [][]*twin{t.stale[k], t.fresh[k]} {
		for _, w := range list {
			if r.Time-w.time <= twinsMax && !slices.Contains(w.has, r.Src) && (begun <= w.time || slices.ContainsFunc(w.has, goesOn)) {
				w.has = append(w.has, r.Src)
				t.n++
				return true
			}
		}
	}
	t.fresh[k] = append(t.fresh[k], &twin{r.Time, []int32{r.Src}})
	return false
}

// warnings tells of them.
func (t *twins) warnings() []string {
	if t.n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d records are in two inputs, whose recorders ran at once, and are taken once", t.n)}
}
