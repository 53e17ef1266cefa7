package symbols

import (
	"bytes"
	"io"
	"math/bits"
	"sort"
)

// table is symbols by address. Names are cut out of one string when they are asked for.
type table struct {
	syms  []sym // in order of address, or where there are buckets as they came
	names []byte
	file  io.ReaderAt // has the names where names is nil: of many megabytes few are asked for

	// Symbols mostly lie so close together that it is enough to know which are in the same
	// piece of memory: of a large program few are asked for.
	buckets []uint32 // where in order those of each piece begin, and where the last end
	order   []uint32 // places in syms, piece by piece, each as they came
	least   uint64   // address
	shift   int      // of an address above least, to get its bucket
}

type sym struct {
	addr, size uint64 // size 0: up to the next
	name       uint32 // offset in names, up to a NUL
}

// bucketMax is how many symbols may share a bucket. A kernel has over a thousand trampolines
// of 8 bytes side by side.
const bucketMax = 4096

// settle ends adding symbols.
func (t *table) settle() {
	if !t.divide() {
		t.sort()
	}
}

// divide puts the symbols into buckets, as many as there are symbols, and reports whether
// none has too many.
func (t *table) divide() bool {
	if len(t.syms) == 0 {
		return false
	}
	least, most := t.syms[0].addr, t.syms[0].addr
	for i := range t.syms {
		least, most = min(least, t.syms[i].addr), max(most, t.syms[i].addr)
	}
	t.least, t.shift = least, max(0, bits.Len64(most-least)-bits.Len(uint(len(t.syms))))
	t.buckets = make([]uint32, (most-least)>>t.shift+3)
	// Two places on is where those of a bucket are counted; one place on, where its next
	// goes, which is in the end where the next bucket begins.
	counts := t.buckets[2:]
	for i := range t.syms {
		counts[(t.syms[i].addr-least)>>t.shift]++
	}
	for i, n := range counts {
		if n > bucketMax {
			t.buckets = nil
			return false
		}
		counts[i] += t.buckets[i+1]
	}
	t.order = make([]uint32, len(t.syms))
	for i := range t.syms {
		next := &t.buckets[(t.syms[i].addr-least)>>t.shift+1]
		t.order[*next] = uint32(i)
		*next++
	}
	return true
}

// sort puts the symbols in order. It sorts by one byte of the address after the other, the
// lowest first: in most bytes they are all the same.
func (t *table) sort() {
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

// find returns the name of the symbol that addr is in, and where in it. Of several at one
// address it is the one that came first.
func (t *table) find(addr uint64) (name string, offset uint64, ok bool) {
	s := t.before(addr)
	if s == nil || s.size > 0 && addr >= s.addr+s.size {
		return "", 0, false
	}
	return t.name(s), addr - s.addr, true
}

// before is the symbol with the highest address that is not beyond addr, nil where there is
// none.
func (t *table) before(addr uint64) (found *sym) {
	if t.buckets == nil {
		i := sort.Search(len(t.syms), func(i int) bool { return t.syms[i].addr > addr })
		if i == 0 {
			return nil
		}
		i--
		for i > 0 && t.syms[i-1].addr == t.syms[i].addr {
			i--
		}
		return &t.syms[i]
	}
	if addr < t.least {
		return nil
	}
	for b := min((addr-t.least)>>t.shift, uint64(len(t.buckets)-3)); found == nil; b-- {
		for _, i := range t.order[t.buckets[b]:t.buckets[b+1]] {
			if s := &t.syms[i]; s.addr <= addr && (found == nil || s.addr > found.addr) {
				found = s
			}
		}
	}
	return found
}

// address is that of the first symbol of the name.
func (t *table) address(name string) (uint64, bool) {
	for i := range t.syms {
		if t.name(&t.syms[i]) == name {
			return t.syms[i].addr, true
		}
	}
	return 0, false
}

func (t *table) name(s *sym) string {
	if t.file != nil {
		return readName(t.file, int64(s.name))
	}
	name, _, _ := bytes.Cut(t.names[min(int(s.name), len(t.names)):], []byte{0})
	return string(name)
}

// readName reads up to a NUL, or to the end.
func readName(r io.ReaderAt, offset int64) string {
	const most = 1 << 20
	for size := 256; ; size *= 4 {
		b := make([]byte, size)
		n, _ := r.ReadAt(b, offset)
		name, _, whole := bytes.Cut(b[:n], []byte{0})
		if whole || n < size || size >= most {
			return string(name)
		}
	}
}
