package replay

import (
	"fmt"

	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/sim"
)

// Timing says when operations are issued.
type Timing uint8

const (
	Original Timing = iota // at the reconstructed recorded time; open loop
	Think                  // recorded gaps between a thread's operations; closed loop
	ASAP                   // no gaps
)

var timingNames = []string{"original", "think", "asap"}

func (t Timing) String() string { return timingNames[t] }

// ParseTiming is the inverse of String.
func ParseTiming(s string) (Timing, error) {
	for i, name := range timingNames {
		if s == name {
			return Timing(i), nil
		}
	}
	return 0, fmt.Errorf("unknown timing %q: want original, think or asap", s)
}

// Placement says which simulated CPU a recorded thread runs on.
type Placement uint8

const (
	Recorded   Placement = iota // the CPU of each event, modulo the CPUs in use
	Pack                        // fill cores, siblings and sockets in order
	Spread                      // one thread per core, sockets in turn, siblings last
	RoundRobin                  // CPU 0, 1, 2, ... by first appearance
)

var placementNames = []string{"recorded", "pack", "spread", "round-robin"}

func (p Placement) String() string { return placementNames[p] }

// ParsePlacement is the inverse of String.
func ParsePlacement(s string) (Placement, error) {
	for i, name := range placementNames {
		if s == name {
			return Placement(i), nil
		}
	}
	return 0, fmt.Errorf("unknown placement %q: want recorded, pack, spread or round-robin", s)
}

// Options is the configuration of a replay. It is stored in every report.
type Options struct {
	stepwise  bool // see sim.Config.Stepwise: for tests
	hoard     bool // threads that are over are kept: for tests
	Resolvers []string
	Timing    Timing
	Placement Placement
	CPUs      int   // 0: as recorded
	SpeedPPM  int64 // all gaps are divided by this over a million; 1e6 is recorded speed
	Clone     int   // copies of each recorded thread, at least 1
	Seed      uint64
	Layout    string       // of mmap_lock's words, a name of sim.Layout; "": the machine's
	WhatIf    whatif.Rules // what is otherwise than it was recorded; none is as it was
	Fault     []string     // rules of sim/protocol that the resolvers do without; none is right
	Window    Window       // of single waits, holds and spans; it changes no figure
}

// Window is a stretch of time since the start. To is 0 for all that follows.
type Window struct{ From, To sim.Time }

// Contains reports whether something that takes from from to to lies in it, at least in
// part.
func (w Window) Contains(from, to sim.Time) bool {
	return to >= w.From && (w.To == 0 || from <= w.To)
}
