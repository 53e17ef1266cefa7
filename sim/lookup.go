package sim

import "github.com/replay/replay/sim/mm"

// walk is the state of one lookup: the registers of find_active_uprobe_rcu, or of
// in_uprobe_trampoline.
type walk struct {
	resolver *Resolver
	addr     uint64 // that is looked up
	half     int64  // cycles of a private walk

	steps []Step
	pc    int
	touch int  // touches of the current action that are done
	spec  bool // in the speculative part
	held  bool // the VMA's read lock
	gone  bool // refused: of the steps, only those are left that give back what is held

	seq    uint64
	got    reach
	vma    mm.VMA
	offset uint64
	probe  mm.ProbeID
	after  resume // when steps are done
}

// reach is how far a walk from the address to the uprobe came.
type reach uint8

const (
	nowhere reach = iota
	mapping       // vma
	file          // its vm_file: offset has a meaning
	uprobe        // probe
)

// next goes past steps that have nothing to act on: find_active_uprobe_rcu leaves out
// what needs a mapping, a file or a uprobe that was not found, and a refusal what does not
// give back what is held. It returns what to do, nil at the end of the steps.
func (w *walk) next() *actionDef {
	for ; w.pc < len(w.steps); w.pc++ {
		def := &actions[w.steps[w.pc].do]
		if def.needs <= w.got && (!w.gone || def.gives && w.held) {
			return def
		}
	}
	return nil
}

// end ends the action at hand.
func (w *walk) end() { w.pc, w.touch = w.pc+1, 0 }

// touchSpec is one access of an action.
type touchSpec struct {
	role Role
	kind access
}

// actionDef says what an action does: the lines it touches in order, its share
// of the walk's private cycles, and what it decides once all lines are here.
type actionDef struct {
	needs   reach // what it acts on
	touches []touchSpec
	walks   bool // a tree, for walk.half cycles
	gives   bool // back what a step before has taken
	check   func(*System, *Task) Outcome
	block   func(s *System, t *Task) // takes or drops a lock, then calls nextAction
}

var actions [numActions]actionDef

func init() {
	// Filled here since the functions refer to the table.
	actions = [numActions]actionDef{
		seqBegin:        {touches: []touchSpec{{SeqLine, load}}, check: checkSeqBegin},
		findVMA:         {touches: []touchSpec{{TreeRoot, load}, {TreeLeaf, load}}, walks: true, check: checkVMA},
		readFile:        {needs: mapping, touches: []touchSpec{{VMAFile, load}}, check: checkFile},
		readFlags:       {needs: file, touches: []touchSpec{{VMAHead, load}}, check: pass},
		readPgoff:       {needs: file, touches: []touchSpec{{VMAPgoff, load}}, check: pass},
		readStart:       {needs: file, touches: []touchSpec{{VMAHead, load}}, check: pass},
		readInode:       {needs: file, touches: []touchSpec{{FileLine, load}}, check: pass},
		findUprobe:      {needs: file, touches: []touchSpec{{UprobeTree, load}, {UprobeNode, load}}, walks: true, check: checkUprobe},
		findTrampoline:  {touches: []touchSpec{{TreeRoot, load}, {TreeLeaf, load}}, walks: true, check: checkTrampoline},
		readMapping:     {needs: mapping, touches: []touchSpec{{VMAFile, load}}, check: pass},
		seqEnd:          {touches: []touchSpec{{SeqLine, load}}, check: checkSeqEnd},
		mmapReadLock:    {block: takeMmapLock},
		mmapReadUnlock:  {block: dropMmapLock},
		vmaLooksFree:    {touches: []touchSpec{{VMAHead, load}, {SeqLine, load}}, check: checkVMAFree},
		vmaReadLock:     {touches: []touchSpec{{VMALock, rmw}}, check: takeVMALock},
		vmaStillFree:    {touches: []touchSpec{{SeqLine, load}}, check: checkVMAFree},
		vmaStillThere:   {touches: []touchSpec{{VMAHead, load}}, check: checkVMAThere},
		vmaReadUnlock:   {gives: true, block: dropVMALock},
		srcuEnter:       {block: srcuBarrier},
		srcuLeave:       {block: srcuBarrier},
		treeLock:        {needs: file, touches: []touchSpec{{UprobeTree, rmw}}, check: pass},
		treeUnlock:      {needs: file, touches: []touchSpec{{UprobeTree, rmw}}, check: pass},
		getUprobe:       {needs: uprobe, touches: []touchSpec{{UprobeNode, rmw}}, check: pass},
		putUprobe:       {needs: uprobe, touches: []touchSpec{{UprobeNode, rmw}}, check: pass},
		lockConsumers:   {needs: uprobe, touches: []touchSpec{{UprobeNode, rmw}, {UprobeNode, store}}, check: pass}, // count, then owner
		unlockConsumers: {needs: uprobe, touches: []touchSpec{{UprobeNode, rmw}}, check: pass},
		countHit:        {needs: uprobe, touches: []touchSpec{{HitCounter, load}, {HitCounter, store}}, check: pass},
	}
}

// beginHit is a trap: its entry path, then the lookup.
func beginHit(s *System, t *Task) {
	t.hit = HitRecord{Op: t.op, CPU: t.cpu, Trap: s.now}
	t.transfers = 0
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
	t.walk = walk{resolver: &trampolineCheck, steps: trampolineCheck.Speculate, spec: true, addr: t.op.Trampoline, half: half, after: checked}
}

// uprobeLookup prepares the lookup of the uprobe.
func (s *System) uprobeLookup(t *Task) {
	t.lookup = &t.hit.Lookup
	cycles := s.machine.Hit.LookupCycles
	if t.op.LookupCycles > 0 {
		cycles = t.op.LookupCycles
	}
	t.walk = walk{resolver: s.resolver, steps: s.resolver.Speculate, spec: true, addr: t.op.Addr, half: cycles / 2, after: answered}
}

// checked is the end of the first lookup; that of the uprobe follows.
func checked(s *System, t *Task) {
	s.endLookup(t)
	if t.hit.Check.Outcome == Lockless && s.comparable(t, &t.hit.Check) {
		s.oracle++
		if v, ok := t.op.MM.Space.Find(t.op.Trampoline); ok != (t.walk.got == mapping) || ok && v.ID != t.walk.vma.ID {
			panic("sim: a lockless check of the trampoline found what a locked one would not")
		}
	}
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
	t.lookup.Start = s.now
	t.account = true
	if len(t.walk.steps) == 0 {
		t.lookup.Outcome = Unconfigured
		s.beginLocked(t)
		return
	}
	nextTouch(s, t)
}

// endLookup counts what t.lookup took.
func (s *System) endLookup(t *Task) {
	t.account = false
	l := t.lookup
	l.Answered = s.now
	l.Parts.Lookup = s.now - l.Start - l.Parts.Stall - l.Parts.LockWait
	t.hit.Parts.Add(l.Parts)
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

func performLocked(s *System, t *Task) { s.perform(t, t.walk.resolver.Locked, t.walk.after) }

// perform executes steps and continues with after.
func (s *System) perform(t *Task, steps []Step, after resume) {
	w := &t.walk
	w.steps, w.pc, w.touch, w.after = steps, 0, 0, after
	nextTouch(s, t)
}

// nextTouch makes the next access of the current action, or decides it.
func nextTouch(s *System, t *Task) {
	w := &t.walk
	for def := w.next(); def != nil; def = w.next() {
		if def.block != nil {
			def.block(s, t)
			return
		}
		if w.touch < len(def.touches) {
			spec := def.touches[w.touch]
			w.touch++
			if l := s.lineOf(t, spec.role); l != nil {
				next := nextTouch
				if spec.kind == load && !s.stepwise && !s.cached(l, t.cpu, load) {
					next = fetched
				}
				s.touch(t, l, spec.kind, next)
				return
			}
			continue
		}
		if def.walks && w.touch == len(def.touches) {
			w.touch++
			s.work(t, w.half, nextTouch)
			return
		}
		if outcome := def.check(s, t); outcome != Lockless && w.spec {
			s.refuse(t, outcome)
			return
		}
		w.end()
	}
	if w.gone {
		s.giveUp(t)
		return
	}
	w.after(s, t)
}

// fetched goes on after a line had to come from elsewhere: those that remain may be here.
func fetched(s *System, t *Task) {
	if !s.flyOn(t) {
		nextTouch(s, t)
	}
}

// nextAction goes on after an action that blocked.
func nextAction(s *System, t *Task) {
	t.walk.end()
	nextTouch(s, t)
}

// refuse ends a speculation, which gives back what it holds.
func (s *System) refuse(t *Task, outcome Outcome) {
	l := t.lookup
	l.Outcome = outcome
	if outcome == WriterActive || outcome == SeqChanged {
		l.Blame = t.op.MM.writer
	}
	t.walk.gone = true
	nextAction(s, t)
}

// giveUp is the end of a refused speculation: the locked path runs, once.
func (s *System) giveUp(t *Task) {
	t.walk.gone = false
	t.lookup.Parts.Wasted = s.now - t.lookup.Start
	s.beginLocked(t)
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
		return s.global.file(w.vma.File)
	case UprobeTree:
		return &s.global.tree
	case HitCounter:
		return &s.global.hits
	}
	if id := s.node(w); id != mm.NoProbe {
		return s.global.probe(id)
	}
	return nil
}

// node is the uprobe that w reads: before one is found, the last of its way down the tree.
func (s *System) node(w *walk) mm.ProbeID {
	if w.got < uprobe {
		return s.probes.Last(w.vma.File, w.offset)
	}
	return w.probe
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
		return int(w.vma.File) < len(s.global.files) && s.global.files[w.vma.File] != nil
	case UprobeNode:
		i := int(s.node(w))
		return i >= 0 && i < len(s.global.nodes) && s.global.nodes[i] != nil
	}
	return true
}

func pass(*System, *Task) Outcome { return Lockless }

func checkSeqBegin(s *System, t *Task) Outcome {
	t.walk.seq = t.op.MM.seq
	t.lookup.Sampled = s.now
	if t.walk.seq&1 != 0 {
		return WriterActive
	}
	return Lockless
}

func checkVMA(s *System, t *Task) Outcome {
	w := &t.walk
	w.got = nowhere
	v, ok := t.op.MM.Space.Find(w.addr)
	if !ok {
		return NoVMA
	}
	w.vma, w.got = v, mapping
	return Lockless
}

// checkTrampoline refuses nothing: that there is no mapping is an answer.
func checkTrampoline(s *System, t *Task) Outcome {
	checkVMA(s, t)
	return Lockless
}

// checkFile knows the key as well: the mapping was copied when it was found. The steps
// that follow are for the lines that it is on.
func checkFile(s *System, t *Task) Outcome {
	w := &t.walk
	if !w.vma.FileBacked() {
		return NoFile
	}
	w.offset, w.got = w.vma.Offset(w.addr), file
	return Lockless
}

func checkUprobe(s *System, t *Task) Outcome {
	w := &t.walk
	id, ok := s.probes.Find(w.vma.File, w.offset)
	if !ok {
		return NoUprobe
	}
	w.probe, w.got = id, uprobe
	return Lockless
}

func checkSeqEnd(s *System, t *Task) Outcome {
	t.lookup.Checked = s.now
	mask := uint64(1)<<t.walk.resolver.SeqBits - 1 // a shift by 64 gives 0, so all bits
	if (t.walk.seq^t.op.MM.seq)&mask != 0 {
		return SeqChanged
	}
	return Lockless
}

// checkVMAFree is how vma_start_read knows a write-locked VMA: its lock sequence equals
// the mm's.
func checkVMAFree(s *System, t *Task) Outcome {
	if m := t.op.MM; m.vma(t.walk.vma.ID).lockSeq == m.seq {
		return WriterActive
	}
	return Lockless
}

// takeVMALock counts a reader, which a writer that waits for the others lets no more
// (__vma_enter_locked).
func takeVMALock(s *System, t *Task) Outcome {
	v := t.op.MM.vma(t.walk.vma.ID)
	if v.writer != nil {
		return WriterActive
	}
	v.readers++
	t.walk.held = true
	return Lockless
}

// checkVMAThere is what lock_vma_under_rcu sees to once it has the lock: before, the VMA
// may have been detached, or got other bounds. From here on it stays what it is.
func checkVMAThere(s *System, t *Task) Outcome {
	w := &t.walk
	v, ok := t.op.MM.Space.Find(w.addr)
	if !ok || v.ID != w.vma.ID {
		return SeqChanged
	}
	w.vma = v
	return Lockless
}

func dropVMALock(s *System, t *Task) {
	s.touch(t, &t.op.MM.vma(t.walk.vma.ID).lock, rmw, vmaLockDropped)
}

// vmaLockDropped is vma_end_read: the last reader wakes a writer that waits.
func vmaLockDropped(s *System, t *Task) {
	w := &t.walk
	v := t.op.MM.vma(w.vma.ID)
	if !w.gone {
		s.compare(t) // while the lock still holds it to be true
	}
	if v.readers--; v.readers > 0 || v.writer == nil {
		nextAction(s, t)
		return
	}
	s.wake(v.writer)
	t.next = nextAction
	s.delayCycles(t, s.machine.Lock.WakeCycles)
}

func takeMmapLock(s *System, t *Task) { s.downRead(t, t.op.MM, gotMmapLock) }

func gotMmapLock(s *System, t *Task) {
	t.lookup.Acquired = s.now
	t.walk.end()
	if !s.flyOn(t) {
		nextTouch(s, t)
	}
}

func dropMmapLock(s *System, t *Task) {
	t.lookup.Parts.LockHold = s.now - t.lookup.Acquired
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
	h := &t.hit
	h.Found = t.walk.got == uprobe
	if s.resolver.SeqBits > 0 {
		s.compare(t)
	}
	s.endLookup(t)
	h.Outcome = h.Deciding().Outcome
	s.perform(t, s.resolver.Before, handle)
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

func handled(s *System, t *Task) { s.perform(t, s.resolver.After, endHit) }

func endHit(s *System, t *Task) {
	h := &t.hit
	h.End = s.now
	h.Parts.Handler = h.End - h.Trap - h.Parts.Resolve()
	h.Transfers = t.transfers
	s.observer.Hit(h)
	s.finish(t)
}

// compare is the oracle of every run: a lockless answer must be what a locked lookup
// would have given at some instant between begin and end. The sequence says that no write
// section overlapped, the VMA's lock that none changed it, so this instant will do. An
// upper bound is no answer: it holds to nothing.
func (s *System) compare(t *Task) {
	w := &t.walk
	if t.lookup.Outcome != Lockless || !s.comparable(t, t.lookup) {
		return
	}
	s.oracle++
	v, ok := t.op.MM.Space.Find(t.op.Addr)
	var probe mm.ProbeID
	if ok && v.FileBacked() {
		probe, ok = s.probes.Find(v.File, v.Offset(t.op.Addr))
	}
	if !ok || probe != w.probe {
		panic("sim: a lockless lookup returned what a locked one would not")
	}
}

// comparable reports whether a locked lookup at the end of l has to find the same: not
// where the mappings changed meanwhile without a section, by an operation of which only
// the outcome is known. Then what was there before is as right.
func (s *System) comparable(t *Task, l *Lookup) bool {
	return t.op.MM.applied < l.Start
}
