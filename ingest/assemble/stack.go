package assemble

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/replay/replay/traces"
)

// nameStack turns a callchain into frames. Equal callchains share one slice.
func (a *Assembler) nameStack(r *Record) {
	if len(r.Chain) == 0 {
		return
	}
	pid := r.TID
	if t := a.threads.Get(r.TID); r.Got(traces.ColPID) {
		pid = r.PID
	} else if t != nil {
		pid = t.pid
	}
	key := a.chainKey(pid, r)
	known, ok := a.stacks[key]
	if !ok || !slices.Equal(known.chain, r.Chain) {
		known = namedChain{chain: slices.Clone(r.Chain), frames: make([]string, 0, len(r.Chain))}
		p := a.process(pid)
		for i, addr := range r.Chain {
			name := a.frame(p, pid, addr, i < r.ChainUser)
			if strings.Contains(name, "\n") { // what was inlined there
				known.frames = append(known.frames, strings.Split(name, "\n")...)
				continue
			}
			known.frames = append(known.frames, name)
		}
		if len(a.stacks) > maxStacks {
			clear(a.stacks)
		}
		a.stacks[key] = known
	}
	r.Stack = known.frames
	r.Has |= traces.ColStack
}

// namedChain is a callchain with its frames.
type namedChain struct {
	chain  []uint64
	frames []string
}

// maxStacks bounds the memory for remembered callchains.
const maxStacks = 1 << 18

// chainKey names a callchain of a process in its present state: a new mapping
// may change what its addresses are.
func (a *Assembler) chainKey(pid int32, r *Record) uint64 {
	b := a.scratch[:0]
	b = binary.LittleEndian.AppendUint32(b, uint32(pid))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(a.process(pid).maps)))
	for _, addr := range r.Chain {
		b = binary.LittleEndian.AppendUint64(b, addr)
	}
	a.scratch = b
	return maphash.Bytes(a.seed, b)
}
