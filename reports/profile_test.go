package reports

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"pgregory.net/rapid"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

// written is p after a trip through its file format.
func written(t interface{ Fatal(...any) }, p *profile.Profile) *profile.Profile {
	var b bytes.Buffer
	if err := WriteProfile(&b, p); err != nil {
		t.Fatal(err)
	}
	got, err := profile.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// sum adds up the columns of p.
func sum(p *profile.Profile) map[string]int64 {
	sums := map[string]int64{}
	for i, typ := range p.SampleType {
		sums[typ.Type] = 0
		for _, s := range p.Sample {
			sums[typ.Type] += s.Value[i]
		}
	}
	return sums
}

func TestProfiles(t *testing.T) {
	res := fixture()
	for i := range res.Runs {
		r := &res.Runs[i]
		tracetest.Golden(t, r.Resolver+".profile.txt", written(t, HitProfile(res, r)).String())
		tracetest.Golden(t, r.Resolver+".blame.profile.txt", written(t, BlameProfile(res, r)).String())
	}
	r := &emptyResult().Runs[0]
	written(t, HitProfile(emptyResult(), r))
	written(t, BlameProfile(emptyResult(), r))
}

// TestSampleTypes holds what scripts ask a profile for by name and by position.
func TestSampleTypes(t *testing.T) {
	res := fixture()
	p := written(t, HitProfile(res, &res.Runs[0]))
	var types []string
	for _, v := range p.SampleType {
		types = append(types, v.Type+"/"+v.Unit)
	}
	want := []string{"hits/count", "resolve/nanoseconds", "lock_wait/nanoseconds", "fallbacks/count", "line_transfers/count"}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("sample types (-want +got):\n%s", diff)
	}
}

func TestProfileTotals(t *testing.T) {
	res := fixture()
	for i := range res.Runs {
		r := &res.Runs[i]
		want := map[string]int64{
			"hits": r.Hits, "resolve": r.Resolve.Total.Nanos(), "lock_wait": r.LockWait.Total.Nanos(),
			"fallbacks": r.Fallbacks(), "line_transfers": r.LineTransfers,
		}
		if diff := cmp.Diff(want, sum(written(t, HitProfile(res, r)))); diff != "" {
			t.Errorf("%s: columns do not add up to the run (-run +profile):\n%s", r.Resolver, diff)
		}
		want = map[string]int64{"sections": 0, "hold": 0, "fallbacks": 0, "lock_wait": 0, "wasted": 0}
		var hold, wait, wasted sim.Time
		for _, b := range r.Blame {
			want["sections"] += b.Sections
			want["fallbacks"] += b.Fallbacks
			hold, wait, wasted = hold+b.Hold, wait+b.Wait, wasted+b.Wasted
		}
		want["hold"], want["lock_wait"], want["wasted"] = hold.Nanos(), wait.Nanos(), wasted.Nanos()
		if diff := cmp.Diff(want, sum(written(t, BlameProfile(res, r)))); diff != "" {
			t.Errorf("%s: blame does not add up (-run +profile):\n%s", r.Resolver, diff)
		}
	}
}

// The two lookups of an optimised probe have frames of their own, and each hit counts once.
func TestOptimisedProfile(t *testing.T) {
	check := sim.Parts{Lookup: 20 * sim.Nanosecond, LockWait: 900 * sim.Nanosecond, Wasted: 5 * sim.Nanosecond, LockHold: 5 * sim.Nanosecond}
	all := check
	all.Add(&sim.Parts{Lookup: 40 * sim.Nanosecond})
	res := emptyResult()
	r := &res.Runs[0]
	*r = replay.Run{Resolver: "speculative", Hits: 3, Lookups: 6, LookupFallbacks: 3, Optimised: 3}
	r.Outcomes[sim.WriterActive] = 3
	r.Samples = []replay.Sample{{Probe: "app:site", Outcome: sim.WriterActive, Hits: 3, Parts: all, Check: &replay.SampleCheck{Outcome: sim.WriterActive, Parts: check}}}
	p := written(t, HitProfile(res, r))
	if diff := cmp.Diff(map[string]int64{"hits": 3, "resolve": 960, "lock_wait": 900, "fallbacks": 3, "line_transfers": 0}, sum(p)); diff != "" {
		t.Errorf("columns do not add up (-want +got):\n%s", diff)
	}
	resolve := map[string]int64{}
	for _, s := range p.Sample {
		var names []string
		for _, l := range s.Location {
			names = append(names, l.Line[0].Function.Name)
		}
		resolve[strings.Join(names, "<")] = s.Value[1]
	}
	const under = "__do_sys_uprobe<do_syscall_64<entry_SYSCALL_64_after_hwframe<app:site"
	want := map[string]int64{
		"mmap_lock_speculate_try_begin<in_uprobe_trampoline<" + under:                                5,
		"down_read<in_uprobe_trampoline<" + under:                                                    10,
		"schedule_preempt_disabled<rwsem_down_read_slowpath<down_read<in_uprobe_trampoline<" + under: 900,
		"in_uprobe_trampoline<" + under:                                                              5,
		"find_active_uprobe_speculative<find_active_uprobe_rcu<handle_syscall_uprobe<" + under:       40,
	}
	if diff := cmp.Diff(want, resolve); diff != "" {
		t.Errorf("stacks (-want +got):\n%s", diff)
	}
	if got, want := lookupsSentence(r), "They made 6 lookups, of which 3 fell back: 3 hits came by system call, from optimised probes, and looked up twice."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestProfileTotalsAlways holds the same for any parts, even ones that overlap
// more than they should.
func TestProfileTotalsAlways(t *testing.T) {
	time := rapid.Map(rapid.Int64Range(0, 1<<30), func(n int64) sim.Time { return sim.Time(n) })
	rapid.Check(t, func(t *rapid.T) {
		var r replay.Run
		r.Resolver = rapid.SampledFrom([]string{"locked", "refcount", "pervma", "ideal", "speculative", "speculative-merged", "new"}).Draw(t, "resolver")
		for i := range rapid.IntRange(0, 20).Draw(t, "samples") {
			s := replay.Sample{TID: int32(i), Outcome: sim.Outcome(rapid.IntRange(0, int(sim.NumOutcomes)-1).Draw(t, "outcome")), Hits: 1}
			s.Parts = sim.Parts{
				Lookup: time.Draw(t, "lookup"), Stall: time.Draw(t, "stall"), LockWait: time.Draw(t, "wait"),
				LockHold: time.Draw(t, "hold"), Wasted: time.Draw(t, "wasted"), Handler: time.Draw(t, "handler"),
			}
			r.Hits++
			r.Outcomes[s.Outcome]++
			r.Parts.Add(&s.Parts)
			r.Samples = append(r.Samples, s)
		}
		got := sum(written(t, HitProfile(&replay.Result{}, &r)))
		want := map[string]int64{
			"hits": r.Hits, "resolve": r.Parts.Resolve().Nanos(), "lock_wait": r.Parts.LockWait.Nanos(),
			"fallbacks": r.Fallbacks(), "line_transfers": 0,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("columns do not add up to the run (-run +profile):\n%s", diff)
		}
	})
}

func TestProfileIsStable(t *testing.T) {
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		res := fixture()
		if err := WriteProfile(b, HitProfile(res, &res.Runs[1])); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same Result gave different bytes")
	}
}

func TestParseFrame(t *testing.T) {
	for in, want := range map[string]frame{
		"malloc+0x1a (/usr/lib/libc.so.6)":       {"malloc", "/usr/lib/libc.so.6"},
		"f(int, char)+0x0 (/opt/a (copy)/b)":     {"f(int, char)", "/opt/a (copy)/b"},
		"std::g(unsigned long) (/opt/b)":         {"std::g(unsigned long)", "/opt/b"},
		"0x7f00 ([unknown])":                     {"0x7f00", "[unknown]"},
		"down_write_killable+0x0":                {"down_write_killable", ""},
		"":                                       {"", ""},
		"+0x10 (/bin/x)":                         {"+0x10", "/bin/x"},
		"vm_mmap_pgoff+0xa3 ([kernel.kallsyms])": {"vm_mmap_pgoff", "[kernel.kallsyms]"},
	} {
		if got := parseFrame(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestWriterStack(t *testing.T) {
	leafs := func(kind string, traced ...string) []string {
		var names []string
		for _, f := range writerStack(kind, traced) {
			names = append(names, f.symbol)
		}
		return names
	}
	for _, c := range []struct {
		name      string
		got, want []string
	}{
		{"user frames get the model's kernel frames", leafs("munmap", "__munmap+0xb (/libc.so)"), []string{"do_vmi_align_munmap", "__vm_munmap", "__x64_sys_munmap", "__munmap"}},
		{"traced kernel frames stay", leafs("munmap", "__mmap_lock_do_trace_start_locking+0x4b ([kernel.kallsyms])", "down_write+0x1 ([kernel.kallsyms])", "__munmap+0xb (/libc.so)"), []string{"down_write", "__munmap"}},
		{"kernel frames without names get the model's", leafs("munmap", "0xffffffff815f426b ([kernel.kallsyms])", "0xffffffff81000130 ([kernel.kallsyms])", "__munmap+0xb (/libc.so)", "0x7f00 (/bin/app)"),
			[]string{"do_vmi_align_munmap", "__vm_munmap", "__x64_sys_munmap", "__munmap", "0x7f00"}},
		{"one name among addresses keeps them", leafs("munmap", "0xffffffff815f426b ([kernel.kallsyms])", "do_munmap+0x1 ([kernel.kallsyms])"), []string{"0xffffffff815f426b", "do_munmap"}},
		{"nothing but kernel frames without names", leafs("brk", "0xffffffff815f426b ([kernel.kallsyms])"), []string{"do_brk_flags", "__x64_sys_brk"}},
		{"the end of a chain of frame pointers is no frame", leafs("brk", "brk+0xb (/libc.so)", "0x0 ([unknown])"), []string{"do_brk_flags", "__x64_sys_brk", "brk"}},
		{"vdso is user code", leafs("brk", "x+0x1 ([vdso])"), []string{"do_brk_flags", "__x64_sys_brk", "x"}},
		{"unknown operation", leafs("register"), []string{"[register]"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

// The stacks of a lookup below what leads to it, in the words of each kernel: walking,
// refused by a writer, by a sequence that changed, by a missing mapping and uprobe.
func TestLookupFrames(t *testing.T) {
	const rcu, v3 = "find_active_uprobe_rcu", "find_active_uprobe_rcu find_active_uprobe_speculative"
	for resolver, want := range map[string][5]string{
		"refcount":           {"find_active_uprobe"},
		"srcu":               {rcu},
		"locked":             {rcu},
		"pervma":             {rcu + " lock_vma_under_rcu", " vma_start_read", "", " mtree_load", " find_uprobe_rcu"},
		"speculative-v1":     {v3, " mmap_lock_speculation_start", " mmap_lock_speculation_end", " mtree_load", " find_uprobe_rcu"},
		"speculative":        {v3, " mmap_lock_speculation_start", " mmap_lock_speculation_end", " mtree_load", " find_uprobe_rcu"},
		"speculative-merged": {v3, " mmap_lock_speculate_try_begin", " mmap_lock_speculate_retry", " mtree_load", " find_uprobe_rcu"},
		"ideal":              {rcu, "", "", " mtree_load", " find_uprobe_rcu"},
	} {
		f := framesOf(resolver).trap
		below := func(stack []frame) string {
			var names []string
			for _, f := range slices.Backward(stack[:len(stack)-len(trap)]) {
				names = append(names, f.symbol)
			}
			return strings.Join(names, " ")
		}
		if got := below(f.speculate); want[0] != got && want[1] != "" {
			t.Errorf("%s walks in %q, want %q", resolver, got, want[0])
		}
		for i, o := range []sim.Outcome{sim.WriterActive, sim.SeqChanged, sim.NoVMA, sim.NoUprobe} {
			if got := below(f.refused[o]); want[i+1] != "" && got != want[0]+want[i+1] {
				t.Errorf("%s refuses for %s in %q, want %q", resolver, o, got, want[0]+want[i+1])
			}
		}
		find, _, _ := strings.Cut(want[0], " ")
		if got := below(f.blocked); got != find+" down_read rwsem_down_read_slowpath schedule_preempt_disabled" {
			t.Errorf("%s is blocked in %q", resolver, got)
		}
	}
}

// The recorded profile has who had the lock and who waited, to the nanosecond of
// report.json, with build ids of the files where they are known.
func TestRecordedProfile(t *testing.T) {
	res := recordedResult()
	res.Trace.BuildIDs = map[string]string{"/opt/app/server": "c0ffee"}
	p := written(t, RecordedProfile(res))
	tracetest.Golden(t, "recorded.blame.profile.txt", p.String())
	doc := newRecorded(res.Recorded)
	var want [5]int64
	for _, h := range doc.Holders {
		want[0] += h.Holds
		want[1] += int64(h.HoldNs.Total) / 1000
		want[2] += int64(h.BlockedNs) / 1000
	}
	for _, w := range doc.Waiters {
		want[3] += w.Waits
		want[4] += int64(w.WaitNs.Total) / 1000
	}
	var got [5]int64
	for _, s := range p.Sample {
		for i, v := range s.Value {
			got[i] += v
		}
	}
	if got != want || want[2] == 0 {
		t.Errorf("columns %v, report.json has %v", got, want)
	}
	i := slices.IndexFunc(p.Mapping, func(m *profile.Mapping) bool { return m.BuildID == "c0ffee" })
	if i < 0 || p.Mapping[i].File != "/opt/app/server" {
		t.Error("no build id of the server")
	}
}
