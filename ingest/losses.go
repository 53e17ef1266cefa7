package ingest

import (
	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// losses places what a recorder lost in time. An event that is lost on a CPU is
// lost after the record before of that CPU.
type losses struct {
	lastOn map[int32]*lastRecord // by CPU
	recent [64]*lastRecord       // of lastOn, by the lowest bits of the CPU
	newest int64                 // of all
	seen   int64                 // events, by LOST records
	total  int64                 // and by the totals at the end
}

// lastRecord is the time of a CPU's last record, ns.
type lastRecord struct {
	cpu  int32
	time int64
}

// heard notes a record of a CPU.
func (l *losses) heard(cpu int32, time int64) {
	l.newest = max(l.newest, time)
	slot := &l.recent[uint32(cpu)%uint32(len(l.recent))]
	if last := *slot; last != nil && last.cpu == cpu {
		last.time = time
		return
	}
	if l.lastOn == nil {
		l.lastOn = map[int32]*lastRecord{}
	}
	last := l.lastOn[cpu]
	if last == nil {
		last = &lastRecord{cpu: cpu}
		l.lastOn[cpu] = last
	}
	last.time = time
	*slot = last
}

// span lets a loss reach back to its CPU's record before.
func (l *losses) span(r *assemble.Record) {
	if last := l.lastOn[r.CPU]; r.Got(traces.ColCPU) && last != nil && last.time > 0 && r.Time >= last.time {
		r.Dur = r.Time - last.time
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
	for _, last := range l.lastOn {
		since = min(since, last.time)
	}
	return since
}
