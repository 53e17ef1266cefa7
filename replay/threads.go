package replay

import (
	"math"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// recordedThread is a thread of the trace. Its clones do the same operations, each at its
// own pace: what waits for one is kept once, and not once for each.
type recordedThread struct {
	clones []*simThread // the first is the thread itself
	latest *someOperations
}

// someOperations are a part of a thread's operations, in order. Nobody knows any more of
// those that all clones have behind them.
type someOperations struct {
	list [someSize]*timeline.Operation
	n    int
	next *someOperations
}

const someSize = 62 // with the rest 512 bytes

// add takes in the thread's next operation, and returns where it is.
func (r *recordedThread) add(op *timeline.Operation) cursor {
	if r.latest == nil {
		r.latest = &someOperations{}
	}
	if r.latest.n == someSize {
		r.latest.next = &someOperations{}
		r.latest = r.latest.next
	}
	r.latest.list[r.latest.n] = op
	r.latest.n++
	return cursor{r.latest, r.latest.n - 1}
}

// cursor is where a clone is in the operations of its thread.
type cursor struct {
	in *someOperations
	at int
}

// operation is the one that the clone does there, or next.
func (c *cursor) operation(clone int) *timeline.Operation {
	for {
		if c.at == someSize {
			*c = cursor{c.in.next, 0}
		}
		if op := c.in.list[c.at]; does(clone, op) {
			return op
		}
		c.at++
	}
}

// does reports whether a clone does an operation: a change alone is there already.
func does(clone int, op *timeline.Operation) bool { return clone == 0 || op.Kind != sim.OpApply }

// simThread is a simulated thread.
type simThread struct {
	task   *sim.Task
	tid    int32
	clone  int
	survey *timeline.ThreadSurvey // of the recorded thread, or nil
	until  sim.Time               // when the recorded thread did its last thing
	phase  sim.Time               // of a clone: how far behind the recorded thread
	over   int64                  // ns of the recording: nothing of it begins later

	yielded position // as of the latest operation that was yielded,
	begun   position // and that has begun
	next    cursor
	doing   *timeline.Operation // nil before its first
}

// position is where a thread is.
type position struct {
	cpu   int32
	last  int64 // ns: the recorded end of its operation before
	begun bool
}

func (s *source) recorded(number int32) *recordedThread {
	at := slot(&s.threads, int(number))
	if *at == nil {
		*at = &recordedThread{}
		s.alive = append(s.alive, number)
	}
	return *at
}

// thread returns a clone of a thread, which begins with an operation that is here, if
// it is new.
func (s *source) thread(of *recordedThread, clone int, op *timeline.Operation, here cursor) *simThread {
	at := slot(&of.clones, clone)
	if *at != nil {
		return *at
	}
	cpu := s.place(op, clone)
	t := &simThread{
		task: s.sys.NewTask(int32(len(s.tasks)), cpu), tid: op.Origin.TID, clone: clone, survey: s.survey.Threads[op.Origin.TID],
		yielded: position{cpu: cpu}, begun: position{cpu: cpu}, next: here,
	}
	s.tasks = append(s.tasks, t)
	if t.survey != nil {
		t.until = s.scale(t.survey.End - s.survey.Start)
	}
	t.phase = s.phase(t, clone)
	t.over = s.over(t.survey, op.Origin)
	*at = t
	return t
}

// over is when all that a thread does has begun, in ns of the recording.
func (s *source) over(t *timeline.ThreadSurvey, o *timeline.Origin) int64 {
	if o.TID == timeline.Mapper {
		if t = s.survey.Threads[o.PID]; t != nil {
			return max(t.Over, t.Mapped)
		}
	}
	if t == nil {
		return math.MaxInt64
	}
	return t.Over
}

// retireEvery is how many operations pass between looks for threads that are over.
const retireEvery = 1 << 12

// retire lets go of threads that have nothing more to do, before a time of the recording in
// ns: it may have them by the ten thousand, and each holds the operations that were
// reconstructed beside its last one.
func (s *source) retire(now int64) {
	alive := s.alive[:0]
	for _, number := range s.alive {
		r := s.threads[number]
		if !r.over(now) {
			alive = append(alive, number)
			continue
		}
		for _, t := range r.clones {
			s.sys.Forget(s.space(t.doing.Space))
			if s.done != nil {
				s.done(t.doing)
			}
			*t = simThread{tid: t.tid, clone: t.clone}
		}
		s.threads[number] = nil
	}
	s.alive = alive
}

// over reports whether all clones have done all that the thread did before a time.
func (r *recordedThread) over(now int64) bool {
	for _, t := range r.clones {
		if t == nil || t.over >= now || t.doing == nil || t.next != (cursor{r.latest, r.latest.n}) || !t.task.Idle() {
			return false
		}
	}
	return true
}

// place picks a new thread's CPU.
func (s *source) place(op *timeline.Operation, clone int) int32 {
	switch s.options.Placement {
	case Recorded:
		return s.recordedCPU(max(op.CPU, 0), clone)
	case RoundRobin:
		s.placed++
		return int32((s.placed - 1) % s.cpus)
	}
	s.placed++
	return int32(s.order[(s.placed-1)%len(s.order)])
}

// recordedCPU is the recorded CPU of a thread. Its clones are on the CPUs after
// those of the recording, so that they share one only when there are too few.
func (s *source) recordedCPU(cpu int32, clone int) int32 {
	n := int(cpu) + clone*s.survey.CPUs
	if n >= s.cpus {
		n %= s.cpus
	}
	return int32(n)
}

// phase is how far a clone runs behind: a share of the thread's mean gap between
// hits, so that the clones of a steady thread lie evenly between its hits.
func (s *source) phase(of *simThread, clone int) sim.Time {
	t := of.survey
	if clone == 0 || t == nil || t.Hits < 2 {
		return sim.Time(clone) * sim.Microsecond
	}
	mean := (t.Last - t.First) / (t.Hits - 1)
	return s.scale(mean) * sim.Time(clone) / sim.Time(max(s.options.Clone, 1))
}

// until is when the recorded thread did its last thing.
func (s *source) until(t *simThread) sim.Time {
	if t.survey == nil {
		return s.bound
	}
	return t.until
}
