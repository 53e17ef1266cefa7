package assemble

import (
	"math"
	"slices"

	"github.com/replay/replay/traces"
)

// An event that is opened twice (perf record -e f -e f) makes two samples of each trap,
// which perf_tp_event emits one after the other. perf.data tells them apart by the
// event's number (Record.Emitter). Text has one name for both, so that nothing is left
// but their times: a hit is of the trap before it when
//
//   - it is the same event at the same address, thread, CPU and callchain,
//   - it comes within againMax, or againStacked where the sample before took a callchain,
//   - and the hits before and after these two are half as far again away, or more.
//
// On a 2.9 GHz virtual machine two such samples are 510 to 760 ns apart, with
// callchains up to 1460 ns; two traps of an instruction that the kernel emulates, the
// quickest there are, 1010 ns, with callchains 1680 ns. Faster machines have less
// between both, so that a warning says how often this was decided. Not recognised are
// an event that is opened three times, one on a slower machine, and one that was
// recorded with callchains and printed without.
const (
	againMax     = 800   // ns
	againStacked = 1_500 // ns
)

// repeats is what is known of a thread's latest hits.
type repeats struct {
	known  bool
	probe  string
	addr   uint64
	cpu    int32
	time   int64 // ns
	stack  []string
	before int64   // ns, from the hit before
	near   int     // hits before it that came at once, one after the other
	again  *Record // the latest, if it may be of the trap before it
	gap    int64   // ns, before that
}

// maybeAgain is a hit that waits for the thread's next.
type maybeAgain struct {
	thread *thread
	row    *Record
	time   int64 // ns
}

// repeat decides whether the thread's latest hit was of the trap before it, and whether
// r may be.
func (a *Assembler) repeat(r *Record, t *thread) {
	h := &t.hits
	if r.Kind != traces.Hit {
		a.decideAgain(t, math.MaxInt64)
		h.known = false
		return
	}
	if r.numbered() || h.known && h.addr == r.Addr && h.probe != r.Probe {
		return // the number or the name tells
	}
	gap, limit := int64(math.MaxInt64), int64(againMax)
	same := h.known && h.probe == r.Probe && h.addr == r.Addr
	if h.known {
		gap = r.Time - h.time
	}
	if len(r.Stack) > 0 {
		limit = againStacked
	}
	a.decideAgain(t, gap)
	if same && gap <= limit && h.cpu == r.cpu() && slices.Equal(h.stack, r.Stack) {
		if h.near++; h.near == 1 && apart(gap, h.before) {
			r.pending = true
			h.again, h.gap = r, gap
			a.agains = append(a.agains, maybeAgain{t, r, r.Time})
		}
	} else {
		h.near = 0
	}
	h.known, h.probe, h.addr, h.cpu, h.time, h.stack, h.before = r.Got(traces.ColAddr), r.Probe, r.Addr, r.cpu(), r.Time, r.Stack, gap
}

// apart reports whether the gap to another hit is longer than that of two hits of one
// trap, in ns.
func apart(gap, other int64) bool { return gap <= other/3*2 }

// decideAgain decides on the hit that waits, if one does: the next came after it by ns.
func (a *Assembler) decideAgain(t *thread, after int64) {
	h := &t.hits
	if h.again == nil {
		return
	}
	if apart(h.gap, after) {
		h.again.again = true
		a.counts.Again++
	}
	h.again.pending = false
	h.again = nil
}
