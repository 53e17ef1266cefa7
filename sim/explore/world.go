package explore

import (
	"fmt"
	"slices"

	"github.com/replay/replay/sim/protocol"
)

// Limits of what is explored. Reaching one is an error that names it.
const (
	threadMax = 4
	objectMax = 30 // handles have to fit into the mask of answers
	wordMax   = 56 // words that change
	pageMax   = 8
	stepMax   = 4000 // of a thread
)

// Handles of what every case has; those of its objects follow. 0 is none.
const (
	handleGlobals = 1
	handleUprobes = 2
	firstHandle   = 3
)

// object is one thing in memory.
type object struct {
	name  string
	kind  protocol.Kind
	spare bool // not there yet
}

// word is a word that changes and is read.
type word struct {
	object int // handle
	field  protocol.Field
	index  int
	init   uint8
}

// thread is a program with what is known about it before it runs.
type thread struct {
	name  string
	steps protocol.Program
	init  [protocol.NumRegs]uint8
	// of a reader: what is looked up
	reads    bool
	mm, addr uint8
	ahead    []future // by step, and one for the end
}

// future is what a thread may do from a step on.
type future struct {
	live   uint64 // registers that are read before they are written
	loads  uint64 // fields
	stores uint64
	frees  uint16 // kinds of objects
	waits  [4]bool
	enters [4]bool
	begin  bool // a lookup begins
	fences [8]bool
	writes bool // any store
}

// world is a case, made ready for a resolver.
type world struct {
	c       *Case
	model   Model
	objects []object // by handle
	words   []word
	wordAt  [][]int16 // by handle and slot of layout; noWord: ignored, or constant
	consts  [][]uint8
	threads []thread
	ghost   int // index of the word of answers
	full    bool
	faults  Faults
}

const (
	constWord = -1 // nobody writes it
	blindWord = -2 // nobody reads it
)

// offset is the position of a field in its object.
func offset(f protocol.Field, index int) int {
	if f == protocol.Slot {
		return index
	}
	first := f
	for first > 1 && (first-1).KindOf() == f.KindOf() {
		first--
	}
	return int(f - first)
}

// size is the number of words of an object of a kind.
func size(k protocol.Kind) int {
	if k == protocol.Node {
		return pageMax
	}
	n := 0
	for f := protocol.NoField + 1; f < protocol.NumFields; f++ {
		if f.KindOf() == k {
			n++
		}
	}
	return n
}

var (
	offsets [protocol.NumFields]int
	sizes   [protocol.NumKinds]int
)

func init() {
	for f := protocol.NoField + 1; f < protocol.NumFields; f++ {
		offsets[f] = offset(f, 0)
	}
	for k := protocol.NoKind + 1; k < protocol.NumKinds; k++ {
		sizes[k] = size(k)
	}
}

// build makes a case ready.
func build(c *Case, r *protocol.Resolver, off []string, m Model) (*world, error) {
	w := &world{c: c, model: m}
	off = slices.Concat(c.Without, off)
	w.objects = []object{{}, {"g", protocol.Globals, false}, {"uprobes", protocol.Uprobes, false}}
	for _, o := range c.Objects {
		w.objects = append(w.objects, object{o.Name, o.Kind, false})
	}
	for i := range c.Threads {
		if err := w.addThread(&c.Threads[i], r, off); err != nil {
			return nil, err
		}
	}
	w.addSpares()
	if len(w.objects) > objectMax {
		return nil, fmt.Errorf("case %s: %d objects: at most %d are explored", c.Name, len(w.objects), objectMax)
	}
	for i := range w.threads {
		w.threads[i].look(c, i)
	}
	return w, w.layOut()
}

// addThread assembles a thread's programs.
func (w *world) addThread(from *Thread, r *protocol.Resolver, off []string) error {
	t := thread{name: from.Name}
	t.init[protocol.RegGlobals], t.init[protocol.RegUprobes] = handleGlobals, handleUprobes
	for h, o := range w.objects {
		if o.kind == protocol.MM {
			t.init[protocol.RegMM] = uint8(h)
			break
		}
	}
	current := t.init
	for _, do := range from.Does {
		for _, set := range do.Sets {
			current[set.Reg] = uint8(set.Value)
			t.steps = append(t.steps, protocol.Step{Op: protocol.Set, Dst: set.Reg, A: protocol.Operand{Const: set.Value}})
		}
		p, err := w.c.Library.Assemble(do.Program, r.Version, off)
		if err != nil {
			return fmt.Errorf("case %s, thread %s: %w", w.c.Name, from.Name, err)
		}
		base := len(t.steps)
		for _, step := range p {
			if step.Op == protocol.If {
				step.To += base
			}
			if step.Bits == 32 && w.c.Wrap > 0 {
				step.Bits = w.c.Wrap
			}
			if step.Op == protocol.Begin {
				if t.reads && (t.mm != current[protocol.RegMM] || t.addr != current[protocol.RegAddr]) {
					return fmt.Errorf("case %s, thread %s: all lookups of a thread have to be of one address", w.c.Name, from.Name)
				}
				t.reads, t.mm, t.addr = true, current[protocol.RegMM], current[protocol.RegAddr]
			}
			t.steps = append(t.steps, step)
		}
	}
	if len(t.steps) > stepMax {
		return fmt.Errorf("case %s, thread %s: %d steps: at most %d are explored", w.c.Name, from.Name, len(t.steps), stepMax)
	}
	w.threads = append(w.threads, t)
	return nil
}

// addSpares adds an object for each that may be allocated.
func (w *world) addSpares() {
	count := [protocol.NumKinds]int{}
	for i := range w.threads {
		for _, s := range w.threads[i].steps {
			if s.Op == protocol.Alloc {
				count[s.Kind]++
			}
		}
	}
	for k := protocol.NoKind + 1; k < protocol.NumKinds; k++ {
		for n := range count[k] {
			w.objects = append(w.objects, object{fmt.Sprintf("%v+%d", k, n+1), k, true})
		}
	}
}

func bit(f protocol.Field) uint64 { return 1 << f }

// look finds what each step's future is, backwards until nothing changes.
func (t *thread) look(c *Case, self int) {
	t.ahead = make([]future, len(t.steps)+1)
	end := &t.ahead[len(t.steps)]
	for _, cond := range c.Never {
		if cond.Thread == self {
			end.live |= 1 << cond.Reg
		}
	}
	for changed := true; changed; {
		changed = false
		for pc := len(t.steps) - 1; pc >= 0; pc-- {
			s := &t.steps[pc]
			f := t.ahead[pc+1]
			if s.Op == protocol.If {
				f.join(&t.ahead[s.To])
			}
			f.before(s)
			if f != t.ahead[pc] {
				t.ahead[pc], changed = f, true
			}
		}
	}
}

func (f *future) join(g *future) {
	f.live |= g.live
	f.loads |= g.loads
	f.stores |= g.stores
	f.frees |= g.frees
	f.begin = f.begin || g.begin
	f.writes = f.writes || g.writes
	for i := range f.waits {
		f.waits[i] = f.waits[i] || g.waits[i]
		f.enters[i] = f.enters[i] || g.enters[i]
	}
	for i := range f.fences {
		f.fences[i] = f.fences[i] || g.fences[i]
	}
}

// before extends a future by the step that comes before it.
func (f *future) before(s *protocol.Step) {
	if s.Dst != protocol.NoReg && s.Op != protocol.If {
		f.live &^= 1 << s.Dst
	}
	if s.Op == protocol.If && s.Refuse != protocol.Lockless {
		f.live |= 1 << protocol.RegOutcome // not written where the test fails
	}
	for _, r := range []protocol.Reg{s.A.Reg, s.B.Reg, s.At.Base, s.At.Index} {
		if r != protocol.NoReg {
			f.live |= 1 << r
		}
	}
	switch s.Op {
	case protocol.Free:
		f.frees |= 0xffff // the object's kind is in a register
		f.waits[s.Life] = true
	case protocol.Enter, protocol.Leave:
		f.enters[s.Sect] = true
	case protocol.Begin:
		f.begin = true
	case protocol.Fence:
		f.fences[s.Order] = true
	}
	if s.Op >= protocol.Load {
		if s.Loads() {
			f.loads |= bit(s.At.Field)
		}
		if s.Stores() {
			f.stores |= bit(s.At.Field)
			f.writes = true
		}
		if s.Op == protocol.Add {
			f.fences[protocol.Full] = true
		}
	}
}

// freed finds the kinds of objects that a Free of the thread may be about, from the kinds
// that its register can have.
func (t *thread) freed(w *world) uint16 {
	kinds := uint16(0)
	for _, s := range t.steps {
		if s.Op == protocol.Free {
			kinds |= 1 << protocol.RegKind(s.A.Reg)
		}
	}
	return kinds
}

// layOut gives each word that changes and is read a number.
func (w *world) layOut() error {
	stored, loaded := uint64(0), uint64(0)
	kinds := uint16(0)
	for i := range w.threads {
		t := &w.threads[i]
		stored |= t.ahead[0].stores
		loaded |= t.ahead[0].loads
		kinds |= t.freed(w)
		if t.reads {
			// What the answer depends on.
			for _, f := range []protocol.Field{protocol.MMRoot, protocol.Slot, protocol.VMAFile, protocol.VMAStart, protocol.VMAPgoff, protocol.Inode, protocol.RBRoot, protocol.UprobeInode, protocol.UprobeOffset, protocol.Left, protocol.Right} {
				loaded |= bit(f)
			}
		}
	}
	for _, cond := range w.c.Never {
		if cond.Thread < 0 {
			loaded |= bit(cond.Field)
		}
	}
	for i := range w.threads {
		for pc := range w.threads[i].ahead {
			f := &w.threads[i].ahead[pc]
			f.frees &= kinds
		}
	}
	w.wordAt = make([][]int16, len(w.objects))
	w.consts = make([][]uint8, len(w.objects))
	for h := range w.objects {
		if h == 0 {
			continue
		}
		kind := w.objects[h].kind
		w.wordAt[h] = slices.Repeat([]int16{constWord}, sizes[kind])
		w.consts[h] = w.initial(h)
		for f := protocol.NoField + 1; f < protocol.NumFields; f++ {
			if f.KindOf() != kind {
				continue
			}
			for i := range w.indexes(f) {
				at := offsets[f] + i
				switch {
				case stored&bit(f) == 0:
					w.wordAt[h][at] = constWord
				case loaded&bit(f) == 0:
					w.wordAt[h][at] = blindWord
				default:
					w.wordAt[h][at] = int16(len(w.words))
					w.words = append(w.words, word{h, f, i, w.consts[h][at]})
				}
			}
		}
	}
	w.ghost = len(w.words)
	w.words = append(w.words, word{})
	if len(w.words) > wordMax {
		return fmt.Errorf("case %s: %d words that change: at most %d are explored", w.c.Name, len(w.words), wordMax)
	}
	return nil
}

// indexes is the number of words that a field is: slots up to the last page that occurs.
func (w *world) indexes(f protocol.Field) int {
	if f != protocol.Slot {
		return 1
	}
	pages := 1
	for _, o := range w.c.Objects {
		for _, word := range o.Words {
			if word.Field == protocol.Slot {
				pages = max(pages, word.Index+1)
			}
		}
	}
	for i := range w.threads {
		for _, s := range w.threads[i].steps {
			if s.Op == protocol.Set && (s.Dst == protocol.RegAddr || s.Dst == protocol.RegStart) && s.A.Reg == protocol.NoReg {
				pages = max(pages, int(s.A.Const)+1)
			}
		}
	}
	return min(pages, pageMax)
}

// initial returns what an object's words hold at the start.
func (w *world) initial(h int) []uint8 {
	values := make([]uint8, sizes[w.objects[h].kind])
	for _, o := range w.c.Objects {
		if w.c.names[o.Name] != h {
			continue
		}
		for _, word := range o.Words {
			values[offsets[word.Field]+word.Index] = uint8(word.Value)
		}
		if o.Kind == protocol.VMA && !slices.ContainsFunc(o.Words, func(x Word) bool { return x.Field == protocol.VMAOf }) {
			values[offsets[protocol.VMAOf]] = w.threads[0].init[protocol.RegMM]
		}
	}
	if h == handleUprobes {
		// A case with one tree of uprobes names it, or has its first uprobe in it.
		for i, o := range w.objects {
			if o.kind == protocol.Uprobe && !o.spare && values[offsets[protocol.RBRoot]] == 0 {
				values[offsets[protocol.RBRoot]] = uint8(i)
			}
		}
	}
	return values
}

// locate returns the word of a step: its number, or constWord, or blindWord, and where
// its constant is. False means that there is no such object, or none of that kind.
func (w *world) locate(s *protocol.Step, r *protocol.Registers) (handle, at, number int, ok bool) {
	base := r[s.At.Base]
	if base == 0 || base >= uint64(len(w.objects)) || w.objects[base].kind != s.At.Field.KindOf() {
		return int(base), 0, 0, false
	}
	at = offsets[s.At.Field]
	if s.At.Field == protocol.Slot {
		if r[s.At.Index] >= uint64(sizes[protocol.Node]) {
			return int(base), 0, 0, false
		}
		at = int(r[s.At.Index])
	}
	return int(base), at, int(w.wordAt[base][at]), true
}
