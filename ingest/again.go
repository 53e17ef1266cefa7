package ingest

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/perfscript"
	"github.com/replay/replay/traces"
)

// An event that is opened twice (perf record -e f -e f) makes two samples of each trap,
// which perf_tp_event emits one after the other. perf.data tells them apart by the
// event's number. Text has one name for both, so that only times are left, and two quick
// traps of one event must stay two. But an event that is opened twice shows it from its
// first hit on, without exception. So it counts as such where in the beginning of a text
// (what decides on the format) all its hits come in pairs, pairsEnough of them or more:
//
//   - two hits of one thread, one after the other, at the same address, CPU and callchain,
//   - within pairMax, or pairStacked where they took a callchain,
//   - with at least half as long again to the thread's hits before and after.
//
// On a 2.9 GHz virtual machine two such samples are 510 to 760 ns apart, with
// callchains up to 1460 ns; two traps of an instruction that the kernel emulates, the
// quickest there are, 1010 ns, with callchains 1680 ns. Not recognised are an event that
// is opened three times or on a slower machine, and one that was recorded with
// callchains and printed without. A warning tells of those that come near.
const (
	pairMax     = 800   // ns
	pairStacked = 1_500 // ns
	pairsEnough = 4
)

// pairs finds pairs of hits. The zero value is usable.
type pairs struct {
	latest map[pairKey]pairHit
}

// pairKey is an event of a thread. Hits of others may stand between those of a pair
// (-e f -e g -e f, of one address).
type pairKey struct {
	tid   int32
	probe string
}

type pairHit struct {
	addr   uint64
	cpu    int32
	time   int64 // ns
	stack  []string
	gap    int64 // ns, from the hit before
	second bool  // of a pair with that
}

// add takes the next hit, and returns it with the one before.
func (p *pairs) add(r *assemble.Record) (h, before pairHit, known bool) {
	h = pairHit{addr: r.Addr, cpu: -1, time: r.Time, stack: r.Stack, gap: math.MaxInt64}
	if r.Got(traces.ColCPU) {
		h.cpu = r.CPU
	}
	key := pairKey{r.TID, r.Probe}
	if before, known = p.latest[key]; known {
		h.gap = h.time - before.time
		h.second = !before.second && h.gap <= h.limit() && h.addr == before.addr && h.cpu == before.cpu && slices.Equal(h.stack, before.stack)
	}
	if p.latest == nil {
		p.latest = map[pairKey]pairHit{}
	}
	p.latest[key] = h
	return h, before, known
}

// limit is how far apart two hits of one trap may be, in ns.
func (h *pairHit) limit() int64 {
	if len(h.stack) > 0 {
		return pairStacked
	}
	return pairMax
}

// apart reports whether the gap to another hit is longer than that of a pair, in ns.
func apart(pair, other int64) bool { return pair <= other/3*2 }

// pairing is what the beginning of a text shows of one event.
type pairing struct {
	hits, pairs int
	alone       bool // a hit is in no pair, or a pair is not apart from others
}

// again tells the second hits of traps, of events that were opened twice.
type again struct {
	pairs
	seen map[string]*pairing // by name
	any  bool                // event was opened twice
}

// lookAgain looks at the beginning of a text.
func lookAgain(in *input) *again {
	a := &again{seen: map[string]*pairing{}}
	asm := assemble.New(assemble.Options{}) // for its records
	parser := perfscript.New(bufio.NewReaderSize(bytes.NewReader(in.prefix), sniffed), in.path)
	last := int64(math.MinInt64)
	var look pairs
	for r := nextUsed(parser, asm); r != nil; r = nextUsed(parser, asm) {
		if last = r.Time; pairable(r) {
			a.note(&look, r)
		}
		asm.Release(r)
	}
	for key, h := range look.latest {
		// The last one's second may be behind what is looked at.
		if !h.second && (len(in.prefix) < sniffed || last-h.time > h.limit()) {
			a.seen[key.probe].alone = true
		}
	}
	for _, e := range a.seen {
		a.any = a.any || e.twice()
	}
	return a
}

// pairable reports whether r is a hit of which pairs can be told.
func pairable(r *assemble.Record) bool {
	return r.Kind == traces.Hit && r.Got(traces.ColTID|traces.ColAddr|traces.ColProbe)
}

// note takes a hit of those that decide.
func (a *again) note(look *pairs, r *assemble.Record) {
	e := a.seen[r.Probe]
	if e == nil {
		e = &pairing{}
		a.seen[r.Probe] = e
	}
	h, before, known := look.add(r)
	e.hits++
	switch {
	case h.second && apart(h.gap, before.gap):
		e.pairs++
	case h.second:
		e.alone = true
	case known:
		e.alone = e.alone || !before.second || !apart(before.gap, h.gap)
	}
}

func (e *pairing) twice() bool { return e != nil && e.pairs >= pairsEnough && !e.alone }

// second reports whether the next row of the text is the second hit of a trap.
func (a *again) second(r *assemble.Record) bool {
	if !a.any || !pairable(r) || !a.seen[r.Probe].twice() {
		return false
	}
	h, _, _ := a.add(r)
	return h.second
}

// warnings tells what was taken for what.
func (a *again) warnings() []string {
	var w []string
	for _, name := range slices.Sorted(maps.Keys(a.seen)) {
		switch e := a.seen[name]; {
		case e.twice():
			w = append(w, fmt.Sprintf("all hits of %s come in pairs: it seems to have been recorded twice (-e %[1]s -e %[1]s), and two hits are taken for one trap; perf.data itself tells, text does not", name))
		case e.pairs >= pairsEnough && 3*e.pairs >= e.hits:
			w = append(w, fmt.Sprintf("many hits of %s come in pairs, as where an event is recorded more than once, but not all: each is taken for a trap of its own; perf.data itself tells, text does not", name))
		}
	}
	return w
}
