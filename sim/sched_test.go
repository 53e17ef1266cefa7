package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/sim/mm"
)

// flatMachine has n cores, one thread each, under one L3, and lines that move at no
// cost: an operation takes the same time wherever and beside whomever it runs. A hit of
// the ideal resolver takes 792 ns, a read section 41 ns more than it is held.
func flatMachine(n int) *Machine {
	m := testMachine()
	m.Sockets, m.CoresPerSocket, m.CoresPerL3, m.SMT = 1, n, n, 1
	m.Line.Sibling, m.Line.Transfer, m.Line.Waiter = 0, [NumDistances]Time{}, 0
	return m
}

const (
	flatHit  = 792 * Nanosecond
	flatRead = 41 * Nanosecond
)

// busy gives a task n read sections of its own address space from a time on, each of
// which keeps its CPU for d.
func (r *rig) busy(task *Task, at, d Time, n int) {
	own := r.withMM(100 + task.ID)
	for range n {
		own.add(task, OpRead, at, 0, d-flatRead)
		own.last().Tag = fmt.Sprint(task.ID)
	}
	r.ops = own.ops
}

// runSorted runs the operations in order of their due times.
func (r *rig) runSorted(t testing.TB) {
	t.Helper()
	slices.SortStableFunc(r.ops.ops, func(a, b planned) int { return cmp.Compare(a.Due, b.Due) })
	r.run(t)
}

// TestTimeSlices shares one CPU: each thread has it for 3 ms while others wait, in the
// order in which they came, and keeps it while nobody does.
func TestTimeSlices(t *testing.T) {
	r := newRig(t, flatMachine(1), "ideal")
	for id, n := range map[int32]int{1: 8, 2: 4, 3: 2} {
		r.busy(r.NewTask(id, 0), Time(id-1)*100*Microsecond, Millisecond, n)
	}
	r.runSorted(t)
	order := ""
	for i, s := range r.rec.sections {
		order += s.Op.Tag.(string)
		if want := Time(i) * Millisecond; s.Requested != want {
			t.Errorf("section %d begins at %v, want %v: the CPU is never idle", i, s.Requested, want)
		}
	}
	// Exactly at the end of the slice the CPU goes to the next; thread 3 has done its
	// two by 8 ms; 1 and 2 take turns; then 1 is alone.
	if want := "11122233111211"; order != want {
		t.Errorf("order %s, want %s", order, want)
	}
}

// sleeper lets a thread of ID 1 on a CPU sleep on a lock that another thread holds from
// 0 to 2 ms on the CPU of that other, and then do a second operation wherever it is.
func (r *rig) sleeper(id, cpu, holderCPU int32) {
	lock := r.withMM(50)
	if id == 1 {
		lock.add(r.NewTask(40, holderCPU), OpWrite, 0, 2*Millisecond, 0)
		lock.mm.ID = 50
		r.mm = lock.mm // further sleepers wait for the same
	} else {
		lock.mm = r.mm
	}
	w := r.NewTask(id, cpu)
	lock.add(w, OpRead, 10*Microsecond+Time(id), 0, 0)
	lock.last().Tag = fmt.Sprint(id)
	lock.add(w, OpRead, 11*Microsecond+Time(id), 0, 0)
	lock.last().Tag = fmt.Sprint(id) + " again"
	r.ops = lock.ops
}

func (r *rig) tagged(t *testing.T, tag string) Section {
	t.Helper()
	for _, s := range r.rec.sections {
		if s.Op.Tag == tag {
			return s
		}
	}
	t.Fatalf("no section %s", tag)
	return Section{}
}

// TestWokenGoesBeforeThoseThatHadTheirSlice has two threads sleep, others fill the
// CPUs, and the woken ones come next on theirs, in the order in which they were woken.
func TestWokenGoesBeforeThoseThatHadTheirSlice(t *testing.T) {
	r := newRig(t, flatMachine(2), "ideal")
	r.sleeper(1, 0, 1)
	r.sleeper(2, 0, 1)
	r.busy(r.NewTask(41, 1), 0, 50*Millisecond, 1) // follows the holder on its CPU
	r.busy(r.NewTask(5, 0), 20*Microsecond, Millisecond, 6)
	r.busy(r.NewTask(6, 0), 30*Microsecond, Millisecond, 6)
	r.busy(r.NewTask(7, 0), 40*Microsecond, Millisecond, 6)
	r.runSorted(t)
	one, two, five, six := r.tagged(t, "1"), r.tagged(t, "2"), r.tagged(t, "5"), r.tagged(t, "6")
	if end := five.Requested + 3*Millisecond; one.Acquired < end || one.Acquired > end+2*Microsecond {
		t.Errorf("the first that was woken has its lock at %v, want it at the end of the slice at %v", one.Acquired, end)
	}
	if two.Acquired < one.Acquired || two.Acquired > six.Requested {
		t.Errorf("woken in this order, but at %v and %v; who never slept came at %v", one.Acquired, two.Acquired, six.Requested)
	}
	if again := r.tagged(t, "1 again"); again.CPU != 0 {
		t.Errorf("it went on on CPU %d", again.CPU)
	}
}

// TestSpinnerGivesWay has a thread spin on a lock: one that slept gets its CPU at once,
// one that did not after a time slice.
func TestSpinnerGivesWay(t *testing.T) {
	for _, slept := range []bool{true, false} {
		r := newRig(t, flatMachine(3), "ideal")
		if slept {
			r.sleeper(1, 0, 1)
		} else {
			r.busy(r.NewTask(1, 0), 2*Millisecond, Millisecond, 1)
		}
		r.busy(r.NewTask(41, 1), 100*Microsecond, 50*Millisecond, 1)
		lock := r.withMM(60)
		lock.add(r.NewTask(42, 2), OpWrite, 0, 40*Millisecond, 0)
		lock.add(r.NewTask(43, 0), OpWrite, 50*Microsecond, 0, 0)
		r.ops = lock.ops
		r.runSorted(t)
		got := r.tagged(t, "1").Acquired
		from, to := 2*Millisecond, 2*Millisecond+10*Microsecond
		if !slept {
			from, to = 3*Millisecond+50*Microsecond, 3*Millisecond+60*Microsecond
		}
		if got < from || got > to {
			t.Errorf("slept %v: it runs at %v, want %v to %v", slept, got, from, to)
		}
	}
}

// TestWokenTakesTheNearestIdleCPU has CPU 3 taken when its thread is woken, and others.
func TestWokenTakesTheNearestIdleCPU(t *testing.T) {
	m := flatMachine(8)
	m.Sockets, m.CoresPerSocket, m.CoresPerL3, m.SMT = 2, 4, 2, 2 // siblings are 8 apart
	for _, c := range []struct {
		taken []int32
		want  int32
	}{
		{nil, 3},
		{[]int32{3}, 11},                          // the other thread of the core
		{[]int32{3, 11}, 2},                       // the other core under the L3
		{[]int32{3, 11, 2}, 10},                   //
		{[]int32{3, 11, 2, 10}, 0},                // the other L3; of equals the first
		{[]int32{3, 11, 2, 10, 0, 1, 8, 9}, 4},    // the other socket
		{[]int32{3, 11, 2, 10, 1, 0, 8, 4, 9}, 5}, //
	} {
		for _, asRecorded := range []bool{false, true} {
			r := newRig(t, m, "ideal")
			r.asRecorded = asRecorded
			r.sleeper(1, 3, 15)
			for i, cpu := range c.taken {
				r.busy(r.NewTask(int32(60+i), cpu), 100*Microsecond, 50*Millisecond, 1)
			}
			r.runSorted(t)
			s, want := r.tagged(t, "1 again"), c.want
			if asRecorded {
				want = 3 // the recorded scheduler has decided
			}
			if s.CPU != want {
				t.Errorf("%v taken, as recorded %v: it goes to CPU %d, want %d", c.taken, asRecorded, s.CPU, want)
			}
			if s.Requested > 2*Millisecond+10*Microsecond {
				t.Errorf("%v taken, as recorded %v: it runs only at %v", c.taken, asRecorded, s.Requested)
			}
		}
	}
}

// TestAsRecordedSharesNothing has two threads on one CPU at a time: as recorded they
// run side by side, else one after the other.
func TestAsRecordedSharesNothing(t *testing.T) {
	for _, asRecorded := range []bool{false, true} {
		rec := &recorder{}
		s := newSystem(t, flatMachine(1), 0, "ideal", Config{Observer: rec, AsRecorded: asRecorded})
		r := rigOf(s)
		r.busy(r.NewTask(1, 0), 0, Millisecond, 1)
		r.busy(r.NewTask(2, 0), 0, Millisecond, 1)
		r.run(t)
		want := Millisecond
		if asRecorded {
			want = 0
		}
		if got := rec.sections[1].Requested; got != want {
			t.Errorf("as recorded %v: the second begins at %v, want %v", asRecorded, got, want)
		}
	}
}

// counting is a source that counts what was taken from it.
type counting struct {
	list
	taken int
	fail  error
}

func (c *counting) Next(next *Ticket) bool {
	ok := c.list.Next(next)
	if ok {
		c.taken++
	}
	return ok
}

func (c *counting) Err() error { return c.fail }

// watch calls a function at the end of each operation.
type watch struct{ ended func() }

func (w watch) Hit(*HitRecord)   { w.ended() }
func (w watch) Section(*Section) { w.ended() }

// TestTimingAgainstArithmetic has threads that disturb each other in nothing: each
// operation begins when its time has come and its thread's gap has passed, on the CPU
// that it names or the one before, and ends as much later as it takes.
func TestTimingAgainstArithmetic(t *testing.T) {
	type instance struct {
		tag        int
		cpu        int32
		begin, end Time
	}
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		closed := rapid.Bool().Draw(t, "closed")
		threads := rapid.IntRange(1, 6).Draw(t, "threads")
		rec := &recorder{}
		s := newSystem(t, flatMachine(2*threads), 0, "ideal", Config{Seed: 1, Observer: rec})
		// Every core reads the lines of the file and the uprobe once before, so that
		// they are shared.
		var ops, warm []planned
		for cpu := range int32(2 * threads) {
			at := Time(cpu) * 2 * Microsecond
			warm = append(warm, planned{Op: Op{Task: s.NewTask(100+cpu, cpu), At: at, MM: s.NewMM(100, &mm.AddressSpace{}), Addr: probeAddr, File: textFile, Tag: -1}, CPU: -1, Due: at, Until: at})
		}
		for i := range threads {
			task, due := s.NewTask(int32(i), int32(2*i)), 30*Microsecond
			space := s.NewMM(int32(i), &mm.AddressSpace{})
			first := len(ops)
			for j := range rapid.IntRange(0, 8).Draw(t, "operations") {
				due += Time(rapid.IntRange(0, 5000).Draw(t, "apart")) * Nanosecond
				op := planned{Op: Op{Task: task, Kind: rapid.SampledFrom([]OpKind{OpHit, OpRead}).Draw(t, "kind"), MM: space, Addr: probeAddr, File: textFile, Tag: len(ops)}, Due: due}
				op.CPU = int32(rapid.SampledFrom([]int{-1, -1, 2 * i, 2*i + 1}).Draw(t, "CPU"))
				if op.Kind == OpRead {
					op.ReadHold = Time(rapid.IntRange(0, 3000).Draw(t, "hold")) * Nanosecond
				}
				if !closed || j == 0 {
					op.At = due
				}
				if closed && j > 0 || !closed && rapid.IntRange(0, 3).Draw(t, "both") == 0 {
					op.Gap = Time(rapid.IntRange(0, 4000).Draw(t, "gap")) * Nanosecond
				}
				ops = append(ops, op)
			}
			for j := first; j < len(ops); j++ {
				ops[j].Until = due
			}
		}
		var want []instance
		last, cpus := map[*Task]Time{}, map[*Task]int32{}
		for _, op := range ops { // thread by thread, in order
			if _, ok := cpus[op.Task]; !ok {
				cpus[op.Task] = 2 * op.Task.ID
			}
			if op.CPU >= 0 {
				if op.CPU != cpus[op.Task] {
					moved++
				}
				cpus[op.Task] = op.CPU
			}
			begin := max(op.At, last[op.Task]+op.Gap)
			end := begin + flatHit
			if op.Kind == OpRead {
				end = begin + flatRead + op.ReadHold
			}
			want = append(want, instance{op.Tag.(int), cpus[op.Task], begin, end})
			last[op.Task] = end
		}
		slices.SortStableFunc(ops, func(a, b planned) int { return cmp.Compare(a.Due, b.Due) })
		if err := s.Run(context.Background(), &list{ops: append(warm, ops...)}, closed); err != nil {
			t.Fatal(err)
		}
		var got []instance
		for _, h := range rec.hits[len(warm):] {
			got = append(got, instance{h.Op.Tag.(int), h.CPU, h.Trap, h.End})
		}
		for _, s := range rec.sections {
			got = append(got, instance{s.Op.Tag.(int), s.CPU, s.Requested, s.Released})
		}
		slices.SortFunc(got, func(a, b instance) int { return cmp.Compare(a.tag, b.tag) })
		if !slices.Equal(got, want) {
			t.Fatalf("closed %v: got %v\nwant %v", closed, got, want)
		}
	})
	if moved == 0 {
		t.Error("vacuous: no thread ever moved")
	}
}

// TestReadingAhead holds how far a source is read: as far as the time has come, plus
// one operation that waits for its time; in a closed loop as far as a thread that has
// nothing to do may have something.
func TestReadingAhead(t *testing.T) {
	for _, c := range []struct {
		name   string
		closed bool
		until  Time // of the idle thread
		most   int
	}{
		{"open", false, 0, 2 + 1},
		{"closed, the idle thread has no more", true, 0, 2 + 1},
		{"closed, the idle thread may have until 5 ms", true, 5 * Millisecond, 2 + 5 + 1},
	} {
		src := &counting{}
		most := 0
		s := newSystem(t, flatMachine(3), 0, "ideal", Config{Observer: watch{func() { most = max(most, src.taken) }}})
		r := rigOf(s)
		r.add(r.NewTask(1, 0), OpHit, 0, 0, 0)
		r.last().Until = c.until
		r.add(r.NewTask(2, 1), OpHit, 0, 0, 0)
		third := r.NewTask(3, 2)
		for i := range 100 {
			r.add(third, OpHit, Time(i+1)*Millisecond, 0, 0)
			r.last().At, r.last().Until = 100*Millisecond, 100*Millisecond
		}
		src.ops = r.ops.ops
		if err := s.RunFor(context.Background(), src, c.closed, 100*Microsecond); err != nil {
			t.Fatal(err)
		}
		if most > c.most || most < c.most-1 {
			t.Errorf("%s: %d operations were taken in the first moments, want %d", c.name, most, c.most)
		}
	}
}

// TestOpenLoopReadsWhatIsDue counts at the end of each operation what was taken.
func TestOpenLoopReadsWhatIsDue(t *testing.T) {
	src := &counting{}
	var dues []Time
	var s *System
	s = newSystem(t, flatMachine(4), 0, "speculative", Config{Observer: watch{func() {
		due := 0
		for _, d := range dues {
			if d <= s.now {
				due++
			}
		}
		if src.taken > due+1 {
			t.Errorf("at %v %d operations are due, and %d were taken", s.now, due, src.taken)
		}
	}}})
	r := rigOf(s)
	for i := range 200 {
		at := Time(i) * 150 * Nanosecond
		r.add(r.NewTask(int32(i), int32(i%4)), OpHit, at, 0, 0)
		dues = append(dues, at)
	}
	src.ops = r.ops.ops
	if err := s.Run(context.Background(), src, false); err != nil {
		t.Fatal(err)
	}
}

// TestRunReportsItsSource holds that a source that failed is no end of a trace.
func TestRunReportsItsSource(t *testing.T) {
	bad := errors.New("bad page")
	for _, want := range []error{nil, bad} {
		r := newRig(t, flatMachine(1), "ideal")
		r.add(r.NewTask(1, 0), OpHit, 0, 0, 0)
		if err := r.Run(context.Background(), &counting{list: r.ops, fail: want}, false); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
		if len(r.rec.hits) != 1 {
			t.Errorf("%d hits", len(r.rec.hits))
		}
	}
}

// TestCancel stops a benchmark that has no end.
func TestCancel(t *testing.T) {
	r := newRig(t, flatMachine(1), "ideal")
	r.add(r.NewTask(1, 0), OpHit, 0, 0, 0)
	r.last().Repeat = true
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	cancel(enough)
	if err := r.Run(ctx, &r.ops, true); err != enough {
		t.Errorf("got %v, want the cause", err)
	}
	if len(r.rec.hits) == 0 || len(r.rec.hits) > 2*cancelInterval {
		t.Errorf("stopped after %d hits", len(r.rec.hits))
	}
}

// TestRepeat issues an operation again after its gap, for ever.
func TestRepeat(t *testing.T) {
	r := newRig(t, flatMachine(2), "ideal")
	for i := range int32(2) {
		r.add(r.NewTask(i, i), OpHit, 0, 0, 0)
		r.last().Repeat, r.last().Gap = true, 208*Nanosecond
	}
	if err := r.RunFor(context.Background(), &r.ops, true, 50*Microsecond+1); err != nil {
		t.Fatal(err)
	}
	each := map[int32]int{}
	for _, h := range r.rec.hits {
		nth := each[h.Op.Task.ID]
		each[h.Op.Task.ID]++
		if want := 208*Nanosecond + Time(nth)*Microsecond; h.Trap != want || h.End != want+flatHit {
			t.Fatalf("hit %d of thread %d from %v to %v, want %v", nth, h.Op.Task.ID, h.Trap, h.End, want)
		}
	}
	if each[0] != 50 || each[1] != 50 {
		t.Errorf("%v hits in 50 µs, want 50 each", each)
	}
}

// TestJitter holds that the private work of a benchmark's hits lies evenly within its
// bounds, that of a trace's on its mean, and the walk always.
func TestJitter(t *testing.T) {
	m := flatMachine(1)
	m.Hit.JitterPermille = 100
	for _, repeat := range []bool{true, false} {
		r := newRig(t, m, "ideal")
		const n = 20_000
		task := r.NewTask(1, 0)
		if repeat {
			r.add(task, OpHit, 0, 0, 0)
			r.last().Repeat = true
			if err := r.RunFor(context.Background(), &r.ops, true, n*flatHit); err != nil {
				t.Fatal(err)
			}
		} else {
			for range n {
				r.add(task, OpHit, 0, 0, 0)
			}
			r.run(t)
		}
		entries, exits := map[Time]int{}, map[Time]int{}
		for _, h := range r.rec.hits {
			entries[h.Lookup.Start-h.Trap]++
			exits[h.End-h.Lookup.Answered]++
			if h.Lookup.Answered-h.Lookup.Start != 92*Nanosecond {
				t.Fatalf("a walk of %v", h.Lookup.Answered-h.Lookup.Start)
			}
		}
		for what, c := range map[string]struct {
			seen map[Time]int
			mean Time
		}{"entry": {entries, 300}, "exit": {exits, 400}} {
			values := 1
			if repeat {
				values = int(2*c.mean/10 + 1)
			}
			if len(c.seen) != values {
				t.Errorf("repeat %v: %d values of %s, want %d", repeat, len(c.seen), what, values)
			}
			for v, got := range c.seen {
				want := len(r.rec.hits) / values
				if v < c.mean*9/10*Nanosecond || v > c.mean*11/10*Nanosecond || !repeat && v != c.mean*Nanosecond {
					t.Errorf("repeat %v: %s of %v", repeat, what, v)
				}
				if got < want/2 || got > want*2 {
					t.Errorf("repeat %v: %d times %s of %v, want about %d", repeat, got, what, v, want)
				}
			}
		}
	}
}
