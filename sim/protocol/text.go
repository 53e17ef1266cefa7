package protocol

import (
	"fmt"
	"strconv"
	"strings"
)

// names pairs the words of the text form with what they mean.
type names[T ~uint8] []string

func (n names[T]) of(v T) string {
	if int(v) < len(n) && n[v] != "" {
		return n[v]
	}
	return fmt.Sprintf("?%d", uint8(v))
}

func (n names[T]) parse(what, s string) (T, error) {
	for i, name := range n {
		if name == s && s != "" {
			return T(i), nil
		}
	}
	var known []string
	for _, name := range n {
		if name != "" {
			known = append(known, name)
		}
	}
	return 0, fmt.Errorf("unknown %s %q: want one of %s", what, s, strings.Join(known, ", "))
}

var (
	regNames = names[Reg]{"", "g", "uprobes", "mm", "addr", "inode", "offset", "outcome", "uprobe", "opcode", "seq", "now", "node", "vma", "file",
		"flags", "pgoff", "start", "end", "treeseq", "key", "mm2", "vma2", "node2", "backing", "last", "link", "tmp", "r0", "r1", "r2", "r3"}
	// Fields are named within their kind.
	fieldNames = names[Field]{"", "x", "y", "z", "dupsem", "mapped", "started", "hits",
		"lock", "seq", "root", "opcode", "slot",
		"start", "end", "pgoff", "file", "flags", "lockseq", "detached", "lock", "mm",
		"inode", "lock", "treeseq", "root",
		"inode", "offset", "left", "right", "refs", "sem", "owner", "consumers"}
	kindNames    = names[Kind]{"", "globals", "mm", "node", "vma", "file", "uprobes", "uprobe"}
	orderNames   = names[Order]{"plain", "once", "acquire", "release", "read", "write", "full"}
	sectionNames = names[Section]{"", "rcu", "trace", "srcu"}
	lifeNames    = names[Life]{"now", "slab", "rcu", "trace"}
	lineNames    = names[Line]{"", "CountLine", "SeqLine", "TreeRoot", "TreeLeaf", "VMAHead", "VMAMiddle", "VMATail", "FileLine", "UprobeTree", "UprobeNode", "HitCounter", "VMALockLine"}
	workNames    = names[Work]{"", "half", "half-srcu"}
	outcomeNames = names[Outcome]{"lockless", "writer_active", "seq_changed", "no_vma", "no_file", "no_uprobe", "unconfigured"}
)

// regKinds says which kind of object a register holds, where it holds any: it decides
// which field a name means.
var regKinds = [NumRegs]Kind{RegGlobals: Globals, RegUprobes: Uprobes, RegMM: MM, RegMM2: MM, RegNode: Node, RegNode2: Node,
	RegVMA: VMA, RegVMA2: VMA, RegFile: File, RegUprobe: Uprobe, RegKey: Uprobe}

// String returns the outcome's name in programs and reports, such as "writer_active".
func (o Outcome) String() string {
	if o >= NumOutcomes {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames.of(o)
}

func (r Reg) String() string     { return regNames.of(r) }
func (f Field) String() string   { return fieldNames.of(f) }
func (k Kind) String() string    { return kindNames.of(k) }
func (s Section) String() string { return sectionNames.of(s) }
func (l Life) String() string    { return lifeNames.of(l) }
func (l Line) String() string    { return lineNames.of(l) }

func (l Loc) String() string {
	if l.Field == Slot {
		return fmt.Sprintf("%v[%v]", l.Base, l.Index)
	}
	return fmt.Sprintf("%v.%v", l.Base, l.Field)
}

func (o Operand) String() string {
	if o.Reg != NoReg {
		return o.Reg.String()
	}
	return strconv.FormatInt(int64(o.Const), 10)
}

// String is the step in the text form, without line, work and rules.
func (s Step) String() string {
	op := func(word string) string {
		if s.Order == Plain {
			return word
		}
		return word + "." + orderNames.of(s.Order)
	}
	switch s.Op {
	case Set:
		if s.Dst == NoReg {
			return "touch"
		}
		return fmt.Sprintf("%v = %s", s.Dst, s.sumText())
	case If:
		text := ""
		if s.Refuse != Lockless {
			text = "refuse " + s.Refuse.String() + " "
		}
		if s.A != s.B || s.Test != Equal {
			text += "if " + s.condition() + " "
		}
		return fmt.Sprintf("%sgoto %d", text, s.To)
	case Fence:
		return "fence " + orderNames.of(s.Order)
	case Enter:
		return "enter " + s.Sect.String()
	case Leave:
		return "leave " + s.Sect.String()
	case Alloc:
		return fmt.Sprintf("%v = alloc %v", s.Dst, s.Kind)
	case Free:
		if s.Life == Now {
			return "free " + s.A.String()
		}
		return fmt.Sprintf("free.%v %v", s.Life, s.A)
	case Begin:
		return "begin"
	case Answer:
		return "answer " + s.A.String()
	case Sigtrap:
		return "sigtrap"
	case Load:
		text := fmt.Sprintf("%v = %s %v", s.Dst, op("load"), s.At)
		if s.Part != 0 {
			text += fmt.Sprintf(" part %d", s.Part)
		}
		return text
	case Store:
		at := s.At.String()
		if s.Bits != 0 {
			at += fmt.Sprintf(":%d", s.Bits)
		}
		text := fmt.Sprintf("%s %s = %s", op("store"), at, s.sumText())
		if s.Commits {
			text += " commits"
		}
		return text
	case Add:
		return fmt.Sprintf("%v = add %v %v", s.Dst, s.At, s.A)
	case TryRead:
		return fmt.Sprintf("%v = tryread %v", s.Dst, s.At)
	case Await:
		text := fmt.Sprintf("%v = await %v", s.Dst, s.At)
		if s.Test == Odd {
			text += " even"
		}
		return text
	}
	return fmt.Sprintf("%s %v", lockWords.of(s.Op), s.At)
}

var lockWords = names[Op]{LockRead: "lock read", LockWrite: "lock write", UnlockRead: "unlock read", UnlockWrite: "unlock write", Downgrade: "downgrade"}

func (s *Step) sumText() string {
	switch {
	case s.Minus:
		return fmt.Sprintf("%v - %v", s.A, s.B)
	case s.B != Operand{}:
		return fmt.Sprintf("%v + %v", s.A, s.B)
	}
	return s.A.String()
}

func (s *Step) condition() string {
	switch s.Test {
	case Equal:
		return fmt.Sprintf("%v == %v", s.A, s.B)
	case Unequal:
		return fmt.Sprintf("%v != %v", s.A, s.B)
	case Less:
		return fmt.Sprintf("%v < %v", s.A, s.B)
	}
	return fmt.Sprintf("%v odd", s.A)
}

// sourceLine is one line of a program's text.
type sourceLine struct {
	rules  []Rule
	label  string // that it defines
	use    string // the program that it includes
	frame  string // "at": of the steps that follow
	step   Step
	target string // label that the step goes to
}

// parseLine parses one line without its comment. Lines that are blank have no words.
func parseLine(text string) (l sourceLine, err error) {
	words := strings.Fields(text)
	var rest []string
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case strings.HasPrefix(w, "@"):
			name, off := strings.CutPrefix(w[1:], "!")
			l.rules = append(l.rules, Rule{name, off})
		case strings.HasPrefix(w, "{"):
			for ; ; i++ {
				if i == len(words) {
					return l, fmt.Errorf("no } after %q", text)
				}
				if err := l.price(strings.Trim(words[i], "{}")); err != nil {
					return l, err
				}
				if strings.HasSuffix(words[i], "}") {
					break
				}
			}
		case w == "commits":
			l.step.Commits = true
		default:
			rest = append(rest, w)
		}
	}
	if len(rest) == 0 {
		return l, fmt.Errorf("no step in %q", text)
	}
	return l, l.parse(rest)
}

// price reads a word of {LINE WORK}.
func (l *sourceLine) price(word string) error {
	if work, err := workNames.parse("work", word); err == nil {
		l.step.Work = work
		return nil
	}
	line, err := lineNames.parse("line", word)
	l.step.Line = line
	return err
}

func (l *sourceLine) parse(w []string) (err error) {
	s := &l.step
	s.Rules = l.rules
	word, order, _ := strings.Cut(w[0], ".")
	if label, ok := strings.CutSuffix(w[0], ":"); ok && len(w) == 1 {
		l.label = label
		return nil
	}
	if len(w) > 2 && w[1] == "=" && word != "store" {
		return l.parseResult(w)
	}
	bad := func() error { return fmt.Errorf("cannot read %q", strings.Join(w, " ")) }
	want := map[string]int{"use": 2, "at": 2, "goto": 2, "fence": 2, "enter": 2, "leave": 2, "free": 2, "answer": 2, "begin": 1, "sigtrap": 1, "touch": 1, "lock": 3, "unlock": 3, "downgrade": 2}
	if n, fixed := want[word]; fixed && len(w) != n {
		return bad()
	}
	switch word {
	case "use":
		l.use = w[1]
	case "at":
		l.frame = w[1]
	case "touch":
		s.Op = Set
	case "begin":
		s.Op = Begin
	case "sigtrap":
		s.Op = Sigtrap
	case "answer":
		s.Op = Answer
		s.B = Operand{Reg: RegOutcome} // how it was found
		s.A, err = parseOperand(w[1])
	case "goto":
		s.Op, l.target = If, w[1]
	case "if":
		return l.parseIf(w[1:])
	case "refuse":
		if len(w) < 4 {
			return bad()
		}
		if s.Refuse, err = outcomeNames.parse("outcome", w[1]); err != nil {
			return err
		}
		if w[2] == "goto" {
			s.Op, l.target = If, w[3]
			return nil
		}
		return l.parseIf(w[3:])
	case "fence":
		s.Op = Fence
		if s.Order, err = orderNames.parse("fence", w[1]); err == nil && s.Order < Read {
			return fmt.Errorf("unknown fence %q: want read, write or full", w[1])
		}
	case "enter", "leave":
		s.Op = Enter
		if word == "leave" {
			s.Op = Leave
		}
		s.Sect, err = sectionNames.parse("section", w[1])
	case "free":
		s.Op = Free
		if order != "" {
			if s.Life, err = lifeNames.parse("life", order); err != nil {
				return err
			}
		}
		s.A, err = parseOperand(w[1])
	case "lock", "unlock":
		if s.Op, err = lockWords.parse("lock", word+" "+w[1]); err != nil {
			return err
		}
		s.At, err = parseLoc(w[2])
	case "downgrade":
		s.Op = Downgrade
		s.At, err = parseLoc(w[1])
	case "store":
		return l.parseStore(order, w[1:])
	default:
		return fmt.Errorf("unknown step %q", w[0])
	}
	return err
}

// parseResult reads steps that have one: REG = ...
func (l *sourceLine) parseResult(w []string) (err error) {
	s := &l.step
	if s.Dst, err = regNames.parse("register", w[0]); err != nil {
		return err
	}
	word, order, _ := strings.Cut(w[2], ".")
	bad := func() error { return fmt.Errorf("cannot read %q", strings.Join(w, " ")) }
	if len(w) < 4 && (word == "load" || word == "add" || word == "tryread" || word == "await" || word == "alloc") {
		return bad()
	}
	switch word {
	case "load":
		s.Op = Load
		if order != "" {
			if s.Order, err = orderNames.parse("order", order); err != nil {
				return err
			}
		}
		if len(w) == 6 && w[4] == "part" {
			if s.Part, err = strconv.ParseUint(w[5], 0, 64); err != nil {
				return err
			}
		} else if len(w) != 4 {
			return bad()
		}
	case "add":
		s.Op = Add
		if len(w) != 5 {
			return bad()
		}
		if s.A, err = parseOperand(w[4]); err != nil {
			return err
		}
	case "tryread":
		s.Op = TryRead
	case "await":
		s.Op = Await
		if len(w) == 5 && w[4] == "even" {
			s.Test = Odd
		} else if len(w) != 4 {
			return bad()
		}
	case "alloc":
		s.Op = Alloc
		s.Kind, err = kindNames.parse("kind", w[3])
		return err
	default:
		s.Op = Set
		return l.parseSum(w[2:])
	}
	s.At, err = parseLoc(w[3])
	return err
}

// parseStore reads LOC[:BITS] = SUM.
func (l *sourceLine) parseStore(order string, w []string) (err error) {
	s := &l.step
	s.Op = Store
	if order != "" {
		if s.Order, err = orderNames.parse("order", order); err != nil {
			return err
		}
	}
	if len(w) < 3 || w[1] != "=" {
		return fmt.Errorf("cannot read %q: want store LOCATION = VALUE", strings.Join(w, " "))
	}
	at, bits, wide := strings.Cut(w[0], ":")
	if wide {
		n, err := strconv.ParseUint(bits, 10, 8)
		if err != nil || n == 0 || n > 64 {
			return fmt.Errorf("%q: want a width of 1 to 64 bits", w[0])
		}
		s.Bits = uint8(n)
	}
	if s.At, err = parseLoc(at); err != nil {
		return err
	}
	return l.parseSum(w[2:])
}

// parseSum reads A, A + B or A - B.
func (l *sourceLine) parseSum(w []string) (err error) {
	s := &l.step
	if len(w) != 1 && (len(w) != 3 || w[1] != "+" && w[1] != "-") {
		return fmt.Errorf("cannot read %q: want a value, or two with + or - between", strings.Join(w, " "))
	}
	if s.A, err = parseOperand(w[0]); err != nil || len(w) == 1 {
		return err
	}
	s.Minus = w[1] == "-"
	s.B, err = parseOperand(w[2])
	return err
}

// parseIf reads COND goto LABEL.
func (l *sourceLine) parseIf(w []string) (err error) {
	s := &l.step
	s.Op = If
	n := len(w) - 2
	if n < 2 || w[n] != "goto" {
		return fmt.Errorf("cannot read %q: want a condition, goto and a label", strings.Join(w, " "))
	}
	l.target = w[n+1]
	if s.A, err = parseOperand(w[0]); err != nil {
		return err
	}
	if n == 2 && w[1] == "odd" {
		s.Test = Odd
		return nil
	}
	if n != 3 {
		return fmt.Errorf("cannot read the condition %q", strings.Join(w[:n], " "))
	}
	switch w[1] {
	case "==":
		s.Test = Equal
	case "!=":
		s.Test = Unequal
	case "<":
		s.Test = Less
	default:
		return fmt.Errorf("unknown test %q: want ==, !=, < or odd", w[1])
	}
	s.B, err = parseOperand(w[2])
	return err
}

func parseOperand(text string) (Operand, error) {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return Operand{Const: Value(n)}, nil
	}
	r, err := regNames.parse("register or number", text)
	return Operand{Reg: r}, err
}

// parseLoc reads REG.FIELD or REG[REG].
func parseLoc(text string) (l Loc, err error) {
	if base, index, ok := strings.Cut(strings.TrimSuffix(text, "]"), "["); ok {
		l.Field = Slot
		if l.Base, err = regNames.parse("register", base); err != nil {
			return l, err
		}
		l.Index, err = regNames.parse("register", index)
		if err == nil && regKinds[l.Base] != Node {
			return l, fmt.Errorf("%q: %v is no node", text, l.Base)
		}
		return l, err
	}
	base, field, ok := strings.Cut(text, ".")
	if !ok {
		return l, fmt.Errorf("%q is no location: want REGISTER.FIELD or NODE[REGISTER]", text)
	}
	if l.Base, err = regNames.parse("register", base); err != nil {
		return l, err
	}
	l.Field, err = ParseField(regKinds[l.Base], field)
	return l, err
}

// ParseField returns the field of that name in objects of a kind.
func ParseField(k Kind, name string) (Field, error) {
	var known []string
	for f := NoField + 1; f < NumFields; f++ {
		if f.KindOf() == k && f != Slot {
			if fieldNames[f] == name {
				return f, nil
			}
			known = append(known, fieldNames[f])
		}
	}
	if len(known) == 0 {
		return NoField, fmt.Errorf("no field %q: that holds no object with fields", name)
	}
	return NoField, fmt.Errorf("unknown field %q of %v: want one of %s", name, k, strings.Join(known, ", "))
}

// ParseKind returns the kind of object of that name.
func ParseKind(name string) (Kind, error) { return kindNames.parse("kind", name) }

// ParseReg returns the register of that name.
func ParseReg(name string) (Reg, error) { return regNames.parse("register", name) }

// RegKind returns the kind of object that a register holds, NoKind for numbers.
func RegKind(r Reg) Kind { return regKinds[r] }
