package sim

import (
	"sort"

	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/sim/protocol"
)

// The oracle of every run: an answer without the lock has to be what a locked lookup would
// have given at some instant from the begin of the lookup to its end. It keeps a record of
// its own of each address space, which no lookup reads, and is told of each change.

// history is what was mapped when, of what can be an answer: mappings of files, and code.
// When is by the version of the address space.
type history struct {
	version uint64
	live    []shown    // in order of address
	gone    [2][]shown // that a lookup under way may have seen, by phase
	// Lookups are counted by the phase in which they begin. When all of the other phase are
	// over, it begins anew, and what went in it was seen by nobody who still looks: SRCU.
	phase   uint8
	looking [2]int
}

// shown is a mapping while it is what it is: of file from pgoff on.
type shown struct {
	start, end, pgoff uint64
	file              mm.FileID
	from, to          uint64 // to is 0 of what is still there
}

// look is a lookup in the eyes of the history.
type look struct {
	since uint64
	phase uint8
}

// record tells the history that, with a version, some mappings gave way to others.
func (h *history) record(version uint64, removed, added []mm.VMA) {
	h.version = version
	for i := range removed {
		if v := &removed[i]; tells(v) {
			n := h.search(v.Start)
			was := h.live[n]
			h.live = append(h.live[:n], h.live[n+1:]...)
			if was.to = version; h.looking[0]+h.looking[1] > 0 && was.from < version {
				h.gone[h.phase] = append(h.gone[h.phase], was)
			}
		}
	}
	for i := range added {
		if v := &added[i]; tells(v) {
			n := h.search(v.Start)
			h.live = append(h.live, shown{})
			copy(h.live[n+1:], h.live[n:])
			h.live[n] = shown{v.Start, v.End, v.Pgoff, v.File, version, 0}
		}
	}
}

// tells reports whether a mapping can be the answer of a lookup.
func tells(v *mm.VMA) bool { return v.File != mm.NoFile || v.Prot&mm.Exec != 0 }

// search is the index of the first mapping that ends above addr.
func (h *history) search(addr uint64) int {
	return sort.Search(len(h.live), func(i int) bool { return h.live[i].end > addr })
}

// begin counts a lookup in, end counts it out.
func (h *history) begin() look {
	h.looking[h.phase]++
	return look{h.version, h.phase}
}

func (h *history) end(l look) {
	h.looking[l.phase]--
	if other := 1 - h.phase; h.looking[other] == 0 && len(h.gone[0])+len(h.gone[1]) > 0 {
		h.gone[other] = h.gone[other][:0]
		h.phase = other
	}
}

// showed reports whether a condition holds of what was at addr at some instant of a lookup.
// It is asked of nil where nothing was that can be an answer.
func (h *history) showed(addr uint64, l look, is func(*shown) bool) bool {
	now := h.at(addr, h.version)
	if is(now) {
		return true
	}
	if l.since == h.version || len(h.gone[0])+len(h.gone[1]) == 0 && (now == nil || now.from <= l.since) {
		return false
	}
	if is(h.at(addr, l.since)) || now != nil && now.from > l.since && is(h.at(addr, now.from-1)) {
		return true
	}
	for _, gone := range h.gone {
		for i := range gone {
			if g := &gone[i]; g.to > l.since && g.start <= addr && addr < g.end && (is(g) || is(h.at(addr, g.to))) {
				return true
			}
		}
	}
	return false
}

// at is what was at addr at a version, as far as a lookup under way can know.
func (h *history) at(addr, version uint64) *shown {
	if n := h.search(addr); n < len(h.live) && h.live[n].start <= addr && h.live[n].from <= version {
		return &h.live[n]
	}
	for _, gone := range h.gone {
		for i := range gone {
			if g := &gone[i]; g.start <= addr && addr < g.end && g.from <= version && version < g.to {
				return g
			}
		}
	}
	return nil
}

// judge compares the answer of t's lookup, if it was found without the lock, with what the
// history says. It is not asked where the mappings changed meanwhile without a section, by
// an operation of which only the outcome is known; nor of an upper bound, which holds to
// nothing. A resolver without all its rules may be wrong, which is counted; any other is a
// mistake of this package.
func (s *System) judge(t *Task, r *Resolver, found *mm.VMA) {
	m, l := t.op.MM, t.lookup
	if l.Outcome != Lockless || !r.Explored || m.applied >= l.Start {
		return
	}
	s.oracle++
	addr := t.walk.addr
	code := t.regs[protocol.RegVMA] != 0 && tells(found)
	right := func(at *shown) bool { return (at != nil) == code }
	if l == &t.hit.Lookup {
		file, offset := s.probes.Place(probeOf(t.regs[protocol.RegUprobe]))
		right = func(at *shown) bool { return at != nil && at.file == file && at.pgoff+addr-at.start == offset }
	}
	if m.history.showed(addr, t.look, right) {
		return
	}
	if len(r.Off) == 0 {
		panic("sim: a lockless lookup answered what no locked one could have, at any instant of it")
	}
	l.Wrong = true
	s.wrong++
}
