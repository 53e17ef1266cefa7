package sim

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// oddMachine has a cost of its own for everything, so that no two ways to the same
// sum exist, and cores at two frequencies.
func oddMachine() *Machine {
	m := testMachine()
	m.Sockets, m.CoresPerSocket, m.CoresPerL3, m.SMT = 2, 4, 2, 2
	m.Turbo = []TurboStep{{3, 2_000_000}, {4, 1_000_000}}
	m.Line = LineCosts{
		LoadCycles: 4, StoreCycles: 3, RMWCycles: 17, Sibling: 7 * Nanosecond,
		Transfer: [NumDistances]Time{0, 29 * Nanosecond, 71 * Nanosecond, 173 * Nanosecond}, QueuedPermille: 700,
		Waiter: 2 * Nanosecond, WaiterCap: 3, LocalPermille: 0,
	}
	return m
}

// mesi is a cache line as a textbook has it: each core has it in a state, and the
// last store was some CPU's.
type mesi struct {
	modified int   // core that has it modified or exclusive, -1 for none
	shared   []int // cores that share it
	from     int   // CPU that a transfer comes from, -1: memory
	writer   int   // CPU, -1 for none
}

// distanceOf measures by the machine's figures alone, socket-major numbering.
func distanceOf(m *Machine, a, b int) Distance {
	cores := m.Sockets * m.CoresPerSocket
	a, b = a%cores, b%cores
	switch {
	case a == b:
		return Own
	case a/m.CoresPerL3 == b/m.CoresPerL3:
		return Cluster
	case a/m.CoresPerSocket == b/m.CoresPerSocket:
		return Socket
	}
	return Remote
}

// access returns the time that an access takes when nobody else wants the line, and
// whether the line had to travel.
func (l *mesi) access(m *Machine, kHz int64, cpu int, kind access) (Time, bool) {
	core := cpu % (m.Sockets * m.CoresPerSocket)
	cycles := map[access]int64{load: m.Line.LoadCycles, store: m.Line.StoreCycles, rmw: m.Line.RMWCycles}[kind]
	cost := Time(cycles * 1_000_000_000 / kHz)
	if kind != load && l.writer >= 0 && l.writer != cpu {
		cost += m.Line.Sibling
	}
	has := l.modified == core || kind == load && slices.Contains(l.shared, core)
	moved := false
	if !has && l.from >= 0 {
		far := distanceOf(m, cpu, l.from)
		if kind != load && l.modified < 0 {
			for _, other := range l.shared { // all must give it up
				far = max(far, distanceOf(m, cpu, other))
			}
		}
		cost += m.Line.Transfer[far]
		moved = m.Line.Transfer[far] > 0
	}
	switch {
	case kind != load:
		l.modified, l.shared, l.from, l.writer = core, nil, cpu, cpu
	case !has:
		if l.modified >= 0 {
			l.shared = append(l.shared, l.modified)
		}
		if l.from < 0 && len(l.shared) == 0 {
			l.modified = core // the first to read it has it alone
		} else {
			l.modified = -1
			l.shared = append(l.shared, core)
		}
		l.from = cpu
	}
	return cost, moved
}

// TestLineAgainstMESI makes accesses one after the other and compares each one's time
// and traffic with the textbook's.
func TestLineAgainstMESI(t *testing.T) {
	m := oddMachine()
	rapid.Check(t, func(t *rapid.T) {
		s := newSystem(t, m, 0, "refcount", Config{Observer: &recorder{}})
		s.source, s.due = &list{}, Never
		l, model := newLine(TreeRoot), mesi{modified: -1, from: -1, writer: -1}
		transfers, accesses := int64(0), int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "accesses") {
			cpu := rapid.IntRange(0, m.CPUs()-1).Draw(t, "cpu")
			kind := rapid.SampledFrom([]access{load, store, rmw}).Draw(t, "kind")
			want, moved := model.access(m, 1_000_000, cpu, kind)
			if moved {
				transfers++
			}
			accesses++
			began, ended := s.now, Time(-1)
			task := s.NewTask(0, int32(cpu))
			task.state = running
			s.touch(task, &l, kind, func(s *System, t *Task) { ended = s.now })
			for ended < 0 || s.direct != nil || !s.events.empty() {
				stepOnce(s)
			}
			got := s.now - began // of a store, when it has arrived
			if kind == store && ended-began > 3*Nanosecond+m.Line.Sibling {
				t.Fatalf("a store by CPU %d kept its thread for %v", cpu, ended-began)
			}
			if got != want {
				t.Fatalf("access kind %d by CPU %d took %v, want %v", kind, cpu, got, want)
			}
		}
		if st := s.stats[TreeRoot]; st.Transfers != transfers || st.Accesses != accesses {
			t.Fatalf("%d accesses, %d transfers; want %d, %d", st.Accesses, st.Transfers, accesses, transfers)
		}
	})
}

// stepOnce is one turn of System.run, for tests that look in between.
func stepOnce(s *System) {
	if s.direct != nil {
		s.goOn()
		return
	}
	if err := s.feed(); err != nil {
		panic(err)
	}
	if s.direct != nil || s.events.empty() {
		return
	}
	e := s.events.pop()
	s.now, s.turn = e.at, e.when
	s.handle(&e)
}

// atomics lets CPUs make one atomic each on a line that CPU 0 keeps busy meanwhile,
// and returns them in the order in which they got it, with the times.
func atomics(t *testing.T, m *Machine, cpus []int) (order []int, at []Time) {
	t.Helper()
	s := newSystem(t, m, 0, "refcount", Config{Observer: &recorder{}, Seed: 1})
	s.source, s.due = &list{}, Never
	l := newLine(CountLine)
	for i, cpu := range append([]int{0}, cpus...) {
		task := s.NewTask(int32(i), int32(cpu))
		task.state = running
		s.touch(task, &l, rmw, func(s *System, t *Task) {
			order, at = append(order, int(t.cpu)), append(at, s.now)
		})
		s.queueDirect()
		if i == 0 {
			l.busy = true // the first has it on its way
			task.line = &l
		}
	}
	for !s.events.empty() || s.direct != nil {
		stepOnce(s)
	}
	return order, at
}

// TestQueueOfALine holds who gets a line that several wait for, and what a transfer
// costs while others wait: worked out by hand from the figures of oddMachine. At
// 1 GHz an atomic takes 17 ns; a queued transfer takes 0.7 of its time; each further
// core that waits adds 2 ns, three of them at most.
func TestQueueOfALine(t *testing.T) {
	m := oddMachine()
	ns := func(values ...float64) (times []Time) {
		for _, v := range values {
			times = append(times, Time(v*float64(Nanosecond)))
		}
		return times
	}
	cases := []struct {
		name  string
		cpus  []int
		local int64 // permille
		order []int
		at    []Time
	}{
		// 4 is on the other socket: 17 + 121.1; then 1, back over the sockets.
		{"first come, first served", []int{4, 1}, 0, []int{0, 4, 1}, ns(17, 17+121.1+2+17+7, 17+121.1+2+17+7+121.1+17+7)},
		// 8 is the other thread of 0's core: no transfer, but the line is dirty from 0.
		{"the own core first", []int{4, 8}, 0, []int{0, 8, 4}, ns(17, 17+17+7, 17+17+7+121.1+17+7)},
		// but once only: then the snoop of the next core is there
		{"the own core once", []int{8, 4, 8}, 0, []int{0, 8, 4, 8}, ns(17, 41, 41+121.1+2+17+7, 41+121.1+2+17+7+121.1+17+7)},
		{"nobody of the own socket", []int{4, 5}, 1000, []int{0, 4, 5}, ns(17, 17+121.1+2+17+7, 17+121.1+2+17+7+20.3+17+7)},
		{"the first of the own socket", []int{1, 2, 3}, 1000, []int{0, 1, 2, 3}, ns(17, 17+20.3+4+17+7, 17+20.3+4+24+49.7+2+24, 17+20.3+4+24+49.7+2+24+20.3+24)},
		{"the own socket first", []int{4, 1}, 1000, []int{0, 1, 4}, ns(17, 17+20.3+2+17+7, 17+20.3+2+17+7+121.1+17+7)},
		// Five cores wait behind the one that is served: three count.
		{"many wait", []int{2, 4, 5, 6, 7, 3}, 0, []int{0, 2, 4, 5, 6, 7, 3}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := *m
			m.Line.LocalPermille = c.local
			order, at := atomics(t, &m, c.cpus)
			if !slices.Equal(order, c.order) {
				t.Errorf("served %v, want %v", order, c.order)
			}
			if c.at != nil && !slices.Equal(at, c.at) {
				t.Errorf("at %v, want %v", at, c.at)
			}
			if c.at == nil {
				if got, want := at[1]-at[0], ns(49.7 + 6 + 17 + 7)[0]; got != want {
					t.Errorf("with five further cores waiting the transfer took %v, want %v", got, want)
				}
			}
		})
	}
}

// TestSharedLineIsReadAtOnce lets many cores read a line that some have: they do not
// queue.
func TestSharedLineIsReadAtOnce(t *testing.T) {
	m := oddMachine()
	s := newSystem(t, m, 0, "refcount", Config{Observer: &recorder{}})
	s.source, s.due = &list{}, Never
	l := newLine(TreeRoot)
	s.own(&l, 0, store, 0)
	s.own(&l, 1, load, 0)
	var at []Time
	for _, cpu := range []int32{2, 3, 4} {
		task := s.NewTask(cpu, cpu)
		task.state = running
		s.touch(task, &l, load, func(s *System, t *Task) { at = append(at, s.now) })
	}
	for !s.events.empty() || s.direct != nil {
		stepOnce(s)
	}
	// From the one that read it last: 2 and 3 are near 1, and 3 near 2.
	want := []Time{29*Nanosecond + 4*Nanosecond, 71*Nanosecond + 4*Nanosecond, 173*Nanosecond + 4*Nanosecond}
	if !slices.Equal(at, want) {
		t.Errorf("read at %v, want %v", at, want)
	}
}

// TestOwnedLineIsReadOneAtATime lets two cores read a line that one core has written,
// whichever: the second waits for the first.
func TestOwnedLineIsReadOneAtATime(t *testing.T) {
	m := oddMachine()
	for owner := range int32(2) {
		s := newSystem(t, m, 0, "refcount", Config{Observer: &recorder{}})
		s.source, s.due = &list{}, Never
		l := newLine(TreeRoot)
		s.own(&l, 5, load, 0) // and was shared before
		s.own(&l, 6, load, 0)
		s.own(&l, owner, store, 0)
		var at []Time
		for _, cpu := range []int32{2, 3} {
			task := s.NewTask(cpu, cpu)
			task.state = running
			s.touch(task, &l, load, func(s *System, t *Task) { at = append(at, s.now) })
		}
		for !s.events.empty() || s.direct != nil {
			stepOnce(s)
		}
		// 71 ns from the other L3; then it is shared, and near: 29 ns, of which a request that queued has 0.7.
		if want := []Time{75 * Nanosecond, 75*Nanosecond + 20_300 + 4*Nanosecond}; !slices.Equal(at, want) {
			t.Errorf("written by CPU %d: read at %v, want %v", owner, at, want)
		}
	}
}

// TestFarthestOfManySharers has a line shared by cores of which one is far, in the
// first and the second 64 cores: to write it takes as long as that one is away.
func TestFarthestOfManySharers(t *testing.T) {
	m := oddMachine()
	m.CoresPerSocket, m.CoresPerL3, m.SMT = 80, 40, 1
	m.Turbo = []TurboStep{{80, 1_000_000}}
	s := newSystem(t, m, 0, "refcount", Config{Observer: &recorder{}})
	for _, c := range []struct {
		writer  int32
		readers []int32
		want    Distance
	}{
		{0, []int32{0}, Own}, {0, []int32{0, 39}, Cluster}, {0, []int32{0, 40, 1}, Socket}, {0, []int32{0, 79}, Socket},
		{0, []int32{1, 80}, Remote}, {70, []int32{70, 79}, Cluster}, {70, []int32{70, 6}, Socket}, {100, []int32{100, 159}, Socket},
		{100, []int32{100, 101, 36}, Remote}, {159, []int32{158, 128}, Cluster},
	} {
		l := newLine(TreeRoot)
		for _, cpu := range c.readers {
			s.own(&l, cpu, load, 0)
		}
		if got := s.farthest(&l, c.writer); got != c.want {
			t.Errorf("from %d to the farthest of %v: %d, want %d", c.writer, c.readers, got, c.want)
		}
	}
}

// TestStoresDrainBeforeAnAtomic holds that an atomic waits for the stores of its
// thread, and a barrier too.
func TestStoresDrainBeforeAnAtomic(t *testing.T) {
	m := oddMachine()
	for _, barrier := range []bool{false, true} {
		s := newSystem(t, m, 0, "refcount", Config{Observer: &recorder{}})
		s.source, s.due = &list{}, Never
		far, own := newLine(OwnerLine), newLine(CountLine)
		s.own(&far, 4, store, 0)
		s.own(&own, 0, rmw, 0)
		task := s.NewTask(0, 0)
		task.state = running
		ended := Time(-1)
		done := func(s *System, t *Task) { ended = s.now }
		s.touch(task, &far, store, func(s *System, t *Task) {
			if s.now != 3*Nanosecond {
				panic(fmt.Sprintf("the thread went on at %v", s.now))
			}
			if barrier {
				s.drainStores(t, done)
				return
			}
			s.touch(t, &own, rmw, done)
		})
		for !s.events.empty() || s.direct != nil {
			stepOnce(s)
		}
		// The store: 3 cycles, 7 ns for the other's dirty line, 173 ns from the other socket.
		want := 183 * Nanosecond
		if !barrier {
			want += 17 * Nanosecond
		}
		if ended != want {
			t.Errorf("barrier %v: went on at %v, want %v", barrier, ended, want)
		}
		if n := s.stats[CountLine].Accesses; !barrier && n != 1 {
			t.Errorf("the atomic counts as %d accesses", n)
		}
	}
}

// TestLinePairs holds who a line is said to be fought for by, worked out by hand: what is
// read had to come because of the newest store, what is written because of who had it last.
func TestLinePairs(t *testing.T) {
	m := oddMachine()
	s := newSystem(t, m, 0, "refcount", Config{Observer: &recorder{}})
	s.source, s.due = &list{}, Never
	l := newLine(TreeRoot)
	for i, a := range []struct {
		cpu   int32
		kind  access
		label uint8
	}{
		{0, store, 1}, // nobody had it
		{1, load, 2},  // 1 had written it
		{4, load, 2},  // so it had for this one, though 2 had it last
		{5, rmw, 3},   // 2 had it
		{5, rmw, 4},   // it is there
		{0, store, 1}, // 4 had it
	} {
		task := s.NewTask(int32(i), a.cpu)
		task.state, task.op.Label = running, a.label
		s.touch(task, &l, a.kind, func(*System, *Task) {})
		task.op.Label = 9 // a buffered store is still of the operation that made it
		for s.direct != nil || !s.events.empty() {
			stepOnce(s)
		}
	}
	want := map[[2]uint8]int64{{1, 2}: 2, {2, 3}: 1, {4, 1}: 1}
	got := map[[2]uint8]int64{}
	var sum LineStats
	for _, p := range s.LinePairs() {
		if p.Role != TreeRoot || p.Stall <= 0 {
			t.Errorf("%+v", p)
		}
		got[[2]uint8{p.Had, p.Took}] = p.Transfers
		sum.Transfers, sum.Stall = sum.Transfers+p.Transfers, sum.Stall+p.Stall
	}
	if !maps.Equal(got, want) {
		t.Errorf("transfers by who had it and who took it: %v, want %v", got, want)
	}
	if all := s.stats[TreeRoot]; sum.Transfers != all.Transfers || sum.Stall != all.Stall {
		t.Errorf("pairs come to %+v, the line to %+v", sum, all)
	}
}
