package recent_test

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/replay/replay/traces/recent"
)

// A map behaves like the language's own, whatever is asked in which order: keys share
// slots, are taken out and come back.
func TestMapIsAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var m recent.Map[int32, int]
	want := map[int32]*int{}
	for range 100_000 {
		key := int32(rng.IntN(1200) - 300)
		switch rng.IntN(6) {
		case 0:
			v := new(int)
			m.Set(key, v)
			want[key] = v
		case 1:
			m.Delete(key)
			delete(want, key)
		default:
			if got := m.Get(key); got != want[key] {
				t.Fatalf("Get(%d) is %p, want %p", key, got, want[key])
			}
		}
		if rng.IntN(5000) == 0 {
			m.Clear()
			clear(want)
		}
		if m.Len() != len(want) {
			t.Fatalf("Len is %d, want %d", m.Len(), len(want))
		}
	}
	if len(want) == 0 || !maps.Equal(maps.Collect(m.All()), want) {
		t.Errorf("All has %d keys that differ from %d", m.Len(), len(want))
	}
}
