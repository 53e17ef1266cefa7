package explore

import (
	"fmt"

	"github.com/replay/replay/sim/protocol"
)

// Model is a memory model.
type Model uint8

// The memory models.
const (
	SC   Model = iota // sequential consistency: every store is seen at once
	TSO               // x86: stores wait in a buffer of the CPU, in their order
	Weak              // Arm, Power: loads and stores are reordered unless ordered
)

var modelNames = []string{"sc", "tso", "weak"}

func (m Model) String() string { return modelNames[m] }

// Models lists them, strongest first.
func Models() []Model { return []Model{SC, TSO, Weak} }

// ParseModel returns the model of that name.
func ParseModel(name string) (Model, error) {
	for i, n := range modelNames {
		if n == name {
			return Model(i), nil
		}
	}
	return 0, fmt.Errorf("unknown memory model %q: want sc, tso or weak", name)
}

// model is how memory answers. A step of a thread is served in one of several ways.
type model interface {
	// ways is in how many ways a step can be served now; 0 means not now. word is the
	// one it touches, or one of constWord, blindWord.
	ways(x *explorer, s *state, t int, st *protocol.Step, word int) int
	// serve does the step in one of the ways: registers, memory, and whether it jumps.
	serve(x *explorer, s *state, t int, st *protocol.Step, word, at int, way int) (jump bool, loaded protocol.Value)
	// local reports whether no other thread can tell when the step is done.
	local(x *explorer, s *state, t int, st *protocol.Step, word int) bool
	// flushes is the number of stores of t that may become visible next.
	flushes(s *state, t int) int
	flush(x *explorer, s *state, t int)
	latest(s *state, word int) uint8
	encode(x *explorer, b []byte, s *state) []byte
	decode(x *explorer, b []byte, s *state)
}

// execute does a step on what it loaded, and keeps registers within a byte.
func execute(s *state, t int, st *protocol.Step, loaded protocol.Value) (stored protocol.Value, jump bool) {
	regs := &s.threads[t].regs
	stored, jump = st.Exec(regs, loaded)
	regs[st.Dst] &= 0xff
	regs[protocol.NoReg] = 0
	return stored & 0xff, jump
}

// scModel is sequential consistency.
type scModel struct{}

func (scModel) ways(x *explorer, s *state, t int, st *protocol.Step, word int) int {
	if word >= 0 && st.Op >= protocol.Load && st.Waits(uint64(s.mem.values[word])) {
		return 0
	}
	return 1
}

func (scModel) serve(x *explorer, s *state, t int, st *protocol.Step, word, at int, way int) (bool, protocol.Value) {
	loaded := x.constant(s, t, st, word, at)
	if word >= 0 {
		loaded = uint64(s.mem.values[word])
	}
	stored, jump := execute(s, t, st, loaded)
	if st.Stores() {
		if word >= 0 {
			s.mem.values[word] = uint8(stored)
		}
		if st.Commits {
			x.commit(s)
		}
	}
	return jump, loaded
}

func (scModel) local(x *explorer, s *state, t int, st *protocol.Step, word int) bool {
	return st.Op == protocol.Fence
}

func (scModel) flushes(*state, int) int         { return 0 }
func (scModel) flush(*explorer, *state, int)    {}
func (scModel) latest(s *state, word int) uint8 { return s.mem.values[word] }
func (scModel) encode(x *explorer, b []byte, s *state) []byte {
	b = append(b, s.mem.values[:len(x.w.words)]...)
	return x.encodeAnswers(b, s)
}

func (scModel) decode(x *explorer, b []byte, s *state) {
	n := copy(s.mem.values[:len(x.w.words)], b)
	x.decodeAnswers(b[n:], s)
}

func (x *explorer) encodeAnswers(b []byte, s *state) []byte {
	for i := range x.w.threads {
		b = append(b, uint8(s.mem.answers>>(8*i)))
	}
	return b
}

func (x *explorer) decodeAnswers(b []byte, s *state) {
	for i := range x.w.threads {
		s.mem.answers |= uint32(b[i]) << (8 * i)
	}
}

// entry is a store in a buffer.
type entry struct {
	word    int8 // -1: only the commit counts
	value   uint8
	commits bool
}

// buffer is a CPU's store buffer. One that is full lets no store in: bufferMax bounds
// how far stores are delayed.
type buffer struct {
	n       uint8
	entries [bufferMax]entry
}

const bufferMax = 16

// tsoModel is that of x86 (Owens, Sarkar and Sewell, A better x86 memory model, 2009):
// a buffer for each CPU, from which the CPU reads its own stores; locks and fences wait
// until it is empty.
type tsoModel struct{}

// drains reports whether a step waits for an empty buffer.
func drains(st *protocol.Step) bool {
	return st.Atomic() || st.Op == protocol.Fence && st.Order == protocol.Full || st.Op == protocol.Free ||
		st.Op == protocol.UnlockRead || st.Op == protocol.UnlockWrite || st.Op == protocol.Downgrade ||
		st.Op == protocol.Enter && st.Sect == protocol.SRCU
}

func (tsoModel) ways(x *explorer, s *state, t int, st *protocol.Step, word int) int {
	b := &s.mem.buffers[t]
	switch {
	case drains(st) && b.n > 0 && !x.w.faults.NoFence:
		return 0
	case st.Op == protocol.Store && b.n == bufferMax:
		return 0
	case word >= 0 && st.Op >= protocol.Load && st.Waits(uint64(s.mem.values[word])):
		return 0
	}
	return 1
}

func (m tsoModel) serve(x *explorer, s *state, t int, st *protocol.Step, word, at int, way int) (bool, protocol.Value) {
	loaded := x.constant(s, t, st, word, at)
	b := &s.mem.buffers[t]
	if word >= 0 {
		loaded = uint64(s.mem.values[word])
		for _, e := range b.entries[:b.n] {
			if int(e.word) == word {
				loaded = uint64(e.value)
			}
		}
	}
	stored, jump := execute(s, t, st, loaded)
	switch {
	case !st.Stores():
	case st.Op == protocol.Store:
		if word >= 0 || st.Commits {
			b.entries[b.n] = entry{int8(max(word, -1)), uint8(stored), st.Commits}
			b.n++
		}
	case word >= 0:
		s.mem.values[word] = uint8(stored)
	}
	return jump, loaded
}

// local: a store only enters the buffer.
func (tsoModel) local(x *explorer, s *state, t int, st *protocol.Step, word int) bool {
	return st.Op == protocol.Fence && st.Order != protocol.Full
}

func (tsoModel) flushes(s *state, t int) int { return int(min(s.mem.buffers[t].n, 1)) }

func (tsoModel) flush(x *explorer, s *state, t int) {
	b := &s.mem.buffers[t]
	e := b.entries[0]
	copy(b.entries[:], b.entries[1:b.n])
	b.n--
	b.entries[b.n] = entry{}
	if e.word >= 0 {
		s.mem.values[e.word] = e.value
	}
	if e.commits {
		x.commit(s)
	}
}

func (tsoModel) latest(s *state, word int) uint8 { return s.mem.values[word] }

func (tsoModel) encode(x *explorer, b []byte, s *state) []byte {
	b = scModel{}.encode(x, b, s)
	for i := range x.w.threads {
		buf := &s.mem.buffers[i]
		b = append(b, buf.n)
		for _, e := range buf.entries[:buf.n] {
			c := uint8(0)
			if e.commits {
				c = 1
			}
			b = append(b, uint8(e.word), e.value, c)
		}
	}
	return b
}

func (tsoModel) decode(x *explorer, b []byte, s *state) {
	n := copy(s.mem.values[:len(x.w.words)], b)
	b = b[n:]
	x.decodeAnswers(b, s)
	b = b[len(x.w.threads):]
	for i := range x.w.threads {
		buf := &s.mem.buffers[i]
		buf.n = b[0]
		b = b[1:]
		for k := range int(buf.n) {
			buf.entries[k] = entry{int8(b[0]), b[1], b[2] != 0}
			b = b[3:]
		}
	}
}
