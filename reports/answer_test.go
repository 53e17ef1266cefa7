package reports

import (
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// The first screen of a report, 24 lines of 80 columns, says who was in the way, what
// would help, and what that rests on.
func TestAnswer(t *testing.T) {
	lossy := recordedResult()
	lossy.Trace.Lost, lossy.Trace.Events = 20_000, 80_000
	quiet := recordedResult()
	quiet.Recorded = &timeline.Recording{Hits: 5, Lookups: 5, Outcomes: true}
	untimed := recordedResult()
	untimed.Recorded = &timeline.Recording{Hits: 2000, Lookups: 2000, Outcomes: true, Fallbacks: 3, Unended: 7, Untimed: true}
	alone := recordedResult()
	alone.Recorded.InWay = timeline.ByAccess{}
	free := fixture()
	free.Runs[1].LockWait.Total, free.Runs[1].Blame = 0, nil
	worse := fixture()
	worse.Runs[1].Resolve.Total = 2 * worse.Runs[0].Resolve.Total
	same := fixture()
	same.Runs[1].Resolve.Total = same.Runs[0].Resolve.Total
	sampled := untoldResult()
	sampled.Recorded = recordedResult().Recorded
	for name, test := range map[string]struct {
		res  *replay.Result
		want []string
		not  []string
	}{
		"recorded": {recordedResult(), []string{
			"Threads waited 12.3 ms for mmap_lock in 2.00 ms, as 6.2 threads that do nothing else;", "for 11.3 ms of that somebody was seen with it, mostly cat for /proc maps (97.34 %).", "Lookups of hits waited 312 µs of it, 156 ns for each hit",
			"What would help: reading /proc/PID/smaps or maps less often", "speculative lookups would take 1.02 ms in place of 1.88 ms (46 % less)",
			"without the munmap calls of gc (tid 720) up to 92.96 % of the 71 fallbacks would be gone", "How sure: waits are recorded by the kernel's lock events;",
			"readers of other processes (11.0 ms of the waits)",
		}, nil},
		"a fifth lost":   {lossy, []string{"20.00 % of the events were lost (20,000 of 100,000), so that 69 to 84 hits fell back"}, []string{"no event was lost"}},
		"no lock events": {fixture(), []string{"Hits would wait 861 µs for mmap_lock with speculative lookups", "first of all behind munmap of gc; how long they did was not recorded", "the trace has no lock events, so all waits are simulated", "9.09 % of 44 write sections are placed by a model"}, []string{"recorded by"}},
		"no wait":        {quiet, []string{"Nobody waited for mmap_lock in 2.00 ms."}, []string{"less often"}},
		"lock_starts":    {untimed, []string{"How long threads waited for mmap_lock is unknown", "of lock events the trace has lock_starts alone, so all waits are simulated (record mmap_lock_acquire_returned"}, []string{"Nobody waited", "recorded by"}},
		"nobody seen":    {alone, []string{"nobody was seen with it meanwhile"}, []string{"less often"}},
		"none would":     {free, []string{"No hit would wait for mmap_lock with speculative lookups; whether any did was not recorded."}, nil},
		"worse":          {worse, []string{"speculative lookups would not help: they take"}, nil},
		"the same":       {same, []string{"speculative lookups would change little: they take"}, nil},
		"unknown":        {untoldResult(), []string{"Whether hits wait for mmap_lock is unknown.", "whether events were lost is unknown", "writers are unknown", "processes are unknown"}, []string{"would help", "no event was lost"}},
		"outcomes":       {unknownResult(), []string{"how much of that were lookups of hits is unknown", "outcomes are unknown"}, nil},
		"no hit":         {hitlessResult(), []string{"no hit was recorded"}, []string{"lookups would"}},
		"nothing":        {emptyResult(), []string{"There was no hit that could have waited for mmap_lock."}, nil},
		"half unknown":   {sampled, []string{"Threads waited"}, []string{"lookups would", "calls of"}},
	} {
		text := textOf(t, test.res, TextOptions{})
		lines := strings.Split(text, "\n")
		screen := strings.Join(strings.Fields(strings.Join(lines[:min(24, len(lines))], " ")), " ")
		for _, want := range test.want {
			if !strings.Contains(screen, want) {
				t.Errorf("%s: the first screen does not say %q:\n%s", name, want, screen)
			}
		}
		short := newAnswer(test.res)
		for _, not := range test.not {
			if strings.Contains(short.Problem+short.Helps+short.Confidence, not) {
				t.Errorf("%s: %q in %+v", name, not, short)
			}
		}
		page := htmlOf(t, test.res)
		if !strings.Contains(page, "<h2>"+answerTitle+"</h2>") {
			t.Errorf("%s: no answer on the page", name)
		}
		if d := NewDocument(test.res).Answer; d == nil || d.Problem != short.Problem || d.Helps != short.Helps || d.Confidence != short.Confidence {
			t.Errorf("%s: report.json answers %+v", name, d)
		}
	}
}

// Why simulated and recorded waits differ adds up to what was recorded.
func TestWhyDifferent(t *testing.T) {
	res := recordedResult()
	r := res.Recorded
	s := whyDifferent(res, &res.Runs[1])
	for _, want := range []string{"of the 312 µs that lookups waited then, somebody was seen with the lock for 301 µs", "took about 11.0 µs of it, and waking up the other 0 ns", "machine is generic", "cost 11.0 ms"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in %s", want, s)
		}
	}
	r.Unblocked.P50 = sim.Microsecond
	if s := whyDifferent(res, &res.Runs[1]); !strings.Contains(s, "took about 3.00 µs of it, and waking up the other 8.00 µs") {
		t.Error(s)
	}
	r.Outcomes = false
	if s := whyDifferent(res, &res.Runs[1]); strings.Contains(s, "lookups waited") {
		t.Error(s)
	}
}
