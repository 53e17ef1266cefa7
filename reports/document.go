package reports

import (
	"fmt"
	"math"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/sim"
)

// Schema names the shape of report.json. Fields may be added under the same
// name; none changes its meaning.
const Schema = "replay.report/1"

// Document is report.json. Pointers are null where the figure is unknown, such
// as the mean of nothing; those of the tag null:"unknown" only where Unknown says why.
type Document struct {
	Schema    string  `json:"schema"`
	Trace     Trace   `json:"trace"`
	Machine   Machine `json:"machine"`
	Timing    string  `json:"timing"`
	Speed     float64 `json:"speed"`
	Clone     int     `json:"clone"`
	Placement string  `json:"placement"`
	Seed      uint64  `json:"seed"`
	// Layout is that of mmap_lock's words where it was not the machine's own.
	Layout string `json:"layout,omitempty"`
	// WhatIf is what was otherwise than recorded, as --what-if has it.
	WhatIf []string `json:"what_if,omitempty"`
	// ModelVersion is replay.ModelVersion; 0 of a report of before it was there.
	ModelVersion int `json:"model_version,omitempty"`

	Answer   *Answer   `json:"answer"`   // a report of before there was one has none
	Recorded *Recorded `json:"recorded"` // null without lock events
	Runs     []Run     `json:"runs"`
	Blame    *[]Blame  `json:"blame" null:"unknown"`
	Probes   []Probe   `json:"probes"`
	Mms      *[]Mm     `json:"mms" null:"unknown"`
	Lines    *[]Line   `json:"lines" null:"unknown"`
	// A report of before there were these tables has none.
	Pairs    *[]Pair   `json:"pairs"`
	CPUs     *[]CPU    `json:"cpus"`
	Threads  *[]Thread `json:"threads"`
	Warnings []string  `json:"warnings"`

	Crossover *Crossover `json:"crossover,omitempty"` // where it was asked for,
	Curve     *Curve     `json:"curve,omitempty"`     // as was this

	// Unknown is what the trace cannot tell; a report of before it was asked has none.
	Unknown *[]replay.Unknown `json:"unknown"`
}

// Answer is what the report comes to, in sentences.
type Answer struct {
	Problem    string `json:"problem"`
	Helps      string `json:"helps"` // empty where nothing that is known would
	Confidence string `json:"confidence"`
}

// Trace is what was replayed.
type Trace struct {
	Path       string    `json:"path"`
	SHA256     *string   `json:"sha256"`
	Events     int64     `json:"events"`
	Hits       *int64    `json:"hits" null:"unknown"`
	HitEvents  *int64    `json:"hit_events"` // several, where events share a trap; a report of before it was counted has none
	Writers    *int64    `json:"writers" null:"unknown"`
	Mms        *int64    `json:"mms" null:"unknown"`
	Threads    int64     `json:"threads"`
	DurationNs int64     `json:"duration_ns"`
	Lost       *int64    `json:"lost" null:"unknown"`
	Arrivals   Arrivals  `json:"arrivals"`
	Sections   *Sections `json:"sections" null:"unknown"`
	// InferredFallbacks are those of the recorded kernel, by how late hits are: null where
	// rows tell them. A report of before it was told has none.
	InferredFallbacks *InferredFallbacks `json:"inferred_fallbacks"`
	// KernelTakesLock says that the recorded kernel takes mmap_lock for each lookup, as those
	// before 6.14 do: of it no fallbacks are inferred.
	KernelTakesLock bool `json:"kernel_takes_lock,omitempty"`

	Losses           *[]Loss `json:"losses"`            // the largest, in order of time
	UndecidedNs      *int64  `json:"undecided_ns"`      // of duration_ns, near a loss
	UndecidedWriters *int64  `json:"undecided_writers"` // write sections there
}

// InferredFallbacks is how many lookups fell back on a kernel that looks up without the lock.
type InferredFallbacks struct {
	Decided    int64      `json:"decided"`     // of single hits
	Expected   float64    `json:"expected"`    // the expectation of their number,
	Expected80 [2]float64 `json:"expected_80"` // and an interval that held the true number in eight recordings of ten
}

// Loss is a stretch of the recording in which events were dropped, since its start.
type Loss struct {
	FromNs int64 `json:"from_ns"`
	ToNs   int64 `json:"to_ns"`
	CPU    *int  `json:"cpu"`
	Events int64 `json:"events"`
}

// Arrivals counts hits by where their arrival time came from.
type Arrivals struct {
	Observed int64 `json:"observed"`
	Inferred int64 `json:"inferred"`
}

// Sections counts write sections by where their bounds came from.
type Sections struct {
	Observed int64 `json:"observed"`
	Modelled int64 `json:"modelled"`
}

// Machine is what it was replayed on.
type Machine struct {
	Name    string `json:"name"`
	Profile string `json:"profile,omitempty"` // tells profiles apart by their figures; a report of before has none
	CPUs    int    `json:"cpus"`
	Sockets int    `json:"sockets"`
	SMT     int    `json:"smt"`
}

// Run is the ledger of one resolver. All that rests on what the trace cannot tell is
// null.
type Run struct {
	Resolver  string   `json:"resolver"`
	Digest    string   `json:"digest"` // 16 hex digits
	Hits      *int64   `json:"hits" null:"unknown"`
	Lookups   *int64   `json:"lookups"` // that the hits made; a report of before it was counted has none
	Lockless  *int64   `json:"lockless" null:"unknown"`
	Fallbacks *int64   `json:"fallbacks" null:"unknown"`
	Reasons   *Reasons `json:"reasons" null:"unknown"`

	ResolveNs    *Dist `json:"resolve_ns" null:"unknown"`
	LockWaitNs   *Dist `json:"lock_wait_ns" null:"unknown"`
	WriterWaitNs *Dist `json:"writer_wait_ns" null:"unknown"`
	// WaitsLeftOutNs is the part of the recorded waits that is not in the two before, which
	// are at least so much; none where no waits were recorded.
	WaitsLeftOutNs *Nanos   `json:"waits_left_out_ns,omitempty" csv:"-"`
	WastedNs       *Nanos   `json:"wasted_ns" null:"unknown"`
	LineTransfers  *int64   `json:"line_transfers" null:"unknown"`
	MakespanNs     *Nanos   `json:"makespan_ns" null:"unknown"`
	HitsPerS       *float64 `json:"hits_per_s"`

	PartsNs   *Parts `json:"parts_ns"`
	Undecided *int64 `json:"undecided"` // hits that a lost event may have changed
	// The fallbacks of the full trace, lost events included, are within these.
	FallbacksLow  *int64 `json:"fallbacks_low"`
	FallbacksHigh *int64 `json:"fallbacks_high"`
	// Hits of optimised probes, which look up twice, and lookups that took mmap_lock.
	Optimised       *int64 `json:"optimised_hits"`
	LookupFallbacks *int64 `json:"lookup_fallbacks"`

	OverTime *RunOverTime `json:"over_time" csv:"-"`       // a report of before there was one has none
	Fault    *Fault       `json:"fault,omitempty" csv:"-"` // of a resolver without some rules
}

// RunOverTime is a run in slices of equal length from its start. Hits count where they
// trap, with all that they took.
type RunOverTime struct {
	StepNs     Nanos   `json:"step_ns"`
	Hits       []int64 `json:"hits"`
	Fallbacks  []int64 `json:"fallbacks"`
	ResolveNs  []Nanos `json:"resolve_ns"`
	LockWaitNs []Nanos `json:"lock_wait_ns"`
	HeldNs     []Nanos `json:"held_ns"` // mmap_lock was held for write
}

// Fault is what a resolver without some rules answered that was wrong.
type Fault struct {
	Rules  []string     `json:"rules"`
	Judged int64        `json:"judged"` // lookups that were answered without the lock
	Wrong  int64        `json:"wrong"`  // of them, with what no locked lookup could have
	First  *WrongAnswer `json:"first"`  // null where none was wrong
}

// WrongAnswer is a lookup that was.
type WrongAnswer struct {
	Row   int64  `json:"row"`
	TID   int32  `json:"tid"`
	Comm  string `json:"comm"`
	Probe string `json:"probe"`
	AtNs  Nanos  `json:"at_ns"`
}

func newFault(f *replay.Fault) *Fault {
	if f == nil {
		return nil
	}
	doc := &Fault{Rules: f.Rules, Judged: f.Judged, Wrong: f.Wrong}
	if w := f.First; w != nil {
		doc.First = &WrongAnswer{w.Row, w.TID, w.Comm, w.Probe, Nanos(w.At)}
	}
	return doc
}

// Reasons counts fallbacks; its fields add up to them.
type Reasons struct {
	WriterActive int64 `json:"writer_active"`
	SeqChanged   int64 `json:"seq_changed"`
	NoVMA        int64 `json:"no_vma"`
	NoFile       int64 `json:"no_file"`
	NoUprobe     int64 `json:"no_uprobe"`
	Unconfigured int64 `json:"unconfigured"`
}

// Dist is a distribution of times.
type Dist struct {
	Total Nanos  `json:"total"`
	Mean  *Nanos `json:"mean"`
	P50   *Nanos `json:"p50"`
	P90   *Nanos `json:"p90"`
	P99   *Nanos `json:"p99"`
	Max   *Nanos `json:"max"`
}

// Parts is where the time of all hits of a run went; see sim.Parts for overlaps.
type Parts struct {
	Lookup   Nanos `json:"lookup"`
	Stall    Nanos `json:"stall"`
	LockWait Nanos `json:"lock_wait"`
	LockHold Nanos `json:"lock_hold"`
	Wasted   Nanos `json:"wasted"`
	Handler  Nanos `json:"handler"`
}

// Blame is what one writer cost the hits of one run.
type Blame struct {
	Resolver  string   `json:"resolver"`
	Comm      string   `json:"comm"`
	PID       *int32   `json:"pid"` // null in a row of several writers
	TID       *int32   `json:"tid"` // likewise
	Kind      string   `json:"kind"`
	Stack     []string `json:"stack"`   // leaf first; null where the trace has none
	Writers   *int64   `json:"writers"` // more than 1: those that cost nothing, where there are many (replay.MaxBlame); a report of before has none
	Sections  int64    `json:"sections"`
	HoldNs    Nanos    `json:"hold_ns"`
	Fallbacks int64    `json:"fallbacks"`
	WaitNs    Nanos    `json:"wait_ns"`
	WastedNs  Nanos    `json:"wasted_ns"`
}

// Probe is the ledger of one probe in one run.
type Probe struct {
	Resolver  string   `json:"resolver"`
	Probe     string   `json:"probe"`
	Events    *int64   `json:"events"` // of this probe; a report of before they were counted has none
	Hits      *int64   `json:"hits" null:"unknown"`
	Lockless  *int64   `json:"lockless" null:"unknown"`
	Fallbacks *int64   `json:"fallbacks" null:"unknown"`
	Reasons   *Reasons `json:"reasons" null:"unknown"`
	ResolveNs *Nanos   `json:"resolve_ns" null:"unknown"`
	WaitNs    *Nanos   `json:"wait_ns" null:"unknown"`
	WastedNs  *Nanos   `json:"wasted_ns" null:"unknown"`
	Each
}

// Each is how long the hits of a row took: each to be resolved, and each that took
// mmap_lock to get it. A report of before it was told apart by row has none.
type Each struct {
	ResolveEachNs  *Dist `json:"resolve_each_ns"`
	LockWaitEachNs *Dist `json:"lock_wait_each_ns"`
}

func newEach(t *replay.HitTimes) Each { return Each{newDist(t.Resolve), newDist(t.LockWait)} }

// Mm is the ledger of one address space in one run.
type Mm struct {
	Resolver  string  `json:"resolver"`
	PID       int32   `json:"pid"`
	Comm      string  `json:"comm"`
	Hits      int64   `json:"hits"`
	Lockless  int64   `json:"lockless"`
	Fallbacks int64   `json:"fallbacks"`
	Reasons   Reasons `json:"reasons"`
	Writers   int64   `json:"writers"`
	WaitNs    Nanos   `json:"wait_ns"`
	Each
}

// CPU is the ledger of the hits on one CPU in one run.
type CPU struct {
	Resolver  string  `json:"resolver"`
	CPU       int     `json:"cpu"`
	Hits      int64   `json:"hits"`
	Lockless  int64   `json:"lockless"`
	Fallbacks int64   `json:"fallbacks"`
	Reasons   Reasons `json:"reasons"`
	Each
}

// Thread is the ledger of the hits of one thread in one run.
type Thread struct {
	Resolver  string  `json:"resolver"`
	Comm      string  `json:"comm"`
	PID       int32   `json:"pid"`
	TID       int32   `json:"tid"`
	Hits      int64   `json:"hits"`
	Lockless  int64   `json:"lockless"`
	Fallbacks int64   `json:"fallbacks"`
	Reasons   Reasons `json:"reasons"`
	Each
}

// Line is the traffic on one kind of cache line in one run.
type Line struct {
	Resolver  string `json:"resolver"`
	Line      string `json:"line"`
	Accesses  int64  `json:"accesses"`
	Transfers int64  `json:"transfers"`
	StallNs   Nanos  `json:"stall_ns"`
}

// Pair is the traffic on one kind of cache line between two kinds of operations in one
// run: "lookup", or what took mmap_lock. Took had to wait for a line because Had had it
// or had written to it. Those of a line add up to it.
type Pair struct {
	Resolver  string `json:"resolver"`
	Line      string `json:"line"`
	Had       string `json:"had"`
	Took      string `json:"took"`
	Transfers int64  `json:"transfers"`
	StallNs   Nanos  `json:"stall_ns"`
}

// NewDocument is the Result in the shape of report.json.
func NewDocument(res *replay.Result) *Document {
	d := &Document{
		Schema:    Schema,
		Trace:     newTrace(&res.Trace),
		Machine:   Machine(res.Machine),
		Timing:    res.Options.Timing.String(),
		Speed:     float64(res.Options.SpeedPPM) / 1e6,
		Clone:     res.Options.Clone,
		Placement: res.Options.Placement.String(),
		Seed:      res.Options.Seed,
		Layout:    res.Options.Layout, WhatIf: res.Options.WhatIf.Strings(),
		ModelVersion: res.Model,
		Answer:       new(Answer),
		Recorded:     newRecorded(res.Recorded),
		Runs:         []Run{}, Probes: []Probe{},
		Warnings: append([]string{}, res.Warnings...),
	}
	short := newAnswer(res)
	*d.Answer = Answer{short.Problem, short.Helps, short.Confidence}
	unknown := append([]replay.Unknown{}, res.Unknown...)
	d.Unknown = &unknown
	if len(replay.Unanswered(res.Unknown)) == 0 {
		d.Blame, d.Mms, d.Lines = &[]Blame{}, &[]Mm{}, &[]Line{}
		d.Pairs, d.CPUs, d.Threads = &[]Pair{}, &[]CPU{}, &[]Thread{}
	}
	for i := range res.Runs {
		d.add(&res.Runs[i])
		if left, ok := res.LeftOut(); ok {
			d.Runs[len(d.Runs)-1].WaitsLeftOutNs = new(Nanos(left))
		}
	}
	if res.Crossover != nil {
		d.Crossover = newCrossover(res.Crossover)
	}
	if res.Curve != nil {
		d.Curve = newCurve(res.Curve)
	}
	d.forget(unknown)
	return d
}

// unknown is d.Unknown, nothing where nobody asked.
func (d *Document) unknown() []replay.Unknown {
	if d.Unknown == nil {
		return nil
	}
	return *d.Unknown
}

// forget takes out what rests on what the trace cannot tell.
func (d *Document) forget(unknown []replay.Unknown) {
	is := func(what string) bool { return len(replay.Unknowns(unknown, what)) > 0 }
	t := &d.Trace
	if is(replay.UnknownHits) {
		t.Hits = nil
		if d.Recorded != nil {
			d.Recorded.Hits, d.Recorded.Lookups, d.Recorded.Fallbacks = nil, nil, nil
		}
	}
	if is(replay.UnknownWriters) {
		t.Writers, t.Sections = nil, nil
	}
	if is(replay.UnknownProcesses) {
		t.Mms = nil
	}
	if is(replay.UnknownLosses) {
		t.Lost, t.Losses, t.UndecidedNs, t.UndecidedWriters = nil, nil, nil, nil
	}
	for i := range d.Runs {
		r := &d.Runs[i]
		if d.Blame == nil {
			*r = Run{Resolver: r.Resolver, Digest: r.Digest, Hits: r.Hits, Lookups: r.Lookups}
		}
		if is(replay.UnknownHits) {
			r.Hits, r.Lookups = nil, nil
		}
		if is(replay.UnknownLosses) {
			r.Undecided, r.FallbacksLow, r.FallbacksHigh = nil, nil, nil
		}
	}
	for i := range d.Probes {
		p := &d.Probes[i]
		if d.Blame == nil {
			*p = Probe{Resolver: p.Resolver, Probe: p.Probe, Events: p.Events, Hits: p.Hits}
		}
		if is(replay.UnknownHits) {
			p.Hits = nil
		}
	}
}

func newTrace(t *replay.TraceSummary) Trace {
	doc := Trace{
		Path: t.Path, Events: t.Events, Hits: &t.Hits, HitEvents: &t.HitEvents, Writers: &t.Writers, Mms: &t.Mms, Threads: t.Threads,
		DurationNs: t.DurationNs, Lost: &t.Lost,
		Arrivals: Arrivals{Observed: t.Arrivals.Observed, Inferred: t.Arrivals.Modelled},
		Sections: &Sections{t.Sections.Observed, t.Sections.Modelled},
	}
	doc.KernelTakesLock = t.TakesLock
	if g := t.Guess; g != nil {
		doc.InferredFallbacks = &InferredFallbacks{g.Decided, g.Expected, [2]float64{g.Low, g.High}}
	}
	losses := []Loss{}
	for _, l := range t.Losses {
		loss := Loss{FromNs: l.From, ToNs: l.To, Events: l.Events}
		if l.CPU >= 0 {
			loss.CPU = &l.CPU
		}
		losses = append(losses, loss)
	}
	doc.Losses, doc.UndecidedNs, doc.UndecidedWriters = &losses, &t.LossyNs, &t.Undecided
	if t.SHA256 != "" {
		doc.SHA256 = &t.SHA256
	}
	return doc
}

// add appends the run and its tables.
func (d *Document) add(r *replay.Run) {
	d.Runs = append(d.Runs, newRun(r))
	for i := range r.Probes {
		d.Probes = append(d.Probes, newProbe(r.Resolver, &r.Probes[i]))
	}
	if d.Blame == nil {
		return
	}
	for i := range r.Blame {
		*d.Blame = append(*d.Blame, newBlame(r.Resolver, &r.Blame[i]))
	}
	for i := range r.Mms {
		*d.Mms = append(*d.Mms, newMm(r.Resolver, &r.Mms[i]))
	}
	for _, l := range r.Lines {
		*d.Lines = append(*d.Lines, Line{r.Resolver, l.Line, l.Accesses, l.Transfers, Nanos(l.Stall)})
		for _, p := range l.Pairs {
			*d.Pairs = append(*d.Pairs, Pair{r.Resolver, l.Line, p.Had, p.Took, p.Transfers, Nanos(p.Stall)})
		}
	}
	for i := range r.CPUs {
		c := &r.CPUs[i]
		*d.CPUs = append(*d.CPUs, CPU{
			r.Resolver, c.CPU, c.Hits, c.Outcomes[sim.Lockless], c.Hits - c.Outcomes[sim.Lockless], *newReasons(&c.Outcomes), newEach(&c.Times),
		})
	}
	for i := range r.Threads {
		t := &r.Threads[i]
		*d.Threads = append(*d.Threads, Thread{
			r.Resolver, t.Comm, t.PID, t.TID, t.Hits, t.Outcomes[sim.Lockless], t.Hits - t.Outcomes[sim.Lockless], *newReasons(&t.Outcomes), newEach(&t.Times),
		})
	}
}

func newRun(r *replay.Run) Run {
	return Run{
		Resolver: r.Resolver, Digest: fmt.Sprintf("%016x", r.Digest),
		Hits: &r.Hits, Lookups: &r.Lookups, Lockless: new(r.Lockless()), Fallbacks: new(r.Fallbacks()), Reasons: newReasons(&r.Outcomes),
		ResolveNs: newDist(r.Resolve), LockWaitNs: newDist(r.LockWait), WriterWaitNs: newDist(r.WriterWait),
		WastedNs: new(Nanos(r.Parts.Wasted)), LineTransfers: &r.LineTransfers, MakespanNs: new(Nanos(r.Makespan)),
		HitsPerS: perSecond(r.Hits, r.Makespan),
		PartsNs: &Parts{
			Lookup: Nanos(r.Parts.Lookup), Stall: Nanos(r.Parts.Stall), LockWait: Nanos(r.Parts.LockWait),
			LockHold: Nanos(r.Parts.LockHold), Wasted: Nanos(r.Parts.Wasted), Handler: Nanos(r.Parts.Handler),
		},
		Undecided: &r.Undecided, FallbacksLow: &r.Low, FallbacksHigh: &r.High,
		Optimised: &r.Optimised, LookupFallbacks: &r.LookupFallbacks, OverTime: newRunOverTime(&r.Series),
		Fault: newFault(r.Fault),
	}
}

func newRunOverTime(s *replay.Series) *RunOverTime {
	o := &RunOverTime{StepNs: Nanos(s.Step), Hits: []int64{}, Fallbacks: []int64{}, ResolveNs: []Nanos{}, LockWaitNs: []Nanos{}, HeldNs: []Nanos{}}
	for i := range s.Slices {
		x := &s.Slices[i]
		o.Hits, o.Fallbacks = append(o.Hits, x.Hits()), append(o.Fallbacks, x.Hits()-x.Outcomes[sim.Lockless])
		o.ResolveNs, o.LockWaitNs, o.HeldNs = append(o.ResolveNs, Nanos(x.Resolve)), append(o.LockWaitNs, Nanos(x.LockWait)), append(o.HeldNs, Nanos(x.Held))
	}
	return o
}

func newReasons(o *[sim.NumOutcomes]int64) *Reasons {
	return &Reasons{
		WriterActive: o[sim.WriterActive], SeqChanged: o[sim.SeqChanged], NoVMA: o[sim.NoVMA],
		NoFile: o[sim.NoFile], NoUprobe: o[sim.NoUprobe], Unconfigured: o[sim.Unconfigured],
	}
}

func newDist(d dist.Dist) *Dist {
	doc := &Dist{Total: Nanos(d.Total)}
	if d.Count == 0 {
		return doc
	}
	figure := func(t sim.Time) *Nanos { n := Nanos(t); return &n }
	doc.Mean, doc.P50, doc.P90 = figure(d.Mean()), figure(d.P50), figure(d.P90)
	doc.P99, doc.Max = figure(d.P99), figure(d.Max)
	return doc
}

func newBlame(resolver string, b *replay.Blame) Blame {
	id := func(n int32) *int32 {
		if b.Writers > 1 {
			return nil
		}
		return &n
	}
	return Blame{
		Resolver: resolver, Comm: b.Comm, PID: id(b.PID), TID: id(b.TID), Kind: b.Kind, Stack: b.Stack,
		Writers: &b.Writers, Sections: b.Sections, HoldNs: Nanos(b.Hold), Fallbacks: b.Fallbacks,
		WaitNs: Nanos(b.Wait), WastedNs: Nanos(b.Wasted),
	}
}

func newProbe(resolver string, p *replay.ProbeRow) Probe {
	return Probe{
		Resolver: resolver, Probe: p.Probe,
		Events: &p.Events, Hits: &p.Hits, Lockless: &p.Outcomes[sim.Lockless], Fallbacks: new(p.Hits - p.Outcomes[sim.Lockless]),
		Reasons: newReasons(&p.Outcomes), ResolveNs: new(Nanos(p.Parts.Resolve())),
		WaitNs: new(Nanos(p.Parts.LockWait)), WastedNs: new(Nanos(p.Parts.Wasted)), Each: newEach(&p.Times),
	}
}

func newMm(resolver string, m *replay.MmRow) Mm {
	return Mm{
		Resolver: resolver, PID: m.PID, Comm: m.Comm,
		Hits: m.Hits, Lockless: m.Outcomes[sim.Lockless], Fallbacks: m.Hits - m.Outcomes[sim.Lockless],
		Reasons: *newReasons(&m.Outcomes), Writers: m.Writers, WaitNs: Nanos(m.Wait), Each: newEach(&m.Times),
	}
}

// perSecond is a rate with three decimals, or nil when no time passed.
func perSecond(n int64, span sim.Time) *float64 {
	if span <= 0 {
		return nil
	}
	rate := math.Round(float64(n)/(float64(span)/float64(sim.Second))*1000) / 1000
	return &rate
}
