package explore

import (
	"context"
	"fmt"
	"slices"

	"github.com/replay/replay/sim/protocol"
)

// Options say what of a case is explored, and how far.
type Options struct {
	Resolver string
	Off      []string // rules that do not apply
	Model    Model
	// States bounds how many are visited; 0 is StatesMax.
	States int
	// Full explores every order, also of steps that no other thread can tell apart: for
	// tests, and for counting.
	Full   bool
	faults Faults
}

// StatesMax is the bound of a run that does not ask for another.
const StatesMax = 20 << 20

// Faults are mistakes that an explorer could have; tests have to notice them.
type Faults struct {
	NoFence bool // fences have no effect
	Skip    bool // the last of several ways to go on is forgotten
}

// Verdict is what became of a case.
type Verdict string

// The verdicts.
const (
	Holds          Verdict = "holds"
	Counterexample Verdict = "counterexample"
	Bounded        Verdict = "bounded" // more states than allowed: nothing is known
)

// Violation is what went wrong, and which property it breaks.
type Violation struct {
	Property string
	Text     string
}

// Result is the outcome of one exploration.
type Result struct {
	Case      *Case
	Options   Options
	Verdict   Verdict
	States    int
	Moves     int
	Depth     int // of the longest way looked at, in moves
	Violation *Violation
	Rows      []Row
	Schedule  string
	Ends      int // states in which nothing goes on
	// What lookups did, over all moves: a case in which none is lockless shows nothing.
	Lockless, Fallen int
	Refused          [protocol.NumOutcomes]int
}

// move is one thread going on, in one of several ways.
type move struct {
	thread uint8
	way    uint8
}

// flushWay marks the move in which a thread's oldest store leaves its buffer.
const flushWay = 255

type explorer struct {
	w       *world
	model   model
	bad     *Violation
	err     error
	log     func(Row)
	latest  int // what the word of the step that is logged holds by now; -1: not known
	scratch []byte

	lockless, fallen int
	refused          [protocol.NumOutcomes]int
}

func newExplorer(w *world) *explorer {
	x := &explorer{w: w, latest: -1}
	switch w.model {
	case SC:
		x.model = scModel{}
	case TSO:
		x.model = tsoModel{}
	default:
		x.model = weakModel{}
	}
	return x
}

// fail ends the exploration: a limit is reached.
func (x *explorer) fail(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf("case %s: "+format, append([]any{x.w.c.Name}, args...)...)
	}
}

func (x *explorer) violate(property, format string, args ...any) {
	if x.bad == nil {
		x.bad = &Violation{property, fmt.Sprintf(format, args...)}
	}
}

// start is the first state.
func (x *explorer) start(s *state) {
	*s = state{}
	for i, w := range x.w.words {
		s.mem.values[i] = w.init
	}
	if x.w.model == Weak {
		x.startWeak(s)
	}
	for h, o := range x.w.objects {
		if o.spare {
			s.lives[h] = spare
		}
	}
	for i := range x.w.threads {
		for r, v := range x.w.threads[i].init {
			s.threads[i].regs[r] = uint64(v)
		}
	}
	s.mem.answers = x.answers(s)
	if x.w.model == Weak {
		s.mem.weak.words[x.w.ghost][0].value = s.mem.answers
	}
	for t := range x.w.threads {
		x.settle(s, t)
	}
}

// Run explores a case.
func Run(ctx context.Context, c *Case, o Options) (*Result, error) {
	r, err := protocol.FindResolver(o.Resolver)
	if err != nil {
		return nil, err
	}
	w, err := build(c, r, o.Off, o.Model)
	if err != nil {
		return nil, err
	}
	w.full, w.faults = o.Full, o.faults
	if o.States == 0 {
		o.States = StatesMax
	}
	x := newExplorer(w)
	result, err := x.search(ctx, &Result{Case: c, Options: o})
	if err != nil {
		return nil, err
	}
	result.Lockless, result.Fallen, result.Refused = x.lockless, x.fallen, x.refused
	return result, nil
}

// visit is how a state was reached first.
type visit struct {
	parent uint32
	move   move
}

// search goes through the states breadth first, so that the first violation found is one
// of the fewest moves.
func (x *explorer) search(ctx context.Context, r *Result) (*Result, error) {
	var first, from, to state
	seen := map[[2]uint64]struct{}{}
	visits := []visit{{}}
	x.start(&first)
	if x.bad != nil {
		return x.counterexample(r, nil)
	}
	frontier := [][]byte{slices.Clone(x.encode(nil, &first))}
	base := uint32(0) // index of the first state of the frontier
	seen[hash(frontier[0])] = struct{}{}
	var moves []move
	for len(frontier) > 0 {
		var next [][]byte
		for i, encoded := range frontier {
			if i%1024 == 0 && ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			x.decode(encoded, &from)
			at := base + uint32(i)
			var all bool
			moves, all = x.moves(&from, moves[:0])
			if x.err != nil {
				return nil, x.err
			}
			if x.bad != nil {
				r.States = len(visits)
				return x.counterexample(r, way(visits, at, nil))
			}
			if len(moves) == 0 && all {
				r.Ends++
			}
			for {
				fresh := false
				for _, mv := range moves {
					r.Moves++
					from.clone(&to)
					x.take(&to, mv)
					if x.err != nil {
						return nil, x.err
					}
					if x.bad != nil {
						r.States = len(visits)
						return x.counterexample(r, way(visits, at, &mv))
					}
					x.scratch = x.encode(x.scratch[:0], &to)
					h := hash(x.scratch)
					if _, known := seen[h]; known {
						continue
					}
					fresh = true
					seen[h] = struct{}{}
					visits = append(visits, visit{at, mv})
					next = append(next, slices.Clone(x.scratch))
					if len(visits) > r.Options.States {
						r.Verdict, r.States = Bounded, len(visits)
						return r, nil
					}
				}
				if fresh || all {
					break
				}
				// Going on with one thread alone led nowhere new: the others may not
				// be put off for ever.
				moves, all = x.everyMove(&from, moves[:0]), true
			}
		}
		base += uint32(len(frontier))
		frontier = next
		r.Depth++
	}
	r.Verdict, r.States = Holds, len(visits)
	return r, nil
}

// way is how a state was reached, and then one more move.
func way(visits []visit, at uint32, last *move) []move {
	var back []move
	if last != nil {
		back = append(back, *last)
	}
	for ; at != 0; at = visits[at].parent {
		back = append(back, visits[at].move)
	}
	slices.Reverse(back)
	return back
}

// moves lists what can happen next; all says that nothing was left out. Where one
// thread's next step is of no concern to what any other thread may still do, it alone goes on.
func (x *explorer) moves(s *state, moves []move) ([]move, bool) {
	if !x.w.full {
		for t := range x.w.threads {
			if mv, ok := x.alone(s, t, moves); ok {
				return x.skipped(mv), false
			}
		}
	}
	moves = x.everyMove(s, moves)
	if len(moves) == 0 {
		x.ended(s)
	}
	return moves, true
}

func (x *explorer) everyMove(s *state, moves []move) []move {
	for t := range x.w.threads {
		moves = x.threadMoves(s, t, moves)
		if x.model.flushes(s, t) > 0 {
			moves = append(moves, move{uint8(t), flushWay})
		}
	}
	return x.skipped(moves)
}

// skipped is a fault for tests.
func (x *explorer) skipped(moves []move) []move {
	if x.w.faults.Skip && len(moves) > 1 {
		return moves[:len(moves)-1]
	}
	return moves
}

func (x *explorer) threadMoves(s *state, t int, moves []move) []move {
	ts := &s.threads[t]
	if int(ts.pc) == len(x.w.threads[t].steps) {
		return moves
	}
	ways := x.ways(s, t)
	if ways > flushWay {
		x.fail("a step of %s can go on in %d ways", x.w.threads[t].name, ways)
		return moves
	}
	for way := range ways {
		moves = append(moves, move{uint8(t), uint8(way)})
	}
	return moves
}

// ways is in how many ways thread t can go on.
func (x *explorer) ways(s *state, t int) int {
	ts := &s.threads[t]
	st := &x.w.threads[t].steps[ts.pc]
	switch st.Op {
	case protocol.Alloc:
		return len(x.candidates(s, st.Kind))
	case protocol.Enter:
		if st.Sect != protocol.SRCU {
			if x.entersLate(s, t, st.Sect) {
				return 2
			}
			return 1
		}
	}
	word := constWord
	if st.Op >= protocol.Load {
		h, _, number, ok := x.w.locate(st, &ts.regs)
		if !ok || s.lives[h] == freed || s.lives[h] == spare {
			return 1 // the violation is found when it is done
		}
		word = number
	}
	n := x.model.ways(x, s, t, st, word)
	if st.Op == protocol.Await && st.Test == protocol.Odd && (ts.looking || ts.begin) && word >= 0 && st.Waits(uint64(x.model.latest(s, word))) {
		x.violate("P4", "the lookup of %s waits for a writer", x.w.threads[t].name)
	}
	return n
}

// candidates are the objects that an allocation may give: what was freed, or a new one.
func (x *explorer) candidates(s *state, k protocol.Kind) []int {
	var all []int
	isNew := true
	for h := firstHandle; h < len(x.w.objects); h++ {
		if x.w.objects[h].kind != k {
			continue
		}
		switch s.lives[h] {
		case spare:
			if isNew {
				all = append(all, h)
				isNew = false
			}
		case freed, recycle:
			all = append(all, h)
		}
	}
	return all
}

// others joins what the other threads may still do.
func (x *explorer) others(s *state, t int) (f future) {
	for o := range x.w.threads {
		if o != t {
			f.join(&x.w.threads[o].ahead[s.threads[o].pc])
		}
	}
	return f
}

// alone returns the moves of t if nothing that others may still do depends on them, nor
// they on that.
func (x *explorer) alone(s *state, t int, moves []move) ([]move, bool) {
	ts := &s.threads[t]
	f := x.others(s, t)
	if x.model.flushes(s, t) > 0 {
		e := &s.mem.buffers[t].entries[0]
		if !e.commits && (e.word < 0 || (f.loads|f.stores)&bit(x.w.words[e.word].field) == 0 && !x.buffered(s, t, int(e.word))) {
			return append(moves, move{uint8(t), flushWay}), true
		}
	}
	if int(ts.pc) == len(x.w.threads[t].steps) || ts.begin || ts.enter != 0 {
		return moves, false
	}
	st := &x.w.threads[t].steps[ts.pc]
	if st.Op < protocol.Load {
		return moves, false
	}
	h, _, word, ok := x.w.locate(st, &ts.regs)
	if !ok || s.lives[h] != alive || f.frees&(1<<x.w.objects[h].kind) != 0 {
		return moves, false
	}
	field := bit(st.At.Field)
	switch {
	case st.Commits && x.w.model != TSO:
		return moves, false
	case x.w.model == TSO && st.Op == protocol.Store:
	case st.Stores() && (f.loads|f.stores)&field != 0, f.stores&field != 0, x.buffered(s, t, word):
		return moves, false
	}
	moves = x.threadMoves(s, t, moves)
	return moves, len(moves) > 0
}

// buffered reports whether another thread has a store to the word in its buffer.
func (x *explorer) buffered(s *state, t, word int) bool {
	for o := range x.w.threads {
		b := &s.mem.buffers[o]
		for i := range int(b.n) {
			if o != t && int(b.entries[i].word) == word {
				return true
			}
		}
	}
	return false
}

// ended looks at a state from which nothing goes on.
func (x *explorer) ended(s *state) {
	for t := range x.w.threads {
		if pc := int(s.threads[t].pc); pc < len(x.w.threads[t].steps) {
			x.violate("deadlock", "%s waits for ever at %v", x.w.threads[t].name, x.w.threads[t].steps[pc])
			return
		}
	}
	if len(x.w.c.Never) == 0 {
		return
	}
	for _, c := range x.w.c.Never {
		var v protocol.Value
		if c.Thread >= 0 {
			v = s.threads[c.Thread].regs[c.Reg]
		} else {
			v = x.latestOf(s, c.Object, offsets[c.Field])
		}
		if v == c.Value == c.Not {
			return
		}
	}
	x.violate("never", "the end that must not be is reached")
}

// latestOf is what a word of an object holds in the end.
func (x *explorer) latestOf(s *state, h, at int) protocol.Value {
	if number := x.w.wordAt[h][at]; number >= 0 {
		return uint64(x.model.latest(s, int(number)))
	}
	return uint64(x.w.consts[h][at])
}

// constant is what a step gets from outside of the memory that changes.
func (x *explorer) constant(s *state, t int, st *protocol.Step, word, at int) protocol.Value {
	if st.Op >= protocol.Load && word == constWord {
		return uint64(x.w.consts[s.threads[t].regs[st.At.Base]][at])
	}
	return 0
}

// take makes a move.
func (x *explorer) take(s *state, mv move) {
	t := int(mv.thread)
	if mv.way == flushWay {
		if x.log != nil {
			x.logFlush(s, t)
		}
		x.model.flush(x, s, t)
		return
	}
	x.step(s, t, int(mv.way))
	if x.bad == nil {
		x.settle(s, t)
	}
}

// step does the next step of t, in one of its ways.
func (x *explorer) step(s *state, t, way int) {
	ts := &s.threads[t]
	st := &x.w.threads[t].steps[ts.pc]
	x.arrive(s, t)
	switch st.Op {
	case protocol.Alloc:
		x.alloc(s, t, st, x.candidates(s, st.Kind)[way])
		return
	case protocol.Free:
		x.free(s, t, st)
		return
	case protocol.Enter:
		if st.Sect != protocol.SRCU {
			x.enterLate(s, t, st.Sect, way == 1)
			x.logStep(s, t, st, 0)
			ts.pc++
			return
		}
	}
	word, at := constWord, 0
	if st.Op >= protocol.Load {
		var h int
		var ok bool
		h, at, word, ok = x.w.locate(st, &ts.regs)
		if !x.touchable(s, t, st, h, ok) {
			x.logStep(s, t, st, 0)
			return
		}
	}
	x.latest = -1
	if x.log != nil && st.Op == protocol.Load && word >= 0 {
		x.latest = int(x.model.latest(s, word))
	}
	jump, loaded := x.model.serve(x, s, t, st, word, at, way)
	x.logStep(s, t, st, loaded)
	x.latest = -1
	x.next(ts, st, jump)
}

func (x *explorer) next(ts *threadState, st *protocol.Step, jump bool) {
	if jump {
		ts.pc = uint16(st.To)
	} else {
		ts.pc++
	}
}

// touchable reports whether an access is to an object that lives; if not, that is P1, or
// P3 for the uprobe that was the answer.
func (x *explorer) touchable(s *state, t int, st *protocol.Step, h int, ok bool) bool {
	name := x.w.threads[t].name
	if !ok {
		x.violate("P1", "%s reads %v through %v, which holds %d: no such object", name, st.At, st.At.Base, h)
		return false
	}
	if s.lives[h] == freed || s.lives[h] == spare {
		property := "P1"
		if x.w.objects[h].kind == protocol.Uprobe && !s.threads[t].looking && x.w.threads[t].reads {
			property = "P3"
		}
		x.violate(property, "%s touches %v.%v, which is freed", name, x.w.objects[h].name, st.At.Field)
		return false
	}
	return true
}

// arrive does what was put off until a step that others can tell: the lookup begins, the
// sections are entered. As late as possible is the strictest.
func (x *explorer) arrive(s *state, t int) {
	ts := &s.threads[t]
	if ts.begin {
		ts.begin, ts.looking = false, true
		ts.right = x.nowRight(s, t)
	}
	ts.inside |= ts.enter
	ts.enter = 0
}

// nowRight are the answers that are right at this instant: under the weak model all that
// the thread may still take for the present.
func (x *explorer) nowRight(s *state, t int) uint32 {
	if x.w.model != Weak {
		return 1 << (s.mem.answers >> (8 * t) & 0xff)
	}
	right := uint32(0)
	m := s.mem.weak
	for i := m.threads[t].cur[x.w.ghost]; i < m.count[x.w.ghost]; i++ {
		right |= 1 << (m.words[x.w.ghost][i].value >> (8 * t) & 0xff)
	}
	return right
}

// settle goes on with t up to a step that another thread can tell.
func (x *explorer) settle(s *state, t int) {
	ts := &s.threads[t]
	th := &x.w.threads[t]
	for n := 0; int(ts.pc) < len(th.steps) && x.bad == nil; n++ {
		if n > stepMax {
			x.fail("%s goes round without touching anything", th.name)
			return
		}
		if !x.settleOne(s, t, &th.steps[ts.pc]) {
			return
		}
	}
	for r := range ts.regs {
		if th.ahead[ts.pc].live&(1<<r) == 0 {
			ts.regs[r] = 0
		}
	}
}

// settleOne does a step if it is of no concern to others.
func (x *explorer) settleOne(s *state, t int, st *protocol.Step) bool {
	ts := &s.threads[t]
	word, at := constWord, 0
	switch st.Op {
	case protocol.Set, protocol.If:
	case protocol.Fence:
		if !x.model.local(x, s, t, st, word) {
			return false
		}
	case protocol.Begin:
		ts.begin = true
	case protocol.Enter:
		if st.Sect == protocol.SRCU || x.w.model == Weak && x.awaited(st.Sect) {
			return false
		}
		if x.awaited(st.Sect) {
			ts.enter |= 1 << st.Sect
		}
	case protocol.Leave:
		x.leave(s, t, st.Sect)
	case protocol.Answer:
		x.arrive(s, t)
		x.answer(s, t, st)
	case protocol.Sigtrap:
		x.violate("P5", "%s is killed with SIGTRAP, though its breakpoint was a uprobe's", x.w.threads[t].name)
	case protocol.Load:
		var h int
		var ok bool
		h, at, word, ok = x.w.locate(st, &ts.regs)
		others := x.others(s, t)
		if !ok || word != constWord || s.lives[h] != alive || others.frees&(1<<x.w.objects[h].kind) != 0 || x.w.full {
			return false
		}
	default:
		return false
	}
	if st.Op == protocol.Set || st.Op == protocol.If || st.Op == protocol.Load || st.Op == protocol.Fence {
		jump, loaded := x.model.serve(x, s, t, st, word, at, 0)
		if st.Op == protocol.Load || st.Op == protocol.Fence {
			x.logStep(s, t, st, loaded)
		}
		x.next(ts, st, jump)
		if st.Op == protocol.If && jump && st.Refuse != protocol.Lockless {
			x.refused[st.Refuse]++
			x.logStep(s, t, st, 0)
		}
		return true
	}
	x.logStep(s, t, st, 0)
	ts.pc++
	return true
}

// awaited reports whether anything in the case waits for sections of a kind.
func (x *explorer) awaited(sect protocol.Section) bool {
	for i := range x.w.threads {
		f := &x.w.threads[i].ahead[0]
		if sect == protocol.RCU && f.waits[protocol.AfterRCU] || sect == protocol.Trace && f.waits[protocol.AfterTrace] {
			return true
		}
	}
	return false
}

// answer checks P2: the answer was right at an instant of the lookup.
func (x *explorer) answer(s *state, t int, st *protocol.Step) {
	ts := &s.threads[t]
	got := ts.regs[st.A.Reg]
	if ts.regs[protocol.RegOutcome] == uint64(protocol.Lockless) {
		x.lockless++
	} else {
		x.fallen++
	}
	if got >= objectMax || ts.right&(1<<got) == 0 {
		x.violate("P2", "%s answers %s; right at some instant of its lookup would be %s", x.w.threads[t].name, x.nameOf(got), x.namesOf(ts.right))
	}
	ts.looking, ts.right = false, 0
}

func (x *explorer) nameOf(v protocol.Value) string {
	if v == 0 {
		return "no uprobe"
	}
	if v < uint64(len(x.w.objects)) {
		return x.w.objects[v].name
	}
	return fmt.Sprint(v)
}

func (x *explorer) namesOf(mask uint32) string {
	text := ""
	for h := range x.w.objects {
		if mask&(1<<h) != 0 {
			if text != "" {
				text += " or "
			}
			text += x.nameOf(uint64(h))
		}
	}
	return text
}

// commit: an operation has happened; from now on other answers are right.
func (x *explorer) commit(s *state) {
	s.mem.answers = x.answers(s)
	if m := s.mem.weak; m != nil {
		g := x.w.ghost
		if m.count[g] == messageMax {
			x.fail("more than %d operations happen during one lookup", messageMax)
			return
		}
		m.words[g][m.count[g]] = message{value: s.mem.answers}
		m.count[g]++
	}
	for t := range x.w.threads {
		if s.threads[t].looking {
			s.threads[t].right |= 1 << (s.mem.answers >> (8 * t) & 0xff)
		}
	}
}

// answers is what a locked lookup would answer each thread now. It is worked out from
// the words themselves and not by the programs that are explored.
func (x *explorer) answers(s *state) uint32 {
	packed := uint32(0)
	for t := range x.w.threads {
		if th := &x.w.threads[t]; th.reads {
			packed |= uint32(x.lockedAnswer(s, int(th.mm), int(th.addr))) << (8 * t)
		}
	}
	return packed
}

func (x *explorer) lockedAnswer(s *state, mm, addr int) uint8 {
	get := func(h int, f protocol.Field, index int) int {
		if h == 0 || h >= len(x.w.objects) || x.w.objects[h].kind != f.KindOf() {
			return 0
		}
		return int(x.latestOf(s, h, offsets[f]+index))
	}
	vma := get(get(mm, protocol.MMRoot, 0), protocol.Slot, addr)
	file := get(vma, protocol.VMAFile, 0)
	if vma == 0 || file == 0 {
		return 0
	}
	inode := get(file, protocol.Inode, 0)
	offset := (addr - get(vma, protocol.VMAStart, 0) + get(vma, protocol.VMAPgoff, 0)) & 0xff
	return uint8(x.uprobeAt(get, get(handleUprobes, protocol.RBRoot, 0), inode, offset, 0))
}

// uprobeAt looks through the whole tree, whatever its order.
func (x *explorer) uprobeAt(get func(int, protocol.Field, int) int, u, inode, offset, depth int) int {
	if u == 0 || depth > objectMax {
		return 0
	}
	if get(u, protocol.UprobeInode, 0) == inode && get(u, protocol.UprobeOffset, 0) == offset {
		return u
	}
	if found := x.uprobeAt(get, get(u, protocol.Left, 0), inode, offset, depth+1); found != 0 {
		return found
	}
	return x.uprobeAt(get, get(u, protocol.Right, 0), inode, offset, depth+1)
}
