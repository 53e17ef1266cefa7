package reports

import (
	"fmt"
	"slices"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// dice is a fixed sequence of numbers.
type dice uint64

func (d *dice) roll(n int64) int64 {
	*d = *d*6364136223846793005 + 1442695040888963407
	return int64(uint64(*d)>>33) % n
}

var (
	mallocStack = []string{"malloc+0x0 (/usr/lib/libc.so.6)", "std::vector<int, std::allocator<int> >::reserve(unsigned long)+0x31 (/opt/app/server)", "worker+0x88 (/opt/app/server)", "start_thread+0x2f3 (/usr/lib/libc.so.6)"}
	queryStack  = []string{"run_query+0x4 (/opt/app/server)", "0x7f31c0de1000 (/opt/app/plugin.so)", "worker+0x91 (/opt/app/server)", "start_thread+0x2f3 (/usr/lib/libc.so.6)"}
	gcStack     = []string{"__munmap+0xb (/usr/lib/libc.so.6)", "heap_trim(Heap*)+0x12c (/opt/app/server)", "gc_main+0x40 (/opt/app/server)", "start_thread+0x2f3 (/usr/lib/libc.so.6)"}
)

// builder makes a Run out of single hits, as replay does.
type builder struct {
	run     replay.Run
	resolve []sim.Time
	waits   []sim.Time
	samples map[string]int
}

func newBuilder(resolver string) *builder {
	const step = 50 * sim.Microsecond
	b := &builder{samples: map[string]int{}}
	b.run = replay.Run{Resolver: resolver, Makespan: 40*step - 7, Series: replay.Series{Step: step, Slices: make([]replay.Slice, 40)}}
	return b
}

// hit adds one hit of thread n, which arrived at at.
func (b *builder) hit(n int, at sim.Time, o sim.Outcome, p sim.Parts, transfers int64) {
	r := &b.run
	r.Hits++
	r.Lookups++
	r.Outcomes[o]++
	r.Parts.Add(&p)
	r.LineTransfers += transfers
	b.resolve = append(b.resolve, p.Resolve())
	if o != sim.Lockless {
		b.waits = append(b.waits, p.LockWait)
	}
	s := replay.Sample{
		Stack: mallocStack, Probe: "libc:malloc", Comm: fmt.Sprintf("worker/%d", n), PID: 700, TID: int32(701 + n), CPU: n % 4, Outcome: o,
	}
	if n%2 == 1 {
		s.Stack, s.Probe = queryStack, "app:run_query"
	}
	key := fmt.Sprint(n, o)
	i, ok := b.samples[key]
	if !ok {
		i = len(r.Samples)
		b.samples[key] = i
		r.Samples = append(r.Samples, s)
	}
	sample := &r.Samples[i]
	sample.Hits++
	sample.Parts.Add(&p)
	sample.LineTransfers += transfers
	slice := &r.Series.Slices[at/r.Series.Step]
	slice.Outcomes[o]++
	slice.LockWait += p.LockWait
	slice.Resolve += p.Resolve()
	b.probe(s.Probe, o, p)
	b.thread(&s, o, p)
}

func (b *builder) thread(s *replay.Sample, o sim.Outcome, p sim.Parts) {
	for len(b.run.CPUs) <= s.CPU {
		b.run.CPUs = append(b.run.CPUs, replay.CPURow{CPU: len(b.run.CPUs)})
	}
	c := &b.run.CPUs[s.CPU]
	c.Hits++
	c.Outcomes[o]++
	addTimes(&c.Times, o, p)
	i := slices.IndexFunc(b.run.Threads, func(t replay.ThreadRow) bool { return t.TID == s.TID })
	if i < 0 {
		i = len(b.run.Threads)
		b.run.Threads = append(b.run.Threads, replay.ThreadRow{Comm: s.Comm, PID: s.PID, TID: s.TID})
	}
	t := &b.run.Threads[i]
	t.Hits++
	t.Outcomes[o]++
	addTimes(&t.Times, o, p)
}

// addTimes adds a hit to a row; of its percentiles there is but one.
func addTimes(t *replay.HitTimes, o sim.Outcome, p sim.Parts) {
	add := func(d *dist.Dist, time sim.Time) {
		d.Count++
		d.Total += time
		d.Max = max(d.Max, time)
		d.P50, d.P90, d.P99 = d.Mean(), d.Max, d.Max
	}
	add(&t.Resolve, p.Resolve())
	if o != sim.Lockless {
		add(&t.LockWait, p.LockWait)
	}
	low := sim.Nanosecond
	for 2*low <= p.Resolve() {
		low *= 2
	}
	i, there := slices.BinarySearchFunc(t.Hist, low, func(b dist.Bin, low sim.Time) int { return int(b.Low/sim.Nanosecond) - int(low/sim.Nanosecond) })
	if !there {
		t.Hist = slices.Insert(t.Hist, i, dist.Bin{Low: low, High: 2 * low})
	}
	t.Hist[i].Count++
}

func (b *builder) probe(name string, o sim.Outcome, p sim.Parts) {
	for i := range b.run.Probes {
		if row := &b.run.Probes[i]; row.Probe == name {
			row.Hits++
			row.Events++
			row.Outcomes[o]++
			row.Parts.Add(&p)
			addTimes(&row.Times, o, p)
			return
		}
	}
	row := replay.ProbeRow{Probe: name, Events: 1, Hits: 1, Parts: p}
	row.Outcomes[o]++
	addTimes(&row.Times, o, p)
	b.run.Probes = append(b.run.Probes, row)
}

func distOf(times []sim.Time) dist.Dist {
	if len(times) == 0 {
		return dist.Dist{}
	}
	slices.Sort(times)
	d := dist.Dist{Count: int64(len(times)), Max: times[len(times)-1]}
	for _, t := range times {
		d.Total += t
	}
	at := func(percent int) sim.Time { return times[(len(times)-1)*percent/100] }
	d.P50, d.P90, d.P99 = at(50), at(90), at(99)
	return d
}

// finish completes the run with the parts that no test adds up.
func (b *builder) finish() replay.Run {
	r := &b.run
	r.Resolve, r.LockWait = distOf(b.resolve), distOf(b.waits)
	for low := sim.Time(1); low < 1<<40; low *= 2 {
		bin := dist.Bin{Low: low, High: 2 * low}
		for _, t := range b.resolve {
			if t >= bin.Low && t < bin.High {
				bin.Count++
			}
		}
		if bin.Count > 0 {
			r.ResolveHist = append(r.ResolveHist, bin)
		}
	}
	r.Mms = []replay.MmRow{{PID: 700, Comm: "server", Hits: r.Hits, Outcomes: r.Outcomes, Writers: 44, Wait: r.Parts.LockWait}}
	return *r
}

// lockedRun is a run in which every hit takes the lock.
func lockedRun() replay.Run {
	b, d := newBuilder("locked"), dice(1)
	b.run.Low, b.run.High = 2000, 2012
	b.run.Digest = 0x00ab54a98ceb1f0a
	for i := range 2000 {
		p := sim.Parts{Lookup: 90_000 + sim.Time(d.roll(40_000)), Stall: sim.Time(d.roll(400_000)), Handler: 250_123}
		p.LockHold = p.Lookup - 20_000
		if i%10 == 0 {
			p.LockWait = 2*sim.Microsecond + sim.Time(d.roll(9_000_000))
		}
		b.hit(i%8, sim.Time(i)*sim.Microsecond, sim.Unconfigured, p, 3)
	}
	b.run.Blame = []replay.Blame{{
		Comm: "gc", PID: 700, TID: 720, Kind: "munmap", Stack: gcStack, Writers: 1, Sections: 40, Hold: 400 * sim.Microsecond,
		Wait: b.run.Parts.LockWait,
	}}
	b.run.WriterWait = distOf([]sim.Time{0, 0, 1_500_000, 22_000_000})
	b.run.Lines = []replay.LineRow{
		{Line: "mmap_lock.count", Accesses: 4000, Transfers: 3900, Stall: 350 * sim.Microsecond, Pairs: []replay.LinePair{{Had: "lookup", Took: "lookup", Transfers: 3700, Stall: 320 * sim.Microsecond}, {Had: "lookup", Took: "munmap", Transfers: 100, Stall: 20 * sim.Microsecond}, {Had: "munmap", Took: "lookup", Transfers: 100, Stall: 10 * sim.Microsecond}}},
		{Line: "mmap_lock.owner+mm_lock_seq", Accesses: 2000, Transfers: 1900, Stall: 48 * sim.Microsecond, Pairs: []replay.LinePair{{Had: "lookup", Took: "lookup", Transfers: 1900, Stall: 48 * sim.Microsecond}}},
		{Line: "maple root", Accesses: 2000, Transfers: 200, Stall: 900 * sim.Nanosecond, Pairs: []replay.LinePair{{Had: "munmap", Took: "lookup", Transfers: 200, Stall: 900 * sim.Nanosecond}}},
	}
	return b.finish()
}

// speculativeRun is a run in which some hits fall back, mostly early on.
func speculativeRun() replay.Run {
	b, d := newBuilder("speculative"), dice(2)
	b.run.Digest = 0x9e3779b97f4a7c15
	b.run.Undecided = 3
	for i := range 2000 {
		o, p := sim.Lockless, sim.Parts{Lookup: 60_000 + sim.Time(d.roll(20_000)), Stall: sim.Time(d.roll(9_000)), Handler: 250_123}
		if i < 1000 && i%16 == 0 || i%128 == 0 {
			o = sim.WriterActive + sim.Outcome(d.roll(2))
			p.Wasted = 10_000 + sim.Time(d.roll(30_000))
			p.Lookup += 70_000
			p.LockHold = 50_007
			p.LockWait = sim.Time(d.roll(30_000_000))
		}
		b.hit(i%8, sim.Time(i)*sim.Microsecond, o, p, 1)
	}
	b.run.Low = b.run.Fallbacks() - 2
	b.run.High = b.run.Low + b.run.Undecided + 12
	b.blame()
	b.run.WriterWait = distOf([]sim.Time{0, 0, 0, 9_000_001})
	b.run.Lines = []replay.LineRow{
		{Line: "mmap_lock.owner+mm_lock_seq", Accesses: 4100, Transfers: 300, Stall: 30 * sim.Microsecond, Pairs: []replay.LinePair{{Had: "munmap", Took: "lookup", Transfers: 290, Stall: 29 * sim.Microsecond}, {Had: "mmap", Took: "lookup", Transfers: 10, Stall: sim.Microsecond}}},
		{Line: "mmap_lock.count", Accesses: 140, Transfers: 120, Stall: 9 * sim.Microsecond, Pairs: []replay.LinePair{{Had: "lookup", Took: "lookup", Transfers: 120, Stall: 9 * sim.Microsecond}}},
	}
	return b.finish()
}

// blame shares the fallbacks between two writers and puts some on the timeline.
func (b *builder) blame() {
	r := &b.run
	gc := replay.Blame{
		Comm: "gc", PID: 700, TID: 720, Kind: "munmap", Stack: gcStack, Writers: 1, Sections: 40,
		Hold: 400*sim.Microsecond + 1, Fallbacks: r.Fallbacks() - 5, Wait: r.Parts.LockWait - 3*sim.Microsecond, Wasted: r.Parts.Wasted - 777,
	}
	loader := replay.Blame{
		Comm: "load\x1b[er", PID: 700, TID: 733, Kind: "mmap", Writers: 1, Sections: 4, Hold: 12 * sim.Microsecond,
		Fallbacks: 5, Wait: 3 * sim.Microsecond, Wasted: 777,
	}
	r.Blame = []replay.Blame{gc, loader}
	for i := range 20 {
		at := sim.Time(i) * 48 * sim.Microsecond
		r.Series.Slices[at/r.Series.Step].Held += 10 * sim.Microsecond
		section := replay.Span{
			Kind: replay.SectionSpan, PID: 700, TID: 720, Comm: "gc", CPU: 3, Start: at, LockedAt: at + 500_000, End: at + 11*sim.Microsecond, Op: "munmap",
		}
		hit := replay.Span{
			Kind: replay.FallbackSpan, PID: 700, TID: 701, Comm: "worker/0", CPU: 0, Start: at + 2*sim.Microsecond, LockedAt: at + 12*sim.Microsecond,
			End: at + 12_100_000, Probe: "libc:malloc", Outcome: sim.WriterActive, Blame: 2 * i,
		}
		r.Spans = append(r.Spans, section, hit)
	}
	r.Spans[len(r.Spans)-1].Blame = -1
	r.SpansDropped = 6
}

// fixture is a Result with two runs over one trace.
func fixture() *replay.Result {
	return &replay.Result{
		Trace: replay.TraceSummary{
			Path: "server.parquet", SHA256: "5f3c0f4d1f1a7b5a0d4b3f2e1c0b9a8f7e6d5c4b3a2f1e0d9c8b7a6f5e4d3c2b",
			Events: 92_341, Hits: 2000, HitEvents: 2000, Writers: 44, Mms: 1, Threads: 10, DurationNs: 2_000_000,
			Lost: 12, Losses: []timeline.Loss{{From: 610_000, To: 650_000, CPU: 1, Events: 9}, {From: 1_400_000, To: 1_400_000, CPU: -1, Events: 3}}, LossyNs: 42_000, Undecided: 2,
			Arrivals: replay.Split{Observed: 70, Modelled: 1930}, Sections: replay.Split{Observed: 40, Modelled: 4},
		},
		Machine:  replay.MachineSummary{Name: "generic", CPUs: 4, Sockets: 1, SMT: 1},
		Options:  replay.Options{Resolvers: []string{"locked", "speculative"}, SpeedPPM: 1_500_000, Clone: 1, Seed: 42},
		Runs:     []replay.Run{lockedRun(), speculativeRun()},
		Warnings: []string{"12 of 92,341 events were lost; 3 hits are undecided"},
	}
}

// untoldResult is of a trace that cannot tell what the runs rest on, nor its losses.
func untoldResult() *replay.Result {
	res := fixture()
	res.Unknown = []replay.Unknown{
		{What: replay.UnknownWriters, Why: "nothing that changes address spaces was recorded", Remedy: "record the entries and exits of mmap, munmap and so on, or mmap_lock events, as replay capture does"},
		{What: replay.UnknownOutcomes, Why: "no lock events were recorded", Remedy: "record mmap_lock events, as replay capture does"},
		{What: replay.UnknownProcesses, Why: "2000 of 2044 hits and changes of address spaces do not say which process they are of", Remedy: "print the process too: perf script -F comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso"},
		{What: replay.UnknownLosses, Why: "the text does not show them", Remedy: "print with perf script --show-lost-events"},
	}
	res.Trace.Lost, res.Trace.Losses, res.Warnings = 0, nil, nil
	return res
}

// emptyResult is the least that a report must be able to say.
func emptyResult() *replay.Result {
	return &replay.Result{
		Trace:   replay.TraceSummary{Path: "none.parquet"},
		Machine: replay.MachineSummary{Name: "generic", CPUs: 1, Sockets: 1, SMT: 1},
		Options: replay.Options{SpeedPPM: 1_000_000, Clone: 1},
		Runs:    []replay.Run{{Resolver: "speculative"}},
	}
}

// recordedResult is the fixture with lock events.
func recordedResult() *replay.Result {
	res := fixture()
	res.Recorded = &timeline.Recording{
		Hits: 2000, Lookups: 2000, Outcomes: true, Fallbacks: 70,
		LockWait:   distOf([]sim.Time{4 * sim.Microsecond, 8 * sim.Microsecond, 300 * sim.Microsecond}),
		ReaderWait: distOf([]sim.Time{4 * sim.Microsecond, 6 * sim.Microsecond}), WriterWait: distOf([]sim.Time{5 * sim.Microsecond, 12 * sim.Millisecond}),
		Unblocked: distOf([]sim.Time{4 * sim.Microsecond, 4 * sim.Microsecond, 5 * sim.Microsecond}), Foreign: 11 * sim.Millisecond, Refused: 2, Unended: 1,
		Waiters: []timeline.Waiter{
			{Comm: "gc", PID: 700, TID: 720, Access: timeline.WriteAccess, Wait: distOf([]sim.Time{5 * sim.Microsecond, 12 * sim.Millisecond})},
			{Comm: "worker", PID: 700, TID: 701, Access: timeline.LookupAccess, Wait: distOf([]sim.Time{4 * sim.Microsecond, 300 * sim.Microsecond})},
			{Comm: "worker", PID: 700, TID: 702, Access: timeline.LookupAccess, Wait: distOf([]sim.Time{8 * sim.Microsecond})},
			{Comm: "load\x1b[er", PID: timeline.NoPID, TID: 733, Access: timeline.ReadAccess, Wait: distOf([]sim.Time{4 * sim.Microsecond, 6 * sim.Microsecond})},
		},
		Holders: []timeline.Holder{
			{Comm: "cat", PID: 900, TID: 900, Kind: "/proc maps", Stack: smapsStack, Hold: distOf([]sim.Time{11 * sim.Millisecond}), Blocked: 1, BlockedTime: 11 * sim.Millisecond},
			{Comm: "gc", PID: 700, TID: 720, Kind: "munmap", Write: true, Stack: gcStack, Hold: distOf([]sim.Time{sim.Microsecond, 280 * sim.Microsecond}), Blocked: 2, BlockedTime: 281 * sim.Microsecond},
			{Comm: "worker", PID: timeline.NoPID, TID: 701, Kind: "unknown", Hold: distOf([]sim.Time{sim.Microsecond}), Blocked: 1, BlockedTime: 400 * sim.Nanosecond},
		},
	}
	longest := res.Recorded.Holders[0]
	longest.Hold, longest.Blocked, longest.BlockedTime = dist.Dist{}, 0, 0
	res.Recorded.Longest = &timeline.LongestWait{
		Comm: "gc", PID: 700, TID: 720, Access: timeline.WriteAccess, Kind: "munmap", At: 900 * sim.Microsecond, Wait: 12 * sim.Millisecond,
		InWay: 10*sim.Millisecond + 500*sim.Microsecond, Holder: &longest, HolderFor: 10 * sim.Millisecond, Hold: 11 * sim.Millisecond,
	}
	r := res.Recorded
	r.InWay = timeline.ByAccess{Lookup: 301 * sim.Microsecond, Write: 11 * sim.Millisecond}
	r.OverTime = timeline.LockSeries{Step: sim.Millisecond, Slices: []timeline.LockSlice{
		{Waited: timeline.ByAccess{Lookup: 312 * sim.Microsecond, Read: 10 * sim.Microsecond, Write: 105 * sim.Microsecond}, WriteHeld: 281 * sim.Microsecond},
		{Waited: timeline.ByAccess{Write: sim.Millisecond}, ReadHeld: sim.Millisecond},
	}}
	smaps := &timeline.Hold{Comm: "cat", PID: 900, TID: 900, Kind: "/proc maps", Stack: smapsStack, Seq: 40, At: 800 * sim.Microsecond, For: 11 * sim.Millisecond, Blocked: 1}
	munmap := &timeline.Hold{Comm: "gc", PID: 700, TID: 720, CPU: 1, Kind: "munmap", Write: true, Stack: gcStack, Seq: 10, At: 300 * sim.Microsecond, For: 280 * sim.Microsecond, Blocked: 1}
	open := &timeline.Hold{Comm: "worker", PID: timeline.NoPID, TID: 701, CPU: -1, Kind: "unknown", Seq: 20, At: 290 * sim.Microsecond, Blocked: 1}
	slow := &timeline.Wait{
		Comm: "gc", PID: 700, TID: 720, CPU: 1, WokeOn: 1, Access: timeline.WriteAccess, Kind: "munmap", Stack: gcStack, Seq: 41, At: 900 * sim.Microsecond, For: 12 * sim.Millisecond,
		InWay: 10*sim.Millisecond + 500*sim.Microsecond, Behind: []timeline.Behind{{Hold: smaps, From: 900 * sim.Microsecond, For: 10*sim.Millisecond + 500*sim.Microsecond}},
	}
	lookup := &timeline.Wait{
		Comm: "worker", PID: 700, TID: 701, CPU: 0, WokeOn: 2, Access: timeline.LookupAccess, Kind: "uprobe", Seq: 12, At: 299 * sim.Microsecond, For: 300 * sim.Microsecond,
		InWay: 281 * sim.Microsecond, Behind: []timeline.Behind{{Hold: open, From: 299 * sim.Microsecond, For: sim.Microsecond}, {Hold: munmap, From: 300 * sim.Microsecond, For: 280 * sim.Microsecond}},
	}
	r.Worst = []*timeline.Wait{slow, lookup}
	r.Waits, r.Holds = []*timeline.Wait{lookup, slow}, []*timeline.Hold{open, munmap, smaps}
	return res
}

// smapsStack is that of a reader of /proc/PID/smaps.
var smapsStack = []string{
	"__mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])", "m_start+0x1d5 ([kernel.kallsyms])", "seq_read_iter+0x108 ([kernel.kallsyms])",
	"__libc_read+0xd (/usr/lib/libc.so.6)",
}

// unknownResult has lock events that do not tell what they are of.
func unknownResult() *replay.Result {
	res := recordedResult()
	res.Recorded.Outcomes, res.Recorded.Longest.Holder = false, nil
	res.Unknown = []replay.Unknown{{What: replay.UnknownOutcomes, Why: "the lock events have no callchain", Remedy: "record one"}}
	return res
}

// hitlessResult has lock events and no hit.
func hitlessResult() *replay.Result {
	res := recordedResult()
	r := res.Recorded
	res.Runs, res.Trace.Hits, res.Trace.HitEvents, res.Trace.Arrivals = nil, 0, 0, replay.Split{}
	r.Hits, r.Lookups, r.Fallbacks, r.LockWait = 0, 0, 0, dist.Dist{}
	return res
}
