package symbols

import (
	"bytes"
	"cmp"
	"slices"
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
	order      uint32
}

// settle puts the symbols in order; of several at one address the one that came
// first is found.
func (t *table) settle() {
	slices.SortFunc(t.syms, func(a, b sym) int {
		if a.addr != b.addr {
			return cmp.Compare(a.addr, b.addr)
		}
		return cmp.Compare(a.order, b.order)
	})
}

// add appends a symbol whose name is in names.
func (t *table) add(addr, size uint64, name uint32) {
	t.syms = append(t.syms, sym{addr, size, name, uint32(len(t.syms))})
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
