package ingest

import (
	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/recent"
)

// losses places what a recorder lost in time. An event that is lost on a CPU is
// lost after the record before of that CPU.
type losses struct {
	lastOn recent.Map[int32, int64] // ns: the time of a CPU's last record
	newest int64                    // of all
	seen   int64                    // events, by LOST records
	total  int64                    // and by the totals at the end
}

// heard notes a record of a CPU.
func (l *losses) heard(cpu int32, time int64) {
	l.newest = max(l.newest, time)
	last := l.lastOn.Get(cpu)
	if last == nil {
		last = new(int64)
		l.lastOn.Set(cpu, last)
	}
	*last = time
}

// span lets a loss reach back to its CPU's record before.
func (l *losses) span(r *assemble.Record) {
	if last := l.lastOn.Get(r.CPU); r.Got(traces.ColCPU) && last != nil && *last > 0 && r.Time >= *last {
		r.Dur = r.Time - *last
		r.Has |= traces.ColDur
	}
}

// rest fills r with the losses that no record in place tells of, and returns false
// when there are none. perf reads the totals of its events at the end
// (record__read_lost_samples) and writes them without a time. The kernel counts a
// lost record both there and in the next LOST record of its buffer
// (__perf_output_begin), so that only what is beyond those is new: it happened
// after the last record of some CPU. The row of it stands behind the last of all.
func (l *losses) rest(r *assemble.Record) bool {
	if l.total <= l.seen {
		return false
	}
	r.Kind, r.Time, r.Dur, r.Ret = traces.Lost, l.newest+1, l.newest+1-l.since(), l.total-l.seen
	r.Has = traces.ColDur | traces.ColRet
	return true
}

// since is when the CPU that was longest silent was heard of: a loss on a CPU that is
// not told may reach back to there.
func (l *losses) since() int64 {
	since := l.newest
	for _, last := range l.lastOn.All() {
		since = min(since, *last)
	}
	return since
}
