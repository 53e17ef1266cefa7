package sim

import (
	"fmt"

	"github.com/replay/replay/sim/protocol"
)

// plan is a program of package protocol as the machine runs it: the steps that take time
// or decide something, with what they cost. Fences and sections of RCU are left out: on
// x86 they cost nothing that is known, and the machine's memory is as strong as can be.
type plan []action

// action is one step of a plan.
type action struct {
	step   protocol.Step
	needs  bool // a line,
	role   Role
	access access
	half   bool // and then half of the lookup's private work
	blocks blocking
	effect effect // beyond registers
}

// blocking is what a step may have to wait for.
type blocking uint8

const (
	nothing  blocking = iota
	mmapRead          // mmap_lock, and how it is handed over: rwsem.go
	mmapWrite
	mmapReadDone
	mmapWriteDone
	mmapDowngrade
	barrier // full, of srcu_read_lock and unlock: the stores before it
)

// effect is what a step does to the machine.
type effect uint8

const (
	none     effect = iota
	samples         // the sequence, at the begin of a lookup
	compares        // it, at the end
	bumps           // it
	takesVMA        // vm_lock, if no writer is there
	dropsVMA
	commits // the operation of a section
)

// roles are the lines of programs as the machine has them.
var roles = [protocol.NumLines]Role{
	protocol.CountLine: CountLine, protocol.SeqLine: SeqLine, protocol.TreeRoot: TreeRoot, protocol.TreeLeaf: TreeLeaf,
	protocol.VMAHead: VMAHead, protocol.VMAMiddle: VMAPgoff, protocol.VMATail: VMAFile, protocol.VMALockLine: VMALock,
	protocol.FileLine: FileLine, protocol.UprobeTree: UprobeTree, protocol.UprobeNode: UprobeNode, protocol.HitCounter: HitCounter,
}

// compile makes a plan of a program. Not all that can be explored can be timed.
func compile(program protocol.Program) (plan, error) {
	at := make([]int, len(program)+1) // where a step is in the plan, or the first one after it
	var p plan
	for i := range program {
		at[i] = len(p)
		one, keep, err := compileStep(&program[i])
		if err != nil {
			return nil, err
		}
		if keep {
			p = append(p, one)
		}
	}
	at[len(program)] = len(p)
	for i := range p {
		if p[i].step.Op == protocol.If {
			p[i].step.To = at[p[i].step.To]
		}
	}
	return p, nil
}

func compileStep(step *protocol.Step) (p action, keep bool, err error) {
	p = action{step: *step, needs: step.Line != protocol.NoLine, role: roles[step.Line], half: step.Work == protocol.HalfWalk}
	// Orders and rules have had their say: what is left tells plans apart that are timed otherwise.
	p.step.Order, p.step.Rules = protocol.Plain, nil
	switch {
	case step.Atomic():
		p.access = rmw
	case step.Stores():
		p.access = store
	}
	field := step.At.Field
	switch step.Op {
	case protocol.Fence:
		return p, false, nil
	case protocol.Enter, protocol.Leave:
		p.blocks = barrier
		return p, step.Work == protocol.HalfSRCU, nil
	case protocol.Await:
		return p, false, fmt.Errorf("%s waits for a word to change (%v), for which the machine has no price", step.Frame, step)
	case protocol.Load:
		switch {
		case step.Part != 0:
			return p, false, fmt.Errorf("%s reads a word in parts (%v), and no word of the machine is ever torn", step.Frame, step)
		case field == protocol.MMSeq && step.Dst == protocol.RegSeq:
			p.effect = samples
		case field == protocol.MMSeq && step.Dst == protocol.RegNow:
			p.effect = compares
		}
	case protocol.Store:
		switch {
		case step.Commits:
			p.effect = commits
		case field == protocol.MMSeq:
			p.effect = bumps
		}
	case protocol.TryRead:
		p.effect = takesVMA
	case protocol.LockRead, protocol.LockWrite, protocol.UnlockRead, protocol.UnlockWrite, protocol.Downgrade:
		switch {
		case field == protocol.MMLock:
			p.blocks = [...]blocking{mmapRead, mmapWrite, 0, mmapReadDone, mmapWriteDone, mmapDowngrade}[step.Op-protocol.LockRead]
		case field == protocol.VMALock && step.Op == protocol.UnlockRead:
			p.effect = dropsVMA
		case step.Op != protocol.LockRead && step.Op != protocol.UnlockRead:
			return p, false, fmt.Errorf("%s takes a lock that the machine does not have (%v)", step.Frame, step)
		}
	case protocol.Alloc, protocol.Free, protocol.Begin, protocol.Answer, protocol.Sigtrap:
		return p, false, fmt.Errorf("%s does what the machine does not have (%v)", step.Frame, step)
	}
	return p, true, nil
}

// reads reports whether a step only reads: no store, no atomic, no lock.
func (p *action) reads() bool { return p.access == load && p.blocks == nothing }

// loads is how many lines a plan reads.
func (p plan) loads() (n int64) {
	for i := range p {
		if p[i].needs && p[i].access == load {
			n++
		}
	}
	return n
}

// has reports whether a step satisfies a condition.
func (p plan) has(condition func(*action) bool) bool {
	for i := range p {
		if condition(&p[i]) {
			return true
		}
	}
	return false
}
