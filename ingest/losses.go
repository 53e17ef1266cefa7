package ingest

import (
	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// losses places what a recorder lost in time. An event that is lost on a CPU is
// lost after the record before of that CPU.
type losses struct {
	lastOn map[int32]int64 // by CPU, the time of its last record, ns
	newest int64           // of all
	seen   int64           // events, by LOST records
	total  int64           // and by the totals at the end
}

// heard notes a record of a CPU.
func (l *losses) heard(cpu int32, time int64) {
	if l.lastOn == nil {
		l.lastOn = map[int32]int64{}
	}
	l.lastOn[cpu] = time
	l.newest = max(l.newest, time)
}

// span lets a loss reach back to its CPU's record before.
func (l *losses) span(r *assemble.Record) {
	if last := l.lastOn[r.CPU]; r.Got(traces.ColCPU) && last > 0 && r.Time >= last {
		r.Dur = r.Time - last
		r.Has |= traces.ColDur
	}
}

// rest fills r with the losses that no record in place tells of, and returns false
// when there are none. perf reads the totals of its events at the end
// (record__read_lost_samples) and writes them without a time. The kernel counts a
// lost record both there and in the next LOST record of its buffer
// (__perf_output_begin), so that only what is beyond those is new: it happened
// after the last record of some CPU.
func (l *losses) rest(r *assemble.Record) bool {
	if l.total <= l.seen {
		return false
	}
	r.Kind, r.Time, r.Dur, r.Ret = traces.Lost, l.newest, l.newest-l.since(), l.total-l.seen
	r.Has = traces.ColDur | traces.ColRet
	return true
}

// since is when the CPU that was longest silent was heard of: a loss on a CPU that is
// not told may reach back to there.
func (l *losses) since() int64 {
	since := l.newest
	for _, last := range l.lastOn {
		since = min(since, last)
	}
	return since
}
