package sim

import "fmt"

// place is where a logical CPU sits.
type place struct {
	core, l3, socket int32
	thread           int32 // 0, or 1 for the second hardware thread
}

// Topology is a machine with some of its CPUs in use.
type Topology struct {
	Machine *Machine
	cpus    []place // index: logical CPU
	// psPerKcycle is the time of 1000 core cycles, by socket.
	psPerKcycle []int64
	costs       []cpuCosts // by CPU
}

// cpuCosts is what a machine's figures are in time on a CPU.
type cpuCosts struct {
	load, store, rmw Time // of a line in the own L1
	entry, exit      Time // of a hit by int3
}

// NewTopology lays out m with the first n logical CPUs in use; 0 means all.
// Frequencies follow from the number of cores in use on each socket.
func NewTopology(m *Machine, n int) (*Topology, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	if n == 0 {
		n = m.CPUs()
	}
	if n < 0 || n > m.CPUs() {
		return nil, fmt.Errorf("machine %s has %d CPUs, not %d", m.Name, m.CPUs(), n)
	}
	t := &Topology{Machine: m}
	active := make(map[int32]bool, n)
	perSocket := make([]int, m.Sockets)
	for cpu := range n {
		p := m.place(cpu)
		t.cpus = append(t.cpus, p)
		if !active[p.core] {
			active[p.core] = true
			perSocket[p.socket]++
		}
	}
	for _, cores := range perSocket {
		t.psPerKcycle = append(t.psPerKcycle, 1_000_000_000_000/m.KHz(cores))
	}
	for cpu := range int32(n) {
		t.costs = append(t.costs, cpuCosts{
			load: t.Cycles(cpu, m.Line.LoadCycles), store: t.Cycles(cpu, m.Line.StoreCycles), rmw: t.Cycles(cpu, m.Line.RMWCycles),
			entry: t.Cycles(cpu, m.Hit.Entry(false)), exit: t.Cycles(cpu, m.Hit.Exit(false)),
		})
	}
	return t, nil
}

// place numbers cores socket by socket, whatever firmware does with CPUs.
func (m *Machine) place(cpu int) place {
	cores := m.Sockets * m.CoresPerSocket
	var core, thread int
	switch m.Numbering {
	case SiblingsAdjacent:
		core, thread = cpu/m.SMT, cpu%m.SMT
	case Interleaved:
		nth := cpu % cores
		core, thread = nth%m.Sockets*m.CoresPerSocket+nth/m.Sockets, cpu/cores
	default:
		core, thread = cpu%cores, cpu/cores
	}
	socket := core / m.CoresPerSocket
	return place{core: int32(core), l3: int32(core / m.CoresPerL3), socket: int32(socket), thread: int32(thread)}
}

// CPUs is the number of CPUs in use.
func (t *Topology) CPUs() int { return len(t.cpus) }

// Sockets is the number of sockets with a CPU in use.
func (t *Topology) Sockets() int {
	last := int32(-1)
	n := 0
	seen := make([]bool, t.Machine.Sockets)
	for _, p := range t.cpus {
		if p.socket != last && !seen[p.socket] {
			seen[p.socket] = true
			n++
		}
		last = p.socket
	}
	return n
}

// Order returns the CPUs in use in the order that a placement fills them. Pack
// fills the threads of a core, then the cores of a socket; spread takes sockets
// in turn, and second threads only when every core has work.
func (t *Topology) Order(spread bool) []int {
	order := make([]int, 0, len(t.cpus))
	threads, cores := t.Machine.SMT, t.Machine.CoresPerSocket
	at := make(map[place]int, len(t.cpus))
	for cpu, p := range t.cpus {
		at[p] = cpu
	}
	visit := func(socket, core, thread int) {
		c := socket*cores + core
		p := place{core: int32(c), l3: int32(c / t.Machine.CoresPerL3), socket: int32(socket), thread: int32(thread)}
		if cpu, ok := at[p]; ok {
			order = append(order, cpu)
		}
	}
	if spread {
		for thread := range threads {
			for core := range cores {
				for socket := range t.Machine.Sockets {
					visit(socket, core, thread)
				}
			}
		}
		return order
	}
	for socket := range t.Machine.Sockets {
		for core := range cores {
			for thread := range threads {
				visit(socket, core, thread)
			}
		}
	}
	return order
}

// Cycles is the time of n core cycles on a CPU.
func (t *Topology) Cycles(cpu int32, n int64) Time {
	return Time(n * t.psPerKcycle[t.cpus[cpu].socket] / 1000)
}

// distance is how far a line in the cache of one core is from another.
func (t *Topology) distance(a, b int32) Distance {
	pa, pb := &t.cpus[a], &t.cpus[b]
	switch {
	case pa.core == pb.core:
		return Own
	case pa.l3 == pb.l3:
		return Cluster
	case pa.socket == pb.socket:
		return Socket
	default:
		return Remote
	}
}
