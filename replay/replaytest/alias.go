package replaytest

import (
	"slices"
	"testing"

	"github.com/replay/replay/traces"
)

// WithAlias is the recording with a second probe on the instruction of the first: each
// hit has a row of that too, some hundred ns later.
func WithAlias(t *testing.T, trace *Stored) *Memory {
	t.Helper()
	m := Memory{Of: trace.Meta()}
	hits := 0
	for _, ev := range trace.Rows(t) {
		m.List = append(m.List, ev)
		if ev.Kind == traces.Hit {
			hits++
			ev.Time += 250
			ev.Probe = "test:alias"
			m.List = append(m.List, ev)
		}
	}
	slices.SortStableFunc(m.List, func(a, b traces.Event) int { return traces.Compare(&a, &b) })
	var traps traces.Traps
	joined := 0
	for i := range m.List {
		m.List[i].Seq = int64(i)
		traps.Join(&m.List[i], 0, false)
		if m.List[i].Joined() {
			joined++
		}
	}
	if joined != hits {
		t.Fatalf("%d of %d hits share their trap", joined, hits)
	}
	return &m
}
