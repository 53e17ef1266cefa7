package whatif

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// given yields operations that a test made.
type given struct{ ops []*timeline.Operation }

func (g *given) Next() (*timeline.Operation, bool) {
	if len(g.ops) == 0 {
		return nil, false
	}
	op := g.ops[0]
	g.ops = g.ops[1:]
	return op, true
}

func (g *given) Err() error { return nil }

// program makes operations of two processes.
type program struct {
	ops     []*timeline.Operation
	classes map[string]*timeline.Class
	spaces  [2]timeline.Space
}

func newProgram() *program {
	return &program{classes: map[string]*timeline.Class{}, spaces: [2]timeline.Space{{Index: 0, PID: 10}, {Index: 1, PID: 20}}}
}

// add appends what a thread does: "hit libc:malloc" or the kind of a section.
func (p *program) add(at int64, thread int32, what string, hold int64) *timeline.Operation {
	kind, probe, _ := strings.Cut(what, " ")
	key := fmt.Sprint(thread, what)
	c := p.classes[key]
	if c == nil {
		c = &timeline.Class{PID: 10 + thread/4*10, TID: 10 + thread, Comm: fmt.Sprintf("t%d", thread), Kind: kind, Probe: probe, Stack: []string{"f+0x1 (/bin/" + kind + ")"}, ID: len(p.classes)}
		p.classes[key] = c
	}
	op := &timeline.Operation{Kind: sim.OpWrite, At: at, CPU: thread % 2, Thread: thread, Space: &p.spaces[thread/4], Origin: &timeline.Origin{Class: c, Seq: int64(len(p.ops))}, Hold: hold}
	switch kind {
	case "hit":
		op.Kind, op.Addr = sim.OpHit, 0x1000
	case "fault":
		op.Kind, op.Hold, op.ReadHold = sim.OpRead, 0, hold
	}
	p.ops = append(p.ops, op)
	return op
}

// shown runs the rules and shows what comes out, an operation on a line.
func (p *program) shown(t *testing.T, rules ...string) string {
	t.Helper()
	parsed, err := ParseAll(rules)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	stages := Apply(&given{slices.Clone(p.ops)}, parsed)
	last := int64(0)
	for {
		op, ok := stages.Next()
		if !ok {
			break
		}
		if op.At < last {
			t.Errorf("%v: an operation at %d comes after one at %d", rules, op.At, last)
		}
		last = op.At
		o := op.Origin
		name := o.Kind
		if op.Kind == sim.OpApply {
			name = "change of " + name
		}
		fmt.Fprintf(&b, "%d %s/%d %s%s", op.At, o.Comm, o.TID, name, strings.TrimRight(" "+o.Probe, " "))
		if op.Hold+op.ReadHold > 0 {
			fmt.Fprintf(&b, " %d+%d", op.Hold, op.ReadHold)
		}
		if op.Change != nil {
			fmt.Fprintf(&b, " changes")
		}
		b.WriteString("\n")
	}
	if op, ok := stages.Next(); ok {
		t.Errorf("%v: %v after the end", rules, op)
	}
	return b.String()
}

func TestStage(t *testing.T) {
	small := func() *program {
		p := newProgram()
		p.add(10, 0, "hit a:f", 0)
		m := p.add(20, 1, "munmap", 8)
		m.Change, m.Origin.Observed = &timeline.Change{}, true
		end := p.add(29, 1, "munmap", 0) // the call's end makes the change, if nothing did
		end.Kind, end.Change = sim.OpApply, m.Change
		p.add(30, 0, "hit a:f", 0)
		n := p.add(40, 1, "munmap", 5)
		n.Change, n.ReadHold = &timeline.Change{}, 3
		p.add(50, 4, "munmap", 7)
		p.add(60, 0, "fault", 4)
		return p
	}
	asItIs := `10 t0/10 hit a:f
20 t1/11 munmap 8+0 changes
29 t1/11 change of munmap changes
30 t0/10 hit a:f
40 t1/11 munmap 5+3 changes
50 t4/14 munmap 7+0
60 t0/10 fault 0+4
`
	without := func(lines ...string) string {
		var kept []string
		for _, line := range strings.SplitAfter(asItIs, "\n") {
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(line, l) }) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}
	replaced := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(asItIs) }
	for _, c := range []struct {
		rule, want string
	}{
		{"munmap by comm=nobody: drop", asItIs},
		{"munmap by comm=nobody: move to x", asItIs},
		{"munmap by comm=t1: drop", without("20", "29", "40")},
		{"munmap by comm=t*: drop", without("20", "29", "40", "50")},
		{"munmap by pid=20: drop", without("50")},
		{"munmap by tid=11, stack=/bin/munmap: drop", without("20", "29", "40")},
		{"munmap by stack=/bin/mmap: drop", asItIs},
		{"write: drop", without("20", "29", "40", "50")},
		{"read: drop", without("60")},
		{"fault: scale 0.5", replaced("fault 0+4", "fault 0+2")},
		{"hit by probe=a:*: sample 2", without("10")},
		{"hit: drop", without("10", "30")},
		{"munmap: sample 2", without("20", "29", "50")}, // of each thread
		{"munmap by tid=11: scale 3", replaced("8+0", "24+0", "5+3", "15+9")},
		{"munmap by tid=11: delay 15ns", `10 t0/10 hit a:f
29 t1/11 change of munmap changes
30 t0/10 hit a:f
35 t1/11 munmap 8+0 changes
50 t4/14 munmap 7+0
55 t1/11 munmap 5+3 changes
60 t0/10 fault 0+4
`},
		{"munmap by tid=11: batch 2", `10 t0/10 hit a:f
30 t0/10 hit a:f
40 t1/11 change of munmap changes
40 t1/11 munmap 5+3 changes
50 t4/14 munmap 7+0
60 t0/10 fault 0+4
`},
		{"munmap: batch 3", `10 t0/10 hit a:f
30 t0/10 hit a:f
60 t0/10 fault 0+4
60 t1/11 change of munmap changes
60 t1/11 munmap 5+3 changes
60 t4/14 munmap 7+0
`}, // what is left at the end is done then
		{"munmap by tid=11: repeat 2", replaced("29 t1", "28 t1/11 munmap 8+0\n29 t1", "50 t4", "48 t1/11 munmap 5+3\n50 t4")},
		{"munmap: move to reaper", replaced("t1/11 munmap", "reaper/-2 munmap", "t4/14 munmap", "reaper/-2 munmap")},
		{"munmap: move to tid=10", replaced("t1/11 munmap", "t1/10 munmap", "t4/14 munmap", "t4/10 munmap")},
		{"hit: also b:g", replaced("hit a:f\n20", "hit a:f\n10 t0/10 hit b:g\n20", "hit a:f\n40", "hit a:f\n30 t0/10 hit b:g\n40")},
	} {
		if got := small().shown(t, c.rule); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.rule, got, c.want)
		}
	}
	if got, want := small().shown(t, "munmap by tid=11: repeat 2", "munmap by tid=11: drop"), without("20", "29", "40"); got != want {
		t.Errorf("one rule after the other:\n%s\nwant\n%s", got, want)
	}
}

// What moves is a thread of its own in each process, or the recorded one; numbers of
// threads and classes stay near.
func TestNames(t *testing.T) {
	p := newProgram()
	for i := range int64(40) {
		p.add(i*10, int32(i%6), []string{"hit a:f", "munmap", "mmap"}[i%3], 5)
	}
	for _, rule := range []string{"munmap: move to x", "munmap: move to tid=12", "hit: also b:g"} {
		parsed, err := ParseAll([]string{rule})
		if err != nil {
			t.Fatal(err)
		}
		stages := Apply(&given{slices.Clone(p.ops)}, parsed)
		threads, ids := map[int32]string{}, map[int]*timeline.Class{}
		for op, ok := stages.Next(); ok; op, ok = stages.Next() {
			who := fmt.Sprint(op.Space.PID, "/", op.Origin.TID)
			if was, there := threads[op.Thread]; there && was != who {
				t.Errorf("%s: thread %d is %s and %s", rule, op.Thread, was, who)
			}
			threads[op.Thread] = who
			if was := ids[op.Origin.ID]; was != nil && was != op.Origin.Class {
				t.Errorf("%s: two classes have the number %d", rule, op.Origin.ID)
			}
			ids[op.Origin.ID] = op.Origin.Class
		}
		seen := map[string]bool{}
		for n, who := range threads {
			if seen[who] {
				t.Errorf("%s: %s has two numbers", rule, who)
			}
			seen[who] = true
			if n < 0 || int(n) >= len(threads)+6 {
				t.Errorf("%s: a thread has the number %d, and there are %d", rule, n, len(threads))
			}
		}
		for id := range ids {
			if id >= len(ids)+2 {
				t.Errorf("%s: a class has the number %d, and there are %d", rule, id, len(ids))
			}
		}
	}
}

// Whatever the rule, operations come in order of time, changes of the address space are
// made once or left out with their call, and held time is what the rule makes of it.
func TestStageProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newProgram()
		at := int64(0)
		var held int64
		sections := 0
		for range rapid.IntRange(0, 60).Draw(rt, "operations") {
			at += rapid.Int64Range(0, 30).Draw(rt, "gap")
			op := p.add(at, rapid.Int32Range(0, 5).Draw(rt, "thread"), rapid.SampledFrom([]string{"hit a:f", "munmap", "mmap", "fault"}).Draw(rt, "what"), rapid.Int64Range(1, 40).Draw(rt, "hold"))
			if op.Origin.Kind == "munmap" {
				held += op.Hold
				sections++
			}
		}
		n := rapid.IntRange(2, 5).Draw(rt, "n")
		count := func(rule string) (ops, sections int, held int64) {
			parsed, err := ParseAll([]string{rule})
			if err != nil {
				rt.Fatal(err)
			}
			stages := Apply(&given{slices.Clone(p.ops)}, parsed)
			last := int64(0)
			for op, ok := stages.Next(); ok; op, ok = stages.Next() {
				ops++
				if op.At < last {
					rt.Fatalf("%s: out of order", rule)
				}
				last = op.At
				if op.Kind == sim.OpWrite && op.Origin.Kind == "munmap" {
					sections++
					held += op.Hold
				}
			}
			if stages.Err() != nil || (len(stages.Unmatched()) == 0) != (len(p.ops) > 0 && slices.ContainsFunc(p.ops, parsed[0].matches)) {
				rt.Fatalf("%s: unmatched %v", rule, stages.Unmatched())
			}
			return ops, sections, held
		}
		if ops, s, h := count("munmap: delay 77ns"); ops != len(p.ops) || s != sections || h != held {
			rt.Fatalf("delayed: %d, %d sections, held %d", ops, s, h)
		}
		if ops, s, _ := count(fmt.Sprintf("munmap: batch %d", n)); ops != len(p.ops)-sections+s || s > sections || s*n < sections {
			rt.Fatalf("in batches of %d: %d sections of %d", n, s, sections)
		}
		if _, s, h := count(fmt.Sprintf("munmap: repeat %d", n)); s != n*sections || h != int64(n)*held {
			rt.Fatalf("repeated %d times: %d sections of %d, held %d of %d", n, s, sections, h, held)
		}
		if ops, s, h := count("munmap: move to x"); ops != len(p.ops) || s != sections || h != held {
			rt.Fatalf("moved: %d, %d sections, held %d", ops, s, h)
		}
		if ops, s, _ := count("munmap: drop"); s != 0 || ops != len(p.ops)-sections {
			rt.Fatalf("dropped: %d sections of %d operations", s, ops)
		}
	})
}

// What calls change in the address space is changed once, in the order of the calls, or left
// out with its call; by lock events the call's end brings the change a second time, which by
// itself is nothing to wait for.
func TestChangesAreMadeOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newProgram()
		at := int64(0)
		var calls []*timeline.Change
		ends := map[*timeline.Change]bool{}
		for range rapid.IntRange(1, 40).Draw(rt, "operations") {
			at += rapid.Int64Range(1, 30).Draw(rt, "gap")
			thread := rapid.Int32Range(0, 2).Draw(rt, "thread")
			op := p.add(at, thread, rapid.SampledFrom([]string{"hit a:f", "munmap"}).Draw(rt, "what"), 5)
			if op.Origin.Kind != "munmap" {
				continue
			}
			op.Change = &timeline.Change{Kind: traces.Munmap}
			calls = append(calls, op.Change)
			if op.Origin.Observed = rapid.Bool().Draw(rt, "observed"); op.Origin.Observed {
				at += 6
				end := p.add(at, thread, "munmap", 0)
				end.Kind, end.Change = sim.OpApply, op.Change
				ends[op.Change] = true
			}
		}
		n := rapid.IntRange(2, 4).Draw(rt, "n")
		for _, c := range []struct {
			rule          string
			once, inOrder bool
			all           bool // also the ends of calls
		}{
			{"hit: drop", true, true, true},
			{"munmap: scale 3", true, true, true},
			{"munmap: move to x", true, true, true},
			{fmt.Sprintf("munmap: repeat %d", n), true, true, true},
			{"munmap: delay 77ns", true, false, true},
			{fmt.Sprintf("munmap: batch %d", n), true, false, false},
			{"munmap: drop", false, true, false},
			{fmt.Sprintf("munmap: sample %d", n), false, true, false},
		} {
			parsed, err := ParseAll([]string{c.rule})
			if err != nil {
				rt.Fatal(err)
			}
			stages := Apply(&given{slices.Clone(p.ops)}, parsed)
			var made []*timeline.Change
			times, sections := map[*timeline.Change]int{}, map[*timeline.Change]bool{}
			for op, ok := stages.Next(); ok; op, ok = stages.Next() {
				if op.Change == nil {
					continue
				}
				if times[op.Change]++; times[op.Change] == 1 {
					made = append(made, op.Change)
				}
				sections[op.Change] = sections[op.Change] || op.Kind == sim.OpWrite
			}
			for call, n := range times {
				if want := 1; n != want && !(c.all && ends[call] && n == 2) && !(!c.once && sections[call] && ends[call] && n == 2) {
					rt.Fatalf("%s: a change is made %d times", c.rule, n)
				}
			}
			if c.once && len(made) != len(calls) {
				rt.Fatalf("%s: %d changes of %d are made", c.rule, len(made), len(calls))
			}
			if !c.once && strings.Contains(c.rule, "drop") && len(made) > 0 {
				rt.Fatalf("%s: %d changes are made", c.rule, len(made))
			}
			if c.inOrder && !slices.IsSortedFunc(made, func(a, b *timeline.Change) int { return slices.Index(calls, a) - slices.Index(calls, b) }) {
				rt.Fatalf("%s: changes are made in another order", c.rule)
			}
			for _, s := range stages.stages { // or what it remembers grows with the trace
				if len(s.left) > 0 {
					rt.Fatalf("%s: it waits for the ends of %d calls that have none", c.rule, len(s.left))
				}
			}
		}
	})
}

// Times are scaled exactly, and rounded down.
func TestScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.OneOf(rapid.Int64Range(0, 3_000_000), rapid.Int64Range(0, 1<<50)).Draw(t, "ns")
		ppm := rapid.OneOf(rapid.Int64Range(1, 2_000_000), rapid.Int64Range(1, maxScale*1_000_000)).Draw(t, "ppm")
		want := new(big.Int).Mul(big.NewInt(ns), big.NewInt(ppm))
		want.Quo(want, big.NewInt(1_000_000))
		if want.IsInt64() && scale(ns, ppm) != want.Int64() {
			t.Fatalf("%d times %d ppm is %d, want %v", ns, ppm, scale(ns, ppm), want)
		}
	})
}

// The other probe is on the next byte, or where that is on the next page, on the one before.
func TestAlsoIsOnTheSamePage(t *testing.T) {
	for addr, want := range map[uint64]uint64{0x1000: 0x1001, 0x1ffe: 0x1fff, 0x1fff: 0x1ffe} {
		p := newProgram()
		p.add(10, 0, "hit a:f", 0).Addr = addr
		parsed, err := ParseAll([]string{"hit: also b:g"})
		if err != nil {
			t.Fatal(err)
		}
		stages := Apply(&given{p.ops}, parsed)
		first, _ := stages.Next()
		second, _ := stages.Next()
		if first.Addr != addr || second.Addr != want {
			t.Errorf("beside %#x: %#x and %#x, want %#x", addr, first.Addr, second.Addr, want)
		}
	}
}

// A fork that is left out makes its address space all the same: the child has hits.
func TestNeededChange(t *testing.T) {
	p := newProgram()
	for i, kind := range []traces.Kind{traces.Fork, traces.Munmap} {
		op := p.add(20+int64(i), 1, kind.String(), 8)
		op.Change = &timeline.Change{Kind: kind}
	}
	for _, rule := range []string{"write: drop", "write: sample 3"} {
		if got, want := p.shown(t, rule), "20 t1/11 change of fork changes\n"; got != want {
			t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	}
}

// A call that is made again waits again: the second begins where the first has ended.
func TestRepeatAfterWait(t *testing.T) {
	p := newProgram()
	p.add(100, 1, "munmap", 8).Wait = 30
	if got, want := p.shown(t, "munmap: repeat 3"), "100 t1/11 munmap 8+0\n138 t1/11 munmap 8+0\n146 t1/11 munmap 8+0\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
