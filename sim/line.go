package sim

import "math/bits"

// Role is the kind of data on a cache line; lines of one role are reported
// together.
type Role uint8

// The lines that a hit or a write section touches (mm_types.h).
const (
	CountLine  Role = iota // mmap_lock.count
	OwnerLine              // mmap_lock.owner, wait list; with CountApart also mm_lock_seq
	SeqLine                // mm_lock_seq, when it has a line of its own
	TreeRoot               // root node of the maple tree
	TreeLeaf               // its leaf nodes
	VMAHead                // vm_area_struct line 0: vm_start, vm_flags, vm_lock_seq
	VMAPgoff               // line 1: vm_pgoff, but in v3 of the series
	VMAFile                // line 2: vm_file
	FileLine               // struct file
	UprobeTree             // root of uprobes_tree, uprobes_seqcount and uprobes_treelock: neighbours in .bss
	UprobeNode             // struct uprobe line 0: rb_node, and ref and register_rwsem
	VMALock                // vm_refcnt, cacheline aligned; before that the VMA's vma_lock
	HitCounter             // trace_uprobe.nhit, shared by all CPUs until 10cdb82aa77f
	NumRoles
)

var roleNames = [NumRoles]string{
	"mmap_lock.count", "mmap_lock.owner+mm_lock_seq", "mm_lock_seq", "maple root", "maple leaf", "vma line 0",
	"vma line 1", "vma line 2", "struct file", "uprobes_tree", "struct uprobe", "vma lock", "trace_uprobe.nhit",
}

// String returns the role's name in reports.
func (r Role) String() string { return roleNames[r] }

// LineStats is the traffic on all lines of one role.
type LineStats struct {
	Accesses  int64
	Transfers int64
	Stall     Time
}

// MaxLabels is how many kinds of operations the traffic on lines is told apart by.
const MaxLabels = 16

// LinePair is the traffic of lines of one role between two kinds of operations, by their
// labels: Took had to have a line that was not there because Had had it, or wrote to it.
// Those of one role add up to its LineStats.
type LinePair struct {
	Role      Role
	Had, Took uint8
	Transfers int64
	Stall     Time
}

// pairStats is the traffic of a LinePair.
type pairStats struct {
	transfers int64
	stall     Time
}

// access is what a core does to a line.
type access uint8

const (
	load access = iota
	store
	rmw
)

// coreSet is a set of cores.
type coreSet [MaxCPUs / 64]uint64

func (c *coreSet) has(core int32) bool { return c[core/64]&(1<<(core%64)) != 0 }
func (c *coreSet) add(core int32)      { c[core/64] |= 1 << (core % 64) }

// request is a core waiting for a line.
type request struct {
	task  *Task
	since Time
	cpu   int32 // that made it: a buffered store leaves from there, wherever its thread is by then
	kind  access
	label uint8 // of the operation, which a buffered store outlives
	async bool  // a buffered store: the task does not wait for it here
}

// line is one cache line under a MESI-like protocol: either one core holds it
// modified, or some share it. While it travels it is busy, and further requests
// queue.
type line struct {
	role    Role
	shared  bool // several may read; no core holds it modified
	busy    bool
	served  bool  // the holder's core had it queued and got it again
	holder  int32 // CPU that wrote or fetched it last; -1: only memory has it
	writer  int32 // CPU whose store is the newest; -1: none
	sharers coreSet
	mm      *MM       // whose it is; nil: all address spaces share it
	path    bool      // speculations read it
	wrote   uint8     // label of the operation that made the newest store,
	had     uint8     // and of that which had the line last
	queue   *waitlist // nil before the first request that has to wait
}

func newLine(role Role) line {
	return line{role: role, holder: -1, writer: -1, path: role >= TreeRoot && role <= UprobeNode}
}

// cached reports whether cpu can do kind without a transfer.
func (s *System) cached(l *line, cpu int32, kind access) bool {
	core := s.topo.cpus[cpu].core
	if kind == load {
		return l.sharers.has(core)
	}
	return !l.shared && l.holder >= 0 && s.topo.cpus[l.holder].core == core
}

// localCost is the time of an access to a line in the own L1.
func (s *System) localCost(l *line, cpu int32, kind access) Time {
	costs := &s.topo.costs[cpu]
	if kind == load {
		return costs.load
	}
	t := costs.store
	if kind == rmw {
		t = costs.rmw
	}
	if l.writer >= 0 && l.writer != cpu {
		t += s.machine.Line.Sibling
	}
	return t
}

// transferCost is the time for a line to reach cpu: from the core that holds it,
// or for a write to a shared line from the farthest that must give it up. A
// line that no core has yet is taken as prefetched: cold misses are left out.
func (s *System) transferCost(l *line, cpu int32, kind access, queued bool) Time {
	if l.holder < 0 {
		return 0
	}
	d := s.topo.distance(cpu, l.holder)
	if kind != load && l.shared {
		d = s.farthest(l, cpu)
	}
	costs := &s.machine.Line
	t := costs.Transfer[d]
	if queued {
		t = t * Time(costs.QueuedPermille) / 1000
	}
	if l.queue != nil {
		t += costs.Waiter * Time(min(l.queue.waiting, costs.WaiterCap))
	}
	return t
}

// farthest is the distance from cpu to the farthest sharer of l.
func (s *System) farthest(l *line, cpu int32) Distance {
	far := Own
	for w, word := range l.sharers {
		for ; word != 0; word &= word - 1 {
			core := int32(w*64 + bits.TrailingZeros64(word))
			far = max(far, s.topo.distance(cpu, s.coreCPU[core]))
		}
	}
	return far
}

// touch makes t access l and then continue with next. A plain store goes
// through the store buffer: t continues at once, and only its next atomic
// waits for it.
func (s *System) touch(t *Task, l *line, kind access, next resume) {
	s.stats[l.role].Accesses++
	t.next = next
	if kind == rmw && t.stores > 0 {
		t.drain = request{task: t, since: s.now, kind: kind}
		t.drainLine = l
		t.draining = true
		return
	}
	if !l.busy && s.cached(l, t.cpu, kind) {
		cost := s.localCost(l, t.cpu, kind) // no other core has it, or this is a load
		s.own(l, t.cpu, kind, t.op.Label)
		s.runAt(t, s.now+cost)
		return
	}
	r := request{task: t, since: s.now, cpu: t.cpu, kind: kind, label: t.op.Label, async: kind == store}
	if r.async {
		t.stores++
	}
	s.request(l, r)
	if r.async {
		cost := s.topo.costs[t.cpu].store
		s.runAt(t, s.now+cost)
	}
}

// drainStores continues t with next once its buffered stores are done.
func (s *System) drainStores(t *Task, next resume) {
	if t.stores == 0 {
		next(s, t)
		return
	}
	t.next = next
	t.drain = request{task: t, since: s.now}
	t.drainLine, t.draining = nil, true
}

// request starts the transfer for r, or queues it.
func (s *System) request(l *line, r request) {
	if r.kind == load && !l.busy && (l.shared || l.holder < 0) {
		s.serve(l, r) // a shared line is read by any number at once
		return
	}
	if l.busy {
		if l.queue == nil {
			l.queue = newWaitlist(s.machine.Sockets, len(s.coreCPU))
		}
		l.queue.push(&s.waiting, r, s.topo.cpus[r.cpu])
		return
	}
	s.serve(l, r)
}

// serve moves l to r's core; done, it continues the task or ends its store.
func (s *System) serve(l *line, r request) {
	cpu := r.cpu
	// Many may read at once; one that is there is busy as well, so that nobody flies who reads it.
	l.busy = s.cached(l, cpu, r.kind) || !l.parallel(r.kind)
	done := s.now + s.bring(l, &r)
	stall := done - r.since - s.localCost(l, cpu, r.kind)
	s.stalled(l, &r, stall)
	if r.async {
		s.push(done, cpu, event{task: r.task, line: l, kind: evStore})
		return
	}
	r.task.addStall(stall)
	if l.busy {
		r.task.line = l
	}
	s.runAt(r.task, done)
}

// parallel reports whether an access that the line has to come for disturbs nobody.
func (l *line) parallel(kind access) bool { return kind == load && (l.shared || l.holder < 0) }

// bring has l on its way to r's core, which takes the time that is returned.
func (s *System) bring(l *line, r *request) Time {
	cost := s.localCost(l, r.cpu, r.kind)
	if s.cached(l, r.cpu, r.kind) {
		return cost
	}
	transfer := s.transferCost(l, r.cpu, r.kind, r.since < s.now)
	if transfer > 0 {
		s.stats[l.role].Transfers++
		s.pair(l, r).transfers++
		r.task.transfers++
	}
	if !l.parallel(r.kind) {
		s.taken(l)
	}
	return cost + transfer
}

// stalled counts how long r waits for l, which it has now.
func (s *System) stalled(l *line, r *request, stall Time) {
	s.stats[l.role].Stall += stall
	s.pair(l, r).stall += stall
	s.own(l, r.cpu, r.kind, r.label)
}

// pair is where the traffic is counted of a request. What is only read is not there
// because of the newest store, whoever else has read it since.
func (s *System) pair(l *line, r *request) *pairStats {
	had := l.had
	if r.kind == load && l.writer >= 0 {
		had = l.wrote
	}
	return &s.pairs[l.role][had%MaxLabels][r.label%MaxLabels]
}

// LinePairs returns the traffic on lines by who fought for them, in order of role.
func (s *System) LinePairs() []LinePair {
	var all []LinePair
	for role := range s.pairs {
		for had := range s.pairs[role] {
			for took, p := range s.pairs[role][had] {
				if p != (pairStats{}) {
					all = append(all, LinePair{Role(role), uint8(had), uint8(took), p.transfers, p.stall})
				}
			}
		}
	}
	return all
}

// own updates who has l after cpu's access for an operation of that label.
func (s *System) own(l *line, cpu int32, kind access, label uint8) {
	core := s.topo.cpus[cpu].core
	switch {
	case kind != load:
		l.sharers = coreSet{}
		l.shared = false
		l.holder, l.writer = cpu, cpu
		l.wrote, l.had = label, label
	case !l.sharers.has(core):
		l.shared = l.holder >= 0 || l.shared
		l.holder, l.had = cpu, label
	}
	l.sharers.add(core)
}

// free ends the transfer of l and starts the next one.
func (s *System) free(l *line) {
	l.busy = false
	for l.queue != nil && l.queue.n > 0 && !l.busy {
		s.serve(l, s.takeRequest(l))
	}
}

// takeRequest picks who gets l next: a thread of the core that has it, since
// that needs no transfer, but once only, for then the snoop of the next core is
// there; else, LocalPermille of the time, the longest waiting of the same socket;
// else the longest waiting.
func (s *System) takeRequest(l *line) request {
	q, here := l.queue, s.topo.cpus[l.holder]
	pick := q.oldest(s.waiting)
	if q.n > 1 {
		if own := q.cores[here.core].first; own != 0 && !l.served {
			pick = own
		} else if local := q.local(s.waiting, here); local != 0 && local != pick && s.rand.Permille(s.machine.Line.LocalPermille) {
			pick = local
		}
	}
	r := q.take(&s.waiting, pick, s.topo)
	l.served = s.topo.cpus[r.cpu].core == here.core
	return r
}
