package sim

import (
	"slices"
	"testing"
)

// TestPlaces holds where logical CPUs are, for each numbering, worked out by hand for
// two sockets of four cores, two to an L3, with two threads.
func TestPlaces(t *testing.T) {
	m := oddMachine()
	cases := []struct {
		numbering Numbering
		cpu       int
		want      place
	}{
		{SocketMajor, 0, place{0, 0, 0, 0}},
		{SocketMajor, 3, place{3, 1, 0, 0}},
		{SocketMajor, 5, place{5, 2, 1, 0}},
		{SocketMajor, 8, place{0, 0, 0, 1}},
		{SocketMajor, 15, place{7, 3, 1, 1}},
		{Interleaved, 0, place{0, 0, 0, 0}},
		{Interleaved, 1, place{4, 2, 1, 0}},
		{Interleaved, 2, place{1, 0, 0, 0}},
		{Interleaved, 7, place{7, 3, 1, 0}},
		{Interleaved, 9, place{4, 2, 1, 1}},
		{SiblingsAdjacent, 0, place{0, 0, 0, 0}},
		{SiblingsAdjacent, 1, place{0, 0, 0, 1}},
		{SiblingsAdjacent, 6, place{3, 1, 0, 0}},
		{SiblingsAdjacent, 9, place{4, 2, 1, 1}},
	}
	for _, c := range cases {
		m.Numbering = c.numbering
		if got := m.place(c.cpu); got != c.want {
			t.Errorf("%v: CPU %d is at %+v, want %+v", c.numbering, c.cpu, got, c.want)
		}
	}
}

// TestDistances holds the way between CPUs and what a line costs over it.
func TestDistances(t *testing.T) {
	m := oddMachine()
	topo, err := NewTopology(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a, b int32
		want Distance
	}{{0, 0, Own}, {0, 8, Own}, {0, 1, Cluster}, {9, 0, Cluster}, {0, 2, Socket}, {3, 8, Socket}, {0, 4, Remote}, {15, 3, Remote}} {
		if got := topo.distance(c.a, c.b); got != c.want {
			t.Errorf("CPUs %d and %d are at distance %d, want %d", c.a, c.b, got, c.want)
		}
		if a, b := topo.distance(c.a, c.b), topo.distance(c.b, c.a); a != b {
			t.Errorf("from %d to %d it is %d, back %d", c.a, c.b, a, b)
		}
	}
}

// TestTurbo holds how fast cores run by how many of their socket are in use.
func TestTurbo(t *testing.T) {
	m := oddMachine() // up to 3 active cores 2 GHz, then 1 GHz; 4 to a socket
	for _, c := range []struct {
		cpus          int
		cpu           int32
		nsPerKilocyle Time
	}{
		{1, 0, 500}, {3, 2, 500}, // three cores of socket 0
		{4, 0, 1000},                            // all four of socket 0
		{5, 0, 1000}, {5, 4, 500}, {8, 4, 1000}, // the sockets each for itself
		{16, 9, 1000},
	} {
		topo, err := NewTopology(m, c.cpus)
		if err != nil {
			t.Fatal(err)
		}
		if got := topo.Cycles(c.cpu, 1000); got != c.nsPerKilocyle*Nanosecond {
			t.Errorf("%d CPUs in use: 1000 cycles of CPU %d take %v, want %v ns", c.cpus, c.cpu, got, int64(c.nsPerKilocyle))
		}
	}
	// Spare cores count only while the socket is not full.
	m.SpareCores = 1
	if got := []int64{m.KHz(2), m.KHz(3), m.KHz(4), m.KHz(9)}; !slices.Equal(got, []int64{2_000_000, 1_000_000, 1_000_000, 1_000_000}) {
		t.Errorf("with a spare core: %v kHz", got)
	}
	// Second threads are of the same cores.
	m.SpareCores = 0
	m.Numbering = SiblingsAdjacent
	topo, err := NewTopology(m, 6)
	if err != nil {
		t.Fatal(err)
	}
	if got := topo.Cycles(5, 1000); got != 500*Nanosecond {
		t.Errorf("six threads of three cores: 1000 cycles take %v, want 500 ns", got)
	}
}

// TestOrderOfPlacement holds in which order pack and spread fill a machine.
func TestOrderOfPlacement(t *testing.T) {
	m := oddMachine()
	topo, err := NewTopology(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	pack := []int{0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15}
	if got := topo.Order(false); !slices.Equal(got, pack) {
		t.Errorf("pack: %v, want %v", got, pack)
	}
	spread := []int{0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15}
	if got := topo.Order(true); !slices.Equal(got, spread) {
		t.Errorf("spread: %v, want %v", got, spread)
	}
	few, err := NewTopology(m, 5)
	if err != nil {
		t.Fatal(err)
	}
	if got := few.Order(true); !slices.Equal(got, []int{0, 4, 1, 2, 3}) {
		t.Errorf("spread over five: %v", got)
	}
	if few.Sockets() != 2 || few.CPUs() != 5 {
		t.Errorf("%d sockets, %d CPUs", few.Sockets(), few.CPUs())
	}
}

// TestMachineLimits holds what a machine may not be.
func TestMachineLimits(t *testing.T) {
	if err := oddMachine().Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Machine){
		"no socket":        func(m *Machine) { m.Sockets = 0 },
		"no core":          func(m *Machine) { m.CoresPerSocket = 0 },
		"no thread":        func(m *Machine) { m.SMT = 0 },
		"three threads":    func(m *Machine) { m.SMT = 3 },
		"too many CPUs":    func(m *Machine) { m.Sockets = 129 },
		"no L3":            func(m *Machine) { m.CoresPerL3 = 0 },
		"L3 across":        func(m *Machine) { m.CoresPerL3 = 3 },
		"SMT below one":    func(m *Machine) { m.SMTPermille = 999 },
		"SMT above two":    func(m *Machine) { m.SMTPermille = 2001 },
		"no turbo":         func(m *Machine) { m.Turbo = nil },
		"no frequency":     func(m *Machine) { m.Turbo[0].KHz = 0 },
		"no active core":   func(m *Machine) { m.Turbo[0].ActiveCores = 0 },
		"turbo falls":      func(m *Machine) { m.Turbo[1].ActiveCores = 2 },
		"turbo stands":     func(m *Machine) { m.Turbo[1].ActiveCores = 3 },
		"more than it has": nil,
	} {
		m := oddMachine()
		n := 0
		if spoil != nil {
			spoil(m)
		} else {
			n = m.CPUs() + 1
		}
		if _, err := NewTopology(m, n); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	exact := oddMachine()
	exact.Sockets, exact.SMTPermille = 128, 2000
	if err := exact.Check(); err != nil || exact.CPUs() != MaxCPUs {
		t.Errorf("%d CPUs: %v", exact.CPUs(), err)
	}
	exact.SMTPermille = 1000
	if err := exact.Check(); err != nil {
		t.Error(err)
	}
	if _, err := NewTopology(oddMachine(), -1); err == nil {
		t.Error("-1 CPUs: no error")
	}
}
