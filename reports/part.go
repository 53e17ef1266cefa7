package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// PartKind is a way to divide the hits of a run, or what they cost.
type PartKind string

// Kinds of parts. Processes are told by their names, since ids are others in each
// recording; a writer is a thread's name with the operation that took mmap_lock.
const (
	ProbePart   PartKind = "probe"
	ProcessPart PartKind = "process"
	WriterPart  PartKind = "writer"
)

var partKinds = [...]PartKind{ProbePart, ProcessPart, WriterPart}

// Part names a part of a run. The zero value is all of it.
type Part struct {
	Kind PartKind `json:"kind"`
	Name string   `json:"name"` // a probe, a process, or "munmap by THREAD"
}

// String is the part in words, such as "probe libc:malloc"; of all it is empty.
func (p Part) String() string {
	if p.Kind == WriterPart {
		return p.Name
	}
	return strings.TrimSpace(string(p.Kind) + " " + p.Name)
}

// partMetrics are those that each kind of part has.
var partMetrics = map[PartKind][]string{
	ProbePart:   {"hits", "lockless", "fallbacks", "fallback_ppm", "resolve_ns.total", "resolve_ns.mean", "lock_wait_ns.total", "wasted_ns"},
	ProcessPart: {"hits", "lockless", "fallbacks", "fallback_ppm", "lock_wait_ns.total"},
	WriterPart:  {"fallbacks", "lock_wait_ns.total", "wasted_ns"},
}

// has is an error where parts of this kind do not have the metric.
func (p Part) has(m *metric) error {
	names := partMetrics[p.Kind]
	if p == (Part{}) || slices.Contains(names, m.name) || p.Kind != WriterPart && strings.HasPrefix(m.name, "reasons.") {
		return nil
	}
	if p.Kind != WriterPart {
		names = append(names[:len(names):len(names)], "reasons.*")
	}
	return fmt.Errorf("a %s has no metric %q: want one of %s", p.Kind, m.name, strings.Join(names, ", "))
}

// PartFigures are figures of one part of a run.
type PartFigures struct {
	Part    Part              `json:"part"`
	Metrics map[string]Figure `json:"metrics"`
}

// partsOf are the figures of all parts of a run of the report, by kind and then as the
// report has them: the dearest first. Those of one name are added up.
func partsOf(d *Document, resolver string) []PartFigures {
	var parts []partRun
	find := map[Part]int{}
	add := func(p Part, r Run) {
		i, there := find[p]
		if !there {
			i = len(parts)
			find[p] = i
			parts = append(parts, partRun{part: p})
		}
		parts[i].add(&r)
	}
	for i := range d.Probes {
		if p := &d.Probes[i]; p.Resolver == resolver && p.Hits != nil && (*p.Hits > 0 || p.Fallbacks == nil) {
			add(Part{ProbePart, p.Probe}, Run{
				Hits: p.Hits, Lockless: p.Lockless, Fallbacks: p.Fallbacks, Reasons: p.Reasons,
				ResolveNs: total(p.ResolveNs), LockWaitNs: total(p.WaitNs), WastedNs: p.WastedNs,
			})
		}
	}
	if d.Mms != nil {
		for _, m := range *d.Mms {
			if m.Resolver == resolver && m.Hits > 0 {
				add(Part{ProcessPart, m.Comm}, Run{Hits: &m.Hits, Lockless: &m.Lockless, Fallbacks: &m.Fallbacks, Reasons: &m.Reasons, LockWaitNs: total(&m.WaitNs)})
			}
		}
	}
	if d.Blame != nil {
		for _, b := range *d.Blame {
			if b.Resolver == resolver && (b.Fallbacks > 0 || b.WaitNs > 0 || b.WastedNs > 0) {
				add(Part{WriterPart, b.Kind + " by " + b.Comm}, Run{Fallbacks: &b.Fallbacks, LockWaitNs: total(&b.WaitNs), WastedNs: &b.WastedNs})
			}
		}
	}
	figures := make([]PartFigures, len(parts))
	for i := range parts {
		figures[i] = parts[i].figures()
	}
	slices.SortStableFunc(figures, func(a, b PartFigures) int {
		return cmp.Or(
			cmp.Compare(slices.Index(partKinds[:], a.Part.Kind), slices.Index(partKinds[:], b.Part.Kind)),
			-cmp.Compare(a.Metrics["lock_wait_ns.total"].Milli, b.Metrics["lock_wait_ns.total"].Milli),
			-cmp.Compare(a.Metrics["fallbacks"].Milli, b.Metrics["fallbacks"].Milli),
			cmp.Compare(a.Part.Name, b.Part.Name),
		)
	})
	return figures
}

// partRun adds up rows of one part as if they were a run.
type partRun struct {
	part Part
	run  Run
	some bool
}

func (p *partRun) add(r *Run) {
	if !p.some {
		p.run, p.some = *r, true
		return
	}
	sum := &p.run
	sum.Hits, sum.Lockless, sum.Fallbacks = plus(sum.Hits, r.Hits), plus(sum.Lockless, r.Lockless), plus(sum.Fallbacks, r.Fallbacks)
	sum.ResolveNs, sum.LockWaitNs, sum.WastedNs = plusTotal(sum.ResolveNs, r.ResolveNs), plusTotal(sum.LockWaitNs, r.LockWaitNs), plus(sum.WastedNs, r.WastedNs)
	sum.Reasons = plusReasons(sum.Reasons, r.Reasons)
}

// figures are those that its kind of part has.
func (p *partRun) figures() PartFigures {
	r := &p.run
	if r.ResolveNs != nil && r.Hits != nil && *r.Hits > 0 {
		r.ResolveNs.Mean = new(r.ResolveNs.Total / Nanos(*r.Hits))
	}
	f := PartFigures{Part: p.part, Metrics: map[string]Figure{}}
	for i := range metrics {
		if m := &metrics[i]; p.part.has(m) == nil {
			f.Metrics[m.name] = m.value(r)
		}
	}
	return f
}

func total(n *Nanos) *Dist {
	if n == nil {
		return nil
	}
	return &Dist{Total: *n}
}

func plus[T int64 | Nanos](a, b *T) *T {
	if a == nil || b == nil {
		return nil
	}
	return new(*a + *b)
}

func plusReasons(a, b *Reasons) *Reasons {
	if a == nil || b == nil {
		return nil
	}
	return &Reasons{
		a.WriterActive + b.WriterActive, a.SeqChanged + b.SeqChanged, a.NoVMA + b.NoVMA,
		a.NoFile + b.NoFile, a.NoUprobe + b.NoUprobe, a.Unconfigured + b.Unconfigured,
	}
}

func plusTotal(a, b *Dist) *Dist {
	if a == nil || b == nil {
		return nil
	}
	return &Dist{Total: a.Total + b.Total}
}

// partsKept is how many parts of each kind a baseline records, beside those that
// have a limit: enough to name what a change comes from.
const partsKept = 8

// keepParts are what a baseline records of a run's parts. Those with a limit have the
// limited figures, the dearest have what says where a change comes from. A writer with
// a limit that cost nothing is there as well, with 0.
func keepParts(all []PartFigures, limits []Limit) []PartFigures {
	kept := []PartFigures{}
	seen := map[PartKind]int{}
	for i := range all {
		f := &all[i]
		names := limited(limits, f.Part)
		if seen[f.Part.Kind] < partsKept {
			names = append(names, changeMetrics[:]...)
		}
		seen[f.Part.Kind]++
		if len(names) > 0 {
			kept = append(kept, f.only(names))
		}
	}
	for i := range limits {
		if p := limits[i].Part; p.Kind == WriterPart && findPart(kept, p) == nil {
			kept = append(kept, nothing(p).only(limited(limits, p)))
		}
	}
	return kept
}

// changeMetrics are those that say where a change comes from.
var changeMetrics = [...]string{"fallbacks", "lock_wait_ns.total"}

// limited are the metrics of a part that have a limit.
func limited(limits []Limit, p Part) []string {
	var names []string
	for i := range limits {
		if limits[i].Part == p {
			names = append(names, limits[i].Metric)
		}
	}
	return names
}

// nothing are the figures of a writer that cost nothing.
func nothing(p Part) *PartFigures {
	f := &PartFigures{Part: p, Metrics: map[string]Figure{}}
	for _, name := range partMetrics[WriterPart] {
		f.Metrics[name] = Figure{0, true}
	}
	return f
}

func (f *PartFigures) only(names []string) PartFigures {
	few := PartFigures{Part: f.Part, Metrics: map[string]Figure{}}
	for _, name := range names {
		few.Metrics[name] = f.Metrics[name]
	}
	return few
}

// findPart is nil where there is none.
func findPart(all []PartFigures, p Part) *PartFigures {
	for i := range all {
		if all[i].Part == p {
			return &all[i]
		}
	}
	return nil
}

// part are the figures of a part of the run, nil where they are not known. A writer
// that is not among all of them cost nothing.
func (r *EntryRun) part(p Part) *PartFigures {
	if r.Parts == nil {
		return nil
	}
	if f := findPart(*r.Parts, p); f != nil || p.Kind != WriterPart {
		return f
	}
	writers := 0
	for i := range *r.Parts {
		if (*r.Parts)[i].Part.Kind == WriterPart {
			writers++
		}
	}
	if r.AllParts || writers < partsKept {
		return nothing(p)
	}
	return nil
}

// figure is a metric of a part of the run, or of all of it; false where it is not there.
func (r *EntryRun) figure(p Part, metric string) (Figure, bool) {
	if p == (Part{}) {
		f, ok := r.Metrics[metric]
		return f, ok
	}
	if parts := r.part(p); parts != nil {
		f, ok := parts.Metrics[metric]
		return f, ok
	}
	return Figure{}, false
}

// Share is how much of a change lies in one part of a run.
type Share struct {
	Part   Part   `json:"part"`
	Metric string `json:"metric"`
	Base   Figure `json:"base"`
	New    Figure `json:"new"`
}

// mostOf are the probe and the writer in which most of a worsening lies, of what each
// kind of part has: fallbacks, or waits for times.
func mostOf(m *metric, base, now *EntryRun) []Share {
	if base.Parts == nil || now.Parts == nil || m.name == "hits" {
		return nil
	}
	names := changeMetrics
	if m.unit == "ns" {
		names[0], names[1] = names[1], names[0]
	}
	var most []Share
	for _, kind := range []PartKind{ProbePart, WriterPart} {
		for _, name := range names {
			if s := worst(kind, name, base, now); s != nil {
				most = append(most, *s)
				break
			}
		}
	}
	return most
}

// worst is the part of a kind in which a metric rose most, nil where it did in none.
func worst(kind PartKind, name string, base, now *EntryRun) *Share {
	var worst *Share
	var most int64
	for i := range *now.Parts {
		f := &(*now.Parts)[i]
		was, there := base.figure(f.Part, name)
		is := f.Metrics[name]
		if f.Part.Kind != kind || !there || !was.Known || !is.Known {
			continue
		}
		if rose := is.Milli - was.Milli; rose > most {
			worst, most = &Share{f.Part, name, was, is}, rose
		}
	}
	return worst
}
