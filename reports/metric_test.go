package reports

import "testing"

// Less is better, but of what is resolved without the lock and of the rate of hits; of hits
// themselves neither. Improvements are told by it, and what a limit is broken by.
func TestDirections(t *testing.T) {
	for i := range metrics {
		m := &metrics[i]
		want := lower
		switch m.name {
		case "hits":
			want = either
		case "lockless", "hits_per_s":
			want = higher
		}
		if m.better != want {
			t.Errorf("%s: better is %q, want %q", m.name, m.better, want)
		}
		was, more := Figure{1000, true}, Figure{2000, true}
		if improved(m, was, more) != (want == higher) || improved(m, more, was) != (want == lower) {
			t.Errorf("%s: from 1 to 2 improves: %v, from 2 to 1: %v", m.name, improved(m, was, more), improved(m, more, was))
		}
	}
}
