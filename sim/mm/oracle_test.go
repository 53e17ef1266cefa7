package mm

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// page is what the oracle knows of a page: what it shows, not in which mapping.
type page struct {
	file  FileID
	pgoff uint64
	prot  Prot
	flags Flags
}

// oracle is an address space as a table of pages.
type oracle struct {
	pages map[uint64]page
	shmem uint64
}

func (o *oracle) mapped(start, end uint64) uint64 {
	var n uint64
	for at := start; at < end; at += PageSize {
		if _, ok := o.pages[at]; ok {
			n++
		}
	}
	return n
}

func (o *oracle) unmap(start, end uint64) uint64 {
	n := o.mapped(start, end)
	for at := start; at < end; at += PageSize {
		delete(o.pages, at)
	}
	return n
}

func (o *oracle) set(v VMA) {
	switch {
	case v.File == NoFile && v.Flags&Shared != 0:
		v.Pgoff = o.shmem
		o.shmem += v.Len() + PageSize
	case v.File == NoFile:
		v.Pgoff = v.Start
	}
	if v.Flags &^= Accounted; v.Flags&(Shared|NoReserve) == 0 && v.Prot&Write != 0 {
		v.Flags |= Accounted
	}
	for at := v.Start; at < v.End; at += PageSize {
		o.pages[at] = page{v.File, v.Pgoff + at - v.Start, v.Prot, v.Flags}
	}
}

func (o *oracle) edit(start, end uint64, f func(*page)) {
	for at := start; at < end; at += PageSize {
		if p, ok := o.pages[at]; ok {
			f(&p)
			o.pages[at] = p
		}
	}
}

// runs joins pages that follow from each other: what the mappings must be.
func (o *oracle) runs(limit uint64) []VMA {
	var vmas []VMA
	for at := uint64(0); at < limit; at += PageSize {
		p, ok := o.pages[at]
		if !ok {
			continue
		}
		v := VMA{Start: at, End: at + PageSize, Pgoff: p.pgoff, Prot: p.prot, Flags: p.flags, File: p.file}
		if n := len(vmas); n > 0 && mergeable(&vmas[n-1], &v) {
			vmas[n-1].End = v.End
			continue
		}
		vmas = append(vmas, v)
	}
	return vmas
}

const universe = 48 * PageSize

func drawRange(t *rapid.T) (addr, length uint64) {
	addr = rapid.Uint64Range(0, universe/PageSize-1).Draw(t, "page") * PageSize
	length = rapid.Uint64Range(1, min(16*PageSize, universe-addr)).Draw(t, "length")
	return addr, length
}

// drawVMA draws few distinct mappings, so that neighbours often agree.
func drawVMA(t *rapid.T) VMA {
	addr, length := drawRange(t)
	v := VMA{Start: addr, End: pageUp(addr + length), Prot: rapid.SampledFrom([]Prot{0, Read, Read | Write}).Draw(t, "prot")}
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		v.Flags = Shared
	case 1:
		v.File, v.Pgoff = 1, addr
	case 2:
		v.File, v.Pgoff = FileID(rapid.IntRange(1, 2).Draw(t, "file")), rapid.Uint64Range(0, 8).Draw(t, "pgoff")*PageSize
	}
	return v
}

// model runs an address space and its oracle side by side.
type model struct {
	space  *AddressSpace
	oracle *oracle
	marks  map[string]int
	before []VMA

	told  []VMA // what the mappings are by what a watcher was told
	found []*found
}

// found is a structure as somebody found it, and whether it is still there by what a
// watcher was told.
type found struct {
	VMA
	version uint64
	gone    bool
}

func newModel(marks map[string]int) *model {
	m := &model{oracle: &oracle{pages: make(map[uint64]page)}, marks: marks}
	m.watch(new(AddressSpace))
	return m
}

// watch goes over to an address space of which nothing was found yet.
func (m *model) watch(s *AddressSpace) {
	m.space, m.told, m.found = s, slices.Clone(s.VMAs()), nil
	s.Watch(func(version uint64, removed, added []VMA) {
		for _, v := range removed {
			i := slices.Index(m.told, v)
			if i < 0 {
				panic(fmt.Sprintf("told that %+v goes, of %+v", v, m.told))
			}
			m.told = slices.Delete(m.told, i, i+1)
			for _, f := range m.found {
				if f.ID == v.ID && find(added, v.ID) == nil && version > f.version {
					f.gone = true
				}
			}
		}
		m.told = append(m.told, added...)
		slices.SortFunc(m.told, func(a, b VMA) int { return int(a.Start) - int(b.Start) })
	})
}

// follow compares structures that were found with what they are by now.
func (m *model) follow(t *rapid.T) {
	if !slices.Equal(m.told, m.space.VMAs()) {
		t.Fatalf("a watcher was told of %+v, there are %+v", m.told, m.space.VMAs())
	}
	for _, f := range m.found {
		want := f.VMA
		if !f.gone {
			want = *find(m.space.vmas, f.ID)
		}
		if got, live := m.space.Now(f.VMA, f.version); got != want || live == f.gone {
			t.Fatalf("%+v, found at version %d of %d, is %+v, %v; want %+v, %v", f.VMA, f.version, m.space.Version(), got, live, want, !f.gone)
		}
		m.mark("a structure that was found is gone", f.gone)
		m.mark("its ID is used again", f.gone && find(m.space.vmas, f.ID) != nil)
		m.mark("a structure that was found begins elsewhere", !f.gone && want.Start != f.Start)
	}
	if v, ok := m.space.Find(rapid.Uint64Range(0, universe-1).Draw(t, "found")); ok {
		m.found = append(m.found, &found{VMA: v, version: m.space.Version()})
	}
}

func (m *model) mark(name string, reached bool) {
	if reached {
		m.marks[name]++
	}
}

// did checks an operation's effect against the number of mappings and pages.
func (m *model) did(t *rapid.T, e Effect, err error, unmapped uint64) {
	if err != nil {
		t.Fatal(err)
	}
	if e.Added-e.Removed != m.space.Len()-len(m.before) {
		t.Fatalf("effect %+v, but %d mappings became %d", e, len(m.before), m.space.Len())
	}
	if e.Unmapped != unmapped {
		t.Fatalf("effect %+v, but %d pages were unmapped", e, unmapped)
	}
	if e.Changed != len(e.Written) {
		t.Fatalf("effect %+v: not every changed mapping was written", e)
	}
}

// do tries an operation before it does it: nothing may have changed by then, and what the
// trial told is what the operation writes to or removes.
func (m *model) do(t *rapid.T, op func(*AddressSpace) (Effect, error)) (Effect, error) {
	before := *m.space
	vmas, freeIDs := slices.Clone(before.vmas), slices.Clone(before.freeIDs)
	ids := m.space.Try(func(s *AddressSpace) { op(s) })
	after := *m.space
	if !slices.Equal(after.vmas, vmas) || !slices.Equal(after.freeIDs, freeIDs) || after.trial != nil ||
		[5]uint64{uint64(before.gaps), before.brk, before.shmem, uint64(before.lastID), before.version} != [5]uint64{uint64(after.gaps), after.brk, after.shmem, uint64(after.lastID), after.version} {
		t.Fatalf("tried, %+v became %+v", before, after)
	}
	e, err := op(m.space)
	if now := m.space.Version(); now < before.version || now == before.version && !slices.Equal(m.space.vmas, vmas) {
		t.Fatalf("an operation leaves the version at %d, which was %d", now, before.version)
	}
	for _, v := range vmas {
		if now := find(m.space.vmas, v.ID); (now == nil || *now != v) && !slices.Contains(ids, v.ID) {
			t.Fatalf("a trial told of changes to %v, but not to %+v", ids, v)
		}
	}
	for i, id := range ids {
		if find(vmas, id) == nil || i > 0 && id <= ids[i-1] {
			t.Fatalf("a trial told of changes to %v; there were %+v", ids, vmas)
		}
	}
	if len(ids) > e.Removed+e.Changed {
		t.Fatalf("a trial told of changes to %v, but %+v", ids, e)
	}
	m.mark("a structure is used again at once", len(ids) > 0 && e.Added > 0 && e.Removed > 0)
	return e, err
}

func (m *model) mmap(t *rapid.T) {
	m.mapOne(t, drawVMA(t))
}

func (m *model) mapOne(t *rapid.T, v VMA) {
	replaced := m.oracle.unmap(v.Start, v.End)
	m.oracle.set(v)
	e, err := m.do(t, func(s *AddressSpace) (Effect, error) { return s.Map(v) })
	m.did(t, e, err, replaced)
	m.mark("replace", replaced > 0)
	m.mark("replace a part", replaced > 0 && e.Added > 1)
	m.mark("merge both sides", replaced == 0 && e.Removed == 1)
	m.mark("merge one side", replaced == 0 && e.Removed == 0 && e.Added == 0)
}

// mmapAbove maps what follows from a mapping, up to the next one: random ranges
// hardly ever fit a gap.
func (m *model) mmapAbove(t *rapid.T) {
	if len(m.before) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.before)-1).Draw(t, "below")
	v, limit := m.before[i], uint64(universe)
	if i+1 < len(m.before) {
		limit = m.before[i+1].Start
	}
	if limit > v.End {
		m.mapOne(t, v.from(v.End).until(limit))
	}
}

func (m *model) munmap(t *rapid.T) {
	addr, length := drawRange(t)
	unmapped := m.oracle.unmap(addr, pageUp(addr+length))
	e, err := m.do(t, func(s *AddressSpace) (Effect, error) { return s.Unmap(addr, length) })
	m.did(t, e, err, unmapped)
	m.mark("unmap nothing", unmapped == 0)
	m.mark("unmap several", e.Removed > 1)
	m.mark("punch a hole", e.Removed == 1 && e.Added == 2)
	m.mark("trim", e.Removed == 1 && e.Added == 1)
}

func (m *model) mprotect(t *rapid.T) {
	addr, length := drawRange(t)
	prot := rapid.SampledFrom([]Prot{0, Read, Read | Write}).Draw(t, "prot")
	m.oracle.edit(addr, pageUp(addr+length), func(p *page) {
		writable := p.prot&Write != 0
		if p.prot = prot; p.flags&(Shared|NoReserve) != 0 {
			return
		}
		if prot&Write != 0 && !writable {
			p.flags |= Accounted
		} else if prot&Write == 0 && p.file == NoFile {
			p.flags &^= Accounted
		}
	})
	e, err := m.do(t, func(s *AddressSpace) (Effect, error) { return s.Protect(addr, length, prot) })
	m.did(t, e, err, 0)
	m.mark("protect splits", e.Added > 0)
	m.mark("protect merges", e.Removed > 0)
	m.mark("protect shifts a border", e.Added == 0 && e.Removed == 0 && e.Changed == 2)
}

func (m *model) madvise(t *rapid.T) {
	addr, length := drawRange(t)
	advice := rapid.SampledFrom([]int32{adviseDontFork, adviseDoFork, adviseRandom, adviseNormal, 4}).Draw(t, "advice")
	remove, add, _ := advised(advice)
	m.oracle.edit(addr, pageUp(addr+length), func(p *page) { p.flags = p.flags&^remove | add })
	e, err := m.do(t, func(s *AddressSpace) (Effect, error) { return s.Advise(addr, length, advice) })
	m.did(t, e, err, 0)
	m.mark("advice splits", e.Added > 0)
	m.mark("advice merges", e.Removed > 0)
}

func (m *model) mremap(t *rapid.T) {
	old, oldLen := drawRange(t)
	now, newLen := drawRange(t)
	flags := rapid.SampledFrom([]int32{0, 0, DontUnmap}).Draw(t, "flags")
	if rapid.Bool().Draw(t, "in place") {
		now = old
		newLen = min(newLen, universe-now)
	}
	oldEnd, newEnd := pageUp(old+oldLen), pageUp(now+newLen)
	if old != now && old < newEnd && now < oldEnd {
		if _, err := m.space.Remap(old, oldLen, now, newLen, flags); err == nil {
			t.Fatal("moved a range onto itself")
		}
		return
	}
	var unmapped uint64
	if old == now {
		unmapped = m.oracle.resize(oldEnd, newEnd)
	} else {
		unmapped = m.oracle.move(old, oldEnd, now, newEnd, flags&DontUnmap != 0)
	}
	e, err := m.do(t, func(s *AddressSpace) (Effect, error) { return s.Remap(old, oldLen, now, newLen, flags) })
	m.did(t, e, err, unmapped)
	m.mark("grow in place", old == now && newEnd > oldEnd && e.Changed > 0)
	m.mark("shrink", old == now && e.Unmapped > 0 && newEnd < oldEnd)
	m.mark("move", e.Moved > 0)
	m.mark("move and grow", old != now && e.Moved > (oldEnd-old)/PageSize)
	m.mark("move and leave", e.Moved > 0 && flags == DontUnmap)
	m.mark("move over something", e.Moved > 0 && e.Unmapped > 0)
}

// resize continues the mapping of the last old page, which may go on beyond it.
func (o *oracle) resize(oldEnd, newEnd uint64) (unmapped uint64) {
	if newEnd <= oldEnd {
		return o.unmap(newEnd, oldEnd)
	}
	p, ok := o.pages[oldEnd-PageSize]
	at := oldEnd
	for ; ok && at < newEnd; at += PageSize {
		next := p
		next.pgoff += PageSize
		if now, mapped := o.pages[at]; !mapped || now != next {
			break
		}
		p = next
	}
	for ; ok && at < newEnd; at += PageSize {
		p.pgoff += PageSize
		unmapped += o.unmap(at, at+PageSize)
		o.pages[at] = p
	}
	return unmapped
}

func (o *oracle) move(old, oldEnd, now, newEnd uint64, leave bool) (unmapped uint64) {
	pages := make(map[uint64]page)
	size := min(oldEnd-old, newEnd-now)
	for at := uint64(0); at < size; at += PageSize {
		if p, ok := o.pages[old+at]; ok {
			pages[now+at] = p
		}
	}
	if p, ok := pages[now+size-PageSize]; ok && size == oldEnd-old {
		for at := now + size; at < newEnd; at += PageSize {
			p.pgoff += PageSize
			pages[at] = p
		}
	}
	unmapped = o.unmap(now, newEnd)
	for at, p := range pages {
		o.pages[at] = p
	}
	if !leave {
		o.unmap(old, oldEnd)
	}
	return unmapped
}

// fork goes on with the child, which had mappings of its own before where it inherits: what
// was found of those is gone, though they may have the IDs of others now.
func (m *model) fork(t *rapid.T) {
	child := m.space.Clone()
	m.mark("fork leaves out", child.Len() < m.space.Len())
	for at, p := range m.oracle.pages {
		if p.flags&DontFork != 0 {
			delete(m.oracle.pages, at)
		}
	}
	if rapid.Bool().Draw(t, "inherits") {
		parent := m.space
		own := new(AddressSpace)
		own.Map(anon(0x1000, 0x2000))
		own.Map(rx(0x3000, 0x5000, 0))
		m.watch(own)
		m.follow(t)
		m.space.Inherit(parent)
		for _, f := range m.found {
			f.gone = true
		}
		if !slices.Equal(m.space.VMAs(), child.VMAs()) || m.space.brk != child.brk || m.space.shmem != child.shmem || m.space.gaps != child.gaps {
			t.Fatalf("inherited %+v, a clone has %+v", m.space, child)
		}
		return
	}
	m.watch(child)
}

// exec removes everything.
func (m *model) exec(t *rapid.T) {
	want := Effect{Removed: m.space.Len(), Unmapped: uint64(len(m.oracle.pages))}
	e, err := m.do(t, func(s *AddressSpace) (Effect, error) { return s.Reset(), nil })
	if !reflect.DeepEqual(e, want) || err != nil {
		t.Fatalf("exec: %+v, want %+v", e, want)
	}
	*m.oracle = oracle{pages: make(map[uint64]page)}
}

func (m *model) infer(t *rapid.T) {
	addr, offset := rapid.Uint64Range(0, universe-1).Draw(t, "addr"), rapid.Uint64Range(0, 40).Draw(t, "offset")*PageSize
	offset += addr % PageSize
	_, mapped := m.oracle.pages[addr&^(PageSize-1)]
	v, ok := m.space.Infer(addr, 1, offset)
	if ok == mapped {
		t.Fatalf("inferred %+v, %v at %#x", v, ok, addr)
	}
	if !ok {
		return
	}
	if v.Offset(addr) != offset || v.File != 1 {
		t.Fatalf("inferred %+v at %#x, want offset %#x", v, addr, offset)
	}
	for at := v.Start; at < v.End; at += PageSize {
		if p, mapped := m.oracle.pages[at]; mapped && p.flags&Inferred == 0 {
			t.Fatalf("inferred %+v over %+v", v, p)
		}
	}
	m.mark("infer extends", v.Pages() > 1)
	m.oracle.set(v)
}

// check compares the two, and the address space with itself.
func (m *model) check(t *rapid.T) {
	got := m.space.VMAs()
	want := m.oracle.runs(universe)
	if !slices.EqualFunc(want, got, func(a, b VMA) bool { return a == b.unnamed() }) {
		t.Fatalf("mappings (-oracle +got):\n%s", cmp.Diff(want, got, cmpopts.IgnoreFields(VMA{}, "ID")))
	}
	ids := make(map[uint32]bool)
	for _, v := range got {
		if v.ID == 0 || ids[v.ID] {
			t.Fatalf("ID %d is 0 or there twice", v.ID)
		}
		ids[v.ID] = true
	}
	if n := m.space.gapsAround(0, len(got)); n != m.space.gaps {
		t.Fatalf("%d gaps, counted as %d", n, m.space.gaps)
	}
	for at := uint64(0); at < universe; at += PageSize {
		v, ok := m.space.Find(at + 123)
		p, mapped := m.oracle.pages[at]
		if ok != mapped || ok && (v.Offset(at) != p.pgoff || v.File != p.file || !v.Contains(at)) {
			t.Fatalf("found %+v, %v at %#x, want %+v", v, ok, at, p)
		}
		if depth, leaf := m.space.Path(at); depth < 1 || leaf < 0 || leaf >= m.space.Leaves() {
			t.Fatalf("path to %#x: depth %d, leaf %d of %d", at, depth, leaf, m.space.Leaves())
		}
	}
	m.before = append(m.before[:0], got...)
	m.follow(t)
}

// TestAgainstOracle does random operations on both, and then demands that each
// of the rarer paths was taken.
func TestAgainstOracle(t *testing.T) {
	marks := make(map[string]int)
	for range 40 { // 100 sequences each: the rarest path is taken some fifty times
		rapid.Check(t, func(t *rapid.T) {
			m := newModel(marks)
			t.Repeat(map[string]func(*rapid.T){
				"mmap": m.mmap, "mmap above": m.mmapAbove, "munmap": m.munmap, "mprotect": m.mprotect, "madvise": m.madvise,
				"mremap": m.mremap, "fork": m.fork, "exec": m.exec, "infer": m.infer, "infer again": m.infer, "": m.check,
			})
		})
	}
	for _, name := range []string{
		"replace", "replace a part", "merge both sides", "merge one side", "unmap nothing", "unmap several",
		"punch a hole", "trim", "protect splits", "protect merges", "protect shifts a border", "advice splits",
		"advice merges", "grow in place", "shrink", "move", "move and grow", "move and leave", "move over something",
		"fork leaves out", "infer extends", "a structure is used again at once",
		"a structure that was found is gone", "its ID is used again", "a structure that was found begins elsewhere",
	} {
		if marks[name] == 0 && !testing.Short() { // which runs a fifth of the sequences
			t.Errorf("never happened: %s", name)
		}
	}
}
