package explore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/replay/replay/sim/protocol"
)

// Promela writes an exploration under sequential consistency as a model for Spin, which
// is another program with another search: spin -run FILE reports an error if and only if
// there is a counterexample. Each step that others can tell is an atomic sequence, with
// the steps of its thread's own after it.
func Promela(c *Case, o Options) (string, error) {
	if o.Model != SC {
		return "", fmt.Errorf("promela: Spin's memory is sequentially consistent: give --memory sc")
	}
	r, err := protocol.FindResolver(o.Resolver)
	if err != nil {
		return "", err
	}
	w, err := build(c, r, o.Off, SC)
	if err != nil {
		return "", err
	}
	w.full = true
	p := promela{x: newExplorer(w), w: w}
	p.x.start(&p.first)
	if err := p.write(); err != nil {
		return "", err
	}
	return p.b.String(), nil
}

type promela struct {
	x     *explorer
	w     *world
	first state
	b     strings.Builder
	base  []int // of an object's words in m
	size  int
}

func (p *promela) linef(format string, args ...any) {
	fmt.Fprintf(&p.b, format+"\n", args...)
}

func (p *promela) write() error {
	w := p.w
	p.linef("/* %s: %s */", w.c.Name, strings.ReplaceAll(w.c.Doc, "*/", ""))
	p.declare()
	p.operations()
	for t := range w.threads {
		if err := p.thread(t); err != nil {
			return err
		}
	}
	p.monitor()
	return nil
}

// declare has the memory, an array of all words, and the lives of objects.
func (p *promela) declare() {
	w := p.w
	n := len(w.objects)
	p.base = make([]int, n)
	for h := 1; h < n; h++ {
		p.base[h] = p.size
		p.size += sizes[w.objects[h].kind]
	}
	p.linef("#define OBJECTS %d", n)
	p.linef("#define ALIVE 0\n#define SPARE 1\n#define FREED 2\n#define RECYCLE 3\n#define WAITING 4")
	p.linef("#define OK(h,k) ((h) > 0 && (h) < OBJECTS && kind[AT(h)] == k && life[AT(h)] != FREED && life[AT(h)] != SPARE)")
	p.linef("#define AT(h) (((h) < OBJECTS) -> (h) : 0)")
	kinds, bases, lives := make([]uint8, n), make([]uint8, n), make([]uint8, n)
	var words []uint8
	for h := 1; h < n; h++ {
		kinds[h], bases[h] = uint8(w.objects[h].kind), uint8(p.base[h])
		words = append(words, w.initial(h)...)
		if w.objects[h].spare {
			lives[h] = 1
		}
	}
	p.array("byte m", words)
	p.array("hidden byte kind", kinds)
	p.array("hidden byte base", bases)
	p.array("byte life", lives)
	p.linef("byte sect[OBJECTS];\nbyte readers[OBJECTS];")
	p.linef("byte inside[4];\nbyte ended;\nint right[%d];\nbit looking[%d];", threadMax, threadMax)
	right := make([]uint8, threadMax)
	for t := range w.threads {
		right[t] = uint8(p.first.mem.answers >> (8 * t))
	}
	p.array("byte answers", right)
	p.linef("hidden byte h_, n_, v_, f_, o_, u_, sp_, i_;\nhidden byte stack_[%d];", 2*objectMax)
	for i, cond := range w.c.Never {
		if cond.Thread >= 0 {
			p.linef("byte end%d;", i)
		}
	}
}

// array declares one with what is in it.
func (p *promela) array(name string, values []uint8) {
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = strconv.Itoa(int(v))
	}
	p.linef("%s[%d] = {%s};", name, len(values), strings.Join(text, ", "))
}

// operations are what several steps need: grace periods, and the answers that are right.
func (p *promela) operations() {
	w := p.w
	p.linef("inline passed(h) {\n  if :: life[h] == WAITING && readers[h] == 0 -> life[h] = FREED; sect[h] = 0 :: else fi\n}")
	p.linef("inline leave(s, t) {\n  inside[s] = inside[s] & (255 - (1 << t));\n  i_ = 1;\n  do\n  :: i_ == OBJECTS -> break\n  :: else ->\n" +
		"    if :: life[i_] == WAITING && sect[i_] == s -> readers[i_] = readers[i_] & (255 - (1 << t)); passed(i_) :: else fi;\n    i_++\n  od;\n  i_ = 0\n}")
	p.linef("inline find(mm, addr, to) {\n  to = 0; n_ = m[base[mm] + %d]; v_ = 0; f_ = 0;", offsets[protocol.MMRoot])
	p.linef("  if :: n_ != 0 -> v_ = m[base[n_] + addr] :: else fi;")
	p.linef("  if :: v_ != 0 -> f_ = m[base[v_] + %d] :: else fi;", offsets[protocol.VMAFile])
	p.linef("  if :: f_ != 0 ->\n    o_ = addr - m[base[v_] + %d] + m[base[v_] + %d];", offsets[protocol.VMAStart], offsets[protocol.VMAPgoff])
	p.linef("    sp_ = 0; u_ = m[%d];\n    do\n    :: u_ == 0 && sp_ == 0 -> break\n    :: u_ == 0 && sp_ > 0 -> sp_--; u_ = stack_[sp_]; stack_[sp_] = 0\n    :: u_ != 0 ->", p.base[handleUprobes]+offsets[protocol.RBRoot])
	p.linef("      if :: m[base[u_] + %d] == m[base[f_] + %d] && m[base[u_] + %d] == o_ -> to = u_ :: else fi;",
		offsets[protocol.UprobeInode], offsets[protocol.Inode], offsets[protocol.UprobeOffset])
	p.linef("      stack_[sp_] = m[base[u_] + %d]; sp_++; u_ = m[base[u_] + %d]\n    od", offsets[protocol.Right], offsets[protocol.Left])
	p.linef("  :: else fi;\n  n_ = 0; v_ = 0; f_ = 0; o_ = 0; u_ = 0; sp_ = 0\n}")
	p.linef("inline commit() {")
	for t := range w.threads {
		if th := &w.threads[t]; th.reads {
			p.linef("  find(%d, %d, answers[%d]);\n  if :: looking[%d] -> right[%d] = right[%d] | (1 << answers[%d]) :: else fi;", th.mm, th.addr, t, t, t, t, t)
		}
	}
	p.linef("  skip\n}\n")
}

// thread writes a process. It begins where the first step is that others can tell, with
// the registers that the thread has there.
func (p *promela) thread(t int) error {
	th := &p.w.threads[t]
	start, init, err := p.begin(t)
	if err != nil {
		return err
	}
	p.linef("active proctype T%d() { /* %s */", t, th.name)
	var regs []protocol.Reg
	for r := protocol.Reg(1); r < protocol.NumRegs; r++ {
		if !p.everLive(t, r) {
			continue
		}
		regs = append(regs, r)
		v := init[r]
		if th.ahead[start].live&(1<<r) == 0 {
			v = 0
		}
		p.linef("  byte %s = %d;", reg(r), v)
	}
	p.linef("  byte loaded;\n  goto L%d;", start)
	for pc := range th.steps {
		if p.isLocal(&th.steps[pc]) {
			continue
		}
		if err := p.step(t, pc, regs); err != nil {
			return err
		}
	}
	p.linef("L%d:\nend:\n  false\n}\n", len(th.steps))
	return nil
}

// begin does the steps of a thread's own that it begins with.
func (p *promela) begin(t int) (pc int, regs protocol.Registers, err error) {
	th := &p.w.threads[t]
	for r, v := range th.init {
		regs[r] = uint64(v)
	}
	for n := 0; pc < len(th.steps) && p.isLocal(&th.steps[pc]); n++ {
		if n > stepMax {
			return 0, regs, p.round(t)
		}
		_, jump := th.steps[pc].Exec(&regs, 0)
		if jump {
			pc = th.steps[pc].To
		} else {
			pc++
		}
	}
	return pc, regs, nil
}

func (p *promela) round(t int) error {
	return fmt.Errorf("promela: %s goes round without touching anything", p.w.threads[t].name)
}

func reg(r protocol.Reg) string { return "r_" + r.String() }

// isLocal reports whether a step is of no concern to others.
func (p *promela) isLocal(s *protocol.Step) bool {
	return s.Op == protocol.Set || s.Op == protocol.If || s.Op == protocol.Fence
}

// local goes on with the thread's own steps from pc, as nested choices, to the next label.
func (p *promela) local(b *strings.Builder, t, pc int, regs []protocol.Reg, indent string, depth int) error {
	th := &p.w.threads[t]
	if depth > 60 {
		return p.round(t)
	}
	if pc == len(th.steps) {
		for i, cond := range p.w.c.Never {
			if cond.Thread == t {
				fmt.Fprintf(b, "%send%d = %s; %s = 0;\n", indent, i, reg(cond.Reg), reg(cond.Reg))
			}
		}
		fmt.Fprintf(b, "%sended++;\n", indent)
	}
	if pc == len(th.steps) || !p.isLocal(&th.steps[pc]) {
		for _, r := range regs {
			if th.ahead[pc].live&(1<<r) == 0 {
				fmt.Fprintf(b, "%s%s = 0;\n", indent, reg(r))
			}
		}
		fmt.Fprintf(b, "%sgoto L%d\n", indent, pc)
		return nil
	}
	s := &th.steps[pc]
	switch {
	case s.Op == protocol.Set && s.Dst != protocol.NoReg:
		fmt.Fprintf(b, "%s%s = %s;\n", indent, reg(s.Dst), sumCode(s))
	case s.Op == protocol.If:
		taken := pc + 1
		condition := testCode(s)
		fmt.Fprintf(b, "%sif\n%s:: %s ->\n", indent, indent, condition)
		if s.Refuse != protocol.Lockless {
			fmt.Fprintf(b, "%s  %s = %d;\n", indent, reg(protocol.RegOutcome), s.Refuse)
		}
		if err := p.local(b, t, s.To, regs, indent+"  ", depth+1); err != nil {
			return err
		}
		fmt.Fprintf(b, "%s:: else ->\n", indent)
		if err := p.local(b, t, taken, regs, indent+"  ", depth+1); err != nil {
			return err
		}
		fmt.Fprintf(b, "%sfi\n", indent)
		return nil
	}
	return p.local(b, t, pc+1, regs, indent, depth+1)
}

func operandCode(o protocol.Operand) string {
	if o.Reg != protocol.NoReg {
		return reg(o.Reg)
	}
	return fmt.Sprint(o.Const & 0xff)
}

func sumCode(s *protocol.Step) string {
	op := "+"
	if s.Minus {
		op = "-"
	}
	code := fmt.Sprintf("(%s %s %s) & 255", operandCode(s.A), op, operandCode(s.B))
	if s.Bits > 0 && s.Bits < 8 {
		code = fmt.Sprintf("(%s) & %d", code, 1<<s.Bits-1)
	}
	return code
}

func testCode(s *protocol.Step) string {
	a, b := operandCode(s.A), operandCode(s.B)
	switch s.Test {
	case protocol.Equal:
		return a + " == " + b
	case protocol.Unequal:
		return a + " != " + b
	case protocol.Less:
		return a + " < " + b
	}
	return fmt.Sprintf("(%s & 1) != 0", a)
}

// step writes a step that others can tell, and what follows it.
func (p *promela) step(t, pc int, regs []protocol.Reg) error {
	th := &p.w.threads[t]
	s := &th.steps[pc]
	var next strings.Builder
	if err := p.local(&next, t, pc+1, regs, "    ", 0); err != nil {
		return err
	}
	p.linef("L%d: /* %s: %v */", pc, s.Frame, s)
	if s.Op == protocol.Alloc {
		p.alloc(t, s, next.String())
		return nil
	}
	guard, body := p.code(t, s)
	p.linef("  atomic {\n    %s -> %s\n%s  }", guard, body, next.String())
	return nil
}

// alloc gives any object that may be given.
func (p *promela) alloc(t int, s *protocol.Step, next string) {
	p.linef("  atomic {\n    if")
	earlier := "1"
	for h := firstHandle; h < len(p.w.objects); h++ {
		if p.w.objects[h].kind != s.Kind {
			continue
		}
		p.linef("    :: life[%d] == FREED || life[%d] == RECYCLE || (life[%d] == SPARE && %s) -> life[%d] = ALIVE; %s = %d", h, h, h, earlier, h, reg(s.Dst), h)
		earlier += fmt.Sprintf(" && life[%d] != SPARE", h)
	}
	p.linef("    fi;\n%s  }", next)
}

// code is when a step can be taken, and what it does.
func (p *promela) code(t int, s *protocol.Step) (guard, body string) {
	guard = "true"
	set := func(to protocol.Reg, v string) string {
		if to == protocol.NoReg || !p.everLive(t, to) {
			return ""
		}
		return fmt.Sprintf("%s = %s; ", reg(to), v)
	}
	switch s.Op {
	case protocol.Enter:
		return guard, fmt.Sprintf("inside[%d] = inside[%d] | %d;", s.Sect, s.Sect, 1<<t)
	case protocol.Leave:
		return guard, fmt.Sprintf("d_step { leave(%d, %d) };", s.Sect, t)
	case protocol.Begin:
		return guard, fmt.Sprintf("looking[%d] = 1; right[%d] = 1 << answers[%d];", t, t, t)
	case protocol.Answer:
		a := operandCode(s.A)
		return guard, fmt.Sprintf("assert((right[%d] & (1 << %s)) != 0); looking[%d] = 0; right[%d] = 0;", t, a, t, t)
	case protocol.Sigtrap:
		return guard, "assert(false);"
	case protocol.Free:
		h := reg(s.A.Reg)
		body = fmt.Sprintf("assert(%s > 2 && %s < OBJECTS && life[AT(%s)] == ALIVE); ", h, h, h)
		switch s.Life {
		case protocol.Now:
			return guard, body + fmt.Sprintf("life[%s] = FREED;", h)
		case protocol.Slab:
			return guard, body + fmt.Sprintf("life[%s] = RECYCLE;", h)
		}
		sect := protocol.RCU
		if s.Life == protocol.AfterTrace {
			sect = protocol.Trace
		}
		return guard, body + fmt.Sprintf("life[%s] = WAITING; sect[%s] = %d; readers[%s] = inside[%d]; passed(%s);", h, h, sect, h, sect, h)
	}
	h := reg(s.At.Base)
	at := fmt.Sprintf("base[AT(%s)] + %d", h, offsets[s.At.Field])
	if s.At.Field == protocol.Slot {
		at = fmt.Sprintf("base[AT(%s)] + %s", h, reg(s.At.Index))
	}
	word := "m[" + at + "]"
	touch := fmt.Sprintf("assert(OK(%s, %d)); ", h, s.At.Field.KindOf())
	commit := ""
	if s.Commits {
		commit = "d_step { commit() };"
	}
	wrong := fmt.Sprintf("!OK(%s, %d) || ", h, s.At.Field.KindOf()) // the assertion tells
	switch s.Op {
	case protocol.Load:
		v := word
		if s.Part != 0 {
			v = fmt.Sprintf("%s & %d", word, s.Part)
		}
		body = set(s.Dst, v)
	case protocol.Store:
		body = fmt.Sprintf("%s = %s; ", word, sumCode(s))
	case protocol.Add:
		old := set(s.Dst, "loaded")
		body = fmt.Sprintf("loaded = %s; %s = (%s + %s) & 255; %sloaded = 0; ", word, word, word, operandCode(s.A), old)
	case protocol.LockRead:
		guard, body = fmt.Sprintf("(%s(%s & 1) == 0)", wrong, word), fmt.Sprintf("%s = %s + 2; ", word, word)
	case protocol.LockWrite:
		guard, body = fmt.Sprintf("(%s%s == 0)", wrong, word), fmt.Sprintf("%s = 1; ", word)
	case protocol.TryRead:
		body = fmt.Sprintf("if :: (%s & 1) == 0 -> %s = %s + 2; %s :: else -> %s fi; ", word, word, word, orSkip(set(s.Dst, "1")), orSkip(set(s.Dst, "0")))
	case protocol.UnlockRead:
		body = fmt.Sprintf("%s = %s - 2; ", word, word)
	case protocol.UnlockWrite:
		body = fmt.Sprintf("%s = 0; ", word)
	case protocol.Downgrade:
		body = fmt.Sprintf("%s = 2; ", word)
	case protocol.Await:
		if s.Test == protocol.Odd {
			touch += fmt.Sprintf("assert(!looking[%d] || (%s & 1) == 0); ", t, word) // P4
		} else {
			guard = fmt.Sprintf("(%s%s != 0)", wrong, word)
		}
		body = set(s.Dst, word)
	}
	return guard, touch + body + commit
}

func orSkip(code string) string {
	if code == "" {
		return "skip"
	}
	return strings.TrimSuffix(code, "; ")
}

func (p *promela) everLive(t int, r protocol.Reg) bool {
	for pc := range p.w.threads[t].ahead {
		if p.w.threads[t].ahead[pc].live&(1<<r) != 0 {
			return true
		}
	}
	return false
}

// monitor looks at the end that must not be.
func (p *promela) monitor() {
	c := p.w.c
	if len(c.Never) == 0 {
		return
	}
	var terms []string
	for i, cond := range c.Never {
		v := fmt.Sprintf("end%d", i)
		if cond.Thread < 0 {
			v = fmt.Sprintf("m[%d]", p.base[cond.Object]+offsets[cond.Field])
		}
		op := "=="
		if cond.Not {
			op = "!="
		}
		terms = append(terms, fmt.Sprintf("%s %s %d", v, op, cond.Value))
	}
	p.linef("active proctype monitor() {\n  atomic { ended == %d -> assert(!(%s)) };\nend:\n  false\n}", len(p.w.threads), strings.Join(terms, " && "))
}
