package assemble

// The kernel may put off the unwinding of a user's stack until the thread goes back to
// user space, and promises it in the sample by a cookie (perf_callchain).
// The rows wait for it, which is as long as the thread is in the kernel.

// await lets r wait for the user's part of its callchain.
func (a *Assembler) await(r *Record, t *thread) {
	if t == nil {
		a.counts.NotUnwound++
		return
	}
	r.awaits = true
	t.awaiting = append(t.awaiting, r)
}

// unwound completes the callchains that r is the user's part of. Those that wait for
// another cookie are of a stay in the kernel that is over.
func (a *Assembler) unwound(r *Record, t *thread) {
	if t == nil {
		a.recycle(r)
		return
	}
	for _, w := range t.awaiting {
		if w.Cookie != r.Cookie {
			a.notUnwound(w)
			continue
		}
		w.awaits = false
		w.ChainUser = len(w.Chain)
		w.Chain = append(w.Chain, r.Chain...)
		a.nameStack(w)
	}
	clear(t.awaiting)
	t.awaiting = t.awaiting[:0]
	a.recycle(r)
}

// noMoreUnwound says that the thread never goes back to user space.
func (a *Assembler) noMoreUnwound(t *thread) {
	for _, w := range t.awaiting {
		a.notUnwound(w)
	}
	t.awaiting = nil
}

func (a *Assembler) notUnwound(r *Record) {
	r.awaits = false
	a.counts.NotUnwound++
}

// waits reports whether the row is not complete yet.
func (r *Record) waits() bool { return r.pending || r.awaits }
