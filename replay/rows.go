package replay

import (
	"cmp"
	"maps"
	"slices"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/sim"
)

// HitTimes are how long the hits of a row took.
type HitTimes struct {
	Resolve  dist.Dist  // per hit: start of lookup to answer
	LockWait dist.Dist  // per hit that took the lock: blocked time
	Hist     []dist.Bin // of Resolve, ascending; empty bins are left out
}

// sumTimes adds up distributions.
type sumTimes struct{ resolve, lockWait dist.Sketch }

func (s *sumTimes) add(h *hitTimes) {
	s.resolve.Merge(&h.resolve)
	s.lockWait.Merge(&h.lockWait)
}

func (s *sumTimes) times() HitTimes {
	return HitTimes{s.resolve.Dist(), s.lockWait.Dist(), s.resolve.Bins()}
}

// sumsBy adds up the times of hits that have the same key.
func sumsBy[K comparable](all []*hitTimes, key func(*hitTimes) K) map[K]*sumTimes {
	sums := map[K]*sumTimes{}
	for _, h := range all {
		k := key(h)
		if sums[k] == nil {
			sums[k] = &sumTimes{}
		}
		sums[k].add(h)
	}
	return sums
}

// finishTimes says how long the hits took: all, and those of each probe, address space,
// CPU and thread.
func (g *gatherer) finishTimes() {
	r := g.run
	var all sumTimes
	for _, h := range g.times {
		all.add(h)
	}
	total := all.times()
	r.Resolve, r.LockWait, r.ResolveHist = total.Resolve, total.LockWait, total.Hist
	if g.when == nil {
		return
	}
	for probe, sum := range sumsBy(g.times, func(h *hitTimes) string { return h.probe }) {
		g.probes[probe].Times = sum.times()
	}
	for mm, sum := range sumsBy(g.times, func(h *hitTimes) int32 { return h.mm }) {
		g.mms[mm].Times = sum.times()
	}

	cpus := map[int]*CPURow{}
	for cpu, sum := range sumsBy(g.times, func(h *hitTimes) int { return h.cpu }) {
		cpus[cpu] = &CPURow{CPU: cpu, Times: sum.times()}
	}
	threads := map[thread]*ThreadRow{}
	for _, h := range g.times {
		if id := (thread{h.pid, h.tid}); threads[id] == nil {
			threads[id] = &ThreadRow{Comm: h.comm, PID: h.pid, TID: h.tid}
		}
	}
	for id, sum := range sumsBy(g.times, func(h *hitTimes) thread { return thread{h.pid, h.tid} }) {
		threads[id].Times = sum.times()
	}
	for i := range r.Samples {
		s := &r.Samples[i]
		cpu, t := cpus[s.CPU], threads[thread{s.PID, s.TID}]
		cpu.Hits, t.Hits = cpu.Hits+s.Hits, t.Hits+s.Hits
		cpu.Outcomes[s.Outcome] += s.Hits
		t.Outcomes[s.Outcome] += s.Hits
	}
	r.CPUs = sorted(slices.Collect(maps.Values(cpus)), func(a, b *CPURow) int { return cmp.Compare(a.CPU, b.CPU) })
	r.Threads = sorted(slices.Collect(maps.Values(threads)), func(a, b *ThreadRow) int {
		return cmp.Or(-cmp.Compare(a.Times.Resolve.Total, b.Times.Resolve.Total), cmp.Compare(a.PID, b.PID), cmp.Compare(a.TID, b.TID))
	})
}

type thread struct{ pid, tid int32 }

// lineRows are the lines that were touched, by transfers, the most first.
func lineRows(sys *sim.System, labels []string) []LineRow {
	var rows []LineRow
	pairs := sys.LinePairs()
	for role, l := range sys.Lines() {
		if l.Accesses == 0 {
			continue
		}
		row := LineRow{Line: sim.Role(role).String(), Accesses: l.Accesses, Transfers: l.Transfers, Stall: l.Stall}
		for _, p := range pairs {
			if p.Role == sim.Role(role) {
				row.Pairs = append(row.Pairs, LinePair{labels[p.Had], labels[p.Took], p.Transfers, p.Stall})
			}
		}
		slices.SortFunc(row.Pairs, comparePairs)
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b LineRow) int { return -cmp.Compare(a.Transfers, b.Transfers) })
	return rows
}

func comparePairs(a, b LinePair) int {
	return cmp.Or(-cmp.Compare(a.Stall, b.Stall), -cmp.Compare(a.Transfers, b.Transfers), cmp.Compare(a.Had, b.Had), cmp.Compare(a.Took, b.Took))
}

// labels are what LinePairs are told apart by: the kinds of operations.
type labels struct {
	names   []string // the first is that of hits
	byClass []uint8  // 1 more than the label of an operation's class; 0 for not known yet
}

// HitLabel is what pairs of lines call the operation of a hit. It is label 0, which is also
// that of a line that nobody has had.
const HitLabel = "lookup"

const otherLabel = "other"

// of is the label of an operation of a class and kind. Kinds beyond the last label share
// that.
func (l *labels) of(class int, kind string) uint8 {
	known := slot(&l.byClass, class)
	if *known == 0 {
		i := slices.Index(l.names, kind)
		if i < 0 {
			if len(l.names) == sim.MaxLabels-1 {
				kind = otherLabel
			}
			if i = len(l.names); i == sim.MaxLabels {
				i--
			} else {
				l.names = append(l.names, kind)
			}
		}
		*known = uint8(i) + 1
	}
	return *known - 1
}
