package replay

import (
	"slices"
	"sync"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// lockRows makes rows of threads that take mmap_lock, from times in µs.
type lockRows struct{ rows []traces.Event }

func (l *lockRows) add(kind traces.Kind, tid int32, us float64, write bool) *traces.Event {
	l.rows = append(l.rows, traces.Event{
		Kind: kind, Time: 1_000_000 + int64(us*1000), CPU: tid % 2, PID: 1, TID: tid, Comm: "app", Mm: 7, Write: write,
		Has: traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColMm | traces.ColWrite,
	})
	return &l.rows[len(l.rows)-1]
}

// hold is a section, downgraded at a time or, where that is 0, not.
func (l *lockRows) hold(tid int32, write bool, asked, got, downgraded, released float64) {
	l.add(traces.LockStart, tid, asked, write)
	l.add(traces.LockAcquired, tid, got, write)
	if downgraded > 0 {
		l.add(traces.LockAcquired, tid, downgraded, false)
	}
	l.add(traces.LockReleased, tid, released, write && downgraded == 0)
}

// trace has one hit, and first what nobody waits for: it tells what recording takes.
func (l *lockRows) trace() *replaytest.Memory {
	for i := range 40 {
		at := float64(-900 + 20*i)
		l.hold(10, true, at, at+0.5, 0, at+2)
	}
	hit := l.add(traces.Hit, 9, -950, false)
	hit.Addr, hit.Probe, hit.Path = 0x1000, "app:f", "/app"
	hit.Has |= traces.ColAddr | traces.ColProbe | traces.ColPath
	slices.SortStableFunc(l.rows, func(a, b traces.Event) int { return int(a.Time - b.Time) })
	for i := range l.rows {
		l.rows[i].Seq = int64(i)
	}
	return replaytest.Made(l.rows)
}

// turnsOf replays a trace, and returns how long each thread waited for its section and had
// it, in µs.
func turnsOf(t *testing.T, trace timeline.Trace, whatIf string) (waits, gots map[int32]float64) {
	t.Helper()
	s, err := timeline.TakeSurvey(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	profile, options := replaytest.Machine(t), DefaultOptions()
	if whatIf != "" {
		rule, err := whatif.Parse(whatIf)
		if err != nil {
			t.Fatal(err)
		}
		options.WhatIf = append(options.WhatIf, rule)
	}
	topo, err := Topology(profile, &options, s)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := timeline.Reconstruct(t.Context(), trace, s, timeline.Config{Using: timeline.Everything, Profile: profile, Queue: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	waits, gots = map[int32]float64{}, map[int32]float64{}
	shared := timeline.Share(t.Context(), rec, 1)
	p, err := NewPlayer(shared.Reader(0), topo, s, PlayerConfig{Resolver: "speculative", Options: &options, EachSection: func(x *sim.Section) {
		if o := x.Op.Tag.(*timeline.Origin); o.TID < 9 {
			waits[o.TID] = float64((x.Acquired - x.Requested).Nanos()) / 1000
			gots[o.TID] = float64(x.Acquired.Nanos())/1000 - 950
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var feed sync.WaitGroup
	feed.Go(shared.Feed)
	defer feed.Wait()
	if _, err := p.Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	return waits, gots
}

func near(a, b, by float64) bool { return a-b <= by && b-a <= by }

// Threads queue for the lock from when they asked for it, in turn, and wake up as they did:
// a writer, a reader behind it and a writer behind both. What the first one did not have
// they do not wait for, and what it has longer they wait for as well.
func TestQueueOfWriters(t *testing.T) {
	var l lockRows
	l.hold(1, true, 0, 0.5, 0, 100)
	l.hold(2, true, 20, 131, 0, 150)
	l.hold(3, false, 30, 181, 0, 190)
	l.hold(4, true, 40, 221, 0, 240)
	trace := l.trace()
	waits, gots := turnsOf(t, trace, "")
	for tid, got := range map[int32]float64{1: 0.5, 2: 131, 3: 181, 4: 221} {
		if !near(gots[tid], got, 1.5) {
			t.Errorf("thread %d has it at %.1f µs, as recorded %.1f", tid, gots[tid], got)
		}
	}
	for tid, wait := range map[int32]float64{1: 0, 2: 110.5, 3: 150.5, 4: 180.5} {
		if !near(waits[tid], wait, 1.5) {
			t.Errorf("thread %d waits %.1f µs, want %.1f", tid, waits[tid], wait)
		}
	}
	waits, _ = turnsOf(t, trace, "other by tid=1: drop")
	if waits[2] > 1 {
		t.Errorf("without the first: thread 2 waits %.1f µs", waits[2])
	}
	longer, _ := turnsOf(t, trace, "other by tid=1: scale 3")
	for _, tid := range []int32{2, 3, 4} {
		if longer[tid] < 150 || longer[2] < 300 {
			t.Errorf("behind a hold three times as long: thread %d waits %.1f µs", tid, longer[tid])
		}
	}
}

// A downgrade lets in who waits to read, and nobody who waits to write: that one waits for
// the reader, too.
func TestQueueAtDowngrade(t *testing.T) {
	var l lockRows
	l.hold(1, true, 0, 0.5, 50, 100)
	l.hold(2, false, 20, 80, 0, 130)
	l.hold(4, true, 40, 160, 0, 170)
	waits, gots := turnsOf(t, l.trace(), "")
	if !near(waits[2], 59.5, 2) || !near(gots[2], 80, 2) {
		t.Errorf("the reader waits %.1f µs, to %.1f", waits[2], gots[2])
	}
	if !near(waits[4], 119.5, 2) || !near(gots[4], 160, 2) {
		t.Errorf("the writer waits %.1f µs, to %.1f", waits[4], gots[4])
	}
}

// Who was let in and did not run, since another thread had its CPU, waits until it does; a
// writer does not keep others from the lock meanwhile, a reader that was let in does. So does
// a holder that was preempted.
func TestQueueWithoutCPU(t *testing.T) {
	var l lockRows
	l.hold(1, true, 0, 0.5, 0, 3000) // preempted
	l.hold(2, true, 20, 7000, 0, 7010)
	l.hold(3, true, 3100, 3100.5, 0, 3200)
	waits, gots := turnsOf(t, l.trace(), "")
	if !near(waits[2], 6979.5, 3) || !near(gots[2], 7000, 3) {
		t.Errorf("the writer without a CPU waits %.1f µs, to %.1f", waits[2], gots[2])
	}
	if waits[3] > 3 {
		t.Errorf("one that comes meanwhile waits %.1f µs", waits[3])
	}
	var r lockRows
	r.hold(1, true, 0, 0.5, 0, 100)
	r.hold(2, false, 20, 3000, 0, 3010)
	r.hold(3, true, 200, 3030, 0, 3050)
	if waits, _ := turnsOf(t, r.trace(), ""); !near(waits[2], 2979.5, 3) || !near(waits[3], 2829.5, 25) {
		t.Errorf("a reader that was let in waits %.1f µs, and the writer after it %.1f", waits[2], waits[3])
	}
}

// Simulated waits of hits and writers are near those that were recorded, where somebody was
// seen with the lock, and most of these are there.
func TestQueueOnRecordings(t *testing.T) {
	for name, least := range map[string]float64{
		"javac": 0.5, "locks-jem": 0.5, "locks-node": 0.5, "stamped-1x1": 0.5, "stamped-1x3": 0.5, "zen3-jem": 0.5, "zen3-node": 0.5,
	} {
		t.Run(name, func(t *testing.T) {
			res := speculative(t, replaytest.Corpus(t, name))
			left, ok := res.LeftOut()
			recorded := res.Recorded.LockWait.Total + res.Recorded.ReaderWait.Total + res.Recorded.WriterWait.Total - left
			simulated := res.Runs[0].LockWait.Total + res.Runs[0].WriterWait.Total
			share := float64(simulated) / float64(recorded)
			t.Logf("%.2f", share)
			if !ok || share < least || share > 1.1 {
				t.Errorf("%v simulated and %v recorded: %.2f", simulated, recorded, share)
			}
		})
	}
}

// Without lock events calls queue from where they get to the lock, behind those that leave the
// kernel before them. Writers wait about as long as they do in a replay by lock events, and
// about as many lookups fall back as did: calls that queue do not have the lock meanwhile.
func TestQueueOfCalls(t *testing.T) {
	for _, name := range []string{"locks-jem", "locks-node", "stress-malloc-z", "zen3-1x3", "zen3-jem", "zen3-node"} {
		t.Run(name, func(t *testing.T) {
			rows := slices.DeleteFunc(replaytest.Corpus(t, name).Rows(t), func(ev traces.Event) bool { return ev.Kind.IsLock() })
			by := speculative(t, replaytest.Corpus(t, name))
			without := speculative(t, replaytest.Made(rows))
			waits := float64(without.Runs[0].WriterWait.Total) / float64(by.Runs[0].WriterWait.Total)
			fallbacks := float64(without.Runs[0].LookupFallbacks) / float64(by.Recorded.Fallbacks)
			t.Logf("writers wait %.2f times as long, %.2f times as many lookups fall back", waits, fallbacks)
			if _, ok := without.LeftOut(); ok || waits < 0.25 || waits > 1.5 {
				t.Errorf("without lock events writers wait %v, with them %v", without.Runs[0].WriterWait.Total, by.Runs[0].WriterWait.Total)
			}
			if fallbacks < 0.33 || fallbacks > 2 {
				t.Errorf("without lock events %d lookups fall back, of the recorded ones %d did", without.Runs[0].LookupFallbacks, by.Recorded.Fallbacks)
			}
		})
	}
	// A recording without lock events: 122 of its lookups fell back.
	if n := speculative(t, replaytest.Corpus(t, "light-jem")).Runs[0].LookupFallbacks; n < 61 || n > 244 {
		t.Errorf("light-jem: %d lookups fall back", n)
	}
}
