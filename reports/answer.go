package reports

import (
	"fmt"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// answer is what a report comes to: whether waiting for mmap_lock is a problem of this
// program, whose doing it is, what would help, and how sure that is. It opens every
// report.
type answer struct {
	Problem    string
	Helps      string // "" where nothing that is known would
	Confidence string
	sure       bool // nothing is lost, unknown or inferred that it rests on
}

func newAnswer(res *replay.Result) answer {
	a := answer{Problem: problemSentence(res), Helps: helpSentence(res)}
	a.Confidence, a.sure = confidenceSentence(res)
	return a
}

// findings are the answer as sentences.
func (a *answer) findings() []finding {
	all := []finding{{strong, a.Problem}}
	if a.Helps != "" {
		all = append(all, finding{plain, a.Helps})
	}
	e := caution
	if a.sure {
		e = plain
	}
	return append(all, finding{e, a.Confidence})
}

// answerTitle is that of its part of a report.
const answerTitle = "In short"

// problemSentence says who waited how long for whom, as it was recorded, or else as it
// was simulated.
func problemSentence(res *replay.Result) string {
	if res.Recorded != nil {
		return recordedProblem(res)
	}
	r := mainRun(res)
	switch {
	case !answered(res) || r == nil:
		return "Whether hits wait for mmap_lock is unknown."
	case r.Hits == 0:
		return "There was no hit that could have waited for mmap_lock."
	case r.LockWait.Total == 0:
		return fmt.Sprintf("No hit would wait for mmap_lock with %s lookups; whether any did was not recorded.", r.Resolver)
	}
	s := fmt.Sprintf("Hits would wait %s for mmap_lock with %s lookups, %s%s", span(r.LockWait.Total), r.Resolver, ofTime(r.LockWait.Total, r.Makespan), perHit(r.LockWait.Total, r.Hits))
	if b := guilty(r); len(b) > 0 {
		s += fmt.Sprintf(", first of all behind %s of %s", b[0].Kind, printable(b[0].Comm))
	}
	return s + "; how long they did was not recorded."
}

func recordedProblem(res *replay.Result) string {
	rec := res.Recorded
	length := sim.Time(res.Trace.DurationNs) * sim.Nanosecond
	if rec.Untimed {
		return "How long threads waited for mmap_lock is unknown: its lock_starts were recorded, and not who got it when."
	}
	total, inWay := rec.LockWait.Total+rec.ReaderWait.Total+rec.WriterWait.Total, rec.InWay.Total()
	if total == 0 {
		return fmt.Sprintf("Nobody waited for mmap_lock in %s.", span(length))
	}
	s := fmt.Sprintf("Threads waited %s for mmap_lock in %s, %s; ", span(total), span(length), ofTime(total, length))
	if inWay == 0 {
		s += "nobody was seen with it meanwhile: recording itself and waking up took that time"
	} else {
		s += fmt.Sprintf("for %s of that somebody was seen with it", span(inWay))
		if all := holderParties(newRecorded(rec)); len(all) > 0 {
			p, most := all[0], "mostly"
			if 2*p.blockedTime < inWay {
				most = "most of all"
			}
			s += fmt.Sprintf(", %s %s%s", most, printable(p.comm), purpose(p.what))
			if p.blockedTime < inWay {
				s += fmt.Sprintf(" (%s)", share(int64(p.blockedTime), int64(inWay)))
			}
		}
		if 2*inWay < total {
			s += "; recording it and waking up took the rest"
		}
	}
	switch {
	case rec.Hits == 0:
		return s + "; no hit was recorded."
	case !rec.Outcomes:
		return s + "; how much of that were lookups of hits is unknown."
	case rec.Fallbacks == 0:
		return s + ". No lookup of a hit was among them."
	}
	return s + fmt.Sprintf(". Lookups of hits waited %s of it%s.", span(rec.LockWait.Total), perHit(rec.LockWait.Total, rec.Hits+rec.Unseen))
}

// ofTime says how much of one thread's time that is.
func ofTime(part, whole sim.Time) string {
	if part > whole && whole > 0 {
		return fmt.Sprintf("as %.1f threads that do nothing else", float64(part)/float64(whole))
	}
	return share(int64(part), int64(whole)) + " of one thread's time"
}

func perHit(t sim.Time, hits int64) string {
	if t == 0 || hits == 0 {
		return ""
	}
	return fmt.Sprintf(", %s for each hit", span(t/sim.Time(hits)))
}

// helpSentence says what would make the waits shorter, as far as that is known.
func helpSentence(res *replay.Result) string {
	var all []string
	if rec := res.Recorded; rec != nil {
		if s := remedy(rec); s != "" {
			all = append(all, s)
		}
	}
	base, r := baseRun(res), mainRun(res)
	if answered(res) && base != nil && r != nil && r != base && r.Hits > 0 {
		switch by := change(base.Resolve.Total, r.Resolve.Total); {
		case by == "" || by == " (about the same)":
			all = append(all, fmt.Sprintf("%s lookups would change little: they take %s", r.Resolver, span(r.Resolve.Total)))
		case r.Resolve.Total < base.Resolve.Total:
			all = append(all, fmt.Sprintf("%s lookups would take %s in place of %s%s", r.Resolver, span(r.Resolve.Total), span(base.Resolve.Total), by))
		case r.Resolve.Total > base.Resolve.Total:
			all = append(all, fmt.Sprintf("%s lookups would not help: they take %s in place of %s%s", r.Resolver, span(r.Resolve.Total), span(base.Resolve.Total), by))
		}
	}
	if answered(res) && r != nil && r.Fallbacks() > 0 {
		if b := guilty(r); len(b) > 0 && b[0].Fallbacks > 0 && speculates(r) {
			all = append(all, fmt.Sprintf("without the %s calls of %s (tid %d) up to %s of the %s would be gone", b[0].Kind, printable(b[0].Comm), b[0].TID,
				share(b[0].Fallbacks, r.Fallbacks()), plural(r.Fallbacks(), "fallback")))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "What would help: " + strings.Join(all, "; ") + "."
}

// remedies say what shortens holds of a kind; there is none that fits all the others.
var remedies = map[string]string{
	"/proc maps": "reading /proc/PID/smaps or maps less often, or smaps_rollup in place of smaps",
	"munmap":     "unmapping less memory, in smaller pieces or less often",
	"mmap":       "mapping less often",
	"mprotect":   "changing protections less often, such as growing an arena in larger steps",
	"brk":        "growing and trimming the heap in larger steps",
	"madvise":    "giving memory back less often, or in smaller pieces",
	"fault":      "touching memory before threads share it, or in larger pages",
	"fork":       "fewer forks of a process with much memory, such as posix_spawn in their place",
}

// remedy is what would help with what was recorded to be in the way most.
func remedy(rec *timeline.Recording) string {
	if rec.InWay.Total() == 0 {
		return ""
	}
	all := holderParties(newRecorded(rec))
	if len(all) == 0 {
		return ""
	}
	return remedies[all[0].what]
}

// confidenceSentence says what the answer rests on, and whether that is all known.
func confidenceSentence(res *replay.Result) (string, bool) {
	t := &res.Trace
	var all []string
	sure := true
	if res.Recorded != nil && !res.Recorded.Untimed {
		all = append(all, "waits are recorded by the kernel's lock events")
	} else {
		sure = false
		why := "the trace has no lock events, so all waits are simulated"
		if res.Recorded != nil {
			why = "of lock events the trace has lock_starts alone, so all waits are simulated (record mmap_lock_acquire_returned and mmap_lock_released, too)"
		}
		all = append(all, why)
		if t.Sections.Modelled > 0 && answered(res) {
			all = append(all, fmt.Sprintf("%s of %s are placed by a model", share(t.Sections.Modelled, t.Sections.Modelled+t.Sections.Observed), plural(t.Sections.Modelled+t.Sections.Observed, "write section")))
		}
	}
	switch {
	case !res.Knows(replay.UnknownLosses):
		sure = false
		all = append(all, "whether events were lost is unknown")
	case t.Lost > 0:
		sure = false
		s := fmt.Sprintf("%s of the events were lost (%s of %s)", share(t.Lost, t.Lost+t.Events), count(t.Lost), count(t.Lost+t.Events))
		if r := mainRun(res); r != nil && answered(res) && r.Hits > 0 {
			s += fmt.Sprintf(", so that %s to %s hits fell back", count(r.Low), count(r.High))
		}
		all = append(all, s)
	default:
		all = append(all, "no event was lost")
	}
	for _, u := range res.Unknown {
		if u.What != replay.UnknownLosses {
			sure = false
			all = append(all, u.What+" are unknown")
		}
	}
	if rec := res.Recorded; rec != nil && rec.Foreign > 0 && len(res.Runs) > 0 {
		all = append(all, fmt.Sprintf("the simulation leaves out readers of other processes (%s of the waits)", span(rec.Foreign)))
	}
	return "How sure: " + strings.Join(all, "; ") + ".", sure
}
