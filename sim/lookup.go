package sim

import (
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/sim/protocol"
)

// walk is how far a thread is in a plan, and what a lookup has found by now.
type walk struct {
	resolver *Resolver
	addr     uint64 // that is looked up
	half     int64  // cycles of a private walk

	plan  plan
	pc    int
	stage stage  // of the action at hand
	spec  bool   // in the speculative part
	after resume // when the plan is done

	vma     mm.VMA // as it was found,
	version uint64 // when that was the version of the address space
}

// stage is how much of an action is done.
type stage uint8

const (
	ahead  stage = iota // nothing
	there               // its line is there
	walked              // and the private work is done
)

// beginHit is a trap: its entry path, then the lookup.
func beginHit(s *System, t *Task) {
	t.hit = HitRecord{Op: &t.op, CPU: t.cpu, Trap: s.now}
	t.transfers = 0
	if s.alone(t) {
		return
	}
	s.ensureProbe(t)
	entry := s.jitter(t, s.machine.Hit.Entry(t.hit.Optimised()))
	s.firstLookup(t)
	if !s.fly(t, entry) {
		s.work(t, entry, lookUp)
	}
}

// ensureProbe makes the model agree with the trap: since the kernel reported a
// hit here, a file is mapped at the address and has a uprobe at this offset.
func (s *System) ensureProbe(t *Task) {
	op := &t.op
	v, ok := op.MM.Space.Find(op.Addr)
	if !ok || !v.FileBacked() {
		s.disturb(op.MM)
		t.hit.Inferred = true
		if ok {
			op.MM.Space.Unmap(op.Addr, 1) // the trace does not know what came there
		}
		v, ok = op.MM.Space.Infer(op.Addr, op.File, op.Offset)
	}
	if _, known := s.probes.Find(v.File, v.Offset(op.Addr)); ok && !known {
		s.probes.Register(v.File, v.Offset(op.Addr))
	}
}

// firstLookup prepares that of the trampoline for an optimised hit; others have none.
func (s *System) firstLookup(t *Task) {
	if !t.hit.Optimised() {
		s.uprobeLookup(t)
		return
	}
	t.lookup = &t.hit.Check
	half := s.machine.Hit.LookupCycles / 2
	if t.op.CheckCycles > 0 {
		half = t.op.CheckCycles
	}
	s.prepare(t, s.resolver.check, t.op.Trampoline, half, checked)
}

// uprobeLookup prepares the lookup of the uprobe.
func (s *System) uprobeLookup(t *Task) {
	t.lookup = &t.hit.Lookup
	cycles := s.machine.Hit.LookupCycles
	if t.op.LookupCycles > 0 {
		cycles = t.op.LookupCycles
	}
	s.prepare(t, s.resolver, t.op.Addr, cycles/2, answered)
}

// prepare sets the registers that a lookup starts with.
func (s *System) prepare(t *Task, r *Resolver, addr uint64, half int64, after resume) {
	t.walk = walk{resolver: r, plan: r.speculate, spec: true, addr: addr, half: half, after: after}
	g := &t.regs
	g[protocol.RegGlobals], g[protocol.RegUprobes], g[protocol.RegMM], g[protocol.RegAddr] = here, here, here, addr
	g[protocol.RegOutcome], g[protocol.RegUprobe] = 0, 0
}

// here is the handle of what there is one of: the thread's own mm, the uprobes.
const here = 1

// checked is the end of the first lookup; that of the uprobe follows.
func checked(s *System, t *Task) {
	s.judge(t, s.resolver.check, &t.walk.vma)
	s.endLookup(t)
	s.delay(t, max(t.op.LookupAt-s.now, 0), beginLookup)
}

func beginLookup(s *System, t *Task) {
	s.uprobeLookup(t)
	if !s.fly(t, noEntry) {
		lookUp(s, t)
	}
}

// lookUp begins the lookup that was prepared, step by step.
func lookUp(s *System, t *Task) {
	t.startLookup(s.now)
	if len(t.walk.plan) == 0 {
		t.lookup.Outcome = Unconfigured
		s.beginLocked(t)
		return
	}
	advance(s, t)
}

// startLookup notes when t.lookup began. Nothing that it may read has changed since.
func (t *Task) startLookup(at Time) {
	t.lookup.Start = at
	t.account = true
	t.look = t.op.MM.history.begin()
}

// endLookup counts what t.lookup took.
func (s *System) endLookup(t *Task) {
	t.account = false
	t.op.MM.history.end(t.look)
	l := t.lookup
	l.Answered = s.now
	l.Parts.Lookup = s.now - l.Start - l.Parts.Stall - l.Parts.LockWait
	t.hit.Parts.Add(&l.Parts)
	s.fold(uint64(s.now), uint64(t.ID), uint64(l.Outcome))
}

// beginLocked runs the locked path; after a refused speculation that is the
// fallback of handle_swbp.
func (s *System) beginLocked(t *Task) {
	t.walk.spec = false
	t.lookup.LockAt = s.now
	if t.op.LockDelay > 0 {
		s.delay(t, t.op.LockDelay, performLocked)
		return
	}
	performLocked(s, t)
}

func performLocked(s *System, t *Task) {
	t.walk.vma = mm.VMA{}
	t.regs[protocol.RegUprobe] = 0
	s.perform(t, t.walk.resolver.locked, t.walk.after)
}

// perform executes a plan and continues with after.
func (s *System) perform(t *Task, p plan, after resume) {
	w := &t.walk
	w.plan, w.pc, w.stage, w.after = p, 0, ahead, after
	advance(s, t)
}

// advance takes the actions of t's plan, up to one that takes time. A load, or an atomic,
// is what it is when the line is there; a store is in the program's order and leaves
// through the store buffer.
func advance(s *System, t *Task) {
	w := &t.walk
	for w.pc < len(w.plan) {
		a := &w.plan[w.pc]
		if a.blocks != nothing {
			s.block(t, a.blocks)
			return
		}
		if w.stage == ahead {
			w.stage = there
			if a.needs {
				if l := s.lineOf(t, a.role); l != nil {
					next := advance
					switch {
					case a.access == store:
						s.exec(t, a)
					case a.access == load && !s.stepwise && !s.cached(l, t.cpu, load):
						next = fetched
					}
					s.touch(t, l, a.access, next)
					return
				}
			}
		}
		if a.half && w.stage == there {
			w.stage = walked
			s.work(t, w.half, advance)
			return
		}
		if s.exec(t, a) {
			return
		}
	}
	s.planDone(t)
}

// exec takes an action whose line is there. What it means is what the program's step means.
// True means that it goes on by itself.
func (s *System) exec(t *Task, a *action) bool {
	w := &t.walk
	var loaded protocol.Value
	if a.step.Loads() {
		loaded = s.word(t, &a.step.At)
	}
	stored, jump := a.step.Exec(&t.regs, loaded)
	w.pc, w.stage = w.pc+1, ahead
	if jump {
		w.pc = a.step.To
		if a.step.Refuse != Lockless {
			s.refuse(t, a.step.Refuse)
		}
	}
	switch a.effect {
	case samples:
		if w.resolver.SeqBits > 0 {
			t.lookup.Sampled = s.now
		}
	case compares:
		if w.resolver.SeqBits > 0 {
			t.lookup.Checked = s.now
		}
	case bumps:
		s.bump(t, t.op.MM, stored)
	case takesVMA:
		t.op.MM.vma(w.vma.ID).readers = int(stored / vmaReader)
	case dropsVMA:
		return s.dropVMA(t)
	case commits:
		s.commit(t)
	}
	return false
}

// planDone ends a plan. A speculation that was refused is followed by the locked path,
// once.
func (s *System) planDone(t *Task) {
	w := &t.walk
	if w.spec && t.lookup.Outcome != Lockless {
		t.lookup.Parts.Wasted = s.now - t.lookup.Start
		s.beginLocked(t)
		return
	}
	w.after(s, t)
}

// fetched goes on after a line had to come from elsewhere: those that remain may be here.
func fetched(s *System, t *Task) {
	if !s.flyOn(t) {
		advance(s, t)
	}
}

// refuse notes why a speculation gives up. Its plan gives back what it holds.
func (s *System) refuse(t *Task, outcome Outcome) {
	l := t.lookup
	l.Outcome = outcome
	if outcome == WriterActive || outcome == SeqChanged {
		l.Blame = t.op.MM.writer
	}
}

// lineOf returns the line of a role that t's lookup touches next, nil for none.
func (s *System) lineOf(t *Task, role Role) *line {
	m, w := t.op.MM, &t.walk
	switch role {
	case SeqLine:
		return m.seqLine()
	case TreeRoot:
		return &m.root
	case TreeLeaf:
		_, leaf := m.Space.Path(w.addr)
		return m.leaf(leaf)
	case VMAHead:
		return &m.vma(w.vma.ID).head
	case VMAPgoff:
		return &m.vma(w.vma.ID).pgoff
	case VMAFile:
		return &m.vma(w.vma.ID).file
	case VMALock:
		return &m.vma(w.vma.ID).lock
	case FileLine:
		return s.global.file(t.file())
	case UprobeTree:
		return &s.global.tree
	case HitCounter:
		return &s.global.hits
	}
	if id := s.node(t); id != mm.NoProbe {
		return s.global.probe(id)
	}
	return nil
}

// file is the file whose handle t's lookup has.
func (t *Task) file() mm.FileID { return mm.FileID(t.regs[protocol.RegFile] - 1) }

// node is the uprobe that t's lookup reads: where it found none, the last of its way down
// the tree.
func (s *System) node(t *Task) mm.ProbeID {
	if h := t.regs[protocol.RegUprobe]; h != 0 {
		return probeOf(h)
	}
	return s.probes.Last(mm.FileID(t.regs[protocol.RegInode]), t.regs[protocol.RegOffset])
}

// touched reports whether the line of a role that t's lookup touches next was ever
// touched before: lines are made when they are.
func (s *System) touched(t *Task, role Role) bool {
	m, w := t.op.MM, &t.walk
	switch role {
	case TreeLeaf:
		_, leaf := m.Space.Path(w.addr)
		return leaf < len(m.leaves) && m.leaves[leaf] != nil
	case VMAHead, VMAPgoff, VMAFile:
		return int(w.vma.ID) < len(m.vmas) && m.vmas[w.vma.ID] != nil
	case FileLine:
		id := t.file()
		return int(id) < len(s.global.files) && s.global.files[id] != nil
	case UprobeNode:
		i := int(s.node(t))
		return i >= 0 && i < len(s.global.nodes) && s.global.nodes[i] != nil
	}
	return true
}

// block begins to take or drop a lock, or waits for a barrier.
func (s *System) block(t *Task, b blocking) {
	m := t.op.MM
	switch b {
	case mmapRead:
		s.downRead(t, m, gotMmapLock)
	case mmapWrite:
		s.downWrite(t, m, gotMmapLock)
	case mmapReadDone:
		if t.op.Kind == OpHit {
			t.lookup.Parts.LockHold = s.now - t.lookup.Acquired
		}
		s.upRead(t, m, pass)
	case mmapWriteDone:
		s.upWrite(t, m, pass)
	case mmapDowngrade:
		s.downgrade(t, m, pass)
	case barrier:
		s.drainStores(t, passBarrier)
	}
}

// pass goes on after an action that blocked.
func pass(s *System, t *Task) {
	t.walk.pc++
	advance(s, t)
}

func gotMmapLock(s *System, t *Task) {
	t.walk.pc++
	if t.op.Kind != OpHit {
		s.sectionBegins(t)
		return
	}
	t.lookup.Acquired = s.now
	if !s.flyOn(t) {
		advance(s, t)
	}
}

// passBarrier is the per-CPU counter beside the barrier of srcu_read_lock and unlock.
func passBarrier(s *System, t *Task) {
	s.work(t, s.machine.Hit.SRCUCycles/2, pass)
}

// dropVMA is vma_end_read: the last reader wakes a writer that waits.
func (s *System) dropVMA(t *Task) bool {
	w := &t.walk
	v := t.op.MM.vma(w.vma.ID)
	if v.readers--; v.readers > 0 || v.writer == nil {
		return false
	}
	s.wake(v.writer)
	t.next = advance
	s.delayCycles(t, s.machine.Lock.WakeCycles)
	return true
}

// answered is the end of the lookup; the handlers follow.
func answered(s *System, t *Task) {
	h := &t.hit
	h.Found = t.regs[protocol.RegUprobe] != 0
	s.judge(t, s.resolver, &t.walk.vma)
	s.endLookup(t)
	h.Outcome = h.Deciding().Outcome
	s.perform(t, s.resolver.before, handle)
}

func handle(s *System, t *Task) {
	s.work(t, s.jitter(t, s.machine.Hit.Exit(t.hit.Optimised())), handled)
}

// jitter spreads the private work of the benchmark evenly around its mean. A
// trace brings its own.
func (s *System) jitter(t *Task, cycles int64) int64 {
	spread := cycles * s.machine.Hit.JitterPermille / 1000
	if spread == 0 || !t.op.Repeat {
		return cycles
	}
	return cycles - spread + int64(s.rand.Uint64()>>33)%(2*spread+1)
}

func handled(s *System, t *Task) { s.perform(t, s.resolver.after, endHit) }

func endHit(s *System, t *Task) {
	h := &t.hit
	h.End = s.now
	h.Parts.Handler = h.End - h.Trap - h.Parts.Resolve()
	h.Transfers = t.transfers
	s.observer.Hit(h)
	s.finish(t)
}
