package assemble

import "github.com/replay/replay/traces"

// enter lets r wait for the exit of its syscall.
func (a *Assembler) enter(r *Record, t *thread) {
	if t == nil {
		return
	}
	if t.call != nil {
		a.counts.UnpairedEnters++
		t.call.pending = false
	}
	a.notLookup(t)
	r.pending = true
	t.call = r
}

// leave completes the syscall that r is the exit of.
func (a *Assembler) leave(r *Record, t *thread) {
	if t != nil {
		a.notLookup(t) // a lock taken in a syscall is the syscall's
	}
	if t == nil || t.call == nil || t.call.Kind != r.Kind {
		a.counts.UnpairedExits++
		r.Phase = Whole
		a.row(r, t)
		return
	}
	c := t.call
	t.call = nil
	c.pending = false
	c.Dur, c.Ret = r.Time-c.Time, r.Ret
	c.Has |= traces.ColDur | traces.ColRet
	if ok := c.Ret >= 0 || c.Ret < -4095; ok {
		switch c.Kind {
		case traces.Mmap:
			setAddr(c, uint64(c.Ret))
		case traces.Mremap:
			setNewAddr(c, uint64(c.Ret))
			if c.Got(traces.ColAddr | traces.ColLen | traces.ColNewLen) {
				a.process(t.pid).remap(c.Addr, c.Len, c.NewAddr, c.NewLen)
			}
		}
	}
	a.recycle(r)
}
