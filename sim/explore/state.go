package explore

import (
	"encoding/binary"
	"math/bits"

	"github.com/replay/replay/sim/protocol"
)

// life is how an object is.
type life uint8

const (
	alive   life = iota
	spare        // may be allocated
	freed        // touching it is a fault
	recycle      // SLAB_TYPESAFE_BY_RCU: may be touched, and allocated again
	waiting      // freed once a grace period is over
)

// threadState is where a thread is.
type threadState struct {
	pc      uint16
	looking bool  // between the begin of a lookup and its answer
	begin   bool  // the lookup begins with the next step that others can tell
	enter   uint8 // sections that begin with it
	inside  uint8 // sections, bit by protocol.Section
	right   uint32
	regs    protocol.Registers
}

// grace is what an object waits for.
type grace struct {
	sect    protocol.Section
	readers uint8 // threads
	started bool  // no reader that comes now is waited for
}

// state is one moment. It is copied as a whole.
type state struct {
	threads [threadMax]threadState
	lives   [objectMax]life
	grace   [objectMax]grace
	mem     memory
}

// memory is what words hold: one value each (sc), with stores that wait (tso), or
// messages with views (weak).
type memory struct {
	values  [wordMax]uint8
	answers uint32 // of the lookups of all threads, a byte each
	buffers [threadMax]buffer
	weak    *weakMemory
}

func (s *state) clone(into *state) {
	weak := into.mem.weak
	*into = *s
	if s.mem.weak != nil {
		if weak == nil {
			weak = new(weakMemory)
		}
		weak.copyFrom(s.mem.weak)
		into.mem.weak = weak
	}
}

// encode appends the state to b; what cannot matter any more is left out or 0.
func (x *explorer) encode(b []byte, s *state) []byte {
	for i := range x.w.threads {
		t := &s.threads[i]
		b = binary.LittleEndian.AppendUint16(b, t.pc)
		flags := t.enter<<2 | t.inside<<5
		if t.looking {
			flags |= 1
		}
		if t.begin {
			flags |= 2
		}
		b = append(b, flags)
		if t.looking {
			b = binary.LittleEndian.AppendUint32(b, t.right)
		}
		for live := x.w.threads[i].ahead[t.pc].live; live != 0; live &= live - 1 {
			b = append(b, uint8(t.regs[bits.TrailingZeros64(live)]))
		}
	}
	for h := firstHandle; h < len(x.w.objects); h++ {
		b = append(b, uint8(s.lives[h]))
		if s.lives[h] == waiting {
			g := &s.grace[h]
			started := uint8(0)
			if g.started {
				started = 1
			}
			b = append(b, uint8(g.sect)<<1|started, g.readers)
		}
	}
	return x.model.encode(x, b, s)
}

// decode is the inverse of encode.
func (x *explorer) decode(b []byte, s *state) {
	weak := s.mem.weak
	*s = state{}
	if x.w.model == Weak {
		if weak == nil {
			weak = new(weakMemory)
		}
		weak.weakViews = weakViews{}
		s.mem.weak = weak
	}
	next := func() uint8 {
		v := b[0]
		b = b[1:]
		return v
	}
	for i := range x.w.threads {
		t := &s.threads[i]
		t.pc = binary.LittleEndian.Uint16(b)
		b = b[2:]
		flags := next()
		t.looking, t.begin, t.enter, t.inside = flags&1 != 0, flags&2 != 0, flags>>2&7, flags>>5&7
		if t.looking {
			t.right = binary.LittleEndian.Uint32(b)
			b = b[4:]
		}
		for live := x.w.threads[i].ahead[t.pc].live; live != 0; live &= live - 1 {
			t.regs[bits.TrailingZeros64(live)] = uint64(next())
		}
	}
	for h := firstHandle; h < len(x.w.objects); h++ {
		s.lives[h] = life(next())
		if s.lives[h] == waiting {
			v := next()
			s.grace[h] = grace{protocol.Section(v >> 1), next(), v&1 != 0}
		}
	}
	x.model.decode(x, b, s)
}

// hash is 128 bits of a state. Two states with one hash count as the same: with 10^8
// states the chance that this happens at all is below 10^-22.
func hash(b []byte) [2]uint64 {
	h := [2]uint64{0x9e3779b97f4a7c15 ^ uint64(len(b)), 0xc2b2ae3d27d4eb4f}
	for len(b) > 0 {
		var v uint64
		if len(b) >= 8 {
			v = binary.LittleEndian.Uint64(b)
			b = b[8:]
		} else {
			for i, c := range b {
				v |= uint64(c) << (8 * i)
			}
			b = nil
		}
		h[0] = mix(h[0]^v, 0xa0761d6478bd642f)
		h[1] = mix(h[1]+v, 0xe7037ed1a0b428db)
	}
	return [2]uint64{mix(h[0], h[1]|1), mix(h[1], h[0]|1)}
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo ^ a
}
