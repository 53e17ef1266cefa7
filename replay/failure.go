package replay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Failure is a replay that the machine did not get to the end of: a fault of ours, or more
// than it can hold. It says where, and how to see it again.
type Failure struct {
	Resolver  string
	Seed      uint64
	At        sim.Time            // virtual time
	Operation *timeline.Operation // of the thread whose turn it was; nil for none
	Clone     int                 // of that thread, 0 for itself
	Repeat    []string            // the command that does it again, and its arguments
	Err       error
}

func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "replay through %s with seed %d: %v\n  at %v of virtual time", f.Resolver, f.Seed, f.Err, f.At)
	if op := f.Operation; op != nil {
		o := op.Origin
		fmt.Fprintf(&b, ", in row %d of the trace (%s of thread %d, process %d, %q", o.Seq, o.Kind, o.TID, o.PID, o.Comm)
		if o.Time != 0 {
			fmt.Fprintf(&b, ", at %d ns", o.Time)
		}
		b.WriteByte(')')
		if f.Clone > 0 {
			fmt.Fprintf(&b, ", clone %d", f.Clone)
		}
	}
	return b.String()
}

func (f *Failure) Unwrap() error { return f.Err }

// failed says where the machine was when it failed. An error of the trace, or an
// interruption, is not the machine's.
func (p *Player) failed(err error) error {
	f := &Failure{Resolver: p.gather.run.Resolver, Seed: p.src.options.Seed, Repeat: p.repeat, Err: err, At: p.sys.Now()}
	var fault *sim.Fault
	switch {
	case errors.As(err, &fault):
		if int(fault.Task) < len(p.src.tasks) {
			t := p.src.tasks[fault.Task]
			f.Operation, f.Clone = t.doing, t.clone
		}
	case !errors.Is(err, sim.ErrQueue):
		return fmt.Errorf("replay through %s: %w", f.Resolver, err)
	}
	return f
}

// RepeatRun is the command that replays a trace as a cell does.
func RepeatRun(trace string, profile *machines.Profile, o *Options) []string {
	return repeatRun(trace, profile, o, o.Resolvers[0])
}

// repeatRun is the command that replays a trace through one resolver.
func repeatRun(trace string, profile *machines.Profile, o *Options, resolver string) []string {
	words := []string{"replay", "run", "--machine", profile.From(), "--resolver", resolver, "--timing", o.Timing.String(), "--placement", o.Placement.String()}
	if o.CPUs > 0 {
		words = append(words, "--cpus", strconv.Itoa(o.CPUs))
	}
	if o.Layout != "" {
		words = append(words, "--layout", o.Layout)
	}
	for _, rule := range o.WhatIf {
		words = append(words, "--what-if", rule.String())
	}
	if len(o.Fault) > 0 {
		words = append(words, "--fault", strings.Join(o.Fault, "+"))
	}
	return append(words,
		"--speed", strconv.FormatFloat(float64(o.SpeedPPM)/1e6, 'f', -1, 64), "--clone", strconv.Itoa(max(o.Clone, 1)),
		"--seed", strconv.FormatUint(o.Seed, 10), trace,
	)
}
