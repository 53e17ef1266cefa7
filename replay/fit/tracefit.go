package fit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/traces"
)

// ErrNoLocks is returned for a trace that does not show what the kernel did.
var ErrNoLocks = errors.New("the trace has no mmap_lock events, so that nobody knows which lookups failed: record with them, as replay capture does")

// RequireLocks returns ErrNoLocks for a trace without lock events, unless they were
// recorded and nobody took the lock.
func RequireLocks(ctx context.Context, trace timeline.Trace) error {
	if slices.Contains(trace.Meta().Recorded, traces.LockStart.String()) {
		return nil
	}
	stream, err := trace.Stream(0)
	if err != nil {
		return err
	}
	if c, ok := stream.(io.Closer); ok {
		defer c.Close()
	}
	var ev traces.Event
	for n := 0; !ev.Kind.IsLock(); n++ {
		if n%65536 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := stream.Next(&ev); err == io.EOF {
			return ErrNoLocks
		} else if err != nil {
			return err
		}
	}
	return nil
}

// ErrTakesLock is returned where outcomes of lookups are fitted to and there are none.
var ErrTakesLock = errors.New("its kernel takes mmap_lock for each lookup, as those before 6.14 do: nothing can be fitted to which of them fell back; record on a later one")

// unknownError says what a trace cannot tell.
type unknownError []traces.Unknown

func (u unknownError) Error() string {
	var all []string
	for _, one := range u {
		all = append(all, one.String())
	}
	return strings.Join(all, "\n")
}

// SectionFit is what a fit measured of one kind of write section.
type SectionFit struct {
	Kind     string
	Sections int
	Model    machines.KindModel
	// Start and Hold are the tenth, half and nine tenths of what was measured, ns.
	Start, Hold [3]int64
}

// TraceFit is the outcome of FitTraces.
type TraceFit struct {
	Sections    []SectionFit // by kind
	Validations []*Validation
}

// sectionsMin is how many sections of a kind are needed to fit it.
const sectionsMin = 10

// ToTraces fits the profile's recorder and write sections to traces with lock
// events. Where sections lie in their syscalls is measured; the lags of stamps are
// searched for, so that the fewest lookups are predicted wrongly over all traces.
// Progress is told after each round.
func ToTraces(ctx context.Context, list []timeline.Trace, profile *machines.Profile, progress func(round, rounds int)) (*TraceFit, error) {
	m := &measurer{by: map[string]*measured{}}
	for _, trace := range list {
		if err := m.read(ctx, trace, profile); err != nil {
			return nil, fmt.Errorf("%s: %w", trace.Path(), err)
		}
	}
	fit := &TraceFit{Sections: m.fits(profile.Sections)}
	if profile.Sections == nil {
		profile.Sections = machines.SectionModel{}
	}
	for _, s := range fit.Sections {
		profile.Sections[s.Kind] = s.Model
	}
	if m.wake.Summarise(); m.wake.Count >= sectionsMin {
		profile.Recorder.WakeLatency = m.wake.Typical
	}
	if err := fitLags(ctx, list, profile, progress); err != nil {
		return nil, err
	}
	for _, trace := range list {
		v, err := Validate(ctx, trace, profile, Comparison{Using: timeline.Locks})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", trace.Path(), err)
		}
		fit.Validations = append(fit.Validations, v)
	}
	return fit, nil
}

// measured gathers the sections of one kind.
type measured struct{ start, hold []int64 }

// measurer reads traces for where their sections lie.
type measurer struct {
	by   map[string]*measured
	wake dist.Durations // ns from a section's end to a sleeping lookup's lock_acquired

	// Of the trace that is read: ns that recording a lock_start takes, when the latest
	// section of each process ended, and when each thread's lookup asked for the lock that
	// it has not got.
	recording int64
	lastEven  map[int32]int64
	asked     map[int32]int64
}

// Row is part of Observer.
func (m *measurer) Row(ev *traces.Event, _ bool) {
	if !ev.Kind.IsLock() {
		return
	}
	asked, waits := m.asked[ev.TID]
	delete(m.asked, ev.TID)
	switch {
	case ev.Lookup() != traces.NoLookup:
		m.asked[ev.TID] = ev.Time
	case waits && ev.Kind == traces.LockAcquired && !(ev.Got(traces.ColRet) && ev.Ret < 0):
		m.addWake(ev.PID, asked, ev.Time)
	}
}

// Section is part of Observer.
func (m *measurer) Section(h *timeline.Section) {
	if !h.Write {
		return
	}
	m.lastEven[h.PID] = h.Even
	if h.Call != "" && h.Odd >= h.CallFrom && h.Odd <= h.CallTo {
		m.add(h.Call, h.Odd-h.CallFrom-m.recording, h.Even-h.Odd)
	}
}

func (m *measurer) read(ctx context.Context, trace timeline.Trace, profile *machines.Profile) error {
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		return err
	}
	if !s.LockRows {
		return ErrNoLocks
	}
	if s.TakesLock(trace.Meta()) {
		return ErrTakesLock
	}
	v := Validation{Unknown: s.Unknown}
	if !v.Scores() {
		return fmt.Errorf("nothing can be fitted to it: %w", unknownError(s.Unknown))
	}
	m.recording, m.lastEven, m.asked = s.StartCost(), map[int32]int64{}, map[int32]int64{}
	r, err := timeline.Reconstruct(ctx, trace, s, timeline.Config{Using: timeline.Locks, Profile: profile, Observer: m})
	if err != nil {
		return err
	}
	defer r.Close()
	for n := 0; ; n++ {
		if _, ok := r.Next(); !ok {
			return r.Err()
		}
		if n%65536 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (m *measurer) add(kind string, start, hold int64) {
	k := m.by[kind]
	if k == nil {
		k = &measured{}
		m.by[kind] = k
	}
	if len(k.start) < dist.MaxValues {
		k.start, k.hold = append(k.start, start), append(k.hold, hold)
	}
}

// wakeMax is how long a wake-up takes at most, in ns: what comes later slept for
// something else.
const wakeMax = 70_000

// addWake notes how late a lookup got the lock that slept for it: it waited for
// longer than recording its lock_start takes. Times are ns.
func (m *measurer) addWake(pid int32, asked, got int64) {
	even := m.lastEven[pid]
	if late := got - even; even != 0 && got-asked > 2*m.recording && late > 0 && late < wakeMax {
		m.wake.Add(late)
	}
}

// fits turns what was measured into models. Kinds that hold the lock to their end
// keep Hold 0.
func (m *measurer) fits(old machines.SectionModel) []SectionFit {
	var fits []SectionFit
	for kind, k := range m.by {
		if len(k.start) < sectionsMin {
			continue
		}
		slices.Sort(k.start)
		slices.Sort(k.hold)
		f := SectionFit{Kind: kind, Sections: len(k.start), Start: deciles(k.start), Hold: deciles(k.hold)}
		f.Model = machines.KindModel{Start: max(f.Start[1], 0)}
		if kind == "munmap" || kind == machines.BrkShrink {
			f.Model.Hold = f.Hold[1]
		}
		fits = append(fits, f)
	}
	slices.SortFunc(fits, func(a, b SectionFit) int { return cmp.Compare(a.Kind, b.Kind) })
	return fits
}

func deciles(sorted []int64) [3]int64 {
	n := len(sorted) - 1
	return [3]int64{sorted[n/10], sorted[n/2], sorted[n*9/10]}
}

// Steps of the search for the lags, in ns, and how often it goes over them.
var lagSteps = []int64{-200, -100, -50, 50, 100, 200}

const lagRounds = 2

// fitLags searches for the lags of stamps, one after the other. By how much FailLag is more
// than HitLag is not searched for: that moves only the lookups that failed, and the more
// they are moved into the sections, the fewer seem to be predicted wrongly. The trace's own
// pace tells it.
func fitLags(ctx context.Context, list []timeline.Trace, profile *machines.Profile, progress func(round, rounds int)) error {
	best, err := misses(ctx, list, profile)
	if err != nil {
		return err
	}
	later := profile.Recorder.FailLag - profile.Recorder.HitLag
	lags := []*int64{&profile.Recorder.HitLag, &profile.Recorder.Window, &profile.Recorder.ExitLag}
	done, rounds := 0, lagRounds*len(lags)*len(lagSteps)
	for range lagRounds {
		for _, lag := range lags {
			start, chosen := *lag, *lag
			for _, step := range lagSteps {
				*lag = max(start+step, 50)
				profile.Recorder.FailLag = profile.Recorder.HitLag + later
				n, err := misses(ctx, list, profile)
				if err != nil {
					return err
				}
				if n < best {
					best, chosen = n, *lag
				}
				if done++; progress != nil {
					progress(done, rounds)
				}
			}
			*lag = chosen
			profile.Recorder.FailLag = profile.Recorder.HitLag + later
		}
	}
	return nil
}

// misses is how many lookups are predicted wrongly, as a share of the fallbacks of
// each trace: no trace outweighs the others by its size.
func misses(ctx context.Context, list []timeline.Trace, profile *machines.Profile) (float64, error) {
	sum := 0.0
	for _, trace := range list {
		v, err := Validate(ctx, trace, profile, Comparison{Using: timeline.Locks})
		if err != nil {
			return 0, fmt.Errorf("%s: %w", trace.Path(), err)
		}
		sum += 1 - v.F1()
	}
	return sum, nil
}
