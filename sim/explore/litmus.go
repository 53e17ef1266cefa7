package explore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/replay/replay/sim/protocol"
)

// Litmus writes a case as a litmus test of the Linux memory model, for herd7 with
// linux-kernel.cfg. The language has no structures, so it takes a case in which
// no object comes or goes and every pointer is constant: its fields are variables then.
// mmap_lock is a spinlock there. What must not exist is an answer that is never right.
func Litmus(c *Case, o Options) (string, error) {
	r, err := protocol.FindResolver(o.Resolver)
	if err != nil {
		return "", err
	}
	w, err := build(c, r, o.Off, SC)
	if err != nil {
		return "", err
	}
	l := litmus{x: newExplorer(w), w: w}
	l.x.start(&l.first)
	return l.write()
}

type litmus struct {
	x     *explorer
	w     *world
	first state
	used  []string // variables
}

// symbol is what a register holds: a constant, or an expression of the thread's.
type symbol struct {
	constant bool
	value    protocol.Value
	text     string
}

func (s symbol) String() string {
	if s.constant {
		return fmt.Sprint(s.value)
	}
	return s.text
}

// course is a thread's state on one way through its program.
type course struct {
	t      int
	pc     int
	regs   [protocol.NumRegs]symbol
	indent string
	loads  *int // numbers the thread's variables
	steps  int
}

func (l *litmus) write() (string, error) {
	w := l.w
	var bodies []string
	for t := range w.threads {
		p := course{t: t, indent: "\t", loads: new(int)}
		for r, v := range w.threads[t].init {
			p.regs[r] = symbol{constant: true, value: uint64(v)}
		}
		var b strings.Builder
		if err := l.code(&b, p); err != nil {
			return "", fmt.Errorf("litmus: case %s cannot be one: %w", w.c.Name, err)
		}
		bodies = append(bodies, b.String())
	}
	slices.Sort(l.used)
	var b strings.Builder
	fmt.Fprintf(&b, "C %s\n\n(* %s *)\n\n{\n", w.c.Name, w.c.Doc)
	for i := range w.words[:w.ghost] {
		if name := l.name(i); slices.Contains(l.used, name) && w.words[i].init != 0 {
			fmt.Fprintf(&b, "\t%s = %d;\n", name, w.words[i].init)
		}
	}
	b.WriteString("}\n")
	for t, body := range bodies {
		var params []string
		for _, name := range l.used {
			if strings.Contains(body, name) {
				kind := "int"
				if strings.HasSuffix(name, "lock") {
					kind = "spinlock_t"
				}
				params = append(params, kind+" *"+name)
			}
		}
		if w.threads[t].reads {
			body = "\tint answer = 0;\n" + body
		}
		fmt.Fprintf(&b, "\nP%d(%s)\n{\n%s}\n", t, strings.Join(params, ", "), body)
	}
	exists, err := l.exists()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\nexists (%s)\n", exists)
	return b.String(), nil
}

// name is the variable of a word.
func (l *litmus) name(i int) string {
	word := l.w.words[i]
	if word.object == handleGlobals {
		return word.field.String()
	}
	name := l.w.objects[word.object].name + "_" + word.field.String()
	if word.field == protocol.Slot {
		name += fmt.Sprint(word.index)
	}
	return name
}

var errComesAndGoes = errors.New("an object comes or goes")

// code writes the rest of a way.
func (l *litmus) code(b *strings.Builder, p course) error {
	th := &l.w.threads[p.t]
	for ; p.pc < len(th.steps); p.pc++ {
		if p.steps++; p.steps > stepMax {
			return errors.New("a thread goes round")
		}
		s := &th.steps[p.pc]
		if s.Op == protocol.If {
			done, err := l.branch(b, &p, s)
			if done || err != nil {
				return err
			}
			continue
		}
		if err := l.step(b, &p, s); err != nil {
			return err
		}
	}
	for i, cond := range l.w.c.Never {
		if cond.Thread == p.t {
			fmt.Fprintf(b, "%sint end%d = %v;\n", p.indent, i, p.regs[cond.Reg])
		}
	}
	return nil
}

// branch follows an If whose test is constant; else it writes both ways, and nothing
// comes after them.
func (l *litmus) branch(b *strings.Builder, p *course, s *protocol.Step) (done bool, err error) {
	at := func(o protocol.Operand) symbol {
		if o.Reg != protocol.NoReg {
			return p.regs[o.Reg]
		}
		return symbol{constant: true, value: o.Const & 0xff}
	}
	x, y := at(s.A), at(s.B)
	taken := *p
	taken.pc = s.To
	if s.Refuse != protocol.Lockless {
		taken.regs[protocol.RegOutcome] = symbol{constant: true, value: uint64(s.Refuse)}
	}
	if x.constant && y.constant {
		var regs protocol.Registers
		if s.A.Reg != protocol.NoReg {
			regs[s.A.Reg] = x.value
		}
		if s.B.Reg != protocol.NoReg {
			regs[s.B.Reg] = y.value
		}
		if _, jump := s.Exec(&regs, 0); jump {
			*p = taken
			p.pc-- // the loop goes on to it
		}
		return false, nil
	}
	test := map[protocol.Test]string{protocol.Equal: "%v == %v", protocol.Unequal: "%v != %v", protocol.Less: "%v < %v"}[s.Test]
	condition := fmt.Sprintf("(%v & 1) != 0", x)
	if test != "" {
		condition = fmt.Sprintf(test, x, y)
	}
	fmt.Fprintf(b, "%sif (%s) {\n", p.indent, condition)
	taken.indent += "\t"
	if err := l.code(b, taken); err != nil {
		return true, err
	}
	fmt.Fprintf(b, "%s} else {\n", p.indent)
	other := *p
	other.pc++
	other.indent += "\t"
	if err := l.code(b, other); err != nil {
		return true, err
	}
	fmt.Fprintf(b, "%s}\n", p.indent)
	return true, nil
}

func (l *litmus) step(b *strings.Builder, p *course, s *protocol.Step) error {
	line := func(format string, args ...any) { fmt.Fprintf(b, p.indent+format+"\n", args...) }
	switch s.Op {
	case protocol.Set:
		p.regs[s.Dst] = l.sum(p, s)
		p.regs[protocol.NoReg] = symbol{}
		return nil
	case protocol.Fence:
		line(map[protocol.Order]string{protocol.Read: "smp_rmb();", protocol.Write: "smp_wmb();", protocol.Full: "smp_mb();"}[s.Order])
		return nil
	case protocol.Enter, protocol.Leave:
		if s.Sect == protocol.RCU {
			line(map[protocol.Op]string{protocol.Enter: "rcu_read_lock();", protocol.Leave: "rcu_read_unlock();"}[s.Op])
		}
		return nil
	case protocol.Begin:
		return nil
	case protocol.Answer:
		line("answer = %v;", p.regs[s.A.Reg])
		p.pc = len(l.w.threads[p.t].steps) - 1 // what is done with it is of no concern here
		return nil
	case protocol.Alloc, protocol.Free:
		return errComesAndGoes
	case protocol.Sigtrap:
		return errors.New("a thread is killed")
	}
	if outcome := p.regs[protocol.RegOutcome]; s.Op == protocol.LockRead && outcome.constant && outcome.value != 0 && protocol.Outcome(outcome.value) != protocol.Unconfigured {
		// The lookup falls back: that answer is the lock's, and no longer speculation.
		p.pc = len(l.w.threads[p.t].steps) - 1
		return nil
	}
	base, index := p.regs[s.At.Base], p.regs[s.At.Index]
	if !base.constant || s.At.Field == protocol.Slot && !index.constant {
		return fmt.Errorf("%v is another word from time to time", s.At)
	}
	var regs protocol.Registers
	regs[s.At.Base], regs[s.At.Index] = base.value, index.value
	h, at, number, ok := l.w.locate(s, &regs)
	if !ok {
		return fmt.Errorf("%v is no word", s.At)
	}
	if number < 0 {
		return l.constant(p, s, h, at, number)
	}
	name := l.name(number)
	if !slices.Contains(l.used, name) {
		l.used = append(l.used, name)
	}
	return l.access(p, s, name, line)
}

// constant is an access to a word that never changes, or that nobody reads.
func (l *litmus) constant(p *course, s *protocol.Step, h, at, number int) error {
	if s.Op == protocol.Load && number == constWord {
		p.regs[s.Dst] = symbol{constant: true, value: uint64(l.w.consts[h][at])}
	} else if s.Op != protocol.Store {
		return fmt.Errorf("%v of a word that nobody shares", s)
	}
	return nil
}

func (l *litmus) access(p *course, s *protocol.Step, name string, line func(string, ...any)) error {
	switch s.Op {
	case protocol.Load:
		*p.loads++
		v := fmt.Sprintf("r%d", *p.loads)
		load := map[protocol.Order]string{protocol.Plain: "READ_ONCE(*%s)", protocol.Once: "READ_ONCE(*%s)", protocol.Acquire: "smp_load_acquire(%s)"}[s.Order]
		line("int %s = "+load+";", v, name)
		if s.Part != 0 {
			return errors.New("a load is torn")
		}
		p.regs[s.Dst] = symbol{text: v}
	case protocol.Store:
		v := l.sum(p, s)
		if s.Order == protocol.Release {
			line("smp_store_release(%s, %v);", name, v)
		} else {
			line("WRITE_ONCE(*%s, %v);", name, v)
		}
	case protocol.LockRead, protocol.LockWrite:
		line("spin_lock(%s);", name)
	case protocol.UnlockRead, protocol.UnlockWrite:
		line("spin_unlock(%s);", name)
	case protocol.Add:
		*p.loads++
		v := fmt.Sprintf("r%d", *p.loads)
		line("int %s = atomic_fetch_add(%v, %s);", v, s.A, name)
		p.regs[s.Dst] = symbol{text: v}
	default:
		return fmt.Errorf("herd7 has no %v", s)
	}
	return nil
}

// sum is A + B, or A - B.
func (l *litmus) sum(p *course, s *protocol.Step) symbol {
	at := func(o protocol.Operand) symbol {
		if o.Reg != protocol.NoReg {
			return p.regs[o.Reg]
		}
		return symbol{constant: true, value: o.Const & 0xff}
	}
	x, y := at(s.A), at(s.B)
	op := "+"
	if s.Minus {
		op = "-"
	}
	switch {
	case x.constant && y.constant && s.Minus:
		return symbol{constant: true, value: (x.value - y.value) & 0xff}
	case x.constant && y.constant:
		return symbol{constant: true, value: (x.value + y.value) & 0xff}
	case y.constant && y.value == 0:
		return x
	case y.constant && y.value > 127 && !s.Minus: // a negative number
		return symbol{text: fmt.Sprintf("(%v - %d)", x, 256-y.value)}
	}
	return symbol{text: fmt.Sprintf("(%v %s %v)", x, op, y)}
}

// exists is the end that must not be: that of the case, or an answer that is at no time
// right.
func (l *litmus) exists() (string, error) {
	w := l.w
	var terms []string
	if len(w.c.Never) > 0 {
		for i, cond := range w.c.Never {
			left := ""
			if cond.Thread >= 0 {
				left = fmt.Sprintf("%d:end%d", cond.Thread, i)
			} else if number := w.wordAt[cond.Object][offsets[cond.Field]]; number >= 0 {
				left = l.name(int(number))
			} else {
				return "", errors.New("litmus: a condition is on a word that never changes")
			}
			term := fmt.Sprintf("%s=%d", left, cond.Value)
			if cond.Not {
				term = "~(" + term + ")"
			}
			terms = append(terms, term)
		}
		return strings.Join(terms, " /\\ "), nil
	}
	right := l.rightAnswers()
	for t := range w.threads {
		if !w.threads[t].reads {
			continue
		}
		for h, o := range w.objects {
			if o.kind == protocol.Uprobe && right[t]&(1<<h) == 0 {
				terms = append(terms, fmt.Sprintf("%d:answer=%d", t, h))
			}
		}
	}
	if len(terms) == 0 {
		return "", errors.New("litmus: there is no uprobe that would be a wrong answer")
	}
	return strings.Join(terms, " \\/ "), nil
}

// rightAnswers are those that are right at some time, when the threads run one after the
// other.
func (l *litmus) rightAnswers() [threadMax]uint32 {
	var right [threadMax]uint32
	note := func(s *state) {
		for t := range l.w.threads {
			right[t] |= 1 << (s.mem.answers >> (8 * t) & 0xff)
		}
	}
	s := l.first
	note(&s)
	for again := true; again && l.x.bad == nil; {
		again = false
		for t := range l.w.threads {
			for l.x.bad == nil && len(l.x.threadMoves(&s, t, nil)) > 0 {
				l.x.take(&s, move{uint8(t), 0})
				note(&s)
				again = true
			}
		}
	}
	return right
}
