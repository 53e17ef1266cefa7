package ingest

import (
	"fmt"
	"slices"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/perfscript"
	"github.com/replay/replay/traces"
)

// recordedKinds are the kinds of rows that a recorder was set to record. A syscall is
// one whose entry and exit both are.
type recordedKinds struct {
	has     map[traces.Kind]bool
	entered map[traces.Kind]bool
	left    map[traces.Kind]bool
}

func newRecordedKinds() *recordedKinds {
	return &recordedKinds{map[traces.Kind]bool{}, map[traces.Kind]bool{}, map[traces.Kind]bool{}}
}

// add takes in an event.
func (k *recordedKinds) add(p *assemble.Tracepoint) {
	switch p.Phase {
	case assemble.Enter:
		k.entered[p.Kind] = true
	case assemble.Leave:
		k.left[p.Kind] = true
	default:
		k.has[p.Kind] = true
	}
	if k.entered[p.Kind] && k.left[p.Kind] {
		k.has[p.Kind] = true
	}
}

// names lists them in the order of the kinds.
func (k *recordedKinds) names() []string {
	var names []string
	for _, kind := range traces.Kinds() {
		if k.has[kind] {
			names = append(names, kind.String())
		}
	}
	return names
}

// scriptRecorded is what the header of a text says was recorded, nil where there is
// none. Side-band records are not known to be printed, but those that are.
func scriptRecorded(p *perfscript.Parser, seen *[256]bool) []string {
	if len(p.Declared) == 0 {
		return nil
	}
	k := newRecordedKinds()
	for i := range p.Declared {
		if point := p.Declared[i].Point; point != nil && !(p.Declared[i].UserOnly && inKernel(point.Kind)) {
			k.add(point)
		}
	}
	for kind, is := range seen {
		if is && !traces.Kind(kind).IsSyscall() {
			k.has[traces.Kind(kind)] = true
		}
	}
	k.has[traces.Lost] = p.LostShown
	return k.names()
}

// scriptPartly is what a header says was recorded in part: sampled by time, or by the
// options of perf record.
func scriptPartly(p *perfscript.Parser, forked bool) []traces.Unknown {
	sampled, last := map[string][]string{}, false
	var events []recordedEvent
	for _, d := range p.Declared {
		last = last || d.KeepsLast
		if d.Point == nil {
			continue
		}
		what := toldBy(d.Point.Kind)
		events = append(events, recordedEvent{d.Name, what})
		if d.Sampled {
			sampled[what] = append(sampled[what], d.Name)
		}
	}
	var list []traces.Unknown
	for _, what := range []string{traces.UnknownHits, traces.UnknownWriters, traces.UnknownOutcomes} {
		if names := sampled[what]; names != nil {
			slices.Sort(names)
			list = append(list, traces.Unknown{
				What: what, Why: fmt.Sprintf("perf sampled %s (-F): the rows are some of what happened, and how many there were is not known", shorten(slices.Compact(names))),
				Remedy: "record each with perf record -c 1",
			})
		}
	}
	if last {
		list = append(list, keptLast)
	}
	o := parseRecord(p.Cmdline)
	return append(list, o.unknown(p.CPUs, forked, events)...)
}
