package explore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/replay/replay/sim/protocol"
)

// Row is one step of a counterexample.
type Row struct {
	Thread string `json:"thread"`
	Frame  string `json:"frame"`
	Step   string `json:"step"`
	Value  string `json:"value"` // that was read or written, or what happened
}

// logStep tells of a step that t has done.
func (x *explorer) logStep(s *state, t int, st *protocol.Step, v protocol.Value) {
	if x.log == nil {
		return
	}
	row := Row{Thread: x.w.threads[t].name, Frame: st.Frame, Step: x.stepText(st)}
	switch st.Op {
	case protocol.If:
		row.Value = "falls back: " + st.Refuse.String()
	case protocol.Load, protocol.Await, protocol.Add, protocol.TryRead:
		row.Value = x.valueText(st.At.Field, v)
		if x.latest >= 0 && x.latest != int(v) && st.Part == 0 {
			row.Value += " (old: it is " + x.valueText(st.At.Field, uint64(x.latest)) + ")"
		}
	case protocol.Store:
		if x.w.model == Weak && v != 0 {
			row.Value = x.valueText(st.At.Field, v)
		} else {
			row.Value = x.valueText(st.At.Field, x.sumOf(s, t, st))
		}
	case protocol.Alloc, protocol.Free, protocol.Answer:
		if st.Op == protocol.Answer {
			v = s.threads[t].regs[st.A.Reg]
		}
		row.Value = x.nameOf(v)
	}
	x.log(row)
}

// sumOf is what a store writes; its registers are as they were.
func (x *explorer) sumOf(s *state, t int, st *protocol.Step) protocol.Value {
	regs := s.threads[t].regs
	v, _ := st.Exec(&regs, 0)
	return v & 0xff
}

func (x *explorer) stepText(st *protocol.Step) string {
	if st.Op == protocol.If {
		return strings.TrimSpace(st.String()[:strings.LastIndex(st.String(), "goto")])
	}
	return st.String()
}

// valueText names an object where the word holds one.
func (x *explorer) valueText(f protocol.Field, v protocol.Value) string {
	switch f {
	case protocol.MMRoot, protocol.Slot, protocol.VMAFile, protocol.VMAOf, protocol.RBRoot, protocol.Left, protocol.Right, protocol.Mapped:
		if v != 0 && v < uint64(len(x.w.objects)) {
			return x.w.objects[v].name
		}
	}
	return strconv.FormatUint(v, 10)
}

func (x *explorer) logFlush(s *state, t int) {
	e := s.mem.buffers[t].entries[0]
	row := Row{Thread: x.w.threads[t].name, Step: "its oldest store is seen by all"}
	if e.word >= 0 {
		w := x.w.words[e.word]
		row.Value = fmt.Sprintf("%s.%v = %s", x.w.objects[w.object].name, w.field, x.valueText(w.field, uint64(e.value)))
	}
	x.log(row)
}

func (x *explorer) logFreed(h int) {
	if x.log != nil {
		x.log(Row{Thread: "kernel", Step: "a grace period is over", Value: x.w.objects[h].name + " is freed"})
	}
}

// counterexample runs the moves again and notes them.
func (x *explorer) counterexample(r *Result, moves []move) (*Result, error) {
	r.Verdict = Counterexample
	r.Depth = max(r.Depth, len(moves))
	r.Violation, r.Rows = x.replay(moves)
	r.Schedule = x.schedule(moves)
	return r, nil
}

// replay runs moves from the start.
func (x *explorer) replay(moves []move) (*Violation, []Row) {
	var rows []Row
	x.bad = nil
	x.log = func(r Row) { rows = append(rows, r) }
	defer func() { x.log = nil }()
	var s state
	x.start(&s)
	for _, mv := range moves {
		if x.bad != nil {
			break
		}
		x.take(&s, mv)
	}
	if x.bad == nil {
		x.moves(&s, nil)
	}
	return x.bad, rows
}

// schedule is the line that --schedule takes: for each move the thread, with the way
// after a colon unless it is the first, "flush" for a store that leaves its buffer, and
// *N for repetition.
func (x *explorer) schedule(moves []move) string {
	var b strings.Builder
	for i := 0; i < len(moves); {
		n := 1
		for i+n < len(moves) && moves[i+n] == moves[i] {
			n++
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(x.w.threads[moves[i].thread].name)
		switch way := moves[i].way; {
		case way == flushWay:
			b.WriteString(":flush")
		case way > 0:
			fmt.Fprintf(&b, ":%d", way)
		}
		if n > 1 {
			fmt.Fprintf(&b, "*%d", n)
		}
		i += n
	}
	return b.String()
}

// parseSchedule is the inverse of schedule.
func (x *explorer) parseSchedule(text string) ([]move, error) {
	var moves []move
	for i, word := range strings.Fields(text) {
		rest, times, repeated := strings.Cut(word, "*")
		n := 1
		if repeated {
			var err error
			if n, err = strconv.Atoi(times); err != nil || n < 1 || n > 1000 {
				return nil, fmt.Errorf("schedule: move %d, %q: want a number up to 1000 after *", i+1, word)
			}
		}
		name, way, _ := strings.Cut(rest, ":")
		mv := move{thread: threadMax}
		for t := range x.w.threads {
			if x.w.threads[t].name == name {
				mv.thread = uint8(t)
			}
		}
		if mv.thread == threadMax {
			return nil, fmt.Errorf("schedule: move %d, %q: there is no thread %q", i+1, word, name)
		}
		switch {
		case way == "flush":
			mv.way = flushWay
		case way != "":
			v, err := strconv.ParseUint(way, 10, 8)
			if err != nil || v >= flushWay {
				return nil, fmt.Errorf("schedule: move %d, %q: want a number or flush after the colon", i+1, word)
			}
			mv.way = uint8(v)
		}
		for range n {
			moves = append(moves, mv)
		}
	}
	return moves, nil
}

// Replay runs one schedule of a case, as a counterexample prints it.
func Replay(c *Case, o Options, schedule string) (*Result, error) {
	r, err := protocol.FindResolver(o.Resolver)
	if err != nil {
		return nil, err
	}
	w, err := build(c, r, o.Off, o.Model)
	if err != nil {
		return nil, err
	}
	w.full = o.Full
	x := newExplorer(w)
	moves, err := x.parseSchedule(schedule)
	if err != nil {
		return nil, err
	}
	var s state
	x.start(&s)
	for i, mv := range moves {
		if x.bad != nil {
			return nil, fmt.Errorf("schedule: move %d comes after the violation", i+1)
		}
		if !x.possible(&s, mv) {
			return nil, fmt.Errorf("schedule: move %d, of %s, is not possible there", i+1, w.threads[mv.thread].name)
		}
		x.take(&s, mv)
	}
	result := &Result{Case: c, Options: o, Verdict: Holds, States: len(moves) + 1, Moves: len(moves), Depth: len(moves)}
	result.Violation, result.Rows = x.replay(moves)
	if x.err != nil {
		return nil, x.err
	}
	if result.Violation != nil {
		result.Verdict = Counterexample
	}
	result.Schedule = x.schedule(moves)
	return result, nil
}

func (x *explorer) possible(s *state, mv move) bool {
	for _, m := range x.everyMove(s, nil) {
		if m == mv {
			return true
		}
	}
	return false
}
