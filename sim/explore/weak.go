package explore

import (
	"github.com/replay/replay/sim/protocol"
)

// The weak model is the promising semantics (Kang, Hur, Lahav, Vafeiadis and Dreyer, A
// promising semantics for relaxed-memory concurrency, POPL 2017) without promises, with
// dependencies of addresses as the Linux model has them:
//
//   - A word is a list of messages, oldest first. A view is a position in the list of
//     each word: what is before it is not seen any more.
//   - A load reads any message that is not before the thread's view of the word, nor
//     before that of the register with the address: what is read through a pointer is at
//     least what came before the store of that pointer, if the load of the pointer was
//     Once or stronger and the store a release or after a barrier.
//   - A store puts its message anywhere after the thread's view of the word.
//   - A message has a view, too. A release's is that of its thread; another's is what the
//     thread stored before its last smp_wmb. An acquire takes the view of the message it
//     reads; after an smp_rmb that goes for all loads before. smp_mb exchanges views with
//     one for all threads.
//   - Locks, and other atomic steps, read the latest message, and what they write follows
//     it directly. Taking a lock is an acquire, dropping it a release.
//
// Loads see stores in an order that hardware could have them in, but a store never takes
// effect before an earlier load of its thread: load buffering, for which promises are
// there, is not modelled.

const messageMax = 10

// view is a position for each word.
type view [wordMax]uint8

func (v *view) join(w *view, n int) {
	for i := range n {
		if w[i] > v[i] {
			v[i] = w[i]
		}
	}
}

// covers reports whether v is nowhere behind w.
func (v *view) covers(w *view, n int) bool {
	for i := range n {
		if w[i] > v[i] {
			return false
		}
	}
	return true
}

// message is a store as others may see it.
type message struct {
	value  uint32
	atomic bool // follows the one before it directly
	view   view
}

// views are those of a thread.
type views struct {
	cur view // what loads see at least
	acq view // what they see after smp_rmb
	rel view // what other threads see that acquire its stores: after smp_wmb
	own view // its stores, which smp_wmb puts into rel
}

// weakMemory is the memory of the weak model.
type weakMemory struct {
	words [wordMax][messageMax]message // valid up to count
	weakViews
}

// weakViews is what is small in it.
type weakViews struct {
	count   [wordMax]uint8
	threads [threadMax]views
	regs    [threadMax][addressRegs]view
	all     view            // of smp_mb
	passed  [4]view         // what a reader sees that enters after a grace period began
	waiting [objectMax]view // what one that waits for its grace period will bring
}

func (m *weakMemory) copyFrom(o *weakMemory) {
	m.weakViews = o.weakViews
	for w, n := range m.count {
		copy(m.words[w][:n], o.words[w][:n])
	}
}

// addressRegs is the number of registers that addresses come from.
const addressRegs = 12

// addressReg numbers those registers; the others have no view.
var addressReg = func() (of [protocol.NumRegs]int8) {
	n := int8(0)
	for r := range protocol.NumRegs {
		of[r] = -1
		switch k := protocol.RegKind(r); {
		case k != protocol.NoKind && k != protocol.Globals && k != protocol.Uprobes && r != protocol.RegMM:
			of[r] = n
			n++
		}
	}
	for _, r := range []protocol.Reg{protocol.RegTmp, protocol.R0, protocol.R1} {
		of[r] = n
		n++
	}
	if n > addressRegs {
		panic("explore: more registers with addresses than addressRegs")
	}
	return of
}()

type weakModel struct{}

func (x *explorer) startWeak(s *state) {
	m := new(weakMemory)
	for i, w := range x.w.words {
		m.count[i] = 1
		m.words[i][0].value = uint32(w.init)
	}
	s.mem.weak = m
}

// floor is the first message of a word that thread t may read through a register.
func (m *weakMemory) floor(t, word int, st *protocol.Step) int {
	floor := m.threads[t].cur[word]
	for _, r := range []protocol.Reg{st.At.Base, st.At.Index} {
		if a := addressReg[r]; a >= 0 {
			floor = max(floor, m.regs[t][a][word])
		}
	}
	return int(floor)
}

func (weakModel) ways(x *explorer, s *state, t int, st *protocol.Step, word int) int {
	m := s.mem.weak
	ways := 1
	switch {
	case word < 0 || st.Op < protocol.Load:
	case st.Atomic() || isUnlock(st):
		if st.Waits(uint64(m.words[word][m.count[word]-1].value)) {
			return 0
		}
	case st.Op == protocol.Store:
		ways = len(m.places(t, word))
		if m.count[word] == messageMax {
			x.fail("more than %d stores to one word are seen at one time", messageMax)
			return 0
		}
	case st.Op == protocol.Await:
		ways = 0
		for i := m.floor(t, word, st); i < int(m.count[word]); i++ {
			if !st.Waits(uint64(m.words[word][i].value)) {
				ways++
			}
		}
	default:
		ways = int(m.count[word]) - m.floor(t, word, st)
	}
	return ways
}

func isUnlock(st *protocol.Step) bool {
	return st.Op == protocol.UnlockRead || st.Op == protocol.UnlockWrite || st.Op == protocol.Downgrade
}

// places lists where in a word's messages a store of t may go.
func (m *weakMemory) places(t, word int) []uint8 {
	var at []uint8
	for p := m.threads[t].cur[word] + 1; p <= m.count[word]; p++ {
		if p == m.count[word] || !m.words[word][p].atomic {
			at = append(at, p)
		}
	}
	return at
}

func (weakModel) serve(x *explorer, s *state, t int, st *protocol.Step, word, at int, way int) (bool, protocol.Value) {
	m := s.mem.weak
	v := &m.threads[t]
	n := len(x.w.words)
	if st.Op == protocol.Fence || st.Op == protocol.Enter && st.Sect == protocol.SRCU {
		_, jump := execute(s, t, st, 0)
		if x.w.faults.NoFence {
			return jump, 0
		}
		m.fence(t, st.Order, n, st.Op == protocol.Enter)
		return jump, 0
	}
	if word < 0 || st.Op < protocol.Load {
		loaded := x.constant(s, t, st, word, at)
		_, jump := execute(s, t, st, loaded)
		m.setReg(t, st, nil, n)
		if st.Commits {
			x.commit(s)
			v.cur[x.w.ghost] = m.count[x.w.ghost] - 1
		}
		return jump, loaded
	}
	switch {
	case st.Atomic() || isUnlock(st):
		return m.atomic(x, s, t, st, word)
	case st.Op == protocol.Store:
		return m.store(x, s, t, st, word, m.places(t, word)[way])
	}
	p := m.floor(t, word, st) + way
	if st.Op == protocol.Await {
		for p = m.floor(t, word, st); ; p++ {
			if !st.Waits(uint64(m.words[word][p].value)) {
				if way == 0 {
					break
				}
				way--
			}
		}
	}
	msg := m.words[word][p]
	seen := msg.view
	seen[word] = max(seen[word], uint8(p))
	for _, r := range []protocol.Reg{st.At.Base, st.At.Index} {
		if a := addressReg[r]; a >= 0 {
			seen.join(&m.regs[t][a], n) // dependencies go on through pointers to pointers
		}
	}
	v.cur[word] = max(v.cur[word], uint8(p))
	v.acq.join(&seen, n)
	if st.Order == protocol.Acquire || st.Op == protocol.Await {
		v.cur.join(&seen, n)
	}
	v.acq.join(&v.cur, n)
	_, jump := execute(s, t, st, uint64(msg.value))
	if st.Order == protocol.Plain {
		m.setReg(t, st, nil, n) // a compiler may lose the dependency
	} else {
		m.setReg(t, st, &seen, n)
	}
	return jump, uint64(msg.value)
}

// setReg gives the register that a step writes its view: that of what was loaded, or of
// what it was made from.
func (m *weakMemory) setReg(t int, st *protocol.Step, seen *view, n int) {
	if st.Dst == protocol.NoReg || addressReg[st.Dst] < 0 {
		return
	}
	var v view
	if seen != nil {
		v = *seen
	} else if st.Op == protocol.Set {
		for _, r := range []protocol.Reg{st.A.Reg, st.B.Reg} {
			if a := addressReg[r]; a >= 0 {
				v.join(&m.regs[t][a], n)
			}
		}
	}
	m.regs[t][addressReg[st.Dst]] = v
}

func (m *weakMemory) fence(t int, order protocol.Order, n int, full bool) {
	v := &m.threads[t]
	switch {
	case order == protocol.Full || full:
		v.acq.join(&m.all, n)
		v.cur.join(&v.acq, n)
		m.all = v.cur
		v.rel.join(&v.cur, n)
	case order == protocol.Read:
		v.cur.join(&v.acq, n)
	case order == protocol.Write:
		v.rel.join(&v.own, n)
	}
}

// store puts a message at place p.
func (m *weakMemory) store(x *explorer, s *state, t int, st *protocol.Step, word int, p uint8) (bool, protocol.Value) {
	n := len(x.w.words)
	v := &m.threads[t]
	stored, jump := execute(s, t, st, 0)
	m.insert(word, int(p), message{value: uint32(stored)}, n)
	m.stored(t, word, p, n)
	if st.Commits {
		x.commit(s)
		v.cur[x.w.ghost] = m.count[x.w.ghost] - 1
	}
	msg := &m.words[word][p]
	if st.Order == protocol.Release {
		msg.view = v.cur
	} else {
		msg.view = v.rel
	}
	msg.view[word] = p
	return jump, stored
}

// stored tells t's views of its own store.
func (m *weakMemory) stored(t, word int, p uint8, n int) {
	v := &m.threads[t]
	v.cur[word], v.own[word] = p, p
	v.acq[word] = max(v.acq[word], p)
}

// atomic reads the latest message and puts the next one behind it.
func (m *weakMemory) atomic(x *explorer, s *state, t int, st *protocol.Step, word int) (bool, protocol.Value) {
	n := len(x.w.words)
	v := &m.threads[t]
	last := m.count[word] - 1
	old := m.words[word][last]
	seen := old.view
	seen[word] = last
	if st.Op == protocol.Add {
		m.fence(t, protocol.Full, n, true)
	}
	if st.Atomic() && !isUnlock(st) { // taking a lock, or Add
		v.cur.join(&seen, n)
		v.acq.join(&v.cur, n)
	}
	stored, jump := execute(s, t, st, uint64(old.value))
	m.setReg(t, st, nil, n)
	view := old.view // what the chain of atomic steps released before
	if isUnlock(st) || st.Op == protocol.Add {
		view.join(&v.cur, n)
	} else {
		view.join(&v.rel, n)
	}
	p := last + 1
	if x.w.words[word].field.IsLock() {
		// Nobody reads what a lock held before.
		p = 0
		m.words[word][0] = message{value: uint32(stored), view: view}
	} else {
		if m.count[word] == messageMax {
			x.fail("more than %d stores to one word are seen at one time", messageMax)
			return jump, 0
		}
		m.insert(word, int(p), message{value: uint32(stored), atomic: true, view: view}, n)
	}
	m.words[word][p].view[word] = p
	m.stored(t, word, p, n)
	if st.Op == protocol.Add {
		m.fence(t, protocol.Full, n, true)
	}
	return jump, uint64(old.value)
}

// insert makes room at p: views that were there or after it move on.
func (m *weakMemory) insert(word, p int, msg message, n int) {
	c := int(m.count[word])
	copy(m.words[word][p+1:c+1], m.words[word][p:c])
	m.words[word][p] = msg
	m.count[word]++
	if p == c {
		return
	}
	m.each(n, func(v *view) {
		if int(v[word]) >= p {
			v[word]++
		}
	})
}

// each calls f for every view.
func (m *weakMemory) each(n int, f func(*view)) {
	for w := range n {
		for i := range m.words[w][:m.count[w]] {
			f(&m.words[w][i].view)
		}
	}
	for t := range m.threads {
		v := &m.threads[t]
		f(&v.cur)
		f(&v.acq)
		f(&v.rel)
		f(&v.own)
		for r := range m.regs[t] {
			f(&m.regs[t][r])
		}
	}
	f(&m.all)
	for i := range m.passed {
		f(&m.passed[i])
	}
	for i := range m.waiting {
		f(&m.waiting[i])
	}
}

// tidy forgets what no thread can read or show any more, so that states that cannot be
// told apart are the same.
func (x *explorer) tidy(s *state) {
	m := s.mem.weak
	n := len(x.w.words)
	for t := range x.w.threads {
		ahead := &x.w.threads[t].ahead[s.threads[t].pc]
		v := &m.threads[t]
		fences := ahead.fences[protocol.Full]
		if !fences && !ahead.fences[protocol.Read] {
			v.acq = v.cur
		}
		if !ahead.writes {
			v.rel = view{}
		}
		if !ahead.fences[protocol.Write] {
			v.own = view{}
		}
		for r := range protocol.NumRegs {
			if a := addressReg[r]; a >= 0 && ahead.live&(1<<r) == 0 {
				m.regs[t][a] = view{}
			}
		}
	}
	var dropped, by [wordMax]uint8 // words that lose messages, and how many
	k := 0
	for w := range n {
		if m.count[w] == 1 {
			continue
		}
		drop := m.count[w] - 1
		for t := range x.w.threads {
			ahead := &x.w.threads[t].ahead[s.threads[t].pc]
			reads := ahead.loads&bit(x.w.words[w].field) != 0
			if w == x.w.ghost {
				reads = ahead.begin || s.threads[t].begin
			}
			writes := w != x.w.ghost && ahead.stores&bit(x.w.words[w].field) != 0
			if reads || writes {
				drop = min(drop, m.threads[t].cur[w])
			}
		}
		if drop > 0 {
			dropped[k], by[k] = uint8(w), drop
			k++
			copy(m.words[w][:], m.words[w][drop:m.count[w]])
			m.count[w] -= drop
			m.words[w][0].atomic = false
		}
	}
	if k == 0 {
		return
	}
	m.each(n, func(v *view) {
		for i, w := range dropped[:k] {
			v[w] -= min(v[w], by[i])
		}
	})
}

func (weakModel) local(x *explorer, s *state, t int, st *protocol.Step, word int) bool {
	return st.Op == protocol.Fence && st.Order != protocol.Full
}

func (weakModel) flushes(*state, int) int      { return 0 }
func (weakModel) flush(*explorer, *state, int) {}

func (weakModel) latest(s *state, word int) uint8 {
	m := s.mem.weak
	return uint8(m.words[word][m.count[word]-1].value)
}

// encode writes views only where a word has more than one message.
func (weakModel) encode(x *explorer, b []byte, s *state) []byte {
	x.tidy(s)
	m := s.mem.weak
	n := len(x.w.words)
	var open [wordMax]uint8
	k := 0
	for w := range n {
		b = append(b, m.count[w])
		if m.count[w] > 1 {
			open[k] = uint8(w)
			k++
		}
	}
	put := func(v *view) {
		for _, w := range open[:k] {
			b = append(b, v[w])
		}
	}
	for w := range n {
		for i := range m.words[w][:m.count[w]] {
			msg := &m.words[w][i]
			b = append(b, uint8(msg.value))
			if w == x.w.ghost {
				b = append(b, uint8(msg.value>>8), uint8(msg.value>>16), uint8(msg.value>>24))
			}
			if msg.atomic {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
			put(&msg.view)
		}
	}
	m.eachView(x, s, put)
	return b
}

// eachView calls do with the views of s that are not of messages, always in one order, but
// for those that nothing will look at any more.
func (m *weakMemory) eachView(x *explorer, s *state, do func(*view)) {
	for t := range x.w.threads {
		v := &m.threads[t]
		do(&v.cur)
		do(&v.acq)
		do(&v.rel)
		do(&v.own)
		live := x.w.threads[t].ahead[s.threads[t].pc].live
		for r := range protocol.NumRegs {
			if a := addressReg[r]; a >= 0 && live&(1<<r) != 0 {
				do(&m.regs[t][a])
			}
		}
	}
	do(&m.all)
	for i := range m.passed {
		do(&m.passed[i])
	}
	for h := firstHandle; h < len(x.w.objects); h++ {
		if s.lives[h] == waiting {
			do(&m.waiting[h])
		}
	}
}

func (weakModel) decode(x *explorer, b []byte, s *state) {
	m := s.mem.weak
	n := len(x.w.words)
	var open [wordMax]uint8
	k := 0
	copy(m.count[:n], b)
	b = b[n:]
	for w := range n {
		if m.count[w] > 1 {
			open[k] = uint8(w)
			k++
		}
	}
	get := func(v *view) {
		for i, w := range open[:k] {
			v[w] = b[i]
		}
		b = b[k:]
	}
	for w := range n {
		for i := range m.words[w][:m.count[w]] {
			msg := &m.words[w][i]
			*msg = message{value: uint32(b[0])}
			b = b[1:]
			if w == x.w.ghost {
				msg.value |= uint32(b[0])<<8 | uint32(b[1])<<16 | uint32(b[2])<<24
				b = b[3:]
			}
			msg.atomic = b[0] != 0
			b = b[1:]
			get(&msg.view)
		}
	}
	m.eachView(x, s, get)
	s.mem.answers = m.words[x.w.ghost][m.count[x.w.ghost]-1].value
}
