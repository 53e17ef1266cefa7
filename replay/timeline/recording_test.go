package timeline

import (
	"context"
	"io"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// lockSpan is a wait or a part of a hold, as the oracle sees it.
type lockSpan struct {
	tid      int32
	mm       uint64
	write    bool // asked for, or held
	from, to int64
	hold     int // number of the hold that it is a part of
}

// oracle finds all waits and holds of rows by looking at one thread and address
// space at a time.
func oracle(rows []traces.Event) (waits, holds []lockSpan, lengths []int64) {
	type key struct {
		tid int32
		mm  uint64
	}
	var keys []key
	byKey := map[key][]traces.Event{}
	for _, ev := range rows {
		if ev.Kind.IsLock() && !refused(&ev) {
			k := key{ev.TID, ev.Mm}
			if byKey[k] == nil {
				keys = append(keys, k)
			}
			byKey[k] = append(byKey[k], ev)
		}
	}
	for _, k := range keys {
		own := byKey[k]
		for i, ev := range own {
			if ev.Kind != traces.LockAcquired || i > 0 && own[i-1].Kind == traces.LockAcquired {
				continue
			}
			if i > 0 && own[i-1].Kind == traces.LockStart {
				waits = append(waits, lockSpan{k.tid, k.mm, own[i-1].Write, own[i-1].Time, ev.Time, 0})
			}
			rest := own[i+1:]
			if len(rest) == 0 || rest[0].Kind == traces.LockAcquired && len(rest) == 1 {
				continue // no end
			}
			n := len(lengths)
			at := ev.Time
			write := ev.Write
			if rest[0].Kind == traces.LockAcquired {
				holds = append(holds, lockSpan{k.tid, k.mm, true, at, rest[0].Time, n})
				at, write, rest = rest[0].Time, false, rest[1:]
			}
			holds = append(holds, lockSpan{k.tid, k.mm, write, at, rest[0].Time, n})
			lengths = append(lengths, rest[0].Time-ev.Time)
		}
	}
	return waits, holds, lengths
}

// figures are what both the oracle and the real thing know.
type figures struct {
	write, read   int64 // ns waited
	max           int64
	blocked       map[int32]int64 // by the holder's tid: waits
	blockedNs     map[int32]int64
	held, longest map[int32]int64 // of those that blocked anybody
	unblocked     int64
}

func newFigures() figures {
	return figures{blocked: map[int32]int64{}, blockedNs: map[int32]int64{}, held: map[int32]int64{}, longest: map[int32]int64{}}
}

// oracleFigures compares every wait with every hold, instant by instant: between two
// of times nothing changes.
func oracleFigures(rows []traces.Event) figures {
	waits, holds, lengths := oracle(rows)
	var times []int64
	for _, ev := range rows {
		times = append(times, ev.Time)
	}
	slices.Sort(times)
	times = slices.Compact(times)
	f := newFigures()
	for _, w := range waits {
		ns := w.to - w.from
		if w.write {
			f.write += ns
		} else {
			f.read += ns
		}
		f.max = max(f.max, ns)
		behind := map[int32]int64{}
		first, _ := slices.BinarySearch(times, w.from)
		for i := first; i+1 < len(times) && times[i] < w.to; i++ {
			at, step := times[i], times[i+1]-times[i]
			on := func(s *lockSpan) bool { return s.mm == w.mm && s.from <= at && at < s.to }
			queued := slices.ContainsFunc(waits, func(o lockSpan) bool { return o.write && on(&o) })
			for j := range holds {
				if h := &holds[j]; on(h) && (w.write || h.write || queued) {
					behind[h.tid] += step
				}
			}
		}
		for tid, ns := range behind {
			f.blocked[tid]++
			f.blockedNs[tid] += ns
		}
		if len(behind) == 0 {
			f.unblocked += ns
		}
	}
	seen := map[int]bool{}
	for _, h := range holds {
		if f.blocked[h.tid] > 0 && !seen[h.hold] {
			seen[h.hold] = true
			f.held[h.tid] += lengths[h.hold]
			f.longest[h.tid] = max(f.longest[h.tid], lengths[h.hold])
		}
	}
	return f
}

// bookFigures are the same of a Recording, where each thread holds the lock in one
// way only.
func bookFigures(r *Recording) figures {
	f := newFigures()
	f.write, f.read = r.WriterWait.Total.Nanos(), (r.ReaderWait.Total + r.LockWait.Total).Nanos()
	f.unblocked = r.Unblocked.Total.Nanos()
	f.max = max(r.WriterWait.Max, r.ReaderWait.Max, r.LockWait.Max).Nanos()
	for _, h := range r.Holders {
		f.blocked[h.TID] += h.Blocked
		f.blockedNs[h.TID] += h.BlockedTime.Nanos()
		f.held[h.TID] += h.Hold.Total.Nanos()
		f.longest[h.TID] = max(f.longest[h.TID], h.Hold.Max.Nanos())
	}
	return f
}

// schedule draws rows of threads that take mmap_lock as an rwsem lets them. A thread
// is a reader or a writer for good, so that it is one row of the holders.
func schedule(t *rapid.T) []traces.Event {
	type thread struct {
		write  bool
		lookup bool
		mm     uint64
		state  int // 0 outside, 1 waiting, 2 holding, 3 downgraded
	}
	threads := make([]thread, rapid.IntRange(1, 7).Draw(t, "threads"))
	for i := range threads {
		threads[i] = thread{write: rapid.Bool().Draw(t, "writer"), lookup: rapid.Bool().Draw(t, "lookup"), mm: rapid.Uint64Range(1, 2).Draw(t, "mm")}
	}
	var rows []traces.Event
	now := int64(100)
	for range rapid.IntRange(0, 120).Draw(t, "steps") {
		now += rapid.Int64Range(0, 5).Draw(t, "gap")
		i := rapid.IntRange(0, len(threads)-1).Draw(t, "thread")
		th := &threads[i]
		ev := traces.Event{
			Time: now, Seq: int64(len(rows)), TID: int32(10 + i), PID: 1, Mm: th.mm, Write: th.write, Comm: "t",
			Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite | traces.ColComm | traces.ColInUprobe,
		}
		free := true // for this thread
		for j := range threads {
			if o := &threads[j]; j != i && o.mm == th.mm && o.state >= 2 && (th.write || o.write && o.state == 2) {
				free = false
			}
		}
		switch {
		case th.state == 0:
			ev.Kind, th.state = traces.LockStart, 1
			ev.InUprobe = th.lookup && !th.write
		case th.state == 1 && free:
			ev.Kind, th.state = traces.LockAcquired, 2
		case th.state == 1:
			continue
		case th.state == 2 && th.write && rapid.Bool().Draw(t, "downgrade"):
			ev.Kind, ev.Write, th.state = traces.LockAcquired, false, 3
		default:
			ev.Kind, ev.Write = traces.LockReleased, th.write && th.state == 2
			th.state = 0
		}
		rows = append(rows, ev)
	}
	return rows
}

func bookOf(rows []traces.Event) *Recording {
	b := newLockBook(watching)
	for i := range rows {
		b.add(&rows[i])
	}
	return b.recorded(nil)
}

// TestRecordedAgainstOracle compares with an oracle that looks at every pair of a
// wait and a hold.
func TestRecordedAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := schedule(t)
		if len(rows) == 0 {
			return
		}
		// A hold that is open at the end has been in the way so far only for waits
		// that are over; the oracle knows no open holds.
		rows = slices.DeleteFunc(slices.Clone(rows), func(ev traces.Event) bool { return !closed(rows, &ev) })
		if r := bookOf(rows); r != nil {
			if got, want := bookFigures(r), oracleFigures(rows); !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v", got, want)
			}
		}
	})
}

// closed reports whether a row is of a section whose lock_released comes.
func closed(rows []traces.Event, ev *traces.Event) bool {
	return slices.ContainsFunc(rows, func(o traces.Event) bool {
		return o.TID == ev.TID && o.Kind == traces.LockReleased && o.Seq >= ev.Seq
	})
}

// TestRecordedLosses holds that rows may be missing anywhere.
func TestRecordedLosses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var kept []traces.Event
		for _, ev := range schedule(t) {
			if rapid.IntRange(0, 9).Draw(t, "lost") > 0 {
				kept = append(kept, ev)
			}
		}
		r := bookOf(kept)
		if r == nil {
			return
		}
		length := kept[len(kept)-1].Time - kept[0].Time
		for _, h := range r.Holders {
			if h.Hold.Max.Nanos() > length || h.BlockedTime.Nanos() < h.Blocked || h.BlockedTime.Nanos() > h.Blocked*length {
				t.Fatalf("in %d ns: %+v", length, h)
			}
		}
		if waits := r.WriterWait.Count + r.ReaderWait.Count + r.LockWait.Count; waits > int64(len(kept)) {
			t.Fatalf("%d waits in %d rows", waits, len(kept))
		}
	})
}

// TestRecordedCorpus compares on real recordings.
func TestRecordedCorpus(t *testing.T) {
	for _, name := range []string{"churn-1x1", "javac", "stress-malloc-z"} {
		trace := replaytest.Corpus(t, name)
		stream, err := trace.Stream(lockBookColumns)
		if err != nil {
			t.Fatal(err)
		}
		defer closeStream(stream)
		var rows []traces.Event
		var fallbacks int64
		b := newLockBook(watching)
		for {
			var ev traces.Event
			if err := stream.Next(&ev); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			b.add(&ev)
			if ev.Kind.IsLock() {
				rows = append(rows, ev)
			}
			if ev.InUprobe {
				fallbacks++
			}
		}
		r := b.recorded(nil)
		waits, holds, lengths := oracle(rows)
		var write, read, held int64
		for _, w := range waits {
			if w.write {
				write += w.to - w.from
			} else {
				read += w.to - w.from
			}
		}
		for _, ns := range lengths {
			held += ns
		}
		var bookHeld int64
		for _, h := range b.holders {
			bookHeld += h.hold.Total
		}
		got := []int64{r.WriterWait.Total.Nanos(), (r.ReaderWait.Total + r.LockWait.Total).Nanos(), bookHeld, r.Fallbacks}
		if want := []int64{write, read, held, fallbacks}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if len(holds) == 0 || len(r.Holders) == 0 || r.Longest == nil {
			t.Errorf("%s: nobody in anybody's way: %+v", name, r)
		}
	}
}

// A reader of /proc/PID/smaps is in the way of that process's writer, though it is a
// process of its own: the address space is the other's.
func TestRecordedForeignReader(t *testing.T) {
	const all = traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite | traces.ColComm | traces.ColInUprobe | traces.ColStack
	row := func(at int64, kind traces.Kind, tid int32, comm string, write bool, stack ...string) traces.Event {
		return traces.Event{Time: at, Kind: kind, TID: tid, PID: tid, Mm: 7, Write: write, Comm: comm, Stack: stack, Has: all}
	}
	smaps := []string{"__mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])", "m_start+0x1d5 ([kernel.kallsyms])", "seq_read_iter+0x108 ([kernel.kallsyms])"}
	munmap := []string{"__vm_munmap+0x10b ([kernel.kallsyms])"}
	rows := []traces.Event{
		row(1_000, traces.LockStart, 20, "cat", false, smaps...),
		row(1_100, traces.LockAcquired, 20, "cat", false),
		row(2_000, traces.LockStart, 10, "big", true, munmap...),
		row(2_500, traces.LockStart, 30, "other", false), // queued behind big
		row(9_000, traces.LockReleased, 20, "cat", false),
		row(9_300, traces.LockAcquired, 10, "big", true),
		row(9_400, traces.LockAcquired, 10, "big", false), // downgrade
		row(9_500, traces.LockAcquired, 30, "other", false),
		row(9_600, traces.LockReleased, 30, "other", false),
		row(9_700, traces.LockReleased, 10, "big", false),
	}
	r := bookOf(rows)
	ns := sim.Nanosecond
	if w := r.Longest; w.Comm != "big" || w.Wait != 7_300*ns || w.Kind != "munmap" || w.Holder.Comm != "cat" || w.HolderFor != 7_000*ns || w.Hold != 7_900*ns {
		t.Errorf("longest: %+v", w)
	}
	if len(r.Holders) != 2 {
		t.Fatalf("holders: %+v", r.Holders)
	}
	cat, big := r.Holders[0], r.Holders[1]
	if cat.Kind != "/proc maps" || cat.Write || cat.Blocked != 2 || cat.BlockedTime != 13_500*ns || !slices.Equal(cat.Stack, smaps) {
		t.Errorf("%+v", cat)
	}
	if !big.Write || big.Kind != "munmap" || big.Blocked != 1 || big.BlockedTime != 100*ns || big.Hold.Max != 400*ns {
		t.Errorf("%+v", big)
	}
	if r.WriterWait.Total != 7_300*ns || r.ReaderWait.Total != 7_100*ns || r.Foreign != 13_600*ns {
		t.Errorf("%+v", r)
	}
}

// A thread that did not get the lock neither waited nor holds it; one whose rows are
// missing holds it no longer than others allow.
func TestRecordedRefused(t *testing.T) {
	const all = traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite | traces.ColComm | traces.ColInUprobe
	row := func(at int64, kind traces.Kind, tid int32, write bool) traces.Event {
		return traces.Event{Time: at, Kind: kind, TID: tid, PID: 1, Mm: 7, Write: write, Has: all}
	}
	no := row(120, traces.LockAcquired, 2, false)
	no.Ret, no.Has = -4, no.Has|traces.ColRet
	r := bookOf([]traces.Event{
		row(90, traces.LockStart, 1, true), row(100, traces.LockAcquired, 1, true),
		row(110, traces.LockStart, 2, false), no,
		row(130, traces.LockReleased, 1, true),
		row(140, traces.LockStart, 3, true), row(150, traces.LockAcquired, 3, true), // never released
		row(160, traces.LockStart, 1, false), row(500, traces.LockAcquired, 1, false),
	})
	if r.Refused != 1 || r.Unended != 2 || len(r.Holders) != 0 || r.WriterWait.Count != 2 || r.ReaderWait.Count != 1 {
		t.Errorf("%+v", r)
	}
}

// A wait of which nothing more is told, and a hold, end with what their threads do next, and
// are counted.
func TestRecordedUnended(t *testing.T) {
	row := func(at int64, kind traces.Kind, tid int32) traces.Event {
		return traces.Event{Time: at, Kind: kind, TID: tid, PID: 1, Mm: 7, Write: true, Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite}
	}
	r := bookOf([]traces.Event{
		row(100, traces.LockStart, 1), row(110, traces.Hit, 1), // 1: its lock_acquired
		row(200, traces.LockStart, 2), row(210, traces.LockAcquired, 2), row(220, traces.LockStart, 2), // 2: its lock_released
		row(230, traces.LockAcquired, 2), row(300, traces.LockStart, 3), // 3, 4: at the end
	})
	if r.Unended != 4 || r.WriterWait.Count != 2 || r.Sections != 2 || r.Writers != 1 || len(r.Waiters) != 1 || r.Waiters[0].TID != 2 {
		t.Errorf("%+v", r)
	}
}

// A lock is taken for the syscall that its thread is in, whatever the thread did before in it,
// unless it is another one of that id by now.
func TestRecordedSyscall(t *testing.T) {
	row := func(at int64, kind traces.Kind) traces.Event {
		return traces.Event{Time: at, Kind: kind, TID: 2, PID: 1, Mm: 7, Write: true, Has: traces.ColTID | traces.ColPID | traces.ColMm | traces.ColWrite}
	}
	for kind, want := range map[traces.Kind]string{traces.Hit: "munmap", traces.Ret: "munmap", traces.Exit: UnknownKind} {
		call := row(1000, traces.Munmap)
		call.Dur, call.Has = 9000, call.Has|traces.ColDur
		r := bookOf([]traces.Event{call, row(2000, kind), row(3000, traces.LockStart), row(3100, traces.LockAcquired), row(3200, traces.LockReleased)})
		if got := r.Longest.Kind; got != want {
			t.Errorf("after a %v in the call, a lock is taken for %q, want %q", kind, got, want)
		}
	}
}

// Whether lookups failed is unknown where a lock_start does not say what it is of.
func TestRecordedOutcomes(t *testing.T) {
	undecided := func(ev *traces.Event) bool {
		ev.Has &^= traces.ColInUprobe
		ev.InUprobe = false
		return true
	}
	for name, test := range map[string]struct {
		change func(*traces.Event) bool
		known  bool
	}{
		"all there":   {func(*traces.Event) bool { return true }, true},
		"undecided":   {undecided, false},
		"no starts":   {func(ev *traces.Event) bool { return ev.Kind != traces.LockStart }, false},
		"writes only": {func(ev *traces.Event) bool { return (!ev.Kind.IsLock() || ev.Write) && undecided(ev) }, true},
	} {
		trace := replaytest.Corpus(t, "javac")
		trace.Change = test.change
		s, err := TakeSurvey(context.Background(), trace)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Record(t.Context(), trace, s, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcomes != test.known {
			t.Errorf("%s: known is %v", name, r.Outcomes)
		}
	}
}

// What a lock was taken for is told by the syscall, or by a function of the kernel.
func TestRecordedKind(t *testing.T) {
	const tracer = "__mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])"
	call := syscallRow{kind: "munmap", from: 100, to: 200}
	for _, test := range []struct {
		at    int64
		stack []string
		want  string
	}{
		{150, nil, "munmap"},
		{250, nil, UnknownKind},
		{250, []string{tracer, "0xffffffff815fb2c2 ([kernel.kallsyms])", "main+0x1 (/bin/app)"}, UnknownKind},
		{250, []string{tracer, "some_driver+0x8 ([driver])"}, otherKind},
		{250, []string{tracer, "__vmf_anon_prepare+0x1 ([kernel.kallsyms])", "asm_exc_page_fault+0x2 ([kernel.kallsyms])"}, "fault"},
		{250, []string{tracer, "__access_remote_vm+0x1 ([kernel.kallsyms])", "ptrace_access_vm+0x2 ([kernel.kallsyms])"}, "ptrace"},
		{250, []string{tracer, "process_vm_rw_core.isra.0+0x1 ([kernel.kallsyms])"}, "process_vm"},
		{250, []string{tracer, "access_remote_vm+0x1 ([kernel.kallsyms])", "proc_pid_cmdline_read+0x2 ([kernel.kallsyms])"}, "/proc"},
		{250, []string{tracer, "m_start+0x1d5 ([kernel.kallsyms])"}, "/proc maps"},
	} {
		ev := traces.Event{Time: test.at, Stack: test.stack}
		if got := newLockBook(Watch{}).recordedKind(&call, &ev); got != test.want {
			t.Errorf("%d %v: %s, want %s", test.at, test.stack, got, test.want)
		}
	}
}
