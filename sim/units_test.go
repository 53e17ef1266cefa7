package sim

import (
	"fmt"
	"testing"
	"time"
)

// TestPRNGAgainstThePaper holds the generator to values computed elsewhere: splitmix64
// of the seed (seed 0 gives e220a8397b1dcdaf), then xorshift64* with shifts 12, 25, 27.
func TestPRNGAgainstThePaper(t *testing.T) {
	if r := NewPRNG(0); r.state != 0xe220a8397b1dcdaf {
		t.Errorf("seed 0 is spread to %x", r.state)
	}
	for seed, want := range map[uint64][3]uint64{
		0:       {0x7bbcb40d550682d0, 0xde7fe413d00cc9fd, 0xb3c638353c668c91},
		1:       {0x4b46a55df3611b9b, 0xd7e1f1410e763ef4, 0x5f14ec66975f9b06},
		1234567: {0x71f60b8650844db, 0xf0245c7ff7458f04, 0x5457bdc2cf215dbf},
	} {
		r := NewPRNG(seed)
		if got := [3]uint64{r.Uint64(), r.Uint64(), r.Uint64()}; got != want {
			t.Errorf("seed %d: %x, want %x", seed, got, want)
		}
	}
	// The one seed that splitmix64 turns into 0, which xorshift would keep for ever.
	r := NewPRNG(0x61c8864680b583eb)
	if a, b := r.Uint64(), r.Uint64(); a == 0 || a == b {
		t.Errorf("a seed is stuck at %x, %x", a, b)
	}
}

func TestPermille(t *testing.T) {
	r := NewPRNG(1)
	for _, p := range []int64{0, 1, 250, 999, 1000} {
		n := int64(0)
		for range 100_000 {
			if r.Permille(p) {
				n++
			}
		}
		if n < p*100-500 || n > p*100+500 || p == 0 && n > 0 || p == 1000 && n < 100_000 {
			t.Errorf("%d permille: %d of 100000", p, n)
		}
	}
	// The threshold itself: a draw of 250 is the first that is not among 250 permille.
	for seed := uint64(0); ; seed++ {
		a, b := NewPRNG(seed), NewPRNG(seed)
		if draw := int64(a.Uint64()>>32) % 1000; draw == 250 {
			if b.Permille(250) {
				t.Error("0 to 249 are 250 permille, and 250 came too")
			}
			return
		}
	}
}

func TestTimeForPeople(t *testing.T) {
	for at, want := range map[Time]string{
		0: "0ps", 1: "1ps", -1: "-1ps", 999: "999ps", -999: "-999ps", Nanosecond: "1ns", -Nanosecond: "-1ns",
		1999: "1ns", 1500 * Nanosecond: "1.5µs", Never: "never", 3 * Millisecond: "3ms", 2 * Second: "2s",
	} {
		if got := at.String(); got != want {
			t.Errorf("%d ps is %q, want %q", int64(at), got, want)
		}
	}
	if got := (3*Microsecond + 999).Nanos(); got != 3000 {
		t.Errorf("%d ns", got)
	}
	if Second != Time(time.Second)*1000 {
		t.Errorf("a second is %d ps", int64(Second))
	}
}

func TestNames(t *testing.T) {
	want := []string{"lockless", "writer_active", "seq_changed", "no_vma", "no_file", "no_uprobe", "unconfigured"}
	for o := range NumOutcomes {
		if o.String() != want[o] {
			t.Errorf("outcome %d is %q, want %q", uint8(o), o, want[o])
		}
	}
	if got := fmt.Sprint(NumOutcomes); got != "outcome(7)" {
		t.Errorf("an outcome that does not exist is %q", got)
	}
	for _, n := range []Numbering{SocketMajor, Interleaved, SiblingsAdjacent} {
		if got, err := ParseNumbering(n.String()); err != nil || got != n {
			t.Errorf("numbering %v is read as %v, %v", n, got, err)
		}
	}
	for _, l := range []Layout{CountApart, SeqApart} {
		if got, err := ParseLayout(l.String()); err != nil || got != l {
			t.Errorf("layout %v is read as %v, %v", l, got, err)
		}
	}
	if _, err := ParseNumbering("x"); err == nil {
		t.Error("numbering x: no error")
	}
	if _, err := ParseLayout(""); err == nil {
		t.Error("an empty layout: no error")
	}
	for _, name := range ResolverNames() {
		if r, err := FindResolver(name); err != nil || r.Name != name {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if _, err := FindResolver("lock"); err == nil {
		t.Error("resolver lock: no error")
	}
}

func TestPartsAdd(t *testing.T) {
	p := Parts{Lookup: 1, Stall: 2, LockWait: 4, LockHold: 8, Wasted: 16, Handler: 32}
	if got := p.Resolve(); got != 7 {
		t.Errorf("lookup, stalls and the wait for the lock take %d together, want 7", got)
	}
	p.Add(&Parts{Lookup: 100, Stall: 200, LockWait: 400, LockHold: 800, Wasted: 1600, Handler: 3200})
	if want := (Parts{Lookup: 101, Stall: 202, LockWait: 404, LockHold: 808, Wasted: 1616, Handler: 3232}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	p.Sub(&Parts{Lookup: 100, Stall: 200, LockWait: 400, LockHold: 800, Wasted: 1600, Handler: 3200})
	if want := (Parts{Lookup: 1, Stall: 2, LockWait: 4, LockHold: 8, Wasted: 16, Handler: 32}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
}
