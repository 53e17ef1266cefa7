package fit

import (
	"context"
	"fmt"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
)

// The simulated benchmark runs this long, after a warm-up that fills the caches
// and queues. The kernel's takes 3 s and 5 s, since a real machine is noisy.
const (
	benchWarmUp = 200 * sim.Microsecond
	benchRun    = 2 * sim.Millisecond
	// benchStagger is between the starts of two producers.
	benchStagger = 37 * sim.Nanosecond
)

// ProbeKind is the instruction that is probed.
type ProbeKind uint8

const (
	// Nop is a nop of one byte: a hit traps by int3 (trig-uprobe-nop).
	Nop ProbeKind = iota
	// Nop5 is one of five bytes, whose probe is optimised: a hit calls the trampoline,
	// which makes the uprobe system call (trig-uprobe-nop5; x86 since 6.18).
	Nop5
)

var probeKindNames = []string{"nop", "nop5"}

func (k ProbeKind) String() string { return probeKindNames[k] }

// ParseProbeKind is the inverse of String.
func ParseProbeKind(s string) (ProbeKind, error) {
	for i, name := range probeKindNames {
		if s == name {
			return ProbeKind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown kind of probe %q: want nop or nop5", s)
}

// benchTrampoline is where it is mapped, below the program.
const benchTrampoline = 0x3ff000

// BenchRow is one line of the uprobe-nop benchmark.
type BenchRow struct {
	Resolver string
	CPUs     int
	Hits     int64
	Over     sim.Time // the time measured
}

// PerSecond is the throughput in hits per second.
func (r BenchRow) PerSecond() int64 { return r.Hits * int64(sim.Second/r.Over) }

// Bench is the kernel's uprobe-nop benchmark, simulated: producer i of one process
// is pinned to CPU i, and all hit one probe without a gap
// (tools/testing/selftests/bpf, bench -p N -a trig-uprobe-nop).
func Bench(ctx context.Context, m *sim.Machine, resolver string, kind ProbeKind, cpus int, seed uint64) (BenchRow, error) {
	return bench(ctx, m, resolver, kind, cpus, seed, benchRun)
}

func bench(ctx context.Context, m *sim.Machine, resolver string, kind ProbeKind, cpus int, seed uint64, run sim.Time) (BenchRow, error) {
	row := BenchRow{Resolver: resolver, CPUs: cpus, Over: run}
	r, err := sim.FindResolver(resolver)
	if err != nil {
		return row, err
	}
	if cpus < 1 || cpus > m.CPUs() {
		return row, fmt.Errorf("machine %s has %d CPUs: cannot pin %d producers", m.Name, m.CPUs(), cpus)
	}
	topo, err := sim.NewTopology(m, cpus)
	if err != nil {
		return row, err
	}
	counter := &benchCounter{}
	sys := sim.NewSystem(sim.Config{Topology: topo, Resolver: r, Seed: seed, Probes: &mm.Uprobes{}, Observer: counter})
	src := &producers{sys: sys, mm: sys.NewMM(1, &mm.AddressSpace{}), n: cpus}
	if kind == Nop5 {
		src.trampoline = benchTrampoline
		if _, err := src.mm.Space.Map(mm.VMA{Start: benchTrampoline, End: benchTrampoline + mm.PageSize, Prot: mm.Read | mm.Exec}); err != nil {
			return row, err
		}
	}
	if err := sys.RunFor(ctx, src, true, benchWarmUp+run); err != nil {
		return row, fmt.Errorf("the benchmark of %s on machine %s with %d producers, %s and seed %d, at %v: %w", resolver, m.Name, cpus, kind, seed, sys.Now(), err)
	}
	row.Hits = counter.hits
	return row, nil
}

// benchCounter counts the hits after the warm-up.
type benchCounter struct{ hits int64 }

// Hit is part of sim.Observer.
func (c *benchCounter) Hit(h *sim.HitRecord) {
	if h.End >= benchWarmUp {
		c.hits++
	}
}

// Section is part of sim.Observer.
func (c *benchCounter) Section(*sim.Section) {}

// producers is the source of the benchmark: one endless operation for each CPU.
type producers struct {
	sys        *sim.System
	mm         *sim.MM
	n, next    int
	trampoline uint64 // of optimised probes
}

// Next is part of sim.Source.
func (p *producers) Next(next *sim.Ticket) bool {
	if p.next == p.n {
		return false
	}
	cpu := int32(p.next)
	p.next++
	*next = sim.Ticket{Task: p.sys.NewTask(cpu, cpu), CPU: -1, At: sim.Time(cpu) * benchStagger}
	return true
}

// Waiting is part of sim.Source. A producer has one operation, which repeats.
func (p *producers) Waiting(*sim.Task) sim.Ticket { panic("fit: a producer has no second operation") }

// Op is part of sim.Source.
func (p *producers) Op(_ *sim.Task, op *sim.Op) {
	op.Kind, op.Repeat, op.MM, op.Addr, op.File, op.Trampoline = sim.OpHit, true, p.mm, 0x401000, 1, p.trampoline
}

// Err is part of sim.Source.
func (p *producers) Err() error { return nil }
