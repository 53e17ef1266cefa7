package fit

import (
	"cmp"
	"slices"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// occupancy knows which threads a recording shows on each CPU, and so whether a
// thread that is woken finds its CPU taken. It holds the rows that were read ahead
// of the simulation, no more.
type occupancy struct {
	start    int64                   // ns: virtual time 0
	latency  int64                   // ns, of a wake-up on an idle CPU
	slice    int64                   // ns, that a thread keeps its CPU from another
	blocking int64                   // ns from the lock_start of a writer to its sleep behind a reader
	locks    bool                    // lock events may be used
	cpus     map[int32][]shown       // in order of time
	sections map[int32][]lockSection // by process, in order of their ends
	runs     map[int32]*run          // the latest on each CPU
	stays    map[int32]*stay         // by thread
}

// shown is a row of a thread on a CPU.
type shown struct {
	at    int64 // ns
	since int64 // ns: until then nobody preempts it
	tid   int32
	write bool // it asks for mmap_lock for write
}

// run is how long rows show a thread on a CPU: less than runGap apart, and without
// those of another thread between them. Times are ns.
type run struct {
	tid      int32
	from, to int64
	fresh    bool // it had not run for a time slice
}

// stay adds up the runs of a thread, in ns.
type stay struct {
	sum, runs int64
	left      int64 // ns: the end of its latest run
}

// lockSection is what a thread did with mmap_lock: it asked, was granted it, let go of
// writing and of all of it. Times are ns.
type lockSection struct {
	write                          bool
	asked, granted, even, released int64
}

// Row is part of Observer.
func (o *occupancy) Row(ev *traces.Event, waited bool) { o.note(ev, waited) }

// Section is part of Observer.
func (o *occupancy) Section(h *timeline.Section) {
	o.addSection(h.PID, h.Write, h.Asked, h.Odd, h.Even, h.Released)
}

// reached are operations whose rows an occupancy forgets once the simulation asks for those
// after them. Each is where the rows show it, whatever is predicted of the one before: a
// lookup that is wrongly predicted to wait must not hold up the thread's next, which the
// rows show to have come. So a thread's operations go in turn to several simulated ones.
type reached struct {
	timeline.Operations
	occupancy *occupancy
	passed    int64 // ns
	turn      int32
}

// turns is how many lookups of a thread may overlap in the simulation.
const turns = 16

func (r *reached) Next() (*timeline.Operation, bool) {
	a, ok := r.Operations.Next()
	if ok {
		r.occupancy.forget(r.passed)
		r.passed = a.At
		r.turn = (r.turn + 1) % turns
		a.Thread = a.Thread*turns + r.turn
	}
	return a, ok
}

// use notes what a thread did with the mmap_lock of a process. A writer that has to
// wait for longer than it spins sleeps in the queue.
func (o *occupancy) addSection(pid int32, write bool, start, granted, even, released int64) {
	o.sections[pid] = append(o.sections[pid], lockSection{write, start + o.blocking, granted, even, released})
}

// behind is until when a reader that asks at a time waits for writers that queue
// already; 0 for none. When nobody holds the lock it does not wait: it steals it
// while the writer wakes up (rwsem_down_read_slowpath).
func (o *occupancy) behind(pid int32, at int64) int64 {
	end, held := int64(0), false
	for i := range o.sections[pid] {
		u := &o.sections[pid][i]
		held = held || u.granted <= at && at < u.released
		if u.write && u.asked <= at && at < u.granted {
			end = max(end, u.even)
		}
	}
	if !held {
		return 0
	}
	return end
}

// runGap is how far apart two rows of a thread on one CPU may lie, in ns, for it
// to have run in between. Threads that sleep in between are mostly away for longer.
const runGap = 200_000

func newOccupancy(profile *machines.Profile, s *timeline.Survey, using timeline.Using) *occupancy {
	return &occupancy{
		start: s.Start, latency: profile.Recorder.WakeLatency, slice: profile.Lock.TimeSlice.Nanos(),
		blocking: s.StartCost() + timeline.ReaderSpin, locks: !s.Infers(using), cpus: map[int32][]shown{}, sections: map[int32][]lockSection{},
		runs: map[int32]*run{}, stays: map[int32]*stay{},
	}
}

// note takes in a row that shows its thread on a CPU. What comes after a wait in a
// lookup is not noted: it would tell how long that was.
func (o *occupancy) note(ev *traces.Event, waited bool) {
	switch {
	case waited || !ev.Got(traces.ColCPU) || !ev.Got(traces.ColTID):
		return
	case ev.Kind == traces.Map || ev.Kind == traces.Lost || ev.Kind == traces.LockAcquired || ev.Kind == traces.LockReleased:
		return
	case ev.Kind.IsLock() && !o.locks:
		return
	}
	o.extend(ev)
	o.cpus[ev.CPU] = append(o.cpus[ev.CPU], shown{ev.Time, o.protected(ev.CPU), ev.TID, ev.Kind == traces.LockStart && ev.Write})
}

// protected is until when the thread on a CPU keeps it from one that is woken.
func (o *occupancy) protected(cpu int32) int64 {
	if r := o.runs[cpu]; r.fresh {
		return r.from + o.slice
	}
	return 0
}

// extend adds a row to the run on its CPU, or ends that and begins another.
func (o *occupancy) extend(ev *traces.Event) {
	r := o.runs[ev.CPU]
	switch {
	case r == nil:
		o.runs[ev.CPU] = &run{ev.TID, ev.Time, ev.Time, true}
	case r.tid == ev.TID && ev.Time-r.to <= runGap:
		r.to = ev.Time
	default:
		s := o.stays[r.tid]
		if s == nil {
			s = &stay{}
			o.stays[r.tid] = s
		}
		s.sum += r.to - r.from
		s.runs++
		s.left = r.to
		*r = run{ev.TID, ev.Time, ev.Time, false}
		if n := o.stays[ev.TID]; n == nil || ev.Time-n.left > o.slice {
			r.fresh = true
		}
	}
}

// meanStay is how long a thread that has a CPU keeps it on average, as far as rows
// have shown by now, in ns; 0 where they have not.
func (o *occupancy) meanStay(tid int32) int64 {
	if s := o.stays[tid]; s != nil {
		return s.sum / s.runs
	}
	return 0
}

// forget drops rows before a time in ns.
func (o *occupancy) forget(before int64) {
	o.forgetSections(before)
	for cpu, rows := range o.cpus { // each for itself: the order does not matter
		if len(rows) > 0 && rows[len(rows)/2].at < before {
			o.cpus[cpu] = append(rows[:0], rows[search(rows, before):]...)
		}
	}
}

// usesKept is how many uses of a lock are kept beyond what the simulation has
// reached: dropping them has its price.
const sectionsKept = 64

// forgetUses drops what threads did with mmap_lock before a time in ns.
func (o *occupancy) forgetSections(before int64) {
	for pid, list := range o.sections { // each for itself: the order does not matter
		n := 0
		for n < len(list) && list[n].released < before {
			n++
		}
		if n > sectionsKept {
			o.sections[pid] = append(list[:0], list[n:]...)
		}
	}
}

// search is the first row at the time or later.
func search(rows []shown, at int64) int {
	i, _ := slices.BinarySearchFunc(rows, at, func(r shown, at int64) int { return cmp.Compare(r.at, at) })
	return i
}

// wake is how long after its wake-up a thread gets its CPU. That is taken when
// another thread shows up on it before the woken one can have come and left: sooner
// than it comes to an idle CPU, or than a quarter of its mean stay, which few stays
// fall short of, and within one run of the other. That thread runs on until its rows
// leave the CPU, for longer than the woken one would have stayed, or it sleeps on the
// very lock that the woken one was granted, or its time slice ends, which began when it
// came: one that runs for longer is preempted at once (check_preempt_wakeup_fair, and
// RUN_TO_PARITY in kernel/sched/features.h).
func (o *occupancy) wake(origin *timeline.Origin, cpu int32, at sim.Time) sim.Time {
	woken := o.start + at.Nanos()
	free := o.freeAt(origin.TID, o.cpus[cpu], woken)
	return sim.Time(max(free-woken, o.latency)) * sim.Nanosecond
}

// freeAt is when the thread that is woken gets the CPU of the rows from others.
func (o *occupancy) freeAt(tid int32, rows []shown, woken int64) int64 {
	stay := o.meanStay(tid)
	soon, gap := max(o.latency, min(stay/4, runGap)), max(runGap, stay)
	var runner *shown
	var protected int64
	for i := search(rows, woken); i < len(rows); i++ {
		r := &rows[i]
		switch {
		case r.tid == tid:
			continue
		case runner == nil && r.at > woken+soon:
			return woken
		case runner != nil && (r.tid != runner.tid || r.at-runner.at > gap || r.at-woken > o.slice):
			return min(runner.at, protected)
		case r.write:
			return min(r.at+o.blocking, protected)
		}
		if runner == nil {
			protected = max(r.since, woken)
		}
		runner = r
	}
	if runner == nil {
		return woken
	}
	return min(runner.at, protected)
}
