package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// versions are those of the resolvers.
func versions() []Version {
	var all []Version
	for _, r := range Resolvers() {
		all = append(all, r.Version)
	}
	return all
}

// bases are the programs without the variants of versions.
func bases() []string {
	var names []string
	for _, name := range Kernel().Programs() {
		if !strings.Contains(name, ".") {
			names = append(names, name)
		}
	}
	return names
}

// standsAlone reports whether a program has all labels that it goes to: fragments do not.
func standsAlone(name string, v Version) bool {
	_, err := Kernel().Assemble(name, v, nil)
	return err == nil
}

// Every program assembles in every version with any one rule off, and a rule that is off
// changes some program: one that nothing depends on would be a promise without content.
func TestAssemble(t *testing.T) {
	changed := map[string]bool{}
	programs := 0
	for _, v := range versions() {
		for _, name := range bases() {
			if !standsAlone(name, v) {
				continue
			}
			programs++
			on, _ := Kernel().Assemble(name, v, nil)
			for _, step := range on {
				if step.Op == If && (step.To < 0 || step.To > len(on)) {
					t.Errorf("%s %v: %v goes to %d of %d", name, v, step, step.To, len(on))
				}
			}
			for _, rule := range Kernel().Rules() {
				off, err := Kernel().Assemble(name, v, Off{rule.Name})
				if err != nil {
					t.Errorf("%s %v without %s: %v", name, v, rule.Name, err)
				}
				if listing(on) != listing(off) {
					changed[rule.Name] = true
				}
			}
		}
	}
	for _, rule := range Kernel().Rules() {
		if !changed[rule.Name] {
			t.Errorf("rule %s changes no program", rule.Name)
		}
	}
	if programs < 200 {
		t.Errorf("vacuous: %d programs", programs)
	}
	for _, name := range []string{"hit", "munmap", "mmap", "replace", "move-start", "mprotect", "mremap", "expand", "brk", "fork", "register", "unregister", "rotate", "trampoline"} {
		if !standsAlone(name, nil) {
			_, err := Kernel().Assemble(name, nil, nil)
			t.Error(err)
		}
	}
}

func listing(p Program) string {
	var b strings.Builder
	for i, s := range p {
		fmt.Fprintf(&b, "%3d %-32s %v {%v %v}\n", i, s.Frame, s, s.Line, s.Work)
	}
	return b.String()
}

// A step's text parses back to the step.
func TestText(t *testing.T) {
	seen := map[Op]bool{}
	for _, v := range versions() {
		for _, name := range bases() {
			p, err := Kernel().Assemble(name, v, nil)
			if err != nil {
				continue
			}
			for _, s := range p {
				seen[s.Op] = true
				line, err := parseLine(s.String())
				if err != nil {
					t.Fatalf("%v: %v", s, err)
				}
				back := line.step
				back.Frame, back.Line, back.Work, back.Rules, back.To = s.Frame, s.Line, s.Work, s.Rules, s.To
				if fmt.Sprint(back) != fmt.Sprint(s) || !slices.Equal(back.Rules, s.Rules) || back.At != s.At || back.A != s.A || back.B != s.B || back.Commits != s.Commits {
					t.Fatalf("%v parses as %v", s, back)
				}
			}
		}
	}
	for op := range numOps {
		if !seen[op] && op != Add && op != TryRead {
			t.Errorf("no program has operation %d", op)
		}
	}
}

// lines is what the steps of a program touch, in the order of the text, loops and
// branches once.
func lines(p Program) string {
	var touched []string
	for _, s := range p {
		if s.Line != NoLine {
			touched = append(touched, s.Line.String())
		}
	}
	return strings.Join(touched, " ")
}

// What the lookups touch: in the two layouts of the vm_area_struct, and with the locks
// of older kernels.
func TestLines(t *testing.T) {
	const (
		v3     = "TreeRoot TreeLeaf VMATail VMAHead FileLine UprobeTree UprobeNode"
		merged = "TreeRoot TreeLeaf VMATail VMAMiddle VMAHead FileLine UprobeTree UprobeNode"
		key613 = "VMATail VMAHead FileLine VMAMiddle "
		to613  = "TreeRoot TreeLeaf " + key613 + "UprobeTree UprobeNode"
	)
	for _, c := range []struct{ resolver, speculate, locked string }{
		{"speculative", "SeqLine " + v3 + " SeqLine", "CountLine " + v3 + " CountLine"},
		{"speculative-merged", "SeqLine " + merged + " SeqLine", "CountLine " + merged + " CountLine"},
		{"speculative-v1", "SeqLine " + to613 + " SeqLine", "CountLine " + to613 + " CountLine"},
		{"locked", "", "CountLine " + to613 + " CountLine"},
		{"srcu", "", "CountLine " + to613 + " CountLine"},
		{"refcount", "", "CountLine TreeRoot TreeLeaf " + key613 + "UprobeTree UprobeTree UprobeNode UprobeNode UprobeTree CountLine"},
		{"pervma", "TreeRoot TreeLeaf VMAHead SeqLine VMALockLine SeqLine VMAHead " + key613 + "UprobeTree UprobeNode VMALockLine VMALockLine", "CountLine " + to613 + " CountLine"},
		{"ideal", merged, ""},
	} {
		r, err := FindResolver(c.resolver)
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Parts(Kernel(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(p.Speculate); got != c.speculate {
			t.Errorf("%s speculates on %s, want %s", c.resolver, got, c.speculate)
		}
		if got := lines(p.Locked); got != c.locked {
			t.Errorf("%s locked touches %s, want %s", c.resolver, got, c.locked)
		}
	}
}

// run executes a program alone, on a memory of words that are all 0 but for those given.
func run(t *testing.T, p Program, r Registers, words map[string]Value) (Registers, map[string]Value) {
	t.Helper()
	for pc, n := 0, 0; pc < len(p); n++ {
		if n > 1000 {
			t.Fatal("the program does not end")
		}
		s := &p[pc]
		key := ""
		if s.Op >= Load {
			key = fmt.Sprintf("%d.%v.%d", r[s.At.Base], s.At.Field, r[s.At.Index])
		}
		if s.Waits(words[key]) {
			t.Fatalf("%v waits", s)
		}
		loaded := words[key]
		if s.Op == Alloc {
			loaded = 99
		}
		stored, jump := s.Exec(&r, loaded)
		if s.Stores() {
			words[key] = stored
		}
		pc++
		if jump {
			pc = s.To
		}
	}
	return r, words
}

// Alone, the resolvers find the uprobe, and refuse for the right reason.
func TestExec(t *testing.T) {
	const mmap, uprobes, node, vma, file, probe = 1, 2, 3, 4, 5, 6
	memory := func() map[string]Value {
		return map[string]Value{
			"1.root.0": node, "3.slot.5": vma, "4.file.0": file, "4.start.0": 4, "4.end.0": 9, "4.pgoff.0": 7, "4.flags.0": 1, "4.lockseq.0": 255,
			"5.inode.0": 33, "2.root.0": probe, "6.inode.0": 33, "6.offset.0": 8,
		}
	}
	start := Registers{RegMM: mmap, RegUprobes: uprobes, RegAddr: 5}
	for _, r := range Resolvers() {
		parts, err := r.Parts(Kernel(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			word string
			v    Value
			want Outcome
		}{
			{"", 0, Lockless}, {"1.seq.0", 1, WriterActive}, {"3.slot.5", 0, NoVMA}, {"4.file.0", 0, NoFile}, {"6.offset.0", 9, NoUprobe},
			{"6.inode.0", 34, NoUprobe}, {"1.seq.0", 2, Lockless},
		} {
			m := memory()
			m[c.word] = c.v
			if len(parts.Speculate) > 0 {
				got, after := run(t, parts.Speculate, start, m)
				want := c.want
				if r.Name == "pervma" || r.Name == "ideal" {
					if c.word == "1.seq.0" {
						want = Lockless // the VMA itself is not locked
					}
				}
				if Outcome(got[RegOutcome]) != want || want == Lockless && got[RegUprobe] != probe {
					t.Errorf("%s with %s = %d: outcome %v, uprobe %d", r.Name, c.word, c.v, Outcome(got[RegOutcome]), got[RegUprobe])
				}
				if after["4.lock.0"] != 0 {
					t.Errorf("%s with %s = %d leaves the VMA locked", r.Name, c.word, c.v)
				}
			}
			m = memory()
			m[c.word] = c.v
			got, after := run(t, parts.Locked, start, m)
			if found := got[RegUprobe] == probe; len(parts.Locked) > 0 && found != (c.want == Lockless || c.want == WriterActive) {
				t.Errorf("%s, locked, with %s = %d: uprobe %d", r.Name, c.word, c.v, got[RegUprobe])
			}
			if after["1.lock.0"] != 0 || after["2.lock.0"] != 0 {
				t.Errorf("%s, locked, with %s = %d leaves a lock", r.Name, c.word, c.v)
			}
		}
	}
	// The writer's sequence is odd inside and even after, of the width of its word.
	for _, v := range []Version{nil, {"merged"}, {"v1"}} {
		p, err := Kernel().Assemble("nothing", v, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := Value(1<<32 - 2)
		_, m := run(t, p, start, map[string]Value{"1.seq.0": before})
		want := Value(0)
		if v == nil {
			want = 1 << 32
		}
		if m["1.seq.0"] != want || m["1.lock.0"] != 0 {
			t.Errorf("%v: the sequence after a section is %#x, want %#x", v, m["1.seq.0"], want)
		}
	}
}

// Each kind of step by hand: what it makes of a register and of its word, and whether it has
// to wait for the word.
func TestEachStep(t *testing.T) {
	for _, c := range []struct {
		text                 string // tmp is 7 before
		word, after, tmp     Value
		waits, loads, stores bool
	}{
		{text: "tmp = tmp + 5", tmp: 12},
		{text: "tmp = tmp - 9", tmp: ^Value(1)},
		{text: "tmp = load g.x", word: 0xf3, tmp: 0xf3, loads: true},
		{text: "tmp = load g.x part 0xf0", word: 0xf3, tmp: 0xf0, loads: true},
		{text: "store g.x = tmp + 1", word: 3, after: 8, tmp: 7, stores: true},
		{text: "store g.x:2 = tmp", word: 3, after: 3, tmp: 7, stores: true},
		{text: "store g.x:8 = 300", after: 44, tmp: 7, stores: true},
		{text: "store g.x:63 = -1", after: 1<<63 - 1, tmp: 7, stores: true},
		{text: "store g.x:64 = -1", after: 1<<64 - 1, tmp: 7, stores: true},
		{text: "tmp = add g.x 5", word: 3, after: 8, tmp: 3, loads: true, stores: true},
		{text: "tmp = add g.x -1", word: 3, after: 2, tmp: 3, loads: true, stores: true},
		{text: "tmp = tryread vma.lock", word: 4, after: 6, tmp: 1, loads: true, stores: true},
		{text: "tmp = tryread vma.lock", word: 1, after: 1, tmp: 0, loads: true, stores: true},
		{text: "tmp = await g.x", tmp: 0, waits: true, loads: true},
		{text: "tmp = await g.x", word: 2, tmp: 2, loads: true},
		{text: "tmp = await g.x even", word: 2, tmp: 2, loads: true},
		{text: "tmp = await g.x even", word: 3, tmp: 3, waits: true, loads: true},
		{text: "lock read mm.lock", word: 2, after: 4, tmp: 7, loads: true, stores: true},
		{text: "lock read mm.lock", word: 1, after: 3, tmp: 7, waits: true, loads: true, stores: true},
		{text: "lock write mm.lock", word: 0, after: 1, tmp: 7, loads: true, stores: true},
		{text: "lock write mm.lock", word: 2, after: 1, tmp: 7, waits: true, loads: true, stores: true},
		{text: "unlock read mm.lock", word: 4, after: 2, tmp: 7, loads: true, stores: true},
		{text: "unlock write mm.lock", word: 1, after: 0, tmp: 7, loads: true, stores: true},
		{text: "downgrade mm.lock", word: 1, after: 2, tmp: 7, loads: true, stores: true},
	} {
		line, err := parseLine(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		s := &line.step
		if back, err := parseLine(s.String()); err != nil || fmt.Sprint(back.step) != fmt.Sprint(*s) || back.step.Bits != s.Bits || back.step.Part != s.Part {
			t.Errorf("%s: %v parses as %v, %v", c.text, s, back.step, err)
		}
		r := Registers{RegTmp: 7}
		stored, jump := s.Exec(&r, c.word)
		if r[RegTmp] != c.tmp || stored != c.after && s.Stores() || jump {
			t.Errorf("%s at %#x: tmp is %#x, the word %#x; want %#x, %#x", c.text, c.word, r[RegTmp], stored, c.tmp, c.after)
		}
		if s.Waits(c.word) != c.waits || s.Loads() != c.loads || s.Stores() != c.stores || s.Atomic() != (c.loads && c.stores) {
			t.Errorf("%s at %#x: waits %v, loads %v, stores %v, atomic %v", c.text, c.word, s.Waits(c.word), s.Loads(), s.Stores(), s.Atomic())
		}
	}
	for text, want := range map[string][2]bool{ // with tmp 7, and with tmp 8
		"if tmp == 7 goto x": {true, false}, "if tmp != 7 goto x": {false, true}, "if tmp < 8 goto x": {true, false}, "if tmp odd goto x": {true, false}, "goto x": {true, true},
	} {
		line, err := parseLine(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, tmp := range []Value{7, 8} {
			if _, jump := line.step.Exec(&Registers{RegTmp: tmp}, 0); jump != want[i] || line.target != "x" {
				t.Errorf("%s with tmp %d: %v to %q", text, tmp, jump, line.target)
			}
		}
	}
}

// The texts of steps that tell the same step apart from another, and names of nothing.
func TestTextOfRareSteps(t *testing.T) {
	for _, text := range []string{
		"free tmp", "free.slab vma", "free.rcu vma", "free.trace uprobe", "fence read", "fence write", "fence full", "vma = alloc vma",
		"tmp = load.once mm.seq", "tmp = load.acquire mm.seq", "store.release mm.seq:32 = tmp", "store mm.seq = -2", "touch", "begin", "sigtrap", "answer uprobe",
		"enter rcu", "leave srcu", "tmp = node[addr]",
	} {
		line, err := parseLine(text)
		if text == "tmp = node[addr]" {
			if err == nil {
				t.Errorf("%s is read as %v", text, line.step)
			}
			continue
		}
		if err != nil || line.step.String() != text {
			t.Errorf("%s: %v, %v", text, line.step, err)
		}
	}
	for text, want := range map[string]string{
		"goto x": "goto 0", "refuse no_vma goto x": "refuse no_vma goto 0", "if tmp odd goto x": "if tmp odd goto 0", "if tmp == tmp goto x": "goto 0",
		"if 0 == 1 goto x": "if 0 == 1 goto 0", "refuse no_file if tmp < tmp goto x": "refuse no_file if tmp < tmp goto 0",
	} {
		if line, err := parseLine(text); err != nil || line.step.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, line.step, err, want)
		}
	}
	for got, want := range map[string]string{
		NumOutcomes.String(): fmt.Sprintf("outcome(%d)", NumOutcomes), (NumOutcomes - 1).String(): "unconfigured", Lockless.String(): "lockless",
		Reg(NumRegs).String(): fmt.Sprintf("?%d", NumRegs), NoReg.String(): "?0", (NumRegs - 1).String(): "r3", Field(200).String(): "?200",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for f := NoField + 1; f < NumFields; f++ {
		if got, err := ParseField(f.KindOf(), f.String()); f != Slot && (err != nil || got != f) {
			t.Errorf("%v of %v is %v, %v", f, f.KindOf(), got, err)
		}
	}
}

// Before the series a section bumps the sequence once, at its end; with it, at both; and an
// optimised probe asks for both whatever the resolver.
func TestSectionsBumpTheSequence(t *testing.T) {
	bumps := func(p Program) (n int) {
		for i := range p {
			if p[i].Op == Store && p[i].At.Field == MMSeq {
				n++
			}
		}
		return n
	}
	for _, r := range Resolvers() {
		p, err := r.Parts(Kernel(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, e, d := bumps(p.Begin), bumps(p.End), bumps(p.Downgrade); b != 1 || e != 1 || d != 1 {
			t.Errorf("under %s a section bumps %d times at its begin, %d at its end, %d when it is downgraded", r.Name, b, e, d)
		}
	}
	check, err := Trampoline(Kernel(), nil)
	if err != nil || !strings.HasPrefix(lines(check.Speculate), "SeqLine ") || !strings.HasSuffix(lines(check.Speculate), " SeqLine") || !strings.HasPrefix(lines(check.Locked), "CountLine ") {
		t.Errorf("the check touches %s, locked %s; %v", lines(check.Speculate), lines(check.Locked), err)
	}
}

// A reader's answer changes if one step of the program does.
func TestOneStep(t *testing.T) {
	changed, err := Parse(Kernel(), "mine", "program key\n inode = load file.inode\n offset = addr + start\n offset = offset + pgoff\n")
	if err != nil {
		t.Fatal(err)
	}
	r, _ := FindResolver("speculative")
	parts, err := r.Parts(changed, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := run(t, parts.Speculate, Registers{RegMM: 1, RegUprobes: 2, RegAddr: 5}, map[string]Value{
		"1.root.0": 3, "3.slot.5": 4, "4.file.0": 5, "4.start.0": 4, "4.pgoff.0": 7, "5.inode.0": 33, "2.root.0": 6, "6.inode.0": 33, "6.offset.0": 8})
	if Outcome(got[RegOutcome]) != NoUprobe {
		t.Errorf("the changed program answers %v", Outcome(got[RegOutcome]))
	}
	if p, _ := r.Parts(Kernel(), nil); listing(p.Speculate) == listing(parts.Speculate) {
		t.Error("the change is not in the program")
	}
}

// Faults in a text name the line and what is wanted.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"load x":                                        "mine:1: \"load x\" is outside of any program",
		"program a\n  seq = load mm.sequence":           "mine:2: unknown field \"sequence\" of mm: want one of lock, seq, root, opcode",
		"program a\n  foo = load mm.seq":                "mine:2: unknown register \"foo\": want one of ",
		"program a\n  seq = load addr.seq":              "mine:2: no field \"seq\": that holds no object with fields",
		"program a\n  seq = load seq":                   "mine:2: \"seq\" is no location: want REGISTER.FIELD or NODE[REGISTER]",
		"program a\n  jump x":                           "mine:2: unknown step \"jump\"",
		"program a\n  seq = 1 * 2":                      "mine:2: cannot read \"1 * 2\": want a value, or two with + or - between",
		"program a\n  fence big":                        "mine:2: unknown fence \"big\"",
		"program a\n  if seq > now goto x":              "mine:2: unknown test \">\": want ==, !=, < or odd",
		"program a\n  fence read @nonsense":             "mine:2: unknown rule \"nonsense\"",
		"program a\n  seq = load mm.seq {Nowhere}":      "mine:2: unknown line \"Nowhere\"",
		"program a\n  seq = load mm.seq {SeqLine":       "mine:2: no } after",
		"program a\n  store mm.seq:99 = 1":              "mine:2: \"mm.seq:99\": want a width of 1 to 64 bits",
		"program a\nprogram a":                          "mine:2: there is a program a already",
		"rule x":                                        "mine:1: a rule needs a name and what it asks for",
		"rule x y\n\nprogram a\n  seq = add mm.seq foo": "mine:4: ",
		"program a\n  seq =":                            "mine:2: unknown step \"seq\"",
		"program a\n  enter x":                          "mine:2: unknown section \"x\": want one of rcu, trace, srcu",
		"program a\n  fence once":                       "mine:2: unknown fence \"once\": want read, write or full",
		"program a\n  free.later vma":                   "mine:2: unknown life \"later\"",
		"program a\n  seq = load mm.seq part x":         "mine:2: ",
		"program a\n  seq = load mm.seq partly 1":       "mine:2: cannot read ",
		"program a\n  seq = load":                       "mine:2: cannot read ",
		"program a\n  store mm.seq:0 = 1":               "mine:2: \"mm.seq:0\": want a width of 1 to 64 bits",
		"program a\n  store mm.seq:65 = 1":              "mine:2: \"mm.seq:65\": want a width of 1 to 64 bits",
		"program a\n  vma = load vma[addr]":             "mine:2: \"vma[addr]\": vma is no node",
		"program a\n  refuse because if seq odd goto x": "mine:2: unknown outcome \"because\"",
	} {
		_, err := Parse(Kernel(), "mine", text)
		if err == nil || !strings.HasPrefix(err.Error(), strings.TrimSuffix(want, ": want one of ")) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"program a\n  goto nowhere": "program a: no label \"nowhere\"",
		"program a\n  use a":        "program a: more than 20 programs use each other: does one use itself?",
		"program a\n  use b":        "unknown program \"b\"",
	} {
		l, err := Parse(Kernel(), "mine", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Assemble("a", nil, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	chain := "program a\n  use b1\n" // a, b1 to b20: each is used by the one before
	for i := 1; i < 20; i++ {
		chain += fmt.Sprintf("program b%d\n  use b%d\n", i, i+1)
	}
	for last, ok := range map[string]bool{"program b20\n  begin\n": true, "program b20\n  use b21\nprogram b21\n  begin\n": false} {
		l, err := Parse(Kernel(), "mine", chain+last)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Assemble("a", nil, nil); (err == nil) != ok {
			t.Errorf("with %q at the end: %v", last, err)
		}
	}
	if _, err := Kernel().Assemble("hit", nil, Off{"nonsense"}); err == nil {
		t.Error("no error for an unknown rule")
	}
	if _, err := FindResolver("none"); err == nil {
		t.Error("no error for an unknown resolver")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("program a\n seq = load.acquire mm.seq {SeqLine}\n refuse writer_active if seq odd goto out\nout:\n")
	f.Add("program a\n store.release node[addr] = vma - 1 commits @rmb\n free.rcu vma")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(Kernel(), "fuzz", text)
		if (l == nil) != (err != nil) {
			t.Fatal("a library and an error, or neither")
		}
		if err != nil {
			return
		}
		for _, name := range l.Programs() {
			p, err := l.Assemble(name, nil, nil)
			if err != nil {
				continue
			}
			for _, s := range p {
				if _, err := parseLine(s.String()); err != nil {
					t.Fatalf("%v: %v", s, err)
				}
			}
		}
	})
}
