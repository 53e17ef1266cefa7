package replay

import (
	"cmp"
	"context"
	"math"
	"reflect"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// manyProcesses is a build: one process after the other, each for a short time, which hits
// and maps. The last ones lie in their last mmap for a second.
func manyProcesses(n int) *replaytest.Memory {
	var rows []traces.Event
	for p := range n {
		pid, at := int32(1000+p), int64(1e9+p*40_000)
		row := func(after int64, kind traces.Kind, has traces.Columns) *traces.Event {
			rows = append(rows, traces.Event{Time: at + after, CPU: int32(p % 4), PID: pid, TID: pid, Kind: kind, Has: traces.ColCPU | traces.ColPID | traces.ColTID | has})
			return &rows[len(rows)-1]
		}
		ev := row(0, traces.Map, traces.ColAddr|traces.ColLen|traces.ColPgoff|traces.ColProt|traces.ColPath|traces.ColInode)
		ev.Addr, ev.Len, ev.Prot, ev.Path, ev.Inode = 0x400000, 0x8000, 5, "/bin/w", 77
		for i := range int64(40) {
			ev = row(2000+i*3000, traces.Hit, traces.ColAddr|traces.ColProbe)
			ev.Addr, ev.Probe = 0x401000, "a:b"
			ev = row(3000+i*3000, traces.Mmap, traces.ColAddr|traces.ColLen|traces.ColRet|traces.ColDur|traces.ColProt|traces.ColFlags)
			ev.Addr, ev.Len, ev.Dur, ev.Prot, ev.Flags = uint64(0x7000000+i*0x1000), 0x1000, 1900, 3, 34
			ev.Ret = int64(ev.Addr)
			if i == 39 && p > n-3 {
				ev.Dur = 1_000_000_000
			}
		}
		row(200_000, traces.Exit, 0)
	}
	slices.SortStableFunc(rows, func(a, b traces.Event) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.CPU, b.CPU)) })
	for i := range rows {
		rows[i].Seq = int64(i)
	}
	trace := replaytest.Made(rows)
	trace.Of.CPUs = 4
	return trace
}

// Threads that are over are let go of, and nothing in the result tells.
func TestRetire(t *testing.T) {
	trace := manyProcesses(400)
	for what, change := range map[string]func(*Options){
		"all resolvers": func(o *Options) { o.Resolvers = sim.ResolverNames() },
		"clones":        func(o *Options) { o.Clone, o.CPUs = 3, 12 },
		"think":         func(o *Options) { o.Clone, o.CPUs, o.Timing = 2, 2, Think },
		"asap":          func(o *Options) { o.Timing, o.Placement = ASAP, RoundRobin },
	} {
		hoarded := play(t, trace, func(o *Options) { change(o); o.hoard = true })
		retired := play(t, trace, change)
		hoarded.Options.hoard = false
		if !reflect.DeepEqual(hoarded, retired) {
			t.Errorf("%s (-kept +let go):\n%.4000s", what, gocmp.Diff(hoarded, retired, gocmp.AllowUnexported(Options{}, Result{})))
		}
	}

	ctx := context.Background()
	survey, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		t.Fatal(err)
	}
	profile, o := replaytest.Machine(t), DefaultOptions()
	topo, err := Topology(profile, &o, survey)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := timeline.Reconstruct(ctx, trace, survey, timeline.Config{Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	p, err := NewPlayer(rec, topo, survey, PlayerConfig{Resolver: "speculative", Options: &o})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Play(ctx); err != nil {
		t.Fatal(err)
	}
	if alive, all := len(p.src.alive), len(p.src.tasks); all < 400 || alive > 100 {
		t.Errorf("%d of %d threads are still kept", alive, all)
	}
	threads := 0
	for _, r := range p.src.threads {
		if r != nil {
			threads++
		}
	}
	if alive := len(p.src.alive); threads != alive {
		t.Errorf("%d threads are kept, and %d are alive", threads, alive)
	}
}

// A thread is over when its latest row is, who maps for a process when that process's leader or its
// latest mapping is, and nobody knows of one without a row.
func TestWhenThreadsAreOver(t *testing.T) {
	thread := func(over, mapped int64) *timeline.ThreadSurvey {
		return &timeline.ThreadSurvey{Over: over, Mapped: mapped}
	}
	s := &source{survey: &timeline.Survey{Threads: map[int32]*timeline.ThreadSurvey{10: thread(500, 700), 20: thread(900, 300)}}}
	for _, c := range []struct {
		of       *timeline.ThreadSurvey
		pid, tid int32
		want     int64
	}{
		{thread(400, 9999), 10, 11, 400}, {nil, 10, 12, math.MaxInt64},
		{nil, 10, timeline.Mapper, 700}, {nil, 20, timeline.Mapper, 900}, {nil, 30, timeline.Mapper, math.MaxInt64},
	} {
		if got := s.over(c.of, &timeline.Origin{Class: &timeline.Class{PID: c.pid, TID: c.tid}}); got != c.want {
			t.Errorf("%d of %d is over at %d, want %d", c.tid, c.pid, got, c.want)
		}
	}

	profile := replaytest.Machine(t)
	topo, err := sim.NewTopology(&profile.Machine, 1)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := sim.FindResolver("locked")
	if err != nil {
		t.Fatal(err)
	}
	sys := sim.NewSystem(sim.Config{Topology: topo, Resolver: resolver})
	for name, c := range map[string]struct {
		change func(*recordedThread)
		over   bool
	}{
		"it is":                 {func(*recordedThread) {}, true},
		"until then":            {func(r *recordedThread) { r.clones[0].over = 1000 }, false},
		"it has not begun":      {func(r *recordedThread) { r.clones[0].doing = nil }, false},
		"it has something left": {func(r *recordedThread) { r.add(&timeline.Operation{}) }, false},
		"a clone has not begun": {func(r *recordedThread) { r.clones = append(r.clones, nil) }, false},
	} {
		r := &recordedThread{}
		op := &timeline.Operation{}
		next := r.add(op)
		next.at++
		r.clones = []*simThread{{task: sys.NewTask(0, 0), over: 999, doing: op, next: next}}
		if c.change(r); r.over(1000) != c.over {
			t.Errorf("%s: over %v", name, !c.over)
		}
	}
}
