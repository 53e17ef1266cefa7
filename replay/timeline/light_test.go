package timeline

import "testing"

// A thread faults of whose lock_starts more than two in a hundred are followed by
// something other than a hit; of one that never had a lookup's there is nothing to tell.
func TestFaultingThreadsByHand(t *testing.T) {
	for _, test := range []struct {
		direct, other int64
		faults        bool
	}{{98, 2, false}, {97, 3, true}, {980, 20, false}, {979, 21, true}, {1, 0, false}, {1, 1, true}, {0, 10, false}} {
		l := lightTruth{direct: test.direct, other: test.other}
		if l.faults() != test.faults {
			t.Errorf("%d before hits, %d before something else: it faults %v", test.direct, test.other, !test.faults)
		}
	}
}
