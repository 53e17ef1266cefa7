package sim_test

import (
	"context"
	"fmt"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
)

// hits is a source of one hit for each thread, all at once.
type hits struct {
	tasks []*sim.Task
	mm    *sim.MM
	next  int
}

func (h *hits) ticket(t *sim.Task) sim.Ticket { return sim.Ticket{Task: t, CPU: t.ID} }

func (h *hits) Next(next *sim.Ticket) bool {
	if h.next == len(h.tasks) {
		return false
	}
	h.next++
	*next = h.ticket(h.tasks[h.next-1])
	return true
}

func (h *hits) Waiting(t *sim.Task) sim.Ticket { return h.ticket(t) }
func (h *hits) Err() error                     { return nil }
func (h *hits) Op(_ *sim.Task, op *sim.Op) {
	op.Kind, op.MM, op.Addr, op.File, op.Offset = sim.OpHit, h.mm, 0x400000, 1, 0
}

// printer prints how each hit ended.
type printer struct{}

func (printer) Hit(h *sim.HitRecord) { fmt.Println("CPU", h.CPU, h.Outcome) }
func (printer) Section(*sim.Section) {}

// Two CPUs hit one probe at the same instant.
func ExampleSystem_Run() {
	profile, err := machines.Load(machines.Generic)
	if err != nil {
		fmt.Println(err)
		return
	}
	topo, err := sim.NewTopology(&profile.Machine, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	resolver, err := sim.FindResolver("speculative")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := sim.NewSystem(sim.Config{Topology: topo, Resolver: resolver, Probes: &mm.Uprobes{}, Observer: printer{}})
	src := &hits{mm: s.NewMM(1, &mm.AddressSpace{})}
	for cpu := range int32(2) {
		src.tasks = append(src.tasks, s.NewTask(cpu, cpu))
	}
	if err := s.Run(context.Background(), src, false); err != nil {
		fmt.Println(err)
	}
	// Output:
	// CPU 0 lockless
	// CPU 1 lockless
}
