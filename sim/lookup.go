package sim

import "github.com/replay/replay/sim/mm"

// walk is the state of one lookup: the registers of find_active_uprobe_rcu.
type walk struct {
	steps []Step
	pc    int
	touch int  // touches of the current action that are done
	spec  bool // in the speculative part

	seq    uint64
	vma    mm.VMA
	offset uint64
	probe  mm.ProbeID
	found  bool
	after  resume // when steps are done
}

// touchSpec is one access of an action.
type touchSpec struct {
	role Role
	kind access
}

// actionDef says what an action does: the lines it touches in order, its share
// of the walk's private cycles, and what it decides once all lines are here.
type actionDef struct {
	touches []touchSpec
	halves  int64 // of HitCosts.LookupCycles
	check   func(*System, *Task) Outcome
	block   func(s *System, t *Task) // takes or drops mmap_lock, then calls nextAction
}

var actions [numActions]actionDef

func init() {
	// Filled here since the functions refer to the table.
	actions = [numActions]actionDef{
		seqBegin:        {touches: []touchSpec{{SeqLine, load}}, check: checkSeqBegin},
		findVMA:         {touches: []touchSpec{{TreeRoot, load}, {TreeLeaf, load}}, halves: 1, check: checkVMA},
		readFile:        {touches: []touchSpec{{VMATail, load}}, check: checkFile},
		readOffset:      {touches: []touchSpec{{VMAHead, load}, {FileLine, load}}, check: checkOffset},
		findUprobe:      {touches: []touchSpec{{UprobeTree, load}, {UprobeNode, load}}, halves: 1, check: checkUprobe},
		seqEnd:          {touches: []touchSpec{{SeqLine, load}}, check: checkSeqEnd},
		mmapReadLock:    {block: takeMmapLock},
		mmapReadUnlock:  {block: dropMmapLock},
		vmaReadLock:     {touches: []touchSpec{{VMAHead, rmw}}, check: checkVMALock},
		vmaReadUnlock:   {touches: []touchSpec{{VMAHead, rmw}}, check: pass},
		srcuEnter:       {block: srcuBarrier},
		srcuLeave:       {block: srcuBarrier},
		treeLock:        {touches: []touchSpec{{UprobeTree, rmw}}, check: pass},
		treeUnlock:      {touches: []touchSpec{{UprobeTree, rmw}}, check: pass},
		getUprobe:       {touches: []touchSpec{{UprobeNode, rmw}}, check: pass},
		putUprobe:       {touches: []touchSpec{{UprobeNode, rmw}}, check: pass},
		lockConsumers:   {touches: []touchSpec{{UprobeNode, rmw}, {UprobeNode, store}}, check: pass}, // count, then owner
		unlockConsumers: {touches: []touchSpec{{UprobeNode, rmw}}, check: pass},
		countHit:        {touches: []touchSpec{{HitCounter, load}, {HitCounter, store}}, check: pass},
	}
}

// beginHit is a trap: its entry path, then the lookup.
func beginHit(s *System, t *Task) {
	t.hit = HitRecord{Op: t.op, CPU: t.cpu, Trap: s.now}
	t.transfers = 0
	s.ensureProbe(t)
	s.work(t, s.jitter(t, s.machine.Hit.EntryCycles), beginLookup)
}

// ensureProbe makes the model agree with the trap: since the kernel reported a
// hit here, a file is mapped at the address and has a uprobe at this offset.
func (s *System) ensureProbe(t *Task) {
	op := &t.op
	v, ok := op.MM.Space.Find(op.Addr)
	if !ok || !v.FileBacked() {
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

func beginLookup(s *System, t *Task) {
	t.hit.Start = s.now
	t.account = true
	t.walk = walk{}
	r := s.resolver
	if len(r.Speculate) == 0 {
		t.hit.Outcome = Unconfigured
		s.beginLocked(t)
		return
	}
	t.walk.spec = true
	s.perform(t, r.Speculate, answered)
}

// beginLocked runs the locked path; after a refused speculation that is the
// fallback of handle_swbp.
func (s *System) beginLocked(t *Task) {
	t.walk.spec = false
	t.hit.LockAt = s.now
	if t.op.LockDelay > 0 {
		s.delay(t, t.op.LockDelay, performLocked)
		return
	}
	performLocked(s, t)
}

func performLocked(s *System, t *Task) { s.perform(t, s.resolver.Locked, answered) }

// perform executes steps and continues with after.
func (s *System) perform(t *Task, steps []Step, after resume) {
	w := &t.walk
	w.steps, w.pc, w.touch, w.after = steps, 0, 0, after
	nextTouch(s, t)
}

// nextTouch makes the next access of the current action, or decides it.
func nextTouch(s *System, t *Task) {
	w := &t.walk
	for w.pc < len(w.steps) {
		def := &actions[w.steps[w.pc].do]
		if def.block != nil {
			def.block(s, t)
			return
		}
		if w.touch < len(def.touches) {
			spec := def.touches[w.touch]
			w.touch++
			s.touch(t, s.lineOf(t, spec.role), spec.kind, nextTouch)
			return
		}
		if def.halves > 0 && w.touch == len(def.touches) {
			w.touch++
			s.work(t, s.machine.Hit.LookupCycles/2, nextTouch)
			return
		}
		if outcome := def.check(s, t); outcome != Lockless && w.spec {
			s.refuse(t, outcome)
			return
		}
		w.pc++
		w.touch = 0
	}
	w.after(s, t)
}

// nextAction goes on after an action that blocked.
func nextAction(s *System, t *Task) {
	t.walk.pc++
	t.walk.touch = 0
	nextTouch(s, t)
}

// refuse ends a speculation: the locked path runs, once.
func (s *System) refuse(t *Task, outcome Outcome) {
	t.hit.Outcome = outcome
	t.hit.Parts.Wasted = s.now - t.hit.Start
	if outcome == WriterActive || outcome == SeqChanged {
		t.hit.Blame = t.op.MM.writer
	}
	s.beginLocked(t)
}

// lineOf returns the line of a role that t's lookup touches next.
func (s *System) lineOf(t *Task, role Role) *line {
	m, w := t.op.MM, &t.walk
	switch role {
	case SeqLine:
		return m.seqLine()
	case TreeRoot:
		return &m.root
	case TreeLeaf:
		_, leaf := m.Space.Path(t.op.Addr)
		return m.leaf(leaf)
	case VMAHead:
		return &m.vma(w.vma.ID).head
	case VMATail:
		return &m.vma(w.vma.ID).tail
	case FileLine:
		return s.global.file(w.vma.File)
	case UprobeTree:
		return &s.global.tree
	case HitCounter:
		return &s.global.hits
	}
	return s.global.probe(w.probe)
}

func pass(*System, *Task) Outcome { return Lockless }

func checkSeqBegin(s *System, t *Task) Outcome {
	t.walk.seq = t.op.MM.seq
	t.hit.Sampled = s.now
	if t.walk.seq&1 != 0 {
		return WriterActive
	}
	return Lockless
}

func checkVMA(s *System, t *Task) Outcome {
	w := &t.walk
	w.vma, w.found = t.op.MM.Space.Find(t.op.Addr)
	if !w.found {
		return NoVMA
	}
	return Lockless
}

func checkFile(s *System, t *Task) Outcome {
	if !t.walk.found || !t.walk.vma.FileBacked() {
		t.walk.found = false
		return NoFile
	}
	return Lockless
}

func checkOffset(s *System, t *Task) Outcome {
	w := &t.walk
	w.offset = w.vma.Offset(t.op.Addr)
	return Lockless
}

func checkUprobe(s *System, t *Task) Outcome {
	w := &t.walk
	if w.found {
		w.probe, w.found = s.probes.Find(w.vma.File, w.offset)
	}
	if !w.found {
		return NoUprobe
	}
	return Lockless
}

func checkSeqEnd(s *System, t *Task) Outcome {
	t.hit.Checked = s.now
	mask := uint64(1)<<s.resolver.SeqBits - 1 // a shift by 64 gives 0, so all bits
	if (t.walk.seq^t.op.MM.seq)&mask != 0 {
		return SeqChanged
	}
	return Lockless
}

// checkVMALock is vma_start_read: a VMA whose lock sequence equals the mm's is
// write-locked. It needs the lock before it trusts the VMA.
func checkVMALock(s *System, t *Task) Outcome {
	if t.op.MM.seq&1 != 0 && t.op.MM.vma(t.walk.vma.ID).lockSeq == t.op.MM.seq {
		return WriterActive
	}
	return Lockless
}

func takeMmapLock(s *System, t *Task) { s.downRead(t, t.op.MM, gotMmapLock) }

func gotMmapLock(s *System, t *Task) {
	t.hit.Acquired = s.now
	nextAction(s, t)
}

func dropMmapLock(s *System, t *Task) {
	t.hit.Parts.LockHold = s.now - t.hit.Acquired
	s.upRead(t, t.op.MM, nextAction)
}

// srcuBarrier is the full barrier of srcu_read_lock and unlock: it waits for the
// stores before it.
func srcuBarrier(s *System, t *Task) { s.drainStores(t, passBarrier) }

func passBarrier(s *System, t *Task) {
	s.work(t, s.machine.Hit.SRCUCycles/2, nextAction)
}

// answered is the end of the lookup; the handlers follow.
func answered(s *System, t *Task) {
	t.account = false
	h := &t.hit
	h.Answered = s.now
	h.Found = t.walk.found
	h.Parts.Lookup = s.now - h.Start - h.Parts.Stall - h.Parts.LockWait
	s.checkAnswer(t)
	s.fold(uint64(s.now), uint64(t.ID), uint64(h.Outcome))
	s.perform(t, s.resolver.Before, handle)
}

func handle(s *System, t *Task) { s.work(t, s.jitter(t, s.machine.Hit.ExitCycles), handled) }

// jitter spreads the private work of the benchmark evenly around its mean. A
// trace brings its own.
func (s *System) jitter(t *Task, cycles int64) int64 {
	spread := cycles * s.machine.Hit.JitterPermille / 1000
	if spread == 0 || !t.op.Repeat {
		return cycles
	}
	return cycles - spread + int64(s.rand.Uint64()>>33)%(2*spread+1)
}

func handled(s *System, t *Task) { s.perform(t, s.resolver.After, endHit) }

func endHit(s *System, t *Task) {
	h := &t.hit
	h.End = s.now
	h.Parts.Handler = h.Start - h.Trap + h.End - h.Answered
	h.Transfers = t.transfers
	s.observer.Hit(h)
	s.finish(t)
}

// checkAnswer is the oracle of every run: a lockless answer must be what a
// locked lookup would have given at some instant between begin and end. The
// sequence says that no writer section overlapped, so this instant will do.
func (s *System) checkAnswer(t *Task) {
	w := &t.walk
	if t.hit.Outcome != Lockless {
		return
	}
	s.oracle++
	v, ok := t.op.MM.Space.Find(t.op.Addr)
	var probe mm.ProbeID
	if ok && v.FileBacked() {
		probe, ok = s.probes.Find(v.File, v.Offset(t.op.Addr))
	}
	if s.resolver.SeqBits > 0 && (!ok || probe != w.probe) {
		panic("sim: a lockless lookup returned what a locked one would not")
	}
}
