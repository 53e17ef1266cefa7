package timeline

import (
	"cmp"
	"slices"

	"github.com/replay/replay/traces"
)

// Loss is a stretch of the recording in which the recorder dropped events. Times
// are ns since the start of the trace.
type Loss struct {
	From, To int64
	CPU      int   // whose buffer overflowed; -1 where that is unknown
	Events   int64 // dropped
}

// MaxLosses is how many stretches a result keeps, those that lost most.
const MaxLosses = 1000

const (
	// lossMargin is how far beyond a stretch its losses reach, in ns: by what a
	// wait and a wake-up take.
	lossMargin = 100_000
	// lossReach is how long after a stretch an end without a beginning is put down
	// to it, in ns.
	lossReach = 1_000_000_000
	// lossLookback is how long before a hit its own lock events may have been lost,
	// in ns.
	lossLookback = 10_000_000
)

// losses says what lost events may have changed. A lost event was a hit, or part of
// a writer's section: of any process, since nothing says whose. So all that overlaps
// a stretch is undecided. A section of which one end was lost reaches beyond the
// stretch, to the end that is there.
type losses struct {
	list   []Loss // as recorded, times ns on the recording's clock
	spans  []span // what they may have changed; merged and sorted by merge
	events int64
}

// add notes a loss.
func (l *losses) add(ev *traces.Event) {
	loss := Loss{From: ev.Time - ev.Dur, To: ev.Time, CPU: -1, Events: ev.Ret}
	if ev.Got(traces.ColCPU) {
		loss.CPU = int(ev.CPU)
	}
	l.events += ev.Ret
	l.list = append(l.list, loss)
	l.spans = append(l.spans, span{loss.From, loss.To})
}

// endOnly notes the end of something that has no beginning in the trace.
func (l *losses) endOnly(at int64) {
	if s := l.latest(); s != nil && at-s.to < lossReach {
		s.to = max(s.to, at)
	}
}

// beginOnly notes the beginning of something that has no end in the trace, at the
// latest by the time now.
func (l *losses) beginOnly(at, now int64) {
	if s := l.latest(); s != nil && at <= s.to && now-s.to < lossReach {
		s.from, s.to = min(s.from, at), max(s.to, now)
	}
}

// anywhere says that events were lost of which it is unknown when.
func (l *losses) anywhere(start, end int64) { l.spans = append(l.spans, span{start, end}) }

func (l *losses) latest() *span {
	if len(l.spans) == 0 {
		return nil
	}
	return &l.spans[len(l.spans)-1]
}

// merge joins the stretches, once all are known.
func (l *losses) merge() {
	slices.SortFunc(l.spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := l.spans[:0]
	for _, s := range l.spans {
		s.from, s.to = s.from-lossMargin, s.to+lossMargin
		if n := len(merged); n > 0 && s.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	l.spans = merged
}

// touch reports whether a lost event may have changed what happened between the
// times, in ns.
func (l *losses) touch(from, to int64) bool {
	if len(l.spans) == 0 {
		return false
	}
	i, _ := slices.BinarySearchFunc(l.spans, from, func(s span, at int64) int { return cmp.Compare(s.to, at) })
	return i < len(l.spans) && l.spans[i].from <= to
}

// since lists the stretches that lost most, in order of time, from the start of the
// trace on.
func (l *losses) since(start int64) []Loss {
	list := slices.Clone(l.list)
	slices.SortStableFunc(list, func(a, b Loss) int { return -cmp.Compare(a.Events, b.Events) })
	list = list[:min(len(list), MaxLosses)]
	slices.SortStableFunc(list, func(a, b Loss) int { return cmp.Compare(a.From, b.From) })
	for i := range list {
		list[i].From, list[i].To = list[i].From-start, list[i].To-start
	}
	return list
}

// length is how much of the trace is undecided, in ns.
func (l *losses) length(start, end int64) int64 {
	sum := int64(0)
	for _, s := range l.spans {
		sum += max(min(s.to, end)-max(s.from, start), 0)
	}
	return sum
}
