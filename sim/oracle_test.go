package sim

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/sim/protocol"
)

// TestHistory compares with copies of the address space of every instant.
func TestHistory(t *testing.T) {
	const pages = 12
	asked, kept := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var h history
		var space mm.AddressSpace
		space.Watch(h.record)
		past := [][pages]mm.VMA{{}} // by instant, what each page shows
		type lookup struct {
			look
			first int // instant
		}
		var under []lookup
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at := uint64(rapid.IntRange(1, pages-1).Draw(t, "page")) * mm.PageSize
			length := uint64(rapid.IntRange(1, 3).Draw(t, "pages")) * mm.PageSize
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				under = append(under, lookup{h.begin(), len(past) - 1})
			case 1:
				if len(under) == 0 {
					continue
				}
				l := under[rapid.IntRange(0, len(under)-1).Draw(t, "lookup")]
				within := rapid.SampledFrom([]uint64{0, 8, mm.PageSize - 1}).Draw(t, "within")
				for page := range uint64(pages) {
					for file := range mm.FileID(3) {
						addr := page*mm.PageSize + within
						got := h.showed(addr, l.look, func(s *shown) bool {
							return s == nil && file == 0 || s != nil && s.file == file && s.pgoff+addr-s.start == uint64(file)*0x10000+addr
						})
						want := false
						for _, shows := range past[l.first:] {
							want = want || shows[page].File == file
						}
						if asked++; got != want {
							t.Fatalf("page %d showed file %d since %d: %v, want %v; %+v", page, file, l.since, got, want, h)
						}
					}
				}
				kept += len(h.gone[0]) + len(h.gone[1])
			case 2:
				if len(under) > 0 {
					h.end(under[0].look)
					under = under[1:]
				}
			case 3:
				space.Unmap(at, length)
			case 4:
				file := mm.FileID(rapid.IntRange(0, 2).Draw(t, "file")) // each shows an address at its own offset; memory tells nothing
				space.Map(mm.VMA{Start: at, End: at + length, Pgoff: uint64(file)*0x10000 + at, Prot: mm.Read, File: file})
			}
			var next [pages]mm.VMA
			for page := range next {
				next[page], _ = space.Find(uint64(page) * mm.PageSize)
			}
			past = append(past, next)
		}
		for _, l := range under {
			h.end(l.look)
		}
		h.end(h.begin())
		h.end(h.begin())
		if n := len(h.gone[0]) + len(h.gone[1]); n > 0 {
			t.Fatalf("nobody looks, and %d mappings that are gone are kept", n)
		}
	})
	if asked == 0 || kept == 0 {
		t.Errorf("vacuous: asked %d times, %d mappings kept", asked, kept)
	}
}

// broken is the series with a comparison that is always content.
const broken = "program compare\n fence read\n now = load.once mm.seq {SeqLine}\n"

// growing runs lookups during which the mapping grows downwards, at each moment: what
// vm_pgoff was before does not fit to vm_start after, and there is a uprobe at the offset
// that comes out.
func growing(t *testing.T, r *Resolver) (wrong, changed int, err error) {
	t.Helper()
	for offset := -200 * Nanosecond; offset < 500*Nanosecond; offset += 3 * Nanosecond {
		topo, e := NewTopology(testMachine(), 0)
		if e != nil {
			t.Fatal(e)
		}
		probes := &mm.Uprobes{}
		probes.Register(textFile, 0x5000)
		probes.Register(textFile, 0x6000)
		s := rigOf(NewSystem(Config{Topology: topo, Resolver: r, Probes: probes, Observer: &recorder{}}))
		if _, e := s.mm.Space.Map(mm.VMA{Start: probeAddr, End: probeAddr + mm.PageSize, Pgoff: 0x5000, Prot: mm.Read, File: textFile}); e != nil {
			t.Fatal(e)
		}
		reader, writer := s.NewTask(1, 0), s.NewTask(2, 2)
		s.add(reader, OpHit, Microsecond, 0, 0)
		s.add(writer, OpWrite, 10*Microsecond+offset, Nanosecond, 0)
		s.last().Change = func(space *mm.AddressSpace) mm.Effect {
			e, _ := space.Map(mm.VMA{Start: probeAddr - mm.PageSize, End: probeAddr, Pgoff: 0x4000, Prot: mm.Read, File: textFile})
			return e
		}
		hit := *s.last()
		s.ops.ops = s.ops.ops[:1]
		if offset < 0 {
			s.ops.ops = append(s.ops.ops, hit)
		}
		s.add(reader, OpHit, 10*Microsecond, 0, 0)
		if offset >= 0 {
			s.ops.ops = append(s.ops.ops, hit)
		}
		if err := s.Run(context.Background(), &s.ops, false); err != nil {
			return wrong, changed, err
		}
		h := s.rec.hits[1]
		if h.Lookup.Wrong {
			wrong++
		}
		if h.Outcome == SeqChanged {
			changed++
		}
		if (s.Wrong() == 1) != h.Lookup.Wrong || s.Checked() == 0 {
			t.Fatalf("%d wrong of %d judged, and the hit says %v", s.Wrong(), s.Checked(), h.Lookup.Wrong)
		}
	}
	return wrong, changed, nil
}

// TestOracle has a mix of what was and what is: the sequence refuses it, the comparison of
// the file's pointer does not, and a resolver that claims to have all its rules is a fault.
func TestOracle(t *testing.T) {
	series, _ := protocol.FindResolver("speculative")
	r, err := Compile(protocol.Kernel(), *series, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong, changed, err := growing(t, r); wrong != 0 || changed == 0 || err != nil {
		t.Errorf("%d wrong, %d refused, %v", wrong, changed, err)
	}
	for _, rule := range []string{"compare", "sequence-not-pointer"} {
		if r, err = Compile(protocol.Kernel(), *series, protocol.Off{rule}); err != nil {
			t.Fatal(err)
		}
		if wrong, _, err := growing(t, r); wrong == 0 || err != nil {
			t.Errorf("without %s: %d wrong, %v", rule, wrong, err)
		}
	}
	library, err := protocol.Parse(protocol.Kernel(), "mine", broken)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = Compile(library, *series, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = growing(t, r)
	var fault *Fault
	if !errors.As(err, &fault) || !strings.Contains(fault.What, "answered what no locked one could have") {
		t.Errorf("a resolver that is wrong is not noticed: %v", err)
	}
}
