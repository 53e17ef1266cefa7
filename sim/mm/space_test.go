package mm

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const file FileID = 1

func rx(start, end, pgoff uint64) VMA {
	return VMA{Start: start, End: end, Pgoff: pgoff, Prot: Read | Exec, File: file}
}

func anon(start, end uint64) VMA { return VMA{Start: start, End: end, Prot: Read | Write} }

// space maps each VMA in turn; IDs then count from 1.
func space(t *testing.T, vmas ...VMA) *AddressSpace {
	t.Helper()
	s := new(AddressSpace)
	for _, v := range vmas {
		if _, err := s.Map(v); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// id is v with an ID.
func id(v VMA, id uint32) VMA { v.ID = id; return v }

// TestStructures follows which vm_area_struct survives, and what an operation
// reports of it.
func TestStructures(t *testing.T) {
	none := anon(0x1000, 0x9000)
	none.Prot, none.Pgoff = 0, 0x1000
	data := func(start, end uint64) VMA { v := anon(start, end); v.Pgoff, v.Flags = start, Accounted; return v }
	bare := func(start, end uint64) VMA { v := data(start, end); v.Prot, v.Flags = 0, 0; return v }
	moved := rx(0x20000, 0x22000, 0x1000)

	for _, test := range []struct {
		name string
		have []VMA
		do   func(*AddressSpace) (Effect, error)
		want []VMA
		eff  Effect
	}{
		{
			// A reader of perf.data elsewhere leaves a piece of huge length here.
			"punch", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Unmap(0x2000, 0x1000) },
			[]VMA{id(rx(0x1000, 0x2000, 0), 2), id(rx(0x3000, 0x5000, 0x2000), 3)},
			Effect{Added: 2, Removed: 1, Unmapped: 1},
		},
		{
			// And keeps the offset of what was trimmed here.
			"trim head", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Unmap(0, 0x2000) },
			[]VMA{id(rx(0x2000, 0x5000, 0x1000), 2)},
			Effect{Added: 1, Removed: 1, Unmapped: 1},
		},
		{
			"trim tail", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Unmap(0x4000, 0x8000) },
			[]VMA{id(rx(0x1000, 0x4000, 0), 2)},
			Effect{Added: 1, Removed: 1, Unmapped: 1},
		},
		{
			"unmap nothing", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Unmap(0x5000, 0x1000) },
			[]VMA{id(rx(0x1000, 0x5000, 0), 1)},
			Effect{},
		},
		{
			"unmap several", []VMA{rx(0x1000, 0x3000, 0), anon(0x3000, 0x4000), rx(0x6000, 0x8000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Unmap(0x2000, 0x5000) },
			[]VMA{id(rx(0x1000, 0x2000, 0), 4), id(rx(0x7000, 0x8000, 0x1000), 5)},
			Effect{Added: 2, Removed: 3, Unmapped: 3},
		},
		{
			"odd length", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Unmap(0x1000, 1) },
			[]VMA{id(rx(0x2000, 0x5000, 0x1000), 2)},
			Effect{Added: 1, Removed: 1, Unmapped: 1},
		},
		{
			"replace the middle", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Map(anon(0x2000, 0x3000)) },
			[]VMA{id(rx(0x1000, 0x2000, 0), 2), id(data(0x2000, 0x3000), 1), id(rx(0x3000, 0x5000, 0x2000), 3)},
			Effect{Added: 3, Removed: 1, Unmapped: 1},
		},
		{
			"merge below", []VMA{anon(0x1000, 0x2000)},
			func(s *AddressSpace) (Effect, error) { return s.Map(anon(0x2000, 0x3000)) },
			[]VMA{id(data(0x1000, 0x3000), 1)},
			Effect{Changed: 1, Written: []uint32{1}},
		},
		{
			"merge above", []VMA{rx(0x2000, 0x3000, 0x1000)},
			func(s *AddressSpace) (Effect, error) { return s.Map(rx(0x1000, 0x2000, 0)) },
			[]VMA{id(rx(0x1000, 0x3000, 0), 1)},
			Effect{Changed: 1, Written: []uint32{1}},
		},
		{
			"fill the gap", []VMA{anon(0x1000, 0x2000), anon(0x3000, 0x4000)},
			func(s *AddressSpace) (Effect, error) { return s.Map(anon(0x2000, 0x3000)) },
			[]VMA{id(data(0x1000, 0x4000), 1)},
			Effect{Removed: 1, Changed: 1, Written: []uint32{1}},
		},
		{
			"other offset", []VMA{rx(0x1000, 0x2000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Map(rx(0x2000, 0x3000, 0x2000)) },
			[]VMA{id(rx(0x1000, 0x2000, 0), 1), id(rx(0x2000, 0x3000, 0x2000), 2)},
			Effect{Added: 1},
		},
		{
			"protect the middle", []VMA{none},
			func(s *AddressSpace) (Effect, error) { return s.Protect(0x3000, 0x2000, Read|Write) },
			[]VMA{id(bare(0x1000, 0x3000), 2), id(data(0x3000, 0x5000), 1), id(bare(0x5000, 0x9000), 3)},
			Effect{Added: 2, Changed: 1, Written: []uint32{1}},
		},
		{
			// malloc arenas grow this way.
			"protect next to its like", []VMA{none, anon(0x1000, 0x3000)},
			func(s *AddressSpace) (Effect, error) { return s.Protect(0x3000, 0x1000, Read|Write) },
			[]VMA{id(data(0x1000, 0x4000), 1), id(bare(0x4000, 0x9000), 2)},
			Effect{Changed: 2, Written: []uint32{1, 2}},
		},
		{
			"protect below its like", []VMA{none, anon(0x5000, 0x9000)},
			func(s *AddressSpace) (Effect, error) { return s.Protect(0x4000, 0x1000, Read|Write) },
			[]VMA{id(bare(0x1000, 0x4000), 2), id(data(0x4000, 0x9000), 1)},
			Effect{Changed: 2, Written: []uint32{2, 1}},
		},
		{
			"protect between its likes", []VMA{anon(0x1000, 0x3000), bare(0x3000, 0x4000), anon(0x4000, 0x6000)},
			func(s *AddressSpace) (Effect, error) { return s.Protect(0x3000, 0x1000, Read|Write) },
			[]VMA{id(data(0x1000, 0x6000), 1)},
			Effect{Removed: 2, Changed: 1, Written: []uint32{1}},
		},
		{
			"protect as it is", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Protect(0x2000, 0x1000, Read|Exec) },
			[]VMA{id(rx(0x1000, 0x5000, 0), 1)},
			Effect{},
		},
		{
			"protect across a hole", []VMA{bare(0x1000, 0x2000), bare(0x3000, 0x4000)},
			func(s *AddressSpace) (Effect, error) { return s.Protect(0x1000, 0x3000, Read|Write) },
			[]VMA{id(data(0x1000, 0x2000), 1), id(data(0x3000, 0x4000), 2)},
			Effect{Changed: 2, Written: []uint32{1, 2}},
		},
		{
			"advise a part", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Advise(0x1000, 0x1000, adviseDontFork) },
			[]VMA{id(VMA{Start: 0x1000, End: 0x2000, Prot: Read | Exec, Flags: DontFork, File: file}, 1), id(rx(0x2000, 0x5000, 0x1000), 2)},
			Effect{Added: 1, Changed: 1, Written: []uint32{1}},
		},
		{
			"advice about pages", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Advise(0x1000, 0x1000, 4) },
			[]VMA{id(rx(0x1000, 0x5000, 0), 1)},
			Effect{},
		},
		{
			"shrink", []VMA{rx(0x1000, 0x5000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x4000, 0x1000, 0x1000, 0) },
			[]VMA{id(rx(0x1000, 0x2000, 0), 2)},
			Effect{Added: 1, Removed: 1, Unmapped: 3},
		},
		{
			"grow in place", []VMA{rx(0x1000, 0x3000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x2000, 0x1000, 0x4000, 0) },
			[]VMA{id(rx(0x1000, 0x5000, 0), 1)},
			Effect{Changed: 1, Written: []uint32{1}},
		},
		{
			"move and grow", []VMA{rx(0x1000, 0x2000, 0x1000)},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x1000, 0x20000, 0x2000, 0) },
			[]VMA{id(moved, 2)},
			Effect{Added: 1, Removed: 1, Moved: 2},
		},
		{
			"move a part and shrink", []VMA{rx(0x1000, 0x6000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x2000, 0x3000, 0x20000, 0x2000, 0) },
			[]VMA{id(rx(0x1000, 0x2000, 0), 3), id(rx(0x5000, 0x6000, 0x4000), 4), id(moved, 2)},
			Effect{Added: 3, Removed: 1, Moved: 2},
		},
		{
			"move over something", []VMA{rx(0x1000, 0x2000, 0), anon(0x8000, 0xa000)},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x1000, 0x8000, 0x1000, 0) },
			[]VMA{id(rx(0x8000, 0x9000, 0), 2), id(data(0x9000, 0xa000), 3)},
			Effect{Added: 2, Removed: 2, Moved: 1, Unmapped: 1},
		},
		{
			"move and leave", []VMA{anon(0x1000, 0x2000)},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x1000, 0x8000, 0x1000, DontUnmap) },
			[]VMA{id(data(0x1000, 0x2000), 1), {Start: 0x8000, End: 0x9000, Pgoff: 0x1000, Prot: Read | Write, Flags: Accounted, ID: 2}},
			Effect{Added: 1, Moved: 1},
		},
		{
			"map shared memory again", []VMA{{Start: 0x1000, End: 0x3000, Prot: Read, Flags: Shared}},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0, 0x8000, 0x2000, 0) },
			[]VMA{{Start: 0x1000, End: 0x3000, Prot: Read, Flags: Shared, ID: 1}, {Start: 0x8000, End: 0xa000, Prot: Read, Flags: Shared, ID: 2}},
			Effect{Added: 1, Moved: 2},
		},
		{
			"move what is not known", []VMA{rx(0x8000, 0xa000, 0)},
			func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x1000, 0x8000, 0x1000, 0) },
			[]VMA{id(rx(0x9000, 0xa000, 0x1000), 2)},
			Effect{Added: 1, Removed: 1, Unmapped: 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := space(t, test.have...)
			eff, err := test.do(s)
			if err != nil {
				t.Fatal(err)
			}
			if len(eff.Written) == 0 {
				eff.Written = nil
			}
			if diff := cmp.Diff(test.want, s.VMAs()); diff != "" {
				t.Errorf("mappings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.eff, eff); diff != "" {
				t.Errorf("effect (-want +got):\n%s", diff)
			}
		})
	}
}

func TestImpossibleRanges(t *testing.T) {
	const top = math.MaxUint64 - PageSize + 1
	ops := map[string]func(*AddressSpace) (Effect, error){
		"unmap nothing":   func(s *AddressSpace) (Effect, error) { return s.Unmap(0x1000, 0) },
		"unmap the end":   func(s *AddressSpace) (Effect, error) { return s.Unmap(top, PageSize) },
		"unmap around":    func(s *AddressSpace) (Effect, error) { return s.Unmap(0x2000, math.MaxUint64) },
		"length rounds":   func(s *AddressSpace) (Effect, error) { return s.Unmap(0x1000, math.MaxUint64-0x1800) },
		"map backwards":   func(s *AddressSpace) (Effect, error) { return s.Map(rx(0x3000, 0x2000, 0)) },
		"map nothing":     func(s *AddressSpace) (Effect, error) { return s.Map(rx(0x3000, 0x3000, 0)) },
		"protect nothing": func(s *AddressSpace) (Effect, error) { return s.Protect(0x1000, 0, Read) },
		"advise nothing":  func(s *AddressSpace) (Effect, error) { return s.Advise(0x1000, 0, adviseDontFork) },
		"move to nothing": func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x1000, 0x8000, 0, 0) },
		"move around":     func(s *AddressSpace) (Effect, error) { return s.Remap(0x2000, math.MaxUint64, 0x1000, 0x1000, 0) },
		"move up a bit":   func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0x2000, 0x2000, 0x2000, 0) },
		"move down a bit": func(s *AddressSpace) (Effect, error) { return s.Remap(0x2000, 0x2000, 0x1000, 0x2000, 0) },
		"double onto":     func(s *AddressSpace) (Effect, error) { return s.Remap(0x1000, 0, 0x1000, 0x2000, 0) },
	}
	for name, do := range ops {
		t.Run(name, func(t *testing.T) {
			s := space(t, rx(0x1000, 0x4000, 0))
			eff, err := do(s)
			if !errors.Is(err, ErrRange) {
				t.Errorf("error %v, want %v", err, ErrRange)
			}
			if !eff.None() || len(s.VMAs()) != 1 || s.VMAs()[0] != id(rx(0x1000, 0x4000, 0), 1) {
				t.Errorf("changed all the same: %+v, %+v", eff, s.VMAs())
			}
		})
	}
}

func TestMapCount(t *testing.T) {
	if testing.Short() {
		t.Skip("maps a million pages")
	}
	s := new(AddressSpace)
	var err error
	for i := uint64(0); err == nil; i++ {
		_, err = s.Map(rx(2*i*PageSize, (2*i+1)*PageSize, 0))
	}
	if !errors.Is(err, ErrMapCount) {
		t.Fatal(err)
	}
	if n := s.Len(); n > MaxMapCount || n < MaxMapCount-2 {
		t.Errorf("%d mappings at the limit of %d", n, MaxMapCount)
	}
	if v, ok := s.Find(5 * 2 * PageSize); !ok || v.Offset(v.Start) != 0 {
		t.Errorf("found %+v, %v", v, ok)
	}
}

func TestMergeNever(t *testing.T) {
	huge := VMA{Start: 0x1000, End: 0x2000, Prot: Read, Flags: HugeTLB}
	above := huge
	above.Start, above.End = 0x2000, 0x3000
	shared := VMA{Start: 0x1000, End: 0x2000, Prot: Read, Flags: Shared}
	second := shared
	second.Start, second.End = 0x2000, 0x3000
	for _, pair := range [][2]VMA{{huge, above}, {shared, second}} {
		if s := space(t, pair[0], pair[1]); s.Len() != 2 {
			t.Errorf("merged into %+v", s.VMAs())
		}
	}
}

func TestBrk(t *testing.T) {
	s := new(AddressSpace)
	brk := func(to uint64) {
		t.Helper()
		if _, err := s.Brk(to); err != nil {
			t.Fatal(err)
		}
	}
	wantEnd := func(end uint64) {
		t.Helper()
		if s.Len() != 1 || s.VMAs()[0].Start != 0x5000 || s.VMAs()[0].End != end {
			t.Fatalf("heap is %+v, want it from 0x5000 to %#x", s.VMAs(), end)
		}
	}
	brk(0x4800) // tells only where it is
	if s.Len() != 0 {
		t.Fatalf("heap is %+v before it grew", s.VMAs())
	}
	brk(0x7001)
	wantEnd(0x8000)
	brk(0x7fff)
	wantEnd(0x8000)
	brk(0x9000)
	wantEnd(0x9000)
	if child := s.Clone(); child.brk != s.brk {
		t.Error("a child loses its break")
	}
	if _, err := s.Map(anon(0xb000, 0xc000)); err != nil {
		t.Fatal(err)
	}
	brk(0x6000)
	if v := s.VMAs(); len(v) != 2 || v[0].End != 0x6000 || v[1].Start != 0xb000 {
		t.Fatalf("a heap that shrinks takes others along: %+v", v)
	}
	if e, err := s.Brk(0x6000); err != nil || !e.None() {
		t.Errorf("a break that stays does %+v, %v", e, err)
	}
	s.Reset()
	brk(0x20000)
	if s.Len() != 0 {
		t.Error("the break outlives exec")
	}
}

// TestPathAgainstDivision computes the depth level by level: 16 slots to a leaf, 10
// children to a node above, and a slot for each gap as for each mapping.
func TestPathAgainstDivision(t *testing.T) {
	for _, gap := range []uint64{0, 1} {
		s := new(AddressSpace)
		for i := range uint64(1700) {
			v := rx(i*(1+gap)*PageSize, (i*(1+gap)+1)*PageSize, i*100*PageSize) // which does not merge
			if _, err := s.Map(v); err != nil {
				t.Fatal(err)
			}
			slots := int(i+1) + int(i*gap)
			depth, nodes := 1, 0
			for ; nodes*16 < slots; nodes++ {
			}
			if leaves := s.Leaves(); leaves != nodes {
				t.Fatalf("%d slots in %d leaves, want %d", slots, leaves, nodes)
			}
			for nodes > 1 {
				parents := 0
				for ; parents*10 < nodes; parents++ {
				}
				depth, nodes = depth+1, parents
			}
			if got, _ := s.Path(0); got != depth {
				t.Fatalf("%d slots: depth %d, want %d", slots, got, depth)
			}
		}
	}
}

// TestGrowsToWhereItEnds: a part of a mapping is resized to what is mapped there already.
func TestGrowsToWhereItEnds(t *testing.T) {
	s := space(t, rx(0x1000, 0x5000, 0))
	for _, end := range []uint64{0x3000, 0x5000} {
		e, err := s.Remap(0x1000, 0x1000, 0x1000, end-0x1000, 0)
		if err != nil || !e.None() || s.Len() != 1 || s.VMAs()[0] != id(rx(0x1000, 0x5000, 0), 1) {
			t.Errorf("to %#x: %+v, %v: %+v", end, e, err, s.VMAs())
		}
	}
	if v := s.VMAs()[0]; v.Contains(0xfff) || !v.Contains(0x1000) || !v.Contains(0x4fff) || v.Contains(0x5000) {
		t.Errorf("%+v contains its end, or not its start", v)
	}
}

// TestNow follows structures that were found: through changes in place, to where they are
// moved, and until they are removed, also if another one of the same ID takes their place.
// What is only tried removes nothing.
func TestNow(t *testing.T) {
	var s AddressSpace
	must := func(_ Effect, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Map(VMA{Start: 0x1000, End: 0x5000, Prot: Read, File: 1}))
	must(s.Map(VMA{Start: 0x9000, End: 0xa000, Prot: Read, File: 2}))
	found, _ := s.Find(0x1000)
	since := s.Version()
	look := func(what string, want VMA, live bool) {
		t.Helper()
		want.ID = found.ID
		if got, ok := s.Now(found, since); got != want || ok != live {
			t.Errorf("%s: %+v, %v; want %+v, %v", what, got, ok, want, live)
		}
	}
	look("as found", found, true)
	must(s.Unmap(0x9000, 0x1000))
	look("another one goes", found, true)
	s.Try(func(s *AddressSpace) { s.Unmap(0x1000, 0x4000) })
	look("to go is tried", found, true)
	must(s.Protect(0x1000, 0x1000, Read|Exec)) // the middle one keeps the structure: here the head
	look("split", VMA{Start: 0x1000, End: 0x2000, Prot: Read | Exec, File: 1}, true)
	must(s.Unmap(0x1000, 0x1000))
	look("removed", found, false)
	must(s.Map(VMA{Start: 0x1000, End: 0x2000, Prot: Read, File: 3}))
	if now, _ := s.Find(0x1000); now.ID != found.ID {
		t.Fatalf("vacuous: the ID %d is not used again, but %d", found.ID, now.ID)
	}
	look("used again", found, false)
}

func TestCloneAndReset(t *testing.T) {
	s := space(t, rx(0x1000, 0x3000, 0), anon(0x3000, 0x5000), rx(0x8000, 0x9000, 0))
	if _, err := s.Advise(0x3000, 0x1000, adviseDontFork); err != nil {
		t.Fatal(err)
	}
	child := s.Clone()
	if _, ok := child.Find(0x3000); ok || child.Len() != s.Len()-1 {
		t.Errorf("child has %+v", child.VMAs())
	}
	if child.gaps != 2 || s.gaps != 1 {
		t.Errorf("%d gaps in the child, %d in the parent", child.gaps, s.gaps)
	}
	if _, err := child.Unmap(0x1000, 0x8000); err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Find(0x1000); !ok || v.File != file {
		t.Error("the child changed its parent")
	}
	all := slices.Clone(s.VMAs())
	if ids := s.Try(func(s *AddressSpace) { s.Brk(0x6000); s.Reset(); s.Map(anon(0x3000, 0x5000)) }); len(ids) != 4 || !slices.Equal(s.VMAs(), all) || s.brk != 0 {
		t.Errorf("tried, a reset removes %v and leaves %+v", ids, s.VMAs())
	}
	if e := s.Reset(); e.Removed != 4 || e.Unmapped != 5 || s.Len() != 0 {
		t.Errorf("reset: %+v", e)
	}
}

func TestInfer(t *testing.T) {
	s := space(t, anon(0x10000, 0x12000))
	first, ok := s.Infer(0x15678, file, 0x2678)
	if !ok || first.Start != 0x15000 || first.End != 0x16000 || first.Offset(0x15678) != 0x2678 {
		t.Fatalf("inferred %+v, %v", first, ok)
	}
	joined, ok := s.Infer(0x18001, file, 0x5001)
	if !ok || joined.Start != 0x15000 || joined.End != 0x19000 || joined.ID != first.ID {
		t.Errorf("above: %+v, %v", joined, ok)
	}
	joined, ok = s.Infer(0x13004, file, 0x0004)
	if !ok || joined.Start != 0x13000 || joined.End != 0x19000 || joined.Pgoff != 0 {
		t.Errorf("below: %+v, %v", joined, ok)
	}
	for _, hit := range []struct {
		what         string
		addr, offset uint64
	}{
		{"mapped already", 0x11000, 0}, {"inferred already", 0x14000, 0x1000}, {"cannot be", 0x30001, 0x2}, {"last page", math.MaxUint64, 0xfff},
	} {
		if v, ok := s.Infer(hit.addr, file, hit.offset); ok {
			t.Errorf("%s: %+v", hit.what, v)
		}
	}
	if v, ok := s.Infer(0x20000, NoFile, 0); ok {
		t.Errorf("no file: %+v", v)
	}
	if v, ok := s.Infer(0x1a000, file, 0x1000); !ok || v.Len() != PageSize {
		t.Errorf("elsewhere in the file: %+v, %v", v, ok)
	}
	if _, err := s.Map(anon(0x1c000, 0x1d000)); err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Infer(0x1e000, file, 0x5000); !ok || v.Len() != PageSize {
		t.Errorf("behind a known one: %+v, %v", v, ok)
	}
}

func TestMapFlags(t *testing.T) {
	const private, fixed, anonymous, stack, noreserve, hugetlb, growsDown = 0x02, 0x10, 0x20, 0x20000, 0x4000, 0x40000, 0x100
	for flags, want := range map[int32]Flags{
		private | fixed | anonymous:             0,
		1:                                       Shared,
		3:                                       Shared, // MAP_SHARED_VALIDATE
		private | anonymous | noreserve:         NoReserve,
		private | hugetlb:                       HugeTLB,
		private | growsDown | stack | anonymous: GrowsDown,
	} {
		if got := MapFlags(flags); got != want {
			t.Errorf("MapFlags(%#x) = %#x, want %#x", flags, got, want)
		}
	}
	if (VMA{}).FileBacked() || !(VMA{Flags: Shared}).FileBacked() || !(VMA{File: file}).FileBacked() {
		t.Error("FileBacked")
	}
}

func TestPath(t *testing.T) {
	s := new(AddressSpace)
	if depth, leaf := s.Path(0x1000); depth != 1 || leaf != 0 {
		t.Errorf("empty: depth %d, leaf %d", depth, leaf)
	}
	for i := range uint64(500) {
		if _, err := s.Map(rx(2*i*PageSize, (2*i+1)*PageSize, 0)); err != nil {
			t.Fatal(err)
		}
		if n := s.Len(); n == 8 || n == 50 || n == 500 {
			want := map[int]int{8: 1, 50: 2, 500: 3}[n]
			if depth, _ := s.Path(0); depth != want {
				t.Errorf("%d mappings: depth %d, want %d", n, depth, want)
			}
		}
	}
	last := 0
	for i := range uint64(1000) {
		_, leaf := s.Path(i * PageSize)
		if leaf < last || leaf > last+1 {
			t.Fatalf("leaf %d follows %d", leaf, last)
		}
		last = leaf
	}
	if last != s.Leaves()-1 || last != 62 {
		t.Errorf("last leaf is %d of %d", last, s.Leaves())
	}
}
