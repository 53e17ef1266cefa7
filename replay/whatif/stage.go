package whatif

import (
	"container/heap"
	"strconv"
	"strings"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
)

// Stages change operations on their way to one replay.
type Stages struct {
	timeline.Operations
	stages []*stage
}

// Apply returns the operations as the rules change them.
func Apply(from timeline.Operations, rules Rules) *Stages {
	s := &Stages{Operations: from}
	for i := range rules {
		next := newStage(s.Operations, &rules[i])
		s.stages = append(s.stages, next)
		s.Operations = next
	}
	return s
}

// Unmatched are the rules that nothing in the trace was a case of.
func (s *Stages) Unmatched() Rules {
	var none Rules
	for _, st := range s.stages {
		if st.matched == 0 {
			none = append(none, *st.rule)
		}
	}
	return none
}

// stage applies one rule.
type stage struct {
	from timeline.Operations
	rule *Rule

	names   *names // where the rule makes threads or probes, else nil
	seen    map[int32]int
	batches map[int32]*batch
	order   []int32                   // of batches, by first appearance
	left    map[*timeline.Change]bool // of calls that are left out, until their end comes

	ready   made
	bound   int64 // ns: the latest operation that was read
	pushed  int64
	ended   bool
	matched int64
}

// batch are the sections of a thread that wait for the one they are done with.
type batch struct {
	n       int
	changes []*timeline.Operation // what they did to the address space
	last    *timeline.Operation
}

func newStage(from timeline.Operations, r *Rule) *stage {
	s := &stage{from: from, rule: r, seen: map[int32]int{}, batches: map[int32]*batch{}, left: map[*timeline.Change]bool{}}
	if r.Action == Move || r.Action == Also {
		s.names = newNames()
	}
	return s
}

// Next is part of timeline.Operations. What is made may come later than what it was made
// of: it is handed out when the operations that are read have come so far.
func (s *stage) Next() (*timeline.Operation, bool) {
	for len(s.ready) == 0 || !s.ended && s.ready[0].op.At > s.bound {
		op, ok := s.from.Next()
		if !ok {
			if s.ended {
				return nil, false
			}
			s.ended = true
			for _, thread := range s.order {
				s.flush(s.batches[thread], s.bound)
			}
			continue
		}
		s.bound = max(s.bound, op.At)
		s.take(op)
	}
	return heap.Pop(&s.ready).(pending).op, true
}

// Err is part of timeline.Operations.
func (s *stage) Err() error { return s.from.Err() }

func (s *stage) push(op *timeline.Operation) {
	s.pushed++
	heap.Push(&s.ready, pending{op, s.pushed})
}

// take makes of an operation what the rule says.
func (s *stage) take(op *timeline.Operation) {
	if s.names != nil {
		op = s.names.own(op)
	}
	switch {
	case op.Kind == sim.OpApply && op.Change != nil && s.left[op.Change]:
		delete(s.left, op.Change) // of a call that is left out, or in a batch
	case !s.rule.matches(op):
		s.push(op)
	default:
		s.matched++
		s.change(op)
	}
}

func (s *stage) change(op *timeline.Operation) {
	r := s.rule
	switch r.Action {
	case Drop:
		s.leaveOut(op)
	case Sample:
		if s.seen[op.Thread]++; s.seen[op.Thread]%r.N == 0 {
			s.push(op)
		} else {
			s.leaveOut(op)
		}
	case Batch:
		s.batch(op)
	case Delay:
		later := *op
		later.At += r.Delay.Nanoseconds()
		s.push(&later)
	case Scale:
		scaled := *op
		scaled.Hold, scaled.ReadHold = scale(op.Hold, r.Scale), scale(op.ReadHold, r.Scale)
		s.push(&scaled)
	case Repeat:
		s.push(op)
		for i := 1; i < r.N; i++ {
			s.push(again(op, op.Wait+int64(i)*(op.Hold+op.ReadHold)))
		}
	case Move:
		s.push(s.names.moved(op, r))
	case Also:
		s.push(op)
		s.push(s.names.also(op, r.Name))
	}
}

func scale(ns, ppm int64) int64 { return ns/1_000_000*ppm + ns%1_000_000*ppm/1_000_000 }

// again is the operation once more, so much later. It changes nothing that it had not
// changed before.
func again(op *timeline.Operation, later int64) *timeline.Operation {
	copied, origin := *op, *op.Origin
	copied.At += later
	copied.Change, copied.Origin = nil, &origin // a section is told by it
	return &copied
}

// leaveOut drops an operation, but for changes that others rest on: a forked process has
// its address space, and a file that is mapped has its probes.
func (s *stage) leaveOut(op *timeline.Operation) {
	c := op.Change
	switch {
	case c == nil:
	case c.Needed():
		s.push(change(op))
	default:
		s.drop(op)
	}
}

// drop leaves out the change at the end of the call, too, where that comes by itself: of
// sections by lock events.
func (s *stage) drop(op *timeline.Operation) {
	if op.Origin.Observed {
		s.left[op.Change] = true
	}
}

// change is what an operation does to the address space, by itself.
func change(op *timeline.Operation) *timeline.Operation {
	only := *op
	only.Kind, only.Wait, only.Hold, only.ReadHold = sim.OpApply, 0, 0, 0
	return &only
}

// batch adds a section to its thread's batch, and makes one of it when it is full.
func (s *stage) batch(op *timeline.Operation) {
	b := s.batches[op.Thread]
	if b == nil {
		b = &batch{}
		s.batches[op.Thread] = b
		s.order = append(s.order, op.Thread)
	}
	b.n++
	b.last = op
	if op.Change != nil {
		b.changes = append(b.changes, op)
		s.drop(op)
	}
	if b.n == s.rule.N {
		s.flush(b, op.At)
	}
}

// flush makes one section of a batch at a time, with what all of them changed.
func (s *stage) flush(b *batch, at int64) {
	if b.n == 0 {
		return
	}
	all := *b.last
	all.At = at
	for _, op := range b.changes {
		if op == b.last {
			continue // it has its change itself
		}
		late := change(op)
		late.At = at
		s.push(late)
	}
	s.push(&all)
	*b = batch{changes: b.changes[:0]}
}

// matches reports whether the rule is about the operation.
func (r *Rule) matches(op *timeline.Operation) bool {
	switch {
	case op.Kind == sim.OpApply:
		return false
	case r.What == hits:
		if op.Kind != sim.OpHit {
			return false
		}
	case op.Kind == sim.OpHit:
		return false
	case r.What == writes:
		if op.Kind != sim.OpWrite {
			return false
		}
	case r.What == reads:
		if op.Kind != sim.OpRead {
			return false
		}
	case op.Origin.Kind != r.What:
		return false
	}
	for _, c := range r.By {
		if !c.holds(op.Origin.Class) {
			return false
		}
	}
	return true
}

func (c *Condition) holds(o *timeline.Class) bool {
	switch c.Field {
	case "comm":
		return like(o.Comm, c.Value)
	case "probe":
		return like(o.Probe, c.Value)
	case "pid":
		return strconv.Itoa(int(o.PID)) == c.Value
	case "tid":
		return strconv.Itoa(int(o.TID)) == c.Value
	}
	for _, frame := range o.Stack {
		if strings.Contains(frame, c.Value) {
			return true
		}
	}
	return false
}

// like compares a name with a pattern that may end in *.
func like(name, pattern string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return name == pattern
}

// pending is an operation that was made; n is when.
type pending struct {
	op *timeline.Operation
	n  int64
}

// made is a heap of operations by time; those of one time stay in order.
type made []pending

func (m made) Len() int { return len(m) }
func (m made) Less(i, j int) bool {
	if a, b := m[i].op.At, m[j].op.At; a != b {
		return a < b
	}
	return m[i].n < m[j].n
}
func (m made) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *made) Push(x any)   { *m = append(*m, x.(pending)) }
func (m *made) Pop() any {
	old := *m
	last := old[len(old)-1]
	old[len(old)-1] = pending{}
	*m = old[:len(old)-1]
	return last
}

// names numbers threads and classes anew, for there to be more of them.
type names struct {
	threads map[int32]int32 // by the number that it had
	by      map[threadKey]int32
	next    int32
	classes map[*timeline.Class]*timeline.Class
	made    map[classKey]*timeline.Class
}

// threadKey is a thread that a rule names: a recorded one by its id, or a new one.
type threadKey struct {
	space int32
	tid   int32
	name  string
}

type classKey struct {
	of   *timeline.Class
	name string
	tid  int32
}

func newNames() *names {
	return &names{threads: map[int32]int32{}, by: map[threadKey]int32{}, classes: map[*timeline.Class]*timeline.Class{}, made: map[classKey]*timeline.Class{}}
}

// own is the operation with numbers of ours.
func (n *names) own(op *timeline.Operation) *timeline.Operation {
	thread, ok := n.threads[op.Thread]
	if !ok {
		thread = n.numbered(threadKey{op.Space.Index, op.Origin.TID, ""})
		n.threads[op.Thread] = thread
	}
	class := n.classes[op.Origin.Class]
	if class == nil {
		class = n.class(*op.Origin.Class)
		n.classes[op.Origin.Class] = class
	}
	copied, origin := *op, *op.Origin
	copied.Thread, copied.Origin = thread, &origin
	origin.Class = class
	return &copied
}

func (n *names) numbered(key threadKey) int32 {
	number, ok := n.by[key]
	if !ok {
		number = n.next
		n.next++
		n.by[key] = number
	}
	return number
}

// class is one with a number of ours.
func (n *names) class(c timeline.Class) *timeline.Class {
	c.ID = len(n.classes) + len(n.made)
	return &c
}

// newTID is the thread id of threads that a rule makes; timeline.Mapper is -1.
const newTID = -2

// moved is the operation as another thread of its process does it. The operation is ours.
func (n *names) moved(op *timeline.Operation, r *Rule) *timeline.Operation {
	key := threadKey{op.Space.Index, r.TID, r.Name}
	made := classKey{op.Origin.Class, r.Name, r.TID}
	class := n.made[made]
	if class == nil {
		c := *op.Origin.Class
		if c.TID = r.TID; r.TID == 0 {
			c.TID, c.Comm = newTID, r.Name
		}
		class = n.class(c)
		n.made[made] = class
	}
	op.Thread, op.Origin.Class = n.numbered(key), class
	return op
}

// also is the hit of another probe, on the next instruction.
func (n *names) also(op *timeline.Operation, probe string) *timeline.Operation {
	made := classKey{op.Origin.Class, probe, 0}
	class := n.made[made]
	if class == nil {
		c := *op.Origin.Class
		c.Probe = probe
		class = n.class(c)
		n.made[made] = class
	}
	copied, origin := *op, *op.Origin
	origin.Class = class
	copied.Origin = &origin
	if copied.Addr++; copied.Addr%mm.PageSize == 0 {
		copied.Addr -= 2 // on the same page, which is known to be mapped
	}
	return &copied
}
