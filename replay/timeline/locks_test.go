package timeline

import (
	"slices"
	"testing"

	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// TestLocks holds which VMAs an operation write-locks: those that it will change, at a
// fork all of them, and none of what another clone has done already.
func TestLocks(t *testing.T) {
	var space mm.AddressSpace
	for i := range uint64(4) {
		if _, err := space.Map(mm.VMA{Start: i * 0x10000, End: i*0x10000 + 0x2000, Prot: mm.Read}); err != nil {
			t.Fatal(err)
		}
	}
	id := func(i int) uint32 { return space.VMAs()[i].ID }
	done := &Change{Kind: traces.Munmap, addr: 0, len: 0x1000}
	done.made.Store(1 << 2)
	others := &Change{Kind: traces.Munmap, addr: 0, len: 0x1000}
	others.made.Store(1 << 1)
	for _, c := range []struct {
		name string
		*Change
		want []uint32
	}{
		{"munmap of two", &Change{Kind: traces.Munmap, addr: 0x11000, len: 0x10000}, []uint32{id(1), id(2)}},
		{"munmap of nothing", &Change{Kind: traces.Munmap, addr: 0x5000, len: 0x1000}, nil},
		{"impossible", &Change{Kind: traces.Munmap}, nil},
		{"fork", &Change{Kind: traces.Fork}, []uint32{id(0), id(1), id(2), id(3)}},
		{"made in this replay", done, nil},
		{"made in another", others, []uint32{id(0)}},
	} {
		if got := c.Locks(2, &space); !slices.Equal(got, c.want) {
			t.Errorf("%s: locks %v, want %v", c.name, got, c.want)
		}
	}
	if space.Len() != 4 {
		t.Errorf("tried, and %d mappings are left", space.Len())
	}
}

// Each of any number of replays makes a change once, and locks nothing for it again.
func TestEachReplayMakesChanges(t *testing.T) {
	var space mm.AddressSpace
	if _, err := space.Map(mm.VMA{Start: 0, End: 0x2000, Prot: mm.Read}); err != nil {
		t.Fatal(err)
	}
	for _, replays := range []int{1, 32, 33, 64, 65, 100} {
		c := &Change{Kind: traces.Munmap, addr: 0, len: 0x1000}
		c.readBy(replays)
		for nth := range replays {
			c.readBy(replays) // as each of its operations is handed out
			if len(c.Locks(nth, &space)) != 1 || !c.First(nth) || c.First(nth) || c.Locks(nth, &space) != nil {
				t.Fatalf("replay %d of %d makes it another number of times", nth, replays)
			}
		}
		if c.readBy(replays); c.First(0) || c.First(replays-1) {
			t.Errorf("of %d replays one makes it again", replays)
		}
	}
}
