package symbols

import (
	"bytes"
	"sort"
)

// table is symbols in order of address. Names are cut out of one string when they
// are asked for.
type table struct {
	syms  []sym
	names []byte
}

type sym struct {
	addr, size uint64 // size 0: up to the next
	name       uint32 // offset in names, up to a NUL
}

// settle puts the symbols in order; of several at one address the one that came
// first is found. It sorts by one byte of the address after the other, the lowest
// first: in most bytes they are all the same.
func (t *table) settle() {
	differ := uint64(0)
	for i := range t.syms {
		differ |= t.syms[i].addr ^ t.syms[0].addr
	}
	from, to := t.syms, make([]sym, len(t.syms))
	for shift := 0; shift < 64; shift += 8 {
		if byte(differ>>shift) == 0 {
			continue
		}
		var next [256]int // by the byte, where the next symbol goes
		for i := range from {
			next[byte(from[i].addr>>shift)]++
		}
		at := 0
		for b, n := range next {
			next[b] = at
			at += n
		}
		for i := range from {
			b := byte(from[i].addr >> shift)
			to[next[b]] = from[i]
			next[b]++
		}
		from, to = to, from
	}
	t.syms = from
}

// add appends a symbol whose name is in names.
func (t *table) add(addr, size uint64, name uint32) {
	t.syms = append(t.syms, sym{addr, size, name})
}

// addNamed appends a symbol and its name.
func (t *table) addNamed(addr, size uint64, name []byte) {
	t.add(addr, size, uint32(len(t.names)))
	t.names = append(append(t.names, name...), 0)
}

// find returns the name of the symbol that addr is in, and where in it.
func (t *table) find(addr uint64) (name string, offset uint64, ok bool) {
	i := sort.Search(len(t.syms), func(i int) bool { return t.syms[i].addr > addr })
	if i == 0 {
		return "", 0, false
	}
	at := t.syms[i-1].addr
	for i > 1 && t.syms[i-2].addr == at {
		i--
	}
	s := &t.syms[i-1]
	if s.size > 0 && addr >= s.addr+s.size {
		return "", 0, false
	}
	return t.name(s), addr - s.addr, true
}

func (t *table) name(s *sym) string {
	name, _, _ := bytes.Cut(t.names[min(int(s.name), len(t.names)):], []byte{0})
	return string(name)
}
